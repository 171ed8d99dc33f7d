//! The I/O thread: waits for sockets, deadlines and commands, and lets the hub work.
//!
//! Readiness is edge-triggered: what a socket reported is remembered until a call says `WouldBlock` (or a short read shows
//! the same). Every connection gets one bounded turn per round, so that none keeps the others waiting. Those that are not peers
//! yet share a bounded time per round: a handshake of TLS takes as long as hundreds of packets, and a thousand may come at once.

pub(crate) mod accept;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod judged;
mod simulation;
#[cfg(test)]
mod turns;

use std::collections::{BTreeSet, VecDeque};
use std::net::Shutdown;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{io, mem};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::checks::Check;
use super::dial::{Dialled, Dialler};
use super::listener::{Listener, Unsent};
use super::mailbox::{Command, Mailbox, Totals, Wake};
use super::runtime::Runtime;
use super::simulator::Simulator;
use super::transport::Transport;
use crate::access::AccessPolicy;
use crate::base::{CloseFrame, CloseReason, ConnId};
use crate::config::{ClientConfig, ServerConfig};
use crate::hub::{After, Hub, Side};
use crate::session::WRITE_TURN;
use accept::{Accept, Acceptor};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// Connections have the tokens from here on, by slot.
const FIRST_CONNECTION: usize = 2;
/// Dialling has the tokens from here on.
const FIRST_DIAL: usize = usize::MAX / 2;
/// Events that the poller reports at once.
const EVENTS: usize = 1024;
/// Bytes that one connection may deliver in one round.
pub(crate) const TURN: usize = 64 * 1024;
/// Time that newcomers get in one round, if half of what the peers took is not more.
pub(crate) const GREETING: Duration = Duration::from_millis(1);
/// What one round does of what the game asked for: so many small packets of one receiver each, or as much else.
pub(crate) const COMMANDS_TURN: usize = 32 * 1024;
/// Turns of writing that a connection gets which the game cuts.
const CUT_TURNS: usize = 16;
/// A short read empties the socket where the poller reports every later arrival.
const TRUST_SHORT_READS: bool = cfg!(unix);

pub(crate) struct Driver {
    poll: Poll,
    hub: Hub,
    sockets: Vec<Option<Socket>>,
    listener: Option<Listener>,
    acceptor: Acceptor,
    dial: Option<Dial>,
    mailbox: Arc<Mailbox>,
    /// When to look at which connection, by slot: one entry for each at most.
    timers: BTreeSet<(Instant, u32)>,
    /// Peers that may have something to be read.
    reads: VecDeque<ConnId>,
    /// The same for connections that are no peers yet, or were refused.
    newcomers: VecDeque<ConnId>,
    /// Connections whose turn of writing was over before the socket took everything.
    unwritten: VecDeque<ConnId>,
    buffer: Box<[u8]>,
    finish_by: Option<Instant>,
    /// Client: who checks certificates.
    runtime: Weak<Runtime>,
    rounds: u64,
    unsent: Unsent,
}

struct Socket {
    conn: ConnId,
    stream: TcpStream,
    writable: bool,
    /// The remote ended its side, so that a short read does not mean that there is nothing more to learn.
    read_closed: bool,
    /// It is in `reads` or `newcomers`.
    queued: bool,
    /// It is in `unwritten`.
    unwritten: bool,
    /// The last round in which it wrote, and how much.
    wrote: (u64, usize),
    /// Its entry in `timers`.
    timer: Option<Instant>,
    /// A bad network, where one is asked for.
    simulator: Option<Box<Simulator>>,
}

/// Lists that a round fills and empties, kept for their memory.
struct Round {
    events: Events,
    /// Taken from the mailbox and not done yet.
    commands: VecDeque<Command>,
    dialled: Vec<Token>,
    /// Rounds in a row that ended without looking at the clock of the connections.
    put_off: usize,
}

struct Dial {
    dialler: Dialler,
    protocols: Vec<String>,
    headers: Vec<String>,
    started: Instant,
}

