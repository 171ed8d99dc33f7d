//! The part of a connection after admission: deferred messages, the inbound rate, and congestion.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Stage};
use super::lists::Lists;
use super::resume::Resumable;
use crate::access::RateLimiter;
use crate::base::Packet;
use crate::channel::{Backlog, Counters, Notice, OverLimit, PeerShared, QueueTotal, output_limits};
use crate::config::{Mode, OverflowPolicy, PeerConfig};
use crate::session::Session;
use crate::tls::TlsSession;

/// The part of a connection that only a peer has.
pub(super) struct Connected {
    pub(super) shared: Arc<PeerShared>,
    /// A message that did not fit the input buffer, or that the relay has no room for. Reading goes on when it has room.
    pub(super) deferred: Option<Packet>,
    /// The deferred message waits for the relay, and when it is tried again.
    pub(super) awaits_relay: bool,
    pub(super) relay_at: Option<Instant>,
    /// The limit on bytes read per second.
    rate_limiter: Option<RateLimiter>,
    /// When reading goes on, after the rate limit paused it.
    throttled: Option<Instant>,
    /// The remote sends no more, and takes nothing.
    gone: Option<Box<Gone>>,
    /// The peer is congested, and above the output limits.
    over_limit: Option<OverLimit>,
    /// `Congested` was emitted, and `Drained` was not.
    congestion_emitted: bool,
    /// Packets that were received until the end of the last turn.
    packets_in: u64,
    /// It survives the loss of its connection.
    pub(super) resumable: Option<Box<Resumable>>,
    /// A client may send messages for several others.
    pub(super) lists: Option<Box<Lists>>,
    /// `TCP_NODELAY`, if the game has set it.
    pub(super) no_delay: Option<bool>,
}

/// Since when the game has taken nothing of what a peer had sent before it went, and how many packets waited then.
struct Gone {
    since: Instant,
    waiting: usize,
}

impl Connected {
    pub(super) fn new(shared: Arc<PeerShared>, rate_limiter: Option<RateLimiter>) -> Self {
        Self {
            shared,
            deferred: None,
            awaits_relay: false,
            relay_at: None,
            rate_limiter,
            throttled: None,
            gone: None,
            over_limit: None,
            congestion_emitted: false,
            packets_in: 0,
            resumable: None,
            lists: None,
            no_delay: None,
        }
    }

    /// Returns whether the rate limit applies. After a Close it does not, because all bytes are dropped: bytes that stay unread when
    /// the stream is dropped make the system send a reset, which destroys the Close sent here. Nor after the remote is gone, when
    /// only the system's buffer is left.
    fn is_rationed(&self, session: &Session) -> bool {
        self.rate_limiter.is_some() && self.gone.is_none() && !session.is_closing()
    }

    /// The game makes room for what a remote had sent before it went.
    pub(super) fn note_progress(&mut self, now: Instant) {
        if let Some(gone) = &mut self.gone {
            gone.since = now;
        }
    }

    /// Counts what the game has to take of a remote that is gone, after a turn that may have delivered more.
    pub(super) fn recount_unread(&mut self) {
        if let Some(gone) = &mut self.gone {
            gone.waiting = self.shared.incoming.load().1;
        }
    }

    /// Notes what a turn has received: bytes, and perhaps a packet, which may have waited since an earlier turn.
    #[inline]
    pub(super) fn note_received(&mut self, bytes: usize, now: Instant) {
        let figures = &self.shared.figures;
        let packets_in = figures.packets_in.get();
        let has_packets = mem::replace(&mut self.packets_in, packets_in) != packets_in;
        if bytes == 0 && !has_packets {
            return;
        }
        let at = now.saturating_duration_since(self.shared.info.opened);
        if bytes > 0 {
            figures.bytes_in.add(bytes);
            figures.set_last_receive(at);
        }
        if has_packets {
            figures.set_last_packet(at);
        }
    }

    /// The connection is lost: nothing is read that a pause could be for. A message that is deferred was not received.
    pub(super) fn end_pauses(&mut self) {
        self.deferred = None;
        self.awaits_relay = false;
        self.relay_at = None;
        self.throttled = None;
        self.over_limit = None;
        self.gone = None;
    }

