//! Control messages: what the text messages of a connection are whose ends have agreed on `alive` or on a session (docs/protocol.md).
//!
//! A page cannot send a ping, and does not see one. It asks with `ack?` instead, and the answer `ack N M` also tells how many data
//! messages each end has received and sent, so that neither end mistakes a lost message for one that was never sent. The same
//! numbers tell the ends of a session which messages a new connection has to send again.

use std::io::Write;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reader::{Leeway, TOO_LARGE, Violation};
use super::{Context, Flushed, Incoming, Kind, Role, Room, Session, State, Step, WRITE_TURN};
use crate::base::{CloseFrame, CloseReason, ResumeToken};
use crate::channel::{PayloadRef, PeerShared};
use crate::config::PeerConfig;
use crate::http::resume::number;

/// What a connection with control messages needs.
pub(crate) struct Control {
    /// Counts the data messages.
    shared: Arc<PeerShared>,
    /// What the counters of received and of written messages lack: void numbers, and messages that were written twice.
    received_more: u64,
    written_more: u64,
    /// The messages belong to a session: they are kept until they are acknowledged.
    resumes: bool,
    /// The other end has ended the session.
    is_over: bool,
    /// The Close with which this end has ended it.
    closed: Option<CloseFrame>,
}

/// Answers that wait for a turn of writing.
#[derive(Default)]
pub(super) struct Late {
    /// The payload of the last ping that came while too many answers waited.
    pub(super) ping: Option<Vec<u8>>,
    /// An `ack` is due. It is made when it is written: one answers all questions that came until then.
    pub(super) ack: Option<Due>,
}

/// Why an `ack` is due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Due {
    /// Nobody has asked: it must not be taken for the answer to a question that is still on its way.
    Unasked,
    Asked,
}

/// The first message of a server that gives a client a session, or gives it back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grant {
    /// `session 1 T TIMEOUT`.
    New { token: ResumeToken, timeout: Duration },
    /// `resumed 1 T M`.
    Again { token: ResumeToken, received: u64 },
}

/// Returns the message that tells a client that its text messages are control messages from now on.
pub(crate) fn agreement(config: &PeerConfig) -> String {
    format!("alive 1 {} {}", config.heartbeat_interval.as_millis(), config.heartbeat_timeout.as_millis())
}

impl Grant {
    /// Returns the message.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::New { token, timeout } => format!("session 1 {} {}", token.digits(), timeout.as_millis()),
            Self::Again { token, received } => format!("resumed 1 {} {received}", token.digits()),
        }
    }

    /// Reads the first message of a server; `None`: it is no such message.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(message).ok().filter(|words| words.len() <= LONGEST)?;
        let mut words = words.split(' ');
        let (kind, "1") = (words.next()?, words.next()?) else { return None };
        let (token, count) = (ResumeToken::parse(words.next()?)?, number(words.next()?)?);
        match kind {
            "session" => {
                Some(Self::New { token, timeout: Duration::from_millis(count).min(PeerConfig::RESUME_MAX) })
            }
            "resumed" => Some(Self::Again { token, received: count }),
            _ => None,
        }
    }
}

impl Session {
    /// From now on text is control messages.
    pub(crate) fn agree(&mut self, shared: Arc<PeerShared>, resumes: bool, now: Instant) {
        if resumes {
            self.out.keep();
        }
        self.control = Some(Box::new(Control {
            shared,
            received_more: 0,
            written_more: 0,
            resumes,
            is_over: false,
            closed: None,
        }));
        self.keepalive.sign_from(now);
    }

    /// Returns the count of received messages of a session.
    pub(crate) fn received(&self) -> u64 {
        self.control.as_ref().map_or(0, |control| control.received())
    }

    /// Takes over what belongs to the session from its last transport: counts, and what is to be written. The remote has received `received`
    /// messages, so the next one that is written has the number behind it.
    pub(crate) fn take_over(&mut self, last: &mut Self, received: u64, cx: &mut Context<'_>) {
        last.send_uncompressed(cx.pool);
        self.control = last.control.take();
        self.keepalive.follow(&last.keepalive);
        self.keepalive.sign_from(cx.now);
        let own = mem::replace(&mut self.out, mem::take(&mut last.out));
        self.out.begin_with(own, cx.pool);
        if let Some(control) = &mut self.control {
            control.written_more = received.wrapping_sub(control.shared.figures.packets_out.get());
        }
    }

