//! Packets that are held for a moment, and leave as one message with the copies that join them meanwhile. Copies that come later join what
//! has left, and leave as another message.

use std::time::{Duration, Instant};

use super::defined::{DefinedLists, Use};
use super::learning::Kind;
use crate::base::PeerId;
use crate::channel::Form;
use crate::wire::godot4::{RELAY_HEADER, relay_header, relay_target};
use crate::wire::relay_list::{Range, is_same_packet, set_time, time, use_header};

pub(super) struct HeldPackets {
    /// In the order in which they leave.
    all: Vec<Held>,
    /// When they leave at the latest; `None`: none waits.
    until: Option<Instant>,
    /// The most bytes that one message may stand for.
    most: usize,
}

struct Held {
    kind: Kind,
    /// The relay message for the first target.
    message: Vec<u8>,
    /// The part of a list that it is for; `None`: for its target alone.
    part: Option<Part>,
}

/// A part of a list, from one place to another.
struct Part {
    list: usize,
    first: usize,
    /// The first place for which the packet has not left.
    left: usize,
    /// The place behind the last one. The next copy is for its target.
    next: usize,
    /// That copy may still come.
    is_open: bool,
}

/// What becomes of a packet for another client.
pub(super) enum Outcome {
    /// It needs no message of its own.
    Joined,
    /// It waits.
    Held,
    /// It leaves now.
    Alone,
}

impl HeldPackets {
    pub(super) fn new(most: usize) -> Self {
        Self { all: Vec::new(), until: None, most }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Holds a packet if more are expected, or if it would overtake.
    pub(super) fn put(
        &mut self,
        kind: Kind,
        target: PeerId,
        message: &[u8],
        lists: &mut DefinedLists,
        now: Instant,
    ) -> Outcome {
        let mut outcome = self.join(kind, target, message, lists);
        if matches!(outcome, Outcome::Alone) {
            let part = self.begin(kind, target, message, lists);
            // It must not pass what is held, which may be for the same client.
            if part.is_some() || self.until.is_some() {
                self.all.push(Held { kind, message: message.to_vec(), part });
                outcome = Outcome::Held;
            }
        }
        if !matches!(outcome, Outcome::Alone) {
            self.until.get_or_insert(now + HOLD);
        }
        outcome
    }

    /// Adds a packet to the one of which it is a copy, unless it would overtake another one for its target.
    fn join(&mut self, kind: Kind, target: PeerId, message: &[u8], lists: &DefinedLists) -> Outcome {
        for held in self.all.iter_mut().rev() {
            let waits = held.waits();
            if held.joins(kind, target, message, lists, self.most) {
                return if waits { Outcome::Joined } else { Outcome::Held };
            }
            if held.is_for(target, lists) {
                break;
            }
        }
        Outcome::Alone
    }

    /// Returns the part of a list that begins with a packet: the list, or what is left of it behind another part.
    fn begin(
        &mut self,
        kind: Kind,
        target: PeerId,
        message: &[u8],
        lists: &mut DefinedLists,
    ) -> Option<Part> {
        let is_same = |held: &Held| held.kind == kind && is_same_packet(&held.message, message);
        let has_begun = |list| self.all.iter().any(|held| held.is_of(list) && is_same(held));
        let (list, first) = lists.find(kind, target, has_begun)?;
        // The earlier part of the same packet has all that it gets, and so has an earlier packet that has left.
        for earlier in self.all.iter_mut().filter(|earlier| earlier.kind == kind) {
            let is_over = is_same(earlier) || earlier.is_of(list) && !earlier.waits();
            if let Some(part) = &mut earlier.part {
                part.is_open &= !is_over;
            }
        }
        lists.note_use(list);
        let next = first + 1;
        Some(Part { list, first, left: first, next, is_open: next < lists.targets(list).len() })
    }

    /// Returns whether what is held need not wait any longer, or must not.
    pub(super) fn is_due(&self) -> bool {
        self.all.len() >= MOST_HELD || self.all.iter().all(|held| !held.is_open() || !held.waits())
    }

    /// Takes what leaves. `goes_on`: copies for the targets behind it may still come.
    pub(super) fn take(&mut self, goes_on: bool, lists: &mut DefinedLists) -> Vec<(Form, Vec<u8>)> {
        self.until = None;
        if self.all.is_empty() {
            return Vec::new();
        }
        let goes_on = goes_on && self.all.len() < MOST_HELD;
        let leaving = self.all.iter_mut().filter_map(|held| Some((held.kind.form, held.take(lists)?)));
        let messages = leaving.collect();
        let over = self.all.extract_if(.., |held| !(goes_on && held.is_open()));
        let over: Vec<_> = over.filter_map(|held| held.used(lists, self.most)).collect();
        lists.judge(&over);
        messages
    }

    /// Forgets what is for a list that is defined anew. It has left, or there would be no definition now.
    pub(super) fn forget(&mut self, list: usize) {
        self.all.retain(|held| !held.is_of(list));
    }
}

impl Held {
    fn is_of(&self, list: usize) -> bool {
        self.part.as_ref().is_some_and(|part| part.list == list)
    }

