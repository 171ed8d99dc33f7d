//! Identifiers: who a packet is from and for.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A multiplayer peer id, 1..=2147483647; the server is always 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub i32);

impl PeerId {
    /// The id of the server.
    pub const SERVER: Self = Self(1);

    /// Draws an id that a client may have: 2..=2147483647, from a cryptographically secure generator.
    ///
    /// The caller checks that no live peer has it.
    pub(crate) fn random_client() -> Self {
        Self(rand::random_range(2..=i32::MAX))
    }

    /// Returns whether the id may belong to a client.
    pub fn is_client(self) -> bool {
        self.0 >= 2
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A map by peer id.
pub(crate) type PeerMap<T> = HashMap<PeerId, T, BuildHasherDefault<PeerIdHasher>>;

/// Hashes ids by one multiplication: a server draws the ids, so no client can choose ids that collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerIdHasher(u64);

impl Hasher for PeerIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(SPREAD);
        }
    }

    fn write_i32(&mut self, id: i32) {
        self.0 = u64::from(id.cast_unsigned()).wrapping_mul(SPREAD);
    }
}

/// 2^64 divided by the golden ratio, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whom a packet is for, decoded once from the engine's convention.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Every peer (0).
    All,
    /// Every peer but one (negative).
    AllExcept(PeerId),
    /// One peer (positive).
    One(PeerId),
}

impl Target {
    /// Decodes `MultiplayerPeer.set_target_peer`: 0 all, positive one, negative all but that one.
    ///
    /// `i32::MIN` has no positive counterpart and therefore excludes nobody.
    pub fn from_engine(id: i32) -> Self {
        match id {
            0 => Self::All,
            1.. => Self::One(PeerId(id)),
            _ => id.checked_neg().map_or(Self::All, |id| Self::AllExcept(PeerId(id))),
        }
    }

    /// Returns the engine's number for this target.
    pub fn to_engine(self) -> i32 {
        match self {
            Self::All => 0,
            Self::AllExcept(id) => -id.0,
            Self::One(id) => id.0,
        }
    }
}

/// A connection of one driver: slot and generation, so that a late command never reaches a newer connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_round_trip() {
        for id in [0, 1, 2, -1, -2, i32::MAX, -i32::MAX] {
            assert_eq!(Target::from_engine(id).to_engine(), id);
        }
        assert_eq!(Target::from_engine(i32::MIN), Target::All);
        assert_eq!(Target::from_engine(-7), Target::AllExcept(PeerId(7)));
    }

    #[test]
    fn client_ids_are_never_zero_or_the_server() {
        assert!((0..1000).all(|_| PeerId::random_client().is_client()));
    }
}
