//! A server's hub, and connections to it over pipes in memory, with a clock that only the test moves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::access::AccessPolicy;
use crate::base::{CloseFrame, CloseReason, ConnId, Side as CloseSide};
use crate::channel::{Command, Counters, Form, Notice, Outbound, PeerShared, QueueTotals};
use crate::conditions::Conditions;
use crate::config::{Mode, PeerConfig, ServerConfig, WireFormat};
use crate::http::Url;
use crate::hub::transports::{Readiness, ShortRead};
use crate::hub::{EvictionOutcome, Hub, Side, TURN};
use crate::testing::{InMemory, MemoryStream};
use crate::tls::{TlsClient, TlsServer, Trust, self_signed};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The bytes that fit before writing blocks.
    capacity: usize,
    /// The most bytes that one call moves.
    step: usize,
    ended: bool,
    /// The reader gets nothing for now.
    held: bool,
    /// The reader is gone, so writing fails.
    broken: bool,
    /// The connection was reset; the reader gets the error after the received bytes.
    reset: bool,
    /// Counts the events that a poller would report to the reader.
    changes: u64,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    input: Rc<RefCell<Pipe>>,
    output: Rc<RefCell<Pipe>>,
    /// The events of the input that were reported.
    seen: u64,
    /// The output was full at the last write.
    full: bool,
    /// If the end is dropped with unread bytes, the connection is reset.
    resets: bool,
}

impl End {
    /// Two ends, each of which takes `capacity` bytes from the other before it blocks, `step` bytes per call at most.
    pub(super) fn pair(capacity: usize, step: usize) -> (Self, Self) {
        let pipe = || {
            Rc::new(RefCell::new(Pipe {
                bytes: VecDeque::new(),
                capacity,
                step,
                ended: false,
                held: false,
                broken: false,
                reset: false,
                changes: 0,
            }))
        };
        let (there, back) = (pipe(), pipe());
        let end = |input, output| Self { input, output, seen: 0, full: false, resets: false };
        (end(Rc::clone(&back), Rc::clone(&there)), end(there, back))
    }

    /// Makes the connection reset if it is dropped with unread bytes, as an operating system does.
    pub(super) fn resetting(self) -> Self {
        Self { resets: true, ..self }
    }

    /// Ends this side; the other side reads the remaining bytes and then the end.
    pub(super) fn half_close(&self) {
        let mut output = self.output.borrow_mut();
        output.ended = true;
        output.changes += 1;
    }

    /// Drops the connection.
    pub(super) fn cut(&self) {
        self.half_close();
        self.input.borrow_mut().broken = true;
    }

    /// Drops the connection as an operating system does with unread bytes: the other side cannot write any more, and gets the error after
    /// the received bytes.
    pub(super) fn reset(&self) {
        let mut output = self.output.borrow_mut();
        output.reset = true;
        output.changes += 1;
        self.input.borrow_mut().broken = true;
    }

    pub(super) fn readable(&self) -> usize {
        self.input.borrow().bytes.len()
    }

    /// Returns everything that was received.
    pub(super) fn take_all(&self) -> Vec<u8> {
        self.input.borrow_mut().bytes.drain(..).collect()
    }

    /// Adds bytes without regard to the capacity.
    pub(super) fn inject(&self, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        output.bytes.extend(bytes);
        output.changes += 1;
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        self.input.borrow_mut().capacity = capacity;
    }

    pub(super) fn written(&self) -> usize {
        self.output.borrow().bytes.len()
    }

    /// Returns whether a write would not block; it may also fail.
    fn takes(&self) -> bool {
        let output = self.output.borrow();
        output.broken || output.bytes.len() < output.capacity
    }

    /// Hides the received bytes from the reader, or shows them again.
    pub(super) fn hold_reads(&self, held: bool) {
        let mut input = self.input.borrow_mut();
        input.held = held;
        input.changes += 1;
    }
}

impl MemoryStream for End {
    fn readiness(&mut self) -> Readiness {
        let input = self.input.borrow();
        let readable = !input.held && std::mem::replace(&mut self.seen, input.changes) != input.changes;
        let read_closed = readable && (input.ended || input.reset);
        drop(input);
        let writable = self.full && self.takes();
        self.full &= !writable;
        Readiness { readable, writable, read_closed }
    }

