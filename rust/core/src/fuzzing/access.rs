//! The access policy: origins, networks, and the addresses that proxies send.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::access::client_address;
use crate::access::network::Network;
use crate::access::origin::OriginPattern;
use crate::wire::proxy_protocol::{Preamble, Preface, is_proxy_protocol};

/// The PROXY protocol; or lines: a pattern of origins, an origin, a network, an address, and then the header of the proxies.
pub fn access(data: &[u8]) {
    proxy_protocol(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (pattern, origin, network, address) = (next(), next(), next(), next());
    origins(pattern, origin);
    networks(network, address);
    proxies(&lines.collect::<Vec<_>>());
}

/// With any cuts, the result of the header and its length are the same, and no more bytes are kept than necessary.
fn proxy_protocol(data: &[u8]) {
    let (whole, taken) = preface(data, data.len().max(1));
    for step in [1, 2, 7, 16] {
        let (outcome, took) = preface(data, step);
        match (&whole, &outcome) {
            (Preface::Malformed(_), Preface::Malformed(_)) => {}
            _ => assert_eq!((&outcome, took), (&whole, taken), "in pieces of {step}"),
        }
    }
    if let Preface::Whole(client) = whole {
        assert!(taken >= 15 && is_proxy_protocol(&data[..taken]));
        // Bytes after the header do not matter, and without its last byte it is incomplete.
        assert_eq!(preface(&data[..taken], taken), (Preface::Whole(client), taken));
        assert_eq!(preface(&data[..taken - 1], taken).0, Preface::Partial);
        if let Some(client) = client {
            assert_eq!(client.ip(), client.ip().to_canonical());
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let (ip, port) = (client.ip(), client.port());
            let line = format!("PROXY {family} {ip} {ip} {port} 1\r\n");
            assert_eq!(preface(line.as_bytes(), 3), (Preface::Whole(Some(client)), line.len()));
        }
    }
}

/// Returns the result for a header that arrives in parts, and the number of bytes taken.
fn preface(data: &[u8], step: usize) -> (Preface, usize) {
    let mut preamble = Preamble::default();
    let mut scratch = [0; 4096];
    for piece in data.chunks(step) {
        let before = preamble.len();
        // An empty slice reads as the end; here it only means that no more bytes have arrived.
        match preamble.read(&mut &*piece, &mut scratch).expect("memory does not fail") {
            Preface::Ended => assert_eq!(preamble.len() - before, piece.len()),
            outcome => return (outcome, preamble.len()),
        }
    }
    (Preface::Partial, preamble.len())
}

fn origins(pattern: &str, origin: &str) {
    let parsed = match pattern.parse::<OriginPattern>() {
        Ok(parsed) => parsed,
        Err(error) => return is_fit_to_be_logged(&error.to_string()),
    };
    let written = pattern.trim().to_ascii_lowercase();
    if pattern.trim() == "null" {
        assert_eq!(parsed.matches(origin), origin == "null", "null lets {origin} in");
        return;
    }
    // A pattern with any port matches an origin without a port and with each port.
    let base = written.strip_suffix(":*").unwrap_or(&written);
    let ports = if base == written { &[""][..] } else { &["", ":1", ":8060", ":65535"] };
    for port in ports {
        if let Some((scheme, host)) = base.split_once("://*.") {
            assert!(
                parsed.matches(&format!("{scheme}://a.{host}{port}"))
                    && parsed.matches(&format!("{scheme}://a.b.{host}{port}"))
            );
            for other in
                [format!("{scheme}://{host}"), format!("{scheme}://.{host}"), format!("{scheme}://a{host}")]
            {
                assert!(!parsed.matches(&(other.clone() + port)), "{written} lets {other}{port} in");
            }
        } else {
            let with_port = format!("{base}{port}");
            assert!(parsed.matches(&with_port) && parsed.matches(&with_port.to_ascii_uppercase()));
            for other in [format!("x{base}"), format!("{base}x"), format!("{base}/"), format!("{base}.")] {
                // A longer port or host must be another origin, never the same one.
                assert!(!parsed.matches(&(other.clone() + port)), "{written} lets {other}{port} in");
            }
        }
    }
    if parsed.matches(origin) {
        let origin = origin.to_ascii_lowercase();
        let host = |text: &str| {
            let host = text.split_once("://").map(|(_, host)| host.trim_start_matches("*.").to_owned());
            let host = host.unwrap_or_default();
            let end = host.rfind(':').filter(|at| !host[*at..].ends_with(']')).unwrap_or(host.len());
            let host = &host[..end];
            // An address can be written in several ways.
            let address =
                host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
            address.map_or_else(|| host.to_owned(), |address| address.to_string())
        };
        assert!(host(&origin).ends_with(&host(&written)), "{written} lets {origin} in");
        assert_eq!(origin.split("://").next(), written.split("://").next(), "the scheme is the pattern's");
    }
}

fn networks(network: &str, address: &str) {
    let parsed = match network.parse::<Network>() {
        Ok(parsed) => parsed,
        Err(error) => return is_fit_to_be_logged(&error.to_string()),
    };
    let (first, prefix) = network
        .trim()
        .split_once('/')
        .map_or_else(|| (network.trim(), None), |(first, prefix)| (first, Some(prefix)));
    let first: IpAddr = first.parse().expect("a network begins with an address");
    assert!(parsed.contains(first) && parsed.contains(first.to_canonical()));
    let Ok(address) = address.trim().parse::<IpAddr>() else { return };
    // Compared bit by bit, in the form in which both are written.
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => format!("{:032b}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:0128b}", ip.to_bits()),
    };
    if first == first.to_canonical()
        && address == address.to_canonical()
        && first.is_ipv4() == address.is_ipv4()
    {
        let (first, address) = (bits(first), bits(address));
        let len = prefix.map_or(first.len(), |prefix| prefix.parse().expect("a number"));
        assert_eq!(parsed.contains(address_of(&address)), first[..len] == address[..len]);
    }
}

