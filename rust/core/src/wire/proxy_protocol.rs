//! The PROXY protocol, versions 1 and 2: a proxy that only passes bytes on sends this header with the client's address before them.
//!
//! Reading never goes beyond the header, because the bytes after it belong to TLS or HTTP.
// The crate `ppp` parses only complete headers, so up to 64 KiB per connection would have to be kept. Tests compare with it.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The part of the header that was received.
#[derive(Debug, Default)]
pub(crate) struct Preamble {
    /// Version 1: the line. Version 2: the bytes up to the end of the addresses; the rest is skipped.
    bytes: Vec<u8>,
    skipped: usize,
}

/// The state of reading.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Preface {
    /// Bytes are missing.
    Partial,
    /// The header is complete and names a client; `None`: the proxy connected on its own behalf, or does not know the client.
    Whole(Option<SocketAddr>),
    /// The header is invalid, for this reason.
    Malformed(&'static str),
    /// The remote ended its side before the end of the header.
    Ended,
}

/// The next step: how many more bytes certainly belong to the header, or the result.
enum Step {
    Keep(usize),
    Skip(usize),
    Done(Preface),
}

impl Preamble {
    /// Continues to read, no further than the header. `scratch` is memory for the bytes read.
    pub(crate) fn read<S: Read>(&mut self, stream: &mut S, scratch: &mut [u8]) -> io::Result<Preface> {
        loop {
            let (wanted, keep) = match self.step() {
                Step::Keep(wanted) => (wanted, true),
                Step::Skip(wanted) => (wanted, false),
                Step::Done(preface) => return Ok(preface),
            };
            let wanted = wanted.min(scratch.len());
            match stream.read(&mut scratch[..wanted]) {
                Ok(0) => return Ok(Preface::Ended),
                Ok(n) if keep => self.bytes.extend_from_slice(&scratch[..n]),
                Ok(n) => self.skipped += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Preface::Partial),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the number of bytes received.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.skipped
    }

    fn step(&self) -> Step {
        let bytes = self.bytes.as_slice();
        if begins_alike(bytes, V1) {
            step_v1(bytes)
        } else if begins_alike(bytes, V2) {
            step_v2(bytes, self.skipped)
        } else {
            Step::Done(Preface::Malformed(MISSING))
        }
    }
}

/// Returns whether these first bytes of a connection certainly belong to the PROXY protocol.
pub(crate) fn is_proxy_protocol(bytes: &[u8]) -> bool {
    bytes.starts_with(V1) || bytes.len() >= CERTAIN && begins_alike(bytes, V2)
}

fn begins_alike(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(one, other)| one == other)
}

/// Version 1: a line of text of at most [`LINE_LIMIT`] bytes.
fn step_v1(bytes: &[u8]) -> Step {
    let malformed = |why| Step::Done(Preface::Malformed(why));
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return match bytes.len() {
            // No header of either version is shorter.
            len @ ..SHORTEST => Step::Keep(SHORTEST - len),
            len if len + 2 <= LINE_LIMIT => Step::Keep(2),
            _ => malformed("its line is longer than 107 bytes"),
        };
    };
    match &bytes[end..] {
        b"\r" if bytes.len() < LINE_LIMIT => Step::Keep(1),
        b"\r\n" => match parse_line(&bytes[..end]) {
            Some(client) => Step::Done(Preface::Whole(client)),
            None => {
                malformed("its line is not `PROXY TCP4|TCP6 address address port port` or `PROXY UNKNOWN`")
            }
        },
        _ => malformed("its line does not end with CR LF"),
    }
}

/// Returns the client in the line; the outer `None` means that the line is invalid.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let rest: Vec<_> = words.collect();
    let [source, destination, source_port, destination_port] = rest.as_slice() else { return None };
    let address = |text: &str| match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    let port = |text: &str| text.parse().ok().filter(|port: &u16| port.to_string() == text);
    let client = SocketAddr::new(address(source)?.to_canonical(), port(source_port)?);
    address(destination)?;
    port(destination_port)?;
    Some(Some(client))
}

