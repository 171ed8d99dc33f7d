//! A server whose game does what the engine's `SceneMultiplayer` does, and clients whose bytes a test sends.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::access::AccessPolicy;
use crate::base::{CloseFrame, Delivery, PeerId, Target};
use crate::behaviour::world::{End, REQUEST, frame, start};
use crate::config::{PeerConfig, ServerConfig};
use crate::event::Event;
use crate::hub::{Side, TURN};
use crate::net::Runtime;
use crate::peer::Peer;
use crate::testing::InMemory;
use crate::wire::godot4::is_state_sync;

/// A packet for the game itself: the byte of a raw packet, and what the game does when it takes it.
pub(super) const RAW: u8 = 3;

/// What the game does when it takes a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Nothing,
    /// Sends the packet on to a client.
    Put(usize),
    /// Sends it to all.
    PutToAll,
    /// Polls again, inside of the handler.
    Poll,
    /// Disconnects a client as `SceneMultiplayer.disconnect_peer()` does.
    Kick(usize),
    /// The same without a closing handshake.
    Drop(usize),
    /// Lets the I/O thread work.
    Wait,
    /// Empties its API, as `SceneMultiplayer.clear()` does.
    Clear,
    /// Gives the peer to another API.
    SwapApi,
    /// Sets `server_relay` anew.
    ToggleRelay,
}

impl Deed {
    /// A packet with which a client makes the game do this.
    pub(super) fn packet(self, text: &[u8]) -> Vec<u8> {
        let (code, client) = match self {
            Self::Nothing => (0, 0),
            Self::Put(client) => (1, client),
            Self::PutToAll => (2, 0),
            Self::Poll => (3, 0),
            Self::Kick(client) => (4, client),
            Self::Drop(client) => (5, client),
            Self::Wait => (6, 0),
            Self::Clear => (7, 0),
            Self::SwapApi => (8, 0),
            Self::ToggleRelay => (9, 0),
        };
        [&[RAW, code, client as u8], text].concat()
    }

    fn read(packet: &[u8]) -> Self {
        let [RAW, code, client, ..] = *packet else { return Self::Nothing };
        let client = usize::from(client);
        match code {
            1 => Self::Put(client),
            2 => Self::PutToAll,
            3 => Self::Poll,
            4 => Self::Kick(client),
            5 => Self::Drop(client),
            6 => Self::Wait,
            7 => Self::Clear,
            8 => Self::SwapApi,
            9 => Self::ToggleRelay,
            _ => Self::Nothing,
        }
    }
}

/// A client.
pub(super) struct Guest {
    pub(super) id: PeerId,
    pub(super) end: End,
    received: Vec<u8>,
    /// The first messages of the server.
    pub(super) greeting: Vec<(u8, Vec<u8>)>,
}

pub(super) struct Scene {
    pub(super) now: Instant,
    pub(super) runtime: Arc<Runtime>,
    pub(super) peer: Peer,
    pub(super) driver: InMemory<End>,
    pub(super) guests: Vec<Guest>,
    /// The I/O thread relays what may be relayed.
    on_io_thread: bool,
    /// The present `MultiplayerAPI`.
    api: u64,
    pub(super) server_relay: bool,
    /// Who relayed when it was asked last.
    asked: Option<u64>,
    /// How often it was asked before runs were passed.
    pub(super) asks: Cell<usize>,
    /// The API has another peer, which gets the packets of this one and relays them.
    pub(super) is_wrapped: bool,
    /// Peers that the API knows.
    pub(super) connected: Vec<PeerId>,
    /// Packets that the game has taken.
    pub(super) taken: Vec<Vec<u8>>,
    nested: usize,
}

impl Scene {
    pub(super) fn new(config: PeerConfig, on_io_thread: bool) -> Self {
        Self::with(config, ServerConfig::default(), on_io_thread)
    }

    pub(super) fn with(config: PeerConfig, server: ServerConfig, on_io_thread: bool) -> Self {
        let now = start();
        let runtime = Runtime::new();
        let access = Box::new(AccessPolicy::new(server));
        let mut peer = Peer::new(Arc::clone(&runtime));
        let driver = peer.open_in_memory(config, Side::Server(access), TURN, now);
        Self {
            now,
            runtime,
            peer,
            driver,
            guests: Vec::new(),
            on_io_thread,
            api: 1,
            asked: None,
            asks: Cell::new(0),
            server_relay: true,
            is_wrapped: false,
            connected: Vec::new(),
            taken: Vec::new(),
            nested: 0,
        }
    }

