//! Handshakes.

use super::world::{ByHand, REQUEST, SECOND, World, multiplayer, raw};
use crate::base::{CloseReason, PeerId, Phase};
use crate::channel::Notice;

#[test]
fn every_split_of_the_bytes_leads_in() {
    for step in [1, 2, 3, 7, 64, 1000] {
        let mut world = World::new(multiplayer(), 4096, step);
        world.run();
        let own_id = world.client.notices.iter().find_map(|notice| match notice {
            Notice::Connected { shared, own_id } => Some((shared.id, *own_id)),
            _ => None,
        });
        assert_eq!(own_id, Some((PeerId::SERVER, world.server.shared().id)), "step {step}");
    }
}

#[test]
fn a_byte_a_second_is_cut_at_the_deadline() {
    let mut by_hand = ByHand::new(raw());
    let mut answer = Vec::new();
    for byte in &REQUEST[..10] {
        answer.extend(by_hand.say(&[*byte]));
        answer.extend(by_hand.pass(SECOND));
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(by_hand.server.len(), 0, "the connection is dropped");
    assert!(by_hand.server.notices.is_empty(), "the game hears nothing of it");
}

#[test]
fn a_silent_connection_is_dropped_without_a_word() {
    let mut by_hand = ByHand::new(raw());
    assert!(by_hand.pass(4 * SECOND).is_empty());
    assert_eq!((by_hand.server.len(), by_hand.server.hub().pending_len()), (0, 0));
}

#[test]
fn messages_right_behind_the_request_are_not_lost() {
    let mut by_hand = ByHand::new(raw());
    let mut bytes = REQUEST.to_vec();
    bytes.extend(super::world::frame(0x82, b"early"));
    by_hand.say(&bytes);
    assert_eq!(by_hand.server.packets(), [b"early"]);
}

#[test]
fn a_client_gives_up_when_no_id_comes() {
    // The server is in raw mode: it accepts the upgrade, and never sends an id.
    let mut world = World::new(multiplayer(), 4096, usize::MAX);
    world.server = super::world::Node::server(raw());
    world.server_conn = world.server.accept(world.ends.0.clone(), world.now);
    world.pass(4 * SECOND);
    assert_eq!(world.client.end(), Some(&CloseReason::TimedOut(Phase::Handshake)));
}

#[test]
fn a_client_refuses_what_is_no_id() {
    for bad in
        [&b"\x82\x04\x01\0\0\0"[..], b"\x82\x04\xff\xff\xff\xff", b"\x82\x05\x02\0\0\0\0", b"\x81\x02hi"]
    {
        let mut world = World::new(multiplayer(), 4096, usize::MAX);
        world.server = super::world::Node::server(raw());
        world.server_conn = world.server.accept(world.ends.0.clone(), world.now);
        world.run();
        world.ends.0.inject(bad);
        world.run();
        assert!(
            matches!(world.client.end(), Some(CloseReason::Violation(_))),
            "{bad:?}: {:?}",
            world.client.end()
        );
    }
}
