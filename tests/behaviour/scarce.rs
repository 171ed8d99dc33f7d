//! The limit of the process for bytes that wait to be sent: what counts, and which peers wait or are closed when it is reached.

use std::io::Read;
use std::time::Duration;

use super::godot3::{Party, config, messages};
use super::world::{SECOND, World, frame, multiplayer, outbound};
use crate::base::{CloseReason, PeerId, Target};
use crate::channel::{Command, Notice, charged};
use crate::config::{Buffers, OverflowPolicy, PeerConfig};
use crate::hub::relay::BORROWED;
use crate::wire::godot3::packet_header;

const POLICIES: [OverflowPolicy; 2] = [OverflowPolicy::Disconnect, OverflowPolicy::Refuse];
const MOMENT: Duration = Duration::from_millis(10);

impl Party {
    fn id(&self, at: usize) -> PeerId {
        self.clients[at].0
    }

    /// Returns the bytes that wait to be sent.
    fn waiting(&self) -> usize {
        self.server.queue_totals.outgoing.bytes()
    }

    /// Fills the room of the process.
    fn fill(&self) {
        self.server.queue_totals.outgoing.set_limit(self.waiting());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.run(self.now);
    }

    /// Takes what a client has received. Returns the number of short messages.
    fn receive(&self, at: usize) -> Vec<Vec<u8>> {
        messages(&self.clients[at].1.take_all())
    }

    /// Makes a client read again until nothing is left.
    fn wake(&mut self, at: usize) -> usize {
        self.clients[at].1.set_capacity(1 << 20);
        let mut received = 0;
        loop {
            self.server.run(self.now);
            match self.clients[at].1.take_all().len() {
                0 => return received,
                some => received += some,
            }
        }
    }

    /// The game takes the packets of the first client. Returns their number.
    fn take(&mut self) -> usize {
        let shared = self.server.peers().next().expect("it is connected");
        let waits = |notice: &Notice| matches!(notice, Notice::Packet(_));
        let taken = self.server.notices.iter().filter(|notice| waits(notice)).count();
        self.server.notices.retain(|notice| !waits(notice));
        let (bytes, packets) = shared.incoming.load();
        self.server.game_took(&shared, bytes, packets, self.now);
        taken
    }

    /// A packet of this size.
    fn say(&mut self, from: usize, to: Target, size: usize) {
        let mut bytes = packet_header(self.id(from), to).to_vec();
        bytes.resize(9 + size, 7);
        self.clients[from].1.inject(&frame(0x82, &bytes));
        self.server.run(self.now);
    }
}

#[test]
fn a_relayed_packet_counts_once_until_its_last_receiver_has_it() {
    let mut party = Party::new(5);
    for at in 1..5 {
        party.clients[at].1.set_capacity(100);
    }
    party.say(0, Target::AllExcept(PeerId::SERVER), 60_000);
    // A frame header for each, minus the bytes that have left.
    let waiting = party.waiting();
    assert!((60_009..60_100).contains(&waiting), "{waiting} bytes wait");
    for shared in party.server.peers().skip(1) {
        assert_eq!(shared.outgoing.load(), (60_009, 1), "for its own limits each has all of it");
    }
    assert_eq!(party.wake(1), 60_013);
    party.clients[2].1.cut();
    party.pass(MOMENT);
    assert!(party.waiting() >= 60_009, "two have not got it");
    assert_eq!(party.wake(3), 60_013 + 15, "and the notices that the third has left");
    party.clients[4].1.cut();
    party.pass(MOMENT);
    party.receive(0);
    assert_eq!(party.waiting(), 0);
}

#[test]
fn small_relayed_packets_count_for_each_who_gets_them() {
    let mut party = Party::new(4);
    for at in 1..4 {
        party.clients[at].1.set_capacity(0);
    }
    for _ in 0..10 {
        party.say(0, Target::AllExcept(PeerId::SERVER), 1000);
    }
    let waiting = party.waiting();
    assert_eq!(waiting, 3 * 10 * (9 + 1000 + 4), "they are copied");
    for at in 1..4 {
        party.wake(at);
    }
    assert_eq!(party.waiting(), 0);
}

