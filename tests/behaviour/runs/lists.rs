//! Messages of a client for several others.

use std::time::Duration;

use super::scene::{Deed, Scene, relay};
use super::small;
use crate::base::PeerId;
use crate::behaviour::world::{REQUEST, frame, multiplayer};
use crate::config::{Buffers, PeerConfig, ServerConfig};
use crate::session::message::ANSWER_TIME;

/// A request that offers this.
pub(super) fn offering(items: &str) -> Vec<u8> {
    let line = format!("\r\nGodot-Multiplayer: {items}\r\n\r\n");
    String::from_utf8_lossy(REQUEST).replace("\r\n\r\n", &line).into_bytes()
}

pub(super) fn define(list: u8, targets: &[(PeerId, u16)]) -> Vec<u8> {
    let mut message = vec![7, 0x41, list];
    message.extend_from_slice(&(targets.len() as u16).to_le_bytes());
    for (target, offset) in targets {
        message.extend_from_slice(&target.0.to_le_bytes());
        message.extend_from_slice(&offset.to_le_bytes());
    }
    message
}

pub(super) fn using(list: u8, from: usize, count: usize, packet: &[u8]) -> Vec<u8> {
    let range = ((count - 1) << 12 | from) as u32;
    [&[7, 0x40, list][..], &range.to_le_bytes()[..3], packet].concat()
}

fn scene(config: PeerConfig, guests: usize) -> Scene {
    let mut scene = Scene::new(config, true);
    scene.fill(guests, &offering("relay-list; v=1"));
    scene
}

/// A list of these clients, without offsets.
fn list(scene: &Scene, guests: &[usize]) -> Vec<u8> {
    define(0, &guests.iter().map(|guest| (scene.guests[*guest].id, 0)).collect::<Vec<_>>())
}

fn greeting(scene: &Scene, guest: usize) -> Vec<String> {
    let texts = scene.guests[guest].greeting.iter().filter(|(first, _)| *first == 0x81);
    texts.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn who_offers_is_told_the_terms_and_nobody_else_is() {
    let mut scene = Scene::new(multiplayer(), true);
    for (items, words) in [
        ("relay-list; v=1", &["lists 1 512 32768"][..]),
        ("resume; v=2, relay-list; x=y; v=1", &["lists 1 512 32768"]),
        ("relay-list; v=2", &[]),
        ("relay-list", &[]),
        ("relay-lists; v=1", &[]),
        ("resume; v=1", &[]),
    ] {
        let guest = scene.join_with(&offering(items));
        assert_eq!(greeting(&scene, guest), words, "{items}");
        assert_eq!(scene.guests[guest].greeting.last().expect("an id").0, 0x82, "the id is the last of them");
    }
    let mut scene = Scene::new(small(2), true);
    let guest = scene.join_with(&offering("relay-list; v=1"));
    assert!(greeting(&scene, guest).is_empty(), "no list is worth it");
    let config = PeerConfig { resume_timeout: PeerConfig::RESUME_MAX, ..multiplayer() };
    let mut scene = Scene::new(config, true);
    let guest = scene.join_with(&offering("relay-list; v=1, resume; v=1"));
    let words = greeting(&scene, guest);
    assert!(words.len() == 2 && words[0].starts_with("session 1 ") && words[1].starts_with("lists 1 "));
    let server = ServerConfig { max_inbound_per_second: 10_000, ..ServerConfig::default() };
    let mut scene = Scene::with(multiplayer(), server, true);
    let guest = scene.join_with(&offering("relay-list; v=1"));
    assert_eq!(greeting(&scene, guest), ["lists 1 512 5000"], "no message is worth more than half a second");
}

#[test]
fn one_message_reaches_each_target_with_its_own_time() {
    let mut scene = scene(multiplayer(), 4);
    let ids: Vec<_> = scene.guests.iter().map(|guest| guest.id).collect();
    let targets = [(ids[2], 10), (ids[1], 0xffff), (ids[3], 10)];
    let state = [6, 0xff, 0xff, 1];
    let delta = [22, 0xff, 0xff, 1];
    scene.say(
        0,
        &[
            define(15, &targets),
            using(15, 0, 3, &state),
            using(15, 1, 2, &state),
            using(15, 0, 3, &delta),
            using(15, 2, 1, &[6, 1]),
        ],
    );
    scene.work();
    assert!(scene.messages(1).is_empty(), "not before the game has come to their place");
    let figures = scene.peer.peer_statistics(ids[0]).expect("it is connected");
    assert_eq!((figures.packets_in, figures.queued_in_packets, figures.queued_in_bytes), (5, 9, 88));
    scene.settle();
    let state_at = |time: u16| relay(ids[0], &[&[6][..], &time.to_le_bytes(), &[1]].concat());
    let delta = relay(ids[0], &delta);
    assert_eq!(scene.messages(1), [state_at(0xfff4), state_at(0xffff), delta.clone()]);
    assert_eq!(scene.messages(2), [state_at(0xffff), delta.clone()]);
    assert_eq!(scene.messages(3), [state_at(0xffff), state_at(10), delta, relay(ids[0], &[6, 1])]);
    assert!(scene.taken.is_empty());
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_relayed, statistics.bytes_relayed), (9, 88));
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn a_target_that_has_left_does_not_change_what_others_get_next() {
    let mut scene = scene(multiplayer(), 3);
    let large = |byte: u8| [&[2][..], &[byte; 3000]].concat();
    let said = [
        list(&scene, &[1, 2]),
        using(0, 0, 2, &large(1)),
        scene.relay(1, &large(2)),
        using(0, 0, 2, &large(3)),
        using(0, 0, 1, &large(4)),
    ];
    scene.say(0, &said);
    scene.work();
    // The game hears of the end before it comes to the packets.
    scene.guests[2].end.reset();
    scene.settle();
    let received: Vec<_> = scene.messages(1).iter().filter(|message| message[1] == 3).map(|m| m[7]).collect();
    assert_eq!(received, [1, 2, 3, 4]);
}

