//! One connection of a hub.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::News;
use super::admission::Asked;
use super::queues::IoState;
use crate::access::{ClientKey, RateLimiter, RejectReason};
use crate::budget::QueueTotal;
use crate::config::{Mode, OverflowPolicy, PeerConfig};
use crate::link::Link;
use crate::net::mailbox::Totals;
use crate::session::{Body, Context, Flushed, Message, Pool, Session};
use crate::tls::TlsSession;
use crate::wire::proxy_protocol::Preamble;

pub(super) struct Member {
    pub(super) session: Session,
    /// Before TLS and HTTP: where the PROXY protocol has come to, while it comes.
    pub(super) preamble: Option<Box<Preamble>>,
    /// Between the session and its stream.
    pub(super) tls: Option<TlsSession>,
    /// It is where a certificate is looked at; until it is back, nothing is read or written.
    pub(super) tls_is_away: bool,
    pub(super) address: SocketAddr,
    /// Once the game knows, or is about to know, of it.
    pub(super) link: Option<Arc<Link>>,
    /// A message that did not fit the input buffer, or that the relay has no room for; reading goes on when it has.
    pub(super) held: Option<Message>,
    /// The latter, and when it is tried again.
    pub(super) awaits_relay: bool,
    pub(super) relay_at: Option<Instant>,
    /// Since when the handshake is under way.
    pub(super) started: Instant,
    /// It is neither connected nor gone.
    pub(super) in_limbo: bool,
    /// When something came from it first, TLS included.
    pub(super) heard: Option<Instant>,
    /// Its end is nothing to write down.
    pub(super) suppress_log: bool,
    /// Why it was rejected.
    pub(super) reject_reason: Option<RejectReason>,
    /// Whose connections it counts among.
    pub(super) client_key: Option<ClientKey>,
    /// What the game's handler was asked.
    pub(super) asked: Option<Box<Asked>>,
    /// How much may be read from it.
    pub(super) rate_limiter: Option<RateLimiter>,
    /// Reading goes on then.
    throttled: Option<Instant>,
    /// The remote will send no more, and takes nothing.
    gone: Option<Gone>,
    /// Client: by when the id must have come.
    pub(super) id_deadline: Option<Instant>,
    /// Client: what was agreed on, until there is a link to keep it.
    pub(super) protocol: String,
    /// Of its stream.
    pub(super) io: IoState,
    /// Its end was told.
    pub(super) reported: bool,
    /// It is congested above the output limits.
    over: Option<Over>,
    /// `Congested` was told, and `Drained` was not.
    told_congested: bool,
    /// What TLS holds of it, as it was counted last.
    sealed: usize,
}

/// Since when a peer has not kept up, and how far it was then.
struct Over {
    since: Instant,
    backlog: Backlog,
}

/// Since when the game has taken nothing of what a peer had sent before it went, and how many packets waited then.
struct Gone {
    since: Instant,
    waiting: usize,
}

/// What waits for a peer, and how many bytes it has taken, to the byte: a slow one takes a large packet, or what TLS has taken off
/// the session's hands, over many times the grace.
#[derive(Clone, Copy)]
struct Backlog {
    bytes: usize,
    packets: usize,
    taken: u64,
}

impl Member {
    pub(super) fn new(session: Session, address: SocketAddr, started: Instant) -> Self {
        Self {
            session,
            preamble: None,
            tls: None,
            tls_is_away: false,
            address,
            link: None,
            held: None,
            awaits_relay: false,
            relay_at: None,
            id_deadline: None,
            started,
            in_limbo: false,
            heard: None,
            suppress_log: false,
            reject_reason: None,
            client_key: None,
            asked: None,
            rate_limiter: None,
            throttled: None,
            gone: None,
            protocol: String::new(),
            io: IoState::new(),
            reported: false,
            over: None,
            told_congested: false,
            sealed: 0,
        }
    }

    /// Queues a packet whose room is reserved; says whether it is taken.
    #[inline]
    pub(super) fn send(&mut self, text: bool, prefix: &[u8], body: Body<'_>, cx: &mut Context<'_>) -> bool {
        let charge = (prefix.len() + body.bytes().len()) as u32;
        self.session.send(text, prefix, body, Some(charge), cx)
    }

    /// Writes what is queued.
    pub(super) fn flush<W: Write>(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Flushed {
        let (flushed, moved) = match &mut self.tls {
            None => {
                let flushed = self.session.flush(stream, cx);
                (flushed, flushed.bytes > 0)
            }
            Some(tls) => {
                let flushed = flush_tls(&mut self.session, tls, stream, cx);
                cx.pool.recount(self.sealed, tls.unsent());
                self.sealed = tls.unsent();
                (flushed, tls.take_moved())
            }
        };
        self.session.note_written(moved, self.wants_write(), cx.now);
        flushed
    }

    /// Says what TLS has to say last, as far as the stream takes it at once.
    pub(super) fn say_last<W: Write>(&mut self, stream: &mut W) {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye();
            // The stream is dropped either way.
            let _ = tls.stream(stream).push();
        }
    }

