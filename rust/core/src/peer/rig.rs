//! A server in memory: the whole way of a packet between a connection's bytes and the game, without sockets, threads and
//! a clock, so that the same work always takes the same instructions.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::{Peer, Status};
use crate::access::AccessPolicy;
use crate::base::{ConnId, PeerId};
use crate::config::{Mode, PeerConfig, ServerConfig, WireFormat};
use crate::event::Event;
use crate::hub::{Hub, Side};
use crate::net::Runtime;
use crate::net::mailbox::{Command, Mailbox, NeverAsleep, Totals};
use crate::session::Role;
use crate::session::frame::{Opcode, push_head};
use crate::tls::{TlsClient, TlsServer, TlsSession, Trust};

/// What a driver has besides its sockets.
pub(crate) struct Works {
    pub(crate) hub: Hub,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Peer {
    /// Opens without a socket and a thread: its caller plays the driver.
    pub(crate) fn open_by_hand(&mut self, config: PeerConfig, side: Side) -> Works {
        self.check_closed().expect("it is closed");
        let totals = Arc::new(Totals::default());
        let outgoing = &self.runtime.queue_totals.outgoing;
        let mailbox =
            Arc::new(Mailbox::new(Box::new(NeverAsleep), Arc::clone(&totals), outgoing, Instant::now()));
        let (role, status, unique_id) = match side {
            Side::Server(_) => (Role::Server, Status::Connected, PeerId::SERVER.0),
            Side::Client { .. } => (Role::Client, Status::Connecting, 0),
        };
        let hub = Hub::new(config.clone(), side, self.runtime.queue_totals.clone(), totals);
        self.opened(role, config, Arc::clone(&mailbox), None);
        self.status = status;
        self.unique_id = unique_id;
        Works { hub, mailbox }
    }
}

/// A listening server whose connections and driver are played by its caller.
pub struct Rig {
    server: Peer,
    works: Works,
    lines: Vec<Line>,
    commands: Vec<Command>,
    buffer: Vec<u8>,
    now: Instant,
    secure: bool,
}

/// One connection.
struct Line {
    conn: ConnId,
    id: PeerId,
    wire: Wire,
    client: Option<TlsSession>,
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

impl Rig {
    /// A server without peers; with `tls` its connections are encrypted.
    pub fn new(format: WireFormat, tls: Option<TlsServer>) -> Self {
        let config = PeerConfig { mode: Mode::Multiplayer(format), ..PeerConfig::default() };
        let secure = tls.is_some();
        let access = Box::new(AccessPolicy::new(ServerConfig { tls, ..ServerConfig::default() }));
        let mut server = Peer::new(Runtime::new());
        let works = server.open_by_hand(config, Side::Server(access));
        Self {
            server,
            works,
            lines: Vec::new(),
            commands: Vec::new(),
            buffer: vec![0; 64 * 1024],
            now: Instant::now(),
            secure,
        }
    }

    /// Lets a client in, handshakes included.
    pub fn connect(&mut self) -> PeerId {
        let conn = self.works.hub.accepted(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), self.now);
        let client = self.secure.then(|| {
            let client = TlsClient::new(Trust::Anybody, Some("localhost")).expect("needs no certificates");
            client.session("localhost").expect("a valid name")
        });
        let index = self.lines.len();
        self.lines.push(Line { conn, id: PeerId(0), wire: Wire::default(), client, asked: false });
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
        self.hear(index);
        self.clear_output();
        assert!(self.lines[index].id.is_client(), "the handshake came to no end");
        self.lines[index].id
    }

    /// Puts bytes on the way from a client, in the order of [`connect`](Self::connect), to the server.
    pub fn say(&mut self, client: usize, bytes: &[u8]) {
        let Line { wire, client, .. } = &mut self.lines[client];
        match client {
            None => wire.input.extend_from_slice(bytes),
            Some(tls) => {
                tls.stream(&mut Remote { wire }).write_all(bytes).expect("the memory takes everything");
            }
        }
    }

    /// Lets a client read what the server has sent, and returns it.
    pub fn hear(&mut self, client: usize) -> Vec<u8> {
        let Line { wire, client, .. } = &mut self.lines[client];
        let Some(tls) = client else { return std::mem::take(&mut wire.output) };
        let mut remote = Remote { wire };
        let mut stream = tls.stream(&mut remote);
        let mut heard = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part) {
            heard.extend_from_slice(&part[..n]);
        }
        heard
    }

    /// The client's part of the handshakes, as far as the server has come.
    fn ask(&mut self, index: usize) {
        self.hear(index);
        let line = &mut self.lines[index];
        if let Some(tls) = &mut line.client {
            let mut remote = Remote { wire: &mut line.wire };
            let mut stream = tls.stream(&mut remote);
            stream.push().expect("the memory takes everything");
            if stream.is_handshaking() {
                return;
            }
        }
        if !line.asked {
            line.asked = true;
            self.say(index, REQUEST);
        }
    }

    /// What the driver does in one round: commands, reads, writes, and the mailbox.
    pub fn drive(&mut self) {
        self.works.mailbox.take_commands(&mut self.commands, &mut self.works.hub.listed);
        for command in self.commands.drain(..) {
            self.works.hub.command(command, self.now);
        }
        self.works.hub.rearm.clear();
        for Line { conn, wire, .. } in &mut self.lines {
            while wire.used < wire.input.len() {
                self.works.hub.read(*conn, wire, &mut self.buffer, true, self.now);
            }
            wire.input.clear();
            wire.used = 0;
            if self.works.hub.wants_write(*conn) {
                while self.works.hub.flush(*conn, wire, self.now).unwritten {}
            }
        }
        self.works.hub.dirty.clear();
        self.works.mailbox.deliver(self.works.hub.end_round());
    }

    /// The game's side.
    pub fn server(&mut self) -> &mut Peer {
        &mut self.server
    }

    /// Forgets what the server has sent to clients that do not read; says how many bytes that were.
    pub fn clear_output(&mut self) -> usize {
        let mut bytes = 0;
        for line in &mut self.lines {
            bytes += line.wire.output.len();
            line.wire.output.clear();
        }
        bytes
    }
}

/// A client's binary message, masked as the protocol wants it.
pub fn client_frame(payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];
    let mut frame = Vec::new();
    push_head(&mut frame, Opcode::Binary, payload.len(), Some(MASK));
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = (&self.input[self.used..]).read(out)?;
        self.used += n;
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

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// More than any handshake here has.
const ROUNDS: usize = 6;
