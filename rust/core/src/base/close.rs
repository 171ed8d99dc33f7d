//! How a connection ends.

use std::fmt;

use super::ConfigError;

/// Why a connection ended, or never came to be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides exchanged Close frames, or this side closed on purpose.
    Closed {
        /// Who sent the first Close.
        by: Side,
        /// The code of the remote's Close frame, else of the one sent here.
        code: u16,
        /// The reason of that frame.
        reason: String,
    },
    /// A deadline passed.
    TimedOut(Phase),
    /// The remote broke RFC 6455 or the multiplayer wire format.
    Violation(String),
    /// The upgrade was refused, by this side or by the remote.
    Refused(String),
    /// The transport ended without a close handshake.
    TransportError(String),
    /// A client left before it sent a request: a probe, or a browser's spare connection.
    NoRequest,
    /// A client left before its request was answered.
    LeftEarly,
    /// The remote did not take its packets fast enough.
    Overflow,
    /// The game closed it without a close handshake.
    Aborted,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// This end.
    Local,
    /// The other end.
    Remote,
}

/// What a deadline waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Name look-up, TCP, TLS, HTTP or the id message.
    Handshake,
    /// Any data from the remote.
    Heartbeat,
    /// The remote takes data.
    Write,
    /// The answer to a Close.
    Close,
}

impl CloseReason {
    /// This end closes the connection with a frame.
    pub(crate) fn closed_by_us(frame: &CloseFrame) -> Self {
        Self::Closed { by: Side::Local, code: frame.code, reason: frame.reason.clone() }
    }

    /// Returns whether a close handshake took place.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Returns the close code of a frame, or -1.
    pub fn code(&self) -> i32 {
        match self {
            Self::Closed { code, .. } => i32::from(*code),
            _ => -1,
        }
    }

    /// Returns the reason of a Close frame, or an empty string.
    pub fn text(&self) -> &str {
        match self {
            Self::Closed { reason, .. } => reason,
            _ => "",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { by, code, reason } => {
                let who = match by {
                    Side::Local => "closed here",
                    Side::Remote => "closed by the remote",
                };
                write!(f, "{who} with code {code}")?;
                if !reason.is_empty() {
                    write!(f, " ({})", reason.escape_debug())?;
                }
                if *by == Side::Remote && *code == 1009 && !reason.contains(MESSAGE_LIMIT) {
                    f.write_str(TOO_LARGE_THERE)?;
                }
                Ok(())
            }
            Self::TimedOut(Phase::Handshake) => f.write_str("the handshake timed out"),
            Self::TimedOut(Phase::Heartbeat) => f.write_str("nothing was received within heartbeat_timeout"),
            Self::TimedOut(Phase::Write) => f.write_str("the remote accepted no data within write_timeout"),
            Self::TimedOut(Phase::Close) => {
                f.write_str("the remote did not answer the close within close_timeout")
            }
            Self::Violation(what) => write!(f, "protocol violation: {what}"),
            Self::Refused(what) | Self::TransportError(what) => f.write_str(what),
            Self::NoRequest => f.write_str("closed before it sent a request"),
            Self::LeftEarly => f.write_str("the client left before it was answered"),
            Self::Overflow => f.write_str("the remote did not take its packets fast enough"),
            Self::Aborted => f.write_str("dropped by the game"),
        }
    }
}

/// The setting behind close code 1009. The reason that this library sends names it.
pub(crate) const MESSAGE_LIMIT: &str = "max_message_size_kb";

/// Explains close code 1009 of remotes that do not name a setting.
const TOO_LARGE_THERE: &str = ": a message was larger than the remote accepts; raise the remote's limit (inbound_buffer_size \
    in the engine's class), or send less at once";

/// Bytes of the reason of a Close (RFC 6455 section 5.5).
pub(crate) const LONGEST_REASON: usize = 123;

/// A checked Close frame that may be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseFrame {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl CloseFrame {
    /// Checks code and reason.
    ///
    /// # Errors
    /// [`ConfigError::Close`] for a code outside 1000..=4999, one that may not be sent (1004..=1006, 1015), or a reason
    /// of more than 123 bytes (RFC 6455 sections 5.5 and 7.4).
    pub fn new(code: i64, reason: &str) -> Result<Self, ConfigError> {
        let why = match code {
            1004..=1006 | 1015 => "it is reserved and never sent",
            1000..=4999 if reason.len() > LONGEST_REASON => "the reason is longer than 123 bytes of UTF-8",
            1000..=4999 => return Ok(Self { code: code as u16, reason: reason.to_owned() }),
            _ => "it must be between 1000 and 4999",
        };
        Err(ConfigError::Close { code, why })
    }

    /// Returns code 1000 without a reason.
    pub fn normal() -> Self {
        Self { code: 1000, reason: String::new() }
    }

    /// Returns code 1001: a server shuts down.
    pub fn going_away() -> Self {
        Self { code: 1001, reason: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_frames_are_checked() {
        for code in [1000, 1001, 1013, 3000, 4999] {
            assert!(CloseFrame::new(code, "bye").is_ok(), "{code}");
        }
        for code in [-1, 0, 999, 1004, 1005, 1006, 1015, 5000, 70_000] {
            assert!(CloseFrame::new(code, "").is_err(), "{code}");
        }
        assert!(CloseFrame::new(1000, &"x".repeat(123)).is_ok());
        assert!(CloseFrame::new(1000, &"ä".repeat(62)).is_err());
    }

    #[test]
    fn a_remote_that_takes_no_message_that_large_is_explained() {
        let closed =
            |by, reason: &str| CloseReason::Closed { by, code: 1009, reason: reason.into() }.to_string();
        let foreign = closed(Side::Remote, "");
        assert!(foreign.contains("1009") && foreign.contains("inbound_buffer_size"), "{foreign}");
        let ours = closed(Side::Remote, "raise its max_message_size_kb");
        assert_eq!(ours, "closed by the remote with code 1009 (raise its max_message_size_kb)");
        assert_eq!(closed(Side::Local, ""), "closed here with code 1009", "the game's own choice");
    }

    #[test]
    fn reasons_escape_what_the_remote_sent() {
        let reason = CloseReason::Closed { by: Side::Remote, code: 4000, reason: "a\nb".into() };
        assert_eq!(reason.to_string(), "closed by the remote with code 4000 (a\\nb)");
    }
}
