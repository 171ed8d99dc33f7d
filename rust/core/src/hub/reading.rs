//! Reading of a connection, in turns of one read each.

use std::io::Read;
use std::mem;
use std::time::Instant;

use bytes::BytesMut;

use super::Hub;
use super::connection::{Connection, Stage};
use super::lists::has_room_for;
use super::relay::RELAY_TURN;
use super::transports::{ShortRead, Transports};
use crate::base::{ConnId, Packet};
use crate::channel::Notice;
use crate::session::{Context, Incoming, Payload, Ratio, ReadBurst};

impl Hub {
    /// Gives a connection one turn of reading.
    pub(super) fn read_turn<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get(conn) else { return };
        let read_closed = connection.io.read_closed;
        let Some((stream, short_read)) = io.stream(conn, now) else { return };
        let mut buffer = mem::take(&mut self.buffer);
        let trust = short_read == ShortRead::Drains && !read_closed;
        let more = self.read(conn, stream, &mut buffer, trust, now);
        self.buffer = buffer;
        if read_closed && self.connections.get(conn).is_some_and(|connection| !connection.session.is_ended())
        {
            self.remote_gone(conn, now);
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            if more {
                self.queues.read(conn, connection);
            }
            if connection.wants_write() {
                self.queues.flush(conn, connection);
            }
        }
        if mem::take(&mut self.comes_back) {
            self.come_back(io, conn, now);
        }
        self.complete_turn(io, conn, now);
    }

    /// Handles the bytes that an earlier turn left, then reads once from the stream. Returns whether there may be more to read.
    ///
    /// With `trust_short_reads`, a short read means that the stream is empty. Without it, only `WouldBlock` does, as on systems whose
    /// poller reports nothing before that.
    fn read<S: Read>(
        &mut self,
        conn: ConnId,
        stream: &mut S,
        buffer: &mut [u8],
        trust_short_reads: bool,
        now: Instant,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if connection.pending().is_some_and(|pending| pending.preamble.is_some())
            && !self.read_preamble(conn, stream, buffer, now)
        {
            return false;
        }
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if connection.tls_is_away {
            self.note_outcome(conn, now);
            return false;
        }
        if let Some(peer) = connection.connected_mut() {
            if let Some(deferred) = &peer.deferred
                && (peer.shared.incoming.is_paused() && !has_room_for(peer, deferred, &self.config)
                    || peer.relay_at.is_some_and(|at| now < at))
            {
                return false;
            }
            peer.relay_at = None;
            peer.note_progress(now);
        }
        let Some(room) = connection.may_read(buffer.len(), &self.counters, now) else {
            if self.pool.has_codecs() {
                connection.session.rest_inflating(&mut self.pool);
            }
            return false;
        };
        self.relayed = 0;
        let mut ahead = BytesMut::new();
        let (mut left, mut used, mut waits) = (0, 0, false);
        let inflates = self.pool.has_codecs() && connection.session.is_inflating();
        if connection.has_deferred() || connection.session.has_read_ahead() || inflates {
            ahead = connection.session.take_read_ahead();
            let mut burst = ReadBurst::new(&mut ahead);
            self.received(conn, &mut burst, now);
            left = burst.len();
            used = ahead.len() - left;
            let Some(connection) = self.connections.get(conn) else { return false };
            let inflates = connection.session.is_inflating();
            waits = left > 0 || connection.has_deferred() || inflates || self.relayed >= RELAY_TURN;
        }
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        // Read on behind bytes that came too early: the stream may have ended.
        let limit = if !waits || connection.session.awaits_decision() {
            room.min(buffer.len() - used).min(buffer.len() - left)
        } else {
            0
        };
        if limit == 0 {
            connection.session.keep(ahead, left, &[]);
            return self.end_turn(conn, 0, false, true, now);
        }
        let buffer = &mut buffer[..limit];
        let (mut burst, spent, unfinished) = match &mut connection.tls {
            None => (ReadBurst::read(stream, buffer), false, false),
            Some(tls) => {
                let burst = ReadBurst::read(&mut tls.stream(stream), buffer);
                let (received, overhead, spent) = (tls.has_received(), tls.take_overhead(), tls.take_spent());
                connection.note_received(received, now);
                connection.charge(overhead);
                // It may be a part of a record, which takes seconds on a slow way.
                (burst, spent, overhead > 0)
            }
        };
        let taken = burst.len();
        // TLS may hold decrypted bytes that did not fit this read.
        let short = taken < limit && trust_short_reads && connection.tls.is_none();
        let more = spent || taken > 0 && !short;
        connection.has_read(taken, now);
        self.received(conn, &mut burst, now);
        if let Some(connection) = self.connections.get_mut(conn)
            && connection.session.outcome().is_none()
            && let Some(tls) = connection.tls.take_if(|tls| tls.is_unchecked())
        {
            connection.tls_is_away = true;
            self.checks.push((conn, Box::new(tls)));
        }
        let rest = burst.bytes();
        let more = more || !rest.is_empty();
        if (left > 0 || !rest.is_empty())
            && let Some(connection) = self.connections.get_mut(conn)
        {
            connection.session.keep(ahead, left, rest);
        }
        self.end_turn(conn, taken, unfinished || taken > 0, more, now)
    }

    /// Handles the bytes of a turn.
    fn received(&mut self, conn: ConnId, burst: &mut ReadBurst<'_>, now: Instant) {
        // The cost of the relay is in its copies: their number is limited per turn.
        while self.relayed < RELAY_TURN
            && let Some(connection) = self.connections.get_mut(conn)
        {
            let incoming = if connection.has_deferred() {
                let deferred = connection.connected_mut().and_then(|peer| peer.deferred.take());
                deferred.map(|Packet { payload, text, .. }| Incoming::Message {
                    payload: Payload::Owned(payload),
                    text,
                })
            } else {
                connection
                    .session
                    .next(burst, &mut Context { config: &self.config, pool: &mut self.pool, now })
            };
            match incoming {
                None => break,
                Some(Incoming::Message { payload, text }) => {
                    if !self.message(conn, payload, text, now) {
                        break;
                    }
                }
                Some(Incoming::AckWanted) => self.queue_flush(conn),
                Some(Incoming::Acknowledged(received)) => self.acknowledged(conn, received),
                Some(Incoming::Request(request)) => self.request(conn, request, now),
                Some(Incoming::Opened { protocol }) => self.opened(conn, protocol, now),
                Some(Incoming::CloseRequested { code, reason }) => {
                    let connection =
                        self.connections.get(conn).filter(|connection| !connection.is_lost(&self.side));
                    if let Some(shared) = connection.and_then(Connection::shared) {
                        shared.set_closing();
                        self.notices.push(Notice::CloseRequested { id: shared.id, code, reason });
                    }
                }
            }
        }
    }

    /// Completes a turn that read `taken` bytes. `came`: the stream had some, perhaps only a part of a TLS record. Returns whether the
    /// connection is to be read again at once.
    fn end_turn(
        &mut self,
        conn: ConnId,
        taken: usize,
        came: bool,
        may_have_more: bool,
        now: Instant,
    ) -> bool {
        self.close_run();
        let may_have_more = may_have_more | (self.pool.has_codecs() && self.end_inflating(conn, now));
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if let Stage::Connected(peer) = &mut connection.stage
            && peer.deferred.is_none()
            && mem::take(&mut peer.awaits_relay)
        {
            connection.session.resume(now);
        }
        if let Stage::Connected(peer) = &mut connection.stage {
            peer.recount_unread();
            peer.note_received(taken, now);
            let session = &connection.session;
            if let Some(resumable) = &mut peer.resumable
                && resumable.note_received(taken, session.received(), now, || {
                    came && (taken == 0 || session.is_within_message())
                })
            {
                resumable.note_ack(connection.session.received());
                connection.session.owe_ack(false);
                self.queues.flush(conn, connection);
            }
        }
        let paused = connection.has_deferred() || connection.session.awaits_decision();
        connection.session.end_turn(came, may_have_more, now);
        self.counters.pings_unanswered.add(connection.session.take_unanswered_pings());
        if let Some(shared) = connection.shared()
            && let Some(rtt) = connection.session.rtt()
        {
            shared.figures.set_rtt(rtt);
        }
        self.counters.bytes_in.add(taken);
        self.note_outcome(conn, now);
        may_have_more && !paused
    }

    /// Ends the turn for the messages that were inflated in it. Returns whether one takes another turn.
    #[cold]
    #[inline(never)]
    fn end_inflating(&mut self, conn: ConnId, now: Instant) -> bool {
        let Ratio { plain, compressed } = self.pool.end_turn();
        let gained = plain.saturating_sub(compressed);
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        self.counters.compressed_in_bytes.add(compressed);
        self.counters.inflated_in_bytes.add(plain);
        if let Some(shared) = connection.shared() {
            shared.figures.compressed_in_bytes.add(compressed);
            shared.figures.inflated_in_bytes.add(plain);
        }
        // What a message has grown by counts for the limits as if it had come, or it would be a way around them.
        connection.charge(gained as isize);
        if let Some(resumable) = connection.resumable_mut() {
            resumable.note_gained(gained);
        }
        // A remote is not silent while a message of it waits, and nothing is read.
        let inflates = connection.session.is_inflating();
        if inflates {
            connection.session.pause(now);
        } else if !connection.has_deferred() {
            connection.session.resume(now);
        }
        inflates
    }
}
