//! Commands of the game.

use std::time::Instant;

use super::connection::{Connection, Stage};
use super::transports::Transports;
use super::{Hub, Side};
use crate::base::{CloseFrame, CloseReason, ConnId};
use crate::channel::{Command, Outbound};
use crate::config::PeerConfig;
use crate::session::{Context, Session};
use crate::tls::TlsSession;

impl Hub {
    /// Executes a command.
    // A part of the loop over the commands, although there are two: a call for each costs 5 % of all instructions of a packet.
    #[inline(always)]
    pub(crate) fn command<T: Transports>(&mut self, io: &mut T, command: Command, now: Instant) {
        match command {
            Command::Send { to, message } => {
                self.send(to, &message, now);
                if self.has_much_to_write(to) {
                    self.flush(io, to, now);
                }
            }
            Command::SendMany { to, message } => {
                self.pool.set_broadcast(true);
                for conn in to.iter() {
                    self.send(*conn, &message, now);
                }
                self.pool.set_broadcast(false);
            }
            Command::Relay(run) => self.relay_run(io, run, now),
            Command::Announced { to, what } => self.pairs.announced(to, what),
            Command::ForgetPairs(id) => self.pairs.forget(id),
            Command::VoidPairs(epoch) => self.pairs.void(epoch),
            Command::Resume(conn) => self.queue_read(conn),
            Command::Reconnect => self.reconnect(io, now),
            Command::Close { conn, frame } => {
                self.close_with(conn, now, |session, cx| session.close(*frame, cx))
            }
            Command::CloseWithoutWaiting(conn) => {
                self.close_with(conn, now, |session, cx| {
                    session.close_without_waiting(&CloseFrame::normal(), CloseReason::Aborted, cx)
                });
            }
            Command::Abort(conn) => self.abort(io, conn, now),
            Command::Overflow(conn) => self.overflow(conn, now),
            Command::NoDelay { conn, enabled } => {
                if let Some(peer) = self.connections.get_mut(conn).and_then(Connection::connected_mut) {
                    peer.no_delay = Some(enabled);
                }
                io.set_no_delay(conn, enabled);
            }
            Command::Heartbeat { conn, interval } => {
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.session.set_heartbeat_interval(interval);
                    self.schedule(conn);
                }
            }
            Command::Configure(config) => self.configure(io, *config, now),
            Command::Checked { conn, session } => self.checked(conn, session, now),
            Command::Decide { conn, id, decision } => self.decide(conn, id, *decision, now),
            Command::Refuse { refuse, number } => self.refuse(refuse, number, now),
            Command::MaxConnections(count) => {
                if let Side::Server(access) = &mut self.side {
                    access.config.max_connections = count;
                }
            }
            Command::Finish { frame } => self.finish(io, &frame, now),
            #[cfg(test)]
            Command::Panic => panic!("a defect"),
        }
    }

    /// Queues a packet for which room is reserved.
    // A part of the loop over the commands: a call for each packet costs 5 % of all instructions on its way.
    #[inline(always)]
    fn send(&mut self, conn: ConnId, message: &Outbound, now: Instant) {
        // The budget of a peer that is gone was released as a whole when its end was reported.
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        if connection.send(message.form, self.commands.payload(message), &mut cx) {
            self.queues.flush(conn, connection);
        }
    }

    /// Returns whether so much waits to be written that it should be written while it is in the processor's caches.
    pub(super) fn has_much_to_write(&self, conn: ConnId) -> bool {
        self.connections
            .get(conn)
            .is_some_and(|connection| connection.io.writable && connection.session.pending() >= MUCH)
    }

    fn configure<T: Transports>(&mut self, io: &mut T, config: PeerConfig, now: Instant) {
        self.config = config.opened_as(&self.config);
        let least = self.shortest_attempt();
        let conns: Vec<_> = self.connections.ids().collect();
        for conn in conns {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.move_handshake_deadline(self.config.handshake_timeout.max(least));
            }
            self.schedule(conn);
        }
        io.configured(&self.config, now);
    }

    /// Continues a handshake whose certificate was checked, unless the connection is gone.
    fn checked(&mut self, conn: ConnId, session: Option<Box<TlsSession>>, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.tls_is_away = false;
        // The connection was neither read nor written meanwhile.
        self.queues.read(conn, connection);
        self.queues.flush(conn, connection);
        match session {
            Some(session) => connection.tls = Some(*session),
            None => self.fail(
                conn,
                CloseReason::TransportError("the certificate could not be checked".into()),
                now,
            ),
        }
    }

    pub(super) fn close_with(
        &mut self,
        conn: ConnId,
        now: Instant,
        act: impl FnOnce(&mut Session, &mut Context<'_>),
    ) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        act(&mut connection.session, &mut cx);
        if let Stage::Connected(peer) = &mut connection.stage {
            peer.shared.set_closing();
            // The game takes no deferred message any more, and the message would keep the remote's Close from being read.
            peer.deferred = None;
            connection.session.resume(now);
        }
        self.queues.flush(conn, connection);
        self.queues.read(conn, connection);
        self.note_outcome(conn, now);
    }
}

/// Bytes that are written at once instead of at the end of the round.
const MUCH: usize = 32 * 1024;
