//! Large messages are compressed in pieces: everything keeps its order, nobody waits for long, and nothing waits that has to leave.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::compression::{MODES, comes, configured, request, send, words};
use super::world::{End, Node, SECOND, World, frame, outbound, start};
use crate::base::{CloseFrame, CloseReason, ConnId, Phase};
use crate::channel::Command;
use crate::config::{Compression, Mode, PeerConfig};
use crate::session::codecs::COMPRESS_ROUND;

const BOTH: [Compression; 2] = [Compression::Shared, Compression::Dedicated];

/// Bytes that do not shrink.
fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|_| rand::random()).collect()
}

#[test]
fn large_messages_of_either_side_are_smaller_and_keep_their_place() {
    for (mode, compression) in MODES.into_iter().flat_map(|mode| BOTH.map(|how| (mode, how))) {
        for encrypted in [false, true] {
            let config = configured(compression, mode);
            let mut world = if encrypted { World::encrypted(config) } else { World::connected(config) };
            for from_server in [true, false] {
                let node = if from_server { &world.server } else { &world.client };
                let before = node.shared().figures.bytes_out.get();
                let all = [
                    words(40_000),
                    words(65_537),
                    words(10),
                    noise(100_000),
                    words(50_000),
                    words(700_000),
                    words(2000),
                    words(200_000),
                ];
                for message in &all {
                    send(&mut world, from_server, message.clone());
                }
                world.run();
                let (here, there) = if from_server {
                    (&world.server, &mut world.client)
                } else {
                    (&world.client, &mut world.server)
                };
                assert!(there.packets() == all, "{mode:?} {compression:?} {encrypted} {from_server}");
                let shared = here.shared();
                let wire = shared.figures.bytes_out.get() - before;
                let plain: usize = all.iter().map(Vec::len).sum();
                assert!(wire < 100_000 + plain as u64 / 4, "{wire} of {plain}");
                assert_eq!(shared.outgoing.load(), (0, 0), "the room is free again");
                assert_eq!(here.queue_totals.outgoing.bytes(), 0, "nothing is kept");
            }
        }
    }
}

/// Clients that have agreed on compression, and take everything.
fn crowd(server: &mut Node, count: usize) -> (Vec<(ConnId, End)>, Instant) {
    let clients: Vec<_> =
        (0..count).map(|_| comes(server, &request("permessage-deflate"), 64 << 20)).collect();
    // Their first pings.
    let now = start() + SECOND;
    server.run(now);
    clients.iter().for_each(|(_, end)| drop(end.take_all()));
    (clients, now)
}

fn send_to(server: &mut Node, to: ConnId, message: Bytes, now: Instant) {
    let shared = server.peers().find(|shared| shared.conn == to).expect("it is connected");
    shared.outgoing.add(message.len());
    server.command(Command::Send { to, message: outbound(message) }, now);
}

/// Runs rounds until everybody has a message. Returns their number.
fn rounds_until_all_have(server: &mut Node, clients: &[(ConnId, End)], now: Instant) -> usize {
    for round in 1.. {
        server.run_once(now);
        if clients.iter().all(|(_, end)| end.readable() > 0) {
            return round;
        }
        assert!(round < 1000, "it never comes");
    }
    unreachable!("it is bounded")
}

#[test]
fn large_messages_keep_nobody_waiting() {
    let size = 1 << 20;
    for compression in BOTH {
        let mut server = Node::server(configured(compression, Mode::Raw));
        let (clients, now) = crowd(&mut server, 20);
        let (_, honest) = comes(&mut server, &request("x"), 1 << 20);
        for number in 0..20 {
            // Each has its own.
            let message = [vec![number], words(size)].concat();
            send_to(&mut server, clients[usize::from(number)].0, message.into(), now);
        }
        let mut rounds = 0;
        while clients.iter().any(|(_, end)| end.readable() == 0) {
            honest.inject(&frame(0x89, b"?"));
            clients[0].1.inject(&frame(0x89, b"?"));
            assert!(server.run_once(now));
            assert!(honest.take_all().starts_with(b"\x8a\x01?"), "round {rounds}");
            // Of the same connection too.
            if rounds < 10 {
                assert!(clients[0].1.take_all().starts_with(b"\x8a\x01?"), "round {rounds}");
            }
            rounds += 1;
        }
        // Half a megabyte at most in each, and not much less. With one compressor, others do not wait for all of that.
        assert!((30..=60).contains(&rounds), "{rounds} rounds, {compression:?}");
        let plain = clients.iter().filter(|(_, end)| end.take_all()[0] == 0x82).count();
        assert!(plain == 0 || compression == Compression::Shared && (1..15).contains(&plain), "{plain}");
    }
}

