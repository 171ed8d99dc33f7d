//! Sessions that survive the loss of their connection (docs/protocol.md).
//!
//! The slot of a connection is the peer, for its whole life: commands name it. A loss takes the transport out of the slot (WebSocket, TLS,
//! stream); the peer is *suspended*. A new connection of the same client has a slot of its own until its handshake shows whose it
//! is. Then its transport moves into the slot of the peer, in one step.

mod client;
mod server;
mod sessions;

use std::cmp::Reverse;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connected::Connected;
use super::connection::{Connection, Stage};
use super::transports::Transports;
use super::{Hub, Side};
use crate::access::{ClientKey, LogLine};
use crate::base::{CloseReason, ConnId, Escaped, Phase, ResumeToken, Side as CloseSide};
use crate::channel::{Notice, PeerShared, PeerState, QueueTotal};
use crate::http::{Request, Resumption};
use crate::session::{Context, Role, Room, SIGN_INTERVAL, Session, is_lost_with};
pub(super) use client::Redial;
#[cfg(test)]
pub(crate) use client::{ATTEMPT, UNKNOWN_MOST};
#[cfg(test)]
pub(crate) use server::{BURST, FRAMES};
pub(super) use sessions::Sessions;
#[cfg(test)]
pub(crate) use sessions::TOMBSTONES;
use sessions::{Found, Tokens};

/// The part of a peer that only a session has.
pub(super) struct Resumable {
    tokens: Tokens,
    /// Server: the client has confirmed that it knows its id and its token.
    confirmed: bool,
    /// How many messages were received at the last `ack`, the bytes that were read since, and when the next `ack` is due.
    acknowledged: u64,
    read_since: usize,
    ack_at: Option<Instant>,
    suspended: Option<Suspended>,
    /// Client: how long the server keeps the session without a connection.
    granted: Option<Duration>,
    /// Server: the earliest time of the next resume, if all had come at the highest rate.
    paced: Instant,
}

/// A peer without a connection.
struct Suspended {
    until: Instant,
    /// Why the connection was lost.
    reason: CloseReason,
    /// Whose it is, while it has no connection.
    address: ClientKey,
    /// The time is up, and the end waits for the right moment.
    is_over: bool,
    /// The game is told of it, and of its end.
    is_emitted: bool,
}

/// What a pending connection has said: whose it is.
pub(super) enum ComesBack {
    /// Server: a request.
    Request(Box<Request>, Resumption),
    /// Client: the server's answer.
    Granted { token: ResumeToken, received: u64 },
}

impl Resumable {
    pub(super) fn new(token: ResumeToken, granted: Option<Duration>, now: Instant) -> Box<Self> {
        Box::new(Self {
            tokens: Tokens::new(token),
            confirmed: false,
            acknowledged: 0,
            read_since: 0,
            ack_at: None,
            suspended: None,
            granted,
            paced: now,
        })
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    /// Notes that bytes were read, and how many messages of the session were received until now. Returns whether an `ack` is due at
    /// once. `is_half`: a message has begun to come, and its end is missing.
    pub(super) fn note_received(
        &mut self,
        bytes: usize,
        received: u64,
        now: Instant,
        is_half: impl FnOnce() -> bool,
    ) -> bool {
        if received == self.acknowledged {
            // The remote's pings, and its answers to those of this end, wait behind that message. Two idle ends must not acknowledge each
            // other's acknowledgements.
            if self.ack_at.is_none() && is_half() {
                self.ack_at = Some(now + SIGN_INTERVAL);
            }
            return false;
        }
        self.read_since += bytes;
        let at = now + ACK_TIME;
        if self.ack_at.is_none_or(|sooner| at < sooner) {
            self.ack_at = Some(at);
        }
        self.read_since >= ACK_BYTES
    }

    /// Notes that messages were larger than what was read. This comes before [`Self::note_received`].
    pub(super) fn note_gained(&mut self, bytes: usize) {
        self.read_since += bytes;
    }

    pub(super) fn note_ack(&mut self, received: u64) {
        self.acknowledged = received;
        self.read_since = 0;
        self.ack_at = None;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.suspended {
            None => self.ack_at,
            Some(suspended) => Some(suspended.until).filter(|_| !suspended.is_over),
        }
    }
}

impl Connection {
    /// Looks after what a session keeps: messages were written.
    #[inline]
    pub(super) fn note_kept(&mut self, total: &QueueTotal, cx: &mut Context<'_>) {
        let Stage::Connected(Connected { shared, resumable: Some(_), .. }) = &self.stage else { return };
        // Nobody is closed because much was written and not acknowledged: it cannot be sent again, that is all.
        let buffers = &cx.config.buffers;
        let most = if total.is_short() { buffers.output_bytes } else { cx.config.burst_bytes() };
        let kept = self.session.kept();
        kept.forget(most, cx.config.burst_packets(), true, cx.pool);
        publish(kept.sent(), shared);
    }

