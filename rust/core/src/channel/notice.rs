//! What the driver tells the game's thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::peer_shared::PeerShared;
use crate::base::{CloseReason, Packet, PeerId};
use crate::event::ConnectionRequest;

/// What the game's thread hears, in order.
#[derive(Debug)]
pub(crate) enum Notice {
    Packet(Packet),
    /// A peer is usable. `own_id` is what a client is called.
    Connected {
        shared: Arc<PeerShared>,
        own_id: PeerId,
    },
    CloseRequested {
        id: PeerId,
        code: u16,
        reason: String,
    },
    Disconnected {
        id: PeerId,
        reason: CloseReason,
    },
    /// Client: it did not get in.
    Failed(CloseReason),
    /// Client of the Godot 3 wire: another client came or went.
    Joined(PeerId),
    Left(PeerId),
    Congested(PeerId),
    Drained(PeerId),
    Overflowed(PeerId),
    /// Server: the game's handler is to decide.
    Requested {
        request: Box<ConnectionRequest>,
        left: Arc<AtomicBool>,
    },
    /// Server: this request will not become a peer any more.
    Withdrawn(PeerId),
    /// Server: what was said when this number was given holds from here on.
    Refusing(u64),
    /// The driver thread is gone.
    DriverFailed(CloseReason),
}
