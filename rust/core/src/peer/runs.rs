//! Packets between clients, which the I/O thread relays: this side only decides when. They leave when the game has taken all packets before
//! them, as if it had taken and sent each of them itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::Peer;
use super::handle::Member;
use super::open::Open;
use crate::base::{Packet, PeerId};
use crate::channel::{Command, Notice, Run};
use crate::config::{Mode, WireFormat};
use crate::session::Role;
use crate::wire::godot4::{Announcement, announcement};

/// Runs of relayed packets among the readable packets.
#[derive(Default)]
pub(super) struct Runs {
    /// Each with the number of the packet before which it stands. The engine asks for the number of packets with a shared reference.
    waiting: RefCell<VecDeque<(u64, Box<Run>)>>,
    /// There may be some. Each packet looks at this, on servers that relay nothing too.
    may_wait: Cell<bool>,
    /// The number of packets that the game has taken, and so the number of the next one.
    taken: u64,
    /// Runs were passed, and the driver was not woken for them.
    is_quiet: Cell<bool>,
}

/// What relays packets between the clients of a server.
#[derive(Default)]
pub(super) struct Relaying {
    /// The object that would relay them, if there is exactly one.
    by: Option<u64>,
    /// Changes with `by`.
    epoch: u64,
}

impl Runs {
    pub(super) fn note_taken(&mut self) {
        self.taken += 1;
    }

    fn push(&self, packets_before: usize, run: Box<Run>) {
        self.waiting.borrow_mut().push_back((self.taken + packets_before as u64, run));
        self.may_wait.set(true);
    }

    /// Takes the next run, if no packet stands before it.
    fn next(&self) -> Option<Box<Run>> {
        let first = self.waiting.borrow_mut().pop_front_if(|(at, _)| *at <= self.taken);
        first.map(|(_, run)| run)
    }

    /// Removes the packets and runs of a peer.
    pub(super) fn discard(&mut self, packets: &mut VecDeque<Packet>, id: PeerId, member: &Member) {
        let mut at = self.taken;
        let left = Self { taken: self.taken, is_quiet: self.is_quiet.clone(), ..Self::default() };
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
    }

    /// Notes whether runs are left.
    fn recount(&self) {
        self.may_wait.set(!self.waiting.borrow().is_empty());
    }
}

impl Peer {
    /// Server of the 4.x wire: names the object that relays packets between the clients, which is the only one, and whose work the I/O thread
    /// does; `None`: the game gets these packets like all others. Clients whose packets are relayed are those that were announced to each
    /// other since.
    pub fn set_relaying(&mut self, by: Option<u64>) {
        let Some(open) = &mut self.open else { return };
        let Relaying { by: before, epoch } = &mut open.relaying;
        if *before == by {
            return;
        }
        if std::mem::replace(before, by).is_some() {
            *epoch += 1;
            open.mailbox.command(Command::VoidPairs(*epoch));
            // Whoever relays from now on has to see them.
            open.receiver.unpack_runs();
        }
    }

    /// Returns whether packets between clients may be relayed for the game: on a server of the 4.x wire.
    pub fn may_relay(&self) -> bool {
        self.role() == Some(Role::Server) && self.mode() == Some(Mode::Multiplayer(WireFormat::Godot4))
    }

    /// Returns the object that relays, and the number of polls that have found something.
    pub fn relaying(&self) -> Option<(u64, u64)> {
        let open = self.open.as_ref()?;
        Some((open.relaying.by?, open.poll))
    }

    /// Makes a run readable. If another object relays by now, the game gets the packets.
    pub(super) fn run_received(&mut self, run: Box<Run>) {
        let Some(open) = &mut self.open else { return };
        let epoch = open.relaying.epoch;
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
    /// Passes the runs for which it is time.
    #[inline]
    pub(super) fn pass_runs(&self) {
        if self.receiver.runs.may_wait.get() {
            self.pass_waiting_runs();
        }
    }

    #[cold]
    fn pass_waiting_runs(&self) {
        while let Some(run) = self.receiver.runs.next() {
            self.mailbox.command_quietly(Command::Relay(run));
            self.receiver.runs.is_quiet.set(true);
        }
        self.receiver.runs.recount();
    }

    /// Wakes the driver for the runs that were passed: when the game has taken all packets, or at the next poll. It is not woken for each
    /// run, because others may follow at once, and what is relayed together is written together.
    #[inline]
    pub(super) fn wake_for_runs(&self) {
        if self.receiver.runs.is_quiet.get() {
            self.receiver.runs.is_quiet.set(false);
            self.mailbox.wake_for_commands();
        }
    }

    /// Notes that the game has told a client about another one, if that is what it sent.
    pub(super) fn note_announcement(&self, to: PeerId, packet: &[u8], is_sent: bool) {
        if self.relaying.by.is_none() {
            return;
        }
        match announcement(packet) {
            Some(what @ Announcement::Left(_)) => self.mailbox.command(Command::Announced { to, what }),
            Some(what @ Announcement::Joined(_)) if is_sent => {
                self.mailbox.command(Command::Announced { to, what });
            }
            _ => {}
        }
    }

    /// Notes that a peer is gone for the game, too.
    pub(super) fn forget_pairs(&self, id: PeerId) {
        if self.relaying.by.is_some() {
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