    /// Lets some messages be larger than others.
    pub(crate) fn read_larger(&mut self, leeway: Leeway) {
        if let State::Open(reader) = &mut self.state {
            reader.leeway = leeway;
        }
    }

    /// Takes the stream from a session. Returns the room of the messages that need none any more.
    pub(crate) fn detach(&mut self, cx: &mut Context<'_>) -> Room {
        let mut detached = Self::detached(self.role, cx.now);
        detached.take_over(self, 0, cx);
        *self = detached;
        self.out.rewind(self.role, cx.pool)
    }

    /// Queues a message of a session for its next connection: this one is gone, or nothing can be written any more. An unreliable one
    /// leaves only its number.
    #[cold]
    #[inline(never)]
    pub(super) fn send_later(&mut self, payload: PayloadRef<'_>, kind: Kind, cx: &mut Context<'_>) {
        let Some(control) =
            self.control.as_ref().filter(|_| matches!(self.state, State::Open(_) | State::Detached))
        else {
            return;
        };
        if kind == Kind::Unreliable {
            control.shared.outgoing.release(payload.len(), 1);
            self.out.push_void(self.role, cx.pool);
        } else {
            self.out.push_message(self.role, false, payload, kind, cx.pool);
        }
    }

    /// Sends that this end ends the session, if the code of its Close alone would say the opposite.
    pub(super) fn say_end(&mut self, code: u16, cx: &mut Context<'_>) {
        if is_lost_with(code, self.role) && self.control.as_ref().is_some_and(|control| control.resumes) {
            self.send_uncompressed(cx.pool);
            self.out.push_message(
                self.role,
                true,
                PayloadRef::copied(END.as_bytes()),
                Kind::Control,
                cx.pool,
            );
        }
    }

    /// Remembers the Close with which this end ends the session. Its connection can be lost before the other end has read it.
    pub(super) fn note_close(&mut self, frame: &CloseFrame) {
        if let Some(control) = self.control.as_mut().filter(|control| control.resumes) {
            control.closed = Some(frame.clone());
        }
    }

    /// Returns how this end has ended the session, if it has sent a Close.
    pub(crate) fn own_end(&self) -> Option<CloseReason> {
        self.control.as_ref()?.closed.as_ref().map(CloseReason::closed_by_us)
    }

    /// Returns whether the other end has ended the session, whatever the code of its Close is.
    pub(crate) fn is_over(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.is_over)
    }

    /// Handles a control message.
    #[cold]
    #[inline(never)]
    pub(super) fn control_message<'b>(&mut self, message: &[u8], cx: &mut Context<'_>) -> Step<'b> {
        let broken = self.broken.is_some();
        let Some(control) = &mut self.control else { return Step::Again };
        let words = std::str::from_utf8(message).unwrap_or_default();
        let (word, counts) = words.split_once(' ').unwrap_or((words, ""));
        let result = match word {
            _ if message.len() > LONGEST => Err(Violation {
                code: TOO_LARGE,
                what: format!("a control message (text) of {} bytes; {LONGEST} are allowed", message.len()),
            }),
            "ack?" => {
                self.owe_ack(true);
                return Step::Incoming(Incoming::AckWanted);
            }
            // A write that has failed is not counted, though a part of it may have arrived.
            "ack" if broken => Ok(None),
            "ack" => control.check(counts).map(|received| control.resumes.then_some(received)),
            "skip" if control.resumes => control.skipped(counts).map(|()| None),
            END => {
                control.is_over = true;
                Ok(None)
            }
            // A later version may have more of them.
            _ => Ok(None),
        };
        match result {
            Ok(Some(received)) => return Step::Incoming(Incoming::Acknowledged(received)),
            Ok(None) => {}
            Err(violation) => self.violated(violation, cx),
        }
        Step::Again
    }

    /// Makes the next turn of writing begin with an `ack`.
    pub(crate) fn owe_ack(&mut self, asked: bool) {
        let due = if asked { Due::Asked } else { Due::Unasked };
        let ack = &mut self.late.get_or_insert_default().ack;
        *ack = (*ack).max(Some(due));
    }

    /// Returns whether an `ack` waits for a turn of writing.
    pub(crate) fn owes_ack(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.ack.is_some())
    }

    /// Queues the answers that wait. Returns false if one has to wait on.
    #[cold]
    #[inline(never)]
    pub(super) fn push_late(
        &mut self,
        stream: &mut dyn Write,
        done: &mut Flushed,
        cx: &mut Context<'_>,
    ) -> bool {
        // After a Close nothing is answered.
        if !matches!(self.state, State::Open(_)) || self.broken.is_some() {
            self.late = None;
            return true;
        }
        self.push_late_pong(cx);
        if let Some(due) = self.late.as_ref().and_then(|late| late.ack) {
            if !self.write_to_boundary(stream, done, cx) {
                return false;
            }
            if let Some(control) = &self.control {
                self.out.push_first(self.role, &control.ack(done.packets, due), cx.pool);
            }
            self.late.take_if(|late| {
                late.ack = None;
                late.ping.is_none()
            });
        }
        true
    }

    /// Writes what leaves before an `ack`: the frame that has begun, and other answers. The data behind it can wait, however much
    /// it is. Returns whether all of that has left.
    fn write_to_boundary(
        &mut self,
        mut stream: &mut dyn Write,
        done: &mut Flushed,
        cx: &mut Context<'_>,
    ) -> bool {
        let before = self.out.before_data();
        let turn = before.min(WRITE_TURN - done.bytes);
        match self.out.flush(&mut stream, turn, cx.pool) {
            Ok(flushed) => done.add(flushed),
            Err(error) => {
                self.write_failed(&error, cx.pool);
                return false;
            }
        }
        done.cut_short = turn < before;
        !done.blocked && !done.cut_short
    }
}

