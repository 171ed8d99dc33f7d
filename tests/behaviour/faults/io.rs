//! What a driver does with its sockets, with streams in memory in their place: edge-triggered, one bounded turn a round.

use std::time::Instant;

use super::super::world::End;
use crate::base::{CloseFrame, CloseReason, ConnId};
use crate::config::PeerConfig;
use crate::hub::{After, News, Side};
use crate::net::mailbox::Command;
use crate::peer::Peer;
use crate::peer::rig::Works;

/// The I/O side of one object.
pub(super) struct Io {
    works: Works,
    /// The game that it works for, until that opens anew.
    pub(super) game: usize,
    sockets: Vec<Socket>,
    /// It listens.
    pub(super) serves: bool,
    commands: Vec<Command>,
    buffer: Vec<u8>,
    trusts_short_reads: bool,
    finish_by: Option<Instant>,
}

struct Socket {
    conn: ConnId,
    end: End,
    writable: bool,
    /// There may be something to read.
    queued: bool,
    seen: u64,
}

impl Io {
    /// Opens a game's peer.
    pub(super) fn open(peer: &mut Peer, game: usize, config: PeerConfig, side: Side, turn: usize) -> Self {
        let serves = matches!(side, Side::Server(_));
        Self {
            works: peer.open_by_hand(config, side),
            game,
            sockets: Vec::new(),
            serves,
            commands: Vec::new(),
            buffer: vec![0; turn],
            trusts_short_reads: turn.is_multiple_of(2),
            finish_by: None,
        }
    }

    pub(super) fn dial(&mut self, end: End, now: Instant) {
        let address = "192.0.2.2:80".parse().expect("an address");
        let conn = self.works.hub.dialled(address, &[], &[], now, now);
        self.adopt(conn, end);
    }

    pub(super) fn accept(&mut self, port: u16, end: End, now: Instant) {
        let address = format!("192.0.2.1:{port}").parse().expect("an address");
        let conn = self.works.hub.accepted(address, now);
        self.adopt(conn, end);
    }

    /// Nobody listens where it dials.
    pub(super) fn fail(&mut self) {
        self.works.hub.news.push(News::Failed(CloseReason::Lost("connection refused".into())));
        self.works.mailbox.deliver(self.works.hub.end_round());
    }

    /// One round, in the middle of which the game's thread has its say.
    pub(super) fn turn(&mut self, now: Instant, game: impl FnOnce()) -> bool {
        let hub = &mut self.works.hub;
        for socket in &mut self.sockets {
            if socket.end.changes() != socket.seen {
                socket.seen = socket.end.changes();
                socket.queued = true;
            }
            if !socket.writable && socket.end.takes() {
                socket.writable = true;
                hub.dirty.push(socket.conn);
            }
        }
        self.works.mailbox.take_commands(&mut self.commands, &mut hub.listed);
        let mut busy = !self.commands.is_empty();
        for command in std::mem::take(&mut self.commands) {
            self.command(command, now);
        }
        busy |= self.read(now);
        for at in (0..self.sockets.len()).rev() {
            let conn = self.sockets[at].conn;
            if self.works.hub.deadline(conn).is_some_and(|deadline| deadline <= now) {
                let after = self.works.hub.expire(conn, now);
                self.settle(conn, after, now);
                busy = true;
            }
        }
        game();
        busy |= self.flush(now);
        self.works.mailbox.deliver(self.works.hub.end_round());
        self.check();
        busy || self.sockets.iter().any(|socket| socket.queued) || !self.works.hub.rearm.is_empty()
    }

