//! The only send path: the checks of a packet, the room for it, and the command that passes it to the I/O thread.
//!
//! It serves both the object and the handle of a peer.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::open::Open;
use super::{Peer, Status};
use crate::base::{CloseReason, ConnId, Delivery, PeerId, SendError, Target};
use crate::channel::{
    Command, Counters, Form, Mailbox, PayloadRef, PeerShared, QueueTotal, Reservation, WhenFull, charged,
};
use crate::config::{Mode, OverflowPolicy, PeerConfig, WireFormat};
use crate::event::Event;
use crate::hub::INLINE_MAX;
use crate::session::Role;
use crate::wire::godot3::{HEADER, packet_header};
use crate::wire::godot4::ANNOUNCEMENT;

/// A packet that a game sends, on its way to one peer or several.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// The wire header.
    pub(super) header: Option<&'a [u8; HEADER]>,
    pub(super) payload: &'a [u8],
    pub(super) text: bool,
    pub(super) when_full: WhenFull,
}

impl Outgoing<'_> {
    /// The size that counts against the output limits.
    fn size(&self) -> usize {
        self.payload.len() + self.header.map_or(0, |header| header.len())
    }

    fn form(&self) -> Form {
        match (self.when_full, self.text) {
            (WhenFull::Drop, _) => Form::Unreliable,
            (_, true) => Form::Text,
            (_, false) => Form::Binary,
        }
    }

    /// Sends the packet to one peer, if there is room.
    pub(super) fn send(
        self,
        shared: &PeerShared,
        mailbox: &Mailbox,
        copies: &mut Copies,
        config: &PeerConfig,
    ) -> Reservation {
        let has_room = || copies.prepare(&self, 1, &mailbox.queue_total);
        let reservation = shared.reserve(self.size(), self.when_full, config, has_room);
        if reservation == Reservation::Taken {
            mailbox.send(shared.conn, copies.payload(self), self.form());
        } else {
            count(reservation, &mailbox.counters);
            copies.complain(mailbox);
        }
        reservation
    }
}

/// Counts a packet that was not taken.
fn count(reservation: Reservation, counters: &Counters) {
    let counter = match reservation {
        Reservation::Taken => return,
        Reservation::Closed => &counters.packets_to_closed,
        Reservation::Dropped => &counters.packets_dropped_unreliable,
        Reservation::Refused | Reservation::Overflow => &counters.packets_refused,
    };
    counter.game.add(1);
}

/// Checks a packet, whatever its target is.
pub(super) fn check(payload: &[u8], text: bool, config: &PeerConfig) -> Result<(), SendError> {
    if payload.is_empty() && config.mode != Mode::Raw {
        return Err(SendError::Empty);
    }
    if payload.len() > config.max_packet_size() {
        return Err(SendError::TooLarge { size: payload.len(), max: config.max_packet_size() });
    }
    if text && std::str::from_utf8(payload).is_err() {
        return Err(SendError::NotUtf8);
    }
    Ok(())
}

/// Makes the copies of packets, if the process has room for them.
#[derive(Default)]
pub(super) struct Copies {
    /// The last large payload. The engine sends the same buffer to one peer after the other, and one copy serves all of them.
    last: Bytes,
    /// The process had no room for a packet.
    process_is_full: bool,
}

impl Copies {
    /// Checks the room of the process for a packet to this many peers; returns false if there is none. A large payload is copied once, also
    /// over several calls, and takes room once.
    fn prepare(&mut self, packet: &Outgoing<'_>, peers: usize, total: &Arc<QueueTotal>) -> bool {
        let payload = packet.payload;
        let is_small = payload.len() <= INLINE_MAX;
        if !is_small && self.last.as_ref() == payload {
            return true;
        }
        let size = if is_small { packet.size().saturating_mul(peers) } else { payload.len() };
        if !total.has_room(size) {
            self.process_is_full = true;
            return false;
        }
        if !is_small {
            self.last = charged(total, Vec::from(payload));
        }
        true
    }

    /// Returns the payload of a prepared packet.
    fn payload<'a>(&'a self, packet: Outgoing<'a>) -> PayloadRef<'a> {
        let is_small = packet.payload.len() <= INLINE_MAX;
        let payload =
            if is_small { PayloadRef::copied(packet.payload) } else { PayloadRef::shared(&self.last) };
        payload.with_prefix(packet.header.map_or(&[], |header| header.as_slice()))
    }

    fn complain(&mut self, mailbox: &Mailbox) {
        if std::mem::take(&mut self.process_is_full) {
            mailbox.complain(Instant::now());
        }
    }
}

