//! The relay of the Godot 3 wire: the server announces its clients to each other and relays their packets, without the game's thread.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::{Connection, Stage};
use super::delivery::{INLINE_MAX, may_deliver};
use super::{Hub, Side};
use crate::access::LogLine;
use crate::base::{ConnId, Packet, PeerId, Target};
use crate::channel::{Form, Notice, PayloadRef, PeerShared, Reservation, WhenFull, charged};
use crate::config::{Mode, WireFormat};
use crate::session::Context;
use crate::wire::godot3::{self, System, system_message};

impl Hub {
    /// Server: sends a new client its id and the ids of the others, and its id to the others. Each of them gets the order of 3.6.
    pub(super) fn introduce(&mut self, conn: ConnId, id: PeerId, now: Instant) {
        self.send_system(conn, System::YourId, id, now);
        self.send_system(conn, System::Joined, PeerId::SERVER, now);
        let others: Vec<_> =
            self.ids.iter().filter(|(other, _)| **other != id).map(|(id, conn)| (*id, *conn)).collect();
        for (other, _) in &others {
            self.send_system(conn, System::Joined, *other, now);
        }
        // Only now: this may close one of the others, and a peer that has left cannot be announced.
        for (_, other_conn) in others {
            self.send_system(other_conn, System::Joined, id, now);
        }
    }

    /// Server: announces that a peer has left.
    pub(super) fn announce_left(&mut self, id: PeerId, now: Instant) {
        if self.config.mode != Mode::Multiplayer(WireFormat::Godot3) || !matches!(self.side, Side::Server(_))
        {
            return;
        }
        self.departed.push(id);
        // An announcement can close its receiver. The call that is under way announces that end, too.
        if self.departed.len() > 1 {
            return;
        }
        let mut announced = 0;
        while let Some(id) = self.departed.get(announced).copied() {
            let others: Vec<_> = self.ids.values().copied().collect();
            for conn in others {
                self.send_system(conn, System::Left, id, now);
            }
            announced += 1;
        }
        self.departed.clear();
    }

    /// Handles a message with a header. Returns false if it waits for room.
    pub(super) fn routed_message(
        &mut self,
        conn: ConnId,
        shared: &Arc<PeerShared>,
        message: Packet,
        now: Instant,
    ) -> bool {
        let serves = matches!(self.side, Side::Server(_));
        match godot3::decode(&message.payload) {
            Some(godot3::Message::Packet { from, to, payload }) if serves => {
                if from != shared.id {
                    // As in 3.6, the packet is ignored and the connection stays.
                    self.note_ignored(shared, format_args!("a packet in the name of {from}"), now);
                    return true;
                }
                let local = match to {
                    Target::All => true,
                    Target::One(id) => id == PeerId::SERVER,
                    Target::AllExcept(id) => id != PeerId::SERVER,
                };
                if self.must_wait(from, to, message.payload.len()) {
                    return self.defer_for_relay(conn, message, now);
                }
                let packet = Packet { source: from, payload, text: message.text };
                if local && !packet.payload.is_empty() && !self.deliver(conn, shared, packet, now) {
                    return self.defer(conn, message, now);
                }
                self.relay(from, to, &message.payload, now);
            }
            Some(godot3::Message::Packet { from, payload, .. }) => {
                let packet = Packet { source: from, payload, text: message.text };
                if !packet.payload.is_empty() && !self.deliver(conn, shared, packet, now) {
                    return self.defer(conn, message, now);
                }
            }
            Some(godot3::Message::System(kind, id)) if !serves => {
                return self.handle_announcement(conn, shared, kind, id, message, now);
            }
            _ => self.note_ignored(shared, format_args!("a message that is not in the Godot 3 format"), now),
        }
        true
    }

    fn note_ignored(&mut self, shared: &PeerShared, what: fmt::Arguments<'_>, now: Instant) {
        if log::log_enabled!(log::Level::Debug)
            && let Some(more) = self.may_log(LogLine::Ignored, shared, now)
        {
            log::debug!("peer {} sent {what}: ignored{more}", shared.id);
        }
    }

