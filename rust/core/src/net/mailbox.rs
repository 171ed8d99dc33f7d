//! The two lists between the game's thread and the driver's: commands one way, news the other.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::base::{CloseFrame, CloseReason, ConnId, PeerId};
use crate::budget::{Charge, QueueTotal};
pub(crate) use crate::channel::counters::Counters as Totals;
use crate::channel::queue::{CommandQueue, NoticeQueue};
use crate::config::PeerConfig;
use crate::hub::{Large, News, Outbound, Payload};
use crate::session::Body;
use crate::tls::TlsSession;
use crate::verdict::Verdict;
use crate::wire::godot3::HEADER;

/// What the game's thread asks of the driver.
///
/// Thousands of them may cross in a frame: what is seldom asked for is kept elsewhere, so that they are small.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send to one peer.
    Send { to: ConnId, message: Outbound },
    /// Send the same to many.
    SendMany { to: Arc<Vec<ConnId>>, message: Outbound },
    /// The game took packets: read this peer again.
    Resume(ConnId),
    /// Start the close handshake.
    Close { conn: ConnId, frame: Box<CloseFrame> },
    /// Say goodbye without waiting for the answer.
    Abandon(ConnId),
    /// Drop the connection without a word.
    Cut(ConnId),
    /// The peer did not keep up: close it with 1013.
    Overflow(ConnId),
    /// Set `TCP_NODELAY`.
    NoDelay { conn: ConnId, enabled: bool },
    /// A heartbeat interval for one peer alone.
    Heartbeat { conn: ConnId, interval: Duration },
    /// Server: what the game's handler decided.
    Verdict { conn: ConnId, id: PeerId, verdict: Box<Verdict> },
    /// Server: answer new connections with 503, or not; the number comes back when that holds.
    Refuse { refuse: bool, number: u64 },
    /// Server: a new limit.
    MaxConnections(usize),
    /// New timeouts and policies.
    Configure(Box<PeerConfig>),
    /// Close all peers and end.
    Finish { frame: Box<CloseFrame> },
    /// A handshake comes back from where its certificate was looked at; `None`: something broke there.
    Checked { conn: ConnId, session: Option<Box<TlsSession>> },
    /// What a defect does.
    #[cfg(test)]
    Panic,
}

impl Command {
    /// How much there is to do, in small packets.
    pub(crate) fn effort(&self) -> usize {
        match self {
            Self::Send { message, .. } => effort(message),
            Self::SendMany { to, message } => to.len() * effort(message),
            Self::Configure(_) | Self::Refuse { .. } => 1024,
            _ => 1,
        }
    }
}

/// The same of one receiver's packet.
fn effort(message: &Outbound) -> usize {
    match &message.payload {
        Payload::Listed { .. } => 1,
        Payload::Large(large) => 1 + large.payload.len() / 4096,
    }
}

/// Commands in order, and the payloads that they speak of.
#[derive(Debug)]
struct Commands {
    list: Vec<Command>,
    listed: Listed,
}

/// Small payloads of commands, one behind the other.
#[derive(Debug)]
pub(crate) struct Listed {
    bytes: Vec<u8>,
    /// What the copies for all who get them will take: they count for the process from now on.
    copies: usize,
    charge: Charge,
}

/// A packet that is sent.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    /// The wire header.
    pub(crate) header: Option<&'a [u8; HEADER]>,
    pub(crate) body: Body<'a>,
    pub(crate) text: bool,
}

impl Commands {
    /// Puts a small packet for so many peers among the payloads.
    #[inline(always)]
    fn outbound(&mut self, Sent { header, body, text }: Sent<'_>, peers: usize) -> Outbound {
        let listed = &mut self.listed;
        let start = listed.bytes.len();
        let payload = match body {
            Body::Borrowed(bytes) if start <= LISTED_MAX => {
                if let Some(header) = header {
                    listed.bytes.extend_from_slice(header);
                }
                listed.bytes.extend_from_slice(bytes);
                let size = listed.bytes.len() - start;
                listed.copies = listed.copies.saturating_add(size.saturating_mul(peers));
                listed.charge.follow(listed.copies);
                Payload::Listed { start: start as u32, size: size as u32 }
            }
            body => Payload::Large(Box::new(Large { header: header.copied(), payload: body.to_shared() })),
        };
        Outbound { payload, text }
    }
}

