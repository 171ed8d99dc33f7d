//! permessage-deflate on connections in memory: what is agreed, and what a compressed message may cost.

use std::sync::Arc;

use bytes::Bytes;

use super::world::{
    ByHand, End, Node, REQUEST, SECOND, World, assert_fails_with, frame, multiplayer, outbound, raw, start,
};
use crate::base::{CloseReason, ConnId, Phase};
use crate::channel::{Command, Form, Notice, PayloadRef};
use crate::config::{Buffers, Compression, Mode, PeerConfig, ServerConfig, WireFormat};
use crate::deflate::deflated;
use crate::session::codecs::{INFLATE_TURN, INFLATING, LENT};
use crate::session::coding::{GROWTH, MAY_GROW};
use crate::session::pool::DEDICATED;

/// A request that offers the extension.
pub(super) fn request(offer: &str) -> Vec<u8> {
    let end = REQUEST.len() - 2;
    let line = format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n");
    [&REQUEST[..end], line.as_bytes()].concat()
}

fn compressing(compression: Compression) -> PeerConfig {
    PeerConfig { compression: Some(compression), ..raw() }
}

/// A server with large buffers and one client that has agreed.
fn open(compression: Compression, max_message: usize) -> ByHand {
    let buffers = Buffers { input_bytes: 64 << 20, ..Buffers::default() };
    let config = PeerConfig { buffers, max_message_size: Some(max_message), ..compressing(compression) };
    let mut by_hand = ByHand::new(config);
    let answer = by_hand.say(&request("permessage-deflate"));
    assert!(String::from_utf8_lossy(&answer).contains("Sec-WebSocket-Extensions: permessage-deflate"));
    by_hand
}

#[test]
fn the_answer_has_what_was_agreed_and_only_if_it_was_wanted() {
    let line = |config: PeerConfig, offer: &str| {
        let answer = ByHand::new(config).say(&request(offer));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        answer.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).map(str::to_owned)
    };
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let browser = "permessage-deflate; client_max_window_bits";
    assert_eq!(line(raw(), browser), None);
    assert_eq!(line(compressing(Compression::Shared), browser).as_deref(), Some(both));
    assert_eq!(line(compressing(Compression::Dedicated), browser).as_deref(), Some("permessage-deflate"));
    assert_eq!(line(compressing(Compression::Dedicated), "permessage-deflate; x"), None);
    assert_eq!(line(compressing(Compression::Dedicated), "x"), None);
}

#[test]
fn compressed_messages_arrive_with_either_setting() {
    let texts: Vec<_> =
        (0..20).map(|i| format!("{{\"player\":{i},\"x\":1.25,\"y\":2.5}}").repeat(1 + 10 * i)).collect();
    let texts = texts.iter().map(String::as_bytes);
    let together = deflated(15, texts.clone());
    let alone = texts.clone().map(|text| deflated(15, [text]).remove(0)).collect::<Vec<_>>();
    for (compression, messages) in
        [(Compression::Shared, &alone), (Compression::Dedicated, &alone), (Compression::Dedicated, &together)]
    {
        let mut by_hand = open(compression, 1 << 20);
        let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(0xc1, message)).collect();
        assert_eq!(by_hand.say(&bytes), b"");
        assert!(by_hand.server.packets().iter().eq(texts.clone()), "{compression:?}");
    }
    // Without takeover the second one refers to what is not there.
    let bytes: Vec<u8> = together.iter().flat_map(|message| frame(0xc1, message)).collect();
    let mut by_hand = open(Compression::Shared, 1 << 20);
    let mut answer = by_hand.say(&bytes);
    // The game has the time to answer the first one.
    answer.extend(by_hand.pass(SECOND));
    assert_fails_with(&answer, 1007, "it refers to an earlier message");
}

#[test]
fn a_server_that_has_not_agreed_takes_nothing_compressed() {
    let message = frame(0xc2, &deflated(15, [b"x".as_slice()])[0]);
    for (config, asks) in [(raw(), true), (compressing(Compression::Shared), false)] {
        let mut by_hand = ByHand::new(config);
        by_hand.say(&if asks { request("permessage-deflate") } else { REQUEST.to_vec() });
        assert_fails_with(&by_hand.say(&message), 1002, "nothing was agreed");
    }
}

