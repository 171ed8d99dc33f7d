//! Peers of other implementations, and peers that violate the protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tungstenite::{Message, WebSocket};
use websocket_multiplayer_core::{Event, PeerConfig, Runtime, ServerConfig};

use crate::support::{
    DEADLINE, TestPeer, eventually, foreign, foreign_to, multiplayer, raw, server, server_with,
};

fn raw_exchange(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream.write_all(request).expect("the request leaves");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, then the end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn poll_until(server: &mut TestPeer, what: &str, wanted: impl Fn(&Event) -> bool) {
    eventually(what, || {
        server.poll();
        server.events.iter().any(&wanted)
    });
}

#[test]
fn a_foreign_client_gets_its_id_and_talks() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let mut client = foreign(server.peer.local_port());
    let id = client.read().expect("the id").into_data();
    poll_until(&mut server, "it is in", |event| matches!(event, Event::PeerConnected { .. }));
    let known = server.connected_ids()[0];
    assert_eq!(id[..], known.0.to_le_bytes());
    client.send(Message::binary(vec![1, 2, 3])).expect("sent");
    let mut got = Vec::new();
    eventually("the packet", || {
        server.poll();
        got.extend(server.packets());
        !got.is_empty()
    });
    assert_eq!(got, [(known, vec![1, 2, 3])]);
}

#[test]
fn a_foreign_client_may_exchange_control_messages() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let mut client = foreign_to(server.peer.local_port(), "/game?a=b&godot-multiplayer=alive.v1&c");
    let hear = |client: &mut WebSocket<TcpStream>| loop {
        match client.read().expect("a message") {
            Message::Ping(_) => {}
            message => break message,
        }
    };
    assert_eq!(hear(&mut client), Message::text("alive 1 20000 60000"));
    let id = hear(&mut client).into_data();
    poll_until(&mut server, "it is in", |event| matches!(event, Event::PeerConnected { .. }));
    let known = server.connected_ids()[0];
    assert_eq!(id[..], known.0.to_le_bytes());
    let handle = server.peer.peer(known).expect("connected");
    assert_eq!(handle.path(), "/game?a=b&c");
    let silence = |server: &TestPeer| server.peer.peer_statistics(known).expect("connected").last_packet_msec;
    assert_eq!(silence(&server), -1);
    // What the game sends as text would be a control message.
    handle.send(b"ack 7 7", true).expect("room");
    assert!(handle.send(&[0xff], true).is_err(), "it still has to be text");
    assert_eq!(hear(&mut client), Message::binary(b"ack 7 7".to_vec()));
    for message in [Message::binary(vec![1]), Message::text("ack?"), Message::text("ack 1 1")] {
        client.send(message).expect("sent");
    }
    assert_eq!(hear(&mut client), Message::text("ack 1 1"));
    let mut got = Vec::new();
    eventually("the packet", || {
        server.poll();
        got.extend(server.packets());
        !got.is_empty()
    });
    assert_eq!(got, [(known, vec![1])]);
    assert!(silence(&server) >= 0);
    client.send(Message::text("ack 9 1")).expect("sent");
    let Message::Close(Some(close)) = hear(&mut client) else { panic!("a Close") };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (1002, "it acknowledges 9 messages, and 1 were sent")
    );
    poll_until(&mut server, "it is out", |event| matches!(event, Event::PeerDisconnected { .. }));
}

#[test]
fn raw_messages_keep_their_kind_and_may_be_empty() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, raw());
    let mut client = foreign(server.peer.local_port());
    for message in
        [Message::text("hällo"), Message::binary(vec![0, 255]), Message::text(""), Message::binary(vec![])]
    {
        client.send(message).expect("sent");
    }
    poll_until(&mut server, "it is in", |event| matches!(event, Event::PeerConnected { .. }));
    let handle = server.peer.peer(server.connected_ids()[0]).expect("connected");
    let mut got = Vec::new();
    eventually("four messages", || {
        server.poll();
        got.extend(std::iter::from_fn(|| handle.pop_packet()));
        got.len() == 4
    });
    let got: Vec<_> = got.iter().map(|packet| (packet.text, packet.payload.as_ref())).collect();
    assert_eq!(got, [(true, "hällo".as_bytes()), (false, &[0, 255]), (true, b""), (false, b"")]);
    handle.send(b"", false).expect("empty messages are fine here");
    handle.send("grüße".as_bytes(), true).expect("text");
    assert!(handle.send(&[0xff], true).is_err());
    assert_eq!(client.read().expect("a message"), Message::binary(vec![]));
    assert_eq!(client.read().expect("a message"), Message::text("grüße"));
}