impl Listed {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { bytes: Vec::new(), copies: 0, charge: Charge::new(total) }
    }

    pub(crate) fn get(&self, start: u32, size: u32) -> &[u8] {
        &self.bytes[start as usize..][..size as usize]
    }

    /// The copies are made, and count where they are.
    pub(crate) fn copied(&mut self) {
        self.copies = 0;
        self.charge.set(0);
    }
}

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
    commands: CommandQueue<Commands>,
    news: NoticeQueue<Vec<News>>,
    /// Driver: bytes of memory that the next payloads are given.
    payloads_kept: AtomicUsize,
    /// Called only when the driver sleeps.
    driver: Box<dyn Wake>,
    started: Instant,
    /// Milliseconds after `started` at which the game polled last.
    polled: AtomicU64,
    /// The library is being unloaded: end by then.
    hurry: Mutex<Option<Instant>>,
    pub(crate) totals: Arc<Totals>,
    /// What all queues of the process hold that waits to be sent.
    pub(crate) queue_total: Arc<QueueTotal>,
}

impl Mailbox {
    pub(crate) fn new(
        driver: Box<dyn Wake>,
        totals: Arc<Totals>,
        queue_total: &Arc<QueueTotal>,
        now: Instant,
    ) -> Self {
        Self {
            commands: CommandQueue::new(Commands { list: Vec::new(), listed: Listed::new(queue_total) }),
            news: NoticeQueue::default(),
            payloads_kept: AtomicUsize::new(0),
            driver,
            started: now,
            polled: AtomicU64::new(0),
            hurry: Mutex::default(),
            totals,
            queue_total: Arc::clone(queue_total),
        }
    }

    /// Game thread: gives the driver something to do, and wakes it if it sleeps.
    pub(crate) fn command(&self, command: Command) {
        if self.commands.push(|commands| commands.list.push(command)) {
            self.wake();
        }
    }

    /// Game thread: the same for a configuration. It takes the place of one that the driver has not seen yet: a script sets one
    /// property after the other.
    pub(crate) fn configure(&self, config: PeerConfig) {
        let must_wake = self.commands.push(|commands| match commands.list.last_mut() {
            Some(Command::Configure(waiting)) => **waiting = config,
            _ => commands.list.push(Command::Configure(Box::new(config))),
        });
        if must_wake {
            self.wake();
        }
    }

    /// Game thread: the same for packets.
    #[inline]
    pub(crate) fn send(&self, to: ConnId, packet: Sent<'_>) {
        let must_wake = self.commands.push(|commands| {
            let message = commands.outbound(packet, 1);
            commands.list.push(Command::Send { to, message });
        });
        if must_wake {
            self.wake();
        }
    }