#[test]
fn a_message_too_large_names_the_setting_and_garbage_does_not() {
    let bomb = deflated(15, [vec![0; 16 << 20].as_slice()]).remove(0);
    for compression in [Compression::Shared, Compression::Dedicated] {
        let answer = open(compression, 1 << 20).say(&frame(0xc2, &bomb));
        assert_fails_with(&answer, 1009, "it inflates to more");
        let answer = open(compression, 1 << 20).say(&frame(0xc2, &[0xff; 100]));
        assert_fails_with(&answer, 1007, "garbage");
    }
}

#[test]
fn bombs_keep_nobody_waiting() {
    let buffers = Buffers { input_bytes: 1 << 30, ..Buffers::default() };
    let size = 1 << 20;
    let config = PeerConfig { buffers, max_message_size: Some(size), ..compressing(Compression::Shared) };
    let (mut server, now) = (Node::server(config), start());
    let mut come = |request: &[u8]| comes(&mut server, request, 1 << 20).1;
    let bombs: Vec<_> = (0..40).map(|_| come(&request("permessage-deflate"))).collect();
    let honest = come(REQUEST);
    let bomb = frame(0xc2, &deflated(15, [vec![0; size].as_slice()])[0]);
    for end in &bombs {
        end.inject(&bomb);
    }
    // Each round inflates a part of some of them: so many rounds, and the honest one is heard in each.
    let mut rounds = 0;
    loop {
        honest.inject(&frame(0x89, b"?"));
        assert!(server.run_once(now));
        assert_eq!(honest.take_all(), b"\x8a\x01?", "round {rounds}");
        rounds += 1;
        let whole =
            |notice: &&Notice| matches!(notice, Notice::Packet(packet) if packet.payload.len() == size);
        if server.notices.iter().filter(whole).count() == bombs.len() {
            break;
        }
    }
    let least = bombs.len() * size / (INFLATING * INFLATE_TURN);
    assert!((least..least + least / 4).contains(&rounds), "{rounds} rounds, not {least}");
}

#[test]
fn a_peer_whose_message_waits_for_bombs_is_not_silent_and_a_small_one_does_not_wait() {
    let buffers = Buffers { input_bytes: 1 << 30, ..Buffers::default() };
    for compression in [Compression::Shared, Compression::Dedicated] {
        let config = PeerConfig {
            buffers,
            max_message_size: Some(4 << 20),
            heartbeat_timeout: 2 * SECOND,
            ..compressing(compression)
        };
        let (mut server, mut now) = (Node::server(config), start());
        let mut come = || comes(&mut server, &request("permessage-deflate"), 1 << 20).1;
        let bombs: Vec<_> = (0..10).map(|_| come()).collect();
        let (honest, small) = (come(), come());
        let bomb = frame(0xc2, &deflated(15, [vec![0; 4 << 20].as_slice()])[0]);
        bombs.iter().for_each(|end| end.inject(&bomb));
        server.run_once(now);
        server.run_once(now);
        let message = words(300_000);
        honest.inject(&frame(0xc2, &deflated(15, [message.as_slice()])[0]));
        small.inject(&frame(0xc2, &deflated(15, [&message[..30_000]])[0]));
        for _ in 0..5 {
            server.run_once(now);
        }
        let has = |server: &Node, len: usize| {
            server.has(|notice| matches!(notice, Notice::Packet(packet) if packet.payload.len() == len))
        };
        assert!(has(&server, 30_000), "{compression:?}");
        while !has(&server, 300_000) {
            now += SECOND / 10;
            assert!(server.run_once(now) && server.end().is_none(), "{compression:?} {:?}", server.end());
            assert!(now < start() + 100 * SECOND, "it never comes");
            // The others are not silent either, as far as they are read.
            for end in bombs.iter().chain([&small]) {
                end.inject(&frame(0x8a, b""));
            }
        }
        assert!(now > start() + 10 * SECOND, "it has waited");
    }
}

