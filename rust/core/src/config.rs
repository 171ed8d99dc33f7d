//! The configuration of servers and clients.

use std::net::IpAddr;
use std::time::Duration;

use crate::access::network::Network;
use crate::access::origin::OriginPattern;
use crate::base::ConfigError;
use crate::conditions::Conditions;
pub use crate::http::Compression;
use crate::http::{Url, is_token};
use crate::tls::{TlsClient, TlsServer};

/// Queue limits of one connected peer, as `set_buffers` sets them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Buffers {
    /// Bytes received and not yet taken by the game.
    pub input_bytes: usize,
    /// Packets received and not yet taken by the game.
    pub input_packets: usize,
    /// Bytes that wait for a congested peer.
    pub output_bytes: usize,
    /// Packets that wait for a congested peer.
    pub output_packets: usize,
}

impl Buffers {
    /// The largest value that `set_buffers` accepts, in KiB or packets.
    pub const MAX: i64 = 1_048_576;

    /// Rounds each value up to a power of two, as the classes of 3.6 do. Sizes are in KiB.
    ///
    /// # Errors
    /// [`ConfigError::Buffer`] names the first value outside 1..=1048576.
    pub fn rounded(
        input_kb: i64,
        input_packets: i64,
        output_kb: i64,
        output_packets: i64,
    ) -> Result<Self, ConfigError> {
        let round = |name: &'static str, value: i64| {
            if (1..=Self::MAX).contains(&value) {
                Ok((value as usize).next_power_of_two())
            } else {
                Err(ConfigError::Buffer { name, value })
            }
        };
        Ok(Self {
            input_bytes: round("input_buffer_size_kb", input_kb)? * 1024,
            input_packets: round("input_max_packets", input_packets)?,
            output_bytes: round("output_buffer_size_kb", output_kb)? * 1024,
            output_packets: round("output_max_packets", output_packets)?,
        })
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self { input_bytes: 64 * 1024, input_packets: 1024, output_bytes: 64 * 1024, output_packets: 1024 }
    }
}

/// What happens to a peer that does not take its reliable packets fast enough.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OverflowPolicy {
    /// Close it with 1013 after `overflow_grace`. The other peers are not affected.
    #[default]
    Disconnect,
    /// Refuse further packets for this peer until there is room.
    Refuse,
}

/// The format of multiplayer packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WireFormat {
    /// The engine's 4.x class: a message with an id of 4 bytes, then packets without headers.
    #[default]
    Godot4,
    /// The 3.x classes: a header of 9 bytes before each packet.
    Godot3,
}

impl WireFormat {
    /// The number of bytes before each packet.
    pub fn header_len(self) -> usize {
        match self {
            Self::Godot4 => 0,
            Self::Godot3 => 9,
        }
    }
}

/// What the messages of an object are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Packets of a `MultiplayerAPI`.
    Multiplayer(WireFormat),
    /// Text or binary messages.
    Raw,
}

impl Mode {
    /// The number of bytes before each packet.
    pub fn header_len(self) -> usize {
        match self {
            Self::Multiplayer(wire) => wire.header_len(),
            Self::Raw => 0,
        }
    }
}

