//! What is wrong with a setting or a packet.

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
    #[error("{text:?} is neither an address nor a network: {why}")]
    Network {
        /// The entry, shortened.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry of the allowed origins that no origin can match.
    #[error("{text:?} is not an origin: {why}")]
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

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no open connection.
    #[error("not connected")]
    NotConnected,
    /// A client's connection has ended; the next poll says so.
    #[error("the connection to the server has ended")]
    ConnectionLost,
    /// No peer has this id.
    #[error("there is no peer {0}")]
    UnknownPeer(i32),
    /// Empty packets mean nothing to a `MultiplayerAPI`, and peers of the engine's class mishandle them.
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
    /// The queue of the peer, or of one of the peers, is full, or all queues of the process together are.
    #[error("the output buffer is full")]
    Full,
    /// The packet is marked as text and is not UTF-8.
    #[error("a text message must be valid UTF-8")]
    NotUtf8,
}
