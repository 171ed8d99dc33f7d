//! Taking connections off the listener, as many as may be pending at once.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::transports::Transports;
use super::{EvictionOutcome, Hub};
use crate::base::{CloseReason, ConnId};

/// Where a hub is with its listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    state: Accept,
    /// Connections that may be pending: handshakes under way, and rejected ones that are not gone.
    max_pending: usize,
    /// Whom the listener gave while there was no room: it shows that somebody waits.
    waiting: Option<SocketAddr>,
    /// When a connection may have to go for it.
    retry: Option<Instant>,
    /// When a line about the system's refusals was written last, and how many there have been since.
    complained: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Accept {
    /// The listener has nothing.
    Idle,
    /// It may have more.
    Ready,
    /// The system could not give us a socket.
    BackOff(Instant),
}

impl Acceptor {
    pub(super) fn new(max_pending: usize) -> Self {
        Self {
            state: Accept::Idle,
            max_pending: max_pending.max(1),
            waiting: None,
            retry: None,
            complained: None,
        }
    }

    /// Nobody is taken any more.
    pub(super) fn stop(&mut self) {
        self.state = Accept::Idle;
        self.waiting = None;
        self.retry = None;
    }

    /// Says whether somebody waits, or may.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.state, Accept::Idle) || self.waiting.is_some()
    }

    /// When to look again without being told.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let back_off = match self.state {
            Accept::BackOff(until) => Some(until),
            _ => None,
        };
        [back_off, self.retry].into_iter().flatten().min()
    }
}

impl Hub {
    /// The listener may have somebody.
    pub(crate) fn listener_ready(&mut self) {
        self.acceptor.state = Accept::Ready;
    }

    /// Says whether somebody can be accepted at once.
    pub(super) fn may_accept(&self) -> bool {
        let acceptor = &self.acceptor;
        match acceptor.waiting {
            Some(_) => self.pending_len() < acceptor.max_pending,
            None => matches!(acceptor.state, Accept::Ready),
        }
    }

    /// Accepts connections until `end`, as long as there is room for them.
    pub(super) fn accept<T: Transports>(&mut self, io: &mut T, now: Instant, end: Instant) {
        if let Accept::BackOff(until) = self.acceptor.state
            && until <= now
        {
            self.acceptor.state = Accept::Ready;
        }
        self.acceptor.retry = None;
        loop {
            if self.acceptor.waiting.is_none() {
                self.acceptor.waiting = self.take_next(io, now);
            }
            let Some(address) = self.acceptor.waiting else { return };
            if self.pending_len() >= self.acceptor.max_pending {
                match self.make_room_and_drop(io, Some(address), now) {
                    EvictionOutcome::Evicted(_) => {}
                    EvictionOutcome::Refused => {
                        self.acceptor.waiting = None;
                        io.reject();
                        self.note_not_taken(address, now);
                        if io.clock() >= end {
                            return;
                        }
                        continue;
                    }
                    EvictionOutcome::Wait(again) => {
                        self.acceptor.retry = again;
                        return;
                    }
                }
            }
            self.acceptor.waiting = None;
            if let Err((conn, error)) = self.welcome(io, address, now) {
                self.fail(conn, CloseReason::Lost(error.to_string()), now);
                self.drop_connection(io, conn, now);
                self.accept_failed(&error, now);
            }
            if io.clock() >= end {
                return;
            }
        }
    }

    /// Makes a connection of the stream that was accepted last.
    pub(crate) fn welcome<T: Transports>(
        &mut self,
        io: &mut T,
        address: SocketAddr,
        now: Instant,
    ) -> Result<ConnId, (ConnId, io::Error)> {
        let conn = self.accepted(address, now);
        self.adopt(io, conn, now).map(|()| conn).map_err(|error| (conn, error))
    }

    /// Drops a connection that is worth less than one that waits, if there is one.
    pub(crate) fn make_room_and_drop<T: Transports>(
        &mut self,
        io: &mut T,
        newcomer: Option<SocketAddr>,
        now: Instant,
    ) -> EvictionOutcome {
        let room = self.make_room(newcomer, now);
        if let EvictionOutcome::Evicted(conn) = room {
            self.drop_connection(io, conn, now);
        }
        room
    }

    /// Takes somebody off the listener.
    fn take_next<T: Transports>(&mut self, io: &mut T, now: Instant) -> Option<SocketAddr> {
        let mut made_room = false;
        while matches!(self.acceptor.state, Accept::Ready) {
            match io.accept() {
                Some(Ok(address)) => return Some(canonical(address)),
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.acceptor.state = Accept::Idle;
                }
                Some(Err(error)) => {
                    self.accept_failed(&error, now);
                    // One that is worth less than one that waits gives back what the system lacks.
                    if matches!(self.acceptor.state, Accept::BackOff(_))
                        && !std::mem::replace(&mut made_room, true)
                        && let EvictionOutcome::Evicted(_) = self.make_room_and_drop(io, None, now)
                    {
                        self.acceptor.state = Accept::Ready;
                    }
                }
                None => self.acceptor.state = Accept::Idle,
            }
        }
        None
    }

    fn accept_failed(&mut self, error: &io::Error, now: Instant) {
        // The remote was gone before it was accepted: not our trouble.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return;
        }
        self.totals.accept_errors.add(1);
        match &mut self.acceptor.complained {
            Some((last, since)) if now.saturating_duration_since(*last) < COMPLAINT_PAUSE => *since += 1,
            complained => {
                let since = complained.replace((now, 0)).map_or(0, |(_, since)| since);
                let more = if since > 0 {
                    format!(" ({since} times more since the last such line)")
                } else {
                    String::new()
                };
                log::warn!(
                    "cannot accept connections for now: {error}{more}; raise the limit of open files (ulimit -n)"
                );
            }
        }
        self.acceptor.state = Accept::BackOff(now + ACCEPT_BACKOFF);
    }
}

/// An IPv4 client of a dual-stack socket is called by its IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How long to wait for a file descriptor or memory to become free.
pub(crate) const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// One line about it in so long.
pub(crate) const COMPLAINT_PAUSE: Duration = Duration::from_mins(1);