    /// When there is something to do although nothing comes.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let deadlines = self.sockets.iter().filter_map(|socket| self.works.hub.deadline(socket.conn));
        deadlines.chain(self.finish_by).min()
    }

    /// Says whether its driver would have ended.
    pub(super) fn is_finished(&self, now: Instant) -> bool {
        let over = self.finish_by.is_some() || !self.serves;
        over && self.works.hub.len() == 0 || self.finish_by.is_some_and(|by| by <= now)
    }

    /// Takes connections no more.
    pub(super) fn is_finishing(&self) -> bool {
        self.finish_by.is_some()
    }

    /// Drops what is left, and looks at what should have returned to where it began.
    pub(super) fn end(mut self) {
        let late: Vec<_> = self.sockets.iter().map(|socket| socket.conn).collect();
        for conn in late {
            self.settle(conn, After { ended: true, ..After::default() }, Instant::now());
        }
        assert_eq!((self.works.hub.len(), self.works.hub.in_limbo()), (0, 0));
    }

    /// Connections that are not forgotten, and handshakes among them.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.works.hub.len(), self.works.hub.in_limbo())
    }

    fn adopt(&mut self, conn: ConnId, end: End) {
        self.sockets.push(Socket { conn, end, writable: true, queued: true, seen: 0 });
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Finish { frame } => self.finish(&frame, now),
            Command::Cut(conn) => {
                if let Some(at) = self.at(conn) {
                    let socket = &mut self.sockets[at];
                    if socket.writable {
                        while self.works.hub.flush(conn, &mut socket.end, now).unwritten {}
                    }
                    self.works.hub.fail(conn, CloseReason::Forced, now);
                    self.settle(conn, After { ended: true, ..After::default() }, now);
                }
            }
            command => self.works.hub.command(command, now),
        }
    }

    fn finish(&mut self, frame: &CloseFrame, now: Instant) {
        self.works.hub.close_all(frame, now);
        self.finish_by = Some(now + self.works.hub.config().close_timeout);
    }

    fn read(&mut self, now: Instant) -> bool {
        for conn in std::mem::take(&mut self.works.hub.rearm) {
            if let Some(at) = self.at(conn) {
                self.sockets[at].queued = true;
            }
        }
        let mut busy = false;
        for at in (0..self.sockets.len()).rev() {
            let socket = &mut self.sockets[at];
            if !std::mem::take(&mut socket.queued) {
                continue;
            }
            busy = true;
            let conn = socket.conn;
            let trust = self.trusts_short_reads && !socket.end.is_read_closed();
            let mut after = self.works.hub.read(conn, &mut socket.end, &mut self.buffer, trust, now);
            if socket.end.is_read_closed() && !after.ended {
                after.ended = self.works.hub.remote_gone(conn, now).ended;
            }
            socket.queued = after.more;
            if self.works.hub.wants_write(conn) {
                self.works.hub.dirty.push(conn);
            }
            self.settle(conn, after, now);
        }
        busy
    }

    fn flush(&mut self, now: Instant) -> bool {
        let mut dirty = std::mem::take(&mut self.works.hub.dirty);
        let busy = !dirty.is_empty();
        for conn in dirty.drain(..) {
            let Some(at) = self.at(conn) else { continue };
            let socket = &mut self.sockets[at];
            let after = if socket.writable {
                let after = self.works.hub.flush(conn, &mut socket.end, now);
                socket.writable = !after.blocked;
                if after.unwritten {
                    self.works.hub.dirty.push(conn);
                }
                after
            } else {
                self.works.hub.still_blocked(conn, now)
            };
            self.settle(conn, after, now);
        }
        busy
    }

    fn settle(&mut self, conn: ConnId, after: After, now: Instant) {
        let Some(at) = self.at(conn) else { return };
        if !after.ended {
            if self.works.hub.take_half_close(conn, now) {
                self.sockets[at].end.half_close();
                self.works.hub.rearm.push(conn);
            }
            return;
        }
        let mut socket = self.sockets.remove(at);
        self.works.hub.say_last(conn, &mut socket.end);
        // A system that drops a socket with unread bytes in it resets the connection.
        if socket.end.readable() > 0 {
            socket.end.reset()
        } else {
            socket.end.cut()
        }
        self.works.hub.forget(conn);
    }

    fn at(&self, conn: ConnId) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.conn == conn)
    }

    /// What holds at any time.
    fn check(&self) {
        let hub = &self.works.hub;
        assert!(hub.len() == self.sockets.len() && hub.in_limbo() <= hub.len());
    }
}
