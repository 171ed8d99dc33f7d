//! How a connection is written to: one turn at a time.

use std::time::Instant;

use super::Hub;
use super::transports::Transports;
use crate::base::ConnId;
use crate::session::{Context, Flushed};

impl Hub {
    /// Lets a connection write what it has queued, for one turn a round.
    pub(super) fn flush<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        if member.io.has_had_its_turn(self.rounds) {
            self.queues.flush(conn, member);
            return;
        }
        if !member.io.writable {
            member.note_congestion(true, &self.config, &mut self.notices, now);
        } else if self.write_turn(io, conn, now) {
            self.queue_flush(conn);
        }
        self.settle(io, conn, now);
    }

    /// Writes for one turn; true: the stream may take more of what waits, in another turn.
    pub(super) fn write_turn<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) -> bool {
        let Some(member) = self.members.get_mut(conn) else { return false };
        if !member.io.writable || member.tls_is_away {
            return false;
        }
        let Some((stream, _)) = io.stream(conn, now) else { return false };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let Flushed { bytes, packets, packet_bytes, blocked, cut_short } = member.flush(stream, &mut cx);
        member.io.writable = !blocked;
        member.io.wrote(bytes, cut_short && !blocked, self.rounds);
        self.totals.bytes_out.add(bytes);
        self.totals.packets_out.add(packets);
        if let Some(link) = member.link() {
            link.figures.bytes_out.add(bytes);
            link.figures.packets_out.add(packets);
            if !member.reported {
                link.outgoing.release(packet_bytes, packets);
            }
            // Where the turn was over before, nobody knows yet whether it takes everything.
            if !cut_short {
                link.outgoing.set_congested(blocked);
                member.note_congestion(blocked, &self.config, &mut self.notices, now);
            }
        }
        if member.session.is_broken() {
            member.note_gone(now);
            self.queues.read(conn, member);
        }
        cut_short && !blocked
    }
}
