//! Each limit that a peer reaches is counted, and the number of log lines is bounded.

use super::lines::Lines;
use super::world::{ByHand, End, Node, REQUEST, SECOND, frame, raw, start};
use crate::config::{Buffers, PeerConfig, ServerConfig};

#[test]
fn a_violation_and_a_large_message_are_counted() {
    let mut by_hand = ByHand::open(PeerConfig { max_message_size: Some(10), ..raw() });
    by_hand.say(&frame(0x82, &[1; 11]));
    assert_eq!(by_hand.server.counters().peers_violated.get(), 1);
    let mut by_hand = ByHand::open(raw());
    by_hand.say(&frame(0x83, b"no such opcode"));
    assert_eq!(by_hand.server.counters().peers_violated.get(), 1);
    assert_eq!(by_hand.server.counters().peers_timed_out.get(), 0);
    // A peer that closes properly does not count.
    let mut by_hand = ByHand::open(raw());
    by_hand.say(&frame(0x88, b""));
    assert!(by_hand.server.end().is_some());
    assert_eq!(by_hand.server.counters().peers_violated.get(), 0);
}

#[test]
fn silence_is_counted() {
    let mut by_hand = ByHand::open(raw());
    by_hand.pass(61 * SECOND);
    assert_eq!(by_hand.server.counters().peers_timed_out.get(), 1);
    assert_eq!(by_hand.server.counters().peers_violated.get(), 0);
}

#[test]
fn a_full_input_buffer_is_counted_once_for_each_pause() {
    let buffers = Buffers { input_packets: 2, ..Buffers::default() };
    let mut by_hand = ByHand::open(PeerConfig { buffers, ..raw() });
    let paused = |by_hand: &ByHand| by_hand.server.counters().reads_paused.get();
    by_hand.say(&[frame(0x82, b"1"), frame(0x82, b"2")].concat());
    assert_eq!(paused(&by_hand), 0);
    by_hand.say(&frame(0x82, b"3").repeat(10));
    by_hand.pass(SECOND);
    assert_eq!(paused(&by_hand), 1, "however long it takes");
    by_hand.server.packets();
    by_hand.run();
    assert_eq!(paused(&by_hand), 2);
}

#[test]
fn a_sender_above_its_rate_is_counted() {
    let config = ServerConfig { max_inbound_per_second: 1000, peer: raw(), ..ServerConfig::default() };
    let (mut server, now) = (Node::gated(config), start());
    let (server_end, end) = End::pair(64 * 1024, usize::MAX);
    server.accept(server_end, now);
    end.inject(REQUEST);
    server.run(now);
    assert_eq!(server.counters().reads_paused.get(), 0);
    end.inject(&frame(0x82, &[1; 900]).repeat(20));
    server.run(now);
    assert_eq!(server.counters().reads_paused.get(), 1);
}

#[test]
fn pings_that_are_not_answered_are_counted() {
    let mut by_hand = ByHand::open(raw());
    let unanswered = |by_hand: &ByHand| by_hand.server.counters().pings_unanswered.get();
    by_hand.say(&frame(0x89, b"x").repeat(60));
    assert_eq!(unanswered(&by_hand), 0);
    by_hand.end.set_capacity(0);
    by_hand.end.inject(&frame(0x89, b"x").repeat(1000));
    by_hand.server.run(by_hand.now);
    assert!((800..1000).contains(&unanswered(&by_hand)), "{}", unanswered(&by_hand));
}

/// A peer that connects, sends something, and is closed for it or leaves.
fn come_and(server: &mut Node, address: &str, says: &[u8], now: std::time::Instant) {
    let (server_end, end) = End::pair(64 * 1024, usize::MAX);
    server.accept_from(address, server_end, now);
    end.inject(REQUEST);
    server.run(now);
    end.inject(says);
    end.half_close();
    while server.run(now) {}
}

#[test]
fn one_line_a_minute_is_written_about_violations_from_an_address() {
    Lines::catch();
    let (mut server, now) = (Node::server(raw()), start());
    let bad = frame(0x83, b"");
    for _ in 0..100 {
        come_and(&mut server, "192.0.2.7:1000", &bad, now);
    }
    come_and(&mut server, "192.0.2.8:1000", &bad, now);
    let lines = Lines::with("was connected for");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("192.0.2.7") && lines[1].contains("192.0.2.8"), "{lines:?}");
    come_and(&mut server, "192.0.2.7:1000", &bad, now + 60 * SECOND);
    let last = Lines::with("was connected for").pop().expect("a third line");
    assert!(last.ends_with("(99 more from there since the last such line)"), "{last}");
    assert_eq!(server.counters().peers_violated.get(), 102);
}

#[test]
fn players_of_a_household_may_leave_together_but_not_for_ever() {
    Lines::catch();
    let (mut server, now) = (Node::server(raw()), start());
    for _ in 0..100 {
        come_and(&mut server, "192.0.2.7:1000", &frame(0x88, b""), now);
    }
    assert_eq!(Lines::with("was connected for").len(), 10);
    // Their log lines do not suppress those about the violations of others at that address.
    come_and(&mut server, "192.0.2.7:1000", &frame(0x83, b""), now);
    assert_eq!(Lines::with("protocol violation").len(), 1);
}
