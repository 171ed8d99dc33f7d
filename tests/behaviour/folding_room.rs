//! Lists that do not all have room, crowds that are larger than a list, and copies that come slowly.

use std::time::Duration;

use super::folding::{Client, Reader, TERMS, relay, state, streams};
use super::world::multiplayer;
use crate::base::{Delivery, PeerId};
use crate::hub::folding::HOLD;
use crate::hub::round::COMMANDS_TURN;

/// A frame of a game that sends the same to these clients.
fn frame(client: &mut Client, number: u8, packets: &[(u8, &[i32])]) {
    client.put(b"\x03server", Delivery::Reliable);
    for (kind, targets) in packets {
        for target in *targets {
            client.relay(*target, &[*kind, number], Delivery::Reliable);
        }
    }
    client.end_frame();
}

/// Reads messages of a client, whose lists never have more targets than this.
fn read(reader: &mut Reader, messages: &[Vec<u8>], most: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for message in messages {
        packets.extend(reader.read_one(message));
        let count = reader.lists.values().map(Vec::len).sum::<usize>();
        assert!(count <= most, "{count} targets");
    }
    packets
}

#[test]
fn lists_that_are_not_used_make_room_together() {
    let mut client = Client::offering("lists 1 12 1000");
    let mut reader = Reader::default();
    let small: [&[i32]; 3] = [&[10, 11, 12], &[20, 21, 22], &[30, 31, 32, 33]];
    for number in 0..10 {
        frame(&mut client, number, &[(2, small[0]), (3, small[1]), (4, small[2])]);
        let messages = client.take();
        read(&mut reader, &messages, 12);
        assert!(number < 9 || messages.len() == 4, "a message for each of three lists: {messages:?}");
    }
    let large: Vec<_> = (50..60).collect();
    for number in 10..40 {
        frame(&mut client, number, &[(2, &large)]);
        let messages = client.take();
        assert_eq!(read(&mut reader, &messages, 12).len(), 11);
        assert!(number < 39 || messages.len() == 2, "{messages:?}");
    }
    // What is left of them is used for others.
    for number in 40..80 {
        frame(&mut client, number, &[(3, small[1]), (4, small[2])]);
        let messages = client.take();
        read(&mut reader, &messages, 12);
        assert!(number < 79 || messages.len() == 3, "{messages:?}");
    }
    assert_eq!(reader.definitions, 3 + 3 + 2, "two of the first three were emptied before the large one");
}

#[test]
fn lists_that_have_no_room_together_do_not_push_each_other_out() {
    const FRAMES: u8 = 200;
    let (one, other): (Vec<_>, Vec<_>) = ((10..18).collect(), (10..18).rev().collect());
    let third: Vec<_> = (14..22).collect();
    // In each frame, or in turns that are longer than a frame.
    for turns in [1, 2, 3, 7, 17, 18, 20] {
        let play = |client: &mut Client| {
            for number in 0..FRAMES {
                let all = [(2, &one[..]), (3, &other[..]), (4, &third[..])];
                let turn = usize::from(number / turns % 3);
                frame(client, number, if turns == 1 { &all } else { &all[turn..=turn] });
            }
            client.sent.len()
        };
        let mut client = Client::offering("lists 1 12 1000");
        let with = play(&mut client);
        let mut reader = Reader::default();
        read(&mut reader, &client.take(), 12);
        let without = play(&mut Client::connect(multiplayer(), None));
        println!("turns of {turns}: {} definitions, {with} bytes instead of {without}", reader.definitions);
        assert!(with < without, "{turns}: {with} bytes instead of {without}");
        assert!(reader.definitions < usize::from(FRAMES) / 8, "{turns}: {} definitions", reader.definitions);
        assert!(turns > 1 || reader.definitions == 1, "{}", reader.definitions);
    }
}

#[test]
fn who_joins_is_in_the_list_though_there_is_no_room_for_both_lists() {
    let mut client = Client::offering("lists 1 10 1000");
    let mut number = 0;
    for players in 3..=10 {
        let targets: Vec<_> = (10..10 + players).collect();
        for _ in 0..4 {
            frame(&mut client, number, &[(2, &targets)]);
            number += 1;
        }
        let messages = client.take();
        let last = messages.iter().rposition(|message| message[0] == 3).expect("the last frame");
        assert_eq!(messages.len() - last, 2, "{players} players");
    }
}

#[test]
fn of_a_crowd_that_is_larger_than_a_list_the_first_are_in_it() {
    let mut client = Client::offering("lists 1 8 1000");
    let crowd: Vec<_> = (10..40).collect();
    for number in 0..20 {
        frame(&mut client, number, &[(2, &crowd)]);
        let messages = client.take().len();
        assert!(number < 3 || messages == 1 + 1 + 22, "{messages} messages");
    }
    assert_eq!(client.peer.statistics().packets_folded, 7 * (20 - 2));
}

#[test]
fn copies_that_come_slowly_leave_in_a_few_messages() {
    const PLAYERS: i32 = 100;
    let mut client = Client::offering(TERMS);
    let mut reader = Reader::default();
    let mut number = 0;
    // The engine needs so long for a copy, and is interrupted in the middle.
    for (pause, interruption, most) in [(0, 0, 3), (50, 0, 8), (50, 20_000, 9), (400, 3000, 38), (0, 0, 2)] {
        for _ in 0..30 {
            let mut put = vec![state(number, b"x")];
            client.put(&put[0].clone(), Delivery::Droppable);
            for player in 0..PLAYERS {
                let time = number.wrapping_sub(player as u16);
                let packet = relay(10 + player, &state(time, &[number as u8]));
                client.put(&packet, Delivery::Droppable);
                put.push(packet);
                let pause = if player == 40 { interruption } else { pause };
                client.now += Duration::from_micros(pause);
                client.work();
                let until = client.driver.hub.held_until();
                assert!(until.is_none_or(|until| until > client.now && until <= client.now + HOLD));
            }
            client.end_frame();
            let messages = client.take();
            assert_eq!(streams(&reader.read(&messages)), streams(&put));
            let folds = number > 2;
            assert!(!folds || messages.len() <= most, "{pause} µs: {} messages", messages.len());
            number += 1;
        }
    }
    assert_eq!(reader.definitions, 1);
    let waiting = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
    assert_eq!((waiting.queued_out_packets, waiting.queued_out_bytes), (0, 0));
}

#[test]
fn what_is_escaped_after_the_end_takes_no_room() {
    let mut client = Client::offering(TERMS);
    for _ in 0..COMMANDS_TURN + 10 {
        client.put(&[7, 0x40], Delivery::Reliable);
    }
    // It ends before the last ones have their turn.
    client.far.inject(&[0x88, 2, 0x03, 0xe8]);
    client.work();
    let waiting = client.peer.peer_statistics(PeerId::SERVER).expect("the game was not told");
    assert_eq!((waiting.queued_out_packets, waiting.queued_out_bytes), (0, 0));
}
