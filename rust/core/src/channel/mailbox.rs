//! The two lists between the game's thread and the driver's: commands one way, notices the other.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use super::budget::QueueTotal;
use super::command::{Command, CommandBatch, TakenCommands};
use super::complaint::Complaint;
use super::counters::Counters;
use super::notice::Notice;
use super::outbound::{Form, PayloadRef};
use super::queue::{CommandQueue, NoticeQueue};
use crate::base::{CloseReason, ConnId};
use crate::config::PeerConfig;

/// Ends the sleep of a driver, from any thread.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self) -> io::Result<()>;
}

/// A waker for a driver that a test calls, so that nothing sleeps.
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
    /// Driver: the payload memory to keep for the next batch, in bytes.
    payloads_kept: AtomicUsize,
    /// Called only when the driver sleeps.
    driver: Box<dyn Wake>,
    started: Instant,
    /// When the game polled last, in milliseconds after `started`.
    polled: AtomicU64,
    /// The deadline of the driver when the library is unloaded.
    shutdown: Mutex<Option<Instant>>,
    pub(crate) counters: Arc<Counters>,
    /// The bytes in all queues of the process that wait to be sent.
    pub(crate) queue_total: Arc<QueueTotal>,
    complaint: Mutex<Complaint>,
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
            complaint: Mutex::default(),
        }
    }

    /// Game thread: queues a command, and wakes the driver if it sleeps.
    pub(crate) fn command(&self, command: Command) {
        if self.commands.push(|batch| batch.push(command)) {
            self.wake();
        }
    }

    /// Game thread: queues a command that the driver gets together with the next one, or at [`release`](Self::release).
    pub(crate) fn hold(&self, command: Command) {
        self.commands.hold(|batch| batch.hold(command));
    }

    /// Game thread: lets the driver have the commands that are held, and wakes it if it sleeps.
    pub(crate) fn release(&self) {
        if self.commands.push(CommandBatch::release) {
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
    pub(crate) fn send(&self, to: ConnId, payload: PayloadRef<'_>, form: Form) {
        if self.commands.push(|batch| batch.send(to, payload, form)) {
            self.wake();
        }
    }

    /// Game thread: the same packet to several peers.
    pub(crate) fn send_many(&self, to: Arc<Vec<ConnId>>, payload: PayloadRef<'_>, form: Form) {
        if self.commands.push(|batch| batch.send_many(to, payload, form)) {
            self.wake();
        }
    }

    /// Any thread: logs, at intervals, that the process had no room for a packet.
    #[cold]
    pub(crate) fn complain(&self, now: Instant) {
        if lock(&self.complaint).is_due(now) {
            self.queue_total.complain();
        }
    }

    /// Game thread: notes a poll.
    pub(crate) fn note_poll(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.polled.fetch_max(since.as_millis() as u64, Ordering::Relaxed);
    }

    /// Any thread: returns how long the game has not polled while notices wait; `None` if none wait.
    pub(crate) fn neglected(&self, now: Instant) -> Option<Duration> {
        self.notices.is_filled().then(|| self.main_thread_idle(now))
    }

    /// Any thread: returns how long the game has not polled.
    pub(crate) fn main_thread_idle(&self, now: Instant) -> Duration {
        let polled = Duration::from_millis(self.polled.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(polled)
    }

    /// Game thread: takes all notices; `into` must be empty.
    pub(crate) fn take_notices(&self, into: &mut Vec<Notice>) {
        self.notices.take(|notices| mem::swap(notices, into));
    }

    /// Game thread: returns whether there are notices.
    pub(crate) fn has_notices(&self) -> bool {
        self.notices.is_filled()
    }

    /// Game thread: waits until there are notices, for `timeout` at most. Returns whether there are.
    pub(crate) fn wait_for_notices(&self, timeout: Duration) -> bool {
        self.notices.wait(timeout)
    }

    /// Any thread: makes the driver end by `deadline`, even with open connections.
    pub(crate) fn shut_down(&self, deadline: Instant) {
        *lock(&self.shutdown) = Some(deadline);
        self.release();
        self.force_wake();
    }

    /// Any thread: wakes the driver for something other than a command.
    pub(crate) fn force_wake(&self) {
        if self.commands.force_wake() {
            self.wake();
        }
    }

    /// Driver: returns by when it has to end.
    pub(crate) fn shutdown_deadline(&self) -> Option<Instant> {
        *lock(&self.shutdown)
    }

    /// Driver: takes all commands, unless they are only held; those taken before must be executed.
    pub(crate) fn take_commands(&self, taken: &mut TakenCommands) {
        let kept = self.payloads_kept.load(Ordering::Relaxed);
        let size = taken.swap(&self.commands, kept);
        // Most rounds have few payloads or none, so the memory of a burst shrinks over several rounds.
        let kept = (kept - kept / 256).max(size).clamp(PAYLOADS_KEPT.start, PAYLOADS_KEPT.end);
        self.payloads_kept.store(kept, Ordering::Relaxed);
    }

    /// Driver: about to sleep. Returns false if commands are due, so that it must not sleep.
    pub(crate) fn may_sleep(&self) -> bool {
        self.commands.may_sleep(CommandBatch::is_due)
    }

    /// Returns whether the driver sleeps, and nobody has woken it.
    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.commands.is_asleep()
    }

    /// Driver: does not sleep any more.
    pub(crate) fn awake(&self) {
        self.commands.awake();
    }

    /// Driver: delivers the notices of a round at once.
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

    /// Driver: reports its failure as the last notice.
    pub(crate) fn deliver_failure(&self, what: String) {
        self.notices.push(|notices| notices.push(Notice::DriverFailed(CloseReason::TransportError(what))));
    }

    fn wake(&self) {
        if let Err(error) = self.driver.wake() {
            log::error!("cannot wake the I/O thread: {error}");
        }
    }
}

/// Bounds of the memory that is kept for the next commands: enough to be useful, but not the memory of a burst.
const PAYLOADS_KEPT: Range<usize> = 64 * 1024..4 * 1024 * 1024;
/// The capacity that an empty list keeps, in commands, notices or packets; a larger one was needed in a burst only.
pub(crate) const KEPT: usize = 4096;

/// A panic while the lock was held leaves a valid value, because the change is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
