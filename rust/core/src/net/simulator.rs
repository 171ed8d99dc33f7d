//! A bad network between a socket and its session, for those who want to know how their game feels on one.
//!
//! Under TCP nothing is lost or overtaken: all that a bad network can do is to be late. So each direction is a line of bytes
//! with the times at which they arrive. The line is bounded: when it is full, the session cannot write and the socket is
//! not read, as with a network that takes no more.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::base::ConnId;
use crate::conditions::Conditions;
use crate::hub::{After, Hub};
use crate::net::transport::Transport;

/// What one connection goes through.
pub(crate) struct Simulator {
    conditions: Conditions,
    stalls: Stalls,
    random: StdRng,
    incoming: Line,
    outgoing: Line,
    /// The stream may have more to read.
    unread: bool,
}

impl Simulator {
    pub(crate) fn new(conditions: Conditions, conn: ConnId, now: Instant) -> Self {
        let number = u64::from(conn.generation) << 32 | u64::from(conn.slot);
        let mut random = StdRng::seed_from_u64(conditions.seed.rotate_left(48) ^ number);
        let (incoming, outgoing) = (Line::new(random.random(), now), Line::new(random.random(), now));
        let stalls = Stalls::new(conditions, &mut random, now);
        Self { conditions, stalls, random, incoming, outgoing, unread: true }
    }

    /// Changes the conditions. What is on its way keeps its order, and arrives no later than under the new latency.
    pub(crate) fn change(&mut self, conditions: Conditions, now: Instant) {
        if self.conditions == conditions {
            return;
        }
        if self.conditions.stall_every != conditions.stall_every {
            self.stalls = Stalls::new(conditions, &mut self.random, now);
        }
        self.conditions = conditions;
        let latest = now + conditions.latency + conditions.jitter;
        self.incoming.hurry(latest);
        self.outgoing.hurry(latest);
    }

    /// Says whether the connection can do without it from now on.
    pub(crate) fn is_done(&self) -> bool {
        self.conditions.is_off() && self.incoming.is_empty() && self.outgoing.is_empty()
    }

    /// Says whether bytes are on their way to the stream.
    pub(crate) fn has_output(&self) -> bool {
        !self.outgoing.bytes.is_empty()
    }

    /// When something arrives next.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        [self.incoming.wake_at(), self.outgoing.wake_at()].into_iter().flatten().min()
    }

    /// Lets the hub read what has arrived from the stream.
    pub(crate) fn read<S: Read>(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        stream: &mut S,
        buffer: &mut [u8],
        now: Instant,
    ) -> After {
        self.fill(stream, buffer, now);
        self.incoming.seen = now;
        let mut arrived = Transport::Arrived(Reader { line: &mut self.incoming, now });
        let mut after = hub.read(conn, &mut arrived, buffer, false, now);
        after.more |= self.unread && self.incoming.room(&self.conditions) > 0;
        after
    }

    /// Lets the hub write, and writes to the stream what has arrived there. `blocked` is about the stream.
    pub(crate) fn flush<S: Write>(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        stream: &mut S,
        writable: bool,
        now: Instant,
    ) -> After {
        self.outgoing.seen = now;
        let mut blocked = !writable || self.outgoing.write_to(stream, Some(now));
        let after = if self.outgoing.room(&self.conditions) > 0 {
            hub.flush(conn, &mut self.writer(now), now)
        } else {
            hub.still_blocked(conn, now)
        };
        blocked = blocked || self.outgoing.write_to(stream, Some(now));
        After { blocked, ..after }
    }

    /// Lets the session and TLS say what they have to say last. All that is on its way leaves at once, as far as the
    /// stream takes it, because the stream is about to be dropped.
    pub(crate) fn finish<S: Write>(&mut self, hub: &mut Hub, conn: ConnId, stream: &mut S, now: Instant) {
        hub.say_last(conn, &mut self.writer(now));
        self.outgoing.write_to(stream, None);
    }

    /// Where the hub writes.
    pub(crate) fn writer(&mut self, now: Instant) -> Transport<'_> {
        let Self { outgoing: line, conditions, stalls, .. } = self;
        Transport::Leaving(Writer { line, conditions, stalls, now })
    }

    /// Takes from the stream what fits, one buffer of it at most.
    fn fill<S: Read>(&mut self, stream: &mut S, buffer: &mut [u8], now: Instant) {
        let mut left = self.incoming.room(&self.conditions).min(buffer.len());
        self.unread = self.incoming.end.is_none();
        while left > 0 && self.unread {
            match stream.read(&mut buffer[..left]) {
                Ok(0) => self.end(Ok(()), now),
                Ok(n) => {
                    self.incoming.push(&buffer[..n], &self.conditions, &self.stalls, now);
                    left -= n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.unread = false,
                Err(error) => self.end(Err(error), now),
            }
        }
    }

    fn end(&mut self, how: io::Result<()>, now: Instant) {
        let at = self.incoming.arrival(0, &self.conditions, &self.stalls, now);
        self.incoming.end = Some((at, how.err()));
        self.unread = false;
    }
}

