//! TLS records that no honest client sends: requests to renegotiate, repeated key updates, and many records without content. Each turn of
//! reading stays bounded, nothing accumulates, and no other peer is affected.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::crypto::ring;
use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::lines::Lines;
use super::world::{End, Node, REQUEST, SECOND, frame, raw, start};
use crate::base::{CloseReason, ConnId};
use crate::channel::Notice;
use crate::config::ServerConfig;
use crate::tls::{TlsServer, self_signed};

/// A server with an honest peer, and further connections.
struct Town {
    now: Instant,
    server: Node,
    certificate: String,
    honest: Option<Client>,
}

/// A client with a normal TLS implementation.
struct Client {
    tls: ClientConnection,
    wire: Wire,
}

/// A client that makes its records itself.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    decrypter: Box<dyn MessageDecrypter>,
    sent: u64,
    received: u64,
    wire: Wire,
}

/// A connection and its two ends.
struct Wire {
    conn: ConnId,
    here: End,
    there: End,
}

/// The effort of reading everything that a client has sent.
#[derive(Debug, Default)]
struct Reading {
    turns: usize,
    /// The most encrypted bytes that one turn took.
    encrypted: usize,
    /// The most plain bytes that one turn returned.
    plain: usize,
    ended: bool,
}

impl Town {
    fn new() -> Self {
        Self::with(ServerConfig { peer: raw(), ..ServerConfig::default() })
    }

    fn with(config: ServerConfig) -> Self {
        let (key, certificate) = self_signed("localhost");
        let tls = TlsServer::new(&key, &certificate, "").expect("usable");
        let server = Node::gated(ServerConfig { tls: Some(tls), ..config });
        let mut town = Self { now: start(), server, certificate, honest: None };
        town.honest = Some(town.comes(&TLS13));
        town
    }

    /// A connected client.
    fn comes(&mut self, version: &'static SupportedProtocolVersion) -> Client {
        let mut tls = hello(&self.certificate, version);
        let (there, mut here) = End::pair(1 << 20, usize::MAX);
        let conn = self.server.accept(there.clone(), self.now);
        tls.writer().write_all(REQUEST).expect("room");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            while tls.wants_write() {
                tls.write_tls(&mut here).expect("room");
            }
            self.server.run(self.now);
            answer.extend(pull(&mut tls, &mut here));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        Client { tls, wire: Wire { conn, here, there } }
    }

