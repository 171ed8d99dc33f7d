//! A simulated bad network between real sockets changes only the timing, and does not keep the I/O thread busy.

use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    Buffers, CloseFrame, Conditions, Delivery, Event, Peer, PeerConfig, PeerId, Runtime, ServerConfig,
    Target, TlsServer, Trust,
};

use crate::support::{DEADLINE, TestPeer, client, eventually, multiplayer, party, server, server_with};
use crate::tls::{engine_like, tls_client};

const MS: Duration = Duration::from_millis(1);

fn slow(latency: Duration) -> Conditions {
    Conditions { latency, ..Conditions::default() }
}

/// A configuration that tolerates a bad network on a busy machine.
fn patient() -> PeerConfig {
    PeerConfig { handshake_timeout: DEADLINE, close_timeout: DEADLINE, ..multiplayer() }
}

fn change(peer: &mut Peer, conditions: Conditions) {
    peer.reconfigure(PeerConfig { conditions, ..patient() });
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[..4].try_into().expect("four bytes"))
}

/// Sends in both directions while the conditions of both sides change, and checks that everything arrives intact and in order.
fn talk(server: &mut TestPeer, client: &mut TestPeer) {
    const PACKETS: u32 = 600;
    let whom = PeerId(client.peer.unique_id());
    let worse = Conditions { jitter: 30 * MS, bandwidth: 50_000, seed: 3, ..slow(20 * MS) };
    let phases = [Conditions::default(), worse, slow(5 * MS), Conditions::default(), worse];
    let (mut sent, mut received) = (0, [0, 0]);
    eventually("everything, in order", || {
        if sent < PACKETS {
            let phase = phases[sent as usize * phases.len() / PACKETS as usize];
            change(&mut server.peer, phase);
            if sent % 7 == 0 {
                change(&mut client.peer, phase);
            }
            let mut packet = vec![sent as u8; 4 + sent as usize * 37 % 5000];
            packet[..4].copy_from_slice(&sent.to_be_bytes());
            let both = [(&mut *server, whom), (&mut *client, PeerId::SERVER)];
            for (from, to) in both {
                from.peer.send(Target::One(to), &packet, Delivery::Reliable).expect("there is room");
            }
            sent += 1;
        }
        for (end, received) in [&mut *server, &mut *client].into_iter().zip(&mut received) {
            end.poll();
            for (_, packet) in end.packets() {
                assert_eq!(number(&packet), *received, "in order");
                assert!(packet.len() == 4 + *received as usize * 37 % 5000, "whole");
                assert!(packet[4..].iter().all(|byte| *byte == *received as u8), "unchanged");
                *received += 1;
            }
        }
        received == [PACKETS, PACKETS]
    });
}

#[test]
fn everything_arrives_whatever_the_network_is_and_becomes() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &patient());
    talk(&mut server, clients.values_mut().next().expect("one client"));
}

#[test]
fn everything_arrives_through_tls_too() {
    let runtime = Runtime::new();
    let (key, certificate) = engine_like("localhost", 2034);
    let tls = TlsServer::new(&key, &certificate, "").expect("a usable certificate");
    let conditions = Conditions { jitter: 5 * MS, ..slow(10 * MS) };
    let peer = PeerConfig { conditions, ..patient() };
    let mut server = server_with(&runtime, ServerConfig { peer, tls: Some(tls), ..ServerConfig::default() });
    let port = server.peer.local_port();
    let start = Instant::now();
    let mut client = tls_client(&runtime, port, "localhost", Trust::Only(&certificate), None);
    client.peer.reconfigure(patient());
    eventually("it is in", || {
        server.poll();
        client.poll();
        client.peer.unique_id() != 0 && server.connected_ids().len() == 1
    });
    // The TLS handshake, the upgrade and the id take two round trips and one direction, each at least ten milliseconds.
    assert!(start.elapsed() >= 40 * MS, "{:?}", start.elapsed());
    talk(&mut server, &mut client);
    server.peer.disconnect(PeerId(client.peer.unique_id()), CloseFrame::normal());
    eventually("the end", || {
        server.poll();
        client.poll();
        client.peer.close_code() == 1000
    });
}

