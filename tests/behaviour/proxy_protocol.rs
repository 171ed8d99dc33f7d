//! Proxies that only pass bytes on, and send the client's address first, in the PROXY protocol.

use super::access::{Door, HERE, PROXY};
use super::lines::Lines;
use super::world::{End, Node, REQUEST, SECOND, raw, start};
use crate::channel::Notice;
use crate::config::ServerConfig;
use crate::tls::{TlsServer, self_signed};
use crate::wire::proxy_protocol::UNEXPECTED;

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xcb\0\x71\x07\x0a\0\0\x01\x12\x67\x01\xbb\x04\0\0";
/// A health check by the proxy.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn config() -> ServerConfig {
    ServerConfig {
        proxy_protocol: true,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..ServerConfig::default()
    }
}

/// Returns the response to the usual request after a header, and the connection.
fn knock(door: &mut Door, from: &str, header: &[u8], lines: &str) -> (String, End) {
    let (_, end) = door.arrive(from);
    let request = String::from_utf8_lossy(REQUEST).replacen("\r\n", &format!("\r\n{lines}"), 1);
    (door.say(&end, &[header, request.as_bytes()].concat()), end)
}

fn status(door: &mut Door, from: &str, header: &[u8], lines: &str) -> String {
    knock(door, from, header, lines).0.get(9..12).unwrap_or_default().to_owned()
}

#[test]
fn the_client_counts_and_not_the_proxy() {
    for (header, other) in [(V1, V2), (V2, V1)] {
        let mut door = Door::new(ServerConfig { max_connections_per_address: 1, ask: true, ..config() });
        let (silence, end) = knock(&mut door, PROXY, header, "");
        assert_eq!(silence, "", "the game is asked");
        assert_eq!(door.asked().remove(0).address, "203.0.113.7:4711".parse().expect("an address"));
        assert_eq!(status(&mut door, PROXY, other, ""), "429", "the same client");
        // The client is counted when the header names it, as others are when they connect.
        let (_, silent) = door.arrive(PROXY);
        assert!(door.say(&silent, other).starts_with("HTTP/1.1 429 "));
        assert_eq!(status(&mut door, HERE, b"", ""), "", "another one, without a proxy");
        end.cut();
        door.pass(SECOND / 10);
        assert_eq!(status(&mut door, PROXY, other, ""), "", "it is gone");
    }
}

#[test]
fn however_it_is_cut_up_it_is_read_and_nothing_behind_it_is_lost() {
    for header in [V1, V2] {
        let bytes = [header, REQUEST].concat();
        let mut door = Door::new(config());
        let (_, end) = door.arrive(PROXY);
        let mut answer = String::new();
        for byte in &bytes {
            answer += &door.say(&end, &[*byte]);
        }
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(door.node.shared().info.address, "203.0.113.7:4711".parse().expect("an address"));
        assert_eq!(door.node.counters().bytes_in.get(), bytes.len() as u64);
    }
}

#[test]
fn a_check_by_the_proxy_counts_for_nobody() {
    let mut door =
        Door::new(ServerConfig { health_path: "/".into(), max_connections_per_address: 1, ..config() });
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        for _ in 0..3 {
            let (_, end) = door.arrive(PROXY);
            let answer = door.say(&end, &[header, b"OPTIONS / HTTP/1.0\r\n\r\n"].concat());
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            // A connection that sends nothing.
            let (_, end) = door.arrive(PROXY);
            door.say(&end, header);
            door.leave(&end);
            let (_, end) = door.arrive(PROXY);
            door.leave(&end);
            // HAProxy's own health check resets the connection.
            let (_, end) = door.arrive(PROXY);
            door.say(&end, header);
            end.reset();
            door.pass(SECOND / 10);
        }
    }
    assert_eq!(door.node.counters().health_checks.get(), 6);
    assert_eq!(door.node.counters().handshakes_refused.get(), 0, "none of them is one");
}

#[test]
fn a_proxy_in_front_of_a_proxy_is_believed_what_it_forwards() {
    let mut door = Door::new(config());
    let chain: &[u8] = b"PROXY TCP4 10.0.0.2 10.0.0.1 4711 80\r\n";
    let forwarded = "X-Forwarded-For: 198.51.100.1\r\n";
    assert_eq!(status(&mut door, PROXY, chain, forwarded), "101");
    assert_eq!(door.node.shared().info.address, "198.51.100.1:0".parse().expect("an address"));
    // A client that does the same is not a health check.
    assert_eq!(status(&mut door, PROXY, V1, forwarded), "101");
    assert_eq!(door.node.shared().info.address, "203.0.113.7:4711".parse().expect("an address"));
}

