//! The tab "WebSocket" in the editor's debugger, with the connections of the running game and their traffic; and errors about scripts of
//! the project whose `class_name` is a class of the addon; and what web exports get in place of the library.
//!
//! The engine loads the plugin by itself. The library of exported games does not contain this module.

mod export;
mod names;
mod plot;
mod plugin;
mod scripts;
mod tab;
mod traffic;
