//! The relay of the 4.x wire on the I/O thread, in runs.

mod lists;
mod model;
mod scene;

use std::time::Duration;

use super::lines::Lines;
use super::world::{frame, multiplayer};
use crate::base::{CloseFrame, Delivery, PeerId, SendError, Target};
use crate::config::{Buffers, OverflowPolicy, PeerConfig};
use crate::event::Event;
use crate::hub::transports::Step;
use scene::{Deed, Scene, relay};

fn small(input_packets: usize) -> PeerConfig {
    let buffers = Buffers { input_packets, ..Buffers::default() };
    PeerConfig { buffers, ..multiplayer() }
}

#[test]
fn packets_between_clients_never_reach_the_game() {
    let mut scene = Scene::of(multiplayer(), 3);
    let (first, second) = (scene.guests[0].id, scene.guests[1].id);
    scene.say(0, &[scene.relay(1, b"one"), scene.relay(2, b"two"), scene.relay(1, b"three")]);
    scene.work();
    assert!(scene.messages(1).is_empty(), "not before the game has come to their place");
    scene.poll();
    scene.work();
    assert_eq!(scene.messages(1), [relay(first, b"one"), relay(first, b"three")]);
    assert_eq!(scene.messages(2), [relay(first, b"two")]);
    assert!(scene.taken.is_empty());
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_relayed, statistics.bytes_relayed), (3, 9 + 9 + 11));
    // What is for nobody, for several or for the sender is for the game.
    let others = [0, 1, -1, 12_345, first.0, i32::MIN].map(|id| relay(PeerId(id), b"x"));
    scene.say(0, &others);
    scene.say(0, &[relay(second, b""), [&[15][..], &relay(second, b"x")[1..]].concat()]);
    scene.settle();
    assert_eq!(scene.taken.len(), 8);
    assert_eq!(scene.peer.statistics().packets_relayed, 3);
}

#[test]
fn what_stands_between_packets_for_the_game_leaves_between_them() {
    let mut scene = Scene::of(multiplayer(), 2);
    let id = scene.guests[0].id;
    let put = |text: &[u8]| Deed::Put(1).packet(text);
    scene.say(0, &[put(b"1"), scene.relay(1, b"2"), scene.relay(1, b"3"), put(b"4"), scene.relay(1, b"5")]);
    scene.work();
    assert_eq!(scene.peer.packet_count(), 0, "nothing is readable before a poll");
    scene.settle();
    let received = [put(b"1"), relay(id, b"2"), relay(id, b"3"), put(b"4"), relay(id, b"5")];
    assert_eq!(scene.messages(1), received);
    assert_eq!(scene.taken.len(), 2);
}

#[test]
fn a_game_that_stops_in_between_keeps_the_rest_waiting() {
    let mut scene = Scene::of(multiplayer(), 2);
    scene.say(0, &[scene.relay(1, b"1"), Deed::Nothing.packet(b""), scene.relay(1, b"2")]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    assert_eq!(scene.peer.packet_count(), 1);
    scene.work();
    assert!(scene.messages(1).is_empty(), "more runs may follow at once");
    scene.peer.pop_packet().expect("the packet for the game");
    scene.work();
    assert_eq!(scene.messages(1).len(), 1, "the game may still be busy with the packet");
    assert_eq!(scene.peer.packet_count(), 0);
    scene.work();
    assert_eq!(scene.messages(1).len(), 1);
}

#[test]
fn a_run_before_a_close_is_relayed_and_one_of_a_disconnected_client_is_not() {
    let mut scene = Scene::of(multiplayer(), 3);
    let (first, second) = (scene.guests[0].id, scene.guests[1].id);
    scene.say(0, &[scene.relay(2, b"last words")]);
    scene.guests[0].end.inject(&frame(0x88, &[3, 232]));
    scene.work();
    scene.poll();
    scene.work();
    assert_eq!(scene.messages(2), [relay(first, b"last words")]);
    scene.settle();
    assert_eq!(scene.messages(2), [[&[7, 2][..], &first.0.to_le_bytes()].concat()]);
    // The first packet of the other client makes the game disconnect it, so that what follows it is void.
    scene.say(1, &[Deed::Kick(1).packet(b""), scene.relay(2, b"too late")]);
    scene.settle();
    assert_eq!(scene.messages(2), [[&[7, 2][..], &second.0.to_le_bytes()].concat()]);
    assert_eq!(scene.peer.statistics().packets_relayed, 1);
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn a_packet_for_a_client_that_the_game_has_given_up_is_dropped_in_silence() {
    let mut scene = Scene::of(multiplayer(), 3);
    scene.say(0, &[Deed::Kick(1).packet(b""), scene.relay(1, b"nobody"), scene.relay(2, b"somebody")]);
    scene.settle();
    assert!(scene.messages(1).iter().all(|message| message[..2] != [7, 3]));
    assert_eq!(scene.messages(2).len(), 2, "the end of the other client, and the packet");
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_relayed, statistics.packets_to_closed), (1, 0));
}

