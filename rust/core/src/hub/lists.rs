//! Messages of a client for several other clients (docs/protocol.md): what becomes of them is what would become of one relay to each of them.

use std::mem;
use std::time::Instant;

use super::Hub;
use super::connected::Connected;
use super::connection::{Connection, Stage};
use super::delivery::{count_in, may_deliver, unpinned};
use crate::base::{ConnId, Packet, PeerId};
use crate::channel::{Notice, Run, input_limits};
use crate::config::PeerConfig;
use crate::session::{Context, Leeway, Payload};
use crate::wire::relay_list::{
    self, COPIED, DEFINED, ESCAPE_HEADER, ESCAPED, LISTS, ListMessage, Range, TARGET, Terms, check_targets,
    copies, is_list_message, targets,
};

/// The lists of a client.
pub(super) struct Lists {
    /// What it was told when it connected. Limits that change later do not change it.
    terms: Terms,
    /// The targets as they were sent.
    all: [Box<[u8]>; LISTS],
    /// How many targets all lists have.
    count: usize,
}

impl Lists {
    pub(super) fn new(terms: Terms) -> Box<Self> {
        Box::new(Self { terms, all: Default::default(), count: 0 })
    }

    /// Returns which messages may be larger than those of a game. A client is not told when the game lowers the limit.
    pub(super) fn leeway(&self) -> Leeway {
        Leeway { escape: &ESCAPED, definition: &DEFINED, size: self.terms.longest() }
    }

    fn define(&mut self, number: u8, targets: &[u8], source: PeerId) -> Result<(), String> {
        let Some(list) = self.all.get_mut(usize::from(number)) else {
            return Err(format!("list {number}; there are {LISTS}"));
        };
        let count = self.count - list.len() / TARGET + targets.len() / TARGET;
        if count > self.terms.targets {
            return Err(format!("lists of {count} targets; {} are allowed", self.terms.targets));
        }
        check_targets(targets, source)?;
        self.count = count;
        *list = targets.into();
        Ok(())
    }

    /// Returns the targets of a message of this size.
    fn range(&self, range: Range, size: usize) -> Result<&[u8], String> {
        let Range { list, from, count } = range;
        let targets = self.all.get(usize::from(list)).map_or(&[][..], |targets| targets);
        let Some(targets) = targets.get(from * TARGET..(from + count) * TARGET) else {
            let known = targets.len() / TARGET;
            return Err(format!(
                "a packet for targets {from} to {} of list {list}, which has {known}",
                from + count - 1
            ));
        };
        let bytes = size.saturating_mul(count);
        if count > 1 && bytes > self.terms.bytes {
            return Err(format!(
                "a packet for {count} targets that stands for {bytes} bytes; {} are allowed",
                self.terms.bytes
            ));
        }
        Ok(targets)
    }
}

impl Hub {
    /// Returns whether a message is one of these, and its client may send them.
    #[inline(never)]
    pub(super) fn is_for_lists(&self, conn: ConnId, message: &[u8]) -> bool {
        let peer = self.connections.get(conn).and_then(Connection::connected);
        is_list_message(message) && peer.is_some_and(|peer| peer.lists.is_some())
    }

