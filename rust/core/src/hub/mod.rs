//! All connections of one server or client: who is who, what goes where, and what the game hears of it.
//!
//! The hub owns the sessions and no socket. Its driver tells it what is readable, hands it streams to write to and the time,
//! and passes on the [`News`] that pile up.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod admission;
mod delivery;
mod ends;
pub(crate) mod limbo;
mod member;
mod pieces;
mod preamble;
mod reading;
pub(crate) mod relay;
mod slab;

use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::access::AccessPolicy;
use crate::base::{CloseFrame, CloseReason, ConnId, Packet, PeerId, PeerMap};
use crate::budget::{Charge, QueueTotals};
use crate::config::{Mode, PeerConfig};
use crate::event::ConnectionRequest;
use crate::http::Url;
use crate::link::{Link, PeerInfo, PeerState};
use crate::net::mailbox::{Command, Listed, Totals};
use crate::session::{Body, Context, Pool, Session};
use crate::tls::{TlsClient, TlsSession};
use crate::wire::godot3;
pub(crate) use delivery::SMALL;
use limbo::Limbo;
pub(crate) use limbo::Room;
use member::Member;
use pieces::Pieces;
pub(crate) use slab::Slab;

/// What the game's thread hears, in order.
#[derive(Debug)]
pub(crate) enum News {
    Packet(Packet),
    /// A peer is usable. `own_id` is what a client is called.
    Connected {
        link: Arc<Link>,
        own_id: PeerId,
    },
    CloseRequested {
        id: PeerId,
        code: u16,
        reason: String,
    },
    Disconnected {
        id: PeerId,
        reason: CloseReason,
    },
    /// Client: it did not get in.
    Failed(CloseReason),
    /// Client of the Godot 3 wire: another client came or went.
    Joined(PeerId),
    Left(PeerId),
    Congested(PeerId),
    Drained(PeerId),
    Overflowed(PeerId),
    /// Server: the game's handler is to decide.
    Requested {
        request: Box<ConnectionRequest>,
        left: Arc<AtomicBool>,
    },
    /// Server: this request will not become a peer any more.
    Withdrawn(PeerId),
    /// Server: what was said when this number was given holds from here on.
    Refusing(u64),
    /// The driver thread is gone.
    DriverFailed(CloseReason),
}

/// A packet on its way out.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) payload: Payload,
    pub(crate) text: bool,
}

/// Where the bytes of a packet on its way out are.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Among those that came with the commands, behind its wire header: to count references to small ones from two threads
    /// costs more than a copy.
    Listed {
        start: u32,
        size: u32,
    },
    Large(Box<Large>),
}

/// A payload that is not copied, and the wire header that goes before it.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) header: Option<[u8; godot3::HEADER]>,
    pub(crate) payload: Bytes,
}

/// Whose end this is.
pub(crate) enum Side {
    Server(Box<AccessPolicy>),
    Client { url: Url, tls: Option<TlsClient> },
}

/// What the driver has to do after it let the hub read or write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct After {
    /// The stream may have more to read.
    pub(crate) more: bool,
    /// The session is over; forget it and drop the stream.
    pub(crate) ended: bool,
    /// The stream takes no more for now.
    pub(crate) blocked: bool,
    /// The stream may take more of what waits, in another turn.
    pub(crate) unwritten: bool,
    /// Bytes that the stream took.
    pub(crate) wrote: usize,
}