    /// Client: handles that another client came or left. The notice takes room like a packet, so that a server cannot queue notices
    /// without limit.
    fn handle_announcement(
        &mut self,
        conn: ConnId,
        shared: &PeerShared,
        kind: System,
        id: PeerId,
        message: Packet,
        now: Instant,
    ) -> bool {
        let known = self.remote_peers.contains(&id);
        let notice = match kind {
            System::Joined if id.is_client() && id != self.own_id && !known => Notice::Joined(id),
            System::Left if known => Notice::Left(id),
            // Messages about the server and about this client have no meaning, nor has a second id.
            _ => return true,
        };
        let Some(connection) = self.connections.get_mut(conn) else { return true };
        if !known && self.remote_peers.len() >= REMOTE_PEERS_LIMIT {
            let what = format!("the server announced more than {REMOTE_PEERS_LIMIT} peers");
            connection.session.violation(
                1008,
                what,
                &mut Context { config: &self.config, pool: &mut self.pool, now },
            );
            self.queues.flush(conn, connection);
            return true;
        }
        if !may_deliver(shared, godot3::SYSTEM_SIZE, &self.config) {
            return self.defer(conn, message, now);
        }
        connection.session.resume(now);
        shared.incoming.add(godot3::SYSTEM_SIZE);
        if known {
            self.remote_peers.remove(&id);
        } else {
            self.remote_peers.insert(id);
        }
        self.notices.push(notice);
        true
    }

    /// Returns whether this is a server of the Godot 3 wire, which relays packets.
    pub(super) fn relays(&self) -> bool {
        self.config.mode == Mode::Multiplayer(WireFormat::Godot3) && matches!(self.side, Side::Server(_))
    }

    /// Returns whether a message has to wait because the queues of the process are full.
    ///
    /// No peer that takes its data is closed for that, and the sender cannot be told: it is not read until there is room, or until
    /// the receivers have taken what they had, or are gone. A message for receivers that keep up is sent in this round. It never waits
    /// for room that only reading can make, as when both ends are in this process.
    fn must_wait(&mut self, from: PeerId, to: Target, size: usize) -> bool {
        let peers = if size > INLINE_MAX || matches!(to, Target::One(_)) { 1 } else { self.ids.len() };
        let size = size.saturating_mul(peers);
        let unpublished = self.pool.bytes().saturating_sub(self.charge.bytes());
        if self.queue_totals.outgoing.has_room(size.saturating_add(unpublished)) {
            return false;
        }
        // It is relayed to no peer: it is for the game alone, or for a peer that is gone.
        if matches!(to, Target::One(id) if !self.ids.contains_key(&id)) {
            return false;
        }
        if self.borrowed > 0 && self.borrowed.saturating_add(size) > BORROWED {
            return true;
        }
        let is_behind = |id: PeerId| {
            let connection = self.ids.get(&id).and_then(|conn| self.connections.get(*conn));
            let shared = connection.and_then(Connection::shared);
            is_meant(from, to, id) && shared.is_some_and(|shared| shared.outgoing.is_congested())
        };
        // Many senders may wait for the same receiver.
        if self.behind.is_some_and(is_behind) {
            return true;
        }
        let behind = match to {
            Target::One(id) => Some(id).filter(|id| is_behind(*id)),
            _ => self.ids.keys().copied().find(|id| is_behind(*id)),
        };
        if behind.is_some() {
            self.behind = behind;
            return true;
        }
        self.borrowed += size;
        false
    }

    /// Defers a message until there is room. The sender is not read meanwhile: its next message must not come first.
    fn defer_for_relay(&mut self, conn: ConnId, message: Packet, now: Instant) -> bool {
        if let Some(Connection { stage: Stage::Connected(peer), session, .. }) =
            self.connections.get_mut(conn)
        {
            peer.deferred = Some(message);
            peer.relay_at = now.checked_add(RETRY);
            // Pause anew: delivery of the message before this one has resumed keepalive.
            session.pause(now);
            if !std::mem::replace(&mut peer.awaits_relay, true) {
                self.counters.reads_paused.add(1);
            }
        }
        false
    }

