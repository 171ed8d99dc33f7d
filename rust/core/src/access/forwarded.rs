//! The client's address in the header lines of proxies: `x-forwarded-for: client, proxy, proxy`.

use std::net::{IpAddr, SocketAddr};

use super::network::Network;

/// A trusted proxy named something that is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Returns the client's address. Each hop appends the address that it received the request from. So the list is read from its end,
/// as long as the hops are trusted; elements further left may be forged. Lists may have empty elements (RFC 9110 section 5.6.1).
/// The port is 0 unless the proxy names it.
///
/// Without a list the connection is the proxy's own, for example a health check.
///
/// # Errors
/// [`Malformed`]: a trusted hop named something that is not an address, or there is a list and no address in it.
pub fn client_address<'a>(
    lines: impl DoubleEndedIterator<Item = &'a str>,
    socket: SocketAddr,
    trusted: &[Network],
) -> Result<SocketAddr, Malformed> {
    let (mut named, mut is_list) = (None, false);
    // From right to left, and by commas only: an open quote in a forged element must not hide the elements after it.
    for hop in lines.rev().flat_map(|line| line.rsplit(',')) {
        is_list = true;
        let hop = hop.trim_matches([' ', '\t']);
        if hop.is_empty() {
            continue;
        }
        let address = parse(hop).ok_or(Malformed)?;
        named = Some(address);
        if !trusted.iter().any(|network| network.contains(address.ip())) {
            break;
        }
    }
    match named {
        Some(address) => Ok(address),
        None if is_list => Err(Malformed),
        None => Ok(socket),
    }
}

/// Reads an address with or without port, brackets, zone and quotes.
fn parse(text: &str) -> Option<SocketAddr> {
    let text = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => text,
    };
    let (ip, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, port) = bracketed.split_once(']')?;
            let port = if port.is_empty() { 0 } else { parse_port(port.strip_prefix(':')?)? };
            (parse_v6(ip)?, port)
        }
        // One colon precedes a port, several belong to IPv6.
        None => match text.split_once(':') {
            Some((ip, port)) if !port.contains(':') => (IpAddr::V4(ip.parse().ok()?), parse_port(port)?),
            Some(_) => (parse_v6(text)?, 0),
            None => (IpAddr::V4(text.parse().ok()?), 0),
        },
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Drops the zone of a link-local address (RFC 4007 section 11), which has a meaning on the proxy's machine only.
fn parse_v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) => Some(address).filter(|_| !zone.is_empty())?,
        None => text,
    };
    address.parse().ok().map(IpAddr::V6)
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take a plus sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[&str]) -> Result<String, Malformed> {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network"));
        let socket = "10.0.0.1:5000".parse().expect("an address");
        client_address(lines.iter().copied(), socket, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7:0"),
            (&["198.51.100.1, 203.0.113.7, 10.2.2.2"], "203.0.113.7:0"),
            (&["198.51.100.1", "203.0.113.7,10.2.2.2"], "203.0.113.7:0"),
            (&["203.0.113.7:4711"], "203.0.113.7:4711"),
            (&["2001:db9::7"], "[2001:db9::7]:0"),
            (&["[2001:db9::7]"], "[2001:db9::7]:0"),
            (&["[2001:db9::7]:80, 2001:db8::1"], "[2001:db9::7]:80"),
            (&["::ffff:203.0.113.7"], "203.0.113.7:0"),
            (&["fe80::1%eth0"], "[fe80::1]:0"),
            (&["[fe80::1%eth0]:80"], "[fe80::1]:80"),
            (&["\"203.0.113.7\""], "203.0.113.7:0"),
            (&["\"203.0.113.7:4711\" , 10.2.2.2"], "203.0.113.7:4711"),
            (&["\"[2001:db9::7]:80\""], "[2001:db9::7]:80"),
            (&["[::ffff:203.0.113.7]:80"], "203.0.113.7:80"),
            (&["\t203.0.113.7 ,\t10.2.2.2\t"], "203.0.113.7:0"),
            // Empty elements, and lines.
            (&["203.0.113.7,"], "203.0.113.7:0"),
            (&[", 203.0.113.7"], "203.0.113.7:0"),
            (&["203.0.113.7, , ,,10.2.2.2,"], "203.0.113.7:0"),
            (&["203.0.113.7", "", " , "], "203.0.113.7:0"),
            // Everybody is trusted: the one that is furthest away.
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3:0"),
            // It speaks for itself, as a health check does.
            (&[], "10.0.0.1:5000"),
        ] {
            assert_eq!(client(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_the_client_itself_wrote_is_never_read() {
        assert_eq!(client(&["nonsense, 203.0.113.7"]).as_deref(), Ok("203.0.113.7:0"));
        assert_eq!(client(&["10.0.0.9, 203.0.113.7, 10.1.1.1"]).as_deref(), Ok("203.0.113.7:0"));
        for opened in ["\"198.51.100.1", "[", "\"\\", "unknown", "a.example", "\u{fffd}"] {
            let list = format!("{opened}, 203.0.113.7");
            assert_eq!(client(&[&list]).as_deref(), Ok("203.0.113.7:0"), "{list}");
            assert_eq!(client(&[opened, "203.0.113.7"]).as_deref(), Ok("203.0.113.7:0"), "{list}");
        }
    }

    #[test]
    fn a_trusted_hop_that_names_no_address_is_malformed() {
        for bad in [
            "",
            "unknown",
            "_hidden",
            ",\t, ,",
            "-",
            "203.0.113.7 x",
            "203.0.113.7, garbage",
            "203.0.113.7:",
            "203.0.113.7:+80",
            "203.0.113.7%eth0",
            "203.0.113.7\u{a0}",
            "[203.0.113.7]",
            "\"",
            "\"\"",
            "\"203.0.113.7",
            "203.0.113.7\"",
            "\"203.0.113.7, 10.1.1.1\"",
            "fe80::1%",
            "[::1]80",
            "[::1]:",
            "[::1]:99999",
            "[::1%]",
            "for=203.0.113.7",
            "203.0.113.7:99999",
            "[::1",
            "1.2.3",
            "a.example",
        ] {
            assert_eq!(client(&[bad]), Err(Malformed), "{bad:?}");
        }
    }
}
