//! Everything invalid that a remote can send, one row each: the connection ends as it should, no other peer is affected, and the server
//! continues.

use super::world::{End, Node, REQUEST, assert_fails_with, frame, multiplayer, raw};
use crate::base::{CloseReason, ConnId};
use crate::channel::Notice;
use crate::config::PeerConfig;

/// A server with an honest peer, and further connections.
struct Town {
    now: std::time::Instant,
    server: Node,
    honest: End,
}

impl Town {
    fn new(config: PeerConfig) -> Self {
        let mut town =
            Self { now: super::world::start(), server: Node::server(config), honest: End::pair(0, 0).0 };
        town.honest = town.comes(REQUEST).1;
        assert!(town.honest.take_all().starts_with(b"HTTP/1.1 101 "));
        town
    }

    fn comes(&mut self, bytes: &[u8]) -> (ConnId, End) {
        let (server_end, end) = End::pair(1 << 20, usize::MAX);
        let conn = self.server.accept(server_end, self.now);
        end.inject(bytes);
        self.server.run(self.now);
        (conn, end)
    }

    /// Lets time pass, so that every connection ends that has to.
    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds * 10 {
            self.now += std::time::Duration::from_millis(100);
            self.server.run(self.now);
        }
    }

    /// Returns the packets of the last connection; the game takes them at once.
    fn receive_all(&mut self) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        loop {
            self.server.run(self.now);
            let more = self.server.packets();
            if more.is_empty() {
                return received;
            }
            received.extend(more);
        }
    }

    /// Checks that the honest peer's packets still arrive, and that another peer can still connect.
    fn lives(&mut self, row: &str) {
        let received =
            |notice: &Notice| matches!(notice, Notice::Packet(packet) if packet.payload == b"still here"[..]);
        self.server.notices.retain(|notice| !received(notice));
        self.honest.inject(&frame(0x82, b"still here"));
        self.server.run(self.now);
        assert!(self.server.has(received), "{row}: the honest peer is not served");
        let (_, other) = self.comes(REQUEST);
        assert!(other.take_all().starts_with(b"HTTP/1.1 101 "), "{row}: nobody gets in any more");
        other.cut();
        self.server.run(self.now);
        assert_eq!(self.server.hub().pending_len(), 0, "{row}: a handshake is left");
    }
}

