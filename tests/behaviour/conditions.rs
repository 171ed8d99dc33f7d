//! Simulated bad networks, exact to the nanosecond.

use std::time::Duration;

use super::world::{Node, SECOND, World, multiplayer, outbound, raw};
use crate::base::{CloseFrame, CloseReason, Phase, Side};
use crate::channel::{Command, Notice};
use crate::conditions::Conditions;
use crate::config::{Buffers, PeerConfig};

const MS: Duration = Duration::from_millis(1);

/// A connected pair with a bad network at the server, and without pings.
fn world(conditions: Conditions) -> World {
    let buffers = Buffers { input_bytes: 1 << 20, input_packets: 1 << 16, ..Buffers::default() };
    let mut world = World::connected(PeerConfig { buffers, heartbeat_interval: Duration::ZERO, ..raw() });
    world.server.change_conditions(conditions, world.now);
    world
}

fn send(world: &mut World, from_server: bool, payload: Vec<u8>) {
    let (node, conn) = if from_server {
        (&mut world.server, world.server_conn)
    } else {
        (&mut world.client, world.client_conn)
    };
    node.shared().outgoing.add(payload.len());
    let message = outbound(payload);
    node.command(Command::Send { to: conn, message }, world.now);
    world.run();
}

/// Returns the packets that the server or the client received.
fn packets(world: &mut World, at_server: bool) -> Vec<Vec<u8>> {
    if at_server { world.server.packets() } else { world.client.packets() }
}

/// Lets time pass. Returns the received packets, and how long after now each arrived.
fn arrivals(world: &mut World, at_server: bool, time: Duration) -> Vec<(Duration, Vec<u8>)> {
    let (start, end) = (world.now, world.now + time);
    let mut came = Vec::new();
    loop {
        let more = world.pass_to_arrival(end);
        let after = world.now - start;
        came.extend(packets(world, at_server).into_iter().map(|packet| (after, packet)));
        if !more {
            return came;
        }
    }
}

/// Sends packets to the client at an interval. Returns the delay of each.
fn delays(world: &mut World, count: u32, every: Duration) -> Vec<Duration> {
    let start = world.now;
    let mut late = Vec::new();
    for number in 0..=count {
        let until = start + every * number;
        let mut came = |world: &mut World| {
            for packet in packets(world, false) {
                let sent = u32::from_be_bytes(packet[..4].try_into().expect("four bytes"));
                assert_eq!(sent as usize, late.len(), "in order");
                late.push(world.now - (start + every * sent));
            }
        };
        while world.pass_to_arrival(until) {
            came(world);
        }
        if number < count {
            send(world, true, number.to_be_bytes().to_vec());
            came(world);
        } else {
            while world.pass_to_arrival(until + 30 * SECOND) {
                came(world);
            }
        }
    }
    assert_eq!(late.len(), count as usize, "none is lost");
    late
}

#[test]
fn the_latency_is_exact_in_both_directions_and_a_round_trip_is_twice_that() {
    let mut world = world(Conditions { latency: 100 * MS, ..Conditions::default() });
    for from_server in [true, false] {
        send(&mut world, from_server, b"there".to_vec());
        let came = arrivals(&mut world, !from_server, SECOND / 2);
        assert_eq!(came, [(100 * MS, b"there".to_vec())]);
    }

    let mut world = World::connected(raw());
    let conditions = Conditions { latency: 100 * MS, ..Conditions::default() };
    world.server.change_conditions(conditions, world.now);
    world.pass(3 * SECOND / 2);
    let rtt = |node: &Node| node.shared().figures.rtt();
    assert_eq!((rtt(&world.server), rtt(&world.client)), (Some(200 * MS), Some(200 * MS)));
}

#[test]
fn joining_takes_its_round_trip_too() {
    let conditions = Conditions { latency: 100 * MS, ..Conditions::default() };
    let mut world = World::new(PeerConfig { conditions, ..multiplayer() }, 64 * 1024, usize::MAX);
    let start = world.now;
    world.run();
    // Out of the client, into the server, and back: both sides simulate the network.
    for wanted in [100 * MS, 200 * MS, 300 * MS] {
        assert!(world.pass_to_arrival(start + SECOND));
        assert_eq!(world.now - start, wanted);
        assert!(!world.client.has(|notice| matches!(notice, Notice::Connected { .. })));
    }
    assert!(world.pass_to_arrival(start + SECOND));
    assert_eq!(world.now - start, 400 * MS);
    assert!(world.client.has(|notice| matches!(notice, Notice::Connected { .. })));
}

