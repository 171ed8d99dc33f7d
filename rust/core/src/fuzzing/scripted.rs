//! A hub with scripted connections: the bytes of the remotes, and the cuts in which both sides read them.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::AccessPolicy;
use crate::base::{CloseReason, ConnId, PeerId};
use crate::channel::{Command, Notice, PeerShared, QueueTotals};
use crate::config::{Buffers, Mode, OverflowPolicy, PeerConfig, ServerConfig};
use crate::http::Url;
use crate::hub::Side;
use crate::hub::transports::{Readiness, ShortRead};
use crate::testing::{InMemory, MemoryStream};

/// Decides how many bytes each call moves; the same seed gives the same decisions.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    /// `None`: always as many as possible.
    state: Option<u64>,
    longest: usize,
    moved_nothing: bool,
}

impl Cuts {
    /// Everything at once.
    pub(super) const WHOLE: Self = Self { state: None, longest: usize::MAX, moved_nothing: false };
    /// One byte at a time.
    pub(super) const SINGLE: Self = Self { state: None, longest: 1, moved_nothing: false };
    /// Nothing.
    pub(super) const NONE: Self = Self { state: None, longest: 0, moved_nothing: false };

    /// One in eight calls moves nothing, the others 1 to 64 bytes, or up to 4096 for every second seed.
    pub(super) fn new(seed: u16) -> Self {
        let longest = if seed.is_multiple_of(2) { 64 } else { 4096 };
        Self { state: Some(seed.into()), longest, moved_nothing: false }
    }

    pub(super) fn next(&mut self) -> usize {
        let Some(state) = &mut self.state else { return self.longest };
        // SplitMix64, so that similar seeds give different decisions.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // Never twice, because a stream that moves nothing twice counts as idle.
        self.moved_nothing = mixed % 8 == 0 && !self.moved_nothing;
        if self.moved_nothing { 0 } else { 1 + (mixed >> 8) as usize % self.longest }
    }
}

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) input: Vec<u8>,
    read: usize,
    /// The remote ends its side after its bytes.
    pub(super) ends: bool,
    pub(super) reading: Cuts,
    pub(super) writing: Cuts,
    /// The bytes written.
    pub(super) output: Vec<u8>,
    closed: bool,
}

impl Line {
    pub(super) fn new(input: Vec<u8>, reading: Cuts, writing: Cuts) -> Self {
        Self { input, read: 0, ends: true, reading, writing, output: Vec::new(), closed: false }
    }

    fn is_read(&self) -> bool {
        self.read == self.input.len()
    }
}

/// A line, shared by the hub's driver and the test.
pub(super) struct Stream(Rc<RefCell<Line>>);

impl MemoryStream for Stream {
    /// A stream that moved nothing once is not idle.
    fn readiness(&mut self) -> Readiness {
        let line = self.0.borrow();
        Readiness { readable: !line.is_read() || line.ends, writable: true, read_closed: false }
    }

    fn shutdown_write(&mut self) {}

