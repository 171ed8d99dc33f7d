//! What a hub wants of whoever drives it: streams to read and write, and a few things that only the owner of the sockets can do.
//!
//! A driver reports readiness with [`Hub::ready`](super::Hub::ready), calls [`Hub::round`](super::Hub::round) and sleeps as long as
//! [`Next`] says. The order of the work is the round's, whoever drives: the I/O thread with its sockets, or a test in memory.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use crate::base::ConnId;
use crate::config::PeerConfig;

/// The streams of a hub's connections.
pub(crate) trait Transports {
    type Stream: Read + Write;

    /// The stream of a connection.
    fn stream(&mut self, conn: ConnId, now: Instant) -> Option<(&mut Self::Stream, ShortRead)>;
    /// Takes the next stream off the listener, and keeps it for [`attach`](Self::attach); `None`: nobody listens.
    fn accept(&mut self) -> Option<io::Result<SocketAddr>>;
    /// Drops the stream that was accepted last.
    fn reject(&mut self);
    /// Makes the stream that was accepted, or dialled, last that of a connection. What comes from now on is reported as
    /// readiness.
    fn attach(&mut self, conn: ConnId, now: Instant) -> io::Result<()>;
    /// Makes the stream of one connection that of another, which has none.
    fn rename(&mut self, from: ConnId, to: ConnId);
    /// Ends our side, behind everything that was written; returns when the end leaves.
    fn shutdown_write(&mut self, conn: ConnId, now: Instant) -> Instant;
    /// Drops a stream; what was written leaves as far as the system takes it at once.
    fn close(&mut self, conn: ConnId);
    fn set_no_delay(&mut self, conn: ConnId, enabled: bool);
    /// Stops listening, and dialling.
    fn stop_opening(&mut self);
    /// There is a new configuration.
    fn configured(&mut self, config: &PeerConfig, now: Instant);
    /// The time, while a round is under way: handshakes get a bounded part of it.
    fn clock(&mut self) -> Instant;
    /// Called after each step of a round: tests look on, or do something in between.
    #[inline]
    fn checkpoint(&mut self, _step: Step) {}
}

/// What a read that did not fill the buffer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShortRead {
    /// The stream is empty, and what comes later is reported.
    Drains,
    /// Nothing: only `WouldBlock` does.
    SaysNothing,
}

/// What the poller reports of a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The remote has ended its side, or the stream has failed.
    pub(crate) read_closed: bool,
}

/// The steps of a round, in their order; [`Write`](Self::Write) and [`Deliver`](Self::Deliver) come again behind the last two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Commands,
    Read,
    Write,
    Expire,
    Deliver,
    Handshakes,
}

/// When the next round is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// At once: there is more to do.
    Again,
    /// When something is ready, a command comes, or at that time.
    Sleep { until: Option<Instant> },
    /// Never: all is over.
    Finished,
}
