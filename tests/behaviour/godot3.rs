//! The format of the 3.x classes: notices about other clients, and relayed packets.

use super::lines::Lines;
use super::world::{End, Node, REQUEST, SECOND, frame, multiplayer};
use crate::base::{CloseReason, Packet, PeerId, Target};
use crate::channel::Notice;
use crate::config::{Mode, PeerConfig, WireFormat};
use crate::wire::godot3::packet_header;

pub(super) fn config() -> PeerConfig {
    PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot3), ..multiplayer() }
}

/// A server with clients whose bytes the test sends.
pub(super) struct Party {
    pub(super) now: std::time::Instant,
    pub(super) server: Node,
    pub(super) clients: Vec<(PeerId, End)>,
    /// Clients that do not read.
    starved: Vec<usize>,
}

impl Party {
    pub(super) fn new(n: usize) -> Self {
        Self::with(config(), n)
    }

    pub(super) fn with(config: PeerConfig, n: usize) -> Self {
        let now = super::world::start();
        let mut party = Self { now, server: Node::server(config), clients: Vec::new(), starved: Vec::new() };
        for _ in 0..n {
            let (server_end, end) = End::pair(1 << 20, usize::MAX);
            party.server.accept(server_end, now);
            end.inject(REQUEST);
            party.server.run(now);
            let answer = end.take_all();
            let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer") + 4;
            // Ends after the first message: 0x82, length 13, the id.
            let id = i32::from_le_bytes(answer[at + 11..at + 15].try_into().expect("an id"));
            let mut expected = vec![message(3, id), message(1, 1)];
            expected.extend(party.clients.iter().map(|(other, _)| message(1, other.0)));
            let mut told = messages(&answer[at..]);
            told[2..].sort();
            expected[2..].sort();
            assert_eq!(told, expected);
            for (_, other) in &party.clients {
                assert_eq!(messages(&other.take_all()), [message(1, id)]);
            }
            party.clients.push((PeerId(id), end));
        }
        party
    }

    pub(super) fn send(&mut self, from: usize, claimed: PeerId, to: Target) -> Vec<u8> {
        let mut bytes = packet_header(claimed, to).to_vec();
        bytes.extend(b"hello");
        self.clients[from].1.inject(&frame(0x82, &bytes));
        self.server.run(self.now);
        bytes
    }

    /// The client takes nothing more, and this many packets of 1000 bytes wait for it.
    pub(super) fn starve(&mut self, from: usize, slow: usize, packets: usize) {
        let (sender, target) = (self.clients[from].0, self.clients[slow].0);
        self.clients[slow].1.set_capacity(100);
        self.starved.push(slow);
        for _ in 0..packets {
            let mut bytes = packet_header(sender, Target::One(target)).to_vec();
            bytes.extend([7; 1000]);
            self.clients[from].1.inject(&frame(0x82, &bytes));
        }
        self.server.run(self.now);
        assert!(self.server.has(|notice| matches!(notice, Notice::Congested(id) if *id == target)));
    }

    /// Returns the clients that were closed because they did not keep up.
    pub(super) fn overflowed(&self) -> Vec<PeerId> {
        let overflowed = |notice: &Notice| match notice {
            Notice::Overflowed(id) => Some(*id),
            _ => None,
        };
        self.server.notices.iter().filter_map(overflowed).collect()
    }

    /// Returns who got the message; the server counts as 0.
    fn receivers(&mut self, message: &[u8]) -> Vec<usize> {
        let local = |notice: &Notice| matches!(notice, Notice::Packet(Packet { payload, .. }) if *payload == message[9..]);
        let mut receivers: Vec<_> = self.server.has(local).then_some(0).into_iter().collect();
        self.server.notices.retain(|notice| !matches!(notice, Notice::Packet(_)));
        for (at, (_, end)) in self.clients.iter().enumerate().filter(|(at, _)| !self.starved.contains(at)) {
            if messages(&end.take_all()).iter().any(|got| got == message) {
                receivers.push(at + 1);
            }
        }
        receivers
    }
}

pub(super) fn message(kind: u8, id: i32) -> Vec<u8> {
    let mut bytes = vec![kind, 1, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(id.to_le_bytes());
    bytes
}

/// Returns the payloads of a server's short frames.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (body, after) = rest.split_at(usize::from(*len));
        if *first == 0x82 {
            found.push(body.to_vec());
        }
        bytes = after;
    }
    found
}

