//! What the game's thread and the I/O thread share.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod backpressure;
pub(crate) mod counters;
#[expect(clippy::disallowed_types, reason = "the game's thread may wait for notices")]
pub(crate) mod queue;
