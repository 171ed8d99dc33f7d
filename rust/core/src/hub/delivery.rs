//! Delivery of received messages to the game: into the mailbox, or deferred until there is room.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Hub;
use super::connected::Connected;
use super::connection::{Connection, Stage};
use crate::base::{ConnId, Packet};
use crate::channel::{Counters, Notice, PayloadArena, PeerShared, input_limits};
use crate::config::{Mode, PeerConfig, WireFormat};
use crate::session::{Context, Payload};
use crate::wire::{godot3, godot4};

impl Hub {
    /// Delivers a message. Returns false if the peer's input buffer is full: the message is deferred, and reading pauses.
    pub(super) fn message(&mut self, conn: ConnId, payload: Payload<'_>, text: bool, now: Instant) -> bool {
        if self.grants_lists && !text && self.is_for_lists(conn, payload.bytes()) {
            return self.list_message(conn, payload, now);
        }
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        // Both threads use the count of references to this: it is once per packet, so it is left alone.
        let Stage::Connected(Connected { shared, .. }) = &connection.stage else {
            return self.first_message(conn, payload.bytes(), text, now);
        };
        if self.config.mode == Mode::Multiplayer(WireFormat::Godot3) {
            let shared = Arc::clone(shared);
            let message = Packet { source: shared.id, payload: payload.into_bytes(), text };
            return self.routed_message(conn, &shared, message, now);
        }
        if !may_deliver(shared, payload.bytes().len(), &self.config) {
            let message = Packet { source: shared.id, payload: payload.into_bytes(), text };
            return self.defer(conn, message, now);
        }
        connection.session.resume(now);
        count_in(shared, &self.counters, payload.bytes().len());
        let source = shared.id;
        // A larger packet is none that a game could send, and a peer may close for it: the game gets it, and says so.
        if let Some(target) = self.pairs.target(source, payload.bytes(), text)
            && payload.bytes().len() <= self.config.max_packet_size()
        {
            self.run_of(source).push(target, payload.bytes());
            return true;
        }
        self.close_run();
        let payload = unpinned(payload, &mut self.arena, self.config.mode);
        self.notices.push(Notice::Packet(Packet { source, payload, text }));
        true
    }

    /// Delivers a packet to the game. Returns false if there is no room.
    pub(super) fn deliver(
        &mut self,
        conn: ConnId,
        shared: &PeerShared,
        packet: Packet,
        now: Instant,
    ) -> bool {
        if !may_deliver(shared, packet.payload.len(), &self.config) {
            return false;
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.session.resume(now);
        }
        count_in(shared, &self.counters, packet.payload.len());
        let payload = unpinned(Payload::Owned(packet.payload), &mut self.arena, self.config.mode);
        self.notices.push(Notice::Packet(Packet { payload, ..packet }));
        true
    }

    /// Defers a message until the game has made room. Returns false: reading pauses.
    pub(super) fn defer(&mut self, conn: ConnId, message: Packet, now: Instant) -> bool {
        if let Some(Connection { stage: Stage::Connected(peer), session, .. }) =
            self.connections.get_mut(conn)
        {
            peer.deferred = Some(message);
            // It may have waited for the relay before.
            peer.awaits_relay = false;
            session.pause(now);
            self.counters.reads_paused.add(1);
        }
        false
    }

    /// Client: handles a message of a server that has not given it an id. Returns false if reading pauses.
    fn first_message(&mut self, conn: ConnId, message: &[u8], text: bool, now: Instant) -> bool {
        if text && let Some(reads_on) = self.grant(conn, message) {
            return reads_on;
        }
        if self.redial.is_some() {
            self.another_server(conn, now);
        } else {
            self.id_message(conn, message, now);
        }
        true
    }

    /// Client: handles the message that has to be its id.
    fn id_message(&mut self, conn: ConnId, message: &[u8], now: Instant) {
        let id = match self.config.mode {
            Mode::Multiplayer(WireFormat::Godot3) => match godot3::decode(&Bytes::copy_from_slice(message)) {
                Some(godot3::Message::System(godot3::System::YourId, id)) => {
                    Some(id).filter(|id| id.is_client())
                }
                _ => None,
            },
            _ => godot4::decode_id(message),
        };
        if let Some(id) = id {
            self.connected_to_server(conn, id, now);
            return;
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            let what = if message.starts_with(b"alive ") {
                "the URL has the item godot-multiplayer=alive.v1, by which web pages ask for other messages; remove it"
            } else {
                "the server's first message is not a peer id; is it a multiplayer server with the same wire_format?"
            };
            let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
            connection.session.violation(1002, what.to_owned(), &mut cx);
            self.queues.flush(conn, connection);
        }
    }
}

/// Says whether the game has room for a packet of a peer; if not, reading pauses.
#[inline]
pub(super) fn may_deliver(shared: &PeerShared, size: usize, config: &PeerConfig) -> bool {
    shared.incoming.has_room_or_pauses(size, 1, &input_limits(config))
}

/// Counts a message that the game gets.
#[inline]
pub(super) fn count_in(shared: &PeerShared, counters: &Counters, size: usize) {
    counters.packets_in.add(1);
    shared.figures.packets_in.add(1);
    shared.incoming.add(size);
}

/// Copies a small payload, so that queued packets do not keep read buffers alive.
pub(super) fn unpinned(payload: Payload<'_>, arena: &mut PayloadArena, mode: Mode) -> Bytes {
    match (payload.bytes().len(), mode) {
        (..=INLINE_MAX, Mode::Multiplayer(_)) => arena.copy(payload.bytes()),
        // Each raw peer has a queue of its own: packets that are not read must not keep the memory of others alive.
        (..=INLINE_MAX, Mode::Raw) => Bytes::copy_from_slice(payload.bytes()),
        _ => payload.into_bytes(),
    }
}

/// Payloads up to this size are copied.
pub(crate) const INLINE_MAX: usize = 1024;
