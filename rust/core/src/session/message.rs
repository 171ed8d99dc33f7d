//! Messages: what the frames of an open connection are, and what is wrong with them.

use std::io::{ErrorKind, Read};
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::CloseFrame as WireCloseFrame;
use tungstenite::protocol::frame::coding::Control;
use tungstenite::{Error as WireError, Message as WireMessage};

use super::assembly::Look;
use super::pipe::Pipe;
use super::{Context, Failing, HalfClose, Incoming, Message, Role, Session, State, Step, Turn};
use crate::error::{CloseReason, Side};

impl Session {
    /// Reads on until a message is whole.
    pub(super) fn read_message<S: Read>(&mut self, turn: &mut Turn<'_, S>, cx: &mut Context<'_>) -> Step {
        let max_message = cx.config.max_message();
        let mut unlimited = usize::MAX;
        let (reader, left, closing) = match &mut self.state {
            State::Open(assembly) => {
                match assembly.look(turn, self.role, max_message) {
                    Ok(Look::Message { size, text }) => {
                        if text && std::str::from_utf8(turn.front(size)).is_err() {
                            return self.violated(1007, NOT_UTF8.into(), cx);
                        }
                        self.last_message = Some(cx.now);
                        return Step::Incoming(Incoming::Buffered { size, text });
                    }
                    Ok(Look::Signal { size, ping }) => {
                        let payload = turn.pop_front(size);
                        if ping {
                            self.ping(payload, cx);
                        } else {
                            self.keepalive.pong(payload, cx.now);
                        }
                        return Step::Again;
                    }
                    Ok(Look::Frame) => {}
                    Ok(Look::Ended) => return self.read_failed(WireError::ConnectionClosed, cx),
                    Err(error) => {
                        self.awaits_rest = error.kind() == ErrorKind::WouldBlock;
                        return self.read_failed(error.into(), cx);
                    }
                }
                let (reader, left) = assembly.reader(self.role, max_message);
                (reader, left, false)
            }
            State::AwaitCloseReply { reader, .. } => (&mut **reader, &mut unlimited, true),
            _ => return Step::Wait,
        };
        let mut pipe = Pipe { turn: Some(turn), out: &mut self.out, pool: cx.pool, limit: *left, given: 0 };
        let read = reader.read(&mut pipe);
        *left -= pipe.given;
        let whole = *left == 0;
        // Behind our Close nothing is kept, and all of it has an end soon.
        self.since_message += if closing { 0 } else { pipe.given };
        match read {
            Ok(WireMessage::Binary(payload)) => self.message(payload, false, closing, cx.now),
            Ok(WireMessage::Text(payload)) => self.message(payload.into(), true, closing, cx.now),
            Ok(WireMessage::Close(frame)) => self.close_received(frame, cx),
            // Signs of life behind our Close.
            Ok(WireMessage::Ping(_) | WireMessage::Pong(_) | WireMessage::Frame(_)) => Step::Again,
            // It has all of a fragment.
            Err(WireError::Io(error)) if error.kind() == ErrorKind::WouldBlock && whole => Step::Again,
            Err(error) => self.read_failed(error, cx),
        }
    }

    /// Answers, unless so many answers wait already that a remote seems to send pings and not to read.
    fn ping(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        self.push_late_pong(cx);
        if self.out.controls() < CONTROLS_LIMIT {
            self.out.push_control(self.role, Control::Pong, payload, cx.pool);
        } else {
            self.keepalive.pinged_in_vain(payload);
        }
    }

    /// Answers the last ping that could not be answered, when there is room; says whether it did.
    pub(super) fn push_late_pong(&mut self, cx: &mut Context<'_>) -> bool {
        if self.out.controls() >= CONTROLS_LIMIT || !matches!(self.state, State::Open(_)) {
            return false;
        }
        let Some(payload) = self.keepalive.take_late_ping() else { return false };
        self.out.push_control(self.role, Control::Pong, &payload, cx.pool);
        true
    }

    fn message(&mut self, payload: Bytes, text: bool, closing: bool, now: Instant) -> Step {
        self.since_message = 0;
        self.last_message = Some(now);
        // Behind our Close the remote may still be sending; the game has said that it does not care (section 1.4).
        if closing { Step::Again } else { Step::Incoming(Incoming::Message(Message { payload, text })) }
    }

