//! Taking connections off the listener, as many as may be in limbo at once.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Driver;
use crate::base::{CloseReason, ConnId};
use crate::hub::{After, Room};
use crate::net::listener::{Listener, tune};

/// Where a driver is with its listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) state: Accept,
    /// Connections that may be in limbo: handshakes under way, and refused ones that are not gone.
    pub(super) max_pending: usize,
    /// Taken off the listener while there was no room: it shows that somebody waits.
    waiting: Option<(TcpStream, SocketAddr)>,
    /// When a connection may have to go for it.
    retry: Option<Instant>,
    /// When a line about the system's refusals was written last, and how many there have been since.
    complained: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Accept {
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

impl Driver {
    /// Says whether there is something to do at once.
    pub(super) fn may_accept(&self) -> bool {
        let acceptor = &self.acceptor;
        let has_room = self.hub.in_limbo() < acceptor.max_pending;
        match acceptor.waiting {
            Some(_) => has_room,
            None => matches!(acceptor.state, Accept::Ready),
        }
    }

    pub(super) fn accept(&mut self, now: Instant, end: Instant) {
        if let Accept::BackOff(until) = self.acceptor.state
            && until <= now
        {
            self.acceptor.state = Accept::Ready;
        }
        self.acceptor.retry = None;
        loop {
            if self.acceptor.waiting.is_none() && !self.take_next(now) {
                return;
            }
            if self.hub.in_limbo() >= self.acceptor.max_pending {
                let newcomer = self.acceptor.waiting.as_ref().map(|(_, address)| canonical(*address));
                match self.make_room(newcomer, now) {
                    Room::Made(_) => {}
                    Room::Refused => {
                        self.acceptor.waiting = None;
                        if let Some(address) = newcomer {
                            self.hub.note_not_taken(address, now);
                        }
                    }
                    Room::Wait(again) => {
                        self.acceptor.retry = again;
                        return;
                    }
                }
            }
            if let Some((stream, address)) = self.acceptor.waiting.take() {
                self.welcome(stream, address, now);
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Takes a connection off the listener; false: there is none.
    fn take_next(&mut self, now: Instant) -> bool {
        let mut made_room = false;
        while matches!(self.acceptor.state, Accept::Ready) {
            match self.listener.as_ref().and_then(Listener::accept) {
                Some(Ok(accepted)) => {
                    self.acceptor.waiting = Some(accepted);
                    return true;
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.acceptor.state = Accept::Idle;
                }
                Some(Err(error)) => {
                    self.accept_failed(&error, now);
                    // One that is worth less than one that waits gives back what the system lacks.
                    if matches!(self.acceptor.state, Accept::BackOff(_))
                        && !std::mem::replace(&mut made_room, true)
                        && matches!(self.make_room(None, now), Room::Made(_))
                    {
                        self.acceptor.state = Accept::Ready;
                    }
                }
                None => self.acceptor.state = Accept::Idle,
            }
        }
        false
    }

    /// Lets go of a connection that is worth less than the one that waits.
    fn make_room(&mut self, newcomer: Option<SocketAddr>, now: Instant) -> Room {
        let sockets = &self.sockets;
        let unread =
            |conn: ConnId| matches!(sockets.get(conn.slot as usize), Some(Some(socket)) if socket.queued);
        let room = self.hub.make_room(newcomer, unread, now);
        if let Room::Made(conn) = room {
            self.settle(conn, After { ended: true, ..After::default() }, now);
        }
        room
    }

    fn welcome(&mut self, stream: TcpStream, address: SocketAddr, now: Instant) {
        tune(&stream, self.unsent);
        let conn = self.hub.accepted(canonical(address), now);
        if let Err(error) = self.adopt(conn, stream, now) {
            self.hub.fail(conn, CloseReason::Lost(error.to_string()), now);
            self.hub.forget(conn);
            self.accept_failed(&error, now);
        }
    }

    fn accept_failed(&mut self, error: &io::Error, now: Instant) {
        // The remote was gone before it was accepted: not our trouble.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return;
        }
        self.mailbox.totals.accept_errors.add(1);
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
