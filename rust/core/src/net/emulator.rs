//! An emulated network between a socket and its session, for developers who test how their game feels on a bad connection.
//!
//! TCP loses and reorders nothing; a bad network can only delay. So each direction is a bounded queue of bytes with their arrival
//! times. When a queue is full, the session cannot write, or the socket is not read, as on a network without capacity. And a bad network
//! can lose the whole connection: then what is in both queues is lost, and each call returns an error.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::base::ConnId;
use crate::conditions::Conditions;
use crate::hub::transports::Readiness;

/// A stream, and the emulated network in front of it if the conditions ask for one. Without one, each call costs a look at a field.
pub(crate) struct Emulated<S> {
    pub(crate) stream: S,
    network: Option<Box<Network>>,
}

/// The emulated network of one connection.
struct Network {
    conditions: Conditions,
    stalls: Stalls,
    random: StdRng,
    incoming: DelayLine,
    outgoing: DelayLine,
    /// The time of the current call.
    now: Instant,
    /// The stream may have more to read.
    unread: bool,
    /// A write returned `WouldBlock`, and the session waits for room.
    full: bool,
    /// Our side of the stream ends behind the last byte.
    shutdown: bool,
    /// When the connection is lost.
    cut_at: Option<Instant>,
}

impl<S> Emulated<S> {
    pub(crate) fn new(stream: S, conditions: Conditions, conn: ConnId, now: Instant) -> Self {
        let network = (!conditions.is_off()).then(|| Box::new(Network::new(conditions, conn, now)));
        Self { stream, network }
    }

    pub(crate) fn is_emulated(&self) -> bool {
        self.network.is_some()
    }

    /// Sets the time, before the stream is read or written.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Instant) {
        if let Some(network) = &mut self.network {
            network.now = now;
        }
    }

    /// Changes the conditions. Bytes in flight keep their order, and arrive no later than under the new latency.
    pub(crate) fn change(&mut self, conditions: Conditions, conn: ConnId, now: Instant) {
        match &mut self.network {
            Some(network) => network.change(conditions, now),
            None if conditions.is_off() => {}
            none => {
                let mut network = Network::new(conditions, conn, now);
                // The stream may be full, and its own readiness is not passed on from now on.
                network.full = true;
                *none = Some(Box::new(network));
            }
        }
    }

    /// Returns when [`advance`](Self::advance) has something to do.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let network = self.network.as_ref()?;
        if network.is_done() {
            return Some(network.now);
        }
        // Bytes whose time has come already wait for the stream.
        let leaves = network.outgoing.arrivals.front().map(|(at, _)| *at);
        let leaves = leaves.filter(|at| *at > network.outgoing.seen);
        [network.incoming.next_arrival(), leaves, network.cut_at].into_iter().flatten().min()
    }
}

impl<S: Read + Write> Emulated<S> {
    /// Moves the bytes whose time has come. Returns the readiness for the session; `stream` is the readiness of the stream itself.
    pub(crate) fn advance(
        &mut self,
        stream: Readiness,
        now: Instant,
        shutdown_write: impl FnOnce(&mut S),
    ) -> Readiness {
        let Some(network) = &mut self.network else { return stream };
        network.now = now;
        if network.cut_at.is_some_and(|at| at <= now) {
            network.cut();
        }
        network.unread |= stream.readable || stream.read_closed;
        network.take_in(&mut self.stream);
        network.write_out(&mut self.stream, Some(now));
        if network.outgoing.bytes.is_empty() && std::mem::take(&mut network.shutdown) {
            shutdown_write(&mut self.stream);
        }
        if network.is_done() {
            self.network = None;
            // The session does not know the readiness of the stream: it has to try.
            return Readiness { readable: true, writable: true, read_closed: stream.read_closed };
        }
        network.readiness()
    }

    /// Ends our side of the stream behind the bytes in flight. Returns the time of that.
    pub(crate) fn shutdown_write(&mut self, now: Instant, shutdown_write: impl FnOnce(&mut S)) -> Instant {
        match &mut self.network {
            Some(network) if !network.outgoing.bytes.is_empty() => {
                network.shutdown = true;
                network.outgoing.last.max(now)
            }
            _ => {
                shutdown_write(&mut self.stream);
                now
            }
        }
    }

    /// Writes all bytes in flight at once, as far as the stream takes them, because the stream is about to be dropped.
    pub(crate) fn finish(&mut self) {
        if let Some(network) = &mut self.network {
            network.write_out(&mut self.stream, None);
        }
    }
}

impl<S: Read + Write> Read for Emulated<S> {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.network {
            None => self.stream.read(out),
            Some(network) => network.read(&mut self.stream, out),
        }
    }
}

impl<S: Read + Write> Write for Emulated<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.network {
            None => self.stream.write(bytes),
            Some(network) => network.write(&mut self.stream, bytes),
        }
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.network {
            None => self.stream.write_vectored(slices),
            Some(network) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                first.map_or(Ok(0), |slice| network.write(&mut self.stream, slice))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.network {
            None => self.stream.flush(),
            Some(_) => Ok(()),
        }
    }
}

