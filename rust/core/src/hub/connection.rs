//! One connection of a hub, pending or connected.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connected::Connected;
use super::pending::Pending;
use super::queues::IoState;
use crate::access::ClientKey;
use crate::channel::{Form, PayloadRef, PeerShared};
use crate::session::{Context, Flushed, Kind, Pool, Session};
use crate::tls::TlsSession;

/// A session with its stream, before and after it becomes a peer.
pub(super) struct Connection {
    pub(super) session: Session,
    /// TLS between the session and its stream.
    pub(super) tls: Option<TlsSession>,
    /// TLS is with the thread that checks a certificate; until then nothing is read or written.
    pub(super) tls_is_away: bool,
    pub(super) address: SocketAddr,
    /// The client whose connections are counted.
    pub(super) client_key: Option<ClientKey>,
    /// The state of the stream.
    pub(super) io: IoState,
    /// The end of the session was outcome_noted.
    pub(super) outcome_noted: bool,
    /// Bytes that wait in TLS, as they were counted last.
    pub(super) sealed: usize,
    pub(super) stage: Stage,
}

/// What a connection needs before it is admitted, and after.
pub(super) enum Stage {
    /// Its handshake is under way, or it was rejected.
    Pending(Box<Pending>),
    /// The game knows of it, or is about to.
    Connected(Connected),
}

impl Connection {
    pub(super) fn new(session: Session, address: SocketAddr, started: Instant) -> Self {
        Self {
            session,
            tls: None,
            tls_is_away: false,
            address,
            client_key: None,
            io: IoState::new(),
            outcome_noted: false,
            sealed: 0,
            stage: Stage::Pending(Box::new(Pending::new(started))),
        }
    }

    pub(super) fn pending(&self) -> Option<&Pending> {
        match &self.stage {
            Stage::Pending(pending) => Some(pending),
            Stage::Connected(_) => None,
        }
    }

    pub(super) fn pending_mut(&mut self) -> Option<&mut Pending> {
        match &mut self.stage {
            Stage::Pending(pending) => Some(pending),
            Stage::Connected(_) => None,
        }
    }

    #[inline]
    pub(super) fn connected(&self) -> Option<&Connected> {
        match &self.stage {
            Stage::Connected(connected) => Some(connected),
            Stage::Pending(_) => None,
        }
    }

    #[inline]
    pub(super) fn connected_mut(&mut self) -> Option<&mut Connected> {
        match &mut self.stage {
            Stage::Connected(connected) => Some(connected),
            Stage::Pending(_) => None,
        }
    }

    /// What both threads share about the peer.
    #[inline]
    pub(super) fn shared(&self) -> Option<&Arc<PeerShared>> {
        self.connected().map(|connected| &connected.shared)
    }

    /// Returns whether a message waits for room.
    #[inline]
    pub(super) fn has_deferred(&self) -> bool {
        self.connected().is_some_and(|connected| connected.deferred.is_some())
    }

    /// Queues a packet whose room is reserved. Returns whether it is to be written now.
    #[inline]
    pub(super) fn send(&mut self, form: Form, payload: PayloadRef<'_>, cx: &mut Context<'_>) -> bool {
        let kind = if form == Form::Unreliable { Kind::Unreliable } else { Kind::Message };
        self.session.send(form == Form::Text, payload, kind, cx)
    }

    /// Writes what is queued.
    pub(super) fn flush<W: Write>(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Flushed {
        let (flushed, moved) = match &mut self.tls {
            None => {
                let flushed = self.session.flush(stream, cx);
                (flushed, flushed.bytes > 0)
            }
            Some(tls) => {
                let flushed = flush_tls(&mut self.session, tls, stream, cx);
                cx.pool.recount(self.sealed, tls.unsent());
                self.sealed = tls.unsent();
                (flushed, tls.take_moved())
            }
        };
        // A stream does not stall while nothing is offered to it.
        let moved = moved || !flushed.blocked && self.session.only_compresses();
        self.session.note_written(moved, self.wants_write(), cx.now);
        flushed
    }

    /// Sends the last alert of TLS, as far as the stream takes it at once.
    pub(super) fn send_last_alert<W: Write>(&mut self, stream: &mut W) {
        if let Some(tls) = &mut self.tls {
            tls.queue_close_notify();
            // The stream is dropped either way.
            let _ = tls.stream(stream).push();
        }
    }

    /// Drops the queued bytes.
    pub(super) fn discard(&mut self, pool: &mut Pool) {
        self.session.discard(pool);
        self.discard_sealed(pool);
    }

    /// Drops the bytes that wait in TLS.
    pub(super) fn discard_sealed(&mut self, pool: &mut Pool) {
        pool.recount(self.sealed, 0);
        self.sealed = 0;
    }

    /// Applies a new `handshake_timeout` to a handshake that is under way.
    pub(super) fn move_handshake_deadline(&mut self, timeout: Duration) {
        let Stage::Pending(pending) = &mut self.stage else { return };
        let Some(deadline) = pending.started.checked_add(timeout) else { return };
        self.session.move_handshake_deadline(deadline);
        if pending.id_deadline.is_some() {
            pending.id_deadline = Some(deadline);
        }
    }

    /// Notes that this many bytes were read.
    pub(super) fn has_read(&mut self, bytes: usize, now: Instant) {
        self.note_received(bytes > 0, now);
        self.charge(bytes as isize);
    }

    pub(super) fn note_received(&mut self, something: bool, now: Instant) {
        if something && let Stage::Pending(pending) = &mut self.stage {
            pending.first_bytes.get_or_insert(now);
        }
    }

    /// Returns whether bytes wait for the stream.
    pub(super) fn wants_write(&self) -> bool {
        let waits = self.session.wants_write() || self.tls.as_ref().is_some_and(TlsSession::wants_write);
        waits && !self.session.is_broken() && !self.tls_is_away
    }
}

/// Writes through TLS, which may hold bytes that the stream has not taken although the session has none left.
fn flush_tls<W: Write>(
    session: &mut Session,
    tls: &mut TlsSession,
    stream: &mut W,
    cx: &mut Context<'_>,
) -> Flushed {
    let mut stream = tls.stream(stream);
    let blocked = match stream.push() {
        Ok(blocked) => blocked,
        Err(error) => {
            session.write_failed(&error, cx.pool);
            return Flushed::default();
        }
    };
    if blocked || stream.is_handshaking() {
        return Flushed { blocked, ..Flushed::default() };
    }
    let flushed = session.flush(&mut stream, cx);
    // The next write finds an error again.
    let blocked = flushed.blocked || stream.push().unwrap_or(false);
    Flushed { blocked, ..flushed }
}
