//! A client whose packets for several others leave as one message: whoever takes such messages apart gets what the game has put.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::faults::{SEEDS, each_seed};
use super::world::{End, multiplayer, start};
use crate::base::{CloseFrame, Delivery, PeerId, Target};
use crate::config::{Buffers, PeerConfig};
use crate::http::Url;
use crate::hub::folding::HOLD;
use crate::hub::{Side, TURN};
use crate::net::Runtime;
use crate::peer::{Peer, Status};
use crate::testing::InMemory;

const OWN: PeerId = PeerId(5);
pub(super) const TERMS: &str = "lists 1 512 32768";
const FRAME: Duration = Duration::from_millis(16);

/// A client and the bytes that it sends.
pub(super) struct Client {
    pub(super) now: Instant,
    runtime: Arc<Runtime>,
    pub(super) peer: Peer,
    pub(super) driver: InMemory<End>,
    pub(super) far: End,
    pub(super) sent: Vec<u8>,
}

impl Client {
    pub(super) fn connect(config: PeerConfig, terms: Option<&str>) -> Self {
        let mut client = Self::dialling(config);
        let request = client.answer(terms.as_slice());
        assert_eq!(
            request.contains("\r\nGodot-Multiplayer: relay-list; v=1\r\n"),
            terms.is_some(),
            "{request}"
        );
        client.welcome();
        client
    }

    pub(super) fn dialling(config: PeerConfig) -> Self {
        let now = start();
        let runtime = Runtime::new();
        let mut peer = Peer::new(Arc::clone(&runtime));
        let url = Url::parse("ws://game.example/lobby").expect("a valid URL");
        let driver = peer.open_in_memory(config, Side::Client { url, tls: None }, TURN, now);
        let far = End::pair(0, 0).1;
        let mut client = Self { now, runtime, peer, driver, far, sent: Vec::new() };
        client.dial();
        client
    }

    pub(super) fn dial(&mut self) {
        let (near, far) = End::pair(1 << 22, usize::MAX);
        self.driver.dial(near, &[], self.now);
        self.far = far;
    }

    /// Answers the request, and says this. Returns the request.
    pub(super) fn answer(&mut self, words: &[&str]) -> String {
        self.work();
        let request = String::from_utf8(std::mem::take(&mut self.sent)).expect("a request");
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.far.inject(head.as_bytes());
        for word in words {
            self.far.inject(&[&[0x81, word.len() as u8], word.as_bytes()].concat());
        }
        request
    }

    /// Tells the client its id.
    pub(super) fn welcome(&mut self) {
        self.far.inject(&[&[0x82, 4][..], &OWN.0.to_le_bytes()].concat());
        self.work();
        self.poll();
        assert_eq!(self.peer.status(), Status::Connected);
    }

    pub(super) fn offering(terms: &str) -> Self {
        Self::connect(PeerConfig { lists_offered: true, ..multiplayer() }, Some(terms))
    }

    pub(super) fn poll(&mut self) {
        self.peer.begin_poll();
        while self.peer.next_event(true).is_some() {}
    }

    /// The I/O thread works until there is nothing to do.
    pub(super) fn work(&mut self) {
        while self.driver.round(self.now) {}
        self.sent.extend(self.far.take_all());
    }

    pub(super) fn put(&mut self, packet: &[u8], delivery: Delivery) {
        self.peer.send(Target::One(PeerId::SERVER), packet, delivery).expect("there is room");
    }

    pub(super) fn relay(&mut self, target: i32, packet: &[u8], delivery: Delivery) {
        self.put(&relay(target, packet), delivery);
    }

    /// The time of the next frame has come, and what was put has left.
    pub(super) fn end_frame(&mut self) {
        self.now += FRAME;
        self.work();
    }

    /// The messages that it has sent since the last call.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        let frames = frames(&std::mem::take(&mut self.sent));
        frames.into_iter().filter(|(first, _)| *first == 0x82).map(|(_, payload)| payload).collect()
    }
}

pub(super) fn relay(target: i32, packet: &[u8]) -> Vec<u8> {
    [&[7, 3][..], &target.to_le_bytes(), packet].concat()
}

pub(super) fn state(time: u16, content: &[u8]) -> Vec<u8> {
    [&[6][..], &time.to_le_bytes(), content].concat()
}