    #[inline]
    pub(super) fn resumable(&self) -> Option<&Resumable> {
        self.connected()?.resumable.as_deref()
    }

    pub(super) fn resumable_mut(&mut self) -> Option<&mut Resumable> {
        self.connected_mut()?.resumable.as_deref_mut()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.resumable().is_some_and(Resumable::is_suspended)
    }

    /// Returns how this end has ended the session, or how the game has asked for it.
    fn own_end(&self) -> Option<CloseReason> {
        self.session.own_end().or_else(|| self.shared()?.wanted_end().cloned())
    }

    /// Returns whether its end is the loss of the connection only, so that the peer may come back.
    pub(super) fn is_lost(&self, side: &Side) -> bool {
        let sender = if matches!(side, Side::Server(_)) { Role::Client } else { Role::Server };
        let Some(peer) = self.connected().filter(|peer| peer.resumable.is_some()) else { return false };
        peer.shared.state() == PeerState::Open
            && !self.session.is_over()
            && self.session.outcome().is_some_and(|reason| is_loss(reason, sender))
    }
}

/// Shows what is kept.
fn publish(sent: Room, shared: &PeerShared) {
    shared.figures.unacked_bytes.set(sent.bytes);
    shared.figures.unacked_packets.set(sent.packets);
}

/// Returns whether a connection that ended like this may be replaced. `sender`: what the remote is.
fn is_loss(reason: &CloseReason, sender: Role) -> bool {
    match reason {
        CloseReason::TransportError(_) | CloseReason::TimedOut(Phase::Heartbeat | Phase::Write) => true,
        CloseReason::Closed { by: CloseSide::Remote, code, .. } => is_lost_with(*code, sender),
        _ => false,
    }
}

impl Hub {
    /// Begins the session of a peer that has just connected. A client, which was told how long the server keeps it, confirms it at once.
    pub(super) fn begin_session(
        &mut self,
        conn: ConnId,
        token: ResumeToken,
        granted: Option<Duration>,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(peer) = connection.connected_mut() else { return };
        peer.resumable = Some(Resumable::new(token, granted, now));
        let shared = Arc::clone(&peer.shared);
        connection.session.agree(shared, true, now);
        self.sessions.begin(token, conn);
        match &mut self.side {
            Side::Server(access) => {
                connection.session.guard(SERVER_GUARD.0, SERVER_GUARD.1);
                if let Some(client) = connection.client_key {
                    access.begin_session(client);
                }
            }
            Side::Client { .. } => {
                connection.session.guard(CLIENT_GUARD.0, CLIENT_GUARD.1);
                connection.session.owe_ack(false);
                self.queues.flush(conn, connection);
            }
        }
        self.schedule(conn);
    }

