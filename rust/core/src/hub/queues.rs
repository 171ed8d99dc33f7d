//! Who waits for a turn of reading or writing. Readiness is remembered until a call says `WouldBlock`, or a short read shows the same.

use std::collections::VecDeque;
use std::time::Instant;

use super::connection::Connection;
use crate::base::ConnId;
use crate::session::WRITE_TURN;

/// What is known of a connection's stream, and which queues the connection is in.
#[derive(Debug)]
pub(super) struct IoState {
    /// The stream takes bytes, as far as is known.
    pub(super) writable: bool,
    /// The remote ended its side, so that a short read does not mean that there is nothing more to learn.
    pub(super) read_closed: bool,
    /// It waits to be read.
    pub(super) read_queued: bool,
    /// It waits to be written to.
    pub(super) flush_queued: bool,
    /// Its entry among the timers.
    pub(super) timer: Option<Instant>,
    /// The last round in which it was written to.
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

    /// Says whether it has been written to in this round as much as one connection may be.
    pub(super) fn has_had_its_turn(&self, round: u64) -> bool {
        self.round == round && (self.cut_short || self.wrote >= WRITE_TURN)
    }

    /// Notes that it was written to.
    pub(super) fn wrote(&mut self, bytes: usize, cut_short: bool, round: u64) {
        if self.round != round {
            self.round = round;
            self.wrote = 0;
        }
        self.wrote += bytes;
        self.cut_short = cut_short;
    }
}

/// Connections that wait for a turn; each is in a queue once at most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Peers to be read.
    pub(super) reads: VecDeque<ConnId>,
    /// Connections to be read that are no peers yet, or were rejected.
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
