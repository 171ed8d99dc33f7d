//! The limit of all queues of the process: no peer that keeps up is disconnected because of it.

use std::net::TcpStream;
use std::sync::Arc;

use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};
use websocket_multiplayer_core::{
    Buffers, Delivery, Event, Mode, OverflowPolicy, Peer, PeerConfig, PeerId, PeerState, Runtime, SendError,
    ServerConfig, Target, TlsServer, Trust, Url,
};

use crate::support::{
    DEADLINE, TestPeer, client, client_config, eventually, foreign, multiplayer, server, server_with,
};
use crate::tls::engine_like;

const BULK: usize = 50_000;

/// A server whose peers are closed for no other limit.
fn patient(policy: OverflowPolicy) -> PeerConfig {
    let buffers = Buffers { output_bytes: 1024 * 1024, ..Buffers::default() };
    // The slow one has as long to learn why it is closed as a busy machine takes to read.
    PeerConfig {
        buffers,
        overflow_policy: policy,
        overflow_grace: DEADLINE * 10,
        close_timeout: DEADLINE,
        ..multiplayer()
    }
}

fn join(server: &mut TestPeer) -> (WebSocket<TcpStream>, PeerId) {
    let before = server.connected_ids();
    let socket = foreign(server.peer.local_port());
    eventually("one more", || {
        server.poll();
        server.connected_ids().len() > before.len()
    });
    let new = server.connected_ids().into_iter().find(|id| !before.contains(id));
    (socket, new.expect("one is new"))
}

/// Sends to a peer that reads nothing, until this many bytes wait for it.
fn fill(server: &mut TestPeer, id: PeerId, wanted: usize) {
    eventually("a congested peer", || {
        let waiting = server.peer.peer_statistics(id).expect("it is connected").queued_out_bytes;
        if waiting < wanted {
            server.peer.send(Target::One(id), &[7; BULK], Delivery::Reliable).expect("room");
        }
        server.poll();
        waiting >= wanted && server.has(|event| *event == Event::PeerCongested { id })
    });
}

fn overflowed(server: &TestPeer) -> Vec<PeerId> {
    let id = |event: &Event| match event {
        Event::PeerOverflowed { id } => Some(*id),
        _ => None,
    };
    server.events.iter().filter_map(id).collect()
}

/// Reads to the end: complete packets, then the close code.
fn close_code(mut socket: WebSocket<TcpStream>) -> Option<u16> {
    socket.read().expect("the id comes first");
    loop {
        match socket.read().expect("a close ends it") {
            Message::Binary(bytes) => {
                assert!(bytes == [7; BULK][..] || bytes == b"news"[..], "{} bytes", bytes.len())
            }
            Message::Close(frame) => return frame.map(|CloseFrame { code, .. }| code.into()),
            _ => {}
        }
    }
}

#[test]
fn at_the_bound_of_the_process_those_go_who_take_nothing_and_nobody_else() {
    let runtime = Runtime::new();
    let config = PeerConfig {
        buffers: Buffers { output_bytes: 128 * 1024, ..Buffers::default() },
        overflow_grace: DEADLINE / 8,
        ..patient(OverflowPolicy::Disconnect)
    };
    let mut server = server(&runtime, config);
    let mut healthy = client(&Runtime::new(), server.peer.local_port(), multiplayer());
    eventually("a healthy client", || {
        server.poll();
        healthy.poll();
        healthy.peer.unique_id() != 0 && server.connected_ids().len() == 1
    });
    let healthy_id = PeerId(healthy.peer.unique_id());
    let (slow_socket, slow) = join(&mut server);
    let (slower_socket, slower) = join(&mut server);
    fill(&mut server, slow, 600_000);
    fill(&mut server, slower, 900_000);

    // Nothing more is accepted until a peer disconnects.
    runtime.set_total_queue_limit(runtime.queued_bytes());
    assert_eq!(server.peer.send(Target::One(healthy_id), b"one", Delivery::Reliable), Err(SendError::Full));
    server.peer.send(Target::All, b"stale", Delivery::Droppable).expect("dropped is no error");
    eventually("both to go", || {
        server.poll();
        overflowed(&server).len() == 2
    });
    assert_eq!(server.connected_ids(), [healthy_id]);
    assert_eq!(server.peer.statistics().packets_refused, 1);
    for socket in [slow_socket, slower_socket] {
        assert_eq!(close_code(socket), Some(1013), "it wakes in time to learn why");
    }
    let mut got = Vec::new();
    eventually("room again", || {
        server.poll();
        server.peer.send(Target::One(healthy_id), b"news", Delivery::Reliable).is_ok()
    });
    eventually("the news", || {
        server.poll();
        healthy.poll();
        got.extend(healthy.packets());
        !got.is_empty()
    });
    assert_eq!(got, [(PeerId(1), b"news".to_vec())], "what was refused does not come, nor what was dropped");

    // A peer that takes its data stays connected, even without any room.
    runtime.set_total_queue_limit(0);
    assert_eq!(server.peer.send(Target::All, b"more", Delivery::Reliable), Err(SendError::Full));
    runtime.set_total_queue_limit(1 << 20);
    server.peer.send(Target::All, b"more", Delivery::Reliable).expect("room");
    eventually("more", || {
        server.poll();
        healthy.poll();
        healthy.packets() == [(PeerId(1), b"more".to_vec())]
    });
    eventually("nothing waits", || {
        server.poll();
        runtime.queued_bytes() == 0
    });
}