/// The sending half of an open object.
#[derive(Default)]
pub(super) struct Sender {
    copies: Copies,
    /// All connections, for broadcasts to every peer.
    everyone: Option<Arc<Vec<ConnId>>>,
    /// All peers in a list, for broadcasts, because the roster is scattered over memory. Empty: has to be made again.
    audience: Vec<(PeerId, Arc<PeerShared>)>,
    /// The connections of the present broadcast; kept to reuse its memory.
    taken: Vec<ConnId>,
    /// Peers without room for a broadcast; emitted at the next poll.
    refused: Vec<(PeerId, usize)>,
}

impl Sender {
    /// Notes that the roster has changed.
    pub(super) fn forget_roster(&mut self) {
        self.everyone = None;
        self.audience.clear();
    }

    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Forgets the refused packets of a peer about which no event follows.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        self.forget_roster();
        self.refused.retain(|(refused, _)| *refused != id);
    }

    pub(super) fn take_refused(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.refused.drain(..).map(|(id, size)| Event::PacketRefused { id, size }));
    }

    /// Forgets the last payload when the game polls.
    pub(super) fn forget_last(&mut self) {
        if !self.copies.last.is_empty() {
            self.copies.last = Bytes::new();
        }
    }
}

impl Peer {
    /// Sends a packet (multiplayer mode). All packets of a client go to the server, which relays them.
    ///
    /// # Errors
    /// [`SendError`]: not connected, unknown peer, empty, too large, no room for at least one of the peers (the others get the packet).
    pub fn send(&mut self, target: Target, payload: &[u8], delivery: Delivery) -> Result<(), SendError> {
        if self.status != Status::Connected {
            return self.send_behind_the_end(target);
        }
        let Some(open) = &mut self.open else { return Err(SendError::NotConnected) };
        let config = Rc::clone(&open.config);
        let config = config.borrow();
        let Mode::Multiplayer(wire) = config.mode else { return Err(SendError::NotConnected) };
        check(payload, false, &config)?;
        let mut header = None;
        if wire == WireFormat::Godot3 {
            header = Some(packet_header(PeerId(self.unique_id), target));
            if let (Role::Client, Target::One(id)) = (open.role, target)
                && id != PeerId::SERVER
                && !open.remote_peers.contains_key(&id)
            {
                return Err(SendError::UnknownPeer(id.0));
            }
        }
        let when_full = match (delivery, config.overflow_policy) {
            (Delivery::Droppable, _) => WhenFull::Drop,
            (Delivery::Reliable, OverflowPolicy::Refuse) => WhenFull::Refuse,
            (Delivery::Reliable, OverflowPolicy::Disconnect) => WhenFull::Close,
        };
        let packet = Outgoing { header: header.as_ref(), payload, text: false, when_full };
        let target = if open.role == Role::Client { Target::One(PeerId::SERVER) } else { target };
        match target {
            Target::One(id) => match open.send_one(id, packet, &config) {
                // The peer has gone, and its end may not have been emitted everywhere.
                Err(SendError::UnknownPeer(_)) if self.former.contains_key(&id) || self.is_leaving(id) => {
                    if let Some(open) = &self.open {
                        count(Reservation::Closed, &open.mailbox.counters);
                    }
                    Ok(())
                }
                outcome => outcome,
            },
            Target::All => open.send_many(None, packet, &config),
            Target::AllExcept(id) => open.send_many(Some(id), packet, &config),
        }
    }

    /// A server whose I/O thread has failed tells of one peer after the other, and the game tells the rest of each.
    #[cold]
    fn send_behind_the_end(&self, target: Target) -> Result<(), SendError> {
        match (&self.open, target) {
            (Some(open), Target::One(id)) if open.role == Role::Server && self.is_leaving(id) => {
                count(Reservation::Closed, &open.mailbox.counters);
                Ok(())
            }
            _ => Err(SendError::NotConnected),
        }
    }
}

impl Open {
    fn send_one(&mut self, id: PeerId, packet: Outgoing<'_>, config: &PeerConfig) -> Result<(), SendError> {
        let member = self.roster.get(&id).ok_or(SendError::UnknownPeer(id.0))?;
        let shared = member.shared();
        let reservation = packet.send(shared, &self.mailbox, &mut self.sender.copies, config);
        if packet.payload.len() == ANNOUNCEMENT {
            self.note_announcement(id, packet.payload, reservation == Reservation::Taken);
        }
        if reservation == Reservation::Taken {
            return Ok(());
        }
        match reservation {
            // A client has no other peer. A server's game sends to one peer after the other, and must not stop at one that is gone.
            Reservation::Closed if self.role == Role::Client => Err(SendError::ConnectionLost),
            Reservation::Taken | Reservation::Closed | Reservation::Dropped => Ok(()),
            Reservation::Refused => Err(SendError::Full),
            Reservation::Overflow => {
                self.overflow(shared);
                Err(SendError::Full)
            }
        }
    }

