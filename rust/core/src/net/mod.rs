//! Sockets, threads and the clock: everything that the rest of the core does without.

pub(crate) mod checks;
mod dial;
pub(crate) mod driver;
pub(crate) mod emulator;
pub(crate) mod listener;
mod open_error;
pub(crate) mod runtime;
mod sockets;

pub use open_error::OpenError;
pub use runtime::{Library, Runtime};