#[test]
fn a_packet_for_a_client_whose_end_the_game_has_not_heard_of_is_counted() {
    let mut scene = Scene::of(multiplayer(), 3);
    scene.say(0, &[scene.relay(1, b"nobody"), scene.relay(2, b"somebody")]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    scene.guests[1].end.reset();
    scene.work();
    assert_eq!(scene.peer.packet_count(), 0);
    scene.work();
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_relayed, statistics.packets_to_closed), (1, 1));
    assert_eq!(scene.messages(2).len(), 1);
}

#[test]
fn what_the_game_has_passed_reaches_a_client_that_it_closes_next() {
    for deed in [Deed::Kick(1), Deed::Drop(1)] {
        let mut scene = Scene::of(multiplayer(), 2);
        scene.say(0, &[scene.relay(1, b"farewell"), deed.packet(b""), scene.relay(1, b"void")]);
        scene.settle();
        assert_eq!(scene.messages(1), [relay(scene.guests[0].id, b"farewell")]);
    }
}

#[test]
fn a_client_with_a_run_in_each_state_ends_without_a_trace() {
    for state in 0..3 {
        let mut scene = Scene::of(multiplayer(), 2);
        scene.say(0, &[Deed::Nothing.packet(b""), scene.relay(1, &[5; 900])]);
        scene.work();
        if state > 0 {
            scene.peer.begin_poll();
            while scene.peer.next_event(true).is_some() {}
        }
        if state > 1 {
            scene.peer.pop_packet();
            assert_eq!(scene.peer.packet_count(), 0);
        }
        let id = scene.guests[0].id;
        assert!(scene.peer.disconnect_now(id));
        scene.settle();
        assert_eq!(scene.messages(1).len(), usize::from(state > 1), "{state}");
        assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
    }
}

#[test]
fn what_waits_of_a_client_that_the_game_closes_is_dropped_with_its_packets() {
    let mut scene = Scene::of(multiplayer(), 2);
    scene.say(0, &[Deed::Nothing.packet(b""), scene.relay(1, b"void"), Deed::Nothing.packet(b"")]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    // Not by the API, which would announce the end first.
    assert!(scene.peer.disconnect(scene.guests[0].id, CloseFrame::normal()));
    assert_eq!(scene.peer.packet_count(), 0);
    scene.work();
    assert!(scene.messages(1).is_empty());
    assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
}

#[test]
fn clients_that_could_not_be_told_of_each_other_are_no_pair() {
    let mut scene = Scene::new(PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..multiplayer() }, true);
    scene.join();
    scene.poll();
    scene.join();
    scene.runtime.queue_totals.outgoing.set_limit(0);
    scene.poll();
    scene.runtime.queue_totals.outgoing.set_limit(usize::MAX);
    scene.say(0, &[scene.relay(1, b"by the game")]);
    scene.settle();
    assert_eq!((scene.taken.len(), scene.peer.statistics().packets_relayed), (1, 0));
}

#[test]
fn runs_are_charged_packet_by_packet_until_they_are_relayed() {
    let mut scene = Scene::of(small(4), 2);
    let id = scene.guests[0].id;
    let packets: Vec<_> = (0..10).map(|n| scene.relay(1, &[n])).collect();
    scene.say(0, &packets);
    scene.work();
    let waiting = |scene: &Scene| {
        let figures = scene.peer.peer_statistics(id).expect("it is connected");
        (figures.queued_in_packets, figures.queued_in_bytes, figures.packets_in)
    };
    assert_eq!(waiting(&scene), (4, 28, 4), "it is not read on, although nothing waits for the game itself");
    scene.poll();
    assert_eq!(waiting(&scene).0, 4, "the room is free when they are relayed");
    scene.work();
    assert_eq!(scene.messages(1).len(), 4);
    assert_eq!(waiting(&scene), (4, 28, 8), "the next ones were read");
    scene.settle();
    assert_eq!(scene.messages(1).len(), 6);
    assert_eq!(waiting(&scene), (0, 0, 10));
}

