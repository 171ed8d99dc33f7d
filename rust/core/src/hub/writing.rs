//! Writing to a connection, in bounded turns.

use std::time::Instant;

use super::Hub;
use super::transports::Transports;
use crate::base::ConnId;
use crate::session::{Context, Flushed, Ratio};

impl Hub {
    /// Gives a connection its turn of writing, at most one per round.
    pub(super) fn flush<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.io.has_had_its_turn(self.rounds) {
            self.queues.flush(conn, connection);
            return;
        }
        if !connection.io.writable {
            connection.note_congestion(true, &self.config, &mut self.notices, now);
        } else if self.write_turn(io, conn, now) {
            self.queue_flush(conn);
        }
        self.complete_turn(io, conn, now);
    }

    /// Writes for one turn. Returns whether data is left although the stream may take more.
    pub(super) fn write_turn<T: Transports>(&mut self, io: &mut T, conn: ConnId, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if !connection.io.writable || connection.tls_is_away {
            return false;
        }
        let Some((stream, _)) = io.stream(conn, now) else { return false };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let Flushed { bytes, packets, packet_bytes, unreserved, blocked, cut_short } =
            connection.flush(stream, &mut cx);
        connection.io.writable = !blocked;
        connection.io.wrote(bytes, cut_short && !blocked, self.rounds);
        self.counters.bytes_out.add(bytes);
        self.counters.packets_out.add(packets);
        if cx.pool.has_codecs() {
            let Ratio { plain, compressed } = connection.session.take_compressed();
            self.counters.deflated_out_bytes.add(plain);
            self.counters.compressed_out_bytes.add(compressed);
            if let Some(shared) = connection.shared() {
                shared.figures.deflated_out_bytes.add(plain);
                shared.figures.compressed_out_bytes.add(compressed);
            }
        }
        if let Some(shared) = connection.shared() {
            shared.figures.bytes_out.add(bytes);
            shared.figures.packets_out.add(packets);
            if !connection.outcome_noted {
                shared.outgoing.release(packet_bytes, packets - unreserved);
            }
            // If the turn ended first, it is not known yet whether the stream takes everything, unless TLS keeps some of it. What waits to be
            // compressed was not offered.
            if blocked || !cut_short || connection.session.only_compresses() {
                shared.outgoing.set_congested(blocked);
                connection.note_congestion(blocked, &self.config, &mut self.notices, now);
            }
        }
        // Also after control frames alone: they stay between messages that are kept.
        if bytes > 0 {
            connection.note_kept(&self.queue_totals.outgoing, &mut cx);
        }
        if connection.session.is_broken() {
            connection.note_gone(now);
            self.queues.read(conn, connection);
        }
        cut_short && !blocked
    }
}
