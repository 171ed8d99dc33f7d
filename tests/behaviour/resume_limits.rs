//! Sessions: what a client can make a server keep, and who gives way when it is too much (docs/limits.md).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::resume_rules::{Door, config, request, text};
use super::world::{SECOND, frame, outbound};
use crate::channel::{Charge, Command, PeerShared, Reservation, WhenFull};
use crate::config::ServerConfig;
use crate::hub::resume;

#[test]
fn a_client_that_pings_and_never_acknowledges_costs_no_more_than_its_bound() {
    let mut door = Door::new(config());
    door.send(1, false);
    // No more than are answered one by one.
    let pings = frame(0x89, &[b'p'; 125]).repeat(60);
    let mut most = 0;
    for _ in 0..1000 {
        assert!(!door.by_hand.say(&pings).is_empty());
        most = most.max(door.by_hand.server.queue_totals.outgoing.bytes());
    }
    assert!(most <= config().burst_bytes() + 64 * 1024, "{most}");
    assert!(!door.is_over() && !door.shared().outgoing.is_suspended());
}

#[test]
fn suspended_peers_give_way_when_the_process_is_full() {
    let limit = config().buffers.output_bytes;
    // The room that is left: a fifth, and nothing.
    for (waiting, room, goes) in
        [(limit - 1000, limit / 5, false), (limit + 2000, limit / 5, true), (limit - 1000, 10, true)]
    {
        let mut door = Door::new(config());
        door.lose();
        for _ in 0..waiting / 1000 {
            door.send(1000, false);
        }
        door.by_hand.run();
        assert!(!door.is_over());
        door.by_hand.server.queue_totals.outgoing.set_limit(waiting + room);
        door.pass(SECOND);
        assert_eq!(door.is_over(), goes, "{waiting} bytes wait, and there is room for {room} more");
        assert_eq!(door.by_hand.server.counters().peers_overflowed.get(), u64::from(goes));
        let (status, answer) = door.come_back(0);
        assert_eq!((status, answer[0].starts_with("ended")), if goes { (410, true) } else { (101, false) });
    }
}

#[test]
fn who_is_connected_has_room_however_many_others_are_away() {
    let limit = config().buffers.output_bytes;
    let mut door = Door::new(config());
    let live = door.shared();
    for number in 1..=20 {
        door.join();
        door.lose();
        for _ in 0..limit / 2000 {
            door.send(1000, false);
        }
        // Of this one nobody would notice that it is gone.
        if number == 1 {
            door.by_hand.run();
            assert!(door.join().outgoing.load() == (0, 0));
            door.lose();
            door.send(1, false);
        }
    }
    door.by_hand.run();
    let total = Arc::clone(&door.by_hand.server.queue_totals.outgoing);
    total.set_limit(total.bytes() + 100);
    let reserve = || live.reserve(4000, WhenFull::Refuse, &config(), || total.has_room(4000));
    assert_eq!(reserve(), Reservation::Refused);
    door.pass(SECOND / 5);
    assert_eq!(reserve(), Reservation::Taken);
    // An eighth of the room is free, for which three of twenty are enough.
    door.pass(2 * SECOND);
    let counters = door.by_hand.server.counters();
    assert_eq!((counters.peers_overflowed.get(), counters.peers_suspended.get()), (3, 18));
}

#[test]
fn who_is_away_with_little_waiting_stays_though_others_fill_the_queues() {
    let mut door = Door::new(config());
    door.lose();
    let total = Arc::clone(&door.by_hand.server.queue_totals.outgoing);
    total.set_limit(64 << 20);
    let mut others = Charge::new(&total);
    others.set(64 << 20);
    door.send(1000, false);
    door.pass(2 * SECOND);
    assert!(!door.is_over());
    // Ending it would not make the room, and so it stays.
    door.send(2000, false);
    door.pass(2 * SECOND);
    assert!(!door.is_over());
    // Its share is two kilobytes, and no more has to go.
    others.set((56 << 20) - 1000);
    door.pass(2 * SECOND);
    assert!(door.is_over());
}

