//! One WebSocket connection of a server or a client, over any stream: the HTTP upgrade, messages, keepalive and the closing
//! handshake.
//!
//! A session owns no socket and reads no clock. Its caller passes a [`ReadBurst`] when the stream is readable, a stream when there
//! are bytes to [`flush`](Session::flush), and the time.
//!
//! ```text
//!  server: AwaitRequest -> AwaitDecision -+-> Open --+--> AwaitCloseReply --+
//!  client: AwaitResponse -----------------+     |    |  Close sent          |
//!               |                               |    +----------------------+--> Draining --> Ended
//!               +---- refused, timed out -------+--- remote closed, violation -->   |  last bytes leave, input
//!                                                                                   |  is dropped until the end
//! ```
//!
//! A peer that is suspended has a session that is `Detached`: it has no stream.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod burst;
mod claim;
mod closing;
pub(crate) mod codecs;
pub(crate) mod coding;
pub(crate) mod control;
pub(crate) mod frame;
mod inflation;
mod keepalive;
mod kept;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod reader;
pub(crate) mod upgrade;
mod writer;

use std::io::{self, Write};
use std::mem;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::base::{CloseFrame, CloseReason, Phase};
use crate::channel::PayloadRef;
use crate::config::PeerConfig;
use crate::http::{Gone, Head, HttpResponse, Offer, Refused, Request, Url};
pub(crate) use burst::{Payload, ReadBurst};
#[cfg(test)]
pub(crate) use closing::LINGER;
use closing::{HalfClose, lost};
use coding::Coding;
pub(crate) use coding::Ratio;
use control::{Control, Late};
pub(crate) use control::{Grant, agreement, is_lost_with};
use frame::Opcode;
use keepalive::{Due, Keepalive};
pub(crate) use keepalive::{SIGN_INTERVAL, earlier};
#[cfg(test)]
pub(crate) use kept::FORGET_PACKETS;
pub(crate) use kept::Room;
pub(crate) use pool::Pool;
pub(crate) use reader::Leeway;
use reader::{Reader, Violation};
use writer::Writer;
pub(crate) use writer::{Flushed, Kind, WRITE_TURN};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The end that accepted the connection.
    Server,
    /// The end that opened the connection.
    Client,
}

/// What the caller lends to a session.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a PeerConfig,
    pub(crate) pool: &'a mut Pool,
    pub(crate) now: Instant,
}

/// What a session received.
#[derive(Debug)]
pub(crate) enum Incoming<'b> {
    /// Server: a valid request that waits for [`Session::accept`] or [`Session::refuse`].
    Request(Box<Request>),
    /// Client: the connection is open.
    Opened { protocol: String },
    /// A complete message.
    Message { payload: Payload<'b>, text: bool },
    /// A control message asks for an `ack`, which the next turn of writing makes.
    AckWanted,
    /// The remote has received so many messages of the session.
    Acknowledged(u64),
    /// The remote sent the first Close; 1005 if the Close has no code (RFC 6455 section 7.1.5).
    CloseRequested { code: u16, reason: String },
}

/// One connection.
pub(crate) struct Session {
    role: Role,
    state: State,
    out: Writer,
    /// Bytes that were read and not used yet: those after a deferred message, and those that came too early.
    read_ahead: BytesMut,
    keepalive: Keepalive,
    /// Text is control messages.
    control: Option<Box<Control>>,
    late: Option<Box<Late>>,
    /// Server: the request was HEAD, so the response has no body.
    wants_head_only: bool,
    /// The deadline of the state; `Open` has the deadlines of `keepalive`.
    deadline: Option<Instant>,
    /// When the last message came.
    last_message: Option<Instant>,
    /// A violation shortly after a message: the game first gets the time to answer that message.
    failing: Option<Failing>,
    /// Why nothing can be written any more. Bytes that the remote sent before may still be readable, above all its Close.
    broken: Option<String>,
    /// Client: what the server says of a session that the client wanted back.
    gone: Option<Gone>,
    /// What is sent may be compressed.
    coding: Option<Box<Coding>>,
}