    fn forger(&mut self, version: &'static SupportedProtocolVersion) -> Forger {
        let Client { tls, wire } = self.comes(version);
        let secrets = tls.dangerous_extract_secrets().expect("the handshake is done");
        let (sent, out) = secrets.tx;
        let (received, input) = secrets.rx;
        let (
            ConnectionTrafficSecrets::Chacha20Poly1305 { key: out_key, iv: out_iv },
            ConnectionTrafficSecrets::Chacha20Poly1305 { key: in_key, iv: in_iv },
        ) = (out, input)
        else {
            panic!("the suite that was offered")
        };
        let (encrypter, decrypter) = match suite(version) {
            SupportedCipherSuite::Tls12(suite) => (
                suite.aead_alg.encrypter(out_key, out_iv.as_ref(), &[]),
                suite.aead_alg.decrypter(in_key, in_iv.as_ref()),
            ),
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(out_key, out_iv), suite.aead_alg.decrypter(in_key, in_iv))
            }
        };
        Forger { encrypter, decrypter, sent, received, wire }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(50));
            self.server.run(self.now);
        }
    }

    /// Reads a connection turn by turn, as the driver does, until every sent byte is read.
    fn read(&mut self, wire: &Wire) -> Reading {
        let mut reading = Reading::default();
        let end = wire.there.clone();
        loop {
            let (unread, before) = (end.readable(), self.server.counters().bytes_in.get());
            let more = self.server.run_once(self.now);
            reading.turns += 1;
            reading.encrypted = reading.encrypted.max(unread - end.readable());
            reading.plain = reading.plain.max((self.server.counters().bytes_in.get() - before) as usize);
            reading.ended = self.server.driver.stream(wire.conn).is_none();
            if reading.ended || !more && end.readable() == 0 {
                break;
            }
        }
        assert!(reading.encrypted <= TURN && reading.plain <= TURN, "{reading:?}");
        self.server.run(self.now);
        reading
    }

    /// Checks that the honest peer is still served, and that another one can still connect.
    fn lives(&mut self, row: &str) {
        let mut honest = self.honest.take().expect("it is in");
        honest.say(&frame(0x89, row.as_bytes()));
        self.server.run(self.now);
        let answer = pull(&mut honest.tls, &mut honest.wire.here);
        // After the server's own pings, if it has sent some.
        let pong = [&[0x8a, row.len() as u8], row.as_bytes()].concat();
        assert!(answer.ends_with(&pong), "{row}: {answer:?}");
        self.honest = Some(honest);
        let other = self.comes(&TLS13);
        other.wire.here.cut();
        self.server.run(self.now);
        assert_eq!(self.server.hub().pending_len(), 0, "{row}: a handshake is left");
    }

    fn received(&self, what: &[u8]) -> bool {
        self.server.has(|notice| matches!(notice, Notice::Packet(packet) if packet.payload == *what))
    }

    /// Checks that the client was disconnected because of its TLS records.
    fn assert_thrown_out(&self, row: &str, why: &str) {
        let reason = self.server.end();
        assert!(
            matches!(reason, Some(CloseReason::Violation(said)) if said.contains(why)),
            "{row}: {reason:?}, expected {why:?}"
        );
        assert_eq!(self.server.len(), 1, "{row}: it is dropped");
        assert_eq!(self.server.counters().peers_violated.get(), 1, "{row}: it is counted");
    }
}

impl Client {
    fn say(&mut self, plain: &[u8]) {
        self.tls.writer().write_all(plain).expect("room");
        self.push();
    }

    fn push(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("memory takes everything");
        }
        self.wire.here.inject(&bytes);
    }
}

impl Forger {
    /// Sends a record.
    fn say(&mut self, typ: ContentType, payload: &[u8]) {
        if typ == ContentType::ChangeCipherSpec {
            // These are never encrypted, because a ciphertext could look like anything.
            let size = (payload.len() as u16).to_be_bytes();
            self.wire.here.inject(&[&[0x14, 3, 3][..], &size, payload].concat());
            return;
        }
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.encrypter.encrypt(message, self.sent).expect("a record");
        self.sent += 1;
        self.wire.here.inject(&record.encode());
    }

    /// Returns the kind and the content of each received record.
    fn receive(&mut self) -> Vec<(ContentType, Vec<u8>)> {
        let mut bytes = &mut self.wire.here.take_all()[..];
        let mut records = Vec::new();
        while let [typ, _, _, high, low, rest @ ..] = bytes {
            let (payload, next) = rest.split_at_mut(usize::from(u16::from_be_bytes([*high, *low])));
            let record =
                InboundOpaqueMessage::new(ContentType::from(*typ), ProtocolVersion::TLSv1_2, payload);
            let plain = self.decrypter.decrypt(record, self.received).expect("a record of the server");
            self.received += 1;
            records.push((plain.typ, plain.payload.to_vec()));
            bytes = next;
        }
        records
    }
}

/// A client that has sent nothing, and offers one version and one cipher suite.
fn hello(certificate: &str, version: &'static SupportedProtocolVersion) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![suite(version)];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("a version with its suite")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").expect("a name"))
        .expect("usable")
}

fn suite(version: &'static SupportedProtocolVersion) -> SupportedCipherSuite {
    if *version == TLS12 {
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    } else {
        TLS13_CHACHA20_POLY1305_SHA256
    }
}

