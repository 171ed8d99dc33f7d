//! The list of all objects, for what looks at them from the side: monitors and the debugger.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::{Rc, Weak};
use std::time::Duration;

use websocket_multiplayer_core::{Observer, Statistics};

use crate::report::Kind;

/// What one object shows of itself. Reading it borrows nothing of the object, so that a handler, or whatever prints an
/// error line, may ask for a monitor.
pub(crate) struct Watched {
    pub(crate) kind: Kind,
    /// Tells objects apart, also those that are gone.
    pub(crate) number: u64,
    pub(crate) observer: Observer,
    poll_time: Cell<Duration>,
    /// The last opening in which it was said that nobody polls.
    warned: Cell<Option<u64>>,
}

impl Watched {
    /// Puts a new object on the list.
    pub(crate) fn new(kind: Kind, observer: Observer) -> Rc<Self> {
        let number = NEXT.replace(NEXT.get() + 1);
        let watched =
            Rc::new(Self { kind, number, observer, poll_time: Cell::default(), warned: Cell::default() });
        ALL.with_borrow_mut(|all| {
            if all.len() == all.capacity() {
                all.retain(|one| one.strong_count() > 0);
            }
            all.push(Rc::downgrade(&watched));
        });
        watched
    }

    pub(crate) fn add_poll_time(&self, more: Duration) {
        self.poll_time.set(self.poll_time.get() + more);
    }

    pub(crate) fn reset_poll_time(&self) {
        self.poll_time.set(Duration::ZERO);
    }

    /// Says whether this is still to be warned of; once in each opening.
    pub(crate) fn warns_of(&self, opening: u64) -> bool {
        self.warned.replace(Some(opening)) != Some(opening)
    }

    /// Completes the core's figures with the one that only the extension measures.
    pub(crate) fn complete(&self, statistics: Statistics) -> Statistics {
        let poll_usec = u64::try_from(self.poll_time.get().as_micros()).unwrap_or(u64::MAX);
        Statistics { poll_usec, ..statistics }
    }
}

/// All objects that are open, with the number of their opening.
pub(crate) fn open_objects() -> Vec<(Rc<Watched>, u64)> {
    ALL.with_borrow(|all| {
        let objects = all.iter().filter_map(Weak::upgrade);
        objects.filter_map(|object| object.observer.generation().map(|opening| (object, opening))).collect()
    })
}

/// Gives the list's memory back, when the library goes.
pub(crate) fn forget() {
    ALL.with_borrow_mut(|all| drop(std::mem::take(&mut **all)));
}

thread_local! {
    // Not dropped with the thread, which would keep the library from being unloaded.
    static ALL: RefCell<ManuallyDrop<Vec<Weak<Watched>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}
