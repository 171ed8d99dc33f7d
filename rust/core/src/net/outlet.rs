//! What one thread brings and another takes, looking in often or waiting for it.
//!
//! `tests/model` tries all orders in which the threads can meet here.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A list that one thread fills and one other takes whole.
pub(crate) struct Outlet<L> {
    contents: Mutex<Contents<L>>,
    /// There is something; changed under the lock. Most looks find nothing, and a thread that looks all the time must not keep
    /// the other one from the lock.
    filled: AtomicBool,
    arrived: Condvar,
}

struct Contents<L> {
    list: L,
    /// The taker waits: to tell it is a system call, which nobody else has to pay.
    awaited: bool,
}

impl<L: Default> Default for Outlet<L> {
    fn default() -> Self {
        Self {
            contents: Mutex::new(Contents { list: L::default(), awaited: false }),
            filled: AtomicBool::new(false),
            arrived: Condvar::new(),
        }
    }
}

impl<L> Outlet<L> {
    /// Bringer: adds to the list, and wakes the taker if it waits.
    pub(crate) fn bring(&self, act: impl FnOnce(&mut L)) {
        let awaited = {
            let mut contents = self.lock();
            act(&mut contents.list);
            self.filled.store(true, Ordering::Release);
            std::mem::take(&mut contents.awaited)
        };
        if awaited {
            self.arrived.notify_one();
        }
    }

    /// Taker: takes all that is there, if there is anything.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        if self.is_filled() {
            let mut contents = self.lock();
            act(&mut contents.list);
            self.filled.store(false, Ordering::Release);
        }
    }

    /// Taker: waits until there is something to take, at most until `deadline`; says whether there is.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let mut contents = self.lock();
        while !self.is_filled() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            contents.awaited = true;
            contents = self.sleep(contents, left);
        }
        contents.awaited = false;
        self.is_filled()
    }

    /// Any thread: says whether there is something to take.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    fn sleep<'a>(
        &self,
        contents: MutexGuard<'a, Contents<L>>,
        left: Duration,
    ) -> MutexGuard<'a, Contents<L>> {
        self.arrived.wait_timeout(contents, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A panic while the lock was held leaves a list that is still whole: nothing but pushing and swapping is done with it.
    fn lock(&self) -> MutexGuard<'_, Contents<L>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
