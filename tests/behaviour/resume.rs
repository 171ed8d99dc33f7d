//! Sessions that survive the loss of their connection (docs/protocol.md): every kind of cut, at any time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::End;
use super::faults;
use super::world::{Node, SECOND, World, multiplayer};
use crate::base::CloseReason;
use crate::channel::{Command, Form, Notice, Outbound, PeerShared, Reservation, WhenFull};
use crate::conditions::Conditions;
use crate::config::{Buffers, Compression, OverflowPolicy, PeerConfig, ServerConfig};

/// A server that keeps sessions, and a client that wants one.
fn config() -> PeerConfig {
    PeerConfig {
        resume_timeout: 20 * SECOND,
        resume_offered: true,
        heartbeat_interval: Duration::ZERO,
        heartbeat_timeout: Duration::ZERO,
        ..multiplayer()
    }
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Both ends read the end of the stream.
    End,
    /// Both ends read and write errors.
    Reset,
    /// Nothing passes any more.
    Silence,
    /// Only the server is told.
    Server,
    /// Only the client is told.
    Client,
}

const CUTS: [Cut; 5] = [Cut::End, Cut::Reset, Cut::Silence, Cut::Server, Cut::Client];

/// A world whose client dials again.
struct Line {
    world: World,
    /// The capacity of the next connections, and how many bytes a call moves.
    capacity: usize,
    step: usize,
    /// Ends of connections through which nothing passes, so that they are not closed.
    silent: Vec<(End, End)>,
    /// The next connections fail while this is set.
    offline: bool,
    dials: usize,
    /// What each game has sent and received, server first.
    sent: [Vec<u32>; 2],
    reliable: [Vec<u32>; 2],
    received: [Vec<u32>; 2],
    next: u32,
    /// Suspensions and their ends that the games have heard of.
    heard: [(usize, usize); 2],
}

impl Line {
    fn new(config: PeerConfig) -> Self {
        Self::over(World::new(config, 64 * 1024, usize::MAX))
    }

    fn over(world: World) -> Self {
        let mut line = Self {
            world,
            capacity: 64 * 1024,
            step: usize::MAX,
            silent: Vec::new(),
            offline: false,
            dials: 0,
            sent: [Vec::new(), Vec::new()],
            reliable: [Vec::new(), Vec::new()],
            received: [Vec::new(), Vec::new()],
            next: 0,
            heard: [(0, 0); 2],
        };
        line.run();
        line
    }

    fn node(&mut self, side: usize) -> &mut Node {
        if side == 0 { &mut self.world.server } else { &mut self.world.client }
    }

    fn shared(&mut self, side: usize) -> Arc<PeerShared> {
        self.node(side).shared()
    }

    fn cut(&mut self, cut: Cut) {
        let (server, client) = self.world.ends.clone();
        match cut {
            Cut::End => {
                server.cut();
                client.cut();
            }
            Cut::Reset => {
                server.reset();
                client.reset();
            }
            Cut::Silence => {
                for end in [&server, &client] {
                    end.hold_reads(true);
                    end.set_capacity(0);
                }
                self.silent.push((server, client));
            }
            Cut::Server => {
                client.cut();
                client.hold_reads(true);
                client.set_capacity(0);
                self.silent.push((server, client));
            }
            Cut::Client => {
                server.cut();
                server.hold_reads(true);
                server.set_capacity(0);
                self.silent.push((server, client));
            }
        }
    }

