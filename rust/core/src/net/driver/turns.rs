//! Tests of who gets a turn when: a driver over real sockets whose rounds the test lets happen one by one. What is compared are
//! counts, so that a machine that is busy with something else cannot spoil them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::base::ConnId;
use crate::behaviour::{End, REQUEST};
use crate::channel::{Command, Form, Notice, PayloadRef, PeerShared, QueueTotals};
use crate::conditions::Conditions;
use crate::config::{BindAddress, Buffers, Mode, PeerConfig, WireFormat};
use crate::hub::transports::Step;
use crate::testing::InMemory;
use crate::tls::{TlsClient, TlsServer, TlsSession, Trust, self_signed};

/// A server whose rounds happen when the test says so.
pub(super) struct Stepped {
    pub(super) driver: Driver,
    port: u16,
}

impl Stepped {
    pub(super) fn new(encrypted: bool) -> Self {
        Self::with(encrypted, patient())
    }

    pub(super) fn with(encrypted: bool, peer: PeerConfig) -> Self {
        Self::gated(encrypted, ServerConfig { peer, ..ServerConfig::default() })
    }

    pub(super) fn gated(encrypted: bool, config: ServerConfig) -> Self {
        let tls = encrypted.then(|| {
            let (key, certificate) = self_signed("localhost");
            TlsServer::new(&key, &certificate, "").expect("usable")
        });
        let config = ServerConfig { tls, ..config };
        let listener = Listener::bind(BindAddress::Ip(Ipv4Addr::LOCALHOST.into()), 0).expect("a free port");
        let port = listener.port();
        let driver = Driver::server(config, false, listener, &Runtime::new()).expect("a driver");
        Self { driver, port }
    }

    /// One round, which does not wait for anything.
    pub(super) fn step(&mut self) {
        let nothing = Command::NoDelay { conn: ConnId { slot: u32::MAX, generation: 0 }, enabled: true };
        self.driver.mailbox.command(nothing);
        self.driver.mailbox.note_poll(Instant::now());
        self.driver.round().expect("a round");
        assert_ne!(self.driver.next, Next::Finished, "the server goes on");
    }

    /// A client whose TLS handshake has not begun, and the connection to it.
    fn connect(&mut self) -> (TcpStream, ConnId) {
        let before: Vec<_> = self.conns();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the server listens");
        stream.set_nonblocking(true).expect("an option");
        stream.set_nodelay(true).expect("an option");
        let start = Instant::now();
        loop {
            self.step();
            if let Some(new) = self.conns().into_iter().find(|conn| !before.contains(conn)) {
                return (stream, new);
            }
            assert!(start.elapsed() < DEADLINE, "it is not accepted");
        }
    }

    /// What the game knows of a connection that is a peer, and is new.
    pub(super) fn shared(&self, conn: ConnId) -> Arc<PeerShared> {
        self.peers().into_iter().find(|shared| shared.conn == conn).expect("it is new")
    }

    pub(super) fn peers(&self) -> Vec<Arc<PeerShared>> {
        let mut notices = Vec::new();
        self.driver.mailbox.take_notices(&mut notices);
        let shared = |notice| match notice {
            Notice::Connected { shared, .. } => Some(shared),
            _ => None,
        };
        notices.into_iter().filter_map(shared).collect()
    }

    /// Sends so many bytes to a connection that is a peer.
    pub(super) fn send(&self, conn: ConnId, bytes: usize) {
        self.send_through(&self.shared(conn), bytes >> 20, 1 << 20);
    }

    /// So many packets.
    pub(super) fn send_through(&self, shared: &PeerShared, count: usize, size: usize) {
        let payload = vec![7; size].into();
        for _ in 0..count {
            shared.outgoing.add(size);
            let sent = PayloadRef::shared(&payload);
            self.driver.mailbox.send(shared.conn, sent, Form::Binary);
        }
    }

    /// Sends a byte to a connection, and lets so many rounds pass.
    fn say_and_step(&mut self, conn: ConnId, rounds: usize) {
        self.driver.mailbox.send(conn, PayloadRef::copied(b"?"), Form::Binary);
        for _ in 0..rounds {
            self.step();
        }
    }