/// All connections of one server or client.
pub(crate) struct Hub {
    config: PeerConfig,
    side: Side,
    members: Slab<Member>,
    /// Ids of live peers; none is given twice.
    // A server makes them up, a client has but one: nobody can choose ids that collide.
    ids: PeerMap<ConnId>,
    pool: Pool,
    /// Where small payloads of this round are copied to.
    small: Pieces,
    /// What [`Payload::Listed`] of the commands at hand is about.
    pub(crate) listed: Listed,
    /// Some of them are left for the next round.
    pub(crate) has_more_commands: bool,
    /// For the mailbox.
    pub(crate) news: Vec<News>,
    /// Connections that have something to write.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections that should be read although their stream reported nothing new.
    pub(crate) rearm: Vec<ConnId>,
    /// Handshakes that go on elsewhere, and come back with [`Command::Checked`].
    pub(crate) checks: Vec<(ConnId, Box<TlsSession>)>,
    pending: usize,
    /// Server: connections that are not connected yet, or were rejected and are not gone.
    limbo: Limbo,
    /// Server: ids of those who may become peers when the game's handler says so.
    asked_ids: HashSet<PeerId>,
    queue_totals: QueueTotals,
    /// What the queues of all connections held when the last round ended.
    charge: Charge,
    totals: Arc<Totals>,
    /// For how long the game has not polled; as new as the last round.
    pub(crate) main_thread_idle: Duration,
    /// Client of the Godot 3 wire: whom the server has told of.
    others: HashSet<PeerId>,
    /// Client: what the server calls us.
    own_id: PeerId,
    /// Server of the Godot 3 wire: of whose end the others are being told.
    departed: Vec<PeerId>,
    /// The same: copies of messages that the turn at hand has passed on.
    relayed: usize,
    /// The same: bytes that this round has passed on although the process has no room for them.
    borrowed: usize,
    /// The same: the last one that others had to wait for.
    behind: Option<PeerId>,
}

impl Hub {
    pub(crate) fn new(
        config: PeerConfig,
        side: Side,
        queue_totals: QueueTotals,
        totals: Arc<Totals>,
    ) -> Self {
        Self {
            config,
            side,
            members: Slab::default(),
            ids: PeerMap::default(),
            pool: Pool::default(),
            small: Pieces::default(),
            listed: Listed::new(&queue_totals.outgoing),
            has_more_commands: false,
            news: Vec::new(),
            dirty: Vec::new(),
            rearm: Vec::new(),
            checks: Vec::new(),
            pending: 0,
            limbo: Limbo::default(),
            asked_ids: HashSet::new(),
            charge: Charge::new(&queue_totals.outgoing),
            queue_totals,
            totals,
            main_thread_idle: Duration::ZERO,
            others: HashSet::new(),
            own_id: PeerId::SERVER,
            departed: Vec::new(),
            relayed: 0,
            borrowed: 0,
            behind: None,
        }
    }

    /// Takes a connection that was dialled; the handshake has been under way since `started`.
    pub(crate) fn dialled(
        &mut self,
        address: SocketAddr,
        protocols: &[String],
        headers: &[String],
        started: Instant,
        now: Instant,
    ) -> ConnId {
        let deadline = started + self.config.handshake_timeout;
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let (url, tls) = match &self.side {
            Side::Client { url, tls } => (url, tls.as_ref().map(|tls| tls.session(&url.host))),
            Side::Server(_) => unreachable!("only a client's driver dials"),
        };
        let session = Session::client(url, protocols, headers, Some(deadline), &mut cx);
        self.pending += 1;
        let mut member = Member::new(session, address, started);
        member.id_deadline = Some(deadline);
        let conn = self.admit(member, tls, now);
        self.dirty.push(conn);
        conn
    }

    fn admit(&mut self, mut member: Member, tls: Option<Result<TlsSession, String>>, now: Instant) -> ConnId {
        let failed = match tls {
            None => None,
            Some(Ok(tls)) => {
                member.tls = Some(tls);
                None
            }
            Some(Err(why)) => Some(why),
        };
        let conn = self.members.insert(member);
        if let Some(why) = failed {
            self.fail(conn, CloseReason::Refused(why), now);
            self.dirty.push(conn);
        }
        conn
    }

