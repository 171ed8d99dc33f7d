//! Sessions: tokens, refusals, limits and the moments that decide (docs/protocol.md), with a client whose bytes the test sends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::End;
use super::world::{ByHand, Node, REQUEST, SECOND, frame, multiplayer, outbound};
use crate::base::{CloseFrame, ConnId};
use crate::channel::{Command, Form, Notice, Outbound, PeerShared};
use crate::config::{Buffers, Compression, PeerConfig, ServerConfig};

pub(super) fn config() -> PeerConfig {
    PeerConfig { resume_timeout: 20 * SECOND, heartbeat_interval: Duration::ZERO, ..multiplayer() }
}

/// The usual request with one more header line.
pub(super) fn request(line: &str) -> Vec<u8> {
    let head = String::from_utf8_lossy(REQUEST);
    format!("{}{line}\r\n\r\n", head.strip_suffix("\r\n").expect("a head")).into_bytes()
}

pub(super) fn text(words: &str) -> Vec<u8> {
    frame(0x81, words.as_bytes())
}

/// The status of an answer and its text, or 101 and the messages behind the head, each as text or size.
fn read(answer: &[u8]) -> (u16, Vec<String>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head[9..12].parse().expect("a status");
    let rest = &answer[end..];
    if status != 101 {
        let header = head.lines().find_map(|line| line.strip_prefix("Godot-Multiplayer: "));
        let text = String::from_utf8_lossy(rest).trim().to_owned();
        return (status, [header.unwrap_or_default().to_owned(), text].into());
    }
    (status, messages(rest))
}

pub(super) fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            len => (usize::from(*len), rest),
        };
        let (payload, rest) = rest.split_at(len);
        bytes = rest;
        messages.push(match first {
            0x81 => String::from_utf8(payload.to_vec()).expect("text is UTF-8"),
            0x82 => format!("{len} bytes"),
            0x88 => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
            0x89 => "ping".to_owned(),
            _ => panic!("{first:x} is no frame of this test"),
        });
    }
    messages
}

/// A server and the connections of one client.
pub(super) struct Door {
    pub(super) by_hand: ByHand,
    pub(super) token: String,
}

impl Door {
    pub(super) fn new(config: PeerConfig) -> Self {
        Self::of(ServerConfig { peer: config, ..ServerConfig::default() })
    }

    /// A client that has confirmed its session.
    pub(super) fn of(config: ServerConfig) -> Self {
        let mut door = Self::fresh(config);
        door.say(&text("ack 0 0"));
        door
    }

    /// A client that has not.
    fn fresh(config: ServerConfig) -> Self {
        let by_hand = ByHand { server: Node::gated(config), ..ByHand::new(multiplayer()) };
        let mut door = Self { by_hand, token: String::new() };
        let (status, messages) = door.knock(&request("Godot-Multiplayer: resume; v=1"));
        assert_eq!((status, messages.len(), messages[1].as_str()), (101, 2, "4 bytes"));
        door.note_token(&messages[0]);
        door
    }

    /// One more client, which has confirmed its session.
    pub(super) fn join(&mut self) -> Arc<PeerShared> {
        let (status, messages) = self.knock(&request("Godot-Multiplayer: resume; v=1"));
        assert_eq!(status, 101);
        self.note_token(&messages[0]);
        self.say(&text("ack 0 0"));
        self.shared()
    }

    pub(super) fn note_token(&mut self, grant: &str) {
        grant.split(' ').nth(2).expect("a token").clone_into(&mut self.token);
    }

    /// Connects and sends a request.
    pub(super) fn knock(&mut self, request: &[u8]) -> (u16, Vec<String>) {
        self.knock_from("192.0.2.1:1", request)
    }

    pub(super) fn knock_from(&mut self, address: &str, request: &[u8]) -> (u16, Vec<String>) {
        let (server_end, end) = End::pair(1 << 20, usize::MAX);
        self.by_hand.server.accept_from(address, server_end, self.by_hand.now);
        self.by_hand.end = end;
        read(&self.by_hand.say(request))
    }

    pub(super) fn come_back(&mut self, received: u64) -> (u16, Vec<String>) {
        let line = format!("Godot-Multiplayer: resume; v=1; token={}; received={received}", self.token);
        self.knock(&request(&line))
    }

