//! Admission of connections: the access policy, the decision of the game's handler, and rejected connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::connection::{Connection, Stage};
use super::lists::Lists;
use super::resume::ComesBack;
use super::{Hub, Side};
use crate::access::{
    AccessPolicy, LogLine, PolicyDecision, RateLimiter, RejectReason, ServerState, health, metrics,
};
use crate::base::{CloseReason, ConnId, Escaped, PeerId};
use crate::channel::{Notice, PeerInfo, Statistics};
use crate::config::{Mode, WireFormat};
use crate::decision::{Admission, AdmissionDecision};
use crate::event::ConnectionRequest;
use crate::http::{HttpResponse, Request, named};
use crate::session::{Context, Grant, Session, agreement};
use crate::wire::godot4;
use crate::wire::relay_list::Terms;

/// A request that waits for the game's handler.
#[derive(Debug)]
pub(super) struct Asked {
    id: PeerId,
    request: Box<Request>,
    protocol: Option<String>,
    /// Shared with the game: the request is gone, and needs no decision.
    left: Arc<AtomicBool>,
}

impl Hub {
    /// Creates a connection for a stream that was accepted.
    pub(super) fn create_accepted(&mut self, address: SocketAddr, now: Instant) -> ConnId {
        let Side::Server(access) = &mut self.side else { unreachable!("only a server accepts") };
        let tls = access.config.tls.as_ref().map(crate::tls::TlsServer::session);
        let counted = access.count(address.ip());
        let session = Session::server(now, now.checked_add(self.config.handshake_timeout));
        let mut connection = Connection::new(session, address, now);
        if let Some(pending) = connection.pending_mut() {
            pending.preamble = access.wants_proxy_protocol(address.ip()).then(Box::default);
        }
        self.counters.pending.increase();
        let response = match counted {
            Ok(client) => {
                connection.client_key = client;
                None
            }
            Err(response) => connection.take_spare(access, response).err(),
        };
        let conn = self.insert_pending(connection, tls, now);
        if let Some(response) = response {
            self.reject(conn, RejectReason::Address, &response, now);
        }
        conn
    }

    /// Handles a request.
    pub(super) fn request(&mut self, conn: ConnId, request: Box<Request>, now: Instant) {
        let (Side::Server(access), Some(connection)) = (&mut self.side, self.connections.get_mut(conn))
        else {
            return;
        };
        let client = match access.client_of(connection.address, &request) {
            Ok(client) => client,
            Err(response) => return self.reject(conn, RejectReason::Malformed, &response, now),
        };
        if client.ip() != connection.address.ip() {
            connection.address = client;
            match access.count(client.ip()) {
                Ok(client) => connection.client_key = client,
                Err(response) => {
                    if let Err(response) = connection.take_spare(access, response) {
                        return self.reject(conn, RejectReason::Address, &response, now);
                    }
                }
            }
        }
        if request.offers.resumption.is_none()
            && let Some(spare) = connection.pending().and_then(|pending| pending.spare.as_deref())
        {
            let response = spare.1.clone();
            return self.reject(conn, RejectReason::Address, &response, now);
        }
        let crowded = self.counters.arrivals.load(Ordering::Relaxed) >= ARRIVALS_LIMIT;
        if let Some(resumption) = request.offers.resumption {
            if let Some(response) = access.wrong_origin(&request) {
                return self.reject(conn, RejectReason::Origin, &response, now);
            }
            if let Some(pending) = connection.pending_mut() {
                pending.comes_back = Some(ComesBack::Request(request, resumption));
                self.comes_back = true;
            }
            return;
        }
        match access.decide(&request, self.ids.len(), crowded) {
            PolicyDecision::Reject(why, response) => self.reject(conn, why, &response, now),
            PolicyDecision::Health => {
                if let Some(pending) = connection.pending_mut() {
                    pending.suppress_log = true;
                }
                self.counters.health_checks.add(1);
                let (peers, pending) = (self.ids.len(), self.counters.pending.get() - 1);
                let answer =
                    health(&request, peers, pending, access.refusing, self.mailbox.main_thread_idle(now));
                self.answer(conn, &answer, now);
            }
            PolicyDecision::Metrics => {
                if let Some(pending) = connection.pending_mut() {
                    pending.suppress_log = true;
                }
                self.counters.health_checks.add(1);
                let pending = self.counters.pending.get() - 1;
                let state = ServerState {
                    statistics: Statistics { peers: self.ids.len(), pending, ..self.counters.snapshot() },
                    idle: self.mailbox.main_thread_idle(now),
                    refusing: access.refusing,
                    max_connections: access.config.max_connections,
                    queued_in: self.queue_totals.incoming.bytes(),
                    queued_out: self.queue_totals.outgoing.bytes(),
                };
                self.answer(conn, &metrics(&request, &state), now);
            }
            PolicyDecision::Admit { protocol } if access.config.ask => self.ask(conn, request, protocol, now),
            PolicyDecision::Admit { protocol } => {
                let id = self.unused_id();
                self.let_in(conn, id, &request, protocol, &[], now);
            }
        }
    }

