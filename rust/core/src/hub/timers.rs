//! Timers of connections.
//!
//! Each connection has at most one entry, and only an earlier time replaces it. When an entry comes too early, the connection is
//! scheduled anew. The deadlines of keepalive move with every read: moving the entry each time would cost more than reading.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::base::ConnId;

#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Instant, ConnId)>,
}

impl Timers {
    /// Schedules a connection for `deadline`, or earlier. `entry` is the time of its entry.
    pub(super) fn schedule(&mut self, conn: ConnId, entry: &mut Option<Instant>, deadline: Instant) {
        if entry.is_none_or(|at| deadline < at) {
            self.cancel(conn, entry);
            *entry = Some(deadline);
            self.entries.insert((deadline, conn));
        }
    }

    pub(super) fn cancel(&mut self, conn: ConnId, entry: &mut Option<Instant>) {
        if let Some(at) = entry.take() {
            self.entries.remove(&(at, conn));
        }
    }

    /// Removes and returns the next connection whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ConnId> {
        let (at, conn) = self.entries.first().copied().filter(|(at, _)| *at <= now)?;
        self.entries.remove(&(at, conn));
        Some(conn)
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
