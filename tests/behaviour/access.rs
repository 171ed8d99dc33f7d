//! Admission by the server's access rules and by the game's decision.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lines::Lines;
use super::world::{End, Node, REQUEST, SECOND, frame, raw, start};
use crate::base::{CloseReason, ConnId};
use crate::channel::{Command, Notice};
use crate::config::ServerConfig;
use crate::decision::AdmissionDecision;
use crate::event::ConnectionRequest;

pub(super) const HERE: &str = "192.0.2.1:1234";
pub(super) const PROXY: &str = "10.0.0.1:1234";

/// A server, and connections whose bytes the test sends itself.
pub(super) struct Door {
    pub(super) node: Node,
    pub(super) now: Instant,
}

impl Door {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self { node: Node::gated(ServerConfig { peer: raw(), ..config }), now: start() }
    }

    pub(super) fn asking() -> Self {
        Self::new(ServerConfig { ask: true, ..ServerConfig::default() })
    }

    pub(super) fn arrive(&mut self, from: &str) -> (ConnId, End) {
        let (server_end, end) = End::pair(64 * 1024, usize::MAX);
        let conn = self.node.accept_from(from, server_end, self.now);
        self.node.run(self.now);
        (conn, end)
    }

    pub(super) fn receive(&mut self, end: &End) -> String {
        while self.node.run(self.now) {}
        String::from_utf8_lossy(&end.take_all()).into_owned()
    }

    pub(super) fn say(&mut self, end: &End, bytes: &[u8]) -> String {
        end.inject(bytes);
        self.receive(end)
    }

    /// Returns the response to the usual request with further header lines, from an address.
    pub(super) fn knock(&mut self, from: &str, lines: &str) -> (String, End) {
        let (_, end) = self.arrive(from);
        let request = String::from_utf8_lossy(REQUEST).replacen("\r\n", &format!("\r\n{lines}"), 1);
        (self.say(&end, request.as_bytes()), end)
    }

    pub(super) fn status(&mut self, from: &str, lines: &str) -> String {
        let (answer, _) = self.knock(from, lines);
        answer.get(9..12).unwrap_or_default().to_owned()
    }

    /// Ends a rejected connection: the client ends its side when it has read the response.
    pub(super) fn leave(&mut self, end: &End) {
        end.half_close();
        while self.node.run(self.now) {}
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(50));
            self.node.run(self.now);
        }
    }

    /// Returns the requests that the game gets.
    pub(super) fn asked(&mut self) -> Vec<ConnectionRequest> {
        let mut asked = Vec::new();
        self.node.notices.retain(|notice| match notice {
            Notice::Requested { request, left } => {
                if !left.load(Ordering::Relaxed) {
                    asked.push((**request).clone());
                }
                false
            }
            _ => true,
        });
        asked
    }

    pub(super) fn decide(&mut self, request: &ConnectionRequest, decision: AdmissionDecision) {
        let command = Command::Decide { conn: request.conn, id: request.id, decision: Box::new(decision) };
        self.node.command(command, self.now);
        while self.node.run(self.now) {}
    }

    pub(super) fn connected(&self) -> usize {
        self.node.notices.iter().filter(|notice| matches!(notice, Notice::Connected { .. })).count()
    }
}

#[test]
fn pages_of_other_origins_stay_out() {
    let allowed_origins = vec!["https://game.example".parse().expect("an origin")];
    let mut door = Door::new(ServerConfig { allowed_origins, ..ServerConfig::default() });
    assert_eq!(door.status(HERE, "Origin: https://game.example\r\n"), "101");
    assert_eq!(door.status(HERE, ""), "101", "no browser");
    for lines in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Origin: https://game.example\r\nOrigin: https://evil.example\r\n",
    ] {
        assert_eq!(door.status(HERE, lines), "403", "{lines:?}");
    }
    assert_eq!(door.node.counters().refused_origin.get(), 4);
}

#[test]
fn a_full_server_says_so_and_takes_the_next_when_one_leaves() {
    let mut door = Door::new(ServerConfig { max_connections: 2, ..ServerConfig::default() });
    let (_, first) = door.knock(HERE, "");
    assert_eq!(door.status(HERE, ""), "101");
    let (answer, _) = door.knock(HERE, "");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    first.cut();
    while door.node.run(door.now) {}
    assert_eq!(door.status(HERE, ""), "101");
    door.node.command(Command::MaxConnections(3), door.now);
    assert_eq!(door.status(HERE, ""), "101");
    assert_eq!(door.status(HERE, ""), "503");
    assert_eq!(door.node.counters().refused_full.get(), 2);
}

