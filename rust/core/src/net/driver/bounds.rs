//! Tests of how much one round does at most, and of what is kept afterwards: counts, as in `turns`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::turns::{Client, DEADLINE, Stepped, patient};
use super::*;
use crate::base::CloseFrame;
use crate::channel::{Command, Form, KEPT, PayloadRef};
use crate::config::PeerConfig;
use crate::hub::round::COMMANDS_TURN;
use crate::session::WRITE_TURN;

/// Somebody who takes whatever comes, at once.
struct Taker {
    taken: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Taker {
    fn new(client: &Client) -> Self {
        let mut stream = client.stream.try_clone().expect("a handle of the same socket");
        stream.set_nonblocking(false).expect("an option");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("an option");
        let (taken, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&taken), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut part = vec![0; 1 << 20];
            while !end.load(Ordering::Relaxed) {
                count.fetch_add(stream.read(&mut part).unwrap_or(0), Ordering::Relaxed);
            }
        });
        Self { taken, stop, thread: Some(thread) }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only reads");
        }
    }
}

#[test]
fn who_takes_everything_gets_one_turn_in_a_round() {
    const MANY: usize = 64 << 20;
    let mut server = Stepped::new(false);
    let greedy: Vec<_> = (0..2).map(|_| server.join(false)).collect();
    let takers: Vec<_> = greedy.iter().map(Taker::new).collect();
    let peers = server.peers();
    // Once the systems know each other they take megabytes at once. What is less than a turn does not keep the next packet
    // waiting.
    for (size, turns) in [(1 << 20, 1), (200_000, 2)] {
        let before = takers[0].taken.load(Ordering::Relaxed);
        for shared in &peers {
            server.send_through(shared, MANY / size, size);
        }
        let start = Instant::now();
        let (mut most, mut rounds) = (0, 0);
        while takers.iter().any(|taker| taker.taken.load(Ordering::Relaxed) < before + MANY / size * size) {
            let before = server.driver.mailbox.counters.bytes_out.get();
            server.step();
            most = most.max(server.driver.mailbox.counters.bytes_out.get() - before);
            rounds += 1;
            assert!(server.driver.hub.queued_flushes() <= greedy.len(), "each of them waits once");
            assert!(start.elapsed() < DEADLINE, "it does not leave");
        }
        println!("packets of {size} bytes: {most} bytes in a round at most, {rounds} rounds");
        assert!(most <= (greedy.len() * turns * WRITE_TURN) as u64, "{size}: {most} bytes in one round");
        assert!(most > WRITE_TURN as u64, "{size}: both have their turns in the same round");
    }
}

#[test]
fn what_a_game_asks_for_in_one_frame_is_done_in_order_over_many_rounds() {
    const MANY: usize = 3 * COMMANDS_TURN + 5;
    let mut server = Stepped::new(false);
    let client = server.join(false);
    let taker = Taker::new(&client);
    let shared = server.shared(client.conn);
    shared.outgoing.add(0);
    for _ in 0..MANY {
        shared.outgoing.add(1);
        let sent = PayloadRef::copied(b"!");
        server.driver.mailbox.send(client.conn, sent, Form::Binary);
    }
    let frame = Box::new(CloseFrame::normal());
    server.driver.mailbox.command(Command::Close { conn: client.conn, frame });
    let mut left = Vec::new();
    while server.driver.hub.commands_left() > 0 || left.is_empty() {
        server.step();
        left.push(server.driver.hub.commands_left());
        assert!(left.len() < 10, "{left:?}");
    }
    // One more by `step` itself.
    let rest = |rounds: usize| (MANY + 2).saturating_sub(rounds * COMMANDS_TURN);
    let expected: Vec<_> = (1..=4).map(rest).collect();
    assert_eq!(left[..3], expected[..3], "so many are left after each round");
    let start = Instant::now();
    // Three bytes each, and the Close.
    while taker.taken.load(Ordering::Relaxed) < 3 * MANY + 4 {
        server.step();
        assert!(start.elapsed() < DEADLINE, "{} bytes came", taker.taken.load(Ordering::Relaxed));
    }
    assert_eq!(taker.taken.load(Ordering::Relaxed), 3 * MANY + 4, "the Close is behind all of them");
}

