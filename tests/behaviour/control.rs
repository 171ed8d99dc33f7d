//! Control messages: a connection whose client offers `alive` (docs/protocol.md).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lines::Lines;
use super::world::{ByHand, Node, REQUEST, SECOND, World, frame, multiplayer, outbound, raw};
use crate::base::{CloseReason, Phase};
use crate::channel::{Command, Form, Notice, Outbound, PeerShared};
use crate::config::{Buffers, Mode, PeerConfig, ServerConfig, WireFormat};
use crate::decision::AdmissionDecision;
use crate::tls::{TlsClient, TlsServer, Trust, self_signed};

const OFFER: &str = "godot-multiplayer=alive.v1";

/// The usual request, for another target.
fn request(target: &str) -> Vec<u8> {
    String::from_utf8_lossy(REQUEST).replacen("/game", target, 1).into_bytes()
}

/// The messages of a server, text in words, and its control frames.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    if bytes.starts_with(b"HTTP/") {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        bytes = &bytes[head + 4..];
    }
    let mut messages = Vec::new();
    while let [first, len @ 0..=125, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(usize::from(*len));
        bytes = rest;
        messages.push(match first {
            0x81 => String::from_utf8(payload.to_vec()).expect("text is UTF-8"),
            0x82 => format!("{} bytes", payload.len()),
            0x88 => {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes(code.try_into().expect("a code"));
                format!("close {code} {}", String::from_utf8_lossy(reason))
            }
            0x89 => "ping".to_owned(),
            0x8a => "pong".to_owned(),
            _ => panic!("{first:x} is no frame of this test"),
        });
    }
    assert!(bytes.is_empty(), "a frame is torn: {bytes:?}");
    messages
}

/// A server and a client that has offered `alive`, with the agreement and the id read.
fn agreed(config: PeerConfig) -> ByHand {
    let mut by_hand = ByHand::new(config);
    let answer = by_hand.say(&request(&format!("/game?{OFFER}")));
    assert_eq!(messages(&answer), ["alive 1 20000 60000", "4 bytes"]);
    by_hand
}

fn text(words: &str) -> Vec<u8> {
    frame(0x81, words.as_bytes())
}

fn data(size: usize) -> Vec<u8> {
    frame(0x82, &vec![7; size])
}

/// The game sends a packet.
fn send(node: &mut Node, shared: &Arc<PeerShared>, size: usize, now: std::time::Instant) {
    shared.outgoing.add(size);
    let message = outbound(Bytes::from(vec![7; size]));
    node.command(Command::Send { to: shared.conn, message }, now);
}

#[test]
fn the_agreement_comes_before_the_id_and_nobody_sees_the_offer() {
    for (target, seen) in [
        (format!("/game?{OFFER}"), "/game"),
        (format!("/game?a=1&{OFFER}&b"), "/game?a=1&b"),
        (format!("http://h/game?{OFFER}&a=1&{OFFER}"), "/game?a=1"),
    ] {
        Lines::catch();
        let mut by_hand = ByHand::new(multiplayer());
        let answer = by_hand.say(&request(&target));
        assert_eq!(messages(&answer), ["alive 1 20000 60000", "4 bytes"], "{target}");
        let shared = by_hand.server.shared();
        assert_eq!((shared.info.target.as_str(), shared.info.has_control), (seen, true), "{target}");
        assert_eq!(shared.figures.packets_out.get(), 0, "no packet of the game");
        by_hand.say(&frame(0x88, b""));
        assert!(!Lines::with("was connected").is_empty() && Lines::with("alive").is_empty());
    }
}

#[test]
fn the_agreement_tells_of_the_heartbeat() {
    let config = PeerConfig {
        heartbeat_interval: Duration::from_millis(2500),
        heartbeat_timeout: Duration::ZERO,
        ..multiplayer()
    };
    let answer = ByHand::new(config).say(&request(&format!("/?{OFFER}")));
    assert_eq!(messages(&answer)[0], "alive 1 2500 0");
}

