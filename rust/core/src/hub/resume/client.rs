//! The client's side of sessions: the grant, and dialling again after a loss.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{CLIENT_GUARD, ComesBack};
use crate::base::{CloseFrame, CloseReason, ConnId, PeerId, ResumeToken};
use crate::config::{Mode, WireFormat};
use crate::http::{Gone, Resumption, resume};
use crate::hub::Hub;
use crate::hub::connection::Connection;
use crate::hub::transports::Transports;
use crate::session::{Context, Grant};
use crate::wire::relay_list::Terms;

/// A client that tries to come back.
#[derive(Debug)]
pub(in crate::hub) struct Redial {
    /// When to dial next; `None`: an attempt is under way.
    at: Option<Instant>,
    /// When the present attempt began.
    began: Instant,
    /// The pause before the next one.
    pause: Duration,
    /// How often the server did not know the session.
    unknown: u32,
    /// The game has dropped an attempt that began when the time was up.
    is_extended: bool,
}

impl Redial {
    pub(in crate::hub) fn begin(now: Instant) -> Self {
        // Not all clients of a proxy that was restarted at once.
        let at = now + FIRST_PAUSE.mul_f64(rand::random());
        Self { at: Some(at), began: now, pause: FIRST_PAUSE, unknown: 0, is_extended: false }
    }