#[test]
fn a_flood_of_relays_waits_for_itself_only() {
    let mut scene = Scene::of(small(64), 3);
    let flood: Vec<_> = (0..20_000).map(|_| scene.relay(1, b"flood")).collect();
    scene.say(0, &flood);
    let mut most = 0;
    for turn in 0..20u8 {
        scene.say(2, &[scene.relay(1, &[turn])]);
        scene.work();
        scene.poll();
        scene.work();
        let received = scene.messages(1);
        assert!(received.iter().any(|message| message[6..] == [turn]), "turn {turn}");
        most = most.max(received.len());
    }
    // The flood gets the room of one client for each poll.
    assert_eq!(most, 65);
}

#[test]
fn another_api_none_or_one_with_a_wrapper_see_the_packets_themselves() {
    let change: [fn(&mut Scene); 3] =
        [Scene::swap_api, |scene| scene.server_relay = false, |scene| scene.is_wrapped = true];
    for (number, change) in change.into_iter().enumerate() {
        let mut scene = Scene::of(multiplayer(), 2);
        let said = [scene.relay(1, b"1"), Deed::Nothing.packet(b"2"), scene.relay(1, b"3")];
        scene.say(0, &said);
        scene.work();
        // They wait as notices, and then as readable packets.
        if number > 0 {
            scene.peer.begin_poll();
            while scene.peer.next_event(true).is_some() {}
        }
        change(&mut scene);
        scene.poll();
        assert_eq!(scene.taken, said, "{number}");
        scene.settle();
        scene.say(0, &said);
        scene.settle();
        assert_eq!(scene.taken.len(), 6);
        assert_eq!(scene.peer.statistics().packets_relayed, 0);
        let received = scene.messages(1).len();
        assert_eq!(received, if number == 2 { 4 } else { 0 }, "the wrapper's API relays itself");
        assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
    }
}

#[test]
fn state_is_dropped_for_a_slow_client_and_other_packets_close_it() {
    let mut scene = Scene::of(PeerConfig { unreliable_backlog: 2000, ..multiplayer() }, 3);
    scene.guests[1].end.set_capacity(0);
    let state = [&[6, 1, 0][..], &[9; 500]].concat();
    let states: Vec<_> = (0..20).map(|_| scene.relay(1, &state)).collect();
    for packet in &states {
        scene.say(0, std::slice::from_ref(packet));
        scene.settle();
    }
    let statistics = scene.peer.statistics();
    assert_eq!(statistics.packets_relayed + statistics.packets_dropped_unreliable, 20);
    assert!(statistics.packets_relayed < 8, "{statistics:?}");
    // More than a burst of reliable packets: it is closed, as with `put_packet`.
    let reliable = [&[2][..], &[9; 60_000]].concat();
    for _ in 0..100 {
        scene.say(0, &[scene.relay(1, &reliable), scene.relay(2, b"well")]);
        scene.settle();
    }
    let statistics = scene.peer.statistics();
    assert_eq!(statistics.peers_overflowed, 1);
    assert_eq!(scene.messages(2).iter().filter(|message| message[6..] == *b"well").count(), 100);
    assert!(scene.connected.contains(&scene.guests[0].id), "the sender is not to blame");
    // With the other policy its packets are refused, and it stays.
    let config = PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..multiplayer() };
    let mut scene = Scene::of(config, 2);
    scene.guests[1].end.set_capacity(0);
    for _ in 0..100 {
        scene.say(0, &[scene.relay(1, &reliable)]);
        scene.settle();
    }
    let statistics = scene.peer.statistics();
    assert_eq!(statistics.packets_relayed + statistics.packets_refused, 100);
    assert!(statistics.packets_refused > 90 && statistics.peers_overflowed == 0, "{statistics:?}");
}

#[test]
fn who_relays_is_asked_once_per_poll_and_behind_packets_with_handlers() {
    let mut scene = Scene::of(multiplayer(), 2);
    let state = vec![6, 1, 0, 1];
    for (packet, asks) in [(state, 1), (Deed::Nothing.packet(b"rpc"), 4)] {
        scene.asks.set(0);
        let relayed = scene.peer.statistics().packets_relayed;
        for _ in 0..4 {
            scene.say(0, &[scene.relay(1, b"first"), packet.clone()]);
            scene.work();
        }
        scene.poll();
        scene.work();
        assert_eq!(scene.asks.get(), asks, "{packet:?}");
        assert_eq!(scene.peer.statistics().packets_relayed - relayed, 4);
    }
}