    /// Sends one command for all peers that have room.
    fn send_many(
        &mut self,
        except: Option<PeerId>,
        packet: Outgoing<'_>,
        config: &PeerConfig,
    ) -> Result<(), SendError> {
        let mut taken = std::mem::take(&mut self.sender.taken);
        let mut audience = std::mem::take(&mut self.sender.audience);
        if audience.is_empty() {
            audience.extend(self.roster.iter().map(|(id, member)| (*id, Arc::clone(member.shared()))));
        }
        let mut complete = true;
        let mut full = false;
        // All peers get the packet or none, because the limit of the process is no peer's fault.
        let mut prepared = None;
        for (id, shared) in audience.iter().filter(|(id, _)| Some(*id) != except) {
            let total = &self.mailbox.queue_total;
            let prepare = || self.sender.copies.prepare(&packet, audience.len(), total);
            let has_room = || *prepared.get_or_insert_with(prepare);
            let reservation = shared.reserve(packet.size(), packet.when_full, config, has_room);
            if reservation == Reservation::Taken {
                taken.push(shared.conn);
                continue;
            }
            complete = false;
            count(reservation, &self.mailbox.counters);
            match reservation {
                Reservation::Taken | Reservation::Closed | Reservation::Dropped => {}
                Reservation::Refused => {
                    if self.sender.refused.len() < REFUSED_LIMIT {
                        self.sender.refused.push((*id, packet.payload.len()));
                    }
                    full = true;
                }
                Reservation::Overflow => {
                    self.overflow(shared);
                    full = true;
                }
            }
        }
        self.sender.copies.complain(&self.mailbox);
        if !taken.is_empty() {
            let to = if complete && except.is_none() {
                Arc::clone(self.sender.everyone.get_or_insert_with(|| Arc::new(taken.clone())))
            } else {
                Arc::new(taken.clone())
            };
            self.mailbox.send_many(to, self.sender.copies.payload(packet), packet.form());
        }
        taken.clear();
        self.sender.taken = taken;
        self.sender.audience = audience;
        if full { Err(SendError::Full) } else { Ok(()) }
    }

    /// Closes a peer whose queue is full; its queued packets are dropped.
    fn overflow(&self, shared: &PeerShared) {
        shared.begin_closing(|| CloseReason::Overflow);
        shared.outgoing.clear();
        self.mailbox.command(Command::Overflow(shared.conn));
    }
}

