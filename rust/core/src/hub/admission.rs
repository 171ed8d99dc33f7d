//! How a connection gets in: the rules of the gate, the game's handler, and what becomes of those that stay out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::member::Member;
use super::{Hub, News, Side};
use crate::config::{Mode, WireFormat};
use crate::error::{CloseReason, Escaped};
use crate::event::ConnectionRequest;
use crate::gate::{Allowance, Gate, Judgement, Line, Turned, health};
use crate::http::{HttpResponse, Request, named};
use crate::id::{ConnId, PeerId};
use crate::link::PeerInfo;
use crate::session::{Body, Context, SILENT, Session};
use crate::verdict::{Decision, Verdict};
use crate::wire::godot4;

/// A request that waits for the game's handler.
#[derive(Debug)]
pub(super) struct Asked {
    id: PeerId,
    request: Box<Request>,
    protocol: Option<String>,
    /// For the game: do not even ask any more.
    left: Arc<AtomicBool>,
}

impl Hub {
    /// Takes a connection that was accepted.
    pub(crate) fn accepted(&mut self, address: SocketAddr, now: Instant) -> ConnId {
        let Side::Server(gate) = &mut self.side else { unreachable!("only a server accepts") };
        let tls = gate.config.tls.as_ref().map(crate::tls::TlsServer::session);
        let counted = gate.count(address.ip());
        let session = Session::server(now, now.checked_add(self.config.handshake_timeout));
        let mut member = Member::new(session, address, now);
        member.preamble = gate.wants_proxy_protocol(address.ip()).then(Box::default);
        self.pending += 1;
        let refusal = match counted {
            Ok(source) => {
                member.counted = source;
                None
            }
            Err(refusal) => Some(refusal),
        };
        let conn = self.admit(member, tls, now);
        self.enter_limbo(conn);
        if let Some(refusal) = refusal {
            self.turn_away(conn, Turned::Address, &refusal, now);
        }
        conn
    }

    /// A valid request is there.
    pub(super) fn request(&mut self, conn: ConnId, request: Box<Request>, now: Instant) {
        let (Side::Server(gate), Some(member)) = (&mut self.side, self.members.get_mut(conn)) else { return };
        let client = match gate.client_of(member.address, &request) {
            Ok(client) => client,
            Err(refusal) => return self.turn_away(conn, Turned::Malformed, &refusal, now),
        };
        if client.ip() != member.address.ip() {
            member.address = client;
            match gate.count(client.ip()) {
                Ok(source) => member.counted = source,
                Err(refusal) => return self.turn_away(conn, Turned::Address, &refusal, now),
            }
        }
        let crowded = self.totals.arrivals.load(Ordering::Relaxed) >= ARRIVALS_LIMIT;
        match gate.judge(&request, self.ids.len(), crowded) {
            Judgement::Refused(why, refusal) => self.turn_away(conn, why, &refusal, now),
            Judgement::Health => {
                member.quiet = true;
                self.totals.health_checks.add(1);
                let (peers, pending) = (self.ids.len(), self.pending - 1);
                let answer = health(&request, peers, pending, gate.refusing, self.main_thread_idle);
                self.answer(conn, &answer, now);
            }
            Judgement::Admitted { protocol } if gate.config.ask => self.ask(conn, request, protocol, now),
            Judgement::Admitted { protocol } => {
                let id = self.unused_id();
                self.let_in(conn, id, &request, protocol, &[], now);
            }
        }
    }

    /// What the game's handler has decided.
    pub(super) fn verdict(&mut self, conn: ConnId, id: PeerId, verdict: Verdict, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        let Some(asked) = member.asked.take_if(|asked| asked.id == id) else { return };
        self.asked_ids.remove(&id);
        let Side::Server(gate) = &self.side else { return };
        match (verdict.0, gate.full(self.ids.len())) {
            (Decision::Refuse(refusal), _) => self.turn_away(conn, Turned::Handler, &refusal, now),
            (Decision::Accept { .. }, Some(refusal)) => {
                self.news.push(News::Withdrawn(id));
                self.turn_away(conn, Turned::Full, &refusal, now);
            }
            (Decision::Accept { protocol, headers }, None) => {
                self.let_in(conn, id, &asked.request, protocol.or(asked.protocol), &headers, now);
            }
        }
        // Nothing was read meanwhile.
        self.rearm.push(conn);
        self.after(conn, now);
    }

    /// Admits nobody more, or everybody again.
    pub(super) fn refuse(&mut self, refuse: bool, number: u64, now: Instant) {
        let Side::Server(gate) = &mut self.side else { return };
        gate.refusing = refuse;
        let waiting: Vec<_> = if refuse {
            self.members
                .ids()
                .filter(|conn| self.members.get(*conn).is_some_and(|member| member.asked.is_some()))
                .collect()
        } else {
            Vec::new()
        };
        if let Some(refusal) = gate.full(0) {
            for conn in waiting {
                self.turn_away(conn, Turned::Full, &refusal, now);
            }
        }
        self.news.push(News::Refusing(number));
    }

    /// Gives back what a connection held.
    pub(super) fn discharge(&mut self, member: &mut Member) {
        self.limbo.leave(member);
        if let (Side::Server(gate), Some(source)) = (&mut self.side, member.counted) {
            gate.release(source);
        }
    }

