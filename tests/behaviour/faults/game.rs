//! A game that does anything at any time, and checks that all events are possible.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;

use super::ledger::{Ledger, Sent};
use super::letter::{Letter, SMALLEST};
use crate::base::{CloseFrame, Delivery, Packet, PeerId, SendError, Target};
use crate::channel::Statistics;
use crate::config::{Mode, OverflowPolicy, PeerConfig};
use crate::decision::AdmissionDecision;
use crate::event::{ConnectionRequest, Event};
use crate::net::Runtime;
use crate::peer::{Peer, PeerHandle, Status};
use crate::session::Role;

/// The behaviour of a game.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    /// The time between frames.
    pub(super) frame: (Duration, Duration),
    /// The game takes everything in every frame, and never pauses.
    pub(super) prompt: bool,
    /// The packets that it sends in one session.
    pub(super) letters: usize,
    /// The probability that it closes something in a frame, in percent.
    pub(super) unrest: u32,
    /// Sizes of packets.
    pub(super) largest: usize,
    /// The I/O side is a real thread, so that queues may change at any time.
    pub(super) threads: bool,
}

/// Counts of some events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct EventCounts {
    pub(super) congested: usize,
    pub(super) overflowed: usize,
    pub(super) refused: usize,
    pub(super) withdrawn: usize,
}

impl EventCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.congested += other.congested;
        self.overflowed += other.overflowed;
        self.refused += other.refused;
        self.withdrawn += other.withdrawn;
    }
}

/// A peer as a game knows it.
#[derive(Debug, Default)]
struct Known {
    /// The game has closed the peer: no more packets of it become readable.
    closing: bool,
    /// Its readable packets were discarded too.
    discarded: bool,
    overflowed: bool,
    congested: bool,
    /// The last poll that made one of its packets readable.
    fresh: u64,
}

/// A request for which the game's handler was called.
#[derive(Debug)]
enum Asked {
    Until(Instant, Box<ConnectionRequest>),
    Accepted,
    Refused,
}

pub(super) struct Game {
    pub(super) peer: Peer,
    pub(super) runtime: Arc<Runtime>,
    pub(super) number: usize,
    pub(super) role: Role,
    pub(super) habits: Habits,
    config: PeerConfig,
    random: SmallRng,
    ledger: Rc<RefCell<Ledger>>,
    /// Its session in the ledger, while it is open.
    session: Option<usize>,
    known: BTreeMap<PeerId, Known>,
    gone: BTreeSet<PeerId>,
    polls: u64,
    succeeded: bool,
    /// Client: its end was emitted.
    ended: bool,
    /// Its last figures are noted.
    noted: bool,
    /// It has dropped a peer at once, about which no event follows.
    forgot: bool,
    /// Broadcasts of this frame that were refused for some peer: number and size.
    refused: Vec<(usize, usize)>,
    refusals: u64,
    letters: usize,
    /// Handles that a script keeps after their peers are gone.
    handles: Vec<PeerHandle>,
    /// Requests, and when they are answered.
    asked: BTreeMap<PeerId, Asked>,
    refusing: bool,
    /// From now on, it only polls and reads.
    pub(super) quiet: bool,
    verbose: bool,
    began: Instant,
    /// Since it began.
    time: Duration,
    pub(super) next_frame: Instant,
    /// The unreliable packets that all sessions have dropped.
    pub(super) dropped: u64,
    pub(super) counts: EventCounts,
}

impl Game {
    pub(super) fn new(
        runtime: Arc<Runtime>,
        (number, role): (usize, Role),
        (config, habits): (PeerConfig, Habits),
        random: SmallRng,
        ledger: Rc<RefCell<Ledger>>,
        now: Instant,
    ) -> Self {
        Self {
            peer: Peer::new(Arc::clone(&runtime)),
            runtime,
            number,
            role,
            habits,
            config,
            random,
            ledger,
            session: None,
            known: BTreeMap::new(),
            gone: BTreeSet::new(),
            polls: 0,
            succeeded: false,
            ended: false,
            noted: false,
            forgot: false,
            refused: Vec::new(),
            refusals: 0,
            letters: 0,
            handles: Vec::new(),
            asked: BTreeMap::new(),
            refusing: false,
            quiet: false,
            verbose: super::is_alone(),
            began: now,
            time: Duration::ZERO,
            next_frame: now,
            dropped: 0,
            counts: EventCounts::default(),
        }
    }