    /// Runs until nothing changes. The client dials when it wants to.
    fn run(&mut self) {
        loop {
            self.world.run();
            let now = self.world.now;
            if self.world.client.driver.hub.take_dial(now).is_none() {
                break;
            }
            self.dials += 1;
            if self.offline {
                let reason = CloseReason::TransportError("no network".into());
                self.world.client.driver.hub.dial_failed(reason, now);
                continue;
            }
            let (server_end, client_end) = End::pair(self.capacity, self.step);
            self.world.server.accept_from("192.0.2.9:999", server_end.clone(), now);
            self.world.client.dial(client_end.clone(), now);
            self.world.ends = (server_end, client_end);
        }
        self.take(0);
        self.take(1);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.world.now = end.min(self.world.now + Duration::from_millis(25));
            self.run();
        }
    }

    /// The game of one side sends the next number.
    fn send(&mut self, side: usize, size: usize, reliable: bool) {
        self.next += 1;
        let number = self.next;
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(size.max(4), number as u8);
        let shared = self.shared(side);
        let config = self.node(side).hub().config().clone();
        let when_full = if reliable { WhenFull::Refuse } else { WhenFull::Drop };
        if shared.reserve(payload.len(), when_full, &config, || true) != Reservation::Taken {
            return;
        }
        let payload = Bytes::from(payload);
        let message = Outbound::shared(payload, if reliable { Form::Binary } else { Form::Unreliable });
        let now = self.world.now;
        self.node(side).command(Command::Send { to: shared.conn, message }, now);
        self.sent[side].push(number);
        if reliable {
            self.reliable[side].push(number);
        }
    }

    /// The game of one side takes packets.
    fn take(&mut self, side: usize) {
        if !self.node(side).has(|notice| matches!(notice, Notice::Connected { .. })) {
            return;
        }
        let packets = self.node(side).packets();
        for payload in packets {
            let (number, rest) = payload.split_at(4);
            let number = u32::from_le_bytes(number.try_into().expect("4 bytes"));
            assert!(rest.iter().all(|byte| *byte == number as u8), "a packet is damaged");
            self.received[1 - side].push(number);
        }
    }

    /// Checks what has arrived: nothing twice, nothing out of order, everything reliable.
    fn check(&self) {
        for side in [0, 1] {
            let received = &self.received[side];
            assert!(received.is_sorted_by(|one, next| one < next), "side {side}: {received:?}");
            let missing: Vec<_> =
                self.reliable[side].iter().filter(|number| received.binary_search(number).is_err()).collect();
            assert!(missing.is_empty(), "side {side}: {missing:?} are missing");
            assert!(received.iter().all(|number| self.sent[side].binary_search(number).is_ok()));
        }
    }

    fn count(&mut self, side: usize, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.node(side).notices.iter().filter(|notice| wanted(notice)).count()
    }

    /// The number of suspensions and of their ends.
    fn suspensions(&mut self, side: usize) -> (usize, usize) {
        (
            self.count(side, |notice| matches!(notice, Notice::Suspended(_))),
            self.count(side, |notice| matches!(notice, Notice::Resumed(_))),
        )
    }

    /// The games have heard of their suspensions.
    fn hear(&mut self) {
        for side in [0, 1] {
            let shared = self.shared(side);
            let told = self.suspensions(side);
            self.heard[side] = (self.heard[side].0 + told.0, self.heard[side].1 + told.1);
            for _ in 0..told.0 + told.1 {
                shared.note_suspension_received();
            }
            self.node(side)
                .notices
                .retain(|notice| !matches!(notice, Notice::Suspended(_) | Notice::Resumed(_)));
        }
    }

    fn is_suspended(&mut self, side: usize) -> bool {
        self.shared(side).outgoing.is_suspended()
    }

    fn assert_alive(&self) {
        assert_eq!((self.world.server.end(), self.world.client.end()), (None, None));
    }

    fn assert_open(&mut self) {
        for side in [0, 1] {
            assert_eq!(self.node(side).end(), None);
            assert!(!self.is_suspended(side), "side {side} is suspended");
        }
    }
}

