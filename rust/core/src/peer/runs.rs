//! Packets between clients, which the I/O thread relays: this side only decides when. They leave when the game has taken all packets before
//! them, as if it had taken and sent each of them itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::handle::Member;
use super::open::Open;
use super::{Peer, give_back};
use crate::base::{Packet, PeerId};
use crate::channel::{Command, Notice, Run};
use crate::config::{Mode, WireFormat};
use crate::session::Role;
use crate::wire::godot4::{Announcement, announcement, is_state_sync};

/// Runs of relayed packets among the readable packets.
#[derive(Default)]
pub(super) struct Runs {
    /// Each with the number of the packet before which it stands. The engine asks for the number of packets with a shared reference.
    waiting: RefCell<VecDeque<(u64, Box<Run>)>>,
    /// There may be some. Each packet looks at this, on servers that relay nothing too.
    may_wait: Cell<bool>,
    /// The number of packets that the game has taken, and so the number of the next one.
    taken: u64,
    /// The game may have changed who relays since that was asked.
    is_unsure: Cell<bool>,
    /// Runs were passed, and the driver does not have them yet.
    are_held: Cell<bool>,
    /// The runs are for the game: they count as packets, and become packets when the game takes one.
    are_packets: Cell<bool>,
}

/// What relays packets between the clients of a server.
#[derive(Default)]
pub(super) struct Relaying {
    /// The object that would relay them, if there is exactly one.
    by: Cell<Option<u64>>,
    /// Changes when all announcements become void.
    epoch: Cell<u64>,
    /// Clients were announced since then.
    has_announced: Cell<bool>,
}

impl Runs {
    /// The game takes a packet, and may run a handler for it. One for state sets properties, and is trusted not to change who relays before
    /// the next poll: to ask costs more than to take the packet, and there is one before each run when everybody sends state to everybody.
    #[inline]
    pub(super) fn note_taken(&mut self, packet: &Packet) {
        self.taken += 1;
        if self.may_wait.get() && !packet.is_state_sync() {
            self.is_unsure.set(true);
        }
    }

    /// A poll begins or ends: its handlers run in between.
    pub(super) fn note_poll(&self) {
        self.is_unsure.set(true);
    }

    fn push(&self, packets_before: usize, run: Box<Run>) {
        self.waiting.borrow_mut().push_back((self.taken + packets_before as u64, run));
        self.may_wait.set(true);
    }

    /// Returns whether the next run is to be passed now: no packet stands before it.
    fn is_due(&self) -> bool {
        !self.are_packets.get() && self.waiting.borrow().front().is_some_and(|(at, _)| *at <= self.taken)
    }

    /// Returns the packet that comes next, if it is one of a run: who sent it, and whether it is state.
    pub(super) fn peek(&self) -> Option<(PeerId, bool)> {
        let waiting = self.waiting.borrow();
        let (_, run) = waiting.front().filter(|(at, _)| *at <= self.taken)?;
        Some((run.source, is_state_sync(run.iter().next()?.message)))
    }

    /// Takes the next run, if no packet stands before it.
    fn next(&self) -> Option<Box<Run>> {
        let first = self.waiting.borrow_mut().pop_front_if(|(at, _)| *at <= self.taken);
        first.map(|(_, run)| run)
    }

    /// Removes the packets and runs of a peer.
    pub(super) fn discard(&mut self, packets: &mut VecDeque<Packet>, id: PeerId, member: &Member) {
        let mut at = self.taken;
        let left = Self {
            taken: self.taken,
            is_unsure: self.is_unsure.clone(),
            are_held: self.are_held.clone(),
            are_packets: self.are_packets.clone(),
            ..Self::default()
        };
        let mut kept = VecDeque::new();
        let waiting = self.waiting.get_mut();
        loop {
            while let Some((_, run)) = waiting.pop_front_if(|(before, _)| *before <= at) {
                if run.source == id {
                    member.release_run(&run);
                } else {
                    left.push(kept.len(), run);
                }
            }
            let Some(packet) = packets.pop_front() else { break };
            at += 1;
            if packet.source == id {
                member.release(&packet);
            } else {
                kept.push_back(packet);
            }
        }
        *packets = kept;
        *self = left;
    }

    /// Puts the packets of all runs into their places among the others.
    pub(super) fn unpack(&mut self, packets: &mut VecDeque<Packet>) {
        let mut at = self.taken;
        let mut all = VecDeque::new();
        let waiting = self.waiting.get_mut();
        loop {
            while let Some((_, run)) = waiting.pop_front_if(|(before, _)| *before <= at) {
                all.extend(run.unpacked());
            }
            let Some(packet) = packets.pop_front() else { break };
            at += 1;
            all.push_back(packet);
        }
        *packets = all;
        self.are_packets.set(false);
    }

    /// Notes whether runs are left.
    fn recount(&self) {
        let mut waiting = self.waiting.borrow_mut();
        give_back(&mut waiting);
        self.may_wait.set(!waiting.is_empty());
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.waiting.borrow().capacity()
    }
}

