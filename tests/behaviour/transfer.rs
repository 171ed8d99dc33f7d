//! Messages on their way.

use bytes::Bytes;

use super::world::{ByHand, World, frame, multiplayer, raw};
use crate::config::{Buffers, PeerConfig};
use crate::hub::Outbound;
use crate::net::mailbox::Command;

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
                node.link().outgoing.add(size);
                let message = Outbound { payload: Bytes::from(bytes(size)), text: false, route: None };
                node.hub.command(Command::Send { to: conn, message }, world.now);
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
        assert_eq!(world.server.link().outgoing.load(), (0, 0));
        assert_eq!(world.client.link().outgoing.load(), (0, 0));
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