    fn next(&mut self, now: Instant) {
        let jitter = 0.75 + 0.5 * rand::random::<f64>();
        self.at = Some(now + self.pause.mul_f64(jitter));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Hub {
    /// Client: returns the header line that asks for a session and for lists, or for the session that was lost.
    pub(in crate::hub) fn resume_line(&self) -> Option<String> {
        if self.config.mode != Mode::Multiplayer(WireFormat::Godot4) {
            return None;
        }
        match self.server().and_then(|server| self.connections.get(server)) {
            Some(connection) => connection.resumable().map(|resumable| {
                let token = resumable.tokens.newest();
                Resumption { token, received: connection.session.received(), is_page: false }.line()
            }),
            None => resume::offer_line(self.config.resume_offered, self.config.lists_offered),
        }
    }

    /// The shortest time that an attempt to connect may take.
    pub(in crate::hub) fn shortest_attempt(&self) -> Duration {
        if self.redial.is_some() { ATTEMPT } else { Duration::ZERO }
    }

    /// Client: returns when to dial again.
    pub(crate) fn redial_at(&self) -> Option<Instant> {
        self.redial.as_ref()?.at
    }

    /// Client: returns the deadline of an attempt that is to begin now. The driver reports the result as it does for the first connection.
    pub(crate) fn take_dial(&mut self, now: Instant) -> Option<Instant> {
        let redial = self.redial.as_mut()?;
        redial.at.take_if(|at| *at <= now)?;
        redial.began = now;
        Some(now + self.config.handshake_timeout.max(ATTEMPT))
    }

    /// Client: returns where its server was when it was connected last.
    pub(crate) fn server_address(&self) -> Option<SocketAddr> {
        Some(self.connections.get(self.server()?)?.address)
    }

    /// Client: drops its connection and comes back on a new one at once.
    pub(in crate::hub) fn reconnect<T: Transports>(&mut self, io: &mut T, now: Instant) {
        let Some(conn) = self.server() else { return };
        let Some(connection) = self.connections.get(conn) else { return };
        if connection.resumable().is_none() || connection.session.is_closing() {
            return;
        }
        if !connection.is_suspended() {
            self.suspend(io, conn, CloseReason::TransportError("the game reconnects".into()), now);
        }
        // An attempt that is under way may hang on a network that is gone. That it is dropped is no failure, which would end the session if
        // the time was up when it began; but that is so once only, or a game that asks again and again would never hear of the end.
        let Some(redial) = &self.redial else { return };
        let is_last = redial.at.is_none() && self.is_time_up(conn, redial.began);
        if is_last && redial.is_extended {
            return;
        }
        let Some(redial) = self.redial.take() else { return };
        self.drop_attempts(conn, now);
        let is_extended = redial.is_extended || is_last;
        self.redial = Some(Redial { at: Some(now), pause: FIRST_PAUSE, is_extended, ..redial });
    }

    /// Client: returns whether its time to come back was over when an attempt began.
    fn is_time_up(&self, server: ConnId, began: Instant) -> bool {
        let resumable = self.connections.get(server).and_then(Connection::resumable);
        let suspended = resumable.and_then(|resumable| resumable.suspended.as_ref());
        suspended.is_none_or(|suspended| suspended.until <= began)
    }

    /// Client: handles a message that comes before the id. Returns false if it is the id.
    pub(in crate::hub) fn grant(&mut self, conn: ConnId, message: &[u8]) -> Option<bool> {
        let comes_back = self.redial.is_some();
        let is_godot4 = self.config.mode == Mode::Multiplayer(WireFormat::Godot4);
        let asks = self.config.resume_offered && is_godot4;
        let asks_lists = self.config.lists_offered && is_godot4 && !comes_back;
        let pending = self.connections.get_mut(conn).and_then(Connection::pending_mut)?;
        if let Some(terms) = Terms::parse(message).filter(|_| asks_lists && pending.lists.is_none()) {
            pending.lists = Some(terms);
            return Some(true);
        }
        match Grant::parse(message)? {
            Grant::New { token, timeout } if asks && !comes_back && pending.granted.is_none() => {
                pending.granted = Some((token, timeout));
                Some(true)
            }
            Grant::Again { token, received } if comes_back => {
                pending.comes_back = Some(ComesBack::Granted { token, received });
                self.comes_back = true;
                Some(false)
            }
            _ => None,
        }
    }

    /// Client: the server has given the session back on this connection.
    pub(super) fn resume_granted<T: Transports>(
        &mut self,
        io: &mut T,
        conn: ConnId,
        token: ResumeToken,
        received: u64,
        now: Instant,
    ) {
        let Some(peer) = self.server() else { return };
        let Some(connection) = self.connections.get_mut(peer) else { return };
        let kept = connection.session.kept();
        let known = kept.before()..=kept.last();
        if !known.contains(&received) {
            let frame = CloseFrame { code: 1013, reason: "messages are no longer kept".to_owned() };
            self.close_with(conn, now, |session, cx| {
                session.close_without_waiting(&frame, CloseReason::Overflow, cx);
            });
            // Not before: it would drop the connection without the Close.
            self.redial = None;
            return self.end_suspended(peer, CloseReason::Overflow, now);
        }
        let Some(resumable) = connection.resumable_mut() else { return };
        resumable.tokens = super::Tokens::new(token);
        self.redial = None;
        let Some(mut last) = self.move_transport(io, conn, peer) else { return };
        if let Some(connection) = self.connections.get_mut(peer) {
            let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
            connection.session.take_over(&mut last, received, &mut cx);
            connection.session.guard(CLIENT_GUARD.0, CLIENT_GUARD.1);
            connection.session.owe_ack(false);
        }
        self.send_again(peer, received);
    }

    /// Client: handles that an attempt to come back has failed. Returns false if it was none.
    pub(in crate::hub) fn redial_failed(
        &mut self,
        gone: Option<Gone>,
        reason: &CloseReason,
        now: Instant,
    ) -> bool {
        let Some(peer) = self.server() else { return false };
        let Some(began) = self.redial.as_ref().map(|redial| redial.began) else { return false };
        // Time is given up only after an attempt that began when it was over: a process that was stopped has made none.
        let is_over = self.is_time_up(peer, began);
        let Some(redial) = &mut self.redial else { return false };
        redial.unknown += u32::from(gone == Some(Gone::Unknown));
        if gone == Some(Gone::Ended) || redial.unknown >= UNKNOWN_MOST || is_over {
            self.end_suspended(peer, reason.clone(), now);
        } else {
            redial.next(now);
        }
        true
    }

    /// Client: returns the slot of the server, which may be suspended.
    fn server(&self) -> Option<ConnId> {
        self.ids.get(&PeerId::SERVER).copied()
    }

    /// Client: ends all connections but that of its server: attempts to come back to it.
    pub(super) fn drop_attempts(&mut self, server: ConnId, now: Instant) {
        let attempts: Vec<_> = self.connections.ids().filter(|attempt| *attempt != server).collect();
        for attempt in attempts {
            self.fail(attempt, CloseReason::Aborted, now);
            self.queue_flush(attempt);
        }
    }

    /// Client: a first message that gives no session back ends the session: this is another server.
    pub(in crate::hub) fn another_server(&mut self, conn: ConnId, now: Instant) {
        let Some(peer) = self.server() else { return };
        let what = "the server that answered does not know of the session; is it another server?";
        if let Some(connection) = self.connections.get_mut(conn) {
            let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
            connection.session.violation(1002, what.to_owned(), &mut cx);
            self.queues.flush(conn, connection);
        }
        self.redial = None;
        self.end_suspended(peer, CloseReason::Refused(what.to_owned()), now);
    }
}

/// The pause before the first attempt is drawn from this time, and the second one comes so much later.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts, which varies by a quarter.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long an attempt may take at least: the radio of a phone needs some seconds to wake up.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(5);
/// After so many answers that the session is unknown, it is taken for lost. One may come from another server behind the same name.
pub(crate) const UNKNOWN_MOST: u32 = 3;
