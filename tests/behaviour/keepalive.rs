//! Pings, pongs and timeouts over minutes.

use std::time::Duration;

use super::world::{ByHand, SECOND, World, frame, raw};
use crate::base::{CloseReason, Phase};
use crate::channel::Command;
use crate::config::{Buffers, PeerConfig};

#[test]
fn two_idle_peers_stay_connected_for_an_hour() {
    let mut world = World::connected(raw());
    world.pass(Duration::from_secs(3600));
    assert_eq!((world.server.end(), world.client.end()), (None, None));
    assert!(world.server.shared().figures.rtt().is_some());
}

#[test]
fn a_dead_peer_is_pinged_and_dropped_after_a_minute() {
    let mut by_hand = ByHand::open(raw());
    assert_eq!(by_hand.pass(SECOND)[..2], [0x89, 8]);
    assert!(by_hand.pass(Duration::from_millis(19_900)).is_empty());
    assert_eq!(by_hand.pass(SECOND / 5)[..2], [0x89, 8]);
    by_hand.pass(Duration::from_millis(38_800));
    assert_eq!(by_hand.server.end(), None);
    by_hand.pass(SECOND);
    assert_eq!(by_hand.server.end(), Some(&CloseReason::TimedOut(Phase::Heartbeat)));
    assert_eq!(by_hand.server.len(), 0);
}

#[test]
fn a_peer_that_we_do_not_read_is_not_dropped() {
    let buffers = Buffers { input_packets: 1, ..Buffers::default() };
    let mut by_hand = ByHand::open(PeerConfig { buffers, ..raw() });
    by_hand.end.inject(&frame(0x82, b"1"));
    by_hand.say(&frame(0x82, b"2"));
    by_hand.pass(300 * SECOND);
    assert_eq!(by_hand.server.end(), None);
    assert_eq!(by_hand.server.packets(), [b"1"]);
    by_hand.run();
    assert_eq!(by_hand.server.packets(), [b"2"]);
    // Reading continues, so silence counts from here.
    by_hand.pass(55 * SECOND);
    assert_eq!(by_hand.server.end(), None);
    by_hand.pass(10 * SECOND);
    assert_eq!(by_hand.server.end(), Some(&CloseReason::TimedOut(Phase::Heartbeat)));
}

#[test]
fn one_peer_can_have_an_interval_of_its_own() {
    let config =
        PeerConfig { heartbeat_interval: Duration::ZERO, heartbeat_timeout: Duration::ZERO, ..raw() };
    let mut by_hand = ByHand::open(config);
    assert!(by_hand.pass(100 * SECOND).is_empty());
    let set = |by_hand: &mut ByHand, interval| {
        by_hand.server.command(Command::Heartbeat { conn: by_hand.conn, interval }, by_hand.now);
    };
    set(&mut by_hand, 5 * SECOND);
    // A ping of 8 bytes is a frame of 10 bytes: the first at once, then one per interval.
    assert_eq!(by_hand.pass(SECOND).len(), 10);
    assert_eq!(by_hand.pass(20 * SECOND).len(), 4 * 10);
    set(&mut by_hand, Duration::ZERO);
    assert!(by_hand.pass(1000 * SECOND).is_empty());
    // A new interval of the object does not replace that of the peer.
    by_hand.server.command(Command::Configure(Box::new(raw())), by_hand.now);
    assert!(by_hand.pass(59 * SECOND).is_empty());
}

#[test]
fn zero_turns_it_off() {
    let config =
        PeerConfig { heartbeat_interval: Duration::ZERO, heartbeat_timeout: Duration::ZERO, ..raw() };
    let mut by_hand = ByHand::open(config);
    assert!(by_hand.pass(1000 * SECOND).is_empty());
    assert_eq!(by_hand.server.end(), None);
}
