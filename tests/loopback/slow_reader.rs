//! Traffic between clients while one of them reads a thousand bytes per second: each of its reliable packets arrives or is reported as
//! refused, and the others are not affected.

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    Buffers, Delivery, Event, Mode, OverflowPolicy, PeerConfig, PeerId, Runtime, Status, Target, WireFormat,
};

use crate::support::{TestPeer, client, eventually, foreign, multiplayer, server};

/// The results of one period.
#[derive(Debug, Default)]
struct Slice {
    latencies: Vec<Duration>,
    dropped: u64,
    refused: usize,
    overflowed: bool,
}

struct Party {
    format: WireFormat,
    policy: OverflowPolicy,
    server: TestPeer,
    sender: TestPeer,
    receiver: TestPeer,
    started: Instant,
    /// The number of the next packet, which also determines its size.
    next: usize,
    received: usize,
}

impl Party {
    fn new(format: WireFormat, policy: OverflowPolicy, runtime: &Arc<Runtime>) -> Self {
        let config = PeerConfig {
            mode: Mode::Multiplayer(format),
            buffers: Buffers { output_bytes: 32 * 1024, ..Buffers::default() },
            overflow_policy: policy,
            overflow_grace: Duration::from_millis(150),
            unreliable_backlog: BACKLOG,
            ..multiplayer()
        };
        let mut server = server(runtime, config.clone());
        let port = server.peer.local_port();
        // Long timeouts, so that a busy machine disconnects nobody.
        let buffers = Buffers { output_bytes: 1 << 20, input_bytes: 1 << 20, ..Buffers::default() };
        let config = PeerConfig { buffers, overflow_grace: Duration::from_secs(30), ..config };
        let mut sender = client(runtime, port, config.clone());
        let mut receiver = client(runtime, port, config);
        eventually("both are in", || {
            server.poll();
            sender.poll();
            receiver.poll();
            let known = format == WireFormat::Godot4
                || sender.peer.has_peer(PeerId(receiver.peer.unique_id()))
                    && receiver.peer.has_peer(PeerId(sender.peer.unique_id()));
            let connected = |client: &TestPeer| client.peer.status() == Status::Connected;
            server.connected_ids().len() == 2 && connected(&sender) && connected(&receiver) && known
        });
        Self { format, policy, server, sender, receiver, started: Instant::now(), next: 0, received: 0 }
    }

