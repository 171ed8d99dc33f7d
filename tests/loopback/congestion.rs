//! The bound on all queues of the process together: who does not keep up goes first, whoever does loses nothing.

use std::net::TcpStream;

use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};
use websocket_multiplayer_core::{
    Buffers, Delivery, Event, OverflowPolicy, PeerConfig, PeerId, Runtime, SendError, Target,
};

use crate::support::{DEADLINE, Told, client, eventually, foreign, multiplayer, server};

const BULK: usize = 50_000;

/// A server whose peers are not closed for anything but the process-wide bound.
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

fn join(server: &mut Told) -> (WebSocket<TcpStream>, PeerId) {
    let before = server.connected_ids();
    let socket = foreign(server.peer.local_port());
    eventually("one more", || {
        server.poll();
        server.connected_ids().len() > before.len()
    });
    let new = server.connected_ids().into_iter().find(|id| !before.contains(id));
    (socket, new.expect("one is new"))
}

/// Sends to a peer that reads nothing until so much waits for it.
fn fill(server: &mut Told, id: PeerId, wanted: usize) {
    eventually("a congested peer", || {
        let waiting = server.peer.peer_statistics(id).expect("it is connected").queued_out_bytes;
        if waiting < wanted {
            server.peer.send(Target::One(id), &[7; BULK], Delivery::Reliable).expect("room");
        }
        server.poll();
        waiting >= wanted && server.has(|event| *event == Event::PeerCongested { id })
    });
}

fn overflowed(server: &Told) -> Vec<PeerId> {
    let id = |event: &Event| match event {
        Event::PeerOverflowed { id } => Some(*id),
        _ => None,
    };
    server.events.iter().filter_map(id).collect()
}

/// Reads to the end: whole packets, then the code.
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
fn at_the_bound_of_the_process_the_most_congested_peer_goes_first() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, patient(OverflowPolicy::Disconnect));
    let mut healthy = client(&runtime, server.peer.local_port(), multiplayer());
    eventually("a healthy client", || {
        server.poll();
        healthy.poll();
        healthy.peer.unique_id() != 0 && server.connected_ids().len() == 1
    });
    let healthy_id = PeerId(healthy.peer.unique_id());
    let (_slow, slow) = join(&mut server);
    let (slower_socket, slower) = join(&mut server);
    fill(&mut server, slow, 600_000);
    fill(&mut server, slower, 900_000);

    // Not a byte more: what the healthy one gets has to be taken from somebody.
    runtime.set_total_queue_limit(runtime.queued_bytes());
    server.peer.send(Target::One(healthy_id), b"one", Delivery::Reliable).expect("room was made");
    eventually("the first to go", || {
        server.poll();
        !overflowed(&server).is_empty()
    });
    assert_eq!(overflowed(&server), [slower], "the one with the most waiting");
    assert_eq!(close_code(slower_socket), Some(1013), "it wakes in time to learn why");

    runtime.set_total_queue_limit(runtime.queued_bytes());
    server.peer.send(Target::AllExcept(PeerId(2)), b"news", Delivery::Reliable).expect("room was made");
    eventually("the second to go", || {
        server.poll();
        overflowed(&server).len() == 2
    });
    assert_eq!(overflowed(&server), [slower, slow]);

    let mut got = Vec::new();
    eventually("both packets", || {
        server.poll();
        healthy.poll();
        got.extend(healthy.packets());
        got.len() == 2
    });
    assert_eq!(got, [(PeerId(1), b"one".to_vec()), (PeerId(1), b"news".to_vec())]);

    // Nobody else is left to go.
    runtime.set_total_queue_limit(0);
    assert_eq!(server.peer.send(Target::All, b"more", Delivery::Reliable), Err(SendError::Full));
    eventually("the last one to go", || {
        server.poll();
        healthy.poll();
        server.connected_ids().is_empty() && healthy.has(|event| *event == Event::ServerDisconnected)
    });
    assert_eq!(overflowed(&server), [slower, slow, healthy_id]);
    assert_eq!(runtime.queued_bytes(), 0);
    assert_eq!(healthy.peer.close_code(), 1013);
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
