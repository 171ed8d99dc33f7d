//! Control messages: what the text messages of a connection are whose client has offered `alive` (docs/protocol.md).
//!
//! A page cannot send a ping, and does not see one. It asks with `ack?` instead, and the answer `ack N M` also tells how many data
//! messages each end has received and sent, so that neither end mistakes a lost message for one that was never sent.

use std::io::Write;
use std::sync::Arc;

use super::reader::{TOO_LARGE, Violation};
use super::{Context, Flushed, Incoming, Session, State, Step, WRITE_TURN};
use crate::channel::PeerShared;
use crate::config::PeerConfig;

/// What a connection with control messages needs.
pub(super) struct Control {
    /// Counts the data messages.
    shared: Arc<PeerShared>,
}

/// Answers that wait for a turn of writing.
#[derive(Default)]
pub(super) struct Late {
    /// The payload of the last ping that came while too many answers waited.
    pub(super) ping: Option<Vec<u8>>,
    /// An `ack` is due. It is made when it is written: one answers all questions that came until then.
    pub(super) ack: bool,
}

/// Returns the message that tells a client that its text messages are control messages from now on.
pub(crate) fn agreement(config: &PeerConfig) -> String {
    format!("alive 1 {} {}", config.heartbeat_interval.as_millis(), config.heartbeat_timeout.as_millis())
}

impl Session {
    /// From now on text is control messages.
    pub(crate) fn agree(&mut self, shared: Arc<PeerShared>) {
        self.control = Some(Box::new(Control { shared }));
    }

    /// Handles a control message.
    #[cold]
    #[inline(never)]
    pub(super) fn control_message<'b>(&mut self, message: &[u8], cx: &mut Context<'_>) -> Step<'b> {
        let Some(control) = &self.control else { return Step::Again };
        let words = std::str::from_utf8(message).unwrap_or_default();
        let result = match words.split_once(' ').map_or((words, ""), |words| words) {
            _ if message.len() > LONGEST => Err(Violation {
                code: TOO_LARGE,
                what: format!("a control message (text) of {} bytes; {LONGEST} are allowed", message.len()),
            }),
            ("ack?", _) => Ok(true),
            // A write that has failed is not counted, though a part of it may have arrived.
            ("ack", _) if self.broken.is_some() => Ok(false),
            ("ack", counts) => {
                control.check(counts).map(|()| false).map_err(|what| Violation { code: 1002, what })
            }
            // A later version may have more of them.
            _ => Ok(false),
        };
        match result {
            Ok(true) => {
                self.owe_ack();
                return Step::Incoming(Incoming::AckWanted);
            }
            Ok(false) => {}
            Err(violation) => self.violated(violation, cx),
        }
        Step::Again
    }

    /// While nothing is read, a page learns that the server is there from an `ack` that it has not asked for.
    pub(super) fn show_life(&mut self) {
        if self.control.is_some() {
            self.owe_ack();
        }
    }

    fn owe_ack(&mut self) {
        self.late.get_or_insert_default().ack = true;
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
        if self.late.as_ref().is_some_and(|late| late.ack) {
            if !self.write_to_boundary(stream, done, cx) {
                return false;
            }
            if let Some(control) = &self.control {
                self.out.push_first(self.role, &control.ack(done.packets), cx.pool);
            }
            self.late.take_if(|late| {
                late.ack = false;
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
    /// Returns an `ack`. `leaving`: data messages that were written since the last count.
    fn ack(&self, leaving: usize) -> String {
        let figures = &self.shared.figures;
        format!("ack {} {}", figures.packets_in.get(), figures.packets_out.get() + leaving as u64)
    }

    /// Compares what the other end has counted with what was counted here; `Err`: what is wrong.
    fn check(&self, counts: &str) -> Result<(), String> {
        let mut counts = counts.split(' ').map(number);
        let (Some(Some(received)), Some(Some(sent))) = (counts.next(), counts.next()) else {
            return Err("an ack without two numbers".to_owned());
        };
        let (came, left) = (self.shared.figures.packets_in.get(), self.shared.figures.packets_out.get());
        if received > left {
            return Err(format!("it acknowledges {received} messages, and {left} were sent"));
        }
        if sent != came {
            return Err(format!(
                "it has sent {sent} messages, and {came} were received: some were lost on the way"
            ));
        }
        Ok(())
    }
}

/// Reads a decimal number without a sign and without leading zeros.
fn number(digits: &str) -> Option<u64> {
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| canonical)
}

/// The longest control message.
pub(crate) const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_one_form() {
        for (digits, value) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(digits), Some(value));
        }
        for wrong in ["", "-1", "+1", "01", "00", "1.0", "0x1", "1e3", " 1", "18446744073709551616", "٣"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
