//! Sessions: the end that the game wants is told, whatever becomes of the connection before the client has read it.

use super::End;
use super::resume_rules::{Door, config};
use super::world::{SECOND, frame};
use crate::base::CloseFrame;
use crate::channel::Command;

#[test]
fn who_is_being_kicked_does_not_come_back() {
    let mut door = Door::new(config());
    // Its connection is dead, so it does not see the Close.
    door.by_hand.end.set_capacity(0);
    let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
    let conn = door.conn();
    door.shared().set_closing();
    door.command(Command::Close { conn, frame });
    let told = |door: &mut Door| {
        let (status, answer) = door.come_back(0);
        assert_eq!((status, answer[0].as_str()), (410, "ended"));
        assert!(answer[1].contains("4001") && answer[1].contains("kicked"), "{answer:?}");
    };
    told(&mut door);
    door.pass(4 * SECOND);
    assert!(door.is_over());
    // It hears the same when the server has given its connection up.
    told(&mut door);
    assert_eq!(door.by_hand.server.counters().peers_timed_out.get(), 1);
    // Who has answered the Close knows, and is not remembered.
    let mut door = Door::new(config());
    let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
    let conn = door.conn();
    door.shared().set_closing();
    door.command(Command::Close { conn, frame });
    door.say(&super::world::frame(0x88, &4001_u16.to_be_bytes()));
    assert_eq!(door.come_back(0).1[0], "unknown");
}

#[test]
fn a_kick_is_told_although_something_else_comes_before_its_close_is_written() {
    let kick = CloseFrame::new(4001, "kicked").expect("valid");
    let is_told = |door: &mut Door| {
        let (status, answer) = door.come_back(0);
        assert!(status == 410 && answer[1].contains("4001 kicked"), "{answer:?}");
    };
    type Event = fn(&mut Door);
    let events: [(&str, Event); 4] = [
        ("a page gives up", |door| _ = door.say(&frame(0x88, &3012_u16.to_be_bytes()))),
        ("the connection is reset", |door| {
            door.by_hand.end.reset();
            door.by_hand.run();
        }),
        ("the client comes back", |_| {}),
        ("the time is up", |door| _ = door.pass(21 * SECOND)),
    ];
    for (what, event) in events {
        let mut door = Door::new(config());
        if what == "the time is up" {
            door.lose();
        }
        let conn = door.conn();
        // The call of the game, whose command the driver takes later.
        door.shared().begin_closing(|| crate::base::CloseReason::closed_by_us(&kick));
        event(&mut door);
        is_told(&mut door);
        door.command(Command::Close { conn, frame: Box::new(kick.clone()) });
        is_told(&mut door);
    }
}

#[test]
fn a_kick_with_the_code_of_a_page_that_gives_up_is_told_too() {
    let mut door = Door::new(config());
    let conn = door.conn();
    let kick = CloseFrame::new(3012, "kicked").expect("valid");
    door.shared().set_closing();
    door.command(Command::Close { conn, frame: Box::new(kick) });
    // The page gives its connection up before it has read that.
    door.say(&frame(0x88, &3012_u16.to_be_bytes()));
    let (status, answer) = door.come_back(0);
    assert!(status == 410 && answer[1].contains("3012 kicked"), "{answer:?}");
}

#[test]
fn a_connection_that_is_lost_behind_a_kick_suspends_nobody() {
    for lose in [End::cut, End::reset] {
        let mut door = Door::new(config());
        door.by_hand.end.set_capacity(0);
        let conn = door.conn();
        let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
        door.command(Command::Close { conn, frame });
        lose(&door.by_hand.end);
        door.by_hand.run();
        assert!(door.is_over());
        let (status, answer) = door.come_back(0);
        assert!(status == 410 && answer[1].contains("4001 kicked"), "{answer:?}");
    }
}
