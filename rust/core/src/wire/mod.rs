//! How multiplayer packets look inside WebSocket messages, and what may come before a connection.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod godot3;
pub(crate) mod godot4;
pub(crate) mod proxy_protocol;
