//! A list that one thread fills and another empties, which sleeps while it is empty and must not miss what comes meanwhile.
//!
//! `tests/model` tries all orders in which the threads can meet here.

use std::sync::PoisonError;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The list, and whether its reader sleeps.
pub(crate) struct Inbox<L> {
    list: Mutex<L>,
    /// The reader sleeps, or is about to: the next item has to wake it. Swapped, never just stored, so that all threads see one
    /// order of its changes.
    sleeping: AtomicBool,
}

impl<L> Inbox<L> {
    pub(crate) fn new(list: L) -> Self {
        Self { list: Mutex::new(list), sleeping: AtomicBool::new(false) }
    }

    /// Any thread: adds to the list. True: the reader sleeps, and the caller has to wake it.
    #[must_use]
    pub(crate) fn add(&self, act: impl FnOnce(&mut L)) -> bool {
        self.with(act);
        self.must_wake()
    }

    /// Any thread: the reader is wanted for something that is not in the list. True: the caller has to wake it.
    #[must_use]
    pub(crate) fn urge(&self) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        self.must_wake()
    }

    /// Reader: takes what is there.
    pub(crate) fn take(&self, act: impl FnOnce(&mut L)) {
        self.with(act);
    }

    /// Reader: about to sleep. False: there is something, so do not.
    #[must_use]
    pub(crate) fn may_sleep(&self, is_empty: impl FnOnce(&L) -> bool) -> bool {
        self.sleeping.swap(true, Ordering::SeqCst);
        let empty = self.with(|list| is_empty(list));
        if !empty {
            self.awake();
        }
        empty
    }

    /// Reader: not sleeping any more.
    pub(crate) fn awake(&self) {
        self.sleeping.swap(false, Ordering::SeqCst);
    }

    fn must_wake(&self) -> bool {
        // The list's lock orders this look against the reader's last look at the list: no need to write in vain.
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst)
    }

    /// A panic while the lock was held leaves a list that is still whole: nothing but pushing and swapping is done with it.
    #[inline]
    fn with<R>(&self, act: impl FnOnce(&mut L) -> R) -> R {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
