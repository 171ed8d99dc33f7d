//! A hub whose connections are scripted: what the remote sends, in which pieces it comes, and in which it is taken.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::AccessPolicy;
use crate::base::{CloseReason, ConnId, PeerId};
use crate::budget::QueueTotals;
use crate::config::{Buffers, Mode, OverflowPolicy, PeerConfig, ServerConfig};
use crate::http::Url;
use crate::hub::{Hub, News, Side};
use crate::link::Link;
use crate::net::mailbox::{Command, Totals};

/// Decides how many bytes each call moves; the same seed decides alike.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    /// `None`: always the longest.
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
        // SplitMix64: close seeds decide quite differently.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // Never twice: a stream that moves nothing for long is one that has come to rest.
        self.moved_nothing = mixed % 8 == 0 && !self.moved_nothing;
        if self.moved_nothing { 0 } else { 1 + (mixed >> 8) as usize % self.longest }
    }
}

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) input: Vec<u8>,
    read: usize,
    /// The remote ends its side behind its bytes.
    pub(super) ends: bool,
    pub(super) reading: Cuts,
    pub(super) writing: Cuts,
    /// What was written.
    pub(super) output: Vec<u8>,
}

impl Line {
    pub(super) fn new(input: Vec<u8>, reading: Cuts, writing: Cuts) -> Self {
        Self { input, read: 0, ends: true, reading, writing, output: Vec::new() }
    }

    fn is_read(&self) -> bool {
        self.read == self.input.len()
    }
}

impl Read for Line {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = &self.input[self.read..];
        if left.is_empty() && self.ends {
            return Ok(0);
        }
        let n = self.reading.next().min(left.len()).min(out.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        out[..n].copy_from_slice(&left[..n]);
        self.read += n;
        Ok(n)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.writing.next().min(bytes.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.output.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A hub, its lines, and a game that takes its packets now and then.
pub(super) struct Rig {
    hub: Hub,
    now: Instant,
    lines: Vec<(ConnId, Line)>,
    /// Lines of connections that were dropped.
    done: Vec<(ConnId, Line)>,
    links: HashMap<PeerId, Arc<Link>>,
    buffer: Vec<u8>,
    pub(super) news: Vec<News>,
    rounds: usize,
}

impl Rig {
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
        let totals = Arc::new(Totals::default());
        let hub = Hub::new(config(mode), side, QueueTotals::new(usize::MAX), totals);
        Self {
            hub,
            now: start(),
            lines: Vec::new(),
            done: Vec::new(),
            links: HashMap::new(),
            buffer: vec![0; 4096],
            news: Vec::new(),
            rounds: 0,
        }
    }

    pub(super) fn accept(&mut self, line: Line) -> ConnId {
        let conn = self.hub.accepted("192.0.2.1:1234".parse().expect("an address"), self.now);
        self.lines.push((conn, line));
        conn
    }

    pub(super) fn dial(&mut self, protocols: &[String], line: Line) -> ConnId {
        let address = "192.0.2.2:80".parse().expect("an address");
        let conn = self.hub.dialled(address, protocols, &[], self.now, self.now);
        self.lines.push((conn, line));
        conn
    }

    pub(super) fn line(&mut self, conn: ConnId) -> &mut Line {
        let mut lines = self.lines.iter_mut().chain(&mut self.done);
        &mut lines.find(|(known, _)| *known == conn).expect("it was made here").1
    }

    /// Goes on until all that the remotes sent is used.
    pub(super) fn run(&mut self) {
        let mut rest = 0;
        while rest < 4 {
            let before = self.progress();
            self.round(rest > 0);
            let idle = before == self.progress() && self.lines.iter().all(|(_, line)| line.is_read());
            rest = if idle { rest + 1 } else { 0 };
        }
    }

    /// Goes on until every connection is dropped, if need be because its time has passed.
    pub(super) fn finish(&mut self) {
        for (_, line) in &mut self.lines {
            line.ends = true;
        }
        self.run();
        for _ in 0..3 {
            self.now += Duration::from_secs(100);
            for (conn, line) in &mut self.lines {
                // A remote that takes nothing is not waited for, but what it takes in the end must make sense.
                line.writing = Cuts::WHOLE;
                let _ = self.hub.expire(*conn, self.now);
            }
            self.run();
        }
        assert!(self.lines.is_empty(), "a connection outlives all of its deadlines");
        assert_eq!((self.hub.len(), self.hub.in_limbo()), (0, 0));
        for link in self.links.values() {
            assert_eq!(link.outgoing.load(), (0, 0), "nothing is counted that is not queued");
        }
    }

    /// How the only connection ended.
    pub(super) fn end(&self) -> Option<&CloseReason> {
        let mut ends = self.news.iter().filter_map(|news| match news {
            News::Disconnected { reason, .. } | News::Failed(reason) => Some(reason),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "an end is told once");
        end
    }

    fn progress(&self) -> (usize, usize, usize) {
        let lines = || self.lines.iter().chain(&self.done).map(|(_, line)| line);
        let moved = lines().map(|line| line.read + line.output.len()).sum();
        (moved, self.news.len(), self.lines.len())
    }

    fn round(&mut self, idle: bool) {
        self.rounds += 1;
        let bytes: usize = self.lines.iter().chain(&self.done).map(|(_, line)| line.input.len()).sum();
        assert!(self.rounds < 40 * (bytes + 1000), "it never comes to rest");
        let conns: Vec<_> = self.lines.iter().map(|(conn, _)| *conn).collect();
        for conn in conns {
            let Some(at) = self.lines.iter().position(|(known, _)| *known == conn) else { continue };
            let line = &mut self.lines[at].1;
            let mut ended = self.hub.read(conn, line, &mut self.buffer, false, self.now).ended;
            if !ended && self.hub.wants_write(conn) {
                ended = self.hub.flush(conn, line, self.now).ended;
            }
            if ended {
                self.hub.forget(conn);
                self.done.push(self.lines.remove(at));
            } else {
                let _ = self.hub.take_half_close(conn, self.now);
            }
        }
        self.hub.dirty.clear();
        self.hub.rearm.clear();
        let fresh = std::mem::take(&mut self.hub.news);
        for news in &fresh {
            if let News::Connected { link, .. } = news {
                self.links.insert(link.id, Arc::clone(link));
            }
        }
        self.news.extend(fresh);
        for link in self.links.values() {
            let (bytes, packets) = link.receiving.budget.load();
            let limits = self.hub.config().buffers;
            assert!(
                packets <= 1 || bytes <= limits.input_bytes && packets <= limits.input_packets,
                "{packets} packets of {bytes} bytes wait for the game"
            );
        }
        if idle || self.rounds.is_multiple_of(3) {
            self.take_packets();
        }
    }

    /// The game takes all of its packets.
    fn take_packets(&mut self) {
        let links: Vec<_> = self.links.values().cloned().collect();
        for link in links {
            let (bytes, packets) = link.receiving.budget.load();
            link.receiving.budget.release(bytes, packets);
            if link.receiving.paused.swap(false, std::sync::atomic::Ordering::SeqCst) {
                self.hub.command(Command::Resume(link.conn), self.now);
            }
        }
    }
}

/// Small limits, so that short inputs reach them.
fn config(mode: Mode) -> PeerConfig {
    let buffers =
        Buffers { input_bytes: 512, input_packets: 4, output_bytes: 64 * 1024, output_packets: 1024 };
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

/// Largest message that a rig accepts.
pub(super) const MAX_MESSAGE: usize = 1000;