#[test]
fn without_an_agreement_all_is_as_it_was() {
    let godot3 = PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot3), ..PeerConfig::default() };
    for (config, target, before, seen) in [
        (multiplayer(), "/game".to_owned(), 1, "/game"),
        (multiplayer(), "/game?godot-multiplayer=alive.v2".to_owned(), 1, "/game"),
        (raw(), format!("/game?{OFFER}"), 0, "/game"),
        (godot3, format!("/game?{OFFER}"), 2, "/game"),
    ] {
        let mut by_hand = ByHand::new(config);
        let answer = messages(&by_hand.say(&request(&target)));
        assert_eq!(answer.len(), before, "{target}: {answer:?}");
        let shared = by_hand.server.shared();
        assert_eq!((shared.info.target.as_str(), shared.info.has_control), (seen, false), "{target}");
        assert!(by_hand.say(&text("ack?")).is_empty(), "{target}");
        let mut packets = by_hand.server.packets();
        if before != 2 {
            assert_eq!(packets.pop(), Some(b"ack?".to_vec()), "{target}");
        }
        assert!(packets.is_empty());
    }
}

#[test]
fn the_handler_of_the_game_sees_no_trace() {
    let config = ServerConfig { ask: true, peer: multiplayer(), ..ServerConfig::default() };
    let mut by_hand = ByHand { server: Node::gated(config), ..ByHand::new(raw()) };
    let (server_end, end) = super::End::pair(64 * 1024, usize::MAX);
    by_hand.server.accept(server_end, by_hand.now);
    by_hand.end = end;
    assert!(by_hand.say(&request(&format!("/game?{OFFER}&room=7"))).is_empty());
    let Some(Notice::Requested { request, .. }) = by_hand.server.notices.first() else { panic!("asked") };
    let told = format!("{request:?}");
    assert!(told.contains("\"/game\"") && told.contains("\"room=7\""), "{told}");
    assert!(!told.contains("alive") && !told.contains("godot"), "{told}");
    let decision = Command::Decide {
        conn: request.conn,
        id: request.id,
        decision: Box::new(AdmissionDecision::accept()),
    };
    by_hand.server.command(decision, by_hand.now);
    assert_eq!(messages(&by_hand.run()), ["alive 1 20000 60000", "4 bytes"]);
}

#[test]
fn a_question_is_answered_with_both_counts_and_is_no_packet() {
    let mut by_hand = agreed(multiplayer());
    assert_eq!(messages(&by_hand.say(&text("ack?"))), ["ack 0 0"]);
    let shared = by_hand.server.shared();
    for _ in 0..3 {
        send(&mut by_hand.server, &shared, 5, by_hand.now);
    }
    let answer = by_hand.say(&[data(1), data(0), text("ack?")].concat());
    let mut answer = messages(&answer);
    answer.sort();
    assert_eq!(answer[..3], ["5 bytes", "5 bytes", "5 bytes"]);
    assert_eq!(messages(&by_hand.say(&text("ack?"))), ["ack 2 3"]);
    // A question in fragments, and one with words that a later version may have.
    let pieces = [frame(0x01, b"ac"), frame(0x89, b""), frame(0x80, b"k?")].concat();
    assert_eq!(messages(&by_hand.say(&pieces)), ["pong", "ack 2 3"]);
    assert_eq!(messages(&by_hand.say(&text("ack? 5 hidden"))), ["ack 2 3"]);
    let counters = by_hand.server.counters();
    assert_eq!((counters.packets_in.get(), counters.packets_out.get()), (2, 3));
    assert_eq!((shared.figures.packets_in.get(), shared.figures.packets_out.get()), (2, 3));
    assert_eq!(by_hand.server.packets(), [vec![7], vec![]]);
    assert_eq!(shared.outgoing.load(), (0, 0));
    assert_eq!(by_hand.server.end(), None);
}

#[test]
fn a_question_may_come_with_the_request() {
    let mut by_hand = ByHand::new(multiplayer());
    let bytes = [request(&format!("/game?{OFFER}")), text("ack?"), text("ack 0 0"), data(1)].concat();
    let answer = messages(&by_hand.say(&bytes));
    assert_eq!(answer[..2], ["alive 1 20000 60000", "4 bytes"]);
    assert!(matches!(answer[2..], [ref ack] if ack == "ack 0 0" || ack == "ack 1 0"), "{answer:?}");
    assert_eq!(by_hand.server.packets(), [[7]]);
}

#[test]
fn what_is_no_control_message_is_ignored() {
    let mut by_hand = agreed(multiplayer());
    let long = "x".repeat(256);
    for words in
        ["", " ", "ack??", "Ack?", "acks 1 2", " ack?", "alive 1 5 5", "session 1 T 5", "\0", "ü", &long]
    {
        assert_eq!(messages(&by_hand.say(&text(words))), [""; 0], "{words:?}");
        assert_eq!(by_hand.server.end(), None, "{words:?}");
    }
    assert!(by_hand.server.packets().is_empty());
    assert_eq!(by_hand.server.shared().figures.packets_in.get(), 0);
}