#[test]
fn every_refusal_has_a_status_that_arrives() {
    let runtime = Runtime::new();
    let server = server(&runtime, multiplayer());
    let port = server.peer.local_port();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], "426"),
        (b"POST / HTTP/1.1\r\nHost: h\r\n\r\n", "405"),
        (b"GET / HTTP/1.0\r\n\r\n", "505"),
        (b"nonsense\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
    ] {
        let answer = raw_exchange(port, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
    long.resize(20_000, b'a');
    assert!(raw_exchange(port, &long).starts_with("HTTP/1.1 431 "));
}

#[test]
fn a_slow_request_is_cut_at_the_deadline() {
    let runtime = Runtime::new();
    // Enough time for a thread to send its part, and for the server to read it.
    let config = PeerConfig { handshake_timeout: Duration::from_secs(2), ..multiplayer() };
    let server = server(&runtime, config);
    assert!(raw_exchange(server.peer.local_port(), b"GET / HT").starts_with("HTTP/1.1 408 "));
    assert_eq!(raw_exchange(server.peer.local_port(), b""), "");
}

#[test]
fn more_handshakes_than_allowed_wait_their_turn() {
    let runtime = Runtime::new();
    let peer = PeerConfig { handshake_timeout: Duration::from_secs(2), ..multiplayer() };
    let mut server = server_with(&runtime, ServerConfig { peer, max_pending: 2, ..ServerConfig::default() });
    let port = server.peer.local_port();
    let _silent: Vec<_> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connected")).collect();
    let waiting = std::thread::spawn(move || foreign(port));
    poll_until(&mut server, "the third gets in when the silent ones are cut", |event| {
        matches!(event, Event::PeerConnected { .. })
    });
    waiting.join().expect("it was let in");
}

#[test]
fn the_remotes_end_is_told_clean_or_not() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, raw());
    let mut polite = foreign(server.peer.local_port());
    polite.close(None).expect("sent");
    poll_until(&mut server, "a clean end", |event| {
        matches!(event, Event::PeerDisconnected { clean: true, .. })
    });
    assert!(server.has(|event| matches!(event, Event::CloseRequested { code: 1005, .. })));
    let rude = foreign(server.peer.local_port());
    rude.get_ref().shutdown(Shutdown::Both).expect("cut");
    poll_until(&mut server, "an unclean end", |event| {
        matches!(event, Event::PeerDisconnected { clean: false, .. })
    });
}

#[test]
fn a_message_that_is_too_large_is_answered_with_1009() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, PeerConfig { max_message_size: Some(1000), ..raw() });
    let mut client = foreign(server.peer.local_port());
    client.send(Message::binary(vec![0; 1001])).expect("sent");
    match client.read().expect("a close") {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1009),
        other => panic!("{other:?}"),
    }
    poll_until(&mut server, "its end", |event| matches!(event, Event::PeerDisconnected { clean: false, .. }));
}

#[test]
fn pings_are_answered_while_the_game_does_not_poll() {
    let runtime = Runtime::new();
    let server = server(&runtime, raw());
    let mut client = foreign(server.peer.local_port());
    for i in 0..100_u8 {
        client.send(Message::Ping(vec![i].into())).expect("sent");
        assert_eq!(client.read().expect("a pong"), Message::Pong(vec![i].into()));
    }
}

#[test]
fn silence_is_pinged_and_then_cut() {
    let runtime = Runtime::new();
    let config = PeerConfig {
        heartbeat_interval: Duration::from_millis(250),
        heartbeat_timeout: Duration::from_secs(3),
        ..raw()
    };
    let mut server = server(&runtime, config);
    let mut lively = foreign(server.peer.local_port());
    let _dead = foreign(server.peer.local_port());
    let answers = std::thread::spawn(move || {
        // tungstenite answers pings when it reads.
        let mut pings = 0;
        while pings < 16 {
            if lively.read().expect("a ping").is_ping() {
                pings += 1;
            }
        }
        lively
    });
    poll_until(&mut server, "the dead one is cut", |event| {
        matches!(event, Event::PeerDisconnected { clean: false, .. })
    });
    let _lively = answers.join().expect("the lively one is pinged on");
    server.poll();
    assert_eq!(server.connected_ids().len(), 1);
    assert!(server.peer.peer_statistics(server.connected_ids()[0]).expect("connected").rtt_msec >= 0.0);
}