    /// Lets a connection write what it has queued, for one turn.
    pub(crate) fn flush<W: Write>(&mut self, conn: ConnId, stream: &mut W, now: Instant) -> After {
        let Some(member) = self.members.get_mut(conn) else { return After::default() };
        member.dirty = false;
        if member.tls_is_away {
            return self.after(conn, now);
        }
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let flushed = member.flush(stream, &mut cx);
        self.totals.bytes_out.add(flushed.bytes);
        self.totals.packets_out.add(flushed.packets);
        if let Some(link) = &member.link {
            link.figures.bytes_out.add(flushed.bytes);
            link.figures.packets_out.add(flushed.packets);
            if !member.reported {
                link.outgoing.release(flushed.packet_bytes, flushed.packets);
            }
            // Where the turn was over before, nobody knows yet whether it takes everything.
            if !flushed.cut_short {
                link.outgoing.set_congested(flushed.blocked);
                member.note_congestion(flushed.blocked, &self.config, &mut self.news, now);
            }
        }
        if member.session.is_broken() {
            member.note_gone(now);
            self.rearm.push(conn);
        }
        let (blocked, unwritten, wrote) = (flushed.blocked, flushed.cut_short, flushed.bytes);
        After { blocked, unwritten, wrote, ..self.after(conn, now) }
    }

    /// Says that a connection has something to write and its stream takes nothing yet.
    pub(crate) fn still_blocked(&mut self, conn: ConnId, now: Instant) -> After {
        let Some(member) = self.members.get_mut(conn) else { return After::default() };
        member.dirty = false;
        member.note_congestion(true, &self.config, &mut self.news, now);
        After { blocked: true, ..self.after(conn, now) }
    }

