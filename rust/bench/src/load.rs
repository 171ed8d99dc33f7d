//! What the connections do once they are usable.

use std::time::Instant;

use crate::conn::Conn;
use crate::frame::Template;
use crate::stats::Histogram;

/// Reacts to what happens on a connection. What it appends to the connection is sent afterwards.
pub(crate) trait Load {
    fn on_usable(&mut self, conn: &mut Conn, now: Instant);
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant);
}

/// Says nothing, but counts what it is told.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// `SceneMultiplayer`'s own packets: peers that come and go, authentication.
    pub(crate) system_messages: u64,
    /// Between one message and the next on the same connection.
    pub(crate) gaps: Histogram,
}

impl Sink {
    pub(crate) fn new() -> Self {
        Self { messages: 0, bytes: 0, system_messages: 0, gaps: Histogram::new() }
    }
}

impl Load for Sink {
    fn on_usable(&mut self, _conn: &mut Conn, _now: Instant) {}

    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        if payload.first() == Some(&SYSTEM) {
            self.system_messages += 1;
            return;
        }
        self.messages += 1;
        self.bytes += payload.len() as u64;
        if let Some(last) = conn.last_message_at.replace(now) {
            self.gaps.record(now - last);
        }
    }
}

/// Keeps a number of messages in flight on each connection.
#[derive(Debug)]
pub(crate) struct Echo {
    template: Template,
    size: usize,
    pub(crate) messages: u64,
    pub(crate) latency: Histogram,
    /// Echoes that are not what was sent, in the order sent.
    pub(crate) wrong: u64,
    pub(crate) system_messages: u64,
    /// Sends nothing more: the run is over.
    pub(crate) stopped: bool,
}

impl Echo {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            template: Template::new(size),
            size,
            messages: 0,
            latency: Histogram::new(),
            wrong: 0,
            system_messages: 0,
            stopped: false,
        }
    }

    /// Forgets what was counted while the server was warming up.
    pub(crate) fn reset(&mut self) {
        self.messages = 0;
        self.latency = Histogram::new();
    }

    pub(crate) fn send(&self, conn: &mut Conn, now: Instant) {
        let number = conn.sent;
        self.template.append(conn.out(), number);
        conn.sent += 1;
        conn.in_flight.push_back(now);
    }
}

impl Load for Echo {
    fn on_usable(&mut self, _conn: &mut Conn, _now: Instant) {}

    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        if payload.first() == Some(&SYSTEM) {
            self.system_messages += 1;
            return;
        }
        let Some(sent_at) = conn.in_flight.pop_front() else {
            self.wrong += 1;
            return;
        };
        if payload.len() != self.size || !self.template.is_echo(payload, conn.echoed) {
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

/// The first byte of what `SceneMultiplayer` says to itself.
const SYSTEM: u8 = 7;
