//! What usable connections do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::conn::Conn;
use crate::content::{self, Content};
use crate::frame::{self, Template};
use crate::stats::Histogram;
use crate::timeline::Timeline;
use crate::wire::{Wire, is_scene_system};

/// Reacts to events of a connection. Frames that it appends to the connection are sent afterwards.
pub(crate) trait Load {
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant);
}

/// Sends nothing, and counts the messages received.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) system_messages: u64,
    /// When the first and the last message were received.
    pub(crate) span: Option<(Instant, Instant)>,
}

impl Load for Sink {
    fn on_message(&mut self, _conn: &mut Conn, payload: &[u8], now: Instant) {
        if is_scene_system(payload) {
            self.system_messages += 1;
            return;
        }
        self.messages += 1;
        self.bytes += payload.len() as u64;
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }
}

/// The messages of a connection.
#[derive(Debug)]
enum Source {
    Numbered(Template),
    /// Those of a game, again and again; each connection begins with another one.
    Listed(Vec<Vec<u8>>),
}

impl Source {
    fn append(&self, conn: &mut Conn, prefix: &[u8]) {
        let (index, number) = (conn.index, conn.sent);
        match self {
            Self::Numbered(template) => template.append(conn.out(), prefix, number),
            Self::Listed(all) => {
                let message = [prefix, Self::listed(all, index, number)].concat();
                frame::append(conn.out(), OpCode::Data(Data::Binary), &message);
            }
        }
    }

    /// Returns whether a payload is the next one to be echoed.
    fn is_next(&self, conn: &Conn, payload: &[u8]) -> bool {
        match self {
            Self::Numbered(template) => template.is(payload, conn.echoed),
            Self::Listed(all) => Self::listed(all, conn.index, conn.echoed) == payload,
        }
    }

    fn listed(all: &[Vec<u8>], conn: usize, number: u64) -> &[u8] {
        &all[(conn * APART + number as usize) % all.len()]
    }
}

/// Keeps a number of messages in flight on each connection to an echo server.
#[derive(Debug)]
pub(crate) struct Echo {
    wire: Wire,
    source: Source,
    pub(crate) messages: u64,
    /// The results of each stage of the run.
    pub(crate) latency: Vec<Histogram>,
    pub(crate) stage: Arc<AtomicUsize>,
    /// Echoes that differ from the messages sent, or arrive in another order.
    pub(crate) wrong: u64,
    pub(crate) system_messages: u64,
    /// The run is over: nothing more is sent.
    pub(crate) stopped: bool,
    /// So many messages are sent on each connection, for now.
    pub(crate) most: u64,
}

impl Echo {
    /// Creates a load with this many stages, and starts the first one.
    pub(crate) fn new(wire: Wire, content: Content, size: usize, stages: usize) -> Self {
        let source = match content {
            Content::Bytes => Source::Numbered(Template::new(size, wire.to_server(0).len())),
            listed => Source::Listed(content::messages(listed, size)),
        };
        Self {
            wire,
            source,
            messages: 0,
            latency: vec![Histogram::new(); stages],
            stage: Arc::default(),
            wrong: 0,
            system_messages: 0,
            stopped: false,
            most: u64::MAX,
        }
    }

    /// Returns how many messages of each connection show their sizes: always the same ones, or none if all have one size.
    pub(crate) fn sample(&self) -> u64 {
        match &self.source {
            Source::Numbered(_) => 0,
            Source::Listed(all) => all.len().min(SAMPLE) as u64,
        }
    }

    /// Sends what may be in flight.
    pub(crate) fn fill(&self, conn: &mut Conn, in_flight: usize, now: Instant) {
        while conn.in_flight.len() < in_flight && conn.sent < self.most {
            self.send(conn, now);
        }
    }

    pub(crate) fn send(&self, conn: &mut Conn, now: Instant) {
        let prefix = self.wire.to_server(conn.id);
        self.source.append(conn, &prefix);
        conn.sent += 1;
        conn.in_flight.push_back(now);
    }
}

impl Load for Echo {
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        if is_scene_system(payload) {
            self.system_messages += 1;
            return;
        }
        let Some(sent_at) = conn.in_flight.pop_front() else {
            self.wrong += 1;
            return;
        };
        if !self.source.is_next(conn, payload) {
            self.wrong += 1;
        }
        conn.echoed += 1;
        self.messages += 1;
        self.latency[self.stage.load(Ordering::Relaxed)].record(now - sent_at);
        if !self.stopped && conn.sent < self.most {
            self.send(conn, now);
        }
    }
}

/// Sends at a steady rate, whether or not echoes return, and records their latencies.
#[derive(Debug)]
pub(crate) struct Steady {
    echo: Echo,
    /// Messages per second and connection.
    rate: f64,
    started: Instant,
    pub(crate) timeline: Timeline,
}

