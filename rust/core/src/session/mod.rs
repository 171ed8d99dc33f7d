//! One connection, either role, over any stream: the HTTP upgrade, messages, keepalive and the closing handshake.
//!
//! A session owns no socket and reads no clock. Its caller hands it a [`ReadBurst`] when the stream is readable, a stream to
//! write to when there is something to [`flush`](Session::flush), and the time.
//!
//! ```text
//!  server: AwaitRequest -> AwaitVerdict -+-> Open --+--> AwaitCloseReply --+
//!  client: AwaitResponse ----------------+     |    |  we sent Close       |
//!               |                              |    +----------------------+--> Draining --> Ended
//!               +---- refused, timed out ------+--- remote closed, violation -->   |  last bytes leave, input is
//!                                                                                  |  thrown away until the end
//! ```

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod burst;
pub(crate) mod frame;
mod keepalive;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod upgrade;
mod writer;

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::base::{CloseFrame, CloseReason, LONGEST_REASON, Phase};
use crate::config::PeerConfig;
use crate::http::{Head, HttpResponse, Offer, Refused, Request, Url};
pub(crate) use burst::{ReadBurst, Received};
use frame::Opcode;
use keepalive::{Due, Keepalive};
use reader::{Reader, TOO_LARGE, Violation};
use writer::Writer;
pub(crate) use writer::{Body, Flushed, Pool, WRITE_TURN};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It dialled.
    Client,
}

/// What a session may use while it works.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a PeerConfig,
    pub(crate) pool: &'a mut Pool,
    pub(crate) now: Instant,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming<'b> {
    /// Server: a valid request that waits for [`Session::accept`] or [`Session::refuse`].
    Request(Box<Request>),
    /// Client: the connection is open.
    Opened { protocol: String },
    /// A whole message.
    Message { payload: Received<'b>, text: bool },
    /// The remote sent the first Close; 1005 when it named no code (RFC 6455 section 7.1.5).
    CloseRequested { code: u16, reason: String },
}

/// A whole message that is kept.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) payload: Bytes,
    pub(crate) text: bool,
}

/// One connection.
pub(crate) struct Session {
    role: Role,
    state: State,
    out: Writer,
    /// Read from the stream and not used yet: what came behind a message that waits, or too early.
    read_ahead: BytesMut,
    keepalive: Keepalive,
    /// Server: the request was HEAD, and whatever it is answered has no body.
    wants_head_only: bool,
    /// Of the state; `Open` has those of `keepalive`.
    deadline: Option<Instant>,
    /// When the last message came.
    last_message: Option<Instant>,
    /// A violation right behind a message: told to the remote when the game has had the time to answer that message.
    failing: Option<Failing>,
    /// Why nothing can be written any more; what the remote said before may still be readable, its Close above all.
    broken: Option<String>,
}

enum State {
    AwaitRequest(Head),
    AwaitVerdict,
    AwaitResponse { offer: Box<Offer>, head: Head, interim: usize },
    Refused(Box<Refused>),
    Open(Reader),
    AwaitCloseReply { reader: Reader, sent: CloseFrame },
    Draining { outcome: CloseReason, half_close: HalfClose },
    Ended(CloseReason),
}

/// A violation that is not acted on yet.
struct Failing {
    at: Instant,
    violation: Violation,
}

/// Whether our side of the stream ends before the remote's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HalfClose {
    Never,
    Wanted,
    Done,
}

impl Session {
    /// A connection that was accepted; `deadline` is the end of its handshake.
    pub(crate) fn server(now: Instant, deadline: Option<Instant>) -> Self {
        Self::new(Role::Server, State::AwaitRequest(Head::default()), now, deadline)
    }

