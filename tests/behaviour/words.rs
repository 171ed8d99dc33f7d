//! The errors of both sides when a connection fails, with what to change.

use std::time::Instant;

use super::lines::Lines;
use super::world::{ByHand, End, Node, REQUEST, SECOND, World, outbound, raw, start};
use crate::base::{CloseReason, ConnId, Side};
use crate::channel::Command;
use crate::config::{PeerConfig, ServerConfig};

/// Makes one side send a message of this size.
fn send(node: &mut Node, conn: ConnId, size: usize, now: Instant) {
    node.shared().outgoing.add(size);
    node.command(Command::Send { to: conn, message: outbound(vec![7; size]) }, now);
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

/// A client, and a server whose bytes the test sends.
struct Asking {
    now: Instant,
    client: Node,
    end: End,
    request: String,
}

impl Asking {
    fn new(config: PeerConfig) -> Self {
        let now = start();
        let (client_end, end) = End::pair(64 * 1024, usize::MAX);
        let mut client = Node::client(config);
        client.dial(client_end, now);
        client.run(now);
        let request = String::from_utf8(end.take_all()).expect("a request is text");
        Self { now, client, end, request }
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.end.inject(bytes.as_ref());
        self.client.run(self.now);
        self
    }

    fn pass(&mut self, time: std::time::Duration) -> &mut Self {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + std::time::Duration::from_millis(50));
            self.client.run(self.now);
        }
        self
    }

    /// The correct 101 response, with further header lines.
    fn switch(&self, lines: &str) -> String {
        let key = self.request.split("Sec-WebSocket-Key: ").nth(1).expect("a key").split("\r\n").next();
        let accept = tungstenite::handshake::derive_accept_key(key.expect("a line").as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        )
    }

    /// Returns why the client is not connected; `None` while it waits.
    fn words(&self) -> Option<String> {
        self.client.end().map(ToString::to_string)
    }

    fn is_in(&self) -> bool {
        self.client.peers().next().is_some()
    }
}

/// Returns the error for a response that arrives at once and completely.
fn told(answer: &str) -> String {
    Asking::new(raw()).say(answer).words().unwrap_or_else(|| panic!("it still waits behind {answer:?}"))
}