    fn shutdown_write(&mut self) {
        self.half_close();
    }

    /// An operating system that drops a socket with unread bytes resets the connection.
    fn close(&mut self) {
        if self.resets && self.readable() > 0 {
            self.reset();
        } else {
            self.cut();
        }
    }
}

impl Read for End {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.input.borrow_mut();
        if pipe.held {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = out.len().min(pipe.bytes.len()).min(pipe.step);
        if n == 0 {
            return match (pipe.reset, pipe.ended) {
                (true, _) => Err(ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(ErrorKind::WouldBlock.into()),
            };
        }
        pipe.bytes.read_exact(&mut out[..n])?;
        Ok(n)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.output.borrow_mut();
        if pipe.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let n = bytes.len().min(pipe.capacity.saturating_sub(pipe.bytes.len())).min(pipe.step);
        self.full = pipe.bytes.len() + n >= pipe.capacity;
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        pipe.bytes.extend(&bytes[..n]);
        pipe.changes += 1;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A hub with its connections.
pub(super) struct Node {
    pub(super) driver: InMemory<End>,
    /// Subprotocols that a client offers.
    offered: Vec<String>,
    pub(super) queue_totals: QueueTotals,
    pub(super) notices: Vec<Notice>,
}

impl Node {
    pub(super) fn server(config: PeerConfig) -> Self {
        Self::new(config, Side::Server(Box::new(AccessPolicy::new(ServerConfig::default()))))
    }

    /// Creates a server with access rules; the rules of connections are in `config.peer`.
    pub(super) fn gated(config: ServerConfig) -> Self {
        Self::new(config.peer.clone(), Side::Server(Box::new(AccessPolicy::new(config))))
    }

    pub(super) fn client(config: PeerConfig) -> Self {
        Self::dialling("ws://game.example/lobby", None, config)
    }

    /// Creates a client that trusts any certificate.
    pub(super) fn encrypted_client(config: PeerConfig) -> Self {
        let tls = TlsClient::new(Trust::Anybody, None).expect("usable");
        Self::dialling("wss://game.example/lobby", Some(tls), config)
    }

    pub(super) fn dialling(url: &str, tls: Option<TlsClient>, config: PeerConfig) -> Self {
        Self::new(config, Side::Client { url: Url::parse(url).expect("a valid URL"), tls })
    }

    fn new(config: PeerConfig, side: Side) -> Self {
        let queue_totals = QueueTotals::new(usize::MAX);
        let mut driver = InMemory::new(config, side, &queue_totals, TURN, start());
        driver.streams.short_reads = ShortRead::SaysNothing;
        Self { driver, offered: Vec::new(), queue_totals, notices: Vec::new() }
    }

    pub(super) fn accept(&mut self, end: End, now: Instant) -> ConnId {
        self.accept_from("192.0.2.1:1234", end, now)
    }

    pub(super) fn accept_from(&mut self, address: &str, end: End, now: Instant) -> ConnId {
        self.driver.accept(end, address.parse().expect("an address"), now)
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.driver.hub
    }

    /// The game has taken this much of a peer.
    pub(super) fn game_took(&mut self, shared: &PeerShared, bytes: usize, packets: usize, now: Instant) {
        shared.incoming.release_only(bytes, packets);
        if shared.incoming.end_pause() {
            self.command(Command::Resume(shared.conn), now);
        }
    }

    /// Executes a command of the game.
    pub(super) fn command(&mut self, command: Command, now: Instant) {
        self.driver.command(command, now);
    }

    /// Needs a place for a client from this address.
    pub(super) fn make_room(&mut self, newcomer: &str, now: Instant) -> EvictionOutcome {
        self.driver.make_room(Some(newcomer.parse().expect("an address")), now)
    }

    pub(super) fn dial(&mut self, end: End, now: Instant) -> ConnId {
        self.driver.dial(end, &self.offered, now)
    }

    /// Simulates another network, also for open connections.
    pub(super) fn change_conditions(&mut self, conditions: Conditions, now: Instant) {
        let config = PeerConfig { conditions, ..self.hub().config().clone() };
        self.command(Command::Configure(Box::new(config)), now);
    }

    /// Returns when the next bytes arrive over an emulated network.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.driver.next_arrival()
    }

    /// Returns the number of connections with an emulated network.
    pub(super) fn emulated(&self) -> usize {
        self.driver.emulated()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.driver.mailbox.counters
    }

    /// Returns the number of connections.
    pub(super) fn len(&self) -> usize {
        self.driver.streams().count()
    }

    /// Returns the number of received bytes that were not read.
    pub(super) fn unread(&self) -> usize {
        self.driver.streams().map(End::readable).sum()
    }

    /// Runs rounds until nothing changes. Returns whether anything changed.
    pub(super) fn run(&mut self, now: Instant) -> bool {
        for round in 0.. {
            assert!(round < 1_000_000, "the connection never comes to rest");
            if !self.run_once(now) {
                return round > 0;
            }
        }
        unreachable!("it is bounded")
    }

    /// Runs one round. Returns whether something changed, or is still to be done.
    pub(super) fn run_once(&mut self, now: Instant) -> bool {
        let mut busy = self.driver.round(now);
        let mut fresh = Vec::new();
        self.driver.mailbox.take_notices(&mut fresh);
        busy |= !fresh.is_empty();
        self.notices.append(&mut fresh);
        busy
    }

    /// Returns all peers that are or were connected, in order.
    pub(super) fn peers(&self) -> impl DoubleEndedIterator<Item = Arc<PeerShared>> + '_ {
        self.notices.iter().filter_map(|notice| match notice {
            Notice::Connected { shared, .. } => Some(Arc::clone(shared)),
            _ => None,
        })
    }

    pub(super) fn shared(&self) -> Arc<PeerShared> {
        self.peers().next_back().expect("somebody is connected")
    }

    /// Returns the delivered packets; the game takes them at once.
    pub(super) fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        self.notices.retain(|notice| match notice {
            Notice::Packet(packet) => {
                taken.push(packet.payload.to_vec());
                false
            }
            _ => true,
        });
        let shared = self.shared();
        let bytes = taken.iter().map(Vec::len).sum();
        self.game_took(&shared, bytes, taken.len(), start());
        taken
    }

