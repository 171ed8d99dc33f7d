//! Backpressure: whether a packet finds room on its way to a peer or to the game, and what becomes of it otherwise.
//!
//! On the way out one rule holds for what a game sends, through its object or through the handle of a peer, and for what the relay passes on:
//!
//! 1. A peer that is not open is sent nothing.
//! 2. A peer is *congested* while its socket has taken less than it was given. It then has room for as much as `set_buffers` says.
//!    Packets that may be dropped are dropped from `unreliable_backlog` on. Packets for which the peer would be closed may go
//!    beyond: the driver closes a peer that stays there for longer than `overflow_grace`.
//! 3. All queues of the process together are bounded. No peer is closed for that: it is others that do not take their data.
//! 4. A peer that takes its data has room for a burst, a multiple of the limits of a congested one.
//!
//! On the way in a peer whose packets the game has not taken has room for as much as `set_buffers` says, but for one packet at
//! least, and for no more than the process has. The driver stops reading a peer without room, which slows its sender, and reads on
//! when half of the room is free.
//!
//! Both threads do this without a lock; `tests/model` tries all orders in which they can do so.

use super::budget::{Budget, Counted, QueueTotal};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What waits to be written to a peer.
#[derive(Debug)]
pub(crate) struct OutputQueue {
    waiting: Budget,
    congested: AtomicBool,
}

/// How much may wait for one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputLimits {
    /// For a congested one.
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
    /// For one that takes its data.
    pub(crate) burst_bytes: usize,
    pub(crate) burst_packets: usize,
    /// Bytes that may wait for a congested one before packets that may be dropped are; 0: no such limit.
    pub(crate) droppable_bytes: usize,
}

/// What becomes of a packet that finds no room in its peer's queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WhenFull {
    /// It is dropped.
    Drop,
    /// It is refused.
    Refuse,
    /// It is refused, and the peer is closed.
    Close,
}

/// What became of a packet for one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reservation {
    /// It has room.
    Taken,
    /// The peer is not open any more: nobody would release the room.
    Closed,
    /// It is dropped: it may be, and there is no room.
    Dropped,
    /// It is refused: there is no room now.
    Refused,
    /// It is refused, and the peer is to be closed.
    Overflow,
}

impl OutputQueue {
    pub(crate) fn new() -> Self {
        Self { waiting: Budget::new(), congested: AtomicBool::new(false) }
    }

    /// Bytes and packets that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.waiting.load()
    }

    /// Driver: so much was written. What `clear` has released meanwhile is not released again.
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        self.waiting.release(bytes, packets);
    }

    /// Releases everything: nothing of it will be sent any more. Both threads may call it, each byte goes once.
    pub(crate) fn clear(&self) {
        self.waiting.clear();
    }

    /// Says whether the last write to the socket did not take everything.
    pub(crate) fn is_congested(&self) -> bool {
        self.congested.load(Ordering::Relaxed)
    }

    /// Driver: whether the last write did not take everything.
    pub(crate) fn set_congested(&self, congested: bool) {
        self.congested.store(congested, Ordering::SeqCst);
    }

    /// Says whether more waits than a congested peer may have, or would with `size` more bytes in `more` packets.
    pub(crate) fn is_over(&self, size: usize, more: usize, limits: &OutputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        bytes.saturating_add(size) > limits.bytes || packets + more > limits.packets
    }

    /// Takes room for one packet, or none at all. `is_closed` is what another thread says before it clears the queue.
    #[inline]
    pub(crate) fn reserve(
        &self,
        size: usize,
        when_full: WhenFull,
        limits: &OutputLimits,
        process_has_room: impl FnOnce() -> bool,
        is_closed: impl FnOnce() -> bool,
    ) -> Reservation {
        if self.is_congested() && when_full != WhenFull::Close {
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

    /// Takes room whatever the limits.
    #[cfg(test)]
    pub(crate) fn add(&self, bytes: usize) {
        self.waiting.add(bytes);
    }
}

/// What came from a peer and the game has not taken. It changes with every packet that comes in.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct InputQueue {
    waiting: Counted,
    /// The driver does not read this peer until the game has taken some of its packets.
    paused: AtomicBool,
}

/// How much may wait for the game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputLimits {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
}

impl InputQueue {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { waiting: Counted::new(total), paused: AtomicBool::new(false) }
    }

    /// Bytes and packets that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.waiting.load()
    }

    /// Driver: a packet is delivered.
    pub(crate) fn add(&self, bytes: usize) {
        self.waiting.add(bytes);
    }

    /// Releases everything: nothing of it will be read any more.
    pub(crate) fn clear(&self) {
        self.waiting.clear();
    }

    /// Driver: says whether there is room for a packet; an empty queue always has room, or nothing would ever move.
    pub(crate) fn has_room(&self, size: usize, limits: &InputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        packets == 0
            || bytes.saturating_add(size) <= limits.bytes
                && packets < limits.packets
                && self.waiting.process_has_room(size)
    }

    /// Driver: the same for a packet that is to be delivered. If there is none, reading pauses, and the game will say that it
    /// goes on.
    pub(crate) fn has_room_or_pauses(&self, size: usize, limits: &InputLimits) -> bool {
        if self.has_room(size, limits) {
            return true;
        }
        self.pause();
        // The game may have taken something before it could see that: either it sees the pause, or what it took of this peer is seen
        // here. The total of the process may be seen late; the game's last packet always finds the pause.
        self.waiting.synchronize();
        let room = self.has_room(size, limits);
        if room {
            self.paused.store(false, Ordering::SeqCst);
        }
        room
    }

    /// Driver: reads no more from this peer.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Driver: says whether reading pauses.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Game: so much was taken. True: reading paused and pays again, and the caller has to say so to the driver.
    #[must_use]
    pub(crate) fn release(&self, bytes: usize, packets: usize, limits: &InputLimits) -> bool {
        self.waiting.release(bytes, packets);
        self.is_paused() && self.is_low(limits) && self.end_pause()
    }

    /// Reading does not pause any more; says whether it did.
    pub(crate) fn end_pause(&self) -> bool {
        self.paused.swap(false, Ordering::SeqCst)
    }

    /// Releases room without a look at the pause.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn release_only(&self, bytes: usize, packets: usize) {
        self.waiting.release(bytes, packets);
    }

    fn is_low(&self, limits: &InputLimits) -> bool {
        let (bytes, packets) = self.waiting.load();
        bytes <= limits.bytes / 2 && packets <= limits.packets / 2
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
