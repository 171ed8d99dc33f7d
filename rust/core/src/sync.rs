//! Types for two threads, under one name. `tests/model` compiles the same code with loom's types, which try every order of events.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
}