#[test]
fn who_relays_is_asked_behind_a_poll_whose_handler_has_asked_for_packets() {
    let mut scene = Scene::of(multiplayer(), 2);
    scene.say(0, &[scene.relay(1, b"first"), vec![6, 1, 0, 1]]);
    scene.work();
    assert!(scene.peer.begin_poll());
    assert!(matches!(scene.peer.next_event(true), Some(Event::PacketReceived { .. })));
    assert!(scene.peer.must_ask_who_relays() && !scene.peer.must_ask_who_relays());
    while scene.peer.next_event(true).is_some() {}
    assert!(scene.peer.must_ask_who_relays(), "the handler may have changed it");
}

#[test]
fn a_full_process_drops_and_refuses_but_closes_nobody() {
    let mut scene = Scene::of(multiplayer(), 2);
    scene.runtime.queue_totals.outgoing.set_limit(0);
    scene.say(0, &[scene.relay(1, &[6, 1, 0, 1]), scene.relay(1, b"reliable")]);
    scene.settle();
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_dropped_unreliable, statistics.packets_refused), (1, 1));
    assert_eq!((statistics.packets_relayed, scene.connected.len()), (0, 2));
}

#[test]
fn reliable_packets_wait_for_a_client_that_comes_back() {
    let config = PeerConfig { resume_timeout: PeerConfig::RESUME_MAX, ..multiplayer() };
    let mut scene = Scene::new(config, true);
    let request = String::from_utf8_lossy(super::world::REQUEST)
        .replace("\r\n\r\n", "\r\nGodot-Multiplayer: resume; v=1\r\n\r\n");
    for _ in 0..2 {
        let guest = scene.join_with(request.as_bytes());
        // The client confirms its session.
        scene.guests[guest].end.inject(&frame(0x81, b"ack 0 0"));
    }
    scene.settle();
    let id = scene.guests[1].id;
    scene.guests[1].end.reset();
    scene.settle();
    assert!(scene.peer.is_suspended(id));
    scene.say(0, &[scene.relay(1, b"wait"), scene.relay(1, &[6, 1, 0, 1])]);
    scene.settle();
    let (all, one) = (scene.peer.statistics(), scene.peer.peer_statistics(id).expect("it is suspended"));
    assert_eq!((all.packets_relayed, all.packets_dropped_unreliable), (1, 1));
    assert_eq!(one.queued_out_packets, 1);
}

#[test]
fn what_is_too_large_for_a_packet_is_for_the_game() {
    const MOST: usize = 1000;
    let buffers = Buffers { output_bytes: MOST, input_bytes: 1 << 24, ..Buffers::default() };
    let mut scene = Scene::of(PeerConfig { buffers, ..multiplayer() }, 3);
    let large = scene.relay(1, &vec![9; 5 << 20]);
    let fits = scene.relay(1, &[8; MOST - 6]);
    let does_not = scene.relay(2, &[8; MOST - 5]);
    scene.say(0, &[large.clone(), fits, does_not.clone()]);
    scene.settle();
    assert_eq!(scene.taken, [large, does_not], "the game tries to send them, which says what is wrong");
    let id = scene.guests[1].id;
    let refused = scene.peer.send(Target::One(id), &scene.taken[0], Delivery::Reliable);
    assert_eq!(refused, Err(SendError::TooLarge { size: (5 << 20) + 6, max: MOST }));
    let statistics = scene.peer.statistics();
    assert_eq!((statistics.packets_relayed, statistics.peers_overflowed), (1, 0));
    assert_eq!((scene.messages(1).len(), scene.connected.len()), (1, 3));
}

#[test]
fn many_large_packets_close_no_client_that_takes_them() {
    const PACKETS: usize = 200;
    let buffers = Buffers { input_bytes: 1 << 24, ..Buffers::default() };
    for size in [64_000, 20_000] {
        let mut scene = Scene::of(PeerConfig { buffers, ..multiplayer() }, 2);
        scene.guests[1].end.set_capacity(usize::MAX);
        let packets: Vec<_> = (0..PACKETS).map(|n| scene.relay(1, &vec![n as u8; size])).collect();
        scene.say(0, &packets);
        scene.settle();
        let received: Vec<_> = scene.messages(1).iter().map(|message| message[6]).collect();
        assert_eq!(received, (0..PACKETS).map(|n| n as u8).collect::<Vec<_>>(), "{size}");
        assert_eq!(scene.peer.statistics().peers_overflowed, 0, "{size}");
    }
}

