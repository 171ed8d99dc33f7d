//! Hostile peers: each connection ends with the right code, costs little, and causes no panic.

use bytes::Bytes;

use super::world::{ByHand, SECOND, World, assert_fails_with, frame, outbound, raw};
use crate::base::CloseReason;
use crate::channel::{Command, Notice};
use crate::config::PeerConfig;

fn closes_with(bytes: &[u8], code: u16) {
    let mut by_hand = ByHand::open(raw());
    let answer = by_hand.say(bytes);
    assert_fails_with(&answer, code, &format!("{bytes:.20?}"));
    assert!(matches!(by_hand.server.end(), Some(CloseReason::Violation(_))), "{:?}", by_hand.server.end());
}

#[test]
fn violations_end_with_their_code() {
    closes_with(b"\x82\x01x", 1002); // not masked
    closes_with(&frame(0xc2, b"x"), 1002); // reserved bit
    closes_with(&frame(0x83, b"x"), 1002); // reserved opcode
    closes_with(&frame(0x8b, b"x"), 1002); // reserved control opcode
    closes_with(&frame(0x80, b"x"), 1002); // continues nothing
    closes_with(&frame(0x09, b"x"), 1002); // fragmented ping
    closes_with(&frame(0x89, &[0; 126]), 1002); // long ping
    closes_with(&frame(0x88, b"\x03"), 1002); // half a code
    closes_with(&frame(0x81, b"\xff"), 1007);
    closes_with(&frame(0x82, &vec![0; 65_537]), 1009);
    closes_with(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009);
    let mut interrupted = frame(0x02, b"x");
    interrupted.extend(frame(0x82, b"y"));
    closes_with(&interrupted, 1002);
    let mut long = frame(0x02, &[0; 40_000]);
    long.extend(frame(0x80, &[0; 40_000]));
    closes_with(&long, 1009);
}

#[test]
fn a_client_checks_the_server_too() {
    for bad in [&b"\x82\x81\0\0\0\0x"[..], b"\xc2\x01x", b"\x83\x00", b"\x81\x01\xff"] {
        let mut world = World::connected(raw());
        world.ends.0.inject(bad);
        world.run();
        assert!(matches!(world.client.end(), Some(CloseReason::Violation(_))), "{bad:?}");
    }
}

#[test]
fn endless_fragments_are_cut() {
    let mut by_hand = ByHand::open(PeerConfig { max_message_size: Some(1000), ..raw() });
    by_hand.say(&frame(0x02, b""));
    let many = frame(0x00, b"").repeat(5000);
    let mut answer = Vec::new();
    for _ in 0..4 {
        answer.extend(by_hand.say(&many));
    }
    assert_eq!(answer, b"\x88\x02\x03\xf0");
}

#[test]
fn a_thousand_honest_fragments_pass() {
    let mut by_hand = ByHand::open(raw());
    by_hand.say(&frame(0x02, b""));
    for _ in 0..1000 {
        by_hand.say(&frame(0x00, &[1; 16]));
    }
    by_hand.say(&frame(0x80, b""));
    assert_eq!(by_hand.server.packets(), [vec![1; 16_000]]);
}

#[test]
fn pings_for_ever_are_no_message_in_too_many_fragments() {
    let mut by_hand = ByHand::open(PeerConfig { max_message_size: Some(1000), ..raw() });
    for _ in 0..100_000 {
        assert_eq!(by_hand.say(&frame(0x89, b"12345678")).len(), 10);
    }
    assert_eq!(by_hand.server.end(), None);
}

#[test]
fn a_remote_that_pings_and_does_not_read_costs_little() {
    let mut by_hand = ByHand::open(raw());
    by_hand.end.set_capacity(0);
    let pings: Vec<u8> = (0..10_000_u32).flat_map(|i| frame(0x89, &i.to_be_bytes())).collect();
    by_hand.end.inject(&pings);
    by_hand.server.run(by_hand.now);
    by_hand.end.set_capacity(64 * 1024);
    let answer = by_hand.run();
    // 64 in the queue, and one for the last ping.
    assert!(answer.len() <= 65 * 6, "{} bytes of pongs for 10,000 pings", answer.len());
    assert!(
        answer.ends_with(&[0x8a, 4, 0, 0, 0x27, 0x0f]),
        "the last one is answered: {:?}",
        &answer[answer.len() - 12..]
    );
}

#[test]
fn a_close_behind_more_pings_than_can_be_answered_is_answered() {
    // However many pongs wait, the answer to the Close has room.
    for pings in 0..500 {
        let mut by_hand = ByHand::open(raw());
        let end = [frame(0x89, b"x").repeat(pings), frame(0x88, b"\x03\xe8bye")].concat();
        let answer = by_hand.say(&end);
        assert!(answer.ends_with(b"\x88\x05\x03\xe8bye"), "behind {pings} pings");
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    // A simple generator, so that a failure can be reproduced.
    let mut state = 0x2545_f491_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for _ in 0..2000 {
        let mut by_hand = if random() % 4 == 0 { ByHand::new(raw()) } else { ByHand::open(raw()) };
        for _ in 0..random() % 6 {
            let mut bytes: Vec<u8> = (0..random() % 40).map(|_| random() as u8).collect();
            if random() % 2 == 0 {
                bytes = frame((random() as u8) | 0x80, &bytes);
            }
            by_hand.say(&bytes);
        }
        assert!(
            by_hand
                .server
                .notices
                .iter()
                .filter(|notice| matches!(notice, Notice::Disconnected { .. }))
                .count()
                <= 1
        );
    }
}

#[test]
fn a_message_in_front_of_a_violation_can_still_be_answered() {
    let mut by_hand = ByHand::open(raw());
    let mut bytes = frame(0x82, b"question");
    bytes.extend(frame(0xc2, b"reserved bit"));
    bytes.extend(frame(0x82, b"not looked at any more"));
    assert!(by_hand.say(&bytes).is_empty());
    assert_eq!(by_hand.server.packets(), [b"question"]);
    let message = outbound(Bytes::from_static(b"answer"));
    by_hand.server.shared().outgoing.add(6);
    by_hand.server.command(Command::Send { to: by_hand.conn, message }, by_hand.now);
    assert_eq!(by_hand.pass(SECOND / 5), b"\x82\x06answer\x88\x02\x03\xea");
    assert!(matches!(by_hand.server.end(), Some(CloseReason::Violation(_))));
    assert!(by_hand.server.packets().is_empty());
}

#[test]
fn one_that_leaves_behind_its_violation_is_not_waited_for() {
    let mut by_hand = ByHand::open(raw());
    let mut bytes = frame(0x82, b"last words");
    bytes.extend(frame(0x83, b"no such opcode"));
    by_hand.end.inject(&bytes);
    by_hand.end.half_close();
    assert_eq!(by_hand.run(), b"\x88\x02\x03\xea");
    assert!(matches!(by_hand.server.end(), Some(CloseReason::Violation(_))));
    assert_eq!(by_hand.server.len(), 0);
}
