//! Opening, closing and failing, also many times.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    CloseFrame, Delivery, Event, OpenError, Peer, PeerConfig, PeerId, PeerState, Runtime, SendError,
    ServerConfig, Status, Target,
};

use crate::support::{
    DEADLINE, TestPeer, client, client_config, eventually, foreign, multiplayer, party, raw, server,
};

#[test]
fn both_sides_learn_of_each_other() {
    let runtime = Runtime::new();
    let (server, clients) = party(&runtime, 3, &multiplayer());
    let mut ids: Vec<_> = clients.keys().copied().collect();
    let mut known = server.connected_ids();
    ids.sort();
    known.sort();
    assert_eq!(ids, known);
    assert!(ids.iter().all(|id| id.is_client()));
    for client in clients.values() {
        assert_eq!(
            client.events[..2],
            [Event::PeerConnected { id: PeerId(1), protocol: String::new() }, Event::ConnectionSucceeded]
        );
        let handle = client.peer.peer(PeerId(1)).expect("the server");
        assert_eq!((handle.address(), handle.path()), ("127.0.0.1".to_owned(), "/game?x=1".to_owned()));
    }
    let handle = server.peer.peer(ids[0]).expect("a client");
    assert_eq!(handle.requested_url(), format!("ws://127.0.0.1:{}/game?x=1", server.peer.local_port()));
    assert!(handle.headers().contains(&("upgrade".into(), "websocket".into())));
}

#[test]
fn a_client_that_is_sent_away_at_once_was_connected_for_one_poll() {
    for mode in [multiplayer(), raw()] {
        let runtime = Runtime::new();
        let mut server = server(&runtime, mode.clone());
        let mut client = client(&runtime, server.peer.local_port(), mode);
        eventually("the client is there", || {
            server.poll();
            !server.connected_ids().is_empty()
        });
        let id = server.connected_ids()[0];
        let handle = server.peer.peer(id).expect("connected");
        assert!(server.peer.disconnect(id, CloseFrame::new(4001, "banned").expect("valid")));
        // The client's thread has answered the Close when the server's has nothing to do with it any more, and tells of both soon after.
        eventually("the end at the server", || {
            server.poll();
            handle.state() == PeerState::Closed
        });
        std::thread::sleep(Duration::from_millis(300));
        client.poll();
        assert_eq!(client.peer.status(), Status::Connected);
        eventually("the end at the client", || {
            client.poll();
            client.peer.status() == Status::Disconnected
        });
        assert!(client.has(|event| *event == Event::ServerDisconnected));
        assert_eq!(client.peer.close_code(), 4001);
    }
}

#[test]
fn nobody_listening_is_a_failure_in_words() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let runtime = Runtime::new();
    let mut client = client(&runtime, port, multiplayer());
    assert_eq!(client.peer.status(), Status::Connecting);
    eventually("it fails", || {
        client.poll();
        client.peer.status() == Status::Disconnected
    });
    assert_eq!(client.events, [Event::ConnectionFailed]);
    assert_eq!(client.peer.last_error(), format!("connection refused by 127.0.0.1:{port}"));
    // The object can be used again at once.
    let mut server = server(&runtime, multiplayer());
    client.peer.connect(client_config(server.peer.local_port(), multiplayer())).expect("it is closed");
    eventually("it connects", || {
        server.poll();
        client.poll();
        client.peer.status() == Status::Connected
    });
    assert_eq!(client.peer.last_error(), "");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let runtime = Runtime::new();
    let config = PeerConfig { handshake_timeout: Duration::from_millis(200), ..multiplayer() };
    let start = Instant::now();
    let mut client = client(&runtime, silent.local_addr().expect("bound").port(), config);
    eventually("it gives up", || {
        client.poll();
        client.peer.status() == Status::Disconnected
    });
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(client.peer.last_error(), "the handshake timed out");
}

#[test]
fn a_taken_port_is_named() {
    let runtime = Runtime::new();
    let first = server(&runtime, multiplayer());
    let mut second = Peer::new(runtime);
    let config = ServerConfig { port: first.peer.local_port(), ..ServerConfig::default() };
    let error = second.listen(config).expect_err("the port is taken");
    assert!(matches!(error, OpenError::AddressInUse { .. }), "{error}");
    assert_eq!(second.status(), Status::Disconnected);
}

#[test]
fn close_frees_the_port_at_once_and_tells_the_clients() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 3, &multiplayer());
    let port = server.peer.local_port();
    for round in 0..20 {
        server.peer.send(Target::All, &[round; 100], Delivery::Reliable).expect("room");
    }
    let start = Instant::now();
    server.peer.close();
    // Half of `close_timeout`, which it would otherwise wait for.
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(server.peer.status(), Status::Disconnected);
    let config = ServerConfig { peer: multiplayer(), port, ..ServerConfig::default() };
    server.peer.listen(config).expect("the port is free in the same frame");
    assert!(matches!(server.peer.listen(ServerConfig::default()), Err(OpenError::AlreadyOpen)));
    for client in clients.values_mut() {
        let mut packets = 0;
        eventually("the client hears of it", || {
            client.poll();
            packets += client.packets().len();
            client.peer.status() == Status::Disconnected
        });
        assert_eq!((packets, client.peer.close_code()), (20, 1001));
        assert!(client.events.ends_with(&[
            Event::CloseRequested { id: PeerId(1), code: 1001, reason: String::new() },
            Event::PeerDisconnected { id: PeerId(1), clean: true },
            Event::ServerDisconnected
        ]));
    }
    server.poll();
    assert!(server.connected_ids().len() == 3, "close() itself tells nothing");
}

