//! Client: packets of the game for several other clients that leave as one message (docs/protocol.md, "Lists").
//!
//! `SceneMultiplayer` sends a packet to one client after the other. The first one for a known list is held for a moment, and the ones for
//! the others join it. So a packet moves forward only over packets for other receivers: each of them gets the same in the same order.

use std::mem;
use std::time::{Duration, Instant};

use super::Hub;
use super::connection::Connection;
use super::learning::{Kind, LONGEST, Learner, Receivers};
use crate::base::{ConnId, PeerId, PeerMap};
use crate::channel::{Command, Form, PayloadRef, Reservation, WhenFull};
use crate::session::Context;
use crate::wire::godot4::{RELAY_HEADER, relay_target};
use crate::wire::relay_list::{
    self, ESCAPE_HEADER, LISTS, Range, Terms, is_list_message, is_same_packet, time,
};

/// The lists that a client has defined, and what is held.
pub(super) struct Folding {
    conn: ConnId,
    own_id: PeerId,
    terms: Terms,
    lists: Vec<List>,
    /// In the order in which they leave.
    held: Vec<Held>,
    /// When they leave at the latest.
    until: Option<Instant>,
    learner: Learner,
    /// Counts the uses of lists.
    uses: u64,
    /// How many more receivers have to be found before a list is defined; and the next such number.
    patience: (u32, u32),
}

struct List {
    targets: Vec<(PeerId, u16)>,
    places: PeerMap<usize>,
    kinds: Vec<KindOfList>,
    last_use: u64,
}

/// A kind of packets for which a list is used.
struct KindOfList {
    kind: Kind,
    /// How often in a row it was not for all of them.
    shorts: u32,
}

/// A message that waits for others.
struct Held {
    kind: Kind,
    /// The relay message for the first target.
    message: Vec<u8>,
    target: PeerId,
    /// The part of a list that it is for; `None`: for its target alone.
    part: Option<Range>,
    /// A message for the next targets has not come yet.
    is_open: bool,
}

/// What becomes of a packet for another client.
enum Outcome {
    /// It needs no message of its own.
    Joined,
    /// It waits.
    Held,
    /// It leaves now.
    Alone,
}

impl Folding {
    pub(super) fn new(conn: ConnId, own_id: PeerId, terms: Terms) -> Self {
        Self {
            conn,
            own_id,
            terms,
            lists: Vec::new(),
            held: Vec::new(),
            until: None,
            learner: Learner::default(),
            uses: 0,
            patience: (0, 0),
        }
    }

    fn put(&mut self, kind: Kind, target: PeerId, message: &[u8], now: Instant) -> Outcome {
        // Also of what a list is for: when more receivers come, a longer list takes its place.
        self.learner.note(kind, target, message);
        for held in self.held.iter_mut().rev() {
            if held.joins(kind, target, message, &self.lists, self.terms.bytes) {
                return Outcome::Joined;
            }
            if held.is_for(target, &self.lists) {
                break;
            }
        }
        let mut held = Held { kind, message: Vec::new(), target, part: None, is_open: false };
        match self.list_for(kind, target, message) {
            Some((number, from)) => {
                // The earlier part of the same packet has all that it gets.
                for earlier in &mut self.held {
                    earlier.is_open &= !(earlier.kind == kind && is_same_packet(&earlier.message, message));
                }
                self.uses += 1;
                let list = &mut self.lists[number];
                list.last_use = self.uses;
                held.part = Some(Range { list: number as u8, from, count: 1 });
                held.is_open = from + 1 < list.targets.len();
            }
            None => {
                // It must not pass what is held, which may be for the same client.
                if self.held.is_empty() {
                    return Outcome::Alone;
                }
            }
        }
        held.message = message.to_vec();
        self.held.push(held);
        self.until.get_or_insert(now + HOLD);
        Outcome::Held
    }

    /// Returns the list for a packet that joins no other one, and the place of its target.
    fn list_for(&self, kind: Kind, target: PeerId, message: &[u8]) -> Option<(usize, usize)> {
        let fits = self.lists.iter().enumerate().filter_map(|(number, list)| {
            let place = *list.places.get(&target)?;
            list.is_used_for(kind).then_some((number, place))
        });
        let begun = |number: usize| {
            self.held
                .iter()
                .any(|held| held.is_of(number) && held.kind == kind && is_same_packet(&held.message, message))
        };
        // The first of a list, or the next part of one whose first part is there: single packets are not held in vain.
        let starts = fits.filter(|(number, place)| *place == 0 || begun(*number));
        starts.max_by_key(|(number, _)| self.lists[*number].last_use)
    }

    fn is_complete(&self) -> bool {
        self.held.iter().all(|held| !held.is_open) || self.held.len() >= MOST_HELD
    }

