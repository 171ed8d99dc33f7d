//! The two lists between the threads: commands to the driver, which sleeps in its poll while there are none, and notices to the
//! game, which looks in often or waits for them.
//!
//! `tests/model` tries all orders in which the threads can meet here.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A list that threads fill and the driver empties.
///
/// The driver must not miss what comes while it goes to sleep, and waking it is a system call: it is woken once, by whoever finds
/// it asleep.
pub(crate) struct CommandQueue<L> {
    list: Mutex<L>,
    /// The driver sleeps, or is about to: the next command has to wake it. Swapped, never just stored, so that all threads see one
    /// order of its changes.
    sleeping: AtomicBool,
}

impl<L> CommandQueue<L> {
    pub(crate) fn new(list: L) -> Self {
        Self { list: Mutex::new(list), sleeping: AtomicBool::new(false) }
    }

    /// Any thread: adds to the list. True: the driver sleeps, and the caller has to wake it.
    #[must_use]
    pub(crate) fn push(&self, act: impl FnOnce(&mut L)) -> bool {
        self.with(act);
        self.must_wake()
    }

    /// Any thread: the driver is wanted for something that is not in the list. True: the caller has to wake it.
    #[must_use]
    pub(crate) fn force_wake(&self) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        self.must_wake()
    }

    /// Driver: takes what is there.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        self.with(act);
    }

    /// Driver: about to sleep. False: there are commands, so do not.
    #[must_use]
    pub(crate) fn may_sleep(&self, is_empty: impl FnOnce(&L) -> bool) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        let empty = self.with(|list| is_empty(list));
        if !empty {
            self.awake();
        }
        empty
    }

    /// Driver: not sleeping any more.
    pub(crate) fn awake(&self) {
        self.sleeping.swap(false, Ordering::SeqCst);
    }

    fn must_wake(&self) -> bool {
        // The list's lock orders this look against the driver's last look at the list: no need to write in vain.
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst)
    }

    /// A panic while the lock was held leaves a list that is still whole: nothing but pushing and swapping is done with it.
    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut L) -> R) -> R {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A list that the driver fills and the game's thread takes whole.
pub(crate) struct NoticeQueue<L> {
    contents: Mutex<Contents<L>>,
    /// There is something; changed under the lock. Most looks find nothing, and a thread that looks all the time must not keep
    /// the other one from the lock.
    filled: AtomicBool,
    arrived: Condvar,
}

struct Contents<L> {
    list: L,
    /// The game's thread waits: to wake it is a system call, which is made for no other reason.
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

    /// Game: takes all that is there, if there is anything.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        if self.is_filled() {
            let mut contents = self.lock();
            act(&mut contents.list);
            self.filled.store(false, Ordering::Release);
        }
    }

    /// Game: waits until there is something to take, at most for `timeout`; says whether there is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let is_empty = |contents: &mut Contents<L>| {
            contents.awaited = !self.is_filled();
            contents.awaited
        };
        let waited = self.arrived.wait_timeout_while(self.lock(), timeout, is_empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.awaited = false;
        self.is_filled()
    }

    /// Any thread: says whether there is something to take.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// A panic while the lock was held leaves a list that is still whole: nothing but pushing and swapping is done with it.
    fn lock(&self) -> MutexGuard<'_, Contents<L>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