#[test]
fn a_trusted_proxy_must_and_nobody_else_may() {
    let mut door = Door::new(config());
    for (from, bytes) in [
        (PROXY, REQUEST.to_vec()),
        (PROXY, [b"PROXY TCP4 nonsense\r\n", REQUEST].concat()),
        (HERE, [V1, REQUEST].concat()),
        (HERE, [V2, REQUEST].concat()),
    ] {
        let (_, end) = door.arrive(from);
        let answer = door.say(&end, &bytes);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{from}: {answer}");
        let why = if from == HERE { UNEXPECTED } else { "must send the PROXY protocol" };
        assert!(answer.contains(why), "{from}: {answer}");
    }
    assert_eq!(status(&mut door, HERE, b"", ""), "101", "without a proxy all is as ever");
    assert_eq!(door.node.counters().refused_malformed.get(), 4);
    let (_, end) = door.arrive(PROXY);
    door.say(&end, &V1[..20]);
    door.leave(&end);
    assert_eq!(door.node.counters().refused_malformed.get(), 5, "it ends within the header");
}

#[test]
fn where_it_is_not_expected_it_is_named() {
    let mut door = Door::new(ServerConfig { proxy_protocol: false, ..config() });
    for header in [V1, V2, LOCAL, b"PROXY UNKNOWN\r\n"] {
        for request in [REQUEST, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b""] {
            let (_, end) = door.arrive(PROXY);
            let answer = door.say(&end, &[header, request].concat());
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(UNEXPECTED), "{answer}");
        }
    }
}

#[test]
fn a_header_that_does_not_come_has_the_time_of_a_handshake() {
    for part in [&b""[..], &V1[..9], &V2[..20]] {
        let mut door = Door::new(config());
        let (_, end) = door.arrive(PROXY);
        door.say(&end, part);
        door.pass(2 * SECOND);
        assert_eq!(door.node.len(), 1);
        door.pass(2 * SECOND);
        assert_eq!((door.node.len(), door.node.hub().pending_len()), (0, 0), "{part:?}");
        assert_eq!(door.node.counters().handshakes_timed_out.get(), 1);
    }
}

#[test]
fn whoever_is_silent_behind_a_proxy_makes_room_and_one_that_is_named_has_a_share() {
    let mut door = Door::new(ServerConfig { max_pending: 64, ..config() });
    for _ in 0..64 {
        let (_, end) = door.arrive(PROXY);
        door.say(&end, V2);
    }
    door.pass(2 * SECOND);
    // One of the many connections of the named address is evicted, not one of another address.
    let room = door.node.make_room(HERE, door.now);
    assert!(matches!(room, crate::hub::EvictionOutcome::Evicted(_)), "{room:?}");
    assert_eq!(door.node.counters().pending_evicted.get(), 1);
}

#[test]
fn it_comes_before_tls() {
    let (key, certificate) = self_signed("localhost");
    let tls = || Some(TlsServer::new(&key, &certificate, "").expect("usable"));
    for header in [V1, V2, LOCAL] {
        let mut server = Node::gated(ServerConfig { peer: raw(), tls: tls(), ..config() });
        let mut client = Node::encrypted_client(raw());
        let (server_end, client_end) = End::pair(64 * 1024, usize::MAX);
        let now = start();
        client_end.inject(header);
        server.accept_from(PROXY, server_end, now);
        client.dial(client_end, now);
        while server.run(now) | client.run(now) {}
        let address = if header == LOCAL { PROXY } else { "203.0.113.7:4711" };
        assert_eq!(server.shared().info.address, address.parse().expect("an address"));
        assert!(client.has(|notice| matches!(notice, Notice::Connected { .. })));
    }
    // A health check that ends before TLS, by a close or a reset.
    for bytes in [&b""[..], LOCAL] {
        for resets in [false, true] {
            let mut server = Node::gated(ServerConfig { peer: raw(), tls: tls(), ..config() });
            let (server_end, end) = End::pair(64 * 1024, usize::MAX);
            server.accept_from(PROXY, server_end, start());
            end.inject(bytes);
            if resets {
                end.reset()
            } else {
                end.cut()
            }
            while server.run(start()) {}
            assert_eq!(
                (server.len(), server.counters().handshakes_refused.get()),
                (0, 0),
                "{bytes:?} {resets}"
            );
        }
    }
    // If the header is missing or unexpected, there is no TLS session in which to report that.
    let hello: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    for (proxy_protocol, from, bytes) in
        [(true, PROXY, hello), (false, PROXY, V1), (false, PROXY, V2), (true, HERE, V2)]
    {
        let mut server = Node::gated(ServerConfig { peer: raw(), tls: tls(), proxy_protocol, ..config() });
        Lines::catch();
        let (server_end, end) = End::pair(64 * 1024, usize::MAX);
        server.accept_from(from, server_end, start());
        end.inject(bytes);
        while server.run(start()) {}
        let why = if proxy_protocol && from == PROXY { "it is not there" } else { UNEXPECTED };
        let told = Lines::with("no handshake with");
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
        assert_eq!((server.len(), server.counters().handshakes_refused.get()), (0, 1));
    }
}
