//! A server in memory: the whole way of a packet between the bytes of a connection and the game, without sockets, threads or a clock, so
//! that the same work always takes the same number of instructions.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::{InMemory, MemoryStream};
use crate::access::AccessPolicy;
use crate::base::{ConnId, PeerId};
use crate::config::{Compression, Mode, PeerConfig, ServerConfig, WireFormat};
use crate::deflate::deflated;
use crate::event::Event;
use crate::hub::transports::{Next, Readiness};
use crate::hub::{Side, TURN};
use crate::net::Runtime;
use crate::peer::Peer;
use crate::session::frame::{Opcode, push_head};
use crate::tls::{TlsClient, TlsServer, TlsSession, Trust};

/// A listening server whose clients and driver are called by a test.
pub struct ServerInMemory {
    server: Peer,
    driver: InMemory<Wire>,
    lines: Vec<Line>,
    /// Clients that have sent something since the last round.
    speaking: Vec<usize>,
    now: Instant,
    secure: bool,
    /// What the clients send first.
    request: String,
}

/// One connection.
struct Line {
    conn: ConnId,
    id: PeerId,
    client: Option<TlsSession>,
    /// Bytes of the client that have not arrived at the server.
    unsent: Vec<u8>,
    /// The client has sent its request.
    asked: bool,
}

/// The server's end of a connection; it takes whatever is written.
#[derive(Default)]
struct Wire {
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
}

/// The client's end.
struct Remote<'a> {
    wire: &'a mut Wire,
}

impl ServerInMemory {
    /// A server without peers; with `tls` its connections are encrypted.
    pub fn new(format: WireFormat, tls: Option<TlsServer>) -> Self {
        Self::with(PeerConfig { mode: Mode::Multiplayer(format), ..PeerConfig::default() }, tls, "")
    }

    /// A server whose clients may come back after the loss of their connections.
    pub fn with_sessions() -> Self {
        let mode = Mode::Multiplayer(WireFormat::Godot4);
        let resume_timeout = PeerConfig::RESUME_MAX;
        let config = PeerConfig { mode, resume_timeout, ..PeerConfig::default() };
        Self::with(config, None, "Godot-Multiplayer: resume; v=1\r\n")
    }

    /// A server and clients that compress messages of at least so many bytes.
    pub fn with_compression(compression: Compression, threshold: usize) -> Self {
        let mode = Mode::Multiplayer(WireFormat::Godot4);
        let (compression, compression_threshold) = (Some(compression), threshold);
        let config = PeerConfig { mode, compression, compression_threshold, ..PeerConfig::default() };
        Self::with(config, None, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
    }

    fn with(config: PeerConfig, tls: Option<TlsServer>, line: &str) -> Self {
        let secure = tls.is_some();
        let access = Box::new(AccessPolicy::new(ServerConfig { tls, ..ServerConfig::default() }));
        let mut server = Peer::new(Runtime::new());
        let now = Instant::now();
        let driver = server.open_in_memory(config, Side::Server(access), TURN, now);
        let request = format!("{REQUEST}{line}\r\n");
        Self { server, driver, lines: Vec::new(), speaking: Vec::new(), now, secure, request }
    }

    /// Connects a client, handshakes included.
    pub fn connect(&mut self) -> PeerId {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let conn = self.driver.accept(Wire::default(), address, self.now);
        let client = self.secure.then(|| {
            let client = TlsClient::new(Trust::Anybody, Some("localhost")).expect("needs no certificates");
            client.session("localhost").expect("a valid name")
        });
        let index = self.lines.len();
        self.lines.push(Line { conn, id: PeerId(0), client, unsent: Vec::new(), asked: false });
        for _ in 0..ROUNDS {
            self.ask(index);
            self.drive();
            self.server.begin_poll();
            while let Some(event) = self.server.next_event(false) {
                if let Event::PeerConnected { id, .. } = event {
                    self.lines[index].id = id;
                }
            }
        }
        self.receive(index);
        self.clear_output();
        assert!(self.lines[index].id.is_client(), "the handshake came to no end");
        self.lines[index].id
    }

    /// Queues bytes from a client, numbered in the order of [`connect`](Self::connect), to the server.
    pub fn say(&mut self, client: usize, bytes: &[u8]) {
        let line = &mut self.lines[client];
        if line.unsent.is_empty() {
            self.speaking.push(client);
        }
        line.unsent.extend_from_slice(bytes);
    }

    /// Delivers the queued bytes of the clients to the server.
    fn arrive(&mut self) {
        for client in self.speaking.drain(..) {
            let Line { conn, client, unsent, .. } = &mut self.lines[client];
            let wire = self.driver.stream(*conn).expect("it is connected");
            match client {
                None if wire.input.is_empty() => std::mem::swap(&mut wire.input, unsent),
                None => wire.input.extend_from_slice(unsent),
                Some(tls) => {
                    tls.stream(&mut Remote { wire }).write_all(unsent).expect("the memory takes everything");
                }
            }
            unsent.clear();
            self.driver.hub.ready(*conn, Readiness { readable: true, ..Readiness::default() });
        }
    }

    /// Reads and returns the bytes that the server has sent to a client.
    pub fn receive(&mut self, client: usize) -> Vec<u8> {
        let Line { conn, client, .. } = &mut self.lines[client];
        let Some(wire) = self.driver.stream(*conn) else { return Vec::new() };
        let Some(tls) = client else { return std::mem::take(&mut wire.output) };
        let mut remote = Remote { wire };
        let mut stream = tls.stream(&mut remote);
        let mut received = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part) {
            received.extend_from_slice(&part[..n]);
        }
        received
    }