    /// Notes for each kind of each list whether a packet was for all of its targets.
    fn judge(&mut self) {
        for (number, list) in self.lists.iter_mut().enumerate() {
            let count = list.targets.len();
            for of_list in &mut list.kinds {
                let mut parts = self.held.iter().filter(|held| held.kind == of_list.kind);
                let uses = parts.clone().any(|held| held.is_of(number));
                // As many as one message may be for are as good as all.
                let is_full = |held: &Held, of: usize| {
                    of == count || of > 1 && (of + 1) * held.message.len() > self.terms.bytes
                };
                let is_whole = parts.any(|held| {
                    held.is_of(number) && held.part.is_some_and(|part| is_full(held, part.count))
                });
                if is_whole {
                    of_list.shorts = 0;
                    self.patience = (0, 0);
                } else if uses {
                    of_list.shorts += 1;
                }
            }
            let before = list.kinds.len();
            list.kinds.retain(|of_list| of_list.shorts < SHORTS);
            if list.kinds.len() < before {
                let wait = self.patience.1;
                self.patience = (wait, (2 * wait).clamp(PATIENCE, MOST_PATIENCE));
            }
        }
    }

    /// Returns the number and the targets of a list to define.
    fn next_list(&mut self) -> Option<(u8, Receivers)> {
        while let Some(receivers) = self.learner.take() {
            let Receivers { kind, targets } = &receivers;
            let kind = *kind;
            let same = |list: &List| {
                list.targets.len() == targets.len()
                    && list
                        .targets
                        .iter()
                        .zip(targets)
                        .all(|(one, other)| one.0 == other.0 && (one.1 == other.1 || !kind.has_time()))
            };
            let known = self.lists.iter_mut().find(|list| same(list));
            if known.as_ref().is_some_and(|list| list.is_used_for(kind)) {
                continue;
            }
            if let Some(wait) = self.patience.0.checked_sub(1) {
                self.patience.0 = wait;
                continue;
            }
            if let Some(list) = known {
                if list.kinds.len() < LISTS {
                    list.kinds.push(KindOfList { kind, shorts: 0 });
                }
                continue;
            }
            if let Some(number) = self.slot(targets.len()) {
                return Some((number as u8, receivers));
            }
        }
        None
    }

    /// Returns the number of a new list of this many targets: in the place of those that were not used for the longest time.
    fn slot(&self, targets: usize) -> Option<usize> {
        let has_room = |lists: &[List], without: Option<usize>| {
            let others = lists.iter().enumerate().filter(|(number, _)| Some(*number) != without);
            others.map(|(_, list)| list.targets.len()).sum::<usize>() + targets <= self.terms.targets
        };
        if self.lists.len() < LISTS && has_room(&self.lists, None) {
            return Some(self.lists.len());
        }
        let oldest = self.lists.iter().enumerate().filter(|(number, _)| has_room(&self.lists, Some(*number)));
        oldest.min_by_key(|(_, list)| list.last_use).map(|(number, _)| number)
    }

    fn defined(&mut self, number: u8, Receivers { kind, targets }: Receivers) {
        let places = targets.iter().enumerate().map(|(place, (target, _))| (*target, place)).collect();
        self.uses += 1;
        let kinds = vec![KindOfList { kind, shorts: 0 }];
        let list = List { targets, places, kinds, last_use: self.uses };
        match self.lists.get_mut(usize::from(number)) {
            Some(old) => *old = list,
            None => self.lists.push(list),
        }
    }
}

impl List {
    fn is_used_for(&self, kind: Kind) -> bool {
        self.kinds.iter().any(|of_list| of_list.kind == kind)
    }
}

impl Held {
    fn is_of(&self, list: usize) -> bool {
        self.part.is_some_and(|part| usize::from(part.list) == list)
    }

    fn is_for(&self, target: PeerId, lists: &[List]) -> bool {
        let Some(Range { list, from, count }) = self.part else { return self.target == target };
        let place = lists[usize::from(list)].places.get(&target);
        place.is_some_and(|place| (from..from + count).contains(place))
    }

    /// Returns whether a message is for the next target and otherwise the same, so that it needs no message of its own.
    fn joins(&mut self, kind: Kind, target: PeerId, message: &[u8], lists: &[List], most: usize) -> bool {
        let Some(Range { list, from, count }) = self.part.filter(|_| self.is_open && self.kind == kind)
        else {
            return false;
        };
        let list = &lists[usize::from(list)];
        let (Some((_, base)), Some((next, offset))) =
            (list.targets.get(from), list.targets.get(from + count))
        else {
            return false;
        };
        if *next != target
            || (count + 1) * message.len() > most
            || !is_same_packet(&self.message, message)
            || time(message) != time(&self.message).map(|time| time.wrapping_add(offset.wrapping_sub(*base)))
        {
            return false;
        }
        if let Some(part) = &mut self.part {
            part.count += 1;
        }
        self.is_open = from + count + 1 < list.targets.len();
        true
    }

