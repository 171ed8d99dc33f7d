//! Finds lists: a client whose game sends the same packet to the same clients in the same order again will do so in the next frames.

use std::collections::VecDeque;

use crate::base::PeerId;
use crate::channel::Form;
use crate::wire::godot4::is_state_sync;
use crate::wire::relay_list::{LEAST, is_same_packet, time};

/// What packets of a list have in common: state goes to other clients than a chat does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    pub(super) form: Form,
    /// The first byte of the packet.
    pub(super) first: u8,
}

impl Kind {
    /// Returns whether its packets have a time, which each receiver gets another one of.
    pub(super) fn has_time(self) -> bool {
        is_state_sync(&[self.first])
    }
}

/// The receivers of a packet, in order, and by how much their times differ from that of the first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Receivers {
    pub(super) kind: Kind,
    pub(super) targets: Vec<(PeerId, u16)>,
}

impl Receivers {
    /// Returns whether no client is there twice.
    pub(super) fn are_distinct(&self) -> bool {
        let mut ids: Vec<_> = self.targets.iter().map(|(target, _)| target.0).collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    }
}

/// A packet on its way to one client after the other.
#[derive(Debug)]
struct Sequence {
    kind: Kind,
    /// The relay message for the first of them.
    first: Vec<u8>,
    targets: Vec<(PeerId, u16)>,
}

/// The last packets for other clients.
#[derive(Debug)]
pub(super) struct Learner {
    /// The most receivers of a packet that are followed: a list has no more.
    most: usize,
    open: VecDeque<Sequence>,
    /// Those that came once.
    seen: VecDeque<Receivers>,
    /// Receivers that came twice.
    found: Vec<Receivers>,
}

impl Learner {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: VecDeque::new(), seen: VecDeque::new(), found: Vec::new() }
    }

    /// Notes a relay message.
    pub(super) fn note(&mut self, kind: Kind, target: PeerId, message: &[u8]) {
        if message.len() > LONGEST {
            return;
        }
        let same = |sequence: &Sequence| sequence.kind == kind && is_same_packet(&sequence.first, message);
        match self.open.iter().position(same) {
            Some(at) if self.open[at].targets.first().is_some_and(|(first, _)| *first == target) => {
                // The next one of an object that does not move. Whether another client is there twice is looked at once, when there is a list.
                let sequence = self.open.remove(at);
                self.finish(sequence);
            }
            Some(at) => {
                let sequence = &mut self.open[at];
                let base = time(&sequence.first).unwrap_or_default();
                let offset = time(message).unwrap_or_default().wrapping_sub(base);
                if sequence.targets.len() < self.most {
                    sequence.targets.push((target, offset));
                }
                return;
            }
            None => {}
        }
        if self.open.len() >= SEQUENCES {
            let sequence = self.open.pop_front();
            self.finish(sequence);
        }
        self.open.push_back(Sequence { kind, first: message.to_vec(), targets: vec![(target, 0)] });
    }

    /// Notes that a frame of the game ends or another one begins.
    pub(super) fn end_frame(&mut self) {
        while let Some(sequence) = self.open.pop_front() {
            self.finish(Some(sequence));
        }
    }

    /// Returns receivers that came twice.
    pub(super) fn take(&mut self) -> Option<Receivers> {
        self.found.pop()
    }

    fn finish(&mut self, sequence: Option<Sequence>) {
        let Some(Sequence { kind, targets, .. }) = sequence else { return };
        if targets.len() < LEAST {
            return;
        }
        let receivers = Receivers { kind, targets };
        if let Some(at) = self.seen.iter().position(|seen| *seen == receivers) {
            self.seen.remove(at);
            if self.found.len() < SEQUENCES {
                self.found.push(receivers);
            }
            return;
        }
        if self.seen.len() >= SEQUENCES {
            self.seen.pop_front();
        }
        self.seen.push_back(receivers);
    }
}

/// Packets that are followed at a time, and lists of receivers that are remembered.
const SEQUENCES: usize = 16;
/// Larger packets leave alone.
pub(crate) const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::godot4::relay_header;

    const STATE: Kind = Kind { form: Form::Unreliable, first: 6 };
    const MOST: usize = 8;

    fn state(learner: &mut Learner, target: i32, time: u16, of: u8) {
        let message = [&relay_header(PeerId(target))[..], &[6], &time.to_le_bytes(), &[of]].concat();
        learner.note(STATE, PeerId(target), &message);
    }

    #[test]
    fn receivers_are_found_when_they_come_again() {
        let mut learner = Learner::new(MOST);
        for frame in 0..2u16 {
            assert_eq!(learner.take(), None, "frame {frame}");
            // Two packets for each, one receiver after the other; the second one is not for all of them.
            for (target, offset) in [(9, 0), (7, 65_535), (8, 3)] {
                let time = (frame + 7).wrapping_add(offset);
                state(&mut learner, target, time, 2 * frame as u8);
                if target != 7 || frame > 0 {
                    state(&mut learner, target, time, 2 * frame as u8 + 1);
                }
            }
            learner.end_frame();
        }
        let targets = vec![(PeerId(9), 0), (PeerId(7), 65_535), (PeerId(8), 3)];
        assert_eq!(learner.take(), Some(Receivers { kind: STATE, targets }));
        assert_eq!(learner.take(), None);
    }

    #[test]
    fn what_does_not_change_is_found_too_and_two_receivers_are_none() {
        let mut learner = Learner::new(MOST);
        for frame in 0..4 {
            for target in [5, 6, 7] {
                state(&mut learner, target, frame, 1);
            }
        }
        assert_eq!(learner.take().map(|found| found.targets.len()), Some(3));
        let mut learner = Learner::new(MOST);
        for frame in 0..8 {
            for target in [5, 6] {
                state(&mut learner, target, frame, 1);
            }
            learner.end_frame();
        }
        assert_eq!(learner.take(), None);
    }

    #[test]
    fn of_more_receivers_than_a_list_has_the_first_are_followed() {
        let mut learner = Learner::new(MOST);
        for frame in 0..3 {
            for target in 0..1000 {
                state(&mut learner, 2 + target, frame, 1);
            }
        }
        let found = learner.take().expect("receivers");
        assert!(found.targets.iter().map(|(target, _)| target.0).eq(2..10) && found.are_distinct());
        // In another order, the first of which is not the first of those before.
        let mut learner = Learner::new(MOST);
        for _ in 0..2 {
            for target in [5, 6, 7, 6, 7] {
                state(&mut learner, target, 0, 1);
            }
            learner.end_frame();
        }
        assert!(!learner.take().expect("receivers").are_distinct());
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut learner = Learner::new(MOST);
        for number in 0..100_000u32 {
            let message = [&relay_header(PeerId(9))[..], &[2], &number.to_le_bytes()].concat();
            learner.note(Kind { form: Form::Binary, first: 2 }, PeerId(9), &message);
        }
        assert_eq!(learner.open.len(), SEQUENCES);
        learner.note(STATE, PeerId(9), &[0; LONGEST + 1]);
        assert!(learner.open.iter().all(|sequence| sequence.first.len() < 100));
        for number in 0..1000 {
            for target in 0..3 {
                state(&mut learner, 2 + 3 * number + target, 0, 1);
            }
            learner.end_frame();
        }
        assert_eq!((learner.seen.len(), learner.found.len()), (SEQUENCES, 0));
    }
}