    /// Runs one frame of every peer.
    fn step(&mut self, slice: &mut Slice, victim: Option<PeerId>, refused: &mut HashSet<usize>) {
        self.server.poll();
        let from = PeerId(self.sender.peer.unique_id());
        for (source, packet) in self.server.packets() {
            // With the 4.x format the game relays packets; with the 3.x format it only gets its own copy.
            if source == from && self.format == WireFormat::Godot4 {
                self.pass_on(from, &packet, slice, victim);
            }
        }
        for event in self.server.events.drain(..) {
            match event {
                Event::PacketRefused { id, size } if Some(id) == victim => {
                    refused.insert(size - SMALLEST);
                    slice.refused += 1;
                }
                Event::PeerOverflowed { id } if Some(id) == victim => slice.overflowed = true,
                Event::PacketRefused { .. } | Event::PeerOverflowed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        self.sender.poll();
        self.sender.packets();
        self.receiver.poll();
        for (_, packet) in self.receiver.packets() {
            let (number, sent) = read(&packet);
            assert_eq!(number, self.received, "one who keeps up misses nothing");
            self.received += 1;
            slice.latencies.push(self.started.elapsed().saturating_sub(sent));
        }
    }

    fn pass_on(&mut self, from: PeerId, packet: &[u8], slice: &mut Slice, victim: Option<PeerId>) {
        let reliable = read(packet).0.is_multiple_of(2);
        let delivery = if reliable { Delivery::Reliable } else { Delivery::Droppable };
        let waiting = victim.and_then(|id| self.server.peer.peer_statistics(id));
        let before = self.server.peer.statistics().packets_dropped_unreliable;
        let result = self.server.peer.send(Target::AllExcept(from), packet, delivery);
        assert!(result.is_ok() || reliable && victim.is_some(), "{result:?}");
        let dropped = self.server.peer.statistics().packets_dropped_unreliable - before;
        if dropped > 0 {
            let waiting = waiting.expect("dropped for somebody").queued_out_bytes;
            assert!(waiting > BACKLOG, "dropped with {waiting} bytes waiting");
        }
        slice.dropped += dropped;
    }

    fn send(&mut self) {
        let mut packet = vec![0; SMALLEST + self.next];
        packet[..8].copy_from_slice(&(self.started.elapsed().as_nanos() as u64).to_be_bytes());
        packet[8..12].copy_from_slice(&(self.next as u32).to_be_bytes());
        let sent = self.sender.peer.send(Target::All, &packet, Delivery::Reliable);
        assert_eq!(sent, Ok(()), "{}", self.sender.peer.last_error());
        self.next += 1;
    }

    /// Runs one period, with or without a slow client.
    fn slice(&mut self, slow: bool) -> Slice {
        let mut slice = Slice::default();
        let mut refused = HashSet::new();
        let (first, before) = (self.next, self.server.peer.statistics().peers);
        let mut victim = slow.then(|| Victim::come(self.server.peer.local_port()));
        let mut id = None;
        if slow {
            eventually("the slow one is in", || {
                self.server.peer.begin_poll();
                while let Some(event) = self.server.peer.next_event(false) {
                    if let Event::PeerConnected { id: new, .. } = event {
                        id = Some(new);
                    }
                }
                id.is_some()
            });
        }
        let end = Instant::now() + SLICE;
        let mut due = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= due {
                due += PERIOD;
                self.send();
            }
            self.step(&mut slice, id, &mut refused);
            if let Some(victim) = &mut victim {
                victim.read();
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        eventually("everything came to the one who keeps up", || {
            self.step(&mut slice, id, &mut refused);
            self.received == self.next
        });
        if let Some(victim) = victim {
            victim.check(self.format, first, &refused);
            assert!(slice.refused == 0 || self.policy == OverflowPolicy::Refuse);
        }
        eventually("the slow one is gone", || {
            self.step(&mut slice, id, &mut refused);
            self.server.peer.statistics().peers == before
        });
        slice
    }
}

/// A client that reads a thousand bytes per second.
struct Victim {
    stream: TcpStream,
    began: Instant,
    bytes: Vec<u8>,
}

impl Victim {
    fn come(port: u16) -> Self {
        let socket = foreign(port);
        let stream = socket.get_ref().try_clone().expect("a second handle");
        // A small receive buffer, so that the system does not take data that the client has not read.
        socket2::SockRef::from(&stream).set_recv_buffer_size(4096).expect("an option");
        stream.set_nonblocking(true).expect("an option");
        Self { stream, began: Instant::now(), bytes: Vec::new() }
    }

    fn read(&mut self) {
        let due = self.began.elapsed().as_millis() as usize;
        let mut part = vec![0; due.saturating_sub(self.bytes.len()).min(1000)];
        if !part.is_empty()
            && let Ok(n) = self.stream.read(&mut part)
        {
            self.bytes.extend_from_slice(&part[..n]);
        }
    }

    /// Checks that complete packets are in order, and that no accepted packet is missing.
    fn check(mut self, format: WireFormat, first: usize, refused: &HashSet<usize>) {
        // Everything that is in flight by now.
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = self.stream.read(&mut part) {
            self.bytes.extend_from_slice(&part[..n]);
        }
        let header = if format == WireFormat::Godot3 { 9 } else { 0 };
        let mut next = first;
        for payload in frames(&self.bytes) {
            // The id, and the notices about other clients.
            if payload.len() < SMALLEST {
                continue;
            }
            let (number, _) = read(&payload[header..]);
            assert!(number >= next, "{number} behind {next}");
            let missing = (next..number).filter(|number| {
                let droppable = format == WireFormat::Godot4 && !number.is_multiple_of(2);
                !droppable && !refused.contains(number)
            });
            assert_eq!(missing.collect::<Vec<_>>(), [0; 0], "accepted, and skipped");
            assert!(!refused.contains(&number), "{number} was refused, and came");
            next = number + 1;
        }
    }
}

fn read(packet: &[u8]) -> (usize, Duration) {
    let sent = u64::from_be_bytes(packet[..8].try_into().expect("eight bytes"));
    let number = u32::from_be_bytes(packet[8..12].try_into().expect("four bytes")) as usize;
    assert_eq!(packet.len(), SMALLEST + number);
    (number, Duration::from_nanos(sent))
}

/// Splits off complete data frames of a server.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match (len, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (126.., _) => break,
            (len, rest) => (usize::from(*len), rest),
        };
        let Some((payload, after)) = rest.split_at_checked(len) else { break };
        if *first == 0x82 {
            all.push(payload);
        }
        bytes = after;
    }
    all
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort();
    of[of.len() / 2]
}