#[test]
fn much_is_written_before_the_rest_is_relayed() {
    let mut scene = Scene::of(multiplayer(), 2);
    let packets: Vec<_> = (0..50).map(|n| scene.relay(1, &[n; 1000])).collect();
    scene.say(0, &packets);
    scene.work();
    scene.poll();
    let mut written = None;
    let end = &scene.guests[1].end;
    scene.driver.round_with(scene.now, &mut |step| {
        if step == Step::Commands {
            written = Some(end.readable());
        }
    });
    assert!(written.is_some_and(|bytes| (32_000..50_000).contains(&bytes)), "{written:?}");
    scene.work();
    assert_eq!(scene.messages(1).len(), 50);
}

#[test]
fn some_empty_runs_are_kept_for_the_next_ones() {
    let mut scene = Scene::of(multiplayer(), 2);
    let large = scene.relay(1, &[1; 20_000]);
    scene.say(0, &[large]);
    scene.settle();
    assert_eq!(scene.driver.hub.spare_runs(), 0, "its memory is not worth keeping");
    for (runs, kept) in [(1, 1), (2, 2), (1, 2), (100, 64)] {
        for _ in 0..runs {
            scene.say(0, &[scene.relay(1, b"x")]);
            scene.work();
        }
        scene.settle();
        assert_eq!(scene.driver.hub.spare_runs(), kept, "{runs}");
    }
}