#[test]
fn what_a_client_has_counted_must_be_true() {
    // Three messages were sent, and two received.
    for right in ["ack 3 2", "ack 0 2", "ack 2 2 hidden", "ack 3 2 7 9"] {
        assert_eq!(after_two_and_three(right), None, "{right}");
    }
    for (wrong, why) in [
        ("ack 4 2", "it acknowledges 4 messages, and 3 were sent"),
        ("ack 18446744073709551615 2", "it acknowledges 18446744073709551615 messages, and 3 were sent"),
        ("ack 3 1", "it has sent 1 messages, and 2 were received: some were lost on the way"),
        ("ack 3 3", "it has sent 3 messages, and 2 were received: some were lost on the way"),
        ("ack", "an ack without two numbers"),
        ("ack 3", "an ack without two numbers"),
        ("ack  3 2", "an ack without two numbers"),
        ("ack 03 2", "an ack without two numbers"),
        ("ack 3 -2", "an ack without two numbers"),
        ("ack 3 18446744073709551616", "an ack without two numbers"),
    ] {
        assert_eq!(after_two_and_three(wrong), Some((1002, why.to_owned())), "{wrong}");
    }
    let long = "x".repeat(257);
    let why = "a control message (text) of 257 bytes; 256 are allowed".to_owned();
    assert_eq!(after_two_and_three(&long), Some((1009, why)));
}

/// What becomes of a connection on which three messages were sent and two received, when the client says this.
fn after_two_and_three(words: &str) -> Option<(u16, String)> {
    let mut by_hand = agreed(multiplayer());
    let shared = by_hand.server.shared();
    for size in [1, 2, 3] {
        send(&mut by_hand.server, &shared, size, by_hand.now);
    }
    by_hand.say(&[data(1), data(2)].concat());
    by_hand.say(&text(words));
    // The game has the time to answer what came before.
    let answer = messages(&by_hand.pass(SECOND / 5));
    let CloseReason::Violation(why) = by_hand.server.end()? else { panic!("{:?}", by_hand.server.end()) };
    let [close] = answer.as_slice() else { panic!("{answer:?}") };
    let (code, reason) =
        close.strip_prefix("close ").and_then(|close| close.split_once(' ')).expect("a Close");
    assert_eq!(reason, why, "the people at the other end are told");
    assert_eq!(by_hand.server.counters().peers_violated.get(), 1);
    Some((code.parse().expect("a code"), why.clone()))
}

#[test]
fn a_flood_of_questions_costs_one_answer_per_turn() {
    let mut by_hand = agreed(multiplayer());
    let answer = messages(&by_hand.say(&text("ack?").repeat(5000)));
    // 50,000 bytes are one turn.
    assert_eq!(answer, ["ack 0 0"]);
    // A remote that does not read gets one answer that was made before that was known, and one for all other questions.
    by_hand.end.set_capacity(0);
    for round in 0..50 {
        by_hand.end.inject(&[text("ack?").repeat(100), data(3)].concat());
        by_hand.server.run(by_hand.now);
        assert!(by_hand.server.queue_totals.outgoing.bytes() <= 64, "round {round}");
    }
    by_hand.end.set_capacity(64 * 1024);
    assert_eq!(messages(&by_hand.run()), ["ack 1 0", "ack 50 0"]);
}

#[test]
fn an_answer_goes_before_data_that_waits_and_past_all_limits() {
    let buffers = Buffers { output_bytes: 2000, output_packets: 4, ..Buffers::default() };
    let mut by_hand = agreed(PeerConfig { buffers, overflow_grace: 60 * SECOND, ..multiplayer() });
    let shared = by_hand.server.shared();
    by_hand.end.set_capacity(50);
    for _ in 0..40 {
        send(&mut by_hand.server, &shared, 100, by_hand.now);
    }
    by_hand.server.run(by_hand.now);
    by_hand.end.inject(&[frame(0x89, b"p"), text("ack?")].concat());
    by_hand.server.run(by_hand.now);
    assert!(shared.outgoing.load().1 >= 39, "it is congested, and above its limits");
    by_hand.end.set_capacity(64 * 1024);
    let answer = messages(&by_hand.run());
    // The frame that has begun, and then the answer. A pong keeps its place.
    assert_eq!(answer[..3], ["100 bytes", "ack 0 1", "100 bytes"]);
    assert_eq!(answer.iter().filter(|message| *message == "100 bytes").count(), 40);
    assert_eq!(answer.last().map(String::as_str), Some("pong"));
    assert_eq!((shared.outgoing.load(), shared.figures.packets_out.get()), ((0, 0), 40));
    assert_eq!(messages(&by_hand.say(&text("ack 40 0"))), [""; 0]);
    assert_eq!(by_hand.server.end(), None);
}

