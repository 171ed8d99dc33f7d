//! One server or one client on the game's thread.

mod ends;
mod events;
mod handle;
#[cfg(any(test, fuzzing, feature = "bench"))]
mod in_memory;
#[cfg(test)]
mod kept;
mod observer;
mod open;
mod receiver;
mod runs;
pub(crate) mod sender;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::base::{CloseFrame, PeerId, PeerMap, SendError};
use crate::channel::{Command, KEPT, Mailbox, Notice, PeerStatistics, Statistics};
use crate::config::{ClientConfig, Mode, PeerConfig, ServerConfig};
use crate::decision::AdmissionDecision;
use crate::event::{ConnectionRequest, Event};
use crate::net::OpenError;
use crate::net::Runtime;
use crate::net::driver::Driver;
use crate::net::listener::Listener;
use crate::session::Role;
use crate::tls::Trust;
use handle::Member;
pub use handle::PeerHandle;
pub use observer::{Load, Observer};
use open::Open;
use receiver::Receiver;
use runs::Relaying;
use sender::Sender;

/// The engine's `MultiplayerPeer.ConnectionStatus`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// Not open, or the connection was lost.
    #[default]
    Disconnected,
    /// A client that connects.
    Connecting,
    /// A server that listens, or a client that is connected.
    Connected,
}

/// One server or one client. Dropping it closes it.
///
/// It is used from one thread. Its state changes only in [`begin_poll`](Self::begin_poll) and [`next_event`](Self::next_event), and in
/// calls that change it directly.
pub struct Peer {
    runtime: Arc<Runtime>,
    open: Option<Open>,
    status: Status,
    unique_id: i32,
    generation: u64,
    refuse: bool,
    /// The number of the last change of `refuse`. The driver confirms each change by its number.
    refusals: u64,
    /// The last number that the driver has confirmed.
    refusals_held: u64,
    /// `Drained` was emitted.
    drained_emitted: bool,
    /// Notices from the mailbox that are not applied yet.
    notices: VecDeque<Notice>,
    /// Ends of peers that wait for the next poll, because the peers' last packets became readable in this one.
    ends: Vec<Notice>,
    /// Peers whose end the present event, or one of the next, emits.
    leaving: Vec<Rc<Member>>,
    /// Peers from before the object was closed. Their ends were not emitted, so code that counts peers by events still has them.
    former: PeerMap<Option<Rc<Member>>>,
    /// Events that `next_event` returns before it takes the next notice.
    events: VecDeque<Event>,
    last_error: String,
    close_code: i32,
    close_reason: String,
    observer: Observer,
}

