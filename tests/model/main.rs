//! What both threads touch without a common lock, tried in every order in which they can meet.
//!
//! The product's own files are compiled here with types that record each access; the model runs each body once for every
//! possible interleaving, and reports a thread that sleeps for ever as a deadlock.

#![allow(dead_code, reason = "a model uses only a part of the files under test")]

mod sync {
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    }
}

#[path = "../../rust/core/src/channel/backpressure.rs"]
mod backpressure;
#[path = "../../rust/core/src/budget.rs"]
mod budget;
#[path = "../../rust/core/src/net/inbox.rs"]
mod inbox;
#[path = "../../rust/core/src/net/outlet.rs"]
mod outlet;

mod room;
mod sleep;
mod wait;

/// Tries all orders in which threads change over at most three times where they need not; more find nothing new and take hours.
fn explore(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}