#[test]
fn the_game_gets_what_is_for_no_pair_in_the_order_of_the_list() {
    let mut scene = scene(multiplayer(), 3);
    let late = scene.join();
    let ids = [scene.guests[1].id, scene.guests[late].id, scene.guests[2].id];
    scene.say(0, &[define(0, &ids.map(|id| (id, 3))), using(0, 0, 3, b"x"), Deed::Put(1).packet(b"y")]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    assert_eq!(scene.peer.packet_count(), 2);
    let first = scene.peer.pop_packet().expect("it was counted");
    assert_eq!(first.payload, relay(ids[1], b"x"));
    scene.work();
    assert_eq!((scene.messages(1).len(), scene.messages(2).len()), (1, 0), "the game comes to it in between");
    scene.settle();
    assert_eq!(scene.taken, [Deed::Put(1).packet(b"y")]);
    assert_eq!((scene.messages(1).len(), scene.messages(2).len()), (1, 1));
    // The game relays all of them where it relays any, with the times of their targets.
    scene.server_relay = false;
    scene.settle();
    scene.taken.clear();
    scene.say(0, &[define(0, &[(ids[0], 1), (ids[2], 5)]), using(0, 0, 2, &[6, 1, 0, 7])]);
    scene.settle();
    assert_eq!(scene.taken, [relay(ids[0], &[6, 1, 0, 7]), relay(ids[2], &[6, 5, 0, 7])]);
}

#[test]
fn a_target_that_nobody_has_costs_the_game_nothing() {
    let mut scene = scene(small(8), 3);
    let (one, two) = (scene.guests[1].id, scene.guests[2].id);
    let targets = [(PeerId(2), 1), (one, 4), (PeerId(3), 0), (two, 1)];
    scene.say(0, &[define(0, &targets), using(0, 0, 4, &[6, 10, 0]), using(0, 0, 1, b"x")]);
    scene.work();
    let figures = scene.peer.peer_statistics(scene.guests[0].id).expect("it is connected");
    assert_eq!((figures.packets_in, figures.queued_in_packets, figures.queued_in_bytes), (3, 2, 18));
    scene.settle();
    let source = scene.guests[0].id;
    assert_eq!(
        scene.messages(1),
        [relay(source, &[6, 13, 0])],
        "the time still counts for the first of the list"
    );
    assert_eq!(scene.messages(2), [relay(source, &[6, 10, 0])]);
    assert!(scene.taken.is_empty());
    assert_eq!(scene.peer.statistics().packets_to_closed, 3);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn a_game_that_relays_itself_gets_what_is_for_clients_that_are_not_here() {
    let mut scene = Scene::new(multiplayer(), true);
    scene.is_wrapped = true;
    scene.fill(2, &offering("relay-list; v=1"));
    let targets = [(PeerId(2), 1), (scene.guests[1].id, 4), (PeerId(3), 0)];
    scene.say(0, &[define(0, &targets), using(0, 0, 3, &[6, 10, 0]), using(0, 2, 1, b"x")]);
    scene.work();
    let figures = scene.peer.peer_statistics(scene.guests[0].id).expect("it is connected");
    assert_eq!((figures.packets_in, figures.queued_in_packets, figures.queued_in_bytes), (3, 4, 34));
    scene.settle();
    let [(first, _), (second, _), (third, _)] = targets;
    let singles =
        [relay(first, &[6, 10, 0]), relay(second, &[6, 13, 0]), relay(third, &[6, 9, 0]), relay(third, b"x")];
    assert_eq!(scene.taken, singles, "as without a list");
    assert_eq!(scene.peer.statistics().packets_to_closed, 0);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn a_flood_for_clients_that_are_not_here_has_the_room_of_one_client() {
    let mut scene = Scene::new(small(64), true);
    scene.is_wrapped = true;
    scene.fill(2, &offering("relay-list; v=1"));
    let strangers: Vec<_> = (2..34).map(|id| (PeerId(id), 0)).collect();
    scene.say(0, &[define(0, &strangers)]);
    scene.say(0, &vec![using(0, 0, 32, b"x"); 20_000]);
    for turn in 0..20u8 {
        let said = Deed::Nothing.packet(&[turn]);
        scene.say(1, std::slice::from_ref(&said));
        scene.work();
        scene.poll();
        assert_eq!(scene.taken.len(), 65, "turn {turn}");
        assert!(scene.taken.contains(&said), "turn {turn}");
        scene.taken.clear();
    }
}

#[test]
fn the_game_gets_what_is_too_large_for_a_packet() {
    let buffers = Buffers { output_bytes: 1000, ..Buffers::default() };
    let mut scene = scene(PeerConfig { buffers, ..multiplayer() }, 3);
    let all = list(&scene, &[1, 2]);
    let packets = [994, 995].map(|size| vec![2; size]);
    scene.say(0, &[all, using(0, 0, 2, &packets[0]), using(0, 0, 2, &packets[1])]);
    scene.settle();
    assert_eq!(scene.taken, [scene.relay(1, &packets[1]), scene.relay(2, &packets[1])]);
    assert_eq!(scene.peer.statistics().packets_relayed, 2);
}

#[test]
fn another_api_sees_the_packets_one_by_one() {
    let mut scene = scene(multiplayer(), 3);
    let ids = [scene.guests[1].id, scene.guests[2].id];
    scene.say(0, &[define(0, &ids.map(|id| (id, 0))), using(0, 0, 2, b"x")]);
    scene.work();
    scene.swap_api();
    scene.poll();
    assert_eq!(scene.taken, ids.map(|id| relay(id, b"x")));
    scene.settle();
    assert_eq!(scene.peer.statistics().packets_relayed, 0);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn a_packet_of_the_game_that_looks_like_one_is_escaped_and_without_terms_nothing_is_touched() {
    let mut scene = scene(multiplayer(), 2);
    let packets = [vec![7, 0x40, 0, 0, 0, 0, 1], vec![7, 0x41], vec![7, 0x42], vec![7, 0x42, 1]];
    let escaped: Vec<_> = packets.iter().map(|packet| [&[7, 0x42][..], packet].concat()).collect();
    scene.say(0, &escaped);
    // Text is none of them.
    scene.guests[0].end.inject(&frame(0x81, &[7, 0x40]));
    scene.say(0, &[vec![15, 0x40], vec![7, 0x43]]);
    scene.settle();
    let others = [vec![7, 0x40], vec![15, 0x40], vec![7, 0x43]];
    assert_eq!(scene.taken, [&packets[..], &others].concat());
    let mut scene = Scene::of(multiplayer(), 2);
    scene.say(0, &packets);
    scene.settle();
    assert_eq!(scene.taken, packets);
    assert_eq!(scene.peer.statistics().peers_violated, 0);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn an_escaped_packet_may_be_as_large_as_any_other() {
    const LARGEST: usize = 100;
    let config = PeerConfig {
        max_message_size: Some(LARGEST),
        resume_timeout: PeerConfig::RESUME_MAX,
        ..multiplayer()
    };
    let large = |begin: &[u8], size: usize| [begin, &vec![1; size - begin.len()]].concat();
    let largest = large(&[7, 0x42, 7, 0x40], LARGEST + 2);
    for breach in 0..5 {
        let mut scene = Scene::new(config.clone(), true);
        let guest = scene.join_with(&offering("resume; v=1, relay-list; v=1"));
        scene.guests[guest].end.inject(&frame(0x81, b"ack 0 0"));
        scene.say(guest, &[largest.clone(), large(&[9], LARGEST)]);
        // Cut into frames, too.
        scene.guests[guest].end.inject(&frame(0x02, &largest[..1]));
        scene.guests[guest].end.inject(&frame(0x80, &largest[1..]));
        scene.settle();
        let received = scene.messages(guest).len();
        if breach > 3 {
            let token = greeting(&scene, guest)[0].split(' ').nth(2).expect("a token").to_owned();
            scene.guests[guest].end.reset();
            scene.settle();
            scene.rejoin_with(guest, &offering(&format!("resume; v=1; token={token}; received={received}")));
            scene.guests[guest].end.inject(&frame(0x81, format!("ack {received} 3").as_bytes()));
            scene.say(guest, std::slice::from_ref(&largest));
            scene.settle();
        }
        let packets = [&largest[2..], &large(&[9], LARGEST), &largest[2..], &largest[2..]];
        assert_eq!(scene.taken, packets[..if breach > 3 { 4 } else { 3 }]);
        assert_eq!(scene.peer.statistics().peers_violated, 0);
        let wrong = match breach {
            0 => large(&[7, 0x42, 7, 0x40], LARGEST + 3),
            1 => large(&[7, 0x40, 0, 0, 0, 0], LARGEST + 1),
            2 => large(&[7, 3, 9, 0, 0, 0], LARGEST + 2),
            _ => large(&[9], LARGEST + 1),
        };
        scene.say(guest, &[wrong]);
        scene.settle();
        // The game has some time to answer what came before.
        scene.now += ANSWER_TIME;
        scene.settle();
        assert_eq!(scene.peer.statistics().peers_violated, 1, "{breach}");
        let closed =
            scene.stream(guest).iter().any(|(first, close)| *first == 0x88 && close[..2] == [3, 241]);
        assert!(closed, "{breach}: Close 1009");
    }
    // Without lists it is a packet as any other.
    let mut scene = Scene::of(config, 1);
    scene.say(0, &[largest]);
    scene.settle();
    assert_eq!(scene.peer.statistics().peers_violated, 1);
}

#[test]
fn a_list_may_be_as_long_as_was_agreed_when_the_limit_is_lower_by_now() {
    let config = PeerConfig { resume_timeout: PeerConfig::RESUME_MAX, ..multiplayer() };
    let mut scene = Scene::new(config.clone(), true);
    for _ in 0..2 {
        let guest = scene.join_with(&offering("resume; v=1, relay-list; v=1"));
        scene.guests[guest].end.inject(&frame(0x81, b"ack 0 0"));
    }
    scene.settle();
    scene.peer.reconfigure(PeerConfig { max_message_size: Some(1024), ..config });
    let strangers = (2..513).map(|id| (PeerId(id), 0));
    let targets: Vec<_> = strangers.chain([(scene.guests[1].id, 0)]).collect();
    let source = scene.guests[0].id;
    for comes_back in [false, true] {
        if comes_back {
            let received = scene.messages(0).len();
            let token = greeting(&scene, 0)[0].split(' ').nth(2).expect("a token").to_owned();
            scene.guests[0].end.reset();
            scene.settle();
            scene.rejoin_with(0, &offering(&format!("resume; v=1; token={token}; received={received}")));
            scene.guests[0].end.inject(&frame(0x81, format!("ack {received} 2").as_bytes()));
        }
        scene.messages(1);
        scene.say(0, &[define(0, &targets), using(0, 511, 1, b"x")]);
        scene.settle();
        assert_eq!(scene.messages(1), [relay(source, b"x")], "{comes_back}");
        assert_eq!(scene.peer.statistics().peers_violated, 0, "{comes_back}");
    }
    // All other messages are within the new limit.
    scene.say(0, &[vec![9; 1025]]);
    scene.settle();
    scene.now += ANSWER_TIME;
    scene.settle();
    assert_eq!(scene.peer.statistics().peers_violated, 1);
}

#[test]
fn an_escaped_packet_waits_for_room_as_a_whole() {
    let mut scene = scene(small(6), 2);
    let escaped = vec![7, 0x42, 7, 0x40, 0, 0, 0, 0, 1];
    scene.say(0, &vec![escaped.clone(); 20]);
    for taken in [6, 12, 18] {
        scene.work();
        scene.poll();
        assert_eq!(scene.taken.len(), taken);
    }
    scene.settle();
    assert_eq!(scene.taken, vec![escaped[2..].to_vec(); 20]);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn breaches_end_the_connection_and_nothing_of_them_arrives() {
    const LARGE: usize = 30_000;
    let of = |ids: &[PeerId]| define(0, &ids.iter().map(|id| (*id, 0)).collect::<Vec<_>>());
    let many = |count: i32| (2..2 + count).map(PeerId).collect::<Vec<_>>();
    for breach in 0..19 {
        let mut scene = scene(multiplayer(), 3);
        let (own, one, two) = (scene.guests[0].id, scene.guests[1].id, scene.guests[2].id);
        let good = of(&[one, two]);
        let mut wrong = match breach {
            0 => vec![good.clone(), define(0, &[]), using(0, 0, 1, b"x")],
            1 => vec![good[..good.len() - 1].to_vec()],
            2 => vec![[&good[..], &[0]].concat()],
            3 => vec![of(&[one, PeerId(1)])],
            4 => vec![of(&[PeerId(0)])],
            5 => vec![of(&[PeerId(-1), one])],
            6 => vec![of(&[one, own])],
            7 => vec![of(&[one, two, one])],
            8 => vec![define(16, &[(one, 0), (two, 0)])],
            // Half of the limit of a client's packets is below that of the format.
            9 => vec![of(&many(513))],
            10 => vec![of(&many(500)), define(1, &many(13).iter().map(|id| (*id, 0)).collect::<Vec<_>>())],
            11 => vec![using(0, 0, 1, b"x")],
            12 => vec![good.clone(), using(1, 0, 1, b"x")],
            13 => vec![good.clone(), using(0, 0, 3, b"x")],
            14 => vec![good.clone(), using(0, 2, 1, b"x")],
            15 => vec![good.clone(), using(0, 4095, 4096, b"x")],
            16 => vec![good.clone(), using(0, 0, 2, b"")],
            17 => vec![good.clone(), using(0, 0, 2, &[1; 16_379])],
            _ => vec![vec![7, [0x40, 0x41, 0x42][breach % 3]]],
        };
        let last = wrong.pop().expect("a breach");
        scene.say(0, &[scene.relay(1, b"before")]);
        scene.say(0, &wrong);
        scene.say(0, &[last, scene.relay(1, b"behind")]);
        scene.settle();
        assert_eq!(scene.peer.statistics().peers_violated, 1, "{breach}");
        let closed = scene.stream(0).iter().any(|(first, close)| *first == 0x88 && close[..2] == [3, 240]);
        assert!(closed, "{breach}: Close 1008");
        let received: Vec<_> = scene.messages(1).into_iter().filter(|message| message[1] == 3).collect();
        assert_eq!(received, [relay(own, b"before")], "{breach}");
        assert!(scene.taken.is_empty() && scene.connected == [one, two], "{breach}");
        assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0, "{breach}");
    }
    // What is just allowed.
    let mut scene = scene(multiplayer(), 3);
    let ids = [scene.guests[1].id, scene.guests[2].id];
    scene.say(
        0,
        &[
            of(&many(512)),
            define(0, &[]),
            define(0, &[]),
            define(1, &[]),
            of(&ids),
            define(15, &many(510).iter().map(|id| (*id, 0)).collect::<Vec<_>>()),
        ],
    );
    scene.say(0, &[using(0, 0, 2, &[1; 16_378]), using(0, 1, 1, &[1; LARGE]), using(15, 0, 510, b"x")]);
    scene.settle();
    assert_eq!((scene.peer.statistics().peers_violated, scene.peer.statistics().packets_to_closed), (0, 510));
    assert_eq!((scene.messages(1).len(), scene.messages(2).len()), (1, 2));
}

#[test]
fn a_message_waits_until_there_is_room_for_all_its_copies() {
    let mut scene = scene(small(6), 5);
    let id = scene.guests[0].id;
    let waiting = |scene: &Scene| scene.peer.peer_statistics(id).expect("it is connected").queued_in_packets;
    let other = define(0, &[(scene.guests[4].id, 0)]);
    scene.say(0, &vec![scene.relay(1, b"first"); 4]);
    scene.say(0, &[list(&scene, &[1, 2, 3]), using(0, 0, 3, b"all")]);
    scene.work();
    assert_eq!(waiting(&scene), 4, "three more are too many");
    let paused = scene.peer.statistics().reads_paused;
    scene.say(0, &[other, using(0, 0, 1, b"new")]);
    scene.work();
    assert_eq!(scene.peer.statistics().reads_paused, paused, "it is not tried in vain");
    scene.poll();
    scene.work();
    assert_eq!(waiting(&scene), 4, "both messages were read, each with the list that it stands behind");
    scene.settle();
    let received: Vec<_> = (1..5).map(|guest| scene.messages(guest).len()).collect();
    assert_eq!((received, waiting(&scene)), (vec![5, 1, 1, 1], 0));
}

#[test]
fn a_flood_waits_for_itself_only() {
    let mut scene = scene(small(64), 6);
    let all = list(&scene, &[1, 2, 3, 4]);
    scene.say(0, &[all]);
    scene.say(0, &vec![using(0, 0, 4, b"flood"); 20_000]);
    let mut most = 0;
    for turn in 0..20u8 {
        scene.say(5, &[scene.relay(1, &[turn])]);
        scene.work();
        scene.poll();
        scene.work();
        let received = scene.messages(1);
        assert!(received.iter().any(|message| message[6..] == [turn]), "turn {turn}");
        most = most.max(received.len());
    }
    assert_eq!(most, 17, "the flood gets the room of one client for each poll: 64 copies");
}

#[test]
fn a_turn_ends_after_some_thousand_targets_or_as_many_bytes_as_a_read_has() {
    const MESSAGES: usize = 100;
    let buffers = Buffers { input_packets: 1 << 20, input_bytes: 1 << 26, ..Buffers::default() };
    let many: Vec<_> = (2..4098).map(|id| (PeerId(id), 0)).collect();
    // Messages for targets that nobody has, copies of much, and definitions.
    for (message, relayed) in
        [(using(0, 0, 4096, b"x"), 0), (using(1, 0, 20, &[2; 3300]), 20 * MESSAGES), (define(0, &many), 0)]
    {
        let mut scene = scene(PeerConfig { buffers, ..multiplayer() }, 21);
        let others: Vec<_> = scene.guests[1..].iter().map(|guest| (guest.id, 0)).collect();
        scene.say(0, &[if relayed > 0 { define(1, &others) } else { define(0, &many) }]);
        scene.say(0, &vec![message; MESSAGES]);
        scene.say(1, &[scene.relay(2, b"well")]);
        let read = |scene: &Scene, guest: usize| {
            scene.peer.peer_statistics(scene.guests[guest].id).expect("it is connected").packets_in
        };
        let (mut most, mut last) = (0, read(&scene, 0));
        while scene.driver.round(scene.now) {
            most = most.max(read(&scene, 0) - last);
            last = read(&scene, 0);
        }
        assert!(most <= 2, "{most} messages in one turn");
        scene.settle();
        assert_eq!(scene.peer.statistics().packets_relayed as usize, relayed + 1);
        assert!(scene.taken.is_empty());
    }
}

#[test]
fn all_copies_count_against_the_allowance() {
    let server = ServerConfig { max_inbound_per_second: 10_000, ..ServerConfig::default() };
    for by_list in [false, true] {
        let mut scene = Scene::with(multiplayer(), server.clone(), true);
        scene.fill(5, &offering("relay-list; v=1"));
        let packet = vec![2; 500];
        let singles = [1, 2, 3, 4].map(|guest| scene.relay(guest, &packet));
        scene.say(0, &[list(&scene, &[1, 2, 3, 4])]);
        for _ in 0..100 {
            scene.say(0, if by_list { &[] } else { &singles[..] });
            scene.say(0, if by_list { vec![using(0, 0, 4, &packet)] } else { Vec::new() }.as_slice());
        }
        for _ in 0..100 {
            scene.settle();
            scene.now += Duration::from_millis(50);
        }
        let relayed = scene.peer.statistics().bytes_relayed;
        assert!((45_000..70_000).contains(&relayed), "{relayed} bytes in 5 s, {by_list}");
    }
}

#[test]
fn targets_that_nobody_has_count_against_the_allowance_like_others() {
    let server = ServerConfig { max_inbound_per_second: 10_000, ..ServerConfig::default() };
    let mut scene = Scene::with(multiplayer(), server, true);
    scene.fill(2, &offering("relay-list; v=1"));
    let strangers: Vec<_> = (2..202).map(|id| (PeerId(id), 0)).collect();
    scene.say(0, &[define(0, &strangers)]);
    scene.say(0, &vec![using(0, 0, 200, b"x"); 2000]);
    for _ in 0..100 {
        scene.settle();
        scene.now += Duration::from_millis(50);
    }
    let bytes = scene.peer.statistics().packets_to_closed * 7;
    assert!((45_000..70_000).contains(&bytes), "{bytes} bytes in 5 s");
}

#[test]
fn a_client_with_messages_in_each_state_ends_without_a_trace() {
    for state in 0..4 {
        let mut scene = scene(small(6), 4);
        let all = list(&scene, &[1, 2, 3]);
        scene.say(
            0,
            &[Deed::Nothing.packet(b""), all, using(0, 0, 3, &[5; 900]), using(0, 0, 3, b"deferred")],
        );
        scene.work();
        if state > 0 {
            scene.peer.begin_poll();
            while scene.peer.next_event(true).is_some() {}
        }
        if state > 1 {
            scene.peer.pop_packet();
            assert_eq!(scene.peer.packet_count(), 0);
        }
        if state > 2 {
            scene.work();
        }
        let id = scene.guests[0].id;
        assert!(scene.peer.disconnect_now(id));
        scene.settle();
        assert_eq!(scene.messages(1).len(), usize::from(state > 1), "{state}");
        assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
    }
}

#[test]
fn a_large_packet_is_in_memory_once_for_all_who_do_not_read() {
    const SIZE: usize = 6000;
    let mut scene = scene(multiplayer(), 6);
    for guest in &scene.guests[1..] {
        guest.end.set_capacity(0);
    }
    let all = list(&scene, &[1, 2, 3, 4, 5]);
    scene.runtime.queue_totals.outgoing.set_limit(SIZE + SIZE / 2);
    scene.say(0, &[all, using(0, 0, 5, &[2; SIZE])]);
    scene.settle();
    let bytes = scene.runtime.queue_totals.outgoing.bytes();
    assert!((SIZE..2 * SIZE).contains(&bytes), "{bytes} bytes wait");
    assert_eq!(scene.peer.statistics().packets_relayed, 5);
}

#[test]
fn lists_that_are_defined_again_and_again_take_no_memory() {
    let buffers = Buffers { input_packets: 8192, ..Buffers::default() };
    let mut scene = scene(PeerConfig { buffers, ..multiplayer() }, 2);
    let ids: Vec<_> = (2..4098).map(|id| (PeerId(id), 0)).collect();
    for number in 0..3000 {
        scene.say(0, &[define(number as u8 % 16, &ids[..256])]);
    }
    scene.work();
    assert_eq!(scene.peer.statistics().peers_violated, 0, "only the present ones count");
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
    scene.say(0, &[define(0, &ids[..257])]);
    scene.settle();
    assert_eq!(scene.peer.statistics().peers_violated, 1, "16 lists have 4096 targets together");
}

#[test]
fn lists_outlive_the_connection_and_one_that_was_cut_is_sent_again() {
    let config = PeerConfig { resume_timeout: PeerConfig::RESUME_MAX, ..multiplayer() };
    for cut_list in [true, false] {
        let mut scene = Scene::new(config.clone(), true);
        for _ in 0..3 {
            let guest = scene.join_with(&offering("resume; v=1, relay-list; v=1"));
            scene.guests[guest].end.inject(&frame(0x81, b"ack 0 0"));
        }
        scene.settle();
        let (one, two) = (scene.guests[1].id, scene.guests[2].id);
        let messages = [define(0, &[(one, 0), (two, 2)]), using(0, 0, 2, &[6, 1, 0]), using(0, 1, 1, b"x")];
        let frames = messages.clone().map(|message| frame(0x82, &message));
        let whole = usize::from(!cut_list);
        let sent = [&frames[..whole].concat(), &frames[whole][..9]].concat();
        scene.guests[0].end.inject(&sent);
        scene.settle();
        let received = scene.messages(0).len();
        let token = greeting(&scene, 0)[0].split(' ').nth(2).expect("a token").to_owned();
        scene.guests[0].end.reset();
        scene.settle();
        assert!(scene.peer.is_suspended(scene.guests[0].id));
        let item = format!("resume; v=1; token={token}; received={received}");
        scene.rejoin_with(0, &offering(&item));
        let words = greeting(&scene, 0);
        assert!(words.len() == 1 && words[0].starts_with("resumed 1 "), "nothing is agreed anew: {words:?}");
        assert!(words[0].ends_with(&format!(" {whole}")), "{words:?}: what was cut was not received");
        scene.messages(1);
        scene.messages(2);
        scene.guests[0].end.inject(&frame(0x81, format!("ack {received} {whole}").as_bytes()));
        scene.guests[0].end.inject(&frames[whole..].concat());
        scene.settle();
        let source = scene.guests[0].id;
        assert_eq!(scene.messages(1), [relay(source, &[6, 1, 0])]);
        assert_eq!(scene.messages(2), [relay(source, &[6, 3, 0]), relay(source, b"x")]);
        scene.guests[0].end.inject(&frame(0x81, format!("ack {received} 3").as_bytes()));
        scene.settle();
        assert_eq!(scene.peer.statistics().peers_violated, 0, "both ends count the same messages");
        assert!(scene.connected.contains(&source));
    }
}
