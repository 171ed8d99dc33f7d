//! The errors of both sides when TLS fails, with the likely cause.

use std::io::Write;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConnection};

use super::lines::Lines;
use super::world::{End, Node, multiplayer, start};
use crate::base::CloseReason;
use crate::config::ServerConfig;
use crate::tls::{TlsClient, TlsServer, Trust, self_signed};

/// A ClientHello of TLS 1.2 or older, with these cipher suites.
fn hello(version: u16, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    // Groups: X25519. Points: uncompressed. Signatures: ECDSA and RSA with SHA-256. An extended master secret.
    let usual = b"\0\x0a\0\x04\0\x02\0\x1d\0\x0b\0\x02\x01\0\0\x0d\0\x06\0\x04\x04\x03\x04\x01\0\x17\0\0";
    let extensions = [&usual[..], extensions].concat();
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],
        &[0],
        &(suites.len() as u16).to_be_bytes(),
        &suites,
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let size = (body.len() as u32).to_be_bytes();
    let record = (body.len() as u16 + 4).to_be_bytes();
    [&[0x16, 3, 1][..], &record, &[1], &size[1..], &body].concat()
}

#[test]
fn a_server_says_what_is_wrong_with_a_client() {
    const ECDSA: u16 = 0xc02b;
    let http2 = b"\0\x10\0\x05\0\x03\x02h2";
    let (key, certificate) = self_signed("game.example");
    let rows: [(&[u8], &str); 12] = [
        (&hello(0x0303, &[0x002f], b""), "no cipher in common"),
        (&hello(0x0301, &[0x002f, ECDSA], b""), "supports neither TLS 1.2 nor TLS 1.3"),
        (&hello(0x0303, &[ECDSA], http2), "other application protocols (ALPN)"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "it asked in plain HTTP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "PROXY protocol"),
        (b"SSH-2.0-client\r\n", "the client does not speak TLS"),
        (b"\x15\x03\x01\0\x02\x02\x30", "does not trust our certificate (unknown issuer); it has to be told"),
        (b"\x15\x03\x01\0\x02\x02\x2a", "it may be for another host name"),
        (b"\x15\x03\x01\0\x02\x02\x2d", "says that our certificate has expired"),
        (b"\x15\x03\x01\0\x02\x02\x32", "could not make sense of our part of TLS"),
        (b"\x16\x03\x01\0\x02", "ended the connection during the TLS handshake; a browser does so"),
    ];
    for (bytes, expected) in rows {
        Lines::catch();
        let now = start();
        let tls = Some(TlsServer::new(&key, &certificate, "").expect("usable"));
        let mut server = Node::gated(ServerConfig { peer: multiplayer(), tls, ..ServerConfig::default() });
        let (there, here) = End::pair(64 * 1024, usize::MAX);
        server.accept(there, now);
        here.inject(bytes);
        server.run(now);
        here.half_close();
        server.run(now);
        let lines = Lines::with("no handshake with");
        assert!(lines.len() == 1 && lines[0].contains(expected), "{expected}: {lines:?}");
        assert_eq!((server.counters().handshakes_refused.get(), server.len()), (1, 0), "{expected}");
    }
}

/// A client that connects, and the other end.
fn client() -> (Node, End) {
    let trust = TlsClient::new(Trust::Anybody, None).expect("usable");
    let mut client = Node::dialling("wss://game.example/lobby", Some(trust), multiplayer());
    let (there, here) = End::pair(64 * 1024, usize::MAX);
    client.dial(there, start());
    (client, here)
}

fn assert_says(client: &Node, expected: &str) {
    let reason = client.end().expect("it has ended");
    assert!(
        matches!(reason, CloseReason::TransportError(_)) && reason.to_string().contains(expected),
        "{reason:?}, expected {expected:?}"
    );
    assert_eq!(client.len(), 0);
}

#[test]
fn a_client_says_what_a_server_means() {
    let alert = |code: u8| vec![0x15, 3, 3, 0, 2, 2, code];
    for (bytes, expected) in [
        (alert(40), "the server has no cipher, key exchange or signature in common with us"),
        (alert(70), "the server supports neither TLS 1.2 nor TLS 1.3"),
        (alert(120), "http/1.1 as application protocol (ALPN); it may speak HTTP/2 only"),
        (alert(112), "no certificate for this host name"),
        (alert(116), "wants a certificate from its clients"),
        (alert(50), "something in between may change it"),
        (alert(80), "its log may say more"),
        (alert(7), "the server ended TLS"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "it answered in plain HTTP (ws:// instead of wss://?)",
        ),
        (b"SSH-2.0-server\r\n".to_vec(), "the server does not speak TLS"),
        (Vec::new(), "it may not speak TLS on this port (ws://)"),
    ] {
        // The end follows the alert, by a close or a reset, also for a client that has sent nothing.
        for how in [End::half_close, End::cut, End::reset] {
            for spoken in [true, false] {
                if bytes.is_empty() && !(spoken && std::ptr::fn_addr_eq(how, End::half_close as fn(&End))) {
                    continue;
                }
                let (mut client, here) = client();
                if spoken {
                    client.run(start());
                }
                here.inject(&bytes);
                how(&here);
                client.run(start());
                assert_says(&client, expected);
            }
        }
    }
}

#[test]
fn what_a_server_said_before_it_left_is_heard_although_writing_fails_first() {
    let trust = TlsClient::new(Trust::Anybody, None).expect("usable");
    let mut client = Node::dialling("wss://game.example/lobby", Some(trust), multiplayer());
    let (there, here) = End::pair(64 * 1024, usize::MAX);
    client.dial(there, start());
    here.inject(b"\x15\x03\x03\0\x02\x02\x46");
    here.reset();
    client.run(start());
    assert_says(&client, "the server supports neither TLS 1.2 nor TLS 1.3");
}

/// Runs the handshake of a client with another server.
fn meet(config: rustls::ServerConfig, expected: &str) {
    let (mut client, mut here) = client();
    let mut server = ServerConnection::new(Arc::new(config)).expect("usable");
    for _ in 0..10 {
        client.run(start());
        while here.readable() > 0 {
            server.read_tls(&mut here).expect("bytes");
            // Only its alert counts.
            let _ = server.process_new_packets();
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory takes everything");
        }
        here.write_all(&bytes).expect("room");
    }
    here.half_close();
    client.run(start());
    assert_says(&client, expected);
}

#[test]
fn a_client_says_what_a_server_wants_that_it_has_not() {
    let (key, certificate) = self_signed("game.example");
    let identity = || {
        (
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
        )
    };
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = || {
            rustls::ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .expect("usable")
        };
        let (chain, key) = identity();
        let mut http2 = builder().with_no_client_auth().with_single_cert(chain, key).expect("usable");
        http2.alpn_protocols = vec![b"h2".to_vec()];
        meet(http2, "it may speak HTTP/2 only");

        let (chain, key) = identity();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a certificate");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().expect("usable");
        let mutual =
            builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).expect("usable");
        meet(mutual, "wants a certificate from its clients");
    }
}