    /// Counts, and writes down, that a connection did not get in.
    pub(super) fn note_turned_away(&mut self, conn: ConnId, reason: &CloseReason, now: Instant) {
        let (Side::Server(gate), Some(member)) = (&mut self.side, self.members.get_mut(conn)) else { return };
        if let Some(asked) = member.asked.take() {
            asked.left.store(true, Ordering::Relaxed);
            self.asked_ids.remove(&asked.id);
            self.news.push(News::Withdrawn(asked.id));
        }
        // A browser's spare connection, or a port scan.
        let silent = matches!(reason, CloseReason::Lost(why) if why == SILENT);
        if member.quiet || silent {
            return;
        }
        let totals = &self.totals;
        totals.handshakes_refused.add(1);
        let counter = match (member.turned, reason) {
            (Some(Turned::Address), _) => Some(&totals.refused_address),
            (Some(Turned::Origin), _) => Some(&totals.refused_origin),
            (Some(Turned::Full), _) => Some(&totals.refused_full),
            (Some(Turned::Handler), _) => Some(&totals.refused_handler),
            (Some(Turned::Busy), _) => Some(&totals.refused_busy),
            (Some(Turned::Evicted), _) => Some(&totals.pending_evicted),
            (Some(Turned::Malformed), _) | (None, CloseReason::Refused(_)) => Some(&totals.refused_malformed),
            (None, CloseReason::TimedOut(_)) => Some(&totals.handshakes_timed_out),
            (None, _) => None,
        };
        if let Some(counter) = counter {
            counter.add(1);
        }
        log_turned_away(gate, member.address, &reason.to_string(), now);
    }

    /// Counts, and writes down, that somebody was not even listened to: see [`Room::Refused`](super::Room::Refused).
    pub(crate) fn note_not_taken(&mut self, address: SocketAddr, now: Instant) {
        let Side::Server(gate) = &mut self.side else { return };
        self.totals.handshakes_refused.add(1);
        self.totals.pending_evicted.add(1);
        log_turned_away(gate, address, "there was no room for more of its address", now);
    }

    pub(super) fn turn_away(&mut self, conn: ConnId, why: Turned, refusal: &HttpResponse, now: Instant) {
        if let Some(member) = self.members.get_mut(conn) {
            member.turned = Some(why);
        }
        self.answer(conn, refusal, now);
    }

    fn answer(&mut self, conn: ConnId, refusal: &HttpResponse, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        member.session.refuse(refusal, &mut Context { config: &self.config, pool: &mut self.pool, now });
        self.dirty.push(conn);
        self.after(conn, now);
    }

    fn ask(&mut self, conn: ConnId, request: Box<Request>, protocol: Option<String>, now: Instant) {
        let id = self.unused_id();
        let (Side::Server(gate), Some(member)) = (&self.side, self.members.get_mut(conn)) else { return };
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let question = ConnectionRequest {
            id,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: request.headers.lines().to_vec(),
            address: member.address,
            protocols: request.protocols.clone(),
            secure: gate.config.tls.is_some(),
            conn,
        };
        let left = Arc::new(AtomicBool::new(false));
        member.session.await_verdict_until(now.checked_add(PATIENCE));
        member.asked = Some(Box::new(Asked { id, request, protocol, left: Arc::clone(&left) }));
        self.asked_ids.insert(id);
        self.totals.arrivals.fetch_add(1, Ordering::Relaxed);
        self.news.push(News::Requested { request: Box::new(question), left });
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
        let (Side::Server(gate), Some(member)) = (&self.side, self.members.get_mut(conn)) else { return };
        let scheme = if gate.config.tls.is_some() { "wss" } else { "ws" };
        let headers = [gate.config.extra_headers.as_slice(), headers].concat();
        let rate = gate.config.max_inbound_per_second;
        member.allowance = (rate > 0).then(|| Allowance::new(rate, now));
        let info = PeerInfo {
            address: member.address,
            protocol: protocol.clone().unwrap_or_default(),
            target: request.target.clone(),
            origin: format!("{scheme}://{}", request.headers.first("host").unwrap_or_default()),
            headers: request.headers.lines().into(),
            opened: now,
        };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        member.session.accept(request, protocol.as_deref(), &headers, &mut cx);
        match self.config.mode {
            Mode::Multiplayer(WireFormat::Godot4) => {
                member.session.send(false, &[], Body::Borrowed(&godot4::encode_id(id)), None, &mut cx);
            }
            Mode::Multiplayer(WireFormat::Godot3) | Mode::Raw => {}
        }
        self.dirty.push(conn);
        if protocol.is_none() && !request.protocols.is_empty() {
            self.note_unheeded(conn, id, &request.protocols, now);
        }
        self.connected(conn, id, PeerId::SERVER, info);
        if self.config.mode == Mode::Multiplayer(WireFormat::Godot3) {
            self.introduce(conn, id, now);
        }
    }

    /// Writes down why a client leaves at once that wants a subprotocol.
    fn note_unheeded(&mut self, conn: ConnId, id: PeerId, offered: &[String], now: Instant) {
        let (Side::Server(gate), Some(member)) = (&mut self.side, self.members.get(conn)) else { return };
        if let Some(more) = gate.may_log(Line::Ignored, member.address.ip(), now) {
            log::info!(
                "peer {id} ({}) offers the subprotocols {}, and request_handler chose none: browsers and the engine's class end such \
                 a connection; answer with one of them in `protocol`{more}",
                member.address,
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

fn log_turned_away(gate: &mut Gate, address: SocketAddr, why: &str, now: Instant) {
    if let Some(more) = gate.may_log(Line::TurnedAway, address.ip(), now) {
        log::info!("no handshake with {address}: {}{more}", Escaped(why));
    }
}

/// How long a request waits for the game's handler.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Clients that have come while the game did not poll; further ones are answered 503.
pub(crate) const ARRIVALS_LIMIT: usize = 4096;