    /// Game thread: the same packet to many.
    pub(crate) fn send_many(&self, to: Arc<Vec<ConnId>>, packet: Sent<'_>) {
        let must_wake = self.commands.push(|commands| {
            let message = commands.outbound(packet, to.len());
            commands.list.push(Command::SendMany { to, message });
        });
        if must_wake {
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
        self.news.is_filled().then(|| self.main_thread_idle(now))
    }

    /// Any thread: for how long the game has not polled.
    pub(crate) fn main_thread_idle(&self, now: Instant) -> Duration {
        let polled = Duration::from_millis(self.polled.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(polled)
    }

    /// Game thread: takes all news; `into` must be empty.
    pub(crate) fn take_news(&self, into: &mut Vec<News>) {
        self.news.take(|news| mem::swap(news, into));
    }

    /// Game thread: says whether there are news.
    pub(crate) fn has_news(&self) -> bool {
        self.news.is_filled()
    }

    /// Game thread: waits until there are news, at most for `timeout`; says whether there are.
    pub(crate) fn wait_for_news(&self, timeout: Duration) -> bool {
        self.news.wait(timeout)
    }

    /// Any thread: the driver ends by `deadline` whatever is still open.
    pub(crate) fn hurry(&self, deadline: Instant) {
        *lock(&self.hurry) = Some(deadline);
        self.force_wake();
    }

    /// Any thread: the driver is wanted for something that is no command.
    pub(crate) fn force_wake(&self) {
        if self.commands.force_wake() {
            self.wake();
        }
    }

    /// Driver: by when the library wants to be rid of it.
    pub(crate) fn hurry_deadline(&self) -> Option<Instant> {
        *lock(&self.hurry)
    }

    /// Driver: takes all commands; `list` must be empty. Both sides swap their lists, so that no memory is allocated in the
    /// long run.
    pub(crate) fn take_commands(&self, list: &mut Vec<Command>, listed: &mut Listed) {
        let kept = self.payloads_kept.load(Ordering::Relaxed);
        listed.copied();
        let payloads = &mut listed.bytes;
        payloads.clear();
        // As much as was needed lately: to give it back and get it anew for each burst costs more than to fill it.
        if payloads.capacity() > 4 * kept {
            payloads.shrink_to(kept);
        }
        list.shrink_to(KEPT);
        self.commands.take(|commands| {
            mem::swap(&mut commands.list, list);
            mem::swap(&mut commands.listed, listed);
        });
        // Most rounds have few payloads, or none: those of a burst do not come in each.
        let kept = (kept - kept / 256).max(listed.bytes.len()).clamp(PAYLOADS_KEPT.start, PAYLOADS_KEPT.end);
        self.payloads_kept.store(kept, Ordering::Relaxed);
    }

    /// Driver: about to sleep. False: there are commands, so do not.
    pub(crate) fn may_sleep(&self) -> bool {
        self.commands.may_sleep(|commands| commands.list.is_empty())
    }

    /// Driver: not sleeping any more.
    pub(crate) fn awake(&self) {
        self.commands.awake();
    }

    /// Driver: delivers a turn's news in one go.
    pub(crate) fn deliver(&self, batch: &mut Vec<News>) {
        if batch.is_empty() {
            return;
        }
        self.news.push(|news| {
            if news.is_empty() {
                mem::swap(news, batch);
            } else {
                news.append(batch);
            }
        });
        if batch.capacity() > KEPT {
            batch.shrink_to(KEPT);
        }
    }

    /// Driver: its last words, when nothing else can be said any more.
    pub(crate) fn deliver_failure(&self, what: String) {
        self.news.push(|news| news.push(News::DriverFailed(CloseReason::Lost(what))));
    }

    fn wake(&self) {
        if let Err(error) = self.driver.wake() {
            log::error!("cannot wake the I/O thread: {error}");
        }
    }
}

/// Where the last of the listed payloads may begin: a driver that takes nothing must not make the numbers overflow.
const LISTED_MAX: usize = 1 << 31;
/// Memory that is kept for the next commands: not so little that it is of no use, nor so much of a burst that it hurts.
const PAYLOADS_KEPT: Range<usize> = 64 * 1024..4 * 1024 * 1024;
/// Commands, news or packets that a list which is empty has room for: more was needed in a burst only.
pub(crate) const KEPT: usize = 4096;

/// A panic while the lock was held leaves a value that is still whole: it is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stay_small() {
        assert!(size_of::<Command>() <= 40, "{}", size_of::<Command>());
    }

    #[test]
    fn a_configuration_takes_the_place_of_one_that_waits() {
        let total = Arc::new(QueueTotal::new(usize::MAX));
        let mailbox = Mailbox::new(Box::new(NeverAsleep), Arc::default(), &total, Instant::now());
        let after =
            |seconds| PeerConfig { close_timeout: Duration::from_secs(seconds), ..PeerConfig::default() };
        for seconds in 1..=5 {
            mailbox.configure(after(seconds));
        }
        mailbox.command(Command::Finish { frame: Box::new(CloseFrame::normal()) });
        mailbox.configure(after(6));
        let mut list = Vec::new();
        mailbox.take_commands(&mut list, &mut Listed::new(&total));
        let [Command::Configure(first), Command::Finish { .. }, Command::Configure(second)] = list.as_slice()
        else {
            panic!("{} commands", list.len());
        };
        // What is closed waits as the configuration before it says.
        assert_eq!((first.close_timeout.as_secs(), second.close_timeout.as_secs()), (5, 6));
    }
}