#[test]
fn a_large_broadcast_is_compressed_once() {
    let message = words(2 << 20);
    let mut server = Node::server(configured(Compression::Shared, Mode::Raw));
    let (clients, now) = crowd(&mut server, 10);
    let bytes = Bytes::from(message.clone());
    for (conn, _) in &clients {
        send_to(&mut server, *conn, bytes.clone(), now);
    }
    // Ten times as much would take 40 at least.
    let rounds = rounds_until_all_have(&mut server, &clients, now);
    assert!((4..10).contains(&rounds), "{rounds}");
    server.run(now);
    let wires: Vec<_> = clients.iter().map(|(_, end)| end.take_all()).collect();
    assert!(wires.iter().all(|wire| *wire == wires[0]) && wires[0][..2] == [0xc2, 127]);
    let whole = [&wires[0][10..], &[0, 0, 0xff, 0xff, 3, 0]].concat();
    assert!(miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound") == message);
    // Nothing keeps it when it has left.
    assert_eq!(server.queue_totals.outgoing.bytes(), 0);
    assert!(bytes.is_unique());
}

#[test]
fn a_message_that_nobody_waits_for_any_more_is_dropped() {
    for compression in BOTH {
        let mut server = Node::server(configured(compression, Mode::Raw));
        let (clients, now) = crowd(&mut server, 2);
        let bytes = Bytes::from(words(1 << 20));
        send_to(&mut server, clients[0].0, bytes.clone(), now);
        for _ in 0..5 {
            server.run_once(now);
        }
        assert!(server.queue_totals.outgoing.bytes() > 0, "a part is compressed");
        clients[0].1.reset();
        server.run(now);
        assert_eq!(server.queue_totals.outgoing.bytes(), 0, "{compression:?}");
        assert!(bytes.is_unique(), "{compression:?}");
        // And the next one begins anew.
        send_to(&mut server, clients[1].0, bytes, now);
        clients[1].1.take_all();
        server.run(now);
        assert!((10_000..400_000).contains(&clients[1].1.readable()), "{compression:?}");
    }
}

/// The first bytes of the frames, and their sizes.
fn frames(mut wire: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    while let [first, second, rest @ ..] = wire {
        let (head, size) = match second {
            126 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => (8, u64::from_be_bytes(*rest.first_chunk().expect("8 bytes")) as usize),
            size => (0, usize::from(*size)),
        };
        found.push((*first, size));
        wire = &rest[head + size..];
    }
    found
}

#[test]
fn what_has_to_leave_goes_as_it_is() {
    let close = |conn| {
        let frame = CloseFrame { code: 1000, reason: String::new() };
        Command::Close { conn, frame: Box::new(frame) }
    };
    let size = 600_000;
    type End = fn(ConnId) -> Command;
    let ends: [(End, &[(u8, usize)]); 3] = [
        (close, &[(0x82, 600_000), (0x82, 100), (0x82, 3000), (0x88, 2)]),
        (Command::Abort, &[(0x82, 600_000), (0x82, 100), (0x82, 3000)]),
        (Command::Overflow, &[(0x88, 10)]),
    ];
    for compression in BOTH {
        for (end, expected) in ends {
            let mut server = Node::server(configured(compression, Mode::Raw));
            let (clients, now) = crowd(&mut server, 1);
            for message in [words(size), words(100), words(3000)] {
                send_to(&mut server, clients[0].0, message.into(), now);
            }
            for _ in 0..4 {
                server.run_once(now);
            }
            assert_eq!(clients[0].1.readable(), 0, "nothing overtakes it");
            server.command(end(clients[0].0), now);
            server.run(now);
            assert_eq!(frames(&clients[0].1.take_all()), expected, "{compression:?}");
            server.run(now + 60 * SECOND);
            assert_eq!(server.queue_totals.outgoing.bytes(), 0);
        }
    }
}

#[test]
fn what_does_not_shrink_is_sent_as_it_is_and_the_next_one_is_read() {
    for compression in BOTH {
        let mut world = World::connected(configured(compression, Mode::Raw));
        let lost = noise(300_000);
        // Would refer to the one before, which the remote has not inflated.
        let like_it = lost[295_000..].repeat(20);
        let all = [words(100_000), lost, like_it, words(5000), noise(70_000), words(70_000)];
        for message in &all {
            send(&mut world, true, message.clone());
            world.run();
        }
        assert!(world.client.packets() == all, "{compression:?}");
    }
}

#[test]
fn a_peer_that_was_congested_is_not_while_its_message_is_compressed() {
    let mut server = Node::server(configured(Compression::Dedicated, Mode::Raw));
    let (conn, end) = comes(&mut server, &request("permessage-deflate"), 1000);
    let (shared, now) = (server.shared(), start());
    send_to(&mut server, conn, noise(5000).into(), now);
    server.run(now);
    assert!(shared.outgoing.is_congested());
    send_to(&mut server, conn, words(1 << 20).into(), now);
    end.set_capacity(64 << 20);
    end.take_all();
    for _ in 0..3 {
        server.run_once(now);
    }
    assert!(!shared.outgoing.is_congested() && shared.outgoing.load().1 == 1);
}

/// A peer that takes little, and for which a large message waits behind others.
struct Slow(End);

impl Slow {
    fn new(server: &mut Node, message: &Bytes) -> Self {
        let (conn, end) = comes(server, &request("permessage-deflate"), 1000);
        send_to(server, conn, noise(60_000).into(), start());
        send_to(server, conn, message.clone(), start());
        Self(end)
    }

    /// The stream takes little, then nothing for some rounds.
    fn takes_little(&self, server: &mut Node) {
        self.0.take_all();
        for _ in 0..10 {
            server.run_once(start());
        }
    }
}

#[test]
fn a_peer_that_takes_little_is_not_compressed_for_again_and_again() {
    let mut server = Node::server(configured(Compression::Shared, Mode::Raw));
    let size = 1 << 20;
    let message = Bytes::from(words(size));
    let done = |server: &Node| server.counters().snapshot().deflated_out_bytes / size as u64;
    let slow = Slow::new(&mut server, &message);
    for _ in 0..24 {
        slow.takes_little(&mut server);
    }
    assert_eq!(done(&server), 1);
    // One that another peer waits for too is whole meanwhile.
    let slow = Slow::new(&mut server, &message);
    slow.takes_little(&mut server);
    let (fast, end) = comes(&mut server, &request("permessage-deflate"), 64 << 20);
    send_to(&mut server, fast, message, start());
    for _ in 0..40 {
        server.run_once(start());
    }
    assert_eq!((done(&server), end.readable() > 1000), (2, true));
    slow.takes_little(&mut server);
    assert_eq!(done(&server), 3);
}

#[test]
fn what_a_turn_leaves_is_for_the_others() {
    let mut server = Node::server(configured(Compression::Dedicated, Mode::Raw));
    let (clients, now) = crowd(&mut server, 100);
    for (conn, _) in &clients {
        send_to(&mut server, *conn, words(66_000).into(), now);
    }
    let rounds = rounds_until_all_have(&mut server, &clients, now);
    let least = 100 * 66_000 / COMPRESS_ROUND;
    assert!((least..least * 3 / 2).contains(&rounds), "{rounds}, not {least}");
}

#[test]
fn what_waits_behind_a_large_message_is_compressed_in_pieces_too_and_each_message_is_work() {
    for compression in BOTH {
        let config = PeerConfig { compression_threshold: 10, ..configured(compression, Mode::Raw) };
        let mut server = Node::server(config);
        let (clients, now) = crowd(&mut server, 1);
        let mut expected = Vec::new();
        for size in [70_000, 50_000, 50_000, 50_000].into_iter().chain([100; 500]) {
            send_to(&mut server, clients[0].0, words(size).into(), now);
            expected.push(0xc2);
        }
        let (mut wire, mut counts) = (Vec::new(), Vec::new());
        while server.run_once(now) {
            wire.extend(clients[0].1.take_all());
            counts.push(frames(&wire).len());
        }
        let found: Vec<_> = frames(&wire).into_iter().map(|(first, _)| first).collect();
        assert!(found == expected, "{compression:?}");
        // A turn compresses 64 KiB, and a message counts for a kilobyte more.
        let most = counts.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(most.is_some_and(|most| (40..70).contains(&most)), "{counts:?}");
    }
}

#[test]
fn a_stream_behind_tls_that_takes_nothing_is_noticed_while_a_message_is_compressed() {
    for compression in BOTH {
        // Without pings, which would wait too.
        let (heartbeat_interval, heartbeat_timeout) = (Duration::ZERO, Duration::ZERO);
        let config = configured(compression, Mode::Raw);
        let config = PeerConfig { heartbeat_interval, heartbeat_timeout, ..config };
        let mut world = World::encrypted(config);
        world.ends.1.hold_reads(true);
        // The stream is full, TLS holds the rest, and the session has nothing but what waits to be compressed.
        for size in [40_000, 30_000] {
            send(&mut world, true, noise(size));
        }
        world.run();
        let (hub, conn) = (world.server.hub(), world.server_conn);
        assert!(
            !hub.is_writable(conn) && hub.wants_write(conn) && world.server.shared().outgoing.load().1 == 0
        );
        send(&mut world, true, words(1 << 20));
        world.pass(60 * SECOND);
        assert_eq!(world.server.end(), Some(&CloseReason::TimedOut(Phase::Write)), "{compression:?}");
    }
}
