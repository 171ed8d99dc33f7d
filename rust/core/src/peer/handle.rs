//! One connected peer, for the roster and for whoever holds a handle to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::give_back;
use super::outbox::reserve_refusing;
use crate::config::{Mode, PeerConfig, WireFormat};
use crate::error::{CloseFrame, CloseReason, SendError};
use crate::hub::SMALL;
use crate::id::{PeerId, Target};
use crate::link::{Link, PeerState};
use crate::net::mailbox::{Command, Mailbox, Sent};
use crate::packet::Packet;
use crate::session::Body;
use crate::shared::shared;
use crate::wire::godot3::packet_header;

/// What the game's thread keeps of a peer.
pub(super) struct Member {
    link: Arc<Link>,
    /// A handle that a game keeps must not keep what the system gave the mailbox.
    mailbox: Weak<Mailbox>,
    config: Rc<RefCell<PeerConfig>>,
    /// What we are called.
    own_id: PeerId,
    /// Readable packets (raw mode).
    ready: RefCell<VecDeque<Packet>>,
    /// The game has closed it: what still comes is not wanted.
    discarding: Cell<bool>,
    /// The last poll in which packets of it became readable.
    fresh: Cell<u64>,
    /// Bytes and packets that the game has taken and whose room is not given back yet.
    owed: Cell<(usize, usize)>,
    /// Set for this peer alone.
    heartbeat_interval: Cell<Option<Duration>>,
}

impl Member {
    pub(super) fn new(
        link: Arc<Link>,
        mailbox: Weak<Mailbox>,
        config: Rc<RefCell<PeerConfig>>,
        own_id: PeerId,
    ) -> Self {
        Self {
            link,
            mailbox,
            config,
            own_id,
            ready: RefCell::default(),
            discarding: Cell::new(false),
            fresh: Cell::new(0),
            owed: Cell::default(),
            heartbeat_interval: Cell::new(None),
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn command(&self, command: Command) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.command(command);
        }
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.discarding.get()
    }

    pub(super) fn set_fresh(&self, poll: u64) {
        self.fresh.set(poll);
    }

    pub(super) fn is_fresh(&self, poll: u64) -> bool {
        self.fresh.get() == poll
    }

    pub(super) fn push(&self, packet: Packet) {
        self.ready.borrow_mut().push_back(packet);
    }

    #[cfg(test)]
    pub(super) fn ready_capacity(&self) -> usize {
        self.ready.borrow().capacity()
    }

    /// Makes room for more: the packet was taken or thrown away.
    pub(super) fn take_back(&self, packet: &Packet) {
        self.make_room(packet.payload.len(), 1);
    }

    /// The packet was taken. Its room is given back by [`settle`](Self::settle), together with that of others: the I/O thread
    /// looks at it with each packet that comes. Not so many others that it would stop reading for want of room.
    pub(super) fn owe(&self, packet: &Packet) {
        let (bytes, packets) = self.owed.get();
        self.owed.set((bytes + packet.payload.len(), packets + 1));
        let buffers = self.config.borrow().buffers;
        if self.owed.get().0 >= buffers.input_bytes / 8 || packets >= buffers.input_packets / 8 {
            self.settle();
        }
    }

    /// Gives back the room of all that was taken.
    pub(super) fn settle(&self) {
        let (bytes, packets) = self.owed.take();
        if packets > 0 {
            self.make_room(bytes, packets);
        }
    }

    /// What counted against the input limits does not wait any more.
    pub(super) fn make_room(&self, bytes: usize, packets: usize) {
        self.link.receiving.budget.release(bytes, packets);
        if self.link.receiving.paused.load(Ordering::SeqCst)
            && self.link.is_input_low(&self.config.borrow())
            && self.link.receiving.paused.swap(false, Ordering::SeqCst)
        {
            self.command(Command::Resume(self.link.conn));
        }
    }

    pub(super) fn close(&self, frame: CloseFrame) {
        self.discard();
        if self.link.state() == PeerState::Open {
            self.link.set_closing();
            self.command(Command::Close { conn: self.link.conn, frame: Box::new(frame) });
        }
    }

    pub(super) fn abandon(&self) {
        self.close_locally();
        self.command(Command::Abandon(self.link.conn));
    }

    fn cut(&self) {
        let open = self.link.state() != PeerState::Closed;
        self.close_locally();
        if open {
            self.command(Command::Cut(self.link.conn));
        }
    }

    /// The whole object is closed, or this peer is forgotten: nothing is heard of it any more.
    pub(super) fn close_locally(&self) {
        self.discard();
        self.link.set_closed(&CloseReason::Forced);
        self.link.receiving.budget.clear();
    }

    /// It is gone, and so is its place in the roster: packets that are unread by then count for nobody any more, but messages
    /// that its handle keeps do.
    pub(super) fn forget(&self, mode: Mode) {
        if mode != Mode::Raw {
            self.link.receiving.budget.clear();
        }
    }

    fn discard(&self) {
        self.discarding.set(true);
        for packet in self.ready.take() {
            self.take_back(&packet);
        }
    }
}

