//! All connections of one server or client.
//!
//! The hub owns the sessions and no socket. A driver reports readiness, passes streams and the time, and calls
//! [`round`](Hub::round) again and again.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod accept;
pub(crate) mod admission;
mod commands;
mod connected;
mod connection;
mod delivery;
mod ends;
mod expiry;
pub(crate) mod folding;
mod lists;
pub(crate) mod pairs;
pub(crate) mod pending;
mod preamble;
#[cfg(any(test, fuzzing))]
mod probe;
mod queues;
mod reading;
pub(crate) mod relay;
pub(crate) mod resume;
pub(crate) mod round;
mod runs;
mod slab;
mod timers;
pub(crate) mod transports;
mod writing;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use std::{io, mem};

use crate::access::{AccessPolicy, RateLimiter};
use crate::base::{CloseReason, ConnId, PeerId, PeerMap};
use crate::channel::{
    Charge, Counters, Mailbox, Notice, PayloadArena, PeerInfo, PeerShared, QueueTotals, Run, TakenCommands,
};
use crate::config::{Mode, PeerConfig};
use crate::http::Url;
use crate::session::{Context, Pool, Session};
use crate::tls::{TlsClient, TlsSession};
use accept::Acceptor;
use connected::Connected;
#[cfg(test)]
pub(crate) use connected::STALL;
use connection::{Connection, Stage};
pub(crate) use delivery::INLINE_MAX;
use folding::Folding;
use pairs::Pairs;
pub(crate) use pending::EvictionOutcome;
use pending::PendingQueue;
use queues::Queues;
use resume::{Redial, Sessions};
pub(crate) use slab::Slab;
use timers::Timers;
use transports::Transports;

/// The role of the hub, with what only that role needs.
pub(crate) enum Side {
    Server(Box<AccessPolicy>),
    Client { url: Url, tls: Option<TlsClient> },
}

/// A connection that a client has dialled, and its handshake.
pub(crate) struct Dialled<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) protocols: &'a [String],
    pub(crate) headers: &'a [String],
    /// Start of the handshake, the name look-up included.
    pub(crate) started: Instant,
}

/// All connections of one server or client.
pub(crate) struct Hub {
    config: PeerConfig,
    side: Side,
    connections: Slab<Connection>,
    /// Ids of connected peers, without duplicates.
    // A server generates ids and a client has one peer: a remote cannot choose ids whose hashes collide.
    ids: PeerMap<ConnId>,
    pool: Pool,
    /// Copies of small received payloads of this round.
    arena: PayloadArena,
    mailbox: Arc<Mailbox>,
    /// Commands that are taken from the mailbox and not executed yet.
    commands: TakenCommands,
    /// Notices for the mailbox.
    pub(crate) notices: Vec<Notice>,
    queues: Queues,
    timers: Timers,
    acceptor: Acceptor,
    rounds: u64,
    /// Rounds in a row without a look at the timers.
    rounds_put_off: usize,
    /// Read buffer, shared by all connections.
    buffer: Box<[u8]>,
    /// More connections may come: it listens, or dials.
    opens: bool,
    /// When the thread ends at the latest; set by `finish`.
    finish_by: Option<Instant>,
    /// Handshakes for the certificate threads. They come back with
    /// [`Command::Checked`](crate::channel::Command::Checked).
    pub(crate) checks: Vec<(ConnId, Box<TlsSession>)>,
    pending_queue: PendingQueue,
    /// Server: ids of clients that wait for the decision of the `request_handler`.
    asked_ids: HashSet<PeerId>,
    queue_totals: QueueTotals,
    /// Bytes in the output queues of all connections at the end of the last round.
    charge: Charge,
    counters: Arc<Counters>,
    /// Client of the Godot 3 wire: the other clients, as announced by the server.
    remote_peers: HashSet<PeerId>,
    /// Client: its own id.
    own_id: PeerId,
    /// Server of the Godot 3 wire: peers whose end is being announced.
    departed: Vec<PeerId>,
    /// Server: copies relayed in the current turn; of the 4.x wire, those of messages for several clients.
    relayed: usize,
    /// Server of the Godot 3 wire: bytes relayed in this round beyond the limit of the process.
    borrowed: usize,
    /// Server of the Godot 3 wire: the last congested peer for which senders had to wait.
    behind: Option<PeerId>,
    /// Server of the 4.x wire: the clients whose packets for each other are relayed here.
    pairs: Pairs,
    /// The run of the client that is read.
    run: Option<Box<Run>>,
    /// Empty runs.
    #[expect(clippy::vec_box, reason = "commands and notices hold a run by its box, which is reused")]
    spare_runs: Vec<Box<Run>>,
    /// Server of the 4.x wire: a client may send messages for several others.
    grants_lists: bool,
    /// Client: packets for other clients that may leave as one message, if the server takes such.
    folding: Option<Box<Folding>>,
    /// Memory for a list of targets, or for a packet with another time.
    scratch: Vec<u8>,
    /// Server: the sessions that clients may come back to.
    sessions: Sessions,
    /// Server: when suspended peers gave room last.
    relieved: Option<Instant>,
    /// Server: suspended peers whose time is up.
    expired: Vec<ConnId>,
    /// The connection that is read has said whose it is: [`Pending::comes_back`](pending::Pending).
    comes_back: bool,
    /// Client: it tries to come back.
    redial: Option<Redial>,
    /// Client: it has been connected, so that a later attempt to connect that fails is none of the game's.
    was_connected: bool,
}