    /// Returns whether it waits to leave for this target.
    fn is_for(&self, target: PeerId, lists: &DefinedLists) -> bool {
        let Some(part) = &self.part else { return relay_target(&self.message) == Some(target) };
        lists.place(part.list, target).is_some_and(|place| (part.left..part.next).contains(&place))
    }

    /// Returns whether it is for targets for which it has not left.
    fn waits(&self) -> bool {
        self.part.as_ref().is_none_or(|part| part.left < part.next)
    }

    fn is_open(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.is_open)
    }

    /// Returns whether a message is for the next target and otherwise the same, so that it needs no message of its own.
    fn joins(
        &mut self,
        kind: Kind,
        target: PeerId,
        message: &[u8],
        lists: &DefinedLists,
        most: usize,
    ) -> bool {
        let Some(part) = self.part.as_mut().filter(|part| part.is_open && self.kind == kind) else {
            return false;
        };
        let targets = lists.targets(part.list);
        if targets.get(part.next).is_none_or(|(next, _)| *next != target)
            || (part.next + 1 - part.left) * message.len() > most
            || !is_same_packet(&self.message, message)
            || time(message) != part.time_for(part.next, &self.message, lists)
        {
            return false;
        }
        part.next += 1;
        part.is_open = part.next < targets.len();
        true
    }

    /// Returns the message for the targets for which it has not left. It stays as it is for those that may follow.
    fn take(&mut self, lists: &DefinedLists) -> Option<Vec<u8>> {
        if !self.waits() {
            return None;
        }
        let mut message = self.message.clone();
        let Some(part) = &mut self.part else { return Some(message) };
        let range = Range { list: part.list as u8, from: part.left, count: part.next - part.left };
        if let Some(time) = part.time_for(part.left, &self.message, lists) {
            set_time(&mut message, time);
        }
        let (target, _) = *lists.targets(part.list).get(part.left)?;
        let header = if range.count > 1 { use_header(range) } else { relay_header(target) };
        *message.first_chunk_mut::<RELAY_HEADER>()? = header;
        part.left = part.next;
        Some(message)
    }

    /// Returns how a list was used, when nothing follows.
    fn used(&self, lists: &DefinedLists, most: usize) -> Option<Use> {
        let part = self.part.as_ref()?;
        let count = part.next - part.first;
        // As many as one message may be for are as good as all.
        let is_full = count > 1 && (count + 1) * self.message.len() > most;
        let is_whole = is_full || count == lists.targets(part.list).len();
        Some(Use { list: part.list, kind: self.kind, is_whole })
    }
}

impl Part {
    /// Returns the time in a packet for one of its targets, or for the next one. `message` is the one for the first of them.
    fn time_for(&self, place: usize, message: &[u8], lists: &DefinedLists) -> Option<u16> {
        let targets = lists.targets(self.list);
        let ((_, base), (_, offset)) = (targets.get(self.first)?, targets.get(place)?);
        Some(time(message)?.wrapping_add(offset.wrapping_sub(*base)))
    }
}

/// How long a packet waits for its copies.
pub(crate) const HOLD: Duration = Duration::from_millis(1);
/// Messages that are held at a time.
pub(crate) const MOST_HELD: usize = 32;
