//! What proxies say about the client they speak for: `x-forwarded-for: client, proxy, proxy`.

use std::net::{IpAddr, SocketAddr};

use super::Network;

/// A trusted proxy said something that is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// The client's address. Each hop appends whom it heard from, so the list is read from its end, for as long as the hops are
/// trusted; what is further left was written by somebody who is not. The port is 0 unless the proxy names it.
///
/// # Errors
/// [`Malformed`]: a trusted hop named something that is not an address.
pub fn client_address<'a>(
    lines: impl DoubleEndedIterator<Item = &'a str>,
    socket: SocketAddr,
    trusted: &[Network],
) -> Result<SocketAddr, Malformed> {
    let mut client = socket;
    for hop in lines.rev().flat_map(|line| line.rsplit(',')) {
        client = parse(hop.trim()).ok_or(Malformed)?;
        if !trusted.iter().any(|network| network.contains(client.ip())) {
            break;
        }
    }
    Ok(client)
}

/// An address with or without a port; IPv6 with or without brackets.
fn parse(text: &str) -> Option<SocketAddr> {
    let address = text
        .parse::<SocketAddr>()
        .ok()
        .or_else(|| text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0)))
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().ok().map(|ip: std::net::Ipv6Addr| SocketAddr::new(ip.into(), 0))
        })?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
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
    }

    #[test]
    fn a_trusted_hop_that_names_no_address_is_malformed() {
        for bad in [
            "",
            "unknown",
            "_hidden",
            "203.0.113.7,",
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
