//! The in-memory driver: the product's [`Hub::round`] without sockets, threads and a clock.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::base::ConnId;
use crate::channel::{Command, Mailbox, NeverAsleep, QueueTotals};
use crate::conditions::Conditions;
use crate::config::PeerConfig;
use crate::hub::transports::{Next, Readiness, ShortRead, Step, Transports};
use crate::hub::{Dialled, Hub, Side};
use crate::net::emulator::Emulated;

/// One end of a connection.
pub(crate) trait MemoryStream: Read + Write {
    /// Returns what a poller would report since the last call.
    fn readiness(&mut self) -> Readiness;
    /// Ends our side.
    fn shutdown_write(&mut self);
    /// Drops the stream.
    fn close(&mut self);
}

/// A hub and its streams.
pub(crate) struct InMemory<S> {
    pub(crate) hub: Hub,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) streams: Streams<S>,
    /// When the next round is due.
    pub(crate) next: Next,
    /// The game polls before each round.
    pub(crate) game_polls: bool,
}

/// The streams of a hub.
pub(crate) struct Streams<S> {
    /// By slot.
    slots: Vec<Option<Slot<S>>>,
    conditions: Conditions,
    /// The conditions have changed.
    changed: bool,
    /// The backlog of the listener.
    waiting: VecDeque<(S, SocketAddr)>,
    fresh: Option<S>,
    pub(crate) short_reads: ShortRead,
}

struct Slot<S> {
    conn: ConnId,
    stream: Emulated<S>,
}

/// The streams during one round.
struct Round<'a, S> {
    streams: &'a mut Streams<S>,
    now: Instant,
    /// Called after each step.
    hook: &'a mut dyn FnMut(Step),
}

impl<S: MemoryStream> InMemory<S> {
    /// Returns a driver without connections. `turn`: bytes that one connection may deliver in one round.
    pub(crate) fn new(
        config: PeerConfig,
        side: Side,
        queue_totals: &QueueTotals,
        turn: usize,
        now: Instant,
    ) -> Self {
        let conditions = config.conditions;
        let outgoing = &queue_totals.outgoing;
        let mailbox = Arc::new(Mailbox::new(Box::new(NeverAsleep), Arc::default(), outgoing, now));
        Self {
            hub: Hub::new(config, side, queue_totals.clone(), Arc::clone(&mailbox), turn),
            mailbox,
            streams: Streams {
                slots: Vec::new(),
                conditions,
                changed: false,
                waiting: VecDeque::new(),
                fresh: None,
                short_reads: ShortRead::Drains,
            },
            next: Next::Again,
            game_polls: true,
        }
    }

    /// Accepts a stream past the listener.
    pub(crate) fn accept(&mut self, stream: S, address: SocketAddr, now: Instant) -> ConnId {
        self.next = Next::Again;
        self.streams.fresh = Some(stream);
        let io = &mut Round { streams: &mut self.streams, now, hook: &mut |_| {} };
        self.hub.accept_stream(io, address, now).expect("memory takes everybody")
    }

    /// Runs one round, without asking the streams for their readiness.
    #[cfg(feature = "bench")]
    pub(crate) fn hub_round(&mut self, now: Instant) -> Next {
        let io = &mut Round { streams: &mut self.streams, now, hook: &mut |_| {} };
        self.hub.round(io, now, false)
    }

    /// Returns the stream of a connection.
    pub(crate) fn stream(&mut self, conn: ConnId) -> Option<&mut S> {
        self.streams.slot(conn).map(|slot| &mut slot.stream.stream)
    }
}

impl<S: MemoryStream> InMemory<S> {
    /// Puts a stream into the backlog of the listener.
    pub(crate) fn knock(&mut self, stream: S, address: SocketAddr) {
        self.next = Next::Again;
        self.streams.waiting.push_back((stream, address));
        self.hub.listener_ready();
    }

    /// Client: adds a stream that was dialled.
    pub(crate) fn dial(&mut self, stream: S, protocols: &[String], now: Instant) -> ConnId {
        self.next = Next::Again;
        self.streams.fresh = Some(stream);
        let address = SocketAddr::from(([192, 0, 2, 2], 80));
        let io = &mut Round { streams: &mut self.streams, now, hook: &mut |_| {} };
        let dialled = Dialled { address, protocols, headers: &[], started: now };
        self.hub.dialled(io, dialled, now).expect("memory takes everybody")
    }

    /// Evicts a pending connection for a new client, whose address may be known.
    #[cfg(test)]
    pub(crate) fn make_room(
        &mut self,
        newcomer: Option<SocketAddr>,
        now: Instant,
    ) -> crate::hub::EvictionOutcome {
        self.next = Next::Again;
        let io = &mut Round { streams: &mut self.streams, now, hook: &mut |_| {} };
        self.hub.make_room_and_drop(io, newcomer, now)
    }

    /// Drops all connections.
    #[cfg(test)]
    pub(crate) fn drop_all(&mut self) {
        let conns: Vec<_> = self.streams.slots.iter().flatten().map(|slot| slot.conn).collect();
        for conn in conns {
            let now = Instant::now();
            self.command(Command::Abort(conn), now);
        }
    }

    /// Executes a command at once, not in the next round.
    pub(crate) fn command(&mut self, command: Command, now: Instant) {
        self.next = Next::Again;
        let io = &mut Round { streams: &mut self.streams, now, hook: &mut |_| {} };
        self.hub.command(io, command, now);
    }