    /// Returns the number of packets that the game has not taken.
    fn unread(&self) -> usize {
        self.shared.incoming.load().1
    }
}

impl Connection {
    /// Returns how many bytes may be read in this turn; `None`: not now.
    pub(super) fn may_read(&mut self, most: usize, counters: &Counters, now: Instant) -> Option<usize> {
        let Stage::Connected(peer) = &mut self.stage else { return Some(most) };
        if !peer.is_rationed(&self.session) {
            return Some(most);
        }
        let Some(rate_limiter) = &mut peer.rate_limiter else { return Some(most) };
        if peer.throttled.is_some() {
            return None;
        }
        // A turn for the few bytes that may be read already would not be worth it.
        if let Some(ready) = rate_limiter.rests_until(now) {
            peer.throttled = Some(ready);
            counters.reads_paused.add(1);
            self.session.pause(now);
            return None;
        }
        let room = rate_limiter.refill(now);
        Some(room.min(most))
    }

    /// Charges bytes to the rate limit. The overhead of TLS counts too: a record may be padding only.
    pub(super) fn charge(&mut self, bytes: isize) {
        if let Some(rate_limiter) = self.connected_mut().and_then(|peer| peer.rate_limiter.as_mut()) {
            rate_limiter.take(bytes);
        }
    }

    /// Returns when reading goes on, if the rate limit has paused it.
    pub(super) fn throttled_until(&self) -> Option<Instant> {
        let peer = self.connected()?;
        peer.throttled.filter(|_| peer.is_rationed(&self.session))
    }

    /// Ends pauses of reading that have no reason any more. Returns whether there was one.
    pub(super) fn take_pause(&mut self, now: Instant) -> bool {
        let Stage::Connected(peer) = &mut self.stage else { return false };
        let deferred = self.session.outcome().is_some() && peer.deferred.take().is_some();
        let throttled = !peer.is_rationed(&self.session) && peer.throttled.is_some();
        if throttled {
            self.end_throttling(now);
        }
        deferred || throttled
    }

    /// Notes that the remote sends nothing any more and takes nothing.
    pub(super) fn note_gone(&mut self, now: Instant) {
        let Stage::Connected(peer) = &mut self.stage else { return };
        // It comes back, and sends again what is not received.
        if peer.resumable.is_some() {
            return;
        }
        if peer.gone.is_none() && !self.session.is_closing() {
            peer.gone = Some(Box::new(Gone { since: now, waiting: peer.unread() }));
        }
        if peer.deferred.is_some() {
            peer.shared.set_closing();
        }
    }

    /// Returns when to decide whether the end of a remote that is gone is emitted although the game has not taken everything.
    pub(super) fn gone_deadline(&self, config: &PeerConfig) -> Option<Instant> {
        // A message that waits for the relay does not wait for the game.
        let peer = self.connected()?;
        let waits = peer.deferred.is_some() && !peer.awaits_relay && self.session.outcome().is_none();
        let gone = peer.gone.as_ref().filter(|_| waits)?;
        gone.since.checked_add(config.close_timeout)
    }

    /// Returns whether the end is emitted now: not while the game takes packets, or does not poll.
    pub(super) fn is_left_unread(&mut self, game_polls: bool, now: Instant) -> bool {
        let Some(peer) = self.connected_mut() else { return false };
        let waiting = peer.unread();
        let Some(gone) = &mut peer.gone else { return false };
        if game_polls && waiting >= gone.waiting {
            return true;
        }
        **gone = Gone { since: now, waiting };
        false
    }

    /// Ends a pause of the rate limit.
    pub(super) fn end_throttling(&mut self, now: Instant) {
        let Stage::Connected(peer) = &mut self.stage else { return };
        peer.throttled = None;
        if peer.deferred.is_none() {
            self.session.resume(now);
        }
    }

