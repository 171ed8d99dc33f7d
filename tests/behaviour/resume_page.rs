//! Sessions of pages, which offer them in the query and come back by a subprotocol (docs/protocol.md).

use super::End;
use super::lines::Lines;
use super::resume_rules::{Door, config, messages, request, text};
use super::world::{ByHand, Node, REQUEST, SECOND, frame, multiplayer};
use crate::base::CloseFrame;
use crate::channel::Command;
use crate::config::{PeerConfig, ServerConfig};

const OFFER: &str = "godot-multiplayer=alive.v1&godot-multiplayer=resume.v1";

fn to(target: &str) -> Vec<u8> {
    String::from_utf8_lossy(REQUEST).replacen("/game", target, 1).into_bytes()
}

/// Sends a request on a new connection. Returns the head of the answer, and the messages or the text behind it.
fn knock(door: &mut Door, bytes: &[u8]) -> (String, Vec<String>) {
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    door.by_hand.server.accept_from("192.0.2.1:7", server_end, door.by_hand.now);
    door.by_hand.end = end;
    let answer = door.by_hand.say(bytes);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let rest = &answer[end..];
    if head.starts_with("HTTP/1.1 101 ") {
        return (head, messages(rest));
    }
    (head, [String::from_utf8_lossy(rest).trim().to_owned()].into())
}

/// A page whose session began by an offer in the query.
fn page(config: ServerConfig, offered: &str) -> Door {
    let by_hand = ByHand { server: Node::gated(config), ..ByHand::new(multiplayer()) };
    let mut door = Door { by_hand, token: String::new() };
    let line =
        if offered.is_empty() { "X: y".to_owned() } else { format!("Sec-WebSocket-Protocol: {offered}") };
    let asked = String::from_utf8_lossy(&request(&line)).replacen("/game", &format!("/game?a&{OFFER}&b"), 1);
    let (_, answer) = knock(&mut door, asked.as_bytes());
    assert_eq!((answer[0].as_str(), answer[2].as_str()), ("alive 1 0 60000", "4 bytes"), "{answer:?}");
    assert!(answer[1].starts_with("session 1 "), "{answer:?}");
    door.note_token(&answer[1]);
    door.say(&text("ack 0 0"));
    door
}

fn server(config: PeerConfig) -> ServerConfig {
    ServerConfig { peer: config, ..ServerConfig::default() }
}

/// The page comes back, and offers these subprotocols besides that with its token.
fn come_back(door: &mut Door, received: u64, names: &str) -> (String, Vec<String>) {
    let token = &door.token;
    let line = format!("Sec-WebSocket-Protocol: {names}, godot-resume.v1.{token}.{received}");
    knock(door, &request(&line))
}

fn selected(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "))
}

#[test]
fn an_offer_in_the_query_is_an_offer_and_nobody_sees_it() {
    Lines::catch();
    let door = page(server(config()), "");
    let shared = door.shared();
    assert_eq!((shared.info.target.as_str(), shared.info.has_control), ("/game?a&b", true));
    assert!(shared.resumes() && Lines::with("resume.v1").is_empty());
    // Without sessions on the server all is as it was.
    let peer = PeerConfig { resume_timeout: std::time::Duration::ZERO, ..config() };
    let mut by_hand = ByHand::new(peer);
    let answer = by_hand.say(&to(&format!("/game?{OFFER}")));
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    assert_eq!(messages(&answer[end..]), ["alive 1 0 60000", "4 bytes"]);
}

#[test]
fn a_page_comes_back_by_a_subprotocol_that_is_never_selected() {
    Lines::catch();
    let mut door = page(server(config()), "");
    let token = door.token.clone();
    for size in [1, 2] {
        door.send(size, false);
    }
    assert_eq!(door.say(&frame(0x82, b"one")), ["1 bytes", "2 bytes"]);
    door.lose();
    door.send(3, false);
    let (head, answer) = come_back(&mut door, 1, "godot-resume.v1");
    assert_eq!(selected(&head), Some("godot-resume.v1"));
    assert_eq!(answer[1..], ["2 bytes", "3 bytes"]);
    assert!(answer[0].starts_with("resumed 1 ") && answer[0].ends_with(" 1"), "{answer:?}");
    door.note_token(&answer[0]);
    assert!(!head.contains(&token) && !head.contains(&door.token), "{head}");
    assert!(Lines::with(&token).is_empty() && Lines::with(&door.token).is_empty());
    assert_eq!(door.shared().info.protocol, "");
    // The same once more, from the connection that seems to live.
    assert_eq!(door.say(&[text("ack 3 1"), frame(0x82, b"two"), text("ack?")].concat()), ["ack 2 3"]);
    let (head, answer) = come_back(&mut door, 3, "godot-resume.v1");
    assert!(head.starts_with("HTTP/1.1 101 ") && answer[0].ends_with(" 2"), "{answer:?}");
    assert_eq!(door.by_hand.server.packets(), [b"one", b"two"]);
    assert!(!door.is_over());
}

