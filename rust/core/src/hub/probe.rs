//! What tests look at.

use super::Hub;
use super::connection::Connection;
use crate::base::ConnId;
use crate::config::PeerConfig;

impl Hub {
    /// Connections, the ones that are still saying goodbye included, and the pending ones among them.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.connections.len(), self.pending_len())
    }
}

#[cfg(test)]
impl Hub {
    /// Connections, the ones that are still saying goodbye included.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Commands that are taken and not done.
    pub(crate) fn commands_left(&self) -> usize {
        self.commands.len()
    }

    /// Connections that wait to be read: peers, and those that are none yet.
    pub(crate) fn queued_reads(&self) -> (usize, usize) {
        (self.queues.reads.len(), self.queues.handshaking.len())
    }

    /// Connections that wait to be written to.
    pub(crate) fn queued_flushes(&self) -> usize {
        self.queues.flushes.len()
    }

    pub(crate) fn timer_entries(&self) -> usize {
        self.timers.len()
    }

    /// Says whether a connection has something to write.
    pub(crate) fn wants_write(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(Connection::wants_write)
    }

    /// Says whether a stream takes bytes, as far as is known.
    pub(crate) fn is_writable(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|connection| connection.io.writable)
    }

    /// Says whether everything ends.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finish_by.is_some()
    }
}
