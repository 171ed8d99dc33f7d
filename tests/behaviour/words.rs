//! What both sides are told when something does not work out, in words that say what to change.

use std::time::Instant;

use super::lines::Lines;
use super::world::{Node, World, outbound, raw};
use crate::config::PeerConfig;
use crate::error::{CloseReason, Side};
use crate::id::ConnId;
use crate::net::mailbox::Command;

/// Lets one side send a message of so many bytes.
fn send(node: &mut Node, conn: ConnId, size: usize, now: Instant) {
    node.link().outgoing.add(size);
    node.hub.command(Command::Send { to: conn, message: outbound(vec![7; size]) }, now);
}

#[test]
fn a_message_that_is_too_large_says_on_both_sides_which_setting_to_raise() {
    for client_sends in [true, false] {
        Lines::catch();
        let mut world = World::connected(PeerConfig { max_message_size: Some(1000), ..raw() });
        let now = world.now;
        if client_sends {
            send(&mut world.client, world.client_conn, 1001, now);
        } else {
            send(&mut world.server, world.server_conn, 1001, now);
        }
        world.run();
        let (sender, receiver) =
            if client_sends { (&world.client, &world.server) } else { (&world.server, &world.client) };
        let words = "a message of 1001 bytes; the receiver takes 1000 at most: raise its max_message_size_kb";
        let told = CloseReason::Closed { by: Side::Remote, code: 1009, reason: words.to_owned() };
        assert_eq!(sender.end(), Some(&told), "the sender");
        assert_eq!(receiver.end(), Some(&CloseReason::Violation(words.to_owned())), "the receiver");
        assert!(told.to_string().contains(words), "what get_last_error() says: {told}");
        let lines = Lines::with("was connected for");
        assert!(
            lines.len() == 2 && lines.iter().all(|line| line.contains(words)),
            "on either side: {lines:?}"
        );
    }
}
