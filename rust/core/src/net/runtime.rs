//! All I/O threads of the process: they start here, and are joined before the library is unloaded.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::checks::{self, Check, Checks};
use super::listener::Unsent;
use crate::channel::{Command, Mailbox, QueueTotals};
use crate::tls::{TlsClient, TlsClients, TlsError, Trust};

/// The I/O threads and queues of a process. Make one, and [`shutdown`](Self::shutdown) it before the library is unloaded.
pub struct Runtime {
    threads: Mutex<Vec<Running>>,
    pub(crate) queue_totals: QueueTotals,
    tls_clients: TlsClients,
    checks: Arc<Checks>,
    library: Option<Library>,
    unsent: Unsent,
}

/// What a library that can be unloaded does for the core, which has no unsafe code.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// Keeps the library's code in memory until the process ends, also if something unloads the library.
    pub keep_loaded: fn() -> io::Result<()>,
    /// Sets `TCP_NOTSENT_LOWAT` of a connected socket.
    #[cfg(target_vendor = "apple")]
    pub limit_unsent: fn(std::os::fd::BorrowedFd<'_>, u32) -> io::Result<()>,
}

struct Running {
    thread: JoinHandle<()>,
    /// `None` for name look-ups and certificate checks, which the system does not cut short. Gone with a driver that has ended.
    mailbox: Option<Weak<Mailbox>>,
}

impl Runtime {
    /// Returns a runtime without threads, with a limit of 512 MiB for all queues together.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(None, Unsent::DEFAULT))
    }

    /// The same for a library that may be unloaded while the process goes on.
    pub fn of_library(library: Library) -> Arc<Self> {
        #[cfg(target_vendor = "apple")]
        let unsent = Unsent::Asked(library.limit_unsent);
        #[cfg(not(target_vendor = "apple"))]
        let unsent = Unsent::DEFAULT;
        Arc::new(Self::with(Some(library), unsent))
    }

    /// The same, with the socket options of a system without `TCP_NOTSENT_LOWAT`.
    #[cfg(feature = "bench")]
    pub fn with_send_buffers() -> Arc<Self> {
        Arc::new(Self::with(None, Unsent::SendBuffer))
    }

    fn with(library: Option<Library>, unsent: Unsent) -> Self {
        Self {
            threads: Mutex::default(),
            queue_totals: QueueTotals::new(QUEUES_LIMIT),
            tls_clients: TlsClients::default(),
            checks: Arc::default(),
            library,
            unsent,
        }
    }

    pub(super) fn unsent(&self) -> Unsent {
        self.unsent
    }

    /// Limits the bytes in all queues of the process. Each direction gets half of the limit.
    pub fn set_total_queue_limit(&self, bytes: usize) {
        self.queue_totals.set_limit(bytes);
    }

    /// As [`TlsClient::new`]. A connection to a server that was connected before with the same trust resumes that session, which
    /// saves both sides most of the handshake.
    ///
    /// # Errors
    /// As [`TlsClient::new`].
    pub fn tls_client(&self, trust: Trust<'_>, name_override: Option<&str>) -> Result<TlsClient, TlsError> {
        self.tls_clients.client(trust, name_override)
    }

    /// Returns the bytes in all queues of the process. A payload for several peers counts once. Received bytes count in steps of
    /// 4 KiB.
    pub fn queued_bytes(&self) -> usize {
        self.queue_totals.bytes()
    }

    /// Returns the number of I/O threads that have not ended.
    pub fn thread_count(&self) -> usize {
        self.lock().iter().filter(|running| !running.thread.is_finished()).count()
    }

    /// Ends all I/O threads: sends what is queued and closes all connections, within `timeout` in total.
    ///
    /// A thread that waits for the system is given a quarter of a second; then it is left behind with a warning, as is a thread that
    /// has not ended in time. The library stays in memory for such threads.
    pub fn shutdown(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let (mut unanswered, mut stuck) = (0, 0);
        // The second pass ends the threads that drivers have started before they ended.
        for _ in 0..2 {
            let threads = std::mem::take(&mut *self.lock());
            for mailbox in threads.iter().filter_map(|running| running.mailbox.as_ref()?.upgrade()) {
                mailbox.shut_down(deadline);
            }
            let (drivers, others): (Vec<_>, Vec<_>) =
                threads.into_iter().partition(|running| running.mailbox.is_some());
            // Drivers end by the deadline, unless a defect holds one up.
            stuck += join(drivers, deadline + SPARE);
            unanswered += join(others, Instant::now() + SPARE);
        }
        if unanswered + stuck > 0 {
            self.leave_behind(unanswered, stuck);
        }
    }

    /// Keeps the library in memory for the threads that still run.
    fn leave_behind(&self, unanswered: usize, stuck: usize) {
        let mut what = Vec::new();
        if unanswered > 0 {
            what.push(format!(
                "look-ups of host names or checks of certificates that the system has not answered ({unanswered})"
            ));
        }
        if stuck > 0 {
            what.push(format!("I/O threads that have not ended in time ({stuck})"));
        }
        let what = what.join(" and ");
        match self.library.map(|library| (library.keep_loaded)()) {
            None => log::warn!("left behind: {what}"),
            Some(Ok(())) => log::warn!(
                "left behind: {what}; the library stays in memory until the process ends (to load a new build of it, restart the editor)"
            ),
            Some(Err(error)) => {
                log::error!("left behind: {what}; the library cannot be kept in memory for them: {error}");
            }
        }
    }

    /// Starts a thread that asks the system for a host's addresses. The thread cannot be ended before the system has answered, and a
    /// game may retry in a loop: the number of such threads is limited.
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

    /// Continues a handshake on another thread. The result is a [`Command::Checked`].
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