impl Network {
    fn new(conditions: Conditions, conn: ConnId, now: Instant) -> Self {
        let number = u64::from(conn.generation) << 32 | u64::from(conn.slot);
        let mut random = StdRng::seed_from_u64(conditions.seed.rotate_left(48) ^ number);
        let (incoming, outgoing) =
            (DelayLine::new(random.random(), now), DelayLine::new(random.random(), now));
        let stalls = Stalls::new(conditions, &mut random, now);
        let cut_at = cut_at(conditions, &mut random, now);
        Self {
            conditions,
            stalls,
            random,
            incoming,
            outgoing,
            now,
            unread: true,
            full: false,
            shutdown: false,
            cut_at,
        }
    }

    fn change(&mut self, conditions: Conditions, now: Instant) {
        if self.conditions == conditions {
            return;
        }
        if self.conditions.stall_every != conditions.stall_every {
            self.stalls = Stalls::new(conditions, &mut self.random, now);
        }
        if self.conditions.disconnect_every != conditions.disconnect_every {
            self.cut_at = cut_at(conditions, &mut self.random, now);
        }
        self.conditions = conditions;
        let latest = now + conditions.latency + conditions.jitter;
        self.incoming.arrive_by(latest);
        self.outgoing.arrive_by(latest);
    }

    /// Loses the connection, and everything in flight. The remote learns of it when the session drops the stream.
    fn cut(&mut self) {
        self.cut_at = None;
        self.unread = false;
        for line in [&mut self.incoming, &mut self.outgoing] {
            line.pop(line.bytes.len());
            let lost = io::Error::new(ErrorKind::ConnectionAborted, CUT);
            line.end = Some((self.now, Some(lost)));
            line.end_reported = false;
        }
    }

    /// Returns whether the emulated network is not needed any more.
    fn is_done(&self) -> bool {
        self.conditions.is_off() && self.incoming.is_empty() && self.outgoing.is_empty()
    }

    /// Returns what has changed for the session since the last call.
    fn readiness(&mut self) -> Readiness {
        let read_closed = self.incoming.has_ended(self.now) && !self.incoming.end_reported;
        let readiness = Readiness {
            readable: self.incoming.next_arrival().is_some_and(|at| at <= self.now),
            writable: self.full && self.outgoing.room(&self.conditions) > 0,
            read_closed,
        };
        self.incoming.seen = self.now;
        self.incoming.end_reported |= read_closed;
        self.full &= !readiness.writable;
        readiness
    }

