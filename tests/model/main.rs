//! The code that both threads run without a common lock, in every possible interleaving.
//!
//! The product's own files are compiled here with types that record each access. The model runs each test once for every possible
//! interleaving, and reports a thread that never wakes up as a deadlock.

#![allow(dead_code, reason = "a model uses only a part of the files under test")]

mod sync {
    use std::sync::LockResult;
    use std::time::Duration;

    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    /// The model has no time: a wait that nothing ends is reported as a deadlock.
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait_timeout_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            _timeout: Duration,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            while condition(&mut guard) {
                guard = self.0.wait(guard).expect("nobody panics with it");
            }
            Ok((guard, ()))
        }
    }

    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
    }
}

#[path = "../../rust/core/src/channel/backpressure.rs"]
mod backpressure;
#[path = "../../rust/core/src/channel/budget.rs"]
mod budget;
#[path = "../../rust/core/src/channel/queue.rs"]
mod queue;

mod room;
mod sleep;
mod wait;

/// Tries all interleavings with at most three preemptions; more find nothing new and take hours.
fn explore(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}
