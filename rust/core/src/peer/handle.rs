//! One connected peer, shared by the roster and its handles.

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

/// The state of a peer on the game's thread.
pub(super) struct Member {
    /// Empty while a client connects.
    shared: OnceCell<Arc<PeerShared>>,
    /// Client: the URL of the server.
    url: Option<Url>,
    /// Client: why connecting failed.
    failure: OnceCell<CloseReason>,
    /// Weak, so that a handle that the game keeps does not keep the mailbox and its system resources alive.
    mailbox: Weak<Mailbox>,
    pub(super) config: Rc<RefCell<PeerConfig>>,
    /// The id of this side.
    own_id: Cell<PeerId>,
    pub(super) received: Received,
    /// The heartbeat interval of this peer only.
    heartbeat_interval: Cell<Option<Duration>>,
    /// `TCP_NODELAY`, if it was set before there was a connection.
    no_delay: Cell<Option<bool>>,
}

impl Member {
    /// Creates the state of a peer, before or after the connection is established.
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

    /// Notes that the connection is established, and applies what was set before.
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

    /// Client: notes that connecting has failed.
    pub(super) fn failed(&self, reason: &CloseReason) {
        let _ = self.failure.set(reason.clone());
    }

    /// Client: returns why connecting has failed.
    pub(super) fn failure(&self) -> Option<&CloseReason> {
        self.failure.get()
    }

    /// Client: the game closes the handle while connecting. `ConnectionFailed` follows at the next poll.
    fn give_up(&self) {
        if self.failure.get().is_none() {
            self.failed(&CloseReason::Aborted);
            self.command(Command::Finish { frame: Box::new(CloseFrame::normal()) });
        }
    }

    pub(super) fn shared(&self) -> &Arc<PeerShared> {
        self.shared.get().expect("who is in the roster is connected")
    }

    /// Returns whether the connection was ever established.
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
            shared.begin_closing(|| CloseReason::closed_by_us(&frame));
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

    /// Closes the peer on the game's side at once, before the driver does.
    pub(super) fn close_locally(&self) {
        let Some(shared) = self.shared.get() else { return self.failed(&CloseReason::Aborted) };
        self.discard();
        shared.set_closed(&CloseReason::Aborted);
        shared.incoming.clear();
    }

    /// The peer is gone and removed from the roster. Its unread packets do not count any more; messages in its handle still do.
    pub(super) fn forget(&self, mode: Mode) {
        if mode != Mode::Raw {
            self.shared().incoming.clear();
        }
    }
}

/// A handle of a connected peer. It outlives the connection, and then reports that the peer is not connected.
#[derive(Clone)]
pub struct PeerHandle {
    pub(super) member: Rc<Member>,
}

impl PeerHandle {
    pub(super) fn new(member: Rc<Member>) -> Self {
        Self { member }
    }

    /// The peer's id.
    pub fn id(&self) -> PeerId {
        self.member.id()
    }

    /// The state of the connection.
    pub fn state(&self) -> PeerState {
        match (self.shared(), self.member.failure()) {
            (Some(shared), _) => shared.state(),
            (None, None) => PeerState::Connecting,
            (None, Some(_)) => PeerState::Closed,
        }
    }

    /// The remote IP address; `None` while a client connects to a host name.
    pub fn address(&self) -> String {
        let given = || {
            let address = self.member.url.as_ref().and_then(|url| url.host.parse::<IpAddr>().ok());
            address.map(|address| address.to_string()).unwrap_or_default()
        };
        self.shared().map_or_else(given, |shared| shared.address().ip().to_string())
    }

    /// The remote port.
    pub fn port(&self) -> u16 {
        let given = || self.member.url.as_ref().map_or(0, |url| url.port);
        self.shared().map_or_else(given, |shared| shared.address().port())
    }

    /// The negotiated subprotocol, or an empty string.
    pub fn protocol(&self) -> String {
        self.shared().map(|shared| shared.info.protocol.clone()).unwrap_or_default()
    }

    /// The path and query of the upgrade request.
    pub fn path(&self) -> String {
        match &self.member.url {
            Some(url) => url.target.clone(),
            None => self.shared().map(|shared| shared.info.target.clone()).unwrap_or_default(),
        }
    }

    /// The requested URL; on a client, as it was passed.
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

    /// The number of bytes that wait to be written.
    pub fn queued_out_bytes(&self) -> usize {
        self.shared().map_or(0, |shared| shared.outgoing.load().0)
    }

    /// The close code after the end; -1 without a Close frame.
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

    /// Starts the closing handshake; the end follows as an event of the [`Peer`](super::Peer). Unread messages (raw mode) are discarded,
    /// and no packet becomes readable any more.
    pub fn close(&self, frame: CloseFrame) {
        self.member.close(frame);
    }

    /// As [`close`](Self::close), but drops the connection without a closing handshake. Queued data is sent only as far as the system takes
    /// it at once.
    pub fn abort(&self) {
        self.member.abort();
    }

    /// The interval of pings; zero: no pings.
    pub fn heartbeat_interval(&self) -> Duration {
        self.member.heartbeat_interval.get().unwrap_or_else(|| self.member.config.borrow().heartbeat_interval)
    }

    /// Sets the interval of this peer, without regard to the interval of the object, now or later.
    pub fn set_heartbeat_interval(&self, interval: Duration) {
        self.member.heartbeat_interval.set(Some(interval));
        if let Some(shared) = self.shared() {
            self.member.command(Command::Heartbeat { conn: shared.conn, interval });
        }
    }

    /// A peer that sends nothing for this time is dropped; zero: never.
    pub fn heartbeat_timeout(&self) -> Duration {
        self.member.config.borrow().heartbeat_timeout
    }

    /// Sets `TCP_NODELAY`, which is enabled by default.
    pub fn set_no_delay(&self, enabled: bool) {
        self.member.no_delay.set(Some(enabled));
        if let Some(shared) = self.shared() {
            self.member.command(Command::NoDelay { conn: shared.conn, enabled });
        }
    }

    /// Sends a message to this peer. If there is no room, the message is refused, with either overflow policy. Text is sent as binary
    /// data where text messages are control messages (docs/protocol.md).
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
        // A packet from the server to this peer, or from a client to the server.
        let header = (config.mode == Mode::Multiplayer(WireFormat::Godot3))
            .then(|| packet_header(self.member.own_id.get(), Target::One(shared.id)));
        let mailbox = self.member.mailbox.upgrade().ok_or(SendError::NotConnected)?;
        let text = text && !shared.info.has_control;
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