    fn read<S: Read>(&mut self, stream: &mut S, out: &mut [u8]) -> io::Result<usize> {
        if self.is_done() {
            return stream.read(out);
        }
        self.take_in(stream);
        self.incoming.seen = self.now;
        let bytes = self.incoming.arrived(Some(self.now));
        let size = bytes.len().min(out.len());
        if size > 0 {
            out[..size].copy_from_slice(&bytes[..size]);
            self.incoming.pop(size);
            return Ok(size);
        }
        match &mut self.incoming.end {
            Some((at, failed)) if self.incoming.bytes.is_empty() && *at <= self.now => {
                failed.take().map_or(Ok(0), Err)
            }
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn write<S: Write>(&mut self, stream: &mut S, bytes: &[u8]) -> io::Result<usize> {
        if let Some((_, failed)) = &mut self.outgoing.end {
            return Err(failed.take().unwrap_or_else(|| ErrorKind::BrokenPipe.into()));
        }
        self.write_out(stream, Some(self.now));
        let size = self.outgoing.room(&self.conditions).min(bytes.len());
        if size == 0 {
            if bytes.is_empty() {
                return Ok(0);
            }
            self.full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.outgoing.push(&bytes[..size], &self.conditions, &self.stalls, self.now);
        self.write_out(stream, Some(self.now));
        Ok(size)
    }

    /// Writes the bytes whose time has come, or all without a time.
    fn write_out<S: Write>(&mut self, stream: &mut S, now: Option<Instant>) {
        self.outgoing.seen = self.now;
        self.outgoing.write_to(stream, now);
    }

    /// Reads from the stream what fits, but not if the network is switched off: then the queue has to become empty.
    fn take_in<S: Read>(&mut self, stream: &mut S) {
        self.unread &= self.incoming.end.is_none();
        if !self.unread || self.conditions.is_off() {
            return;
        }
        let mut buffer = [0; 16 * 1024];
        while self.unread {
            let most = self.incoming.room(&self.conditions).min(buffer.len());
            if most == 0 {
                return;
            }
            match stream.read(&mut buffer[..most]) {
                Ok(0) => self.end(Ok(())),
                Ok(n) => self.incoming.push(&buffer[..n], &self.conditions, &self.stalls, self.now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.unread = false,
                Err(error) => self.end(Err(error)),
            }
        }
    }

    fn end(&mut self, how: io::Result<()>) {
        let at = self.incoming.arrival(0, &self.conditions, &self.stalls, self.now);
        self.incoming.end = Some((at, how.err()));
        self.unread = false;
    }
}

/// One direction.
struct DelayLine {
    bytes: VecDeque<u8>,
    /// Arrival times, in order, with the number of bytes.
    arrivals: VecDeque<(Instant, usize)>,
    /// Arrival time of the last byte: later bytes do not arrive earlier.
    last: Instant,
    /// Until when the bandwidth is used up.
    busy: Instant,
    /// What had arrived by then was reported, whether or not it was taken.
    seen: Instant,
    /// Arrival time of the stream's end, or of its error, behind the last byte.
    end: Option<(Instant, Option<io::Error>)>,
    /// The end was reported, whether or not all bytes before it were read.
    end_reported: bool,
    random: StdRng,
}

impl DelayLine {
    fn new(seed: u64, now: Instant) -> Self {
        Self {
            bytes: VecDeque::new(),
            arrivals: VecDeque::new(),
            last: now,
            busy: now,
            seen: now,
            end: None,
            end_reported: false,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns whether nothing is in flight and the stream has not ended.
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.end.is_none()
    }

    /// Returns how many bytes fit.
    fn room(&self, conditions: &Conditions) -> usize {
        capacity(conditions).saturating_sub(self.bytes.len())
    }

    /// Returns when the next bytes arrive, or the end, that were not reported.
    fn next_arrival(&self) -> Option<Instant> {
        let reported = self.arrivals.partition_point(|(at, _)| *at <= self.seen);
        let end = self.end.as_ref().filter(|_| !self.end_reported).map(|(at, _)| *at);
        self.arrivals.get(reported).map(|(at, _)| *at).or(end)
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.end.as_ref().is_some_and(|(at, _)| *at <= now)
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

    /// Returns when `size` bytes arrive that are sent now.
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

    /// Moves all arrivals to `latest` at the latest.
    fn arrive_by(&mut self, latest: Instant) {
        for (at, _) in &mut self.arrivals {
            *at = latest.min(*at);
        }
        if let Some((at, _)) = &mut self.end {
            *at = latest.min(*at);
        }
        self.last = latest.min(self.last);
        self.busy = latest.min(self.busy);
        // What arrives at once now was not reported yet.
        self.seen = self.seen.min(latest.checked_sub(Duration::from_nanos(1)).unwrap_or(latest));
    }

    /// Returns the next bytes that have arrived, as far as they are contiguous.
    fn arrived(&self, now: Option<Instant>) -> &[u8] {
        let arrived = self.arrivals.iter().take_while(|(at, _)| now.is_none_or(|now| *at <= now));
        let (front, _) = self.bytes.as_slices();
        // The caller takes what it gets, as a rule, so few entries are visited twice.
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

    /// Writes the bytes whose time has come, or all without a time, as far as the stream takes them.
    fn write_to<S: Write>(&mut self, stream: &mut S, now: Option<Instant>) {
        loop {
            let bytes = self.arrived(now);
            if bytes.is_empty() {
                return;
            }
            match stream.write(bytes) {
                Ok(n) if n > 0 => self.pop(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                failed => {
                    self.pop(self.bytes.len());
                    self.end = Some((self.seen, failed.err()));
                    return;
                }
            }
        }
    }
}

/// Times at which nothing arrives, in both directions of a connection.
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

    /// Returns when a byte arrives that would arrive at `at` without stalls.
    fn after(&self, at: Instant) -> Instant {
        let Some(since) = at.checked_duration_since(self.first).filter(|_| !self.every.is_zero()) else {
            return at;
        };
        let into = Duration::from_nanos((since.as_nanos() % self.every.as_nanos()) as u64);
        at + Conditions::STALL.saturating_sub(into)
    }
}

/// Returns when a connection is cut that has these conditions from now on. The time is random, so that a server's connections are not all
/// cut at once again and again.
fn cut_at(conditions: Conditions, random: &mut StdRng, now: Instant) -> Option<Instant> {
    let every = conditions.disconnect_every;
    (!every.is_zero()).then(|| now + random.random_range(every / 2..every * 3 / 2))
}

/// Bytes that may be in flight in one direction: what such a network carries, plus a buffer of a quarter of a second.
fn capacity(conditions: &Conditions) -> usize {
    if conditions.bandwidth == 0 {
        return IN_FLIGHT;
    }
    let per_second = conditions.bandwidth as usize * 125;
    let carried = per_second as f64 * (conditions.latency + conditions.jitter).as_secs_f64();
    (carried as usize).min(IN_FLIGHT) + (per_second / 4).clamp(4 * 1024, 32 * 1024)
}

/// Why a connection that was cut has ended; games see it as the last error.
const CUT: &str = "simulate_disconnect_every_sec has cut it";
/// Bytes of one TCP segment, without headers.
const SEGMENT: usize = 1460;
/// Bytes that may be in flight in one direction of one connection.
pub(crate) const IN_FLIGHT: usize = 1024 * 1024;
