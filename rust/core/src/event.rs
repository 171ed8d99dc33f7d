//! What happened, in the order in which the game is told.

use std::net::SocketAddr;

use crate::base::{ConnId, PeerId};

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
    /// A client wants in, and its request waits for [`Peer::answer`](crate::Peer::answer), 30 s at most.
    Requested(Box<ConnectionRequest>),
    /// A request that was told will not become a peer, whatever was answered: the client left, or there was no room any more.
    RequestWithdrawn {
        /// The id that it would have had.
        id: PeerId,
    },
    /// A server that refuses new connections has no peer any more, and will have none until it admits again. Told once.
    Drained,
    /// The server's I/O thread has failed, and nobody is connected any more; follows `PeerDisconnected` of each.
    /// [`Peer::last_error`](crate::Peer::last_error) says why. It can listen again.
    ServerFailed,
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

impl Event {
    /// Says whether it is about this peer; that a client is in is about the server.
    pub(crate) fn is_about(&self, peer: PeerId) -> bool {
        match self {
            Self::PeerConnected { id, .. }
            | Self::PeerDisconnected { id, .. }
            | Self::CloseRequested { id, .. }
            | Self::PacketReceived { id }
            | Self::RequestWithdrawn { id }
            | Self::PeerCongested { id }
            | Self::PeerDrained { id }
            | Self::PeerOverflowed { id }
            | Self::PacketRefused { id, .. } => *id == peer,
            Self::ConnectionSucceeded => peer == PeerId::SERVER,
            Self::Requested(_)
            | Self::Drained
            | Self::ServerFailed
            | Self::ConnectionFailed
            | Self::ServerDisconnected => false,
        }
    }
}

/// What a client asks for that wants in.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectionRequest {
    /// The id that it will have.
    pub id: PeerId,
    /// Without the query.
    pub path: String,
    /// What is behind the question mark.
    pub query: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The client's, by what a trusted proxy says; the port may be unknown (0).
    pub address: SocketAddr,
    /// Subprotocols that it offers.
    pub protocols: Vec<String>,
    /// It speaks TLS with us.
    pub secure: bool,
    pub(crate) conn: ConnId,
}