enum State {
    AwaitRequest(Head),
    AwaitDecision,
    AwaitResponse { offer: Box<Offer>, head: Head, interim: usize },
    Refused(Box<Refused>),
    Open(Reader),
    AwaitCloseReply { reader: Reader, sent: CloseFrame },
    Draining { outcome: CloseReason, half_close: HalfClose },
    Detached,
    Ended(CloseReason),
}

/// A violation that has not closed the connection yet.
struct Failing {
    at: Instant,
    violation: Violation,
}

impl Session {
    /// Creates the session of an accepted connection; `deadline` is that of the handshake.
    pub(crate) fn server(now: Instant, deadline: Option<Instant>) -> Self {
        Self::new(Role::Server, State::AwaitRequest(Head::default()), now, deadline)
    }

    /// Creates the session of a client and queues the request.
    pub(crate) fn client(
        url: &Url,
        protocols: &[String],
        headers: &[String],
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Self {
        let offer = Box::new(Offer::new(url, protocols, cx.config.compression, headers));
        let mut out = Writer::default();
        out.push_raw(offer.request(), cx.pool);
        let mut session = Self::new(
            Role::Client,
            State::AwaitResponse { offer, head: Head::default(), interim: 0 },
            cx.now,
            deadline,
        );
        session.out = out;
        session
    }

    /// Creates a session without a stream.
    pub(crate) fn detached(role: Role, now: Instant) -> Self {
        Self::new(role, State::Detached, now, None)
    }

    fn new(role: Role, state: State, now: Instant, deadline: Option<Instant>) -> Self {
        Self {
            role,
            state,
            out: Writer::default(),
            read_ahead: BytesMut::new(),
            keepalive: Keepalive::new(now),
            control: None,
            late: None,
            wants_head_only: false,
            deadline,
            last_message: None,
            failing: None,
            broken: None,
            gone: None,
            coding: None,
        }
    }

    /// Reads until something was received; `None` if the burst is used up, or the session takes no more.
    pub(crate) fn next<'b>(
        &mut self,
        burst: &mut ReadBurst<'b>,
        cx: &mut Context<'_>,
    ) -> Option<Incoming<'b>> {
        loop {
            let step = match &mut self.state {
                State::AwaitRequest(_) => self.read_request(burst, cx),
                State::AwaitResponse { .. } => self.read_response(burst, cx),
                State::Refused(_) => self.read_refusal(burst),
                State::Open(_) if self.failing.is_some() => self.fail_at_the_end(burst, cx),
                State::Open(_) | State::AwaitCloseReply { .. } => self.read_message(burst, cx),
                State::Draining { .. } => self.throw_away(burst),
                State::AwaitDecision => self.watch(burst),
                State::Detached | State::Ended(_) => Step::Wait,
            };
            match step {
                Step::Again => {}
                Step::Wait => return None,
                Step::Incoming(incoming) => return Some(incoming),
            }
        }
    }

    /// Returns the bytes that earlier turns read ahead; [`keep`](Self::keep) takes back the rest.
    pub(crate) fn take_read_ahead(&mut self) -> BytesMut {
        mem::take(&mut self.read_ahead)
    }

    /// Keeps bytes for a later turn: the last `left` bytes of `read_ahead`, and the unused ones of this turn.
    pub(crate) fn keep(&mut self, mut read_ahead: BytesMut, left: usize, rest: &[u8]) {
        // Bytes after the end are dropped.
        if self.outcome().is_some() {
            return;
        }
        read_ahead.advance(read_ahead.len() - left);
        read_ahead.extend_from_slice(rest);
        if !read_ahead.is_empty() {
            self.read_ahead = read_ahead;
        }
    }

    /// Ends a turn. `came`: the stream had bytes.
    pub(crate) fn end_turn(&mut self, came: bool, may_have_more: bool, now: Instant) {
        if came {
            self.keepalive.received(now);
        }
        if !may_have_more && let Some(why) = self.broken.take() {
            self.end(CloseReason::TransportError(why));
        }
    }

    /// Queues a control message or an id.
    #[cold]
    #[inline(never)]
    pub(crate) fn send_control(&mut self, text: bool, payload: &[u8], cx: &mut Context<'_>) {
        self.send(text, PayloadRef::copied(payload), Kind::Control, cx);
    }

    /// Queues one message. Returns whether it is to be written now.
    // A part of its callers: it only chooses what to call.
    #[inline(always)]
    pub(crate) fn send(
        &mut self,
        text: bool,
        payload: PayloadRef<'_>,
        kind: Kind,
        cx: &mut Context<'_>,
    ) -> bool {
        let open = self.takes_data();
        if open {
            if self.coding.is_some() {
                self.send_coded(text, payload, kind, cx);
            } else {
                self.out.push_message(self.role, text, payload, kind, cx.pool);
            }
        } else if self.out.keeps() {
            self.send_later(payload, kind, cx);
        }
        open
    }

    /// Returns whether what is sent is queued at once.
    #[inline]
    pub(crate) fn takes_data(&self) -> bool {
        matches!(self.state, State::Open(_)) && self.broken.is_none()
    }

    /// Writes queued bytes for one turn. After an error nothing is written any more, and the session ends when the stream was read
    /// to its end.
    pub(crate) fn flush<W: Write>(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Flushed {
        let mut done = Flushed::default();
        if self.compresses() && self.broken.is_none() {
            self.compress_waiting(cx);
        }
        while self.broken.is_none() {
            if self.late.is_some() && !self.push_late(stream, &mut done, cx) {
                break;
            }
            match self.out.flush(stream, WRITE_TURN - done.bytes, cx.pool) {
                Ok(flushed) => done.add(flushed),
                Err(error) => {
                    self.write_failed(&error, cx.pool);
                    break;
                }
            }
            if done.blocked || done.cut_short || self.late.is_none() {
                break;
            }
        }
        if let Some(coding) = &mut self.coding {
            coding.note_left(done.packet_bytes);
            done.cut_short |= !done.blocked && !coding.outbox.is_empty() && self.broken.is_none();
        }
        done
    }

    /// Notes whether bytes wait, and whether the stream has taken some since the last call (`moved`).
    pub(crate) fn note_written(&mut self, moved: bool, waiting: bool, now: Instant) {
        self.keepalive.wrote(moved, waiting && self.broken.is_none(), now);
    }

    /// Notes that nothing can be written any more. What the remote sent before may still be readable: a response, or a TLS alert
    /// with the reason.
    pub(crate) fn write_failed(&mut self, error: &io::Error, pool: &mut Pool) {
        // The next connection of a session writes it again.
        if self.out.keeps() {
            self.send_uncompressed(pool);
        } else {
            self.discard(pool);
        }
        self.broken = Some(lost(error));
        if !matches!(self.state, State::Open(_) | State::AwaitResponse { .. }) {
            self.fail(error);
        }
    }

    /// The messages that a session keeps.
    pub(crate) fn kept(&mut self) -> &mut Writer {
        &mut self.out
    }

    /// Drops the queued bytes.
    pub(crate) fn discard(&mut self, pool: &mut Pool) {
        self.drop_waiting(pool);
        self.out.discard(pool);
    }

    /// Returns when to call [`expire`](Self::expire).
    pub(crate) fn deadline(&self, config: &PeerConfig) -> Option<Instant> {
        match self.state {
            State::Open(_) => {
                let failing = self.failing.as_ref().map(|failing| failing.at);
                earlier(self.keepalive.deadline(config), failing)
            }
            _ => self.deadline,
        }
    }

    /// Handles deadlines that have passed.
    pub(crate) fn expire(&mut self, cx: &mut Context<'_>) {
        if let State::Open(_) = self.state {
            if let Some(failing) = self.failing.take_if(|failing| failing.at <= cx.now) {
                self.violation(failing.violation.code, failing.violation.what, cx);
                return;
            }
            match self.keepalive.due(cx.config, cx.now) {
                Due::Nothing => {}
                Due::Ping(payload) => {
                    self.out.push_control(self.role, Opcode::Ping, &payload, cx.pool);
                }
                Due::SignOfLife => self.owe_ack(false),
                Due::TimedOut(phase) => self.end(CloseReason::TimedOut(phase)),
            }
            return;
        }
        if self.deadline.is_none_or(|deadline| deadline > cx.now) {
            return;
        }
        match &self.state {
            State::AwaitRequest(head) if !head.bytes().is_empty() => {
                self.refuse(&HttpResponse::new(408, "the request took too long"), cx);
                if let State::Draining { outcome, .. } = &mut self.state {
                    *outcome = CloseReason::TimedOut(Phase::Handshake);
                }
            }
            State::AwaitDecision => {
                self.refuse(&HttpResponse::new(503, "the server is busy").retry_after(1), cx);
                if let State::Draining { outcome, .. } = &mut self.state {
                    *outcome = CloseReason::TimedOut(Phase::Handshake);
                }
            }
            State::AwaitCloseReply { .. } => self.end(CloseReason::TimedOut(Phase::Close)),
            _ => self.end(CloseReason::TimedOut(Phase::Handshake)),
        }
    }

    /// Changes the deadline of a handshake that is under way.
    pub(crate) fn move_handshake_deadline(&mut self, deadline: Instant) {
        if matches!(self.state, State::AwaitRequest(_) | State::AwaitResponse { .. }) {
            self.deadline = Some(deadline);
        }
    }

    /// Pauses the heartbeat timeout while the session is not read.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.keepalive.pause(now);
    }

    /// Ends such a pause.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.keepalive.resume(now);
    }

    /// Pings, and gives a silent remote up, at least this fast.
    pub(crate) fn guard(&mut self, interval: Duration, timeout: Duration) {
        self.keepalive.guard(interval, timeout);
    }

    /// Returns whether nothing is read.
    pub(crate) fn is_paused(&self) -> bool {
        self.keepalive.is_paused()
    }

    /// Returns when something was received last.
    pub(crate) fn last_receive(&self) -> Instant {
        self.keepalive.last_receive()
    }

    /// Client: returns what the server says of a session that the client wanted back.
    pub(crate) fn gone(&self) -> Option<Gone> {
        self.gone
    }

    /// Returns the outcome, which is known as soon as no more data is delivered or taken.
    pub(crate) fn outcome(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Draining { outcome, .. } | State::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Returns whether one side has sent its Close, so that no more data is delivered or taken.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::AwaitCloseReply { .. } | State::Draining { .. } | State::Ended(_))
    }

    /// Returns whether the stream can be dropped.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Returns whether writing has failed, so that only reading can find the outcome.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Returns whether bytes wait to be written.
    pub(crate) fn wants_write(&self) -> bool {
        let waits = !self.out.is_empty() || self.compresses();
        waits && self.broken.is_none() && !matches!(self.state, State::Detached)
    }

    /// Returns the number of bytes that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.out.pending()
    }

    /// Returns the bytes that wait because a new connection writes them again.
    pub(crate) fn again(&self) -> usize {
        self.out.again()
    }

    /// Returns how many bytes of the first queued message have left already.
    pub(crate) fn begun(&self) -> usize {
        if self.coding.is_some() { self.out.begun_uncompressed() } else { self.out.begun() }
    }

    /// Sets a heartbeat interval for this connection.
    pub(crate) fn set_heartbeat_interval(&mut self, interval: Duration) {
        self.keepalive.set_interval(interval);
    }

    /// Returns whether bytes were read ahead.
    pub(crate) fn has_read_ahead(&self) -> bool {
        !self.read_ahead.is_empty()
    }

    /// Returns whether a compressed message takes another turn.
    #[inline]
    pub(crate) fn is_inflating(&self) -> bool {
        match &self.state {
            State::Open(reader) => reader.is_inflating(),
            // What came before a Close sent here is not delivered any more.
            _ => false,
        }
    }

    /// The connection is not read for some time: others get what the message that is being inflated has taken.
    pub(crate) fn rest_inflating(&mut self, pool: &mut Pool) {
        if let State::Open(reader) = &mut self.state {
            reader.rest_inflating(pool);
        }
    }

    /// Returns whether the end of a message or frame is missing.
    pub(crate) fn is_within_message(&self) -> bool {
        matches!(&self.state, State::Open(reader) if reader.has_begun())
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.keepalive.rtt()
    }

    /// Returns the number of pings since the last call that came while too many answers waited.
    pub(crate) fn take_unanswered_pings(&mut self) -> usize {
        self.keepalive.take_unanswered_pings()
    }
}

enum Step<'b> {
    Again,
    Wait,
    Incoming(Incoming<'b>),
}
