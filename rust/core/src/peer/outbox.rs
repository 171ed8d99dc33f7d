//! What may leave, and what happens when a peer does not take its packets.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::open::Open;
use super::{Peer, Status};
use crate::base::{ConnId, Delivery, PeerId, SendError, Target};
use crate::budget::{QueueTotal, Reservation};
use crate::channel::counters::Counters;
use crate::config::{Mode, OverflowPolicy, PeerConfig, WireFormat};
use crate::event::Event;
use crate::hub::SMALL;
use crate::link::{Link, PeerState};
use crate::net::mailbox::{Command, Sent};
use crate::session::{Body, Role};
use crate::shared::shared;
use crate::wire::godot3::{HEADER, packet_header};

/// The sending half of an open object.
pub(super) struct Outbox {
    queue_total: Arc<QueueTotal>,
    /// The last payload: the engine sends the same buffer to peer after peer, and one copy serves them all.
    last: Bytes,
    /// All connections, for broadcasts that nobody is left out of.
    everyone: Option<Arc<Vec<ConnId>>>,
    /// All peers in a row, for broadcasts: the roster itself is scattered over memory. Empty: to be made again.
    audience: Vec<(PeerId, Arc<Link>)>,
    /// Connections that the broadcast at hand goes to; kept for its memory.
    taken: Vec<ConnId>,
    /// When it was written down last that the process has no room.
    complained: Option<Instant>,
    /// Peers for which a broadcast found no room, to be told at the next poll.
    refused: Vec<(PeerId, usize)>,
    counters: Arc<Counters>,
}

/// A packet on its way to one peer or several.
#[derive(Clone, Copy)]
struct Sending<'a> {
    /// The wire header.
    header: Option<&'a [u8; HEADER]>,
    payload: &'a [u8],
    delivery: Delivery,
}

impl Sending<'_> {
    /// What it counts for against the output limits.
    fn size(&self) -> usize {
        self.payload.len() + self.header.map_or(0, |header| header.len())
    }
}

/// What became of a packet for one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    /// Reserved.
    Taken,
    /// The peer is gone; the game hears of it at the next poll.
    Gone,
    /// Unreliable, and the peer does not keep up.
    Dropped,
    /// There is none now.
    Full,
    /// There is none, and the policy is to close the peer.
    Overflow,
}

impl Outbox {
    pub(super) fn new(queue_total: Arc<QueueTotal>, counters: Arc<Counters>) -> Self {
        Self {
            queue_total,
            last: Bytes::new(),
            everyone: None,
            audience: Vec::new(),
            taken: Vec::new(),
            complained: None,
            refused: Vec::new(),
            counters,
        }
    }

    /// The roster has changed.
    pub(super) fn forget_roster(&mut self) {
        self.everyone = None;
        self.audience.clear();
    }

    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Nothing more is told of this peer.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        self.forget_roster();
        self.refused.retain(|(refused, _)| *refused != id);
    }

    pub(super) fn take_refused(&mut self, events: &mut VecDeque<Event>) {
        events.extend(self.refused.drain(..).map(|(id, size)| Event::PacketRefused { id, size }));
    }

    /// The game polls: nobody is sent the last payload any more.
    pub(super) fn forget_last(&mut self) {
        if !self.last.is_empty() {
            self.last = Bytes::new();
        }
    }

    /// Finds room in the process for a packet to so many peers; false: there is none. A large payload is copied once, also over
    /// several calls: whoever is sent the same again takes no more room.
    fn prepare(&mut self, packet: &Sending<'_>, peers: usize) -> bool {
        let payload = packet.payload;
        if payload.len() <= SMALL {
            return self.has_room(packet.size().saturating_mul(peers));
        }
        if self.last.as_ref() != payload {
            if !self.has_room(payload.len()) {
                return false;
            }
            self.last = shared(&self.queue_total, Vec::from(payload));
        }
        true
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.queue_total.has_room(bytes);
        if !has_room && self.complained.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.complained = Some(Instant::now());
            log::warn!(
                "{} bytes wait to be sent in all queues of the process together, half of \
                 network/limits/websocket_total_queue_mb: packets are refused until some have left; send less, or raise it",
                self.queue_total.bytes()
            );
        }
        has_room
    }

    /// What leaves of a packet that was prepared.
    fn sent<'a>(&'a self, Sending { header, payload, .. }: Sending<'a>) -> Sent<'a> {
        let body = if payload.len() <= SMALL { Body::Borrowed(payload) } else { Body::Shared(&self.last) };
        Sent { header, body, text: false }
    }

    fn count(&self, room: Room) {
        let counter = match room {
            Room::Taken => return,
            Room::Gone => &self.counters.packets_to_closed,
            Room::Dropped => &self.counters.packets_dropped_unreliable,
            Room::Full | Room::Overflow => &self.counters.packets_refused,
        };
        counter.add(1);
    }
}