impl Peer {
    /// Server of the 4.x wire: names the object that relays packets between the clients, which is the only one, and whose work the I/O thread
    /// does; `None`: the game gets these packets like all others. Clients whose packets are relayed are those that were announced to each
    /// other since, and since the object was emptied: it `knows_nobody`.
    pub fn set_relaying(&mut self, by: Option<u64>, knows_nobody: bool) {
        let Some(open) = &mut self.open else { return };
        let before = open.relaying.by.replace(by);
        let was_emptied = knows_nobody && open.relaying.has_announced.get();
        if before == by && !was_emptied {
            return;
        }
        if before.is_some() {
            open.void_pairs();
        }
        // Whoever relays from now on has to see them.
        open.receiver.unpack_runs();
    }

    /// Returns whether packets that the I/O thread relays come next, and a handler may have changed who relays since the last call that returned
    /// true: now is the time to ask.
    #[inline]
    pub fn must_ask_who_relays(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let runs = &open.receiver.runs;
            runs.may_wait.get() && runs.is_due() && runs.is_unsure.take()
        })
    }

    /// The same as `set_relaying(None, true)`, for callers between two packets: the engine asks for the number of packets with a shared
    /// reference.
    pub fn stop_relaying(&self) {
        let Some(open) = &self.open else { return };
        if open.relaying.by.take().is_some() {
            open.void_pairs();
            open.receiver.runs.are_packets.set(true);
        }
    }

    /// Returns whether packets between clients may be relayed for the game: on a server of the 4.x wire.
    pub fn may_relay(&self) -> bool {
        self.role() == Some(Role::Server) && self.mode() == Some(Mode::Multiplayer(WireFormat::Godot4))
    }

    /// Makes a run readable. If another object relays by now, the game gets the packets.
    pub(super) fn run_received(&mut self, run: Box<Run>) {
        let Some(open) = &mut self.open else { return };
        let epoch = open.relaying.epoch.get();
        let Some((member, known)) = open.note_fresh(run.source) else { return };
        if member.is_discarding() || !known {
            member.release_run(&run);
        } else if run.epoch == epoch {
            let packets_before = open.receiver.packet_count();
            open.receiver.runs.push(packets_before, run);
        } else {
            for packet in run.unpacked().collect::<Vec<_>>().into_iter().rev() {
                self.notices.push_front(Notice::Packet(packet));
            }
        }
    }
}

impl Open {
    /// Passes the runs for which it is time. Returns the number of packets in runs that the game gets instead.
    #[inline]
    pub(super) fn pass_runs(&self) -> usize {
        if self.receiver.runs.may_wait.get() { self.pass_waiting_runs() } else { 0 }
    }

    #[cold]
    fn pass_waiting_runs(&self) -> usize {
        if self.receiver.runs.are_packets.get() {
            return self.receiver.runs.waiting.borrow().iter().map(|(_, run)| run.packets()).sum();
        }
        while let Some(run) = self.receiver.runs.next() {
            self.mailbox.hold(Command::Relay(run));
            self.receiver.runs.are_held.set(true);
        }
        self.receiver.runs.recount();
        0
    }

    fn void_pairs(&self) {
        let epoch = self.relaying.epoch.get() + 1;
        self.relaying.epoch.set(epoch);
        self.relaying.has_announced.set(false);
        self.mailbox.command(Command::VoidPairs(epoch));
    }

    /// Lets the driver have the runs that were passed: when the game takes a packet that may keep it busy, has taken all, or polls. It does not
    /// get them one by one, because others may follow at once, and what is relayed together is written together.
    #[inline]
    pub(super) fn release_runs(&self) {
        if self.receiver.runs.are_held.get() {
            self.receiver.runs.are_held.set(false);
            self.mailbox.release();
        }
    }

    /// The same if the game may be busy for long with the packet that it takes. State only sets properties.
    #[inline]
    pub(super) fn release_runs_before(&self, packet: &Packet) {
        if self.receiver.runs.are_held.get() && !packet.is_state_sync() {
            self.release_runs();
        }
    }

    /// Notes that the game has told a client about another one, if that is what it sent.
    pub(super) fn note_announcement(&self, to: PeerId, packet: &[u8], is_sent: bool) {
        if self.relaying.by.get().is_none() {
            return;
        }
        match announcement(packet) {
            Some(what @ Announcement::Left(_)) => self.mailbox.command(Command::Announced { to, what }),
            // The end of a peer that is gone was noted already, so nothing would forget it.
            Some(what @ Announcement::Joined(about)) if is_sent && self.roster.contains_key(&about) => {
                self.relaying.has_announced.set(true);
                self.mailbox.command(Command::Announced { to, what });
            }
            _ => {}
        }
    }

    /// Notes that a peer is gone for the game, too.
    pub(super) fn forget_pairs(&self, id: PeerId) {
        if self.relaying.by.get().is_some() {
            self.mailbox.command(Command::ForgetPairs(id));
        }
    }
}

impl Member {
    /// Releases the room of a run that is not relayed.
    pub(super) fn release_run(&self, run: &Run) {
        self.release_room(run.size(), run.packets());
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Weak;

    use super::*;
    use crate::config::PeerConfig;

    #[test]
    fn passed_runs_are_not_forgotten_when_packets_are_discarded() {
        let config = Rc::new(RefCell::new(PeerConfig::default()));
        let member = Member::new(None, Weak::new(), config);
        let mut runs = Runs::default();
        runs.are_held.set(true);
        runs.discard(&mut VecDeque::new(), PeerId(7), &member);
        assert!(runs.are_held.get(), "the driver is still to get them");
    }
}
