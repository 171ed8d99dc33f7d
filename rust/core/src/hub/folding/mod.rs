//! Client: packets of the game for several other clients that leave as one message (docs/protocol.md, "Lists").
//!
//! `SceneMultiplayer` sends a packet to one client after the other. [`learning`] finds out which clients get the same packets, [`defined`] has
//! the lists of them that the server knows, and [`held`] lets the first packet for a list wait for the others. A packet moves forward only over
//! packets for other receivers: each of them gets the same in the same order.

mod defined;
mod held;
mod learning;

use std::time::Instant;

use super::Hub;
use super::connection::Connection;
use crate::base::{ConnId, PeerId};
use crate::channel::{Command, Form, PayloadRef, Reservation, WhenFull};
use crate::session::Context;
use crate::wire::godot4::{RELAY_HEADER, relay_target};
use crate::wire::relay_list::{self, ESCAPE_HEADER, Terms, is_list_message};
use defined::{DefinedLists, Definition};
#[cfg(test)]
pub(crate) use held::{HOLD, MOST_HELD};
use held::{HeldPackets, Outcome};
pub(crate) use learning::LONGEST;
use learning::{Kind, Learner};

/// A client whose server takes lists.
pub(super) struct Folding {
    conn: ConnId,
    own_id: PeerId,
    learner: Learner,
    lists: DefinedLists,
    held: HeldPackets,
}

impl Folding {
    pub(super) fn new(conn: ConnId, own_id: PeerId, terms: Terms) -> Self {
        Self {
            conn,
            own_id,
            learner: Learner::new(terms.targets),
            lists: DefinedLists::new(terms.targets),
            held: HeldPackets::new(terms.bytes),
        }
    }

    fn put(&mut self, kind: Kind, target: PeerId, message: &[u8], now: Instant) -> Outcome {
        // Also of what a list is for: when more receivers come, a longer list takes its place.
        self.learner.note(kind, target, message);
        self.held.put(kind, target, message, &mut self.lists, now)
    }

    /// Returns what has to be defined so that receivers that came twice have a list.
    fn next_list(&mut self) -> Vec<Definition> {
        while let Some(receivers) = self.learner.take() {
            let definitions = self.lists.take_up(receivers);
            if !definitions.is_empty() {
                return definitions;
            }
        }
        Vec::new()
    }

    fn defined(&mut self, definition: Definition) {
        self.held.forget(definition.number);
        self.lists.define(definition);
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
            && folding.held.is_due()
        {
            self.let_go(true, now);
        }
        None
    }

    /// Client: returns until when packets are held.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.folding.as_ref()?.held.until()
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
        let conn = folding.conn;
        for (form, message) in folding.held.take(goes_on, &mut folding.lists) {
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
        let conn = folding.conn;
        for definition in folding.next_list() {
            let message = relay_list::definition(definition.number as u8, &definition.targets);
            let has_room = self.queue_totals.outgoing.has_room(message.len());
            let payload = PayloadRef::copied(&message);
            let reservation = self.queue_packet(conn, Form::Binary, payload, WhenFull::Refuse, has_room, now);
            let (Reservation::Taken, Some(folding)) = (reservation, &mut self.folding) else { return };
            folding.defined(definition);
        }
    }
}
