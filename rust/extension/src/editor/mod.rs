//! The tab "WebSocket" in the editor's debugger: who is connected to the running game, and what goes over the wire. And a word about
//! scripts of the project that have the name of a class of the addon.
//!
//! The engine picks the plugin up by itself. None of this is in the library of exported games, and the classes exist in the
//! editor only.

mod names;
mod plot;
mod plugin;
mod tab;
mod traffic;
