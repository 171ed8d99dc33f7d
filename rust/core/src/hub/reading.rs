//! How a connection is read: one turn at a time, each of one read.

use std::io::Read;
use std::mem;
use std::time::Instant;

use bytes::BytesMut;

use super::Hub;
use super::connection::{Connection, Stage};
use super::relay::RELAY_TURN;
use super::transports::{ShortRead, Transports};
use crate::base::{ConnId, Packet};
use crate::channel::{Notice, input_limits};
use crate::session::{Context, Incoming, Payload, ReadBurst};

impl Hub {
    /// Lets a connection read for one turn, whether or not it waits for another one.
    pub(super) fn read_turn<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(member) = self.members.get(conn) else { return };
        let read_closed = member.io.read_closed;
        let Some((stream, short_read)) = io.stream(conn, now) else { return };
        let mut buffer = mem::take(&mut self.buffer);
        let trust = short_read == ShortRead::Drains && !read_closed;
        let more = self.read(conn, stream, &mut buffer, trust, now);
        self.buffer = buffer;
        if read_closed && self.members.get(conn).is_some_and(|member| !member.session.is_ended()) {
            self.remote_gone(conn, now);
        }
        if let Some(member) = self.members.get_mut(conn) {
            if more {
                self.queues.read(conn, member);
            }
            if member.wants_write() {
                self.queues.flush(conn, member);
            }
        }
        self.settle(io, conn, now);
    }

    /// Reads what an earlier turn left, then once from the stream; true: there may be more to read.
    ///
    /// A short read means that the stream is empty, unless `trust_short_reads` is false: where the poller re-arms only
    /// after `WouldBlock`.
    fn read<S: Read>(
        &mut self,
        conn: ConnId,
        stream: &mut S,
        buffer: &mut [u8],
        trust_short_reads: bool,
        now: Instant,
    ) -> bool {
        let Some(member) = self.members.get_mut(conn) else { return false };
        if member.pending().is_some_and(|pending| pending.preamble.is_some())
            && !self.read_preamble(conn, stream, buffer, now)
        {
            return false;
        }
        let Some(member) = self.members.get_mut(conn) else { return false };
        if member.tls_is_away {
            self.note_outcome(conn, now);
            return false;
        }
        if let Some(peer) = member.connected_mut() {
            if let Some(deferred) = &peer.deferred
                && (peer.link.incoming.is_paused()
                    && !peer.link.incoming.has_room(deferred.payload.len(), &input_limits(&self.config))
                    || peer.relay_at.is_some_and(|at| now < at))
            {
                return false;
            }
            peer.relay_at = None;
            peer.note_progress(now);
        }
        let Some(room) = member.may_read(buffer.len(), &self.totals, now) else { return false };
        self.relayed = 0;
        let mut ahead = BytesMut::new();
        let (mut left, mut used) = (0, 0);
        if member.has_deferred() || member.session.has_read_ahead() {
            ahead = member.session.take_read_ahead();
            let mut burst = ReadBurst::new(&mut ahead);
            self.received(conn, &mut burst, now);
            left = burst.len();
            used = ahead.len() - left;
        }
        let Some(member) = self.members.get_mut(conn) else { return false };
        let waits = left > 0 || member.has_deferred() || self.relayed >= RELAY_TURN;
        // Behind what came too early there may be the end of the stream.
        let limit = if !waits || member.session.awaits_decision() {
            room.min(buffer.len() - used).min(buffer.len() - left)
        } else {
            0
        };
        if limit == 0 {
            member.session.keep(ahead, left, &[]);
            return self.end_turn(conn, 0, true, now);
        }
        let buffer = &mut buffer[..limit];
        let (mut burst, spent) = match &mut member.tls {
            None => (ReadBurst::read(stream, buffer), false),
            Some(tls) => {
                let burst = ReadBurst::read(&mut tls.stream(stream), buffer);
                let (heard, wrapping, spent) = (tls.has_heard(), tls.take_wrapping(), tls.take_spent());
                member.note_heard(heard, now);
                member.charge(wrapping);
                (burst, spent)
            }
        };
        let taken = burst.len();
        // A record of TLS may hold more than one read shows.
        let short = taken < limit && trust_short_reads && member.tls.is_none();
        let more = spent || taken > 0 && !short;
        member.has_read(taken, now);
        self.received(conn, &mut burst, now);
        if let Some(member) = self.members.get_mut(conn)
            && member.session.outcome().is_none()
            && let Some(tls) = member.tls.take_if(|tls| tls.is_unchecked())
        {
            member.tls_is_away = true;
            self.checks.push((conn, Box::new(tls)));
        }
        let rest = burst.bytes();
        let more = more || !rest.is_empty();
        if (left > 0 || !rest.is_empty())
            && let Some(member) = self.members.get_mut(conn)
        {
            member.session.keep(ahead, left, rest);
        }
        self.end_turn(conn, taken, more, now)
    }

    /// Lets a connection use bytes that came from it.
    fn received(&mut self, conn: ConnId, burst: &mut ReadBurst<'_>, now: Instant) {
        // What is relayed takes time by the copy, not by the byte.
        while self.relayed < RELAY_TURN
            && let Some(member) = self.members.get_mut(conn)
        {
            let incoming = if member.has_deferred() {
                let deferred = member.connected_mut().and_then(|peer| peer.deferred.take());
                deferred.map(|Packet { payload, text, .. }| Incoming::Message {
                    payload: Payload::Owned(payload),
                    text,
                })
            } else {
                member.session.next(burst, &mut Context { config: &self.config, pool: &mut self.pool, now })
            };
            match incoming {
                None => break,
                Some(Incoming::Message { payload, text }) => {
                    if !self.message(conn, payload, text, now) {
                        break;
                    }
                }
                Some(Incoming::Request(request)) => self.request(conn, request, now),
                Some(Incoming::Opened { protocol }) => self.opened(conn, protocol, now),
                Some(Incoming::CloseRequested { code, reason }) => {
                    if let Some(link) = self.members.get(conn).and_then(Connection::link) {
                        link.set_closing();
                        self.notices.push(Notice::CloseRequested { id: link.id, code, reason });
                    }
                }
            }
        }
    }

    /// Notes that a turn took so many bytes from the stream, which may have more or not; true: it is read on.
    fn end_turn(&mut self, conn: ConnId, taken: usize, may_have_more: bool, now: Instant) -> bool {
        let Some(member) = self.members.get_mut(conn) else { return false };
        if let Stage::Connected(peer) = &mut member.stage
            && peer.deferred.is_none()
            && mem::take(&mut peer.awaits_relay)
        {
            member.session.resume(now);
        }
        let paused = member.has_deferred() || member.session.awaits_decision();
        member.session.end_turn(taken, may_have_more, now);
        self.totals.pings_unanswered.add(member.session.take_unanswered_pings());
        if let Some(link) = member.link() {
            link.figures.bytes_in.add(taken);
            if taken > 0 {
                link.figures.set_last_receive(now.saturating_duration_since(link.info.opened));
            }
            if let Some(rtt) = member.session.rtt() {
                link.figures.set_rtt(rtt);
            }
        }
        self.totals.bytes_in.add(taken);
        self.note_outcome(conn, now);
        may_have_more && !paused
    }
}
