//! Backpressure: whether there is room for a packet to a peer or to the game, and what happens if there is none.
//!
//! One rule holds for all packets that leave: those that a game sends, through its object or through the handle of a peer, and those
//! that the relay passes on.
//!
//! 1. A peer that is not open gets no packets.
//! 2. A peer is *congested* while its socket has not taken all bytes. `set_buffers` limits what may wait for a congested peer.
//!    Unreliable packets are dropped above `unreliable_backlog`. Packets that would close the peer may exceed the limits: the driver
//!    closes a peer that stays above them for longer than `overflow_grace` and does not catch up ([`OverLimit`]).
//! 3. All queues of the process together are bounded. No peer is closed for that, because other peers caused it.
//! 4. A peer that is not congested has room for a burst, a multiple of the limits of a congested peer.
//! 5. A *suspended* peer has lost its connection and may come back. It has the same room, and gets no unreliable packets.
//!
//! `set_buffers` also limits the packets of a peer that the game has not taken, but one packet always has room. The driver stops
//! reading a peer without room, which slows down the sender, and resumes when half of the room is free.
//!
//! Both threads do this without a lock; `tests/model` tries all orders in which they can do so.

use std::time::{Duration, Instant};

use super::budget::{Budget, Counted, QueueTotal};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The packets that wait to be written to a peer.
#[derive(Debug)]
pub(crate) struct OutputQueue {
    waiting: Budget,
    flow: AtomicU8,
}

/// Whether a peer takes its data: the values of `flow`.
const FREE: u8 = 0;
const CONGESTED: u8 = 1;
const SUSPENDED: u8 = 2;

/// How much may wait for one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputLimits {
    /// For a congested peer.
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
    /// For a peer that is not congested.
    pub(crate) burst_bytes: usize,
    pub(crate) burst_packets: usize,
    /// Above this many bytes, unreliable packets for a congested peer are dropped; 0: no such limit.
    pub(crate) droppable_bytes: usize,
}

/// What happens to a packet if its peer's queue has no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WhenFull {
    /// It is dropped.
    Drop,
    /// It is refused.
    Refuse,
    /// It is refused, and the peer is closed.
    Close,
}

/// The result for one packet and one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reservation {
    /// The packet has room.
    Taken,
    /// The peer is not open any more, so the room would never be released.
    Closed,
    /// There is no room, and the packet may be dropped.
    Dropped,
    /// There is no room, and the packet is refused.
    Refused,
    /// There is no room, and the peer is to be closed.
    Overflow,
}

impl OutputQueue {
    pub(crate) fn new() -> Self {
        Self { waiting: Budget::new(), flow: AtomicU8::new(FREE) }
    }

    /// Returns the bytes and packets that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.waiting.load()
    }

    /// Driver: releases the room of written packets. Room that `clear` has released meanwhile is not released again.
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        self.waiting.release(bytes, packets);
    }

    /// Releases all room, because nothing more is sent. Both threads may call this; each byte is released once.
    pub(crate) fn clear(&self) {
        self.waiting.clear();
    }

    /// Returns whether the socket did not take all bytes at the last write.
    pub(crate) fn is_congested(&self) -> bool {
        self.flow.load(Ordering::Relaxed) == CONGESTED
    }

    /// Driver: sets whether the socket did not take all bytes at the last write.
    pub(crate) fn set_congested(&self, congested: bool) {
        self.flow.store(if congested { CONGESTED } else { FREE }, Ordering::SeqCst);
    }

    /// Returns whether the peer has no connection.
    pub(crate) fn is_suspended(&self) -> bool {
        self.flow.load(Ordering::Relaxed) == SUSPENDED
    }

    /// Driver: notes that the peer has no connection. A new one is free until it is known to be congested.
    pub(crate) fn set_suspended(&self) {
        self.flow.store(SUSPENDED, Ordering::SeqCst);
    }

    /// Returns whether the queue is above the limits of a congested peer, or would be with `size` more bytes in `more` packets.
    pub(crate) fn is_over(&self, size: usize, more: usize, limits: &OutputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        bytes.saturating_add(size) > limits.bytes || packets + more > limits.packets
    }

    /// Takes room for one packet. `is_closed` becomes true before another thread clears the queue.
    #[inline]
    pub(crate) fn reserve(
        &self,
        size: usize,
        when_full: WhenFull,
        limits: &OutputLimits,
        process_has_room: impl FnOnce() -> bool,
        is_closed: impl FnOnce() -> bool,
    ) -> Reservation {
        let flow = self.flow.load(Ordering::Relaxed);
        if flow == SUSPENDED && when_full == WhenFull::Drop {
            return Reservation::Dropped;
        }
        if flow == CONGESTED && when_full != WhenFull::Close {
            let droppable = limits.droppable_bytes;
            let stale = when_full == WhenFull::Drop && droppable > 0 && self.waiting.load().0 > droppable;
            if stale || self.is_over(size, 1, limits) {
                return when_full.outcome();
            }
        }
        if !process_has_room() {
            return if when_full == WhenFull::Drop { Reservation::Dropped } else { Reservation::Refused };
        }
        if !self.waiting.reserve(size, limits.burst_bytes, limits.burst_packets) {
            return when_full.outcome();
        }
        if is_closed() {
            self.waiting.clear();
            return Reservation::Closed;
        }
        Reservation::Taken
    }

    /// Takes room without regard to the limits.
    #[cfg(test)]
    pub(crate) fn add(&self, bytes: usize) {
        self.waiting.add(bytes);
    }

    /// Driver: takes room for bytes more in a packet that has room.
    pub(crate) fn lengthen(&self, bytes: usize) {
        self.waiting.grow(bytes, 0);
    }
}

