//! Deadlines of connections.

use std::time::{Duration, Instant};

use super::Hub;
use super::connection::{Connection, Stage};
use crate::base::{CloseReason, ConnId, Phase};
use crate::channel::QueueTotal;
use crate::config::PeerConfig;
use crate::session::{Context, earlier};

impl Connection {
    /// Returns the earliest deadline of the connection.
    #[inline]
    pub(super) fn deadline(&self, config: &PeerConfig, relays: bool, total: &QueueTotal) -> Option<Instant> {
        let first = self.session.deadline(config);
        match &self.stage {
            Stage::Pending(pending) => earlier(first, pending.id_deadline),
            Stage::Connected(peer) => {
                let first = earlier(first, self.overflow_deadline(config, relays, total));
                let first = earlier(first, self.gone_deadline(config));
                let first = earlier(earlier(first, self.throttled_until()), self.relay_at());
                match &peer.resumable {
                    None => first,
                    Some(resumable) => earlier(first, resumable.deadline()),
                }
            }
        }
    }
}

impl Hub {
    /// Returns the earliest deadline of a connection.
    pub(crate) fn deadline(&self, conn: ConnId) -> Option<Instant> {
        self.connections.get(conn)?.deadline(&self.config, self.relays(), &self.queue_totals.outgoing)
    }

    /// Applies the deadline of a connection that has expired.
    pub(super) fn expire_one(&mut self, conn: ConnId, now: Instant) {
        if self.expire_session(conn, now) {
            return;
        }
        let relays = self.relays();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.throttled_until().is_some_and(|until| until <= now) {
            connection.end_throttling(now);
            self.queues.read(conn, connection);
            return;
        }
        if connection.relay_at().is_some_and(|at| at <= now) {
            if let Some(peer) = connection.connected_mut() {
                peer.relay_at = None;
            }
            self.queues.read(conn, connection);
            return;
        }
        let overflow = connection.overflow_deadline(&self.config, relays, &self.queue_totals.outgoing);
        if overflow.is_some_and(|deadline| deadline <= now) {
            let silent = connection.is_silent();
            match connection.is_stuck(&self.config, now) {
                true if silent => connection.session.end(CloseReason::TimedOut(Phase::Write)),
                true => self.overflow(conn, now),
                false => {}
            }
        } else if connection.gone_deadline(&self.config).is_some_and(|deadline| deadline <= now) {
            if connection.is_left_unread(self.mailbox.main_thread_idle(now) < POLLS, now) {
                let why = "the remote has disconnected, and the game has not taken all of its packets";
                connection.session.end(CloseReason::TransportError(why.into()));
            }
        } else if connection
            .pending()
            .and_then(|pending| pending.id_deadline)
            .is_some_and(|deadline| deadline <= now)
        {
            connection.session.end(CloseReason::TimedOut(Phase::Handshake));
        } else {
            connection.session.expire(&mut Context { config: &self.config, pool: &mut self.pool, now });
        }
        if let Some(connection) = self.connections.get_mut(conn)
            && (connection.wants_write() || connection.session.owes_ack())
        {
            self.queues.flush(conn, connection);
        }
        self.note_outcome(conn, now);
    }
}

/// A game that polled this recently is able to take its packets.
const POLLS: Duration = Duration::from_secs(1);