    /// The same over a connection that takes no more than so many bytes at once. Returns the client's end, from which nothing was read.
    pub(super) fn come_back_over(&mut self, capacity: usize) -> End {
        let (server_end, end) = End::pair(capacity, usize::MAX);
        let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", self.token);
        end.inject(&request(&line));
        self.by_hand.server.accept_from("192.0.2.1:9", server_end, self.by_hand.now);
        self.by_hand.server.run(self.by_hand.now);
        end
    }

    pub(super) fn say(&mut self, bytes: &[u8]) -> Vec<String> {
        messages(&self.by_hand.say(bytes))
    }

    pub(super) fn pass(&mut self, time: Duration) -> Vec<String> {
        messages(&self.by_hand.pass(time))
    }

    /// The client's connection is lost.
    pub(super) fn lose(&mut self) {
        self.by_hand.end.cut();
        self.by_hand.run();
        assert!(self.shared().outgoing.is_suspended());
    }

    pub(super) fn shared(&self) -> Arc<PeerShared> {
        self.by_hand.server.shared()
    }

    pub(super) fn conn(&self) -> ConnId {
        self.shared().conn
    }

    pub(super) fn command(&mut self, command: Command) {
        self.by_hand.server.command(command, self.by_hand.now);
    }

    pub(super) fn send(&mut self, size: usize, droppable: bool) {
        self.shared().outgoing.add(size);
        let message = Outbound::shared(
            Bytes::from(vec![7; size]),
            if droppable { Form::Unreliable } else { Form::Binary },
        );
        let to = self.conn();
        self.command(Command::Send { to, message });
    }

    pub(super) fn is_over(&self) -> bool {
        self.by_hand.server.has(|notice| matches!(notice, Notice::Disconnected { .. }))
    }
}

#[test]
fn the_session_comes_before_the_id_and_nobody_sees_the_offer() {
    let mut door = Door::new(config());
    let shared = door.shared();
    assert!(
        shared
            .info
            .headers
            .iter()
            .all(|(name, value)| name != "godot-multiplayer" && !value.contains("resume"))
    );
    assert!(shared.info.has_control && shared.resumes());
    // Text is a control message, and data in both directions has numbers.
    door.send(10, false);
    assert_eq!(door.say(b""), ["10 bytes"]);
    assert_eq!(door.say(&[frame(0x82, b"packet"), text("ack?")].concat()), ["ack 1 1"]);
    assert_eq!(door.pass(SECOND), ["ack 1 1 unasked", "ping"]);
}

#[test]
fn what_was_not_received_is_sent_again_in_order() {
    let mut door = Door::new(config());
    for size in [1, 2, 3] {
        door.send(size, false);
    }
    assert_eq!(door.say(b""), ["1 bytes", "2 bytes", "3 bytes"]);
    door.say(&[frame(0x82, b"one"), frame(0x82, b"two")].concat());
    door.lose();
    door.send(4, false);
    let (status, answer) = door.come_back(1);
    assert_eq!((status, &answer[1..]), (101, &["2 bytes", "3 bytes", "4 bytes"].map(str::to_owned)[..]));
    let words: Vec<_> = answer[0].split(' ').collect();
    assert_eq!((words[0], words[1], words[3]), ("resumed", "1", "2"));
    // The numbers go on.
    assert_eq!(door.say(&text("ack 4 2")), [""; 0]);
    assert_eq!(door.say(&[frame(0x82, b"three"), text("ack?")].concat()), ["ack 3 4"]);
    assert!(!door.is_over());
    assert_eq!(door.shared().outgoing.load(), (0, 0));
}

