//! A thousand clients that never finish their TLS handshake, and clients that play meanwhile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    ClientConfig, Delivery, PeerConfig, PeerId, Runtime, ServerConfig, Status, Target, TlsServer, Trust, Url,
};

use crate::support::{
    DEADLINE, TestPeer, client_config, eventually, multiplayer, raise_file_limit, server_with,
};
use crate::tls::{engine_like, tls_client};

const SLOW: usize = 1000;
const ROUND_TRIPS: usize = 200;

/// Returns the first record of a client.
pub(crate) fn client_hello(runtime: &Arc<Runtime>) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut client =
        TestPeer { peer: websocket_multiplayer_core::Peer::new(Arc::clone(runtime)), events: Vec::new() };
    let url = Url::parse(&format!("wss://localhost:{port}/")).expect("a valid URL");
    let tls = Some(runtime.tls_client(Trust::Anybody, None).expect("usable"));
    client.peer.connect(ClientConfig { url, tls, ..client_config(port, multiplayer()) }).expect("it starts");
    let (mut stream, _) = listener.accept().expect("it connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    // A record has a header of five bytes, with the length of the rest.
    let mut hello = vec![0; 5];
    stream.read_exact(&mut hello).expect("a record");
    hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
    stream.read_exact(&mut hello[5..]).expect("a whole record");
    hello
}

/// Returns the median round-trip time of a packet.
fn round_trip(server: &mut TestPeer, client: &mut TestPeer) -> Duration {
    let id = PeerId(client.peer.unique_id());
    let mut times: Vec<_> = (0..ROUND_TRIPS)
        .map(|turn| {
            let start = Instant::now();
            let packet = (turn as u32).to_be_bytes();
            client.peer.send(Target::One(PeerId(1)), &packet, Delivery::Reliable).expect("room");
            loop {
                assert!(start.elapsed() < DEADLINE, "packet {turn} was not answered");
                server.poll();
                for (_, packet) in server.packets() {
                    server.peer.send(Target::One(id), &packet, Delivery::Reliable).expect("room");
                }
                client.poll();
                if let Some((_, answer)) = client.packets().pop() {
                    assert_eq!(answer, packet);
                    return start.elapsed();
                }
                thread::yield_now();
            }
        })
        .collect();
    times.sort();
    times[ROUND_TRIPS / 2]
}

#[test]
fn a_thousand_slow_handshakes_do_not_hold_up_who_is_in() {
    raise_file_limit();
    let runtime = Runtime::new();
    let identity = engine_like("localhost", 2034);
    // Long timeouts, so that none expires before the measurement ends.
    let patient = PeerConfig { handshake_timeout: Duration::from_secs(600), ..multiplayer() };
    let tls = TlsServer::new(&identity.0, &identity.1, "").expect("usable");
    let config =
        ServerConfig { peer: patient, tls: Some(tls), max_pending: SLOW + 10, ..ServerConfig::default() };
    let mut server = server_with(&runtime, config);
    let port = server.peer.local_port();
    let mut client = tls_client(&runtime, port, "localhost", Trust::Only(&identity.1), None);
    eventually("the client is in", || {
        server.poll();
        client.poll();
        client.peer.status() == Status::Connected && server.peer.has_peer(PeerId(client.peer.unique_id()))
    });
    let hello = client_hello(&runtime);
    let calm = round_trip(&mut server, &mut client);

    let slow: Vec<_> =
        (0..SLOW).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connected")).collect();
    let over = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        scope.spawn(|| {
            // Every second client stops half-way; the others send about one byte per 50 ms, but never the last one.
            for mut stream in slow.iter().step_by(2) {
                stream.write_all(&hello[..hello.len() / 2]).expect("half a handshake");
            }
            for byte in &hello[..hello.len() - 1] {
                for streams in slow.chunks(100) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    for mut stream in streams.iter().skip(1).step_by(2) {
                        stream.write_all(&[*byte]).expect("a byte");
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        eventually("all handshakes are under way", || server.peer.statistics().pending == SLOW);
        let busy = round_trip(&mut server, &mut client);
        assert_eq!(server.peer.statistics().pending, SLOW, "they were slow for as long as it was measured");
        over.store(true, Ordering::Relaxed);
        busy
    });
    println!("round trip {calm:?}, {busy:?} beside {SLOW} slow handshakes");
    // A driver that waited for any of them would take seconds, like them.
    assert!(busy < calm.max(Duration::from_millis(10)) * 20, "{calm:?} grew to {busy:?}");

    server.peer.reconfigure(PeerConfig { handshake_timeout: Duration::from_millis(100), ..multiplayer() });
    eventually("the slow ones are gone", || {
        server.poll();
        let statistics = server.peer.statistics();
        statistics.pending == 0 && statistics.handshakes_refused >= SLOW as u64
    });
    let statistics = server.peer.statistics();
    assert_eq!((statistics.handshakes_refused, statistics.peers), (SLOW as u64, 1));
    for mut stream in slow {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        // An error means that the connection was reset, because not all sent bytes were read.
        let mut rest = Vec::new();
        let timed_out =
            stream.read_to_end(&mut rest).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "a slow one was not cut");
    }
    round_trip(&mut server, &mut client);
}