impl Driver {
    /// Starts the thread of a server whose socket listens already; with `refuse`, nobody gets in yet.
    pub(crate) fn serve(
        config: ServerConfig,
        refuse: bool,
        listener: Listener,
        runtime: &Runtime,
    ) -> io::Result<Arc<Mailbox>> {
        Self::server(config, refuse, listener, runtime)?.spawn("websocket-server", runtime)
    }

    fn server(config: ServerConfig, refuse: bool, listener: Listener, runtime: &Runtime) -> io::Result<Self> {
        let poll = Poll::new()?;
        listener.register(poll.registry(), LISTENER)?;
        let totals = Arc::new(Totals::default());
        let (peer, max_pending) = (config.peer.clone(), config.max_pending);
        let mut access = AccessPolicy::new(config);
        access.refusing = refuse;
        let side = Side::Server(Box::new(access));
        let hub = Hub::new(peer, side, runtime.queue_totals.clone(), Arc::clone(&totals));
        let mut driver = Self::new(poll, hub, totals, runtime)?;
        driver.listener = Some(listener);
        driver.acceptor = Acceptor::new(max_pending);
        Ok(driver)
    }

    /// Starts the thread of a client.
    pub(crate) fn connect(config: ClientConfig, runtime: &Arc<Runtime>) -> io::Result<Arc<Mailbox>> {
        let poll = Poll::new()?;
        let now = Instant::now();
        let deadline = now + config.peer.handshake_timeout;
        let totals = Arc::new(Totals::default());
        let side = Side::Client { url: config.url.clone(), tls: config.tls };
        let hub = Hub::new(config.peer, side, runtime.queue_totals.clone(), Arc::clone(&totals));
        let mut driver = Self::new(poll, hub, totals, runtime)?;
        let dialler = Dialler::start(&config.url, deadline, FIRST_DIAL, runtime, &driver.mailbox, now)?;
        driver.dial =
            Some(Dial { dialler, protocols: config.protocols, headers: config.headers, started: now });
        driver.runtime = Arc::downgrade(runtime);
        driver.spawn("websocket-client", runtime)
    }

    fn new(poll: Poll, hub: Hub, totals: Arc<Totals>, runtime: &Runtime) -> io::Result<Self> {
        let waker = Waker::new(poll.registry(), WAKER)?;
        let outgoing = &runtime.queue_totals.outgoing;
        let mailbox = Arc::new(Mailbox::new(Box::new(waker), totals, outgoing, Instant::now()));
        Ok(Self {
            poll,
            hub,
            sockets: Vec::new(),
            listener: None,
            acceptor: Acceptor::new(1),
            dial: None,
            mailbox,
            timers: BTreeSet::new(),
            reads: VecDeque::new(),
            newcomers: VecDeque::new(),
            unwritten: VecDeque::new(),
            buffer: vec![0; TURN].into_boxed_slice(),
            finish_by: None,
            runtime: Weak::new(),
            rounds: 0,
            unsent: runtime.unsent(),
        })
    }

