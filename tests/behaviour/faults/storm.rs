//! One seed: a server and some clients, the faults of their connections, and the checks in the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::world::{End, start};
use super::accord::agree;
use super::forecast::forecast;
use super::game::{EventCounts, Game, Habits};
use super::io::Io;
use super::ledger::Ledger;
use super::proxy::{Proxy, Stream};
use crate::access::AccessPolicy;
use crate::config::{Buffers, Compression, Mode, OverflowPolicy, PeerConfig, ServerConfig};
use crate::http::Url;
use crate::hub::Side;
use crate::net::Runtime;
use crate::session::Role;
use crate::tls::{TlsServer, Trust, self_signed};

/// The results of a seed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Outcome {
    pub(super) sessions: usize,
    pub(super) delivered: usize,
    /// Pairs of sessions of which no packet may be missing.
    pub(super) whole: usize,
    pub(super) harmed: usize,
    pub(super) counts: EventCounts,
    pub(super) dropped: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.delivered += other.delivered;
        self.whole += other.whole;
        self.harmed += other.harmed;
        self.counts.add(other.counts);
        self.dropped += other.dropped;
    }

    /// Checks that this many seeds have reached what they are meant to test.
    pub(super) fn check(&self, seeds: u64, mode: Mode, policy: OverflowPolicy) {
        let seeds = seeds as usize;
        assert!(self.sessions > 3 * seeds && self.delivered > 50 * seeds, "{self:?}");
        assert!(self.whole > seeds && self.harmed > seeds / 2, "{self:?}");
        assert!(self.counts.congested > seeds / 10 && self.counts.withdrawn > 0, "{self:?}");
        if mode != Mode::Raw {
            assert!(self.dropped as usize > seeds / 10, "{self:?}");
            let limit =
                if policy == OverflowPolicy::Refuse { self.counts.refused } else { self.counts.overflowed };
            assert!(limit > seeds / 100, "{self:?}");
        }
    }
}

/// The state of one seed.
pub(super) struct Storm {
    now: Instant,
    random: SmallRng,
    config: PeerConfig,
    server_config: ServerConfig,
    secure: bool,
    /// The share of clients whose connections have faults, in percent.
    badness: u32,
    turn: usize,
    games: Vec<Game>,
    ios: Vec<Io>,
    /// With the client's session.
    proxies: Vec<(usize, Proxy<End>)>,
    ledger: Rc<RefCell<Ledger>>,
    /// By session: its connection had faults.
    harmed: Vec<bool>,
    /// How often clients, and the server, may still open.
    openings: usize,
    /// When a closed game opens again.
    open_at: Vec<Option<Instant>>,
    prompt: bool,
    /// At this moment there is more to do.
    unfinished: bool,
    /// Processes that are stopped (game and I/O thread), until when, and how many more may be stopped.
    stopped: Vec<Option<Instant>>,
    stops: usize,
}

impl Stream for End {
    fn end(&mut self) {
        self.half_close();
    }

    fn reset(&mut self) {
        Self::reset(self);
    }
}

