//! Encrypted connections that send as fast as the system permits, or that start all at once, and one client that wants answers meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{Delivery, PeerConfig, PeerId, Runtime, Target};

use crate::hostile::{Bare, REQUEST, town};
use crate::support::{DEADLINE, TestPeer, eventually, multiplayer, raise_file_limit};
use crate::tls_slow::client_hello;

/// Sends one message of the honest client to the server and back, polling without a pause.
fn round_trip(server: &mut TestPeer, honest: &mut TestPeer) {
    let id = PeerId(honest.peer.unique_id());
    honest.peer.send(Target::One(PeerId::SERVER), b"here", Delivery::Reliable).expect("room");
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < DEADLINE, "no answer");
        server.poll();
        for (from, packet) in server.packets() {
            if from == id {
                server.peer.send(Target::One(id), &packet, Delivery::Reliable).expect("room");
            }
        }
        honest.poll();
        if !honest.packets().is_empty() {
            return;
        }
        thread::yield_now();
    }
}

/// Connects a client, and prepares its records: unsolicited pongs, which the server reads but neither keeps nor answers.
fn pouring(port: u16, seed: &[u8]) -> (Bare, Vec<u8>) {
    let mut bare = Bare::new(port);
    bare.say(REQUEST);
    assert!(bare.answer().starts_with(b"HTTP/1.1 101 "));
    let mut records = Vec::new();
    while records.len() < POURED {
        bare.tls.writer().write_all(seed).expect("room");
        while bare.tls.wants_write() {
            bare.tls.write_tls(&mut records).expect("memory takes everything");
        }
    }
    (bare, records)
}

#[test]
fn who_pours_keeps_nobody_waiting() {
    let runtime = Runtime::new();
    let (mut server, mut honest) = town(&runtime);
    let port = server.peer.local_port();
    let pongs = [&[0x8a, 0xfd, 0, 0, 0, 0][..], &[0; 125]].concat().repeat(16 * 1024 / 131);
    // Prepared, so that sending costs little and the sockets are always full.
    let pouring: Vec<_> = (0..2).map(|_| pouring(port, &pongs)).collect();
    eventually("they are in", || {
        server.poll();
        server.connected_ids().len() == 3
    });
    let before = server.peer.statistics().bytes_in;
    let all = (pouring.iter().map(|(_, records)| records.len()).sum::<usize>() * 9 / 10) as u64;
    let mut answers = 0;
    thread::scope(|scope| {
        for (bare, records) in &pouring {
            scope.spawn(|| (&bare.stream).write_all(records).expect("the server reads it"));
        }
        while server.peer.statistics().bytes_in - before < all {
            round_trip(&mut server, &mut honest);
            answers += 1;
        }
    });
    println!("{answers} answers while {all} bytes poured in");
    // A driver that read one flood until it is empty would have answered once.
    assert!(answers >= 2, "only {answers} answers while {all} bytes poured in");
}

#[test]
fn many_handshakes_at_once_keep_nobody_waiting() {
    raise_file_limit();
    let runtime = Runtime::new();
    let (mut server, mut honest) = town(&runtime);
    // Long timeouts, so that none expires on a busy machine.
    let patient = PeerConfig { handshake_timeout: Duration::from_secs(600), ..multiplayer() };
    server.peer.reconfigure(patient);
    let port = server.peer.local_port();
    let hello = client_hello(&runtime);
    let handshaking: Vec<_> =
        (0..HANDSHAKING).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connected")).collect();
    eventually("all are accepted", || server.peer.statistics().pending == HANDSHAKING);
    for mut stream in &handshaking {
        stream.write_all(&hello).expect("room for a hello");
        stream.set_nonblocking(true).expect("an option");
    }
    let mut waiting: Vec<_> = handshaking.iter().collect();
    let mut answers = 0;
    while !waiting.is_empty() {
        round_trip(&mut server, &mut honest);
        answers += 1;
        waiting.retain(|stream| stream.peek(&mut [0]).is_err());
    }
    println!("{answers} answers beside {HANDSHAKING} handshakes");
    // A driver that did all handshakes in one round would have answered once.
    assert!(answers >= 2, "only {answers} answers beside {HANDSHAKING} handshakes");
}

/// Clients that begin a handshake at the same time.
const HANDSHAKING: usize = 600;
/// Bytes that each client sends: many times the size of the system's buffers.
const POURED: usize = 32 * 1024 * 1024;