    /// Notes whether the peer takes its data, and emits changes of its congestion.
    pub(super) fn note_congestion(
        &mut self,
        blocked: bool,
        config: &PeerConfig,
        notices: &mut Vec<Notice>,
        now: Instant,
    ) {
        let Stage::Connected(peer) = &mut self.stage else { return };
        let shared = &peer.shared;
        let (bytes, packets) = shared.outgoing.load();
        if blocked && shared.is_over_output_limits(0, 0, config) {
            // The rest of a burst may be queued in the same round, after a part was written early.
            if peer.over_limit.as_ref().is_none_or(|over_limit| over_limit.since == now) {
                let backlog = backlog(shared, &self.session, self.tls.as_ref());
                peer.over_limit = Some(OverLimit { since: now, backlog });
            }
        } else {
            peer.over_limit = None;
        }
        if blocked && !peer.congestion_emitted && bytes > config.buffers.output_bytes / 2 {
            // Not again and again while the game does not poll.
            if shared.may_emit_congestion() {
                peer.congestion_emitted = true;
                shared.note_congestion_emitted();
                notices.push(Notice::Congested(shared.id));
            }
        } else if peer.congestion_emitted && !blocked && packets == 0 {
            peer.congestion_emitted = false;
            shared.note_congestion_emitted();
            notices.push(Notice::Drained(shared.id));
        }
    }

    /// Returns when to decide whether the peer is closed because it does not keep up. A server that relays packets closes such a peer
    /// with either policy while the queues of the process are nearly full: other peers may have to wait for it.
    pub(super) fn overflow_deadline(
        &self,
        config: &PeerConfig,
        relays: bool,
        total: &QueueTotal,
    ) -> Option<Instant> {
        let over_limit =
            self.connected()?.over_limit.as_ref().filter(|_| self.session.outcome().is_none())?;
        let closes = matches!(config.mode, Mode::Multiplayer(_))
            && config.overflow_policy == OverflowPolicy::Disconnect;
        let closes = closes || relays && total.is_short();
        let resumes = self.connected().is_some_and(|peer| peer.resumable.is_some());
        let grace = if resumes { config.overflow_grace.max(STALL) } else { config.overflow_grace };
        closes.then(|| over_limit.deadline(grace)).flatten()
    }

    /// Returns when to retry a message that waits for the relay.
    pub(super) fn relay_at(&self) -> Option<Instant> {
        self.connected().filter(|peer| peer.deferred.is_some())?.relay_at
    }

    /// Returns whether a peer that is over its limits has sent nothing since: then its connection is lost.
    pub(super) fn is_silent(&self) -> bool {
        let Some(peer) = self.connected().filter(|peer| peer.resumable.is_some()) else { return false };
        let over_limit = peer.over_limit.as_ref();
        !self.session.is_paused()
            && over_limit.is_some_and(|over_limit| self.session.last_receive() <= over_limit.since)
    }

    /// Returns whether the peer is closed at the overflow deadline.
    pub(super) fn is_stuck(&mut self, config: &PeerConfig, now: Instant) -> bool {
        let Stage::Connected(peer) = &mut self.stage else { return false };
        let (shared, Some(over_limit)) = (&peer.shared, &mut peer.over_limit) else { return false };
        if !shared.is_over_output_limits(0, 0, config) {
            // The game has closed the peer since.
            peer.over_limit = None;
            return false;
        }
        let backlog = backlog(shared, &self.session, self.tls.as_ref());
        over_limit.is_stuck(backlog, &output_limits(config), now)
    }
}

/// A connection that takes nothing for this time is lost, rather than its peer slow, if nothing comes from it either.
pub(crate) const STALL: Duration = Duration::from_secs(5);

fn backlog(shared: &PeerShared, session: &Session, tls: Option<&TlsSession>) -> Backlog {
    let (bytes, packets) = shared.outgoing.load();
    let unsent = tls.map_or(0, TlsSession::unsent);
    let again = session.again();
    // What has begun to leave has room only behind what is written again.
    let begun = if again == 0 { session.begun() } else { 0 };
    // Both are counted before compression, or a peer that takes everything would seem to take little.
    let left = session.left_uncompressed().map(|left| left + begun as u64);
    let taken = left.unwrap_or_else(|| shared.figures.bytes_out.get());
    Backlog {
        bytes: bytes.saturating_sub(begun) + unsent,
        packets,
        again,
        taken: taken.saturating_sub(unsent as u64),
    }
}
