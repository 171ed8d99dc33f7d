//! The boundary between the engine and this library: which thread calls, how deeply calls are nested, and the work that is
//! deferred until nothing is borrowed.
//!
//! gdext borrows an object while one of its methods runs, and its classes belong to the main thread. Printing a line or freeing a
//! value of a script can run a script (a `Logger`, a destructor), and that script can call the same object. Both are therefore
//! deferred until the call that caused them has returned to `hooks`, just before the calling script continues.

mod default_result;
mod engine;
mod frames;
mod hooks;
mod methods;

use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

pub(crate) use frames::{connect, connect_to_frames, disconnect_from_frames};
pub(crate) use hooks::{intercept, release};
pub(crate) use methods::{Relayer, Relaying, find_methods, has_connections};

use crate::logging;

/// Makes the current thread the main thread. Android initializes the library on another thread than the one that runs the game.
pub(crate) fn enter_main_thread() {
    MAIN_THREAD.store(current_thread(), Ordering::Relaxed);
}

/// From now on no thread is the main thread, so no call reaches gdext.
fn leave_main_thread() {
    MAIN_THREAD.store(0, Ordering::Relaxed);
}

/// Whether this is the main thread.
#[inline]
pub(crate) fn is_main_thread() -> bool {
    current_thread() == MAIN_THREAD.load(Ordering::Relaxed)
}

/// Frees a value of the game later, when nothing is borrowed: its destructor can be a script's.
pub(crate) fn free_later(value: impl Any) {
    TO_FREE.with_borrow_mut(|values| values.push(Box::new(value)));
    request_run();
}

/// Replaces a value, and frees the old one later.
pub(crate) fn replace<T: 'static>(place: &mut T, value: T) {
    free_later(std::mem::replace(place, value));
}

/// Requests a call of [`run_deferred`].
pub(crate) fn request_run() {
    RUN_REQUESTED.store(true, Ordering::Release);
}

/// Prints the waiting lines, and frees the waiting values and objects. Nothing may be borrowed.
pub(crate) fn run_deferred() {
    if !RUN_REQUESTED.swap(false, Ordering::AcqRel) {
        return;
    }
    // The caller is C++ code, into which a panic must not unwind.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        logging::flush();
        let values = TO_FREE.with_borrow_mut(|values| std::mem::take(&mut **values));
        drop(values);
        hooks::free_waiting();
    }));
}

/// One call of the engine into this library, on the main thread.
struct Call;

impl Call {
    /// `instance` is the address of the called object's Rust part.
    #[inline]
    fn begin(instance: usize) -> Self {
        // Only the main thread writes, so a load and a store are enough.
        let depth = DEPTH.load(Ordering::Relaxed);
        if let Some(place) = STACK.get(depth as usize) {
            place.store(instance, Ordering::Relaxed);
        }
        DEPTH.store(depth + 1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        DEPTH.store(DEPTH.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        if RUN_REQUESTED.load(Ordering::Relaxed) {
            run_deferred();
        }
    }
}

/// Whether the main thread is in a call of the engine.
fn in_call() -> bool {
    DEPTH.load(Ordering::Relaxed) > 0
}

/// Whether a call of this Rust part is running. For the main thread only.
fn is_in_call_of(instance: usize) -> bool {
    let depth = DEPTH.load(Ordering::Relaxed) as usize;
    // Calls that are nested more deeply are not recorded, so the answer is yes.
    STACK.get(..depth).is_none_or(|calls| calls.iter().any(|call| call.load(Ordering::Relaxed) == instance))
}

/// A number for the current thread; costs a few instructions.
#[inline]
fn current_thread() -> usize {
    THREAD_MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// The number of calls of the engine into this library, on the main thread, that have not returned. Not thread-local, because access
/// to thread-local memory costs more in a library that is loaded at run time.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// The Rust parts of these calls, the outermost first.
static STACK: [AtomicUsize; MAX_DEPTH] = [const { AtomicUsize::new(0) }; MAX_DEPTH];
/// Scripts nest calls less deeply than this, except in endless recursion.
const MAX_DEPTH: usize = 64;
static MAIN_THREAD: AtomicUsize = AtomicUsize::new(0);
/// A line, a value or an object waits for [`run_deferred`].
static RUN_REQUESTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static THREAD_MARK: u8 = const { 0 };
    // Not dropped with the thread, which would keep the library from being unloaded.
    static TO_FREE: RefCell<ManuallyDrop<Vec<Box<dyn Any>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}
