//! A proxy in the middle of a connection that passes bytes on late, in parts, slowly, or not at all, as a seed decides.
//!
//! Bytes of one direction keep their order, as with TCP. The two directions, and different connections, are independent.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;

/// One end of a connection.
pub(super) trait Stream: Read + Write {
    /// Ends this side: the other one reads the remaining bytes, and then the end.
    fn end(&mut self);
    /// Drops the connection, so that the other side sees an error.
    fn reset(&mut self);
}

/// The conditions of a connection, apart from its faults.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// The delay of bytes.
    pub(super) delay: Range<Duration>,
    /// The most bytes that are passed on at once.
    pub(super) piece: usize,
    /// Bytes that may be in flight in each direction.
    pub(super) window: usize,
}

impl Weather {
    /// Returns how many bytes certainly pass in one direction in this time.
    pub(super) fn passes_in(&self, time: Duration) -> usize {
        let rounds = time.as_millis() / self.delay.end.as_millis().max(1);
        self.window.saturating_mul(rounds as usize)
    }
}

/// A fault of a connection.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing passes in this direction for a time, but nothing is lost.
    Stall(usize, Duration),
    /// From now on, at most this many bytes per second pass in this direction.
    Throttle(usize, usize),
    /// Nothing passes in either direction any more, without an error.
    Silence,
    /// This direction ends; further bytes are taken and dropped.
    HalfClose(usize),
    /// Both sides read the end at some time.
    Cut,
    /// Both sides read and write errors at once.
    Reset,
}

/// When.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    After(Duration),
    /// Exactly after this many bytes in that direction.
    Passed(usize, usize),
}

/// The proxy of one connection. Direction 0 is from side 0 to side 1, direction 1 back.
pub(super) struct Proxy<S> {
    sides: [S; 2],
    ways: [Way; 2],
    random: SmallRng,
    weather: Weather,
    planned: Vec<(When, Fault)>,
    began: Instant,
    over: bool,
    /// A fault has cost bytes, or much time.
    harmed: bool,
}

#[derive(Debug, Default)]
struct Way {
    /// When to pass them on.
    transit: VecDeque<(Instant, Vec<u8>)>,
    waiting: usize,
    passed: usize,
    frozen_until: Option<Instant>,
    /// The bytes per second, since when, and how many have passed since.
    throttle: Option<(usize, Instant, usize)>,
    source: Source,
    /// The end was passed on.
    ended: bool,
    /// The sink took nothing the last time.
    blocked: bool,
    /// All bytes are dropped.
    discards: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Source {
    #[default]
    Open,
    Ended,
    Reset,
}

impl<S: Stream> Proxy<S> {
    pub(super) fn new(
        sides: [S; 2],
        weather: Weather,
        planned: Vec<(When, Fault)>,
        random: SmallRng,
        now: Instant,
    ) -> Self {
        let ways = [Way::default(), Way::default()];
        Self { sides, ways, random, weather, planned, began: now, over: false, harmed: false }
    }

    /// Returns whether nothing is left to pass on.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_harmed(&self) -> bool {
        self.harmed
    }

    pub(super) fn sides(&self) -> &[S; 2] {
        &self.sides
    }

    /// Ends all faults that only delay; there are no further faults. What was lost stays lost.
    pub(super) fn calm_down(&mut self) {
        self.planned.clear();
        self.weather.window = 65_536;
        self.weather.delay = Duration::ZERO..Duration::from_millis(1);
        for way in &mut self.ways {
            way.throttle = None;
        }
    }

