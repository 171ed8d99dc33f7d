//! One connected peer, for the roster and for whoever holds a handle to it.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::receiver::Received;
use super::sender::{Copies, Outgoing, check};
use crate::base::{CloseFrame, CloseReason, PeerId, SendError, Target};
use crate::channel::{Command, Mailbox, PeerShared, PeerState, Reservation, WhenFull};
use crate::config::{Mode, PeerConfig, WireFormat};
use crate::http::Url;
use crate::wire::godot3::packet_header;

/// What the game's thread keeps of a peer.
pub(super) struct Member {
    /// Not there while a client connects.
    shared: OnceCell<Arc<PeerShared>>,
    /// Client: where to.
    url: Option<Url>,
    /// How a client's attempt to connect ended.
    failure: OnceCell<CloseReason>,
    /// A handle that a game keeps must not keep what the system gave the mailbox.
    mailbox: Weak<Mailbox>,
    pub(super) config: Rc<RefCell<PeerConfig>>,
    /// What we are called.
    own_id: Cell<PeerId>,
    pub(super) received: Received,
    /// Set for this peer alone.
    heartbeat_interval: Cell<Option<Duration>>,
    /// Set before there was a connection.
    no_delay: Cell<Option<bool>>,
}

impl Member {
    /// One that is still to be connected to.
    pub(super) fn new(url: Option<Url>, mailbox: Weak<Mailbox>, config: Rc<RefCell<PeerConfig>>) -> Self {
        Self {
            shared: OnceCell::new(),
            url,
            failure: OnceCell::new(),
            mailbox,
            config,
            own_id: Cell::new(PeerId(0)),
            received: Received::default(),
            heartbeat_interval: Cell::new(None),
            no_delay: Cell::new(None),
        }
    }

    /// There is a connection: what was set before holds for it.
    pub(super) fn connected(&self, shared: Arc<PeerShared>, own_id: PeerId) {
        let conn = shared.conn;
        self.own_id.set(own_id);
        let _ = self.shared.set(shared);
        if let Some(interval) = self.heartbeat_interval.get() {
            self.command(Command::Heartbeat { conn, interval });
        }
        if let Some(enabled) = self.no_delay.get() {
            self.command(Command::NoDelay { conn, enabled });
        }
    }

    /// Client: there will be no connection.
    pub(super) fn failed(&self, reason: &CloseReason) {
        let _ = self.failure.set(reason.clone());
    }

    /// Client: why there will be none.
    pub(super) fn failure(&self) -> Option<&CloseReason> {
        self.failure.get()
    }

    /// Client: the game does not want the connection any more. It is told at the next poll.
    fn give_up(&self) {
        if self.failure.get().is_none() {
            self.failed(&CloseReason::Aborted);
            self.command(Command::Finish { frame: Box::new(CloseFrame::normal()) });
        }
    }

    pub(super) fn shared(&self) -> &Arc<PeerShared> {
        self.shared.get().expect("who is in the roster is connected")
    }

    /// Says whether there is, or was, a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.shared.get().is_some()
    }

    pub(super) fn id(&self) -> PeerId {
        self.shared.get().map_or(PeerId::SERVER, |shared| shared.id)
    }

    pub(super) fn command(&self, command: Command) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.command(command);
        }
    }

    pub(super) fn close(&self, frame: CloseFrame) {
        let Some(shared) = self.shared.get() else { return self.give_up() };
        self.discard();
        if shared.state() == PeerState::Open {
            shared.set_closing();
            self.command(Command::Close { conn: shared.conn, frame: Box::new(frame) });
        }
    }

    pub(super) fn close_without_waiting(&self) {
        self.close_locally();
        self.command(Command::CloseWithoutWaiting(self.shared().conn));
    }

    fn abort(&self) {
        let Some(shared) = self.shared.get() else { return self.give_up() };
        let open = shared.state() != PeerState::Closed;
        self.close_locally();
        if open {
            self.command(Command::Abort(shared.conn));
        }
    }

    /// The whole object is closed, or this peer is forgotten: nothing is heard of it any more.
    pub(super) fn close_locally(&self) {
        let Some(shared) = self.shared.get() else { return self.failed(&CloseReason::Aborted) };
        self.discard();
        shared.set_closed(&CloseReason::Aborted);
        shared.incoming.clear();
    }

    /// It is gone, and so is its place in the roster: packets that are unread by then count for nobody any more, but messages
    /// that its handle keeps do.
    pub(super) fn forget(&self, mode: Mode) {
        if mode != Mode::Raw {
            self.shared().incoming.clear();
        }
    }
}

/// A connected peer. It outlives its connection, and then says that it is not connected.
#[derive(Clone)]
pub struct PeerHandle {
    pub(super) member: Rc<Member>,
}

impl PeerHandle {
    pub(super) fn new(member: Rc<Member>) -> Self {
        Self { member }
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.member.id()
    }

    /// Whether it can be talked to.
    pub fn state(&self) -> PeerState {
        match (self.shared(), self.member.failure()) {
            (Some(shared), _) => shared.state(),
            (None, None) => PeerState::Connecting,
            (None, Some(_)) => PeerState::Closed,
        }
    }

