//! Notices of the driver for the game's thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::peer_shared::PeerShared;
use super::run::Run;
use crate::base::{CloseReason, Packet, PeerId};
use crate::event::ConnectionRequest;

/// A notice; the game's thread takes them in order.
#[derive(Debug)]
pub(crate) enum Notice {
    Packet(Packet),
    /// Server: packets of a client for other clients.
    Run(Box<Run>),
    /// A peer has connected. `own_id` is the id of a client.
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
    /// Client: connecting has failed.
    Failed(CloseReason),
    /// Client of the Godot 3 wire: another client has joined or left.
    Joined(PeerId),
    Left(PeerId),
    /// The peer has lost its connection, and may come back.
    Suspended(PeerId),
    /// It has come back.
    Resumed(PeerId),
    Congested(PeerId),
    Drained(PeerId),
    Overflowed(PeerId),
    /// Server: a request for the game's handler.
    Requested {
        request: Box<ConnectionRequest>,
        left: Arc<AtomicBool>,
    },
    /// Server: the client of this request will not connect.
    Withdrawn(PeerId),
    /// Server: the change of `refuse_new_connections` with this number is in force.
    Refusing(u64),
    /// The driver's thread has failed.
    DriverFailed(CloseReason),
}
