//! Transfer of messages.

use bytes::Bytes;

use super::world::{ByHand, End, Node, REQUEST, World, frame, multiplayer, outbound, raw, start};
use crate::base::CloseReason;
use crate::channel::{Command, Notice, charged};
use crate::config::{Buffers, PeerConfig};

fn sizes() -> Vec<usize> {
    vec![1, 125, 126, 127, 1023, 1024, 1025, 4096, 65_535, 65_536, 2, 30_000]
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 13 + size) as u8).collect()
}

#[test]
fn messages_of_all_sizes_arrive_whatever_the_stream_does() {
    for (capacity, step) in [(100_000, usize::MAX), (1000, 7), (5000, 4999), (3, 1)] {
        let mut world = World::new(multiplayer(), capacity, step);
        world.run();
        for size in sizes() {
            for (from_server, conn) in [(true, world.server_conn), (false, world.client_conn)] {
                let node = if from_server { &mut world.server } else { &mut world.client };
                node.shared().outgoing.add(size);
                let message = outbound(Bytes::from(bytes(size)));
                node.command(Command::Send { to: conn, message }, world.now);
            }
        }
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while up.len() < sizes().len() || down.len() < sizes().len() {
            world.run();
            let (more_up, more_down) = (world.server.packets(), world.client.packets());
            assert!(
                !more_up.is_empty() || !more_down.is_empty(),
                "capacity {capacity}: stuck at {} and {}",
                up.len(),
                down.len()
            );
            up.extend(more_up);
            down.extend(more_down);
        }
        let expected: Vec<_> = sizes().into_iter().map(bytes).collect();
        assert!(up == expected && down == expected, "capacity {capacity}, step {step}");
        assert_eq!(world.server.shared().outgoing.load(), (0, 0));
        assert_eq!(world.client.shared().outgoing.load(), (0, 0));
    }
}

#[test]
fn a_full_input_buffer_stops_reading_and_goes_on_when_drained() {
    let buffers = Buffers { input_bytes: 1024, input_packets: 4, ..Buffers::default() };
    let mut by_hand = ByHand::open(PeerConfig { buffers, max_message_size: Some(5000), ..raw() });
    for i in 0..100_u8 {
        by_hand.end.inject(&frame(0x82, &[i; 300]));
    }
    let mut got = Vec::new();
    while got.len() < 100 {
        by_hand.run();
        let packets = by_hand.server.packets();
        assert!(!packets.is_empty() && packets.len() <= 3, "{} packets fit", packets.len());
        got.extend(packets);
    }
    assert!(got.iter().enumerate().all(|(i, packet)| *packet == [i as u8; 300]));
}

#[test]
fn a_message_larger_than_the_buffer_passes_when_nothing_waits() {
    let buffers = Buffers { input_bytes: 1024, ..Buffers::default() };
    let mut by_hand = ByHand::open(PeerConfig { buffers, max_message_size: Some(5000), ..raw() });
    by_hand.end.inject(&frame(0x82, &[1; 10]));
    by_hand.say(&frame(0x82, &[2; 5000]));
    assert_eq!(by_hand.server.packets(), [vec![1; 10]]);
    by_hand.run();
    assert_eq!(by_hand.server.packets(), [vec![2; 5000]]);
}

#[test]
fn fragments_with_control_frames_between_are_one_message() {
    let mut by_hand = ByHand::open(raw());
    by_hand.end.inject(&frame(0x02, b"one "));
    by_hand.end.inject(&frame(0x89, b"ping"));
    by_hand.end.inject(&frame(0x00, b"two "));
    let answer = by_hand.say(&frame(0x80, b"three"));
    assert_eq!(answer, b"\x8a\x04ping");
    assert_eq!(by_hand.server.packets(), [b"one two three"]);
}

