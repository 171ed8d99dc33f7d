//! Ends of peers: closing by either side, the events that follow, and the handles that remain available meanwhile.

use std::rc::Rc;

use super::handle::Member;
use super::open::Open;
use super::{Peer, Status};
use crate::base::{CloseFrame, CloseReason, PeerId};
use crate::channel::Command;
use crate::config::Mode;
use crate::event::Event;
use crate::session::Role;

impl Peer {
    /// Returns whether the game has closed the handle of the server before the connection was established.
    pub(super) fn has_given_up(&self) -> bool {
        let server = self.open.as_ref().and_then(|open| open.server_to_be.as_ref());
        server.is_some_and(|server| server.failure().is_some())
    }

    /// Returns whether the object had peers before it was closed and opened again.
    pub fn has_former_peers(&self) -> bool {
        !self.former.is_empty()
    }

    /// Returns the peers from before the object was closed. Their ends were not emitted, because the game itself closed the object. Their
    /// handles are available until the next poll.
    pub fn former_peers(&mut self) -> Vec<PeerId> {
        self.leaving.extend(self.former.values().flatten().cloned());
        self.former.keys().copied().collect()
    }

    /// Starts the closing handshake and discards the peer's unread packets. Its end follows as an event. Returns false for an unknown id.
    pub fn disconnect(&mut self, id: PeerId, frame: CloseFrame) -> bool {
        let Some(open) = &self.open else { return false };
        if let Some(server) = open.server_to_be.as_ref().filter(|_| id == PeerId::SERVER) {
            server.close(frame);
            return true;
        }
        let Some(member) = open.roster.get(&id).cloned() else { return false };
        member.close(frame);
        self.discard_packets(id, &member);
        true
    }

    /// Sends a Close and forgets the peer at once: no event about it follows. Returns false for an unknown id.
    pub fn disconnect_now(&mut self, id: PeerId) -> bool {
        let Some(open) = &mut self.open else { return false };
        if id == PeerId::SERVER
            && let Some(server) = open.server_to_be.take()
        {
            server.failed(&CloseReason::Aborted);
            open.given_up = true;
            self.end_client();
            return true;
        }
        let Some(member) = open.roster.remove(&id) else { return false };
        member.close_without_waiting();
        self.discard_packets(id, &member);
        self.events.retain(|event| !event.is_about(id));
        if let Some(open) = &mut self.open {
            open.forget_pairs(id);
            open.sender.forget_peer(id);
            if open.role == Role::Client {
                self.end_client();
            }
        }
        true
    }

    /// Returns whether the end of this peer is being emitted.
    pub fn is_leaving(&self, id: PeerId) -> bool {
        self.leaving(id).is_some()
    }

    pub(super) fn leaving(&self, id: PeerId) -> Option<&Rc<Member>> {
        self.leaving.iter().find(|member| member.id() == id)
    }

    /// Remembers the peers of an object that is closed or opened again. A client that has lost its server has emitted the end of the
    /// server, but perhaps not the ends of the other clients.
    pub(super) fn note_former(&mut self, open: Open) {
        if open.config.borrow().mode == Mode::Raw {
            return;
        }
        if open.role == Role::Client && open.server_to_be.is_none() {
            self.former.insert(PeerId::SERVER, None);
        }
        self.former.extend(open.remote_peers.into_keys().map(|id| (id, None)));
        self.former.extend(open.roster.into_iter().map(|(id, member)| (id, Some(member))));
    }

    pub(super) fn disconnected(&mut self, id: PeerId, reason: &CloseReason) -> Option<Event> {
        let open = self.open.as_mut()?;
        let member = open.roster.remove(&id);
        if let Some(member) = &member {
            member.forget(open.config.borrow().mode);
        }
        let known = member.is_some();
        open.forget_pairs(id);
        self.leaving.extend(member);
        open.sender.forget_roster();
        if open.role == Role::Client {
            // The other clients were known through the server, so they are gone too.
            let others =
                open.remote_peers.drain().map(|(id, _)| Event::PeerDisconnected { id, clean: false });
            self.events.extend(others);
            self.note_end(reason);
            self.end_client();
            if known {
                self.events.push_back(Event::PeerDisconnected { id, clean: reason.is_clean() });
            }
            self.events.push_back(Event::ServerDisconnected);
            return self.events.pop_front();
        }
        known.then(|| Event::PeerDisconnected { id, clean: reason.is_clean() })
    }

    pub(super) fn failed(&mut self, reason: &CloseReason) -> Event {
        self.note_end(reason);
        if let Some(open) = &mut self.open
            && let Some(server) = open.server_to_be.take()
        {
            open.given_up = server.failure().is_some();
            server.failed(reason);
            self.leaving.push(server);
        }
        self.end_client();
        Event::ConnectionFailed
    }

    pub(super) fn driver_failed(&mut self, reason: &CloseReason) {
        self.note_end(reason);
        let Some(open) = &mut self.open else { return };
        let connecting = self.status == Status::Connecting;
        let others = open.remote_peers.drain().map(|(id, _)| id);
        let leaving = &mut self.leaving;
        let peers = open.roster.drain().map(|(id, member)| {
            member.shared().set_closed(reason);
            leaving.push(member);
            id
        });
        self.events.extend(others.chain(peers).map(|id| Event::PeerDisconnected { id, clean: false }));
        open.sender.forget_roster();
        if let Some(server) = open.server_to_be.take() {
            server.failed(reason);
            self.leaving.push(server);
        }
        match (open.role, connecting) {
            (Role::Client, true) => self.events.push_back(Event::ConnectionFailed),
            (Role::Client, false) => self.events.push_back(Event::ServerDisconnected),
            (Role::Server, _) => self.events.push_back(Event::ServerFailed),
        }
        if let Some(listener) = open.listener.take() {
            listener.close();
        }
        self.status = Status::Disconnected;
    }

    /// A client that has lost its server is not open any more, but its last events are still to be emitted.
    pub(super) fn end_client(&mut self) {
        self.status = Status::Disconnected;
        if let Some(open) = &mut self.open {
            open.roster.clear();
            open.mailbox.command(Command::Finish { frame: Box::new(CloseFrame::normal()) });
        }
    }

    pub(super) fn note_end(&mut self, reason: &CloseReason) {
        self.last_error = reason.to_string();
        self.close_code = reason.code();
        self.close_reason = reason.text().to_owned();
    }
}
