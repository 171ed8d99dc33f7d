//! `ws://` and `wss://` URLs (RFC 6455 section 3), as the engine's class takes them: also without a scheme, and with a fragment,
//! which is left out. IPv6 literals, a query without a path, and user and password work too, unlike in the engine's parser.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use data_encoding::BASE64;
use idna::AsciiDenyList;

use crate::base::ConfigError;

/// A parsed WebSocket URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    /// The text that was parsed.
    pub(crate) given: String,
    /// The scheme is `wss`.
    pub secure: bool,
    /// Name or address in ASCII, without brackets and zone.
    pub host: String,
    /// Port, 80 and 443 by default.
    pub port: u16,
    /// Path and query, as the request line has it.
    pub target: String,
    /// The zone of an IPv6 address: the name or number of an interface of this machine. The server does not see it.
    pub(crate) zone: Option<String>,
    /// `Authorization` for a user and password in the URL.
    pub(crate) authorization: Option<String>,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ConfigError::Url`] for another scheme, no host, a bad port, or a control character.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let url = url.trim();
        let bad = |why| ConfigError::Url { url: printable(url), why };
        let (scheme, rest) = split_scheme(url).unwrap_or(("ws", url));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(bad("it must begin with ws:// or wss://")),
        };
        if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("it contains a space or a control character"));
        }
        let located = rest.split('#').next().unwrap_or_default();
        let (authority, target) = located.split_at(located.find(['/', '?']).unwrap_or(located.len()));
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let Place { host, zone, port } = Place::parse(place).map_err(|why| {
            // An @ after the authority means that a / or # of the user name was not encoded.
            let cut = user.is_none() && place.contains(':') && rest[authority.len()..].contains('@');
            bad(if cut { "in a user name or password, write / as %2F, ? as %3F and # as %23" } else { why })
        })?;
        Ok(Self {
            given: url.to_owned(),
            secure,
            host: host.into_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            target: if target.starts_with('/') { encode(target) } else { encode(&format!("/{target}")) },
            zone,
            authorization: user.and_then(basic),
        })
    }

    /// Returns the `Host` header: brackets around an IPv6 literal, no default port.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// Splits at `://` if a scheme can be in front of it: a query may hold another URL.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    url.split_once("://").filter(|(scheme, _)| scheme.bytes().all(legal))
}

/// Host and port of a server.
struct Place<'a> {
    host: Cow<'a, str>,
    zone: Option<String>,
    port: Option<u16>,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let (inner, after) =
                bracketed.split_once(']').ok_or("its IPv6 address has no closing bracket")?;
            let (address, zone) = inner.split_once('%').map_or((inner, None), |(a, z)| (a, Some(z)));
            address.parse::<Ipv6Addr>().map_err(|_| "the brackets do not contain an IPv6 address")?;
            let port = match after {
                "" => None,
                _ => Some(port(after.strip_prefix(':').ok_or("only a port may follow the brackets")?)?),
            };
            return Ok(Self { host: address.into(), zone: zone.map(zone_name).transpose()?, port });
        }
        let mut parts = text.split(':');
        let (host, port, more) = (parts.next().unwrap_or_default(), parts.next().map(port), parts.next());
        if more.is_some() {
            return Err("an IPv6 address needs brackets, as in ws://[::1]:9080");
        }
        let host: Cow<'_, str> = if host.is_ascii() {
            host.into()
        } else {
            idna::domain_to_ascii_cow(host.as_bytes(), AsciiDenyList::URL)
                .map_err(|_| "its host is not a valid international name")?
        };
        // After the conversion, which makes ASCII of wide forms such as U+FF5B, a brace.
        if host.bytes().any(|byte| b"[]<>\"\\^`{|}".contains(&byte)) {
            return Err("its host has a character that is not allowed in names");
        }
        // A name of invisible characters becomes empty, too.
        if host.is_empty() {
            return Err("it has no host");
        }
        Ok(Self { host, zone: None, port: port.transpose()? })
    }
}

fn port(digits: &str) -> Result<u16, &'static str> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|port| *port > 0).ok_or("its port is not a number from 1 to 65535")
}

/// Reads a zone after `%25`, as in RFC 6874, or after `%`, as most programs write it.
fn zone_name(text: &str) -> Result<String, &'static str> {
    let text = text.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(text);
    let name = String::from_utf8(percent_decoded(text)).unwrap_or_default();
    if name.is_empty() || name.contains('%') || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the zone of its IPv6 address is not the name or number of a network interface");
    }
    Ok(name)
}

/// Returns credentials, which have a colon also without a password (RFC 7617 section 2).
fn basic(user: &str) -> Option<String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let credentials = [percent_decoded(name), percent_decoded(password)].join(&b':');
    (credentials.len() > 1).then(|| format!("Basic {}", BASE64.encode(&credentials)))
}

/// Percent-encodes bytes that are not ASCII, which a request target must be (RFC 9112 section 3.2).
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

