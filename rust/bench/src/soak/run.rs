//! All servers and clients of a soak, their actions, and the checks.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use websocket_multiplayer_core::{Mode, OverflowPolicy, PeerConfig, Runtime, Status, TlsServer, WireFormat};

use crate::client::Client;
use crate::foreign_client::{Ending, ForeignClient};
use crate::server::Server;
use crate::system::{Usage, usage};

pub(crate) struct Soak {
    runtime: Arc<Runtime>,
    random: StdRng,
    servers: Vec<Server>,
    clients: Vec<Client>,
    foreign_clients: Vec<ForeignClient>,
    wanted: usize,
    base: Option<Usage>,
    started: Instant,
    next_broadcast: Instant,
    next_report: Instant,
    figures: Figures,
    faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Figures {
    joined: u64,
    disconnected: u64,
    dropped: u64,
    vanished: u64,
    reset: u64,
    stalled: u64,
    too_slow: u64,
    received: u64,
    missed_where_refused: u64,
    most_queued: usize,
    most_threads: usize,
}

impl Soak {
    pub(crate) fn new(wanted: usize, seed: u64, base: Option<Usage>) -> Result<Self> {
        let runtime = Runtime::new();
        let config = |wire| PeerConfig {
            mode: Mode::Multiplayer(wire),
            // Long, because a busy machine is slow. No check depends on these timeouts.
            handshake_timeout: DEADLINE,
            close_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            overflow_grace: Duration::from_secs(2),
            ..PeerConfig::default()
        };
        let refusing = PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..config(WireFormat::Godot4) };
        let servers = vec![
            Server::open(&runtime, "plain", config(WireFormat::Godot4), None)?,
            Server::open(&runtime, "encrypted", refusing, Some(identity()?))?,
            Server::open(&runtime, "godot 3", config(WireFormat::Godot3), None)?,
        ];
        let now = Instant::now();
        Ok(Self {
            runtime,
            random: StdRng::seed_from_u64(seed),
            servers,
            clients: Vec::new(),
            foreign_clients: Vec::new(),
            wanted,
            base,
            started: now,
            next_broadcast: now,
            next_report: now + REPORT,
            figures: Figures::default(),
            faults: Vec::new(),
        })
    }

    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Runs one frame of all servers and clients.
    pub(crate) fn tick(&mut self) -> Result<()> {
        self.join()?;
        self.send();
        self.poll();
        self.leave();
        self.check();
        thread::sleep(Duration::from_millis(5));
        Ok(())
    }

