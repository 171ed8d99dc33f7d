//! Rejected clients are counted by reason, and the number of log lines is bounded.

use super::access::{Door, HERE, PROXY};
use super::lines::Lines;
use super::world::{REQUEST, SECOND};
use crate::config::ServerConfig;
use crate::decision::AdmissionDecision;
use crate::tls::{TlsServer, self_signed};

const LINE: &str = "no handshake with";

/// Checks that no line can affect the terminal or the file that it is written to.
fn assert_harmless(lines: &[String]) {
    let bad = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{202e}');
    assert!(!lines.iter().any(|line| line.contains(bad)), "{lines:?}");
}

#[test]
fn one_line_a_minute_is_written_about_an_address_that_is_refused() {
    Lines::catch();
    let mut door = Door::new(ServerConfig::default());
    let refused: &[&[u8]] = &[
        b"GET /\x1b[2J\x07 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Name: a\x1b[31mb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\x08: x\r\n\r\n",
        b"\x1b]0;owned\x07 / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
    ];
    for round in 0..20 {
        for bytes in refused {
            let (_, end) = door.arrive(&format!("192.0.2.1:{}", 1000 + round));
            let answer = door.say(&end, bytes);
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    let (_, end) = door.arrive("[2001:db8::1]:5");
    door.say(&end, refused[0]);
    let lines = Lines::with(LINE);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("INFO no handshake with 192.0.2.1:1000: refused with 400: "), "{lines:?}");
    assert!(lines[1].starts_with("INFO no handshake with [2001:db8::1]:5: refused with 400: "), "{lines:?}");
    door.pass(60 * SECOND);
    door.knock(HERE, "Content-Length: 1\r\n");
    let lines = Lines::with(LINE);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].ends_with(" (99 more from there since the last such line)"), "{lines:?}");
    assert_harmless(&lines);
    assert_eq!(door.node.counters().refused_malformed.get(), 102);
}

#[test]
fn what_the_game_repeats_of_a_request_is_escaped() {
    Lines::catch();
    let mut door = Door::asking();
    for _ in 0..100 {
        door.knock(HERE, "X-Name: \u{202e}nimda\u{2028}ERROR all is lost\r\n");
        let request = door.asked().remove(0);
        let name = &request.headers.iter().find(|(name, _)| name == "x-name").expect("it was sent").1;
        let reason = format!("who is {name}?");
        let decision = AdmissionDecision::new(&request, 403, &reason, &[], "").expect("no control character");
        door.decide(&request, decision);
    }
    let lines = Lines::with(LINE);
    assert_eq!(
        lines,
        [format!(
            "INFO {LINE} {HERE}: refused with 403: who is \\u{{202e}}nimda\\u{{2028}}ERROR all is lost?"
        )]
    );
    assert_harmless(&lines);
    assert_eq!(door.node.counters().refused_handler.get(), 100);
}

#[test]
fn who_is_not_even_taken_is_counted_and_written_down_as_rarely() {
    Lines::catch();
    let mut door = Door::new(ServerConfig::default());
    for _ in 0..100 {
        door.node.driver.hub.note_not_taken(HERE.parse().expect("an address"), door.now);
    }
    assert_eq!(
        Lines::with(LINE),
        [format!("INFO {LINE} {HERE}: its address already has its share of the pending connections")]
    );
    let counters = door.node.counters();
    assert_eq!((counters.pending_evicted.get(), counters.handshakes_refused.get()), (100, 100));
}

#[test]
fn a_handshake_that_takes_too_long_is_counted_as_that() {
    let timed_out = |door: &Door| {
        let counters = door.node.counters();
        assert_eq!((counters.refused_malformed.get(), counters.pending_evicted.get()), (0, 0));
        assert_eq!(counters.handshakes_refused.get(), counters.handshakes_timed_out.get());
        counters.handshakes_timed_out.get()
    };
    let mut door = Door::new(ServerConfig::default());
    let (_, half) = door.arrive(HERE);
    door.say(&half, &REQUEST[..REQUEST.len() / 2]);
    door.pass(3 * SECOND - SECOND / 10);
    assert_eq!(timed_out(&door), 0);
    door.pass(SECOND / 5);
    assert!(door.receive(&half).starts_with("HTTP/1.1 408 "));
    assert_eq!(timed_out(&door), 1);
    let (_, _silent) = door.arrive(PROXY);
    door.pass(4 * SECOND);
    assert_eq!(timed_out(&door), 2);

    let (key, certificate) = self_signed("localhost");
    let tls = TlsServer::new(&key, &certificate, "").expect("usable");
    let mut door = Door::new(ServerConfig { tls: Some(tls), ..ServerConfig::default() });
    let (_, half) = door.arrive(HERE);
    // A handshake record that is shorter than announced.
    assert_eq!(door.say(&half, b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"), "");
    door.pass(4 * SECOND);
    assert_eq!(timed_out(&door), 1);
    assert_eq!(door.node.len(), 0);
}
