//! Pings, pongs, and the timeouts for remotes that send nothing or take nothing.

use std::time::{Duration, Instant};

use crate::base::Phase;
use crate::config::PeerConfig;

/// The timeouts of one open connection.
#[derive(Debug)]
pub(crate) struct Keepalive {
    last_receive: Instant,
    last_ping: Option<Instant>,
    opened: Instant,
    /// Replaces the configured interval for this connection.
    interval: Option<Duration>,
    /// With control messages. Apart, because every turn of every connection looks at the deadlines.
    control: Option<Box<WithControl>>,
    /// The oldest ping without an answer; several may be under way when a round trip takes longer than the interval.
    awaited: Option<(u64, Instant)>,
    next_payload: u64,
    rtt: Option<Duration>,
    /// Since when nothing is read, because the game does not take its packets.
    paused: Option<Instant>,
    /// Since when the remote has taken no byte although bytes wait.
    stalled: Option<Instant>,
    /// Pings of the remote that came while too many answers waited.
    unanswered: usize,
}

/// What a connection with control messages needs besides.
#[derive(Debug)]
struct WithControl {
    /// The longest interval and timeout of a connection whose loss is to be noticed soon.
    guard: Option<(Duration, Duration)>,
    /// When the last sign of life was due while nothing is read.
    last_sign: Instant,
}

/// What is due now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Nothing,
    /// Send a ping with this payload (RFC 6455 section 5.5.2).
    Ping([u8; 8]),
    /// Nothing is read, so the remote's questions stay unanswered: show that this end is there.
    SignOfLife,
    /// End the connection.
    TimedOut(Phase),
}

impl Keepalive {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            last_receive: now,
            last_ping: None,
            opened: now,
            interval: None,
            control: None,
            awaited: None,
            next_payload: 0,
            rtt: None,
            paused: None,
            stalled: None,
            unanswered: 0,
        }
    }

    /// Notes a ping that came while too many answers waited.
    pub(crate) fn pinged_in_vain(&mut self) {
        self.unanswered += 1;
    }

    pub(crate) fn take_unanswered_pings(&mut self) -> usize {
        std::mem::take(&mut self.unanswered)
    }

    pub(crate) fn received(&mut self, now: Instant) {
        self.last_receive = now;
    }

    /// Takes a pong. One that answers no ping sent here only counts for the heartbeat (section 5.5.3).
    pub(crate) fn pong(&mut self, payload: &[u8], now: Instant) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return };
        if let Some((awaited, sent)) = self.awaited
            && (awaited..=self.next_payload).contains(&number)
        {
            // The remote may leave all but the last ping unanswered (section 5.5.3): then the next one is measured.
            if number == awaited {
                self.rtt = Some(now.saturating_duration_since(sent));
            }
            self.awaited = None;
        }
    }

    /// Notes whether bytes wait, and whether the stream has taken some since the last call (`moved`).
    pub(crate) fn wrote(&mut self, moved: bool, waiting: bool, now: Instant) {
        if !waiting {
            self.stalled = None;
        } else if moved || self.stalled.is_none() {
            self.stalled = Some(now);
        }
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Continues after those of the last connection of the same peer: what was set for the peer stays.
    pub(crate) fn follow(&mut self, last: &Self) {
        self.interval = last.interval;
    }

    pub(crate) fn last_receive(&self) -> Instant {
        self.last_receive
    }

    /// From now on the remote understands signs of life.
    pub(crate) fn sign_from(&mut self, now: Instant) {
        self.control = Some(Box::new(WithControl { guard: None, last_sign: now }));
    }

    /// Sets the longest interval and timeout of a connection with control messages.
    pub(crate) fn guard(&mut self, interval: Duration, timeout: Duration) {
        if let Some(control) = &mut self.control {
            control.guard = Some((interval, timeout));
        }
    }

    /// Ends a pause of reading, which does not count for the heartbeat timeout.
    pub(crate) fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            self.last_receive += now.saturating_duration_since(since);
        }
    }

    /// Sets an interval for this connection; zero: no pings.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = Some(interval);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(crate) fn deadline(&self, config: &PeerConfig) -> Option<Instant> {
        if self.control.is_some() {
            return self.deadline_with_control(config);
        }
        self.first_of(self.next_ping(config), config.heartbeat_timeout, config)
    }

    #[cold]
    fn deadline_with_control(&self, config: &PeerConfig) -> Option<Instant> {
        self.first_of(earlier(self.next_ping(config), self.next_sign()), self.timeout(config), config)
    }

    fn first_of(&self, ping: Option<Instant>, timeout: Duration, config: &PeerConfig) -> Option<Instant> {
        let silence = after(self.last_receive, timeout).filter(|_| self.paused.is_none());
        let stall = self.stalled.and_then(|since| after(since, config.write_timeout));
        earlier(earlier(ping, silence), stall)
    }

    /// Returns when the next ping is due: one per interval, also on a busy connection, so that the round trip is measured. The
    /// first one is earlier.
    fn next_ping(&self, config: &PeerConfig) -> Option<Instant> {
        let interval = match self.interval {
            // The timeout was lowered after this interval was set.
            Some(own) if own >= config.heartbeat_timeout => at_most(config.heartbeat_timeout / 2, own),
            Some(own) => own,
            None => config.heartbeat_interval,
        };
        let interval = self.guarded().map_or(interval, |(most, _)| at_most(interval, most));
        match self.last_ping {
            None => after(self.opened, interval.min(FIRST_PING)),
            Some(last) => after(last, interval),
        }
    }

    fn guarded(&self) -> Option<(Duration, Duration)> {
        self.control.as_ref()?.guard
    }

    fn timeout(&self, config: &PeerConfig) -> Duration {
        self.guarded().map_or(config.heartbeat_timeout, |(_, most)| at_most(config.heartbeat_timeout, most))
    }

    fn next_sign(&self) -> Option<Instant> {
        Some(self.control.as_ref()?.last_sign.max(self.paused?) + SIGN_INTERVAL)
    }

    pub(crate) fn due(&mut self, config: &PeerConfig, now: Instant) -> Due {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let silence = after(self.last_receive, self.timeout(config)).filter(|_| self.paused.is_none());
        if let Some(silence) = silence.filter(|silence| *silence <= now) {
            // A process that was stopped says nothing about the remote: ask it.
            if self.guarded().is_none() || now < silence + STOPPED {
                return Due::TimedOut(Phase::Heartbeat);
            }
            self.last_receive = now;
            self.last_ping = None;
        }
        if passed(self.stalled.and_then(|since| after(since, config.write_timeout))) {
            return Due::TimedOut(Phase::Write);
        }
        if passed(self.next_sign())
            && let Some(control) = &mut self.control
        {
            control.last_sign = now;
            return Due::SignOfLife;
        }
        if passed(self.next_ping(config)) {
            self.last_ping = Some(now);
            self.next_payload += 1;
            self.awaited.get_or_insert((self.next_payload, now));
            return Due::Ping(self.next_payload.to_be_bytes());
        }
        Due::Nothing
    }
}