/// Complete messages are taken from the read buffer, and others are assembled from parts. The result must not depend on how the bytes are
/// split.
#[test]
fn every_kind_of_frame_arrives_however_the_stream_is_cut() {
    let large: Vec<u8> = (0..30_000).map(|i| i as u8).collect();
    let frames = [
        frame(0x82, b"one"),
        frame(0x82, b""),
        frame(0x02, b"two, "),
        frame(0x89, b"ping"),
        frame(0x00, b"in "),
        frame(0x80, b"pieces"),
        frame(0x81, "grün".as_bytes()),
        frame(0x82, &large),
        frame(0x8a, b"pong"),
        frame(0x82, &[5; 3000]),
        frame(0x89, b""),
        frame(0x82, b"last"),
    ];
    let stream = frames.concat();
    let messages: [&[u8]; 7] =
        [b"one", b"", b"two, in pieces", "grün".as_bytes(), &large, &[5; 3000], b"last"];
    for size in [1, 2, 3, 5, 7, 13, 64, 1000, 4096, 4099, 16_384, stream.len()] {
        let mut by_hand = ByHand::open(raw());
        let (mut answers, mut packets) = (Vec::new(), Vec::new());
        for part in stream.chunks(size) {
            answers.extend(by_hand.say(part));
            packets.extend(by_hand.server.packets());
        }
        assert_eq!(packets, messages, "in parts of {size}");
        assert_eq!(answers, b"\x8a\x04ping\x8a\x00", "in parts of {size}");
        assert_eq!(by_hand.server.end(), None);
    }
}

#[test]
fn the_end_inside_a_frame_is_a_lost_connection() {
    let whole = frame(0x82, &[1; 200]);
    for cut in [0, 1, 3, 7, 8, 100] {
        let mut by_hand = ByHand::open(raw());
        by_hand.say(&whole);
        by_hand.say(&whole[..cut]);
        assert_eq!(by_hand.server.packets().len(), 1);
        by_hand.end.half_close();
        by_hand.run();
        assert!(matches!(by_hand.server.end(), Some(CloseReason::TransportError(_))), "after {cut} bytes");
    }
}

#[test]
fn each_direction_has_half_of_the_room_of_the_process_and_input_loses_nothing() {
    const CLIENTS: usize = 30;
    const PACKETS: usize = 60;
    let (mut server, now) = (Node::server(multiplayer()), start());
    server.queue_totals.set_limit(1_000_000);
    let (mut sent, mut ends) = (Vec::new(), Vec::new());
    for client in 0..CLIENTS {
        let (server_end, end) = End::pair(1 << 20, usize::MAX);
        server.accept(server_end, now);
        ends.push(end.clone());
        end.inject(REQUEST);
        for at in 0..PACKETS {
            let packet = vec![(client * PACKETS + at) as u8; 1000 + at];
            end.inject(&frame(0x82, &packet));
            sent.push(packet);
        }
    }
    server.run(now);
    let peers: Vec<_> = server.peers().collect();
    let waiting = server.queue_totals.bytes();
    assert!((450_000..=500_000).contains(&waiting), "{waiting} bytes wait");
    assert!(peers.iter().all(|shared| shared.incoming.load().1 > 0), "everybody has the first packet in");
    assert!(server.queue_totals.outgoing.has_room(400_000), "and the game can send");
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let before = got.len();
        let mut taken = Vec::new();
        server.notices.retain(|notice| match notice {
            Notice::Packet(packet) => {
                let shared = peers.iter().find(|shared| shared.id == packet.source).expect("a peer");
                taken.push((shared, packet.payload.len()));
                got.push((packet.source, packet.payload.to_vec()));
                false
            }
            _ => true,
        });
        for (shared, size) in taken {
            server.game_took(shared, size, 1, now);
        }
        assert!(got.len() > before, "stuck at {before}");
        server.run(now);
    }
    // In order for each sender.
    let of_one = |shared: &std::sync::Arc<crate::channel::PeerShared>| {
        got.iter()
            .filter(|(source, _)| *source == shared.id)
            .map(|(_, packet)| packet.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(peers.iter().flat_map(of_one).collect::<Vec<_>>(), sent);
    assert_eq!(server.queue_totals.bytes(), 0);
    // Clients that do not read do not keep the game from receiving.
    let _deaf = charged(&server.queue_totals.outgoing, vec![7; 600_000]);
    ends[1].inject(&frame(0x82, &[1; 1000]).repeat(PACKETS));
    server.run(now);
    let received = server.notices.iter().filter(|notice| matches!(notice, Notice::Packet(_))).count();
    assert_eq!(received, PACKETS);
}
