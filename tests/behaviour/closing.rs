//! Ends of connections, and what both sides know of them.

use bytes::Bytes;

use super::world::{ByHand, SECOND, World, frame, multiplayer, outbound, raw};
use crate::base::{CloseFrame, CloseReason, Phase};
use crate::channel::{Command, Notice};

fn bye() -> CloseFrame {
    CloseFrame::new(4000, "bye").expect("a valid frame")
}

#[test]
fn either_side_can_close_and_both_know_why() {
    for server_closes in [true, false] {
        let mut world = World::connected(raw());
        world.close(server_closes, bye());
        world.run();
        world.assert_closed(server_closes, 4000, "bye");
    }
}

#[test]
fn both_sides_may_close_at_once() {
    let mut world = World::connected(raw());
    world.server.command(Command::Close { conn: world.server_conn, frame: Box::new(bye()) }, world.now);
    world.client.command(Command::Close { conn: world.client_conn, frame: Box::new(bye()) }, world.now);
    world.run();
    assert!(
        world.server.end().is_some_and(CloseReason::is_clean)
            && world.client.end().is_some_and(CloseReason::is_clean)
    );
    assert_eq!((world.server.len(), world.client.len()), (0, 0));
}

#[test]
fn what_was_sent_before_a_close_arrives_before_it() {
    let mut world = World::connected(multiplayer());
    world.ends.1.set_capacity(100);
    for i in 0..50_u8 {
        world.server.shared().outgoing.add(1000);
        let message = outbound(Bytes::from(vec![i; 1000]));
        world.server.command(Command::Send { to: world.server_conn, message }, world.now);
    }
    world.server.command(Command::Close { conn: world.server_conn, frame: Box::new(bye()) }, world.now);
    world.run();
    let before_end =
        world.client.notices.iter().take_while(|notice| !matches!(notice, Notice::CloseRequested { .. }));
    assert_eq!(before_end.filter(|notice| matches!(notice, Notice::Packet(_))).count(), 50);
    assert!(matches!(world.client.notices.last(), Some(Notice::Disconnected { .. })));
}

#[test]
fn a_remote_that_ignores_the_close_is_cut() {
    let mut by_hand = ByHand::open(raw());
    by_hand.server.command(Command::Close { conn: by_hand.conn, frame: Box::new(bye()) }, by_hand.now);
    assert_eq!(by_hand.run(), b"\x88\x05\x0f\xa0bye");
    by_hand.say(&frame(0x82, b"still talking"));
    by_hand.pass(SECOND * 29 / 10);
    assert_eq!(by_hand.server.end(), None);
    by_hand.pass(SECOND / 5);
    assert_eq!(by_hand.server.end(), Some(&CloseReason::TimedOut(Phase::Close)));
    assert_eq!(by_hand.server.counters().peers_timed_out.get(), 1);
    assert!(
        !by_hand.server.has(|notice| matches!(notice, Notice::Packet(_))),
        "nothing is delivered behind our close"
    );
    assert_eq!(by_hand.server.len(), 0);
}

#[test]
fn a_close_is_answered_with_its_code() {
    let mut by_hand = ByHand::open(raw());
    assert_eq!(by_hand.say(&frame(0x88, b"\x0f\xa0why")), b"\x88\x05\x0f\xa0why");
    assert!(by_hand.server.has(
        |notice| matches!(notice, Notice::CloseRequested { code: 4000, reason, .. } if reason == "why")
    ));
    let mut by_hand = ByHand::open(raw());
    assert_eq!(by_hand.say(&frame(0x88, b"")), b"\x88\x00");
    assert!(by_hand.server.has(|notice| matches!(notice, Notice::CloseRequested { code: 1005, .. })));
}

#[test]
fn data_in_front_of_a_close_or_of_the_end_is_delivered() {
    for last in [frame(0x88, b"\x03\xe8"), Vec::new()] {
        let mut by_hand = ByHand::open(raw());
        by_hand.end.inject(&frame(0x82, b"last words"));
        by_hand.end.inject(&last);
        by_hand.end.cut();
        by_hand.run();
        assert_eq!(by_hand.server.end().map(CloseReason::is_clean), Some(!last.is_empty()));
        assert_eq!(by_hand.server.packets(), [b"last words"]);
    }
}

#[test]
fn what_a_remote_said_before_it_went_is_read_although_writing_fails() {
    let mut by_hand = ByHand::open(raw());
    by_hand.end.inject(&frame(0x82, b"last words"));
    by_hand.end.cut();
    // The write fails before the read.
    let message = outbound(Bytes::from_static(b"are you there?"));
    by_hand.server.shared().outgoing.add(14);
    by_hand.server.command(Command::Send { to: by_hand.conn, message }, by_hand.now);
    by_hand.run();
    assert_eq!(by_hand.server.packets(), [b"last words"]);
    assert!(by_hand.server.end().is_some());
    assert_eq!(by_hand.server.shared().outgoing.load(), (0, 0));
}