/// Returns the earlier of two times. This runs with every turn of a connection, where an iterator over options takes ten times as
/// long.
#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The shorter of two periods, of which zero means never.
fn at_most(period: Duration, most: Duration) -> Duration {
    if period.is_zero() { most } else { period.min(most) }
}

/// The interval of signs of life.
pub(crate) const SIGN_INTERVAL: Duration = Duration::from_secs(1);
/// A deadline that is noticed so much later was missed because the process did not run.
const STOPPED: Duration = Duration::from_secs(2);
/// The latest time of the first ping, so that the round trip is known soon.
const FIRST_PING: Duration = Duration::from_secs(1);

/// Zero means never.
fn after(since: Instant, period: Duration) -> Option<Instant> {
    if period.is_zero() { None } else { since.checked_add(period) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> PeerConfig {
        PeerConfig {
            heartbeat_interval: 20 * SECOND,
            heartbeat_timeout: 60 * SECOND,
            write_timeout: 30 * SECOND,
            ..PeerConfig::default()
        }
    }

    #[test]
    fn pings_early_then_every_interval_and_measures_the_answer() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        assert_eq!(keepalive.deadline(&config()), Some(start + SECOND));
        assert_eq!(keepalive.due(&config(), start + SECOND / 2), Due::Nothing);
        let payload = ping(&mut keepalive, start + SECOND);
        keepalive.pong(b"other", start + 2 * SECOND);
        assert_eq!(keepalive.rtt(), None);
        keepalive.pong(&payload, start + 3 * SECOND);
        assert_eq!(keepalive.rtt(), Some(2 * SECOND));
        assert_eq!(keepalive.due(&config(), start + 20 * SECOND), Due::Nothing);
        assert!(matches!(keepalive.due(&config(), start + 21 * SECOND), Due::Ping(_)));
        assert_eq!(keepalive.due(&config(), start + 40 * SECOND), Due::Nothing);
    }

    /// Returns the ping that is due by then.
    fn ping(keepalive: &mut Keepalive, now: Instant) -> [u8; 8] {
        let Due::Ping(payload) = keepalive.due(&config(), now) else { panic!("a ping is due") };
        payload
    }

    #[test]
    fn a_way_that_takes_longer_than_the_interval_is_measured() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        let payloads = [1, 21, 41].map(|seconds| ping(&mut keepalive, start + seconds * SECOND));
        keepalive.received(start + 46 * SECOND);
        keepalive.pong(&payloads[0], start + 46 * SECOND);
        assert_eq!(keepalive.rtt(), Some(45 * SECOND));
        // Late pongs for the other pings measure nothing, and neither does a number that was never sent.
        keepalive.pong(&payloads[1], start + 66 * SECOND);
        let next = ping(&mut keepalive, start + 70 * SECOND);
        keepalive.pong(&u64::MAX.to_be_bytes(), start + 71 * SECOND);
        assert_eq!(keepalive.rtt(), Some(45 * SECOND));
        keepalive.pong(&next, start + 72 * SECOND);
        assert_eq!(keepalive.rtt(), Some(2 * SECOND));
    }

    #[test]
    fn a_remote_that_answers_only_the_last_ping_is_measured_by_the_next_one() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        ping(&mut keepalive, start + SECOND);
        let last = ping(&mut keepalive, start + 21 * SECOND);
        keepalive.pong(&last, start + 22 * SECOND);
        assert_eq!(keepalive.rtt(), None);
        let next = ping(&mut keepalive, start + 41 * SECOND);
        keepalive.pong(&next, start + 44 * SECOND);
        assert_eq!(keepalive.rtt(), Some(3 * SECOND));
    }

    #[test]
    fn an_interval_of_its_own_replaces_the_configured_one() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        assert!(matches!(keepalive.due(&config(), start + SECOND), Due::Ping(_)));
        keepalive.set_interval(5 * SECOND);
        assert_eq!(keepalive.deadline(&config()), Some(start + 6 * SECOND));
        assert!(matches!(keepalive.due(&config(), start + 6 * SECOND), Due::Ping(_)));
        keepalive.set_interval(Duration::ZERO);
        assert_eq!(keepalive.due(&config(), start + 59 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(&config(), start + 60 * SECOND), Due::TimedOut(Phase::Heartbeat));
    }

    #[test]
    fn a_timeout_below_an_interval_of_its_own_drops_nobody_unasked() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        ping(&mut keepalive, start + SECOND);
        keepalive.set_interval(50 * SECOND);
        assert_eq!(keepalive.deadline(&config()), Some(start + 51 * SECOND));
        let lowered = PeerConfig { heartbeat_timeout: 45 * SECOND, ..config() };
        assert_eq!(keepalive.deadline(&lowered), Some(start + SECOND + lowered.heartbeat_timeout / 2));
        let off = PeerConfig { heartbeat_timeout: Duration::ZERO, ..config() };
        assert_eq!(keepalive.deadline(&off), Some(start + 51 * SECOND));
    }

    #[test]
    fn silence_ends_it_but_not_while_we_do_not_listen() {
        let start = start();
        let mut keepalive = Keepalive::new(start);
        keepalive.received(start + 10 * SECOND);
        keepalive.pause(start + 20 * SECOND);
        assert_ne!(keepalive.due(&config(), start + 500 * SECOND), Due::TimedOut(Phase::Heartbeat));
        keepalive.resume(start + 520 * SECOND);
        assert_ne!(keepalive.due(&config(), start + 569 * SECOND), Due::TimedOut(Phase::Heartbeat));
        assert_eq!(keepalive.due(&config(), start + 570 * SECOND), Due::TimedOut(Phase::Heartbeat));
    }

    #[test]
    fn a_stalled_write_ends_it_unless_bytes_move() {
        let start = start();
        let config =
            PeerConfig { heartbeat_interval: Duration::ZERO, heartbeat_timeout: Duration::ZERO, ..config() };
        let mut keepalive = Keepalive::new(start);
        assert_eq!(keepalive.deadline(&config), None);
        keepalive.wrote(false, true, start);
        keepalive.wrote(true, true, start + 20 * SECOND);
        assert_eq!(keepalive.due(&config, start + 40 * SECOND), Due::Nothing);
        keepalive.wrote(false, true, start + 45 * SECOND);
        assert_eq!(keepalive.due(&config, start + 50 * SECOND), Due::TimedOut(Phase::Write));
        keepalive.wrote(true, false, start + 50 * SECOND);
        assert_eq!(keepalive.deadline(&config), None);
    }
}