/// Waits for threads to end. Returns how many have not ended in time.
fn join(threads: Vec<Running>, until: Instant) -> usize {
    let mut left = 0;
    for Running { thread, .. } in threads {
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // A panic inside was reported when it happened.
            let _ = thread.join();
        } else {
            left += 1;
        }
    }
    left
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("threads", &self.thread_count()).finish_non_exhaustive()
    }
}

/// Name of a thread that looks up a host name.
const LOOK_UP: &str = "websocket-dns";
/// Time that a thread gets at the end if it waits for the system, or has missed its deadline.
const SPARE: Duration = Duration::from_millis(250);
/// Name look-ups under way at the same time.
pub(crate) const LOOKUPS: usize = 16;
/// Bytes of stack of each thread: no call here is deep.
const STACK: usize = 512 * 1024;
/// Limit of the bytes in all queues together.
pub(crate) const QUEUES_LIMIT: usize = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use crate::channel::NeverAsleep;

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

    /// How often a library was kept.
    static KEPT: AtomicUsize = AtomicUsize::new(0);

    fn library() -> Arc<Runtime> {
        Runtime::of_library(Library {
            keep_loaded: || {
                KEPT.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
            #[cfg(target_vendor = "apple")]
            limit_unsent: |_, _| Ok(()),
        })
    }

    #[test]
    fn nothing_that_is_stuck_holds_up_the_end_and_the_library_stays_for_it() {
        let total = &Runtime::new().queue_totals.outgoing;
        let mailbox = Arc::new(Mailbox::new(Box::new(NeverAsleep), Arc::default(), total, Instant::now()));
        for row in ["nothing", "a look-up", "a driver", "both"] {
            let before = KEPT.load(Ordering::SeqCst);
            let is_driver = matches!(row, "a driver" | "both");
            let runtime = library();
            let mut ends = Vec::new();
            let mut stuck = || {
                let (end, wait) = mpsc::channel::<()>();
                ends.push(end);
                move || {
                    let _ = wait.recv();
                }
            };
            runtime.look_up(|| {}).expect("a thread");
            if matches!(row, "a look-up" | "both") {
                runtime.look_up(stuck()).expect("a thread");
                runtime.look_up(stuck()).expect("a thread");
            }
            if is_driver {
                runtime.spawn("stuck", Some(Arc::downgrade(&mailbox)), stuck()).expect("a thread");
            }
            let running = ends.len();
            let start = Instant::now();
            while runtime.thread_count() > running {
                assert!(
                    start.elapsed() < Duration::from_secs(60),
                    "{row}: what has nothing to do has not ended"
                );
                thread::yield_now();
            }
            let (done, finished) = mpsc::channel();
            let ending = Arc::clone(&runtime);
            thread::spawn(move || {
                // Nobody who quits waits for what is not to come; a driver has its time.
                let time = if is_driver { Duration::from_millis(300) } else { Duration::from_secs(600) };
                ending.shutdown(time);
                let _ = done.send(());
            });
            let ended = finished.recv_timeout(Duration::from_secs(60));
            assert!(ended.is_ok(), "{row}: it waits for ever");
            assert_eq!(runtime.thread_count(), 0, "{row}");
            let kept = KEPT.load(Ordering::SeqCst) - before;
            assert_eq!(kept, usize::from(row != "nothing"), "{row}: once, and only where somebody needs it");
        }
    }
}
