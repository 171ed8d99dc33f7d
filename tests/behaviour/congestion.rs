//! Peers that do not take their packets.

use bytes::Bytes;

use super::world::{SECOND, World, multiplayer, outbound};
use crate::base::{CloseReason, Phase};
use crate::channel::{Command, Notice};
use crate::config::{Buffers, OverflowPolicy, PeerConfig};

fn config() -> PeerConfig {
    let buffers = Buffers { output_bytes: 8192, output_packets: 64, ..Buffers::default() };
    PeerConfig { buffers, ..multiplayer() }
}

/// A connection that takes a thousand bytes from the server until the client reads; plain, and with TLS, which holds some bytes that the
/// connection has not taken.
fn worlds(config: &PeerConfig) -> [(&'static str, World); 2] {
    let worlds = [("plain", World::connected(config.clone())), ("TLS", World::encrypted(config.clone()))];
    for (_, world) in &worlds {
        world.ends.1.set_capacity(1000);
    }
    worlds
}

fn send(world: &mut World, count: usize, size: usize) {
    for _ in 0..count {
        world.server.shared().outgoing.add(size);
        let message = outbound(Bytes::from(vec![7; size]));
        world.server.command(Command::Send { to: world.server_conn, message }, world.now);
    }
    world.server.run(world.now);
}

/// Lets time pass while the client only reads `per_second` bytes.
fn starve(world: &mut World, seconds: u32, per_second: usize) {
    for _ in 0..seconds * 20 {
        starve_for(world, SECOND / 20, per_second / 20);
    }
}

fn starve_for(world: &mut World, time: std::time::Duration, bytes: usize) {
    world.now += time;
    // An error means that nothing has arrived.
    let mut taken = 0;
    while taken < bytes {
        let mut buffer = vec![0; bytes - taken];
        match std::io::Read::read(&mut world.ends.1, &mut buffer) {
            Ok(n @ 1..) => taken += n,
            _ => break,
        }
        world.server.run(world.now);
    }
    world.server.run(world.now);
}

/// TLS takes whole pieces, and keeps what the connection does not take: also the last one of a turn.
#[test]
fn a_peer_that_blocks_at_the_end_of_a_turn_is_congested() {
    for capacity in (220_000..270_000).step_by(2000) {
        let buffers = Buffers { output_bytes: 2 << 20, ..Buffers::default() };
        let mut world = World::encrypted(PeerConfig { buffers, ..multiplayer() });
        world.ends.1.set_capacity(capacity);
        send(&mut world, 1, 1 << 20);
        assert!(world.server.shared().outgoing.is_congested(), "{capacity}");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_closed_after_the_grace_and_told_once() {
    for (row, mut world) in worlds(&config()) {
        send(&mut world, 60, 1000);
        assert!(world.server.shared().outgoing.is_congested(), "{row}");
        assert!(world.server.has(|notice| matches!(notice, Notice::Congested(_))), "{row}");
        starve(&mut world, 1, 0);
        starve(&mut world, 1, 0);
        assert_eq!(world.server.end(), Some(&CloseReason::Overflow), "{row}");
        let told =
            world.server.notices.iter().filter(|notice| matches!(notice, Notice::Overflowed(_))).count();
        assert_eq!(told, 1, "{row}");
        starve(&mut world, 5, 0);
        assert_eq!(world.server.len(), 0, "{row}: it does not linger for ever");
        assert_eq!(world.server.shared().outgoing.load(), (0, 0), "{row}");
    }
}

#[test]
fn it_learns_the_code_when_it_reads_after_all() {
    for (row, mut world) in worlds(&config()) {
        send(&mut world, 60, 1000);
        starve(&mut world, 2, 0);
        world.run();
        assert_eq!(world.client.end().map(CloseReason::code), Some(1013), "{row}");
        let whole = world.client.packets();
        assert!(whole.len() < 60, "{row}");
        assert!(whole.iter().all(|packet| *packet == [7; 1000]), "{row}: whole packets or none");
    }
}

#[test]
fn a_peer_that_works_off_a_burst_is_left_alone() {
    // The client needs four times the grace for one of the large packets.
    for (packets, size) in [(100, 1000), (12, 8000)] {
        for (row, mut world) in worlds(&config()) {
            send(&mut world, packets, size);
            starve(&mut world, 30, 2000);
            assert_eq!(world.server.end(), None, "{row}, {size}: 2 KB/s of 100 KB is slow, and steady");
            starve(&mut world, 30, 2000);
            assert!(world.server.has(|notice| matches!(notice, Notice::Drained(_))), "{row}, {size}");
        }
    }
}

#[test]
fn a_peer_that_takes_much_is_left_alone_although_more_keeps_coming() {
    for (row, mut world) in worlds(&config()) {
        send(&mut world, 20, 1000);
        for _ in 0..200 {
            // The bytes that it takes in a twentieth of a second are replaced: 20 KB always wait, and 40 KB/s leave.
            starve_for(&mut world, SECOND / 20, 2000);
            let (waiting, _) = world.server.shared().outgoing.load();
            send(&mut world, 20 - (waiting / 1000).min(20), 1000);
        }
        assert_eq!(world.server.end(), None, "{row}");
    }
}

#[test]
fn the_refusing_policy_closes_nobody() {
    for (row, mut world) in worlds(&PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config() }) {
        send(&mut world, 60, 1000);
        starve(&mut world, 20, 0);
        assert_eq!(world.server.end(), None, "{row}");
    }
}

/// A peer is dropped only for bytes that it does not take.
fn patient() -> PeerConfig {
    PeerConfig {
        overflow_policy: OverflowPolicy::Refuse,
        heartbeat_timeout: std::time::Duration::ZERO,
        ..config()
    }
}

#[test]
fn a_peer_that_takes_no_byte_at_all_is_dropped_in_the_end() {
    // Less than TLS can hold, and more.
    for packets in [3, 30, 60] {
        for (row, mut world) in worlds(&patient()) {
            send(&mut world, packets, 1000);
            starve(&mut world, 29, 0);
            assert_eq!(world.server.end(), None, "{row}, {packets} packets");
            assert_eq!(world.server.counters().peers_timed_out.get(), 0, "{row}, {packets} packets");
            starve(&mut world, 2, 0);
            let end = world.server.end();
            assert_eq!(end, Some(&CloseReason::TimedOut(Phase::Write)), "{row}, {packets} packets");
            assert_eq!(world.server.counters().peers_timed_out.get(), 1, "{row}, {packets} packets");
        }
    }
}

#[test]
fn neither_what_is_queued_nor_what_it_says_keeps_a_peer_that_takes_nothing() {
    for (row, mut world) in worlds(&patient()) {
        send(&mut world, 3, 1000);
        world.ends.1.hold_reads(true);
        for _ in 0..29 {
            starve(&mut world, 1, 0);
            send(&mut world, 1, 100);
            let message = outbound(Bytes::from_static(b"still here"));
            world.client.command(Command::Send { to: world.client_conn, message }, world.now);
            world.client.run(world.now);
        }
        starve(&mut world, 2, 0);
        assert_eq!(world.server.end(), Some(&CloseReason::TimedOut(Phase::Write)), "{row}");
        assert_eq!(world.server.packets().len(), 29, "{row}: everything arrived");
    }
}

#[test]
fn a_peer_that_takes_a_few_bytes_now_and_then_is_not_dropped() {
    for (row, mut world) in worlds(&patient()) {
        send(&mut world, 100, 1000);
        for _ in 0..10 {
            starve(&mut world, 20, 0);
            starve_for(&mut world, SECOND / 20, 10);
        }
        assert_eq!(world.server.end(), None, "{row}: 10 bytes in 20 s are few, but some");
        starve(&mut world, 31, 0);
        assert_eq!(world.server.end(), Some(&CloseReason::TimedOut(Phase::Write)), "{row}");
    }
}
