//! The GDExtension: the classes of the addon, as thin wrappers of `websocket_multiplayer_core`.
//!
//! Only this crate knows the engine. `host` contains what the three multiplayer classes share, `common` and `virtuals` generate the code
//! that Rust classes cannot inherit, and `signals` emits signals for events.

mod access_rules;
mod border;
mod classes;
mod common;
mod convert;
mod debugger;
mod diagnostics;
#[cfg(feature = "editor")]
mod editor;
#[allow(unsafe_code, reason = "the trait of an extension's entry point is unsafe")]
mod entry;
mod host;
mod lines;
mod logging;
mod monitors;
mod raw;
mod registry;
mod relaying;
mod reopened;
mod report;
mod request;
mod settings;
mod signals;
mod simulation;
mod tls;
mod tuning;
mod virtuals;
