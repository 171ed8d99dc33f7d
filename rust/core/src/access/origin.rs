//! Origins of web pages (RFC 6454) and the patterns that allow them.

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::base::ConfigError;

/// Origins that are allowed: `https://game.example`, `https://game.example:8443`, `https://*.game.example`,
/// `http://localhost:*`, and `file://` and `null` for pages that come from no server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginPattern(Pattern);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    /// The origin of pages without one: local files, sandboxed frames, redirected requests.
    Null,
    Origin {
        scheme: String,
        host: String,
        subdomains: bool,
        port: Port,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Port {
    Any,
    /// `None`: the default port of the scheme.
    Only(Option<u16>),
}

impl OriginPattern {
    /// Returns whether the pattern matches the value of an `Origin` header.
    pub fn matches(&self, origin: &str) -> bool {
        let Pattern::Origin { scheme, host, subdomains, port } = &self.0 else { return origin == NULL };
        let Ok(origin) = Parts::parse(origin) else { return false };
        let is_host = if *subdomains {
            origin
                .host
                .strip_suffix(host.as_str())
                .is_some_and(|before| before.len() > 1 && before.ends_with('.') && !before.starts_with('.'))
        } else {
            origin.host == *host
        };
        is_host && origin.scheme == *scheme && (*port == Port::Any || *port == Port::Only(origin.port))
    }
}

impl FromStr for OriginPattern {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = |why| ConfigError::Origin { text: text.chars().take(80).collect(), why };
        let text = text.trim();
        if text == NULL {
            return Ok(Self(Pattern::Null));
        }
        let (plain, any_port) = match text.strip_suffix(":*") {
            Some(plain) => (plain, true),
            None => (text, false),
        };
        let (plain, subdomains) = match plain.split_once("://*.") {
            Some((scheme, host)) => (format!("{scheme}://{host}"), true),
            None => (plain.to_owned(), false),
        };
        let Parts { scheme, host, port } = Parts::parse(&plain).map_err(bad)?;
        if subdomains && (host.starts_with('[') || host.ends_with(|last: char| last.is_ascii_digit())) {
            return Err(bad("an address has no subdomains"));
        }
        let port = match (any_port, host.is_empty(), has_port(&plain)) {
            (true, true, _) => return Err(bad("without a host it cannot have a port")),
            (true, _, true) => return Err(bad("it has two ports")),
            (true, ..) => Port::Any,
            (false, ..) => Port::Only(port),
        };
        Ok(Self(Pattern::Origin { scheme, host, subdomains, port }))
    }
}

/// Scheme and host in lower case; no port means the default port of the scheme.
struct Parts {
    scheme: String,
    /// Empty only for `file://`.
    host: String,
    port: Option<u16>,
}

impl Parts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, authority) =
            text.split_once("://").ok_or("it is not scheme://host[:port], null or file://")?;
        let mut first = scheme.bytes();
        if !first.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            || !first.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return Err("its scheme is invalid");
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            let host = String::new();
            return if authority.is_empty() {
                Ok(Self { scheme, host, port: None })
            } else {
                Err("write file://")
            };
        }
        let (host, port) = split_port(authority);
        let host = match host.strip_prefix('[') {
            // Browsers send the shortest form.
            Some(bracketed) => {
                let address: Option<Ipv6Addr> =
                    bracketed.strip_suffix(']').and_then(|inner| inner.parse().ok());
                format!("[{}]", address.ok_or("its host is not an IPv6 address")?)
            }
            None => {
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
                if host.is_empty() || !host.bytes().all(legal) {
                    return Err(
                        "its host is invalid; remove paths and a slash at the end, and write international names as xn--",
                    );
                }
                host.to_ascii_lowercase()
            }
        };
        let port = match port {
            None => None,
            Some(digits) => Some(
                Some(digits)
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                    .and_then(|digits| digits.parse::<u16>().ok())
                    .filter(|port| *port > 0)
                    .ok_or("its port is invalid")?,
            ),
        };
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Ok(Self { host, port: port.filter(|port| Some(*port) != usual), scheme })
    }
}