/// A request with one line replaced or added.
fn request(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(REQUEST.to_vec()).expect("text");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn more(line: &str) -> Vec<u8> {
    request("Host: h\r\n", &format!("Host: h\r\n{line}\r\n"))
}

#[test]
fn bad_heads_get_their_status() {
    let long_target = format!("GET /{} HTTP/1.1", "a".repeat(17_000));
    let lines = "A: b\r\n".repeat(140);
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an oversized target", request("GET /game HTTP/1.1", &long_target), "431"),
        ("an oversized header", more(&format!("A: {}", "b".repeat(17_000))), "431"),
        ("too many headers", more(lines.trim_end()), "431"),
        ("no method", request("GET ", " "), "400"),
        ("no version", request(" HTTP/1.1", ""), "400"),
        ("two spaces", request("GET /", "GET  /"), "400"),
        ("a tab", request("GET /", "GET\t/"), "400"),
        ("words", b"hello there\r\n\r\n".to_vec(), "400"),
        ("an empty line first", b"\r\n\r\n".to_vec(), "400"),
        ("asterisk", request("/game", "*"), "400"),
        ("authority form", request("/game", "h:80"), "400"),
        ("another scheme", request("/game", "file:///etc"), "400"),
        ("POST", request("GET", "POST"), "405"),
        ("HEAD", request("GET", "HEAD"), "405"),
        ("CONNECT", request("GET /game", "CONNECT h:80"), "405"),
        ("HTTP/1.0", request("HTTP/1.1", "HTTP/1.0"), "505"),
        ("HTTP/2", request("HTTP/1.1", "HTTP/2.0"), "505"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "505"),
        ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec(), "400"),
        ("zeros", vec![0; 100], "400"),
        ("no Host", request("Host: h\r\n", ""), "400"),
        ("two Hosts", more("Host: h"), "400"),
        ("no Upgrade", request("Upgrade: websocket\r\n", ""), "426"),
        ("another Upgrade", request("Upgrade: websocket", "Upgrade: h2c"), "426"),
        ("an empty Upgrade", request("Upgrade: websocket", "Upgrade:"), "426"),
        ("no Connection", request("Connection: Upgrade\r\n", ""), "426"),
        ("another Connection", request("Connection: Upgrade", "Connection: close"), "426"),
        ("no key", request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400"),
        ("an empty key", request("dGhlIHNhbXBsZSBub25jZQ==", ""), "400"),
        ("a short key", request("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), "400"),
        ("a key that is no base64", request("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), "400"),
        ("two keys", more("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), "400"),
        ("no version header", request("Sec-WebSocket-Version: 13\r\n", ""), "400"),
        ("version 8", request("Version: 13", "Version: 8"), "426"),
        ("two versions", more("Sec-WebSocket-Version: 13"), "426"),
        ("a list of versions", request("Version: 13", "Version: 13, 8"), "426"),
        ("a body", more("Content-Length: 5"), "400"),
        ("chunks", more("Transfer-Encoding: chunked"), "400"),
        ("a folded line", more("A: b\r\n c"), "400"),
        ("a folded line with a tab", more("A: b\r\n\tc"), "400"),
        ("a space before the colon", more("A : b"), "400"),
        ("no colon", more("A"), "400"),
        ("no name", more(": b"), "400"),
        ("a NUL in a value", more("A: b\0c"), "400"),
        ("a NUL in a name", more("A\0: b"), "400"),
        ("an escape in a value", more("A: \x1b[31m"), "400"),
        ("DEL in a value", more("A: \x7f"), "400"),
        ("a bare CR in a value", more("A: b\rc: d"), "400"),
        ("a bare LF", request("Host: h\r\n", "Host: h\n"), "400"),
        ("bare LFs only", String::from_utf8_lossy(REQUEST).replace('\r', "").into_bytes(), "400"),
        ("subprotocols that are none", more("Sec-WebSocket-Protocol: a b"), "400"),
    ];
    for (row, bytes, status) in rows {
        let mut town = Town::new(raw());
        let before = town.server.notices.len();
        let (_, end) = town.comes(&bytes);
        let answer = end.take_all();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        assert!(shown.starts_with(&format!("HTTP/1.1 {status} ")), "{row}: {shown}");
        let (_, body) = shown.split_once("\r\n\r\n").expect("a whole answer");
        assert!(
            (body.len() > 5 || body.is_empty() && row == "HEAD")
                && !body.trim_end().chars().any(char::is_control),
            "{row}: says why: {body:?}"
        );
        assert_eq!(town.server.notices.len(), before, "{row}: the game hears of it");
        town.wait(4);
        assert_eq!(town.server.len(), 1, "{row}: it is dropped");
        town.lives(row);
    }
}

#[test]
fn a_head_that_stops_anywhere_is_cut() {
    for len in 1..REQUEST.len() {
        let mut town = Town::new(raw());
        let (_, end) = town.comes(&REQUEST[..len]);
        end.half_close();
        town.server.run(town.now);
        assert!(end.take_all().starts_with(b"HTTP/1.1 400 "), "{len} bytes");
        end.cut();
        town.server.run(town.now);
        assert_eq!((town.server.len(), town.server.hub().pending_len()), (1, 0), "{len} bytes");
    }
}

#[test]
fn bad_frames_get_their_code() {
    let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", b"\x82\x01x".to_vec(), 1002),
        ("not masked, empty", b"\x82\x00".to_vec(), 1002),
        ("an unmasked ping", b"\x89\x00".to_vec(), 1002),
        ("RSV1", frame(0xc2, b"x"), 1002),
        ("RSV2", frame(0xa2, b"x"), 1002),
        ("RSV3", frame(0x92, b"x"), 1002),
        ("RSV1 on a ping", frame(0xc9, b"x"), 1002),
        ("opcode 3", frame(0x83, b""), 1002),
        ("opcode 7", frame(0x87, b""), 1002),
        ("opcode 11", frame(0x8b, b""), 1002),
        ("opcode 15", frame(0x8f, b""), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a fragmented close", frame(0x08, b"\x03\xe8"), 1002),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
        ("a pong of 126 bytes", frame(0x8a, &[0; 126]), 1002),
        ("a close of 126 bytes", frame(0x88, &[3; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("a message inside a message", two(frame(0x02, b"x"), frame(0x82, b"y")), 1002),
        ("text inside a message", two(frame(0x02, b"x"), frame(0x81, b"y")), 1002),
        ("half a close code", frame(0x88, b"\x03"), 1002),
        ("a close reason that is no text", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("text that is none", frame(0x81, b"\xc3\x28"), 1007),
        ("text cut inside a character", frame(0x81, b"\xe2\x82"), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("bad text over two frames", two(frame(0x01, b"a\xe2"), frame(0x80, b"\x28\xa1")), 1007),
        ("bad text with more to come", two(frame(0x01, b"a\xf4"), frame(0x00, b"\x90\x80\x80")), 1007),
        ("a character that never ends", two(frame(0x01, b"\xe2\x82"), frame(0x80, b"")), 1007),
        ("a large message", frame(0x82, &vec![0; 65_537]), 1009),
        ("the head of a large message", b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0".to_vec(), 1009),
        ("2^63 - 1 bytes", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(), 1009),
        ("2^63 bytes", b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), 1009),
        ("2^64 - 1 bytes", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(), 1009),
        ("a ping of 2^63 bytes", b"\x89\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), 1009),
        ("large in fragments", two(frame(0x02, &[0; 40_000]), frame(0x80, &[0; 40_000])), 1009),
    ];
    for (row, bytes, code) in rows {
        for config in [raw(), multiplayer()] {
            let mut town = Town::new(config);
            let (_, end) = town.comes(REQUEST);
            end.take_all();
            // Bytes after it are ignored.
            end.inject(&[bytes.clone(), frame(0x82, b"behind")].concat());
            town.server.run(town.now);
            assert_fails_with(&end.take_all(), code, row);
            assert!(matches!(town.server.end(), Some(CloseReason::Violation(_))), "{row}");
            assert!(
                !town.server.has(|notice| matches!(notice, Notice::Packet(_))),
                "{row}: something was delivered"
            );
            town.wait(4);
            assert_eq!(town.server.len(), 1, "{row}: it is dropped");
            town.lives(row);
        }
    }
}

#[test]
fn bad_close_codes_are_answered_as_protocol_errors() {
    for code in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let mut town = Town::new(raw());
        let (_, end) = town.comes(REQUEST);
        end.take_all();
        end.inject(&frame(0x88, &code.to_be_bytes()));
        town.server.run(town.now);
        let answer = end.take_all();
        assert_eq!((answer[0], &answer[2..4]), (0x88, &1002_u16.to_be_bytes()[..]), "{code}");
        town.lives(&code.to_string());
    }
}

/// What happens to a peer that floods.
enum Fate {
    /// The peer is disconnected, or has closed the connection.
    Ends,
    /// The peer gets this many bytes of answers, and its last message still arrives.
    Stays { answers: usize, last: Vec<u8>, received: &'static [u8] },
}

#[test]
fn floods_cost_little_and_harm_nobody() {
    let small = |opcode: u8, n: usize| frame(opcode, b"").repeat(n);
    let stays = |answers| Fate::Stays { answers, last: frame(0x82, b"and now"), received: b"and now" };
    // If it does not read, 64 pongs wait, and one that answers the last ping.
    let pongs = |size: usize| 65 * (2 + size);
    let goes_on = Fate::Stays { answers: pongs(0), last: frame(0x80, b"and now"), received: b"xand now" };
    let rows: Vec<(&str, Vec<u8>, Fate)> = vec![
        ("empty fragments", [frame(0x02, b""), small(0x00, 100_000)].concat(), Fate::Ends),
        ("fragments of one byte", [frame(0x02, b""), frame(0x00, b"x").repeat(100_000)].concat(), Fate::Ends),
        ("pings", frame(0x89, &[7; 125]).repeat(10_000), stays(pongs(125))),
        ("small pings", small(0x89, 100_000), stays(pongs(0))),
        ("pongs", frame(0x8a, &[7; 125]).repeat(10_000), stays(0)),
        ("small pongs", small(0x8a, 100_000), stays(0)),
        ("pings between fragments", [frame(0x02, b"x"), small(0x89, 50_000)].concat(), goes_on),
        ("empty messages", small(0x82, 100_000), stays(0)),
        ("empty messages in fragments", [small(0x02, 1), small(0x80, 1)].concat().repeat(50_000), stays(0)),
        ("messages of one byte", frame(0x82, b"x").repeat(100_000), stays(0)),
        (
            "data behind a close",
            [frame(0x88, b"\x03\xe8"), frame(0x82, &[7; 1000]).repeat(2000)].concat(),
            Fate::Ends,
        ),
    ];
    for (row, bytes, fate) in rows {
        let mut town = Town::new(raw());
        let (_, end) = town.comes(REQUEST);
        end.take_all();
        let shared = town.server.shared();
        // It does not read the answers.
        end.set_capacity(0);
        end.inject(&bytes);
        town.server.run(town.now);
        let waiting = town.server.notices.iter().filter(|notice| matches!(notice, Notice::Packet(_))).count();
        assert!(waiting <= 1024, "{row}: {waiting} packets wait for the game");
        assert_eq!(shared.outgoing.load(), (0, 0), "{row}: it is sent no packet");
        let mut received = town.receive_all();
        end.set_capacity(1 << 20);
        town.server.run(town.now);
        let answer = end.take_all().len();
        match fate {
            Fate::Ends => {
                assert!(town.server.end().is_some(), "{row}: it stays");
                assert!(answer <= 4, "{row}: {answer} bytes of answers had piled up");
            }
            Fate::Stays { answers, last, received: wanted } => {
                assert_eq!(answer, answers, "{row}: answers that had piled up");
                end.inject(&last);
                received.extend(town.receive_all());
                assert_eq!(
                    received.last().map(Vec::as_slice),
                    Some(wanted),
                    "{row}: its message does not arrive any more"
                );
                assert_eq!((town.server.end(), shared.incoming.load()), (None, (0, 0)), "{row}");
            }
        }
        town.lives(row);
        end.cut();
        town.wait(4);
        assert_eq!(town.server.hub().pending_len(), 0, "{row}");
    }
}

#[test]
fn what_comes_behind_a_close_is_neither_kept_nor_waited_for() {
    let mut town = Town::new(raw());
    let (_, end) = town.comes(REQUEST);
    end.take_all();
    end.inject(&frame(0x88, b"\x03\xe8"));
    for _ in 0..50 {
        end.inject(&frame(0x82, &[7; 60_000]));
        town.now += std::time::Duration::from_millis(100);
        town.server.run(town.now);
    }
    assert_eq!(town.server.len(), 1, "it was dropped although it went on talking");
    assert!(!town.server.has(|notice| matches!(notice, Notice::Packet(_))));
    town.lives("data behind a close");
}

#[test]
fn pending_handshakes_end_by_themselves() {
    let mut town = Town::new(raw());
    let ends: Vec<_> = (0..500).map(|n| town.comes(&REQUEST[..n % 100]).1).collect();
    assert_eq!(town.server.hub().pending_len(), 500);
    town.lives_with_pending(500);
    town.wait(5);
    drop(ends);
    assert_eq!((town.server.len(), town.server.hub().pending_len()), (1, 0));
    town.lives("pending handshakes");
}

impl Town {
    fn lives_with_pending(&mut self, pending: usize) {
        let (_, other) = self.comes(REQUEST);
        assert!(other.take_all().starts_with(b"HTTP/1.1 101 "));
        other.cut();
        self.server.run(self.now);
        assert_eq!(self.server.hub().pending_len(), pending);
    }
}