#[test]
fn a_latency_beyond_the_handshakes_time_keeps_everybody_out() {
    let conditions = Conditions { latency: 2 * SECOND, ..Conditions::default() };
    let mut world = World::new(PeerConfig { conditions, ..raw() }, 64 * 1024, usize::MAX);
    world.pass(6 * SECOND);
    assert_eq!(world.client.end(), Some(&CloseReason::TimedOut(Phase::Handshake)));
}

#[test]
fn jitter_stays_in_its_bounds_and_the_seed_decides() {
    let with_seed = |seed| {
        let conditions = Conditions { latency: 50 * MS, jitter: 40 * MS, seed, ..Conditions::default() };
        delays(&mut world(conditions), 200, 100 * MS)
    };
    let late = with_seed(1);
    let (least, most) = (late.iter().min().expect("some"), late.iter().max().expect("some"));
    assert!(*least >= 50 * MS && *least < 55 * MS, "{least:?}");
    assert!(*most <= 90 * MS && *most > 85 * MS, "{most:?}");
    assert_eq!(with_seed(1), late);
    assert_ne!(with_seed(2), late);
}

#[test]
fn nothing_is_overtaken() {
    let conditions = Conditions { jitter: 500 * MS, ..Conditions::default() };
    // Each packet may be delayed by half a second; all wait for the slowest one before them.
    let late = delays(&mut world(conditions), 300, 5 * MS);
    assert!(late.iter().max().expect("some") <= &(500 * MS));
    let mut world = world(conditions);
    let sizes = [1, 70_000, 3, 0, 1460, 1461, 100_000, 2];
    for (number, size) in sizes.into_iter().enumerate() {
        send(&mut world, true, vec![number as u8; size]);
    }
    let came = arrivals(&mut world, false, SECOND);
    let sent = sizes.iter().enumerate().map(|(number, size)| vec![number as u8; *size]);
    assert!(came.iter().map(|(_, packet)| packet).eq(sent.collect::<Vec<_>>().iter()));
}

#[test]
fn the_bandwidth_holds_in_each_direction() {
    for from_server in [true, false] {
        // Ten kilobytes per second.
        let mut world = world(Conditions { bandwidth: 80, ..Conditions::default() });
        for _ in 0..50 {
            send(&mut world, from_server, vec![7; 1000]);
        }
        let came = arrivals(&mut world, !from_server, 20 * SECOND);
        assert_eq!(came.len(), 50);
        for second in 1..=5 {
            let arrived = came.iter().filter(|(at, _)| *at <= second * SECOND).count();
            assert!((arrived as i64 - i64::from(second * 10)).abs() <= 2, "{arrived} after {second} s");
        }
        let bytes = 50 * (1000 + if from_server { 4 } else { 8 });
        let took = came.last().expect("some").0;
        assert_eq!(took.as_micros() as usize, bytes * 100, "to the byte");
    }
}

#[test]
fn a_network_that_is_full_takes_no_more_from_either_side() {
    let conditions = Conditions { bandwidth: 80, latency: SECOND, ..Conditions::default() };
    // The bytes that such a network carries in a second, and those that wait before it.
    let most = 10_000 + 4096;
    let mut world = world(conditions);
    let taken = |world: &World| world.server.shared().figures.bytes_out.get() as usize;
    let before = taken(&world);
    for _ in 0..60 {
        send(&mut world, true, vec![7; 1000]);
    }
    assert_eq!(taken(&world) - before, most);
    assert!(world.server.shared().outgoing.is_congested());
    assert_eq!(arrivals(&mut world, false, 20 * SECOND).len(), 60);
    assert!(!world.server.shared().outgoing.is_congested());

    for _ in 0..60 {
        send(&mut world, false, vec![7; 1000]);
    }
    assert_eq!(world.ends.0.readable(), 60 * 1008 - most, "it stays in the socket");
    assert_eq!(arrivals(&mut world, true, 20 * SECOND).len(), 60);
}

#[test]
fn a_stall_holds_back_a_second_in_each_period() {
    let mut world = world(Conditions { stall_every: 5 * SECOND, ..Conditions::default() });
    let every = 10 * MS;
    let late = delays(&mut world, 3000, every);
    let stalled: Vec<usize> = (0..late.len()).filter(|number| late[*number] > Duration::ZERO).collect();
    let begins: Vec<usize> =
        stalled.iter().copied().filter(|number| *number == 0 || late[number - 1] == Duration::ZERO).collect();
    assert!((6..=7).contains(&begins.len()), "{begins:?}");
    assert!(begins.windows(2).all(|pair| pair[1] - pair[0] == 500 || pair[0] == 0), "{begins:?}");
    for begin in &begins[1..begins.len() - 1] {
        assert!(late[*begin] > 990 * MS && late[*begin] <= SECOND, "{:?}", late[*begin]);
        assert_eq!(late[begin + 50], late[*begin] - 500 * MS, "all come when it ends");
    }
}

