//! `ws://` and `wss://` URLs (RFC 6455 section 3), with what the engine's parser gets wrong: IPv6 literals, a query
//! without a path, user and password.

use data_encoding::BASE64;

use crate::error::ConfigError;

/// A parsed WebSocket URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    /// `wss`.
    pub secure: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port, 80 and 443 by default.
    pub port: u16,
    /// Path and query, as the request line has it.
    pub target: String,
    /// `Authorization` for a user and password in the URL.
    pub(crate) authorization: Option<String>,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ConfigError::Url`] for another scheme, no host, a bad port, a fragment or a control character.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let url = url.trim();
        let bad = |why| ConfigError::Url { url: printable(url), why };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| bad("it must begin with ws:// or wss://"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(bad("it must begin with ws:// or wss://")),
        };
        if rest.contains('#') {
            return Err(bad("a WebSocket URL has no fragment (#)"));
        }
        if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("it contains a space or a control character"));
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (host, port) = split_port(host).ok_or_else(|| bad("its port is not a number from 1 to 65535"))?;
        if host.is_empty() || host.bytes().any(|byte| b"[]<>\"\\^`{|}".contains(&byte)) {
            return Err(bad("it has no valid host"));
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            target: if target.starts_with('/') { encode(target) } else { encode(&format!("/{target}")) },
            authorization: user.map(|user| format!("Basic {}", BASE64.encode(&percent_decoded(user)))),
        })
    }

    /// The `Host` header: brackets around an IPv6 literal, no default port.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// `None`: there is a port, and it is not one.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => None,
            Ok(port) => Some((host, Some(port))),
        },
        Some(_) => None,
    }
}

/// A request target is ASCII (RFC 9112 section 3.2): other bytes are percent-encoded.
fn encode(target: &str) -> String {
    target.bytes().fold(String::with_capacity(target.len()), |mut out, byte| {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte))
        } else {
            out.push_str(&format!("%{byte:02X}"))
        }
        out
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// For messages: short, and without a password.
fn printable(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let rest = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    let shown = |part: &str| part.chars().take(80).collect::<String>();
    if scheme.is_empty() { shown(rest) } else { format!("{}://{}", shown(scheme), shown(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Url {
        Url::parse(url).expect(url)
    }

    #[test]
    fn parses_hosts_ports_and_targets() {
        let url = parse("ws://example.org");
        assert_eq!(
            (url.host.as_str(), url.port, url.target.as_str(), url.secure),
            ("example.org", 80, "/", false)
        );
        let url = parse("WSS://example.org:9080/a/b?c=d");
        assert_eq!((url.port, url.target.as_str(), url.secure), (9080, "/a/b?c=d", true));
        assert_eq!(parse("ws://h:1?q=1").target, "/?q=1");
        assert_eq!(parse("ws://h/ä").target, "/%C3%A4");
    }

    #[test]
    fn host_header_brackets_ipv6_and_hides_default_ports() {
        assert_eq!(parse("ws://[::1]:29881/").host_header(), "[::1]:29881");
        assert_eq!(parse("ws://[::1]/").host_header(), "[::1]");
        assert_eq!(parse("wss://h:443").host_header(), "h");
        assert_eq!(parse("ws://h:443").host_header(), "h:443");
    }

    #[test]
    fn user_and_password_become_basic_authorization() {
        assert_eq!(
            parse("ws://Aladdin:open%20sesame@h").authorization.as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
    }

    #[test]
    fn refuses_what_cannot_be_connected_to() {
        let many = [
            "",
            "h",
            "http://h",
            "ws://",
            "ws://:80",
            "ws://h:",
            "ws://h:0",
            "ws://h:65536",
            "ws://h:x",
            "ws://[::1",
            "ws://[x]:1",
            "ws://h/#a",
            "ws://h /",
            "ws://h\r\nX: y/",
            "ws://a]b/",
            "ws:///path",
            "ws://[::1]x",
        ];
        for url in many {
            assert!(Url::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn messages_hide_the_password() {
        let error = Url::parse("ws://me:secret@h:x/").expect_err("bad port").to_string();
        assert!(!error.contains("secret") && error.contains("ws://h:x"), "{error}");
        let long = format!("{}://h/", "x".repeat(10_000));
        assert!(Url::parse(&long).expect_err("no scheme of ours").to_string().len() < 500);
    }
}