    /// The same with this many clients, whose announcements are taken.
    pub(super) fn of(config: PeerConfig, guests: usize) -> Self {
        let mut scene = Self::new(config, true);
        scene.fill(guests, REQUEST);
        scene
    }

    /// This many clients join, and their announcements are taken.
    pub(super) fn fill(&mut self, guests: usize, request: &[u8]) {
        for _ in 0..guests {
            self.join_with(request);
        }
        self.settle();
        for guest in 0..self.guests.len() {
            self.messages(guest);
        }
        self.taken.clear();
    }

    pub(super) fn join(&mut self) -> usize {
        self.join_with(REQUEST)
    }

    pub(super) fn join_with(&mut self, request: &[u8]) -> usize {
        let (end, greeting) = self.connect(request);
        let id = greeting.iter().find(|(first, _)| *first == 0x82).map(|(_, id)| id.clone());
        let id = PeerId(i32::from_le_bytes(id.expect("an id").try_into().expect("four bytes")));
        self.guests.push(Guest { id, end, received: Vec::new(), greeting });
        self.guests.len() - 1
    }

    /// A client comes back.
    pub(super) fn rejoin_with(&mut self, guest: usize, request: &[u8]) {
        let (end, greeting) = self.connect(request);
        let guest = &mut self.guests[guest];
        (guest.end, guest.greeting) = (end, greeting);
    }

    fn connect(&mut self, request: &[u8]) -> (End, Vec<(u8, Vec<u8>)>) {
        let (server_end, end) = End::pair(1 << 22, usize::MAX);
        self.driver.accept(server_end, "192.0.2.1:1".parse().expect("an address"), self.now);
        end.inject(request);
        self.work();
        let answer = end.take_all();
        let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer") + 4;
        let greeting = frames(&answer[at..]);
        (end, greeting)
    }

    /// The I/O thread works until there is nothing to do.
    pub(super) fn work(&mut self) {
        while self.driver.round(self.now) {}
        for guest in &mut self.guests {
            guest.received.extend(guest.end.take_all());
        }
    }

    /// A client sends packets.
    pub(super) fn say(&self, guest: usize, packets: &[Vec<u8>]) {
        for packet in packets {
            self.guests[guest].end.inject(&frame(0x82, packet));
        }
    }

    /// A relay command of a client.
    pub(super) fn relay(&self, to: usize, packet: &[u8]) -> Vec<u8> {
        relay(self.guests[to].id, packet)
    }

    /// Another API gets the peer; it knows nobody.
    pub(super) fn swap_api(&mut self) {
        self.api += 1;
        self.connected.clear();
    }

    /// One `SceneMultiplayer.poll()`.
    pub(super) fn poll(&mut self) {
        if self.peer.begin_poll() {
            while let Some(event) = self.peer.next_event(true) {
                match event {
                    Event::PeerConnected { id, .. } => {
                        self.ask_who_relays();
                        self.add(id);
                    }
                    Event::PeerDisconnected { id, .. } => self.delete(id),
                    _ => {}
                }
            }
        }
        while self.packet_count() > 0 {
            let head = self.peer.peek_packet().expect("it was counted");
            let packet = self.peer.pop_packet().expect("it was counted");
            assert_eq!(head, (packet.source, packet.is_state_sync()));
            self.taken.push(packet.payload.to_vec());
            self.dispatch(packet.source, &packet.payload);
        }
    }

    /// Polls and works until everything has come to rest.
    pub(super) fn settle(&mut self) {
        for _ in 0..6 {
            self.work();
            self.poll();
        }
        self.work();
    }

    fn ask_who_relays(&mut self) {
        self.peer.set_relaying(self.relayer(), self.connected.is_empty());
        self.asked = self.relayer();
    }

    fn relayer(&self) -> Option<u64> {
        (self.on_io_thread && self.server_relay && !self.is_wrapped).then_some(self.api)
    }

    /// As the extension does it: before runs are passed, it asks whether who relayed still does.
    pub(super) fn packet_count(&self) -> usize {
        if self.peer.must_ask_who_relays() {
            self.asks.set(self.asks.get() + 1);
            if self.connected.is_empty() || self.relayer() != self.asked {
                self.peer.stop_relaying();
            }
        }
        self.peer.packet_count()
    }

