//! A limit on log lines per address and minute: a client that connects again and again must not fill the disk.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::client_key::ClientKey;

/// Counts the log lines about each client.
#[derive(Debug)]
pub(crate) struct LogLimit {
    /// Lines per minute and client.
    lines: u32,
    clients: HashMap<ClientKey, Written>,
    /// All clients without a place in the table.
    others: Option<Written>,
    /// When the table was last full after old entries were removed.
    full: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    /// When the minute began.
    at: Instant,
    /// Lines in this minute.
    lines: u32,
    /// Lines suppressed since the last line that was written.
    suppressed: u64,
}

impl LogLimit {
    pub(crate) fn new(lines: u32) -> Self {
        Self { lines, clients: HashMap::new(), others: None, full: None }
    }

    /// Returns how many lines were suppressed since the last one, if a line about this client may be written now.
    pub(crate) fn allow(&mut self, client: ClientKey, now: Instant) -> Option<u64> {
        if !self.clients.contains_key(&client) && self.clients.len() >= PLACES {
            if self.full.is_none_or(|full| now.saturating_duration_since(full) >= SWEEP) {
                // Lines that were suppressed longer ago are not reported any more.
                self.clients.retain(|_, written| now.saturating_duration_since(written.at) < PAUSE);
                self.full = Some(now);
            }
            if self.clients.len() >= PLACES {
                return self.others.get_or_insert_with(|| Written::new(now)).allow(self.lines, now);
            }
        }
        self.clients.entry(client).or_insert_with(|| Written::new(now)).allow(self.lines, now)
    }
}

impl Written {
    fn new(now: Instant) -> Self {
        Self { at: now, lines: 0, suppressed: 0 }
    }

    fn allow(&mut self, lines: u32, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.at) >= PAUSE {
            (self.at, self.lines) = (now, 0);
        }
        if self.lines == lines {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

pub(crate) const PAUSE: Duration = Duration::from_mins(1);
/// How often old entries are removed: that looks at all of them.
const SWEEP: Duration = Duration::from_secs(1);
/// Clients that have an entry of their own.
pub(crate) const PLACES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientKey {
        ClientKey::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn one_line_a_minute_says_how_many_were_not_written() {
        let (mut limit, now) = (LogLimit::new(1), start());
        assert_eq!(limit.allow(client(1), now), Some(0));
        for _ in 0..7 {
            assert_eq!(limit.allow(client(1), now + PAUSE / 2), None);
        }
        assert_eq!(limit.allow(client(2), now), Some(0), "others are not concerned");
        assert_eq!(limit.allow(client(1), now + PAUSE), Some(7));
        assert_eq!(limit.allow(client(1), now + PAUSE), None);
    }

    #[test]
    fn several_lines_a_minute_are_as_many() {
        let (mut limit, now) = (LogLimit::new(3), start());
        let lines = |limit: &mut LogLimit, at| (0..5).map(|_| limit.allow(client(1), at)).collect::<Vec<_>>();
        assert_eq!(lines(&mut limit, now), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(lines(&mut limit, now + PAUSE), [Some(2), Some(0), Some(0), None, None]);
    }

    #[test]
    fn a_million_addresses_take_no_more_room_and_no_more_lines() {
        let (mut limit, now) = (LogLimit::new(1), start());
        let lines = (0..1_000_000).filter(|number| limit.allow(client(*number), now).is_some()).count();
        assert_eq!((lines, limit.clients.len()), (PLACES + 1, PLACES));
        // A minute later there is room for new ones.
        assert_eq!(limit.allow(client(5_000_000), now + PAUSE), Some(0));
        assert_eq!(limit.clients.len(), 1);
    }
}