    /// Runs one round. Returns whether something happened, or is still to be done.
    pub(crate) fn round(&mut self, now: Instant) -> bool {
        self.round_with(now, &mut |_| {})
    }

    /// Runs one round and calls `hook` after each of its steps.
    pub(crate) fn round_with(&mut self, now: Instant, hook: &mut dyn FnMut(Step)) -> bool {
        if self.game_polls {
            self.mailbox.note_poll(now);
        }
        let changed = std::mem::take(&mut self.streams.changed);
        let mut busy = std::mem::replace(&mut self.next, Next::Finished) == Next::Again;
        for slot in self.streams.slots.iter_mut().flatten() {
            let ready = slot.stream.stream.readiness();
            let emulated = slot.stream.is_emulated();
            let is_due = emulated && (changed || slot.stream.wake_at().is_some_and(|at| at <= now));
            busy |= is_due;
            if !emulated || is_due || ready.readable || ready.writable || ready.read_closed {
                let ready = slot.stream.advance(ready, now, S::shutdown_write);
                busy |= self.hub.ready(slot.conn, ready);
            }
        }
        let io = &mut Round { streams: &mut self.streams, now, hook };
        self.next = self.hub.round(io, now, false);
        busy || match self.next {
            Next::Again => true,
            Next::Sleep { until } => until.is_some_and(|until| until <= now),
            Next::Finished => false,
        }
    }

    /// Returns when the next round is due if no stream becomes ready.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let until = match self.next {
            Next::Sleep { until } => until,
            Next::Again | Next::Finished => None,
        };
        [until, self.next_arrival()].into_iter().flatten().min()
    }

    /// Returns when the next byte arrives over an emulated network.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.streams.slots.iter().flatten().filter_map(|slot| slot.stream.wake_at()).min()
    }

    /// Returns the number of connections with an emulated network.
    pub(crate) fn emulated(&self) -> usize {
        self.streams.slots.iter().flatten().filter(|slot| slot.stream.is_emulated()).count()
    }

    /// Returns the streams of all connections.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &S> {
        self.streams.slots.iter().flatten().map(|slot| &slot.stream.stream)
    }
}

impl<S> Streams<S> {
    fn slot(&mut self, conn: ConnId) -> Option<&mut Slot<S>> {
        let slot = self.slots.get_mut(conn.slot as usize)?.as_mut()?;
        (slot.conn == conn).then_some(slot)
    }
}

impl<S: MemoryStream> Transports for Round<'_, S> {
    type Stream = Emulated<S>;

    fn stream(&mut self, conn: ConnId, now: Instant) -> Option<(&mut Self::Stream, ShortRead)> {
        let short_reads = self.streams.short_reads;
        let stream = &mut self.streams.slot(conn)?.stream;
        stream.set_now(now);
        let short_read = if stream.is_emulated() { ShortRead::SaysNothing } else { short_reads };
        Some((stream, short_read))
    }

    fn accept(&mut self) -> Option<io::Result<SocketAddr>> {
        let Some((stream, address)) = self.streams.waiting.pop_front() else {
            return Some(Err(ErrorKind::WouldBlock.into()));
        };
        self.streams.fresh = Some(stream);
        Some(Ok(address))
    }

    fn reject(&mut self) {
        if let Some(mut stream) = self.streams.fresh.take() {
            stream.close();
        }
    }

    fn attach(&mut self, conn: ConnId, now: Instant) -> io::Result<()> {
        let Some(stream) = self.streams.fresh.take() else { return Err(ErrorKind::NotConnected.into()) };
        let at = conn.slot as usize;
        if self.streams.slots.len() <= at {
            self.streams.slots.resize_with(at + 1, || None);
        }
        let stream = Emulated::new(stream, self.streams.conditions, conn, now);
        self.streams.slots[at] = Some(Slot { conn, stream });
        Ok(())
    }

    fn rename(&mut self, from: ConnId, to: ConnId) {
        if self.streams.slot(from).is_some()
            && let Some(slot) = self.streams.slots[from.slot as usize].take()
        {
            self.streams.slots[to.slot as usize] = Some(Slot { conn: to, stream: slot.stream });
        }
    }

    fn shutdown_write(&mut self, conn: ConnId, now: Instant) -> Instant {
        let slot = self.streams.slot(conn);
        slot.map_or(now, |slot| slot.stream.shutdown_write(now, S::shutdown_write))
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(slot) = self.streams.slot(conn) {
            slot.stream.finish();
            slot.stream.stream.close();
            self.streams.slots[conn.slot as usize] = None;
        }
    }

    fn set_no_delay(&mut self, _conn: ConnId, _enabled: bool) {}

    fn stop_opening(&mut self) {
        self.streams.waiting.clear();
        self.streams.fresh = None;
    }

    fn configured(&mut self, config: &PeerConfig, now: Instant) {
        self.streams.conditions = config.conditions;
        self.streams.changed = true;
        for slot in self.streams.slots.iter_mut().flatten() {
            slot.stream.change(config.conditions, slot.conn, now);
        }
    }

    /// Time stands still during a round.
    fn clock(&mut self) -> Instant {
        self.now
    }

    fn checkpoint(&mut self, step: Step) {
        (self.hook)(step);
    }
}
