//! One opening of a server or client, as the game's thread keeps it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::handle::Member;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::base::{PeerId, PeerMap};
use crate::channel::Mailbox;
use crate::config::PeerConfig;
use crate::net::listener::Listener;
use crate::session::Role;

/// What is open, and who is connected to it.
pub(super) struct Open {
    pub(super) role: Role,
    pub(super) config: Rc<RefCell<PeerConfig>>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) listener: Option<Listener>,
    pub(super) roster: PeerMap<Rc<Member>>,
    /// Client: the server, until there is a connection or none will be.
    pub(super) server_to_be: Option<Rc<Member>>,
    /// Client: the game gave up while it connected. What is still heard of the connection is not told.
    pub(super) given_up: bool,
    /// Client of the Godot 3 wire: the other clients, each with the last poll in which packets of it became readable.
    // Their ids come from the server, so they are kept where ids that collide do no harm.
    pub(super) remote_peers: HashMap<PeerId, u64>,
    /// Server: requests that the game was not told of, because they were withdrawn by then; that they are is not told either.
    pub(super) unasked: Vec<PeerId>,
    /// Counts polls, so that a member can remember the one in which packets of it became readable.
    pub(super) poll: u64,
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
}

impl Open {
    pub(super) fn carrier_id(&self, source: PeerId) -> PeerId {
        if self.role == Role::Client { PeerId::SERVER } else { source }
    }

    /// Says whether packets of a peer, or of those who go with it, became readable in this poll.
    pub(super) fn is_fresh(&self, id: PeerId) -> bool {
        // A client may have dropped its server since; the others are known through it all the same.
        self.roster.get(&id).is_some_and(|member| member.is_fresh(self.poll))
            || self.remote_peers.values().any(|fresh| *fresh == self.poll)
    }

    /// Notes that a packet of a peer became readable. Returns whose connection it came through, and whether there is such a peer.
    pub(super) fn note_fresh(&mut self, source: PeerId) -> Option<(&Rc<Member>, bool)> {
        // One look-up for each packet: only on the Godot 3 wire does a peer come through another one.
        if let Some(member) = self.roster.get(&source) {
            member.set_fresh(self.poll);
            return Some((member, true));
        }
        let other = self.remote_peers.get_mut(&source).map(|fresh| *fresh = self.poll);
        let server = self.roster.get(&PeerId::SERVER).filter(|_| self.role == Role::Client);
        server.map(|member| (member, other.is_some()))
    }
}
