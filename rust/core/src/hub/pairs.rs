//! Pairs of clients that the server's game has announced to each other, in the 4.x wire format. Only between them are packets relayed here.

use crate::base::{PeerId, PeerMap};
use crate::wire::godot4::{Announcement, relay_target};

/// Which clients know each other, as the game announced it.
///
/// An announcement counts when its command is executed, so that a relay that the game passed before has its effect before.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// The place of each client of which something was announced.
    places: PeerMap<usize>,
    /// For each place, of whom its client was told: one bit for each place, because there are as many pairs as clients squared.
    told: Vec<Vec<u64>>,
    /// Places whose clients are gone.
    free: Vec<usize>,
    /// The number of the object that relays; see [`Run::epoch`](crate::channel::Run::epoch).
    epoch: u64,
    /// There was no place for a client, and a line said so.
    has_complained: bool,
}

impl Pairs {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Forgets all announcements, because another object relays, or none.
    pub(super) fn void(&mut self, epoch: u64) {
        *self = Self { epoch, has_complained: self.has_complained, ..Self::default() };
    }

    /// Notes what the game has told a client.
    pub(super) fn announced(&mut self, to: PeerId, what: Announcement) {
        match what {
            Announcement::Joined(about) if about == to => {}
            Announcement::Joined(about) => {
                if let (Some(to), Some(about)) = (self.place(to), self.place(about)) {
                    let (word, bit) = bit(about);
                    let Some(told) = self.told.get_mut(to) else { return };
                    if told.len() <= word {
                        told.resize(word + 1, 0);
                    }
                    if let Some(word) = told.get_mut(word) {
                        *word |= bit;
                    }
                }
            }
            Announcement::Left(about) => {
                if let (Some(to), Some(about)) = (self.places.get(&to), self.places.get(&about)) {
                    clear(&mut self.told, *to, *about);
                }
            }
        }
    }

    /// Forgets a peer that is gone.
    pub(super) fn forget(&mut self, id: PeerId) {
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(told) = self.told.get_mut(place) {
            *told = Vec::new();
        }
        for other in self.places.values() {
            clear(&mut self.told, *other, place);
        }
        self.free.push(place);
    }

    /// Returns whether nothing is relayed here, because the game has announced nobody or announced it before another object relayed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline]
    pub(super) fn is_open(&self, one: PeerId, other: PeerId) -> bool {
        let (Some(a), Some(b)) = (self.places.get(&one), self.places.get(&other)) else { return false };
        self.is_told(*a, *b) && self.is_told(*b, *a)
    }

    /// Returns the client for which a client's message is, if it is relayed here.
    #[inline]
    pub(super) fn target(&self, source: PeerId, message: &[u8], text: bool) -> Option<PeerId> {
        if self.is_empty() || text {
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
        let told = |a: usize, b: usize| self.is_told(a, b) || self.is_told(b, a);
        let counts = |place: usize| self.places.values().any(|other| told(place, *other));
        self.places.iter().filter(|(_, place)| counts(**place)).map(|(id, _)| *id).collect()
    }

    fn is_told(&self, to: usize, about: usize) -> bool {
        let (word, bit) = bit(about);
        self.told.get(to).and_then(|told| told.get(word)).is_some_and(|word| word & bit != 0)
    }

    /// Returns the place of a client, and gives it one if there is one.
    fn place(&mut self, id: PeerId) -> Option<usize> {
        if let Some(place) = self.places.get(&id) {
            return Some(*place);
        }
        if self.places.len() >= PLACES {
            if !std::mem::replace(&mut self.has_complained, true) {
                log::warn!(
                    "more than {PLACES} clients know each other: packets of the others for clients are relayed on the main thread; \
                     if the clients need not know each other, set server_relay = false"
                );
            }
            return None;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.told.push(Vec::new());
            self.told.len() - 1
        });
        self.places.insert(id, place);
        Some(place)
    }
}

/// The word and the bit of a place.
fn bit(place: usize) -> (usize, u64) {
    (place / 64, 1 << (place % 64))
}

fn clear(told: &mut [Vec<u64>], to: usize, about: usize) {
    let (word, bit) = bit(about);
    if let Some(word) = told.get_mut(to).and_then(|told| told.get_mut(word)) {
        *word &= !bit;
    }
}

/// The most clients between which packets are relayed here: they take 8 MiB.
pub(crate) const PLACES: usize = 8192;

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

    #[test]
    fn thousands_of_clients_take_little_memory_and_one_too_many_takes_none() {
        const CLIENTS: usize = 4000;
        let id = |n: usize| PeerId(n as i32 + 2);
        let mut pairs = Pairs::default();
        for new in 0..CLIENTS {
            for other in (0..new).step_by(16) {
                introduce(&mut pairs, id(other), id(new));
            }
        }
        let size = |pairs: &Pairs| pairs.told.iter().map(|told| 24 + 8 * told.capacity()).sum::<usize>();
        assert!(size(&pairs) < 5 << 20, "{} bytes", size(&pairs));
        // Who leaves gives room to who comes, and takes no pair along.
        for _ in 0..2 {
            for gone in 0..100 {
                pairs.forget(id(gone));
                assert!(!pairs.is_open(id(gone), id(200)) && !pairs.is_open(id(200), id(gone)));
                pairs.announced(id(gone), Announcement::Joined(id(200)));
                assert!(!pairs.is_open(id(gone), id(200)));
            }
        }
        assert_eq!(pairs.told.len(), CLIENTS);
        for new in 0..PLACES + 10 {
            pairs.announced(id(new), Announcement::Joined(id(300)));
            pairs.announced(id(300), Announcement::Joined(id(new)));
        }
        assert!(pairs.is_open(id(300), id(PLACES - 1)));
        assert!(!pairs.is_open(id(300), id(PLACES)), "the game relays");
        assert_eq!((pairs.places.len(), pairs.told.len()), (PLACES, PLACES));
        pairs.forget(id(500));
        introduce(&mut pairs, id(PLACES), id(300));
    }
}