#[test]
fn opening_and_closing_many_times_leaves_nothing_behind() {
    let runtime = Runtime::new();
    let mut server = Peer::new(runtime.clone());
    for _ in 0..300 {
        server.listen(ServerConfig { peer: multiplayer(), ..ServerConfig::default() }).expect("a free port");
        server.close();
    }
    eventually("all threads have ended", || runtime.thread_count() == 0);
}

#[test]
fn shutdown_joins_everything_within_its_time() {
    let runtime = Runtime::new();
    let (server, clients) = party(&runtime, 5, &multiplayer());
    assert_eq!(runtime.thread_count(), 6);
    let start = Instant::now();
    runtime.shutdown(Duration::from_secs(3));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(runtime.thread_count(), 0);
    drop((server, clients));
}

#[test]
fn a_forced_disconnect_tells_nothing_here_and_the_truth_there() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &multiplayer());
    let (id, mut client) = clients.drain().next().expect("one client");
    assert!(server.peer.disconnect_now(id));
    assert!(!server.peer.disconnect_now(id) && !server.peer.has_peer(id));
    eventually("the client hears of it", || {
        server.poll();
        client.poll();
        client.peer.status() == Status::Disconnected
    });
    assert!(!server.has(|event| matches!(event, Event::PeerDisconnected { .. })));
    assert!(client.has(|event| *event == Event::ServerDisconnected));
}

#[test]
fn a_cut_connection_ends_without_a_close_frame() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, raw());
    let mut remote = foreign(server.peer.local_port());
    eventually("it is in", || {
        server.poll();
        !server.connected_ids().is_empty()
    });
    let id = server.connected_ids()[0];
    let handle = server.peer.peer(id).expect("connected");
    handle.send(b"last words", false).expect("room");
    handle.abort();
    handle.abort();
    assert_eq!(handle.state(), PeerState::Closed);
    assert!(matches!(handle.send(b"too late", false), Err(SendError::NotConnected)));
    assert_eq!(remote.read().expect("what was sent before").into_data(), &b"last words"[..]);
    let end = remote.read().expect_err("no close frame");
    assert!(matches!(end, tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)), "{end}");
    eventually("the game is told", || {
        server.poll();
        server.connected_ids().is_empty()
    });
    let ends = server.events.iter().filter(|event| matches!(event, Event::PeerDisconnected { .. }));
    assert_eq!(ends.collect::<Vec<_>>(), [&Event::PeerDisconnected { id, clean: false }]);
    assert_eq!((handle.close_code(), server.peer.has_peer(id)), (-1, false));
}

#[test]
fn a_client_that_cuts_its_connection_is_disconnected() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &multiplayer());
    let (id, mut client) = clients.drain().next().expect("one client");
    client.peer.peer(PeerId(1)).expect("connected").abort();
    eventually("both know", || {
        server.poll();
        client.poll();
        client.peer.status() == Status::Disconnected && server.connected_ids().is_empty()
    });
    assert!(server.has(|event| *event == Event::PeerDisconnected { id, clean: false }));
    assert!(client.has(|event| *event == Event::PeerDisconnected { id: PeerId(1), clean: false }));
    assert!(client.has(|event| *event == Event::ServerDisconnected));
}

#[test]
fn refusing_new_connections_answers_at_once() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    server.peer.set_refuse_new_connections(true);
    let port = server.peer.local_port();
    let mut refused = client(&runtime, port, multiplayer());
    eventually("it is refused", || {
        server.poll();
        refused.poll();
        refused.peer.status() == Status::Disconnected
    });
    assert!(refused.peer.last_error().contains("503"), "{}", refused.peer.last_error());
    eventually("nobody is left", || {
        server.poll();
        !server.events.is_empty()
    });
    assert_eq!(server.events, [Event::Drained], "and nothing of the one that came");
    server.peer.set_refuse_new_connections(false);
    let mut welcome = client(&runtime, port, multiplayer());
    eventually("it is in", || {
        server.poll();
        TestPeer::poll(&mut welcome);
        welcome.peer.status() == Status::Connected
    });
}

#[test]
fn a_new_handshake_timeout_counts_for_the_handshake_under_way() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let runtime = Runtime::new();
    let patient = PeerConfig { handshake_timeout: DEADLINE * 3, ..multiplayer() };
    let mut client = client(&runtime, silent.local_addr().expect("bound").port(), patient);
    client.peer.reconfigure(PeerConfig { handshake_timeout: Duration::from_millis(100), ..multiplayer() });
    eventually("it gives up, long before the first timeout", || {
        client.poll();
        client.peer.status() == Status::Disconnected
    });
    assert_eq!(client.peer.last_error(), "the handshake timed out");
}

#[test]
fn absurd_times_do_no_harm() {
    let runtime = Runtime::new();
    let forever = PeerConfig {
        overflow_grace: Duration::MAX,
        heartbeat_interval: Duration::MAX,
        heartbeat_timeout: Duration::MAX,
        write_timeout: Duration::MAX,
        handshake_timeout: Duration::MAX,
        close_timeout: Duration::MAX,
        ..multiplayer()
    };
    let (mut server, mut clients) = party(&runtime, 1, &forever);
    server.peer.reconfigure(forever);
    server.peer.close();
    let client = clients.values_mut().next().expect("one client");
    eventually("the client hears of it", || {
        client.poll();
        client.peer.status() == Status::Disconnected
    });
}