    /// Does what is due. Returns whether anything moved.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        if self.over {
            return false;
        }
        let mut moved = false;
        while let Some(at) = self.planned.iter().position(|(when, _)| self.is_due(*when, now)) {
            let (_, fault) = self.planned.remove(at);
            self.happen(&fault, now);
            moved = true;
        }
        for way in 0..2 {
            moved |= !self.over && (self.take_in(way, now) | self.pass_on(way, now));
        }
        if self.ways.iter().all(|way| way.ended) {
            self.over = true;
        }
        moved
    }

    /// Returns when to call `advance` again, if nothing arrives meanwhile.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.over {
            return None;
        }
        let faults = self.planned.iter().filter_map(|(when, _)| match *when {
            When::After(time) => Some(self.began + time),
            When::Passed(..) => None,
        });
        let ways = self.ways.iter().filter_map(|way| {
            let next = way.transit.front().map(|(due, _)| *due)?;
            let next = if way.blocked || way.throttle.is_some() { next.max(now + RETRY) } else { next };
            Some(way.frozen_until.map_or(next, |until| next.max(until)))
        });
        faults.chain(ways).min()
    }

    fn is_due(&self, when: When, now: Instant) -> bool {
        match when {
            When::After(time) => self.began + time <= now,
            When::Passed(way, bytes) => self.ways[way].passed >= bytes,
        }
    }

    fn happen(&mut self, fault: &Fault, now: Instant) {
        match *fault {
            Fault::Stall(way, time) => {
                self.harmed = true;
                self.ways[way].frozen_until = Some(now + time);
            }
            Fault::Throttle(way, rate) => {
                self.harmed = true;
                self.ways[way].throttle = Some((rate, now, 0));
            }
            Fault::Silence => {
                self.harmed = true;
                self.ways.iter_mut().for_each(|way| way.frozen_until = Some(now + NEVER));
            }
            Fault::HalfClose(way) => {
                self.harmed = true;
                let to = &mut self.ways[way];
                to.transit.clear();
                to.waiting = 0;
                to.ended = true;
                to.discards = true;
                self.sides[1 - way].end();
            }
            Fault::Cut => {
                self.harmed = true;
                self.over = true;
                self.sides.iter_mut().for_each(Stream::end);
            }
            Fault::Reset => self.drop_both(),
        }
    }

    fn drop_both(&mut self) {
        self.harmed = true;
        self.over = true;
        self.sides.iter_mut().for_each(Stream::reset);
    }

    fn take_in(&mut self, at: usize, now: Instant) -> bool {
        let mut moved = false;
        let mut buffer = [0; 4096];
        let way = &mut self.ways[at];
        while way.source == Source::Open && (way.waiting < self.weather.window || way.discards) {
            let room = if way.discards { usize::MAX } else { self.weather.window - way.waiting };
            let most = self.random.random_range(1..=self.weather.piece.min(buffer.len())).min(room);
            match self.sides[at].read(&mut buffer[..most]) {
                Ok(0) => way.source = Source::Ended,
                Ok(_) if way.discards => {}
                Ok(n) => {
                    let range = self.weather.delay.clone();
                    let delay = if range.is_empty() { range.start } else { self.random.random_range(range) };
                    let last = way.transit.back().map_or(now, |(due, _)| *due);
                    way.transit.push_back((last.max(now + delay), buffer[..n].to_vec()));
                    way.waiting += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => way.source = Source::Reset,
            }
            moved = true;
        }
        moved
    }

    fn pass_on(&mut self, at: usize, now: Instant) -> bool {
        if self.ways[at].ended || self.ways[at].frozen_until.is_some_and(|until| until > now) {
            return false;
        }
        let boundary = self.planned.iter().filter_map(|(when, _)| match *when {
            When::Passed(way, bytes) if way == at => Some(bytes),
            _ => None,
        });
        let boundary = boundary.min().unwrap_or(usize::MAX);
        let way = &mut self.ways[at];
        way.blocked = false;
        let mut moved = false;
        while let Some((due, bytes)) = way.transit.front_mut()
            && *due <= now
        {
            let mut most = bytes.len().min(boundary - way.passed);
            if let Some((rate, since, used)) = way.throttle {
                let earned = now.saturating_duration_since(since).as_micros() as usize * rate / 1_000_000;
                most = most.min(earned.saturating_sub(used));
            }
            if most == 0 {
                return moved;
            }
            match self.sides[1 - at].write(&bytes[..most]) {
                Ok(n) => {
                    moved = true;
                    if n == bytes.len() {
                        way.transit.pop_front();
                    } else {
                        bytes.drain(..n);
                    }
                    way.waiting -= n;
                    way.passed += n;
                    if let Some((.., used)) = &mut way.throttle {
                        *used += n;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    way.blocked = true;
                    return moved;
                }
                Err(_) => {
                    // The reader is gone, and an operating system would report that to the sender.
                    way.transit.clear();
                    way.waiting = 0;
                    way.ended = true;
                    way.discards = true;
                    self.sides[at].reset();
                    return true;
                }
            }
        }
        if way.transit.is_empty() && way.source != Source::Open {
            way.ended = true;
            match way.source {
                Source::Reset => self.sides[1 - at].reset(),
                _ => self.sides[1 - at].end(),
            }
            moved = true;
        }
        moved
    }
}

/// The time after which a sink that takes nothing is tried again.
const RETRY: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_secs(1_000_000);