/// The most refused packets that are emitted at the next poll, so that a game that does not poll does not collect more.
pub(crate) const REFUSED_LIMIT: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server::ServerInMemory;
    use crate::tls::{TlsServer, self_signed};

    const CLIENTS: usize = 20;
    const LARGE: usize = 60_000;

    /// Servers with clients that take everything, and a limit of the process for output.
    fn servers(limit: usize) -> Vec<(ServerInMemory, Vec<PeerId>)> {
        let (key, certificate) = self_signed("localhost");
        let identity = || TlsServer::new(&key, &certificate, "").expect("usable");
        let memory = |format, secure: bool| {
            let mut memory = ServerInMemory::new(format, secure.then(identity));
            let ids = (0..CLIENTS).map(|_| memory.connect()).collect();
            total(&mut memory).set_limit(limit);
            (memory, ids)
        };
        vec![
            memory(WireFormat::Godot4, false),
            memory(WireFormat::Godot4, true),
            memory(WireFormat::Godot3, false),
        ]
    }

    fn total(memory: &mut ServerInMemory) -> Arc<QueueTotal> {
        Arc::clone(&memory.peer().runtime.queue_totals.outgoing)
    }

    /// Makes all clients take everything. Returns the fewest and the most bytes that one of them took.
    fn deliver(memory: &mut ServerInMemory) -> (usize, usize) {
        memory.drive();
        let received = (0..CLIENTS).map(|client| memory.receive(client).len());
        let (least, most) = received.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
        memory.peer().begin_poll();
        assert_eq!(total(memory).bytes(), 0);
        assert_eq!(memory.peer().statistics().peers, CLIENTS, "nobody is closed");
        (least, most)
    }

    #[test]
    fn what_many_get_takes_room_once_however_it_is_sent() {
        for (mut memory, ids) in servers(5 * LARGE) {
            for round in 0..5 {
                let payload = vec![round; LARGE];
                // As the engine's SceneMultiplayer sends, and as one call.
                for id in ids.iter().take(CLIENTS / 2) {
                    memory
                        .peer()
                        .send(Target::One(*id), &payload, Delivery::Reliable)
                        .expect("there is room");
                }
                memory.peer().send(Target::All, &payload, Delivery::Reliable).expect("there is room");
            }
            assert_eq!(total(&mut memory).bytes(), 5 * LARGE);
            let server = memory.peer();
            assert_eq!(server.send(Target::All, &vec![9; LARGE], Delivery::Reliable), Err(SendError::Full));
            server.send(Target::One(ids[0]), &vec![9; LARGE], Delivery::Droppable).expect("no error");
            let statistics = server.statistics();
            assert_eq!(statistics.packets_refused, CLIENTS as u64);
            assert_eq!(statistics.packets_dropped_unreliable, 1);
            // The last payload is sent to the peers that have not got it.
            server.send(Target::One(ids[0]), &vec![4; LARGE], Delivery::Reliable).expect("it is there");
            let (least, most) = deliver(&mut memory);
            assert!((5 * LARGE..6 * LARGE).contains(&least), "{least}");
            assert!((11 * LARGE..12 * LARGE).contains(&most), "{most}");
            memory.peer().send(Target::All, &[9; LARGE], Delivery::Reliable).expect("there is room again");
            assert!(deliver(&mut memory).0 > LARGE);
        }
    }

    #[test]
    fn small_packets_take_room_for_each_and_a_broadcast_is_whole_or_none() {
        for (mut memory, ids) in servers(50_000) {
            memory.peer().send(Target::All, &[1; 1000], Delivery::Reliable).expect("there is room");
            memory
                .peer()
                .send(Target::AllExcept(ids[0]), &[2; 1000], Delivery::Reliable)
                .expect("there is room");
            // Packets of the Godot 3 format have a header.
            let waiting = total(&mut memory).bytes();
            assert!([1000, 1009].map(|size| (2 * CLIENTS - 1) * size).contains(&waiting), "{waiting}");
            let full = memory.peer().send(Target::All, &[3; 1000], Delivery::Reliable);
            assert_eq!(full, Err(SendError::Full));
            let refused = |memory: &mut ServerInMemory| {
                memory.peer().begin_poll();
                std::iter::from_fn(|| memory.peer().next_event(true))
                    .filter(|event| matches!(event, Event::PacketRefused { size: 1000, .. }))
                    .count()
            };
            assert_eq!(refused(&mut memory), CLIENTS, "each of them is reported");
            memory
                .peer()
                .send(Target::One(ids[0]), &[4; 1000], Delivery::Reliable)
                .expect("this one has room");
            memory.drive();
            let received: Vec<_> = (0..CLIENTS).map(|client| memory.receive(client).len()).collect();
            let packet = received[0] / 2;
            assert!([1004, 1013].contains(&packet), "{received:?}");
            assert_eq!(received, [2 * packet; CLIENTS]);
            memory.peer().send(Target::All, &[3; 1000], Delivery::Reliable).expect("there is room again");
            assert_eq!(deliver(&mut memory), (packet, packet));
        }
    }

    #[test]
    fn what_is_given_up_before_it_left_takes_no_room() {
        for (mut memory, ids) in servers(1 << 20) {
            for id in &ids {
                memory.peer().send(Target::One(*id), &[1; 500], Delivery::Reliable).expect("there is room");
                memory.peer().send(Target::One(*id), &[1; LARGE], Delivery::Reliable).expect("there is room");
                memory.peer().disconnect_now(*id);
            }
            memory.drive();
            memory.peer().begin_poll();
            assert_eq!(total(&mut memory).bytes(), 0);
            let total = total(&mut memory);
            drop(memory);
            assert_eq!(total.bytes(), 0);
        }
        for (mut memory, _) in servers(1 << 20) {
            memory.peer().send(Target::All, &[1; 500], Delivery::Reliable).expect("there is room");
            memory.peer().send(Target::All, &[1; LARGE], Delivery::Reliable).expect("there is room");
            let total = total(&mut memory);
            memory.peer().close();
            assert!(total.bytes() > LARGE, "it leaves first");
            drop(memory);
            assert_eq!(total.bytes(), 0);
        }
    }

    #[test]
    fn a_handle_keeps_to_the_same_room() {
        for (mut memory, ids) in servers(100_000) {
            let handles: Vec<_> = ids.iter().map(|id| memory.peer().peer(*id).expect("connected")).collect();
            handles[0].send(&[1; LARGE], false).expect("there is room");
            assert_eq!(handles[1].send(&[1; LARGE], false), Err(SendError::Full), "each makes its own copy");
            for handle in &handles {
                handle.send(&[1; 1000], false).expect("there is room");
            }
            deliver(&mut memory);
            handles[1].send(&[1; LARGE], false).expect("there is room again");
            deliver(&mut memory);
        }
    }
}