/// The frames of a client: the first byte and the payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let found = std::iter::from_fn(|| next_frame(&mut bytes)).collect();
    assert!(bytes.is_empty(), "a frame is cut");
    found
}

/// Takes the next frame, if all of it is there.
pub(super) fn next_frame(bytes: &mut &[u8]) -> Option<(u8, Vec<u8>)> {
    let [first, len, rest @ ..] = *bytes else { return None };
    let (size, rest) = match len & 0x7f {
        126 => rest.split_first_chunk().map(|(size, rest)| (usize::from(u16::from_be_bytes(*size)), rest))?,
        127 => rest.split_first_chunk().map(|(size, rest)| (u64::from_be_bytes(*size) as usize, rest))?,
        len => (usize::from(len), rest),
    };
    let (key, rest) = rest.split_at_checked(4)?;
    let (payload, rest) = rest.split_at_checked(size)?;
    *bytes = rest;
    Some((*first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
}

/// Takes messages apart, as docs/protocol.md says.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) lists: BTreeMap<u8, Vec<(i32, u16)>>,
    pub(super) definitions: usize,
}

impl Reader {
    pub(super) fn read(&mut self, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        messages.iter().flat_map(|message| self.read_one(message)).collect()
    }

    pub(super) fn read_one(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        match message {
            [7, 0x41, list, low, high, targets @ ..] => {
                let list_of = |target: &[u8; 6]| {
                    let [a, b, c, d, e, f] = *target;
                    (i32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]))
                };
                let targets: Vec<_> = targets.as_chunks::<6>().0.iter().map(list_of).collect();
                assert_eq!(targets.len(), usize::from(u16::from_le_bytes([*low, *high])));
                assert!(targets.iter().all(|(target, _)| *target > 1 && *target != OWN.0));
                self.lists.insert(*list, targets);
                self.definitions += 1;
                assert!(*list < 16 && self.lists.values().map(Vec::len).sum::<usize>() <= 512);
                Vec::new()
            }
            [7, 0x40, list, a, b, c, packet @ ..] => {
                let range = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
                let (from, count) = (range & 0xfff, (range >> 12) + 1);
                assert!(count == 1 || count * message.len() <= 32_768);
                let targets = &self.lists[list][from..from + count];
                let single = |(target, offset): &(i32, u16)| {
                    let mut packet = packet.to_vec();
                    if packet.len() >= 3 && packet[0] & 0b1_0111 == 6 {
                        let time = u16::from_le_bytes([packet[1], packet[2]]);
                        let time = time.wrapping_add(offset.wrapping_sub(targets[0].1));
                        packet[1..3].copy_from_slice(&time.to_le_bytes());
                    }
                    relay(*target, &packet)
                };
                targets.iter().map(single).collect()
            }
            [7, 0x42, packet @ ..] => vec![packet.to_vec()],
            _ => vec![message.to_vec()],
        }
    }
}

