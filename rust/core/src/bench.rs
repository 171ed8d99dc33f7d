//! What `benches/` and `examples/instructions.rs` measure. Not a public interface: it changes with the implementation.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::base::{ConnId, Packet, PeerId, Target};
use crate::channel::{
    Form, Mailbox, NeverAsleep, Notice, PayloadRef, PeerInfo, PeerShared, QueueTotal, QueueTotals,
    Reservation, TakenCommands, WhenFull,
};
use crate::config::PeerConfig;
use crate::wire::{godot3, godot4};

pub use crate::testing::server::{ServerInMemory, client_deflated_frame, client_frame, client_text};

/// Encodes the header of a packet of the 3.x format.
pub fn encode_godot3(from: i32, to: i32) -> [u8; 9] {
    godot3::packet_header(PeerId(from), Target::from_engine(to))
}

/// Decodes a message of the 3.x format. Returns the size of its packet.
pub fn decode_godot3(message: &Bytes) -> Option<usize> {
    match godot3::decode(message)? {
        godot3::Message::Packet { payload, .. } => Some(payload.len()),
        godot3::Message::System(..) => None,
    }
}

/// Returns whether a packet may be dropped.
pub fn is_state_sync(packet: &[u8]) -> bool {
    godot4::is_state_sync(packet)
}

/// The budget of one peer's output queue.
pub struct Queue(PeerShared);

impl Queue {
    /// Creates an empty budget.
    pub fn new() -> Self {
        let info = PeerInfo {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            protocol: String::new(),
            target: String::new(),
            origin: String::new(),
            headers: Box::default(),
            has_control: false,
            resumes: false,
            opened: Instant::now(),
        };
        Self(PeerShared::new(CONN, PeerId(2), info, &QueueTotals::new(usize::MAX)))
    }

    /// Takes room for one packet.
    pub fn reserve(&self, size: usize) -> bool {
        let config = PeerConfig::default();
        self.0.reserve(size, WhenFull::Refuse, &config, || true) == Reservation::Taken
    }

    /// Releases the room.
    pub fn release(&self, size: usize) {
        self.0.outgoing.release(size, 1);
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

/// The lists between the two threads, without a sleeping thread.
pub struct Post {
    mailbox: Mailbox,
    commands: TakenCommands,
    batch: Vec<Notice>,
    notices: Vec<Notice>,
}

impl Post {
    /// Creates empty lists.
    pub fn new() -> Self {
        let total = Arc::new(QueueTotal::new(usize::MAX));
        let mailbox = Mailbox::new(Box::new(NeverAsleep), Arc::default(), &total, Instant::now());
        Self { mailbox, commands: TakenCommands::new(&total), batch: Vec::new(), notices: Vec::new() }
    }

    /// Passes `count` packets to the driver's side, and takes them there.
    pub fn send(&mut self, payload: &Bytes, count: usize) -> usize {
        for _ in 0..count {
            self.mailbox.send(CONN, PayloadRef::copied(payload), Form::Binary);
        }
        self.mailbox.take_commands(&mut self.commands);
        std::iter::from_fn(|| self.commands.pop()).count()
    }

    /// Delivers `count` received packets, and takes them on the game's side.
    pub fn receive(&mut self, payload: &Bytes, count: usize) -> usize {
        let packet = || Packet { source: PeerId(2), payload: payload.clone(), text: false };
        self.batch.extend((0..count).map(|_| Notice::Packet(packet())));
        self.mailbox.deliver(&mut self.batch);
        self.mailbox.take_notices(&mut self.notices);
        self.notices.drain(..).count()
    }
}

impl Default for Post {
    fn default() -> Self {
        Self::new()
    }
}

const CONN: ConnId = ConnId { slot: 0, generation: 0 };
