//! One round: the order of all work of a hub.
//!
//! 1. Commands of the game, so that a packet of this frame is sent in this round.
//! 2. Reading: one bounded turn per peer, so that no peer keeps the others waiting.
//! 3. Writing: one bounded turn per connection and round, in whichever of its three places in the round.
//! 4. Deadlines. They come behind reading and writing: after a stop of the whole process, what came in time is still unread.
//! 5. Delivery to the game's thread, before the slow part.
//! 6. Handshakes, for a bounded time: a TLS handshake takes as long as hundreds of packets, and a thousand may come at once.

use std::time::{Duration, Instant};

use super::Hub;
use super::transports::{Next, Readiness, Step, Transports};
use crate::base::{CloseFrame, CloseReason, ConnId};

/// Time for handshakes in one round, or half of the time that the peers took, whichever is longer.
pub(crate) const HANDSHAKES_TURN: Duration = Duration::from_millis(1);
/// Commands of one round, counted in small packets for one peer each.
pub(crate) const COMMANDS_TURN: usize = 32 * 1024;
/// Turns of writing of a connection that the game drops.
const LAST_TURNS: usize = 16;
/// Events that a poller reports at once. If there are so many, more sockets may be ready.
pub(crate) const EVENTS: usize = 1024;

impl Hub {
    /// Takes what the poller reports of a stream. Returns whether the connection gets a turn because of it.
    pub(crate) fn ready(&mut self, conn: ConnId, ready: Readiness) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let mut is_new = false;
        if ready.writable && !connection.io.writable {
            connection.io.writable = true;
            self.queues.flush(conn, connection);
            is_new = true;
        }
        connection.io.read_closed |= ready.read_closed;
        if ready.readable || ready.read_closed {
            is_new |= !connection.io.read_queued;
            self.queues.read(conn, connection);
        }
        is_new
    }

    /// Does one round of work. `more_events`: more sockets may be ready than the poller could report.
    pub(crate) fn round<T: Transports>(&mut self, io: &mut T, now: Instant, more_events: bool) -> Next {
        self.rounds += 1;
        self.take_commands(io, now);
        io.checkpoint(Step::Commands);
        self.read_peers(io, now);
        io.checkpoint(Step::Read);
        self.write(io, now);
        io.checkpoint(Step::Write);
        // While more sockets may be ready, what came in time may still be unread.
        if more_events && self.rounds_put_off < self.connections.len() / EVENTS {
            self.rounds_put_off += 1;
        } else {
            self.rounds_put_off = 0;
            self.expire(io, now);
        }
        io.checkpoint(Step::Expire);
        self.write(io, now);
        self.hand_over();
        io.checkpoint(Step::Deliver);
        let served = self.serve_handshakes(io, now);
        io.checkpoint(Step::Handshakes);
        if served {
            self.write(io, now);
            self.hand_over();
        }
        if !self.expired.is_empty() {
            self.expire_sessions(now);
        }
        self.relieve(now);
        self.next(io, now)
    }

    /// Executes commands in order, a bounded number of them: a game may queue more in one frame than other connections can wait for.
    fn take_commands<T: Transports>(&mut self, io: &mut T, now: Instant) {
        if self.commands.is_empty() {
            self.mailbox.take_commands(&mut self.commands);
        }
        if self.folding.is_some() {
            return self.fold_commands(io, now);
        }
        let mut left = COMMANDS_TURN;
        while left > 0
            && let Some(command) = self.commands.pop()
        {
            left = left.saturating_sub(command.effort());
            self.command(io, command, now);
        }
    }

    /// The same where packets may be held.
    #[cold]
    #[inline(never)]
    fn fold_commands<T: Transports>(&mut self, io: &mut T, now: Instant) {
        let mut left = COMMANDS_TURN;
        while left > 0
            && let Some(command) = self.commands.pop()
        {
            left = left.saturating_sub(command.effort());
            if let Some(command) = self.fold(command, now) {
                self.command(io, command, now);
            }
        }
        self.end_hold(now);
    }

    fn read_peers<T: Transports>(&mut self, io: &mut T, now: Instant) {
        for _ in 0..self.queues.reads.len() {
            let Some(conn) = self.queues.reads.pop_front() else { break };
            self.read_queued(io, conn, now);
        }
    }

    fn read_queued<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.io.read_queued = false;
            self.read_turn(io, conn, now);
        }
    }

    /// Gives a turn to each connection that has something to write. Connections that are queued meanwhile wait for the next time.
    fn write<T: Transports>(&mut self, io: &mut T, now: Instant) {
        for _ in 0..self.queues.flushes.len() {
            let Some(conn) = self.queues.flushes.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.io.flush_queued = false;
                self.flush(io, conn, now);
            }
        }
    }

    /// Handles the deadlines that have expired.
    fn expire<T: Transports>(&mut self, io: &mut T, now: Instant) {
        // A new deadline that is due at once waits for the next round, so that this loop ends.
        for _ in 0..self.timers.len() {
            let Some(conn) = self.timers.pop(now) else { break };
            let Some(connection) = self.connections.get_mut(conn) else { continue };
            connection.io.timer = None;
            if self.is_due(conn, now) {
                self.look_once_more(io, conn, now);
            }
            if self.is_due(conn, now) {
                self.expire_one(conn, now);
            }
            self.complete_turn(io, conn, now);
        }
    }

    fn is_due(&self, conn: ConnId, now: Instant) -> bool {
        self.deadline(conn).is_some_and(|deadline| deadline <= now)
    }

    /// Reads and writes once before a deadline is applied. After a stop of the whole process, the poller may not have reported yet
    /// what came, or that the stream takes data again.
    fn look_once_more<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        self.read_turn(io, conn, now);
        if let Some(connection) = self.connections.get_mut(conn)
            && connection.wants_write()
            && !connection.io.writable
        {
            connection.io.writable = true;
            self.flush(io, conn, now);
        }
    }

    /// Delivers packets and notices to the game's thread.
    fn hand_over(&mut self) {
        self.arena.finish();
        self.commands.finish();
        self.pool.end_round();
        if let Some(bytes) = self.pool.codec_bytes() {
            self.counters.compression_bytes.set(bytes);
        }
        self.charge.set(self.pool.bytes());
        self.borrowed = 0;
        self.mailbox.deliver(&mut self.notices);
    }

    /// Accepts connections and continues handshakes, for a bounded time. Under load they get a third of the time, so that busy peers
    /// do not keep new clients out. Returns false if there were none.
    fn serve_handshakes<T: Transports>(&mut self, io: &mut T, now: Instant) -> bool {
        if self.queues.handshaking.is_empty() && !self.acceptor.is_wanted() {
            return false;
        }
        let start = io.clock();
        let time = HANDSHAKES_TURN.max((start - now) / 2);
        self.accept(io, now, start + time / 2);
        let end = start + time;
        for _ in 0..self.queues.handshaking.len() {
            let Some(conn) = self.queues.handshaking.pop_front() else { break };
            self.read_queued(io, conn, now);
            if io.clock() >= end {
                break;
            }
        }
        true
    }

    fn next<T: Transports>(&mut self, io: &mut T, now: Instant) -> Next {
        if self.is_finished(io, now) {
            return Next::Finished;
        }
        if !self.commands.is_empty() || !self.queues.is_empty() || self.may_accept() {
            return Next::Again;
        }
        let times = [self.timers.first(), self.acceptor.wake_at(), self.finish_by, self.held_until()];
        Next::Sleep { until: times.into_iter().flatten().min() }
    }

    fn is_finished<T: Transports>(&mut self, io: &mut T, now: Instant) -> bool {
        if let Some(by) = self.mailbox.shutdown_deadline() {
            // Commands that are older than the request to end come first.
            if self.finish_by.is_none() && (self.commands.is_empty() || by <= now) {
                self.finish(io, &CloseFrame::going_away(), now);
            }
            self.finish_by = self.finish_by.map(|finish_by| finish_by.min(by));
        }
        // A client without a connection has nothing left to do.
        let over = self.finish_by.is_some() || !self.opens;
        over && self.connections.len() == 0 || self.finish_by.is_some_and(|by| by <= now)
    }

    /// Closes all connections. The thread ends when they are gone, or at `close_timeout`.
    pub(super) fn finish<T: Transports>(&mut self, io: &mut T, frame: &CloseFrame, now: Instant) {
        self.unfold(now);
        io.stop_opening();
        self.opens = false;
        self.acceptor.stop();
        self.close_all(frame, now);
        self.finish_by = Some(now + self.config.close_timeout);
    }

    /// Drops a connection. Queued data is sent as far as the system takes it at once.
    pub(super) fn abort<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.session.send_uncompressed(&mut self.pool);
        }
        // Bounded, because a fast remote could otherwise keep this loop going.
        for _ in 0..LAST_TURNS {
            if !self.write_turn(io, conn, now) {
                break;
            }
        }
        self.fail(conn, CloseReason::Aborted, now);
        self.drop_connection(io, conn, now);
    }

    /// Completes a turn: reports the end of a connection, drops it when it is over, ends our side of the stream when everything is
    /// sent, and schedules the next deadline.
    pub(super) fn complete_turn<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let relays = self.relays();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.session.outcome().is_some() {
            self.complete_turn_of_ended(io, conn, now);
        } else if let Some(deadline) = connection.deadline(&self.config, relays, &self.queue_totals.outgoing)
        {
            self.timers.schedule(conn, &mut connection.io.timer, deadline);
        }
    }

    #[cold]
    fn complete_turn_of_ended<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        if let Some(connection) = self.connections.get(conn)
            && connection.is_lost(&self.side)
            && let Some(reason) = connection.session.outcome().cloned()
        {
            self.limit_suspended(now);
            return self.suspend(io, conn, reason, now);
        }
        self.note_outcome(conn, now);
        if self.connections.get(conn).is_some_and(|connection| connection.session.is_ended()) {
            return self.drop_connection(io, conn, now);
        }
        if self.take_half_close(conn) {
            let ended = io.shutdown_write(conn, now);
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.session.linger_from(ended);
                self.queues.read(conn, connection);
            }
        }
        self.schedule(conn);
    }

    /// Sends the closing alert of TLS and removes a connection.
    pub(super) fn drop_connection<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(mut connection) = self.connections.remove(conn) else { return };
        if let Some((stream, _)) = io.stream(conn, now) {
            connection.send_last_alert(stream);
        }
        io.close(conn);
        self.timers.cancel(conn, &mut connection.io.timer);
        connection.discard(&mut self.pool);
        self.discharge(&connection);
    }

    pub(super) fn schedule(&mut self, conn: ConnId) {
        let relays = self.relays();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Some(deadline) = connection.deadline(&self.config, relays, &self.queue_totals.outgoing) {
            self.timers.schedule(conn, &mut connection.io.timer, deadline);
        }
    }

    pub(super) fn queue_read(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            self.queues.read(conn, connection);
        }
    }

    pub(super) fn queue_flush(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            self.queues.flush(conn, connection);
        }
    }
}
