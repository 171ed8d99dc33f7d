//! A client with lists that loses its connection, also while packets are held: its session goes on, and so do the lists.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::faults::{SEEDS, each_seed};
use super::folding::{Client, Reader, TERMS, next_frame, relay, state, streams};
use super::world::multiplayer;
use crate::base::{Delivery, PeerId, Target};
use crate::config::PeerConfig;

const TOKENS: [&str; 2] =
    ["00000000000000010123456789abcdef0123456789abcdef", "0000000000000001fedcba9876543210fedcba9876543210"];

/// A server that counts the messages of a session.
#[derive(Default)]
struct Server {
    reader: Reader,
    packets: Vec<Vec<u8>>,
    received: u64,
}

impl Server {
    /// Reads what has come as a whole.
    fn read(&mut self, client: &mut Client) {
        let bytes = std::mem::take(&mut client.sent);
        let mut rest = bytes.as_slice();
        while let Some((first, payload)) = next_frame(&mut rest) {
            match (first, str::from_utf8(&payload)) {
                (0x82, _) => {
                    self.received += 1;
                    self.packets.extend(self.reader.read_one(&payload));
                }
                (0x81, Ok(words)) if words.starts_with("ack ") => {}
                (0x81, Ok(words)) => {
                    let count = words.strip_prefix("skip ").and_then(|count| count.parse::<u64>().ok());
                    self.received += count.unwrap_or_else(|| panic!("{words}"));
                }
                other => panic!("{other:?}"),
            }
        }
        client.sent = rest.to_vec();
    }
}

#[test]
fn lists_and_what_is_held_outlive_the_connection() {
    let (mut seeds, mut lost, mut held, mut folded) = (0, 0, 0, 0);
    each_seed("folding_session", SEEDS / 3, |seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let config = PeerConfig {
            resume_offered: true,
            lists_offered: true,
            heartbeat_interval: Duration::ZERO,
            heartbeat_timeout: Duration::ZERO,
            ..multiplayer()
        };
        let mut client = Client::dialling(config);
        let request = client.answer(&[&format!("session 1 {} 60000", TOKENS[0]), TERMS]);
        assert!(request.contains("Godot-Multiplayer: resume; v=1, relay-list; v=1"), "{request}");
        client.welcome();
        let mut server = Server::default();
        let mut put: Vec<(Vec<u8>, Delivery, u16)> = Vec::new();
        let mut cuts = BTreeSet::new();
        let mut players: Vec<i32> = (10..10 + random.random_range(3..8)).collect();
        let mut connections = 1;
        for frame in 0..60u16 {
            if random.random_ratio(1, 15) {
                players.rotate_left(1);
            }
            let mut burst = vec![(vec![3, frame as u8], Delivery::Reliable)];
            for (kind, delivery) in [(6, Delivery::Droppable), (2, Delivery::Reliable)] {
                let packet = [&[kind][..], &state(frame, b"content")[1..]].concat();
                burst.extend(players.iter().map(|player| (relay(*player, &packet), delivery)));
            }
            // A part of the frame leaves, and the connection is lost.
            let cut = random.random_ratio(1, 6).then(|| random.random_range(0..burst.len()));
            for (number, (packet, delivery)) in burst.into_iter().enumerate() {
                if cut == Some(number) {
                    client.far.set_capacity(random.random_range(0..60));
                    client.work();
                    server.read(&mut client);
                    held += usize::from(client.driver.hub.held_until().is_some());
                    client.far.reset();
                    client.work();
                    client.sent.clear();
                }
                client.peer.send(Target::One(PeerId::SERVER), &packet, delivery).expect("there is room");
                put.push((packet, delivery, frame));
                if random.random_ratio(1, 8) {
                    client.now += Duration::from_micros(random.random_range(0..800));
                    client.work();
                }
            }
            if cut.is_some() {
                cuts.insert(frame);
                while client.driver.hub.take_dial(client.now).is_none() {
                    client.now += Duration::from_millis(10);
                    client.work();
                }
                client.dial();
                let token = TOKENS[connections % 2];
                let request = client.answer(&[&format!("resumed 1 {token} {}", server.received)]);
                assert!(request.contains(TOKENS[(connections - 1) % 2]), "{request}");
                assert!(!request.contains("relay-list"), "{request}");
                connections += 1;
            }
            client.end_frame();
            client.poll();
            server.read(&mut client);
        }
        client.end_frame();
        server.read(&mut client);
        assert!(client.sent.is_empty() && server.reader.definitions > 0);
        let got = streams(&server.packets);
        for target in players.iter().copied().chain([0]) {
            let mut got = got[&target].iter().peekable();
            for (packet, delivery, frame) in &put {
                if streams(std::slice::from_ref(packet)).contains_key(&target) {
                    let is_next = got.next_if_eq(&packet).is_some();
                    lost += usize::from(!is_next);
                    // The last copies of a frame may be held when the next one begins.
                    let is_near_a_cut = cuts.contains(frame) || cuts.contains(&(frame + 1));
                    let may_be_lost = *delivery == Delivery::Droppable && is_near_a_cut;
                    assert!(is_next || may_be_lost, "client {target}: {packet:?}");
                }
            }
            assert_eq!(got.next(), None, "client {target}");
        }
        let figures = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
        assert_eq!((figures.queued_out_packets, figures.queued_out_bytes), (0, 0));
        folded += client.peer.statistics().packets_folded;
        seeds += 1;
    });
    println!("{folded} packets folded, {lost} lost; {held} times packets were held");
    assert!(folded > 0);
    if seeds >= SEEDS / 3 {
        assert!(held > 0, "no connection was cut while packets were held");
        assert!(lost > 0, "no unreliable packet was lost with a connection");
    }
}