#[test]
fn an_end_comes_behind_what_was_asked_for_before_it() {
    const MANY: usize = 2 * COMMANDS_TURN;
    let mut server = Stepped::new(false);
    let client = server.join(false);
    let taker = Taker::new(&client);
    for _ in 0..MANY {
        let sent = PayloadRef::copied(b"!");
        server.driver.mailbox.send(client.conn, sent, Form::Binary);
    }
    // The library goes in the same moment.
    server.driver.mailbox.shut_down(Instant::now() + DEADLINE);
    let start = Instant::now();
    while taker.taken.load(Ordering::Relaxed) < 3 * MANY + 4 {
        server.step();
        assert!(start.elapsed() < DEADLINE, "{} bytes came", taker.taken.load(Ordering::Relaxed));
    }
    assert!(server.driver.hub.is_finishing(), "it ends");
}

#[test]
fn each_connection_has_one_deadline_however_often_it_rests() {
    let config =
        ServerConfig { peer: PeerConfig::default(), max_inbound_per_second: 1024, ..ServerConfig::default() };
    let mut server = Stepped::gated(false, config);
    let mut clients: Vec<_> = (0..3).map(|_| server.join(false)).collect();
    for client in &mut clients {
        client.unsent = b"\x8a\x80\0\0\0\0".repeat(20_000);
        client.push();
        server.await_arrival(client.conn);
    }
    let mut now = Instant::now();
    let mut rested = 0;
    for _ in 0..100 {
        now += Duration::from_millis(110);
        for _ in 0..2 {
            server.driver.hub.round(&mut server.driver.sockets, now, false);
            rested += server.driver.hub.queued_reads().0;
        }
        let entries = server.driver.hub.timer_entries();
        assert!(entries <= clients.len(), "{entries} entries");
    }
    assert!(rested > 0 && server.driver.mailbox.counters.reads_paused.get() > 50, "they rest and go on");
    for client in clients {
        drop(client);
    }
    let start = Instant::now();
    while server.driver.hub.timer_entries() > 0 {
        server.step();
        assert!(start.elapsed() < DEADLINE, "the entries of those who are gone stay");
    }
}

#[test]
fn a_throttled_peer_that_takes_nothing_is_read_once_it_is_closed() {
    let config = ServerConfig { peer: patient(), max_inbound_per_second: 1024, ..ServerConfig::default() };
    let mut server = Stepped::gated(false, config);
    let mut client = server.join(false);
    client.unsent = b"\x8a\x80\0\0\0\0".repeat(5_000);
    client.push();
    server.send(client.conn, 64 << 20);
    while server.driver.hub.is_writable(client.conn) {
        server.step();
    }
    server.await_arrival(client.conn);
    // Its Close cannot leave before it takes what is on its way, which it may do once its own words have left.
    server.driver.mailbox.command(Command::Overflow(client.conn));
    let start = Instant::now();
    while server.peek(client.conn).is_ok() {
        server.step();
        assert!(start.elapsed() < DEADLINE, "what it says is not read");
    }
}

#[test]
fn a_burst_of_news_gives_its_memory_back() {
    let mut server = Stepped::new(false);
    let client = server.join(false);
    for _ in 0..50_000 {
        server.driver.hub.notices.push(crate::channel::Notice::Congested(crate::base::PeerId(7)));
    }
    server.step();
    for _ in 0..50_000 {
        server.driver.hub.notices.push(crate::channel::Notice::Congested(crate::base::PeerId(7)));
    }
    server.step();
    assert!(server.driver.hub.notices.capacity() <= KEPT, "{}", server.driver.hub.notices.capacity());
    assert!(server.has(client.conn));
}

#[test]
fn somebody_whose_time_is_up_is_looked_at_once_more() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let silence = PeerConfig { heartbeat_timeout: TIMEOUT, ..patient() };
    let write = PeerConfig { write_timeout: TIMEOUT, ..patient() };
    for (row, peer) in [("silence", silence), ("write_timeout", write)] {
        for encrypted in [false, true] {
            let mut server = Stepped::with(encrypted, peer.clone());
            let mut client = server.join(encrypted);
            if row == "write_timeout" {
                server.send(client.conn, 64 << 20);
                // In this round it takes what its system has room for.
                while server.driver.hub.is_writable(client.conn) {
                    server.step();
                }
            }
            // The process stops. Meanwhile the client speaks, and takes what is there.
            let stop = Instant::now();
            client.unsent.extend_from_slice(b"\x8a\x80\0\0\0\0");
            client.push();
            server.await_arrival(client.conn);
            while stop.elapsed() < 2 * TIMEOUT {
                while client.stream.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {}
                thread::sleep(Duration::from_millis(1));
            }
            // Then it goes on, and the poller has not reported anything yet.
            server.driver.hub.round(&mut server.driver.sockets, Instant::now(), false);
            assert!(server.has(client.conn), "{row}, encrypted: {encrypted}: closed");
        }
    }
}
