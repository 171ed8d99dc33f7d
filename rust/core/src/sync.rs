//! What two threads share, by one name: `tests/model` compiles the code that uses it with other types in their place, which
//! try every order of events.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}
