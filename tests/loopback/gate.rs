//! The gate over real sockets: the game's word, the doorstep, and the drain.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{Event, PeerConfig, Runtime, ServerConfig, Status, Verdict};

use crate::support::{DEADLINE, Told, client, eventually, foreign, multiplayer, raw, server, server_with};

fn asking() -> ServerConfig {
    ServerConfig { peer: multiplayer(), ask: true, ..ServerConfig::default() }
}

/// Answers every request in the same way.
fn poll_and_answer(server: &mut Told, verdict: &Verdict) {
    server.peer.begin_poll();
    while let Some(event) = server.peer.next_event(false) {
        if let Event::Requested(request) = &event {
            server.peer.answer(request, verdict.clone());
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
        poll_and_answer(&mut server, &Verdict::accept());
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
        poll_and_answer(&mut server, &Verdict::fault());
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
    // The thread sleeps while nothing happens.
    let before = server.peer.statistics().io_wakeups;
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.peer.statistics().io_wakeups - before < 10, "it spins");
    leaver.peer.close();
    // Counted behind the mark that it has left.
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
    let told = |server: &Told| server.events.iter().filter(|event| **event == Event::Drained).count();
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