    /// Takes the transport out of a peer that may come back.
    pub(super) fn suspend<T: Transports>(
        &mut self,
        io: &mut T,
        conn: ConnId,
        reason: CloseReason,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        // Without a Close and an alert: the remote may still be reading.
        io.close(conn);
        connection.discard_sealed(&mut self.pool);
        connection.tls = None;
        connection.tls_is_away = false;
        connection.io = connection.io.without_stream();
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let freed = connection.session.detach(&mut cx);
        let sent = connection.session.kept().sent();
        let received = connection.session.received();
        let Stage::Connected(peer) = &mut connection.stage else { return };
        peer.end_pauses();
        let shared = Arc::clone(&peer.shared);
        let Some(resumable) = &mut peer.resumable else { return };
        resumable.note_ack(received);
        let mut time = resumable.granted.unwrap_or(self.config.resume_timeout);
        if matches!(self.side, Side::Server(_)) && !resumable.confirmed {
            // The client may have no token to come back with.
            time = time.min(self.config.handshake_timeout);
        }
        let is_emitted = shared.may_emit_suspension();
        let until = now + time;
        let words = match &reason {
            // It was noticed sooner than by `heartbeat_timeout`, which the general words name.
            CloseReason::TimedOut(Phase::Heartbeat) => "nothing was received for too long".to_owned(),
            other => other.to_string(),
        };
        let address = connection.client_key.unwrap_or_else(|| ClientKey::of(connection.address.ip()));
        resumable.suspended = Some(Suspended { until, reason, address, is_over: false, is_emitted });
        self.sessions.leave(address, conn, now);
        publish(sent, &shared);
        shared.figures.forget_rtt();
        shared.outgoing.release(freed.bytes, freed.packets);
        shared.outgoing.set_suspended();
        self.counters.peers_suspended.increase();
        if is_emitted {
            self.notices.push(Notice::Suspended(shared.id));
        }
        if let Some(more) = self.may_log(LogLine::Left, &shared, now) {
            log::info!(
                "peer {} ({}) has lost its connection and may come back for {:.1} s: {}{more}",
                shared.id,
                shared.address(),
                time.as_secs_f64(),
                Escaped(&words),
            );
        }
        if matches!(self.side, Side::Client { .. }) {
            self.redial = Some(Redial::begin(now));
        }
        self.schedule(conn);
    }

    /// Handles that a pending connection has said whose it is. Everything that it sent afterwards is unread.
    pub(super) fn come_back<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let connection = self.connections.get_mut(conn);
        // It may be over already.
        let connection = connection.filter(|connection| connection.session.outcome().is_none());
        let pending = connection.and_then(Connection::pending_mut);
        match pending.and_then(|pending| pending.comes_back.take()) {
            Some(ComesBack::Request(request, resumption)) => {
                self.resume_requested(io, conn, &request, resumption, now);
            }
            Some(ComesBack::Granted { token, received }) => {
                self.resume_granted(io, conn, token, received, now)
            }
            None => {}
        }
    }

    /// Moves the transport of a connection into the slot of a suspended peer. Returns the session that was there, for its counts.
    fn move_transport<T: Transports>(&mut self, io: &mut T, from: ConnId, to: ConnId) -> Option<Session> {
        let mut fresh = self.connections.remove(from)?;
        self.timers.cancel(from, &mut fresh.io.timer);
        self.counters.pending.decrease();
        self.pending_queue.leave();
        io.rename(from, to);
        let connection = self.connections.get_mut(to)?;
        mem::swap(&mut connection.session, &mut fresh.session);
        connection.tls = fresh.tls.take();
        connection.sealed = fresh.sealed;
        connection.address = fresh.address;
        connection.io = connection.io.with_stream_of(&fresh.io);
        if let Some(enabled) = connection.connected().and_then(|peer| peer.no_delay) {
            io.set_no_delay(to, enabled);
        }
        let Side::Server(access) = &mut self.side else { return Some(fresh.session) };
        if let Some(spare) = fresh.pending().and_then(|pending| pending.spare.as_deref()) {
            // The place of the lost connection is that of the new one.
            access.release_spare(spare.0);
            return Some(fresh.session);
        }
        let former = mem::replace(&mut connection.client_key, fresh.client_key);
        if let Some(client) = former {
            access.end_session(client);
            access.release(client);
        }
        if let Some(client) = connection.client_key {
            access.begin_session(client);
        }
        Some(fresh.session)
    }