#[test]
fn the_games_subprotocol_is_selected_in_disguise_and_shown_as_it_is() {
    let config = || ServerConfig { protocols: vec!["b".into(), "a".into()], ..server(config()) };
    let mut door = page(config(), "b, a");
    assert_eq!(door.shared().info.protocol, "b");
    door.lose();
    let (head, _) = come_back(&mut door, 0, "godot-resume.v1+a, godot-resume.v1+b");
    assert_eq!(selected(&head), Some("godot-resume.v1+b"));
    assert_eq!(door.shared().info.protocol, "b");
    // Nothing that is offered can be selected.
    for names in ["godot-resume.v1+a", "godot-resume.v1", "b", "godot-resume.v1.b"] {
        let mut door = page(config(), "b, a");
        door.lose();
        assert!(come_back(&mut door, 0, names).0.starts_with("HTTP/1.1 400 "), "{names}");
        assert!(door.shared().outgoing.is_suspended() && !door.is_over(), "{names}");
        assert!(come_back(&mut door, 0, "godot-resume.v1+b").0.starts_with("HTTP/1.1 101 "), "{names}");
    }
}

#[test]
fn a_page_that_is_too_late_is_told_by_a_close() {
    let mut door = page(server(config()), "");
    door.lose();
    let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
    let conn = door.conn();
    door.command(Command::Close { conn, frame });
    door.by_hand.run();
    let (head, answer) = come_back(&mut door, 0, "godot-resume.v1");
    assert_eq!(
        (selected(&head), answer.as_slice()),
        (Some("godot-resume.v1"), &["close 4001".to_owned()][..])
    );
    assert_eq!(door.by_hand.server.counters().refused_resume.get(), 1);
    door.pass(5 * SECOND);
    assert_eq!((door.by_hand.server.len(), door.by_hand.server.counters().pending.get()), (0, 0));

    // The page gives its connection up while the Close is on its way.
    let mut door = page(server(config()), "");
    let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
    let conn = door.conn();
    door.shared().set_closing();
    door.command(Command::Close { conn, frame });
    door.say(&self::frame(0x88, &3012_u16.to_be_bytes()));
    assert!(door.is_over());
    assert_eq!(come_back(&mut door, 0, "godot-resume.v1").1, ["close 4001"]);

    let mut door = page(server(config()), "");
    door.lose();
    door.pass(21 * SECOND);
    assert!(door.is_over());
    assert_eq!(come_back(&mut door, 0, "godot-resume.v1+x").1, ["close 4410"]);
}

#[test]
fn a_token_that_was_used_is_told_by_a_close_and_harms_nobody() {
    let mut door = page(server(config()), "");
    let first = door.token.clone();
    door.lose();
    let (_, answer) = come_back(&mut door, 0, "godot-resume.v1");
    door.note_token(&answer[0]);
    door.say(&text("ack 0 0"));
    let live = door.by_hand.end.clone();
    let second = std::mem::replace(&mut door.token, first);
    for _ in 0..3 {
        assert_eq!(come_back(&mut door, 0, "godot-resume.v1").1, ["close 4410"]);
    }
    assert!(!door.shared().outgoing.is_suspended() && !door.is_over());
    live.inject(&text("ack?"));
    door.by_hand.server.run(door.by_hand.now);
    assert_eq!(messages(&live.take_all()), ["ack 0 0"]);
    door.token = second;
    assert!(come_back(&mut door, 0, "godot-resume.v1").1[0].starts_with("resumed "));
}

#[test]
fn what_a_page_may_try_again_stays_a_status() {
    let mut door = page(server(config()), "");
    let token = door.token.clone();
    for (line, status) in [
        (format!("Sec-WebSocket-Protocol: godot-resume.v1, godot-resume.v1.{token}.1"), "400"),
        (format!("Sec-WebSocket-Protocol: godot-resume.v1, godot-resume.v1.{token}.x"), "400"),
        (
            format!("Early-Data: 1\r\nSec-WebSocket-Protocol: godot-resume.v1, godot-resume.v1.{token}.0"),
            "425",
        ),
    ] {
        let (head, _) = knock(&mut door, &request(&line));
        assert_eq!(&head[9..12], status, "{line}");
        assert!(!door.shared().outgoing.is_suspended() && !door.is_over(), "{line}");
    }
    for _ in 0..4 {
        assert!(come_back(&mut door, 0, "godot-resume.v1").1[0].starts_with("resumed "));
    }
    assert!(come_back(&mut door, 0, "godot-resume.v1").0.starts_with("HTTP/1.1 429 "));
}

#[test]
fn a_page_gives_a_connection_up_with_a_close_of_its_own() {
    // A game may use the code as well.
    let mut door = page(server(config()), "");
    door.say(&[text("end"), frame(0x88, &3012_u16.to_be_bytes())].concat());
    assert!(door.is_over());
    let mut door = page(server(config()), "");
    door.say(&frame(0x88, &3012_u16.to_be_bytes()));
    assert!(door.shared().outgoing.is_suspended() && !door.is_over());
    assert!(come_back(&mut door, 0, "godot-resume.v1").1[0].starts_with("resumed "));
}
