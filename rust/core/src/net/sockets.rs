//! The sockets of one driver: mio's side of [`Transports`].

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::dial::{Dialled, Dialler};
use super::emulator::Emulated;
use super::listener::{Listener, Unsent, tune};
use crate::base::ConnId;
use crate::conditions::Conditions;
use crate::config::PeerConfig;
#[cfg(test)]
use crate::hub::transports::Step;
use crate::hub::transports::{Readiness, ShortRead, Transports};
use crate::hub::{self, Hub};

pub(super) const WAKER: Token = Token(0);
pub(super) const LISTENER: Token = Token(1);
/// First token of connections, which are numbered by slot.
const FIRST_CONNECTION: usize = 2;
/// First token of dialling.
const FIRST_DIAL: usize = usize::MAX / 2;
/// On Unix a short read means that the socket is empty, and the poller reports what comes later.
const SHORT_READ: ShortRead = if cfg!(unix) { ShortRead::Drains } else { ShortRead::SaysNothing };

/// The sockets of one server or client.
pub(super) struct Sockets {
    pub(super) poll: Poll,
    /// By slot.
    sockets: Vec<Option<Socket>>,
    /// How many sockets have an emulated network.
    emulated: usize,
    /// When the conditions changed, until all emulated networks have been advanced.
    changed: Option<Instant>,
    conditions: Conditions,
    listener: Option<Listener>,
    dial: Option<Dial>,
    /// The stream that was accepted or dialled last and does not belong to a connection yet.
    fresh: Option<TcpStream>,
    unsent: Unsent,
    /// The steps of the last round.
    #[cfg(test)]
    pub(super) steps: Vec<Step>,
}

pub(super) struct Socket {
    pub(super) conn: ConnId,
    pub(super) stream: Emulated<Tcp>,
}

/// A connected socket. Writing to one whose remote is gone is an error and never a signal: `writev` would raise SIGPIPE, which
/// ends a game whose process does not ignore it.
pub(super) struct Tcp(pub(super) TcpStream);

/// A connection that a client is making.
pub(super) struct Dial {
    pub(super) dialler: Dialler,
    pub(super) protocols: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) started: Instant,
    /// The shortest time that the attempt may take.
    pub(super) least: Duration,
}

/// What an event of the poller is about.
pub(super) enum Source {
    Waker,
    Listener,
    Dial(Token),
    Connection(usize),
}

impl Source {
    pub(super) fn of(token: Token) -> Self {
        match token {
            WAKER => Self::Waker,
            LISTENER => Self::Listener,
            token if token.0 >= FIRST_DIAL => Self::Dial(token),
            token => Self::Connection(token.0 - FIRST_CONNECTION),
        }
    }
}

impl Sockets {
    pub(super) fn new(poll: Poll, conditions: Conditions, unsent: Unsent) -> Self {
        Self {
            poll,
            sockets: Vec::new(),
            emulated: 0,
            changed: None,
            conditions,
            listener: None,
            dial: None,
            fresh: None,
            unsent,
            #[cfg(test)]
            steps: Vec::new(),
        }
    }

    pub(super) fn listen(&mut self, listener: Listener) -> io::Result<()> {
        listener.register(self.poll.registry(), LISTENER)?;
        self.listener = Some(listener);
        Ok(())
    }

    pub(super) fn dial(&mut self, dial: Dial) {
        self.dial = Some(dial);
    }

    /// Returns the first token that a dialler may use.
    pub(super) const fn first_dial() -> usize {
        FIRST_DIAL
    }

    /// Passes the readiness of a connection to the hub.
    pub(super) fn event(&mut self, slot: usize, event: &Event, hub: &mut Hub, now: Instant) {
        let failed = event.is_error();
        let ready = Readiness {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed() || failed,
        };
        self.advance(slot, ready, hub, now);
    }

    fn advance(&mut self, slot: usize, ready: Readiness, hub: &mut Hub, now: Instant) {
        let Some(Some(socket)) = self.sockets.get_mut(slot) else { return };
        let was_emulated = socket.stream.is_emulated();
        let ready = socket.stream.advance(ready, now, Tcp::end);
        self.emulated -= usize::from(was_emulated && !socket.stream.is_emulated());
        hub.ready(socket.conn, ready);
    }

    /// Advances the emulated networks whose time has come.
    pub(super) fn advance_emulated(&mut self, hub: &mut Hub, now: Instant) {
        let changed = self.changed.take().is_some();
        if self.emulated == 0 {
            return;
        }
        for slot in 0..self.sockets.len() {
            if let Some(Some(socket)) = self.sockets.get(slot)
                && socket.stream.is_emulated()
                && (changed || socket.stream.wake_at().is_some_and(|at| at <= now))
            {
                self.advance(slot, Readiness::default(), hub, now);
            }
        }
    }