    fn add(&mut self, id: PeerId) {
        if self.server_relay {
            for other in self.connected.clone() {
                self.put(other, &announced(1, id));
                self.put(id, &announced(1, other));
            }
        }
        self.connected.push(id);
    }

    fn delete(&mut self, id: PeerId) {
        let before = self.connected.len();
        self.connected.retain(|other| *other != id);
        if self.server_relay && before != self.connected.len() {
            for other in self.connected.clone() {
                self.put(other, &announced(2, id));
            }
        }
    }

    pub(super) fn put(&mut self, to: PeerId, packet: &[u8]) {
        let delivery = if is_state_sync(packet) { Delivery::Droppable } else { Delivery::Reliable };
        // As the engine does: it does not look at the result.
        let _ = self.peer.send(Target::One(to), packet, delivery);
    }

    fn dispatch(&mut self, source: PeerId, packet: &[u8]) {
        if !self.connected.contains(&source) {
            return;
        }
        if let [7, 3, a, b, c, d, inner @ ..] = packet {
            let target = PeerId(i32::from_le_bytes([*a, *b, *c, *d]));
            if !self.server_relay || inner.is_empty() {
                return;
            }
            let relayed = relay(source, inner);
            let targets: Vec<_> = match target.0 {
                1 => Vec::new(),
                2.. => self.connected.iter().copied().filter(|peer| *peer == target).collect(),
                excluded => {
                    let meant = |peer: &PeerId| *peer != source && peer.0 != excluded.wrapping_neg();
                    self.connected.iter().copied().filter(meant).collect()
                }
            };
            for target in targets {
                self.put(target, &relayed);
            }
            return;
        }
        match Deed::read(packet) {
            Deed::Nothing => {}
            Deed::Put(guest) => self.put(self.guests[guest].id, packet),
            Deed::PutToAll => {
                let _ = self.peer.send(Target::All, packet, Delivery::Reliable);
            }
            Deed::Poll if self.nested < 3 => {
                self.nested += 1;
                self.poll();
                self.nested -= 1;
            }
            Deed::Poll => {}
            Deed::Kick(guest) => {
                let id = self.guests[guest].id;
                self.delete(id);
                self.peer.disconnect(id, CloseFrame::normal());
            }
            Deed::Drop(guest) => {
                let id = self.guests[guest].id;
                self.delete(id);
                self.peer.disconnect_now(id);
            }
            Deed::Wait => self.work(),
            Deed::Clear => self.connected.clear(),
            Deed::SwapApi => self.swap_api(),
            Deed::ToggleRelay => self.server_relay = !self.server_relay,
        }
    }

    /// Takes the messages that a client has received, without control frames.
    pub(super) fn messages(&mut self, guest: usize) -> Vec<Vec<u8>> {
        let frames = frames(&std::mem::take(&mut self.guests[guest].received));
        frames.into_iter().filter(|(first, _)| *first == 0x82).map(|(_, payload)| payload).collect()
    }

    /// Everything that a client has received; instead of the ids that the server drew, the numbers of the clients.
    pub(super) fn stream(&self, guest: usize) -> Vec<(u8, Vec<u8>)> {
        let mut frames = frames(&self.guests[guest].received);
        for (_, payload) in &mut frames {
            if let [7, 1..=3, id @ ..] = payload.as_mut_slice()
                && let Some(id) = id.first_chunk_mut()
                && let Some(number) =
                    self.guests.iter().position(|guest| guest.id.0 == i32::from_le_bytes(*id))
            {
                *id = (number as i32).to_le_bytes();
            }
        }
        frames
    }
}

pub(super) fn relay(target: PeerId, packet: &[u8]) -> Vec<u8> {
    [&[7, 3][..], &target.0.to_le_bytes(), packet].concat()
}

fn announced(kind: u8, id: PeerId) -> Vec<u8> {
    [&[7, kind][..], &id.0.to_le_bytes()].concat()
}

/// The frames of a server: the first byte and the payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (size, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(*rest.first_chunk().expect("a length")) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        let (payload, after) = rest.split_at(size);
        found.push((*first, payload.to_vec()));
        bytes = after;
    }
    found
}