impl Peer {
    /// Sends a packet (multiplayer mode). A client's packets all go to the server, which passes them on.
    ///
    /// # Errors
    /// [`SendError`]: not connected, unknown peer, empty, too large, no room (for at least one of the peers; the others get it).
    pub fn send(&mut self, target: Target, payload: &[u8], delivery: Delivery) -> Result<(), SendError> {
        if self.status != Status::Connected {
            return Err(SendError::NotConnected);
        }
        let Some(open) = &mut self.open else { return Err(SendError::NotConnected) };
        let config = Rc::clone(&open.config);
        let config = config.borrow();
        if config.mode == Mode::Raw {
            return Err(SendError::NotConnected);
        }
        if payload.is_empty() {
            return Err(SendError::Empty);
        }
        if payload.len() > config.max_packet_size() {
            return Err(SendError::TooLarge { size: payload.len(), max: config.max_packet_size() });
        }
        let mut header = None;
        if config.mode == Mode::Multiplayer(WireFormat::Godot3) {
            header = Some(packet_header(PeerId(self.unique_id), target));
            if let (Role::Client, Target::One(id)) = (open.role, target)
                && id != PeerId::SERVER
                && !open.others.contains_key(&id)
            {
                return Err(SendError::UnknownPeer(id.0));
            }
        }
        let packet = Sending { header: header.as_ref(), payload, delivery };
        let target = if open.role == Role::Client { Target::One(PeerId::SERVER) } else { target };
        match target {
            Target::One(id) => match open.send_one(id, packet, &config) {
                // It went with the opening before, or just now, and not everybody has been told.
                Err(SendError::UnknownPeer(_)) if self.former.contains_key(&id) || self.is_leaving(id) => {
                    self.note_gone();
                    Ok(())
                }
                outcome => outcome,
            },
            Target::All => open.send_many(None, packet, &config),
            Target::AllExcept(id) => open.send_many(Some(id), packet, &config),
        }
    }
}

impl Peer {
    fn note_gone(&self) {
        if let Some(open) = &self.open {
            open.outbox.count(Room::Gone);
        }
    }
}

impl Open {
    fn send_one(&mut self, id: PeerId, packet: Sending<'_>, config: &PeerConfig) -> Result<(), SendError> {
        let member = self.roster.get(&id).ok_or(SendError::UnknownPeer(id.0))?;
        let link = member.link();
        let room = room(link, &packet, config, || self.outbox.prepare(&packet, 1));
        self.outbox.count(room);
        match room {
            Room::Taken => {
                self.mailbox.send(link.conn, self.outbox.sent(packet));
                Ok(())
            }
            // A client has nobody else. A server's game sends to one peer after the other, and must not stop at one that is gone.
            Room::Gone if self.role == Role::Client => Err(SendError::Lost),
            Room::Gone | Room::Dropped => Ok(()),
            Room::Full => Err(SendError::Full),
            Room::Overflow => {
                self.overflow(link);
                Err(SendError::Full)
            }
        }
    }

    /// One command for all, whoever has room.
    fn send_many(
        &mut self,
        except: Option<PeerId>,
        packet: Sending<'_>,
        config: &PeerConfig,
    ) -> Result<(), SendError> {
        let mut taken = std::mem::take(&mut self.outbox.taken);
        let mut audience = std::mem::take(&mut self.outbox.audience);
        if audience.is_empty() {
            audience.extend(self.roster.iter().map(|(id, member)| (*id, Arc::clone(member.link()))));
        }
        let mut complete = true;
        let mut full = false;
        // All of them or none: it is nobody's fault when the process is full.
        let mut prepared = None;
        for (id, link) in audience.iter().filter(|(id, _)| Some(*id) != except) {
            let prepare = || self.outbox.prepare(&packet, audience.len());
            let room = room(link, &packet, config, || *prepared.get_or_insert_with(prepare));
            self.outbox.count(room);
            match room {
                Room::Taken => {
                    taken.push(link.conn);
                    continue;
                }
                Room::Gone | Room::Dropped => {}
                Room::Full => {
                    if self.outbox.refused.len() < REFUSED_LIMIT {
                        self.outbox.refused.push((*id, packet.payload.len()));
                    }
                    full = true;
                }
                Room::Overflow => {
                    self.overflow(link);
                    full = true;
                }
            }
            complete = false;
        }
        if !taken.is_empty() {
            let to = if complete && except.is_none() {
                Arc::clone(self.outbox.everyone.get_or_insert_with(|| Arc::new(taken.clone())))
            } else {
                Arc::new(taken.clone())
            };
            self.mailbox.send_many(to, self.outbox.sent(packet));
        }
        taken.clear();
        self.outbox.taken = taken;
        self.outbox.audience = audience;
        if full { Err(SendError::Full) } else { Ok(()) }
    }