    /// Handles such a message of a client to which lists were granted. Returns false if the peer's input buffer is full: the message is
    /// deferred, and reading pauses.
    #[inline(never)]
    pub(super) fn list_message(&mut self, conn: ConnId, payload: Payload<'_>, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let Stage::Connected(Connected { shared, lists: Some(lists), .. }) = &mut connection.stage else {
            return true;
        };
        let source = shared.id;
        let size = payload.bytes().len();
        let result = match ListMessage::read(payload.bytes()) {
            Ok(ListMessage::Define { list, targets }) => lists.define(list, targets, source).map(|()| None),
            Ok(ListMessage::Use(range)) => lists.range(range, size).map(Some),
            Ok(ListMessage::Escaped) => {
                if !may_deliver(shared, size, &self.config) {
                    let message = Packet { source, payload: payload.into_bytes(), text: false };
                    return self.defer(conn, message, now);
                }
                count_in(shared, &self.counters, size - ESCAPE_HEADER);
                connection.session.resume(now);
                self.close_run();
                let payload = Payload::Owned(payload.into_bytes().slice(ESCAPE_HEADER..));
                let payload = unpinned(payload, &mut self.arena, self.config.mode);
                self.notices.push(Notice::Packet(Packet { source, payload, text: false }));
                return true;
            }
            Err(what) => Err(what),
        };
        let targets = match result {
            Ok(targets) => targets,
            Err(what) => {
                let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
                connection.session.violation(1008, what, &mut cx);
                self.queues.flush(conn, connection);
                return true;
            }
        };
        let base = targets.map(|named| relay_list::targets(named).next().map_or(0, |(_, offset)| offset));
        if let Some(named) = targets {
            // A client that is not here any more gets nothing, and the game hears nothing of it: a few bytes could name thousands. Where
            // nothing is relayed here, the game may know clients that have no connection to this object.
            self.scratch.clear();
            let knows_all = self.pairs.is_empty();
            let here = |target: &&[u8]| {
                knows_all || relay_list::targets(target).any(|(id, _)| self.ids.contains_key(&id))
            };
            self.scratch.extend(named.chunks_exact(TARGET).filter(here).flatten());
            let count = self.scratch.len() / TARGET;
            let bytes = size * count;
            if !shared.incoming.has_room_or_pauses(bytes, count, &input_limits(&self.config)) {
                let message = Packet { source, payload: payload.into_bytes(), text: false };
                return self.defer(conn, message, now);
            }
            shared.incoming.add_many(bytes, count);
            let named = named.len() / TARGET;
            // Also for those that are not here: each costs a search.
            connection.charge((named - 1).saturating_mul(size) as isize);
            self.counters.packets_to_closed.driver.add(named - count);
            self.counters.packets_folded.add(named - 1);
            // Each target is looked for, and each copy is made.
            self.relayed += named.max(bytes / COPIED);
        } else {
            self.relayed += size / TARGET;
        }
        self.counters.packets_in.add(1);
        if let Some(shared) = connection.shared() {
            shared.figures.packets_in.add(1);
        }
        connection.session.resume(now);
        if let Some(base) = base {
            self.deliver_to_several(source, base, payload.bytes());
        }
        true
    }

    /// Delivers a message for the targets in `scratch`, in their order. The time in it counts for the offset `base`.
    fn deliver_to_several(&mut self, source: PeerId, base: u16, message: &[u8]) {
        let list = mem::take(&mut self.scratch);
        // A larger packet is none that a game could send: see `message`.
        let is_sendable = message.len() <= self.config.max_packet_size();
        let is_relayed = |hub: &Self, id| is_sendable && hub.pairs.is_open(source, id);
        let (mut rest, mut ids) = (list.as_slice(), targets(&list).map(|(id, _)| id).peekable());
        while let Some(first) = ids.next() {
            let relayed = is_relayed(self, first);
            let mut count = 1;
            while ids.next_if(|id| is_relayed(self, *id) == relayed).is_some() {
                count += 1;
            }
            let (piece, after) = rest.split_at(count * TARGET);
            rest = after;
            if relayed {
                self.run_of(source).push_for(piece, base, message);
                continue;
            }
            self.close_run();
            let mut run = Run::new();
            run.source = source;
            run.push_for(piece, base, message);
            self.notices.extend(run.unpacked().map(Notice::Packet));
        }
        drop(ids);
        self.scratch = list;
    }
}

/// Says whether the game has room for a message that was deferred.
#[inline(never)]
pub(super) fn has_room_for(peer: &Connected, deferred: &Packet, config: &PeerConfig) -> bool {
    let message = &deferred.payload;
    let is_for_several = peer.lists.is_some() && !deferred.text && is_list_message(message);
    let count = if is_for_several { copies(message) } else { 1 };
    peer.shared.incoming.has_room(message.len().saturating_mul(count), count, &input_limits(config))
}