    /// Drops what waits to be written.
    pub(super) fn discard(&mut self, pool: &mut Pool) {
        self.session.discard(pool);
        pool.recount(self.sealed, 0);
        self.sealed = 0;
    }

    /// Applies a new `handshake_timeout` to a handshake that is under way.
    pub(super) fn move_handshake_deadline(&mut self, config: &PeerConfig) {
        let Some(deadline) = self.started.checked_add(config.handshake_timeout) else { return };
        self.session.move_handshake_deadline(deadline);
        if self.id_deadline.is_some() {
            self.id_deadline = Some(deadline);
        }
    }

    /// How many bytes may be read from it in this turn; `None`: not now.
    pub(super) fn may_read(&mut self, most: usize, totals: &Totals, now: Instant) -> Option<usize> {
        if !self.is_rationed() {
            return Some(most);
        }
        let Some(rate_limiter) = &mut self.rate_limiter else { return Some(most) };
        if self.throttled.is_some() {
            return None;
        }
        // Used up by the last turn: what has trickled in since is not worth a turn each.
        if let Some(ready) = rate_limiter.rests_until(now) {
            self.throttled = Some(ready);
            totals.reads_paused.add(1);
            self.session.pause(now);
            return None;
        }
        let room = rate_limiter.refill(now);
        Some(room.min(most))
    }

    /// Notes that so many bytes came from it.
    pub(super) fn has_read(&mut self, bytes: usize, now: Instant) {
        self.note_heard(bytes > 0, now);
        self.charge(bytes as isize);
    }

    pub(super) fn note_heard(&mut self, something: bool, now: Instant) {
        if something {
            self.heard.get_or_insert(now);
        }
    }

    /// Uses up what may be read from it. What TLS wraps its bytes in counts too: it may be nothing but padding.
    pub(super) fn charge(&mut self, bytes: isize) {
        if let Some(rate_limiter) = &mut self.rate_limiter {
            rate_limiter.take(bytes);
        }
    }

    /// Says whether there is a limit to how fast it is read. Not behind a Close, where everything is thrown away: what stays
    /// unread when the stream is dropped makes the system send a reset, and that eats our own Close. Nor where there is only
    /// what the system holds of a remote that is gone.
    fn is_rationed(&self) -> bool {
        self.rate_limiter.is_some() && self.gone.is_none() && !self.session.is_closing()
    }

    /// When it may be read again, if not now.
    pub(super) fn throttled_until(&self) -> Option<Instant> {
        self.throttled.filter(|_| self.is_rationed())
    }

    /// Says whether something keeps it from being read that is no reason any more.
    pub(super) fn take_pause(&mut self, now: Instant) -> bool {
        let held = self.session.outcome().is_some() && self.held.take().is_some();
        let throttled = !self.is_rationed() && self.throttled.is_some();
        if throttled {
            self.end_throttling(now);
        }
        held || throttled
    }

    /// Takes it that the remote sends nothing any more and takes nothing.
    pub(super) fn note_gone(&mut self, now: Instant) {
        if self.gone.is_none() && !self.session.is_closing() {
            self.gone = Some(Gone { since: now, waiting: self.unread() });
        }
        if let (Some(link), Some(_)) = (&self.link, &self.held) {
            link.set_closing();
        }
    }

    /// The game makes room for what such a remote had sent.
    pub(super) fn note_progress(&mut self, now: Instant) {
        if let Some(gone) = &mut self.gone {
            gone.since = now;
        }
    }

    /// When it is decided whether the end of a remote that is gone is told although the game has not taken everything.
    pub(super) fn gone_deadline(&self, config: &PeerConfig) -> Option<Instant> {
        // What waits for room to be relayed waits for others than the game.
        let waits = self.held.is_some() && !self.awaits_relay && self.session.outcome().is_none();
        let gone = self.gone.as_ref().filter(|_| waits)?;
        gone.since.checked_add(config.close_timeout)
    }

    /// Decides: not while the game takes packets, or cannot because it does not poll.
    pub(super) fn is_left_unread(&mut self, game_polls: bool, now: Instant) -> bool {
        let waiting = self.unread();
        let Some(gone) = &mut self.gone else { return false };
        if game_polls && waiting >= gone.waiting {
            return true;
        }
        *gone = Gone { since: now, waiting };
        false
    }

