//! The two lists between the threads: commands for the driver, which sleeps in its poll while there are none, and notices for the game,
//! which checks often or waits for them.
//!
//! `tests/model` tries all interleavings of the threads.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A list that threads fill and the driver empties.
///
/// The driver must not miss an entry that is added while it goes to sleep. Waking it is a system call, so the first thread that finds it
/// asleep wakes it, once.
pub(crate) struct CommandQueue<L> {
    list: Mutex<L>,
    /// The driver sleeps, or is about to, so the next command has to wake it. Always swapped, never stored, so that all threads see its
    /// changes in one order.
    sleeping: AtomicBool,
}

impl<L> CommandQueue<L> {
    pub(crate) fn new(list: L) -> Self {
        Self { list: Mutex::new(list), sleeping: AtomicBool::new(false) }
    }

    /// Any thread: adds to the list. Returns true if the driver sleeps and the caller has to wake it.
    #[must_use]
    pub(crate) fn push(&self, act: impl FnOnce(&mut L)) -> bool {
        self.with(act);
        self.must_wake()
    }

    /// Any thread: adds to the list what the driver is not to have yet. The list knows that, and a later push makes it due.
    pub(crate) fn hold(&self, act: impl FnOnce(&mut L)) {
        self.with(act);
    }

    /// Returns whether the driver sleeps, and nobody has woken it.
    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.sleeping.load(Ordering::SeqCst)
    }

    /// Any thread: the driver is needed for something that is not in the list. Returns true if the caller has to wake it.
    #[must_use]
    pub(crate) fn force_wake(&self) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        self.must_wake()
    }

    /// Driver: takes the list.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        self.with(act);
    }

    /// Driver: about to sleep. Returns false if there are commands that are due, so that it must not sleep.
    #[must_use]
    pub(crate) fn may_sleep(&self, is_due: impl FnOnce(&L) -> bool) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        let due = self.with(|list| is_due(list));
        if due {
            self.awake();
        }
        !due
    }

    /// Driver: does not sleep any more.
    pub(crate) fn awake(&self) {
        self.sleeping.swap(false, Ordering::SeqCst);
    }

    fn must_wake(&self) -> bool {
        // The list's lock orders this check and the driver's last check of the list, so a write is not needed.
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst)
    }

    /// A panic while the lock was held leaves a valid list, because it is only pushed to and swapped.
    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut L) -> R) -> R {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A list that the driver fills, and that the game's thread takes as a whole.
pub(crate) struct NoticeQueue<L> {
    contents: Mutex<Contents<L>>,
    /// The list is not empty; changed under the lock. Most checks find nothing, and a thread that checks often must not keep the other one
    /// from the lock.
    filled: AtomicBool,
    arrived: Condvar,
}

struct Contents<L> {
    list: L,
    /// The game's thread waits. Waking it is a system call, which is made only then.
    awaited: bool,
}

impl<L: Default> Default for NoticeQueue<L> {
    fn default() -> Self {
        Self {
            contents: Mutex::new(Contents { list: L::default(), awaited: false }),
            filled: AtomicBool::new(false),
            arrived: Condvar::new(),
        }
    }
}

impl<L> NoticeQueue<L> {
    /// Driver: adds to the list, and wakes the game's thread if it waits.
    pub(crate) fn push(&self, act: impl FnOnce(&mut L)) {
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

    /// Game: takes the list if it is not empty.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        if self.is_filled() {
            let mut contents = self.lock();
            act(&mut contents.list);
            self.filled.store(false, Ordering::Release);
        }
    }

    /// Game: waits until the list is not empty, for `timeout` at most. Returns whether it is not empty.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let is_empty = |contents: &mut Contents<L>| {
            contents.awaited = !self.is_filled();
            contents.awaited
        };
        let waited = self.arrived.wait_timeout_while(self.lock(), timeout, is_empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.awaited = false;
        self.is_filled()
    }

    /// Any thread: returns whether the list is not empty.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// A panic while the lock was held leaves a valid list, because it is only pushed to and swapped.
    fn lock(&self) -> MutexGuard<'_, Contents<L>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
