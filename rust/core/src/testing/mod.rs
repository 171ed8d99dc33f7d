//! What tests, fuzz targets and instruction counts drive the core with.

#![cfg_attr(not(test), allow(dead_code, reason = "each of them uses a part of it"))]

mod in_memory;
#[cfg(feature = "bench")]
pub(crate) mod server;

pub(crate) use in_memory::{InMemory, MemoryStream};