#[test]
fn a_cut_ends_a_connection_without_a_close_and_loses_what_is_in_flight() {
    for seed in 0..20 {
        let cuts =
            Conditions { disconnect_every: 10 * SECOND, latency: 200 * MS, seed, ..Conditions::default() };
        let mut world = world(cuts);
        let start = world.now;
        while world.server.end().is_none() {
            send(&mut world, true, vec![1]);
            send(&mut world, false, vec![2]);
            world.pass(50 * MS);
            assert!(world.now < start + 20 * SECOND, "seed {seed}: it is not cut");
        }
        let lived = world.now - start;
        assert!(lived >= 5 * SECOND && lived <= 15 * SECOND + 50 * MS, "seed {seed}: {lived:?}");
        for node in [&mut world.server, &mut world.client] {
            let end = node.end().expect("both are told, in the same moment");
            assert!(matches!(end, CloseReason::TransportError(_)), "{end:?}");
            let lost = (lived.as_millis() / 50) as usize - node.packets().len();
            assert!((3..=5).contains(&lost), "{lost} packets were in flight");
        }
        assert!(world.server.end().expect("ended").to_string().contains("simulate_disconnect_every_sec"));
        assert_eq!((world.server.len(), world.client.len()), (0, 0));
    }
}

#[test]
fn cuts_begin_and_end_while_connected() {
    let mut world = world(Conditions::default());
    let cuts = Conditions { disconnect_every: 2 * SECOND, ..Conditions::default() };
    for _ in 0..20 {
        world.server.change_conditions(cuts, world.now);
        world.pass(900 * MS);
        world.server.change_conditions(Conditions::default(), world.now);
        world.pass(SECOND);
    }
    assert_eq!((world.server.end(), world.server.emulated()), (None, 0));
    world.server.change_conditions(cuts, world.now);
    world.pass(3 * SECOND);
    assert!(matches!(world.server.end(), Some(CloseReason::TransportError(_))));
}

#[test]
fn a_close_passes_behind_everything() {
    for server_closes in [true, false] {
        let mut world = world(Conditions { latency: 300 * MS, jitter: 100 * MS, ..Conditions::default() });
        for _ in 0..20 {
            send(&mut world, server_closes, vec![7; 5000]);
        }
        world.close(server_closes, CloseFrame::new(4000, "bye").expect("a valid frame"));
        let came = arrivals(&mut world, !server_closes, 2 * SECOND);
        assert_eq!(came.len(), 20);
        world.assert_closed(server_closes, 4000, "bye");
    }
}

#[test]
fn what_was_sent_arrives_even_when_nobody_waits_for_it() {
    let mut world = world(Conditions { latency: 8 * SECOND, ..Conditions::default() });
    send(&mut world, true, b"last words".to_vec());
    let frame = CloseFrame::normal();
    world.server.command(Command::Close { conn: world.server_conn, frame: Box::new(frame) }, world.now);
    world.pass(29 * SECOND / 10);
    assert_eq!((world.server.end(), world.client.end()), (None, None));
    world.pass(SECOND / 5);
    assert_eq!(world.server.end(), Some(&CloseReason::TimedOut(Phase::Close)));
    assert_eq!(world.client.packets(), [b"last words"]);
    let wanted = CloseReason::Closed { by: Side::Remote, code: 1000, reason: String::new() };
    assert_eq!(world.client.end(), Some(&wanted));
}

#[test]
fn an_end_without_a_close_is_as_late_as_everything_else() {
    let mut world = world(Conditions { latency: 700 * MS, ..Conditions::default() });
    send(&mut world, false, b"last words".to_vec());
    world.ends.1.cut();
    world.run();
    world.pass(650 * MS);
    assert_eq!(world.server.end(), None);
    world.pass(50 * MS);
    assert_eq!(world.server.packets(), [b"last words"]);
    assert!(matches!(world.server.end(), Some(CloseReason::TransportError(_))), "{:?}", world.server.end());
}

#[test]
fn a_stream_that_fails_on_the_way_out_ends_the_session() {
    let mut world = world(Conditions { latency: 100 * MS, ..Conditions::default() });
    world.ends.1.cut();
    for _ in 0..3 {
        send(&mut world, true, b"to nobody".to_vec());
        world.pass(50 * MS);
    }
    assert!(matches!(world.server.end(), Some(CloseReason::TransportError(_))), "{:?}", world.server.end());
    assert_eq!(world.server.len(), 0);
}

