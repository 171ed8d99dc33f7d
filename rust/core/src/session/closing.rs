//! The end of a connection: the closing handshake, violations, and streams that fail. The outcome is known before the last bytes have left.

use std::io::{self, ErrorKind};
use std::mem;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::burst::ReadBurst;
use super::frame::Opcode;
use super::reader::TOO_LARGE;
use super::{Context, Failing, Session, State, Step};
use crate::base::{CloseFrame, CloseReason, LONGEST_REASON, Side};
use crate::http::HttpResponse;

/// Whether this side of the stream ends before the remote's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HalfClose {
    Never,
    Wanted,
    Done,
}

impl Session {
    /// Starts the closing handshake after everything that is queued (RFC 6455 section 7.1.2).
    pub(crate) fn close(&mut self, frame: CloseFrame, cx: &mut Context<'_>) {
        if let Some(Failing { violation, .. }) = self.failing.take() {
            // After a violation no answer could be read.
            self.close_without_waiting(&frame, CloseReason::Violation(violation.what), cx);
            return;
        }
        match &mut self.state {
            State::Open(reader) => {
                let mut reader = mem::take(reader);
                // The remote may still be sending, and the game takes nothing more (section 1.4).
                reader.discard();
                self.note_close(&frame);
                self.say_end(frame.code, cx);
                self.push_close(Some(frame.code), &frame.reason, cx);
                self.deadline = cx.now.checked_add(cx.config.close_timeout);
                self.state = State::AwaitCloseReply { reader, sent: frame };
            }
            State::AwaitRequest(_) | State::AwaitDecision => {
                self.refuse(&HttpResponse::new(503, "the server is closing"), cx);
            }
            State::AwaitResponse { .. } | State::Refused(_) => self.end(CloseReason::Aborted),
            State::Detached => {
                let CloseFrame { code, reason } = frame;
                self.end(CloseReason::Closed { by: Side::Local, code, reason });
            }
            State::AwaitCloseReply { .. } | State::Draining { .. } | State::Ended(_) => {}
        }
    }

    /// Sends a Close after what is queued, and does not wait for the answer.
    pub(crate) fn close_without_waiting(
        &mut self,
        frame: &CloseFrame,
        outcome: CloseReason,
        cx: &mut Context<'_>,
    ) {
        match self.state {
            State::Open(_) => {
                self.say_end(frame.code, cx);
                self.push_close(Some(frame.code), &frame.reason, cx);
                self.drain(outcome, HalfClose::Wanted, cx);
            }
            State::AwaitCloseReply { .. } => self.drain(outcome, HalfClose::Wanted, cx),
            State::Draining { .. } | State::Ended(_) => {}
            _ => self.end(outcome),
        }
    }

    /// Drops the queue except for a frame that has begun to leave, and closes with 1013 (try again later). Returns the number of
    /// packets and bytes dropped.
    pub(crate) fn overflow(&mut self, cx: &mut Context<'_>) -> (usize, usize) {
        self.send_uncompressed(cx.pool);
        let dropped = self.out.drop_unsent(cx.pool);
        self.close_without_waiting(
            &CloseFrame { code: 1013, reason: "too slow".into() },
            CloseReason::Overflow,
            cx,
        );
        dropped
    }

    /// Ends at once: the stream is gone.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        let reason = match &mut self.state {
            State::Ended(_) => return,
            State::Draining { outcome, .. } => outcome.clone(),
            // The response is the reason, whatever ended the stream.
            State::Refused(refused) => CloseReason::Refused(refused.words()),
            _ => reason,
        };
        self.state = State::Ended(reason);
        self.deadline = None;
    }

    /// Ends because the stream failed.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        self.end(CloseReason::TransportError(lost(error)));
    }

    /// Returns whether everything has left and this side of the stream should end.
    pub(crate) fn wants_half_close(&self) -> bool {
        matches!(self.state, State::Draining { half_close: HalfClose::Wanted, .. }) && self.out.is_empty()
    }

    /// Returns true once when everything has left and this side of the stream should end, so that the remote can read it all.
    pub(crate) fn take_half_close(&mut self) -> bool {
        match &mut self.state {
            State::Draining { half_close: half_close @ HalfClose::Wanted, .. } if self.out.is_empty() => {
                *half_close = HalfClose::Done;
                true
            }
            _ => false,
        }
    }

    /// Waits for the end of the remote's side, but not for long after ours has ended.
    pub(crate) fn linger_from(&mut self, ended: Instant) {
        let linger = ended + LINGER;
        self.deadline = Some(self.deadline.map_or(linger, |deadline| deadline.min(linger)));
    }

    /// Fails the connection (section 7.1.7).
    pub(crate) fn violation(&mut self, code: u16, what: String, cx: &mut Context<'_>) {
        if matches!(self.state, State::Open(_)) {
            // The people at the other end can fix only this violation, by a setting or a smaller message; those who write a page with
            // control messages learn of no other place what was wrong with them.
            let reason = if code == TOO_LARGE || self.control.is_some() {
                &what[..what.floor_char_boundary(LONGEST_REASON)]
            } else {
                ""
            };
            self.push_close(Some(code), reason, cx);
        }
        self.drain(CloseReason::Violation(what), HalfClose::Wanted, cx);
    }

    #[inline(never)]
    pub(super) fn throw_away<'b>(&mut self, burst: &mut ReadBurst<'b>) -> Step<'b> {
        if burst.skip() {
            return Step::Wait;
        }
        // A remote that ended its own side only may still read what is queued.
        if self.out.is_empty() || matches!(self.state, State::Draining { half_close: HalfClose::Never, .. }) {
            self.end(CloseReason::Aborted);
        }
        Step::Wait
    }

    pub(super) fn failed<'b>(&mut self, error: &io::Error) -> Step<'b> {
        let resumes = self.control.as_ref().is_some_and(|control| control.resumes());
        match (&self.state, error.kind()) {
            // A violation of TLS after its handshake. A client that resumes has lost a connection that somebody has damaged.
            (State::Open(_) | State::AwaitCloseReply { .. }, ErrorKind::InvalidData) if !resumes => {
                self.end(CloseReason::Violation(lost(error)));
            }
            _ => self.fail(error),
        }
        Step::Wait
    }

    pub(super) fn drain(&mut self, outcome: CloseReason, half_close: HalfClose, cx: &Context<'_>) {
        self.state = State::Draining { outcome, half_close };
        self.read_ahead = BytesMut::new();
        self.deadline = cx.now.checked_add(cx.config.close_timeout);
    }

    pub(super) fn push_close(&mut self, code: Option<u16>, reason: &str, cx: &mut Context<'_>) {
        let code = code.map(u16::to_be_bytes);
        let payload = [code.as_ref().map_or(&[][..], |code| code), reason.as_bytes()].concat();
        self.send_uncompressed(cx.pool);
        self.out.push_control(self.role, Opcode::Close, &payload, cx.pool);
    }
}

/// Says how the stream was lost.
pub(super) fn lost(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset => "the remote reset the connection".into(),
        ErrorKind::BrokenPipe => "the remote is gone".into(),
        // Errors of TLS are sentences already.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => error.to_string(),
        _ => format!("the connection was lost: {error}"),
    }
}

/// How long a remote may take to end its side after this side ended.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