    /// Closes a peer that has as much waiting as any may have; nothing of that is sent any more.
    fn overflow(&self, link: &Link) {
        link.set_closing();
        link.outgoing.clear();
        self.mailbox.command(Command::Overflow(link.conn));
    }
}

/// Finds room for one peer; `prepare` says whether there is room in the process.
fn room(link: &Link, packet: &Sending<'_>, config: &PeerConfig, prepare: impl FnOnce() -> bool) -> Room {
    if link.state() != PeerState::Open {
        return Room::Gone;
    }
    let size = packet.size();
    let droppable = packet.delivery == Delivery::Droppable;
    let refuse = config.overflow_policy == OverflowPolicy::Refuse;
    if link.congested.load(Ordering::Relaxed) {
        let waiting = link.outgoing.load().0;
        let stale = config.unreliable_backlog > 0 && waiting > config.unreliable_backlog;
        if droppable && (stale || link.is_over_output_limits(size, 1, config)) {
            return Room::Dropped;
        }
        if refuse && link.is_over_output_limits(size, 1, config) {
            return Room::Full;
        }
    }
    if !prepare() {
        // Nobody is closed because others do not take their data.
        return if droppable { Room::Dropped } else { Room::Full };
    }
    match link.reserve(size, config) {
        Reservation::Taken => Room::Taken,
        Reservation::Closed => Room::Gone,
        Reservation::Full if droppable => Room::Dropped,
        Reservation::Full if refuse => Room::Full,
        Reservation::Full => Room::Overflow,
    }
}

/// Refused packets that the game is told of at the next poll; a game that does not poll cannot pile up more.
pub(crate) const REFUSED_LIMIT: usize = 65_536;
/// Between two lines about the same.
pub(crate) const PAUSE: Duration = Duration::from_mins(1);