#[test]
fn conditions_change_while_connected() {
    let mut world = world(Conditions { latency: MS, ..Conditions::default() });
    assert_eq!(world.server.emulated(), 1);
    world.server.change_conditions(Conditions::default(), world.now);
    world.run();
    assert_eq!(world.server.emulated(), 0, "nothing is in between when nothing is asked for");
    let slow = |latency| Conditions { latency, ..Conditions::default() };
    world.server.change_conditions(slow(SECOND), world.now);
    send(&mut world, true, vec![1]);
    let start = world.now;
    world.pass(300 * MS);
    // A longer latency applies to bytes that are sent from now on, a shorter one also to bytes in flight.
    world.server.change_conditions(slow(2 * SECOND), world.now);
    send(&mut world, true, vec![2]);
    world.pass(700 * MS);
    assert_eq!(world.client.packets(), [[1]]);
    world.server.change_conditions(slow(200 * MS), world.now);
    send(&mut world, true, vec![3]);
    let came: Vec<_> = arrivals(&mut world, false, SECOND / 4);
    assert_eq!(came, [(200 * MS, vec![2]), (200 * MS, vec![3])]);
    send(&mut world, true, vec![4]);
    send(&mut world, false, vec![5]);
    world.server.change_conditions(Conditions::default(), world.now);
    world.run();
    assert_eq!((world.client.packets(), world.server.packets()), (vec![vec![4]], vec![vec![5]]));
    assert_eq!(world.server.emulated(), 0);
    assert_eq!(world.now - start, 1250 * MS);
}

#[test]
fn values_beyond_their_range_are_cut_to_it() {
    let config = PeerConfig {
        conditions: Conditions {
            latency: 1000 * SECOND,
            jitter: Duration::MAX,
            bandwidth: u32::MAX,
            stall_every: MS,
            disconnect_every: 4000 * SECOND,
            seed: 7,
        },
        ..raw()
    };
    let wanted = Conditions {
        latency: 10 * SECOND,
        jitter: 10 * SECOND,
        bandwidth: 1_000_000,
        stall_every: 2 * SECOND,
        disconnect_every: 3600 * SECOND,
        seed: 7,
    };
    assert_eq!(config.bounded().conditions, wanted);
    assert!(Conditions { seed: 7, ..Conditions::default() }.bounded().is_off());
}

#[test]
fn a_bad_network_that_begins_while_a_peer_takes_nothing_does_not_keep_it_waiting() {
    let buffers = Buffers { input_bytes: 1 << 20, input_packets: 1 << 16, ..Buffers::default() };
    let patient = PeerConfig {
        buffers,
        heartbeat_interval: Duration::ZERO,
        heartbeat_timeout: Duration::ZERO,
        ..raw()
    };
    let mut world = World::connected(PeerConfig { write_timeout: Duration::ZERO, ..patient });
    world.ends.1.hold_reads(true);
    for _ in 0..30 {
        send(&mut world, true, vec![7; 5000]);
    }
    world.run();
    assert!(!world.server.hub().is_writable(world.server_conn));
    world.server.change_conditions(Conditions { latency: 100 * MS, ..Conditions::default() }, world.now);
    world.run();
    world.ends.1.hold_reads(false);
    world.pass(SECOND);
    assert_eq!(world.client.packets().len(), 30);
}

#[test]
fn a_close_behind_a_long_way_is_not_cut_short() {
    for latency in [400 * MS, 1200 * MS] {
        let mut world = world(Conditions { latency, ..Conditions::default() });
        world.close(false, CloseFrame::new(4000, "bye").expect("a valid frame"));
        world.run();
        world.pass(latency - 100 * MS);
        // They are in flight when the Close arrives, and more than the client's socket takes at once.
        for _ in 0..10 {
            send(&mut world, true, vec![7; 50_000]);
        }
        world.pass(4 * SECOND);
        let bye = CloseReason::Closed { by: Side::Local, code: 4000, reason: "bye".into() };
        assert_eq!(world.client.end(), Some(&bye), "{latency:?}");
    }
}

#[test]
fn the_end_of_a_remote_is_seen_behind_what_the_game_does_not_take() {
    for latency in [Duration::ZERO, 10 * MS] {
        let buffers = Buffers { input_bytes: 8000, input_packets: 2, ..Buffers::default() };
        let mut world = World::connected(PeerConfig { buffers, heartbeat_interval: Duration::ZERO, ..raw() });
        world.server.change_conditions(Conditions { latency, ..Conditions::default() }, world.now);
        for _ in 0..60 {
            send(&mut world, false, vec![7; 2000]);
        }
        world.pass(SECOND);
        world.ends.1.cut();
        world.run();
        world.pass(10 * SECOND);
        assert!(matches!(world.server.end(), Some(CloseReason::TransportError(_))), "{latency:?}");
    }
}