#[test]
fn the_body_of_a_refusal_reaches_the_game() {
    let json = r#"{"error":"token expired"}"#;
    let expected = format!("server answered 401 Unauthorized: {json}");
    let head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n";
    assert_eq!(told(&format!("{head}Content-Length: 25\r\n\r\n{json}rest")), expected);
    let chunks = "9\r\n{\"error\":\r\n10;x=y\r\n\"token expired\"}\r\n0\r\n\r\n";
    assert_eq!(told(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")), expected);
    let mut asking = Asking::new(raw());
    asking.say(head).say("\r\n").say(json);
    assert_eq!(asking.words(), None, "there may be more");
    asking.end.half_close();
    assert_eq!(asking.say("").words(), Some(expected.clone()));
    // Single bytes, and a connection that is reset instead of closed.
    let mut asking = Asking::new(raw());
    for byte in format!("{head}\r\n{json}").bytes() {
        asking.say([byte]);
    }
    asking.end.reset();
    assert_eq!(asking.say("").words(), Some(expected));
}

#[test]
fn a_refusal_is_one_line_of_words() {
    let long = "long ".repeat(40).trim_end().to_owned();
    let page =
        "<html><head><title>502 Bad Gateway</title></head><h1>502 Bad Gateway</h1><hr>nginx/1.22.1</html>";
    for (head, body, words) in [
        ("403 Forbidden", "", "server answered 403 Forbidden"),
        ("403", "", "server answered 403"),
        ("403 gesperrt bis März", "", "server answered 403 gesperrt bis März"),
        ("403 Forbidden", "binary\0x", "server answered 403 Forbidden"),
        (
            "403 Forbidden\r\nContent-Type: text/plain",
            "you are\r\n\tbanned\u{1b}[31m \u{202e}x\0",
            "server answered 403 Forbidden: you are banned [31m x",
        ),
        ("403 \u{1b}[31m\u{202e}x", "", "the server does not speak HTTP: invalid response status"),
        ("403 \u{202e}x", "", "server answered 403 x"),
        ("404 Not Found", "not found", "server answered 404 Not Found"),
        ("599 Refused", "refused by the game", "server answered 599 Refused: refused by the game"),
        (&format!("403 {long}"), &long, &format!("server answered 403: {long}")),
        ("502 Bad Gateway\r\nContent-Type: text/html", page, "server answered 502 Bad Gateway: nginx/1.22.1"),
        (
            "503 Service Unavailable\r\nRetry-After: 5",
            "the server is full\n",
            "server answered 503 Service Unavailable: the server is full; try again in 5 s",
        ),
        ("503 Busy\r\nContent-Type: image/png", "PNG", "server answered 503 Busy"),
        ("403 Forbidden\r\nContent-Encoding: gzip", "not readable", "server answered 403 Forbidden"),
        (
            "200 OK\r\nContent-Type: text/html",
            page,
            "server answered 200 OK and no upgrade: this path does not serve WebSockets",
        ),
        (
            "301 Moved\r\nLocation: https://game.example/ws?a",
            page,
            "server answered 301 Moved and redirects to https://game.example/ws?a; redirects are not followed, connect to wss://game.example/ws?a",
        ),
        (
            "307 Temporary Redirect\r\nLocation: /lobby\u{202e}\u{202e}2",
            "",
            "server answered 307 Temporary Redirect and redirects to /lobby 2; redirects are not followed, connect to it",
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(told(&answer), words);
    }
}

#[test]
fn a_body_is_waited_for_only_so_long_and_only_so_much_of_it() {
    let head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000000\r\n\r\n";
    let mut asking = Asking::new(raw());
    asking.say(head).say("go away").pass(SECOND - SECOND / 10);
    assert_eq!(asking.words(), None);
    asking.pass(SECOND / 5);
    assert_eq!(asking.words().as_deref(), Some("server answered 403 Forbidden: go away"));
    // Not longer than the handshake timeout.
    let mut asking = Asking::new(PeerConfig { handshake_timeout: SECOND, ..raw() });
    asking.pass(SECOND * 9 / 10).say(head).say("go away");
    assert_eq!(asking.words(), None);
    asking.pass(SECOND / 5);
    assert_eq!(asking.words().as_deref(), Some("server answered 403 Forbidden: go away"));
    let mut asking = Asking::new(raw());
    let shown = format!("server answered 403 Forbidden: {}…", "x".repeat(500));
    assert_eq!(asking.say(head).say("x".repeat(100_000)).words(), Some(shown));
}

#[test]
fn interim_answers_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    for before in [hints, "HTTP/1.1 100 Continue\r\n\r\n", &hints.repeat(16)] {
        let mut asking = Asking::new(raw());
        let answer = asking.switch("");
        assert!(asking.say([before, &answer].concat()).is_in(), "{before}");
        let mut asking = Asking::new(raw());
        let answer = asking.switch("");
        for byte in [before, &answer].concat().bytes() {
            asking.say([byte]);
        }
        assert!(asking.is_in(), "{before}, in pieces");
    }
    let mut asking = Asking::new(raw());
    asking.say(hints).say("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno\n\n");
    assert_eq!(asking.words().as_deref(), Some("server answered 403 Forbidden: no"));
    let mut asking = Asking::new(raw());
    asking.say(hints.repeat(20_000));
    assert_eq!(asking.words().as_deref(), Some("the server sent more than 16 interim responses (1xx)"));
    let mut asking = Asking::new(raw());
    asking.say(hints).pass(4 * SECOND);
    assert_eq!(asking.words().as_deref(), Some("the handshake timed out"));
}

#[test]
fn heads_that_proxies_let_through_lead_in() {
    let many = |count: usize| (0..count).map(|n| format!("X-Line-{n}: {n}\r\n")).collect::<String>();
    let long = |size: usize| format!("Cookie: {}\r\n", "x".repeat(size));
    for lines in [many(120), long(15_000)] {
        let mut asking = Asking::new(raw());
        let answer = asking.switch(&lines);
        assert!(asking.say(answer).is_in(), "a client");
        let mut by_hand = ByHand::new(raw());
        let request = String::from_utf8_lossy(REQUEST).replace("Host: h\r\n", &format!("Host: h\r\n{lines}"));
        assert!(by_hand.say(request.as_bytes()).starts_with(b"HTTP/1.1 101 "), "a server");
    }
    for (lines, words) in [
        (many(130), "the server's response has more than 128 header lines"),
        (long(17_000), "the head of the server's response is larger than 16 KiB"),
    ] {
        let mut asking = Asking::new(raw());
        let answer = asking.switch(&lines);
        assert_eq!(asking.say(answer).words().as_deref(), Some(words));
        let mut by_hand = ByHand::new(raw());
        let request = String::from_utf8_lossy(REQUEST).replace("Host: h\r\n", &format!("Host: h\r\n{lines}"));
        assert!(by_hand.say(request.as_bytes()).starts_with(b"HTTP/1.1 431 "), "a server");
    }
}

#[test]
fn subprotocols_that_one_side_names_are_told_on_both() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (offered, supported, client_is_told, server_says) in [
        (
            &["ludus", "chat"][..],
            &[][..],
            "server answered 400 Bad Request: the client offers the subprotocols ludus, chat, and this server names none; give it one \
             of them in listen() or supported_protocols",
            "the client offers the subprotocols ludus, chat, and this server names none",
        ),
        (
            &["ludus"],
            &["chat"],
            "server answered 400 Bad Request: no common subprotocol: the client offers ludus, this server supports chat",
            "no common subprotocol: the client offers ludus, this server supports chat",
        ),
        (
            &[],
            &["chat"],
            "server answered 400 Bad Request: the client offers no subprotocol; this server wants one of: chat",
            "the client offers no subprotocol; this server wants one of: chat",
        ),
    ] {
        Lines::catch();
        let mut world = World::offering(
            names(offered),
            ServerConfig { protocols: names(supported), ..ServerConfig::default() },
        );
        world.run();
        assert_eq!(world.client.end().map(ToString::to_string).as_deref(), Some(client_is_told));
        assert_eq!(Lines::with(server_says).len(), 1, "{:?}", Lines::with(""));
    }
    Lines::catch();
    let mut world = World::offering(
        names(&["chat"]),
        ServerConfig { protocols: names(&["chat"]), ..ServerConfig::default() },
    );
    world.run();
    assert_eq!(world.client.shared().info.protocol, "chat");
    assert!(Lines::with("subprotocol").is_empty(), "nothing to say about it");
}
