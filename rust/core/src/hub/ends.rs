//! Ends of peers: counters, log lines and notices.

use std::time::Instant;

use super::connection::Connection;
use super::{Hub, Side};
use crate::access::LogLine;
use crate::base::{CloseFrame, CloseReason, ConnId, Escaped};
use crate::channel::{Notice, PeerShared, PeerState};
use crate::session::Context;

impl Hub {
    /// Ends a connection whose stream failed.
    pub(super) fn fail(&mut self, conn: ConnId, reason: CloseReason, now: Instant) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.session.end(reason);
        }
        self.note_outcome(conn, now);
    }

    /// Reports the end of a connection once, as soon as it is known.
    #[inline]
    pub(super) fn note_outcome(&mut self, conn: ConnId, now: Instant) {
        let ends =
            |connection: &Connection| connection.session.outcome().is_some() && !connection.outcome_noted;
        if self.connections.get(conn).is_some_and(ends) {
            self.report_outcome(conn, now);
        }
    }

    #[cold]
    fn report_outcome(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        // The end of the turn takes its transport out.
        if connection.is_lost(&self.side) {
            return;
        }
        let Some(reason) = connection.session.outcome().cloned() else { return };
        connection.outcome_noted = true;
        self.end_session(conn, &reason, now);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Some(pending) = connection.pending_mut() {
            pending.id_deadline = None;
        }
        // Nothing is delivered after the end, but the stream is read to its own end.
        if connection.take_pause(now) {
            self.queues.read(conn, connection);
        }
        if let Some(shared) = connection.shared().cloned() {
            self.ids.remove(&shared.id);
            // The game has closed the peer, and takes none of its packets any more.
            if shared.state() == PeerState::Closed {
                shared.incoming.clear();
            }
            shared.set_closed(&reason);
            shared.outgoing.clear();
            self.note_left(&shared, reason, now);
            return;
        }
        self.counters.pending.decrease();
        match self.side {
            Side::Client { .. } => {
                let gone = connection.session.gone();
                if !self.redial_failed(gone, &reason, now) && !self.was_connected {
                    self.notices.push(Notice::Failed(reason));
                }
            }
            Side::Server(_) => self.note_rejected(conn, &reason, now),
        }
    }

    /// Handles that the remote has ended its side, or that the stream has failed. Data that it sent before may still be unread.
    pub(super) fn remote_gone(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.session.awaits_decision() {
            connection.session.end(CloseReason::LeftEarly);
        }
        connection.note_gone(now);
        if connection.take_pause(now) {
            self.queues.read(conn, connection);
        }
        self.note_outcome(conn, now);
    }

    /// Returns, once, whether our side of the stream should end now.
    pub(super) fn take_half_close(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if let Some(tls) = &mut connection.tls
            && connection.session.wants_half_close()
        {
            let is_queued = tls.queue_close_notify();
            let waits = tls.wants_write();
            if is_queued {
                self.queues.flush(conn, connection);
            }
            if waits {
                return false;
            }
        }
        connection.session.take_half_close()
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self, frame: &CloseFrame, now: Instant) {
        let conns: Vec<_> = self.connections.ids().collect();
        for conn in conns {
            self.close_with(conn, now, |session, cx| session.close(frame.clone(), cx));
        }
    }

    /// Closes a peer that does not take its packets, with 1013.
    pub(super) fn overflow(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.session.outcome().is_some() {
            return;
        }
        let (packets, bytes) =
            connection.session.overflow(&mut Context { config: &self.config, pool: &mut self.pool, now });
        if let Some(shared) = connection.shared().cloned() {
            self.counters.peers_overflowed.add(1);
            self.notices.push(Notice::Overflowed(shared.id));
            if let Some(more) = self.may_log(LogLine::Limit, &shared, now) {
                log::warn!(
                    "peer {} ({}) does not take its packets: closing it with 1013, {packets} packets ({bytes} bytes) are not delivered; raise \
                     max_out_buffer_kb / max_out_packets (set_buffers) or overflow_grace if this is a healthy peer{more}",
                    shared.id,
                    shared.address()
                );
            }
        }
        self.queue_flush(conn);
        self.note_outcome(conn, now);
    }

    /// Counts and logs the end of a peer, and delivers the notice.
    pub(super) fn note_left(&mut self, shared: &PeerShared, reason: CloseReason, now: Instant) {
        let line = match reason {
            CloseReason::Violation(_) => {
                self.counters.peers_violated.add(1);
                LogLine::Limit
            }
            CloseReason::TimedOut(_) => {
                self.counters.peers_timed_out.add(1);
                LogLine::Limit
            }
            _ => LogLine::Left,
        };
        if let Some(more) = self.may_log(line, shared, now) {
            let figures = &shared.figures;
            log::info!(
                "peer {} ({}) was connected for {:.1} s: {}; received {} packets ({} bytes), sent {} ({} bytes){more}",
                shared.id,
                shared.address(),
                now.saturating_duration_since(shared.info.opened).as_secs_f64(),
                Escaped(&reason.to_string()),
                figures.packets_in.get(),
                figures.bytes_in.get(),
                figures.packets_out.get(),
                figures.bytes_out.get(),
            );
        }
        let id = shared.id;
        self.notices.push(Notice::Disconnected { id, reason });
        self.announce_left(id, now);
    }

    /// As [`AccessPolicy::may_log`](crate::access::AccessPolicy::may_log); a client has but one connection to write about.
    pub(super) fn may_log(&mut self, line: LogLine, shared: &PeerShared, now: Instant) -> Option<String> {
        match &mut self.side {
            Side::Server(access) => access.may_log(line, shared.address().ip(), now),
            Side::Client { .. } => Some(String::new()),
        }
    }
}