    /// Writes everything again that the remote has not received, on the transport that has just moved in.
    fn send_again(&mut self, conn: ConnId, received: u64) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Connection { session, stage: Stage::Connected(peer), .. } = connection else { return };
        let Some(resumable) = &mut peer.resumable else { return };
        let shared = &peer.shared;
        let freed = session.kept().acknowledge(received, &mut self.pool);
        session.kept().note_return();
        shared.outgoing.release(freed.bytes, freed.packets);
        shared.outgoing.set_congested(false);
        let suspended = resumable.suspended.take();
        if let Some(suspended) = &suspended {
            self.sessions.leave_no_more(suspended.address, conn);
        }
        publish(session.kept().sent(), shared);
        shared.set_address(connection.address);
        shared.set_compression(session.compression());
        shared.figures.resumes.add(1);
        self.counters.sessions_resumed.add(1);
        self.counters.peers_suspended.decrease();
        if suspended.is_some_and(|suspended| suspended.is_emitted) {
            self.notices.push(Notice::Resumed(shared.id));
        }
        self.queues.flush(conn, connection);
        self.queues.read(conn, connection);
        self.schedule(conn);
    }

    /// Handles the deadline of a session, if it has passed: an `ack` is due, or the time of a suspended peer is up.
    pub(super) fn expire_session(&mut self, conn: ConnId, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let Connection { session, stage: Stage::Connected(peer), .. } = connection else { return false };
        let Some(resumable) = &mut peer.resumable else { return false };
        if resumable.deadline().is_none_or(|deadline| deadline > now) {
            return false;
        }
        match &mut resumable.suspended {
            None => {
                resumable.note_ack(session.received());
                session.owe_ack(false);
                self.queues.flush(conn, connection);
            }
            Some(suspended) => {
                suspended.is_over = true;
                if matches!(self.side, Side::Server(_)) {
                    self.expired.push(conn);
                }
            }
        }
        true
    }

    /// Handles that the remote has received messages.
    pub(super) fn acknowledged(&mut self, conn: ConnId, received: u64) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Stage::Connected(peer) = &mut connection.stage else { return };
        let Some(resumable) = &mut peer.resumable else { return };
        let kept = connection.session.kept();
        kept.acknowledge(received, &mut self.pool);
        publish(kept.sent(), &peer.shared);
        if matches!(self.side, Side::Server(_)) {
            resumable.confirmed = true;
            resumable.tokens.confirm();
        }
    }

    /// The session of a peer ends with the peer.
    pub(super) fn end_session(&mut self, conn: ConnId, reason: &CloseReason, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Stage::Connected(peer) = &mut connection.stage else { return };
        let Some(resumable) = peer.resumable.take() else { return };
        connection.session.kept().keep_nothing(&mut self.pool);
        publish(Room::default(), &peer.shared);
        if let Some(suspended) = &resumable.suspended {
            self.sessions.leave_no_more(suspended.address, conn);
            self.counters.peers_suspended.decrease();
        }
        if let (Side::Server(access), Some(client)) = (&mut self.side, connection.client_key) {
            access.end_session(client);
        }
        // Its stage has lost the session already, and has the peer still.
        let own = connection.own_end();
        // A page that gave the connection up in this moment did not wait for the Close it seems to have answered, even with the same code.
        let has_crossed =
            own.is_some() && u16::try_from(reason.code()).is_ok_and(|code| is_lost_with(code, Role::Client));
        if reason.is_clean() && !resumable.is_suspended() && !has_crossed {
            // Its client knows.
            self.sessions.end(&resumable.tokens);
        } else {
            // What the game has said is worth more to the client than how the connection ended.
            let reason = own.unwrap_or_else(|| reason.clone());
            self.sessions.bury(&resumable.tokens, reason, now + self.config.resume_timeout);
        }
        if self.redial.take().is_some() {
            // What is under way would come back to nothing.
            self.drop_attempts(conn, now);
        }
    }

    /// Sessions must not take the room of everybody. While the queues of the process are nearly full, they keep no more than a congested peer
    /// may have waiting. If that is not enough, peers with a connection keep nothing, most first: only who also loses it now is hurt. Then the one
    /// for which most waits above that is given up, one at a time, of those that are away or have to be sent again what was lost. While
    /// little room is left for packets for those who are here, as many of those that are away as it takes, most first.
    #[inline]
    pub(super) fn relieve(&mut self, now: Instant) {
        if !self.sessions.is_empty() && self.queue_totals.outgoing.is_short() {
            self.take_back_what_is_kept(now);
        }
    }

    #[cold]
    fn take_back_what_is_kept(&mut self, now: Instant) {
        if self.relieved.is_some_and(|last| now < last + RELIEF) {
            return;
        }
        self.relieved = Some(now);
        let limit = self.config.buffers.output_bytes;
        let conns: Vec<_> = self.connections.ids().collect();
        let (mut live, mut away, mut most) = (Vec::new(), Vec::new(), None);
        for conn in conns {
            let Some(kept) = self.forget(conn, limit) else { continue };
            let Some(connection) = self.connections.get(conn) else { continue };
            // A peer that has come back has no room reserved for what is written again, so nothing else would end one that does not take it.
            let waits = if connection.is_suspended() {
                away.push((connection.session.pending(), conn));
                connection.session.pending()
            } else {
                live.push((kept, conn));
                connection.session.again()
            };
            if waits > limit {
                most = most.max(Some((waits, conn)));
            }
        }
        self.charge.set(self.pool.bytes());
        live.sort_unstable_by_key(|(kept, _)| Reverse(*kept));
        for (kept, conn) in live {
            if kept == 0 || !self.queue_totals.outgoing.is_short() {
                break;
            }
            self.forget(conn, 0);
            self.charge.set(self.pool.bytes());
        }
        if !self.queue_totals.outgoing.is_short() {
            return;
        }
        let mut freed = 0;
        if let Some((waits, conn)) = most
            && !self.connections.get(conn).is_some_and(Connection::is_suspended)
        {
            self.overflow(conn, now);
            freed = waits;
        }
        let excess = self.queue_totals.outgoing.excess();
        // Those that have less than this do not fill the queues, however many they are, or all of them together could not make the room.
        let share = self.queue_totals.outgoing.reserve() / SUSPENDED_MOST;
        let share = share.max(excess / away.len().max(1));
        away.sort_unstable();
        let mut peers = 0;
        for (waits, conn) in away.into_iter().rev() {
            if most != Some((waits, conn)) && (freed >= excess || waits <= share) {
                break;
            }
            freed += waits;
            peers += 1;
            self.end_suspended(conn, CloseReason::Overflow, now);
        }
        if peers > 0 {
            self.counters.peers_overflowed.add(peers);
            log::warn!(
                "peers without a connection are disconnected ({peers}), because packets wait for them, and the queues of the process are nearly \
                 full; raise network/limits/websocket_total_queue_mb, or shorten resume_timeout"
            );
        }
    }

    /// Forgets what a session keeps above a limit. Returns how many bytes it keeps then; `None`: it is no session.
    fn forget(&mut self, conn: ConnId, limit: usize) -> Option<usize> {
        let connection = self.connections.get_mut(conn)?;
        let Connection { session, stage: Stage::Connected(peer), .. } = connection else { return None };
        let is_suspended = peer.resumable.as_ref()?.is_suspended();
        let kept = session.kept();
        kept.forget(limit, usize::MAX, !is_suspended, &mut self.pool);
        publish(kept.sent(), &peer.shared);
        Some(kept.held())
    }

    /// Makes room for one more peer without a connection.
    pub(super) fn limit_suspended(&mut self, now: Instant) {
        if self.counters.peers_suspended.get() < SUSPENDED_MOST {
            return;
        }
        let Some(conn) = self.sessions.longest_away() else { return };
        let suspended = self.connections.get(conn).and_then(Connection::resumable);
        if let Some(suspended) = suspended.and_then(|resumable| resumable.suspended.as_ref()) {
            let reason = suspended.reason.clone();
            self.counters.sessions_expired.add(1);
            self.end_suspended(conn, reason, now);
        }
    }

    /// Ends a peer that has no connection.
    fn end_suspended(&mut self, conn: ConnId, reason: CloseReason, now: Instant) {
        self.end_session(conn, &reason, now);
        self.fail(conn, reason, now);
        self.queue_flush(conn);
    }
}

/// The time between two looks at what suspended peers take.
const RELIEF: Duration = Duration::from_millis(100);
/// The most suspended peers of a server.
pub(crate) const SUSPENDED_MOST: usize = 4096;
/// An `ack` is due after so many bytes or so much time.
const ACK_BYTES: usize = 32 * 1024;
pub(crate) const ACK_TIME: Duration = Duration::from_millis(250);
/// How soon the ends of a session ask a silent remote, and how soon they give its connection up: the client first, because it has to
/// dial.
pub(crate) const SERVER_GUARD: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
pub(crate) const CLIENT_GUARD: (Duration, Duration) = (Duration::from_millis(2500), Duration::from_secs(5));
