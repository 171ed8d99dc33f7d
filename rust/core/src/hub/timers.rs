//! When to look at which connection.
//!
//! There is one entry for each connection at most, and it is lazy: it is replaced only by an earlier time. One that comes too early
//! looks again. Deadlines of keepalive move with every read; to move an entry each time would cost more than the reading.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::base::ConnId;

#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Instant, ConnId)>,
}

impl Timers {
    /// Sees to it that a connection is looked at by then; `entry` is where it keeps its time.
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

    /// Takes the next entry whose time has come.
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