    /// Notes that its peer was opened.
    pub(super) fn opened(&mut self, session: usize) {
        self.end_session();
        self.session = Some(session);
        self.succeeded = false;
        self.ended = false;
        self.noted = false;
        self.forgot = false;
        self.letters = 0;
    }

    pub(super) fn session(&self) -> Option<usize> {
        self.session
    }

    /// Notes that no more events follow.
    pub(super) fn is_over(&self) -> bool {
        self.session.is_none() || self.ended
    }

    /// Returns the connected peers, in an order that does not depend on their random ids.
    pub(super) fn roster(&self, ledger: &Ledger) -> Vec<PeerId> {
        let Some(session) = self.session else { return Vec::new() };
        let via = ledger.sessions[session].via;
        let mut ids: Vec<_> = self.known.keys().copied().collect();
        ids.sort_by_key(|id| ledger.session_of(via, *id));
        ids
    }

    pub(super) fn guests(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_over() && self.peer.status() != Status::Disconnected
    }

    /// Runs one frame: polls, reads, and does something.
    pub(super) fn frame(&mut self, now: Instant) {
        let (shortest, longest) = self.habits.frame;
        let nap = !self.quiet && !self.habits.prompt && self.random.random_ratio(1, 40);
        let pause = if nap {
            Duration::from_millis(self.random.random_range(200..1500))
        } else {
            self.random.random_range(shortest..=longest)
        };
        self.next_frame = now + pause;
        self.time = now - self.began;
        if self.session.is_none() {
            return;
        }
        self.poll(now);
        self.read();
        if !self.quiet {
            self.act();
        }
    }

    /// Checks that handles outlive everything and stay readable.
    pub(super) fn read_handles(&self) {
        for handle in &self.handles {
            while let Some(packet) = handle.pop_packet() {
                Letter::read(&packet.payload);
            }
        }
    }

    /// Closes the object; no more events follow.
    pub(super) fn close(&mut self) {
        if let Some(session) = self.session.filter(|_| self.is_open()) {
            self.ledger.borrow_mut().sessions[session].left = true;
        }
        if !self.noted {
            self.note_statistics();
        }
        self.peer.close();
        assert!(self.peer.next_event(true).is_none() && self.peer.pop_packet().is_none());
        self.end_session();
    }

    fn end_session(&mut self) {
        self.session = None;
        self.known.clear();
        self.gone.clear();
        self.refused.clear();
        self.refusals = 0;
        self.asked.clear();
    }

    /// `PeerOverflowed` is emitted only for peers that the game still knows.
    fn note_statistics(&mut self) {
        let Some(session) = self.session else { return };
        let statistics = self.peer.statistics();
        self.dropped += statistics.packets_dropped_unreliable;
        let mut ledger = self.ledger.borrow_mut();
        if statistics.peers_overflowed > 0 {
            for other in &mut ledger.sessions {
                other.spoiled |= other.via == session;
            }
            ledger.sessions[session].spoiled = true;
        }
        let refuses = self.config.overflow_policy == OverflowPolicy::Refuse || self.config.mode == Mode::Raw;
        if refuses && self.refused.is_empty() && !self.forgot {
            assert_eq!(statistics.packets_refused, self.refusals, "every refusal is counted and told");
        }
    }

    fn poll(&mut self, now: Instant) {
        self.polls += 1;
        let reported = self.refused.len();
        self.peer.begin_poll();
        let generation = self.peer.generation();
        while self.peer.generation() == generation
            && let Some(event) = self.peer.next_event(true)
        {
            self.say(format_args!("is told {event:?}"));
            self.observe(event, now);
            // A handler may do anything.
            if !self.quiet && self.random.random_ratio(1, 50) {
                self.act();
            }
        }
        if self.session.is_none() {
            return;
        }
        // Packets that were refused during a poll are reported by the next poll.
        self.refused.drain(..reported);
        self.answer(now);
        if self.ended && !std::mem::replace(&mut self.noted, true) {
            self.note_statistics();
        }
    }

    /// Answers the requests that have waited long enough.
    fn answer(&mut self, now: Instant) {
        for asked in self.asked.values_mut() {
            let Asked::Until(at, request) = asked else { continue };
            if *at > now {
                continue;
            }
            let (decision, answered) = if self.random.random_ratio(9, 10) {
                (AdmissionDecision::accept(), Asked::Accepted)
            } else {
                let refusal = AdmissionDecision::new(request, 403, "", &[], "").expect("a valid refusal");
                (refusal, Asked::Refused)
            };
            self.peer.answer(request, decision);
            *asked = answered;
        }
    }