#[test]
fn a_run_leaves_before_the_game_is_busy_with_the_packet_behind_it() {
    let mut scene = Scene::of(multiplayer(), 2);
    scene.say(0, &[scene.relay(1, b"now"), Deed::Nothing.packet(b"")]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    assert!(scene.driver.mailbox.may_sleep());
    assert_eq!(scene.peer.packet_count(), 1);
    assert!(scene.driver.mailbox.is_asleep(), "more runs may follow");
    scene.peer.pop_packet().expect("it was counted");
    assert!(!scene.driver.mailbox.is_asleep(), "the game may be busy with it for long");
    scene.driver.mailbox.awake();
    scene.work();
    assert_eq!(scene.messages(1).len(), 1);
}

#[test]
fn runs_between_states_are_relayed_together_when_the_game_has_taken_all() {
    let mut scene = Scene::of(multiplayer(), 2);
    let state = [6, 1, 0, 1];
    for _ in 0..3 {
        scene.say(0, &[state.to_vec(), scene.relay(1, b"one")]);
    }
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    assert!(scene.driver.mailbox.may_sleep());
    while scene.peer.packet_count() > 0 {
        assert!(scene.driver.mailbox.is_asleep(), "more runs may follow");
        scene.driver.mailbox.awake();
        scene.work();
        assert!(scene.messages(1).is_empty(), "a driver that is awake does not take them one by one");
        assert!(scene.driver.mailbox.may_sleep(), "what is held does not keep it awake");
        scene.peer.pop_packet().expect("it was counted");
    }
    assert!(!scene.driver.mailbox.is_asleep(), "nothing is left to wait for");
    scene.driver.mailbox.awake();
    scene.work();
    assert_eq!(scene.messages(1).len(), 3);
}

#[test]
fn what_is_held_leaves_when_the_game_finds_nothing_more_polls_or_waits() {
    let ways: [fn(&mut Scene); 3] = [
        |scene| assert!(scene.peer.pop_packet().is_none()),
        |scene| assert!(!scene.peer.begin_poll()),
        |scene| assert!(!scene.peer.wait(Duration::ZERO)),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut scene = Scene::of(multiplayer(), 2);
        scene.say(0, &[vec![6, 1, 0, 1], scene.relay(1, b"held"), vec![6, 1, 0, 2]]);
        scene.work();
        scene.peer.begin_poll();
        while scene.peer.next_event(true).is_some() {}
        scene.peer.pop_packet().expect("the first state");
        scene.peer.pop_packet().expect("the run is passed, and the state behind it taken");
        assert!(scene.driver.mailbox.may_sleep());
        way(&mut scene);
        assert!(!scene.driver.mailbox.is_asleep(), "{number}");
        scene.driver.mailbox.awake();
        scene.work();
        assert_eq!(scene.messages(1).len(), 1, "{number}");
        // Nothing is held any more.
        assert!(scene.driver.mailbox.may_sleep());
        way(&mut scene);
        assert!(scene.driver.mailbox.is_asleep(), "{number}");
    }
}

#[test]
fn runs_that_are_held_come_before_what_the_game_sends_next() {
    let mut scene = Scene::of(multiplayer(), 2);
    let (first, second) = (scene.guests[0].id, scene.guests[1].id);
    scene.say(0, &[scene.relay(1, b"relayed"), vec![6, 1, 0, 1]]);
    scene.work();
    scene.peer.begin_poll();
    while scene.peer.next_event(true).is_some() {}
    assert_eq!(scene.peer.packet_count(), 1);
    scene.peer.send(Target::One(second), b"sent", Delivery::Reliable).expect("there is room");
    scene.work();
    assert_eq!(scene.messages(1), [relay(first, b"relayed"), b"sent".to_vec()]);
}

#[test]
fn a_full_process_says_so_once_a_minute() {
    let patient = PeerConfig { heartbeat_timeout: Duration::ZERO, ..multiplayer() };
    let mut scene = Scene::of(patient, 2);
    scene.runtime.queue_totals.outgoing.set_limit(0);
    Lines::catch();
    let full = "network/limits/websocket_total_queue_mb";
    for (seconds, lines) in [(0, 1), (59, 1), (60, 2)] {
        let start = scene.now;
        scene.now += Duration::from_secs(seconds);
        scene.say(0, &[scene.relay(1, b"reliable")]);
        scene.settle();
        assert_eq!(Lines::with(full).len(), lines, "after {seconds} s");
        scene.now = start;
    }
    assert_eq!(scene.peer.statistics().packets_refused, 3);
}

#[test]
fn an_api_that_was_emptied_relays_nothing_for_those_it_knew() {
    let no_polls: fn(&mut Scene) = |_| {};
    let polls: fn(&mut Scene) = Scene::settle;
    for between in [no_polls, polls] {
        for waits in [false, true] {
            let mut scene = Scene::of(multiplayer(), 2);
            let said = scene.relay(1, b"nobody");
            if waits {
                scene.say(0, std::slice::from_ref(&said));
                scene.work();
            }
            scene.connected.clear();
            between(&mut scene);
            if !waits {
                scene.say(0, std::slice::from_ref(&said));
            }
            scene.settle();
            assert_eq!(scene.taken, std::slice::from_ref(&said), "the game sees it");
            assert_eq!(scene.peer.statistics().packets_relayed, 0);
            assert!(scene.messages(1).is_empty());
            // Those who come now know each other only.
            let third = scene.join();
            scene.poll();
            scene.join();
            scene.settle();
            scene.say(third, &[scene.relay(third + 1, b"somebody")]);
            scene.say(0, &[scene.relay(third, b"nobody")]);
            scene.settle();
            assert_eq!(scene.peer.statistics().packets_relayed, 1);
            assert_eq!((scene.taken.len(), scene.messages(third + 1).len()), (2, 2));
        }
    }
}

#[test]
fn a_client_that_comes_to_an_emptied_api_opens_no_old_pair() {
    let mut scene = Scene::of(multiplayer(), 2);
    let said = scene.relay(1, b"nobody");
    scene.connected.clear();
    scene.say(0, std::slice::from_ref(&said));
    scene.join();
    scene.settle();
    assert_eq!((scene.taken, scene.peer.statistics().packets_relayed), (vec![said], 0));
}

#[test]
fn a_handler_that_ends_the_relay_ends_it_for_the_packets_behind() {
    let set: [&[Deed]; 4] =
        [&[Deed::Clear], &[Deed::ToggleRelay], &[Deed::SwapApi], &[Deed::SwapApi, Deed::Poll]];
    for deeds in set {
        let mut scene = Scene::of(multiplayer(), 2);
        let mut said: Vec<_> = deeds.iter().map(|deed| deed.packet(b"")).collect();
        said.push(scene.relay(1, &[6, 1, 0, 1]));
        said.push(scene.relay(1, b"nobody"));
        scene.say(0, &[scene.relay(1, b"before")]);
        scene.say(0, &said);
        scene.settle();
        assert_eq!(scene.taken, said, "{deeds:?}");
        assert_eq!(scene.peer.statistics().packets_relayed, 1, "{deeds:?}");
        assert_eq!(scene.messages(1), [relay(scene.guests[0].id, b"before")]);
        assert_eq!(scene.runtime.queue_totals.incoming.bytes(), 0);
    }
}