#[test]
fn a_peer_that_comes_back_has_lost_nothing_whatever_the_cut() {
    for cut in CUTS {
        for encrypted in [false, true] {
            let world = if encrypted { World::encrypted(config()) } else { World::connected(config()) };
            let mut line = Line::over(world);
            let ids = [line.shared(0).id, line.shared(1).id];
            for size in [10, 2000] {
                line.send(0, size, true);
                line.send(1, size, true);
            }
            line.run();
            // These are under way, or not even written, when the connection is lost.
            for size in [4, 5000, 30] {
                line.send(0, size, true);
                line.send(1, size, true);
            }
            line.cut(cut);
            line.pass(SECOND);
            line.send(0, 10, true);
            line.send(1, 10, true);
            line.pass(20 * SECOND);
            line.assert_open();
            line.check();
            assert_eq!([line.shared(0).id, line.shared(1).id], ids, "{cut:?}");
            assert_eq!((line.suspensions(0), line.suspensions(1)), ((1, 1), (1, 1)), "{cut:?}");
            // The new connection is as good as the first one.
            line.send(0, 10, true);
            line.send(1, 10, true);
            line.pass(SECOND);
            line.check();
            for side in [0, 1] {
                assert_eq!(line.shared(side).outgoing.load(), (0, 0), "{cut:?}: no room is lost");
                assert_eq!(
                    line.shared(side).figures.unacked_packets.get(),
                    0,
                    "{cut:?}: all is acknowledged"
                );
            }
        }
    }
}

#[test]
fn a_simulated_network_that_cuts_again_and_again_loses_nothing() {
    let conditions =
        Conditions { disconnect_every: 2 * SECOND, latency: SECOND / 10, ..Conditions::default() };
    let with_cuts = || PeerConfig { conditions, ..config() };
    for (server, client) in [(with_cuts(), config()), (config(), with_cuts())] {
        let world = World::between(Node::server(server), Node::client(client), 64 * 1024, usize::MAX);
        let mut line = Line::over(world);
        line.pass(SECOND / 2);
        for _ in 0..300 {
            line.send(0, 100, true);
            line.send(1, 100, true);
            line.pass(SECOND / 5);
            line.hear();
        }
        for side in [0, 1] {
            assert_eq!(line.node(side).end(), None);
            let now = line.world.now;
            line.node(side).change_conditions(Conditions::default(), now);
        }
        line.pass(10 * SECOND);
        line.assert_open();
        line.check();
        line.hear();
        let (suspended, resumed) = line.heard[0];
        assert!((20..=60).contains(&suspended) && suspended == resumed, "{suspended} cuts in a minute");
    }
}

#[test]
fn who_does_not_come_back_in_time_is_gone() {
    let mut line = Line::new(config());
    line.offline = true;
    line.cut(Cut::End);
    line.pass(19 * SECOND);
    assert!(line.node(0).end().is_none() && line.node(1).end().is_none());
    assert!(line.is_suspended(0) && line.is_suspended(1));
    line.pass(2 * SECOND);
    assert!(line.node(0).end().is_some());
    assert_eq!(line.node(0).counters().sessions_expired.get(), 1);
    // The client gives up when an attempt that began behind its time has failed.
    line.pass(6 * SECOND);
    assert!(line.node(1).end().is_some());
    let dials = line.dials;
    line.pass(30 * SECOND);
    assert_eq!(line.dials, dials, "it does not dial any more");
    for side in [0, 1] {
        assert_eq!(line.node(side).counters().peers_suspended.get(), 0);
        assert_eq!(line.count(side, |notice| matches!(notice, Notice::Disconnected { .. })), 1);
        assert_eq!(line.count(side, |notice| matches!(notice, Notice::Failed(_))), 0);
    }
}

#[test]
fn without_an_agreement_a_loss_is_an_end() {
    let off = PeerConfig { resume_timeout: Duration::ZERO, ..config() };
    let silent = PeerConfig { resume_offered: false, ..config() };
    for (server, client) in [(off, config()), (config(), silent)] {
        let world = World::between(Node::server(server), Node::client(client), 64 * 1024, usize::MAX);
        let mut line = Line::over(world);
        line.cut(Cut::End);
        line.pass(SECOND);
        assert!(line.node(0).end().is_some() && line.node(1).end().is_some());
        assert_eq!((line.suspensions(0), line.suspensions(1), line.dials), ((0, 0), (0, 0), 0));
    }
}

