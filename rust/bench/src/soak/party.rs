//! All servers and clients of a soak, what they do, and what must hold.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use websocket_multiplayer_core::{Mode, OverflowPolicy, PeerConfig, Runtime, Status, TlsServer, WireFormat};

use crate::host::Host;
use crate::player::Player;
use crate::stranger::{Manners, Stranger};
use crate::system::{Holding, holding};

pub(crate) struct Party {
    runtime: Arc<Runtime>,
    random: StdRng,
    hosts: Vec<Host>,
    players: Vec<Player>,
    strangers: Vec<Stranger>,
    wanted: usize,
    base: Option<Holding>,
    started: Instant,
    next_news: Instant,
    next_report: Instant,
    figures: Figures,
    faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Figures {
    joined: u64,
    polite: u64,
    dropped: u64,
    vanished: u64,
    reset: u64,
    slept: u64,
    too_slow: u64,
    received: u64,
    missed_where_refused: u64,
    most_queued: usize,
    most_threads: usize,
}

impl Party {
    pub(crate) fn new(wanted: usize, seed: u64, base: Option<Holding>) -> Result<Self> {
        let runtime = Runtime::new();
        let config = |wire| PeerConfig {
            mode: Mode::Multiplayer(wire),
            // Loopback is fast, a busy machine is not: nothing that is measured here depends on these.
            handshake_timeout: PATIENCE,
            close_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            overflow_grace: Duration::from_secs(2),
            ..PeerConfig::default()
        };
        let refusing = PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config(WireFormat::Godot4) };
        let hosts = vec![
            Host::open(&runtime, "plain", config(WireFormat::Godot4), None)?,
            Host::open(&runtime, "encrypted", refusing, Some(identity()?))?,
            Host::open(&runtime, "godot 3", config(WireFormat::Godot3), None)?,
        ];
        let now = Instant::now();
        Ok(Self {
            runtime,
            random: StdRng::seed_from_u64(seed),
            hosts,
            players: Vec::new(),
            strangers: Vec::new(),
            wanted,
            base,
            started: now,
            next_news: now,
            next_report: now + REPORT,
            figures: Figures::default(),
            faults: Vec::new(),
        })
    }

    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// One frame of everybody.
    pub(crate) fn tick(&mut self) -> Result<()> {
        self.join()?;
        self.talk();
        self.poll();
        self.leave();
        self.look();
        thread::sleep(Duration::from_millis(5));
        Ok(())
    }