/// The colons of an IPv6 address are inside its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn has_port(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| split_port(authority).1.is_some())
}

const NULL: &str = "null";

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        pattern.parse::<OriginPattern>().expect("a pattern").matches(origin)
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(matches("https://game.example", "https://game.example"));
        assert!(matches("HTTPS://Game.Example:443", "https://game.example"));
        assert!(matches("https://game.example", "https://GAME.example:443"));
        assert!(matches("http://[::1]:8080", "http://[::1]:8080"));
        assert!(matches("http://localhost:8060", "http://localhost:8060"));
        for other in [
            "http://game.example",
            "https://game.example:8443",
            "https://game.example.evil",
            "https://evilgame.example",
            "https://game.example/",
            "https://game.example@evil",
            "https://a.game.example",
            "null",
            "",
            "https://",
        ] {
            assert!(!matches("https://game.example", other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_all_subdomains_and_not_for_the_domain() {
        assert!(matches("https://*.game.example", "https://a.game.example"));
        assert!(matches("https://*.game.example:444", "https://a.b.game.example:444"));
        for other in [
            "https://game.example",
            "https://.game.example",
            "https://evilgame.example",
            "https://a.game.example:8443",
            "http://a.game.example",
        ] {
            assert!(!matches("https://*.game.example", other), "{other}");
        }
    }

    #[test]
    fn pages_without_a_server_are_null_or_file() {
        assert!(matches("null", "null") && matches(" null ", "null"));
        assert!(matches("file://", "file://") && matches("FILE://", "file://"));
        for (pattern, other) in [
            ("null", ""),
            ("null", "NULL"),
            ("null", "null, null"),
            ("null", "file://"),
            ("null", "http://null"),
            ("file://", "null"),
            ("file://", "file:///"),
            ("file://", "file://evil"),
            ("file://", "http://"),
            ("http://null", "null"),
            ("http://localhost:*", "null"),
            ("https://*.game.example", "null"),
        ] {
            assert!(!matches(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_star_in_place_of_the_port_stands_for_each() {
        for origin in
            ["http://localhost", "http://localhost:80", "http://LOCALHOST:8060", "http://localhost:65535"]
        {
            assert!(matches("http://localhost:*", origin), "{origin}");
        }
        assert!(matches("http://[::1]:*", "http://[::1]:8060"));
        assert!(matches("https://*.game.example:*", "https://a.game.example:8443"));
        for other in [
            "https://localhost",
            "http://localhost.evil:80",
            "http://evil:80",
            "http://localhost:",
            "http://localhost:*",
            "http://localhost:0",
            "http://localhost:80:80",
            "http://localhost:80/",
        ] {
            assert!(!matches("http://localhost:*", other), "{other}");
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert!(matches("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"));
        assert!(matches("http://[2001:DB8::1]", "http://[2001:db8::1]:80"));
        assert!(!matches("http://[::1]", "http://[::2]") && !matches("http://[::1]", "http://[::1]:8080"));
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for bad in [
            "",
            "*",
            "game.example",
            "https://",
            "https://game.example/",
            "https://game.example/path",
            "https://*",
            "https://a.*.example",
            "https://*.*.example",
            "https://h:0",
            "https://h:99999",
            "https://h:",
            "1s://h",
            "https://u@h",
            "https://*.192.0.2.1",
            "https://*.[::1]",
            "NULL",
            "Null",
            "null/",
            "null://",
            "null:*",
            "file:///",
            "file://host",
            "file://*",
            "file://*.host",
            "file://:*",
            "file:",
            "https://:*",
            "https://h:80:*",
            "https://h:**",
            "https://h:8*",
            "*://h",
            "https://[::1",
            "https://[::1]]",
            "https://[1.2.3.4]",
            "https://[fe80::1%eth0]",
            "https://::1",
            "https://a b",
            "https://bücher.example",
        ] {
            assert!(bad.parse::<OriginPattern>().is_err(), "{bad:?}");
        }
    }
}