    fn observe(&mut self, event: Event, now: Instant) {
        let session = self.session.expect("nothing is told of what is closed");
        assert!(!self.ended, "{event:?} behind the end");
        match event {
            Event::PeerConnected { id, .. } => {
                assert!(!self.gone.contains(&id), "{id} comes back");
                assert!(self.known.insert(id, Known::default()).is_none(), "{id} comes twice");
                if self.role == Role::Server {
                    let handle = self.peer.peer(id).expect("it is connected");
                    let mut ledger = self.ledger.borrow_mut();
                    let client = ledger.ports[&handle.port()];
                    ledger.name(client, id);
                    drop(ledger);
                    let asked = self.asked.remove(&id);
                    assert!(matches!(asked, None | Some(Asked::Accepted)), "{id} was let in: {asked:?}");
                    if self.random.random_ratio(1, 3) {
                        self.handles.push(handle);
                    }
                }
            }
            Event::ConnectionSucceeded => {
                assert!(self.role == Role::Client && !self.succeeded && self.knows(PeerId::SERVER));
                self.succeeded = true;
                if self.config.mode != Mode::Raw {
                    self.ledger.borrow_mut().name(session, PeerId(self.peer.unique_id()));
                }
            }
            Event::ConnectionFailed => {
                assert!(self.role == Role::Client && self.known.is_empty() && !self.succeeded);
                self.ended = true;
            }
            Event::PeerDisconnected { id, .. } => {
                let known = self.known.remove(&id).unwrap_or_else(|| panic!("{id} left, and was not there"));
                assert!(known.fresh < self.polls, "{id} left before its last packet could be read");
                self.gone.insert(id);
            }
            Event::ServerDisconnected => {
                assert!(self.role == Role::Client && self.known.is_empty());
                assert!(self.succeeded || self.forgot);
                self.ended = true;
            }
            Event::CloseRequested { id, .. } => assert!(self.knows(id), "{id} wants to go, and is not there"),
            Event::PacketReceived { id } => {
                assert!(!self.is_closing(id), "{id} was closed, and its packets are told of");
                self.known.get_mut(&id).expect("a packet of nobody").fresh = self.polls;
            }
            Event::Requested(request) => {
                let wait = Duration::from_millis(self.random.random_range(0..200));
                let (id, at) = (request.id, now + wait);
                assert!(self.asked.insert(id, Asked::Until(at, request)).is_none(), "{id} asks twice");
            }
            Event::RequestWithdrawn { id } => {
                self.counts.withdrawn += 1;
                assert!(self.asked.remove(&id).is_some(), "{id} withdraws what it did not ask");
            }
            Event::ServerFailed => panic!("no driver fails here"),
            Event::Drained => assert!(self.refusing && self.known.is_empty(), "not drained"),
            Event::PeerCongested { id } => {
                self.counts.congested += 1;
                let known = self.known.get_mut(&id).expect("congestion of nobody");
                assert!(!std::mem::replace(&mut known.congested, true), "congested twice");
            }
            Event::PeerDrained { id } => {
                let known = self.known.get_mut(&id).expect("nobody has drained");
                assert!(std::mem::replace(&mut known.congested, false), "drained, and was not congested");
            }
            Event::PeerOverflowed { id } => {
                self.counts.overflowed += 1;
                let known = self.known.get_mut(&id).expect("nobody has overflowed");
                assert!(!std::mem::replace(&mut known.overflowed, true), "overflowed twice");
            }
            Event::PacketRefused { id, size } => {
                assert!(self.knows(id), "{id} is told of, and is not there");
                let number = self.refused.iter().find(|(_, refused)| *refused == size);
                let (number, _) = number.unwrap_or_else(|| panic!("nothing of {size} bytes was refused"));
                let mut ledger = self.ledger.borrow_mut();
                let sent = ledger.sent(session, *number);
                assert!(sent.to.contains(&id) && !sent.refused.contains(&id), "{id} refused {sent:?}");
                sent.refused.push(id);
                self.refusals += 1;
                self.counts.refused += 1;
            }
            Event::PeerSuspended { id } | Event::PeerResumed { id } => {
                panic!("{id} has a session, and nobody has offered one")
            }
        }
    }