    /// Returns the message as it leaves.
    fn into_message(mut self) -> Vec<u8> {
        if let Some(part) = self.part.filter(|part| part.count > 1)
            && let Some(header) = self.message.first_chunk_mut::<RELAY_HEADER>()
        {
            *header = relay_list::use_header(part);
        }
        self.message
    }
}

impl Hub {
    /// Client: holds a packet for another client if others for more clients are likely to follow. Returns every other command; what is held
    /// leaves before it.
    #[inline(never)]
    pub(super) fn fold(&mut self, command: Command, now: Instant) -> Option<Command> {
        let (Command::Send { to, message }, Some(folding)) = (&command, &mut self.folding) else {
            self.unfold(now);
            return Some(command);
        };
        let (to, form) = (*to, message.form);
        let payload = self.commands.payload(message);
        let bytes = payload.bytes;
        let target = relay_target(bytes)
            .filter(|target| form != Form::Text && *target != folding.own_id && bytes.len() <= LONGEST);
        let Some(target) = target else {
            let escaped = (form != Form::Text && is_list_message(bytes)).then(|| relay_list::escaped(bytes));
            folding.learner.end_frame();
            self.unfold(now);
            self.define_lists(now);
            let Some(escaped) = escaped else { return Some(command) };
            self.send_escaped(to, form, &escaped, now);
            return None;
        };
        let kind = Kind { form, first: bytes[RELAY_HEADER] };
        let size = bytes.len();
        match folding.put(kind, target, bytes, now) {
            Outcome::Alone => {
                self.define_lists(now);
                return Some(command);
            }
            Outcome::Held => {}
            Outcome::Joined => {
                self.counters.packets_folded.add(1);
                if let Some(connection) = self.connections.get(to)
                    && !connection.outcome_noted
                    && let Some(shared) = connection.shared()
                {
                    shared.outgoing.release(size, 1);
                }
            }
        }
        if self.folding.as_ref().is_some_and(|folding| folding.is_complete()) {
            self.unfold(now);
        }
        None
    }

    /// Client: returns until when packets are held.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.folding.as_ref()?.until
    }

    /// Client: ends a hold that took its time.
    #[cold]
    pub(super) fn end_hold(&mut self, now: Instant) {
        if self.held_until().is_some_and(|until| until <= now) {
            self.unfold(now);
        }
    }

    /// Client: what is held leaves.
    pub(super) fn unfold(&mut self, now: Instant) {
        let Some(folding) = &mut self.folding else { return };
        folding.until = None;
        if folding.held.is_empty() {
            return;
        }
        folding.judge();
        let (conn, held) = (folding.conn, mem::take(&mut folding.held));
        for held in held {
            let form = held.kind.form;
            self.send_folded(conn, form, &held.into_message(), now);
        }
    }

    /// Client: queues a message for which there is room.
    fn send_folded(&mut self, conn: ConnId, form: Form, message: &[u8], now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        if connection.send(form, PayloadRef::copied(message), &mut cx) {
            self.queues.flush(conn, connection);
        }
    }

    fn send_escaped(&mut self, conn: ConnId, form: Form, message: &[u8], now: Instant) {
        if let Some(shared) = self.connections.get(conn).and_then(Connection::shared) {
            shared.outgoing.lengthen(ESCAPE_HEADER);
        }
        self.send_folded(conn, form, message, now);
    }

    /// Client: defines a list of receivers that came twice, while nothing is held. Without room for the definition there is no list.
    fn define_lists(&mut self, now: Instant) {
        let Some(folding) = &mut self.folding else { return };
        let Some((number, receivers)) = folding.next_list() else { return };
        let conn = folding.conn;
        let message = relay_list::definition(number, &receivers.targets);
        let total = &self.queue_totals.outgoing;
        let has_room = total.has_room(message.len());
        let payload = PayloadRef::copied(&message);
        let reservation = self.queue_packet(conn, Form::Binary, payload, WhenFull::Refuse, has_room, now);
        if let (Reservation::Taken, Some(folding)) = (reservation, &mut self.folding) {
            folding.defined(number, receivers);
        }
    }
}

/// How long a packet waits for its copies.
pub(crate) const HOLD: Duration = Duration::from_millis(1);
/// Messages that are held at a time.
const MOST_HELD: usize = 32;
/// A list is not used any more for packets that were not for all of its targets so often in a row.
const SHORTS: u32 = 4;
/// The second time that happens, so many receivers have to be found before the next list is defined, and twice as many each time, up to the
/// second figure.
const PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1024;