/// The configuration of both roles.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// Packets of a `MultiplayerAPI`, or raw messages. Cannot be changed while open.
    pub mode: Mode,
    /// Queue limits of each connected peer. Cannot be changed while open.
    pub buffers: Buffers,
    /// The largest received message; `None`: the size of the input buffer. A larger message ends the connection with 1009.
    pub max_message_size: Option<usize>,
    /// What happens to a peer that does not keep up.
    pub overflow_policy: OverflowPolicy,
    /// How long a congested peer may stay above its output limits.
    pub overflow_grace: Duration,
    /// Above this many waiting bytes, unreliable packets to a congested peer are dropped; 0: only those without room.
    pub unreliable_backlog: usize,
    /// The interval of pings; zero: no pings.
    pub heartbeat_interval: Duration,
    /// A peer that sends nothing for this time is dropped; zero: never.
    pub heartbeat_timeout: Duration,
    /// A peer that accepts no byte for this time while data waits is dropped; zero: never.
    pub write_timeout: Duration,
    /// The limit of the time from the TCP connection (client: from the call) until the peer is connected.
    pub handshake_timeout: Duration,
    /// The limit of the time of a closing handshake.
    pub close_timeout: Duration,
    /// Server: how long a peer that has lost its connection may come back; zero: not at all, else at most [`Self::RESUME_MAX`].
    pub resume_timeout: Duration,
    /// Client: it asks the server for a session that survives the loss of the connection.
    pub resume_offered: bool,
    /// How messages are compressed, if the remote agrees; `None`: not at all. Cannot be changed while open.
    pub compression: Option<Compression>,
    /// Messages of fewer bytes are not compressed. Cannot be changed while open.
    pub compression_threshold: usize,
    /// Client of the Godot 4 wire: it asks the server to take one message for several clients.
    pub lists_offered: bool,
    /// A simulated bad network.
    pub conditions: Conditions,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Raw,
            buffers: Buffers::default(),
            max_message_size: None,
            overflow_policy: OverflowPolicy::default(),
            overflow_grace: Duration::from_secs(1),
            unreliable_backlog: 16 * 1024,
            heartbeat_interval: Duration::from_secs(20),
            heartbeat_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(3),
            resume_timeout: Duration::ZERO,
            resume_offered: false,
            compression: None,
            compression_threshold: 1024,
            lists_offered: false,
            conditions: Conditions::default(),
        }
    }
}

impl PeerConfig {
    /// The longest `resume_timeout`: the engine's synchronizers count time in 16 bits, and would reject what comes after more.
    pub const RESUME_MAX: Duration = Duration::from_mins(2);

    /// Returns it with what cannot change while an object is open.
    pub(crate) fn opened_as(self, opened: &Self) -> Self {
        let Self { mode, buffers, resume_offered, lists_offered, compression, compression_threshold, .. } =
            *opened;
        Self { mode, buffers, resume_offered, lists_offered, compression, compression_threshold, ..self }
    }

    /// Bounds all times to about three years, so that adding one to the clock cannot overflow.
    pub(crate) fn bounded(mut self) -> Self {
        const LONGEST: Duration = Duration::from_secs(100_000_000);
        for time in [
            &mut self.overflow_grace,
            &mut self.heartbeat_interval,
            &mut self.heartbeat_timeout,
            &mut self.write_timeout,
            &mut self.handshake_timeout,
            &mut self.close_timeout,
        ] {
            *time = LONGEST.min(*time);
        }
        self.resume_timeout = Self::RESUME_MAX.min(self.resume_timeout);
        self.conditions = self.conditions.bounded();
        self
    }

    /// The largest payload that `put_packet` accepts: the output buffer minus the header.
    pub fn max_packet_size(&self) -> usize {
        self.buffers.output_bytes.saturating_sub(self.mode.header_len())
    }

    /// The largest received message.
    pub fn max_message(&self) -> usize {
        self.max_message_size.unwrap_or(self.buffers.input_bytes).max(1)
    }

    /// Bytes that may wait for a peer that is not congested, so that a burst in one frame disconnects nobody.
    pub fn burst_bytes(&self) -> usize {
        self.buffers.output_bytes.saturating_mul(16).max(4 * 1024 * 1024)
    }

