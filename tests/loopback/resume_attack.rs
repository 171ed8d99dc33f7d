//! Sessions that strangers want: guesses, floods and used tokens on real sockets, beside a player who does nothing wrong.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    Delivery, Event, PeerConfig, PeerId, Runtime, ServerConfig, Status, Target,
};

use crate::support::{TestPeer, client, eventually, multiplayer, raise_file_limit, server, server_with};

fn config() -> PeerConfig {
    PeerConfig { resume_timeout: Duration::from_secs(60), resume_offered: true, ..multiplayer() }
}

/// A client whose bytes the test sends.
struct Raw {
    stream: TcpStream,
    status: u16,
}

impl Raw {
    fn knock(port: u16, line: &str) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Godot-Multiplayer: resume; v=1{line}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("the server answers");
            head.push(byte[0]);
        }
        let status = std::str::from_utf8(&head[9..12]).expect("digits").parse().expect("a status");
        Self { stream, status }
    }

    /// A new peer, who has confirmed its session, and its token.
    fn join(port: u16) -> (Self, String) {
        let mut raw = Self::knock(port, "");
        let token = raw.token();
        assert_eq!(raw.message().len(), 4, "the id");
        raw.say(0x81, b"ack 0 0");
        (raw, token)
    }

    fn come_back(port: u16, token: &str) -> Self {
        Self::knock(port, &format!("; token={token}; received=0"))
    }

    /// The token in the first message.
    fn token(&mut self) -> String {
        let words = String::from_utf8(self.message()).expect("text");
        words.split(' ').nth(2).expect("a token").to_owned()
    }

    /// The next message that is no ping.
    fn message(&mut self) -> Vec<u8> {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).expect("a frame");
            assert!(head[1] < 126, "no message of this test is that long");
            let mut payload = vec![0; usize::from(head[1])];
            self.stream.read_exact(&mut payload).expect("a whole frame");
            if head[0] & 0x0f < 8 {
                return payload;
            }
        }
    }

    /// Sends a frame, masked with a key that changes nothing.
    fn say(&mut self, first: u8, payload: &[u8]) {
        let frame = [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        self.stream.write_all(&frame).expect("the server reads");
    }
}

/// A player who asks and is answered, and has lost nothing.
struct Player {
    client: TestPeer,
    times: Vec<Duration>,
}

impl Player {
    fn ask(&mut self, server: &mut TestPeer) {
        let start = Instant::now();
        let packet = (self.times.len() as u32).to_le_bytes();
        self.client.peer.send(Target::One(PeerId(1)), &packet, Delivery::Reliable).expect("there is room");
        eventually("it is answered", || {
            server.poll();
            for (from, packet) in server.packets() {
                server.peer.send(Target::One(from), &packet, Delivery::Reliable).expect("there is room");
            }
            self.client.poll();
            self.client.packets().iter().any(|(_, answer)| *answer == packet)
        });
        self.times.push(start.elapsed());
    }

    fn assert_unharmed(&self) {
        let harmed =
            |event: &Event| matches!(event, Event::PeerSuspended { .. } | Event::PeerDisconnected { .. });
        assert!(!self.client.has(harmed), "{:?}", self.client.events);
        assert_eq!(self.client.peer.status(), Status::Connected);
    }
}

#[test]
fn a_flood_of_returns_disturbs_nobody_and_leaves_nothing() {
    const GUESSES: usize = 2000;
    let runtime = Runtime::new();
    let mut server = server(&runtime, config());
    let port = server.peer.local_port();
    let mut player = Player { client: client(&runtime, port, config()), times: Vec::new() };
    eventually("the player is in", || {
        server.poll();
        player.client.poll();
        player.client.peer.status() == Status::Connected && server.connected_ids().len() == 1
    });
    (0..50).for_each(|_| player.ask(&mut server));
    let before = runtime.queued_bytes();
    let ends = Arc::new(AtomicBool::new(false));
    // One guesses tokens, as fast as it can, at least a thousand per second where there is time for it.
    let guesses = thread::spawn(move || {
        for guess in 0..GUESSES {
            let token = format!("{guess:048x}");
            assert_eq!(Raw::come_back(port, &token).status, 410);
        }
    });
    // One has a session of its own, and comes back to it without end.
    let returns = thread::spawn({
        let ends = Arc::clone(&ends);
        move || {
            let (mut raw, mut token) = Raw::join(port);
            let (mut taken, mut refused) = (0, 0);
            while !ends.load(Ordering::Relaxed) {
                let mut again = Raw::come_back(port, &token);
                if again.status == 101 {
                    token = again.token();
                    again.say(0x81, b"ack 0 0");
                    raw = again;
                    taken += 1;
                } else {
                    assert_eq!(again.status, 429);
                    refused += 1;
                }
            }
            drop(raw);
            (taken, refused)
        }
    });
    let start = Instant::now();
    player.times.clear();
    let mut pending = 0;
    while !guesses.is_finished() {
        player.ask(&mut server);
        pending = pending.max(server.peer.statistics().pending);
    }
    ends.store(true, Ordering::Relaxed);
    guesses.join().expect("each guess was wrong");
    let (taken, refused) = returns.join().expect("it was let in or told to wait");
    let seconds = start.elapsed().as_secs_f64();
    player.times.sort();
    let median = player.times[player.times.len() / 2];
    println!(
        "{:.0} returns per second, of which {taken} were taken; the player asked {} times, {median:?} each",
        (GUESSES + taken + refused) as f64 / seconds,
        player.times.len()
    );
    player.assert_unharmed();
    assert!(median < Duration::from_millis(100), "the player waits {median:?}");
    // Four at once, then one per second.
    assert!(taken as f64 <= 5.0 + seconds, "{taken} in {seconds} s");
    let statistics = server.peer.statistics();
    assert_eq!(statistics.refused_resume, GUESSES as u64);
    assert_eq!(statistics.refused_too_soon, refused as u64);
    assert_eq!(statistics.sessions_resumed, taken as u64);
    assert!(pending <= 2, "{pending} handshakes wait at most: one of each");
    assert!(runtime.queued_bytes() <= before + 4096, "nothing is left of them");
    eventually("no handshake is left", || {
        server.poll();
        server.peer.statistics().pending == 0
    });
}