#[test]
fn one_address_has_so_many_connections_and_gets_its_answer_before_it_asks() {
    let mut door = Door::new(ServerConfig { max_connections_per_address: 2, ..ServerConfig::default() });
    let (_, first) = door.knock("[2001:db8::1]:1", "");
    assert_eq!(door.status("[2001:db8::2]:1", ""), "101");
    let (_, third) = door.arrive("[2001:db8::ffff:3]:1");
    assert!(door.receive(&third).starts_with("HTTP/1.1 429 "), "not a word was said");
    assert_eq!(door.status("[2001:db8:0:1::1]:1", ""), "101", "the neighbour");
    first.cut();
    while door.node.run(door.now) {}
    assert_eq!(door.status("[2001:db8::4]:1", ""), "101");
    assert_eq!(door.node.counters().refused_address.get(), 1);
}

#[test]
fn behind_a_proxy_the_client_counts_and_not_the_proxy() {
    let config = ServerConfig {
        max_connections_per_address: 1,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..ServerConfig::default()
    };
    let mut door = Door::new(config);
    let forwarded = |client: &str| format!("X-Forwarded-For: 198.51.100.9, {client}, 10.0.0.7\r\n");
    assert_eq!(door.status(PROXY, &forwarded("203.0.113.1")), "101");
    assert_eq!(door.node.shared().info.address, "203.0.113.1:0".parse().expect("an address"));
    assert_eq!(door.status(PROXY, &forwarded("203.0.113.2")), "101");
    assert_eq!(door.status(PROXY, &forwarded("203.0.113.1")), "429");
    assert_eq!(door.status(PROXY, "X-Forwarded-For: unknown\r\n"), "400");
    // The header counts from no other address.
    assert_eq!(door.status(HERE, &forwarded("203.0.113.3")), "101");
    assert_eq!(door.node.shared().info.address, HERE.parse().expect("an address"));
    assert_eq!(door.status(HERE, &forwarded("203.0.113.4")), "429");
}