/// Returns the URL for messages: shortened, and without a password, also if a character of the password ends the user name.
fn printable(url: &str) -> String {
    let (scheme, rest) = split_scheme(url).unwrap_or(("", url));
    let rest = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
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
    fn without_a_scheme_it_is_ws() {
        for (url, host, port, target) in [
            ("example.org", "example.org", 80, "/"),
            ("localhost:9080/lobby?a=b", "localhost", 9080, "/lobby?a=b"),
            ("127.0.0.1:9080?a", "127.0.0.1", 9080, "/?a"),
            ("[::1]:9080", "::1", 9080, "/"),
            ("h/?next=http://other/", "h", 80, "/?next=http://other/"),
        ] {
            let parsed = parse(url);
            let found = (parsed.host.as_str(), parsed.port, parsed.target.as_str(), parsed.secure);
            assert_eq!(found, (host, port, target, false), "{url}");
        }
    }

    #[test]
    fn a_fragment_is_left_out() {
        for (url, target) in [
            ("ws://h/a#x", "/a"),
            ("ws://h#x", "/"),
            ("ws://h?q#x?y", "/?q"),
            ("ws://h/#", "/"),
            ("h:1/a?b#/c#d", "/a?b"),
        ] {
            let parsed = parse(url);
            assert_eq!((parsed.host.as_str(), parsed.target.as_str()), ("h", target), "{url}");
        }
    }

    #[test]
    fn user_and_password_become_basic_authorization() {
        let decoded = |url: &str| {
            let authorization = parse(url).authorization?;
            let encoded = authorization.strip_prefix("Basic ").expect("a scheme");
            Some(String::from_utf8(BASE64.decode(encoded.as_bytes()).expect("base64")).expect("text"))
        };
        for (user, expected) in [
            ("Aladdin:open%20sesame@", "Aladdin:open sesame"),
            ("Aladdin@", "Aladdin:"),
            ("Aladdin:@", "Aladdin:"),
            (":key@", ":key"),
            ("a:b:c@", "a:b:c"),
            ("u:p%40ss@", "u:p@ss"),
            ("u:p@ss@", "u:p@ss"),
            ("M%C3%A4rz@", "M\u{e4}rz:"),
        ] {
            assert_eq!(decoded(&format!("ws://{user}h")).as_deref(), Some(expected), "{user}");
        }
        for nobody in ["ws://h", "ws://@h", "ws://:@h"] {
            assert_eq!(decoded(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn international_names_become_ascii() {
        for (name, host) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("game。example", "game.example"),
            ("under_score.example", "under_score.example"),
        ] {
            let parsed = parse(&format!("wss://{name}:9080/"));
            assert_eq!(
                (parsed.host.as_str(), parsed.host_header()),
                (host, format!("{host}:9080")),
                "{name}"
            );
        }
        let bads = [
            "a\u{200d}b\u{fffd}",
            "ä b",
            "ä<b",
            "ä{b",
            "ä\u{ff5b}b",
            "\u{ff5b}",
            "ä\u{ff40}b",
            "\u{ad}",
            "xn--ä",
        ];
        for bad in bads {
            assert!(Url::parse(&format!("ws://{bad}/")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn zones_are_for_this_machine_and_not_for_the_server() {
        for (url, zone) in [
            ("ws://[fe80::1%25eth0]:9080", "eth0"),
            ("ws://[fe80::1%eth0]:9080", "eth0"),
            ("ws://[fe80::1%2]:9080", "2"),
            ("ws://[fe80::1%25]:9080", "25"),
            ("[fe80::1%25br%2D0]:9080", "br-0"),
        ] {
            let parsed = parse(url);
            assert_eq!((parsed.host.as_str(), parsed.zone.as_deref()), ("fe80::1", Some(zone)), "{url}");
            assert_eq!(parsed.host_header(), "[fe80::1]:9080");
        }
        for bad in ["ws://[fe80::1%]", "ws://[fe80::1%25%20]", "ws://[%eth0]", "ws://[fe80::1%a%25b]"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_connected_to() {
        let many = [
            "",
            "http://h",
            "://h",
            "//h",
            "localhost:x",
            "::1",
            "::1:9080",
            "ws://",
            "ws://:80",
            "ws://h:",
            "ws://h:0",
            "ws://h:65536",
            "ws://h:x",
            "ws://[::1",
            "ws://[x]:1",
            "ws://#a",
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
    fn messages_say_what_to_write() {
        for (url, part) in [
            ("http://h", "ws:// or wss://"),
            ("", "no host"),
            ("ws://h:x", "port"),
            ("::1:9080", "brackets"),
            ("ws://me:se/cret@h", "%2F"),
            ("ws://me:se#cret@h", "%23"),
            ("ws://[fe80::1%]", "interface"),
        ] {
            let words = Url::parse(url).expect_err(url).to_string();
            assert!(words.contains(part), "{url}: {words}");
            assert!(!words.contains("cret"), "{words}");
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