impl Hub {
    /// `turn`: bytes that one connection may deliver in one round.
    pub(crate) fn new(
        config: PeerConfig,
        side: Side,
        queue_totals: QueueTotals,
        mailbox: Arc<Mailbox>,
        turn: usize,
    ) -> Self {
        let max_pending = match &side {
            Side::Server(access) => access.config.max_pending,
            Side::Client { .. } => 1,
        };
        Self {
            config,
            side,
            connections: Slab::default(),
            ids: PeerMap::default(),
            pool: Pool::new(&queue_totals.outgoing),
            arena: PayloadArena::default(),
            counters: Arc::clone(&mailbox.counters),
            mailbox,
            commands: TakenCommands::new(&queue_totals.outgoing),
            notices: Vec::new(),
            queues: Queues::default(),
            timers: Timers::default(),
            acceptor: Acceptor::new(max_pending),
            rounds: 0,
            rounds_put_off: 0,
            buffer: vec![0; turn].into_boxed_slice(),
            opens: true,
            finish_by: None,
            checks: Vec::new(),
            pending_queue: PendingQueue::default(),
            asked_ids: HashSet::new(),
            charge: Charge::new(&queue_totals.outgoing),
            queue_totals,
            remote_peers: HashSet::new(),
            own_id: PeerId::SERVER,
            departed: Vec::new(),
            relayed: 0,
            borrowed: 0,
            behind: None,
            pairs: Pairs::default(),
            run: None,
            spare_runs: Vec::new(),
            grants_lists: false,
            folding: None,
            scratch: Vec::new(),
            sessions: Sessions::default(),
            relieved: None,
            expired: Vec::new(),
            comes_back: false,
            redial: None,
            was_connected: false,
        }
    }

    /// Creates the connection of the stream that was dialled.
    pub(crate) fn dialled<T: Transports>(
        &mut self,
        io: &mut T,
        dialled: Dialled<'_>,
        now: Instant,
    ) -> io::Result<ConnId> {
        let Dialled { address, protocols, headers, started } = dialled;
        self.opens = false;
        let deadline = started + self.config.handshake_timeout.max(self.shortest_attempt());
        let headers: Vec<_> = headers.iter().cloned().chain(self.resume_line()).collect();
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let (url, tls) = match &self.side {
            Side::Client { url, tls } => (url, tls.as_ref().map(|tls| tls.session(&url.host))),
            Side::Server(_) => unreachable!("only a client's driver dials"),
        };
        let session = Session::client(url, protocols, &headers, Some(deadline), &mut cx);
        self.counters.pending.increase();
        let mut connection = Connection::new(session, address, started);
        if let Some(pending) = connection.pending_mut() {
            pending.id_deadline = Some(deadline);
        }
        let conn = self.insert_pending(connection, tls, now);
        self.queue_flush(conn);
        self.attach(io, conn, now)?;
        Ok(conn)
    }

