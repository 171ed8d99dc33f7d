//! Formats of multiplayer packets inside WebSocket messages, and of the PROXY protocol before a connection.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod godot3;
pub(crate) mod godot4;
pub(crate) mod proxy_protocol;
pub(crate) mod relay_list;
