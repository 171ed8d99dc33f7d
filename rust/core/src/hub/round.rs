//! One round of a hub's work: the order of everything that happens to its connections.
//!
//! Every connection gets one bounded turn per round, so that none keeps the others waiting. Those that are not peers yet share a
//! bounded time per round: a handshake of TLS takes as long as hundreds of packets, and a thousand may come at once.

use std::time::{Duration, Instant};

use super::Hub;
use super::transports::{Next, Readiness, Step, Transports};
use crate::base::{CloseFrame, CloseReason, ConnId};

/// Time that handshakes get in one round, if half of what the peers took is not more.
pub(crate) const HANDSHAKES_TURN: Duration = Duration::from_millis(1);
/// What one round does of what the game asked for: so many small packets of one receiver each, or as much else.
pub(crate) const COMMANDS_TURN: usize = 32 * 1024;
/// Turns of writing that a connection gets which the game drops.
const LAST_TURNS: usize = 16;
/// Readiness that a poller reports at once; a full list means that more may be ready.
pub(crate) const EVENTS: usize = 1024;

impl Hub {
    /// Takes what the poller reports of a stream; true: that is new, and gives it a turn.
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

    /// Does what there is to do, a bounded part of it for each connection. `more_events`: the poller had more to report than it
    /// could.
    pub(crate) fn round<T: Transports>(&mut self, io: &mut T, now: Instant, more_events: bool) -> Next {
        self.rounds += 1;
        self.take_commands(io, now);
        io.checkpoint(Step::Commands);
        self.read_peers(io, now);
        io.checkpoint(Step::Read);
        self.write(io, now);
        io.checkpoint(Step::Write);
        // Behind reading and writing: after a stop of the whole process, what came in time is still unread, and what waits is
        // still unwritten although the stream would take it. A peer that kept its time must not be closed for that.
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
        self.serve_handshakes(io, now);
        io.checkpoint(Step::Handshakes);
        self.write(io, now);
        self.hand_over();
        self.next(io, now)
    }

    /// Does what the game asked for, in order and a bounded part of it: a game may ask for more in a frame than fits between two
    /// turns of everybody else.
    fn take_commands<T: Transports>(&mut self, io: &mut T, now: Instant) {
        if self.commands.is_empty() {
            self.mailbox.take_commands(&mut self.commands);
        }
        let mut left = COMMANDS_TURN;
        while left > 0
            && let Some(command) = self.commands.pop()
        {
            left = left.saturating_sub(command.effort());
            self.command(io, command, now);
        }
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

    /// Lets those write that have something to write. What is added meanwhile is for the next time.
    fn write<T: Transports>(&mut self, io: &mut T, now: Instant) {
        for _ in 0..self.queues.flushes.len() {
            let Some(conn) = self.queues.flushes.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.io.flush_queued = false;
                self.flush(io, conn, now);
            }
        }
    }

    /// Does what is due.
    fn expire<T: Transports>(&mut self, io: &mut T, now: Instant) {
        // What becomes due at once is for the next round: this one has to end, whatever a deadline is set to.
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
            self.settle(io, conn, now);
        }
    }

    fn is_due(&self, conn: ConnId, now: Instant) -> bool {
        self.deadline(conn).is_some_and(|deadline| deadline <= now)
    }

    /// Looks at the stream itself before a connection's time is up. After a stop of the whole process a poller that waits for
    /// nothing need not have reported yet what came, or that there is room for what waits.
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

    /// Passes what the round brought to the game's thread.
    fn hand_over(&mut self) {
        self.small.finish();
        self.commands.finish();
        self.charge.set(self.pool.held());
        self.borrowed = 0;
        self.totals.pending.set(self.pending);
        self.mailbox.deliver(&mut self.notices);
    }

    /// Accepts connections and lets them read, as far as the time goes. They get a third of all time when there is much to do, so
    /// that busy peers cannot keep them out either.
    fn serve_handshakes<T: Transports>(&mut self, io: &mut T, now: Instant) {
        if self.queues.handshaking.is_empty() && !self.acceptor.is_wanted() {
            return;
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
    }

    fn next<T: Transports>(&mut self, io: &mut T, now: Instant) -> Next {
        if self.is_finished(io, now) {
            return Next::Finished;
        }
        if !self.commands.is_empty() || !self.queues.is_empty() || self.may_accept() {
            return Next::Again;
        }
        let times = [self.timers.first(), self.acceptor.wake_at(), self.finish_by];
        Next::Sleep { until: times.into_iter().flatten().min() }
    }

    fn is_finished<T: Transports>(&mut self, io: &mut T, now: Instant) -> bool {
        if let Some(by) = self.mailbox.shutdown_deadline() {
            // What was asked for before the wish to end comes first.
            if self.finish_by.is_none() && (self.commands.is_empty() || by <= now) {
                self.finish(io, &CloseFrame::going_away(), now);
            }
            self.finish_by = self.finish_by.map(|finish_by| finish_by.min(by));
        }
        // A client that has no connection any more has nothing left to do.
        let over = self.finish_by.is_some() || !self.opens;
        over && self.connections.len() == 0 || self.finish_by.is_some_and(|by| by <= now)
    }

    /// Closes everything; the thread ends when all are gone, or their time is up.
    pub(super) fn finish<T: Transports>(&mut self, io: &mut T, frame: &CloseFrame, now: Instant) {
        io.stop_opening();
        self.opens = false;
        self.acceptor.stop();
        self.close_all(frame, now);
        self.finish_by = Some(now + self.config.close_timeout);
    }

    /// Drops a connection; what was sent before leaves as far as the system takes it at once.
    pub(super) fn cut<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        // As much as a peer may have waiting in a burst; a remote that takes everything at once is not served for ever.
        for _ in 0..LAST_TURNS {
            if !self.write_turn(io, conn, now) {
                break;
            }
        }
        self.fail(conn, CloseReason::Forced, now);
        self.drop_connection(io, conn, now);
    }

    /// Reports the end of a connection, drops one that is over, ends our side when it is time, and sees to the next deadline.
    pub(super) fn settle<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let relays = self.relays();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.session.outcome().is_some() {
            self.settle_ending(io, conn, now);
        } else if let Some(deadline) = connection.deadline(&self.config, relays, &self.queue_totals.outgoing)
        {
            self.timers.schedule(conn, &mut connection.io.timer, deadline);
        }
    }

    #[cold]
    fn settle_ending<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
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

    /// Lets TLS say what it has to say last, and forgets a connection.
    pub(super) fn drop_connection<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(mut connection) = self.connections.remove(conn) else { return };
        if let Some((stream, _)) = io.stream(conn, now) {
            connection.say_last(stream);
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
