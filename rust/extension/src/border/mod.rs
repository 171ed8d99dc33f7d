//! Where the engine enters this library: on which thread, how deep, and what is to be done once nothing is borrowed any more.
//!
//! gdext borrows an object for as long as one of its methods runs, and its classes belong to the main thread. What prints a line
//! or lets go of a script's value may run a script (a `Logger`, a destructor), and that script may ask the same object for
//! something. Both therefore wait until the call that brought them about has returned to `hooks`, which is the last moment
//! before the script goes on.

mod default_result;
mod engine;
mod frames;
mod hooks;

use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

pub(crate) use frames::{connect_to_frames, disconnect_from_frames};
pub(crate) use hooks::{intercept, release};

use crate::logging;

/// Says which thread is the main one: this one. Android starts the library on another thread than it goes on with.
pub(crate) fn enter_main_thread() {
    MAIN_THREAD.store(current_thread(), Ordering::Relaxed);
}

/// No thread is the main one from now on: nothing reaches gdext any more.
fn leave_main_thread() {
    MAIN_THREAD.store(0, Ordering::Relaxed);
}

/// Whether this is the main thread.
#[inline]
pub(crate) fn is_main_thread() -> bool {
    current_thread() == MAIN_THREAD.load(Ordering::Relaxed)
}

/// Lets go of a value of the game, once nothing is borrowed: its destructor may be a script's.
pub(crate) fn free_later(value: impl Any) {
    TO_FREE.with_borrow_mut(|values| values.push(Box::new(value)));
    request_run();
}

/// Puts a value in the place of another one, which is let go.
pub(crate) fn replace<T: 'static>(place: &mut T, value: T) {
    free_later(std::mem::replace(place, value));
}

/// Something waits for [`run_deferred`].
pub(crate) fn request_run() {
    RUN_REQUESTED.store(true, Ordering::Release);
}

/// Prints and lets go of what waits. Nothing may be borrowed.
pub(crate) fn run_deferred() {
    if !RUN_REQUESTED.swap(false, Ordering::AcqRel) {
        return;
    }
    // Whoever calls is C++ code, which must not see a panic.
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
    /// `instance` is the address of the Rust part that is called.
    #[inline]
    fn begin(instance: usize) -> Self {
        // Only the main thread counts: this needs no more than a load and a store.
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

/// Whether one of the calls under way is one of this Rust part. Asked on the main thread.
fn is_in_call_of(instance: usize) -> bool {
    let depth = DEPTH.load(Ordering::Relaxed) as usize;
    // Of calls that are nested more deeply nothing is known.
    STACK.get(..depth).is_none_or(|calls| calls.iter().any(|call| call.load(Ordering::Relaxed) == instance))
}

/// Tells threads apart, and costs a few instructions.
#[inline]
fn current_thread() -> usize {
    THREAD_MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Calls of the engine into this library, on the main thread, that have not returned. Not thread-local, which costs more in a library
/// that is loaded late.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// Whose calls these are, the outermost first.
static STACK: [AtomicUsize; MAX_DEPTH] = [const { AtomicUsize::new(0) }; MAX_DEPTH];
/// Deeper than calls are nested by scripts that are not lost in recursion.
const MAX_DEPTH: usize = 64;
static MAIN_THREAD: AtomicUsize = AtomicUsize::new(0);
/// A line, a value or an object waits.
static RUN_REQUESTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static THREAD_MARK: u8 = const { 0 };
    // Not dropped with the thread, which would keep the library from being unloaded.
    static TO_FREE: RefCell<ManuallyDrop<Vec<Box<dyn Any>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}