    /// Prints an event if a single seed runs.
    fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.verbose {
            eprintln!(
                "{:>5} ms, game {} (session {:?}): {what}",
                self.time.as_millis(),
                self.number,
                self.session
            );
        }
    }

    fn knows(&self, id: PeerId) -> bool {
        self.known.contains_key(&id)
    }

    /// A client learns about the others through the server.
    fn is_closing(&self, id: PeerId) -> bool {
        let through = if self.role == Role::Client { PeerId::SERVER } else { id };
        self.known.get(&through).is_some_and(|known| known.closing)
    }

    fn read(&mut self) {
        let all = self.quiet || self.habits.prompt;
        let mut most = if all { usize::MAX } else { self.random.random_range(0..12) };
        let raw: Vec<_> = match self.config.mode {
            Mode::Raw => {
                self.roster(&self.ledger.borrow()).into_iter().filter_map(|id| self.peer.peer(id)).collect()
            }
            Mode::Multiplayer(_) => Vec::new(),
        };
        for handle in raw {
            while most > 0
                && let Some(packet) = handle.pop_packet()
            {
                most -= 1;
                self.take(&packet);
            }
        }
        while most > 0
            && let Some(packet) = self.peer.pop_packet()
        {
            most -= 1;
            self.take(&packet);
        }
    }

    fn take(&self, packet: &Packet) {
        let Some(session) = self.session else { panic!("a packet of nobody's") };
        let letter = Letter::read(&packet.payload);
        let mut ledger = self.ledger.borrow_mut();
        let via = ledger.sessions[session].via;
        assert_eq!(ledger.session_of(via, packet.source), Some(letter.session), "in another's name");
        let discarded = self.known.get(&packet.source).is_some_and(|known| known.discarded);
        assert!(!discarded, "{} was closed, and is read", packet.source);
        ledger.receive(session, letter.session, letter.number);
    }

    fn act(&mut self) {
        if !self.is_open() {
            return;
        }
        if self.random.random_range(0..100) < self.habits.unrest {
            return self.end_something();
        }
        if self.letters < self.habits.letters && self.random.random_ratio(2, 3) {
            for _ in 0..self.random.random_range(1..=self.habits.letters / 8 + 1) {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        let (Some(session), true) = (self.session, self.is_open()) else { return };
        let mut ids = self.roster(&self.ledger.borrow());
        ids.retain(|id| !self.is_closing(*id));
        let Some(one) = self.pick(&ids) else { return };
        let raw = self.config.mode == Mode::Raw;
        let (target, mut to) = match self.random.random_range(0..4) {
            0 if !raw => (Target::All, ids),
            1 if !raw => (Target::AllExcept(one), ids.into_iter().filter(|id| *id != one).collect()),
            _ => (Target::One(one), vec![one]),
        };
        let routed = matches!(self.config.mode, Mode::Multiplayer(crate::config::WireFormat::Godot3));
        let (target, to) = if self.role == Role::Client && !routed {
            to = vec![PeerId::SERVER];
            (Target::One(PeerId::SERVER), to)
        } else {
            (target, to)
        };
        let mut size = if self.random.random_ratio(1, 10) {
            self.random.random_range(SMALLEST..=self.habits.largest)
        } else {
            self.random.random_range(SMALLEST..=self.habits.largest.min(120))
        };
        // Refused packets are identified by their size.
        while self.refused.iter().any(|(_, refused)| *refused == size) {
            size = if size == self.habits.largest { SMALLEST } else { size + 1 };
        }
        let droppable = !raw && self.random.random_ratio(1, 3);
        let number = self.ledger.borrow().next(session);
        let payload = Letter { session, number }.write(size);
        self.letters += 1;
        let before = self.peer.statistics();
        let queued = self.queued(target);
        let result = if raw {
            self.peer.peer(one).map_or(Err(SendError::NotConnected), |peer| peer.send(&payload, false))
        } else {
            let delivery = if droppable { Delivery::Droppable } else { Delivery::Reliable };
            self.peer.send(target, &payload, delivery)
        };
        // All packets of a client go to the server first.
        let broadcast = self.role == Role::Server && !matches!(target, Target::One(_));
        let refuses = self.config.overflow_policy == OverflowPolicy::Refuse;
        match result {
            Ok(()) => {}
            // With the other policy only a full process causes this, and then for every peer.
            Err(SendError::Full) if broadcast => self.refused.push((number, size)),
            Err(SendError::Full) if refuses || raw => {
                self.refusals += 1;
                self.counts.refused += 1;
            }
            Err(SendError::Full) => {}
            // The peer has disconnected since the last poll.
            Err(SendError::NotConnected) if raw || self.peer.status() != Status::Connected => {}
            Err(SendError::ConnectionLost) if self.role == Role::Client => {}
            Err(error) => panic!("cannot send {size} bytes to {target:?}: {error}"),
        }
        if let Some(queued) = queued.filter(|_| !self.habits.threads) {
            self.check_drop(&before, queued, size);
        }
        self.say(format_args!("sends {number} to {target:?}, {size} bytes: {result:?}"));
        let failed = result.is_err() && !broadcast;
        let sent = Sent { target, to, size, droppable, failed, refused: Vec::new() };
        self.ledger.borrow_mut().send(session, sent);
    }

    /// Returns the bytes that wait for the only receiver of a packet.
    fn queued(&self, target: Target) -> Option<(usize, usize)> {
        let Target::One(id) = target else { return None };
        let statistics = self.peer.peer_statistics(id)?;
        Some((statistics.queued_out_bytes, statistics.queued_out_packets))
    }

    /// Unreliable packets are dropped only above the limit of the backlog, or if no packet has room.
    fn check_drop(&self, before: &Statistics, (bytes, packets): (usize, usize), size: usize) {
        let dropped = self.peer.statistics().packets_dropped_unreliable - before.packets_dropped_unreliable;
        if dropped > 0 && self.config.unreliable_backlog > 0 {
            let buffers = self.config.buffers;
            let size = size + self.config.mode.header_len();
            let full = bytes + size > buffers.output_bytes || packets + 1 > buffers.output_packets;
            assert!(
                full || bytes > self.config.unreliable_backlog || self.scarce(size),
                "dropped with {bytes} bytes waiting"
            );
        }
    }

    fn scarce(&self, size: usize) -> bool {
        !self.runtime.queue_totals.outgoing.has_room(size)
    }

    fn pick(&mut self, ids: &[PeerId]) -> Option<PeerId> {
        (!ids.is_empty()).then(|| ids[self.random.random_range(0..ids.len())])
    }

    fn end_something(&mut self) {
        let Some(session) = self.session else { return };
        let ids = self.roster(&self.ledger.borrow());
        let Some(id) = self.pick(&ids) else { return };
        let kind = self.random.random_range(0..16);
        if self.role == Role::Client && id != PeerId::SERVER && kind > 0 {
            // Only the server closes it.
            assert!(!self.peer.disconnect(id, CloseFrame::normal()) && !self.peer.disconnect_now(id));
            return;
        }
        self.say(format_args!("ends {id} in way {kind}"));
        match kind {
            0 if self.role == Role::Client || self.random.random_ratio(1, 3) => self.close(),
            1..=5 => {
                self.note_goodbye(session, id);
                assert!(self.peer.disconnect(id, CloseFrame { code: 4000, reason: "bye".into() }));
                self.closing(id, true);
            }
            6..=8 => {
                self.note_goodbye(session, id);
                assert!(self.peer.disconnect_now(id));
                self.known.remove(&id);
                self.gone.insert(id);
                self.forgot = true;
            }
            9..=10 => {
                self.note_goodbye(session, id);
                self.spoil(session, id);
                self.peer.peer(id).expect("it is connected").abort();
                self.closing(id, self.config.mode == Mode::Raw);
            }
            11..=13 => {
                self.note_goodbye(session, id);
                self.peer.peer(id).expect("it is connected").close(CloseFrame::normal());
                self.closing(id, self.config.mode == Mode::Raw);
            }
            _ => {
                self.refusing = !self.refusing && self.role == Role::Server;
                self.peer.set_refuse_new_connections(self.refusing);
            }
        }
    }

    /// Accepts new connections again.
    pub(super) fn admit(&mut self) {
        self.refusing = false;
        self.peer.set_refuse_new_connections(false);
    }

    fn closing(&mut self, id: PeerId, discarded: bool) {
        if let Some(known) = self.known.get_mut(&id) {
            known.closing = true;
            known.discarded |= discarded;
        }
    }

    fn note_goodbye(&self, session: usize, id: PeerId) {
        let mut ledger = self.ledger.borrow_mut();
        match self.role {
            Role::Client => ledger.sessions[session].left = true,
            Role::Server => {
                let client = ledger.session_of(session, id).expect("it was named when it came");
                ledger.sessions[client].sent_away = true;
            }
        }
    }

    fn spoil(&self, session: usize, id: PeerId) {
        let mut ledger = self.ledger.borrow_mut();
        let client = match self.role {
            Role::Client => session,
            Role::Server => ledger.session_of(session, id).expect("it was named when it came"),
        };
        ledger.sessions[client].spoiled = true;
    }
}
