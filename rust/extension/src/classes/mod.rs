//! The registered classes: names, arguments and documentation, with no logic of their own.

mod client;
mod multiplayer_peer;
mod options;
mod peer;
mod server;

pub(crate) use peer::{Connection, WebSocketPeer};