    /// The same in packets.
    pub fn burst_packets(&self) -> usize {
        self.buffers.output_packets.saturating_mul(16).clamp(65_536, MOST_PACKETS)
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BindAddress {
    /// All addresses, IPv6 and IPv4 (`"*"`).
    Any,
    /// One address.
    Ip(IpAddr),
}

/// A server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The configuration of both roles.
    pub peer: PeerConfig,
    /// Where to listen.
    pub bind: BindAddress,
    /// The port; 0: any free port.
    pub port: u16,
    /// Subprotocols in the server's order of preference; empty: none is negotiated.
    pub protocols: Vec<String>,
    /// Additional header lines of the 101 response, `Name: value`.
    pub extra_headers: Vec<String>,
    /// The limit of connected peers; 0: no limit. Further clients get 503. See [`Peer::set_max_connections`](crate::Peer).
    pub max_connections: usize,
    /// The limit of pending connections; further clients wait. When clients wait, the server evicts connections that have sent nothing for
    /// a second, and slow ones of an address with more than a sixteenth of the places.
    pub max_pending: usize,
    /// The limit of connections of one address (in IPv6, of one /64); 0: no limit. Further clients get 429.
    pub max_connections_per_address: usize,
    /// The limit of bytes read from each peer per second; 0: no limit.
    pub max_inbound_per_second: usize,
    /// Web pages that may connect, by their `Origin`; empty: any. Clients without this header are not browsers, and are allowed.
    pub allowed_origins: Vec<OriginPattern>,
    /// Proxies whose `proxy_header` is trusted.
    pub trusted_proxies: Vec<Network>,
    /// The header with the client's address, in lower case.
    pub proxy_header: String,
    /// Connections from `trusted_proxies` begin with the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// Every request becomes an [`Event::Requested`](crate::Event) that waits for [`Peer::answer`](crate::Peer::answer).
    pub ask: bool,
    /// The path of health checks: GET returns the server's state, HEAD and OPTIONS only the status. Empty: no health checks.
    pub health_path: String,
    /// The path of the metrics for Prometheus. Empty: no metrics.
    pub metrics_path: String,
    /// Key and certificate. If they are set, the server accepts only TLS.
    pub tls: Option<TlsServer>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            peer: PeerConfig::default(),
            bind: BindAddress::Any,
            port: 0,
            protocols: Vec::new(),
            extra_headers: Vec::new(),
            max_connections: 0,
            max_pending: 1024,
            max_connections_per_address: 0,
            max_inbound_per_second: 0,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_header: "x-forwarded-for".to_owned(),
            proxy_protocol: false,
            ask: false,
            health_path: String::new(),
            metrics_path: String::new(),
            tls: None,
        }
    }
}

/// A client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The configuration of both roles.
    pub peer: PeerConfig,
    /// Where to connect.
    pub url: Url,
    /// Subprotocols that the client offers.
    pub protocols: Vec<String>,
    /// Additional header lines of the request, `Name: value`.
    pub headers: Vec<String>,
    /// The trusted certificates; needed for a `wss://` URL, unused for `ws://`.
    pub tls: Option<TlsClient>,
}

/// Checks and trims header lines: `Name: value`, without CR, LF or NUL, and with a token as name.
///
/// # Errors
/// [`ConfigError::Header`] with the first line that is invalid, or that would replace a header of the handshake.
pub fn check_header_lines<I, S>(lines: I) -> Result<Vec<String>, ConfigError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    lines
        .into_iter()
        .map(|line| {
            let line = line.as_ref().trim();
            let bad = |why| ConfigError::Header { line: line.chars().take(80).collect(), why };
            let (name, value) = line.split_once(':').ok_or_else(|| bad("it has no colon"))?;
            let name = name.trim_end();
            if !is_token(name) {
                return Err(bad("its name is not a token"));
            }
            if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
                return Err(bad("it has a control character"));
            }
            if RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(bad("the handshake writes this header itself"));
            }
            Ok(format!("{name}: {}", value.trim()))
        })
        .collect()
}

/// Checks and trims subprotocol names (RFC 6455 section 4.1: tokens, no duplicates).
///
/// # Errors
/// [`ConfigError::Protocol`] with the first invalid name.
pub fn check_protocols<I, S>(names: I) -> Result<Vec<String>, ConfigError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let mut checked = Vec::new();
    for name in names {
        let name = name.as_ref().trim();
        if !is_token(name) {
            return Err(ConfigError::Protocol(name.chars().take(80).collect()));
        }
        if !checked.iter().any(|known| known == name) {
            checked.push(name.to_owned());
        }
    }
    Ok(checked)
}