/// One direction.
struct Line {
    bytes: VecDeque<u8>,
    /// When the next so many of them arrive, in order.
    arrivals: VecDeque<(Instant, usize)>,
    /// When the last of all bytes arrives: nothing overtakes it.
    last: Instant,
    /// Until when a network of this bandwidth is busy with what it was given.
    busy: Instant,
    /// What had arrived by then was offered to whom it is for; if it did not take it, that is its own business.
    seen: Instant,
    /// The stream has ended, or failed, behind the last byte.
    end: Option<(Instant, Option<io::Error>)>,
    random: StdRng,
}

impl Line {
    fn new(seed: u64, now: Instant) -> Self {
        Self {
            bytes: VecDeque::new(),
            arrivals: VecDeque::new(),
            last: now,
            busy: now,
            seen: now,
            end: None,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Says whether nothing is on its way and more may come.
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.end.is_none()
    }

    /// How many bytes it takes.
    fn room(&self, conditions: &Conditions) -> usize {
        capacity(conditions).saturating_sub(self.bytes.len())
    }

    fn wake_at(&self) -> Option<Instant> {
        let next = self.arrivals.front().map(|(at, _)| *at).or_else(|| self.end.as_ref().map(|(at, _)| *at));
        next.filter(|at| *at > self.seen)
    }

    fn push(&mut self, bytes: &[u8], conditions: &Conditions, stalls: &Stalls, now: Instant) {
        for segment in bytes.chunks(SEGMENT) {
            let at = self.arrival(segment.len(), conditions, stalls, now);
            match self.arrivals.back_mut() {
                Some((last, size)) if *last == at => *size += segment.len(),
                _ => self.arrivals.push_back((at, segment.len())),
            }
        }
        self.bytes.extend(bytes);
    }

    /// When so many bytes arrive that leave now.
    fn arrival(&mut self, size: usize, conditions: &Conditions, stalls: &Stalls, now: Instant) -> Instant {
        let mut at = now;
        if conditions.bandwidth > 0 {
            let bits = size as u64 * 8;
            self.busy =
                self.busy.max(now) + Duration::from_micros(bits * 1000 / u64::from(conditions.bandwidth));
            at = self.busy;
        }
        at += conditions.latency;
        if !conditions.jitter.is_zero() {
            at += self.random.random_range(Duration::ZERO..=conditions.jitter);
        }
        self.last = stalls.after(at).max(self.last);
        self.last
    }

    /// Nothing that is on its way arrives later than that.
    fn hurry(&mut self, latest: Instant) {
        for (at, _) in &mut self.arrivals {
            *at = latest.min(*at);
        }
        if let Some((at, _)) = &mut self.end {
            *at = latest.min(*at);
        }
        self.last = latest.min(self.last);
        self.busy = latest.min(self.busy);
    }

    /// The next bytes that have arrived, in one piece.
    fn arrived(&self, now: Option<Instant>) -> &[u8] {
        let arrived = self.arrivals.iter().take_while(|(at, _)| now.is_none_or(|now| *at <= now));
        let (front, _) = self.bytes.as_slices();
        // Few are looked at again and again: whoever asks takes what it gets, as a rule.
        let mut size = 0;
        for (_, segment) in arrived {
            size += segment;
            if size >= front.len() {
                break;
            }
        }
        &front[..size.min(front.len())]
    }

    fn pop(&mut self, mut size: usize) {
        self.bytes.drain(..size);
        while let Some((_, segment)) = self.arrivals.front_mut() {
            let part = size.min(*segment);
            *segment -= part;
            size -= part;
            if *segment > 0 {
                return;
            }
            self.arrivals.pop_front();
        }
        // An idle connection keeps no memory for it.
        self.bytes = VecDeque::new();
        self.arrivals = VecDeque::new();
    }

    /// Writes what has arrived, or everything; true: the stream takes no more for now.
    fn write_to<S: Write>(&mut self, stream: &mut S, now: Option<Instant>) -> bool {
        loop {
            let bytes = self.arrived(now);
            if bytes.is_empty() {
                return false;
            }
            match stream.write(bytes) {
                Ok(n) if n > 0 => self.pop(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                failed => {
                    self.pop(self.bytes.len());
                    self.end = Some((self.seen, failed.err()));
                    return false;
                }
            }
        }
    }
}

/// What has arrived, for the hub.
pub(crate) struct Reader<'a> {
    line: &'a mut Line,
    now: Instant,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.line.arrived(Some(self.now));
        let size = bytes.len().min(out.len());
        if size > 0 {
            out[..size].copy_from_slice(&bytes[..size]);
            self.line.pop(size);
            return Ok(size);
        }
        match &mut self.line.end {
            Some((at, failed)) if self.line.bytes.is_empty() && *at <= self.now => {
                failed.take().map_or(Ok(0), Err)
            }
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

/// The way to the remote, for the hub.
pub(crate) struct Writer<'a> {
    line: &'a mut Line,
    conditions: &'a Conditions,
    stalls: &'a Stalls,
    now: Instant,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((_, failed)) = &mut self.line.end {
            return Err(failed.take().unwrap_or_else(|| ErrorKind::BrokenPipe.into()));
        }
        let size = self.line.room(self.conditions).min(bytes.len());
        if size == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.line.push(&bytes[..size], self.conditions, self.stalls, self.now);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// When nothing arrives, in both directions of a connection.
struct Stalls {
    every: Duration,
    first: Instant,
}

impl Stalls {
    /// The first one begins some time within the first period, so that a server's connections do not all stall at once.
    fn new(conditions: Conditions, random: &mut StdRng, now: Instant) -> Self {
        let every = conditions.stall_every;
        let first = if every.is_zero() { now } else { now + random.random_range(Duration::ZERO..every) };
        Self { every, first }
    }

    /// When that arrives which would have arrived at `at`.
    fn after(&self, at: Instant) -> Instant {
        let Some(since) = at.checked_duration_since(self.first).filter(|_| !self.every.is_zero()) else {
            return at;
        };
        let into = Duration::from_nanos((since.as_nanos() % self.every.as_nanos()) as u64);
        at + Conditions::STALL.saturating_sub(into)
    }
}

/// How many bytes may be on their way in one direction: what such a network carries, and a quarter of a second before it.
fn capacity(conditions: &Conditions) -> usize {
    if conditions.bandwidth == 0 {
        return IN_FLIGHT;
    }
    let per_second = conditions.bandwidth as usize * 125;
    let carried = per_second as f64 * (conditions.latency + conditions.jitter).as_secs_f64();
    (carried as usize).min(IN_FLIGHT) + (per_second / 4).clamp(4 * 1024, 32 * 1024)
}

/// Bytes in one packet of a network, without its headers.
const SEGMENT: usize = 1460;
/// Bytes that may be on their way at once, in one direction of one connection.
pub(crate) const IN_FLIGHT: usize = 1024 * 1024;
