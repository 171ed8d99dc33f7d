//! The events that a game gets, in order.

use std::net::SocketAddr;

use crate::base::{ConnId, PeerId};

/// An event, from [`Peer::next_event`](crate::Peer::next_event).
///
/// A server's peers are its clients; a client's only connection is peer 1.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer has connected: `peer_connected`, or `client_connected` / `connection_established` in raw mode.
    PeerConnected {
        /// The peer.
        id: PeerId,
        /// The negotiated subprotocol, or an empty string.
        protocol: String,
    },
    /// A peer has disconnected: `peer_disconnected`, or `client_disconnected` / `connection_closed` in raw mode.
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
        /// The code of the Close; 1005 if it has none.
        code: u16,
        /// The reason of the Close.
        reason: String,
    },
    /// A packet became readable: `peer_packet`, or `data_received` in raw mode.
    PacketReceived {
        /// The sender.
        id: PeerId,
    },
    /// The request of a client waits for [`Peer::answer`](crate::Peer::answer), for 30 s at most.
    Requested(Box<ConnectionRequest>),
    /// The client of a request that was emitted will not connect, whatever the answer was: the client has left, or the server is full.
    RequestWithdrawn {
        /// The id in the request.
        id: PeerId,
    },
    /// The last peer of a server that refuses new connections has disconnected. Emitted once.
    Drained,
    /// The server's I/O thread has failed, after `PeerDisconnected` for each peer. [`Peer::last_error`](crate::Peer::last_error) returns
    /// the reason. The server can listen again.
    ServerFailed,
    /// The client is connected and has its id; follows `PeerConnected` of the server.
    ConnectionSucceeded,
    /// The client could not connect.
    ConnectionFailed,
    /// The client has lost its server; follows `PeerDisconnected` of the server.
    ServerDisconnected,
    /// The peer has lost its connection, and may come back: `peer_suspended`.
    PeerSuspended {
        /// The peer.
        id: PeerId,
    },
    /// The peer has come back; nothing reliable was lost: `peer_resumed`.
    PeerResumed {
        /// The peer.
        id: PeerId,
    },
    /// The peer has become congested, and more than half of its output buffer waits.
    PeerCongested {
        /// The peer.
        id: PeerId,
    },
    /// Everything that waited for a congested peer was sent.
    PeerDrained {
        /// The peer.
        id: PeerId,
    },
    /// The peer is being closed because it did not keep up.
    PeerOverflowed {
        /// The peer.
        id: PeerId,
    },
    /// A broadcast was refused for this peer, because there was no room.
    PacketRefused {
        /// The peer.
        id: PeerId,
        /// The packet's size.
        size: usize,
    },
}

impl Event {
    /// Returns whether the event is about this peer. The success of a client is about the server.
    pub(crate) fn is_about(&self, peer: PeerId) -> bool {
        match self {
            Self::PeerConnected { id, .. }
            | Self::PeerDisconnected { id, .. }
            | Self::CloseRequested { id, .. }
            | Self::PacketReceived { id }
            | Self::RequestWithdrawn { id }
            | Self::PeerSuspended { id }
            | Self::PeerResumed { id }
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

/// The request of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectionRequest {
    /// The id that the client will have.
    pub id: PeerId,
    /// The path, without the query.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The address of the client, if necessary from a trusted proxy; the port is 0 if it is unknown.
    pub address: SocketAddr,
    /// The subprotocols that the client offers.
    pub protocols: Vec<String>,
    /// The connection to this server uses TLS.
    pub secure: bool,
    pub(crate) conn: ConnId,
}