#[test]
fn who_comes_back_and_does_not_take_what_is_sent_again_gives_way_when_the_process_is_full() {
    let limit = config().buffers.output_bytes;
    for (lost, goes) in [(limit - 2000, false), (limit + 2000, true)] {
        let mut door = Door::new(config());
        for _ in 0..lost / 1000 {
            door.send(1000, false);
            door.by_hand.run();
        }
        door.lose();
        let end = door.come_back_over(300);
        assert!(end.take_all().starts_with(b"HTTP/1.1 101"));
        let shared = door.shared();
        assert_eq!((shared.outgoing.load(), shared.outgoing.is_suspended()), ((0, 0), false));
        door.by_hand.server.queue_totals.outgoing.set_limit(lost + 10);
        for _ in 0..10 {
            // It takes a little now and then, so that no time is over.
            end.take_all();
            door.pass(SECOND / 10);
        }
        assert_eq!(door.by_hand.server.counters().peers_overflowed.get(), u64::from(goes), "{lost} bytes");
        assert_eq!(door.is_over(), goes);
    }
}

#[test]
fn what_waited_is_not_forgotten_because_all_of_it_leaves_at_once() {
    let mut door = Door::new(config());
    door.lose();
    let count = crate::session::FORGET_PACKETS + 1000;
    for _ in 0..count {
        door.send(4, false);
    }
    for _ in 0..2 {
        let (status, answer) = door.come_back(0);
        assert_eq!((status, answer.len()), (101, count + 1), "all of it has left, and none was acknowledged");
        door.lose();
    }
    door.by_hand.now += 10 * SECOND;
    assert_eq!(door.come_back(0).0, 101);
    // From the acknowledgement on, the bound is that of other peers.
    door.say(&text(&format!("ack {count} 0")));
    assert_eq!(door.shared().figures.unacked_packets.get(), 0);
    for _ in 0..count {
        door.send(4, false);
    }
    door.by_hand.run();
    assert!(door.shared().figures.unacked_packets.get() <= crate::session::FORGET_PACKETS);
}

#[test]
fn what_peers_with_a_connection_keep_gives_way_before_a_suspended_peer() {
    let limit = config().buffers.output_bytes;
    let mut door = Door::new(config());
    let first = (door.shared(), door.by_hand.end.clone());
    let second = door.join();
    let send = |door: &mut Door, shared: &Arc<PeerShared>, count| {
        for _ in 0..count {
            shared.outgoing.add(1000);
            door.command(Command::Send { to: shared.conn, message: outbound(vec![7; 1000]) });
            door.by_hand.run();
        }
    };
    // The first one acknowledges nothing, and the second one is away.
    first.1.set_capacity(1 << 22);
    send(&mut door, &first.0, 200);
    door.by_hand.end.cut();
    door.by_hand.run();
    assert!(second.outgoing.is_suspended());
    send(&mut door, &second, limit / 1000 + 10);
    // More than one output buffer of each, and less than what the suspended one needs.
    door.by_hand.server.queue_totals.outgoing.set_limit(150_000);
    door.pass(SECOND);
    assert_eq!(first.0.figures.unacked_bytes.get(), 0);
    assert!(!door.is_over() && second.outgoing.is_suspended());
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn the_longest_suspended_of_the_address_with_most_gives_way() {
    let most = resume::SUSPENDED_MOST;
    let config = ServerConfig { peer: config(), max_connections: 2 * most, ..ServerConfig::default() };
    let mut door = Door::of(config);
    let player = door.token.clone();
    door.lose();
    // Somebody else connects and loses connections again and again.
    for n in 0..most + 5 {
        let (status, messages) =
            door.knock_from("198.51.100.1:1", &request("Godot-Multiplayer: resume; v=1"));
        assert_eq!(status, 101);
        if n == 0 {
            door.note_token(&messages[0]);
        }
        door.say(&text("ack 0 0"));
        door.by_hand.end.cut();
        door.by_hand.run();
        // The game polls.
        door.by_hand.server.counters().arrivals.store(0, Ordering::Relaxed);
    }
    let counters = door.by_hand.server.counters();
    assert_eq!(counters.peers_suspended.get(), most);
    assert_eq!(counters.sessions_expired.get(), 6);
    assert_eq!(door.come_back(0).1[0], "ended", "the first of the others");
    door.token = player;
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn who_comes_back_with_much_to_write_has_to_wait_longer() {
    let mut door = Door::new(config());
    door.by_hand.end.set_capacity(0);
    for _ in 0..2 * resume::FRAMES {
        door.send(4, false);
    }
    door.lose();
    // Each return counts as three, and there is room for four.
    let over = |door: &mut Door| {
        let end = door.come_back_over(100);
        let answer = end.take_all();
        answer.starts_with(b"HTTP/1.1 101")
    };
    assert_eq!([over(&mut door), over(&mut door), over(&mut door)], [true, true, false]);
    door.by_hand.now += 3 * SECOND;
    assert!(over(&mut door));
    assert!(!door.is_over());
}
