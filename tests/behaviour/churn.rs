//! Clients of the 3.x format that join and leave, and clients that do not read the notices about them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::godot3::{Party, config, message, messages};
use super::world::{End, REQUEST, frame};
use crate::base::{CloseReason, PeerId, Target};
use crate::channel::Notice;
use crate::config::{Buffers, OverflowPolicy, PeerConfig};
use crate::hub::transports::Step;
use crate::wire::godot3::packet_header;

impl Party {
    /// A client joins and disconnects.
    fn flit(&mut self) {
        let (server_end, end) = End::pair(1 << 20, usize::MAX);
        self.server.accept(server_end, self.now);
        end.inject(REQUEST);
        self.server.run(self.now);
        end.cut();
        self.server.run(self.now);
        self.server.notices.retain(|notice| matches!(notice, Notice::Overflowed(_)));
        // The game polls.
        self.server.counters().arrivals.store(0, Ordering::Relaxed);
    }

    /// How long the Close of a client waits that does not read.
    fn end_goodbyes(&mut self) {
        self.now += self.server.hub().config().close_timeout;
        self.server.run(self.now);
    }

    /// The output queue of this client is full.
    fn stop_reading(&self, at: usize) {
        self.clients[at].1.set_capacity(0);
    }
}

#[test]
fn who_does_not_listen_keeps_no_endless_list_of_comings_and_goings() {
    let refuse = PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config() };
    let mut party = Party::with(refuse, 2);
    let deaf = party.clients[1].0;
    let shared = party.server.peers().nth(1).expect("it is connected");
    party.stop_reading(1);
    let mut received = 0;
    let mut most = 0;
    for _ in 0..33_000 {
        party.flit();
        most = most.max(shared.outgoing.load().1);
        received += messages(&party.clients[0].1.take_all()).len();
    }
    assert_eq!(party.overflowed(), [deaf]);
    assert!((60_000..=65_536).contains(&most), "{most} waited");
    party.end_goodbyes();
    assert_eq!(party.server.queue_totals.bytes(), 0);
    // The other client also got the notice that the one that does not read was closed.
    assert_eq!(received, 2 * 33_000 + 1);
}

#[test]
fn news_count_for_the_output_limits_like_packets() {
    let mut party = Party::new(2);
    let deaf = party.clients[1].0;
    party.stop_reading(1);
    for _ in 0..900 {
        party.flit();
        party.clients[0].1.take_all();
        party.now += Duration::from_millis(5);
    }
    assert_eq!(party.overflowed(), [deaf], "1024 packets, and a second of grace");
}

#[test]
fn at_the_bound_of_the_process_nobody_is_closed_because_another_came() {
    let mut party = Party::new(3);
    party.server.queue_totals.set_limit(0);
    party.flit();
    assert_eq!(party.overflowed(), []);
    for (_, end) in &party.clients {
        assert_eq!(messages(&end.take_all()).len(), 2);
    }
}

/// Clients that do not read, each with room for this many more bytes.
fn brimful(deaf: usize, room: usize) -> Party {
    let mut party = Party::with(PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config() }, deaf + 2);
    for at in 2..deaf + 2 {
        party.stop_reading(at);
    }
    let mut left = party.server.hub().config().burst_bytes() - room;
    while left > 0 {
        let size = left.min(60_000);
        let size = if left - size < 20 && left > size { size - 100 } else { size };
        let mut bytes = packet_header(party.clients[0].0, Target::AllExcept(PeerId::SERVER)).to_vec();
        bytes.resize(size, 7);
        party.clients[0].1.inject(&frame(0x82, &bytes));
        party.server.run(party.now);
        party.clients[1].1.take_all();
        left -= size;
    }
    assert_eq!(party.overflowed(), []);
    party
}

#[test]
fn one_end_after_which_hundreds_have_no_room_needs_no_deep_stack() {
    const DEAF: usize = 300;
    let shallow = std::thread::Builder::new().stack_size(512 * 1024);
    let body = || {
        let mut party = brimful(DEAF, 12);
        party.clients[0].1.cut();
        party.server.run(party.now);
        assert_eq!(party.overflowed().len(), DEAF);
        let told: HashSet<_> = messages(&party.clients[1].1.take_all()).into_iter().collect();
        let left = |at: usize| message(2, party.clients[at].0.0);
        assert_eq!(told, (0..DEAF + 2).filter(|at| *at != 1).map(left).collect());
        party.end_goodbyes();
        assert_eq!(party.server.queue_totals.bytes(), 0);
    };
    shallow.spawn(body).expect("a thread").join().expect("it goes through");
}

