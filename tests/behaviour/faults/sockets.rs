//! The same games with real sockets and real I/O threads, and the same proxies between them.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use socket2::{Domain, SockRef, Socket, Type};

use super::accord::agree;
use super::forecast::forecast;
use super::game::{EventCounts, Game, Habits};
use super::ledger::Ledger;
use super::proxy::{Proxy, Stream};
use super::storm::identity;
use crate::config::{
    BindAddress, Buffers, ClientConfig, Mode, OverflowPolicy, PeerConfig, ServerConfig, WireFormat,
};
use crate::http::Url;
use crate::net::Runtime;
use crate::session::Role;
use crate::tls::Trust;

/// A non-blocking socket; dropped when it was reset.
struct Tcp(Option<TcpStream>);

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().ok_or(io::ErrorKind::NotConnected)?.read(buffer)
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().ok_or(io::ErrorKind::NotConnected)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Tcp {
    fn end(&mut self) {
        if let Some(stream) = &self.0 {
            // An error means that the connection has ended already.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        if let Some(stream) = self.0.take() {
            // Without lingering, closing sends a reset.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A server, its clients, and the proxies between them.
struct Party {
    seed: u64,
    mode: Mode,
    config: PeerConfig,
    secure: bool,
    random: SmallRng,
    games: Vec<Game>,
    ledger: Rc<RefCell<Ledger>>,
    /// The listeners of the proxies, one for each expected client.
    doors: Vec<(usize, TcpListener)>,
    proxies: Vec<(usize, Proxy<Tcp>)>,
    harmed: Vec<bool>,
    openings: usize,
    open_at: Vec<Option<Instant>>,
    badness: u32,
}

impl Party {
    fn new(seed: u64, mode: Mode, overflow_policy: OverflowPolicy, secure: bool) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let now = Instant::now();
        let buffers =
            Buffers { input_bytes: 8192, input_packets: 64, output_bytes: 8192, output_packets: 64 };
        let config = PeerConfig {
            mode,
            buffers,
            overflow_policy,
            overflow_grace: Duration::from_millis(300),
            unreliable_backlog: 1000,
            heartbeat_interval: Duration::from_millis(300),
            heartbeat_timeout: Duration::from_millis(1500),
            write_timeout: Duration::from_millis(1500),
            handshake_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(1),
            ..PeerConfig::default()
        };
        let habits = Habits {
            frame: (Duration::from_millis(2), Duration::from_millis(20)),
            prompt: false,
            letters: random.random_range(50..400),
            unrest: u32::from(random.random_ratio(1, 2)),
            largest: 5000,
            threads: true,
        };
        let ledger = Rc::new(RefCell::default());
        let games = (0..=CLIENTS).map(|number| {
            let role = if number == 0 { Role::Server } else { Role::Client };
            let random = SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(number as u64));
            let (settings, ledger) = ((config.clone(), habits.clone()), Rc::clone(&ledger));
            Game::new(Runtime::new(), (number, role), settings, random, ledger, now)
        });
        let games = games.collect();
        Self {
            seed,
            mode,
            config,
            secure,
            badness: random.random_range(30..=100),
            random,
            games,
            ledger,
            doors: Vec::new(),
            proxies: Vec::new(),
            harmed: Vec::new(),
            openings: 4,
            open_at: vec![Some(now); CLIENTS + 1],
        }
    }

    /// Runs one round of all games and proxies.
    fn step(&mut self) {
        let now = Instant::now();
        for number in 0..self.games.len() {
            let game = &self.games[number];
            if self.open_at[number].is_some_and(|at| at <= now) {
                self.open_at[number] = None;
                self.open(number, now);
            } else if self.open_at[number].is_none() && game.is_over() && !game.quiet && self.openings > 0 {
                self.openings -= 1;
                let wait = Duration::from_millis(self.random.random_range(1..300));
                self.open_at[number] = Some(now + wait);
            }
        }
        self.welcome(now);
        for (session, proxy) in &mut self.proxies {
            proxy.advance(now);
            self.harmed[*session] |= proxy.is_harmed();
        }
        self.proxies.retain(|(_, proxy)| !proxy.is_over());
        for game in self.games.iter_mut().filter(|game| game.next_frame <= now) {
            game.frame(now);
        }
    }

    fn open(&mut self, number: usize, now: Instant) {
        let peer = self.config.clone();
        if number == 0 {
            let game = &mut self.games[0];
            let bind = BindAddress::Ip(Ipv4Addr::LOCALHOST.into());
            let tls = self.secure.then(|| identity().clone());
            game.peer
                .listen(ServerConfig { peer, bind, tls, ..ServerConfig::default() })
                .expect("a free port");
            game.opened(self.ledger.borrow_mut().open(None));
            self.harmed.push(false);
            return;
        }
        let Some(via) = self.games[0].session().filter(|_| self.games[0].is_open()) else {
            self.open_at[number] = Some(now + Duration::from_millis(100));
            return;
        };
        let session = self.ledger.borrow_mut().open(Some(via));
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        door.set_nonblocking(true).expect("a socket can be read without waiting");
        let port = door.local_addr().expect("it is bound").port();
        self.doors.push((session, door));
        let game = &mut self.games[number];
        let scheme = if self.secure { "wss" } else { "ws" };
        let url = Url::parse(&format!("{scheme}://127.0.0.1:{port}/")).expect("a valid URL");
        let tls = self.secure.then(|| game.runtime.tls_client(Trust::Anybody, None).expect("it can be made"));
        let config = ClientConfig { peer, url, protocols: Vec::new(), headers: Vec::new(), tls };
        game.peer.connect(config).expect("a thread");
        game.opened(session);
        self.harmed.push(false);
    }

    /// Connects the accepted clients to the server.
    fn welcome(&mut self, now: Instant) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.games[0].peer.local_port()));
        let calm = self.games[0].quiet;
        for (session, door) in std::mem::take(&mut self.doors) {
            let near = match door.accept() {
                Ok((near, _)) => near,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.doors.push((session, door));
                    continue;
                }
                Err(error) => panic!("no connection: {error}"),
            };
            // Nobody listens, so the client's connection ends.
            let Ok(far) = connect(server) else { continue };
            let port = far.local_addr().expect("it is connected").port();
            self.ledger.borrow_mut().ports.insert(port, session);
            near.set_nonblocking(true).expect("a socket can be read without waiting");
            let harm = !calm && self.random.random_range(0..100) < self.badness;
            let (weather, planned) = forecast(&mut self.random, harm, ACTIVE);
            let random = SmallRng::seed_from_u64(self.random.random());
            let sides = [Tcp(Some(near)), Tcp(Some(far))];
            self.proxies.push((session, Proxy::new(sides, weather, planned, random, now)));
        }
    }

    fn calm_down(&mut self) {
        self.proxies.iter_mut().for_each(|(_, proxy)| proxy.calm_down());
        for (game, open_at) in self.games.iter_mut().zip(&mut self.open_at) {
            game.quiet = true;
            game.habits.frame = (Duration::from_millis(2), Duration::from_millis(10));
            game.next_frame = Instant::now();
            *open_at = None;
        }
        if self.games[0].is_open() {
            self.games[0].admit();
        }
    }

    /// Checks that all agree about who is connected, and have received everything.
    fn verdict(&self) -> Result<(), String> {
        let mut ledger = self.ledger.borrow_mut();
        agree(&self.games, &mut ledger, self.mode)?;
        ledger.check(&self.harmed, false).map(|_| ())
    }

    /// Checks that everything was released.
    fn remains(&self) -> Result<(), String> {
        for game in &self.games {
            game.read_handles();
            let (bytes, threads) = (game.runtime.queued_bytes(), game.runtime.thread_count());
            if (bytes, threads) != (0, 0) {
                return Err(format!("{bytes} bytes wait, {threads} threads run in game {}", game.number));
            }
        }
        Ok(())
    }
}

