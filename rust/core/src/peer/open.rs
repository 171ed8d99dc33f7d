//! The state of an open server or client on the game's thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::handle::Member;
use super::receiver::Receiver;
use super::runs::Relaying;
use super::sender::Sender;
use crate::base::{PeerId, PeerMap};
use crate::channel::Mailbox;
use crate::config::PeerConfig;
use crate::net::listener::Listener;
use crate::session::Role;

/// An open server or client, and its peers.
pub(super) struct Open {
    pub(super) role: Role,
    pub(super) config: Rc<RefCell<PeerConfig>>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) listener: Option<Listener>,
    pub(super) roster: PeerMap<Rc<Member>>,
    /// Client: the server, until connecting has succeeded or failed.
    pub(super) server_to_be: Option<Rc<Member>>,
    /// Client: the game closed the connection while connecting. Later notices about it are ignored.
    pub(super) given_up: bool,
    /// Client of the Godot 3 wire: the other clients, each with the last poll in which packets of it became readable.
    // The server chooses their ids, so this map has a hash function that is safe against collisions.
    pub(super) remote_peers: HashMap<PeerId, u64>,
    /// Server: requests that were withdrawn before they were emitted. Their withdrawal is not emitted either.
    pub(super) unasked: Vec<PeerId>,
    /// The number of polls, by which a member remembers in which poll its packets became readable.
    pub(super) poll: u64,
    pub(super) receiver: Receiver,
    pub(super) relaying: Relaying,
    pub(super) sender: Sender,
}

impl Open {
    pub(super) fn carrier_id(&self, source: PeerId) -> PeerId {
        if self.role == Role::Client { PeerId::SERVER } else { source }
    }

    /// Returns whether packets of a peer, or of the clients that end with it, became readable in this poll.
    pub(super) fn is_fresh(&self, id: PeerId) -> bool {
        // A client may have dropped its server meanwhile; the other clients still belong to it.
        self.roster.get(&id).is_some_and(|member| member.is_fresh(self.poll))
            || self.remote_peers.values().any(|fresh| *fresh == self.poll)
    }

    /// Notes that a packet of a peer became readable. Returns the peer whose connection carried it, and whether the sender is known.
    // A part of the loop over the notices: a call for each packet costs 2 % of all instructions on its way.
    #[inline(always)]
    pub(super) fn note_fresh(&mut self, source: PeerId) -> Option<(&Rc<Member>, bool)> {
        // One look-up per packet: only with the Godot 3 format do packets arrive through the connection of another peer.
        if let Some(member) = self.roster.get(&source) {
            member.set_fresh(self.poll);
            return Some((member, true));
        }
        let other = self.remote_peers.get_mut(&source).map(|fresh| *fresh = self.poll);
        let server = self.roster.get(&PeerId::SERVER).filter(|_| self.role == Role::Client);
        server.map(|member| (member, other.is_some()))
    }
}
