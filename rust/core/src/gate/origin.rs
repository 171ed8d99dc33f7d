//! Origins of web pages (RFC 6454) and the patterns that allow them.

use std::str::FromStr;

use crate::error::ConfigError;

/// Origins that are allowed: `https://game.example`, `https://game.example:8443`, `https://*.game.example`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginPattern {
    scheme: String,
    host: String,
    port: Option<u16>,
    subdomains: bool,
}

impl OriginPattern {
    /// Says whether the value of an `Origin` header is one of them.
    pub fn matches(&self, origin: &str) -> bool {
        let Ok(origin) = Parts::parse(origin) else { return false };
        let host = if self.subdomains {
            origin
                .host
                .strip_suffix(self.host.as_str())
                .is_some_and(|before| before.len() > 1 && before.ends_with('.') && !before.starts_with('.'))
        } else {
            origin.host == self.host
        };
        host && origin.scheme == self.scheme && origin.port == self.port
    }
}

impl FromStr for OriginPattern {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = |why| ConfigError::Origin { text: text.chars().take(80).collect(), why };
        let text = text.trim();
        let (plain, subdomains) = match text.split_once("://*.") {
            Some((scheme, host)) => (format!("{scheme}://{host}"), true),
            None => (text.to_owned(), false),
        };
        let Parts { scheme, host, port } = Parts::parse(&plain).map_err(bad)?;
        if subdomains && (host.starts_with('[') || host.ends_with(|last: char| last.is_ascii_digit())) {
            return Err(bad("an address has no subdomains"));
        }
        Ok(Self { scheme, host, port, subdomains })
    }
}

/// Scheme and host in lower case; no port means the scheme's own.
struct Parts {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Parts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, authority) = text.split_once("://").ok_or("it is not scheme://host[:port]")?;
        let mut first = scheme.bytes();
        if !first.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            || !first.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return Err("its scheme is not one");
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are inside its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_address = host.starts_with('[') && host.ends_with(']');
        let inner = if is_address { &host[1..host.len() - 1] } else { host };
        let legal =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte) || is_address && byte == b':';
        if inner.is_empty() || !inner.bytes().all(legal) {
            return Err("its host is not one; leave out paths and a slash at the end");
        }
        let port = match port {
            None => None,
            Some(digits) => Some(
                Some(digits)
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                    .and_then(|digits| digits.parse::<u16>().ok())
                    .filter(|port| *port > 0)
                    .ok_or("its port is not one")?,
            ),
        };
        let scheme = scheme.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Ok(Self { host: host.to_ascii_lowercase(), port: port.filter(|port| Some(*port) != usual), scheme })
    }
}

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
            "null",
            "https://[::1",
            "https://a b",
        ] {
            assert!(bad.parse::<OriginPattern>().is_err(), "{bad:?}");
        }
    }
}
