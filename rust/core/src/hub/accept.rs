//! Accepting connections, as many as may be pending.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::transports::Transports;
use super::{EvictionOutcome, Hub};
use crate::base::{CloseReason, ConnId};

/// State of the listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    state: Accept,
    /// Limit of pending connections: handshakes under way, and rejected connections that are not closed yet.
    max_pending: usize,
    /// Address of a client that was accepted while there was no room, and waits for it.
    waiting: Option<SocketAddr>,
    /// When a pending connection may be evicted for it.
    retry: Option<Instant>,
    /// When a warning was logged last, and how many errors there have been since.
    complained: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Accept {
    /// Nobody waits at the listener.
    Idle,
    /// A client may wait at the listener.
    Ready,
    /// The system had no socket to give; accepting is retried at that time.
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

    /// Stops accepting.
    pub(super) fn stop(&mut self) {
        self.state = Accept::Idle;
        self.waiting = None;
        self.retry = None;
    }

    /// Returns whether a client waits, or may wait.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.state, Accept::Idle) || self.waiting.is_some()
    }

    /// Returns when to try again without a report of the poller.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let back_off = match self.state {
            Accept::BackOff(until) => Some(until),
            _ => None,
        };
        [back_off, self.retry].into_iter().flatten().min()
    }
}

impl Hub {
    /// A client may wait at the listener.
    pub(crate) fn listener_ready(&mut self) {
        self.acceptor.state = Accept::Ready;
    }

    /// Returns whether a client can be accepted at once.
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
            if let Err((conn, error)) = self.accept_stream(io, address, now) {
                self.fail(conn, CloseReason::TransportError(error.to_string()), now);
                self.drop_connection(io, conn, now);
                self.accept_failed(&error, now);
            }
            if io.clock() >= end {
                return;
            }
        }
    }

    /// Creates the connection of the stream that was accepted last.
    pub(crate) fn accept_stream<T: Transports>(
        &mut self,
        io: &mut T,
        address: SocketAddr,
        now: Instant,
    ) -> Result<ConnId, (ConnId, io::Error)> {
        let conn = self.create_accepted(address, now);
        self.attach(io, conn, now).map(|()| conn).map_err(|error| (conn, error))
    }

    /// Evicts a pending connection for a client that waits, if the rules allow it.
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

    /// Accepts the next client. Returns its address.
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
                    // An evicted connection gives back what the system lacks.
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
        // The remote was gone before it was accepted.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return;
        }
        self.counters.accept_errors.add(1);
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

/// Returns the IPv4 address of an IPv4 client of a dual-stack socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Pause after the system had no file descriptor or memory.
pub(crate) const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Time between two warnings about that.
pub(crate) const COMPLAINT_PAUSE: Duration = Duration::from_mins(1);