#[test]
fn packets_go_where_their_header_says() {
    let mut party = Party::new(3);
    let (first, second) = (party.clients[0].0, party.clients[1].0);
    for (to, expected) in [
        (Target::One(PeerId::SERVER), vec![0]),
        (Target::One(second), vec![2]),
        (Target::All, vec![0, 2, 3]),
        (Target::AllExcept(second), vec![0, 3]),
        (Target::AllExcept(PeerId::SERVER), vec![2, 3]),
        (Target::One(first), vec![]),
        (Target::One(PeerId(2)), vec![]),
    ] {
        let sent = party.send(0, first, to);
        assert_eq!(party.receivers(&sent), expected, "{to:?}");
    }
}

#[test]
fn nobody_speaks_in_the_name_of_another() {
    let mut party = Party::new(3);
    let second = party.clients[1].0;
    for claimed in [second, PeerId::SERVER, PeerId(0), PeerId(-1)] {
        let sent = party.send(0, claimed, Target::All);
        assert_eq!(party.receivers(&sent), Vec::<usize>::new(), "{claimed:?}");
    }
    assert_eq!(party.server.len(), 3, "the connection is kept, as 3.6 does");
}

#[test]
fn who_sends_nonsense_for_ever_fills_no_disk() {
    let mut party = Party::new(2);
    Lines::catch();
    for _ in 0..50 {
        party.send(0, PeerId(5), Target::All);
        party.clients[0].1.inject(&frame(0x82, b"scrap"));
        party.server.run(party.now);
    }
    assert_eq!(Lines::with("ignored").len(), 1);
    for _ in 0..2 {
        party.now += 31 * SECOND;
        party.clients[0].1.inject(&frame(0x8a, b""));
        party.server.run(party.now);
    }
    party.send(0, PeerId(5), Target::All);
    let lines = Lines::with("ignored");
    assert!(lines.len() == 2 && lines[1].contains("in the name of 5: ignored (99 more"), "{lines:?}");
}

#[test]
fn system_messages_and_scraps_from_clients_are_ignored() {
    let mut party = Party::new(2);
    for bytes in [message(2, party.clients[1].0.0), message(3, 5), vec![0; 8], vec![], vec![9; 20]] {
        party.clients[0].1.inject(&frame(0x82, &bytes));
        party.server.run(party.now);
    }
    assert!(!party.server.has(|notice| !matches!(notice, Notice::Connected { .. })));
    assert!(party.clients[1].1.take_all().is_empty());
}

#[test]
fn the_others_are_told_who_left() {
    let mut party = Party::new(3);
    party.clients[0].1.inject(&frame(0x88, b"\x03\xe8"));
    party.server.run(party.now);
    let left = message(2, party.clients[0].0.0);
    for (_, end) in &party.clients[1..] {
        assert_eq!(messages(&end.take_all()), std::slice::from_ref(&left));
    }
}

#[test]
fn one_that_does_not_take_its_relayed_packets_is_closed_and_the_others_go_on() {
    let mut party = Party::new(3);
    party.clients[1].1.set_capacity(0);
    let first = party.clients[0].0;
    let mut bytes = packet_header(first, Target::AllExcept(PeerId::SERVER)).to_vec();
    bytes.resize(60_000, 7);
    let mut got = 0;
    for _ in 0..100 {
        party.clients[0].1.inject(&frame(0x82, &bytes));
        party.server.run(party.now);
        got += party.clients[2].1.take_all().windows(9).filter(|window| *window == &bytes[..9]).count();
    }
    assert_eq!(got, 100);
    assert!(party.server.has(|notice| matches!(notice, Notice::Overflowed(id) if *id == party.clients[1].0)));
}

/// A client that has got its id, with a server whose bytes the test sends.
fn told_client() -> (std::time::Instant, Node, End) {
    client_told(&message(3, 77))
}

