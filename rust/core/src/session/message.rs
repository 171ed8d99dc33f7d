//! The frames of an open connection: messages, pings, the closing handshake, and violations.

use std::io::ErrorKind;
use std::mem;
use std::time::Duration;

use super::burst::ReadBurst;
use super::frame::Opcode;
use super::reader::{Frame, Violation, may_be_sent};
use super::{Context, Failing, HalfClose, Incoming, Role, Session, State, Step};
use crate::base::{CloseReason, Side};

impl Session {
    /// Reads until a message is complete.
    #[inline]
    pub(super) fn read_message<'b>(&mut self, burst: &mut ReadBurst<'b>, cx: &mut Context<'_>) -> Step<'b> {
        let (reader, open) = match &mut self.state {
            State::Open(reader) => (reader, true),
            State::AwaitCloseReply { reader, .. } => (reader, false),
            _ => return Step::Wait,
        };
        match reader.next(burst, self.role, cx.config.max_message(), cx.pool) {
            Ok(Some(Frame::Message { payload, text: true })) if self.control.is_some() => {
                return self.control_message(payload.bytes(), cx);
            }
            Ok(Some(Frame::Message { payload, text })) => {
                self.last_message = Some(cx.now);
                return Step::Incoming(Incoming::Message { payload, text });
            }
            Ok(Some(Frame::Ping(payload))) if open => self.ping(payload.bytes(), cx),
            Ok(Some(Frame::Pong(payload))) if open => self.keepalive.pong(payload.bytes(), cx.now),
            // Control frames after the Close sent here count only for the heartbeat.
            Ok(Some(Frame::Ping(_) | Frame::Pong(_))) => {}
            Ok(Some(Frame::Close { code, reason })) => return self.close_received(code, reason, cx),
            Ok(Some(Frame::Unfinished)) => return Step::Wait,
            Ok(None) => return self.read_on(burst),
            Err(violation) => self.violated(violation, cx),
        }
        Step::Again
    }

    /// Looks whether the stream ended or failed after the burst.
    #[inline(never)]
    fn read_on<'b>(&mut self, burst: &mut ReadBurst<'b>) -> Step<'b> {
        match burst.fill() {
            Ok([]) => {
                self.end(CloseReason::TransportError(
                    "the remote ended the connection without a close frame".into(),
                ));
                Step::Wait
            }
            Ok(_) => Step::Again,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Wait,
            Err(error) => self.failed(&error),
        }
    }

    /// Answers a ping, unless too many answers wait: such a remote sends pings and does not read. Of the pings that came meanwhile
    /// only the last one is answered (section 5.5.3).
    #[inline]
    fn ping(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        if self.out.controls() >= CONTROLS_LIMIT {
            self.ping_in_vain(payload);
        } else if self.late.is_some() {
            self.ping_after_late(payload, cx);
        } else {
            self.out.push_control(self.role, Opcode::Pong, payload, cx.pool);
        }
    }

    /// Answers a ping behind the one that waits for its answer.
    #[cold]
    fn ping_after_late(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        self.push_late_pong(cx);
        if self.out.controls() < CONTROLS_LIMIT {
            self.out.push_control(self.role, Opcode::Pong, payload, cx.pool);
        } else {
            self.ping_in_vain(payload);
        }
    }

    // Not inlined: it would make reading messages slower.
    #[inline(never)]
    fn ping_in_vain(&mut self, payload: &[u8]) {
        self.keepalive.pinged_in_vain();
        let late = self.late.get_or_insert_default().ping.get_or_insert_default();
        late.clear();
        late.extend_from_slice(payload);
    }

    /// Answers the last ping that was not answered, if there is room.
    #[cold]
    pub(super) fn push_late_pong(&mut self, cx: &mut Context<'_>) {
        if self.out.controls() < CONTROLS_LIMIT
            && let Some(late) = &mut self.late
            && let Some(payload) = late.ping.take()
        {
            self.out.push_control(self.role, Opcode::Pong, &payload, cx.pool);
            self.late.take_if(|late| late.ack.is_none());
        }
    }

    #[cold]
    fn close_received<'b>(&mut self, code: Option<u16>, reason: String, cx: &mut Context<'_>) -> Step<'b> {
        // The server ends the stream first (section 7.1.1).
        let half_close = if self.role == Role::Server { HalfClose::Wanted } else { HalfClose::Never };
        // Godot 3.6 sends reasons with the NUL of a C string.
        let without_nul = |reason: String| reason.trim_end_matches('\0').to_owned();
        match &mut self.state {
            State::Open(_) => {
                let (code, reason) = match code {
                    Some(code) if !may_be_sent(code) => (Some(1002), "Protocol violation".to_owned()),
                    code => (code, reason),
                };
                self.push_close(code, &reason, cx);
                let (code, reason) = (code.unwrap_or(1005), without_nul(reason));
                let outcome = CloseReason::Closed { by: Side::Remote, code, reason: reason.clone() };
                self.drain(outcome, half_close, cx);
                Step::Incoming(Incoming::CloseRequested { code, reason })
            }
            State::AwaitCloseReply { sent, .. } => {
                let (code, reason) = match code {
                    None | Some(1005) => (sent.code, mem::take(&mut sent.reason)),
                    Some(code) => (code, without_nul(reason)),
                };
                self.drain(CloseReason::Closed { by: Side::Local, code, reason }, half_close, cx);
                Step::Again
            }
            _ => Step::Wait,
        }
    }

    /// Fails the connection, after the game had the time to answer a message that came shortly before.
    #[cold]
    pub(super) fn violated(&mut self, violation: Violation, cx: &mut Context<'_>) {
        match self.last_message.map(|last| last + ANSWER_TIME).filter(|at| *at > cx.now) {
            Some(at) if matches!(self.state, State::Open(_)) => {
                self.failing = Some(Failing { at, violation })
            }
            _ => self.violation(violation.code, violation.what, cx),
        }
    }

    /// Drops the bytes after a violation, and fails the connection at the end of the stream.
    #[cold]
    pub(super) fn fail_at_the_end<'b>(
        &mut self,
        burst: &mut ReadBurst<'b>,
        cx: &mut Context<'_>,
    ) -> Step<'b> {
        if burst.skip() {
            return Step::Wait;
        }
        if let Some(Failing { violation, .. }) = self.failing.take() {
            self.violation(violation.code, violation.what, cx);
        }
        Step::Again
    }
}

/// The most answers to control frames that may wait.
pub(crate) const CONTROLS_LIMIT: usize = 64;
/// How long a game may take to answer a message before a violation closes the connection: some frames.
pub(crate) const ANSWER_TIME: Duration = Duration::from_millis(100);