#[test]
fn nothing_is_answered_behind_a_close() {
    let mut by_hand = agreed(multiplayer());
    let answer = messages(&by_hand.say(&[text("ack?"), frame(0x88, &1000_u16.to_be_bytes())].concat()));
    assert!(matches!(answer.as_slice(), [.., close] if close == "close 1000 "), "{answer:?}");
    let mut by_hand = agreed(multiplayer());
    by_hand.end.set_capacity(1);
    let shared = by_hand.server.shared();
    send(&mut by_hand.server, &shared, 100, by_hand.now);
    by_hand.server.run(by_hand.now);
    by_hand.end.inject(&text("ack?"));
    by_hand.server.run(by_hand.now);
    by_hand.server.command(Command::Overflow(shared.conn), by_hand.now);
    by_hand.end.set_capacity(64 * 1024);
    assert_eq!(messages(&by_hand.run()), ["100 bytes", "close 1013 too slow"]);
}

#[test]
fn a_page_that_asks_stays_connected_and_a_silent_one_does_not() {
    let mut by_hand = agreed(multiplayer());
    for _ in 0..180 {
        by_hand.pass(20 * SECOND);
        by_hand.say(&text("ack?"));
        assert_eq!(by_hand.server.end(), None);
    }
    by_hand.pass(61 * SECOND);
    assert_eq!(by_hand.server.end(), Some(&CloseReason::TimedOut(Phase::Heartbeat)));
}

#[test]
fn the_round_trip_is_that_of_pings() {
    let mut by_hand = agreed(multiplayer());
    by_hand.say(&text("ack?"));
    let ping = by_hand.pass(SECOND);
    assert_eq!(ping[..2], [0x89, 8], "an ordinary ping");
    by_hand.now += SECOND / 10;
    by_hand.say(&frame(0x8a, &ping[2..]));
    assert_eq!(by_hand.server.shared().figures.rtt(), Some(SECOND / 10));
}

#[test]
fn who_does_not_read_shows_that_it_lives() {
    let buffers = Buffers { input_packets: 1, ..Buffers::default() };
    let mut by_hand = agreed(PeerConfig { buffers, ..multiplayer() });
    // While it reads, a ping is enough.
    assert_eq!(messages(&by_hand.pass(25 * SECOND)), ["ping", "ping"]);
    by_hand.end.inject(&data(1));
    assert_eq!(messages(&by_hand.say(&[data(2), text("ack?")].concat())), [""; 0]);
    // A page that waits for an answer must not take these for one.
    let answer = messages(&by_hand.pass(10 * SECOND));
    assert_eq!(answer, ["ack 1 0 unasked"].repeat(10));
    // The question is still there when the game goes on.
    by_hand.server.packets();
    assert_eq!(messages(&by_hand.run()), ["ack 2 0"]);
}

#[test]
fn packets_and_nothing_else_tell_that_a_game_runs() {
    let mut by_hand = agreed(multiplayer());
    let since = |by_hand: &ByHand| {
        let statistics = by_hand.server.shared().statistics(by_hand.now);
        (statistics.last_packet_msec, statistics.last_receive_msec)
    };
    assert_eq!(since(&by_hand).0, -1);
    by_hand.now += SECOND;
    by_hand.say(&[frame(0x89, b""), frame(0x8a, b""), text("ack?"), text("ack 0 0"), text("?")].concat());
    assert_eq!(since(&by_hand), (-1, 0));
    by_hand.say(&data(0));
    assert_eq!(since(&by_hand).0, 0);
    by_hand.now += SECOND;
    by_hand.say(&frame(0x02, b"half a message"));
    assert_eq!(since(&by_hand), (1000, 0));
    by_hand.now += SECOND;
    by_hand.say(&frame(0x8a, b""));
    assert_eq!(since(&by_hand), (2000, 0));
    by_hand.say(&frame(0x80, b""));
    assert_eq!(since(&by_hand).0, 0);
}

#[test]
fn an_id_is_no_packet_of_the_game() {
    let mut world = World::connected(multiplayer());
    let since = |node: &Node, now| node.shared().statistics(now).last_packet_msec;
    assert_eq!((since(&world.server, world.now), since(&world.client, world.now)), (-1, -1));
    let shared = world.server.shared();
    send(&mut world.server, &shared, 5, world.now);
    world.run();
    world.now += SECOND;
    assert_eq!((since(&world.server, world.now), since(&world.client, world.now)), (-1, 1000));
}