    /// Says whether a connection is as it was, and not about to end.
    pub(super) fn has(&self, conn: ConnId) -> bool {
        let mut notices = Vec::new();
        self.driver.mailbox.take_notices(&mut notices);
        let closed = notices
            .iter()
            .any(|notice| matches!(notice, Notice::Disconnected { .. } | Notice::Overflowed(_)));
        !closed && self.conns().contains(&conn)
    }

    fn conns(&self) -> Vec<ConnId> {
        self.driver.sockets.iter().map(|socket| socket.conn).collect()
    }

    /// A client that is in.
    pub(super) fn join(&mut self, encrypted: bool) -> Client {
        let (stream, conn) = self.connect();
        let tls = encrypted.then(|| hello().session("localhost").expect("a name"));
        let mut client = Client { stream, tls, conn, unsent: REQUEST.to_vec(), answers: Vec::new() };
        let start = Instant::now();
        while !client.answers.windows(4).any(|end| end == b"\r\n\r\n") {
            client.push();
            self.step();
            client.pull();
            assert!(start.elapsed() < DEADLINE, "it is not let in");
        }
        assert!(client.answers.starts_with(b"HTTP/1.1 101 "));
        client.answers.clear();
        client
    }

    /// Waits until what was sent on a connection lies in the server's socket.
    pub(super) fn await_arrival(&mut self, conn: ConnId) {
        let start = Instant::now();
        while self.peek(conn).is_err() {
            assert!(start.elapsed() < DEADLINE, "nothing arrives");
        }
    }

    /// Looks whether something lies in the server's socket.
    pub(super) fn peek(&mut self, conn: ConnId) -> io::Result<usize> {
        self.driver.sockets.socket(conn).expect("connected").stream.stream.0.peek(&mut [0])
    }

    /// A round with a ping of this client before it, which that round has to answer.
    fn step_with_ping(&mut self, client: &mut Client) {
        client.unsent.extend_from_slice(PING);
        client.push();
        assert!(client.unsent.is_empty(), "a ping leaves at once");
        self.await_arrival(client.conn);
        self.step();
        let start = Instant::now();
        while client.answers.len() < PONG.len() {
            client.pull();
            assert!(start.elapsed() < DEADLINE, "its turn did not come in this round");
        }
        assert_eq!(client.answers, PONG);
        client.answers.clear();
    }
}

/// Nobody runs out of time, however busy the machine is, and nothing is said but what the test provokes.
pub(super) fn patient() -> PeerConfig {
    PeerConfig {
        mode: Mode::Raw,
        handshake_timeout: Duration::from_secs(600),
        heartbeat_interval: Duration::ZERO,
        heartbeat_timeout: Duration::ZERO,
        write_timeout: Duration::ZERO,
        ..PeerConfig::default()
    }
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
    tls: Option<TlsSession>,
    pub(super) conn: ConnId,
    pub(super) unsent: Vec<u8>,
    pub(super) answers: Vec<u8>,
}

