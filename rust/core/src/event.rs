//! What happened, in the order in which the game is told.

use crate::id::PeerId;

/// One thing to tell the game, from [`Peer::next_event`](crate::Peer::next_event).
///
/// A server's peers are its clients; a client's only connection is peer 1.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer is usable: `peer_connected`, or `client_connected` / `connection_established` in raw mode.
    PeerConnected {
        /// The peer.
        id: PeerId,
        /// The subprotocol agreed on, or nothing.
        protocol: String,
    },
    /// A peer is gone: `peer_disconnected`, or `client_disconnected` / `connection_closed` in raw mode.
    PeerDisconnected {
        /// The peer.
        id: PeerId,
        /// Whether both sides exchanged Close frames.
        clean: bool,
    },
    /// The remote asked to close: `client_close_request` / `server_close_request`.
    CloseRequested {
        /// The peer.
        id: PeerId,
        /// Its code; 1005 when it sent none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// A packet became readable: `peer_packet`, or `data_received` in raw mode.
    PacketReceived {
        /// Who sent it.
        id: PeerId,
    },
    /// The client is connected and has its id; follows `PeerConnected` of the server.
    ConnectionSucceeded,
    /// The client did not get in.
    ConnectionFailed,
    /// The client lost its server; follows `PeerDisconnected` of the server.
    ServerDisconnected,
    /// The peer's socket stopped taking data with more than half of the output buffer waiting.
    PeerCongested {
        /// The peer.
        id: PeerId,
    },
    /// Everything that waited for a congested peer has left.
    PeerDrained {
        /// The peer.
        id: PeerId,
    },
    /// The peer is being closed because it did not keep up.
    PeerOverflowed {
        /// The peer.
        id: PeerId,
    },
    /// A broadcast found no room for this peer.
    PacketRefused {
        /// The peer.
        id: PeerId,
        /// The packet's size.
        size: usize,
    },
}
