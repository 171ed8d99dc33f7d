//! Attacks below the WebSocket: TLS on a plain port, plain text on a TLS port, and records that waste time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, DigitallySignedStruct, SignatureScheme};
use websocket_multiplayer_core::{Delivery, PeerId, Runtime, ServerConfig, Status, Target, TlsServer, Trust};

use crate::support::{DEADLINE, TestPeer, eventually, multiplayer, server_with};
use crate::tls::{engine_like, tls_client};

pub(crate) const REQUEST: &[u8] =
    b"GET /game HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A TLS client that can send what no WebSocket client would.
pub(crate) struct Bare {
    pub(crate) tls: ClientConnection,
    pub(crate) stream: TcpStream,
}

/// The tests are about records, not about certificates.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Bare {
    /// Connects and completes the TLS handshake.
    pub(crate) fn new(port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        Self { tls, stream }
    }

    /// Sends plain bytes in a record.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("it takes them");
        self.push().expect("they leave");
    }

    fn push(&mut self) -> std::io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Reads until the response to the request is complete.
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut part = [0; 1024];
            match self.tls.reader().read(&mut part) {
                Ok(0) => panic!("the server ended"),
                Ok(n) => answer.extend_from_slice(&part[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.stream).expect("an answer");
                    self.tls.process_new_packets().expect("TLS");
                }
                Err(error) => panic!("{error}"),
            }
        }
        answer
    }
}

/// A TLS server with one honest client.
pub(crate) fn town(runtime: &Arc<Runtime>) -> (TestPeer, TestPeer) {
    let (key, certificate) = engine_like("localhost", 2034);
    let tls = TlsServer::new(&key, &certificate, "").expect("usable");
    let mut server =
        server_with(runtime, ServerConfig { peer: multiplayer(), tls: Some(tls), ..ServerConfig::default() });
    let mut honest =
        tls_client(runtime, server.peer.local_port(), "localhost", Trust::Only(&certificate), None);
    eventually("the honest client is in", || {
        server.poll();
        honest.poll();
        honest.peer.status() == Status::Connected && !server.connected_ids().is_empty()
    });
    (server, honest)
}

/// Checks that the honest client's packet arrives and is answered.
pub(crate) fn lives(server: &mut TestPeer, honest: &mut TestPeer, what: &str) {
    let id = PeerId(honest.peer.unique_id());
    honest.peer.send(Target::One(PeerId::SERVER), what.as_bytes(), Delivery::Reliable).expect("room");
    let mut answered = false;
    eventually(what, || {
        server.poll();
        for (from, packet) in server.packets() {
            if from == id {
                server.peer.send(Target::One(id), &packet, Delivery::Reliable).expect("room");
            }
        }
        honest.poll();
        answered |= honest.packets().iter().any(|(_, packet)| packet == what.as_bytes());
        answered
    });
}

#[test]
fn records_of_one_byte_say_the_same() {
    let runtime = Runtime::new();
    let (mut server, mut honest) = town(&runtime);
    let mut bare = Bare::new(server.peer.local_port());
    for byte in REQUEST {
        bare.say(&[*byte]);
    }
    assert!(bare.answer().starts_with(b"HTTP/1.1 101 "));
    for byte in [0x82, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'] {
        bare.say(&[byte]);
    }
    let mut got = Vec::new();
    eventually("the message", || {
        server.poll();
        got.extend(server.packets());
        !got.is_empty()
    });
    assert_eq!(got[0].1, b"hello");
    lives(&mut server, &mut honest, "beside records of one byte");
}

#[test]
fn new_keys_without_end_are_refused() {
    let runtime = Runtime::new();
    let (mut server, mut honest) = town(&runtime);
    let mut bare = Bare::new(server.peer.local_port());
    bare.say(REQUEST);
    bare.answer();
    eventually("it is in", || {
        server.poll();
        server.connected_ids().len() == 2
    });
    let mut updates = 0;
    let start = Instant::now();
    // Each key update also requests one from the server.
    while updates < 100_000 && start.elapsed() < DEADLINE {
        if bare.tls.refresh_traffic_keys().is_err() || bare.push().is_err() {
            break;
        }
        updates += 1;
    }
    eventually("it is thrown out", || {
        server.poll();
        server.connected_ids().len() == 1
    });
    lives(&mut server, &mut honest, "beside new keys");
}

#[test]
fn a_flood_of_bad_records_is_cut_and_others_play_on() {
    let runtime = Runtime::new();
    let (mut server, mut honest) = town(&runtime);
    let port = server.peer.local_port();
    let piece = |byte: u8| [0x16, 3, 1, 0, 1, byte];
    // The first four bytes announce a message of 65535 bytes.
    let endless = [1, 0, 0xff, 0xff].into_iter().chain([7; 20_000]).flat_map(piece).collect();
    let rows: [(&str, Vec<u8>); 6] = [
        ("a plain request", REQUEST.to_vec()),
        ("zeros", vec![0; 70_000]),
        ("a record that is too long", b"\x16\x03\x01\xff\xff".repeat(5000)),
        ("a hello that never ends, a byte in each record", endless),
        ("empty handshake records", b"\x16\x03\x01\0\0".repeat(20_000)),
        ("alerts", b"\x15\x03\x01\0\x02\x01\x5a".repeat(20_000)),
    ];
    for (what, bytes) in rows {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
        // The server may end the connection before it has read all of them.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{what}: the server does not end it"
        );
        // The response is a TLS alert or nothing, but never HTTP.
        assert!(answer.is_empty() || answer[0] == 0x15, "{what}: {answer:?}");
        lives(&mut server, &mut honest, what);
    }
    eventually("nobody is left at the door", || {
        server.poll();
        server.peer.statistics().pending == 0
    });
}