impl Peer {
    /// Creates an object that is not open.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self {
            runtime,
            open: None,
            status: Status::Disconnected,
            unique_id: 0,
            generation: 0,
            refuse: false,
            refusals: 0,
            refusals_held: 0,
            drained_emitted: false,
            notices: VecDeque::new(),
            ends: Vec::new(),
            leaving: Vec::new(),
            former: PeerMap::default(),
            events: VecDeque::new(),
            last_error: String::new(),
            close_code: -1,
            close_reason: String::new(),
            observer: Observer::default(),
        }
    }

    /// Listens. Connected peers are reported as events.
    ///
    /// # Errors
    /// [`OpenError`]: open already, the port is in use or cannot be used, no thread.
    pub fn listen(&mut self, config: ServerConfig) -> Result<(), OpenError> {
        self.check_closed()?;
        let listener = Listener::bind(config.bind, config.port)?;
        let peer = config.peer.clone().bounded();
        let config = ServerConfig { peer: peer.clone(), ..config };
        let scheme = if config.tls.is_some() { "wss" } else { "ws" };
        let mailbox =
            Driver::serve(config, self.refuse, listener.clone(), &self.runtime).map_err(OpenError::System)?;
        log::info!("listening on port {} ({scheme})", listener.port());
        self.opened(Role::Server, peer, mailbox, Some(listener));
        self.status = Status::Connected;
        self.unique_id = PeerId::SERVER.0;
        Ok(())
    }

    /// Starts to connect and returns at once. The result follows as an event.
    ///
    /// # Errors
    /// [`OpenError`]: open already, no thread.
    pub fn connect(&mut self, config: ClientConfig) -> Result<(), OpenError> {
        self.check_closed()?;
        let tls = match (config.url.secure, config.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => Some(self.runtime.tls_client(Trust::Platform, None)?),
        };
        let peer = config.peer.bounded();
        let config = ClientConfig { tls, peer: peer.clone(), ..config };
        let url = config.url.clone();
        let mailbox = Driver::connect(config, &self.runtime).map_err(OpenError::System)?;
        self.opened(Role::Client, peer, mailbox, None);
        if let Some(open) = &mut self.open {
            let (mailbox, config) = (Arc::downgrade(&open.mailbox), Rc::clone(&open.config));
            open.server_to_be = Some(Rc::new(Member::new(Some(url), mailbox, config)));
        }
        self.status = Status::Connecting;
        self.unique_id = 0;
        Ok(())
    }

    /// Closes the object and returns at once. No event follows, and unread packets are discarded. The port is free when this returns.
    ///
    /// Queued packets are sent in the background, followed by a Close (1001 from a server, 1000 from a client), within `close_timeout`.
    pub fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if let Some(listener) = &open.listener {
            listener.close();
            log::info!("no longer listening on port {}", listener.port());
        }
        let frame = match open.role {
            Role::Server => CloseFrame::going_away(),
            Role::Client => CloseFrame::normal(),
        };
        for member in open.roster.values().chain(&open.server_to_be) {
            member.close_locally();
        }
        open.mailbox.command(Command::Finish { frame: Box::new(frame) });
        self.forget_open();
        self.note_former(open);
        self.observer.closed();
        self.unique_id = 0;
        self.status = Status::Disconnected;
    }

    /// The connection status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The role of an open object; `None` if it is not open. A lost client counts as open until its end is emitted.
    pub fn role(&self) -> Option<Role> {
        self.open.as_ref().map(|open| open.role)
    }

    /// The mode of an open object.
    pub fn mode(&self) -> Option<Mode> {
        self.open.as_ref().map(|open| open.config.borrow().mode)
    }

    /// The id of this object: 1 for a server, 0 for a client that is not connected yet. It is kept after a lost connection until the object
    /// is opened or closed.
    pub fn unique_id(&self) -> i32 {
        self.unique_id
    }

    /// The port of the listening socket, 0 without one.
    pub fn local_port(&self) -> u16 {
        self.open.as_ref().and_then(|open| open.listener.as_ref()).map_or(0, Listener::port)
    }

    /// Changes each time the object is opened or closed, so that a loop over events can detect that a handler did so.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns whether the peer is connected.
    pub fn has_peer(&self, id: PeerId) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.roster.contains_key(&id) || open.remote_peers.contains_key(&id))
    }

    /// Returns the handle of a connected peer, of the server that a client connects to, or of a peer whose end is being emitted.
    pub fn peer(&self, id: PeerId) -> Option<PeerHandle> {
        let open = self.open.as_ref()?;
        let server = || open.server_to_be.as_ref().filter(|_| id == PeerId::SERVER);
        let member = self.leaving(id).or_else(|| open.roster.get(&id)).or_else(server)?;
        Some(PeerHandle::new(Rc::clone(member)))
    }

    /// Accepts or rejects a client. Does nothing if the client has left, or if this object was closed meanwhile.
    pub fn answer(&mut self, request: &ConnectionRequest, decision: AdmissionDecision) {
        if let Some(open) = self.open.as_ref().filter(|open| open.role == Role::Server) {
            let (conn, id) = (request.conn, request.id);
            open.mailbox.command(Command::Decide { conn, id, decision: Box::new(decision) });
        }
    }

    /// Sets whether new connections are answered with 503, now and after the next [`listen`](Self::listen). [`Event::Drained`] follows when
    /// the last peer has disconnected.
    pub fn set_refuse_new_connections(&mut self, refuse: bool) {
        if self.refuse == refuse {
            return;
        }
        self.refuse = refuse;
        self.refusals += 1;
        self.drained_emitted = false;
        if let Some(open) = self.open.as_ref().filter(|open| open.role == Role::Server) {
            open.mailbox.command(Command::Refuse { refuse, number: self.refusals });
        }
    }

    /// Changes the limit of connected peers; 0: no limit. Connected peers stay.
    pub fn set_max_connections(&mut self, count: usize) {
        if let Some(open) = self.open.as_ref().filter(|open| open.role == Role::Server) {
            open.mailbox.command(Command::MaxConnections(count));
        }
    }

    /// Returns whether new connections are answered with 503.
    pub fn refuses_new_connections(&self) -> bool {
        self.refuse
    }

    /// Applies new timeouts, policies and limits, also to open connections. The mode and the buffers do not change.
    pub fn reconfigure(&mut self, config: PeerConfig) {
        if let Some(open) = &self.open {
            let mut current = open.config.borrow_mut();
            let config = config.bounded().opened_as(&current);
            // Some games set a property in every frame.
            if *current != config {
                current.clone_from(&config);
                open.mailbox.configure(config);
            }
        }
    }

    /// The largest payload that `send` accepts with the present configuration.
    pub fn max_packet_size(&self) -> usize {
        self.open.as_ref().map_or_else(
            || PeerConfig::default().max_packet_size(),
            |open| open.config.borrow().max_packet_size(),
        )
    }

    /// Why the last connection failed or ended, in words; empty if none has.
    pub fn last_error(&self) -> String {
        self.last_error.clone()
    }

    /// The close code of the last connection that ended; -1 without a Close frame.
    pub fn close_code(&self) -> i32 {
        self.close_code
    }

    /// The reason that came with it.
    pub fn close_reason(&self) -> String {
        self.close_reason.clone()
    }

    /// Client: drops the connection and comes back on a new one at once, if the server has given it a session. For an application that wakes
    /// up on another network.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]: there is no session.
    pub fn reconnect(&mut self) -> Result<(), SendError> {
        let open = self.open.as_ref().filter(|open| open.role == Role::Client);
        let server = open.and_then(|open| open.roster.get(&PeerId::SERVER).map(|server| (open, server)));
        let Some((open, _)) = server.filter(|(_, server)| server.shared().resumes()) else {
            return Err(SendError::NotConnected);
        };
        open.mailbox.command(Command::Reconnect);
        Ok(())
    }

    /// Returns whether the peer has lost its connection, and may come back.
    pub fn is_suspended(&self, id: PeerId) -> bool {
        let member = self.open.as_ref().and_then(|open| open.roster.get(&id));
        member.is_some_and(|member| member.shared().outgoing.is_suspended())
    }

    /// Counters since the object was opened.
    pub fn statistics(&self) -> Statistics {
        let Some(open) = &self.open else { return Statistics::default() };
        Statistics { peers: open.roster.len(), ..open.mailbox.counters.snapshot() }
    }

    /// The statistics of one peer.
    pub fn peer_statistics(&self, id: PeerId) -> Option<PeerStatistics> {
        let open = self.open.as_ref()?;
        let member =
            open.roster.get(&id).or_else(|| self.leaving(id).filter(|member| member.is_connected()))?;
        member.release_taken();
        Some(member.shared().statistics(Instant::now()))
    }

    /// Returns an observer of this object.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    fn check_closed(&self) -> Result<(), OpenError> {
        // A lost client is not open any more, although its last packets may be unread.
        if self.status == Status::Disconnected { Ok(()) } else { Err(OpenError::AlreadyOpen) }
    }

    fn opened(&mut self, role: Role, config: PeerConfig, mailbox: Arc<Mailbox>, listener: Option<Listener>) {
        self.forget_open();
        if let Some(lost) = self.open.take() {
            self.note_former(lost);
        }
        self.refusals_held = self.refusals;
        self.last_error.clear();
        self.close_code = -1;
        self.close_reason.clear();
        let port = listener.as_ref().map_or(0, Listener::port);
        self.observer.opened(self.generation, role, port, &mailbox);
        self.open = Some(Open {
            role,
            config: Rc::new(RefCell::new(config)),
            sender: Sender::default(),
            mailbox,
            listener,
            roster: PeerMap::default(),
            server_to_be: None,
            given_up: false,
            remote_peers: HashMap::new(),
            unasked: Vec::new(),
            poll: 0,
            receiver: Receiver::default(),
            relaying: Relaying::default(),
        });
    }

    fn forget_open(&mut self) {
        self.generation += 1;
        self.notices = VecDeque::new();
        self.ends.clear();
        self.leaving.clear();
        self.events.clear();
        self.drained_emitted = false;
    }
}

/// Frees the memory that a queue needed in a burst.
fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT && queue.len() <= queue.capacity() / 8 {
        queue.shrink_to(KEPT.max(2 * queue.len()));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("role", &self.role())
            .field("status", &self.status)
            .field("id", &self.unique_id)
            .finish_non_exhaustive()
    }
}