#[test]
fn at_the_bound_a_sender_waits_for_who_is_behind_and_nobody_is_closed() {
    let mut party = Party::new(4);
    // Within the peer's own limits, so that only the limit of the process is reached.
    party.starve(0, 1, 40);
    party.fill();
    // No client waits because of the packets of another one.
    let other = party.send(2, party.id(2), Target::One(party.id(3)));
    assert_eq!(party.receive(3), [other]);
    let first = party.send(0, party.id(0), Target::All);
    let second = party.send(0, party.id(0), Target::One(party.id(3)));
    for _ in 0..200 {
        party.pass(MOMENT);
        assert!(party.receive(2).is_empty() && party.receive(3).is_empty());
    }
    assert_eq!(party.server.packets(), Vec::<Vec<u8>>::new(), "nor does the game get it before the others");
    assert_eq!(party.server.counters().reads_paused.get(), 1, "one pause, however often it is tried");
    party.wake(1);
    party.pass(MOMENT);
    for at in [1, 2] {
        assert_eq!(party.receive(at), std::slice::from_ref(&first));
    }
    assert_eq!(party.receive(3), [first, second]);
    assert_eq!(party.server.packets(), [b"hello"]);
    assert_eq!(party.overflowed(), []);
    assert_eq!(party.waiting(), 0);
}

#[test]
fn who_waits_for_room_is_not_taken_for_silent() {
    let patient = PeerConfig { write_timeout: Duration::ZERO, ..config() };
    let mut party = Party::with(patient, 3);
    party.starve(0, 1, 40);
    party.fill();
    let sent = party.send(0, party.id(0), Target::One(party.id(1)));
    for _ in 0..200 {
        party.pass(SECOND);
        // The other clients only answer pings.
        (1..3).for_each(|at| party.clients[at].1.inject(&frame(0x8a, b"")));
    }
    assert_eq!(party.server.counters().peers_timed_out.get(), 0);
    party.wake(1);
    party.pass(MOMENT);
    assert_eq!(party.receive(1), [sent]);
    // From then on, silence counts again.
    for _ in 0..70 {
        party.pass(SECOND);
        (1..3).for_each(|at| party.clients[at].1.inject(&frame(0x8a, b"")));
    }
    assert_eq!(party.server.counters().peers_timed_out.get(), 1);
}

#[test]
fn who_waits_twice_in_a_row_is_not_taken_for_silent_either() {
    let patient = PeerConfig { write_timeout: Duration::ZERO, ..config() };
    let mut party = Party::with(patient, 4);
    party.starve(0, 1, 40);
    party.starve(0, 2, 40);
    party.fill();
    // The first message waits for one of the two clients, and then also reaches the game; the second one waits for the other client.
    let first = party.send(0, party.id(0), Target::AllExcept(party.id(2)));
    let second = party.send(0, party.id(0), Target::One(party.id(2)));
    party.pass(SECOND);
    party.wake(1);
    party.fill();
    party.pass(2 * MOMENT);
    assert_eq!((party.receive(3), party.server.packets()), (vec![first], vec![b"hello".to_vec()]));
    for _ in 0..200 {
        party.pass(SECOND);
        (1..4).for_each(|at| party.clients[at].1.inject(&frame(0x8a, b"")));
    }
    assert_eq!(party.server.counters().peers_timed_out.get(), 0);
    party.wake(2);
    party.pass(MOMENT);
    assert_eq!(party.receive(2), [second]);
}

#[test]
fn who_waited_for_room_and_then_for_the_game_is_told_of_when_it_is_gone() {
    let buffers = Buffers { input_packets: 2, ..Buffers::default() };
    let mut party = Party::with(PeerConfig { buffers, ..config() }, 3);
    party.starve(0, 1, 40);
    party.fill();
    for _ in 0..2 {
        party.send(0, party.id(0), Target::One(PeerId::SERVER));
    }
    // The message waits for the other client first, and then for the game, which has taken nothing.
    party.send(0, party.id(0), Target::All);
    party.pass(SECOND);
    party.wake(1);
    party.pass(2 * MOMENT);
    assert!(party.server.end().is_none());
    party.clients[0].1.cut();
    for _ in 0..10 {
        party.pass(SECOND);
    }
    assert!(matches!(party.server.end(), Some(CloseReason::TransportError(_))));
}