    pub(super) fn end(&self) -> Option<&CloseReason> {
        self.notices.iter().find_map(|notice| match notice {
            Notice::Disconnected { reason, .. } | Notice::Failed(reason) => Some(reason),
            _ => None,
        })
    }

    pub(super) fn has(&self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(wanted)
    }
}

/// A server and one client.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) server: Node,
    pub(super) client: Node,
    pub(super) server_conn: ConnId,
    pub(super) client_conn: ConnId,
    /// The server's and the client's end.
    pub(super) ends: (End, End),
}

impl World {
    pub(super) fn new(config: PeerConfig, capacity: usize, step: usize) -> Self {
        Self::between(Node::server(config.clone()), Node::client(config), capacity, step)
    }

    pub(super) fn between(mut server: Node, mut client: Node, capacity: usize, step: usize) -> Self {
        let now = start();
        let (server_end, client_end) = End::pair(capacity, step);
        let server_conn = server.accept(server_end.clone(), now);
        let client_conn = client.dial(client_end.clone(), now);
        Self { now, server, client, server_conn, client_conn, ends: (server_end, client_end) }
    }

    /// Creates a client that offers subprotocols, and a server with access rules.
    pub(super) fn offering(protocols: Vec<String>, config: ServerConfig) -> Self {
        let client = Node { offered: protocols, ..Node::client(config.peer.clone()) };
        Self::between(Node::gated(config), client, 64 * 1024, usize::MAX)
    }

    /// One side starts the closing handshake.
    pub(super) fn close(&mut self, server_closes: bool, frame: CloseFrame) {
        let (node, conn) = if server_closes {
            (&mut self.server, self.server_conn)
        } else {
            (&mut self.client, self.client_conn)
        };
        node.command(Command::Close { conn, frame: Box::new(frame) }, self.now);
    }

    /// Checks that both sides know who closed, and how.
    pub(super) fn assert_closed(&self, server_closed: bool, code: u16, reason: &str) {
        let closed = |by| CloseReason::Closed { by, code, reason: reason.into() };
        let (here, there) = if server_closed {
            (CloseSide::Local, CloseSide::Remote)
        } else {
            (CloseSide::Remote, CloseSide::Local)
        };
        assert_eq!(self.server.end(), Some(&closed(here)));
        assert_eq!(self.client.end(), Some(&closed(there)));
        assert_eq!((self.server.len(), self.client.len()), (0, 0), "no connection is left");
    }