#[test]
fn a_health_check_is_answered_without_the_game() {
    let config = ServerConfig { health_path: "/health".into(), ask: true, ..ServerConfig::default() };
    let mut door = Door::new(config);
    let check = |door: &mut Door, request: &[u8]| {
        let (_, end) = door.arrive(HERE);
        door.say(&end, request)
    };
    let answer = check(&mut door, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\n{\"peers\":0,\"pending\":0,\"main_thread_idle_msec\":0,"), "{answer}");
    assert!(check(&mut door, b"GET /health?from=lb HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(check(&mut door, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 426 "));
    let head = check(&mut door, b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(!head.contains("Content-Length: 0\r\n"), "the length of what GET is answered: {head}");
    let options = check(&mut door, b"OPTIONS /health HTTP/1.0\r\n\r\n");
    assert!(options.starts_with("HTTP/1.1 200 OK\r\n") && options.ends_with("\r\n\r\n"), "{options}");
    assert!(options.contains("\r\nContent-Length: 0\r\n"), "{options}");
    // On other paths they are refused, and a response to HEAD never has a body.
    for (request, status) in [
        (&b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"[..], "426"),
        (b"HEAD /health HTTP/1.1\r\n\r\n", "400"),
        (b"HEAD / HTTP/1.1\nHost: h\n\n", "400"),
    ] {
        let answer = check(&mut door, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
    assert!(check(&mut door, b"OPTIONS / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(check(&mut door, b"POST /health HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 405 "));
    door.node.driver.game_polls = false;
    door.now += 11 * SECOND;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let answer = check(&mut door, format!("{method} /health HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 503 "), "{method}: {answer}");
    }
    assert_eq!(door.node.counters().health_checks.get(), 7);
    assert_eq!(door.node.counters().handshakes_refused.get(), 6, "health checks are no handshakes");
    door.pass(2 * SECOND);
    assert_eq!((door.node.hub().len(), door.node.hub().pending_len()), (0, 0));
}

#[test]
fn the_metrics_are_answered_without_the_game_and_tell_its_silence() {
    let config = ServerConfig {
        health_path: "/health".into(),
        metrics_path: "/metrics".into(),
        ask: true,
        max_connections: 7,
        ..ServerConfig::default()
    };
    let mut door = Door::new(config);
    let ask = |door: &mut Door, request: &str| {
        let (_, end) = door.arrive(HERE);
        door.say(&end, request.as_bytes())
    };
    let get = "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n\r\n";
    let first = ask(&mut door, get);
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    for line in
        ["websocket_peers 0", "websocket_pending 0", "websocket_max_connections 7", "websocket_refusing 0"]
    {
        assert!(first.contains(&format!("\n{line}\n")), "{line}: {first}");
    }
    assert!(ask(&mut door, "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("\r\n\r\n"));
    assert!(ask(&mut door, "GET /metric HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 426 "));
    assert!(ask(&mut door, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n").contains("main_thread_idle_msec"));
    door.node.driver.game_polls = false;
    door.now += 11 * SECOND;
    let second = ask(&mut door, get);
    // A scrape that fails would hide what it should show.
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n"), "{second}");
    for line in ["websocket_main_thread_idle_seconds 11", "websocket_handshakes_refused_total 1"] {
        assert!(second.contains(&format!("\n{line}")), "{line}: {second}");
    }
    assert_eq!(door.node.counters().health_checks.get(), 4);
}

#[test]
fn without_a_path_there_are_no_metrics() {
    let mut door = Door::new(ServerConfig::default());
    let (_, end) = door.arrive(HERE);
    let answer = door.say(&end, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[test]
fn a_health_check_counts_for_its_address_and_a_trusted_one_for_nobody() {
    let config = ServerConfig {
        health_path: "/health".into(),
        max_connections_per_address: 1,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        ..ServerConfig::default()
    };
    let mut door = Door::new(config);
    let check = |door: &mut Door, from: &str, line: &str| {
        let (_, end) = door.arrive(from);
        let answer = door.say(&end, format!("GET /health HTTP/1.1\r\nHost: h\r\n{line}\r\n").as_bytes());
        door.leave(&end);
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let named = "X-Forwarded-For: 192.0.2.1\r\n";
    for at_its_limit in [false, true] {
        let expected = if at_its_limit { "429" } else { "200" };
        assert_eq!(check(&mut door, HERE, ""), expected);
        assert_eq!(check(&mut door, PROXY, named), expected, "for whom the proxy names");
        assert_eq!(check(&mut door, "192.0.2.99:1", ""), "200", "another address");
        assert_eq!(check(&mut door, PROXY, ""), "200", "a prober that is trusted");
        door.status(HERE, "");
        door.status(PROXY, "");
    }
}

#[test]
fn whoever_only_looks_whether_the_door_is_there_is_nothing_to_write_down() {
    let mut door = Door::new(ServerConfig::default());
    for resets in [false, true] {
        let (_, end) = door.arrive(HERE);
        if resets {
            end.reset();
        } else {
            end.cut();
        }
        door.pass(SECOND / 10);
        assert_eq!((door.node.len(), door.node.counters().handshakes_refused.get()), (0, 0), "{resets}");
        let (_, end) = door.arrive(HERE);
        door.say(&end, b"GET /");
        end.reset();
        door.pass(SECOND / 10);
        assert_eq!(door.node.counters().handshakes_refused.get(), 1, "it began to ask");
        door = Door::new(ServerConfig::default());
    }
}

#[test]
fn the_games_word_decides() {
    let mut door = Door::asking();
    let (silence, end) = door.knock(HERE, "X-Token: 5\r\nSec-WebSocket-Protocol: chess, go\r\n");
    assert_eq!(silence, "");
    let asked = door.asked();
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/game", ""));
    assert!(request.headers.contains(&("x-token".into(), "5".into())));
    assert_eq!(request.protocols, ["chess", "go"]);
    let decision = AdmissionDecision::new(request, 101, "", &["X-Seat: 7".into()], "go").expect("valid");
    door.decide(request, decision);
    let answer = door.receive(&end);
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("\r\nX-Seat: 7\r\n"), "{answer}");
    assert!(answer.contains("\r\nSec-WebSocket-Protocol: go\r\n"), "{answer}");
    assert_eq!(door.node.shared().id, request.id, "the id that was told");
    // A second decision changes nothing.
    door.decide(request, AdmissionDecision::fault());
    assert_eq!((door.connected(), door.node.end()), (1, None));

    // If a handler chooses none, the log explains why such a client leaves.
    Lines::catch();
    let (_, end) = door.knock(HERE, "Sec-WebSocket-Protocol: chess\r\n");
    let request = door.asked().remove(0);
    door.decide(&request, AdmissionDecision::accept());
    assert!(door.receive(&end).starts_with("HTTP/1.1 101 "));
    assert_eq!(Lines::with("offers the subprotocols chess, and request_handler chose none").len(), 1);

    let (_, end) = door.knock(HERE, "");
    let request = door.asked().remove(0);
    door.decide(&request, AdmissionDecision::new(&request, 403, "banned", &[], "").expect("valid"));
    assert!(door.receive(&end).starts_with("HTTP/1.1 403 banned\r\n"));
    assert_eq!(door.node.counters().refused_handler.get(), 1);
}

#[test]
fn waiting_for_the_game_is_not_the_handshakes_time_but_has_an_end() {
    let mut door = Door::asking();
    let (_, end) = door.knock(HERE, "");
    door.pass(29 * SECOND);
    assert_eq!(door.receive(&end), "");
    let request = door.asked().remove(0);
    door.decide(&request, AdmissionDecision::accept());
    assert!(door.receive(&end).starts_with("HTTP/1.1 101 "));
    let (_, end) = door.knock(HERE, "");
    door.pass(31 * SECOND);
    assert!(door.receive(&end).starts_with("HTTP/1.1 503 "));
    assert!(door.asked().is_empty(), "the game is not even asked any more");
    assert_eq!(door.node.counters().handshakes_timed_out.get(), 1);
}

#[test]
fn a_client_that_leaves_while_it_waits_is_no_peer() {
    let mut door = Door::asking();
    let (_, end) = door.knock(HERE, "");
    let (_, other) = door.knock(HERE, "");
    let request = match &door.node.notices[0] {
        Notice::Requested { request, .. } => request.clone(),
        other => panic!("{other:?}"),
    };
    door.leave(&end);
    assert!(door.node.has(|notice| matches!(notice, Notice::Withdrawn(id) if *id == request.id)));
    assert_eq!(door.asked().len(), 1, "the other one");
    door.decide(&request, AdmissionDecision::accept());
    assert_eq!((door.connected(), door.node.hub().pending_len()), (0, 1));
    assert_eq!(door.receive(&other), "");
}

#[test]
fn one_that_said_something_too_early_and_left_is_not_waited_for() {
    let mut door = Door::asking();
    let (_, end) = door.arrive(HERE);
    door.say(&end, &[REQUEST, &frame(0x82, b"early")].concat());
    door.say(&end, &frame(0x82, b"late"));
    door.leave(&end);
    assert!(door.node.has(|notice| matches!(notice, Notice::Withdrawn(_))), "the game is not told");
    assert!(door.asked().is_empty());
    assert_eq!((door.node.len(), door.node.hub().pending_len()), (0, 0));
}

#[test]
fn what_comes_before_the_word_waits_for_it() {
    let mut door = Door::asking();
    let (_, end) = door.arrive(HERE);
    door.say(&end, &[REQUEST, &frame(0x82, b"early")].concat());
    door.say(&end, &frame(0x82, b"late"));
    assert_eq!(door.connected(), 0);
    let request = door.asked().remove(0);
    door.decide(&request, AdmissionDecision::accept());
    assert_eq!(door.node.packets(), [&b"early"[..], b"late"]);
}

#[test]
fn so_much_waits_for_the_word_and_no_more() {
    let mut door = Door::asking();
    let (_, end) = door.arrive(HERE);
    door.say(&end, REQUEST);
    let early = frame(0x82, &[7; 60_000]).repeat(4);
    let sent = early.len();
    door.say(&end, &early);
    assert_eq!(sent - door.node.unread(), 65_536);
    let request = door.asked().remove(0);
    door.decide(&request, AdmissionDecision::accept());
    let mut got = 0;
    for _ in 0..4 {
        got += door.node.packets().len();
        door.receive(&end);
    }
    assert_eq!(got, 4, "nothing is lost");
}

#[test]
fn a_seat_is_given_once() {
    let mut door = Door::new(ServerConfig { ask: true, max_connections: 1, ..ServerConfig::default() });
    let ends = [door.knock(HERE, "").1, door.knock(HERE, "").1];
    let asked = door.asked();
    for request in &asked {
        door.decide(request, AdmissionDecision::accept());
    }
    let answers = ends.map(|end| door.receive(&end));
    assert!(
        answers[0].starts_with("HTTP/1.1 101 ") && answers[1].starts_with("HTTP/1.1 503 "),
        "{answers:?}"
    );
    assert!(door.node.has(|notice| matches!(notice, Notice::Withdrawn(id) if *id == asked[1].id)));
}

#[test]
fn refusing_answers_also_those_who_wait_for_the_game() {
    let mut door = Door::asking();
    let (_, waiting) = door.knock(HERE, "");
    door.node.command(Command::Refuse { refuse: true, number: 7 }, door.now);
    assert!(door.receive(&waiting).starts_with("HTTP/1.1 503 "));
    assert_eq!(door.status(HERE, ""), "503");
    let last = door.node.notices.iter().rposition(|notice| matches!(notice, Notice::Refusing(7)));
    assert!(last.is_some() && door.connected() == 0);
    door.node.command(Command::Refuse { refuse: false, number: 8 }, door.now);
    let (_, _end) = door.knock(HERE, "");
    assert_eq!(door.asked().len(), 1, "not the one that was refused");
}

#[test]
fn a_refused_client_may_read_its_answer_and_is_gone_after_a_second() {
    let mut door = Door::new(ServerConfig::default());
    let (answer, end) = door.knock(HERE, "Content-Length: 5\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "));
    // Further bytes are read and dropped, so that no reset destroys the response.
    assert_eq!(door.say(&end, &[b'x'; 50_000]), "");
    assert_eq!((end.readable(), door.node.len()), (0, 1));
    door.pass(SECOND + SECOND / 10);
    assert_eq!((door.node.len(), door.node.hub().pending_len()), (0, 0));
}

#[test]
fn a_bare_line_feed_is_answered_at_once() {
    let mut door = Door::new(ServerConfig::default());
    let (_, end) = door.arrive(HERE);
    let answer = door.say(&end, b"GET / HTTP/1.1\nHost: h\n\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(door.node.counters().refused_malformed.get(), 1);
}

#[test]
fn a_peer_is_read_no_faster_than_allowed_and_loses_nothing() {
    let config = ServerConfig { max_inbound_per_second: 10_000, ..ServerConfig::default() };
    let mut door = Door::new(config);
    let (_, end) = door.knock(HERE, "");
    let message = frame(0x82, &[7; 1000]);
    for _ in 0..50 {
        end.inject(&message);
    }
    while door.node.run(door.now) {}
    let mut got = door.node.packets().len();
    assert!((9..=10).contains(&got), "{got} in the first moment");
    for second in 1..=4 {
        door.pass(SECOND);
        got += door.node.packets().len();
        let allowed = 10 * (second + 1);
        assert!((allowed - 2..=allowed).contains(&got), "{got} after {second} s");
    }
    door.pass(3 * SECOND);
    got += door.node.packets().len();
    assert_eq!((got, door.node.end()), (50, None));
}

#[test]
fn a_slowed_down_peer_does_not_time_out() {
    let mut peer = raw();
    peer.heartbeat_interval = SECOND;
    peer.heartbeat_timeout = 3 * SECOND;
    let config = ServerConfig { peer, max_inbound_per_second: 100, ..ServerConfig::default() };
    let mut node = Node::gated(config);
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    let began = start();
    let mut now = began;
    node.accept(server_end, now);
    end.inject(REQUEST);
    while node.run(now) {}
    for _ in 0..20 {
        end.inject(&frame(0x82, &[7; 100]));
    }
    let mut got = 0;
    while got < 20 && node.end().is_none() {
        now += SECOND / 10;
        while node.run(now) {}
        got += node.packets().len();
    }
    assert_eq!((got, node.end()), (20, None));
    assert!(now.duration_since(began) > 15 * SECOND, "it took its time");
}

#[test]
fn a_game_that_does_not_poll_hears_of_so_many_and_no_more() {
    let mut door = Door::new(ServerConfig::default());
    let mut refused = 0;
    for _ in 0..5000 {
        let (answer, end) = door.knock(HERE, "");
        refused += usize::from(answer.starts_with("HTTP/1.1 503 "));
        end.cut();
        while door.node.run(door.now) {}
    }
    assert_eq!((door.connected(), refused), (4096, 5000 - 4096));
    assert!(door.node.notices.len() <= 2 * 4096, "{}", door.node.notices.len());
    assert_eq!(door.node.counters().refused_busy.get(), refused as u64);
    // The game polls again.
    door.node.counters().arrivals.store(0, Ordering::Relaxed);
    assert_eq!(door.status(HERE, ""), "101");
}

#[test]
fn closing_the_server_answers_those_who_wait() {
    let mut door = Door::asking();
    let (_, waiting) = door.knock(HERE, "");
    let (_, silent) = door.arrive(HERE);
    let frame = Box::new(crate::base::CloseFrame::going_away());
    door.node.command(Command::Finish { frame }, door.now);
    assert!(door.receive(&waiting).starts_with("HTTP/1.1 503 "));
    assert!(door.receive(&silent).starts_with("HTTP/1.1 503 "));
    assert!(
        !door.node.has(|notice| matches!(
            notice,
            Notice::Disconnected { reason: CloseReason::TransportError(_), .. }
        ))
    );
}