    /// Carries out the decision of the game's handler.
    pub(super) fn decide(&mut self, conn: ConnId, id: PeerId, decision: AdmissionDecision, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let asked =
            connection.pending_mut().and_then(|pending| pending.asked.take_if(|asked| asked.id == id));
        let Some(asked) = asked else { return };
        self.asked_ids.remove(&id);
        let Side::Server(access) = &self.side else { return };
        match (decision.0, access.full(self.ids.len())) {
            (Admission::Refuse(response), _) => self.reject(conn, RejectReason::Handler, &response, now),
            (Admission::Accept { .. }, Some(response)) => {
                self.notices.push(Notice::Withdrawn(id));
                self.reject(conn, RejectReason::Full, &response, now);
            }
            (Admission::Accept { protocol, headers }, None) => {
                self.let_in(conn, id, &asked.request, protocol.or(asked.protocol), &headers, now);
            }
        }
        // Nothing was read while the request waited.
        self.queue_read(conn);
        self.note_outcome(conn, now);
    }

    /// Sets whether new connections are refused.
    pub(super) fn refuse(&mut self, refuse: bool, number: u64, now: Instant) {
        let Side::Server(access) = &mut self.side else { return };
        access.refusing = refuse;
        let waiting: Vec<_> = if refuse {
            self.connections
                .ids()
                .filter(|conn| {
                    let pending = self.connections.get(*conn).and_then(Connection::pending);
                    pending.is_some_and(|pending| pending.asked.is_some())
                })
                .collect()
        } else {
            Vec::new()
        };
        if let Some(response) = access.full(0) {
            for conn in waiting {
                self.reject(conn, RejectReason::Full, &response, now);
            }
        }
        self.notices.push(Notice::Refusing(number));
    }

    /// Ends the counting of a connection that is gone.
    pub(super) fn discharge(&mut self, connection: &Connection) {
        if connection.pending().is_some() {
            self.pending_queue.leave();
        }
        let Side::Server(access) = &mut self.side else { return };
        if let Some(client) = connection.client_key {
            access.release(client);
        }
        if let Some(spare) = connection.pending().and_then(|pending| pending.spare.as_deref()) {
            access.release_spare(spare.0);
        }
    }