/// A connection with little data in flight.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Small, so that it matters when nobody reads.
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Several parties at once, because each of them mostly waits.
fn parties(mode: Mode, policy: OverflowPolicy, secure: bool) {
    let seeds = super::number("FAULT_SEED").map_or(0..PARTIES, |seed| seed..seed + 1);
    let mut parties: Vec<_> = seeds.map(|seed| Party::new(seed, mode, policy, secure)).collect();
    let all = |parties: &mut Vec<Party>| parties.iter_mut().for_each(Party::step);
    let start = Instant::now();
    // On a busy machine the same happens later.
    while start.elapsed() < ACTIVE || !has_suffered(&parties) && start.elapsed() < TIMEOUT {
        all(&mut parties);
        thread::sleep(TICK);
    }
    parties.iter_mut().for_each(Party::calm_down);
    wait(&mut parties, Party::verdict);
    let mut counts = EventCounts::default();
    for party in &mut parties {
        party.games.iter_mut().for_each(Game::close);
        party.games.iter().for_each(|game| counts.add(game.counts));
    }
    wait(&mut parties, Party::remains);
    println!("{} packets, {} connections suffered, {counts:?}", delivered(&parties), harmed(&parties));
    assert!(has_suffered(&parties));
}

fn delivered(parties: &[Party]) -> usize {
    parties.iter().map(|party| party.ledger.borrow().delivered).sum()
}

fn harmed(parties: &[Party]) -> usize {
    parties.iter().map(|party| party.harmed.iter().filter(|harmed| **harmed).count()).sum()
}

/// Checks that enough has happened for a meaningful result.
fn has_suffered(parties: &[Party]) -> bool {
    super::is_alone() || delivered(parties) > 100 * parties.len() && harmed(parties) > 2
}

fn wait(parties: &mut [Party], done: impl Fn(&Party) -> Result<(), String>) {
    let deadline = Instant::now() + TIMEOUT;
    for round in 0.. {
        parties.iter_mut().for_each(Party::step);
        thread::sleep(TICK);
        if round % LOOK != 0 {
            continue;
        }
        let Some((seed, why)) =
            parties.iter().find_map(|party| done(party).err().map(|why| (party.seed, why)))
        else {
            return;
        };
        assert!(Instant::now() < deadline, "FAULT_SEED={seed}: {why}");
    }
}

#[test]
fn games_over_sockets_that_fail() {
    parties(Mode::Multiplayer(WireFormat::Godot4), OverflowPolicy::Disconnect, false);
}

#[test]
fn games_over_encrypted_sockets_that_fail() {
    parties(Mode::Multiplayer(WireFormat::Godot4), OverflowPolicy::Refuse, true);
}

#[test]
fn games_of_the_godot_3_wire_over_sockets_that_fail() {
    parties(Mode::Multiplayer(WireFormat::Godot3), OverflowPolicy::Disconnect, false);
}

#[test]
fn raw_games_over_encrypted_sockets_that_fail() {
    parties(Mode::Raw, OverflowPolicy::Refuse, true);
}

const CLIENTS: usize = 3;
const PARTIES: u64 = 6;
/// Comparing all sent packets with all received ones takes longer than a round.
const LOOK: usize = 20;
const TICK: Duration = Duration::from_millis(1);
const ACTIVE: Duration = Duration::from_secs(2);
/// A black hole is noticed after the heartbeat timeout; a busy machine takes longer.
const TIMEOUT: Duration = Duration::from_secs(40);
