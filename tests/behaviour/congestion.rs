//! Peers that do not take their packets.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::world::{SECOND, World, multiplayer, outbound};
use crate::config::{Buffers, OverflowPolicy, PeerConfig};
use crate::error::{CloseReason, Phase};
use crate::hub::News;
use crate::net::mailbox::Command;

fn config() -> PeerConfig {
    let buffers = Buffers { output_bytes: 8192, output_packets: 64, ..Buffers::default() };
    PeerConfig { buffers, ..multiplayer() }
}

fn send(world: &mut World, count: usize, size: usize) {
    for _ in 0..count {
        world.server.link().outgoing.add(size);
        let message = outbound(Bytes::from(vec![7; size]));
        world.server.hub.command(Command::Send { to: world.server_conn, message }, world.now);
    }
    world.server.run(world.now);
}

/// Lets time pass while the client does nothing but take `per_second` bytes off the wire.
fn starve(world: &mut World, seconds: u32, per_second: usize) {
    for _ in 0..seconds * 20 {
        starve_for(world, SECOND / 20, per_second / 20);
    }
}

fn starve_for(world: &mut World, time: std::time::Duration, bytes: usize) {
    world.now += time;
    // An error means that nothing is there.
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

#[test]
fn a_peer_that_takes_nothing_is_closed_after_the_grace_and_told_once() {
    let mut world = World::connected(config());
    world.ends.1.set_capacity(1000);
    send(&mut world, 20, 1000);
    assert!(world.server.link().congested.load(Ordering::SeqCst));
    assert!(world.server.has(|news| matches!(news, News::Congested(_))));
    starve(&mut world, 1, 0);
    starve(&mut world, 1, 0);
    assert_eq!(world.server.end(), Some(&CloseReason::Overflow));
    assert_eq!(world.server.news.iter().filter(|news| matches!(news, News::Overflowed(_))).count(), 1);
    starve(&mut world, 5, 0);
    assert_eq!(world.server.len(), 0, "it does not linger for ever");
    assert_eq!(world.server.link().outgoing.load(), (0, 0));
}

#[test]
fn it_learns_the_code_when_it_reads_after_all() {
    let mut world = World::connected(config());
    world.ends.1.set_capacity(1000);
    send(&mut world, 20, 1000);
    starve(&mut world, 2, 0);
    world.run();
    assert_eq!(world.client.end().map(CloseReason::code), Some(1013));
    let whole = world.client.packets();
    assert!(whole.len() < 20 && whole.iter().all(|packet| *packet == [7; 1000]), "whole packets or none");
}

#[test]
fn a_peer_that_works_off_a_burst_is_left_alone() {
    let mut world = World::connected(config());
    world.ends.1.set_capacity(1000);
    send(&mut world, 100, 1000);
    starve(&mut world, 30, 2000);
    assert_eq!(world.server.end(), None, "2 KB/s of 100 KB is slow, and steady");
    starve(&mut world, 30, 2000);
    assert!(world.server.has(|news| matches!(news, News::Drained(_))));
}

#[test]
fn a_peer_that_takes_much_is_left_alone_although_more_keeps_coming() {
    let mut world = World::connected(config());
    world.ends.1.set_capacity(1000);
    send(&mut world, 20, 1000);
    for _ in 0..200 {
        // What it takes in a twentieth of a second is replaced: 20 KB wait all the time, 40 KB/s leave.
        starve_for(&mut world, SECOND / 20, 2000);
        let (waiting, _) = world.server.link().outgoing.load();
        send(&mut world, 20 - (waiting / 1000).min(20), 1000);
    }
    assert_eq!(world.server.end(), None);
}

#[test]
fn the_refusing_policy_closes_nobody() {
    let mut world = World::connected(PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config() });
    world.ends.1.set_capacity(1000);
    send(&mut world, 20, 1000);
    starve(&mut world, 20, 0);
    assert_eq!(world.server.end(), None);
}

#[test]
fn a_peer_that_takes_no_byte_at_all_is_dropped_in_the_end() {
    let config = PeerConfig {
        overflow_policy: OverflowPolicy::Refuse,
        heartbeat_timeout: std::time::Duration::ZERO,
        ..config()
    };
    let mut world = World::connected(config);
    world.ends.1.set_capacity(1000);
    send(&mut world, 3, 1000);
    starve(&mut world, 29, 0);
    assert_eq!(world.server.end(), None);
    starve(&mut world, 2, 0);
    assert_eq!(world.server.end(), Some(&CloseReason::TimedOut(Phase::Write)));
}
