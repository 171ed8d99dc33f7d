//! What is due at which time.

use std::time::{Duration, Instant};

use super::Hub;
use crate::base::{CloseReason, ConnId, Phase};
use crate::session::Context;

impl Hub {
    /// When a connection is to be looked at.
    pub(crate) fn deadline(&self, conn: ConnId) -> Option<Instant> {
        let member = self.members.get(conn)?;
        [
            member.session.deadline(&self.config),
            member.pending().and_then(|pending| pending.id_deadline),
            member.overflow_deadline(&self.config, self.relays(), &self.queue_totals.outgoing),
            member.gone_deadline(&self.config),
            member.throttled_until(),
            member.relay_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due of a connection.
    pub(super) fn expire_one(&mut self, conn: ConnId, now: Instant) {
        let relays = self.relays();
        let Some(member) = self.members.get_mut(conn) else { return };
        if member.throttled_until().is_some_and(|until| until <= now) {
            member.end_throttling(now);
            self.queues.read(conn, member);
            return;
        }
        if member.relay_at().is_some_and(|at| at <= now) {
            if let Some(peer) = member.connected_mut() {
                peer.relay_at = None;
            }
            self.queues.read(conn, member);
            return;
        }
        let overflow = member.overflow_deadline(&self.config, relays, &self.queue_totals.outgoing);
        if overflow.is_some_and(|deadline| deadline <= now) {
            if member.is_stuck(&self.config, now) {
                self.overflow(conn, now);
            }
        } else if member.gone_deadline(&self.config).is_some_and(|deadline| deadline <= now) {
            if member.is_left_unread(self.mailbox.main_thread_idle(now) < POLLS, now) {
                let why = "the remote is gone, and the game has not taken all of what it sent";
                member.session.end(CloseReason::Lost(why.into()));
            }
        } else if member
            .pending()
            .and_then(|pending| pending.id_deadline)
            .is_some_and(|deadline| deadline <= now)
        {
            member.session.end(CloseReason::TimedOut(Phase::Handshake));
        } else {
            member.session.expire(&mut Context { config: &self.config, pool: &mut self.pool, now });
        }
        if let Some(member) = self.members.get_mut(conn)
            && member.wants_write()
        {
            self.queues.flush(conn, member);
        }
        self.note_outcome(conn, now);
    }
}

/// A game that has polled so lately can take its packets.
const POLLS: Duration = Duration::from_secs(1);