/// Version 2: the signature, four bytes, and as many more as the last two of those say.
fn step_v2(bytes: &[u8], skipped: usize) -> Step {
    let malformed = |why| Step::Done(Preface::Malformed(why));
    if bytes.len() < SHORTEST {
        return Step::Keep(SHORTEST - bytes.len());
    }
    if bytes.len() < HEAD_V2 {
        return Step::Keep(HEAD_V2 - bytes.len());
    }
    let len = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let (address_len, least) = match (bytes[12], bytes[13] >> 4, bytes[13] & 15) {
        // The proxy's own connection; the rest of the header must be ignored.
        (0x20, ..) => (0, 0),
        (0x21, 0, 0..=2) => (0, 0),
        (0x21, 1, 0..=2) => (12, 12),
        (0x21, 2, 0..=2) => (ADDRESSES_V6, ADDRESSES_V6),
        // Two paths of Unix sockets, which contain no address of a client.
        (0x21, 3, 0..=2) => (0, 216),
        (0x21, ..) => return malformed("it is of a family or transport that does not exist"),
        _ => return malformed("it is neither version 1 nor 2, or its command does not exist"),
    };
    if len < least {
        return malformed("it is shorter than its addresses");
    }
    if bytes.len() < HEAD_V2 + address_len {
        return Step::Keep(HEAD_V2 + address_len - bytes.len());
    }
    if skipped < len - address_len {
        return Step::Skip(len - address_len - skipped);
    }
    let addresses = &bytes[HEAD_V2..];
    let client = match *addresses {
        [a, b, c, d, _, _, _, _, high, low, ..] if address_len == 12 => {
            Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low])))
        }
        [.., high, low, _, _] if address_len == ADDRESSES_V6 => {
            let source: Option<[u8; 16]> = addresses.first_chunk().copied();
            source.map(|source| (IpAddr::V6(Ipv6Addr::from(source)), u16::from_be_bytes([high, low])))
        }
        _ => None,
    };
    Step::Done(Preface::Whole(client.map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))))
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The length of the shortest header of either version, `PROXY UNKNOWN` and CR LF.
const SHORTEST: usize = 15;
/// The longest line of version 1, CR LF included.
pub(crate) const LINE_LIMIT: usize = 107;
/// Bytes before the addresses in version 2.
pub(crate) const HEAD_V2: usize = 16;
/// Bytes of two IPv6 addresses and their ports.
pub(crate) const ADDRESSES_V6: usize = 36;
/// With this many bytes, version 2 is certain: HTTP may begin with empty lines, but not with a NUL after them.
const CERTAIN: usize = 5;

const MISSING: &str =
    "it is not there; let the proxy send it (`send-proxy-v2`), or set proxy_protocol = false";