    /// A connection that was dialled: queues the request.
    pub(crate) fn client(
        url: &Url,
        protocols: &[String],
        headers: &[String],
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Self {
        let offer = Box::new(Offer::new(url, protocols, headers));
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

    fn new(role: Role, state: State, now: Instant, deadline: Option<Instant>) -> Self {
        Self {
            role,
            state,
            out: Writer::default(),
            read_ahead: BytesMut::new(),
            keepalive: Keepalive::new(now),
            wants_head_only: false,
            deadline,
            last_message: None,
            failing: None,
            broken: None,
        }
    }

    /// Reads on until something came in; `None` when the burst has no more or the session does not want any.
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
                State::AwaitVerdict => self.watch(burst),
                State::Ended(_) => Step::Wait,
            };
            match step {
                Step::Again => {}
                Step::Wait => return None,
                Step::Incoming(incoming) => return Some(incoming),
            }
        }
    }

    /// What earlier turns read and nobody used; [`keep`](Self::keep) takes back what is left of it.
    pub(crate) fn take_read_ahead(&mut self) -> BytesMut {
        mem::take(&mut self.read_ahead)
    }

    /// Keeps bytes for a later turn: the last `left` of what was read ahead, and those of the turn at hand that nobody used.
    pub(crate) fn keep(&mut self, mut read_ahead: BytesMut, left: usize, rest: &[u8]) {
        // What comes behind the end is thrown away.
        if self.outcome().is_some() {
            return;
        }
        read_ahead.advance(read_ahead.len() - left);
        read_ahead.extend_from_slice(rest);
        if !read_ahead.is_empty() {
            self.read_ahead = read_ahead;
        }
    }

    /// Ends a turn that took so many bytes from the stream, which may have more or not.
    pub(crate) fn end_turn(&mut self, taken: usize, may_have_more: bool, now: Instant) {
        if taken > 0 {
            self.keepalive.received(now);
        }
        if !may_have_more && let Some(why) = self.broken.take() {
            self.end(CloseReason::Lost(why));
        }
    }

    /// Queues one data message; false when the connection does not take data any more.
    pub(crate) fn send(
        &mut self,
        text: bool,
        prefix: &[u8],
        body: Body<'_>,
        charge: Option<u32>,
        cx: &mut Context<'_>,
    ) -> bool {
        let open = matches!(self.state, State::Open(_)) && self.broken.is_none();
        if open {
            self.out.push_message(self.role, text, prefix, body, charge, cx.pool);
        }
        open
    }

    /// Starts the closing handshake behind everything that is queued (RFC 6455 section 7.1.2).
    pub(crate) fn close(&mut self, frame: CloseFrame, cx: &mut Context<'_>) {
        if let Some(Failing { violation, .. }) = self.failing.take() {
            // Behind a violation no answer would be understood.
            self.abandon(&frame, CloseReason::Violation(violation.what), cx);
            return;
        }
        match &mut self.state {
            State::Open(reader) => {
                let mut reader = mem::take(reader);
                // The remote may still be sending; the game has said that it does not care (section 1.4).
                reader.discard();
                self.push_close(Some(frame.code), &frame.reason, cx);
                self.deadline = cx.now.checked_add(cx.config.close_timeout);
                self.state = State::AwaitCloseReply { reader, sent: frame };
            }
            State::AwaitRequest(_) | State::AwaitVerdict => {
                self.refuse(&HttpResponse::new(503, "the server is closing"), cx);
            }
            State::AwaitResponse { .. } | State::Refused(_) => self.end(CloseReason::Forced),
            State::AwaitCloseReply { .. } | State::Draining { .. } | State::Ended(_) => {}
        }
    }

    /// Sends a Close behind what is queued and does not wait for the answer.
    pub(crate) fn abandon(&mut self, frame: &CloseFrame, outcome: CloseReason, cx: &mut Context<'_>) {
        match self.state {
            State::Open(_) => {
                self.push_close(Some(frame.code), &frame.reason, cx);
                self.drain(outcome, HalfClose::Wanted, cx);
            }
            State::AwaitCloseReply { .. } => self.drain(outcome, HalfClose::Wanted, cx),
            State::Draining { .. } | State::Ended(_) => {}
            _ => self.end(outcome),
        }
    }

    /// Drops what waits but the frame under way, and closes with 1013 (try again later). Returns (packets, bytes) dropped.
    pub(crate) fn overflow(&mut self, cx: &mut Context<'_>) -> (usize, usize) {
        let dropped = self.out.drop_unsent(cx.pool);
        self.abandon(&CloseFrame { code: 1013, reason: "too slow".into() }, CloseReason::Overflow, cx);
        dropped
    }

    /// Ends at once: the stream is gone.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        let reason = match &mut self.state {
            State::Ended(_) => return,
            State::Draining { outcome, .. } => outcome.clone(),
            // However it ends: this is why.
            State::Refused(refused) => CloseReason::Refused(refused.words()),
            _ => reason,
        };
        self.state = State::Ended(reason);
        self.deadline = None;
    }

    /// Ends because the stream failed.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        self.end(CloseReason::Lost(lost(error)));
    }

    /// Writes what is queued, one turn of it. After an error nothing is written any more, and the session ends when it was read to its end.
    pub(crate) fn flush<W: Write>(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Flushed {
        let mut done = Flushed::default();
        loop {
            match self.out.flush(stream, WRITE_TURN - done.bytes, cx.pool) {
                Ok(flushed) => {
                    done.bytes += flushed.bytes;
                    done.packets += flushed.packets;
                    done.packet_bytes += flushed.packet_bytes;
                    done.blocked = flushed.blocked;
                    done.cut_short = flushed.cut_short;
                }
                Err(error) => {
                    self.write_failed(&error, cx.pool);
                    return done;
                }
            }
            if done.blocked || done.cut_short || !self.push_late_pong(cx) {
                break;
            }
        }
        done
    }

    /// Follows whether the stream takes what waits (`moved`: it took some since the last call).
    pub(crate) fn note_written(&mut self, moved: bool, waiting: bool, now: Instant) {
        self.keepalive.wrote(moved, waiting && self.broken.is_none(), now);
    }

    /// Takes it that nothing can be written any more. What a server said before it left may still be readable: an alert of TLS that
    /// says why, or an answer.
    pub(crate) fn write_failed(&mut self, error: &io::Error, pool: &mut Pool) {
        self.discard(pool);
        self.broken = Some(lost(error));
        if !matches!(self.state, State::Open(_) | State::AwaitResponse { .. }) {
            self.fail(error);
        }
    }

    /// Drops what waits to be written.
    pub(crate) fn discard(&mut self, pool: &mut Pool) {
        self.out.discard(pool);
    }

    /// Says whether everything has left and our side of the stream should end.
    pub(crate) fn wants_half_close(&self) -> bool {
        matches!(self.state, State::Draining { half_close: HalfClose::Wanted, .. }) && self.out.pending() == 0
    }

    /// Says once that our side of the stream should end now: everything has left, and the remote is to see it whole.
    pub(crate) fn take_half_close(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Draining { half_close: half_close @ HalfClose::Wanted, .. } if self.out.pending() == 0 => {
                *half_close = HalfClose::Done;
                let linger = now + LINGER;
                self.deadline = Some(self.deadline.map_or(linger, |deadline| deadline.min(linger)));
                true
            }
            _ => false,
        }
    }

    /// When [`expire`](Self::expire) wants to be called.
    pub(crate) fn deadline(&self, config: &PeerConfig) -> Option<Instant> {
        match self.state {
            State::Open(_) => {
                let failing = self.failing.as_ref().map(|failing| failing.at);
                [self.keepalive.deadline(config), failing].into_iter().flatten().min()
            }
            _ => self.deadline,
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, cx: &mut Context<'_>) {
        if let State::Open(_) = self.state {
            if let Some(failing) = self.failing.take_if(|failing| failing.at <= cx.now) {
                self.violation(failing.violation.code, failing.violation.what, cx);
                return;
            }
            match self.keepalive.due(cx.config, cx.now) {
                Due::Nothing => {}
                Due::Ping(payload) => self.out.push_control(self.role, Opcode::Ping, &payload, cx.pool),
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
            State::AwaitVerdict => {
                self.refuse(&HttpResponse::new(503, "the server is busy").retry_after(1), cx);
                if let State::Draining { outcome, .. } = &mut self.state {
                    *outcome = CloseReason::TimedOut(Phase::Handshake);
                }
            }
            State::AwaitCloseReply { .. } => self.end(CloseReason::TimedOut(Phase::Close)),
            _ => self.end(CloseReason::TimedOut(Phase::Handshake)),
        }
    }

    /// Gives a handshake that is under way more or less time.
    pub(crate) fn move_handshake_deadline(&mut self, deadline: Instant) {
        if matches!(self.state, State::AwaitRequest(_) | State::AwaitResponse { .. }) {
            self.deadline = Some(deadline);
        }
    }

    /// Stops the clock that measures the remote's silence.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.keepalive.pause(now);
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.keepalive.resume(now);
    }

    /// How it ended, known as soon as nothing more will be delivered or taken.
    pub(crate) fn outcome(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Draining { outcome, .. } | State::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Says whether data is neither delivered nor taken any more: one side has said its last.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::AwaitCloseReply { .. } | State::Draining { .. } | State::Ended(_))
    }

    /// Says whether the stream can be dropped.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Says whether writing has failed, so that only reading can tell how it ends.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Says whether bytes wait to be written.
    pub(crate) fn wants_write(&self) -> bool {
        self.out.pending() > 0
    }

    /// Bytes that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.out.pending()
    }

    /// Bytes of the frame under way that have left already.
    pub(crate) fn begun(&self) -> usize {
        self.out.begun()
    }

    /// Gives this connection a heartbeat interval of its own.
    pub(crate) fn set_heartbeat_interval(&mut self, interval: Duration) {
        self.keepalive.set_interval(interval);
    }

    /// Says whether bytes that were read already wait to be used.
    pub(crate) fn has_read_ahead(&self) -> bool {
        !self.read_ahead.is_empty()
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.keepalive.rtt()
    }

    /// Pings since the last call that came while too many answers waited.
    pub(crate) fn take_unanswered_pings(&mut self) -> usize {
        self.keepalive.take_unanswered_pings()
    }

    /// Fails the connection (section 7.1.7).
    pub(crate) fn violation(&mut self, code: u16, what: String, cx: &mut Context<'_>) {
        if matches!(self.state, State::Open(_)) {
            // Only this one is for the people at the other end to put right, by a setting or a smaller message.
            let reason =
                if code == TOO_LARGE { &what[..what.floor_char_boundary(LONGEST_REASON)] } else { "" };
            self.push_close(Some(code), reason, cx);
        }
        self.drain(CloseReason::Violation(what), HalfClose::Wanted, cx);
    }

    #[inline(never)]
    fn throw_away<'b>(&mut self, burst: &mut ReadBurst<'b>) -> Step<'b> {
        if burst.skip() {
            return Step::Wait;
        }
        // What we still have to say may be read by a remote that only ended its own side.
        if self.out.pending() == 0
            || matches!(self.state, State::Draining { half_close: HalfClose::Never, .. })
        {
            self.end(CloseReason::Forced);
        }
        Step::Wait
    }

    fn failed<'b>(&mut self, error: &io::Error) -> Step<'b> {
        match (&self.state, error.kind()) {
            // Of the rules of TLS, by a remote that has shown that it knows them.
            (State::Open(_) | State::AwaitCloseReply { .. }, ErrorKind::InvalidData) => {
                self.end(CloseReason::Violation(lost(error)));
            }
            _ => self.fail(error),
        }
        Step::Wait
    }

    fn drain(&mut self, outcome: CloseReason, half_close: HalfClose, cx: &Context<'_>) {
        self.state = State::Draining { outcome, half_close };
        self.read_ahead = BytesMut::new();
        self.deadline = cx.now.checked_add(cx.config.close_timeout);
    }

    fn push_close(&mut self, code: Option<u16>, reason: &str, cx: &mut Context<'_>) {
        let code = code.map(u16::to_be_bytes);
        let payload = [code.as_ref().map_or(&[][..], |code| code), reason.as_bytes()].concat();
        self.out.push_control(self.role, Opcode::Close, &payload, cx.pool);
    }
}

enum Step<'b> {
    Again,
    Wait,
    Incoming(Incoming<'b>),
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset => "the remote reset the connection".into(),
        ErrorKind::BrokenPipe => "the remote is gone".into(),
        // In words already: TLS.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => error.to_string(),
        _ => format!("the connection was lost: {error}"),
    }
}

/// How long a remote may take to end its side after we ended ours.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
