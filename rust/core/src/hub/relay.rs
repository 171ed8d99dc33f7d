//! The Godot 3 wire: the server tells its clients of each other and passes their packets on, without the game's thread.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::{Connection, Stage};
use super::delivery::{SMALL, may_deliver};
use super::{Hub, Side};
use crate::access::LogLine;
use crate::base::{ConnId, Packet, PeerId, Target};
use crate::channel::{Notice, PayloadRef, PeerShared, Reservation, WhenFull, charged};
use crate::config::{Mode, WireFormat};
use crate::session::Context;
use crate::wire::godot3::{self, System, system_message};

impl Hub {
    /// Server: tells a new client its id and of everyone, and everyone of it. To each of them the order is that of 3.6.
    pub(super) fn introduce(&mut self, conn: ConnId, id: PeerId, now: Instant) {
        self.tell(conn, System::YourId, id, now);
        self.tell(conn, System::Joined, PeerId::SERVER, now);
        let others: Vec<_> =
            self.ids.iter().filter(|(other, _)| **other != id).map(|(id, conn)| (*id, *conn)).collect();
        for (other, _) in &others {
            self.tell(conn, System::Joined, *other, now);
        }
        // Not before: one of them may have to be closed, and who has left cannot be introduced.
        for (_, other_conn) in others {
            self.tell(other_conn, System::Joined, id, now);
        }
    }

    /// Server: tells the others that one has left.
    pub(super) fn announce_left(&mut self, id: PeerId, now: Instant) {
        if self.config.mode != Mode::Multiplayer(WireFormat::Godot3) || !matches!(self.side, Side::Server(_))
        {
            return;
        }
        self.departed.push(id);
        // Telling somebody can close them: then the call that is under way already tells of that too.
        if self.departed.len() > 1 {
            return;
        }
        let mut told = 0;
        while let Some(id) = self.departed.get(told).copied() {
            let others: Vec<_> = self.ids.values().copied().collect();
            for conn in others {
                self.tell(conn, System::Left, id, now);
            }
            told += 1;
        }
        self.departed.clear();
    }

    /// A message with a header, behind the id; false: it waits for room.
    pub(super) fn routed_message(
        &mut self,
        conn: ConnId,
        link: &Arc<PeerShared>,
        message: Packet,
        now: Instant,
    ) -> bool {
        let serves = matches!(self.side, Side::Server(_));
        match godot3::decode(&message.payload) {
            Some(godot3::Message::Packet { from, to, payload }) if serves => {
                if from != link.id {
                    // As 3.6: the packet is ignored, the connection is kept.
                    self.note_ignored(link, format_args!("a packet in the name of {from}"), now);
                    return true;
                }
                let local = match to {
                    Target::All => true,
                    Target::One(id) => id == PeerId::SERVER,
                    Target::AllExcept(id) => id != PeerId::SERVER,
                };
                if self.must_wait(from, to, message.payload.len()) {
                    return self.wait_for_room(conn, message, now);
                }
                let packet = Packet { source: from, payload, text: message.text };
                if local && !packet.payload.is_empty() && !self.deliver(conn, link, packet, now) {
                    return self.hold(conn, message, now);
                }
                self.relay(from, to, &message.payload, now);
            }
            Some(godot3::Message::Packet { from, payload, .. }) => {
                let packet = Packet { source: from, payload, text: message.text };
                if !packet.payload.is_empty() && !self.deliver(conn, link, packet, now) {
                    return self.hold(conn, message, now);
                }
            }
            Some(godot3::Message::System(kind, id)) if !serves => {
                return self.told_of_another(conn, link, kind, id, message, now);
            }
            _ => self.note_ignored(link, format_args!("a message that is none of the Godot 3 wire"), now),
        }
        true
    }

    fn note_ignored(&mut self, link: &PeerShared, what: fmt::Arguments<'_>, now: Instant) {
        if log::log_enabled!(log::Level::Debug)
            && let Some(more) = self.may_log(LogLine::Ignored, link, now)
        {
            log::debug!("peer {} sent {what}: ignored{more}", link.id);
        }
    }

    /// Client: somebody came or went. It waits for the game like a packet does: a server cannot pile up notices either.
    fn told_of_another(
        &mut self,
        conn: ConnId,
        link: &PeerShared,
        kind: System,
        id: PeerId,
        message: Packet,
        now: Instant,
    ) -> bool {
        let known = self.others.contains(&id);
        let notice = match kind {
            System::Joined if id.is_client() && id != self.own_id && !known => Notice::Joined(id),
            System::Left if known => Notice::Left(id),
            // The server is known by its first message, and we know ourselves; a second id means nothing.
            _ => return true,
        };
        let Some(connection) = self.connections.get_mut(conn) else { return true };
        if !known && self.others.len() >= OTHERS_LIMIT {
            let what = format!("the server tells of more than {OTHERS_LIMIT} peers");
            connection.session.violation(
                1008,
                what,
                &mut Context { config: &self.config, pool: &mut self.pool, now },
            );
            self.queues.flush(conn, connection);
            return true;
        }
        if !may_deliver(link, godot3::SYSTEM_SIZE, &self.config) {
            return self.hold(conn, message, now);
        }
        connection.session.resume(now);
        link.incoming.add(godot3::SYSTEM_SIZE);
        if known {
            self.others.remove(&id);
        } else {
            self.others.insert(id);
        }
        self.notices.push(notice);
        true
    }

