//! The lists that a client has defined, and for which kinds of packets it uses each of them. A list that is of no use is given up, and gives
//! its room to one for other receivers.

use super::learning::{Kind, Receivers};
use crate::base::{PeerId, PeerMap};
use crate::wire::relay_list::LISTS;

pub(super) struct DefinedLists {
    lists: Vec<List>,
    /// The most targets of all of them together.
    most: usize,
    /// Counts the uses of lists.
    uses: u64,
    patience: Patience,
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

/// How many receivers have to be found before a list is used for the next ones: the more, the more lists were of no use.
#[derive(Default)]
struct Patience {
    left: u32,
    /// The number when another list is given up.
    next: u32,
}

/// A list to define.
pub(super) struct Definition {
    pub(super) number: usize,
    pub(super) targets: Vec<(PeerId, u16)>,
    /// For what it is used; `None`: it has no targets, and makes room.
    kind: Option<Kind>,
}

/// A packet that used a list.
pub(super) struct Use {
    pub(super) list: usize,
    pub(super) kind: Kind,
    /// It was for all targets.
    pub(super) is_whole: bool,
}

impl DefinedLists {
    pub(super) fn new(most: usize) -> Self {
        Self { lists: Vec::new(), most, uses: 0, patience: Patience::default() }
    }

    /// Returns the targets of a list, and by how much their times differ.
    pub(super) fn targets(&self, list: usize) -> &[(PeerId, u16)] {
        self.lists.get(list).map_or(&[], |list| &list.targets)
    }

    /// Returns the place of a target in a list.
    pub(super) fn place(&self, list: usize, target: PeerId) -> Option<usize> {
        self.lists.get(list)?.places.get(&target).copied()
    }

    /// Returns the list that was used last of those for a packet, and the place of its target. It is the first one, or `has_begun` says of the
    /// list that the packet is there for targets before: single packets are not held in vain.
    pub(super) fn find(
        &self,
        kind: Kind,
        target: PeerId,
        has_begun: impl Fn(usize) -> bool,
    ) -> Option<(usize, usize)> {
        let fits = self.lists.iter().enumerate().filter_map(|(number, list)| {
            let place = *list.places.get(&target)?;
            let starts = list.is_used_for(kind) && (place == 0 || has_begun(number));
            starts.then_some((number, place, list.last_use))
        });
        fits.max_by_key(|(_, _, last_use)| *last_use).map(|(number, place, _)| (number, place))
    }

    pub(super) fn note_use(&mut self, list: usize) {
        self.uses += 1;
        if let Some(list) = self.lists.get_mut(list) {
            list.last_use = self.uses;
            list.missed = 0;
        }
    }

    /// Notes for each kind of each list whether one of these packets was for all of its targets.
    pub(super) fn judge(&mut self, over: &[Use]) {
        for (number, list) in self.lists.iter_mut().enumerate() {
            let before = list.kinds.len();
            list.kinds.retain_mut(|of_list| {
                let uses = over.iter().filter(|one| one.list == number && one.kind == of_list.kind);
                match uses.map(|one| one.is_whole).max() {
                    Some(true) => {
                        of_list.shorts = 0;
                        self.patience = Patience::default();
                    }
                    Some(false) => of_list.shorts += 1,
                    None => {}
                }
                of_list.shorts < SHORTS
            });
            if list.kinds.len() < before {
                self.patience.grow();
            }
        }
    }

    /// Uses a list for receivers that came twice. Returns what has to be defined for it, in order: nothing if they have such a list already,
    /// or get none.
    pub(super) fn take_up(&mut self, receivers: Receivers) -> Vec<Definition> {
        let kind = receivers.kind;
        let is_for_them =
            |list: &&mut List| list.targets.len() == receivers.targets.len() && list.begins(&receivers);
        let known = self.lists.iter_mut().find(is_for_them);
        if known.as_ref().is_some_and(|list| list.is_used_for(kind)) || !self.patience.is_over() {
            return Vec::new();
        }
        if let Some(list) = known {
            if list.kinds.len() < LISTS {
                list.kinds.push(KindOfList { kind, shorts: 0 });
            }
            return Vec::new();
        }
        let room = if receivers.are_distinct() { self.make_room(&receivers) } else { None };
        let Some(mut given_up) = room else { return Vec::new() };
        let number = given_up.pop().unwrap_or_else(|| self.vacant());
        // The others make room first.
        let emptied =
            given_up.into_iter().map(|number| Definition { number, targets: Vec::new(), kind: None });
        emptied.chain([Definition { number, targets: receivers.targets, kind: Some(kind) }]).collect()
    }

    /// Notes that the server has been told.
    pub(super) fn define(&mut self, Definition { number, targets, kind }: Definition) {
        let places = targets.iter().enumerate().map(|(place, (target, _))| (*target, place)).collect();
        let kinds = kind.into_iter().map(|kind| KindOfList { kind, shorts: 0 }).collect();
        self.uses += 1;
        let list = List { targets, places, kinds, last_use: self.uses, missed: 0 };
        match self.lists.get_mut(number) {
            Some(old) => *old = list,
            None => self.lists.push(list),
        }
    }

    /// Returns the lists in whose place a new one is, if it has room then. One that is in use stays: lists that do not have room together
    /// would push each other out in every frame.
    fn make_room(&mut self, new: &Receivers) -> Option<Vec<usize>> {
        let used: usize = self.lists.iter().map(|list| list.targets.len()).sum();
        let mut free = self.most.saturating_sub(used);
        let mut has_number = self.vacant() < LISTS;
        let idle = self.lists.iter().enumerate().filter(|(_, list)| list.may_go(new));
        let mut idle: Vec<_> = idle.collect();
        idle.sort_by_key(|(_, list)| (list.is_in_use(), list.last_use));
        let mut given_up = Vec::new();
        for (number, list) in idle {
            if has_number && free >= new.targets.len() {
                break;
            }
            free += list.targets.len();
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

impl Patience {
    /// Notes that a list was of no use.
    fn grow(&mut self) {
        *self = Self { left: self.next, next: (2 * self.next).clamp(PATIENCE, MOST_PATIENCE) };
    }

    /// Returns whether a list may be used for receivers that were found.
    fn is_over(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }
}

/// A list is not used any more for packets that were not for all of its targets so often in a row.
const SHORTS: u32 = 4;
/// The second time that happens, so many receivers have to be found before the next list is defined, and twice as many each time, up to the
/// second figure.
const PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1024;
/// A list that was not used while receivers have found no room so often gives its room up.
const MISSED: u32 = 8;
