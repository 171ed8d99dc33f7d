//! What may leave, and what happens when a peer does not take its packets.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::open::Open;
use super::watch::Losses;
use super::{Peer, Status};
use crate::budget::QueueTotal;
use crate::config::{Mode, OverflowPolicy, PeerConfig, WireFormat};
use crate::error::SendError;
use crate::event::Event;
use crate::hub::SMALL;
use crate::id::{ConnId, PeerId, Target};
use crate::link::{Link, PeerState};
use crate::net::mailbox::{Command, Sent};
use crate::packet::Delivery;
use crate::session::{Body, Role};
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
    /// Peers for which a broadcast found no room, to be told at the next poll.
    refused: Vec<(PeerId, usize)>,
    pub(super) losses: Rc<Losses>,
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
    pub(super) fn new(queue_total: Arc<QueueTotal>) -> Self {
        Self {
            queue_total,
            last: Bytes::new(),
            everyone: None,
            audience: Vec::new(),
            taken: Vec::new(),
            refused: Vec::new(),
            losses: Rc::default(),
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

    /// Copies a large payload once, also over several calls.
    fn sent<'a>(&'a mut self, Sending { header, payload, .. }: Sending<'a>) -> Sent<'a> {
        let body = if payload.len() <= SMALL {
            Body::Borrowed(payload)
        } else {
            if self.last.as_ref() != payload {
                self.last = Bytes::copy_from_slice(payload);
            }
            Body::Shared(&self.last)
        };
        Sent { header, body, text: false }
    }

    fn count(&self, room: Room) {
        let losses = &self.losses;
        let counter = match room {
            Room::Taken => return,
            Room::Gone => &losses.to_closed,
            Room::Dropped => &losses.dropped,
            Room::Full | Room::Overflow => &losses.refused,
        };
        counter.set(counter.get() + 1);
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
            Target::One(id) => open.send_one(id, packet, &config),
            Target::All => open.send_many(None, packet, &config),
            Target::AllExcept(id) => open.send_many(Some(id), packet, &config),
        }
    }
}

impl Open {
    fn send_one(&mut self, id: PeerId, packet: Sending<'_>, config: &PeerConfig) -> Result<(), SendError> {
        let member = self.roster.get(&id).ok_or(SendError::UnknownPeer(id.0))?;
        let link = member.link();
        let room = self.reserve(link, packet.size(), packet.delivery, config);
        self.outbox.count(room);
        match room {
            Room::Taken => {
                self.mailbox.send(link.conn, self.outbox.sent(packet));
                Ok(())
            }
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
        for (id, link) in audience.iter().filter(|(id, _)| Some(*id) != except) {
            let room = self.reserve(link, packet.size(), packet.delivery, config);
            self.outbox.count(room);
            match room {
                Room::Taken => {
                    taken.push(link.conn);
                    continue;
                }
                Room::Gone | Room::Dropped => {}
                Room::Full => {
                    self.outbox.refused.push((*id, packet.payload.len()));
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

    /// Finds room for one peer.
    fn reserve(&self, link: &Link, size: usize, delivery: Delivery, config: &PeerConfig) -> Room {
        let total = &self.outbox.queue_total;
        let mut found = room(link, size, delivery, config, total);
        // A reliable stream has no holes: when the whole process has too much, those go that do not keep up.
        while found == Room::Overflow && !total.has_room(size) && self.overflow_worst() {
            found = room(link, size, delivery, config, total);
        }
        found
    }

    /// Closes the congested peer with the most queued; false: there is none.
    fn overflow_worst(&self) -> bool {
        let stuck = self.roster.values().map(|member| member.link()).filter(|link| link.is_stuck());
        let worst = stuck.max_by_key(|link| link.outgoing.load().0);
        worst.is_some_and(|link| {
            self.overflow(link);
            true
        })
    }

    /// Closes a peer; what waits for it is not sent any more, and makes room for the others at once.
    fn overflow(&self, link: &Link) {
        link.set_closing();
        link.outgoing.clear();
        self.mailbox.command(Command::Overflow(link.conn));
    }
}

fn room(link: &Link, size: usize, delivery: Delivery, config: &PeerConfig, total: &QueueTotal) -> Room {
    if link.state() != PeerState::Open {
        return Room::Gone;
    }
    let refuse = config.overflow_policy == OverflowPolicy::Refuse;
    let none = match (delivery, refuse) {
        (Delivery::Droppable, _) => Room::Dropped,
        (Delivery::Reliable, true) => Room::Full,
        (Delivery::Reliable, false) => Room::Overflow,
    };
    if link.congested.load(Ordering::Relaxed) {
        let waiting = link.outgoing.load().0;
        let stale = config.unreliable_backlog > 0 && waiting > config.unreliable_backlog;
        if delivery == Delivery::Droppable && (stale || link.is_over_output_limits(size, 1, config)) {
            return Room::Dropped;
        }
        if refuse && link.is_over_output_limits(size, 1, config) {
            return Room::Full;
        }
    }
    if !total.has_room(size) || !link.outgoing.reserve(size, config.burst_bytes(), config.burst_packets()) {
        return none;
    }
    if link.state() == PeerState::Closed {
        // It was closed between the first look and the reservation, which nobody would release any more.
        link.outgoing.clear();
        return Room::Gone;
    }
    Room::Taken
}

/// Room for a raw-mode message: always refused above the limits of a congested peer, as 3.6 did.
pub(super) fn fits_refusing(link: &Link, size: usize, config: &PeerConfig) -> bool {
    let congested = link.congested.load(Ordering::Relaxed);
    !(congested && link.is_over_output_limits(size, 1, config))
        && link.outgoing.process_has_room(size)
        && link.outgoing.reserve(size, config.burst_bytes(), config.burst_packets())
}