impl Client {
    /// Writes as much as the socket takes.
    pub(super) fn push(&mut self) {
        loop {
            let wrote = match &mut self.tls {
                None => self.stream.write(&self.unsent),
                Some(tls) => {
                    let mut stream = tls.stream(&mut self.stream);
                    match stream.flush() {
                        Ok(()) if !self.unsent.is_empty() => stream.write(&self.unsent),
                        Ok(()) => Ok(0),
                        Err(error) => Err(error),
                    }
                }
            };
            match wrote {
                Ok(0) => return,
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads what has come.
    pub(super) fn pull(&mut self) {
        loop {
            let mut part = [0; 4096];
            let read = match &mut self.tls {
                None => self.stream.read(&mut part),
                Some(tls) => tls.stream(&mut self.stream).read(&mut part),
            };
            match read {
                Ok(0) => panic!("the server ended"),
                Ok(n) => self.answers.extend_from_slice(&part[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Fills the socket with frames.
    fn pour(&mut self, frame: &[u8]) {
        if self.unsent.len() < BACKLOG {
            self.unsent.extend(frame.repeat(2 * BACKLOG / frame.len()));
        }
        self.push();
    }
}

fn hello() -> TlsClient {
    TlsClient::new(Trust::Anybody, None).expect("usable")
}

#[test]
fn a_round_has_one_order_whoever_drives() {
    let mut server = Stepped::new(false);
    server.join(false);
    server.step();
    let mut steps = Vec::new();
    let access = Box::new(AccessPolicy::new(ServerConfig::default()));
    let totals = QueueTotals::new(usize::MAX);
    let mut driver: InMemory<End> =
        InMemory::new(patient(), Side::Server(access), &totals, TURN, Instant::now());
    driver.round_with(Instant::now(), &mut |step| steps.push(step));
    assert_eq!(server.driver.sockets.steps, steps);
    // Commands first, so that what the game sent leaves in this round; deadlines behind reading and writing.
    let order = [Step::Commands, Step::Read, Step::Write, Step::Expire, Step::Deliver, Step::Handshakes];
    assert_eq!(steps, order);
}

#[test]
fn handshakes_share_a_bounded_time_so_that_peers_get_their_turns() {
    let mut server = Stepped::new(true);
    let mut open = server.join(true);
    let mut handshaking: Vec<_> = (0..HANDSHAKING).map(|_| server.connect()).collect();
    server.step();
    assert!(server.driver.hub.queued_reads().1 == 0, "nobody has said anything yet");

    for (stream, conn) in &mut handshaking {
        let mut tls = hello().session("localhost").expect("a name");
        tls.stream(stream).push().expect("room for a hello");
        server.await_arrival(*conn);
    }
    let mut rounds = 0;
    loop {
        server.step_with_ping(&mut open);
        rounds += 1;
        let waiting = server.driver.hub.queued_reads().1;
        if waiting == 0 {
            break;
        }
        assert!(rounds + waiting <= HANDSHAKING, "round {rounds} did nothing for {waiting} connections");
    }
    println!("{HANDSHAKING} handshakes in {rounds} rounds, each with a turn of the open peer");
    // A round that had all of them would have made the peer wait for all of them.
    assert!(rounds >= 5, "only {rounds} rounds");
}

#[test]
fn who_pours_gets_one_turn_in_a_round() {
    // What the server has to read and keeps nothing of. Pings it answers, but nobody here reads that.
    let long = [b"\x8a\xfd\0\0\0\0", &[0; 125][..]].concat();
    for (row, frame) in
        [("long pongs", &long[..]), ("pongs", b"\x8a\x80\0\0\0\0"), ("pings", b"\x89\x80\0\0\0\0")]
    {
        for encrypted in [false, true] {
            let row = format!("{row}, encrypted: {encrypted}");
            let mut server = Stepped::new(encrypted);
            let mut quiet = server.join(encrypted);
            let mut pouring: Vec<_> = (0..2).map(|_| server.join(encrypted)).collect();
            let (mut most, mut all) = (0, 0);
            for _ in 0..50 {
                for client in &mut pouring {
                    client.pour(frame);
                    server.await_arrival(client.conn);
                }
                let before = server.driver.mailbox.counters.bytes_in.get();
                server.step_with_ping(&mut quiet);
                let read = (server.driver.mailbox.counters.bytes_in.get() - before) as usize;
                (most, all) = (most.max(read), all + read);
            }
            println!("{row}: {most} bytes in a round at most, {all} in all");
            assert!(most <= pouring.len() * TURN + PING.len(), "{row}: {most} bytes in one round");
            // They are read all the same, and have far more to say than one turn takes.
            assert!(all >= 50 * pouring.len() * 2048, "{row}: {all} bytes in all");
            for client in pouring {
                assert!(server.has(client.conn), "{row}: it was thrown out");
                client.stream.shutdown(Shutdown::Both).expect("it can be ended");
            }
            let unanswered = server.driver.mailbox.counters.pings_unanswered.get();
            assert_eq!(unanswered > 0, frame[0] == 0x89, "{row}: {unanswered} pings are not answered");
        }
    }
}

#[test]
fn who_took_its_packets_while_the_process_was_stopped_is_not_closed() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let grace =
        PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot4), overflow_grace: TIMEOUT, ..patient() };
    let write = PeerConfig { write_timeout: TIMEOUT, ..patient() };
    for (row, peer) in [("overflow_grace", grace), ("write_timeout", write)] {
        for encrypted in [false, true] {
            let mut server = Stepped::with(encrypted, peer.clone());
            let mut client = server.join(encrypted);
            server.send(client.conn, 64 << 20);
            // It takes what its system has room for, in one round or in several.
            let start = Instant::now();
            while server.driver.hub.is_writable(client.conn) {
                server.step();
                assert!(start.elapsed() < DEADLINE, "{row}: it is never congested");
            }
            let stop = Instant::now();
            let mut taken = 0;
            while stop.elapsed() < 2 * TIMEOUT {
                taken += client.stream.read(&mut [0; 65_536]).unwrap_or(0);
            }
            server.step();
            assert!(
                server.has(client.conn),
                "{row}, encrypted: {encrypted}: closed, with {taken} bytes taken"
            );
            // From here on it takes nothing.
            let start = Instant::now();
            while server.has(client.conn) {
                std::thread::sleep(TIMEOUT);
                server.step();
                assert!(start.elapsed() < DEADLINE, "{row}, encrypted: {encrypted}: it is never closed");
            }
        }
    }
}

#[test]
fn a_broken_connection_that_is_not_read_leaves_the_thread_at_rest() {
    for encrypted in [false, true] {
        let buffers = Buffers { input_packets: 2, ..Buffers::default() };
        let mut server = Stepped::with(encrypted, PeerConfig { buffers, ..patient() });
        let mut client = server.join(encrypted);
        // More than the game has room for, so that the end behind it is not seen.
        client.unsent = [0x82, 0x80, 0, 0, 0, 0].repeat(10);
        client.push();
        server.await_arrival(client.conn);
        for _ in 0..3 {
            server.step();
        }
        // With something unread, the system resets the connection.
        server.send(client.conn, 1 << 20);
        server.step();
        drop(client.stream);
        let start = Instant::now();
        let mut rested = false;
        while !rested {
            server.say_and_step(client.conn, 5);
            rested = server.driver.timeout() != Some(Duration::ZERO);
            assert!(server.has(client.conn), "what it sent can still be read");
            assert!(start.elapsed() < DEADLINE, "encrypted: {encrypted}: the thread never rests");
        }
        // Not just before it learns of the reset.
        server.say_and_step(client.conn, 50);
        assert_ne!(server.driver.timeout(), Some(Duration::ZERO), "encrypted: {encrypted}");
    }
}

#[test]
fn a_bad_network_that_ends_leaves_nothing_in_between() {
    let conditions = Conditions { latency: Duration::from_millis(1), ..Conditions::default() };
    for speaks in [true, false] {
        let mut server = Stepped::with(false, PeerConfig { conditions, ..patient() });
        let mut client = server.join(false);
        let emulated = |server: &Stepped| {
            server.driver.sockets.iter().filter(|socket| socket.stream.is_emulated()).count()
        };
        assert_eq!(emulated(&server), 1);
        if speaks {
            client.unsent.extend_from_slice(PING);
            client.push();
            server.await_arrival(client.conn);
        }
        server.driver.mailbox.configure(patient());
        let start = Instant::now();
        while emulated(&server) > 0 {
            server.step();
            assert!(start.elapsed() < DEADLINE, "speaks: {speaks}: it stays");
        }
        if speaks {
            while client.answers != PONG {
                server.step();
                client.pull();
                assert!(start.elapsed() < DEADLINE, "what it said is lost");
            }
            client.answers.clear();
        }
        server.step_with_ping(&mut client);
    }
}

/// So many that the time for them is long against whatever a scheduler does.
const HANDSHAKING: usize = 300;
/// Bytes that somebody who pours has ready beyond what the socket takes.
const BACKLOG: usize = 1 << 20;
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// With a mask of zeros.
const PING: &[u8] = b"\x89\x82\0\0\0\0hi";
const PONG: &[u8] = b"\x8a\x02hi";