/// What each client gets, and the server's game (0).
pub(super) fn streams(packets: &[Vec<u8>]) -> BTreeMap<i32, Vec<Vec<u8>>> {
    let mut streams: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
    for packet in packets {
        let target = match packet[..] {
            [7, 3, a, b, c, d, _, ..] => i32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        streams.entry(target).or_default().push(packet.clone());
    }
    streams
}

#[test]
fn a_crowd_uploads_each_state_once() {
    const SIZE: usize = 23;
    let used = |client: &mut Client, players: i32| {
        let mut last = (0, 0, 0);
        for frame in 0..8u16 {
            let content = [frame as u8; SIZE - 3];
            client.put(&state(frame, &content), Delivery::Droppable);
            // They have joined one after the other, so their times differ.
            for player in 1..players {
                let time = frame.wrapping_sub(player as u16);
                client.relay(10 + player, &state(time, &content), Delivery::Droppable);
            }
            client.end_frame();
            let bytes = client.sent.len();
            let messages = client.take();
            last = (bytes, messages.len(), last.2 + Reader::default().lists.len());
        }
        (last.0, last.1)
    };
    for (players, bytes_less, messages_less) in [(10, 5, 5), (40, 12, 10), (100, 50, 50)] {
        let with = used(&mut Client::offering(TERMS), players);
        let without = used(&mut Client::connect(multiplayer(), None), players);
        assert_eq!(without.1, players as usize);
        assert!(with.0 * bytes_less <= without.0, "{players} players: {with:?} instead of {without:?}");
        assert!(with.1 * messages_less <= without.1, "{players} players: {with:?} instead of {without:?}");
        println!("{players} players: {with:?} bytes and messages in a frame instead of {without:?}");
    }
}

#[test]
fn each_receiver_gets_what_was_put_in_order() {
    let (mut folded, mut all, mut definitions) = (0, 0, 0);
    each_seed("folding", SEEDS, |seed| {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut client = Client::offering(TERMS);
        let mut players: Vec<(i32, u16)> =
            (0..random.random_range(2..12)).map(|player| (10 + player, random.random())).collect();
        let mut next = 100;
        let mut put = Vec::new();
        let calm = seed % 4 == 0;
        let objects = random.random_range(1..4);
        for frame in 0..random.random_range(10..60u16) {
            if !calm && random.random_ratio(1, 8) {
                match random.random_range(0..4) {
                    0 if players.len() > 1 => {
                        players.remove(random.random_range(0..players.len()));
                    }
                    1 => {
                        players.push((next, random.random()));
                        next += 1;
                    }
                    // Somebody did not see anything for some frames.
                    2 => players[0].1 = players[0].1.wrapping_add(3),
                    _ => players.shuffle(&mut random),
                }
            }
            let mut burst: Vec<(Vec<u8>, Delivery)> = Vec::new();
            let contents: Vec<Vec<u8>> =
                (0..objects).map(|object| vec![if object == 0 { 7 } else { random.random() }; 20]).collect();
            for to in [None].into_iter().chain(players.iter().map(Some)) {
                for content in &contents {
                    let packet = match to {
                        None => state(frame, content),
                        Some((id, base)) => relay(*id, &state(frame.wrapping_add(*base), content)),
                    };
                    burst.push((packet, Delivery::Droppable));
                }
                // A delta, which has no time.
                if frame % 3 == 0 {
                    let packet = [&[22][..], &frame.to_le_bytes(), &[9; 4]].concat();
                    let packet = to.map_or_else(|| packet.clone(), |(id, _)| relay(*id, &packet));
                    burst.push((packet, Delivery::Reliable));
                }
            }
            // A call to everybody, one to somebody, what looks like a list, what is large, and what is empty but for its byte.
            if random.random_ratio(1, 2) {
                let call = vec![random.random::<u8>() & 0xf8; random.random_range(1..30)];
                burst.push((call.clone(), Delivery::Reliable));
                burst.extend(players.iter().map(|(id, _)| (relay(*id, &call), Delivery::Reliable)));
            }
            if !calm {
                for _ in 0..random.random_range(0..4) {
                    let to = players[random.random_range(0..players.len())].0;
                    let packet = match random.random_range(0..6) {
                        0 => relay(to, &[16, random.random()]),
                        1 => vec![7, 0x40 + random.random_range(0..3), random.random()],
                        2 => relay(to, &vec![2; random.random_range(1000..20_000)]),
                        3 => relay(OWN.0, b"self"),
                        4 => relay(-to, b"all but one"),
                        _ => vec![3, random.random()],
                    };
                    let at = random.random_range(0..=burst.len());
                    burst.insert(at, (packet, Delivery::Reliable));
                }
            }
            // The I/O thread wakes up at any time in between.
            let rounds = if calm { 0 } else { random.random_range(0..40) };
            for (packet, delivery) in burst {
                client.put(&packet, delivery);
                put.push(packet);
                if random.random_range(0..100) < rounds {
                    client.now += Duration::from_micros(random.random_range(0..800));
                    client.driver.round(client.now);
                }
            }
            client.end_frame();
        }
        client.end_frame();
        // It remembers the last large payload until then.
        client.poll();
        let messages = client.take();
        let mut reader = Reader::default();
        let got = reader.read(&messages);
        let (got, ought) = (streams(&got), streams(&put));
        for (target, ought) in &ought {
            let is = &got[target];
            let at = is.iter().zip(ought).take_while(|(is, ought)| is == ought).count();
            assert!(is == ought, "client {target}: {:?}, not {:?}", is.get(at), ought.get(at));
        }
        assert_eq!(got.len(), ought.len());
        let figures = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
        assert_eq!((figures.queued_out_packets, figures.queued_out_bytes), (0, 0));
        let statistics = client.peer.statistics();
        assert_eq!(statistics.packets_out as usize, messages.len());
        assert_eq!(
            statistics.packets_out as usize + statistics.packets_folded as usize - reader.definitions,
            put.len()
        );
        assert_eq!(client.runtime.queue_totals.outgoing.bytes(), 0);
        if calm && players.len() > 4 {
            folded += statistics.packets_folded;
            all += put.len() as u64;
        }
        definitions += reader.definitions;
    });
    println!("{folded} of {all} packets needed no message in calm seeds; {definitions} definitions");
    assert!(all == 0 || folded * 10 > all * 5, "{folded} of {all}");
}

/// A client that knows a list of three others.
fn with_list() -> Client {
    let mut client = Client::offering(TERMS);
    for frame in 0..3 {
        client.put(b"\x03server", Delivery::Reliable);
        for target in [10, 11, 12] {
            client.relay(target, &[2, frame], Delivery::Reliable);
        }
        client.end_frame();
    }
    let messages = client.take();
    assert!(messages.iter().any(|message| message[..2] == [7, 0x41]), "{messages:?}");
    client
}

#[test]
fn what_is_held_leaves_soon_if_nothing_follows() {
    let mut client = with_list();
    client.relay(10, &[2, 9], Delivery::Reliable);
    client.relay(11, &[2, 9], Delivery::Reliable);
    client.work();
    assert!(client.take().is_empty(), "it waits for the third");
    assert_eq!(client.driver.wake_at(), Some(client.now + HOLD));
    client.now += HOLD;
    client.work();
    let messages = client.take();
    assert_eq!(messages, [[&[7, 0x40, 0, 0, 0x10, 0, 2, 9][..]].concat()]);
    // A whole one does not wait.
    for target in [10, 11, 12] {
        client.relay(target, &[2, 8], Delivery::Reliable);
    }
    client.work();
    assert_eq!(client.take(), [[&[7, 0x40, 0, 0, 0x20, 0, 2, 8][..]].concat()]);
    // Nor does one for a client that is not the first of a list, or of another kind.
    client.relay(11, &[2, 7], Delivery::Reliable);
    client.relay(10, &[3, 7], Delivery::Reliable);
    client.relay(10, &[2, 7], Delivery::Droppable);
    client.work();
    assert_eq!(client.take().len(), 3);
}

#[test]
fn everything_else_ends_a_hold() {
    for what in 0..5 {
        let mut client = with_list();
        client.relay(10, &[2, 9], Delivery::Reliable);
        match what {
            0 => client.put(b"\x03behind", Delivery::Reliable),
            1 => client
                .peer
                .peer(PeerId::SERVER)
                .expect("connected")
                .send(b"text", true)
                .expect("there is room"),
            2 => client.peer.reconfigure(PeerConfig { close_timeout: FRAME, ..multiplayer() }),
            3 => assert!(client.peer.disconnect(PeerId::SERVER, CloseFrame::normal())),
            _ => client.peer.close(),
        }
        client.work();
        let sent = frames(&std::mem::take(&mut client.sent));
        assert_eq!(sent[0], (0x82, relay(10, &[2, 9])), "{what}");
        assert_eq!(sent.len(), if what == 2 { 1 } else { 2 }, "{what}: {sent:?}");
    }
}

#[test]
fn a_list_that_does_not_fit_any_more_is_given_up() {
    let mut client = with_list();
    // The last one is gone.
    let (mut waited, mut sizes) = (0, Vec::new());
    for frame in 0..60 {
        client.put(b"\x03server", Delivery::Reliable);
        for target in [10, 11] {
            client.relay(target, &[2, frame], Delivery::Reliable);
        }
        client.work();
        waited += usize::from(client.driver.hub.held_until().is_some());
        client.end_frame();
        sizes.push(client.take().len());
    }
    assert_eq!(waited, 4, "then it is not expected any more");
    assert_eq!(sizes, [[2; 4].as_slice(), &[3; 56]].concat());
}

#[test]
fn lists_change_with_the_players_and_stay_within_the_terms() {
    let mut client = Client::offering("lists 1 7 100 and later words");
    let mut reader = Reader::default();
    for round in 0..40 {
        let players: Vec<_> = (0..5).map(|player| 10 + round * 3 + player).collect();
        for frame in 0..60u8 {
            client.put(b"\x03server", Delivery::Reliable);
            for target in &players {
                client.relay(*target, &[2, frame, 9, 9, 9], Delivery::Reliable);
            }
            client.end_frame();
        }
        for message in client.take() {
            reader.read_one(&message);
            assert!(reader.lists.values().map(Vec::len).sum::<usize>() <= 7);
            assert!(message[..2] != [7, 0x40] || message.len() * (usize::from(message[4] >> 4) + 1) <= 100);
        }
    }
    assert!(reader.definitions > 5, "{} definitions", reader.definitions);
    assert!(client.peer.statistics().packets_folded > 1000);
    // Terms that are worth nothing.
    for terms in ["lists 1 2 100", "lists 1 0 0", "lists 1 512 10"] {
        let mut client = Client::offering(terms);
        for frame in 0..9 {
            client.put(b"\x03server", Delivery::Reliable);
            for target in [10, 11, 12] {
                client.relay(target, &[2, frame], Delivery::Reliable);
            }
            client.end_frame();
        }
        let messages = client.take();
        let singles = messages.iter().filter(|message| message[..2] == [7, 3]).count();
        assert_eq!(singles, 27, "{terms}");
    }
}

#[test]
fn a_packet_that_looks_like_a_list_is_escaped_where_lists_are_agreed_on() {
    for agreed in [true, false] {
        let mut client = if agreed { Client::offering(TERMS) } else { Client::connect(multiplayer(), None) };
        let packets = [vec![7, 0x40, 1], vec![7, 0x41], vec![7, 0x42, 9], vec![7, 0x43]];
        client.far.set_capacity(0);
        for packet in &packets {
            client.put(packet, Delivery::Reliable);
        }
        client.work();
        let figures = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
        assert_eq!((figures.queued_out_packets, figures.queued_out_bytes), (4, if agreed { 16 } else { 10 }));
        client.far.set_capacity(1 << 20);
        client.work();
        let escape = |packet: &Vec<u8>| {
            let needs = agreed && packet[1] < 0x43;
            if needs { [&[7, 0x42][..], packet].concat() } else { packet.clone() }
        };
        assert_eq!(client.take(), packets.iter().map(escape).collect::<Vec<_>>());
        let figures = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
        assert_eq!((figures.queued_out_packets, figures.queued_out_bytes), (0, 0));
    }
}

#[test]
fn a_server_that_reads_slowly_gets_no_more_than_there_is_room_for() {
    let buffers = Buffers { output_bytes: 2000, output_packets: 64, ..Buffers::default() };
    let config = PeerConfig { buffers, lists_offered: true, unreliable_backlog: 500, ..multiplayer() };
    let mut client = Client::connect(config, Some(TERMS));
    let mut put = 0;
    client.far.set_capacity(300);
    for frame in 0..200u16 {
        client.peer.send(Target::One(PeerId::SERVER), b"\x03server", Delivery::Droppable).expect("no error");
        for target in 0..20 {
            let packet = relay(10 + target, &state(frame, &[9; 20]));
            client.peer.send(Target::One(PeerId::SERVER), &packet, Delivery::Droppable).expect("no error");
        }
        put += 21;
        client.now += FRAME;
        while client.driver.round(client.now) {}
        if frame % 4 == 0 {
            client.sent.extend(client.far.take_all());
        }
    }
    client.far.set_capacity(1 << 20);
    for _ in 0..4 {
        client.end_frame();
    }
    let statistics = client.peer.statistics();
    let mut reader = Reader::default();
    let got = reader.read(&client.take()).len() as u64;
    assert_eq!(got + statistics.packets_dropped_unreliable, put, "what is not dropped arrives");
    assert!(statistics.packets_dropped_unreliable > 0 && statistics.packets_folded > 0);
    let figures = client.peer.peer_statistics(PeerId::SERVER).expect("it is connected");
    assert_eq!((figures.queued_out_packets, figures.queued_out_bytes), (0, 0));
}

#[test]
fn times_that_change_are_found_anew_and_parts_of_a_list_leave_at_once() {
    let mut client = Client::offering(TERMS);
    let frame = |client: &mut Client, number: u16, offsets: [u16; 4]| {
        client.put(&state(number, b"x"), Delivery::Droppable);
        for (target, offset) in (10..).zip(offsets) {
            let packet = state(number.wrapping_add(offset), &[number as u8]);
            client.relay(target, &packet, Delivery::Droppable);
        }
        client.work();
        let messages = client.take();
        client.end_frame();
        assert!(client.take().is_empty(), "nothing was held");
        messages
    };
    for number in 0..4 {
        frame(&mut client, number, [0, 5, 9, 9]);
    }
    assert_eq!(frame(&mut client, 4, [0, 5, 9, 9]).len(), 2);
    // All but the first have missed three frames: the rest of the list is a part of its own.
    let messages = frame(&mut client, 5, [3, 5, 9, 9]);
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages[1], relay(10, &state(8, &[5])));
    assert_eq!(messages[2][..6], [7, 0x40, 0, 1, 0x20, 0], "from the place 1, three of them");
    for number in 6..12 {
        frame(&mut client, number, [3, 5, 9, 9]);
    }
    let messages = frame(&mut client, 12, [3, 5, 9, 9]);
    assert_eq!(messages.len(), 2, "there is a list for these times: {messages:?}");
}

