//! A program without frames waits for events.

use std::thread;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{CloseFrame, Delivery, Event, Peer, PeerId, Runtime, SendError, Target};

use crate::support::{DEADLINE, client, multiplayer, server};

const ROUND_TRIPS: usize = 200;

#[test]
fn an_echo_runs_on_waiting_alone() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let port = server.peer.local_port();
    let client = thread::spawn(move || {
        let mut client = client(&Runtime::new(), port, multiplayer());
        let mut trips = 0;
        while trips < ROUND_TRIPS {
            assert!(client.peer.wait(DEADLINE), "nothing came after {trips} round trips");
            client.poll();
            let connected = client.events.drain(..).any(|event| event == Event::ConnectionSucceeded);
            let echoed = client.packets().len();
            trips += echoed;
            if connected || echoed > 0 {
                client.peer.send(Target::One(PeerId::SERVER), b"there", Delivery::Reliable).expect("room");
            }
        }
        client.peer.disconnect(PeerId::SERVER, CloseFrame::normal());
    });
    while !server.has(|event| matches!(event, Event::PeerDisconnected { .. })) {
        assert!(server.peer.wait(DEADLINE), "nothing came");
        server.poll();
        for (id, packet) in server.packets() {
            // The last event may arrive after the client has seen enough.
            match server.peer.send(Target::One(id), &packet, Delivery::Reliable) {
                Ok(()) | Err(SendError::UnknownPeer(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    client.join().expect("the client got its answers");
}

#[test]
fn a_wait_ends_without_anything() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let start = Instant::now();
    assert!(!server.peer.wait(Duration::from_millis(20)));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(!Peer::new(runtime).wait(Duration::MAX), "there is nothing to wait for");
    // The driver's notice, and the event that follows without one: no peer is left.
    server.peer.set_refuse_new_connections(true);
    assert!(server.peer.wait(Duration::MAX));
    server.peer.begin_poll();
    assert!(server.peer.wait(Duration::MAX), "it was not looked at");
    server.poll();
    assert_eq!(server.events, [Event::Drained]);
    assert!(!server.peer.wait(Duration::ZERO));
}