/// Returns the received plain bytes.
fn pull(tls: &mut ClientConnection, end: &mut End) -> Vec<u8> {
    let mut plain = Vec::new();
    loop {
        match tls.read_tls(end) {
            Ok(n) if n > 0 => drop(tls.process_new_packets().expect("TLS")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return plain,
            other => panic!("the server ended: {other:?}"),
        }
        let mut part = vec![0; TURN];
        while let Ok(n @ 1..) = tls.reader().read(&mut part) {
            plain.extend_from_slice(&part[..n]);
        }
    }
}

#[test]
fn another_handshake_is_declined_once() {
    let mut town = Town::new();
    let mut forger = town.forger(&TLS12);
    Lines::catch();
    let mut record = Vec::new();
    hello(&town.certificate, &TLS12).write_tls(&mut record).expect("memory takes everything");
    let hello = &record[5..];

    forger.say(ContentType::Handshake, hello);
    assert!(!town.read(&forger.wire).ended);
    // A warning: no renegotiation (RFC 5246 section 7.2.2).
    assert_eq!(forger.receive(), [(ContentType::Alert, vec![1, 100])]);
    forger.say(ContentType::ApplicationData, &frame(0x82, b"and so?"));
    assert!(!town.read(&forger.wire).ended);
    assert!(town.received(b"and so?"), "the connection goes on as it was");

    for _ in 0..1000 {
        forger.say(ContentType::Handshake, hello);
    }
    assert!(town.read(&forger.wire).ended);
    town.assert_thrown_out("another handshake", "TooManyRenegotiationRequests");
    assert!(forger.wire.here.readable() < 100, "what is said about it does not pile up");
    assert_eq!(Lines::with("").len(), 1, "a connection's life is worth one line");
    town.lives("another handshake");
}

/// A repeated record, how often it is allowed, and the error after that.
type Row<'a> = (&'a str, &'static SupportedProtocolVersion, ContentType, &'a [u8], usize, &'a str);

#[test]
fn records_that_say_nothing_are_cut() {
    // The kind of a TLS 1.3 record is its last byte other than zero (RFC 8446 section 5.4).
    let padding = [&[0x17][..], &[0; 16_000]].concat();
    // The first part of a message of 65535 bytes, which each later part continues.
    let piece = [&[1, 0, 0xff, 0xff][..], &[7; 60]].concat();
    let rows: [Row<'_>; 6] = [
        ("empty", &TLS13, ContentType::ApplicationData, b"", 32, "TooManyEmptyFragments"),
        ("empty in 1.2", &TLS12, ContentType::ApplicationData, b"", 32, "TooManyEmptyFragments"),
        ("padded", &TLS13, ContentType::Unknown(0), &padding, 32, "TooManyEmptyFragments"),
        ("warnings", &TLS12, ContentType::Alert, b"\x01\x70", 4, "TooManyWarningAlerts"),
        ("new ciphers", &TLS12, ContentType::ChangeCipherSpec, b"\x01", 0, "got ChangeCipherSpec"),
        ("a message that never ends", &TLS12, ContentType::Handshake, &piece, 0, "message buffer full"),
    ];
    for (row, version, typ, payload, allowed, why) in rows {
        let mut town = Town::new();
        let mut forger = town.forger(version);
        for _ in 0..allowed {
            forger.say(typ, payload);
        }
        assert!(!town.read(&forger.wire).ended, "{row}: so many are allowed");
        for _ in 0..1000 {
            forger.say(typ, payload);
        }
        Lines::catch();
        let reading = town.read(&forger.wire);
        assert!(reading.ended && reading.plain == 0, "{row}: {reading:?}");
        town.assert_thrown_out(row, why);
        assert!(forger.wire.here.readable() < 100, "{row}: what is said about it does not pile up");
        assert_eq!(Lines::with("").len(), 1, "{row}: a connection's life is worth one line");
        town.lives(row);
    }
}

#[test]
fn padding_is_read_one_turn_at_a_time() {
    let mut town = Town::new();
    let mut forger = town.forger(&TLS13);
    // As many consecutive records without content as are allowed.
    let record = [&[0x17][..], &[0; 16_000]].concat();
    for _ in 0..32 {
        forger.say(ContentType::Unknown(0), &record);
    }
    forger.say(ContentType::ApplicationData, &frame(0x82, b"at last"));
    let sent = forger.wire.there.readable();
    let reading = town.read(&forger.wire);
    assert!(!reading.ended && reading.turns >= sent / TURN, "{sent} bytes: {reading:?}");
    assert!(town.received(b"at last"));
    town.lives("padding");
}

#[test]
fn padding_counts_for_the_rate() {
    const RATE: usize = 20_000;
    let mut town =
        Town::with(ServerConfig { peer: raw(), max_inbound_per_second: RATE, ..ServerConfig::default() });
    let mut forger = town.forger(&TLS13);
    // Records of sixteen thousand bytes, of which one contains data.
    let pong = frame(0x8a, b"");
    for _ in 0..10 {
        for byte in &pong {
            let record = [&[*byte, 0x17][..], &[0; 16_000]].concat();
            forger.say(ContentType::Unknown(0), &record);
        }
    }
    forger.say(ContentType::ApplicationData, &frame(0x82, b"at last"));
    let sent = forger.wire.there.readable();
    let mut seconds = 0;
    while !town.received(b"at last") {
        town.pass(SECOND);
        seconds += 1;
        let read = sent - forger.wire.there.readable();
        assert!(read <= (seconds + 1) * RATE + TURN, "{read} bytes within {seconds} s");
        assert!(seconds <= sent / RATE + 1, "slower than it has to be");
    }
    town.lives("padding at a rate");
}

#[test]
fn records_of_one_byte_take_bounded_turns() {
    for version in [&TLS12, &TLS13] {
        let mut town = Town::new();
        let mut forger = town.forger(version);
        let sent = frame(0x8a, &[7; 100]).repeat(200);
        for byte in &sent {
            forger.say(ContentType::ApplicationData, &[*byte]);
        }
        forger.say(ContentType::ApplicationData, &frame(0x82, b"at last"));
        let sent = forger.wire.there.readable();
        let reading = town.read(&forger.wire);
        assert!(!reading.ended && reading.turns >= sent / TURN, "{sent} bytes: {reading:?}");
        assert!(town.received(b"at last"), "a slow way to say something is no offence");
        assert_eq!(forger.receive(), []);
        town.lives("one byte");
    }
}

#[test]
fn new_keys_are_for_those_who_use_them() {
    let mut town = Town::new();
    let mut client = town.comes(&TLS13);
    // Each key update also requests one from the server, and each is followed by data.
    for _ in 0..2000 {
        client.tls.refresh_traffic_keys().expect("TLS 1.3");
        client.say(&frame(0x8a, b""));
    }
    assert!(!town.read(&client.wire).ended, "rare as it is, this is allowed");
    let waiting = client.wire.here.readable();
    assert!(waiting < 100, "{waiting} bytes of answers had piled up");
    client.say(&frame(0x89, b"still here"));
    town.server.run(town.now);
    assert_eq!(pull(&mut client.tls, &mut client.wire.here), b"\x8a\x0astill here");

    for _ in 0..32 {
        client.tls.refresh_traffic_keys().expect("TLS 1.3");
    }
    client.push();
    assert!(!town.read(&client.wire).ended, "so many in a row are allowed");
    client.tls.refresh_traffic_keys().expect("TLS 1.3");
    client.push();
    assert!(town.read(&client.wire).ended);
    town.assert_thrown_out("new keys", "TooManyKeyUpdateRequests");
    town.lives("new keys");
}

/// The bytes that one turn may take, as in the driver.
const TURN: usize = 64 * 1024;