/// A client that counts, and asks and tells at any time, whatever the stream does, plain and encrypted: each `ack` says what came
/// before it, exactly.
#[test]
fn the_counts_of_an_answer_are_true_wherever_it_stands() {
    let (key, certificate) = self_signed("game.example");
    for (capacity, step, secure) in [
        (64 * 1024, usize::MAX, false),
        (300, 7, false),
        (64 * 1024, usize::MAX, true),
        (2000, 333, true),
        (40, 40, false),
    ] {
        let tls = secure.then(|| TlsServer::new(&key, &certificate, "").expect("usable"));
        let peer = PeerConfig { heartbeat_interval: SECOND, overflow_grace: 600 * SECOND, ..multiplayer() };
        let server = Node::gated(ServerConfig { peer, tls, ..ServerConfig::default() });
        let scheme = if secure { "wss" } else { "ws" };
        let trust = secure.then(|| TlsClient::new(Trust::Only(&certificate), None).expect("usable"));
        let client = Node::dialling(&format!("{scheme}://game.example/?{OFFER}"), trust, raw());
        let mut world = World::between(server, client, capacity, step);
        world.run();
        let (here, there) = (world.server.shared(), world.client.shared());
        // What the client has received and sent, and what the server has.
        let (mut came, mut told, mut answers) = (0_u64, 0_u64, 0);
        let (mut asked, mut sent) = (0, 0_u64);
        let mut random = 12345_u32;
        for turn in 0..1500 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let dice = random >> 16;
            let words = match dice % 6 {
                0 | 1 if turn < 1400 => {
                    send(&mut world.server, &here, (dice % 1500) as usize + 1, world.now);
                    None
                }
                2 => {
                    sent += 1;
                    send(&mut world.client, &there, (dice % 700) as usize, world.now);
                    None
                }
                3 => Some("ack?".to_owned()),
                4 => Some(format!("ack {came} {sent}")),
                _ => {
                    world.now += SECOND / 20;
                    None
                }
            };
            if let Some(words) = words {
                asked += usize::from(words == "ack?");
                there.outgoing.add(words.len());
                let message = Outbound::shared(Bytes::from(words), Form::Text);
                world.client.command(Command::Send { to: there.conn, message }, world.now);
            }
            // One round at a time, so that much waits on the way.
            world.server.run_once(world.now);
            world.client.run_once(world.now);
            if turn >= 1400 {
                world.run();
            }
            let mut taken = (0, 0);
            for notice in std::mem::take(&mut world.client.notices) {
                match notice {
                    Notice::Packet(packet) => {
                        taken = (taken.0 + packet.payload.len(), taken.1 + 1);
                        let words = String::from_utf8_lossy(&packet.payload);
                        match (packet.text, words.strip_prefix("ack ")) {
                            (false, _) => came = came.wrapping_add(1),
                            (true, None) => {
                                assert_eq!((words.as_ref(), told), ("alive 1 1000 60000", 0));
                                // The id is no packet of the game.
                                came = came.wrapping_sub(1);
                            }
                            (true, Some(counts)) => {
                                let (received, written) = counts.split_once(' ').expect("two counts");
                                assert_eq!(
                                    written.parse(),
                                    Ok(came),
                                    "{capacity} {step} {secure}, turn {turn}"
                                );
                                let received = received.parse().expect("a number");
                                assert!(
                                    (told..=sent).contains(&received),
                                    "{received} of {sent}, {told} before"
                                );
                                (told, answers) = (received, answers + 1);
                            }
                        }
                    }
                    Notice::Disconnected { reason, .. } => panic!("{capacity} {step} {secure}: {reason}"),
                    _ => {}
                }
            }
            world.client.game_took(&there, taken.0, taken.1, world.now);
            let taken = world.server.notices.iter().filter_map(|notice| match notice {
                Notice::Packet(packet) => Some(packet.payload.len()),
                _ => None,
            });
            let (count, bytes) = taken.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
            assert!(!world.server.has(|notice| matches!(notice, Notice::Disconnected { .. })));
            world.server.notices.clear();
            world.server.game_took(&here, bytes, count, world.now);
        }
        assert_eq!((here.figures.packets_in.get(), here.figures.packets_out.get()), (sent, came));
        assert!(answers > 20 && answers <= asked, "{answers} answers to {asked} questions");
    }
}