#[test]
fn idle_ends_do_not_acknowledge_each_others_acknowledgements() {
    let mut line = Line::new(config());
    line.send(0, 100, true);
    line.send(1, 100, true);
    line.pass(2 * SECOND);
    let written = |line: &mut Line| [0, 1].map(|side| line.shared(side).figures.bytes_out.get());
    let before = written(&mut line);
    line.pass(20 * SECOND);
    let after = written(&mut line);
    // A ping and a pong each 2.5 s, of 16 bytes at most.
    assert!((0..2).all(|side| after[side] - before[side] < 14 * 16 * 2), "{before:?} {after:?}");
}

#[test]
fn another_server_at_the_same_address_ends_the_session_once() {
    for first in [false, true] {
        let mut line = Line::new(config());
        // One that gives no sessions, or one that was started again.
        let other = if first { config() } else { PeerConfig { resume_timeout: Duration::ZERO, ..config() } };
        line.cut(Cut::End);
        line.world.client.run(line.world.now);
        line.world.server = Node::server(other);
        line.pass(20 * SECOND);
        let client = &mut line.world.client;
        assert!(client.end().is_some(), "{first}");
        let count =
            |wanted: fn(&Notice) -> bool| client.notices.iter().filter(|notice| wanted(notice)).count();
        assert_eq!(count(|notice| matches!(notice, Notice::Disconnected { .. })), 1);
        assert_eq!(count(|notice| matches!(notice, Notice::Failed(_))), 0);
        assert_eq!(client.counters().pending.get(), 0);
    }
}

#[test]
fn a_game_that_leaves_while_it_comes_back_has_left() {
    for rounds in 0..6 {
        let mut line = Line::new(config());
        line.cut(Cut::End);
        line.world.client.run(line.world.now);
        line.world.server.run(line.world.now);
        line.pass(Duration::from_millis(50 * rounds));
        let conn = line.shared(1).conn;
        let frame = Box::new(crate::base::CloseFrame::normal());
        line.shared(1).set_closing();
        let now = line.world.now;
        line.node(1).command(Command::Close { conn, frame }, now);
        line.pass(30 * SECOND);
        for side in [0, 1] {
            assert_eq!(
                line.count(side, |notice| matches!(notice, Notice::Disconnected { .. })),
                1,
                "{rounds}"
            );
            assert_eq!(line.count(side, |notice| matches!(notice, Notice::Failed(_))), 0, "{rounds}");
            assert_eq!(line.node(side).counters().pending.get(), 0, "{rounds}");
        }
    }
}

#[test]
fn who_is_kicked_with_the_code_of_a_restart_does_not_dial() {
    for (side, code) in [(0, 1012), (1, 1012), (0, 3012), (1, 3012)] {
        let mut line = Line::new(config());
        let conn = line.shared(side).conn;
        let frame = Box::new(crate::base::CloseFrame::new(code, "out").expect("valid"));
        line.shared(side).set_closing();
        let now = line.world.now;
        line.node(side).command(Command::Close { conn, frame }, now);
        line.pass(30 * SECOND);
        assert_eq!(line.dials, 0, "{side}");
        for side in [0, 1] {
            assert_eq!(line.node(side).end().map(CloseReason::code), Some(code as i32));
            assert_eq!(line.suspensions(side), (0, 0));
        }
    }
}