/// Periods with and without the slow client alternate, so that other load of the machine affects both equally.
fn compare(format: WireFormat, policy: OverflowPolicy, runtime: fn() -> Arc<Runtime>) {
    let mut ratio = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        let mut party = Party::new(format, policy, &runtime());
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        let mut total = Slice::default();
        for _ in 0..SLICES {
            alone.push(p99(party.slice(false).latencies));
            let slice = party.slice(true);
            total.dropped += slice.dropped;
            total.refused += slice.refused;
            total.overflowed |= slice.overflowed;
            beside.push(p99(slice.latencies));
        }
        let closes = policy == OverflowPolicy::Disconnect;
        assert_eq!(total.overflowed, closes, "who does not keep up is closed by this policy alone");
        // The relay cannot refuse packets, and does not know which are unreliable.
        let refuses = format == WireFormat::Godot4;
        assert!((total.dropped > 0) == refuses && (total.refused > 0) == (refuses && !closes), "{total:?}");
        let (alone, beside) = (median(alone), median(beside));
        ratio = ratio.min(beside.as_secs_f64() / alone.max(FLOOR).as_secs_f64());
        println!(
            "{format:?} {policy:?}: p99 {alone:?} alone, {beside:?} beside one that reads 1 KB/s; {} dropped, {} refused",
            total.dropped, total.refused
        );
        if ratio < 2.0 {
            return;
        }
    }
    panic!("the others waited {ratio:.1} times as long as without the slow one");
}

#[test]
fn a_slow_reader_that_is_closed_delays_nobody() {
    compare(WireFormat::Godot4, OverflowPolicy::Disconnect, Runtime::new);
}

#[test]
fn a_slow_reader_that_is_refused_delays_nobody() {
    compare(WireFormat::Godot4, OverflowPolicy::Refuse, Runtime::new);
}

#[test]
fn a_slow_reader_on_the_godot_3_wire_is_closed_and_delays_nobody() {
    compare(WireFormat::Godot3, OverflowPolicy::Disconnect, Runtime::new);
}

#[test]
fn a_slow_reader_on_the_godot_3_wire_that_is_kept_delays_nobody() {
    compare(WireFormat::Godot3, OverflowPolicy::Refuse, Runtime::new);
}

/// As on Windows, where the unsent data in the system cannot be limited.
#[test]
fn a_slow_reader_behind_a_small_send_buffer_is_closed_and_delays_nobody() {
    compare(WireFormat::Godot4, OverflowPolicy::Disconnect, Runtime::with_send_buffers);
}

#[test]
fn a_slow_reader_behind_a_small_send_buffer_is_refused_and_delays_nobody() {
    compare(WireFormat::Godot4, OverflowPolicy::Refuse, Runtime::with_send_buffers);
}

#[test]
fn a_slow_reader_of_the_godot_3_wire_behind_a_small_send_buffer_delays_nobody() {
    compare(WireFormat::Godot3, OverflowPolicy::Disconnect, Runtime::with_send_buffers);
}

const SMALLEST: usize = 1500;
const BACKLOG: usize = 8 * 1024;
const SLICE: Duration = Duration::from_millis(400);
const SLICES: usize = 5;
const PERIOD: Duration = Duration::from_micros(1500);
/// A lower latency is that of the test's own loop.
const FLOOR: Duration = Duration::from_millis(1);
/// Attempts: other load would have to affect the same half of the periods each time.
const ATTEMPTS: usize = 3;