#[test]
fn a_newcomer_is_told_of_the_end_of_whoever_has_no_room_for_the_news_of_it() {
    let mut party = brimful(3, 12);
    let (server_end, end) = End::pair(1 << 20, usize::MAX);
    party.server.accept(server_end, party.now);
    end.inject(REQUEST);
    party.server.run(party.now);
    let answer = end.take_all();
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer") + 4;
    let mut there = HashSet::new();
    for told in messages(&answer[at..]) {
        match told[0] {
            1 => assert!(there.insert(told[9..].to_vec()), "came twice"),
            2 => assert!(there.remove(&told[9..]), "left, and had not come"),
            _ => {}
        }
    }
    let left: HashSet<_> =
        [PeerId::SERVER, party.clients[0].0, party.clients[1].0].map(|id| id.0.to_le_bytes().to_vec()).into();
    assert_eq!(there, left);
    assert_eq!(party.overflowed().len(), 3);
    let forced =
        |notice: &Notice| matches!(notice, Notice::Disconnected { reason: CloseReason::Overflow, .. });
    assert_eq!(party.server.notices.iter().filter(|notice| forced(notice)).count(), 3);
}

#[test]
fn without_any_grace_a_few_bytes_of_one_large_message_are_no_endless_matter() {
    let buffers = Buffers { output_bytes: 1024, ..Buffers::default() };
    let mut party = Party::with(PeerConfig { buffers, overflow_grace: Duration::ZERO, ..config() }, 2);
    let (sender, deaf) = (party.clients[0].0, party.clients[1].0);
    let mut bytes = packet_header(sender, Target::One(deaf)).to_vec();
    bytes.resize(3000, 7);
    // Its frame header has four bytes, which do not count; the last three do not fit.
    party.clients[1].1.set_capacity(3004 - 3);
    party.clients[0].1.inject(&frame(0x82, &bytes));
    party.server.run(party.now);
    let conn = party.server.shared().conn;
    let settled = |party: &Party| party.server.hub().deadline(conn).is_none_or(|due| due > party.now);
    assert!(settled(&party) && party.overflowed() == [deaf]);
}

#[test]
fn a_peer_that_the_game_has_just_closed_is_no_endless_matter() {
    let mut party = Party::with(PeerConfig { overflow_grace: Duration::ZERO, ..config() }, 2);
    let (shared, first) = (party.server.peers().nth(1).expect("it is connected"), party.clients[0].0);
    let mut bytes = packet_header(first, Target::One(party.clients[1].0)).to_vec();
    bytes.resize(60_000, 7);
    party.clients[1].1.set_capacity(100);
    party.clients[0].1.inject(&frame(0x82, &bytes).repeat(2));
    let mut decided = false;
    for _ in 0..3 {
        party.server.driver.round_with(party.now, &mut |step| {
            // Between writing and expiring, as the game's thread does it when the queues of the process are full.
            if step == Step::Write && shared.outgoing.load().0 > 65_536 {
                assert!(shared.outgoing.is_congested(), "it is to be decided");
                shared.outgoing.clear();
                decided = true;
            }
        });
    }
    assert!(decided && party.server.hub().len() == 2);
    assert!(party.server.hub().deadline(shared.conn).is_none_or(|due| due > party.now));
}

#[test]
fn a_turn_of_relaying_is_bounded_in_copies() {
    const CLIENTS: usize = 101;
    let mut party = Party::new(CLIENTS);
    let tiny = frame(0x82, &packet_header(party.clients[0].0, Target::AllExcept(PeerId::SERVER)));
    let count = 60_000 / tiny.len();
    party.clients[0].1.inject(&tiny.repeat(count));
    let peers: Vec<_> = party.server.peers().skip(1).collect();
    for _ in 1..=3 {
        let more = party.server.driver.round_with(party.now, &mut |step| {
            if step == Step::Read {
                let copies: usize = peers.iter().map(|shared| shared.outgoing.load().1).sum();
                assert_eq!(copies, 4100, "whole messages, and no more than 4096 and one");
            }
        });
        assert!(more);
    }
    party.server.run(party.now);
    for (_, end) in &party.clients[1..] {
        assert_eq!(messages(&end.take_all()).len(), count);
    }
}