    /// Packets that the game has not taken.
    fn unread(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.receiving.budget.load().1)
    }

    /// It may be read again.
    pub(super) fn end_throttling(&mut self, now: Instant) {
        self.throttled = None;
        if self.held.is_none() {
            self.session.resume(now);
        }
    }

    /// Says whether bytes wait to be written that somebody may take.
    pub(super) fn wants_write(&self) -> bool {
        let waits = self.session.wants_write() || self.tls.as_ref().is_some_and(TlsSession::wants_write);
        waits && !self.session.is_broken() && !self.tls_is_away
    }

    /// Follows whether the peer takes its data.
    pub(super) fn note_congestion(
        &mut self,
        blocked: bool,
        config: &PeerConfig,
        news: &mut Vec<News>,
        now: Instant,
    ) {
        let Some(link) = &self.link else { return };
        let (bytes, packets) = link.outgoing.load();
        if blocked && link.is_over_output_limits(0, 0, config) {
            // The rest of a burst may come in the same round, behind the part that was written early.
            if self.over.as_ref().is_none_or(|over| over.since == now) {
                self.over = Some(Over { since: now, backlog: self.backlog(link) });
            }
        } else {
            self.over = None;
        }
        if blocked && !self.told_congested && bytes > config.buffers.output_bytes / 2 {
            // A game that does not poll is not told again and again.
            if link.may_tell_of_congestion() {
                self.told_congested = true;
                link.told_of_congestion();
                news.push(News::Congested(link.id));
            }
        } else if self.told_congested && !blocked && packets == 0 {
            self.told_congested = false;
            link.told_of_congestion();
            news.push(News::Drained(link.id));
        }
    }

    /// When it is decided whether the peer is closed for not keeping up. Where packets are relayed it is with either policy while
    /// the process is short of room: others may have to wait for it.
    pub(super) fn overflow_deadline(
        &self,
        config: &PeerConfig,
        relays: bool,
        total: &QueueTotal,
    ) -> Option<Instant> {
        let over = self.over.as_ref().filter(|_| self.session.outcome().is_none())?;
        let closes = matches!(config.mode, Mode::Multiplayer(_))
            && config.overflow_policy == OverflowPolicy::Disconnect;
        let closes = closes || relays && total.is_short();
        closes.then(|| over.since.checked_add(config.overflow_grace)).flatten()
    }

    /// When a message that awaits room to be relayed is tried again.
    pub(super) fn relay_at(&self) -> Option<Instant> {
        self.relay_at.filter(|_| self.held.is_some())
    }

    /// Decides. A peer gets as long again when all that waited has left, however much came after it, or when it works off a
    /// burst: its backlog has shrunk by an eighth of the output buffer.
    pub(super) fn is_stuck(&mut self, config: &PeerConfig, now: Instant) -> bool {
        let (Some(link), Some(over)) = (&self.link, &self.over) else { return false };
        if !link.is_over_output_limits(0, 0, config) {
            // The game has closed it since it was last looked at.
            self.over = None;
            return false;
        }
        let (before, backlog) = (over.backlog, self.backlog(link));
        let kept_up = backlog.taken - before.taken >= before.bytes.max(1) as u64;
        let fewer_bytes = backlog.bytes + config.buffers.output_bytes / 8 <= before.bytes;
        let fewer_packets = backlog.packets + (config.buffers.output_packets / 8).max(1) <= before.packets;
        if kept_up || fewer_bytes || fewer_packets && backlog.bytes <= before.bytes {
            self.over = Some(Over { since: now, backlog });
            return false;
        }
        true
    }

    fn backlog(&self, link: &Link) -> Backlog {
        let (bytes, packets) = link.outgoing.load();
        let unsent = self.tls.as_ref().map_or(0, TlsSession::unsent);
        Backlog {
            bytes: bytes.saturating_sub(self.session.begun()) + unsent,
            packets,
            taken: link.figures.bytes_out.get().saturating_sub(unsent as u64),
        }
    }
}

/// Through TLS the stream may still take nothing although the session has nothing left, and the other way round.
fn flush_tls<W: Write>(
    session: &mut Session,
    tls: &mut TlsSession,
    stream: &mut W,
    cx: &mut Context<'_>,
) -> Flushed {
    let mut stream = tls.stream(stream);
    let blocked = match stream.push() {
        Ok(blocked) => blocked,
        Err(error) => {
            session.write_failed(&error, cx.pool);
            return Flushed::default();
        }
    };
    if blocked || stream.is_handshaking() {
        return Flushed { blocked, ..Flushed::default() };
    }
    let flushed = session.flush(&mut stream, cx);
    // An error shows itself to the next write.
    let blocked = flushed.blocked || stream.push().unwrap_or(false);
    Flushed { blocked, ..flushed }
}