#[test]
fn a_message_that_takes_long_is_no_silence() {
    // 40 kB/s; 2 kB/s, so that a record of TLS, which is nothing before it is whole, takes eight seconds; and a server that takes its time.
    for (encrypted, bandwidth, rate, size) in
        [(false, 320, 0, 800_000), (true, 16, 0, 80_000), (false, 0, 20_000, 400_000)]
    {
        let buffers = Buffers { input_bytes: 1 << 20, output_bytes: 1 << 20, ..Buffers::default() };
        let peer = PeerConfig { buffers, ..config() };
        for (side, seed) in (0..20).map(|seed| (usize::from(seed % 2 == 0), seed)) {
            let world = if encrypted {
                World::encrypted(peer.clone())
            } else {
                let server = ServerConfig {
                    peer: peer.clone(),
                    max_inbound_per_second: rate,
                    ..ServerConfig::default()
                };
                World::between(Node::gated(server), Node::client(peer.clone()), 64 * 1024, usize::MAX)
            };
            let mut line = Line::over(world);
            let (latency, jitter) = (SECOND / 20, SECOND / 10);
            let conditions = Conditions { bandwidth, latency, jitter, seed, ..Conditions::default() };
            let now = line.world.now;
            line.node(1).change_conditions(conditions, now);
            line.pass(Duration::from_millis(350 * seed));
            line.send(side, size, true);
            for _ in 0..60 {
                line.pass(SECOND);
                let suspensions = (line.suspensions(0), line.suspensions(1));
                assert_eq!(suspensions, ((0, 0), (0, 0)), "{size} bytes, {side}, {seed}");
            }
            assert_eq!(line.received[side].len(), 1, "{size} bytes, {side}, {seed}");
        }
    }
}

#[test]
fn a_client_that_reconnects_gives_up_an_attempt_that_hangs() {
    let mut line = Line::new(config());
    line.cut(Cut::End);
    // The next connection is silent from the beginning.
    line.capacity = 0;
    line.pass(SECOND);
    assert!(line.is_suspended(1));
    line.capacity = 64 * 1024;
    let now = line.world.now;
    line.node(1).command(Command::Reconnect, now);
    line.pass(SECOND);
    line.assert_open();
}

/// From then on each attempt is connected, and hears nothing.
fn be_away_until_the_time_is_up(line: &mut Line) {
    line.cut(Cut::End);
    line.offline = true;
    line.pass(20 * SECOND);
    line.offline = false;
    line.capacity = 0;
}

#[test]
fn a_client_that_reconnects_does_so_also_when_its_time_is_up() {
    let mut line = Line::new(config());
    // The server's time begins later: it has noticed the loss later.
    let now = line.world.now;
    let longer = PeerConfig { resume_timeout: 60 * SECOND, ..config() };
    line.node(0).command(Command::Configure(Box::new(longer)), now);
    be_away_until_the_time_is_up(&mut line);
    assert!(line.is_suspended(0) && line.is_suspended(1));
    let dials = line.dials;
    while line.dials == dials {
        line.pass(SECOND / 40);
    }
    line.pass(SECOND);
    line.assert_alive();
    assert_eq!(line.node(1).counters().pending.get(), 1, "an attempt hangs");
    line.capacity = 64 * 1024;
    let now = line.world.now;
    line.node(1).command(Command::Reconnect, now);
    line.pass(SECOND);
    line.assert_open();
}

#[test]
fn a_client_that_reconnects_again_and_again_hears_of_the_end() {
    let mut line = Line::new(config());
    be_away_until_the_time_is_up(&mut line);
    for _ in 0..20 {
        let now = line.world.now;
        line.node(1).command(Command::Reconnect, now);
        line.pass(2 * SECOND);
    }
    assert!(line.node(1).end().is_some());
}