#[test]
fn at_the_bound_what_is_for_the_game_alone_needs_no_room() {
    let mut party = Party::new(8);
    party.starve(0, 1, 40);
    party.fill();
    // Together more than one round may relay when the limit is reached.
    const PACKETS: usize = 60;
    const { assert!(6 * PACKETS * 1000 > BORROWED) };
    for at in 2..8 {
        let mut bytes = packet_header(party.id(at), Target::One(PeerId::SERVER)).to_vec();
        bytes.resize(1000, 7);
        for _ in 0..PACKETS {
            party.clients[at].1.inject(&frame(0x82, &bytes));
        }
    }
    party.server.run(party.now);
    assert_eq!(party.server.counters().reads_paused.get(), 0);
    assert_eq!(party.server.packets().len(), 6 * PACKETS);
}

#[test]
fn at_the_bound_who_takes_nothing_goes_by_its_grace_with_either_policy() {
    for policy in POLICIES {
        let mut party = Party::with(PeerConfig { overflow_policy: policy, ..config() }, 3);
        party.starve(0, 1, 80);
        party.fill();
        let sent = party.send(0, party.id(0), Target::All);
        party.pass(SECOND - MOMENT);
        assert_eq!((party.overflowed(), party.receive(2)), (vec![], vec![]), "{policy:?}");
        party.pass(2 * MOMENT);
        assert_eq!(party.overflowed(), [party.id(1)], "{policy:?}");
        party.pass(2 * MOMENT);
        let received = party.receive(2);
        assert!(received.contains(&sent), "{policy:?}: {received:?}");
        assert_eq!(party.server.packets(), [b"hello"], "{policy:?}");
        party.pass(4 * SECOND);
        assert_eq!(party.waiting(), 0, "{policy:?}");
    }
}

#[test]
fn at_the_bound_who_works_it_off_is_left_alone() {
    for policy in POLICIES {
        let mut party = Party::with(PeerConfig { overflow_policy: policy, ..config() }, 3);
        party.starve(0, 1, 150);
        party.clients[1].1.set_capacity(8000);
        let sent = party.send(0, party.id(0), Target::One(party.id(1)));
        // Forty kilobytes per second, with pauses of up to a fifth of a second.
        let mut taken = Vec::new();
        for _ in 0..10 {
            party.fill();
            let mut part = [0; 8000];
            if let Ok(n) = party.clients[1].1.read(&mut part) {
                taken.extend_from_slice(&part[..n]);
            }
            party.pass(20 * MOMENT);
        }
        assert_eq!(party.overflowed(), [], "{policy:?}");
        party.clients[1].1.set_capacity(1 << 20);
        for _ in 0..20 {
            party.pass(MOMENT);
            taken.extend(party.clients[1].1.take_all());
        }
        let last = &taken[taken.len() - 50..];
        assert!(last.windows(sent.len()).any(|part| part == sent), "{policy:?}: it came behind the others");
        assert_eq!(party.waiting(), 0);
    }
}

