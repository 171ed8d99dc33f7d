//! The two lists between the game's thread and the driver's: commands one way, notices the other.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use super::budget::QueueTotal;
use super::command::{Command, CommandBatch, TakenCommands};
use super::counters::Counters;
use super::notice::Notice;
use super::outbound::PayloadRef;
use super::queue::{CommandQueue, NoticeQueue};
use crate::base::{CloseReason, ConnId};
use crate::config::PeerConfig;

/// Ends the sleep of a driver, from any thread.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self) -> io::Result<()>;
}

/// Nobody sleeps who would have to be woken: the driver is called by hand.
#[cfg(any(test, fuzzing, feature = "bench"))]
pub(crate) struct NeverAsleep;

#[cfg(any(test, fuzzing, feature = "bench"))]
impl Wake for NeverAsleep {
    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Shared by one [`Peer`](crate::Peer) and its driver.
pub(crate) struct Mailbox {
    commands: CommandQueue<CommandBatch>,
    notices: NoticeQueue<Vec<Notice>>,
    /// Driver: bytes of memory that the next payloads are given.
    payloads_kept: AtomicUsize,
    /// Called only when the driver sleeps.
    driver: Box<dyn Wake>,
    started: Instant,
    /// Milliseconds after `started` at which the game polled last.
    polled: AtomicU64,
    /// The library is being unloaded: end by then.
    shutdown: Mutex<Option<Instant>>,
    pub(crate) counters: Arc<Counters>,
    /// What all queues of the process hold that waits to be sent.
    pub(crate) queue_total: Arc<QueueTotal>,
}

impl Mailbox {
    pub(crate) fn new(
        driver: Box<dyn Wake>,
        counters: Arc<Counters>,
        queue_total: &Arc<QueueTotal>,
        now: Instant,
    ) -> Self {
        Self {
            commands: CommandQueue::new(CommandBatch::new(queue_total)),
            notices: NoticeQueue::default(),
            payloads_kept: AtomicUsize::new(0),
            driver,
            started: now,
            polled: AtomicU64::new(0),
            shutdown: Mutex::default(),
            counters,
            queue_total: Arc::clone(queue_total),
        }
    }

    /// Game thread: gives the driver something to do, and wakes it if it sleeps.
    pub(crate) fn command(&self, command: Command) {
        if self.commands.push(|batch| batch.push(command)) {
            self.wake();
        }
    }

    /// Game thread: the same for a configuration.
    pub(crate) fn configure(&self, config: PeerConfig) {
        if self.commands.push(|batch| batch.configure(config)) {
            self.wake();
        }
    }

    /// Game thread: the same for packets.
    #[inline]
    pub(crate) fn send(&self, to: ConnId, payload: PayloadRef<'_>, text: bool) {
        if self.commands.push(|batch| batch.send(to, payload, text)) {
            self.wake();
        }
    }

    /// Game thread: the same packet to many.
    pub(crate) fn send_many(&self, to: Arc<Vec<ConnId>>, payload: PayloadRef<'_>, text: bool) {
        if self.commands.push(|batch| batch.send_many(to, payload, text)) {
            self.wake();
        }
    }

    /// Game thread: it polls.
    pub(crate) fn note_poll(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.polled.fetch_max(since.as_millis() as u64, Ordering::Relaxed);
    }

    /// Any thread: for how long the game has not taken what waits for it; `None` when nothing does.
    pub(crate) fn neglected(&self, now: Instant) -> Option<Duration> {
        self.notices.is_filled().then(|| self.main_thread_idle(now))
    }

    /// Any thread: for how long the game has not polled.
    pub(crate) fn main_thread_idle(&self, now: Instant) -> Duration {
        let polled = Duration::from_millis(self.polled.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(polled)
    }

    /// Game thread: takes all notices; `into` must be empty.
    pub(crate) fn take_notices(&self, into: &mut Vec<Notice>) {
        self.notices.take(|notices| mem::swap(notices, into));
    }

    /// Game thread: says whether there are notices.
    pub(crate) fn has_notices(&self) -> bool {
        self.notices.is_filled()
    }

    /// Game thread: waits until there are notices, at most for `timeout`; says whether there are.
    pub(crate) fn wait_for_notices(&self, timeout: Duration) -> bool {
        self.notices.wait(timeout)
    }

    /// Any thread: the driver ends by `deadline` whatever is still open.
    pub(crate) fn shut_down(&self, deadline: Instant) {
        *lock(&self.shutdown) = Some(deadline);
        self.force_wake();
    }

    /// Any thread: the driver is wanted for something that is no command.
    pub(crate) fn force_wake(&self) {
        if self.commands.force_wake() {
            self.wake();
        }
    }

    /// Driver: by when the library wants to be rid of it.
    pub(crate) fn shutdown_deadline(&self) -> Option<Instant> {
        *lock(&self.shutdown)
    }

    /// Driver: takes all commands; those that it took before must be done.
    pub(crate) fn take_commands(&self, taken: &mut TakenCommands) {
        let kept = self.payloads_kept.load(Ordering::Relaxed);
        let size = taken.swap(&self.commands, kept);
        // Most rounds have few payloads, or none: those of a burst do not come in each.
        let kept = (kept - kept / 256).max(size).clamp(PAYLOADS_KEPT.start, PAYLOADS_KEPT.end);
        self.payloads_kept.store(kept, Ordering::Relaxed);
    }

    /// Driver: about to sleep. False: there are commands, so do not.
    pub(crate) fn may_sleep(&self) -> bool {
        self.commands.may_sleep(CommandBatch::is_empty)
    }

    /// Driver: not sleeping any more.
    pub(crate) fn awake(&self) {
        self.commands.awake();
    }

    /// Driver: delivers a turn's notices in one go.
    pub(crate) fn deliver(&self, batch: &mut Vec<Notice>) {
        if batch.is_empty() {
            return;
        }
        self.notices.push(|notices| {
            if notices.is_empty() {
                mem::swap(notices, batch);
            } else {
                notices.append(batch);
            }
        });
        if batch.capacity() > KEPT {
            batch.shrink_to(KEPT);
        }
    }

    /// Driver: its last words, when nothing else can be said any more.
    pub(crate) fn deliver_failure(&self, what: String) {
        self.notices.push(|notices| notices.push(Notice::DriverFailed(CloseReason::TransportError(what))));
    }

    fn wake(&self) {
        if let Err(error) = self.driver.wake() {
            log::error!("cannot wake the I/O thread: {error}");
        }
    }
}

/// Memory that is kept for the next commands: not so little that it is of no use, nor so much of a burst that it hurts.
const PAYLOADS_KEPT: Range<usize> = 64 * 1024..4 * 1024 * 1024;
/// Commands, notices or packets that a list which is empty has room for: more was needed in a burst only.
pub(crate) const KEPT: usize = 4096;

/// A panic while the lock was held leaves a value that is still whole: it is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
