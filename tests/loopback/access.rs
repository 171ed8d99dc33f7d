//! The access policy over real sockets: the game's decision, pending connections, and draining.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{AdmissionDecision, Event, PeerConfig, Runtime, ServerConfig, Status};
#[cfg(target_os = "linux")]
use websocket_multiplayer_core::{TlsServer, Trust};

use crate::support::{
    DEADLINE, TestPeer, client, eventually, foreign, multiplayer, raw, server, server_with,
};
#[cfg(target_os = "linux")]
use crate::tls::{engine_like, tls_client};

fn asking() -> ServerConfig {
    ServerConfig { peer: multiplayer(), ask: true, ..ServerConfig::default() }
}

/// Answers every request in the same way.
fn poll_and_answer(server: &mut TestPeer, decision: &AdmissionDecision) {
    server.peer.begin_poll();
    while let Some(event) = server.peer.next_event(false) {
        if let Event::Requested(request) = &event {
            server.peer.answer(request, decision.clone());
        }
        server.events.push(event);
    }
}

#[test]
fn the_games_word_lets_in_and_keeps_out() {
    let runtime = Runtime::new();
    let mut server = server_with(&runtime, asking());
    let mut welcome = client(&runtime, server.peer.local_port(), multiplayer());
    eventually("it is in", || {
        poll_and_answer(&mut server, &AdmissionDecision::accept());
        welcome.poll();
        welcome.peer.status() == Status::Connected
    });
    let asked = server.events.iter().find_map(|event| match event {
        Event::Requested(request) => Some(request.clone()),
        _ => None,
    });
    let asked = asked.expect("it was asked");
    assert_eq!(asked.id.0, welcome.peer.unique_id());
    assert_eq!((asked.path.as_str(), asked.query.as_str(), asked.secure), ("/game", "x=1", false));
    let mut unwelcome = client(&runtime, server.peer.local_port(), multiplayer());
    eventually("it is kept out", || {
        poll_and_answer(&mut server, &AdmissionDecision::fault());
        unwelcome.poll();
        unwelcome.peer.status() == Status::Disconnected
    });
    assert!(unwelcome.peer.last_error().contains("500"), "{}", unwelcome.peer.last_error());
    let statistics = server.peer.statistics();
    assert_eq!((statistics.refused_handler, statistics.handshakes_refused, statistics.peers), (1, 1, 1));
}

#[test]
fn a_client_that_leaves_while_it_waits_costs_no_question_and_no_turns() {
    let runtime = Runtime::new();
    let mut server = server_with(&runtime, asking());
    let mut leaver = client(&runtime, server.peer.local_port(), multiplayer());
    eventually("it waits", || server.peer.statistics().pending == 1 && server.peer.statistics().bytes_in > 0);
    // The I/O thread sleeps while nothing happens.
    let before = server.peer.statistics().io_wakeups;
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.peer.statistics().io_wakeups - before < 10, "it spins");
    leaver.peer.close();
    // The counter changes after the mark that the request was withdrawn.
    eventually("it is gone", || server.peer.statistics().handshakes_refused == 1);
    assert_eq!(server.peer.statistics().pending, 0);
    server.poll();
    assert!(!server.has(|event| matches!(event, Event::Requested(_))), "{:?}", server.events);
}

#[test]
fn a_silent_connection_makes_room_for_one_that_waits() {
    let runtime = Runtime::new();
    let peer = PeerConfig { handshake_timeout: Duration::from_mins(1), ..raw() };
    let config = ServerConfig { peer, max_pending: 2, ..ServerConfig::default() };
    let server = server_with(&runtime, config);
    let port = server.peer.local_port();
    let silent: Vec<_> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connected")).collect();
    let start = Instant::now();
    let _welcome = foreign(port);
    assert!(start.elapsed() < DEADLINE, "it waited for the handshake timeout");
    let statistics = server.peer.statistics();
    assert_eq!((statistics.pending_evicted, statistics.pending), (1, 1));
    drop(silent);
}

