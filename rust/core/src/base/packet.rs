//! Packets as a game reads them.

use bytes::Bytes;

use super::PeerId;

/// A received packet or message.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The peer that sent it.
    pub source: PeerId,
    /// Its bytes, without any wire header.
    pub payload: Bytes,
    /// It came as a text message.
    pub text: bool,
}

/// How a packet may be treated on its way out, as the engine's `TransferMode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// May be dropped when the peer does not keep up (`UNRELIABLE`, `UNRELIABLE_ORDERED`).
    Droppable,
    /// Arrives, or the connection ends.
    Reliable,
}