#[test]
fn at_any_bound_those_who_read_get_everything_in_order() {
    for bound in [0, 1000, 4096, 100_000] {
        let mut party = Party::new(6);
        party.server.queue_totals.outgoing.set_limit(bound);
        let (mut wanted, mut to_game) = (Vec::new(), 0);
        let mut received = vec![Vec::new(); 6];
        for round in 0..300 {
            let to = if round % 3 == 0 { Target::One(party.id(5)) } else { Target::All };
            let mut bytes = packet_header(party.id(0), to).to_vec();
            bytes.extend([round as u8; 100]);
            party.clients[0].1.inject(&frame(0x82, &bytes));
            wanted.push((to, bytes));
            // They read in every second round, so they are congested for a moment.
            if round % 2 == 1 {
                for (at, received) in received.iter_mut().enumerate() {
                    received.extend(party.clients[at].1.take_all());
                }
            }
            let capacity = if round % 2 == 1 { 1 << 20 } else { 150 };
            (1..6).for_each(|at| party.clients[at].1.set_capacity(capacity));
            party.pass(MOMENT);
            to_game += party.take();
        }
        for _ in 0..300 {
            (1..6).for_each(|at| party.clients[at].1.set_capacity(1 << 20));
            party.pass(2 * MOMENT);
            to_game += party.take();
            for (at, received) in received.iter_mut().enumerate() {
                received.extend(party.clients[at].1.take_all());
            }
        }
        assert_eq!(party.overflowed(), [], "at {bound}");
        for (at, received) in received.iter().enumerate().skip(1) {
            let id = party.id(at);
            let mine = |(to, _): &&(Target, Vec<u8>)| *to == Target::All || *to == Target::One(id);
            let wanted: Vec<_> = wanted.iter().filter(mine).map(|(_, bytes)| bytes.clone()).collect();
            assert_eq!(messages(received), wanted, "at {bound}, client {at}");
        }
        assert_eq!((to_game, party.waiting()), (200, 0), "at {bound}");
    }
}

/// Runs a test without and with TLS, with packets that wait.
fn worlds() -> [(&'static str, World); 2] {
    let buffers = Buffers { output_bytes: 8192, ..Buffers::default() };
    let config = PeerConfig { buffers, ..multiplayer() };
    let worlds = [("plain", World::connected(config.clone())), ("TLS", World::encrypted(config))];
    for (_, world) in &worlds {
        world.ends.1.set_capacity(1000);
    }
    worlds
}

fn send(world: &mut World, count: usize, size: usize) {
    for _ in 0..count {
        world.server.shared().outgoing.add(size);
        let message = outbound(charged(&world.server.queue_totals.outgoing, vec![7; size]));
        world.server.command(Command::Send { to: world.server_conn, message }, world.now);
    }
    world.server.run(world.now);
}

#[test]
fn what_waits_inside_tls_and_in_front_of_it_counts_until_it_has_left_or_is_dropped() {
    for (row, mut world) in worlds() {
        send(&mut world, 40, 1000);
        send(&mut world, 10, 5000);
        let waiting = world.server.queue_totals.bytes();
        assert!((88_000..92_000).contains(&waiting), "{row}: {waiting} bytes wait");
        world.ends.1.set_capacity(64 * 1024);
        let mut got = 0;
        while world.server.run(world.now) | world.client.run(world.now) {
            got += world.client.packets().len();
        }
        assert_eq!(got, 50, "{row}");
        assert_eq!(world.server.queue_totals.bytes(), 0, "{row}");
    }
    for (row, mut world) in worlds() {
        send(&mut world, 40, 1000);
        send(&mut world, 10, 5000);
        // It is closed after the grace, and does not even read the Close.
        for _ in 0..30 {
            world.now += SECOND / 4;
            world.server.run(world.now);
        }
        assert_eq!(world.server.end(), Some(&CloseReason::Overflow), "{row}");
        assert_eq!(world.server.queue_totals.bytes(), 0, "{row}");
    }
    for (row, mut world) in worlds() {
        send(&mut world, 40, 1000);
        send(&mut world, 10, 5000);
        world.ends.1.reset();
        world.server.run(world.now);
        assert_eq!(world.server.len(), 0, "{row}");
        assert_eq!(world.server.queue_totals.bytes(), 0, "{row}");
    }
}

#[test]
fn a_client_s_own_masked_copies_count_as_well() {
    for (row, mut world) in worlds() {
        world.ends.0.set_capacity(1000);
        for _ in 0..10 {
            world.client.shared().outgoing.add(5000);
            let message = outbound(charged(&world.client.queue_totals.outgoing, vec![7; 5000]));
            world.client.command(Command::Send { to: world.client_conn, message }, world.now);
        }
        world.client.run(world.now);
        let waiting = world.client.queue_totals.bytes();
        assert!((48_000..52_000).contains(&waiting), "{row}: {waiting} bytes wait");
        world.ends.0.set_capacity(64 * 1024);
        world.run();
        assert_eq!(world.server.packets().len(), 10, "{row}");
        assert_eq!(world.client.queue_totals.bytes(), 0, "{row}");
    }
}