#[test]
fn a_list_has_no_room_for_the_client_itself() {
    let mut client = Client::offering(TERMS);
    for number in 0..9 {
        client.put(b"\x03server", Delivery::Reliable);
        for target in [10, OWN.0, 11, 12, 13] {
            client.relay(target, &[2, number], Delivery::Reliable);
        }
        client.end_frame();
    }
    // Its packet for itself is between the others: it ends what is held.
    let messages = client.take();
    let mut reader = Reader::default();
    assert_eq!(streams(&reader.read(&messages))[&OWN.0].len(), 9);
    assert_eq!(reader.lists.into_values().collect::<Vec<_>>(), [[(11, 0), (12, 0), (13, 0)]]);
}

#[test]
fn lists_that_are_of_no_use_are_defined_less_and_less_often() {
    let mut client = Client::offering(TERMS);
    let mut frames = 0;
    for round in 0..300 {
        let players = [10, 11 + round, 400];
        for count in [3, 3, 1, 1, 1, 1] {
            client.put(b"\x03server", Delivery::Reliable);
            for target in players.iter().take(count) {
                client.relay(*target, &[2, frames], Delivery::Reliable);
            }
            client.end_frame();
            frames = frames.wrapping_add(1);
        }
    }
    let mut reader = Reader::default();
    reader.read(&client.take());
    assert!((4..9).contains(&reader.definitions), "{} definitions", reader.definitions);
}

#[test]
fn players_who_join_one_after_the_other_end_up_in_one_list() {
    let mut client = Client::offering(TERMS);
    let mut number = 0;
    for players in 1..40 {
        for _ in 0..10 {
            client.put(&state(number, b"x"), Delivery::Droppable);
            for player in 0..players {
                let time = number.wrapping_sub(10 * player as u16);
                client.relay(10 + player, &state(time, &[number as u8]), Delivery::Droppable);
            }
            client.end_frame();
            number += 1;
        }
        let messages = client.take();
        let last = messages.iter().rposition(|message| message[0] == 6).expect("the last frame");
        assert!(messages.len() - last <= 3, "{players} players: {} messages", messages.len() - last);
    }
}

#[test]
fn a_packet_that_is_too_large_for_all_at_once_still_uses_its_list() {
    let mut client = Client::offering("lists 1 512 3000");
    for number in 0..30 {
        client.put(b"\x03server", Delivery::Reliable);
        for target in 10..20 {
            client.relay(target, &[&[2][..], &[number; 899]].concat(), Delivery::Reliable);
        }
        client.end_frame();
        let messages = client.take().len();
        assert!(number < 3 || messages == 5, "{messages} messages: three for three of them each, and one");
    }
}
