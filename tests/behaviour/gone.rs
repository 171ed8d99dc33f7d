//! Remotes that disconnect while they are not read: because the game takes nothing, because they are throttled, or because a Close is under
//! way.

use std::time::{Duration, Instant};

use super::world::{ByHand, End, Node, REQUEST, SECOND, frame, raw, start};
use crate::base::{CloseFrame, CloseReason, ConnId, Side};
use crate::channel::{Command, Notice, PeerState};
use crate::config::{Buffers, PeerConfig, ServerConfig};

const MESSAGES: usize = 10;

/// A peer that has sent ten messages, of which two fit the input buffer.
fn unread() -> ByHand {
    let buffers = Buffers { input_packets: 2, ..Buffers::default() };
    let mut by_hand = ByHand::open(PeerConfig { buffers, heartbeat_interval: Duration::ZERO, ..raw() });
    for number in 0..MESSAGES {
        by_hand.end.inject(&frame(0x82, &[number as u8; 100]));
    }
    by_hand.run();
    assert!(waiting(&by_hand) == 2 && by_hand.server.unread() == 0, "the rest is kept by the session");
    by_hand
}

/// Returns the packets that the game has not taken.
fn waiting(by_hand: &ByHand) -> usize {
    by_hand.server.notices.iter().filter(|notice| matches!(notice, Notice::Packet(_))).count()
}

/// Takes one packet, as a game does.
fn take(by_hand: &mut ByHand) -> bool {
    let shared = by_hand.server.shared();
    let Some(at) = by_hand.server.notices.iter().position(|notice| matches!(notice, Notice::Packet(_)))
    else {
        return false;
    };
    let Notice::Packet(packet) = by_hand.server.notices.remove(at) else { return false };
    by_hand.server.game_took(&shared, packet.payload.len(), 1, by_hand.now);
    true
}

#[test]
fn a_peer_that_is_gone_is_told_although_the_game_reads_nothing() {
    for (how, go) in [("reset", End::reset as fn(&End)), ("cut", End::cut), ("half-closed", End::half_close)]
    {
        let mut by_hand = unread();
        assert_eq!(by_hand.server.shared().state(), PeerState::Open);
        go(&by_hand.end);
        by_hand.run();
        assert_eq!(by_hand.server.shared().state(), PeerState::Closing, "{how}: nothing can be said to it");
        by_hand.pass(SECOND * 29 / 10);
        assert_eq!(by_hand.server.end(), None, "{how}: the game may still take it");
        by_hand.pass(SECOND / 5);
        assert!(matches!(by_hand.server.end(), Some(CloseReason::TransportError(_))), "{how}");
        assert_eq!((by_hand.server.len(), waiting(&by_hand)), (0, 2), "{how}: what the game had stays");
    }
}

#[test]
fn a_game_that_takes_its_time_gets_all_of_what_a_peer_had_sent() {
    let mut by_hand = unread();
    by_hand.end.inject(&frame(0x88, b"\x03\xe8"));
    by_hand.end.half_close();
    by_hand.run();
    for number in 0..MESSAGES {
        by_hand.pass(2 * SECOND);
        assert!(take(&mut by_hand), "message {number} of {MESSAGES}");
    }
    by_hand.pass(SECOND / 2);
    let normal = CloseReason::Closed { by: Side::Remote, code: 1000, reason: String::new() };
    assert_eq!(by_hand.server.end(), Some(&normal));
}

#[test]
fn a_game_that_takes_some_of_it_is_not_hurried_before_there_is_room_to_read_on() {
    let mut by_hand = unread();
    by_hand.end.cut();
    by_hand.run();
    let shared = by_hand.server.shared();
    for waiting in [1, 0] {
        by_hand.now += 4 * SECOND;
        // The driver continues to read when half of the room is free.
        shared.incoming.release_only(100, 1);
        by_hand.run();
        assert!(shared.end().is_none(), "it was closed with {waiting} waiting");
    }
    by_hand.now += 4 * SECOND;
    by_hand.run();
    assert!(matches!(shared.end(), Some(CloseReason::TransportError(_))), "nothing was taken since");
}

#[test]
fn a_game_that_takes_some_is_not_hurried_although_the_end_was_seen_before_the_packets() {
    let buffers = Buffers { input_bytes: 1000, ..Buffers::default() };
    let mut by_hand = ByHand::new(PeerConfig { buffers, heartbeat_interval: Duration::ZERO, ..raw() });
    // Everything has arrived before the first read, the end too.
    by_hand.end.inject(REQUEST);
    for _ in 0..5 {
        by_hand.end.inject(&frame(0x82, &[7; 100]));
    }
    by_hand.end.inject(&frame(0x82, &[7; 900]));
    by_hand.end.half_close();
    by_hand.run();
    let shared = by_hand.server.shared();
    for waiting in [4, 3] {
        by_hand.now += 2 * SECOND;
        by_hand.run();
        // There is still no room for the large message.
        shared.incoming.release_only(100, 1);
        by_hand.now += 2 * SECOND;
        by_hand.run();
        assert!(shared.end().is_none(), "it was closed with {waiting} waiting");
    }
    by_hand.pass(7 * SECOND);
    assert!(matches!(shared.end(), Some(CloseReason::TransportError(_))), "nothing was taken since");
}

