//! A crowd: players who each own a node, and send its state to everybody else in each frame, through the server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::conn::Conn;
use crate::frame;
use crate::load::Load;
use crate::stats::Histogram;
use crate::wire::{self, Wire};

/// What the players send to each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Copies {
    /// A packet for each.
    Each,
    /// One message for all of them.
    Once,
    /// Nothing: the state is for the server.
    None,
}

/// What the synchronizers of the engine's clients send in one frame: the state for the server, and then a copy of it for each other client, in
/// the order in which the others joined.
#[derive(Debug)]
pub(crate) struct Crowd {
    wire: Wire,
    copies: Copies,
    ids: Vec<i32>,
    /// Frames per second.
    rate: f64,
    state: Vec<u8>,
    started: Instant,
    /// Frames from which on the state counts; the ones before warm up.
    counted_from: Duration,
    counted_until: Duration,
    /// States that others had to receive, and that were received.
    pub(crate) owed: u64,
    pub(crate) received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) age: Histogram,
    /// States that came in another order than they were sent.
    pub(crate) wrong: u64,
    /// For each receiver, the time of the last state of each sender.
    last: Vec<Vec<u64>>,
    /// In the frames that count.
    uploaded: Uploaded,
    /// When each receiver has got something last, and how often together.
    read_at: Vec<Option<Instant>>,
    reads: u64,
}

/// What all players have sent.
#[derive(Clone, Copy, Debug, Default)]
struct Uploaded {
    frames: u64,
    messages: u64,
    bytes: u64,
}

impl Crowd {
    /// `size`: bytes of a state, which contains the time at which it was sent.
    pub(crate) fn new(
        wire: Wire,
        copies: Copies,
        size: usize,
        rate: f64,
        ids: Vec<i32>,
        counted: [Duration; 2],
    ) -> Self {
        let mut state = vec![0x5a; size.max(TIME_AT + 8 + 4)];
        state[0] = STATE;
        state[ID_AT..][..4].copy_from_slice(&UNKNOWN.to_le_bytes());
        let size = state.len() - TIME_AT;
        state[ID_AT + 4..][..4].copy_from_slice(&(size as u32).to_le_bytes());
        let clients = ids.len();
        Self {
            wire,
            copies,
            ids,
            rate,
            state,
            started: Instant::now(),
            counted_from: counted[0],
            counted_until: counted[1],
            owed: 0,
            received: 0,
            bytes_received: 0,
            age: Histogram::new(),
            wrong: 0,
            last: vec![vec![0; clients]; clients],
            uploaded: Uploaded::default(),
            read_at: vec![None; clients],
            reads: 0,
        }
    }

    /// The same over WebSocket: see [`Crowd::send_due`].
    pub(crate) fn fill(&mut self, conn: &mut Conn) {
        let (index, mut sent) = (conn.index, conn.sent);
        let before = conn.out().len();
        let (frames, mut messages) = (sent, 0);
        self.send_due(index, &mut sent, |packet| {
            frame::append(conn.out(), OpCode::Data(Data::Binary), packet);
            messages += 1;
        });
        conn.sent = sent;
        if (self.counted_from..self.counted_until).contains(&self.started.elapsed()) {
            self.uploaded.frames += sent - frames;
            self.uploaded.messages += messages;
            self.uploaded.bytes += (conn.out().len() - before) as u64;
        }
    }

    /// Sends the packets of the frames that are due. The clients are out of phase with each other, as players are.
    pub(crate) fn send_due(&mut self, index: usize, frames: &mut u64, mut send: impl FnMut(&[u8])) {
        let offset = index as f64 * 0.618 % 1.0;
        let due = (self.started.elapsed().as_secs_f64() * self.rate + offset) as u64;
        while *frames < due {
            *frames += 1;
            let now = self.started.elapsed();
            if now >= self.counted_until {
                continue;
            }
            self.state[TIME_AT..][..8].copy_from_slice(&(now.as_nanos() as u64).to_le_bytes());
            self.state[TIME_AT + 8..][..4].copy_from_slice(&(index as u32).to_le_bytes());
            send(&self.state);
            let own = self.ids[index];
            let others = self.ids.iter().filter(|id| **id != own && **id != 0);
            let count = others.clone().count();
            match self.copies {
                Copies::Each => {
                    for to in others {
                        send(&[&self.wire.to_client(own, *to)[..], &self.state].concat());
                    }
                }
                Copies::Once => {
                    if *frames == 1 {
                        send(&wire::list(others.copied()));
                    }
                    send(&[&wire::for_list(count)[..], &self.state].concat());
                }
                Copies::None => continue,
            }
            if now >= self.counted_from {
                self.owed += count as u64;
            }
        }
    }
}

impl Load for Crowd {
    fn on_message(&mut self, conn: &mut Conn, payload: &[u8], now: Instant) {
        self.note(conn.index, payload);
        if (self.counted_from..self.counted_until).contains(&(now - self.started))
            && self.read_at[conn.index].replace(now) != Some(now)
        {
            self.reads += 1;
        }
    }
}

impl Crowd {
    /// Notes what a client has received.
    pub(crate) fn note(&mut self, index: usize, payload: &[u8]) {
        let Some(state) = self.wire.relayed(payload).filter(|state| state.first() == Some(&STATE)) else {
            return;
        };
        let number = |at: usize, size: usize| {
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&state[at..at + size]);
            u64::from_le_bytes(bytes)
        };
        let (sent, from) = (number(TIME_AT, 8), number(TIME_AT + 8, 4) as usize);
        let last = &mut self.last[index][from];
        self.wrong += u64::from(sent <= *last);
        *last = sent;
        let sent = Duration::from_nanos(sent);
        if sent >= self.counted_from {
            self.received += 1;
            self.bytes_received += payload.len() as u64;
            self.age.record(self.started.elapsed().saturating_sub(sent));
        }
    }

    pub(crate) fn report(&self, usable: usize, seconds: f64) -> Value {
        let per_frame = |count: u64| count as f64 / self.uploaded.frames.max(1) as f64;
        json!({
            "usable": usable,
            "owed": self.owed,
            "received": self.received,
            "delivered_percent": self.received as f64 / self.owed.max(1) as f64 * 100.0,
            "sent_messages_per_frame": per_frame(self.uploaded.messages),
            "sent_bytes_per_frame": per_frame(self.uploaded.bytes),
            "reads_per_frame": self.reads as f64 / (seconds * self.rate * usable.max(1) as f64),
            "updates_per_second": (self.received as f64 / seconds).round(),
            "age": self.age.to_json(),
            "wrong": self.wrong,
        })
    }
}

/// The command of a synchronizer's state (modules/multiplayer/scene_multiplayer.h).
const STATE: u8 = 6;
/// Behind the command and the counter of the synchronizer: its id, the size of its properties, and these.
const ID_AT: usize = 3;
const TIME_AT: usize = 11;
/// The id of no synchronizer of the server: it skips the state in silence, as while a node is not there yet
/// (modules/multiplayer/scene_replication_interface.cpp).
const UNKNOWN: u32 = 1;