/// Room for a raw-mode message: always refused above the limits of a congested peer, as 3.6 did.
pub(super) fn reserve_refusing(
    link: &Link,
    size: usize,
    config: &PeerConfig,
    total: &QueueTotal,
) -> Result<(), SendError> {
    let congested = link.congested.load(Ordering::Relaxed);
    if congested && link.is_over_output_limits(size, 1, config) || !total.has_room(size) {
        return Err(SendError::Full);
    }
    match link.reserve(size, config) {
        Reservation::Taken => Ok(()),
        Reservation::Full => Err(SendError::Full),
        Reservation::Closed => Err(SendError::NotConnected),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::Rig;
    use super::*;
    use crate::tls::{TlsServer, self_signed};

    const CLIENTS: usize = 20;
    const LARGE: usize = 60_000;

    /// Servers with clients that take everything, and room for so many bytes on the way to them.
    fn rigs(limit: usize) -> Vec<(Rig, Vec<PeerId>)> {
        let (key, certificate) = self_signed("localhost");
        let identity = || TlsServer::new(&key, &certificate, "").expect("usable");
        let rig = |format, secure: bool| {
            let mut rig = Rig::new(format, secure.then(identity));
            let ids = (0..CLIENTS).map(|_| rig.connect()).collect();
            total(&mut rig).set_limit(limit);
            (rig, ids)
        };
        vec![rig(WireFormat::Godot4, false), rig(WireFormat::Godot4, true), rig(WireFormat::Godot3, false)]
    }

    fn total(rig: &mut Rig) -> Arc<QueueTotal> {
        Arc::clone(&rig.server().runtime.queue_totals.outgoing)
    }

    /// All clients have taken everything; how many bytes that were for each, at least and at most.
    fn deliver(rig: &mut Rig) -> (usize, usize) {
        rig.drive();
        let heard = (0..CLIENTS).map(|client| rig.hear(client).len());
        let (least, most) = heard.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
        rig.server().begin_poll();
        assert_eq!(total(rig).bytes(), 0);
        assert_eq!(rig.server().statistics().peers, CLIENTS, "nobody is closed");
        (least, most)
    }

    #[test]
    fn what_many_get_takes_room_once_however_it_is_sent() {
        for (mut rig, ids) in rigs(5 * LARGE) {
            for round in 0..5 {
                let payload = vec![round; LARGE];
                // As the engine's SceneMultiplayer does it, and as one call.
                for id in ids.iter().take(CLIENTS / 2) {
                    rig.server().send(Target::One(*id), &payload, Delivery::Reliable).expect("there is room");
                }
                rig.server().send(Target::All, &payload, Delivery::Reliable).expect("there is room");
            }
            assert_eq!(total(&mut rig).bytes(), 5 * LARGE);
            let server = rig.server();
            assert_eq!(server.send(Target::All, &vec![9; LARGE], Delivery::Reliable), Err(SendError::Full));
            server.send(Target::One(ids[0]), &vec![9; LARGE], Delivery::Droppable).expect("no error");
            let statistics = server.statistics();
            assert_eq!(statistics.packets_refused, CLIENTS as u64);
            assert_eq!(statistics.packets_dropped_unreliable, 1);
            // The last one that is there goes to whoever has not got it.
            server.send(Target::One(ids[0]), &vec![4; LARGE], Delivery::Reliable).expect("it is there");
            let (least, most) = deliver(&mut rig);
            assert!((5 * LARGE..6 * LARGE).contains(&least), "{least}");
            assert!((11 * LARGE..12 * LARGE).contains(&most), "{most}");
            rig.server().send(Target::All, &[9; LARGE], Delivery::Reliable).expect("there is room again");
            assert!(deliver(&mut rig).0 > LARGE);
        }
    }

    #[test]
    fn small_packets_take_room_for_each_and_a_broadcast_is_whole_or_none() {
        for (mut rig, ids) in rigs(50_000) {
            rig.server().send(Target::All, &[1; 1000], Delivery::Reliable).expect("there is room");
            rig.server()
                .send(Target::AllExcept(ids[0]), &[2; 1000], Delivery::Reliable)
                .expect("there is room");
            // Those of the Godot 3 wire have their header.
            let waiting = total(&mut rig).bytes();
            assert!([1000, 1009].map(|size| (2 * CLIENTS - 1) * size).contains(&waiting), "{waiting}");
            let full = rig.server().send(Target::All, &[3; 1000], Delivery::Reliable);
            assert_eq!(full, Err(SendError::Full));
            let refused = |rig: &mut Rig| {
                rig.server().begin_poll();
                std::iter::from_fn(|| rig.server().next_event(true))
                    .filter(|event| matches!(event, Event::PacketRefused { size: 1000, .. }))
                    .count()
            };
            assert_eq!(refused(&mut rig), CLIENTS, "each of them is told of");
            rig.server()
                .send(Target::One(ids[0]), &[4; 1000], Delivery::Reliable)
                .expect("this one has room");
            rig.drive();
            let heard: Vec<_> = (0..CLIENTS).map(|client| rig.hear(client).len()).collect();
            let packet = heard[0] / 2;
            assert!([1004, 1013].contains(&packet), "{heard:?}");
            assert_eq!(heard, [2 * packet; CLIENTS]);
            rig.server().send(Target::All, &[3; 1000], Delivery::Reliable).expect("there is room again");
            assert_eq!(deliver(&mut rig), (packet, packet));
        }
    }

    #[test]
    fn what_is_given_up_before_it_left_takes_no_room() {
        for (mut rig, ids) in rigs(1 << 20) {
            for id in &ids {
                rig.server().send(Target::One(*id), &[1; 500], Delivery::Reliable).expect("there is room");
                rig.server().send(Target::One(*id), &[1; LARGE], Delivery::Reliable).expect("there is room");
                rig.server().disconnect_now(*id);
            }
            rig.drive();
            rig.server().begin_poll();
            assert_eq!(total(&mut rig).bytes(), 0);
            let total = total(&mut rig);
            drop(rig);
            assert_eq!(total.bytes(), 0);
        }
        for (mut rig, _) in rigs(1 << 20) {
            rig.server().send(Target::All, &[1; 500], Delivery::Reliable).expect("there is room");
            rig.server().send(Target::All, &[1; LARGE], Delivery::Reliable).expect("there is room");
            let total = total(&mut rig);
            rig.server().close();
            assert!(total.bytes() > LARGE, "it leaves first");
            drop(rig);
            assert_eq!(total.bytes(), 0);
        }
    }

    #[test]
    fn a_handle_keeps_to_the_same_room() {
        for (mut rig, ids) in rigs(100_000) {
            let handles: Vec<_> = ids.iter().map(|id| rig.server().peer(*id).expect("connected")).collect();
            handles[0].send(&[1; LARGE], false).expect("there is room");
            assert_eq!(handles[1].send(&[1; LARGE], false), Err(SendError::Full), "each makes its own copy");
            for handle in &handles {
                handle.send(&[1; 1000], false).expect("there is room");
            }
            deliver(&mut rig);
            handles[1].send(&[1; LARGE], false).expect("there is room again");
            deliver(&mut rig);
        }
    }
}