/// The packets of a peer that the game has not taken. It changes with every received packet.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct InputQueue {
    waiting: Counted,
    /// The driver does not read this peer until the game has taken some of its packets.
    paused: AtomicBool,
}

/// How much of one peer may wait for the game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputLimits {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
}

impl InputQueue {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { waiting: Counted::new(total), paused: AtomicBool::new(false) }
    }

    /// Returns the bytes and packets that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.waiting.load()
    }

    /// Driver: counts a packet that is delivered.
    pub(crate) fn add(&self, bytes: usize) {
        self.waiting.add(bytes, 1);
    }

    /// Driver: counts packets of this many bytes together.
    pub(crate) fn add_many(&self, bytes: usize, packets: usize) {
        self.waiting.add(bytes, packets);
    }

    /// Releases all room, because the game takes nothing more.
    pub(crate) fn clear(&self) {
        self.waiting.clear();
    }

    /// Driver: returns whether there is room for `more` packets of this many bytes together. An empty queue always has room, or a large packet
    /// would never be delivered.
    #[inline]
    pub(crate) fn has_room(&self, size: usize, more: usize, limits: &InputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        packets == 0
            || bytes.saturating_add(size) <= limits.bytes
                && packets + more <= limits.packets
                && self.waiting.process_has_room(size)
    }

    /// Driver: the same for packets that are to be delivered now. If there is no room, reading pauses until the game resumes it.
    #[inline]
    pub(crate) fn has_room_or_pauses(&self, size: usize, more: usize, limits: &InputLimits) -> bool {
        if self.has_room(size, more, limits) {
            return true;
        }
        self.pause();
        // The game may have taken a packet before it could see the pause: either it sees the pause, or the room that it released is seen
        // here. The total of the process may be seen late, but the game sees the pause when it takes its last packet.
        self.waiting.synchronize();
        let room = self.has_room(size, more, limits);
        if room {
            self.paused.store(false, Ordering::SeqCst);
        }
        room
    }

    /// Driver: pauses the reading of this peer.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Driver: returns whether reading is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Game: releases the room of packets that it has taken. Returns true if reading was paused and can resume, which the caller has to
    /// tell the driver.
    #[must_use]
    pub(crate) fn release(&self, bytes: usize, packets: usize, limits: &InputLimits) -> bool {
        self.waiting.release(bytes, packets);
        self.is_paused() && self.is_low(limits) && self.end_pause()
    }

    /// Ends the pause. Returns whether reading was paused.
    pub(crate) fn end_pause(&self) -> bool {
        self.paused.swap(false, Ordering::SeqCst)
    }

    /// Releases room, and leaves the pause as it is.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn release_only(&self, bytes: usize, packets: usize) {
        self.waiting.release(bytes, packets);
    }

    fn is_low(&self, limits: &InputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        bytes <= limits.bytes / 2 && packets <= limits.packets / 2
    }
}

/// What waits for a congested peer, and how many bytes it has taken. Exact to the byte, because a slow peer may need many times the
/// grace for a large packet, or for the bytes that TLS holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
    /// Bytes in front of those: what a new connection of a session writes again. No room is reserved for them, and no more are added.
    pub(crate) again: usize,
    pub(crate) taken: u64,
}

/// Since when a congested peer has been above its limits without catching up, and its backlog at that time.
#[derive(Debug)]
pub(crate) struct OverLimit {
    pub(crate) since: Instant,
    pub(crate) backlog: Backlog,
}

impl OverLimit {
    /// Returns when [`is_stuck`](Self::is_stuck) decides.
    pub(crate) fn deadline(&self, grace: Duration) -> Option<Instant> {
        self.since.checked_add(grace)
    }

    /// Returns whether the peer is to be closed. It gets the grace again if everything that waited before has left, even if more was
    /// queued since, or if its backlog has shrunk by an eighth of its limits. What is written again comes first, so only that can shrink
    /// meanwhile, whatever the game adds behind it.
    pub(crate) fn is_stuck(&mut self, backlog: Backlog, limits: &OutputLimits, now: Instant) -> bool {
        let before = self.backlog;
        let all_left =
            backlog.taken.saturating_sub(before.taken) >= (before.bytes + before.again).max(1) as u64;
        let fewer_again =
            before.again > 0 && (backlog.again == 0 || backlog.again + limits.bytes / 8 <= before.again);
        let fewer_bytes = backlog.bytes + limits.bytes / 8 <= before.bytes;
        let fewer_packets = backlog.packets + (limits.packets / 8).max(1) <= before.packets;
        let catches_up =
            all_left || fewer_again || fewer_bytes || fewer_packets && backlog.bytes <= before.bytes;
        if catches_up {
            *self = Self { since: now, backlog };
        }
        !catches_up
    }
}

impl WhenFull {
    fn outcome(self) -> Reservation {
        match self {
            Self::Drop => Reservation::Dropped,
            Self::Refuse => Reservation::Refused,
            Self::Close => Reservation::Overflow,
        }
    }
}