impl Steady {
    /// Creates a load whose latencies count for these stages.
    pub(crate) fn new(wire: Wire, size: usize, rate: f64, stages: usize, stage: Arc<AtomicUsize>) -> Self {
        let echo = Echo { stopped: true, stage, ..Echo::new(wire, Content::Bytes, size, stages) };
        Self { echo, rate, started: Instant::now(), timeline: Timeline::default() }
    }

    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
    }

    /// Sends the messages that are due on a connection; the connections are out of phase with each other.
    pub(crate) fn fill(&mut self, conn: &mut Conn, now: Instant) {
        let offset = conn.index as f64 * 0.618 % 1.0;
        let due = ((now - self.started).as_secs_f64() * self.rate + offset) as u64;
        while conn.sent < due {
            self.echo.send(conn, now);
            self.timeline.sent += 1;
        }
    }

    pub(crate) fn wrong(&self) -> u64 {
        self.echo.wrong
    }

    pub(crate) fn latency(&self, stage: usize) -> &Histogram {
        &self.echo.latency[stage]
    }
}

/// Lets a server send levels to all clients: one of them uploads the next as soon as all have the last.
#[derive(Debug)]
pub(crate) struct Levels {
    levels: Vec<Vec<u8>>,
    sent: usize,
    /// Copies that came, and that are to come.
    pub(crate) received: u64,
    owed: u64,
    pub(crate) wrong: u64,
}

impl Levels {
    pub(crate) fn new(size: usize) -> Self {
        let levels = content::messages(Content::Level, size);
        Self { levels, sent: 0, received: 0, owed: 0, wrong: 0 }
    }

    /// How many different ones there are.
    pub(crate) fn different(&self) -> usize {
        self.levels.len()
    }

    /// Returns whether all clients have what was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.received == self.owed
    }

    /// Sends the next one, if it is this client's turn.
    pub(crate) fn fill(&mut self, conn: &mut Conn, clients: usize) {
        if conn.index == 0 && self.is_done() {
            self.sent += 1;
            self.owed += clients as u64;
            frame::append(conn.out(), OpCode::Data(Data::Binary), self.current());
        }
    }

    fn current(&self) -> &[u8] {
        &self.levels[self.sent % self.levels.len()]
    }
}

impl Load for Levels {
    fn on_message(&mut self, _conn: &mut Conn, payload: &[u8], _now: Instant) {
        if is_scene_system(payload) {
            return;
        }
        self.received += 1;
        self.wrong += u64::from(payload != self.current());
    }
}

impl Load for Steady {
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        if let (Some(&sent_at), false) = (conn.in_flight.front(), is_scene_system(payload)) {
            self.timeline.note(now - self.started, now - sent_at);
        }
        self.echo.on_message(conn, payload, now);
    }
}

/// Pairs of clients that answer each other through the server.
#[derive(Debug)]
pub(crate) struct Relay {
    wire: Wire,
    template: Template,
    ids: Vec<i32>,
    /// When the messages to each client were sent, oldest first.
    in_flight: Vec<VecDeque<Instant>>,
    pub(crate) messages: u64,
    pub(crate) latency: Histogram,
    pub(crate) wrong: u64,
    pub(crate) stopped: bool,
}

impl Relay {
    pub(crate) fn new(wire: Wire, size: usize, ids: Vec<i32>) -> Self {
        Self {
            wire,
            template: Template::new(size, wire.to_client(0, 0).len()),
            in_flight: vec![VecDeque::new(); ids.len()],
            ids,
            messages: 0,
            latency: Histogram::new(),
            wrong: 0,
            stopped: false,
        }
    }

    /// Resets the results, after the server has warmed up.
    pub(crate) fn reset(&mut self) {
        self.messages = 0;
        self.latency = Histogram::new();
    }

    pub(crate) fn send(&mut self, conn: &mut Conn, now: Instant) {
        let partner = conn.index ^ 1;
        let (Some(&to), Some(waiting)) = (self.ids.get(partner), self.in_flight.get_mut(partner)) else {
            return;
        };
        let (prefix, number) = (self.wire.to_client(conn.id, to), conn.sent);
        self.template.append(conn.out(), &prefix, number);
        conn.sent += 1;
        waiting.push_back(now);
    }
}

impl Load for Relay {
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        let Some(payload) = self.wire.relayed(payload) else { return };
        let Some(sent_at) = self.in_flight.get_mut(conn.index).and_then(VecDeque::pop_front) else {
            self.wrong += 1;
            return;
        };
        if !self.template.is(payload, conn.echoed) {
            self.wrong += 1;
        }
        conn.echoed += 1;
        self.messages += 1;
        self.latency.record(now - sent_at);
        if !self.stopped {
            self.send(conn, now);
        }
    }
}

/// How many messages the connections are apart: a prime, so that they are all over the list.
const APART: usize = 5003;
const SAMPLE: usize = 1000;
