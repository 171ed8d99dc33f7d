//! All I/O threads of the process: started here, and joined before the library goes.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::checks::{self, Check, Checks};
use super::mailbox::{Command, Mailbox};
use crate::budget::QueueTotals;
use crate::tls::{TlsClient, TlsClients, TlsError, Trust};

/// The I/O threads and queues of a process. Make one, and [`shutdown`](Self::shutdown) it before the library is unloaded.
pub struct Runtime {
    threads: Mutex<Vec<Running>>,
    pub(crate) queue_totals: QueueTotals,
    tls_clients: TlsClients,
    checks: Arc<Checks>,
}

struct Running {
    thread: JoinHandle<()>,
    /// Look-ups of names and checks of certificates have none: the system cannot be asked to hurry. A driver that has ended takes its own with it.
    mailbox: Option<Weak<Mailbox>>,
}

impl Runtime {
    /// A runtime without threads, and a bound of 512 MiB for all queues together.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            threads: Mutex::default(),
            queue_totals: QueueTotals::new(QUEUES_LIMIT),
            tls_clients: TlsClients::default(),
            checks: Arc::default(),
        })
    }

    /// Bounds the bytes that all queues of the process hold, half of them for each direction.
    pub fn set_total_queue_limit(&self, bytes: usize) {
        self.queue_totals.set_limit(bytes);
    }

    /// As [`TlsClient::new`]; a connection to a server that was met before under the same trust resumes that session, which
    /// saves both sides most of the handshake.
    ///
    /// # Errors
    /// As [`TlsClient::new`].
    pub fn tls_client(&self, trust: Trust<'_>, name_override: Option<&str>) -> Result<TlsClient, TlsError> {
        self.tls_clients.client(trust, name_override)
    }

    /// Bytes that all queues of the process hold; what several peers are sent together counts once. What waits to be read counts
    /// in steps of 4 KiB.
    pub fn queued_bytes(&self) -> usize {
        self.queue_totals.bytes()
    }

    /// I/O threads that have not ended.
    pub fn thread_count(&self) -> usize {
        self.lock().iter().filter(|running| !running.thread.is_finished()).count()
    }

    /// Ends all I/O threads: what is queued leaves and connections are closed, within `timeout` in total.
    ///
    /// A look-up of a host name that the system has not answered by then is left behind with a warning.
    pub fn shutdown(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut threads = std::mem::take(&mut *self.lock());
        for mailbox in threads.iter().filter_map(|running| running.mailbox.as_ref()?.upgrade()) {
            mailbox.hurry(deadline);
        }
        while !threads.is_empty() {
            for running in threads {
                // A driver ends by itself; only what waits for the system has to be waited for with a limit.
                while running.mailbox.is_none() && !running.thread.is_finished() && Instant::now() < deadline
                {
                    thread::sleep(Duration::from_millis(5));
                }
                if running.mailbox.is_some() || running.thread.is_finished() {
                    // A panic inside was reported when it happened.
                    let _ = running.thread.join();
                } else {
                    log::warn!(
                        "a look-up of a host name or a check of a certificate did not end before the library was unloaded"
                    );
                }
            }
            // What a driver has started before it ended.
            threads = std::mem::take(&mut *self.lock());
        }
    }

    /// Starts a thread that asks the system for a host's addresses. Nothing can end it before it is answered, and a game may try
    /// again and again.
    pub(super) fn look_up(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let unanswered = |running: &&Running| {
            running.thread.thread().name() == Some(LOOK_UP) && !running.thread.is_finished()
        };
        if self.lock().iter().filter(unanswered).count() >= LOOKUPS {
            return Err(io::Error::other(format!(
                "the system has not answered {LOOKUPS} look-ups of host names yet; try again later"
            )));
        }
        self.spawn(LOOK_UP, None, work)
    }

    /// Goes on with a handshake elsewhere: the answer is a [`Command::Checked`].
    pub(super) fn check(&self, check: Check) {
        if !self.checks.add(check) {
            return;
        }
        if let Err(error) = self.spawn("websocket-tls", None, checks::start(&self.checks)) {
            log::error!("cannot start a thread to check a certificate: {error}");
            for check in self.checks.not_started() {
                if let Some(mailbox) = check.mailbox.upgrade() {
                    mailbox.command(Command::Checked { conn: check.conn, session: None });
                }
            }
        }
    }

    pub(super) fn spawn(
        &self,
        name: &str,
        mailbox: Option<Weak<Mailbox>>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work)?;
        let mut threads = self.lock();
        threads.retain(|running| !running.thread.is_finished());
        threads.push(Running { thread, mailbox });
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("threads", &self.thread_count()).finish_non_exhaustive()
    }
}

/// What a thread is called that looks up a name.
const LOOK_UP: &str = "websocket-dns";
/// Look-ups of host names under way.
pub(crate) const LOOKUPS: usize = 16;
/// Bytes of stack; no call of ours is deep.
const STACK: usize = 512 * 1024;
/// Bytes that may wait in all queues together.
pub(crate) const QUEUES_LIMIT: usize = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn look_ups_that_are_not_answered_are_bounded() {
        let runtime = Runtime::new();
        let mut ends = Vec::new();
        for _ in 0..LOOKUPS {
            let (end, wait) = mpsc::channel::<()>();
            let until_ended = move || {
                let _ = wait.recv();
            };
            runtime.look_up(until_ended).expect("there is room");
            ends.push(end);
        }
        let refused = runtime.look_up(|| {}).expect_err("one too many");
        assert!(refused.to_string().contains("16 look-ups"), "{refused}");
        ends.pop();
        let start = Instant::now();
        while runtime.look_up(|| {}).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "the place of an answered one is free");
            thread::yield_now();
        }
        drop(ends);
        runtime.shutdown(Duration::from_secs(60));
        assert_eq!(runtime.thread_count(), 0);
    }
}