/// The error for a connection that begins with the protocol although it may not.
pub(crate) const UNEXPECTED: &str =
    "this is the PROXY protocol, which is read with proxy_protocol = true and from trusted_proxies only";

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header that arrives in parts. Returns the result and the unread bytes.
    fn read_in(pieces: &[&[u8]]) -> (Preface, Vec<u8>) {
        let (mut preamble, mut outcome) = (Preamble::default(), Preface::Partial);
        let mut rest = Vec::new();
        for piece in pieces {
            let mut stream = Read::chain(*piece, Blocked);
            if outcome == Preface::Partial {
                outcome = preamble.read(&mut stream, &mut [0; 64]).expect("memory does not fail");
            }
            let (left, _) = stream.into_inner();
            rest.extend_from_slice(left);
        }
        (outcome, rest)
    }

    /// A stream that has no more bytes for now.
    struct Blocked;

    impl Read for Blocked {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    /// Returns the result, which must not depend on how the header is cut.
    fn read(header: &[u8]) -> Preface {
        let bytes = [header, b"GET / HTTP/1.1\r\n"].concat();
        let (outcome, rest) = read_in(&[&bytes]);
        for cut in 1..header.len() {
            let (again, left) = read_in(&[&bytes[..cut], &bytes[cut..]]);
            // Which error is found first may depend on how many bytes were received.
            let are_bad = [&again, &outcome].iter().all(|outcome| matches!(outcome, Preface::Malformed(_)));
            assert!(are_bad || again == outcome, "cut at {cut}: {again:?}, {outcome:?}");
            assert!(!matches!(outcome, Preface::Whole(_)) || left == rest, "cut at {cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        if matches!(outcome, Preface::Whole(_)) {
            assert_eq!(read_in(&single).0, outcome);
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "it ends where the header ends");
        }
        outcome
    }

    fn named(address: &str) -> Preface {
        Preface::Whole(Some(address.parse().expect("an address")))
    }

    fn v2(command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
        [V2, &[command, family], &len.to_be_bytes(), rest].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        for (line, expected) in [
            (&b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"[..], named("203.0.113.7:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", named("[2001:db8::7]:4711")),
            (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", named("203.0.113.7:1")),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 0 65535\r\n", named("1.1.1.1:0")),
            (b"PROXY UNKNOWN\r\n", Preface::Whole(None)),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Preface::Whole(None)),
        ] {
            assert_eq!(read(line), expected, "{}", String::from_utf8_lossy(line));
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_LIMIT - 16));
        assert_eq!((longest.len(), read(longest.as_bytes())), (LINE_LIMIT, Preface::Whole(None)));
    }

    #[test]
    fn version_2_names_the_client_and_the_rest_is_skipped() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187];
        let six =
            [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0x12, 0x67, 1, 187]]
                .concat();
        let extra = |len: usize| vec![0xee; len];
        for (header, expected) in [
            (v2(0x21, 0x11, 12, &four), named("203.0.113.7:4711")),
            (v2(0x21, 0x12, 12, &four), named("203.0.113.7:4711")),
            (v2(0x21, 0x21, 36, &six), named("[2001:db8::7]:4711")),
            (v2(0x21, 0x11, 12 + 300, &[&four[..], &extra(300)].concat()), named("203.0.113.7:4711")),
            (v2(0x21, 0x11, u16::MAX, &[&four[..], &extra(65_523)].concat()), named("203.0.113.7:4711")),
            (v2(0x21, 0x31, 216, &extra(216)), Preface::Whole(None)),
            (v2(0x21, 0x00, 0, b""), Preface::Whole(None)),
            (v2(0x21, 0x00, 7, &extra(7)), Preface::Whole(None)),
            // A health check by the proxy.
            (v2(0x20, 0x00, 0, b""), Preface::Whole(None)),
            (v2(0x20, 0x11, 12, &four), Preface::Whole(None)),
            (v2(0x20, 0xff, 5, &extra(5)), Preface::Whole(None)),
        ] {
            if header.len() < 1000 {
                assert_eq!(read(&header), expected, "{header:x?}");
            } else {
                assert_eq!(read_in(&[&header, b"x"]), (expected, b"x".to_vec()));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_LIMIT - 15));
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0\0",
            b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
            b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 a.example 2.2.2.2 1 2\r\n",
            b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r \n",
            b"PROXY \r\nGET / HTTP/1.1\r\n",
            b"PROXY TCP4\r\nHost: a\r\n",
            b"PROXY TCP4 \xff.1.1.1 2.2.2.2 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c............",
            too_long.as_bytes(),
        ] {
            assert!(matches!(read(bad), Preface::Malformed(_)), "{}", String::from_utf8_lossy(bad));
        }
        for bad in [
            v2(0x11, 0x11, 12, &[1; 12]),
            v2(0x31, 0x11, 12, &[1; 12]),
            v2(0x22, 0x11, 12, &[1; 12]),
            v2(0x21, 0x41, 12, &[1; 12]),
            v2(0x21, 0x13, 12, &[1; 12]),
            v2(0x21, 0x11, 11, &[1; 11]),
            v2(0x21, 0x21, 35, &[1; 35]),
        ] {
            assert!(matches!(read(&bad), Preface::Malformed(_)), "{bad:x?}");
        }
    }

    #[test]
    fn an_end_within_it_is_told_apart() {
        let header = v2(0x21, 0x11, 100, &[7; 100]);
        for len in 0..header.len() {
            let mut preamble = Preamble::default();
            let outcome = preamble.read(&mut &header[..len], &mut [0; 64]).expect("memory does not fail");
            assert_eq!((outcome, preamble.len()), (Preface::Ended, len));
            assert!(preamble.bytes.len() <= HEAD_V2 + 12, "no more is kept than is of use");
        }
    }

    #[test]
    fn another_reader_sees_the_same() {
        use rand::rngs::StdRng;
        use rand::{RngExt, SeedableRng};

        let mut random = StdRng::seed_from_u64(11);
        let seeds = [
            v2(0x21, 0x11, 20, &[9; 20]),
            v2(0x21, 0x21, 40, &[0x20; 40]),
            v2(0x20, 0x00, 3, &[1; 3]),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
        ];
        let (mut whole, mut others) = (0, 0);
        for round in 0..60_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(0..3) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = match random.random_range(0..3) {
                    0 => bytes[at] ^ 1 << random.random_range(0..8),
                    1 => *b"\r\n 0159.:fPT".get(random.random_range(0..12)).unwrap_or(&0),
                    _ => random.random(),
                };
            }
            let (ours, _) = read_in(&[&bytes]);
            let theirs = theirs(&bytes);
            match (&ours, &theirs) {
                (Preface::Whole(ours), Some(theirs)) => {
                    whole += 1;
                    assert_eq!(ours, theirs, "{}", bytes.escape_ascii());
                }
                (Preface::Whole(None), None) if bytes.get(12) == Some(&0x20) => {
                    // `ppp` requires valid addresses in a LOCAL command, which must be ignored.
                    whole += 1;
                }
                (Preface::Whole(_), None) => panic!("only we take {}", bytes.escape_ascii()),
                (_, Some(theirs)) => {
                    // `ppp` accepts ports and line ends that the specification does not allow.
                    assert!(bytes.starts_with(V1), "only we refuse {}: {theirs:?}", bytes.escape_ascii());
                    others += 1;
                }
                (_, None) => others += 1,
            }
        }
        assert!(whole > 5_000 && others > 5_000, "{whole} taken, {others} refused");
    }

    /// Returns the result of the crate `ppp`; `None` if it rejects the header.
    fn theirs(bytes: &[u8]) -> Option<Option<SocketAddr>> {
        let client = |ip: IpAddr, port| Some(SocketAddr::new(ip.to_canonical(), port));
        if bytes.starts_with(V2) {
            let header = ppp::v2::Header::try_from(bytes).ok()?;
            if header.command == ppp::v2::Command::Local {
                return Some(None);
            }
            return Some(match header.addresses {
                ppp::v2::Addresses::IPv4(ip) => client(ip.source_address.into(), ip.source_port),
                ppp::v2::Addresses::IPv6(ip) => client(ip.source_address.into(), ip.source_port),
                _ => None,
            });
        }
        let header = ppp::v1::Header::try_from(bytes).ok()?;
        Some(match header.addresses {
            ppp::v1::Addresses::Tcp4(ip) => client(ip.source_address.into(), ip.source_port),
            ppp::v1::Addresses::Tcp6(ip) => client(ip.source_address.into(), ip.source_port),
            ppp::v1::Addresses::Unknown => None,
        })
    }
}