/// A client that has got a first message from a server whose bytes the test sends.
fn client_told(first: &[u8]) -> (std::time::Instant, Node, End) {
    let now = super::world::start();
    let (client_end, end) = End::pair(1 << 20, usize::MAX);
    let mut client = Node::client(config());
    client.dial(client_end, now);
    client.run(now);
    let asked = String::from_utf8(end.take_all()).expect("a request");
    let key = asked.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    end.inject(
        format!("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
            .as_bytes(),
    );
    end.inject(&served(first));
    client.run(now);
    (now, client, end)
}

/// A server's short frame.
fn served(payload: &[u8]) -> Vec<u8> {
    [&[0x82, payload.len() as u8], payload].concat()
}

#[test]
fn a_client_refuses_what_is_no_id() {
    let nobody = [message(3, 1), message(3, 0), message(3, -5), message(3, i32::MIN)];
    let other = [
        message(1, 77),
        message(2, 77),
        vec![3],
        vec![0; 13],
        packet_header(PeerId(1), Target::All).to_vec(),
    ];
    for bad in nobody.iter().chain(&other) {
        let (_, client, _) = client_told(bad);
        assert!(matches!(client.end(), Some(CloseReason::Violation(_))), "{bad:?}: {:?}", client.end());
    }
}

#[test]
fn a_server_cannot_pile_up_news_of_others() {
    let (now, mut client, end) = told_client();
    let comings: Vec<u8> = (100..5000).flat_map(|id| served(&message(1, id))).collect();
    end.inject(&comings);
    let mut joined = 0;
    while joined < 4900 {
        client.run(now);
        let fresh = client.notices.iter().filter(|notice| matches!(notice, Notice::Joined(_))).count();
        assert!((1..=1024).contains(&fresh), "{fresh} wait at once, {joined} were taken before");
        joined += fresh;
        let shared = client.shared();
        client.notices.retain(|notice| !matches!(notice, Notice::Joined(_)));
        // As the game's thread does it.
        client.game_took(&shared, fresh * 13, fresh, now);
    }
    assert_eq!(client.shared().incoming.load(), (0, 0));
    assert_eq!(client.end(), None);
    // Messages that are repeated, about unknown peers, or about the client itself or its server, cause no notice.
    let nothing =
        [(1, 100), (2, 9999), (1, 1), (2, 1), (3, 5), (1, 77), (2, 77)].map(|(kind, id)| message(kind, id));
    end.inject(&nothing.iter().flat_map(|message| served(message)).collect::<Vec<u8>>());
    client.run(now);
    assert_eq!(client.notices.len(), 1, "{:?}", &client.notices[1..]);
    // Endless notices about joining and leaving wait for the game too.
    let flicker = [served(&message(2, 100)), served(&message(1, 100))].concat().repeat(5000);
    end.inject(&flicker);
    client.run(now);
    assert!(client.notices.len() <= 1025, "{} wait", client.notices.len());
}

#[test]
fn a_server_that_tells_of_everybody_is_left() {
    let (now, mut client, end) = told_client();
    for id in 2..65_600 {
        end.inject(&served(&message(1, id)));
        if id % 500 == 0 || id > 65_530 {
            client.run(now);
            let shared = client.shared();
            let (bytes, packets) = shared.incoming.load();
            client.game_took(&shared, bytes, packets, now);
            client.run(now);
            client.notices.retain(|notice| !matches!(notice, Notice::Joined(_)));
        }
    }
    assert!(matches!(client.end(), Some(CloseReason::Violation(what)) if what.contains("65536 peers")));
}

#[test]
fn news_of_a_peer_that_stalls_again_and_again_do_not_pile_up_while_the_game_does_not_poll() {
    let mut party = Party::new(2);
    let slow = party.clients[1].0;
    let waiting = |party: &Party| {
        let about = |notices: &&Notice| matches!(notices, Notice::Congested(_) | Notice::Drained(_));
        party.server.notices.iter().filter(about).count()
    };
    for _ in 0..50 {
        party.starve(0, 1, 40);
        party.clients[1].1.set_capacity(1 << 20);
        for _ in 0..5 {
            party.server.run(party.now);
            party.clients[1].1.take_all();
        }
    }
    assert_eq!(waiting(&party), 2, "that it stalled, and that it drained");
    // The game polls.
    let shared = party.server.peers().rfind(|shared| shared.id == slow).expect("it is connected");
    party.server.notices.retain(|notice| !matches!(notice, Notice::Congested(_) | Notice::Drained(_)));
    shared.note_congestion_received();
    shared.note_congestion_received();
    party.starve(0, 1, 40);
    assert_eq!(waiting(&party), 1, "and the next time is told again");
}