    /// After the handshake.
    pub(super) fn connected(config: PeerConfig) -> Self {
        Self::new(config, 64 * 1024, usize::MAX).join()
    }

    /// The same with TLS.
    pub(super) fn encrypted(config: PeerConfig) -> Self {
        let (key, certificate) = self_signed("game.example");
        let server = TlsServer::new(&key, &certificate, "").expect("usable");
        let server = ServerConfig { peer: config.clone(), tls: Some(server), ..ServerConfig::default() };
        let client = TlsClient::new(Trust::Only(&certificate), None).expect("usable");
        let client = Node::dialling("wss://game.example/lobby", Some(client), config);
        Self::between(Node::gated(server), client, 64 * 1024, usize::MAX).join()
    }

    fn join(mut self) -> Self {
        self.run();
        assert!(self.client.has(|notice| matches!(notice, Notice::Connected { .. })));
        assert!(self.server.has(|notice| matches!(notice, Notice::Connected { .. })));
        self
    }

    /// Runs both sides until nothing changes.
    pub(super) fn run(&mut self) {
        while self.server.run(self.now) | self.client.run(self.now) {}
    }

    /// Advances the clock in steps of 50 ms.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(50));
            self.run();
        }
    }

    /// Advances the clock to the next arrival over a simulated network. Returns false if there is none until `end`.
    pub(super) fn pass_to_arrival(&mut self, end: Instant) -> bool {
        let next = [self.server.next_arrival(), self.client.next_arrival()].into_iter().flatten().min();
        self.now = next.map_or(end, |next| next.min(end));
        self.run();
        next.is_some_and(|next| next <= end)
    }
}

/// A server, and a connection whose bytes the test sends.
pub(super) struct ByHand {
    pub(super) now: Instant,
    pub(super) server: Node,
    pub(super) conn: ConnId,
    pub(super) end: End,
}

impl ByHand {
    pub(super) fn new(config: PeerConfig) -> Self {
        let now = start();
        let (server_end, end) = End::pair(64 * 1024, usize::MAX);
        let mut server = Node::server(config);
        let conn = server.accept(server_end, now);
        Self { now, server, conn, end }
    }

    /// After the handshake, with its response read.
    pub(super) fn open(config: PeerConfig) -> Self {
        let mut by_hand = Self::new(config);
        let answer = by_hand.say(REQUEST);
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        by_hand
    }

    /// Sends bytes and returns the response.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.end.inject(bytes);
        self.run()
    }

    pub(super) fn run(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        loop {
            let moved = self.server.run(self.now);
            let part = self.end.take_all();
            if !moved && part.is_empty() {
                return answer;
            }
            answer.extend(part);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) -> Vec<u8> {
        let end = self.now + time;
        let mut answer = Vec::new();
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(50));
            answer.extend(self.run());
        }
        answer
    }
}

/// A client's frame with a mask of zeros, so that its payload is readable in the test.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A server's Close that fails a connection. Its reason is empty, except for a message that is too large.
#[track_caller]
pub(super) fn assert_fails_with(answer: &[u8], code: u16, what: &str) {
    let [0x88, len, high, low, reason @ ..] = answer else { panic!("{what}: no Close, but {answer:?}") };
    assert_eq!((u16::from_be_bytes([*high, *low]), usize::from(*len)), (code, 2 + reason.len()), "{what}");
    let reason = std::str::from_utf8(reason).expect("a reason is text");
    assert!(reason.len() <= 123, "{what}: {reason}");
    assert_eq!(reason.contains("max_message_size_kb"), code == 1009, "{what}: {reason:?}");
    assert_eq!(reason.is_empty(), code != 1009, "{what}: {reason:?}");
}

pub(super) fn raw() -> PeerConfig {
    PeerConfig { mode: Mode::Raw, ..PeerConfig::default() }
}

pub(super) fn multiplayer() -> PeerConfig {
    PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot4), ..PeerConfig::default() }
}

#[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(crate) const REQUEST: &[u8] =
    b"GET /game HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A packet for [`Command::Send`]; the caller has reserved its room.
pub(super) fn outbound(payload: impl Into<Bytes>) -> Outbound {
    Outbound::shared(payload.into(), Form::Binary)
}
