//! The server's side of sessions: the grant, and clients that come back.

use std::time::{Duration, Instant};

use super::{Found, Resumable, SERVER_GUARD};
use crate::access::RejectReason;
use crate::base::{CloseReason, ConnId, ResumeToken};
use crate::channel::PeerState;
use crate::config::{Mode, WireFormat};
use crate::http::{Denied, HttpResponse, Request, Resumption, resume};
use crate::hub::connected::Connected;
use crate::hub::connection::{Connection, Stage};
use crate::hub::transports::Transports;
use crate::hub::{Hub, Side};
use crate::session::{Context, Grant};

impl Hub {
    /// Returns the token of a new session, if the client has asked for one and the server gives them.
    pub(in crate::hub) fn grants(&self, request: &Request) -> Option<ResumeToken> {
        let gives = self.config.mode == Mode::Multiplayer(WireFormat::Godot4)
            && !self.config.resume_timeout.is_zero();
        (request.offers.resume && gives).then(ResumeToken::random)
    }

    /// Handles a request that wants a session back: checks it, and moves its transport to the session's peer.
    pub(super) fn resume_requested<T: Transports>(
        &mut self,
        io: &mut T,
        conn: ConnId,
        request: &Request,
        resumption: Resumption,
        now: Instant,
    ) {
        let peer = match self.check(request, resumption, now) {
            Ok(peer) => peer,
            Err(denied) => return self.deny(conn, request, resumption, &denied, now),
        };
        let spare = self.connections.get(conn).and_then(Connection::pending);
        if let Some(spare) = spare.and_then(|pending| pending.spare.as_deref())
            && self.connections.get(peer).and_then(|connection| connection.client_key) != Some(spare.0)
        {
            // It comes from another address, whose connections are all in use.
            let response = spare.1.clone();
            return self.reject(conn, RejectReason::Address, &response, now);
        }
        if self.connections.get(peer).is_some_and(|connection| !connection.is_suspended()) {
            // The client knows best that its last connection is dead. What it sent there and was not read is sent again.
            let reason = CloseReason::TransportError("the client came back on a new connection".into());
            self.suspend(io, peer, reason, now);
        }
        let Some(mut last) = self.move_transport(io, conn, peer) else { return };
        let Some(connection) = self.connections.get_mut(peer) else { return };
        let Some(resumable) = connection.resumable_mut() else { return };
        let token = resumable.tokens.renew(&resumption.token);
        let Side::Server(access) = &self.side else { return };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let mut protocol = connection.shared().map(|shared| shared.info.protocol.clone()).unwrap_or_default();
        if resumption.is_page {
            protocol = resume::selected(&protocol);
        }
        let protocol = Some(protocol).filter(|protocol| !protocol.is_empty());
        let session = &mut connection.session;
        session.accept(request, protocol.as_deref(), &access.config.extra_headers, &mut cx);
        let grant = Grant::Again { token, received: last.received() };
        session.send_control(true, grant.words().as_bytes(), &mut cx);
        session.take_over(&mut last, resumption.received, &mut cx);
        session.guard(SERVER_GUARD.0, SERVER_GUARD.1);
        if let Stage::Connected(Connected { lists: Some(lists), .. }) = &connection.stage {
            session.read_larger(lists.leeway());
        }
        self.send_again(peer, resumption.received);
    }

    /// Answers a client that does not get its session back.
    fn deny(
        &mut self,
        conn: ConnId,
        request: &Request,
        resumption: Resumption,
        denied: &Denied,
        now: Instant,
    ) {
        let offered = request.protocols.iter().find(|protocol| resume::is_selectable(protocol));
        let told = offered.filter(|_| resumption.is_page).zip(denied.close());
        if let Some((protocol, frame)) = told
            && let Side::Server(access) = &self.side
            && let Some(connection) = self.connections.get_mut(conn)
        {
            // Of any other answer a page learns only that it has failed.
            let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
            connection.session.accept(request, Some(protocol), &access.config.extra_headers, &mut cx);
            let outcome = CloseReason::Refused(format!("refused with {}: {}", frame.code, frame.reason));
            connection.session.close_without_waiting(&frame, outcome, &mut cx);
        }
        let why = match denied {
            Denied::Response(response) if matches!(response.status, 425 | 429) => RejectReason::TooSoon,
            Denied::Response(_) => RejectReason::Malformed,
            _ => RejectReason::Resume,
        };
        // An answer that was given stays.
        self.reject(conn, why, &denied.response(), now);
    }

