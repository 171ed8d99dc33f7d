//! How multiplayer packets look inside WebSocket messages.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod godot3;
pub(crate) mod godot4;