    /// Does what the game asked for. What concerns sockets is the driver's.
    pub(crate) fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Send { to, message } => self.send(to, &message, now),
            Command::SendMany { to, message } => {
                for conn in to.iter() {
                    self.send(*conn, &message, now);
                }
            }
            Command::Resume(conn) => self.rearm.push(conn),
            Command::Close { conn, frame } => {
                self.with_session(conn, now, |session, cx| session.close(*frame, cx))
            }
            Command::Abandon(conn) => {
                self.with_session(conn, now, |session, cx| {
                    session.abandon(&CloseFrame::normal(), CloseReason::Forced, cx)
                });
            }
            Command::Overflow(conn) => self.overflow(conn, now),
            Command::Heartbeat { conn, interval } => {
                if let Some(member) = self.members.get_mut(conn) {
                    member.session.set_heartbeat_interval(interval);
                }
            }
            Command::Configure(config) => {
                self.config = PeerConfig { mode: self.config.mode, buffers: self.config.buffers, ..*config };
                let conns: Vec<_> = self.members.ids().collect();
                for conn in conns {
                    if let Some(member) = self.members.get_mut(conn) {
                        member.move_handshake_deadline(&self.config);
                    }
                }
            }
            Command::Checked { conn, session } => self.checked(conn, session, now),
            Command::Verdict { conn, id, verdict } => self.verdict(conn, id, *verdict, now),
            Command::Refuse { refuse, number } => self.refuse(refuse, number, now),
            Command::MaxConnections(count) => {
                if let Side::Server(access) = &mut self.side {
                    access.config.max_connections = count;
                }
            }
            #[cfg(test)]
            Command::Panic => {}
            Command::Cut(_) | Command::NoDelay { .. } | Command::Finish { .. } | Command::Resolved(_) => {}
        }
    }

    /// A handshake is back. Whoever is gone meanwhile does not need it any more.
    fn checked(&mut self, conn: ConnId, session: Option<Box<TlsSession>>, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        member.tls_is_away = false;
        match session {
            Some(session) => member.tls = Some(*session),
            None => self.fail(conn, CloseReason::Lost("the certificate could not be checked".into()), now),
        }
        // It was not read or written meanwhile.
        self.rearm.push(conn);
        self.dirty.push(conn);
    }

    /// When `expire` wants to be called.
    pub(crate) fn deadline(&self, conn: ConnId) -> Option<Instant> {
        let member = self.members.get(conn)?;
        [
            member.session.deadline(&self.config),
            member.id_deadline,
            member.overflow_deadline(&self.config, self.relays(), &self.queue_totals.outgoing),
            member.gone_deadline(&self.config),
            member.throttled_until(),
            member.relay_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, conn: ConnId, now: Instant) -> After {
        let relays = self.relays();
        let Some(member) = self.members.get_mut(conn) else { return After::default() };
        if member.throttled_until().is_some_and(|until| until <= now) {
            member.end_throttling(now);
            self.rearm.push(conn);
            return self.after(conn, now);
        }
        if member.relay_at().is_some_and(|at| at <= now) {
            member.relay_at = None;
            self.rearm.push(conn);
            return self.after(conn, now);
        }
        let overflow = member.overflow_deadline(&self.config, relays, &self.queue_totals.outgoing);
        if overflow.is_some_and(|deadline| deadline <= now) {
            if member.is_stuck(&self.config, now) {
                self.overflow(conn, now);
            }
        } else if member.gone_deadline(&self.config).is_some_and(|deadline| deadline <= now) {
            if member.is_left_unread(self.main_thread_idle < POLLS, now) {
                let why = "the remote is gone, and the game has not taken all of what it sent";
                member.session.end(CloseReason::Lost(why.into()));
            }
        } else if member.id_deadline.is_some_and(|deadline| deadline <= now) {
            member.session.end(CloseReason::TimedOut(crate::base::Phase::Handshake));
        } else {
            member.session.expire(&mut Context { config: &self.config, pool: &mut self.pool, now });
        }
        if self.wants_write(conn) {
            self.dirty.push(conn);
        }
        self.after(conn, now)
    }

    /// Says whether a connection has something to write.
    pub(crate) fn wants_write(&self, conn: ConnId) -> bool {
        self.members.get(conn).is_some_and(Member::wants_write)
    }

    /// Says whether so much waits to be written that it should leave while it is in the processor's caches.
    pub(crate) fn has_much_to_write(&self, conn: ConnId) -> bool {
        self.members.get(conn).is_some_and(|member| member.dirty && member.session.pending() >= MUCH)
    }

    /// Says whether a connection is a peer: the game knows, or is about to know, of it.
    pub(crate) fn is_peer(&self, conn: ConnId) -> bool {
        self.members.get(conn).is_some_and(|member| member.link.is_some())
    }

    /// Forgets a connection whose stream is dropped.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        if let Some(mut member) = self.members.remove(conn) {
            member.discard(&mut self.pool);
            self.discharge(&mut member);
        }
    }

    /// Ends a connection whose stream failed.
    pub(crate) fn fail(&mut self, conn: ConnId, reason: CloseReason, now: Instant) {
        if let Some(member) = self.members.get_mut(conn) {
            member.session.end(reason);
        }
        self.after(conn, now);
    }

    /// Ends a round: its news may go to the game's thread.
    pub(crate) fn end_round(&mut self) -> &mut Vec<News> {
        self.small.finish();
        if !self.has_more_commands {
            self.listed.copied();
        }
        self.charge.set(self.pool.held());
        self.borrowed = 0;
        &mut self.news
    }

    /// Connections, the ones that are still saying goodbye included.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Client: the upgrade is done.
    fn opened(&mut self, conn: ConnId, protocol: String, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        member.protocol = protocol;
        if self.config.mode == Mode::Raw {
            self.connected_to_server(conn, PeerId(0), now);
        }
    }

    fn connected_to_server(&mut self, conn: ConnId, own_id: PeerId, now: Instant) {
        let Side::Client { url, .. } = &self.side else { return };
        let Some(member) = self.members.get_mut(conn) else { return };
        let info = PeerInfo {
            address: member.address,
            protocol: std::mem::take(&mut member.protocol),
            target: url.target.clone(),
            origin: format!("{}://{}", if url.secure { "wss" } else { "ws" }, url.host_header()),
            headers: Box::default(),
            opened: now,
        };
        self.connected(conn, PeerId::SERVER, own_id, info);
    }

    fn connected(&mut self, conn: ConnId, id: PeerId, own_id: PeerId, info: PeerInfo) {
        let Some(member) = self.members.get_mut(conn) else { return };
        let link = Arc::new(Link::new(conn, id, info, &self.queue_totals));
        member.link = Some(Arc::clone(&link));
        member.id_deadline = None;
        self.pending -= 1;
        self.limbo.leave(member);
        self.totals.arrivals.fetch_add(1, Ordering::Relaxed);
        self.ids.insert(id, conn);
        self.own_id = own_id;
        self.news.push(News::Connected { link, own_id });
    }

    /// Queues a packet whose room is reserved.
    fn send(&mut self, conn: ConnId, message: &Outbound, now: Instant) {
        // A peer that is gone released its budget as a whole when its link was closed.
        let Some(member) = self.members.get_mut(conn) else { return };
        let mut cx = Context { config: &self.config, pool: &mut self.pool, now };
        let (prefix, body) = match &message.payload {
            &Payload::Listed { start, size } => (&[][..], Body::Borrowed(self.listed.get(start, size))),
            Payload::Large(large) => {
                (large.header.as_ref().map_or(&[][..], |header| header), Body::Shared(&large.payload))
            }
        };
        if member.send(message.text, prefix, body, &mut cx) {
            self.dirty.push(conn);
        }
    }

    fn with_session(&mut self, conn: ConnId, now: Instant, act: impl FnOnce(&mut Session, &mut Context<'_>)) {
        let Some(member) = self.members.get_mut(conn) else { return };
        act(&mut member.session, &mut Context { config: &self.config, pool: &mut self.pool, now });
        if let Some(link) = &member.link {
            link.set_closing();
        }
        // A message that was held back would keep the remote's answer from being read.
        if member.held.take().is_some() {
            member.session.resume(now);
        }
        self.dirty.push(conn);
        self.rearm.push(conn);
        self.after(conn, now);
    }

    /// Reports the end of a connection once, as soon as it is known.
    fn after(&mut self, conn: ConnId, now: Instant) -> After {
        let mut left = None;
        let mut rejected = None;
        let Some(member) = self.members.get_mut(conn) else { return After::default() };
        if let Some(reason) = member.session.outcome().filter(|_| !member.reported) {
            let reason = reason.clone();
            member.reported = true;
            member.id_deadline = None;
            // Nothing is told behind the end, but the stream is to be read to its own.
            if member.take_pause(now) {
                self.rearm.push(conn);
            }
            match member.link.clone() {
                Some(link) => {
                    self.ids.remove(&link.id);
                    // The game has closed it, and takes nothing of it any more.
                    if link.state() == PeerState::Closed {
                        link.receiving.budget.clear();
                    }
                    link.set_closed(&reason);
                    link.outgoing.clear();
                    left = Some((link, reason));
                }
                None => {
                    self.pending -= 1;
                    match self.side {
                        Side::Client { .. } => self.news.push(News::Failed(reason)),
                        Side::Server(_) => rejected = Some(reason),
                    }
                }
            }
        }
        self.totals.pending.set(self.pending);
        let ended = member.session.is_ended();
        if let Some((link, reason)) = left {
            self.note_left(&link, reason, now);
        }
        if let Some(reason) = rejected {
            self.note_rejected(conn, &reason, now);
        }
        After { ended, ..After::default() }
    }
}

/// A game that has polled so lately can take its packets.
const POLLS: Duration = Duration::from_secs(1);
/// Bytes that are written at once instead of at the end of the round.
const MUCH: usize = 32 * 1024;