    /// Waits until every packet has arrived, ends all clients and servers, and checks that everything was released. Returns the resources
    /// of the process, and all faults.
    pub(crate) fn end(mut self) -> (Option<Usage>, Vec<String>) {
        if self.faults.is_empty() {
            self.drain();
        }
        self.clients.iter().for_each(|client| self.figures.received += client.received);
        self.report();
        self.clients.clear();
        self.foreign_clients.clear();
        let mut servers = std::mem::take(&mut self.servers);
        if self.faults.is_empty() {
            let deadline = Instant::now() + DEADLINE;
            while servers.iter().any(|server| server.clients() > 0) && Instant::now() < deadline {
                servers.iter_mut().for_each(Server::poll);
                thread::sleep(Duration::from_millis(5));
            }
            for server in &servers {
                if server.clients() > 0 {
                    self.faults.push(format!(
                        "{} clients never left server {}",
                        server.clients(),
                        server.name
                    ));
                }
            }
        }
        for mut server in servers {
            self.faults.append(&mut server.faults);
            server.peer.close();
        }
        let deadline = Instant::now() + DEADLINE;
        while self.runtime.thread_count() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if self.runtime.thread_count() > 0 {
            self.faults.push(format!("{} I/O threads never ended", self.runtime.thread_count()));
        }
        if self.runtime.queued_bytes() > 0 {
            self.faults.push(format!(
                "{} bytes are still counted for queues that are gone",
                self.runtime.queued_bytes()
            ));
        }
        self.runtime.shutdown(Duration::from_secs(1));
        // The system may still count a thread that has ended for the runtime.
        let deadline = Instant::now() + DEADLINE;
        let (mut left, mut excess) = self.left_behind();
        while !excess.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            (left, excess) = self.left_behind();
        }
        self.faults.append(&mut excess);
        (left, self.faults)
    }

    /// Returns the resources of the process, and a text about each that grew during the soak.
    fn left_behind(&self) -> (Option<Usage>, Vec<String>) {
        let mut excess = Vec::new();
        let left = usage();
        if let (Some(base), Some(left)) = (self.base, left) {
            for (what, before, after) in
                [("files", base.files, left.files), ("threads", base.threads, left.threads)]
            {
                if after > before {
                    excess.push(format!("{after} {what} are held instead of {before}"));
                }
            }
            // Some tables of the process grow once and then stay.
            if left.allocated > base.allocated + 512 {
                excess.push(format!("{} KiB are allocated instead of {}", left.allocated, base.allocated));
            }
            // The allocator keeps some freed memory, a different amount each time: only a generous bound makes sense.
            if left.resident > 2 * base.resident + 64 * 1024 {
                excess.push(format!("{} KiB are held instead of {}", left.resident, base.resident));
            }
        }
        (left, excess)
    }

    fn join(&mut self) -> Result<()> {
        for _ in 0..JOINS {
            if self.clients.len() + self.foreign_clients.len() >= self.wanted {
                return Ok(());
            }
            let leaves_at = Instant::now() + Duration::from_millis(self.random.random_range(500..20_000));
            self.figures.joined += 1;
            if self.random.random_ratio(1, 8) {
                let ending = [Ending::Vanishes, Ending::Vanishes, Ending::Resets, Ending::Stops];
                let ending = ending[self.random.random_range(0..ending.len())];
                let port = self.servers[0].peer.local_port();
                self.foreign_clients.push(ForeignClient::connect(port, ending, leaves_at)?);
                continue;
            }
            let index = [0, 0, 0, 1, 2][self.random.random_range(0..5)];
            let server = &self.servers[index];
            let client =
                Client::connect(&self.runtime, &server.url(), index, server.config.clone(), leaves_at)
                    .context("a client does not start")?;
            self.clients.push(client);
        }
        Ok(())
    }

    fn send(&mut self) {
        let now = Instant::now();
        if now >= self.next_broadcast {
            self.next_broadcast = now + BROADCAST_INTERVAL;
            let size = self.size();
            self.servers.iter_mut().for_each(|server| server.broadcast(size));
        }
        for client in &mut self.clients {
            if !client.is_connected() || client.stalls_until.is_some() {
                continue;
            }
            if self.random.random_ratio(1, 40) {
                client.send_request(self.random.random_range(1..2000));
            }
            if self.random.random_ratio(1, 80) {
                client.send_to_client(self.random.random_range(0..10_000), self.random.random_range(1..500));
            }
            if self.random.random_ratio(1, 20_000) {
                client.stalls_until =
                    Some(now + Duration::from_millis(self.random.random_range(500..15_000)));
                client.has_stalled = true;
                self.figures.stalled += 1;
            }
        }
        for foreign_client in &mut self.foreign_clients {
            if !foreign_client.over && self.random.random_ratio(1, 40) {
                foreign_client.send_request(self.random.random_range(1..2000));
            }
        }
    }

    fn poll(&mut self) {
        let now = Instant::now();
        self.servers.iter_mut().for_each(Server::poll);
        self.clients.iter_mut().for_each(|client| client.poll(now));
        self.foreign_clients.iter_mut().for_each(ForeignClient::poll);
        for faults in self.clients.iter_mut().map(|client| &mut client.faults) {
            self.faults.append(faults);
        }
        for faults in self.foreign_clients.iter_mut().map(|foreign_client| &mut foreign_client.faults) {
            self.faults.append(faults);
        }
        for faults in self.servers.iter_mut().map(|server| &mut server.faults) {
            self.faults.append(faults);
        }
    }

    fn leave(&mut self) {
        let now = Instant::now();
        let mut at = 0;
        while at < self.clients.len() {
            let client = &mut self.clients[at];
            if client.leaves_at <= now
                && client.is_connected()
                && client.stalls_until.is_none()
                && !client.is_disconnecting()
            {
                if self.random.random_bool(0.5) {
                    // The client stays until the closing handshake is complete.
                    self.figures.disconnected += 1;
                    client.disconnect();
                } else {
                    self.figures.dropped += 1;
                    client.over = true;
                }
            }
            if client.over {
                self.figures.too_slow += u64::from(client.peer.close_code() == 1013);
                self.figures.received += client.received;
                self.figures.missed_where_refused += client.missed;
                self.clients.swap_remove(at);
            } else {
                at += 1;
            }
        }
        while let Some(at) = self
            .foreign_clients
            .iter()
            .position(|foreign_client| foreign_client.over || foreign_client.leaves_at <= now)
        {
            let foreign_client = self.foreign_clients.swap_remove(at);
            self.figures.received += foreign_client.received;
            match foreign_client.ending {
                Ending::Resets => self.figures.reset += 1,
                _ => self.figures.vanished += 1,
            }
            foreign_client.leave();
        }
    }

    fn check(&mut self) {
        self.figures.most_queued = self.figures.most_queued.max(self.runtime.queued_bytes());
        // At most the limits of all clients together.
        let most = self.wanted * 5 * 1024 * 1024;
        if self.runtime.queued_bytes() > most {
            self.faults.push(format!("{} bytes wait in queues", self.runtime.queued_bytes()));
        }
        if Instant::now() >= self.next_report {
            self.next_report += REPORT;
            self.report();
        }
    }

    /// Waits until every packet has arrived, and servers and clients know of each other.
    fn drain(&mut self) {
        self.foreign_clients.clear();
        let deadline = Instant::now() + 2 * DEADLINE;
        let closes = Instant::now() + Duration::from_secs(1);
        loop {
            self.poll();
            self.clients.retain(|client| !client.over);
            if !self.faults.is_empty() {
                return;
            }
            let why = self.disagreement();
            if why.is_none() && Instant::now() > closes {
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
        for (index, server) in self.servers.iter().enumerate() {
            let here: Vec<_> = self.clients.iter().filter(|client| client.server == index).collect();
            let statistics = server.peer.statistics();
            if statistics.peers != here.len() || server.clients() != here.len() || statistics.pending != 0 {
                return Some(format!(
                    "server {} knows {} clients ({} by its signals, {} pending), {} are there",
                    server.name,
                    statistics.peers,
                    server.clients(),
                    statistics.pending,
                    here.len()
                ));
            }
            for client in &here {
                if client.peer.status() != Status::Connected || !server.has(client.id()) {
                    return Some(format!("server {} does not know {}", server.name, client.id()));
                }
                let refuses = server.config.overflow_policy == OverflowPolicy::Refuse;
                if client.broadcast.is_some_and(|next| next != server.next_broadcast()) && !refuses {
                    return Some(format!(
                        "{} waits for broadcast {:?} of {}",
                        client.id(),
                        client.broadcast,
                        server.next_broadcast()
                    ));
                }
                if server.config.mode == Mode::Multiplayer(WireFormat::Godot3)
                    && (client.other_clients.len() + 1 != here.len()
                        || client.other_clients.iter().any(|other| !server.has(*other)))
                {
                    return Some(format!(
                        "{} knows {} other_clients of {}",
                        client.id(),
                        client.other_clients.len(),
                        here.len()
                    ));
                }
            }
        }
        (self.runtime.queued_bytes() > 0).then(|| format!("{} bytes wait", self.runtime.queued_bytes()))
    }

    fn report(&mut self) {
        let held = usage().unwrap_or_default();
        self.figures.most_threads = self.figures.most_threads.max(held.threads);
        let sums = |count: fn(&Server) -> u64| self.servers.iter().map(count).sum::<u64>();
        println!(
            "{:6.0} s: {} clients; {:?}; servers: {} requests, {} overflowed, {} refused, {} gone; {} KiB, {} threads, {} files",
            self.started.elapsed().as_secs_f64(),
            self.clients.len() + self.foreign_clients.len(),
            self.figures,
            sums(|server| server.requests),
            sums(|server| server.overflowed),
            sums(|server| server.refused),
            sums(|server| server.gone),
            held.resident,
            held.threads,
            held.files,
        );
    }

    /// Mostly small sizes; one in ten is as large as a level of a game.
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

/// The deadline for anything that a busy machine may delay.
const DEADLINE: Duration = Duration::from_secs(30);
const BROADCAST_INTERVAL: Duration = Duration::from_millis(100);
const REPORT: Duration = Duration::from_secs(10);
/// Clients that connect in one frame.
const JOINS: usize = 10;