    /// Remote IP address. While a client connects to a name there is none yet.
    pub fn address(&self) -> String {
        let given = || {
            let address = self.member.url.as_ref().and_then(|url| url.host.parse::<IpAddr>().ok());
            address.map(|address| address.to_string()).unwrap_or_default()
        };
        self.shared().map_or_else(given, |shared| shared.info.address.ip().to_string())
    }

    /// Remote port.
    pub fn port(&self) -> u16 {
        let given = || self.member.url.as_ref().map_or(0, |url| url.port);
        self.shared().map_or_else(given, |shared| shared.info.address.port())
    }

    /// The subprotocol agreed on, or nothing.
    pub fn protocol(&self) -> String {
        self.shared().map(|shared| shared.info.protocol.clone()).unwrap_or_default()
    }

    /// Path and query of the upgrade request.
    pub fn path(&self) -> String {
        match &self.member.url {
            Some(url) => url.target.clone(),
            None => self.shared().map(|shared| shared.info.target.clone()).unwrap_or_default(),
        }
    }

    /// The URL that the client asked for; on a client, as it was given.
    pub fn requested_url(&self) -> String {
        let asked = |shared: &PeerShared| format!("{}{}", shared.info.origin, shared.info.target);
        match &self.member.url {
            Some(url) => url.given.clone(),
            None => self.shared().map(asked).unwrap_or_default(),
        }
    }

    /// On a server: the headers of the upgrade request, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.shared().map(|shared| shared.info.headers.to_vec()).unwrap_or_default()
    }

    /// Bytes that wait to be written.
    pub fn queued_out_bytes(&self) -> usize {
        self.shared().map_or(0, |shared| shared.outgoing.load().0)
    }

    /// The close code once it is closed; -1 without a close frame.
    pub fn close_code(&self) -> i32 {
        self.end().map_or(-1, CloseReason::code)
    }

    /// The reason that came with it.
    pub fn close_reason(&self) -> String {
        self.end().map(|reason| reason.text().to_owned()).unwrap_or_default()
    }

    fn end(&self) -> Option<&CloseReason> {
        self.shared().map_or_else(|| self.member.failure(), PeerShared::end)
    }

    /// Starts the close handshake; its end comes as an event of the [`Peer`](super::Peer). Unread messages (raw mode) are
    /// discarded; no packet becomes readable any more.
    pub fn close(&self, frame: CloseFrame) {
        self.member.close(frame);
    }

    /// As [`close`](Self::close), but drops the connection without a close handshake; what was sent leaves as far as the
    /// system takes it at once.
    pub fn abort(&self) {
        self.member.abort();
    }

    /// One ping each so often; zero = none.
    pub fn heartbeat_interval(&self) -> Duration {
        self.member.heartbeat_interval.get().unwrap_or_else(|| self.member.config.borrow().heartbeat_interval)
    }

    /// Sets it for this peer alone, whatever the object's own is or becomes.
    pub fn set_heartbeat_interval(&self, interval: Duration) {
        self.member.heartbeat_interval.set(Some(interval));
        if let Some(shared) = self.shared() {
            self.member.command(Command::Heartbeat { conn: shared.conn, interval });
        }
    }

    /// Nothing received for so long ends the connection; zero = never.
    pub fn heartbeat_timeout(&self) -> Duration {
        self.member.config.borrow().heartbeat_timeout
    }

    /// Sets `TCP_NODELAY`, which is on from the beginning.
    pub fn set_no_delay(&self, enabled: bool) {
        self.member.no_delay.set(Some(enabled));
        if let Some(shared) = self.shared() {
            self.member.command(Command::NoDelay { conn: shared.conn, enabled });
        }
    }

    /// Sends a message to this peer, whatever the overflow policy: refused when it has no room.
    ///
    /// # Errors
    /// [`SendError`]: not connected, too large, no room, text that is not UTF-8; in multiplayer mode an empty message.
    pub fn send(&self, payload: &[u8], text: bool) -> Result<(), SendError> {
        let Some(shared) = self.shared() else { return Err(SendError::NotConnected) };
        if shared.state() != PeerState::Open {
            return Err(SendError::NotConnected);
        }
        let config = self.member.config.borrow();
        check(payload, text, &config)?;
        // A server's packet to this one peer, or a client's to the server.
        let header = (config.mode == Mode::Multiplayer(WireFormat::Godot3))
            .then(|| packet_header(self.member.own_id.get(), Target::One(shared.id)));
        let mailbox = self.member.mailbox.upgrade().ok_or(SendError::NotConnected)?;
        let packet = Outgoing { header: header.as_ref(), payload, text, when_full: WhenFull::Refuse };
        match packet.send(shared, &mailbox, &mut Copies::default(), &config) {
            Reservation::Taken => Ok(()),
            Reservation::Closed => Err(SendError::NotConnected),
            Reservation::Dropped | Reservation::Refused | Reservation::Overflow => Err(SendError::Full),
        }
    }

    fn shared(&self) -> Option<&PeerShared> {
        self.member.shared.get().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for PeerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerHandle")
            .field("id", &self.id())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