    /// Handles that dialling has failed.
    pub(crate) fn dial_failed(&mut self, reason: CloseReason, now: Instant) {
        self.opens = false;
        if !self.redial_failed(None, &reason, now) && !self.was_connected {
            self.notices.push(Notice::Failed(reason));
        }
    }

    fn insert_pending(
        &mut self,
        mut connection: Connection,
        tls: Option<Result<TlsSession, String>>,
        now: Instant,
    ) -> ConnId {
        let failed = match tls {
            None => None,
            Some(Ok(tls)) => {
                connection.tls = Some(tls);
                None
            }
            Some(Err(why)) => Some(why),
        };
        let conn = self.connections.insert(connection);
        self.enter_pending(conn);
        if let Some(why) = failed {
            self.fail(conn, CloseReason::Refused(why), now);
            self.queue_flush(conn);
        }
        conn
    }

    /// Connects a connection with its stream.
    fn attach<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) -> io::Result<()> {
        io.attach(conn, now)?;
        // Data may have come before the stream was registered: the first read shows it.
        self.queue_read(conn);
        self.schedule(conn);
        Ok(())
    }

    /// Client: completes the upgrade.
    fn opened(&mut self, conn: ConnId, protocol: String, now: Instant) {
        if let Some(pending) = self.connections.get_mut(conn).and_then(Connection::pending_mut) {
            pending.protocol = protocol;
        }
        if self.config.mode == Mode::Raw {
            self.connected_to_server(conn, PeerId(0), now);
        }
    }

    fn connected_to_server(&mut self, conn: ConnId, own_id: PeerId, now: Instant) {
        let Side::Client { url, .. } = &self.side else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let pending = connection.pending_mut();
        let (granted, lists) =
            pending.map_or((None, None), |pending| (pending.granted.take(), pending.lists.take()));
        let info = PeerInfo {
            address: connection.address,
            protocol: connection
                .pending_mut()
                .map(|pending| mem::take(&mut pending.protocol))
                .unwrap_or_default(),
            target: url.target.clone(),
            origin: format!("{}://{}", if url.secure { "wss" } else { "ws" }, url.host_header()),
            headers: Box::default(),
            has_control: granted.is_some(),
            resumes: granted.is_some(),
            opened: now,
        };
        self.connected(conn, PeerId::SERVER, own_id, info, None);
        self.folding = lists.map(|terms| Box::new(Folding::new(conn, own_id, terms)));
        if let Some((token, timeout)) = granted {
            self.begin_session(conn, token, Some(timeout), now);
        }
    }

    /// Turns a pending connection into a peer.
    fn connected(
        &mut self,
        conn: ConnId,
        id: PeerId,
        own_id: PeerId,
        info: PeerInfo,
        rate_limiter: Option<RateLimiter>,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let shared = Arc::new(PeerShared::new(conn, id, info, &self.queue_totals));
        shared.set_compression(connection.session.compression());
        connection.stage = Stage::Connected(Connected::new(Arc::clone(&shared), rate_limiter));
        // The remote may have gone during the handshake.
        if connection.session.is_broken() || connection.io.read_closed {
            connection.note_gone(shared.info.opened);
        }
        self.counters.pending.decrease();
        self.pending_queue.leave();
        self.counters.arrivals.fetch_add(1, Ordering::Relaxed);
        self.ids.insert(id, conn);
        self.own_id = own_id;
        self.was_connected = true;
        self.notices.push(Notice::Connected { shared, own_id });
    }
}

/// Bytes that one connection may deliver in one round.
pub(crate) const TURN: usize = 64 * 1024;
