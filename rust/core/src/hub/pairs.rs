//! Pairs of clients that the server's game has announced to each other, in the 4.x wire format. Only between them are packets relayed here.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use crate::base::{PeerId, PeerIdHasher, PeerMap};
use crate::wire::godot4::{Announcement, relay_target};

/// Which clients know each other, as the game announced it.
///
/// An announcement counts when its command is executed, so that a relay that the game passed before has its effect before.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// For each peer those that know it, and that it knows.
    open: PeerMap<Ids>,
    /// For each peer those that were announced to it, and to which it was not announced.
    half: PeerMap<Ids>,
    /// The number of the object that relays; see [`Run::epoch`](crate::channel::Run::epoch).
    epoch: u64,
}

// The server draws the ids: no client can choose ids that collide.
type Ids = HashSet<PeerId, BuildHasherDefault<PeerIdHasher>>;

impl Pairs {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Forgets all announcements, because another object relays, or none.
    pub(super) fn void(&mut self, epoch: u64) {
        *self = Self { epoch, ..Self::default() };
    }

    /// Notes what the game has told a client.
    pub(super) fn announced(&mut self, to: PeerId, what: Announcement) {
        match what {
            Announcement::Joined(about) if about == to => {}
            Announcement::Joined(about) => {
                if remove(&mut self.half, about, to) {
                    self.open.entry(to).or_default().insert(about);
                    self.open.entry(about).or_default().insert(to);
                } else if !self.is_open(about, to) {
                    self.half.entry(to).or_default().insert(about);
                }
            }
            Announcement::Left(about) => {
                remove(&mut self.half, to, about);
                if remove(&mut self.open, to, about) {
                    remove(&mut self.open, about, to);
                    // The other one still knows this one.
                    self.half.entry(about).or_default().insert(to);
                }
            }
        }
    }

    /// Forgets a peer that is gone.
    pub(super) fn forget(&mut self, id: PeerId) {
        for other in self.open.remove(&id).into_iter().flatten() {
            remove(&mut self.open, other, id);
        }
        self.half.remove(&id);
        self.half.retain(|_, known| {
            known.remove(&id);
            !known.is_empty()
        });
    }

    #[inline]
    pub(super) fn is_open(&self, one: PeerId, other: PeerId) -> bool {
        self.open.get(&one).is_some_and(|known| known.contains(&other))
    }

    /// Returns the client for which a client's message is, if it is relayed here.
    #[inline]
    pub(super) fn target(&self, source: PeerId, message: &[u8], text: bool) -> Option<PeerId> {
        if self.open.is_empty() || text {
            return None;
        }
        self.open_target(source, message)
    }

    #[inline(never)]
    fn open_target(&self, source: PeerId, message: &[u8]) -> Option<PeerId> {
        relay_target(message).filter(|target| self.is_open(source, *target))
    }

    /// Returns all peers of which something is known.
    #[cfg(test)]
    pub(super) fn ids(&self) -> std::collections::BTreeSet<PeerId> {
        let sets = self.open.iter().chain(&self.half);
        sets.flat_map(|(id, known)| known.iter().chain([id])).copied().collect()
    }
}

/// Removes an id from a set, and the set if it is empty then. Returns whether the id was there.
fn remove(sets: &mut PeerMap<Ids>, of: PeerId, id: PeerId) -> bool {
    let Some(set) = sets.get_mut(&of) else { return false };
    let was_there = set.remove(&id);
    if set.is_empty() {
        sets.remove(&of);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId(7);
    const B: PeerId = PeerId(8);
    const C: PeerId = PeerId(9);

    fn introduce(pairs: &mut Pairs, one: PeerId, other: PeerId) {
        pairs.announced(one, Announcement::Joined(other));
        assert!(!pairs.is_open(one, other) && !pairs.is_open(other, one));
        pairs.announced(other, Announcement::Joined(one));
        assert!(pairs.is_open(one, other) && pairs.is_open(other, one));
    }

    #[test]
    fn a_pair_is_open_from_the_second_announcement_to_the_first_end() {
        let mut pairs = Pairs::default();
        introduce(&mut pairs, A, B);
        introduce(&mut pairs, A, C);
        pairs.announced(B, Announcement::Left(A));
        assert!(!pairs.is_open(A, B) && !pairs.is_open(B, A) && pairs.is_open(A, C));
        // Announced again to who was told of the end: both know each other.
        pairs.announced(B, Announcement::Joined(A));
        assert!(pairs.is_open(A, B));
        pairs.announced(B, Announcement::Joined(A));
        pairs.announced(A, Announcement::Joined(A));
        assert!(pairs.is_open(A, B) && !pairs.is_open(A, A));
        for (to, about) in [(B, A), (A, B), (C, A), (A, C)] {
            pairs.announced(to, Announcement::Left(about));
        }
        assert!(pairs.ids().is_empty());
    }

    #[test]
    fn nothing_is_left_of_who_is_gone() {
        let mut pairs = Pairs::default();
        introduce(&mut pairs, A, B);
        introduce(&mut pairs, C, B);
        pairs.announced(A, Announcement::Joined(C));
        pairs.announced(B, Announcement::Left(A));
        pairs.forget(B);
        assert!(!pairs.is_open(C, B));
        pairs.forget(A);
        assert!(pairs.ids().is_empty());
        introduce(&mut pairs, A, B);
        pairs.void(3);
        assert!(pairs.ids().is_empty() && pairs.epoch() == 3);
    }

    #[test]
    fn only_packets_over_open_pairs_are_relayed_here() {
        let mut pairs = Pairs::default();
        introduce(&mut pairs, A, B);
        let relay = |target: i32| [&[7, 3][..], &target.to_le_bytes(), &[1]].concat();
        assert_eq!(pairs.target(A, &relay(8), false), Some(B));
        assert_eq!(pairs.target(A, &relay(8), true), None);
        for other in [1, 0, -8, 7, 9] {
            assert_eq!(pairs.target(A, &relay(other), false), None, "{other}");
        }
        assert_eq!(pairs.target(C, &relay(8), false), None);
        assert_eq!(pairs.target(A, &relay(8)[..6], false), None);
    }
}