    /// A server of this wire passes packets on.
    pub(super) fn relays(&self) -> bool {
        self.config.mode == Mode::Multiplayer(WireFormat::Godot3) && matches!(self.side, Side::Server(_))
    }

    /// Says whether a message has to wait because the queues of the process are full. Nobody who takes its data is closed for
    /// that, and a sender cannot be told: it is not read until there is room, or until those whom the message is for have taken
    /// what they had, or are gone. What goes to those who keep up leaves with this round; it never waits for room that only reading
    /// on can make, as where this process is at both ends.
    fn must_wait(&mut self, from: PeerId, to: Target, size: usize) -> bool {
        let peers = if size > SMALL || matches!(to, Target::One(_)) { 1 } else { self.ids.len() };
        let size = size.saturating_mul(peers);
        let unpublished = self.pool.held().saturating_sub(self.charge.bytes());
        if self.queue_totals.outgoing.has_room(size.saturating_add(unpublished)) {
            return false;
        }
        // It leaves for nobody: it is for the game alone, or for one who is gone.
        if matches!(to, Target::One(id) if !self.ids.contains_key(&id)) {
            return false;
        }
        if self.borrowed > 0 && self.borrowed.saturating_add(size) > BORROWED {
            return true;
        }
        let is_behind = |id: PeerId| {
            let connection = self.ids.get(&id).and_then(|conn| self.connections.get(*conn));
            let link = connection.and_then(Connection::link);
            is_meant(from, to, id) && link.is_some_and(|link| link.outgoing.is_congested())
        };
        // Many may be waiting for the same one.
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

    /// Keeps a message until there is room, or the sender would be read on and its next one come first.
    fn wait_for_room(&mut self, conn: ConnId, message: Packet, now: Instant) -> bool {
        if let Some(Connection { stage: Stage::Connected(peer), session, .. }) =
            self.connections.get_mut(conn)
        {
            peer.deferred = Some(message);
            peer.relay_at = now.checked_add(RETRY);
            // Anew: what waited before it may have gone to the game, which starts the clock.
            session.pause(now);
            if !std::mem::replace(&mut peer.awaits_relay, true) {
                self.totals.reads_paused.add(1);
            }
        }
        false
    }

    /// Passes the message on as it is.
    fn relay(&mut self, from: PeerId, to: Target, message: &Bytes, now: Instant) {
        let size = message.len();
        // Large ones are not copied, whoever gets them, and count once.
        let large = (size > SMALL).then(|| charged(&self.queue_totals.outgoing, message.clone()));
        let message = large.as_ref().unwrap_or(message);
        match to {
            Target::One(id) => {
                // One that has just left is no mistake of the sender's.
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
        self.queue_or_close(conn, PayloadRef::shared(message), now);
    }

    /// Notice of others wait like packets do, or who reads nothing could be made to keep them for ever. The bound of the process
    /// is not looked at: nobody waits because somebody else came.
    fn tell(&mut self, conn: ConnId, kind: System, id: PeerId, now: Instant) {
        self.queue_or_close(conn, PayloadRef::copied(&system_message(kind, id)), now);
    }

    /// Nobody waits for an answer here, so a peer that has as much waiting as any may have cannot be refused: it is closed.
    fn queue_or_close(&mut self, conn: ConnId, payload: PayloadRef<'_>, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(link) = connection.link() else { return };
        // Whether the process has room was asked for the message as a whole.
        match link.reserve(payload.len(), WhenFull::Close, &self.config, || true) {
            Reservation::Taken => {}
            Reservation::Overflow => return self.overflow(conn, now),
            Reservation::Closed | Reservation::Dropped | Reservation::Refused => return,
        }
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        if connection.send(false, payload, &mut cx) {
            self.queues.flush(conn, connection);
        }
    }
}

/// Says whether a packet that one peer sends is for another.
fn is_meant(from: PeerId, to: Target, id: PeerId) -> bool {
    let named = match to {
        Target::One(one) => one == id,
        Target::All => true,
        Target::AllExcept(one) => one != id,
    };
    named && id != from
}

/// Other clients that a server may tell a client of.
pub(crate) const OTHERS_LIMIT: usize = 65_536;
/// Copies of relayed messages after which a connection's turn of reading is over.
pub(crate) const RELAY_TURN: usize = 4096;
/// After this time a message is tried again for which there was no room. Room may come from anywhere in the process.
pub(crate) const RETRY: Duration = Duration::from_millis(10);
/// Bytes that one round passes on, beyond the bound of the process, to those who keep up.
pub(crate) const BORROWED: usize = 256 * 1024;
