//! What the driver does where a bad network is simulated; without one, all of this is a look at a field.

use std::time::Instant;

use super::Driver;
use crate::base::ConnId;
use crate::net::simulator::Simulator;
use crate::net::transport::Transport;

impl Driver {
    /// For a new connection.
    pub(super) fn simulator(&self, conn: ConnId, now: Instant) -> Option<Box<Simulator>> {
        let conditions = self.hub.config().conditions;
        (!conditions.is_off()).then(|| Box::new(Simulator::new(conditions, conn, now)))
    }

    /// Brings new conditions to the connections that there are.
    pub(super) fn change_simulation(&mut self, now: Instant) {
        let conditions = self.hub.config().conditions;
        for slot in 0..self.sockets.len() {
            let Some(socket) = &mut self.sockets[slot] else { continue };
            let conn = socket.conn;
            match &mut socket.simulator {
                Some(simulator) => simulator.change(conditions, now),
                None if conditions.is_off() => continue,
                none => *none = Some(Box::new(Simulator::new(conditions, conn, now))),
            }
            self.look_at(conn);
        }
    }

    /// A connection's time came: looks at both directions. False: there is no bad network in between.
    pub(super) fn look_at(&mut self, conn: ConnId) -> bool {
        let Some(socket) = self.socket(conn).filter(|socket| socket.simulator.is_some()) else {
            return false;
        };
        if !std::mem::replace(&mut socket.queued, true) {
            self.queue(conn);
        }
        self.hub.dirty.push(conn);
        true
    }

    /// Says whether something that the session has written is not at the socket yet. Lets go of a simulator that has
    /// nothing left to do.
    pub(super) fn has_bytes_on_their_way(&mut self, conn: ConnId) -> bool {
        let Some(socket) = self.socket(conn) else { return false };
        let Some(simulator) = &socket.simulator else { return false };
        if simulator.has_output() || !simulator.is_done() {
            return simulator.has_output();
        }
        // It knows what the socket and the hub wait for, and they do not: they have to find out.
        self.look_at(conn);
        if let Some(socket) = self.socket(conn) {
            socket.simulator = None;
        }
        false
    }

    /// Nobody will wait any more: lets everything leave that is on its way.
    pub(super) fn end_simulation(&mut self, now: Instant) {
        for socket in self.sockets.iter_mut().flatten() {
            if let Some(simulator) = &mut socket.simulator {
                simulator.finish(&mut self.hub, socket.conn, &mut Transport::Socket(&mut socket.stream), now);
            }
        }
    }
}