    /// Relays the message as it is.
    fn relay(&mut self, from: PeerId, to: Target, message: &Bytes, now: Instant) {
        let size = message.len();
        // A large message is shared by all receivers, and counts once.
        let large = (size > INLINE_MAX).then(|| charged(&self.queue_totals.outgoing, message.clone()));
        let message = large.as_ref().unwrap_or(message);
        match to {
            Target::One(id) => {
                // The receiver may have left just now: that is not an error of the sender.
                if let Some(conn) = self.ids.get(&id).copied().filter(|_| id != from) {
                    self.pass_on(conn, message, now);
                }
            }
            Target::All | Target::AllExcept(_) => {
                let meant = self.ids.iter().filter(|(id, _)| is_meant(from, to, **id));
                let conns: Vec<_> = meant.map(|(_, conn)| *conn).collect();
                for conn in conns {
                    self.pass_on(conn, message, now);
                }
            }
        }
    }

    fn pass_on(&mut self, conn: ConnId, message: &Bytes, now: Instant) {
        self.relayed += 1;
        let reservation = self.queue_or_close(conn, PayloadRef::shared(message), now);
        self.count_relayed(reservation, message.len());
    }

    /// Counts a packet for one receiver.
    pub(super) fn count_relayed(&self, reservation: Reservation, size: usize) {
        let counters = &self.counters;
        match reservation {
            Reservation::Taken => {
                counters.packets_relayed.add(1);
                counters.bytes_relayed.add(size);
            }
            Reservation::Closed => counters.packets_to_closed.driver.add(1),
            Reservation::Dropped => counters.packets_dropped_unreliable.driver.add(1),
            Reservation::Refused | Reservation::Overflow => counters.packets_refused.driver.add(1),
        }
    }

    /// Announcements take room like packets, or a client that reads nothing would collect them without limit. The limit of the process
    /// does not count: no peer waits because another one came.
    fn send_system(&mut self, conn: ConnId, kind: System, id: PeerId, now: Instant) {
        self.queue_or_close(conn, PayloadRef::copied(&system_message(kind, id)), now);
    }

    /// Queues a message without a caller that could be refused: a peer with a full output queue is closed. The limit of the process was
    /// checked for the message as a whole.
    fn queue_or_close(&mut self, conn: ConnId, payload: PayloadRef<'_>, now: Instant) -> Reservation {
        self.queue_packet(conn, Form::Binary, payload, WhenFull::Close, true, now)
    }

    /// Queues a message that the game's thread has not sent, if there is room for it. Returns what became of it.
    // A part of its callers, which know most of what it asks: a call costs more than 1 % of all instructions of a relay.
    #[inline(always)]
    pub(super) fn queue_packet(
        &mut self,
        conn: ConnId,
        form: Form,
        payload: PayloadRef<'_>,
        when_full: WhenFull,
        process_has_room: bool,
        now: Instant,
    ) -> Reservation {
        let Some(connection) = self.connections.get_mut(conn) else { return Reservation::Closed };
        let Some(shared) = connection.shared() else { return Reservation::Closed };
        // Most take data, and that is quicker to see.
        if !connection.session.takes_data() && connection.session.is_closing() {
            return Reservation::Closed;
        }
        let reservation = shared.reserve_now(payload.len(), when_full, &self.config, process_has_room);
        match reservation {
            Reservation::Taken => {
                let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
                if connection.send(form, payload, &mut cx) {
                    self.queues.flush(conn, connection);
                }
            }
            Reservation::Overflow => self.overflow(conn, now),
            Reservation::Closed | Reservation::Dropped | Reservation::Refused => {}
        }
        reservation
    }
}

/// Returns whether a packet of one peer is for another.
fn is_meant(from: PeerId, to: Target, id: PeerId) -> bool {
    let named = match to {
        Target::One(one) => one == id,
        Target::All => true,
        Target::AllExcept(one) => one != id,
    };
    named && id != from
}

/// Other clients that a server may announce to a client.
pub(crate) const REMOTE_PEERS_LIMIT: usize = 65_536;
/// Relayed copies after which a connection's turn of reading ends.
pub(crate) const RELAY_TURN: usize = 4096;
/// Time after which a message that had no room is tried again. Room may come from anywhere in the process.
pub(crate) const RETRY: Duration = Duration::from_millis(10);
/// Bytes that one round relays beyond the limit of the process, to receivers that keep up.
pub(crate) const BORROWED: usize = 256 * 1024;
