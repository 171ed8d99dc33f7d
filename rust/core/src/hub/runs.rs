//! The relay of the 4.x wire. The game's thread keeps the order, the I/O thread does the work: it collects the packets of a client for other
//! clients in a run, which waits in its place among the client's other packets. When the game has come to that place, the run comes back as
//! one command among those that send, and its packets are relayed.

use std::mem;
use std::time::Instant;

use super::Hub;
use super::delivery::INLINE_MAX;
use super::transports::Transports;
use crate::base::{ConnId, PeerId};
use crate::channel::{
    Form, Notice, PayloadRef, Reservation, Run, RunPacket, WhenFull, charged, input_limits,
};
use crate::config::OverflowPolicy;
use crate::wire::godot4::is_state_sync;
use crate::wire::relay_list;

impl Hub {
    /// Returns the open run of a client.
    pub(super) fn run_of(&mut self, source: PeerId) -> &mut Run {
        let run = self.run.get_or_insert_with(|| {
            let mut run = self.spare_runs.pop().unwrap_or_else(Run::new);
            run.source = source;
            run.epoch = self.pairs.epoch();
            run
        });
        debug_assert_eq!(run.source, source, "a run ends with the turn");
        run
    }

    /// Gives the open run its place among the notices.
    #[inline]
    pub(super) fn close_run(&mut self) {
        if self.run.is_some() {
            self.deliver_run();
        }
    }

    #[cold]
    fn deliver_run(&mut self) {
        self.notices.extend(self.run.take().map(Notice::Run));
    }

    /// Relays the packets of a run, as if the game sent them now.
    // A server that relays nothing has no room for it in its loop over the commands.
    #[inline(never)]
    pub(super) fn relay_run<T: Transports>(&mut self, io: &mut T, mut run: Box<Run>, now: Instant) {
        // A copy of a message, for as long as the packets that follow have the same one.
        let (mut large, mut follows) = (None, false);
        for packet in run.iter() {
            let RunPacket { target, message, left, .. } = packet;
            if !mem::replace(&mut follows, left > 0) {
                large = None;
            }
            // The engine's class drops a packet for a peer that is not connected any more, too.
            if !self.pairs.is_open(run.source, target) {
                continue;
            }
            let Some(conn) = self.ids.get(&target).copied() else {
                self.counters.packets_to_closed.driver.add(1);
                continue;
            };
            if let Some(time) = packet.time {
                self.relay_at_time(conn, message, time, now);
            } else if message.len() > INLINE_MAX && (left > 0 || large.is_some()) {
                // All receivers share it, and it counts once.
                let total = &self.queue_totals.outgoing;
                let large = large.get_or_insert_with(|| charged(total, message.to_vec()));
                self.relay_packet(conn, PayloadRef::shared(large), now);
            } else {
                self.relay_packet(conn, PayloadRef::copied(message), now);
            }
            // As behind what the game sends: it is in the processor's caches.
            if self.has_much_to_write(conn) {
                self.flush(io, conn, now);
            }
        }
        // The room is given back here, not when the game passes the run: until now the run took memory.
        if let Some(conn) = self.ids.get(&run.source)
            && let Some(connection) = self.connections.get_mut(*conn)
            && let Some(shared) = connection.shared()
            && shared.incoming.release(run.size(), run.packets(), &input_limits(&self.config))
        {
            self.queues.read(*conn, connection);
        }
        if run.clear() && self.spare_runs.len() < SPARE_RUNS {
            self.spare_runs.push(run);
        }
    }

    /// Returns the peers about which the game has announced something that still counts.
    #[cfg(test)]
    pub(crate) fn paired(&self) -> std::collections::BTreeSet<PeerId> {
        self.pairs.ids()
    }

    /// Returns how many empty runs are kept.
    #[cfg(test)]
    pub(crate) fn spare_runs(&self) -> usize {
        self.spare_runs.len()
    }

    /// Relays state whose time is another one for this receiver.
    fn relay_at_time(&mut self, conn: ConnId, message: &[u8], time: u16, now: Instant) {
        let mut copy = mem::take(&mut self.scratch);
        copy.clear();
        copy.extend_from_slice(message);
        relay_list::set_time(&mut copy, time);
        self.relay_packet(conn, PayloadRef::copied(&copy), now);
        copy.clear();
        copy.shrink_to(SCRATCH_KEPT);
        self.scratch = copy;
    }

    fn relay_packet(&mut self, conn: ConnId, payload: PayloadRef<'_>, now: Instant) {
        let size = payload.len();
        let (when_full, form) = match (is_state_sync(payload.bytes), self.config.overflow_policy) {
            (true, _) => (WhenFull::Drop, Form::Unreliable),
            (false, OverflowPolicy::Refuse) => (WhenFull::Refuse, Form::Binary),
            (false, OverflowPolicy::Disconnect) => (WhenFull::Close, Form::Binary),
        };
        let unpublished = self.pool.bytes().saturating_sub(self.charge.bytes());
        // What is shared counts already.
        let more = if payload.shared.is_some() { 0 } else { size };
        let process_has_room = self.queue_totals.outgoing.has_room(more.saturating_add(unpublished));
        let reservation = self.queue_packet(conn, form, payload, when_full, process_has_room, now);
        if !process_has_room && matches!(reservation, Reservation::Refused | Reservation::Dropped) {
            self.mailbox.complain(now);
        }
        self.count_relayed(reservation, size);
    }
}

/// The most memory that is kept for copies; the engine's state is below 2 KiB.
const SCRATCH_KEPT: usize = 4096;
/// Empty runs that are kept to reuse their memory.
const SPARE_RUNS: usize = 64;