#[test]
fn a_used_token_is_worth_nothing_and_its_owner_is_not_disturbed() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, config());
    let port = server.peer.local_port();
    let (first, stolen) = Raw::join(port);
    drop(first);
    let mut owner = Raw::come_back(port, &stolen);
    assert_eq!(owner.status, 101);
    let token = owner.token();
    owner.say(0x81, b"ack 0 0");
    // Its first message has shown that it has the new one.
    owner.say(0x82, b"here");
    eventually("the message is there", || {
        server.poll();
        server.packets().iter().any(|(_, packet)| packet == b"here")
    });
    for _ in 0..20 {
        assert_eq!(Raw::come_back(port, &stolen).status, 410);
    }
    let id = server.connected_ids()[0];
    server.peer.send(Target::One(id), b"still", Delivery::Reliable).expect("there is room");
    let mut next = owner.message();
    while next.starts_with(b"ack ") {
        // For its first message, as soon as 250 ms have passed.
        next = owner.message();
    }
    assert_eq!(next, b"still", "on its connection");
    assert_eq!(server.peer.peer_statistics(id).expect("connected").resumes, 1);
    // And it can come back.
    drop(owner);
    let mut owner = Raw::knock(port, &format!("; token={token}; received=1"));
    assert_eq!((owner.status, owner.token() == token), (101, false));
}

#[test]
fn suspended_peers_keep_their_seats_and_their_places() {
    const SEATS: usize = 40;
    let runtime = Runtime::new();
    let mut server = server_with(
        &runtime,
        ServerConfig { peer: config(), max_connections: SEATS, ..ServerConfig::default() },
    );
    let port = server.peer.local_port();
    let tokens: Vec<_> = (0..SEATS).map(|_| Raw::join(port).1).collect();
    eventually("all have lost their connections", || {
        server.poll();
        server.peer.statistics().peers_suspended == SEATS
    });
    // A stranger finds no seat, and each of them finds its own.
    assert_eq!(Raw::knock(port, "").status, 503);
    let back: Vec<_> = tokens.iter().map(|token| Raw::come_back(port, token)).collect();
    assert!(back.iter().all(|raw| raw.status == 101));
    server.poll();
    let statistics = server.peer.statistics();
    assert_eq!((statistics.refused_full, statistics.peers_suspended, statistics.peers), (1, 0, SEATS));
    assert_eq!(statistics.sessions_resumed, SEATS as u64);
}

#[test]
fn more_suspended_peers_than_a_server_keeps_are_gone() {
    const MOST: usize = 4096;
    const MORE: usize = 8;
    raise_file_limit();
    let runtime = Runtime::new();
    let mut server = server(&runtime, config());
    let port = server.peer.local_port();
    let connections: Vec<_> = (0..MOST + MORE)
        .map(|number| {
            if number % 256 == 0 {
                server.poll();
            }
            Raw::join(port)
        })
        .collect();
    eventually("all are in", || {
        server.poll();
        server.peer.statistics().peers == MOST + MORE
    });
    let tokens: Vec<_> = connections.into_iter().map(|(_, token)| token).collect();
    eventually("all have lost their connections", || {
        server.poll();
        let statistics = server.peer.statistics();
        (statistics.peers_suspended, statistics.peers) == (MOST, MOST)
    });
    let statuses = tokens.iter().map(|token| Raw::come_back(port, token).status);
    assert_eq!(statuses.filter(|status| *status == 101).count(), MOST, "the others have ended");
    assert_eq!(server.peer.statistics().refused_resume, MORE as u64);
}