#[test]
fn at_the_bound_of_the_process_the_refusing_policy_refuses() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, patient(OverflowPolicy::Refuse));
    let (_socket, slow) = join(&mut server);
    fill(&mut server, slow, 600_000);
    runtime.set_total_queue_limit(runtime.queued_bytes());
    assert_eq!(server.peer.send(Target::One(slow), &[7; BULK], Delivery::Reliable), Err(SendError::Full));
    let handle = server.peer.peer(slow).expect("it is connected");
    assert_eq!(handle.send(&[7; BULK], false), Err(SendError::Full), "a handle keeps to the bound too");
    server.peer.send(Target::One(slow), &[7; BULK], Delivery::Droppable).expect("dropped is no error");
    assert_eq!(server.peer.statistics().packets_dropped_unreliable, 1);
    server.poll();
    assert_eq!(overflowed(&server), []);
}

/// Clients that read at once, and a limit far below the sum of their data.
fn crowd(runtime: &Arc<Runtime>, secure: bool, n: usize) -> (TestPeer, Vec<TestPeer>) {
    let identity = secure.then(|| engine_like("localhost", 2100));
    let tls = identity.as_ref().map(|(key, cert)| TlsServer::new(key, cert, "").expect("usable"));
    // A busy machine must not disconnect anybody.
    let peer = PeerConfig { overflow_grace: DEADLINE, handshake_timeout: DEADLINE, ..multiplayer() };
    let mut server =
        server_with(runtime, ServerConfig { peer: peer.clone(), tls, ..ServerConfig::default() });
    let port = server.peer.local_port();
    // The clients' own queues must not count for the server.
    let apart = Runtime::new();
    let join = |_| {
        let mut client = TestPeer { peer: Peer::new(Arc::clone(&apart)), events: Vec::new() };
        let mut config = client_config(port, peer.clone());
        if let Some((_, certificate)) = &identity {
            config.url = Url::parse(&format!("wss://localhost:{port}/")).expect("a valid URL");
            config.tls = Some(apart.tls_client(Trust::Only(certificate), None).expect("usable"));
        }
        client.peer.connect(config).expect("it starts");
        client
    };
    let mut clients: Vec<_> = (0..n).map(join).collect();
    eventually("all clients are in", || {
        server.poll();
        clients.iter_mut().for_each(TestPeer::poll);
        server.connected_ids().len() == n && clients.iter().all(|client| client.peer.unique_id() != 0)
    });
    (server, clients)
}

#[test]
fn a_burst_to_everybody_who_reads_closes_nobody_and_arrives() {
    const CLIENTS: usize = 40;
    const SIZE: usize = 60 * 1024;
    for secure in [false, true] {
        let runtime = Runtime::new();
        // Half of the limit is for output; 12 MB arrive. TLS holds some bytes of each connection.
        runtime.set_total_queue_limit(if secure { 8 << 20 } else { 1 << 20 });
        let (mut server, mut clients) = crowd(&runtime, secure, CLIENTS);
        for round in 0..5_u8 {
            let payload = vec![round; SIZE];
            if round % 2 == 0 {
                server.peer.send(Target::All, &payload, Delivery::Reliable).expect("there is room");
                continue;
            }
            for id in server.connected_ids() {
                server.peer.send(Target::One(id), &payload, Delivery::Reliable).expect("there is room");
            }
        }
        let mut got = vec![Vec::new(); CLIENTS];
        eventually("everything arrives", || {
            server.poll();
            for (client, got) in clients.iter_mut().zip(&mut got) {
                client.poll();
                got.extend(client.packets().into_iter().map(|(_, packet)| (packet.len(), packet[SIZE - 1])));
            }
            got.iter().all(|got| got.len() == 5)
        });
        let wanted: Vec<_> = (0..5).map(|round| (SIZE, round)).collect();
        assert!(got.iter().all(|got| *got == wanted));
        assert_eq!((server.connected_ids().len(), overflowed(&server)), (CLIENTS, vec![]));
        assert_eq!(server.peer.statistics().packets_refused, 0);
        eventually("nothing waits", || {
            server.poll();
            runtime.queued_bytes() == 0
        });
    }
}