#[test]
fn an_unreliable_message_leaves_its_number_only() {
    let mut door = Door::new(config());
    door.send(1, false);
    door.send(2, true);
    assert_eq!(door.say(b""), ["1 bytes", "2 bytes"]);
    door.lose();
    // The game has sent this one before it knew of the loss.
    door.send(3, true);
    door.send(4, false);
    let (_, answer) = door.come_back(0);
    assert_eq!(answer[1..], ["1 bytes", "skip 1", "skip 1", "4 bytes"]);
    assert_eq!(door.say(&text("ack?")), ["ack 0 4"]);
    assert_eq!(door.shared().outgoing.load(), (0, 0));
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_an_old_token_is_worth_nothing() {
    let mut door = Door::new(config());
    let first = door.token.clone();
    door.lose();
    let (_, answer) = door.come_back(0);
    // The client has not seen it, and comes with its old token.
    let (status, again) = door.come_back(0);
    assert_eq!((status, &again[0]), (101, &answer[0]));
    door.note_token(&again[0]);
    // With its first message it has shown that it knows the new one.
    door.say(&text("ack 0 0"));
    let second = std::mem::replace(&mut door.token, first);
    let (status, answer) = door.come_back(0);
    assert_eq!((status, answer[0].as_str()), (410, "unknown"));
    assert!(!door.shared().outgoing.is_suspended(), "the player is not disturbed");
    door.token = second;
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn a_token_is_not_guessed() {
    let mut door = Door::new(config());
    let token = door.token.clone();
    for at in [0, 15, 16, 30, 47] {
        let mut guess = token.clone().into_bytes();
        guess[at] = if guess[at] == b'0' { b'1' } else { b'0' };
        door.token = String::from_utf8(guess).expect("digits");
        assert_eq!(
            door.come_back(0),
            (410, ["unknown", "this server does not know the session"].map(str::to_owned).into())
        );
    }
    assert_eq!(door.by_hand.server.counters().refused_resume.get(), 5);
    door.token = token;
    assert!(!door.shared().outgoing.is_suspended());
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn a_count_out_of_range_changes_nothing() {
    let mut door = Door::new(config());
    door.send(1, false);
    door.say(b"");
    assert_eq!(door.come_back(2).0, 400);
    assert!(!door.shared().outgoing.is_suspended() && !door.is_over());
    assert_eq!(door.come_back(1).0, 101);
}

#[test]
fn a_connection_that_still_seems_to_live_is_replaced_unread() {
    let mut door = Door::new(config());
    let old = door.by_hand.end.clone();
    let (status, answer) = door.come_back(0);
    assert_eq!((status, answer[0].ends_with(" 0")), (101, true), "{answer:?}");
    assert!(old.take_all().is_empty(), "without a Close");
    old.inject(&frame(0x82, b"late"));
    door.say(&[text("ack 0 0"), frame(0x82, b"sent again")].concat());
    assert_eq!(door.by_hand.server.packets(), [b"sent again"]);
    let told = |wanted: fn(&Notice) -> bool| {
        door.by_hand.server.notices.iter().filter(|notice| wanted(notice)).count()
    };
    assert_eq!(told(|notice| matches!(notice, Notice::Suspended(_))), 1);
    assert_eq!(told(|notice| matches!(notice, Notice::Resumed(_))), 1);
}

#[test]
fn a_message_that_waits_for_room_is_not_received() {
    let buffers = Buffers { input_packets: 2, ..Buffers::default() };
    let mut door = Door::new(PeerConfig { buffers, ..config() });
    door.say(&[b"1", b"2", b"3", b"4"].map(|number| frame(0x82, number)).concat());
    door.by_hand.end.reset();
    door.by_hand.run();
    let (_, answer) = door.come_back(0);
    assert!(answer[0].ends_with(" 2"), "{answer:?}");
    let mut taken = door.by_hand.server.packets();
    door.say(&[text("ack 0 2"), frame(0x82, b"3"), frame(0x82, b"4")].concat());
    taken.extend(door.by_hand.server.packets());
    assert_eq!(taken, [b"1", b"2", b"3", b"4"]);
}

#[test]
fn a_session_that_has_ended_says_why() {
    let mut door = Door::new(config());
    door.lose();
    let frame = Box::new(CloseFrame::new(4001, "kicked").expect("valid"));
    let conn = door.conn();
    door.command(Command::Close { conn, frame });
    door.by_hand.run();
    assert!(door.is_over());
    let (status, answer) = door.come_back(0);
    assert_eq!((status, answer[0].as_str()), (410, "ended"));
    assert!(answer[1].contains("4001") && answer[1].contains("kicked"), "{answer:?}");
    // Long afterwards nobody knows of it.
    door.by_hand.now += 21 * SECOND;
    assert_eq!(door.come_back(0).1[0], "unknown");
}

#[test]
fn who_left_does_not_come_back() {
    for code in [1000_u16, 1001, 4000] {
        let mut door = Door::new(config());
        door.say(&frame(0x88, &code.to_be_bytes()));
        assert!(door.is_over(), "{code}");
        assert_eq!(door.come_back(0).0, 410, "{code}");
    }
    // A gateway that is restarted, or whose server is, says the first two, and a page the third.
    for code in [1012_u16, 1014, 3012] {
        let mut door = Door::new(config());
        door.say(&frame(0x88, &code.to_be_bytes()));
        assert!(!door.is_over() && door.shared().outgoing.is_suspended(), "{code}");
        assert_eq!(door.come_back(0).0, 101, "{code}");
        // The client itself says more.
        door.say(&[text("end"), frame(0x88, &code.to_be_bytes())].concat());
        assert!(door.is_over(), "{code}");
        assert_eq!(door.come_back(0).0, 410, "{code}");
    }
}

#[test]
fn a_game_that_kicks_a_player_as_a_gateway_would_says_that_it_is_the_end() {
    for (code, words) in
        [(1012, "end, close 1012"), (1014, "end, close 1014"), (3012, "close 3012"), (4000, "close 4000")]
    {
        let mut door = Door::new(config());
        door.send(1, false);
        door.by_hand.run();
        let frame = Box::new(CloseFrame::new(code, "").expect("valid"));
        let conn = door.conn();
        door.shared().set_closing();
        for _ in 0..2 {
            door.command(Command::Close { conn, frame: frame.clone() });
        }
        assert_eq!(door.say(b"").join(", "), words);
        assert_eq!(door.come_back(0).1[0], "ended", "{code}");
    }
}

#[test]
fn an_unconfirmed_session_does_not_stay_for_long() {
    let mut door = Door::fresh(ServerConfig { peer: config(), ..ServerConfig::default() });
    door.lose();
    door.pass(4 * SECOND);
    assert!(door.is_over());
    let mut door = Door::new(config());
    door.lose();
    door.pass(4 * SECOND);
    assert!(!door.is_over());
    door.pass(17 * SECOND);
    assert!(door.is_over());
    assert_eq!(door.by_hand.server.len(), 0);
}

#[test]
fn a_client_that_came_in_time_is_not_late_because_it_is_unread() {
    let mut door = Door::new(config());
    door.lose();
    // The process stops, and the request comes meanwhile.
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    end.inject(&request(&line));
    door.by_hand.now += 60 * SECOND;
    door.by_hand.server.driver.knock(server_end, "192.0.2.1:7".parse().expect("an address"));
    door.by_hand.end = end;
    let answer = door.by_hand.run();
    assert_eq!(read(&answer).0, 101);
    assert!(!door.is_over());
}

#[test]
fn who_comes_back_too_often_has_to_wait() {
    let mut door = Door::new(config());
    let answers: Vec<_> = (0..6).map(|_| door.come_back(0).0).collect();
    assert_eq!(answers, [101, 101, 101, 101, 429, 429]);
    let counters = door.by_hand.server.counters();
    assert_eq!((counters.refused_too_soon.get(), counters.refused_resume.get()), (2, 0));
    door.by_hand.now += SECOND;
    assert_eq!((door.come_back(0).0, door.come_back(0).0), (101, 429));
    assert!(!door.is_over());
    // A game that does not poll meanwhile is told of a few only.
    let told = door.by_hand.server.notices.iter().filter(|notice| matches!(notice, Notice::Suspended(_)));
    assert_eq!(told.count(), 1);
}

#[test]
fn messages_that_are_never_acknowledged_are_forgotten_and_the_peer_goes_on() {
    let mut door = Door::new(config());
    for _ in 0..2 * config().burst_bytes() / 60_000 {
        door.send(60_000, false);
        door.by_hand.run();
    }
    let unacked = door.shared().figures.unacked_bytes.get();
    assert!(unacked <= config().burst_bytes() + 60_000, "{unacked}");
    assert!(!door.is_over());
    door.lose();
    let (status, answer) = door.come_back(0);
    assert_eq!((status, answer[0].as_str()), (410, "ended"), "{answer:?}");
    assert!(door.is_over());
}

#[test]
fn the_round_trip_time_of_a_lost_connection_is_not_told() {
    let mut door = Door::new(config());
    door.shared().figures.set_rtt(SECOND);
    door.lose();
    assert_eq!(door.shared().figures.rtt(), None);
    assert_eq!(door.come_back(0).0, 101);
    assert_eq!(door.shared().figures.rtt(), None);
}

#[test]
fn each_connection_agrees_on_compression_for_itself() {
    let mut door = Door::new(PeerConfig { compression: Some(Compression::Dedicated), ..config() });
    let agreed = |door: &Door| door.shared().statistics(door.by_hand.now).compression;
    assert_eq!(agreed(&door), "");
    for (offer, expected) in [
        ("permessage-deflate", "dedicated"),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", "shared"),
        ("another", ""),
    ] {
        door.lose();
        door.pass(2 * SECOND);
        let line = format!(
            "Sec-WebSocket-Extensions: {offer}\r\nGodot-Multiplayer: resume; v=1; token={}; received=0",
            door.token
        );
        let (status, answer) = door.knock(&request(&line));
        assert_eq!((status, agreed(&door).as_str()), (101, expected), "{answer:?}");
        door.note_token(&answer[0].replace("resumed", "session"));
    }
}

#[test]
fn a_suspended_peer_takes_a_burst_and_no_more() {
    let policy = crate::config::OverflowPolicy::Refuse;
    let mut door = Door::new(PeerConfig { overflow_policy: policy, ..config() });
    door.lose();
    let config = door.by_hand.server.hub().config().clone();
    let mut taken = 0;
    while taken < 2 * config.burst_bytes()
        && door.shared().reserve(1000, crate::channel::WhenFull::Refuse, &config, || true)
            == crate::channel::Reservation::Taken
    {
        let to = door.conn();
        door.command(Command::Send { to, message: outbound(vec![7; 1000]) });
        taken += 1000;
    }
    assert!((config.burst_bytes() - 1000..=config.burst_bytes()).contains(&taken), "{taken}");
    let (status, answer) = door.come_back(0);
    assert_eq!((status, answer.len()), (101, 1 + taken / 1000));
    assert!(!door.is_over());
}

#[test]
fn a_full_or_refusing_server_takes_its_own_players_back() {
    let config = ServerConfig { peer: config(), max_connections: 1, ask: false, ..ServerConfig::default() };
    let mut door = Door::of(config);
    door.command(Command::Refuse { refuse: true, number: 1 });
    door.lose();
    assert_eq!(door.knock(REQUEST).0, 503);
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn a_page_of_another_origin_does_not_come_back_either() {
    let origin = "https://game.example".parse().expect("an origin");
    let mut door =
        Door::of(ServerConfig { peer: config(), allowed_origins: vec![origin], ..ServerConfig::default() });
    door.lose();
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    assert_eq!(door.knock(&request(&format!("Origin: https://evil.example\r\n{line}"))).0, 403);
    assert!(door.shared().outgoing.is_suspended() && !door.is_over());
    assert_eq!(door.knock(&request(&format!("Origin: https://game.example\r\n{line}"))).0, 101);
}

#[test]
fn an_address_at_its_limit_gets_one_connection_more_to_come_back() {
    let config = ServerConfig { peer: config(), max_connections_per_address: 1, ..ServerConfig::default() };
    let mut door = Door::of(config);
    let player = door.shared();
    // Its old connection seems to live, and counts.
    assert_eq!(door.knock(REQUEST).0, 429);
    assert_eq!(door.come_back(0).0, 101);
    assert_eq!(door.knock(REQUEST).0, 429);
    // A stranger's address has no session, and room for one.
    assert_eq!(door.knock_from("198.51.100.1:1", REQUEST).0, 101);
    assert_eq!(door.knock_from("198.51.100.1:2", REQUEST).0, 429);
    // From there, the session's client has no place.
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    assert_eq!(door.knock_from("198.51.100.1:3", &request(&line)).0, 429);
    assert_eq!(door.knock_from("203.0.113.1:1", &request(&line)).0, 101);
    assert_eq!(player.address(), "203.0.113.1:1".parse().expect("an address"));
    // The first address is free again.
    assert_eq!(door.knock(REQUEST).0, 101);
}

#[test]
fn a_request_in_early_data_and_a_malformed_one_change_nothing() {
    let mut door = Door::new(config());
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    assert_eq!(door.knock(&request(&format!("{line}\r\nEarly-Data: 1"))).0, 425);
    assert_eq!(door.knock(&request(&line.replace("received=0", "received=00"))).0, 400);
    assert_eq!(door.knock(&request(&line.replace("token=", "token=+"))).0, 400);
    assert_eq!(door.knock(&request(&line.replace("received=0", "received=1"))).0, 400);
    let counters = door.by_hand.server.counters();
    let counts = [&counters.refused_too_soon, &counters.refused_malformed, &counters.refused_resume];
    assert_eq!(counts.map(|counter| counter.get()), [1, 3, 0]);
    assert!(!door.shared().outgoing.is_suspended() && !door.is_over());
}

#[test]
fn counts_that_cannot_be_end_the_session() {
    for words in ["ack 1 0", "ack 0 1", "skip x", "ack"] {
        let mut door = Door::new(config());
        door.by_hand.now += SECOND;
        door.by_hand.run();
        let answer = door.say(&text(words));
        assert!(answer.contains(&"close 1002".to_owned()), "{words}: {answer:?}");
        assert!(door.is_over(), "{words}");
        assert_eq!(door.come_back(0).1[0], "ended", "{words}");
    }
    let mut door = Door::new(config());
    assert_eq!(door.say(&[text("skip 5"), text("ack?")].concat()), ["ack 5 0"]);
}

#[test]
fn a_request_whose_connection_is_over_already_disturbs_nobody() {
    let mut door = Door::new(config());
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    end.inject(&request(&line));
    end.half_close();
    let pending = door.by_hand.server.counters().pending.get();
    door.by_hand.server.accept_from("192.0.2.1:8", server_end, door.by_hand.now);
    door.by_hand.run();
    assert!(!door.is_over() && !door.shared().outgoing.is_suspended());
    assert_eq!(door.by_hand.server.counters().pending.get(), pending);
    assert_eq!(door.come_back(0).0, 101);
}

#[test]
fn a_server_that_does_not_read_shows_that_it_lives_also_after_a_return() {
    let buffers = Buffers { input_packets: 1, ..Buffers::default() };
    let mut door = Door::new(PeerConfig { buffers, ..config() });
    door.lose();
    door.come_back(0);
    door.say(&[text("ack 0 0"), frame(0x82, b"1"), frame(0x82, b"2")].concat());
    let signs = door.pass(5 * SECOND).iter().filter(|words| words.starts_with("ack")).count();
    assert!(signs >= 4, "{signs}");
}

#[test]
fn the_heartbeat_of_a_peer_is_its_own_on_each_connection() {
    let mut door = Door::new(config());
    let conn = door.conn();
    door.command(Command::Heartbeat { conn, interval: 2 * SECOND });
    door.lose();
    door.come_back(0);
    door.say(&text("ack 0 0"));
    let pings = door.pass(9 * SECOND).iter().filter(|words| *words == "ping").count();
    assert!(pings >= 4, "{pings}");
}

#[test]
fn a_client_behind_the_proxy_protocol_has_a_place_to_come_back_too() {
    let config = ServerConfig {
        peer: config(),
        max_connections_per_address: 1,
        trusted_proxies: vec!["192.0.2.0/24".parse().expect("a network")],
        proxy_protocol: true,
        ..ServerConfig::default()
    };
    let by_hand = ByHand { server: Node::gated(config), ..ByHand::new(multiplayer()) };
    let mut door = Door { by_hand, token: String::new() };
    let proxied = |request: &[u8]| [b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n", request].concat();
    let (status, messages) = door.knock(&proxied(&request("Godot-Multiplayer: resume; v=1")));
    assert_eq!(status, 101);
    door.note_token(&messages[0]);
    door.say(&text("ack 0 0"));
    door.lose();
    assert_eq!(door.knock(&proxied(REQUEST)).0, 429);
    let line = format!("Godot-Multiplayer: resume; v=1; token={}; received=0", door.token);
    assert_eq!(door.knock(&proxied(&request(&line))).0, 101);
}

#[test]
fn what_is_sent_during_a_replay_takes_its_turn_and_its_room_is_released() {
    let mut door = Door::new(config());
    door.by_hand.end.set_capacity(1 << 22);
    for _ in 0..4 {
        door.send(60_000, false);
    }
    door.by_hand.run();
    door.lose();
    let end = door.come_back_over(10_000);
    // The rest of the replay waits while these come.
    door.send(5, true);
    door.send(6, false);
    door.by_hand.end = end;
    let answer = door.by_hand.run();
    let (status, answer) = read(&answer);
    let sizes = ["60000 bytes", "60000 bytes", "60000 bytes", "60000 bytes", "5 bytes", "6 bytes"];
    assert_eq!((status, &answer[1..]), (101, &sizes.map(str::to_owned)[..]));
    assert_eq!(door.shared().outgoing.load(), (0, 0));
    assert_eq!(door.say(&text("ack 6 0")), [""; 0]);
    assert!(!door.is_over());
}

#[test]
fn a_close_during_a_replay_comes_behind_everything() {
    let mut door = Door::new(config());
    for _ in 0..4 {
        door.send(60_000, false);
    }
    door.by_hand.run();
    door.lose();
    let end = door.come_back_over(10_000);
    door.send(6, false);
    let conn = door.conn();
    door.shared().set_closing();
    door.command(Command::Close { conn, frame: Box::new(CloseFrame::normal()) });
    door.by_hand.end = end;
    let (_, answer) = read(&door.by_hand.run());
    let last = ["60000 bytes", "60000 bytes", "60000 bytes", "60000 bytes", "6 bytes", "close 1000"];
    assert_eq!(answer[1..], last);
}