    fn spawn(mut self, name: &str, runtime: &Runtime) -> io::Result<Arc<Mailbox>> {
        let mailbox = Arc::clone(&self.mailbox);
        runtime.spawn(name, Some(Arc::downgrade(&mailbox)), move || {
            let mailbox = Arc::clone(&self.mailbox);
            let what = match panic::catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("the I/O thread failed: {error}"),
                Err(_) => "the I/O thread failed; this is a defect, please report it".to_owned(),
            };
            mailbox.deliver_failure(what.clone());
            log::error!("{what}");
        })?;
        Ok(mailbox)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut round = Round::new();
        while !self.round(&mut round)? {}
        Ok(())
    }

    /// Waits for something to do and does it, a bounded part of it for each connection. True: there is nothing left to do.
    fn round(&mut self, round: &mut Round) -> io::Result<bool> {
        let timeout = if round.commands.is_empty() { self.timeout() } else { Some(Duration::ZERO) };
        let timeout = if timeout.is_some_and(|timeout| timeout.is_zero()) || self.mailbox.may_sleep() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut round.events, timeout) {
            // As when the process was stopped and goes on: what came meanwhile is to be seen before anybody's time is up.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            result => result?,
        }
        self.mailbox.awake();
        self.mailbox.totals.io_wakeups.add(1);
        let now = Instant::now();
        for event in &round.events {
            match event.token() {
                WAKER => {}
                LISTENER => self.acceptor.state = Accept::Ready,
                token if token.0 >= FIRST_DIAL => round.dialled.push(token),
                token => self.ready(token.0 - FIRST_CONNECTION, event),
            }
        }
        self.rounds += 1;
        self.write_round(now);
        self.command_round(&mut round.commands, now);
        self.advance_dial(&round.dialled, now)?;
        round.dialled.clear();
        self.read_round(now);
        self.flush_round(now);
        // Behind reading and writing: when the whole process was stopped, what came in time is still unread, and what waited is
        // still unwritten although the socket would take it. Nobody is to be taken for silent or stuck who was not. A full list
        // of events means that more may have something to say.
        if round.events.iter().count() == EVENTS && round.put_off < self.hub.len() / EVENTS {
            round.put_off += 1;
        } else {
            round.put_off = 0;
            self.expire(now);
        }
        self.hand_over(now);
        self.greet(now);
        self.hand_over(now);
        let finished = self.is_finished(!round.commands.is_empty(), now);
        if finished {
            self.end_simulation(now);
        }
        Ok(finished)
    }

    fn timeout(&self) -> Option<Duration> {
        let busy = !self.reads.is_empty()
            || !self.newcomers.is_empty()
            || !self.unwritten.is_empty()
            || !self.hub.dirty.is_empty()
            || !self.hub.rearm.is_empty()
            || self.may_accept();
        if busy {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let dial = self.dial.as_ref().map(|dial| dial.dialler.wake_at());
        let next = [timer, self.acceptor.wake_at(), dial, self.finish_by].into_iter().flatten().min()?;
        let wait = next.saturating_duration_since(Instant::now());
        // The poller counts in milliseconds; a little late is better than once too often.
        Some(if wait.is_zero() { wait } else { wait + Duration::from_millis(1) })
    }

    fn ready(&mut self, slot: usize, event: &Event) {
        let Some(Some(socket)) = self.sockets.get_mut(slot) else { return };
        if event.is_writable() && !socket.writable {
            socket.writable = true;
            self.hub.dirty.push(socket.conn);
        }
        socket.read_closed |= event.is_read_closed() || event.is_error();
        if (event.is_readable() || event.is_read_closed() || event.is_error()) && !socket.queued {
            socket.queued = true;
            let conn = socket.conn;
            self.queue(conn);
        }
    }

    /// Puts a connection where it waits for its turn to be read.
    fn queue(&mut self, conn: ConnId) {
        let queue = if self.hub.is_peer(conn) { &mut self.reads } else { &mut self.newcomers };
        queue.push_back(conn);
    }

    /// Does what the game asked for, in order and a bounded part of it: a game may ask for more in a frame than fits between two
    /// turns of everybody else.
    fn command_round(&mut self, commands: &mut VecDeque<Command>, now: Instant) {
        // The payloads that they speak of are those of one list.
        if commands.is_empty() {
            let mut list = Vec::from(mem::take(commands));
            self.mailbox.take_commands(&mut list, &mut self.hub.listed);
            *commands = list.into();
        }
        let mut left = COMMANDS_TURN;
        while left > 0
            && let Some(command) = commands.pop_front()
        {
            left = left.saturating_sub(command.effort());
            self.command(command, now);
        }
        self.hub.has_more_commands = !commands.is_empty();
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Finish { frame } => self.finish(&frame, now),
            Command::Cut(conn) => self.cut(conn, now),
            Command::Heartbeat { conn, .. } => {
                self.hub.command(command, now);
                self.schedule(conn);
            }
            #[cfg(test)]
            Command::Panic => panic!("a defect"),
            Command::NoDelay { conn, enabled } => {
                if let Some(socket) = self.socket(conn) {
                    let _ = socket.stream.set_nodelay(enabled);
                }
            }
            Command::Send { to, .. } => {
                self.hub.command(command, now);
                if self.hub.has_much_to_write(to) && self.socket(to).is_some_and(|socket| socket.writable) {
                    self.flush(to, now);
                }
            }
            Command::Resolved(answer) => {
                if let Some(dial) = &mut self.dial {
                    dial.dialler.resolved(answer);
                }
            }
            command => {
                let reschedule = matches!(command, Command::Configure(_));
                self.hub.command(command, now);
                if reschedule {
                    self.change_simulation(now);
                    if let Some(dial) = &mut self.dial {
                        dial.dialler.set_deadline(dial.started + self.hub.config().handshake_timeout);
                    }
                    let conns: Vec<_> = self.sockets.iter().flatten().map(|socket| socket.conn).collect();
                    for conn in conns {
                        self.schedule(conn);
                    }
                }
            }
        }
    }

    /// Drops a connection; what was sent before leaves as far as the system takes it at once.
    fn cut(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        // As much as a peer may have waiting in a burst; a remote that takes everything at once is not served for ever.
        for _ in 0..CUT_TURNS {
            let after = if let Some(simulator) = &mut socket.simulator {
                self.hub.flush(conn, &mut simulator.writer(now), now)
            } else if socket.writable {
                self.hub.flush(conn, &mut Transport::Socket(&mut socket.stream), now)
            } else {
                break;
            };
            if !after.unwritten {
                break;
            }
        }
        self.hub.fail(conn, CloseReason::Forced, now);
        self.settle(conn, After { ended: true, ..After::default() }, now);
    }

    fn finish(&mut self, frame: &CloseFrame, now: Instant) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.acceptor.stop();
        self.dial = None;
        self.hub.close_all(frame, now);
        self.finish_by = Some(now + self.hub.config().close_timeout);
    }

    /// `more_to_do`: there are commands that are older than the wish to end.
    fn is_finished(&mut self, more_to_do: bool, now: Instant) -> bool {
        if let Some(hurry) = self.mailbox.hurry_deadline() {
            if self.finish_by.is_none() && (!more_to_do || hurry <= now) {
                self.finish(&CloseFrame::going_away(), now);
            }
            self.finish_by = self.finish_by.map(|by| by.min(hurry));
        }
        // A client that has no connection any more has nothing left to do.
        let over = self.finish_by.is_some() || (self.listener.is_none() && self.dial.is_none());
        over && self.hub.len() == 0 || self.finish_by.is_some_and(|by| by <= now)
    }

    fn advance_dial(&mut self, ready: &[Token], now: Instant) -> io::Result<()> {
        let Some(dial) = &mut self.dial else { return Ok(()) };
        match dial.dialler.advance(ready, self.poll.registry(), now) {
            Dialled::Waiting => {}
            Dialled::Connected(stream, address) => {
                let Some(dial) = self.dial.take() else { return Ok(()) };
                let conn = self.hub.dialled(address, &dial.protocols, &dial.headers, dial.started, now);
                self.adopt(conn, stream, now)?;
            }
            Dialled::Failed(reason) => {
                self.dial = None;
                self.hub.news.push(crate::hub::News::Failed(reason));
            }
        }
        Ok(())
    }

    fn adopt(&mut self, conn: ConnId, mut stream: TcpStream, now: Instant) -> io::Result<()> {
        let slot = conn.slot as usize;
        self.poll.registry().register(
            &mut stream,
            Token(FIRST_CONNECTION + slot),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        let simulator = self.simulator(conn, now);
        // Data may have come before the socket was registered; the first read finds out.
        self.sockets[slot] = Some(Socket {
            conn,
            stream,
            writable: true,
            read_closed: false,
            queued: true,
            unwritten: false,
            wrote: (0, 0),
            timer: None,
            simulator,
        });
        self.queue(conn);
        self.schedule(conn);
        Ok(())
    }

    fn expire(&mut self, now: Instant) {
        // What becomes due at once is for the next round: this one has to end, whatever a deadline is set to.
        for _ in 0..self.timers.len() {
            let Some((at, slot)) = self.timers.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.timers.remove(&(at, slot));
            let Some(Some(socket)) = self.sockets.get_mut(slot as usize) else { continue };
            socket.timer = None;
            let conn = socket.conn;
            if self.is_due(conn, now) {
                self.give_a_last_chance(conn, now);
            }
            if self.is_due(conn, now) {
                self.hub.main_thread_idle = self.mailbox.main_thread_idle(now);
                let after = self.hub.expire(conn, now);
                self.settle(conn, after, now);
            } else if !self.look_at(conn) {
                self.schedule(conn);
            }
        }
    }

    fn is_due(&self, conn: ConnId, now: Instant) -> bool {
        self.hub.deadline(conn).is_some_and(|deadline| deadline <= now)
    }

    /// Looks at the socket itself before somebody's time is up. After a stop of the whole process a poller that waits for
    /// nothing need not have reported yet what came, or that there is room for what waits.
    fn give_a_last_chance(&mut self, conn: ConnId, now: Instant) {
        self.read_turn(conn, now);
        if self.hub.wants_write(conn)
            && let Some(socket) = find(&mut self.sockets, conn)
            && !socket.writable
        {
            socket.writable = true;
            self.flush(conn, now);
        }
    }

    fn read_round(&mut self, now: Instant) {
        for conn in mem::take(&mut self.hub.rearm) {
            if let Some(socket) = find(&mut self.sockets, conn)
                && !socket.queued
            {
                socket.queued = true;
                self.queue(conn);
            }
        }
        for _ in 0..self.reads.len() {
            let Some(conn) = self.reads.pop_front() else { break };
            self.read(conn, now);
        }
    }

    /// Takes newcomers and lets them read, as far as the time goes. They get a third of all time when there is much to do, so
    /// that busy peers cannot keep them out either.
    fn greet(&mut self, now: Instant) {
        if self.newcomers.is_empty() && !self.acceptor.is_wanted() {
            return;
        }
        let start = Instant::now();
        let time = GREETING.max((start - now) / 2);
        self.accept(now, start + time / 2);
        let end = start + time;
        self.hub.main_thread_idle = self.mailbox.main_thread_idle(now);
        for _ in 0..self.newcomers.len() {
            let Some(conn) = self.newcomers.pop_front() else { break };
            self.read(conn, now);
            if Instant::now() >= end {
                break;
            }
        }
    }

    fn read(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        socket.queued = false;
        self.read_turn(conn, now);
    }

    /// Reads for one turn, whether or not the connection waits for another one.
    fn read_turn(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        let stream = &mut Transport::Socket(&mut socket.stream);
        let mut after = match &mut socket.simulator {
            None => {
                let trust = TRUST_SHORT_READS && !socket.read_closed;
                self.hub.read(conn, stream, &mut self.buffer, trust, now)
            }
            Some(simulator) => simulator.read(&mut self.hub, conn, stream, &mut self.buffer, now),
        };
        if socket.read_closed && !after.ended {
            after.ended = self.hub.remote_gone(conn, now).ended;
        }
        if after.more && !mem::replace(&mut socket.queued, true) {
            self.queue(conn);
        }
        if self.hub.wants_write(conn) {
            self.hub.dirty.push(conn);
        }
        self.start_checks();
        self.settle(conn, after, now);
    }

    /// Hands over handshakes whose certificate is to be looked at: that may take longer than anybody else can wait.
    fn start_checks(&mut self) {
        for (conn, session) in self.hub.checks.drain(..) {
            if let Some(runtime) = self.runtime.upgrade() {
                runtime.check(Check { conn, session, mailbox: Arc::downgrade(&self.mailbox) });
            }
        }
    }

    /// Passes on what a round brought: bytes to the sockets, news to the game.
    fn hand_over(&mut self, now: Instant) {
        self.flush_round(now);
        self.mailbox.deliver(self.hub.end_round());
    }

    /// Gives those their turns who had more to write than fitted into their last ones.
    fn write_round(&mut self, now: Instant) {
        for _ in 0..self.unwritten.len() {
            let Some(conn) = self.unwritten.pop_front() else { break };
            if let Some(socket) = find(&mut self.sockets, conn) {
                socket.unwritten = false;
                self.flush(conn, now);
            }
        }
    }

    fn flush_round(&mut self, now: Instant) {
        let mut dirty = mem::take(&mut self.hub.dirty);
        for conn in dirty.drain(..) {
            self.flush(conn, now);
        }
        // What flushing added is for the next round; the list's memory is kept.
        dirty.append(&mut self.hub.dirty);
        self.hub.dirty = dirty;
    }

    fn flush(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = find(&mut self.sockets, conn) else { return };
        let wrote = if socket.wrote.0 == self.rounds { socket.wrote.1 } else { 0 };
        if socket.unwritten || wrote >= WRITE_TURN {
            // It has had its turn.
            if !mem::replace(&mut socket.unwritten, true) {
                self.unwritten.push_back(conn);
            }
            return;
        }
        let stream = &mut Transport::Socket(&mut socket.stream);
        let after = if let Some(simulator) = &mut socket.simulator {
            let after = simulator.flush(&mut self.hub, conn, stream, socket.writable, now);
            socket.writable = !after.blocked;
            after
        } else if socket.writable {
            let after = self.hub.flush(conn, stream, now);
            socket.writable = !after.blocked;
            after
        } else {
            self.hub.still_blocked(conn, now)
        };
        socket.wrote = (self.rounds, wrote + after.wrote);
        if after.unwritten && !after.blocked {
            socket.unwritten = true;
            self.unwritten.push_back(conn);
        }
        self.settle(conn, after, now);
    }

    /// Drops a connection that is over; else sees to its next deadline.
    fn settle(&mut self, conn: ConnId, after: After, now: Instant) {
        if !after.ended {
            if !self.has_bytes_on_their_way(conn)
                && self.hub.take_half_close(conn, now)
                && let Some(socket) = find(&mut self.sockets, conn)
            {
                // An error means that the stream is gone already, which reading will show.
                let _ = socket.stream.shutdown(Shutdown::Write);
                self.hub.rearm.push(conn);
            }
            self.schedule(conn);
            return;
        }
        if self.socket(conn).is_some()
            && let Some(mut socket) = self.sockets[conn.slot as usize].take()
        {
            let stream = &mut Transport::Socket(&mut socket.stream);
            match &mut socket.simulator {
                None => self.hub.say_last(conn, stream),
                Some(simulator) => simulator.finish(&mut self.hub, conn, stream, now),
            }
            let _ = self.poll.registry().deregister(&mut socket.stream);
            if let Some(timer) = socket.timer {
                self.timers.remove(&(timer, conn.slot));
            }
            self.hub.forget(conn);
        }
    }

    fn schedule(&mut self, conn: ConnId) {
        let deadline = self.hub.deadline(conn);
        let Some(socket) = self.socket(conn) else { return };
        let arrival = socket.simulator.as_ref().and_then(|simulator| simulator.wake_at());
        let Some(deadline) = [deadline, arrival].into_iter().flatten().min() else { return };
        // An entry that comes too early looks again; only an earlier deadline needs another.
        if socket.timer.is_none_or(|timer| deadline < timer) {
            let replaced = socket.timer.replace(deadline);
            if let Some(timer) = replaced {
                self.timers.remove(&(timer, conn.slot));
            }
            self.timers.insert((deadline, conn.slot));
        }
    }

    fn socket(&mut self, conn: ConnId) -> Option<&mut Socket> {
        find(&mut self.sockets, conn)
    }
}

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        Self::wake(self)
    }
}

impl Round {
    fn new() -> Self {
        Self {
            events: Events::with_capacity(EVENTS),
            commands: VecDeque::new(),
            dialled: Vec::new(),
            put_off: 0,
        }
    }
}

/// The socket of a connection, unless it is gone.
fn find(sockets: &mut [Option<Socket>], conn: ConnId) -> Option<&mut Socket> {
    sockets.get_mut(conn.slot as usize).and_then(Option::as_mut).filter(|socket| socket.conn == conn)
}