/// A connected peer. It outlives its connection, and then says that it is not connected.
#[derive(Clone)]
pub struct PeerHandle {
    member: Rc<Member>,
}

impl PeerHandle {
    pub(super) fn new(member: Rc<Member>) -> Self {
        Self { member }
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.link().id
    }

    /// Whether it can be talked to.
    pub fn state(&self) -> PeerState {
        self.link().state()
    }

    /// Remote IP address.
    pub fn address(&self) -> String {
        self.link().info.address.ip().to_string()
    }

    /// Remote port.
    pub fn port(&self) -> u16 {
        self.link().info.address.port()
    }

    /// The subprotocol agreed on, or nothing.
    pub fn protocol(&self) -> String {
        self.link().info.protocol.clone()
    }

    /// Path and query of the upgrade request.
    pub fn path(&self) -> String {
        self.link().info.target.clone()
    }

    /// The URL that the client asked for.
    pub fn requested_url(&self) -> String {
        format!("{}{}", self.link().info.origin, self.link().info.target)
    }

    /// On a server: the headers of the upgrade request, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.link().info.headers.to_vec()
    }

    /// Bytes that wait to be written.
    pub fn queued_out_bytes(&self) -> usize {
        self.link().outgoing.load().0
    }

    /// The close code once it is closed; -1 without a close frame.
    pub fn close_code(&self) -> i32 {
        self.link().end().map_or(-1, CloseReason::code)
    }

    /// The reason that came with it.
    pub fn close_reason(&self) -> String {
        self.link().end().map(|reason| reason.text().to_owned()).unwrap_or_default()
    }

    /// Starts the close handshake; its end comes as an event of the [`Peer`](super::Peer). Unread messages (raw mode) are
    /// discarded; no packet becomes readable any more.
    pub fn close(&self, frame: CloseFrame) {
        self.member.close(frame);
    }

    /// As [`close`](Self::close), but drops the connection without a close handshake; what was sent leaves as far as the
    /// system takes it at once.
    pub fn cut(&self) {
        self.member.cut();
    }

    /// One ping each so often; zero = none.
    pub fn heartbeat_interval(&self) -> Duration {
        self.member.heartbeat_interval.get().unwrap_or_else(|| self.member.config.borrow().heartbeat_interval)
    }

    /// Sets it for this peer alone, whatever the object's own is or becomes.
    pub fn set_heartbeat_interval(&self, interval: Duration) {
        self.member.heartbeat_interval.set(Some(interval));
        self.member.command(Command::Heartbeat { conn: self.link().conn, interval });
    }

    /// Nothing received for so long ends the connection; zero = never.
    pub fn heartbeat_timeout(&self) -> Duration {
        self.member.config.borrow().heartbeat_timeout
    }

    /// Sets `TCP_NODELAY`, which is on from the beginning.
    pub fn set_no_delay(&self, enabled: bool) {
        self.member.command(Command::NoDelay { conn: self.link().conn, enabled });
    }

    /// Readable messages (raw mode).
    pub fn packet_count(&self) -> usize {
        self.member.ready.borrow().len()
    }

    /// Takes the next message (raw mode).
    pub fn pop_packet(&self) -> Option<Packet> {
        let mut ready = self.member.ready.borrow_mut();
        let packet = ready.pop_front()?;
        give_back(&mut ready);
        drop(ready);
        self.member.take_back(&packet);
        Some(packet)
    }

    /// Sends a message to this peer, whatever the overflow policy: refused when it has no room.
    ///
    /// # Errors
    /// [`SendError`]: not connected, too large, no room, text that is not UTF-8; in multiplayer mode an empty message.
    pub fn send(&self, payload: &[u8], text: bool) -> Result<(), SendError> {
        let link = self.link();
        if link.state() != PeerState::Open {
            return Err(SendError::NotConnected);
        }
        let config = self.member.config.borrow();
        if payload.is_empty() && config.mode != Mode::Raw {
            return Err(SendError::Empty);
        }
        if payload.len() > config.max_packet_size() {
            return Err(SendError::TooLarge { size: payload.len(), max: config.max_packet_size() });
        }
        if text && std::str::from_utf8(payload).is_err() {
            return Err(SendError::NotUtf8);
        }
        // A server's packet to this one peer, or a client's to the server.
        let header = (config.mode == Mode::Multiplayer(WireFormat::Godot3))
            .then(|| packet_header(self.member.own_id, Target::One(link.id)));
        let mailbox = self.member.mailbox.upgrade().ok_or(SendError::NotConnected)?;
        let total = &mailbox.queue_total;
        reserve_refusing(link, payload.len() + config.mode.header_len(), &config, total)?;
        let copy;
        let body = if payload.len() <= SMALL {
            Body::Borrowed(payload)
        } else {
            copy = shared(total, Vec::from(payload));
            Body::Shared(&copy)
        };
        mailbox.send(link.conn, Sent { header: header.as_ref(), body, text });
        Ok(())
    }

    fn link(&self) -> &Link {
        &self.member.link
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