#[test]
fn the_round_trip_shows_the_latency_and_loses_it_again() {
    let runtime = Runtime::new();
    let config = PeerConfig { heartbeat_interval: 50 * MS, conditions: slow(60 * MS), ..patient() };
    let mut server = server(&runtime, config.clone());
    let plain = PeerConfig { conditions: Conditions::default(), ..config };
    let mut client = client(&runtime, server.peer.local_port(), plain.clone());
    let mut round_trip = |wanted: &dyn Fn(f64) -> bool| {
        eventually("a round trip", || {
            server.poll();
            client.poll();
            let id = server.connected_ids().first().copied();
            if wanted(0.0) {
                server.peer.reconfigure(plain.clone());
            }
            let here = id.and_then(|id| server.peer.peer_statistics(id));
            let there = client.peer.peer_statistics(PeerId::SERVER);
            [here, there].into_iter().flatten().filter(|one| wanted(one.rtt_msec)).count() == 2
        });
    };
    round_trip(&|msec| msec >= 120.0);
    round_trip(&|msec| (0.0..120.0).contains(&msec));
}

#[test]
fn waiting_costs_no_turns() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &patient());
    let (id, client) = clients.iter_mut().next().expect("one client");
    change(&mut server.peer, slow(300 * MS));
    // More than the server's input buffer holds: data that has arrived and is not read must not keep the thread busy.
    for _ in 0..40 {
        client.peer.send(Target::One(PeerId::SERVER), &[7; 5000], Delivery::Reliable).expect("room");
        server.peer.send(Target::One(*id), &[7; 500], Delivery::Reliable).expect("room");
    }
    let before = server.peer.statistics().io_wakeups;
    let start = Instant::now();
    eventually("nothing", || start.elapsed() > 1000 * MS);
    let turns = server.peer.statistics().io_wakeups - before;
    assert!(turns < 400, "{turns} turns in a second");
    let mut got = 0;
    eventually("everything", || {
        server.poll();
        client.poll();
        got += server.packets().len() + client.packets().len();
        got == 80
    });
}

#[test]
fn a_stalled_or_narrow_network_loses_nothing() {
    let runtime = Runtime::new();
    let buffers = Buffers { output_bytes: 1 << 20, ..Buffers::default() };
    let conditions = Conditions { bandwidth: 8000, stall_every: 2000 * MS, ..slow(10 * MS) };
    let config = PeerConfig { buffers, overflow_grace: DEADLINE, conditions, ..patient() };
    let (mut server, mut clients) = party(&runtime, 1, &config);
    let (id, client) = clients.iter_mut().next().expect("one client");
    // A megabyte at a megabyte per second, with stalls for half of the time.
    let start = Instant::now();
    for sent in 0..100_u32 {
        let mut packet = vec![7; 10_000];
        packet[..4].copy_from_slice(&sent.to_be_bytes());
        server.peer.send(Target::One(*id), &packet, Delivery::Reliable).expect("room");
    }
    let mut got = Vec::new();
    eventually("everything", || {
        server.poll();
        client.poll();
        got.extend(client.packets().iter().map(|(_, packet)| number(packet)));
        got.len() == 100
    });
    assert!(start.elapsed() >= 900 * MS, "{:?}", start.elapsed());
    assert!(got.iter().copied().eq(0..100), "in order");
}

#[test]
fn a_server_that_closes_leaves_nothing_on_the_way() {
    let runtime = Runtime::new();
    let config = PeerConfig { close_timeout: 100 * MS, ..patient() };
    let (mut server, mut clients) = party(&runtime, 1, &config);
    let client = clients.values_mut().next().expect("one client");
    let start = Instant::now();
    server.peer.reconfigure(PeerConfig { conditions: slow(10_000 * MS), ..config });
    server.peer.send(Target::All, b"last words", Delivery::Reliable).expect("room");
    server.peer.close();
    let mut got = Vec::new();
    eventually("the last words", || {
        client.poll();
        got.extend(client.packets());
        client.has(|event| *event == Event::ServerDisconnected)
    });
    assert_eq!(got, [(PeerId::SERVER, b"last words".to_vec())]);
    assert_eq!(client.peer.close_code(), 1001);
    assert!(start.elapsed() >= 100 * MS, "{:?}", start.elapsed());
}