    /// Checks a request that wants a session back. Returns the slot of the session's peer.
    fn check(&mut self, request: &Request, resumption: Resumption, now: Instant) -> Result<ConnId, Denied> {
        self.sessions.tidy(now);
        if let Some(fault) = request.fault() {
            return Err(Denied::Response(fault.clone()));
        }
        let refused = |response| Err(Denied::Response(response));
        if request.headers.all("early-data").any(|value| value == "1") {
            // RFC 8470: what came in early data can be a replay, and resuming is no safe request.
            return refused(HttpResponse::new(425, "a session is not resumed in early data"));
        }
        let conn = match self.sessions.find(&resumption.token) {
            Found::Session(conn) => conn,
            Found::Ended(reason) => return Err(Denied::Ended(reason)),
            Found::Unknown => return Err(Denied::Unknown),
        };
        let connection = self.connections.get(conn);
        if let Some(connection) = connection
            && (connection.session.is_closing()
                || connection.shared().is_some_and(|shared| shared.state() != PeerState::Open))
        {
            let closing = || CloseReason::Refused("it is being closed".into());
            return Err(Denied::Ended(connection.own_end().unwrap_or_else(closing)));
        }
        let protocol = connection.and_then(Connection::shared).map_or("", |shared| &shared.info.protocol);
        let is_offered = !resumption.is_page || request.protocols.contains(&resume::selected(protocol));
        let connection = self.connections.get_mut(conn);
        let is_valid = |peer: &Resumable| peer.tokens.is_valid(&resumption.token);
        let Some(connection) = connection.filter(|connection| connection.resumable().is_some_and(is_valid))
        else {
            return Err(Denied::Unknown);
        };
        if !is_offered {
            return refused(HttpResponse::new(400, "the subprotocol of the session is not offered"));
        }
        let frames = connection.session.kept().frames();
        let Some(peer) = connection.resumable_mut() else { return Err(Denied::Unknown) };
        if peer.paced > now + PACE * (BURST - 1) {
            return refused(HttpResponse::new(429, "the client comes back too often").retry_after(1));
        }
        // What waits is counted now, and then encoded anew.
        peer.paced = peer.paced.max(now) + PACE * (frames / FRAMES) as u32;
        let kept = connection.session.kept();
        let (before, last) = (kept.before(), kept.last());
        if resumption.received > last {
            return refused(HttpResponse::new(400, "more messages were received than sent"));
        }
        if let Some(peer) = connection.resumable_mut() {
            peer.paced += PACE;
        }
        if resumption.received < before {
            self.end_suspended(conn, CloseReason::Overflow, now);
            return Err(Denied::Ended(CloseReason::Refused(
                "messages that are needed are not kept any more".into(),
            )));
        }
        Ok(conn)
    }

    /// Ends sessions whose time is over. This comes behind the handshakes of a round: a client that came in time is not late because
    /// its request was still unread.
    pub(in crate::hub) fn expire_sessions(&mut self, now: Instant) {
        let unread = !self.queues.handshaking.is_empty() || self.may_accept();
        for conn in std::mem::take(&mut self.expired) {
            let suspended = self.connections.get(conn).and_then(Connection::resumable);
            let suspended = suspended.and_then(|resumable| resumable.suspended.as_ref());
            let Some(suspended) = suspended.filter(|suspended| suspended.is_over) else {
                continue;
            };
            if unread && now < suspended.until + UNREAD {
                self.expired.push(conn);
                continue;
            }
            let reason = suspended.reason.clone();
            self.counters.sessions_expired.add(1);
            self.end_suspended(conn, reason, now);
        }
    }
}

/// The shortest time between two returns of one client in the long run, and how many may come at once.
const PACE: Duration = Duration::from_secs(1);
pub(crate) const BURST: u32 = 4;
/// So many frames to write again count as one more return.
pub(crate) const FRAMES: usize = 16_384;
/// How long the end of a session waits for requests that are unread.
const UNREAD: Duration = Duration::from_secs(5);