    /// Continues the client's part of the handshakes.
    fn ask(&mut self, index: usize) {
        self.receive(index);
        let line = &mut self.lines[index];
        if let Some(tls) = &mut line.client {
            let wire = self.driver.stream(line.conn).expect("it is connected");
            let mut remote = Remote { wire };
            let mut stream = tls.stream(&mut remote);
            stream.push().expect("the memory takes everything");
            let is_handshaking = stream.is_handshaking();
            self.driver.hub.ready(line.conn, Readiness { readable: true, ..Readiness::default() });
            if is_handshaking {
                return;
            }
        }
        if !line.asked {
            line.asked = true;
            let request = self.request.clone();
            self.say(index, request.as_bytes());
        }
    }

    /// Does what the I/O thread does until it would sleep.
    pub fn drive(&mut self) {
        self.arrive();
        while self.driver.hub_round(self.now) == Next::Again {}
    }

    /// Returns the game's side.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.server
    }

    /// Returns the bytes that the server has sent to a client without TLS, and that it has not read.
    pub fn output_of(&mut self, client: usize) -> &[u8] {
        let conn = self.lines[client].conn;
        self.driver.stream(conn).map_or(&[], |wire| &wire.output)
    }

    /// Drops the bytes that the server has sent to clients that do not read. Returns their number.
    pub fn clear_output(&mut self) -> usize {
        (0..self.lines.len()).map(|client| self.clear_output_of(client)).sum()
    }

    /// The same for one client.
    pub fn clear_output_of(&mut self, client: usize) -> usize {
        let Some(wire) = self.driver.stream(self.lines[client].conn) else { return 0 };
        let bytes = wire.output.len();
        wire.output.clear();
        bytes
    }
}

/// A client's binary message, masked as the protocol requires.
pub fn client_frame(payload: &[u8]) -> Vec<u8> {
    masked(Opcode::Binary, payload)
}

/// The same, compressed by itself.
pub fn client_deflated_frame(payload: &[u8]) -> Vec<u8> {
    masked(Opcode::DeflatedBinary, &deflated(15, [payload])[0])
}

/// A client's control message: text.
pub fn client_text(words: &str) -> Vec<u8> {
    masked(Opcode::Text, words.as_bytes())
}

fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];
    let mut frame = Vec::new();
    push_head(&mut frame, opcode, payload.len(), Some(MASK));
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The caller reports which streams are readable.
impl MemoryStream for Wire {
    fn readiness(&mut self) -> Readiness {
        Readiness::default()
    }

    fn shutdown_write(&mut self) {}

    fn close(&mut self) {}
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = (&self.input[self.used..]).read(out)?;
        self.used += n;
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
        if n == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.output.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Remote<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.wire.output.len().min(out.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        out[..n].copy_from_slice(&self.wire.output[..n]);
        self.wire.output.drain(..n);
        Ok(n)
    }
}

impl Write for Remote<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.input.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
/// More bytes than any handshake here has.
const ROUNDS: usize = 6;