impl Storm {
    pub(super) fn new(seed: u64, mode: Mode, overflow_policy: OverflowPolicy) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let now = start();
        let prompt = random.random_ratio(1, 3);
        let config = config(&mut random, mode, overflow_policy, prompt);
        let clients = random.random_range(1..=3);
        let secure = random.random_ratio(1, 24);
        let server_config = ServerConfig {
            peer: config.clone(),
            ask: random.random_ratio(1, 4),
            max_inbound_per_second: if random.random_ratio(1, 8) { 20_000 } else { 0 },
            tls: secure.then(|| identity().clone()),
            ..ServerConfig::default()
        };
        let ledger = Rc::new(RefCell::default());
        let own = Runtime::new();
        let habits = Habits {
            frame: (Duration::from_millis(2), Duration::from_millis(random.random_range(4..50))),
            prompt,
            letters: random.random_range(5..80),
            unrest: if random.random_ratio(1, 3) { 0 } else { random.random_range(1..4) },
            largest: config.max_packet_size().min(config.max_message() - mode.header_len()).min(LARGEST),
            threads: false,
        };
        let stops = 2 * usize::from(!prompt && random.random_ratio(1, 3));
        let scarce = random.random_ratio(1, 5);
        let games = (0..=clients).map(|number| {
            let role = if number == 0 { Role::Server } else { Role::Client };
            let runtime = if number == 0 { Arc::clone(&own) } else { Runtime::new() };
            if scarce {
                runtime.set_total_queue_limit(24 * 1024);
            }
            let random = SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number as u64));
            let ledger = Rc::clone(&ledger);
            Game::new(runtime, (number, role), (config.clone(), habits.clone()), random, ledger, now)
        });
        let games: Vec<_> = games.collect();
        let open_at = (0..games.len())
            .map(|number| match number {
                0 => Some(now),
                _ => Some(now + Duration::from_millis(random.random_range(0..300))),
            })
            .collect();
        Self {
            now,
            config,
            server_config,
            secure,
            badness: random.random_range(0..=100),
            turn: [20_000, 65_535, 65_536][random.random_range(0..3)],
            openings: clients + random.random_range(0..4),
            random,
            games,
            ios: Vec::new(),
            proxies: Vec::new(),
            ledger,
            harmed: Vec::new(),
            open_at,
            prompt,
            unfinished: false,
            stopped: vec![None; clients + 1],
            stops,
        }
    }

    /// Returns whether it compresses: the headers of the Godot 3 wire have ids, which differ from run to run, and sizes with them.
    pub(super) fn is_compressed(&self) -> bool {
        self.config.compression.is_some()
    }

    /// The length of a signature does not follow from the seed.
    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn run(mut self) -> Outcome {
        self.pass(Duration::from_millis(1800));
        self.calm_down();
        self.pass(Duration::from_secs(4));
        // The remaining connections wait for their timeouts.
        for game in &mut self.games {
            game.habits.frame = (Duration::from_millis(200), Duration::from_millis(400));
        }
        let longest = self.config.heartbeat_timeout + self.config.heartbeat_interval;
        self.pass(longest + self.config.write_timeout + self.config.handshake_timeout);
        self.compare_rosters();
        self.last_guest();
        self.part();
        self.settle_accounts()
    }

    /// Lets this much time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.step();
            let next = self.next();
            if next >= end {
                self.now = end;
                return self.step();
            }
            self.now = next.max(self.now + MOMENT);
        }
    }

    /// Does everything that happens at one moment.
    fn step(&mut self) {
        for (game, stopped) in self.games.iter().zip(&mut self.stopped) {
            if stopped.is_some_and(|until| until <= self.now || game.quiet) {
                *stopped = None;
            } else if !game.quiet && self.stops > 0 && self.random.random_ratio(1, 200) {
                self.stops -= 1;
                let time = Duration::from_millis(self.random.random_range(100..4000));
                *stopped = Some(self.now + time);
            }
        }
        for number in 0..self.games.len() {
            if self.open_at[number].is_some_and(|at| at <= self.now) {
                self.open_at[number] = None;
                self.open(number);
            }
        }
        for round in 0..=ROUNDS {
            let mut busy = false;
            self.unfinished = round == ROUNDS;
            for (_, proxy) in &mut self.proxies {
                busy |= proxy.advance(self.now);
            }
            for io in &mut self.ios {
                let game = &mut self.games[io.game];
                let now = self.now;
                if self.stopped[io.game].is_some() {
                    continue;
                }
                let due = game.next_frame <= now && self.random.random_ratio(1, 2);
                busy |= io.turn(now, || {
                    if due {
                        game.frame(now);
                    }
                });
            }
            for (game, stopped) in self.games.iter_mut().zip(&self.stopped) {
                if game.next_frame <= self.now && stopped.is_none() {
                    game.frame(self.now);
                    busy = true;
                }
            }
            if !busy {
                break;
            }
        }
        self.sweep();
    }

    /// Removes what has ended, and lets games open again.
    fn sweep(&mut self) {
        for at in (0..self.ios.len()).rev() {
            if self.ios[at].is_finished() {
                self.ios.remove(at).end();
            }
        }
        for (session, proxy) in &self.proxies {
            self.harmed[*session] |= proxy.is_harmed();
        }
        self.proxies
            .retain(|(_, proxy)| !proxy.is_over() || proxy.sides().iter().any(|end| end.readable() > 0));
        for number in 0..self.games.len() {
            let game = &self.games[number];
            let closed = game.is_over() && self.open_at[number].is_none();
            if closed && !game.quiet && self.openings > 0 {
                self.openings -= 1;
                let wait = Duration::from_millis(self.random.random_range(1..400));
                self.open_at[number] = Some(self.now + wait);
            }
        }
    }

    /// Returns when something happens next.
    fn next(&self) -> Instant {
        let stopped = |game: usize| self.stopped[game];
        let frames = self.games.iter().map(|game| stopped(game.number).unwrap_or(game.next_frame));
        let ios = self.ios.iter().filter_map(|io| stopped(io.game).or_else(|| io.wake_at()));
        let proxies = self.proxies.iter().filter_map(|(_, proxy)| proxy.wake_at(self.now));
        let openings = self.open_at.iter().flatten().copied();
        let rest = self.unfinished.then_some(self.now);
        frames.chain(ios).chain(proxies).chain(openings).chain(rest).min().expect("a game has frames")
    }

    fn open(&mut self, number: usize) {
        let game = &mut self.games[number];
        if number == 0 {
            let session = self.ledger.borrow_mut().open(None);
            let access = Box::new(AccessPolicy::new(self.server_config.clone()));
            self.ios.push(Io::open(
                &mut game.peer,
                0,
                self.config.clone(),
                Side::Server(access),
                self.turn,
                self.now,
            ));
            game.opened(session);
            self.harmed.push(false);
            return;
        }
        let server = self.games[0].session();
        let listening = self.ios.iter().position(|io| io.serves && !io.is_finishing());
        let game = &mut self.games[number];
        let Some((server, at)) = server.zip(listening) else {
            self.open_at[number] = Some(self.now + Duration::from_millis(300));
            return;
        };
        let session = self.ledger.borrow_mut().open(Some(server));
        let text = if self.secure { "wss://game.example/lobby" } else { "ws://game.example/lobby" };
        let url = Url::parse(text).expect("a valid URL");
        let tls = self.secure.then(|| game.runtime.tls_client(Trust::Anybody, None).expect("it can be made"));
        let side = Side::Client { url, tls };
        let mut io = Io::open(&mut game.peer, number, self.config.clone(), side, self.turn, self.now);
        game.opened(session);
        if !game.quiet && self.random.random_ratio(1, 30) {
            io.fail(self.now);
            self.harmed.push(true);
            self.ios.push(io);
            return;
        }
        let capacity = [300, 2000, 65_536][self.random.random_range(0..3)];
        let (client, near) = End::pair(capacity, usize::MAX);
        let (far, host) = End::pair(capacity, usize::MAX);
        let quiet = game.quiet;
        io.dial(client, self.now);
        let port = 1000 + session as u16;
        self.ledger.borrow_mut().ports.insert(port, session);
        self.ios[at].accept(port, host, self.now);
        self.ios.push(io);
        let harm = !quiet && self.random.random_range(0..100) < self.badness;
        let (weather, planned) = forecast(&mut self.random, harm, Duration::from_millis(1500));
        // A closing handshake waits behind the queued data.
        let narrow = weather.passes_in(self.config.close_timeout) < self.config.buffers.output_bytes;
        let random = SmallRng::seed_from_u64(self.random.random());
        self.proxies.push((session, Proxy::new([near, far], weather, planned, random, self.now)));
        self.harmed.push(harm && narrow);
    }

    /// From now on all games only read, and there are no more faults.
    fn calm_down(&mut self) {
        self.proxies.iter_mut().for_each(|(_, proxy)| proxy.calm_down());
        for (game, open_at) in self.games.iter_mut().zip(&mut self.open_at) {
            game.quiet = true;
            game.habits.frame = (Duration::from_millis(15), Duration::from_millis(25));
            game.next_frame = self.now;
            *open_at = None;
        }
        if self.games[0].is_open() {
            self.games[0].admit();
        }
    }

    /// Checks that all games agree about who is connected, and that nothing waits.
    fn compare_rosters(&self) {
        if let Err(why) = agree(&self.games, &mut self.ledger.borrow_mut(), self.config.mode) {
            panic!("{why}");
        }
        for io in self.ios.iter().filter(|io| io.serves && !io.is_finishing()) {
            assert_eq!(io.load(), (self.games[0].guests(), 0), "places at the server");
        }
    }

    /// Checks that another client can still connect.
    fn last_guest(&mut self) {
        if !self.games[0].is_open() {
            return;
        }
        let Some(number) = (1..self.games.len()).find(|number| self.games[*number].is_over()) else {
            return;
        };
        let before = self.games[0].guests();
        self.server_config.ask = false;
        self.open(number);
        self.pass(Duration::from_secs(2));
        let asked = self.games[0].guests() == before;
        assert!(!asked || self.games[number].is_over(), "one more comes in");
    }

    /// Closes all games, in some order.
    fn part(&mut self) {
        let first = self.random.random_range(0..self.games.len());
        for at in 0..self.games.len() {
            let number = (first + at) % self.games.len();
            let game = &mut self.games[number];
            if game.is_open() {
                game.close();
            }
            if self.random.random_ratio(1, 2) {
                self.pass(Duration::from_millis(50));
            }
        }
        self.pass(self.config.close_timeout + self.config.handshake_timeout + Duration::from_secs(2));
        // A client whose end was emitted gets no more events.
        for game in &mut self.games {
            game.close();
        }
        self.pass(self.config.close_timeout + Duration::from_secs(2));
    }

    fn settle_accounts(self) -> Outcome {
        assert!(self.ios.is_empty(), "{} drivers never end", self.ios.len());
        let ledger = self.ledger.borrow();
        let missing = ledger.check(&self.harmed, self.prompt).unwrap_or_else(|why| panic!("{why}"));
        let dropped: u64 = self.games.iter().map(|game| game.dropped).sum();
        assert!(missing.dropped.len() as u64 <= dropped, "{missing:?}, and {dropped} are counted");
        for game in &self.games {
            game.read_handles();
            let queued = game.runtime.queued_bytes();
            assert_eq!(queued, 0, "bytes that wait nowhere are counted, game {}", game.number);
        }
        let mut counts = EventCounts::default();
        self.games.iter().for_each(|game| counts.add(game.counts));
        Outcome {
            sessions: ledger.sessions.len(),
            delivered: ledger.delivered,
            whole: missing.whole,
            harmed: self.harmed.iter().filter(|harmed| **harmed).count(),
            counts,
            dropped,
        }
    }
}