    fn close(&mut self) {
        self.0.borrow_mut().closed = true;
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let line = &mut *self.0.borrow_mut();
        let left = &line.input[line.read..];
        if left.is_empty() && line.ends {
            return Ok(0);
        }
        let n = line.reading.next().min(left.len()).min(out.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        out[..n].copy_from_slice(&left[..n]);
        line.read += n;
        Ok(n)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        let n = line.writing.next().min(bytes.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        line.output.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A hub, its lines, and a game that takes packets at times.
pub(super) struct ScriptedHub {
    driver: InMemory<Stream>,
    now: Instant,
    lines: Vec<(ConnId, Rc<RefCell<Line>>)>,
    peers: HashMap<PeerId, Arc<PeerShared>>,
    pub(super) notices: Vec<Notice>,
    rounds: usize,
}

impl ScriptedHub {
    pub(super) fn server(mode: Mode, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| (*name).to_owned()).collect();
        let access = Box::new(AccessPolicy::new(ServerConfig { protocols, ..ServerConfig::default() }));
        Self::new(mode, Side::Server(access))
    }

    pub(super) fn client(mode: Mode) -> Self {
        let url = Url::parse("ws://game.example/lobby").expect("a valid URL");
        Self::new(mode, Side::Client { url, tls: None })
    }

    fn new(mode: Mode, side: Side) -> Self {
        let now = start();
        let mut driver = InMemory::new(config(mode), side, &QueueTotals::new(usize::MAX), TURN, now);
        driver.streams.short_reads = ShortRead::SaysNothing;
        Self { driver, now, lines: Vec::new(), peers: HashMap::new(), notices: Vec::new(), rounds: 0 }
    }

    pub(super) fn accept(&mut self, line: Line) -> ConnId {
        let line = Rc::new(RefCell::new(line));
        let address = "192.0.2.1:1234".parse().expect("an address");
        let conn = self.driver.accept(Stream(Rc::clone(&line)), address, self.now);
        self.lines.push((conn, line));
        conn
    }

    pub(super) fn dial(&mut self, protocols: &[String], line: Line) -> ConnId {
        let line = Rc::new(RefCell::new(line));
        let conn = self.driver.dial(Stream(Rc::clone(&line)), protocols, self.now);
        self.lines.push((conn, line));
        conn
    }

    pub(super) fn line(&self, conn: ConnId) -> RefMut<'_, Line> {
        self.lines.iter().find(|(known, _)| *known == conn).expect("it was made here").1.borrow_mut()
    }

    /// Runs until all bytes of the remotes are used.
    pub(super) fn run(&mut self) {
        let mut rest = 0;
        while rest < 4 {
            let before = self.progress();
            self.round(rest > 0);
            let idle = before == self.progress() && self.open_lines().all(|line| line.borrow().is_read());
            rest = if idle { rest + 1 } else { 0 };
        }
    }

    /// Runs until every connection is dropped, if necessary by a timeout.
    pub(super) fn finish(&mut self) {
        for (_, line) in &self.lines {
            line.borrow_mut().ends = true;
        }
        self.run();
        for _ in 0..3 {
            self.now += Duration::from_secs(100);
            for line in self.open_lines() {
                // A remote that takes nothing is not waited for, but the bytes that it takes in the end must be valid.
                line.borrow_mut().writing = Cuts::WHOLE;
            }
            self.run();
        }
        assert_eq!(self.open_lines().count(), 0, "a connection outlives all of its deadlines");
        assert_eq!(self.driver.hub.load(), (0, 0));
        for shared in self.peers.values() {
            assert_eq!(shared.outgoing.load(), (0, 0), "nothing is counted that is not queued");
        }
    }

    /// Returns how the only connection ended.
    pub(super) fn end(&self) -> Option<&CloseReason> {
        let mut ends = self.notices.iter().filter_map(|notice| match notice {
            Notice::Disconnected { reason, .. } | Notice::Failed(reason) => Some(reason),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "an end is reported once");
        end
    }

    fn open_lines(&self) -> impl Iterator<Item = &RefCell<Line>> {
        self.lines.iter().map(|(_, line)| &**line).filter(|line| !line.borrow().closed)
    }

    fn progress(&self) -> (usize, usize, usize) {
        let moved = self.lines.iter().map(|(_, line)| {
            let line = line.borrow();
            line.read + line.output.len()
        });
        (moved.sum(), self.notices.len(), self.open_lines().count())
    }

    fn round(&mut self, idle: bool) {
        self.rounds += 1;
        let bytes: usize = self.lines.iter().map(|(_, line)| line.borrow().input.len()).sum();
        assert!(self.rounds < 40 * (bytes + 1000), "it never comes to rest");
        self.driver.round(self.now);
        let mut fresh = Vec::new();
        self.driver.mailbox.take_notices(&mut fresh);
        for notice in &fresh {
            if let Notice::Connected { shared, .. } = notice {
                self.peers.insert(shared.id, Arc::clone(shared));
            }
        }
        self.notices.extend(fresh);
        let limits = config(Mode::Raw).buffers;
        for shared in self.peers.values() {
            let (bytes, packets) = shared.incoming.load();
            assert!(
                packets <= 1 || bytes <= limits.input_bytes && packets <= limits.input_packets,
                "{packets} packets of {bytes} bytes wait for the game"
            );
        }
        if idle || self.rounds.is_multiple_of(3) {
            self.take_packets();
        }
    }

    /// Makes the game take all packets.
    fn take_packets(&mut self) {
        let peers: Vec<_> = self.peers.values().cloned().collect();
        for shared in peers {
            let (bytes, packets) = shared.incoming.load();
            shared.incoming.release_only(bytes, packets);
            if shared.incoming.end_pause() {
                self.driver.command(Command::Resume(shared.conn), self.now);
            }
        }
    }
}

/// Small limits, so that short inputs reach them.
fn config(mode: Mode) -> PeerConfig {
    let buffers =
        Buffers { input_bytes: 512, input_packets: 8, output_bytes: 64 * 1024, output_packets: 1024 };
    PeerConfig {
        mode,
        buffers,
        max_message_size: Some(MAX_MESSAGE),
        overflow_policy: OverflowPolicy::Disconnect,
        ..PeerConfig::default()
    }
}

fn start() -> Instant {
    Instant::now()
}

/// The bytes that one connection may deliver in one round.
const TURN: usize = 4096;
/// The largest message that a hub accepts.
pub(super) const MAX_MESSAGE: usize = 1000;
