//! What a game reads.

use bytes::Bytes;

use crate::id::PeerId;

/// A received packet or message.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sent it.
    pub source: PeerId,
    /// Its bytes, without any wire header.
    pub payload: Bytes,
    /// It came as a text message.
    pub text: bool,
}

impl Packet {
    /// Says whether this is recognisably the state of a `MultiplayerSynchronizer`, which the next one replaces.
    pub fn is_state_sync(&self) -> bool {
        crate::wire::godot4::is_state_sync(&self.payload)
    }
}

/// How a packet may be treated on its way out, as the engine's `TransferMode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// May be dropped when the peer does not keep up (`UNRELIABLE`, `UNRELIABLE_ORDERED`).
    Droppable,
    /// Arrives, or the connection ends.
    Reliable,
}