    /// Everybody agrees, leaves, and nothing is left. Returns what the process still holds, and all faults.
    pub(crate) fn end(mut self) -> (Option<Holding>, Vec<String>) {
        if self.faults.is_empty() {
            self.settle();
        }
        self.players.iter().for_each(|player| self.figures.received += player.received);
        self.report();
        self.players.clear();
        self.strangers.clear();
        let mut hosts = std::mem::take(&mut self.hosts);
        if self.faults.is_empty() {
            let deadline = Instant::now() + PATIENCE;
            while hosts.iter().any(|host| host.guests() > 0) && Instant::now() < deadline {
                hosts.iter_mut().for_each(Host::poll);
                thread::sleep(Duration::from_millis(5));
            }
            for host in &hosts {
                if host.guests() > 0 {
                    self.faults.push(format!("{} clients never left server {}", host.guests(), host.name));
                }
            }
        }
        for mut host in hosts {
            self.faults.append(&mut host.faults);
            host.peer.close();
        }
        let deadline = Instant::now() + PATIENCE;
        while self.runtime.thread_count() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if self.runtime.thread_count() > 0 {
            self.faults.push(format!("{} I/O threads never ended", self.runtime.thread_count()));
        }
        if self.runtime.queued_bytes() > 0 {
            self.faults.push(format!("{} bytes wait in queues that are gone", self.runtime.queued_bytes()));
        }
        self.runtime.shutdown(Duration::from_secs(1));
        // A thread that has ended for the runtime may not have done so for the system.
        let deadline = Instant::now() + PATIENCE;
        let (mut left, mut excess) = self.left_behind();
        while !excess.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            (left, excess) = self.left_behind();
        }
        self.faults.append(&mut excess);
        (left, self.faults)
    }

    /// What the process holds, and what of it is more than before the party.
    fn left_behind(&self) -> (Option<Holding>, Vec<String>) {
        let mut excess = Vec::new();
        let left = holding();
        if let (Some(base), Some(left)) = (self.base, left) {
            for (what, before, after) in
                [("files", base.files, left.files), ("threads", base.threads, left.threads)]
            {
                if after > before {
                    excess.push(format!("{after} {what} are held instead of {before}"));
                }
            }
            // Tables of the process that grow once and then stay.
            if left.allocated > base.allocated + 512 {
                excess.push(format!("{} KiB are allocated instead of {}", left.allocated, base.allocated));
            }
            // The allocator keeps some of what it got, and never the same: only a bound that far more than this would break.
            if left.resident > 2 * base.resident + 64 * 1024 {
                excess.push(format!("{} KiB are held instead of {}", left.resident, base.resident));
            }
        }
        (left, excess)
    }

    fn join(&mut self) -> Result<()> {
        for _ in 0..JOINS {
            if self.players.len() + self.strangers.len() >= self.wanted {
                return Ok(());
            }
            let leaves_at = Instant::now() + Duration::from_millis(self.random.random_range(500..20_000));
            self.figures.joined += 1;
            if self.random.random_ratio(1, 8) {
                let manners = [Manners::Vanishes, Manners::Vanishes, Manners::Resets, Manners::Stops];
                let manners = manners[self.random.random_range(0..manners.len())];
                let port = self.hosts[0].peer.local_port();
                self.strangers.push(Stranger::connect(port, manners, leaves_at)?);
                continue;
            }
            let server = [0, 0, 0, 1, 2][self.random.random_range(0..5)];
            let host = &self.hosts[server];
            let player = Player::connect(&self.runtime, &host.url(), server, host.config.clone(), leaves_at)
                .context("a client does not start")?;
            self.players.push(player);
        }
        Ok(())
    }

    fn talk(&mut self) {
        let now = Instant::now();
        if now >= self.next_news {
            self.next_news = now + NEWS;
            let size = self.size();
            self.hosts.iter_mut().for_each(|host| host.tell_news(size));
        }
        for player in &mut self.players {
            if !player.is_in() || player.sleeps_until.is_some() {
                continue;
            }
            if self.random.random_ratio(1, 40) {
                player.chat(self.random.random_range(1..2000));
            }
            if self.random.random_ratio(1, 80) {
                player.whisper(self.random.random_range(0..10_000), self.random.random_range(1..500));
            }
            if self.random.random_ratio(1, 20_000) {
                player.sleeps_until =
                    Some(now + Duration::from_millis(self.random.random_range(500..15_000)));
                player.has_slept = true;
                self.figures.slept += 1;
            }
        }
        for stranger in &mut self.strangers {
            if !stranger.over && self.random.random_ratio(1, 40) {
                stranger.chat(self.random.random_range(1..2000));
            }
        }
    }

    fn poll(&mut self) {
        let now = Instant::now();
        self.hosts.iter_mut().for_each(Host::poll);
        self.players.iter_mut().for_each(|player| player.poll(now));
        self.strangers.iter_mut().for_each(Stranger::poll);
        for faults in self.players.iter_mut().map(|player| &mut player.faults) {
            self.faults.append(faults);
        }
        for faults in self.strangers.iter_mut().map(|stranger| &mut stranger.faults) {
            self.faults.append(faults);
        }
        for faults in self.hosts.iter_mut().map(|host| &mut host.faults) {
            self.faults.append(faults);
        }
    }

    fn leave(&mut self) {
        let now = Instant::now();
        let mut at = 0;
        while at < self.players.len() {
            let player = &mut self.players[at];
            if player.leaves_at <= now
                && player.is_in()
                && player.sleeps_until.is_none()
                && !player.is_parting()
            {
                if self.random.random_bool(0.5) {
                    // It stays until both sides have said goodbye.
                    self.figures.polite += 1;
                    player.part();
                } else {
                    self.figures.dropped += 1;
                    player.over = true;
                }
            }
            if player.over {
                self.figures.too_slow += u64::from(player.peer.close_code() == 1013);
                self.figures.received += player.received;
                self.figures.missed_where_refused += player.missed;
                self.players.swap_remove(at);
            } else {
                at += 1;
            }
        }
        while let Some(at) =
            self.strangers.iter().position(|stranger| stranger.over || stranger.leaves_at <= now)
        {
            let stranger = self.strangers.swap_remove(at);
            self.figures.received += stranger.received;
            match stranger.manners {
                Manners::Resets => self.figures.reset += 1,
                _ => self.figures.vanished += 1,
            }
            stranger.leave();
        }
    }

    fn look(&mut self) {
        self.figures.most_queued = self.figures.most_queued.max(self.runtime.queued_bytes());
        // No more than each of them may have, however long it goes on.
        let most = self.wanted * 5 * 1024 * 1024;
        if self.runtime.queued_bytes() > most {
            self.faults.push(format!("{} bytes wait in queues", self.runtime.queued_bytes()));
        }
        if Instant::now() >= self.next_report {
            self.next_report += REPORT;
            self.report();
        }
    }

    /// No more churn: everything that was sent arrives, and all rosters agree.
    fn settle(&mut self) {
        self.strangers.clear();
        let deadline = Instant::now() + 2 * PATIENCE;
        let goodbyes = Instant::now() + Duration::from_secs(1);
        loop {
            self.poll();
            self.players.retain(|player| !player.over);
            if !self.faults.is_empty() {
                return;
            }
            let why = self.disagreement();
            if why.is_none() && Instant::now() > goodbyes {
                return;
            }
            if Instant::now() > deadline {
                self.faults.push(format!("in the end: {}", why.unwrap_or_default()));
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn disagreement(&self) -> Option<String> {
        for (index, host) in self.hosts.iter().enumerate() {
            let here: Vec<_> = self.players.iter().filter(|player| player.server == index).collect();
            let statistics = host.peer.statistics();
            if statistics.peers != here.len() || host.guests() != here.len() || statistics.pending != 0 {
                return Some(format!(
                    "server {} knows {} clients (told of {}, {} pending), {} are there",
                    host.name,
                    statistics.peers,
                    host.guests(),
                    statistics.pending,
                    here.len()
                ));
            }
            for player in &here {
                if player.peer.status() != Status::Connected || !host.has(player.id()) {
                    return Some(format!("server {} does not know {}", host.name, player.id()));
                }
                let refuses = host.config.overflow_policy == OverflowPolicy::Refuse;
                if player.news.is_some_and(|next| next != host.news()) && !refuses {
                    return Some(format!(
                        "{} waits for news {:?} of {}",
                        player.id(),
                        player.news,
                        host.news()
                    ));
                }
                if host.config.mode == Mode::Multiplayer(WireFormat::Godot3)
                    && (player.others.len() + 1 != here.len()
                        || player.others.iter().any(|other| !host.has(*other)))
                {
                    return Some(format!(
                        "{} knows {} others of {}",
                        player.id(),
                        player.others.len(),
                        here.len()
                    ));
                }
            }
        }
        (self.runtime.queued_bytes() > 0).then(|| format!("{} bytes wait", self.runtime.queued_bytes()))
    }

    fn report(&mut self) {
        let held = holding().unwrap_or_default();
        self.figures.most_threads = self.figures.most_threads.max(held.threads);
        let sums = |count: fn(&Host) -> u64| self.hosts.iter().map(count).sum::<u64>();
        println!(
            "{:6.0} s: {} clients; {:?}; servers: {} chats, {} overflowed, {} refused, {} gone; {} KiB, {} threads, {} files",
            self.started.elapsed().as_secs_f64(),
            self.players.len() + self.strangers.len(),
            self.figures,
            sums(|host| host.chats),
            sums(|host| host.overflowed),
            sums(|host| host.refused),
            sums(|host| host.gone),
            held.resident,
            held.threads,
            held.files,
        );
    }

    /// Mostly small, now and then a level.
    fn size(&mut self) -> usize {
        if self.random.random_ratio(1, 10) {
            self.random.random_range(1000..40_000)
        } else {
            self.random.random_range(1..600)
        }
    }
}

fn identity() -> Result<TlsServer> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    Ok(TlsServer::new(&key.serialize_pem(), &certificate.pem(), "")?)
}

/// How long something may take that a busy machine does late.
const PATIENCE: Duration = Duration::from_secs(30);
const NEWS: Duration = Duration::from_millis(100);
const REPORT: Duration = Duration::from_secs(10);
/// Clients that join in one frame.
const JOINS: usize = 10;