fn config(random: &mut SmallRng, mode: Mode, overflow_policy: OverflowPolicy, prompt: bool) -> PeerConfig {
    let among = |random: &mut SmallRng, all: [usize; 3]| all[random.random_range(usize::from(prompt)..3)];
    let millis = |random: &mut SmallRng, least, most| Duration::from_millis(random.random_range(least..most));
    let buffers = Buffers {
        input_bytes: among(random, [1024, 4096, 65_536]),
        input_packets: among(random, [4, 64, 1024]),
        output_bytes: among(random, [1024, 4096, 65_536]),
        output_packets: among(random, [8, 64, 1024]),
    };
    PeerConfig {
        mode,
        buffers,
        overflow_policy,
        overflow_grace: millis(random, 100, 1000),
        unreliable_backlog: [0, 500, 16 * 1024][random.random_range(0..3)],
        heartbeat_interval: millis(random, 200, 900),
        heartbeat_timeout: millis(random, 1000, 2500),
        write_timeout: millis(random, 1000, 2500),
        handshake_timeout: millis(random, 800, 2000),
        close_timeout: millis(random, 600, 1500),
        compression: [None, None, Some(Compression::Shared), Some(Compression::Dedicated)]
            [random.random_range(0..4)],
        compression_threshold: [1, 100, 1024][random.random_range(0..3)],
        ..PeerConfig::default()
    }
}

/// Made once, because that takes longer than a seed.
pub(super) fn identity() -> &'static TlsServer {
    static IDENTITY: OnceLock<TlsServer> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let (key, certificate) = self_signed("game.example");
        TlsServer::new(&key, &certificate, "").expect("usable")
    })
}

/// Long enough for everything to be sent in the end, also by rate-limited peers.
const LARGEST: usize = 5000;
/// The step of the clock while something is in flight.
const MOMENT: Duration = Duration::from_millis(1);
/// The most rounds at one moment; the rest follows a moment later.
const ROUNDS: usize = 30;