    /// Counts and logs that a connection was rejected.
    pub(super) fn note_rejected(&mut self, conn: ConnId, reason: &CloseReason, now: Instant) {
        let (Side::Server(access), Some(connection)) = (&mut self.side, self.connections.get_mut(conn))
        else {
            return;
        };
        let address = connection.address;
        let Some(pending) = connection.pending_mut() else { return };
        if let Some(asked) = pending.asked.take() {
            asked.left.store(true, Ordering::Relaxed);
            self.asked_ids.remove(&asked.id);
            self.notices.push(Notice::Withdrawn(asked.id));
        }
        if pending.suppress_log || *reason == CloseReason::NoRequest {
            return;
        }
        let counters = &self.counters;
        counters.handshakes_refused.add(1);
        let counter = match (pending.reject_reason, reason) {
            (Some(RejectReason::Address), _) => Some(&counters.refused_address),
            (Some(RejectReason::Origin), _) => Some(&counters.refused_origin),
            (Some(RejectReason::Full), _) => Some(&counters.refused_full),
            (Some(RejectReason::Handler), _) => Some(&counters.refused_handler),
            (Some(RejectReason::Busy), _) => Some(&counters.refused_busy),
            (Some(RejectReason::Resume), _) => Some(&counters.refused_resume),
            (Some(RejectReason::TooSoon), _) => Some(&counters.refused_too_soon),
            (Some(RejectReason::Evicted), _) => Some(&counters.pending_evicted),
            (Some(RejectReason::Malformed), _) | (None, CloseReason::Refused(_)) => {
                Some(&counters.refused_malformed)
            }
            (None, CloseReason::TimedOut(_)) => Some(&counters.handshakes_timed_out),
            (None, _) => None,
        };
        if let Some(counter) = counter {
            counter.add(1);
        }
        log_rejected(access, address, &reason.to_string(), now);
    }

    /// Counts and logs that a connection was refused before anything was read: see [`EvictionOutcome::Refused`](super::EvictionOutcome::Refused).
    pub(crate) fn note_not_taken(&mut self, address: SocketAddr, now: Instant) {
        let Side::Server(access) = &mut self.side else { return };
        self.counters.handshakes_refused.add(1);
        self.counters.pending_evicted.add(1);
        log_rejected(access, address, "its address already has its share of the pending connections", now);
    }

    pub(super) fn reject(&mut self, conn: ConnId, why: RejectReason, response: &HttpResponse, now: Instant) {
        if let Some(pending) = self.connections.get_mut(conn).and_then(Connection::pending_mut) {
            pending.reject_reason = Some(why);
            // Its place is free for the next one, although it is not gone yet.
            if let (Side::Server(access), Some(spare)) = (&mut self.side, pending.spare.take()) {
                access.release_spare(spare.0);
            }
        }
        self.answer(conn, response, now);
    }

    fn answer(&mut self, conn: ConnId, response: &HttpResponse, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.session.refuse(response, &mut Context { config: &self.config, pool: &mut self.pool, now });
        self.queues.flush(conn, connection);
        self.note_outcome(conn, now);
    }

    fn ask(&mut self, conn: ConnId, request: Box<Request>, protocol: Option<String>, now: Instant) {
        let id = self.unused_id();
        let (Side::Server(access), Some(connection)) = (&self.side, self.connections.get_mut(conn)) else {
            return;
        };
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let question = ConnectionRequest {
            id,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: request.headers.lines().to_vec(),
            address: connection.address,
            protocols: request.protocols.clone(),
            secure: access.config.tls.is_some(),
            conn,
        };
        let left = Arc::new(AtomicBool::new(false));
        connection.session.await_decision_until(now.checked_add(DECISION_TIMEOUT));
        if let Some(pending) = connection.pending_mut() {
            pending.asked = Some(Box::new(Asked { id, request, protocol, left: Arc::clone(&left) }));
        }
        self.asked_ids.insert(id);
        self.counters.arrivals.fetch_add(1, Ordering::Relaxed);
        self.notices.push(Notice::Requested { request: Box::new(question), left });
    }