#[test]
fn at_any_bound_who_reads_gets_what_was_taken_and_stays() {
    for (secure, bound) in [(false, 2), (false, 20_000), (true, 20_000), (false, 400_000), (true, 400_000)] {
        let runtime = Runtime::new();
        let (mut server, mut clients) = crowd(&runtime, secure, 3);
        // The client that does not read joins without TLS only.
        let deaf = (!secure).then(|| join(&mut server));
        runtime.set_total_queue_limit(bound);
        let ids: Vec<_> = clients.iter().map(|client| PeerId(client.peer.unique_id())).collect();
        let (mut taken, mut got) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        let mut refused = 0;
        for number in 0..3000_usize {
            let size = if number % 10 == 0 { 20_000 } else { 10 + number % 900 };
            let at = number % 3;
            let mut payload = vec![7; size];
            payload[..8].copy_from_slice(&(number as u64).to_le_bytes());
            match server.peer.send(Target::One(ids[at]), &payload, Delivery::Reliable) {
                Ok(()) => taken[at].push(payload),
                Err(SendError::Full) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            // Including the client that does not read.
            let _ = server.peer.send(Target::AllExcept(ids[0]), &[0; 9], Delivery::Droppable);
            if number % 50 == 0 {
                server.poll();
                clients.iter_mut().for_each(TestPeer::poll);
            }
        }
        let row = format!("secure: {secure}, bound: {bound}, {refused} refused");
        eventually(&row, || {
            server.poll();
            for (client, got) in clients.iter_mut().zip(&mut got) {
                client.poll();
                got.extend(client.packets().into_iter().map(|(_, packet)| packet).filter(|it| it.len() > 9));
            }
            got.iter().zip(&taken).all(|(got, taken)| got.len() >= taken.len())
        });
        assert!(got == taken, "{row}");
        let connected = server.connected_ids();
        assert!(ids.iter().all(|id| connected.contains(id)), "{row}");
        assert_eq!(server.peer.statistics().packets_refused, refused, "{row}");
        drop(deaf);
        server.peer.close();
        eventually("nothing waits", || runtime.queued_bytes() == 0);
    }
}

#[test]
fn who_vanishes_with_much_on_the_way_to_him_leaves_nothing_behind() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, patient(OverflowPolicy::Disconnect));
    let mut sockets: Vec<_> = (0..6).map(|_| join(&mut server)).collect();
    for (_, id) in &sockets {
        fill(&mut server, *id, 600_000);
        let handle = server.peer.peer(*id).expect("it is connected");
        handle.send(&[7; BULK], false).expect("room");
    }
    assert!(runtime.queued_bytes() > 3_000_000);
    sockets.truncate(3);
    eventually("three are gone", || {
        server.poll();
        server.connected_ids().len() == 3
    });
    assert!(runtime.queued_bytes() > 1_000_000, "the others have not got theirs");
    for (_, id) in &sockets[..2] {
        server.peer.disconnect_now(*id);
    }
    drop(sockets);
    eventually("nothing waits", || {
        server.poll();
        runtime.queued_bytes() == 0
    });
}

#[test]
fn raw_handles_keep_to_the_bound_and_return_what_they_took() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, PeerConfig { mode: Mode::Raw, ..patient(OverflowPolicy::Refuse) });
    let socket = foreign(server.peer.local_port());
    eventually("a raw client", || {
        server.poll();
        server.connected_ids().len() == 1
    });
    let handle = server.peer.peer(server.connected_ids()[0]).expect("it is connected");
    eventually("a slow reader", || {
        let _ = handle.send(&[7; BULK], false);
        server.poll();
        handle.queued_out_bytes() > 600_000
    });
    runtime.set_total_queue_limit(runtime.queued_bytes());
    assert_eq!(handle.send(&[7; BULK], false), Err(SendError::Full));
    assert_eq!(handle.send(b"small", true), Err(SendError::Full));
    drop(socket);
    eventually("it is gone", || {
        server.poll();
        handle.state() == PeerState::Closed
    });
    assert_eq!(handle.send(b"small", true), Err(SendError::NotConnected));
    assert_eq!((handle.queued_out_bytes(), runtime.queued_bytes()), (0, 0));
}
