//! The list of all objects, for the monitors and the debugger.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::{Rc, Weak};
use std::time::Duration;

use websocket_multiplayer_core::Observer;

use crate::report::Kind;

/// What the monitors and the debugger read of one object. Reading it does not borrow the object, so that signal handlers and loggers
/// can read a monitor.
pub(crate) struct RegistryEntry {
    pub(crate) kind: Kind,
    /// Identifies the object; never used again.
    pub(crate) number: u64,
    pub(crate) observer: Observer,
    poll_time: Cell<Duration>,
    /// The last opening for which the watchdog has warned.
    warned: Cell<Option<u64>>,
}

impl RegistryEntry {
    /// Adds a new object to the list.
    pub(crate) fn new(kind: Kind, observer: Observer) -> Rc<Self> {
        let number = NEXT.replace(NEXT.get() + 1);
        let entry =
            Rc::new(Self { kind, number, observer, poll_time: Cell::default(), warned: Cell::default() });
        ENTRIES.with_borrow_mut(|all| {
            if all.len() == all.capacity() {
                all.retain(|one| one.strong_count() > 0);
            }
            all.push(Rc::downgrade(&entry));
        });
        entry
    }

    pub(crate) fn add_poll_time(&self, more: Duration) {
        let total = self.poll_time.get() + more;
        self.poll_time.set(total);
        self.observer.set_poll_time(total);
    }

    pub(crate) fn reset_poll_time(&self) {
        self.poll_time.set(Duration::ZERO);
    }

    /// Returns `true` once for each opening: a warning is due.
    pub(crate) fn should_warn(&self, opening: u64) -> bool {
        self.warned.replace(Some(opening)) != Some(opening)
    }
}

/// Returns all open objects, with the number of their opening.
pub(crate) fn open_objects() -> Vec<(Rc<RegistryEntry>, u64)> {
    ENTRIES.with_borrow(|all| {
        let objects = all.iter().filter_map(Weak::upgrade);
        objects.filter_map(|object| object.observer.generation().map(|opening| (object, opening))).collect()
    })
}

/// Frees the list, when the library is unloaded.
pub(crate) fn clear() {
    ENTRIES.with_borrow_mut(|all| drop(std::mem::take(&mut **all)));
}

thread_local! {
    // Not dropped with the thread, which would keep the library from being unloaded.
    static ENTRIES: RefCell<ManuallyDrop<Vec<Weak<RegistryEntry>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}