#[test]
fn who_comes_back_on_a_slow_link_is_not_closed_while_it_takes_what_it_missed() {
    for policy in [OverflowPolicy::Disconnect, OverflowPolicy::Refuse] {
        for side in [0, 1] {
            let mut line = Line::new(PeerConfig { overflow_policy: policy, ..config() });
            let remote = if side == 0 { &line.world.ends.1 } else { &line.world.ends.0 };
            remote.hold_reads(true);
            remote.set_capacity(1 << 20);
            for _ in 0..400 {
                line.send(side, 1000, true);
                line.run();
            }
            assert_eq!(line.shared(side).outgoing.load(), (0, 0), "everything has left");
            line.offline = true;
            line.cut(Cut::Silence);
            line.pass(6 * SECOND);
            assert!(line.is_suspended(1));
            line.pass(10 * SECOND);
            assert!(line.is_suspended(side));
            for _ in 0..300 {
                line.send(side, 1000, true);
            }
            line.offline = false;
            // 40 kB/s, half of which the game needs.
            let slow = Conditions { bandwidth: 320, ..Conditions::default() };
            let now = line.world.now;
            line.node(side).change_conditions(slow, now);
            for _ in 0..20 {
                line.send(side, 20_000, true);
                line.pass(SECOND);
                line.assert_alive();
            }
            line.pass(20 * SECOND);
            line.assert_open();
            line.check();
            assert_eq!(line.node(side).counters().peers_overflowed.get(), 0);
        }
    }
}

/// One seed: games that send, take, and lose their connection at random.
fn storm(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let encrypted = random.random_bool(0.2);
    let compression =
        [None, Some(Compression::Shared), Some(Compression::Dedicated)][random.random_range(0..3)];
    let compression_threshold = [1, 100, 1024][random.random_range(0..3)];
    let mut config = PeerConfig { compression, compression_threshold, ..config() };
    // Compressed in pieces, and others wait behind them.
    let has_large = random.random_bool(0.1);
    if has_large {
        config.max_message_size = Some(LARGE);
        config.buffers = Buffers { input_bytes: 64 << 20, output_bytes: 64 << 20, ..config.buffers };
    }
    let world = if encrypted { World::encrypted(config) } else { World::connected(config) };
    let mut line = Line::over(world);
    line.capacity = [2000, 20_000, 64 * 1024][random.random_range(0..3)];
    line.step = [usize::MAX, 1000, 97][random.random_range(0..3)];
    for _ in 0..random.random_range(5..60) {
        match random.random_range(0..10) {
            0..5 => {
                let side = random.random_range(0..2);
                for _ in 0..random.random_range(1..20) {
                    let mut size = [4, 60, 900, 1500, 9000][random.random_range(0..5)];
                    if has_large && random.random_ratio(1, 15) {
                        size = LARGE;
                    }
                    line.send(side, size, random.random_bool(0.8));
                }
            }
            5 => line.run(),
            6 => {
                // A part of a round, so that a cut finds frames and handshakes half written.
                let now = line.world.now;
                for _ in 0..random.random_range(1..6) {
                    if random.random_bool(0.5) {
                        line.world.server.run_once(now);
                    } else {
                        line.world.client.run_once(now);
                    }
                }
            }
            7 => line.pass(Duration::from_millis(random.random_range(1..1500))),
            _ => {
                line.cut(CUTS[random.random_range(0..CUTS.len())]);
                line.hear();
                line.offline = random.random_bool(0.2);
                if random.random_bool(0.5) {
                    line.pass(Duration::from_millis(random.random_range(1..700)));
                }
                line.offline = false;
            }
        }
    }
    line.pass(60 * SECOND);
    line.assert_open();
    line.check();
    line.hear();
    for side in [0, 1] {
        let (suspended, resumed) = line.heard[side];
        assert_eq!(suspended, resumed, "side {side}");
        assert_eq!(line.shared(side).outgoing.load(), (0, 0), "side {side}: no room is lost");
        assert_eq!(line.node(side).counters().peers_suspended.get(), 0);
    }
}

const LARGE: usize = 100_000;

#[test]
fn any_cut_at_any_time_loses_nothing() {
    // There are more kinds of cuts, and moments for them, than of other faults.
    faults::each_seed("resume::any_cut_at_any_time_loses_nothing", 2000, storm);
}
