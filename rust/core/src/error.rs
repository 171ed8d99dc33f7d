//! Errors of calls, and the reasons for which connections end.

use std::fmt::{self, Write as _};
use std::io;

use crate::tls::TlsError;

/// A setting that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value of `set_buffers` out of range.
    #[error("{name} is {value}; it must be between 1 and 1048576")]
    Buffer {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: i64,
    },
    /// A header line that cannot be sent.
    #[error("header line {line:?} cannot be sent: {why}")]
    Header {
        /// The line, shortened.
        line: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A subprotocol that is not a token.
    #[error("subprotocol {0:?} is not a token of letters, digits and !#$%&'*+-.^_`|~")]
    Protocol(String),
    /// An entry of the trusted proxies that is neither an address nor a network.
    #[error("{text:?} is no address or network: {why}")]
    Network {
        /// The entry, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry of the allowed origins that no origin can match.
    #[error("{text:?} is no origin: {why}")]
    Origin {
        /// The entry, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name or a text that cannot be sent.
    #[error("{text:?} cannot be used: {why}")]
    Text {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A URL that cannot be connected to.
    #[error("cannot connect to {url:?}: {why}")]
    Url {
        /// The URL, shortened, without its password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A close code or reason that may not be sent (RFC 6455 section 7.4).
    #[error("cannot close with code {code}: {why}")]
    Close {
        /// The code asked for.
        code: i64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Why `listen` or `connect` did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The object listens or connects already.
    #[error("already open; call close() first")]
    AlreadyOpen,
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another socket has the address.
    #[error("port {port} is already in use on {address}")]
    AddressInUse {
        /// The port asked for.
        port: u16,
        /// The address asked for.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} port {port}: {source}")]
    CannotListen {
        /// The address asked for.
        address: String,
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread, no descriptor, or no memory.
    #[error("cannot start the I/O thread: {0}")]
    System(io::Error),
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no open connection.
    #[error("not connected")]
    NotConnected,
    /// A client's connection has ended; the next poll says so.
    #[error("the connection to the server has ended")]
    Lost,
    /// No peer has this id.
    #[error("there is no peer {0}")]
    UnknownPeer(i32),
    /// Empty packets mean nothing to a `MultiplayerAPI`, and stock peers mishandle them.
    #[error("an empty packet cannot be sent in multiplayer mode")]
    Empty,
    /// The packet can never fit.
    #[error("packet of {size} bytes is larger than {max}, the largest that fits the output buffer")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest that fits.
        max: usize,
    },
    /// The peer, or one of the peers, has no room now, or the whole process has none.
    #[error("the output buffer is full")]
    Full,
    /// The packet is marked as text and is not UTF-8.
    #[error("a text message must be valid UTF-8")]
    NotUtf8,
}

/// Why a connection ended, or never came to be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides exchanged Close frames, or we closed on purpose.
    Closed {
        /// Who sent the first Close.
        by: Side,
        /// The code of the remote's Close frame, else ours.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// A deadline passed.
    TimedOut(Phase),
    /// The remote broke RFC 6455 or the multiplayer wire format.
    Violation(String),
    /// The upgrade was refused, by us or by the remote.
    Refused(String),
    /// The transport ended without a close handshake.
    Lost(String),
    /// The remote did not take its packets fast enough.
    Overflow,
    /// The game forced it.
    Forced,
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
    /// Any sign of life.
    Heartbeat,
    /// Room in the remote's receive window.
    Write,
    /// The answer to a Close.
    Close,
}

impl CloseReason {
    /// Says whether a close handshake took place.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// The close code of a frame, or -1.
    pub fn code(&self) -> i32 {
        match self {
            Self::Closed { code, .. } => i32::from(*code),
            _ => -1,
        }
    }

    /// The reason of a close frame, or nothing.
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
                if *by == Side::Remote && *code == 1009 && !reason.contains("max_message_size_kb") {
                    f.write_str(TOO_LARGE_THERE)?;
                }
                Ok(())
            }
            Self::TimedOut(Phase::Handshake) => f.write_str("the handshake timed out"),
            Self::TimedOut(Phase::Heartbeat) => f.write_str("nothing was received within heartbeat_timeout"),
            Self::TimedOut(Phase::Write) => f.write_str("the remote took no data within write_timeout"),
            Self::TimedOut(Phase::Close) => {
                f.write_str("the remote did not answer the close within close_timeout")
            }
            Self::Violation(what) => write!(f, "protocol violation: {what}"),
            Self::Refused(what) | Self::Lost(what) => f.write_str(what),
            Self::Overflow => f.write_str("the remote did not take its packets fast enough"),
            Self::Forced => f.write_str("dropped by the game"),
        }
    }
}

/// For a remote that says only that a message was too large.
const TOO_LARGE_THERE: &str = ": a message was larger than it takes; raise its limit (in the engine's class \
    inbound_buffer_size) or send less at once";

/// Shows a text of somebody else's in one line: control characters are escaped.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if is_invisible(char) {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

/// Says whether a character moves others around, or ends a line, instead of being shown.
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

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

    /// 1000, no reason.
    pub fn normal() -> Self {
        Self { code: 1000, reason: String::new() }
    }

    /// 1001: a server goes away.
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
    fn what_others_wrote_stays_in_one_line() {
        assert_eq!(Escaped("a\r\nb \u{1b}[31m ü \u{202e}").to_string(), "a\\r\\nb \\u{1b}[31m ü \\u{202e}");
    }

    #[test]
    fn reasons_escape_what_the_remote_sent() {
        let reason = CloseReason::Closed { by: Side::Remote, code: 4000, reason: "a\nb".into() };
        assert_eq!(reason.to_string(), "closed by the remote with code 4000 (a\\nb)");
    }
}