#[test]
fn a_peer_that_is_read_slowly_takes_no_place_of_a_message_that_is_inflated() {
    let buffers = Buffers { input_bytes: 1 << 30, ..Buffers::default() };
    let peer = PeerConfig { buffers, max_message_size: Some(1 << 20), ..compressing(Compression::Shared) };
    let config = ServerConfig { max_inbound_per_second: 100_000, peer, ..ServerConfig::default() };
    let (mut server, now) = (Node::gated(config), start());
    let mut come = || comes(&mut server, &request("permessage-deflate"), 1 << 20).1;
    let bombs: Vec<_> = (0..LENT + INFLATING).map(|_| come()).collect();
    let honest = come();
    // Each is not read for some seconds after the first one, and has begun with the second one.
    let bomb = frame(0xc2, &deflated(15, [vec![0; 990_000].as_slice()])[0]);
    bombs.iter().for_each(|end| end.inject(&bomb.repeat(2)));
    server.run(now);
    honest.inject(&frame(0xc2, &deflated(15, [words(300_000).as_slice()])[0]));
    server.run(now);
    let has = |len: usize| {
        let all = server.notices.iter();
        all.filter(|notice| matches!(notice, Notice::Packet(packet) if packet.payload.len() == len)).count()
    };
    assert_eq!((has(990_000), has(300_000)), (bombs.len(), 1));
}

#[test]
fn what_messages_grow_by_counts_for_the_limit_of_bytes_per_second() {
    let size = 10_000;
    let peer = compressing(Compression::Shared);
    let config = ServerConfig { max_inbound_per_second: size, peer, ..ServerConfig::default() };
    let (mut server, mut now) = (Node::gated(config), start());
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    server.accept(server_end, now);
    end.inject(&request("permessage-deflate"));
    server.run(now);
    let message = frame(0xc2, &deflated(15, [vec![0; size].as_slice()])[0]);
    assert!(message.len() < 50);
    for _ in 0..10 {
        end.inject(&message);
        server.run(now);
    }
    let mut received = server.packets().len();
    assert!(received <= 3, "{received} at once");
    for _ in 0..5 {
        now += SECOND;
        server.run(now);
        received += server.packets().len();
    }
    assert!((4..=8).contains(&received), "{received}: one each second");
}

#[test]
fn a_message_that_takes_several_turns_is_received_before_the_end_of_the_stream() {
    let message = deflated(15, [vec![5; 900_000].as_slice()]).remove(0);
    for closes in [false, true] {
        let mut by_hand = open(Compression::Dedicated, 1 << 20);
        by_hand.end.inject(&frame(0xc2, &message));
        if closes {
            by_hand.end.inject(&frame(0x88, b"\x03\xe8"));
        }
        by_hand.end.half_close();
        by_hand.run();
        assert_eq!(by_hand.server.packets().iter().map(Vec::len).collect::<Vec<_>>(), [900_000]);
        assert!(by_hand.server.end().is_some());
    }
}

#[test]
fn a_limit_that_is_lowered_meanwhile_counts_for_the_next_message() {
    let message = frame(0xc2, &deflated(15, [vec![5; 900_000].as_slice()])[0]);
    let mut by_hand = open(Compression::Shared, 1 << 20);
    by_hand.end.inject(&message);
    for _ in 0..4 {
        by_hand.server.run_once(by_hand.now);
    }
    let config = PeerConfig { max_message_size: Some(1000), ..by_hand.server.hub().config().clone() };
    by_hand.server.command(Command::Configure(Box::new(config)), by_hand.now);
    by_hand.run();
    assert_eq!(by_hand.server.packets().iter().map(Vec::len).collect::<Vec<_>>(), [900_000]);
    let mut answer = by_hand.say(&message);
    // What it has received before may be answered first.
    answer.extend(by_hand.pass(SECOND));
    assert_fails_with(&answer, 1009, "it inflates to more");
    assert!(by_hand.server.packets().is_empty());
}