impl Control {
    pub(super) fn resumes(&self) -> bool {
        self.resumes
    }

    fn received(&self) -> u64 {
        self.shared.figures.packets_in.get().wrapping_add(self.received_more)
    }

    fn written(&self) -> u64 {
        self.shared.figures.packets_out.get().wrapping_add(self.written_more)
    }

    /// Returns an `ack`. `leaving`: data messages that were written since the last count.
    fn ack(&self, leaving: usize, due: Due) -> String {
        let mark = if due == Due::Asked { "" } else { " unasked" };
        format!("ack {} {}{mark}", self.received(), self.written() + leaving as u64)
    }

    /// Compares what the other end has counted with what was counted here. Returns how many messages it has received.
    fn check(&self, counts: &str) -> Result<u64, Violation> {
        let error = |what| Violation { code: 1002, what };
        let mut counts = counts.split(' ').map(number);
        let (Some(Some(received)), Some(Some(sent))) = (counts.next(), counts.next()) else {
            return Err(error("an ack without two numbers".to_owned()));
        };
        let (came, left) = (self.received(), self.written());
        if received > left {
            return Err(error(format!("it acknowledges {received} messages, and {left} were sent")));
        }
        if sent != came {
            return Err(error(format!(
                "it has sent {sent} messages, and {came} were received: some were lost on the way"
            )));
        }
        Ok(received)
    }

    /// The next numbers are void.
    fn skipped(&mut self, count: &str) -> Result<(), Violation> {
        match number(count).and_then(|count| self.received().checked_add(count)) {
            Some(_) => {
                self.received_more = self.received_more.wrapping_add(number(count).unwrap_or_default())
            }
            None => return Err(Violation { code: 1002, what: "a skip without a number".to_owned() }),
        }
        Ok(())
    }
}

/// Returns whether the sender of a Close with this code has lost its connection only. Gateways in front of a server that goes on send
/// Service Restart and Bad Gateway. A page cannot drop a connection without a Close, and sends 3012.
pub(crate) fn is_lost_with(code: u16, sender: Role) -> bool {
    matches!(code, 1012 | 1014) || code == 3012 && sender == Role::Client
}

/// The control message before a Close that ends the session although a gateway could have sent it.
const END: &str = "end";
/// The longest control message.
pub(crate) const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_it_was_written() {
        let token = ResumeToken::random();
        for grant in [
            Grant::New { token, timeout: Duration::from_secs(20) },
            Grant::Again { token, received: u64::MAX },
        ] {
            let words = grant.words();
            let read = Grant::parse(words.as_bytes()).expect("it is one");
            assert_eq!(read.words(), words);
            // A later version may add words.
            assert_eq!(Grant::parse(format!("{words} more").as_bytes()).expect("it is one").words(), words);
            for wrong in [&words[..words.len() - 60], &words.replacen('1', "2", 1), &words.replace(' ', "  ")]
            {
                assert!(Grant::parse(wrong.as_bytes()).is_none(), "{wrong}");
            }
        }
        assert!(Grant::parse(b"alive 1 20000 60000").is_none() && Grant::parse(b"\xff").is_none());
    }
}
