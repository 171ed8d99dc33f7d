//! Client: packets of the game for several other clients that leave as one message (docs/protocol.md, "Lists").
//!
//! `SceneMultiplayer` sends a packet to one client after the other. The first one for a known list is held for a moment, and the ones for
//! the others join it; those that come later than that are held in the same way, as another message. So a packet moves forward only over
//! packets for other receivers: each of them gets the same in the same order.

use std::mem;
use std::time::{Duration, Instant};

use super::Hub;
use super::connection::Connection;
use super::learning::{Kind, LONGEST, Learner, Receivers};
use crate::base::{ConnId, PeerId, PeerMap};
use crate::channel::{Command, Form, PayloadRef, Reservation, WhenFull};
use crate::session::Context;
use crate::wire::godot4::{RELAY_HEADER, relay_header, relay_target};
use crate::wire::relay_list::{
    self, ESCAPE_HEADER, LISTS, Range, Terms, is_list_message, is_same_packet, set_time, time, use_header,
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
    /// How often receivers have found no room since then.
    missed: u32,
}

/// A kind of packets for which a list is used.
struct KindOfList {
    kind: Kind,
    /// How often in a row it was not for all of them.
    shorts: u32,
}

/// A message that waits for others, or whose others are still expected when it has left.
struct Held {
    kind: Kind,
    /// The relay message for the first target.
    message: Vec<u8>,
    target: PeerId,
    /// The part of a list that it is for; `None`: for its target alone.
    part: Option<Range>,
    /// How many targets of the part it has left for.
    left: usize,
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
            learner: Learner::new(terms.targets),
            uses: 0,
            patience: (0, 0),
        }
    }

    fn put(&mut self, kind: Kind, target: PeerId, message: &[u8], now: Instant) -> Outcome {
        // Also of what a list is for: when more receivers come, a longer list takes its place.
        self.learner.note(kind, target, message);
        for held in self.held.iter_mut().rev() {
            let waits = held.waits();
            if held.joins(kind, target, message, &self.lists, self.terms.bytes) {
                self.until.get_or_insert(now + HOLD);
                return if waits { Outcome::Joined } else { Outcome::Held };
            }
            if held.is_for(target, &self.lists) {
                break;
            }
        }
        let mut held = Held { kind, message: Vec::new(), target, part: None, left: 0, is_open: false };
        match self.list_for(kind, target, message) {
            Some((number, from)) => {
                // The earlier part of the same packet has all that it gets, and so has an earlier packet that has left.
                for earlier in self.held.iter_mut().filter(|earlier| earlier.kind == kind) {
                    let is_over = is_same_packet(&earlier.message, message)
                        || earlier.is_of(number) && !earlier.waits();
                    earlier.is_open &= !is_over;
                }
                self.uses += 1;
                let list = &mut self.lists[number];
                list.last_use = self.uses;
                list.missed = 0;
                held.part = Some(Range { list: number as u8, from, count: 1 });
                held.is_open = from + 1 < list.targets.len();
            }
            None => {
                // It must not pass what is held, which may be for the same client.
                if !self.held.iter().any(Held::waits) {
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
        self.held.iter().all(|held| !held.is_open || !held.waits())
    }

    /// Takes what leaves. `goes_on`: copies for the targets behind it may still come.
    fn take(&mut self, goes_on: bool) -> Vec<(Form, Vec<u8>)> {
        self.until = None;
        let goes_on = goes_on && self.held.len() < MOST_HELD;
        let mut held = mem::take(&mut self.held);
        let messages = held.iter_mut().filter_map(|held| Some((held.kind.form, held.take(&self.lists)?)));
        let messages = messages.collect();
        let (open, over) = held.into_iter().partition(|held| goes_on && held.is_open);
        self.held = open;
        self.judge(over);
        messages
    }

    /// Notes for each kind of each list whether a packet was for all of its targets.
    fn judge(&mut self, over: Vec<Held>) {
        for (number, list) in self.lists.iter_mut().enumerate() {
            let count = list.targets.len();
            for of_list in &mut list.kinds {
                let mut parts = over.iter().filter(|held| held.kind == of_list.kind);
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

    /// Returns a list to define, and those in whose place it is.
    fn next_list(&mut self) -> Option<(Vec<usize>, Receivers)> {
        while let Some(receivers) = self.learner.take() {
            let Receivers { kind, targets } = &receivers;
            let kind = *kind;
            let same = |list: &&mut List| list.targets.len() == targets.len() && list.begins(&receivers);
            let known = self.lists.iter_mut().find(same);
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
            if receivers.are_distinct()
                && let Some(given_up) = self.make_room(&receivers)
            {
                return Some((given_up, receivers));
            }
        }
        None
    }

    /// Returns the lists in whose place a new one is, if it has room then. One that is in use stays: lists that do not have room together
    /// would push each other out in every frame.
    fn make_room(&mut self, new: &Receivers) -> Option<Vec<usize>> {
        let used: usize = self.lists.iter().map(|list| list.targets.len()).sum();
        let mut free = self.terms.targets.saturating_sub(used);
        let mut has_number = self.vacant() < LISTS;
        let mut idle: Vec<_> =
            (0..self.lists.len()).filter(|number| self.lists[*number].may_go(new)).collect();
        idle.sort_by_key(|number| (self.lists[*number].is_in_use(), self.lists[*number].last_use));
        let mut given_up = Vec::new();
        for number in idle {
            if has_number && free >= new.targets.len() {
                break;
            }
            free += self.lists[number].targets.len();
            given_up.push(number);
            has_number = true;
        }
        if has_number && free >= new.targets.len() {
            return Some(given_up);
        }
        for list in &mut self.lists {
            list.missed = list.missed.saturating_add(1);
        }
        None
    }

    /// Returns the number of a list that has no targets.
    fn vacant(&self) -> usize {
        let vacant = self.lists.iter().position(|list| list.targets.is_empty());
        vacant.unwrap_or(self.lists.len())
    }

    fn defined(&mut self, number: usize, targets: Vec<(PeerId, u16)>, kinds: Vec<KindOfList>) {
        // They have left, or there would be no definition now.
        self.held.retain(|held| !held.is_of(number));
        let places = targets.iter().enumerate().map(|(place, (target, _))| (*target, place)).collect();
        self.uses += 1;
        let list = List { targets, places, kinds, last_use: self.uses, missed: 0 };
        match self.lists.get_mut(number) {
            Some(old) => *old = list,
            None => self.lists.push(list),
        }
    }
}

impl List {
    fn is_used_for(&self, kind: Kind) -> bool {
        self.kinds.iter().any(|of_list| of_list.kind == kind)
    }

    fn is_in_use(&self) -> bool {
        !self.kinds.is_empty() && self.missed < MISSED
    }

    /// Returns whether these receivers are those of the list, or those and more behind them.
    fn begins(&self, receivers: &Receivers) -> bool {
        let has_time = receivers.kind.has_time();
        let same = |(one, other): (&(PeerId, u16), &(PeerId, u16))| {
            one.0 == other.0 && (one.1 == other.1 || !has_time)
        };
        self.targets.len() <= receivers.targets.len() && self.targets.iter().zip(&receivers.targets).all(same)
    }

    /// Returns whether a new list may have the room of this one.
    fn may_go(&self, new: &Receivers) -> bool {
        !self.targets.is_empty() && (!self.is_in_use() || self.begins(new))
    }
}

impl Held {
    fn is_of(&self, list: usize) -> bool {
        self.part.is_some_and(|part| usize::from(part.list) == list)
    }

    fn is_for(&self, target: PeerId, lists: &[List]) -> bool {
        let Some(Range { list, from, count }) = self.part else { return self.target == target };
        let place = lists[usize::from(list)].places.get(&target);
        place.is_some_and(|place| (from + self.left..from + count).contains(place))
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
            || (count - self.left + 1) * message.len() > most
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

    /// Returns whether it is for targets for which it has not left.
    fn waits(&self) -> bool {
        self.part.is_none_or(|part| self.left < part.count)
    }

    /// Returns the message for the targets for which it has not left. It stays as it is for those that may follow.
    fn take(&mut self, lists: &[List]) -> Option<Vec<u8>> {
        if !self.waits() {
            return None;
        }
        let mut message = self.message.clone();
        let Some(Range { list, from, count }) = self.part else { return Some(message) };
        let rest = Range { list, from: from + self.left, count: count - self.left };
        let targets = &lists[usize::from(list)].targets;
        let ((_, base), (target, offset)) = (*targets.get(from)?, *targets.get(rest.from)?);
        if let Some(time) = time(&message) {
            set_time(&mut message, time.wrapping_add(offset.wrapping_sub(base)));
        }
        let header = if rest.count > 1 { use_header(rest) } else { relay_header(target) };
        *message.first_chunk_mut::<RELAY_HEADER>()? = header;
        self.left = count;
        Some(message)
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
        if let Some(folding) = &self.folding
            && (folding.is_complete() || folding.held.len() >= MOST_HELD)
        {
            self.let_go(true, now);
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
            self.let_go(true, now);
        }
    }

    /// Client: what is held leaves, before something else.
    pub(super) fn unfold(&mut self, now: Instant) {
        self.let_go(false, now);
    }

    /// Client: what is held leaves.
    fn let_go(&mut self, goes_on: bool, now: Instant) {
        let Some(folding) = &mut self.folding else { return };
        if folding.held.is_empty() {
            return;
        }
        let conn = folding.conn;
        for (form, message) in folding.take(goes_on) {
            self.send_folded(conn, form, &message, now);
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
        let connection = self.connections.get(conn).filter(|connection| !connection.outcome_noted);
        if let Some(shared) = connection.and_then(Connection::shared) {
            shared.outgoing.lengthen(ESCAPE_HEADER);
        }
        self.send_folded(conn, form, message, now);
    }

    /// Client: defines a list of receivers that came twice, while nothing is held. Without room for the definition there is no list.
    fn define_lists(&mut self, now: Instant) {
        let Some(folding) = &mut self.folding else { return };
        let Some((mut given_up, Receivers { kind, targets })) = folding.next_list() else { return };
        let number = given_up.pop().unwrap_or_else(|| folding.vacant());
        // The others make room first.
        let free = given_up.into_iter().map(|number| (number, Vec::new(), Vec::new()));
        let new = (number, targets, vec![KindOfList { kind, shorts: 0 }]);
        for (number, targets, kinds) in free.chain([new]) {
            let Some(conn) = self.folding.as_ref().map(|folding| folding.conn) else { return };
            let message = relay_list::definition(number as u8, &targets);
            let has_room = self.queue_totals.outgoing.has_room(message.len());
            let payload = PayloadRef::copied(&message);
            let reservation = self.queue_packet(conn, Form::Binary, payload, WhenFull::Refuse, has_room, now);
            let (Reservation::Taken, Some(folding)) = (reservation, &mut self.folding) else { return };
            folding.defined(number, targets, kinds);
        }
    }
}

/// How long a packet waits for its copies.
pub(crate) const HOLD: Duration = Duration::from_millis(1);
/// Messages that are held at a time.
pub(crate) const MOST_HELD: usize = 32;
/// A list is not used any more for packets that were not for all of its targets so often in a row.
const SHORTS: u32 = 4;
/// The second time that happens, so many receivers have to be found before the next list is defined, and twice as many each time, up to the
/// second figure.
const PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1024;
/// A list that was not used while receivers have found no room so often gives its room up.
const MISSED: u32 = 8;