/// Connects from another address of this machine.
#[cfg(target_os = "linux")]
fn from_elsewhere(port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let here: std::net::SocketAddr = "127.0.0.2:0".parse().expect("an address");
    socket.bind(&here.into()).expect("all of 127/8 is this machine");
    let there: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    // The backlog is longer than the number of places.
    socket.connect(&there.into()).expect("connected");
    socket.into()
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_with_a_byte_each_does_not_hold_the_door_shut() {
    let runtime = Runtime::new();
    let peer = PeerConfig { handshake_timeout: Duration::from_mins(10), ..raw() };
    let config = ServerConfig { peer, max_pending: 8, ..ServerConfig::default() };
    let server = server_with(&runtime, config);
    let port = server.peer.local_port();
    // More silent connections are in front of the one that sends a request.
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = from_elsewhere(port);
            stream.write_all(b"G").expect("sent");
            stream
        })
        .collect();
    let _welcome = foreign(port);
    let statistics = server.peer.statistics();
    assert_eq!(statistics.pending, 7, "it got in");
    assert_eq!(statistics.pending_evicted, 40 - 7, "one went for it, and the others did not get a place");
    assert_eq!(statistics.handshakes_refused, 40 - 7);
    drop(slow);
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_over_its_cap_does_not_hold_the_door_of_tls_shut() {
    let runtime = Runtime::new();
    let identity = engine_like("localhost", 2034);
    let tls = TlsServer::new(&identity.0, &identity.1, "").expect("usable");
    let patience = Duration::from_mins(10);
    let peer = PeerConfig { handshake_timeout: patience, close_timeout: patience, ..multiplayer() };
    let config = ServerConfig {
        peer,
        tls: Some(tls),
        max_pending: 8,
        max_connections_per_address: 2,
        ..ServerConfig::default()
    };
    let mut server = server_with(&runtime, config);
    let port = server.peer.local_port();
    let silent: Vec<_> = (0..20).map(|_| from_elsewhere(port)).collect();
    eventually("the room is full", || server.peer.statistics().refused_address >= 6);
    let mut welcome = tls_client(&runtime, port, "localhost", Trust::Only(&identity.1), None);
    eventually("it is in", || {
        server.poll();
        welcome.poll();
        welcome.peer.status() == Status::Connected
    });
    drop(silent);
}

#[test]
fn many_who_are_refused_and_do_not_go_keep_nobody_out() {
    let runtime = Runtime::new();
    let config = ServerConfig { peer: raw(), max_pending: 4, ..ServerConfig::default() };
    let server = server_with(&runtime, config);
    let port = server.peer.local_port();
    let stubborn: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
            stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    let _welcome = foreign(port);
    for mut stream in stubborn {
        let mut answer = String::new();
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.read_to_string(&mut answer).expect("an answer, then the end");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}

#[test]
fn drained_is_told_once_when_the_last_peer_is_gone() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let mut guest = client(&runtime, server.peer.local_port(), multiplayer());
    eventually("it is in", || {
        server.poll();
        guest.poll();
        guest.peer.status() == Status::Connected && !server.connected_ids().is_empty()
    });
    server.peer.set_refuse_new_connections(true);
    std::thread::sleep(Duration::from_millis(50));
    server.poll();
    assert!(!server.has(|event| *event == Event::Drained));
    guest.peer.close();
    eventually("drained", || {
        server.poll();
        server.has(|event| *event == Event::Drained)
    });
    assert!(
        matches!(server.events[server.events.len() - 2], Event::PeerDisconnected { .. }),
        "in this order"
    );
    let told = |server: &TestPeer| server.events.iter().filter(|event| **event == Event::Drained).count();
    server.poll();
    assert_eq!(told(&server), 1);
    server.peer.set_refuse_new_connections(false);
    server.peer.set_refuse_new_connections(true);
    eventually("nobody was there", || {
        server.poll();
        told(&server) == 2
    });
}

#[test]
fn a_server_that_refuses_from_the_start_lets_nobody_slip_in() {
    let runtime = Runtime::new();
    for _ in 0..20 {
        let mut server = server(&runtime, multiplayer());
        server.peer.close();
        server.peer.set_refuse_new_connections(true);
        server
            .peer
            .listen(ServerConfig { peer: multiplayer(), ..ServerConfig::default() })
            .expect("a free port");
        let mut refused = client(&runtime, server.peer.local_port(), multiplayer());
        eventually("it is refused", || {
            server.poll();
            refused.poll();
            refused.peer.status() == Status::Disconnected
        });
        assert!(refused.peer.last_error().contains("503"), "{}", refused.peer.last_error());
        assert_eq!(server.events, [Event::Drained]);
    }
}