#[test]
fn a_game_that_does_not_poll_loses_nothing() {
    let mut by_hand = unread();
    by_hand.end.cut();
    by_hand.server.driver.game_polls = false;
    by_hand.pass(20 * SECOND);
    assert_eq!(by_hand.server.end(), None);
    by_hand.server.driver.game_polls = true;
    let mut taken = 0;
    while take(&mut by_hand) {
        taken += 1;
        by_hand.run();
    }
    assert_eq!(taken, MESSAGES);
    assert!(matches!(by_hand.server.end(), Some(CloseReason::TransportError(_))));
}

#[test]
fn a_client_that_leaves_before_it_is_answered_is_noticed_whatever_it_has_sent() {
    let mut node = Node::gated(ServerConfig { peer: raw(), ask: true, ..ServerConfig::default() });
    let (server_end, end) = End::pair(64 * 1024, usize::MAX);
    let now = start();
    node.accept(server_end, now);
    end.inject(REQUEST);
    end.inject(&frame(0x82, b"too early"));
    while node.run(now) {}
    assert!(node.has(|notice| matches!(notice, Notice::Requested { .. })));
    end.cut();
    while node.run(now) {}
    assert!(node.has(|notice| matches!(notice, Notice::Withdrawn(_))) && node.len() == 0);
}

/// A peer that sends far more than the rate limit permits.
struct Throttled {
    node: Node,
    conn: ConnId,
    end: End,
    now: Instant,
}

fn throttled(rate: usize) -> Throttled {
    let config = ServerConfig { peer: raw(), max_inbound_per_second: rate, ..ServerConfig::default() };
    let mut node = Node::gated(config);
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    let now = start();
    let conn = node.accept(server_end, now);
    end.inject(REQUEST);
    while node.run(now) {}
    end.take_all();
    Throttled { node, conn, end, now }
}

#[test]
fn a_throttled_peer_is_read_to_its_end_behind_a_close() {
    let bye = || Box::new(CloseFrame::new(4000, "bye").expect("a valid frame"));
    for row in ["close", "without waiting", "overflow", "violation"] {
        let Throttled { mut node, conn, end, now } = throttled(1000);
        if row == "violation" {
            // More bytes follow than the rate limit permits.
            end.inject(&frame(0xf2, b"reserved bits"));
        }
        for _ in 0..50 {
            end.inject(&frame(0x82, &[7; 1000]));
        }
        while node.run(now) {}
        if row != "violation" {
            assert!(node.unread() > 40_000, "it is throttled");
        }
        match row {
            "close" => node.command(Command::Close { conn, frame: bye() }, now),
            "without waiting" => node.command(Command::CloseWithoutWaiting(conn), now),
            "overflow" => node.command(Command::Overflow(conn), now),
            _ => {}
        }
        while node.run(now) {}
        assert_eq!(node.unread(), 0, "{row}: what stays unread makes the system reset the connection");
        let said = end.take_all();
        assert!(said.windows(2).any(|two| two[0] == 0x88), "{row}: the Close has left");
        end.inject(&frame(0x88, b"\x0f\xa0"));
        end.half_close();
        while node.run(now) {}
        assert_eq!(node.len(), 0, "{row}: no time has passed");
    }
}

#[test]
fn a_throttled_peer_that_is_gone_is_read_to_its_end_at_once() {
    let Throttled { mut node, end, now, .. } = throttled(1000);
    for _ in 0..50 {
        end.inject(&frame(0x82, &[7; 1000]));
    }
    end.cut();
    let mut got = 0;
    while node.run(now) {
        got += node.packets().len();
    }
    assert_eq!(got, 50);
    assert!(matches!(node.end(), Some(CloseReason::TransportError(_))));
}

#[test]
fn a_throttled_peer_takes_few_turns_whatever_the_rate() {
    for rate in [64 * 1024, 1 << 20, 16 << 20] {
        let Throttled { mut node, end, mut now, .. } = throttled(rate);
        let mut until = now + SECOND;
        let (mut turns, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (mut count, before) = (0, node.counters().bytes_in.get());
            while now < until {
                while end_has_room(&end) {
                    end.inject(&frame(0x82, &[7; 60_000]));
                }
                let read = node.counters().bytes_in.get();
                node.run_once(now);
                count += usize::from(node.counters().bytes_in.get() > read);
                node.packets();
                now += Duration::from_micros(20);
            }
            until += SECOND;
            turns.push(count);
            bytes.push((node.counters().bytes_in.get() - before) as usize);
        }
        println!("{rate} bytes a second: {turns:?} turns, {bytes:?} bytes");
        // The first second includes the burst that the rate limiter permits.
        for (count, bytes) in turns.iter().zip(&bytes).skip(1) {
            assert!(*count <= rate / (64 * 1024) + 30, "{rate}: {count} turns in a second");
            assert!((rate * 8 / 10..=rate * 11 / 10).contains(bytes), "{rate}: {bytes} bytes in a second");
        }
    }
}

fn end_has_room(end: &End) -> bool {
    end.written() < 256 * 1024
}
