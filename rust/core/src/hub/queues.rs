//! Connections that wait for a turn of reading or writing. Readiness is remembered until a call returns `WouldBlock`, or a short
//! read shows that the stream is empty.

use std::collections::VecDeque;
use std::time::Instant;

use super::connection::Connection;
use crate::base::ConnId;
use crate::session::WRITE_TURN;

/// Readiness of a connection's stream, and the queues that the connection is in.
#[derive(Debug)]
pub(super) struct IoState {
    /// The stream takes bytes, as far as is known.
    pub(super) writable: bool,
    /// The remote has ended its side: the end is still to be read behind the data, also after a short read.
    pub(super) read_closed: bool,
    /// The connection is in a queue of reads.
    pub(super) read_queued: bool,
    /// The connection is in the queue of writes.
    pub(super) flush_queued: bool,
    /// Time of its entry among the timers.
    pub(super) timer: Option<Instant>,
    /// The last round in which it was written.
    round: u64,
    /// Bytes that the stream took in that round.
    wrote: usize,
    /// The turn ended before everything was written.
    cut_short: bool,
}

impl IoState {
    /// A stream takes bytes until it says otherwise.
    pub(super) fn new() -> Self {
        Self {
            writable: true,
            read_closed: false,
            read_queued: false,
            flush_queued: false,
            timer: None,
            round: 0,
            wrote: 0,
            cut_short: false,
        }
    }

    /// The state of a peer whose stream is gone: it stays in its queues, and among the timers.
    pub(super) fn without_stream(&self) -> Self {
        Self {
            read_queued: self.read_queued,
            flush_queued: self.flush_queued,
            timer: self.timer,
            ..Self::new()
        }
    }

    /// The state of a peer that gets the stream of another connection.
    pub(super) fn with_stream_of(&self, other: &Self) -> Self {
        Self { writable: other.writable, read_closed: other.read_closed, ..self.without_stream() }
    }

    /// Returns whether the connection has used up its turn of writing in this round.
    pub(super) fn has_had_its_turn(&self, round: u64) -> bool {
        self.round == round && (self.cut_short || self.wrote >= WRITE_TURN)
    }

    /// Counts a write.
    pub(super) fn wrote(&mut self, bytes: usize, cut_short: bool, round: u64) {
        if self.round != round {
            self.round = round;
            self.wrote = 0;
        }
        self.wrote += bytes;
        self.cut_short = cut_short;
    }
}

/// Connections that wait for a turn, each at most once per queue.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Peers to be read.
    pub(super) reads: VecDeque<ConnId>,
    /// Connections to be read that are not peers yet, or were rejected.
    pub(super) handshaking: VecDeque<ConnId>,
    /// Connections that have something to write.
    pub(super) flushes: VecDeque<ConnId>,
}

impl Queues {
    #[inline]
    pub(super) fn read(&mut self, conn: ConnId, connection: &mut Connection) {
        if !std::mem::replace(&mut connection.io.read_queued, true) {
            let queue =
                if connection.connected().is_some() { &mut self.reads } else { &mut self.handshaking };
            queue.push_back(conn);
        }
    }

    #[inline]
    pub(super) fn flush(&mut self, conn: ConnId, connection: &mut Connection) {
        if !std::mem::replace(&mut connection.io.flush_queued, true) {
            self.flushes.push_back(conn);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.handshaking.is_empty() && self.flushes.is_empty()
    }
}