    /// Advances dialling. `ready` are the tokens that the poller reported.
    pub(super) fn advance_dial(&mut self, ready: &[Token], hub: &mut Hub, now: Instant) -> io::Result<()> {
        let Some(dial) = &mut self.dial else { return Ok(()) };
        match dial.dialler.advance(ready, self.poll.registry(), now) {
            Dialled::Waiting => {}
            Dialled::Connected(stream, address) => {
                let Some(Dial { protocols, headers, started, .. }) = self.dial.take() else { return Ok(()) };
                self.fresh = Some(stream);
                let dialled = hub::Dialled { address, protocols: &protocols, headers: &headers, started };
                hub.dialled(self, dialled, now)?;
            }
            Dialled::Failed(reason) => {
                self.dial = None;
                hub.dial_failed(reason, now);
            }
        }
        Ok(())
    }

    /// Returns when dialling or an emulated network has to be advanced.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let dial = self.dial.as_ref().map(|dial| dial.dialler.wake_at());
        let emulated = if self.emulated > 0 {
            self.sockets.iter().flatten().filter_map(|socket| socket.stream.wake_at()).min()
        } else {
            None
        };
        [dial, emulated, self.changed].into_iter().flatten().min()
    }

    /// Sends everything that is in flight on emulated networks, before the sockets are dropped.
    pub(super) fn finish(&mut self) {
        for socket in self.sockets.iter_mut().flatten() {
            socket.stream.finish();
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.iter().flatten()
    }

    pub(super) fn socket(&mut self, conn: ConnId) -> Option<&mut Socket> {
        let socket = self.sockets.get_mut(conn.slot as usize)?.as_mut()?;
        (socket.conn == conn).then_some(socket)
    }
}

impl Transports for Sockets {
    type Stream = Emulated<Tcp>;

    #[inline]
    fn stream(&mut self, conn: ConnId, now: Instant) -> Option<(&mut Self::Stream, ShortRead)> {
        let stream = &mut self.socket(conn)?.stream;
        stream.set_now(now);
        let short_read = if stream.is_emulated() { ShortRead::SaysNothing } else { SHORT_READ };
        Some((stream, short_read))
    }

    fn accept(&mut self) -> Option<io::Result<SocketAddr>> {
        let accepted = self.listener.as_ref()?.accept()?;
        Some(accepted.map(|(stream, address)| {
            tune(&stream, self.unsent);
            self.fresh = Some(stream);
            address
        }))
    }

    fn reject(&mut self) {
        self.fresh = None;
    }

    fn attach(&mut self, conn: ConnId, now: Instant) -> io::Result<()> {
        let Some(mut stream) = self.fresh.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        let slot = conn.slot as usize;
        let token = Token(FIRST_CONNECTION + slot);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        let stream = Emulated::new(Tcp(stream), self.conditions, conn, now);
        self.emulated += usize::from(stream.is_emulated());
        self.sockets[slot] = Some(Socket { conn, stream });
        Ok(())
    }

    fn rename(&mut self, from: ConnId, to: ConnId) {
        if self.socket(from).is_none() {
            return;
        }
        let Some(mut socket) = self.sockets[from.slot as usize].take() else { return };
        socket.conn = to;
        let token = Token(FIRST_CONNECTION + to.slot as usize);
        let both = Interest::READABLE | Interest::WRITABLE;
        // If this failed, nothing would be reported of the stream: its peer would be given up after the heartbeat's time.
        let _ = self.poll.registry().reregister(&mut socket.stream.stream.0, token, both);
        self.sockets[to.slot as usize] = Some(socket);
    }

    fn shutdown_write(&mut self, conn: ConnId, now: Instant) -> Instant {
        self.socket(conn).map_or(now, |socket| socket.stream.shutdown_write(now, Tcp::end))
    }

    fn close(&mut self, conn: ConnId) {
        if self.socket(conn).is_some()
            && let Some(mut socket) = self.sockets[conn.slot as usize].take()
        {
            socket.stream.finish();
            self.emulated -= usize::from(socket.stream.is_emulated());
            let _ = self.poll.registry().deregister(&mut socket.stream.stream.0);
        }
    }

    fn set_no_delay(&mut self, conn: ConnId, enabled: bool) {
        if let Some(socket) = self.socket(conn) {
            let _ = socket.stream.stream.0.set_nodelay(enabled);
        }
    }

    fn stop_opening(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.dial = None;
        self.fresh = None;
    }

    fn configured(&mut self, config: &PeerConfig, now: Instant) {
        if let Some(dial) = &mut self.dial {
            dial.dialler.set_deadline(dial.started + config.handshake_timeout.max(dial.least));
        }
        self.conditions = config.conditions;
        self.changed = Some(now);
        for socket in self.sockets.iter_mut().flatten() {
            socket.stream.change(config.conditions, socket.conn, now);
        }
        self.emulated = self.sockets.iter().flatten().filter(|socket| socket.stream.is_emulated()).count();
    }

    fn clock(&mut self) -> Instant {
        Instant::now()
    }

    #[cfg(test)]
    fn checkpoint(&mut self, step: Step) {
        if step == Step::Commands {
            self.steps.clear();
        }
        self.steps.push(step);
    }
}

impl Tcp {
    /// Ends our side. An error means that the socket is closed already, which the next read shows.
    fn end(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

impl Read for Tcp {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tcp {
    // std asks for no signal by itself.
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_vectored(&self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn write_vectored(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket2::SockRef::from(socket).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
}

/// Apple has an option of the socket for it, set by `tune`; Windows has no such signal.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn write_vectored(mut socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.write_vectored(slices)
}