#[test]
fn a_text_that_is_none_ends_in_the_turn_that_shows_it() {
    let text = [&[b'a'; 300_000][..], &[0xff], &[b'a'; 500_000]].concat();
    let sound = ["\u{e9}".repeat(400_000).as_bytes(), b"a"].concat();
    for (text, is_sound) in [(text, false), (sound.clone(), true), (sound[1..].to_vec(), false)] {
        let mut by_hand = open(Compression::Shared, 1 << 20);
        by_hand.end.inject(&frame(0xc1, &deflated(15, [text.as_slice()])[0]));
        let mut rounds = 0;
        while by_hand.server.end().is_none() && rounds < 40 {
            by_hand.server.run_once(by_hand.now);
            rounds += 1;
        }
        assert_eq!(by_hand.server.packets().len(), usize::from(is_sound));
        assert!(is_sound || rounds < 10, "{rounds} rounds");
    }
}

#[test]
fn a_control_message_may_be_compressed() {
    let mut by_hand = ByHand::new(PeerConfig { compression: Some(Compression::Shared), ..multiplayer() });
    let request = String::from_utf8(request("permessage-deflate")).expect("text");
    let answer = by_hand.say(request.replace("/game ", "/game?godot-multiplayer=alive.v1 ").as_bytes());
    assert!(String::from_utf8_lossy(&answer).contains("alive 1"), "{answer:?}");
    let answer = by_hand.say(&frame(0xc1, &deflated(15, [b"ack?".as_slice()])[0]));
    assert!(String::from_utf8_lossy(&answer).contains("ack 0 0"), "{answer:?}");
}

#[test]
fn a_peer_is_silent_again_when_its_message_is_inflated() {
    let compression = Some(Compression::Shared);
    let config = PeerConfig { compression, heartbeat_timeout: 5 * SECOND, ..multiplayer() };
    let mut by_hand = ByHand::new(config);
    let request = String::from_utf8(request("permessage-deflate")).expect("text");
    by_hand.say(request.replace("/game ", "/game?godot-multiplayer=alive.v1 ").as_bytes());
    // A control message behind many empty blocks, which take several turns.
    let blocks = [0, 0, 0, 0xff, 0xff].repeat(10_000);
    let message = [blocks.as_slice(), &deflated(15, [b"ack?".as_slice()])[0]].concat();
    let answer = by_hand.say(&frame(0xc1, &message));
    assert!(String::from_utf8_lossy(&answer).contains("ack 0 0"), "{answer:?}");
    by_hand.pass(6 * SECOND);
    assert_eq!(by_hand.server.end(), Some(&CloseReason::TimedOut(Phase::Heartbeat)));
}

#[test]
fn so_many_peers_have_memory_of_their_own_and_the_others_share() {
    let mut server = Node::server(compressing(Compression::Dedicated));
    let agreed = |server: &Node| server.shared().statistics(start()).compression;
    let mut ends = Vec::new();
    for _ in 0..DEDICATED {
        ends.push(comes(&mut server, &request("permessage-deflate"), 1000).1);
        assert_eq!(agreed(&server), "dedicated");
    }
    for _ in 0..2 {
        comes(&mut server, &request("permessage-deflate"), 1000);
        assert_eq!(agreed(&server), "shared");
    }
    // One that keeps nothing does not count.
    ends.pop().expect("some have come").reset();
    server.run(start());
    let keeps_nothing = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, expected) in
        [(keeps_nothing, "shared"), ("permessage-deflate", "dedicated"), ("permessage-deflate", "shared")]
    {
        comes(&mut server, &request(offer), 1000);
        assert_eq!(agreed(&server), expected);
    }
}

/// Queues a message of the server or of the client.
pub(super) fn send(world: &mut World, from_server: bool, message: Vec<u8>) {
    let (node, conn) = if from_server {
        (&mut world.server, world.server_conn)
    } else {
        (&mut world.client, world.client_conn)
    };
    node.shared().outgoing.add(message.len());
    node.command(Command::Send { to: conn, message: outbound(message) }, world.now);
}