fn address_of(bits: &str) -> IpAddr {
    match bits.len() {
        32 => IpAddr::V4(u32::from_str_radix(bits, 2).expect("bits").into()),
        _ => IpAddr::V6(u128::from_str_radix(bits, 2).expect("bits").into()),
    }
}

fn proxies(lines: &[&str]) {
    let socket: SocketAddr = "10.0.0.1:5000".parse().expect("an address");
    let trusted: Vec<Network> =
        ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network")).into();
    let is_trusted = |ip| trusted.iter().any(|network| network.contains(ip));
    let all: Vec<Network> = ["0.0.0.0/0", "::/0"].map(|text| text.parse().expect("a network")).into();
    if let Ok(client) = client_address(lines.iter().copied(), socket, &trusted) {
        let hops = lines.iter().flat_map(|line| line.split(','));
        let named = hops.filter(|hop| !hop.trim().is_empty()).count();
        assert!(named > 0 || lines.is_empty() && client == socket, "a list without an address");
        // Either no other address was named, or all named addresses are trusted, or this one is not trusted.
        let everybody = client_address(lines.iter().copied(), socket, &all);
        assert!(!is_trusted(client.ip()) || everybody == Ok(client), "it stopped at a trusted hop");
        assert_eq!(client.ip(), client.ip().to_canonical());
    }
    // Once a trusted proxy has named an untrusted address, the header before it does not matter.
    for named in [
        "203.0.113.7",
        "203.0.113.7, 10.9.9.9",
        "203.0.113.7,2001:db8::1 , 10.0.0.2:80",
        ", \"203.0.113.7\",, \"[2001:db8::1%eth0]:80\" , ",
    ] {
        let forged = lines.iter().copied().chain([named]).collect::<Vec<_>>();
        let client = client_address(forged.into_iter(), socket, &trusted).expect("hops that are addresses");
        assert_eq!(client, "203.0.113.7:0".parse().expect("an address"));
    }
}

fn is_fit_to_be_logged(message: &str) {
    assert!(message.len() < 2000 && !message.chars().any(char::is_control), "{message:?}");
}