/// Checks the name of the header in which proxies send the client's address, and returns it in lower case.
///
/// # Errors
/// [`ConfigError::Text`] for an invalid header name, or one whose value is not a list of addresses.
pub fn check_proxy_header(name: &str) -> Result<String, ConfigError> {
    let name = name.trim().to_ascii_lowercase();
    let why = if !is_token(&name) {
        "it is no header name"
    } else if name == "forwarded" {
        "this header has a format of its own; let the proxy send x-forwarded-for"
    } else {
        return Ok(name);
    };
    Err(ConfigError::Text { text: name.chars().take(80).collect(), why })
}

/// Checks the path of health checks or of metrics; empty: none.
///
/// # Errors
/// [`ConfigError::Text`] for an invalid path.
pub fn check_page_path(path: &str) -> Result<String, ConfigError> {
    let path = path.trim();
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if path.is_empty() || path.starts_with('/') && path.bytes().all(legal) {
        return Ok(path.to_owned());
    }
    let why = "a path begins with a slash and has no spaces, query or fragment";
    Err(ConfigError::Text { text: path.chars().take(80).collect(), why })
}

const RESERVED_HEADERS: [&str; 9] = [
    "Connection",
    "Upgrade",
    "Content-Length",
    "Transfer-Encoding",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
];

/// The most packets that a limit may allow, so that the counters can hold a few more.
pub(crate) const MOST_PACKETS: usize = (1 << 24) - 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_round_up_to_powers_of_two() {
        let buffers = Buffers::rounded(3, 1000, 4, 1).expect("valid");
        assert_eq!(
            buffers,
            Buffers { input_bytes: 4096, input_packets: 1024, output_bytes: 4096, output_packets: 1 }
        );
        assert_eq!(Buffers::rounded(1_048_576, 1, 1, 1).expect("valid").input_bytes, 1 << 30);
    }

    #[test]
    fn buffers_name_the_bad_value() {
        for (args, bad) in [
            ((0, 1, 1, 1), "input_buffer_size_kb"),
            ((1, -5, 1, 1), "input_max_packets"),
            ((1, 1, 1_048_577, 1), "output_buffer_size_kb"),
            ((1, 1, 1, 0), "output_max_packets"),
        ] {
            let error = Buffers::rounded(args.0, args.1, args.2, args.3).expect_err("out of range");
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn header_lines_are_checked() {
        assert_eq!(check_header_lines([" X-Game :  a b "]).expect("valid"), ["X-Game: a b"]);
        for bad in [
            "no colon",
            ": empty",
            "A: b\r\nC: d",
            "A: b\nC",
            "Sp ace: x",
            "connection: close",
            "A: \0",
            "sec-websocket-extensions: permessage-deflate",
        ] {
            assert!(check_header_lines([bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_names_of_the_access_policy_are_checked() {
        assert_eq!(check_proxy_header(" X-Real-IP ").expect("valid"), "x-real-ip");
        assert!(check_proxy_header("").is_err() && check_proxy_header("a b").is_err());
        assert!(check_proxy_header("Forwarded").is_err());
        assert_eq!(check_page_path("/health").expect("valid"), "/health");
        assert_eq!(check_page_path("").expect("none"), "");
        for bad in ["health", "/a b", "/a?b", "/a#b", "/a\r\nb"] {
            assert!(check_page_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn protocols_are_tokens_without_duplicates() {
        assert_eq!(check_protocols([" a ", "b", "a"]).expect("valid"), ["a", "b"]);
        assert!(check_protocols([""]).is_err());
        assert!(check_protocols(["a,b"]).is_err());
    }
}