pub(super) fn words(len: usize) -> Vec<u8> {
    (0..)
        .flat_map(|i: u32| format!("{{\"id\":{},\"x\":{}}}", i % 97, i * 31 % 1009).into_bytes())
        .take(len)
        .collect()
}

/// Both sides with large limits.
pub(super) fn configured(compression: Compression, mode: Mode) -> PeerConfig {
    let buffers = Buffers { input_bytes: 64 << 20, output_bytes: 64 << 20, ..Buffers::default() };
    PeerConfig { mode, buffers, compression: Some(compression), ..PeerConfig::default() }
}

pub(super) const MODES: [Mode; 2] = [Mode::Raw, Mode::Multiplayer(WireFormat::Godot4)];

#[test]
fn what_either_side_sends_is_smaller_and_arrives_as_it_was() {
    let compressions = [Compression::Shared, Compression::Dedicated];
    for (mode, compression) in MODES.into_iter().flat_map(|mode| compressions.map(|how| (mode, how))) {
        for encrypted in [false, true] {
            let config = configured(compression, mode);
            let mut world = if encrypted { World::encrypted(config) } else { World::connected(config) };
            for from_server in [true, false] {
                let node = if from_server { &world.server } else { &world.client };
                let before = node.shared().figures.bytes_out.get();
                let noise = (0..2000).map(|_| rand::random::<u8>()).collect();
                let all = [
                    words(40_000),
                    words(500),
                    noise,
                    words(1024),
                    words(1023),
                    words(60_000),
                    vec![9; 65_536],
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
                let shared = here.shared();
                assert_eq!(shared.outgoing.load(), (0, 0), "the room is free again");
                assert!(there.packets() == all, "{mode:?} {encrypted} {from_server}");
                let wire = shared.figures.bytes_out.get() - before;
                let plain: usize = all.iter().map(Vec::len).sum();
                assert!(wire < plain as u64 / 4, "{wire} of {plain}");
            }
        }
    }
}

#[test]
fn a_peer_with_the_smallest_window_gets_everything_as_it_is() {
    let mut by_hand = ByHand::new(compressing(Compression::Shared));
    by_hand.say(&request("permessage-deflate; server_max_window_bits=8"));
    let shared = by_hand.server.shared();
    shared.outgoing.add(3000);
    let message = outbound(vec![b'x'; 3000]);
    by_hand.server.command(Command::Send { to: by_hand.conn, message }, by_hand.now);
    let answer = by_hand.run();
    assert_eq!(answer[..2], [0x82, 126]);
    assert_eq!(answer.len(), 3004);
    // What comes may be compressed all the same.
    by_hand.say(&frame(0xc2, &deflated(9, [b"hello".as_slice()])[0]));
    assert_eq!(by_hand.server.packets(), [b"hello"]);
}

#[test]
fn a_slow_peer_that_takes_everything_is_not_closed_because_it_is_little() {
    let config = PeerConfig { compression: Some(Compression::Shared), ..multiplayer() };
    let mut world = World::new(config, 500, usize::MAX);
    world.run();
    world.ends.1.hold_reads(true);
    for _ in 0..3 {
        send(&mut world, true, words(60_000));
    }
    for second in 0..20 {
        // One message leaves and another comes, so what waits does not shrink, but in the grace of a second everything leaves.
        for _ in 0..4 {
            let before = world.server.shared().figures.packets_out.get();
            while world.server.shared().figures.packets_out.get() == before {
                world.ends.1.hold_reads(false);
                world.client.run(world.now);
                world.ends.1.hold_reads(true);
                world.client.packets();
                world.server.run(world.now);
            }
            send(&mut world, true, words(60_000));
            world.now += SECOND / 4;
            world.server.run(world.now);
        }
        assert_eq!(world.server.end(), None, "after {second} s");
    }
}

/// Comes to a server with this request, and takes so much before it blocks.
pub(super) fn comes(server: &mut Node, request: &[u8], capacity: usize) -> (ConnId, End) {
    let (server_end, end) = End::pair(capacity, usize::MAX);
    let conn = server.accept(server_end, start());
    end.inject(request);
    server.run(start());
    assert!(end.take_all().starts_with(b"HTTP/1.1 101 "));
    (conn, end)
}

/// The payload of a server's frame of at most 64 KiB.
fn payload(wire: &[u8]) -> &[u8] {
    assert_eq!(wire[1], 126);
    assert_eq!(usize::from(u16::from_be_bytes([wire[2], wire[3]])) + 4, wire.len());
    &wire[4..]
}

#[test]
fn a_broadcast_is_compressed_once_for_all_who_have_agreed_on_the_same() {
    let message = words(50_000);
    let others = "permessage-deflate; server_max_window_bits=11";
    for in_one_command in [false, true] {
        let mut server = Node::server(configured(Compression::Shared, Mode::Raw));
        let now = start();
        let offers = ["permessage-deflate", "permessage-deflate", "permessage-deflate", others, others];
        let ends: Vec<_> = offers.iter().map(|offer| comes(&mut server, &request(offer), 1000)).collect();
        for shared in server.peers().collect::<Vec<_>>() {
            shared.outgoing.add(message.len());
        }
        let bytes = Bytes::from(message.clone());
        if in_one_command {
            let to = Arc::new(ends.iter().map(|(conn, _)| *conn).collect::<Vec<_>>());
            server.command(Command::SendMany { to, message: outbound(bytes) }, now);
        } else {
            // As the engine sends to all.
            for (conn, _) in &ends {
                server.command(Command::Send { to: *conn, message: outbound(bytes.clone()) }, now);
            }
        }
        server.run(now);
        let waits = server.queue_totals.outgoing.bytes();
        let wires: Vec<_> = ends
            .iter()
            .map(|(_, end)| {
                let mut wire = Vec::new();
                while end.readable() > 0 {
                    wire.extend(end.take_all());
                    server.run(now);
                }
                wire
            })
            .collect();
        for wire in &wires {
            assert_eq!(wire[0], 0xc2);
            let whole = [payload(wire), &[0, 0, 0xff, 0xff, 3, 0]].concat();
            assert!(miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound") == message);
        }
        // One copy for each window waits for all of them, and the headers.
        let copies = wires[0].len() + wires[4].len();
        assert!((copies - 50..copies + 50).contains(&waits), "{waits} of {copies}, {in_one_command}");
        assert_eq!(server.queue_totals.outgoing.bytes(), 0, "nothing is kept");
    }
}

#[test]
fn a_broadcast_of_small_messages_is_compressed_once_too_and_no_other_is_taken_for_it() {
    let config = PeerConfig { compression_threshold: 100, ..configured(Compression::Shared, Mode::Raw) };
    let mut server = Node::server(config);
    let ends: Vec<_> = (0..3).map(|_| comes(&mut server, &request("permessage-deflate"), 1 << 20)).collect();
    let to = Arc::new(ends.iter().map(|(conn, _)| *conn).collect::<Vec<_>>());
    // Through the batches of commands, whose memory is used again.
    let mut expected = Vec::new();
    for round in 0..20_u8 {
        for kind in 0..3_u8 {
            let message = vec![round * 3 + kind; 300];
            for shared in server.peers().collect::<Vec<_>>() {
                shared.outgoing.add(message.len());
            }
            let mailbox = &server.driver.mailbox;
            mailbox.send_many(Arc::clone(&to), PayloadRef::copied(&message), Form::Binary);
            expected.push(message);
        }
        server.run(start());
    }
    for (_, end) in &ends {
        let (mut wire, mut found) = (end.take_all(), Vec::new());
        while !wire.is_empty() {
            assert_eq!((wire[0], wire[1] & 0x80), (0xc2, 0));
            let rest = wire.split_off(2 + usize::from(wire[1]));
            let whole = [&wire[2..], &[0, 0, 0xff, 0xff, 3, 0]].concat();
            found.push(miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound"));
            wire = rest;
        }
        assert!(found == expected);
    }
}

/// Sends messages of a game that are alike, and others that do not shrink. Returns the bytes on the wire for those that are alike.
fn wire_of_packets(compression: Option<Compression>) -> u64 {
    let config = configured(Compression::Shared, Mode::Raw);
    let mut world = World::connected(PeerConfig { compression, compression_threshold: 64, ..config });
    let (mut expected, mut wire) = (Vec::new(), 0);
    for tick in 0..100_u32 {
        let place = format!("[{},1.5,{}]", tick * 7 % 50, tick * 3 % 50);
        let state = format!(
            "{{\"tick\":{tick},\"id\":{},\"position\":{place},\"state\":\"running\"}}",
            1_000_000 + tick % 4
        );
        let mut all = vec![state.into_bytes()];
        if tick % 10 == 9 {
            // It does not begin as the others do.
            all.push([0].into_iter().chain((0..200 + tick * 30).map(|_| rand::random())).collect());
        }
        for message in all {
            let before = world.server.shared().figures.bytes_out.get();
            send(&mut world, true, message.clone());
            world.server.run(world.now);
            if message[0] == b'{' {
                wire += world.server.shared().figures.bytes_out.get() - before;
            }
            expected.push(message);
        }
        world.run();
    }
    assert!(world.client.packets() == expected);
    wire
}

#[test]
fn packets_that_are_alike_shrink_with_memory_of_their_own_and_others_do_not_spoil_it() {
    let plain = wire_of_packets(None);
    let (shared, dedicated) =
        (wire_of_packets(Some(Compression::Shared)), wire_of_packets(Some(Compression::Dedicated)));
    assert!(shared <= plain && dedicated * 2 < plain, "{plain} {shared} {dedicated}");
}

#[test]
fn the_first_of_many_small_packets_may_grow_and_the_others_shrink() {
    let config = configured(Compression::Shared, Mode::Raw);
    for (compression, becomes) in [(Compression::Shared, 2500), (Compression::Dedicated, 1500)] {
        let config =
            PeerConfig { compression: Some(compression), compression_threshold: 1, ..config.clone() };
        let mut world = World::connected(config);
        let state = |tick: u32| {
            let place = [tick * 7 % 50, tick * 3 % 50].map(|at| (at as f32).to_le_bytes());
            [&[6, 1, 0][..], &tick.to_le_bytes(), &[9, 0, 0, 0, 8, 0, 0, 0], &place.concat()].concat()
        };
        let mut wire_of = |packets: Vec<Vec<u8>>| {
            let before = world.server.shared().figures.bytes_out.get();
            for packet in &packets {
                send(&mut world, true, packet.clone());
                world.run();
            }
            assert!(world.client.packets() == packets);
            world.server.shared().figures.bytes_out.get() - before
        };
        let wire = wire_of((0..100).map(state).collect());
        assert!((becomes * 3 / 4..=becomes).contains(&wire), "{wire} {compression:?}");
        // What is random grows by a little, and what is large does not grow.
        for len in [20, MAY_GROW, MAY_GROW + 1] {
            let plain = (len + if len > 125 { 4 } else { 2 }) as u64;
            let grows = len <= MAY_GROW && compression == Compression::Dedicated;
            let wire = wire_of(vec![(0..len).map(|_| rand::random()).collect()]);
            let most = if grows { plain + GROWTH as u64 - 1 } else { plain };
            assert!((plain + u64::from(grows)..=most).contains(&wire), "{wire} of {len}, {compression:?}");
        }
    }
}

#[test]
fn with_a_small_window_a_small_packet_grows_by_seven_bytes_at_most() {
    let config = configured(Compression::Dedicated, Mode::Raw);
    let mut server = Node::server(PeerConfig { compression_threshold: 1, ..config });
    let (conn, end) = comes(&mut server, &request("permessage-deflate; server_max_window_bits=9"), 1 << 20);
    let (mut state, mut most) = (1_u32, 0);
    let mut noise = || {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        (state >> 24) as u8
    };
    for len in (130..=MAY_GROW).chain(130..=MAY_GROW) {
        // What would grow by more goes as it is.
        let bound = noise() | 0x80;
        let message: Bytes = (0..len).map(|_| noise() % bound).collect();
        server.command(Command::Send { to: conn, message: outbound(message) }, start());
        server.run(start());
        most = most.max(payload(&end.take_all()).len().saturating_sub(len));
    }
    assert_eq!(most, 7);
}

#[test]
fn statistics_tell_what_was_agreed_and_what_it_saves() {
    for compression in [None, Some(Compression::Shared), Some(Compression::Dedicated)] {
        let config = PeerConfig { compression, ..configured(Compression::Shared, Mode::Raw) };
        let mut world = World::connected(config);
        let small = b"below the threshold".to_vec();
        let large = words(20_000);
        send(&mut world, true, large.clone());
        send(&mut world, true, small.clone());
        world.run();
        assert!(world.client.packets() == [large, small], "{compression:?}");
        let (server, client) = (world.server.shared(), world.client.shared());
        let (sent, received) = (server.statistics(world.now), client.statistics(world.now));
        let (out, came) = (sent.compressed_out_bytes, received.compressed_in_bytes);
        let expected = match compression {
            None => ("", 0),
            Some(Compression::Shared) => ("shared", 20_000),
            Some(Compression::Dedicated) => ("dedicated", 20_000),
        };
        assert_eq!((sent.compression.as_str(), sent.deflated_out_bytes), expected);
        assert_eq!((received.compression.as_str(), received.inflated_in_bytes), expected);
        assert_eq!(out, came);
        assert_eq!((out > 0, out <= 15_000), (compression.is_some(), true), "{out} {compression:?}");
        assert_eq!((sent.compressed_in_bytes, received.deflated_out_bytes), (0, 0));
        let totals = [&world.server, &world.client].map(|node| node.counters().snapshot());
        assert_eq!((totals[0].deflated_out_bytes, totals[0].compressed_out_bytes), (expected.1, out));
        assert_eq!((totals[1].inflated_in_bytes, totals[1].compressed_in_bytes), (expected.1, came));
        // A compressor here and a decompressor there, with the scratch of their threads.
        let scratch = 64 * 1024;
        let memory = match compression {
            None => [0; 2],
            Some(Compression::Shared) => [scratch + 376 * 1024, scratch + 44 * 1024],
            Some(Compression::Dedicated) => [scratch + 182 * 1024, scratch + 44 * 1024],
        };
        assert_eq!(totals.map(|totals| totals.compression_bytes), memory, "{compression:?}");
    }
}

#[test]
fn a_round_compresses_so_much_and_sends_the_rest_as_it_is() {
    for compression in [Compression::Shared, Compression::Dedicated] {
        let mut server = Node::server(configured(compression, Mode::Raw));
        let (conn, end) = comes(&mut server, &request("permessage-deflate"), 64 << 20);
        for _ in 0..2 {
            for _ in 0..40 {
                server.shared().outgoing.add(50_000);
                server.command(Command::Send { to: conn, message: outbound(words(50_000)) }, start());
            }
            server.run(start());
            let wire = end.take_all();
            // Eleven of them: the last one begins within the limit.
            let plain = 29 * 50_004;
            assert!((plain..plain + 11 * 25_000).contains(&wire.len()), "{} {compression:?}", wire.len());
        }
    }
}

#[test]
fn what_is_not_compressed_takes_nothing_from_the_round() {
    let config = configured(Compression::Shared, Mode::Raw);
    let mut world = World::connected(PeerConfig { compression_threshold: 100, ..config });
    for _ in 0..600 {
        send(&mut world, true, b"small".to_vec());
    }
    let before = world.server.shared().figures.bytes_out.get();
    send(&mut world, true, words(50_000));
    world.run();
    let written = world.server.shared().figures.bytes_out.get() - before;
    assert!(written < 25_000, "{written} bytes");
    assert_eq!(world.client.packets().len(), 601);
}