    fn close_received(&mut self, frame: Option<WireCloseFrame>, cx: &mut Context<'_>) -> Step {
        let (code, reason) = frame.map_or((1005, String::new()), |frame| {
            // 3.6 sends its reasons with the NUL of a C string.
            (frame.code.into(), frame.reason.as_str().trim_end_matches('\0').to_owned())
        });
        match mem::replace(&mut self.state, State::AwaitVerdict) {
            State::Open(assembly) => {
                let mut reader = assembly.into_reader(self.role, cx.config.max_message());
                let mut pipe = Pipe::answering(&mut self.out, cx.pool);
                // Queues the answer; it reports the end of the handshake as an error.
                let _ = reader.flush(&mut pipe);
                let outcome = CloseReason::Closed { by: Side::Remote, code, reason: reason.clone() };
                // The server ends the stream first (section 7.1.1).
                self.drain(
                    outcome,
                    if self.role == Role::Server { HalfClose::Wanted } else { HalfClose::Never },
                    cx,
                );
                Step::Incoming(Incoming::CloseRequested { code, reason })
            }
            State::AwaitCloseReply { sent, .. } => {
                let (code, reason) = if code == 1005 { (sent.code, sent.reason) } else { (code, reason) };
                let outcome = CloseReason::Closed { by: Side::Local, code, reason };
                self.drain(
                    outcome,
                    if self.role == Role::Server { HalfClose::Wanted } else { HalfClose::Never },
                    cx,
                );
                Step::Again
            }
            state => {
                self.state = state;
                Step::Wait
            }
        }
    }

    fn read_failed(&mut self, error: WireError, cx: &mut Context<'_>) -> Step {
        let (code, what) = match error {
            WireError::Io(error) if error.kind() == ErrorKind::WouldBlock => {
                let limit = cx.config.max_message().saturating_mul(2) + OVERHEAD_LIMIT;
                if self.since_message <= limit {
                    return Step::Wait;
                }
                (1008, "a message in too many fragments".to_owned())
            }
            WireError::Io(error) => return self.failed(&error),
            WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | WireError::ConnectionClosed
            | WireError::AlreadyClosed => {
                self.end(CloseReason::Lost("the remote ended the connection without a close frame".into()));
                return Step::Wait;
            }
            WireError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                (TOO_LARGE, too_large(size, max_size))
            }
            WireError::Utf8(_) => (1007, NOT_UTF8.into()),
            other => (1002, other.to_string()),
        };
        self.violated(code, what, cx)
    }

    /// Fails the connection, but not before the game could answer a message that came just before.
    fn violated(&mut self, code: u16, what: String, cx: &mut Context<'_>) -> Step {
        match self.last_message.map(|last| last + ANSWER_TIME).filter(|at| *at > cx.now) {
            Some(at) if matches!(self.state, State::Open(_)) => {
                self.failing = Some(Failing { at, code, what });
            }
            _ => self.violation(code, what, cx),
        }
        Step::Again
    }

    /// Nothing that comes behind a violation is looked at.
    pub(super) fn fail_at_the_end<S: Read>(&mut self, turn: &mut Turn<'_, S>, cx: &mut Context<'_>) -> Step {
        if turn.skip() {
            return Step::Wait;
        }
        if let Some(failing) = self.failing.take() {
            self.violation(failing.code, failing.what, cx);
        }
        Step::Again
    }
}

/// In words for both sides: the remote reads them as the reason of the Close.
fn too_large(size: usize, limit: usize) -> String {
    format!("a message of {size} bytes; the receiver takes {limit} at most: raise its max_message_size_kb")
}

/// The code of a Close because of a message that is too large (RFC 6455 section 7.4.1).
pub(crate) const TOO_LARGE: u16 = 1009;
/// Control frames that may wait because of what the remote sent.
pub(crate) const CONTROLS_LIMIT: usize = 64;
const NOT_UTF8: &str = "a text message that is not UTF-8";
/// Bytes beyond twice the largest message that the fragments of one message may take.
pub(crate) const OVERHEAD_LIMIT: usize = 64 * 1024;
/// How long a game has for the answer to a message with a violation behind it: some frames.
pub(crate) const ANSWER_TIME: Duration = Duration::from_millis(100);
