//! Packets that the game reads, in the order of their arrival, and the release of their room.
//!
//! The driver counts delivered packets against the input buffer of the peer, and does not read a peer whose buffer is full. This side
//! releases the room when the game has taken or discarded a packet. The driver may then continue to read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::handle::{Member, PeerHandle};
use super::open::Open;
use super::runs::Runs;
use super::{Peer, give_back};
use crate::base::{Packet, PeerId};
use crate::channel::{Command, input_limits};
use crate::wire::godot3::SYSTEM_SIZE;

/// The receiving half of an open object (multiplayer mode).
#[derive(Default)]
pub(super) struct Receiver {
    /// Readable packets of all peers.
    packets: VecDeque<Packet>,
    /// The packets between clients that stand among them.
    pub(super) runs: Runs,
    /// The peer whose packets the game is taking; their room is not released yet.
    taking: Option<Rc<Member>>,
}

/// The received packets of one peer.
#[derive(Default)]
pub(super) struct Received {
    /// Readable messages (raw mode).
    messages: RefCell<VecDeque<Packet>>,
    /// The game has closed the peer, so further packets are discarded.
    discarding: Cell<bool>,
    /// The last poll in which packets of the peer became readable.
    last_poll: Cell<u64>,
    /// Bytes and packets that the game has taken and whose room is not released yet.
    taken: Cell<(usize, usize)>,
}

impl Receiver {
    pub(super) fn push(&mut self, packet: Packet) {
        self.packets.push_back(packet);
    }

    pub(super) fn packet_count(&self) -> usize {
        self.packets.len()
    }

    /// Makes packets of all runs.
    pub(super) fn unpack_runs(&mut self) {
        self.runs.unpack(&mut self.packets);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.packets.capacity()
    }
}

impl Peer {
    /// The number of readable packets (multiplayer mode). Packets that the I/O thread relays do not count.
    pub fn packet_count(&self) -> usize {
        let Some(open) = &self.open else { return 0 };
        let count = open.pass_runs() + open.receiver.packets.len();
        if count == 0 {
            open.release_runs();
        }
        count
    }

    /// Who has sent the packet that `pop_packet` takes next, and whether it is [state](Packet::is_state_sync).
    pub fn peek_packet(&self) -> Option<(PeerId, bool)> {
        let open = self.open.as_ref()?;
        if open.pass_runs() > 0
            && let Some(first) = open.receiver.runs.peek()
        {
            return Some(first);
        }
        open.receiver.packets.front().map(|packet| (packet.source, packet.is_state_sync()))
    }

    /// Takes the next packet and makes room for more.
    pub fn pop_packet(&mut self) -> Option<Packet> {
        let open = self.open.as_mut()?;
        if open.pass_runs() > 0 {
            open.receiver.unpack_runs();
        }
        let Some(packet) = open.receiver.packets.pop_front() else {
            open.release_runs();
            return None;
        };
        open.receiver.runs.note_taken(&packet);
        give_back(&mut open.receiver.packets);
        open.note_taken(&packet);
        open.release_runs_before(&packet);
        if open.receiver.packets.is_empty() {
            open.release_taken();
        }
        Some(packet)
    }

    /// Discards the unread packets of a peer that the game closes.
    pub(super) fn discard_packets(&mut self, id: PeerId, member: &Member) {
        let Some(open) = &mut self.open else { return };
        let Receiver { packets, runs, .. } = &mut open.receiver;
        runs.discard(packets, id, member);
    }
}

impl Open {
    /// Notes that the game took a packet. Packets arrive in runs from the same peer; their room is released at the end of each run.
    fn note_taken(&mut self, packet: &Packet) {
        let id = self.carrier_id(packet.source);
        if self.receiver.taking.as_ref().is_none_or(|member| member.shared().id != id) {
            self.release_taken();
            self.receiver.taking = self.roster.get(&id).cloned();
        }
        if let Some(member) = &self.receiver.taking {
            member.note_taken(packet);
        }
    }

    /// Releases the room of the packets that the game has taken.
    pub(super) fn release_taken(&mut self) {
        if let Some(member) = self.receiver.taking.take() {
            member.release_taken();
        }
    }

    /// Releases the room of a notice about another client.
    pub(super) fn release_announcement(&self) {
        if let Some(member) = self.roster.get(&PeerId::SERVER) {
            member.release_room(SYSTEM_SIZE, 1);
        }
    }
}

impl Member {
    pub(super) fn push(&self, message: Packet) {
        self.received.messages.borrow_mut().push_back(message);
    }

    #[cfg(test)]
    pub(super) fn messages_capacity(&self) -> usize {
        self.received.messages.borrow().capacity()
    }

    /// Discards the unread messages, and all further ones.
    pub(super) fn discard(&self) {
        self.received.discarding.set(true);
        for message in self.received.messages.take() {
            self.release(&message);
        }
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.received.discarding.get()
    }

    pub(super) fn set_fresh(&self, poll: u64) {
        self.received.last_poll.set(poll);
    }

    pub(super) fn is_fresh(&self, poll: u64) -> bool {
        self.received.last_poll.get() == poll
    }

    /// Releases the room of a packet that was taken or discarded.
    pub(super) fn release(&self, packet: &Packet) {
        self.release_room(packet.payload.len(), 1);
    }

    /// Notes that the game took a packet. [`release_taken`](Self::release_taken) releases its room together with that of others, because
    /// the I/O thread reads the counter with each received packet. It releases early enough that the I/O thread need not stop reading.
    fn note_taken(&self, packet: &Packet) {
        let (bytes, packets) = self.received.taken.get();
        self.received.taken.set((bytes + packet.payload.len(), packets + 1));
        let buffers = self.config.borrow().buffers;
        if self.received.taken.get().0 >= buffers.input_bytes / 8 || packets >= buffers.input_packets / 8 {
            self.release_taken();
        }
    }

    /// Releases the room of all packets that were taken.
    pub(super) fn release_taken(&self) {
        let (bytes, packets) = self.received.taken.take();
        if packets > 0 {
            self.release_room(bytes, packets);
        }
    }

    /// Releases room in the input buffer. If the driver has stopped reading and there is enough room now, it continues.
    pub(super) fn release_room(&self, bytes: usize, packets: usize) {
        let shared = self.shared();
        let limits = input_limits(&self.config.borrow());
        if shared.incoming.release(bytes, packets, &limits) {
            self.command(Command::Resume(shared.conn));
        }
    }
}

impl PeerHandle {
    /// Returns the number of readable messages (raw mode).
    pub fn packet_count(&self) -> usize {
        self.member.received.messages.borrow().len()
    }

    /// Takes the next message (raw mode).
    pub fn pop_packet(&self) -> Option<Packet> {
        let mut messages = self.member.received.messages.borrow_mut();
        let message = messages.pop_front()?;
        give_back(&mut messages);
        drop(messages);
        self.member.release(&message);
        Some(message)
    }
}