    fn let_in(
        &mut self,
        conn: ConnId,
        id: PeerId,
        request: &Request,
        protocol: Option<String>,
        headers: &[String],
        now: Instant,
    ) {
        let token = self.grants(request);
        let (Side::Server(access), Some(connection)) = (&self.side, self.connections.get_mut(conn)) else {
            return;
        };
        let scheme = if access.config.tls.is_some() { "wss" } else { "ws" };
        let headers = [access.config.extra_headers.as_slice(), headers].concat();
        let rate = access.config.max_inbound_per_second;
        let rate_limiter = (rate > 0).then(|| RateLimiter::new(rate, now));
        // The messages of the Godot 3 wire and of raw mode may be text.
        let is_alive = request.offers.alive && self.config.mode == Mode::Multiplayer(WireFormat::Godot4);
        let has_control = is_alive || token.is_some();
        let buffers = &self.config.buffers;
        // One message stands for no more than the allowance of half a second.
        let input_bytes = if rate > 0 { buffers.input_bytes.min(rate) } else { buffers.input_bytes };
        let lists = (request.offers.lists && self.config.mode == Mode::Multiplayer(WireFormat::Godot4))
            .then(|| Terms::of(buffers.input_packets, input_bytes, self.config.max_message()))
            .flatten();
        let info = PeerInfo {
            address: connection.address,
            protocol: protocol.clone().unwrap_or_default(),
            target: request.target.clone(),
            origin: format!("{scheme}://{}", request.headers.first("host").unwrap_or_default()),
            headers: request.headers.lines().into(),
            has_control,
            resumes: token.is_some(),
            opened: now,
        };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        connection.session.accept(request, protocol.as_deref(), &headers, &mut cx);
        if is_alive {
            let agreement = agreement(&self.config);
            connection.session.send_control(true, agreement.as_bytes(), &mut cx);
        }
        if let Some(token) = token {
            let grant = Grant::New { token, timeout: self.config.resume_timeout };
            connection.session.send_control(true, grant.words().as_bytes(), &mut cx);
        }
        if let Some(terms) = lists {
            connection.session.send_control(true, terms.words().as_bytes(), &mut cx);
        }
        match self.config.mode {
            Mode::Multiplayer(WireFormat::Godot4) => {
                connection.session.send_control(false, &godot4::encode_id(id), &mut cx);
            }
            Mode::Multiplayer(WireFormat::Godot3) | Mode::Raw => {}
        }
        self.queues.flush(conn, connection);
        if protocol.is_none() && !request.protocols.is_empty() {
            self.note_unheeded(conn, id, &request.protocols, now);
        }
        self.connected(conn, id, PeerId::SERVER, info, rate_limiter);
        if let Some(terms) = lists
            && let Some(connection) = self.connections.get_mut(conn)
            && let Stage::Connected(peer) = &mut connection.stage
        {
            let lists = peer.lists.insert(Lists::new(terms));
            connection.session.read_larger(lists.leeway());
            self.grants_lists = true;
        }
        if let Some(token) = token {
            self.begin_session(conn, token, None, now);
        } else if is_alive
            && let Some(connection) = self.connections.get_mut(conn)
            && let Some(shared) = connection.shared().cloned()
        {
            connection.session.agree(shared, false, now);
        }
        if self.config.mode == Mode::Multiplayer(WireFormat::Godot3) {
            self.introduce(conn, id, now);
        }
    }

    /// Logs why a client that wants a subprotocol may leave at once.
    fn note_unheeded(&mut self, conn: ConnId, id: PeerId, offered: &[String], now: Instant) {
        let (Side::Server(access), Some(connection)) = (&mut self.side, self.connections.get(conn)) else {
            return;
        };
        if let Some(more) = access.may_log(LogLine::Ignored, connection.address.ip(), now) {
            log::info!(
                "peer {id} ({}) offers the subprotocols {}, and request_handler chose none: browsers and the engine's class end such \
                 a connection; answer with one of them in `protocol`{more}",
                connection.address,
                named(offered)
            );
        }
    }

    fn unused_id(&self) -> PeerId {
        loop {
            let id = PeerId::random_client();
            if !self.ids.contains_key(&id) && !self.asked_ids.contains(&id) {
                return id;
            }
        }
    }
}

fn log_rejected(access: &mut AccessPolicy, address: SocketAddr, why: &str, now: Instant) {
    if let Some(more) = access.may_log(LogLine::Rejected, address.ip(), now) {
        log::info!("no handshake with {address}: {}{more}", Escaped(why));
    }
}

/// How long a request waits for the game's handler.
pub(crate) const DECISION_TIMEOUT: Duration = Duration::from_secs(30);
/// The most events about clients that wait while the game does not poll; further requests are answered with 503.
pub(crate) const ARRIVALS_LIMIT: usize = 4096;
