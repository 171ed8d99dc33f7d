//! What usable connections do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::conn::Conn;
use crate::frame::Template;
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

/// Keeps a number of messages in flight on each connection to an echo server.
#[derive(Debug)]
pub(crate) struct Echo {
    wire: Wire,
    template: Template,
    pub(crate) messages: u64,
    /// The results of each stage of the run.
    pub(crate) latency: Vec<Histogram>,
    pub(crate) stage: Arc<AtomicUsize>,
    /// Echoes that differ from the messages sent, or arrive in another order.
    pub(crate) wrong: u64,
    pub(crate) system_messages: u64,
    /// The run is over: nothing more is sent.
    pub(crate) stopped: bool,
}

impl Echo {
    /// Creates a load with this many stages, and starts the first one.
    pub(crate) fn new(wire: Wire, size: usize, stages: usize) -> Self {
        Self {
            wire,
            template: Template::new(size, wire.to_server(0).len()),
            messages: 0,
            latency: vec![Histogram::new(); stages],
            stage: Arc::default(),
            wrong: 0,
            system_messages: 0,
            stopped: false,
        }
    }

    pub(crate) fn send(&self, conn: &mut Conn, now: Instant) {
        let (prefix, number) = (self.wire.to_server(conn.id), conn.sent);
        self.template.append(conn.out(), &prefix, number);
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
        if !self.template.is(payload, conn.echoed) {
            self.wrong += 1;
        }
        conn.echoed += 1;
        self.messages += 1;
        self.latency[self.stage.load(Ordering::Relaxed)].record(now - sent_at);
        if !self.stopped {
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
    pub(crate) fn new(wire: Wire, size: usize, rate: f64) -> Self {
        let echo = Echo { stopped: true, ..Echo::new(wire, size, 1) };
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
