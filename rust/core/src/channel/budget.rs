//! Budgets of queues: how much waits in a queue, whether more may be added, and the memory of all queues of the process.
//!
//! Both threads change a budget without a lock; `tests/model` tries all interleavings.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Bytes and packets that wait in a queue.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Packets are above [`BYTES_BITS`], bytes below, because both threads change it once per packet, and each change that the other thread
    /// has to see costs more than copying the packet.
    waiting: AtomicU64,
}

/// A budget whose bytes also count for the whole process, in units of [`COARSE`].
#[derive(Debug)]
pub(crate) struct Counted {
    budget: Budget,
    total: Arc<QueueTotal>,
}

/// The bytes in all queues of the process. Each direction has half of the room, so that a game that does not read its input can still send,
/// and peers that do not read do not keep the game from receiving.
#[derive(Clone, Debug)]
pub(crate) struct QueueTotals {
    pub(crate) outgoing: Arc<QueueTotal>,
    pub(crate) incoming: Arc<QueueTotal>,
}

/// The bytes in all queues of one direction. A payload in several queues counts once.
#[derive(Debug)]
pub(crate) struct QueueTotal {
    // 64 bits also on 32-bit systems, so that the additions of several threads do not wrap around before one of them checks.
    bytes: AtomicU64,
    limit: AtomicU64,
}

/// A part of a total, changed by one thread at a time, and released when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    total: Arc<QueueTotal>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { waiting: AtomicU64::new(0) }
    }

    pub(crate) fn load(&self) -> (usize, usize) {
        let (bytes, packets) = unpack(self.waiting.load(Ordering::SeqCst));
        (usize::try_from(bytes).unwrap_or(usize::MAX), packets as usize)
    }

    /// Takes room for one packet without regard to the limits.
    #[cfg(test)]
    pub(crate) fn add(&self, bytes: usize) {
        self.grow(bytes, 1);
    }

    /// Releases room. Room that `clear` has released meanwhile is not released again.
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        self.shrink(bytes, packets);
    }

    /// Releases all room, because nothing more is sent or read. Both threads may call this; each byte is released once.
    pub(crate) fn clear(&self) {
        self.empty();
    }

    /// Takes room for one packet. Returns false if there is none.
    pub(crate) fn reserve(&self, size: usize, max_bytes: usize, max_packets: usize) -> bool {
        let after = self.grow(size, 1).1;
        let fits = fits(after, max_bytes, max_packets);
        if !fits {
            self.release(size, 1);
        }
        fits
    }

    /// The state before and after a change.
    #[inline]
    pub(super) fn grow(&self, bytes: usize, packets: usize) -> (u64, u64) {
        let more = (packets as u64) << BYTES_BITS | bytes as u64;
        let before = self.waiting.fetch_add(more, Ordering::SeqCst);
        (before, before + more)
    }

    fn shrink(&self, bytes: usize, packets: usize) -> (u64, u64) {
        let less = |waiting| {
            let (had_bytes, had_packets) = unpack(waiting);
            had_packets.saturating_sub(packets as u64) << BYTES_BITS | had_bytes.saturating_sub(bytes as u64)
        };
        let change =
            self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| Some(less(waiting)));
        let before = change.unwrap_or_else(|unchanged| unchanged);
        (before, less(before))
    }

    /// Writes the same value again: of two threads that write a budget, the later one sees everything that the earlier one did before.
    fn synchronize(&self) {
        self.waiting.fetch_add(0, Ordering::SeqCst);
    }

    fn empty(&self) -> u64 {
        self.waiting.swap(0, Ordering::SeqCst)
    }
}

impl Counted {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { budget: Budget::new(), total: Arc::clone(total) }
    }

    pub(crate) fn load(&self) -> (usize, usize) {
        self.budget.load()
    }

    /// Takes room for packets of this many bytes together, without regard to the limits.
    #[inline]
    pub(crate) fn add(&self, bytes: usize, packets: usize) {
        let (before, after) = self.budget.grow(bytes, packets);
        self.total.change(unpack(before).0, unpack(after).0);
    }

    /// As [`Budget::release`].
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        let (before, after) = self.budget.shrink(bytes, packets);
        self.total.change(unpack(before).0, unpack(after).0);
    }

    /// As [`Budget::clear`].
    pub(crate) fn clear(&self) {
        self.total.change(unpack(self.budget.empty()).0, 0);
    }

    /// As [`Budget::synchronize`].
    pub(crate) fn synchronize(&self) {
        self.budget.synchronize();
    }

    /// Returns whether all queues of the process in this direction may take this much more.
    pub(crate) fn process_has_room(&self, bytes: usize) -> bool {
        self.total.has_room(bytes)
    }
}

impl Drop for Counted {
    /// The packets that were not taken, because the object was closed.
    fn drop(&mut self) {
        self.clear();
    }
}

impl Charge {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { total: Arc::clone(total), bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            // A smaller value wraps around, which subtracts.
            let more = (bytes as u64).wrapping_sub(self.bytes as u64);
            self.total.bytes.fetch_add(more, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Follows a value that grows in small steps, without changing the shared counter at each step.
    #[inline]
    pub(crate) fn follow(&mut self, bytes: usize) {
        if bytes - self.bytes >= COARSE as usize {
            self.set(bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Splits a value into bytes and packets.
fn unpack(waiting: u64) -> (u64, u64) {
    (waiting & ((1 << BYTES_BITS) - 1), waiting >> BYTES_BITS)
}

fn fits(waiting: u64, max_bytes: usize, max_packets: usize) -> bool {
    let (bytes, packets) = unpack(waiting);
    bytes <= max_bytes as u64 && packets <= max_packets as u64
}

/// A terabyte, sixty times what [`burst_bytes`](crate::config::PeerConfig::burst_bytes) allows, and 16 million packets.
const BYTES_BITS: u32 = 40;
/// The most packets that a limit may allow. A thread counts a packet before it finds that there are too many, and so may the other thread,
/// which the rest of the 24 bits allows for.
pub(super) const MOST_PACKETS: usize = (1 << (64 - BYTES_BITS)) - 1024;
/// A queue counts for the process in steps of this many bytes, so that small packets do not change the shared counter.
const COARSE: u64 = 4096;

impl QueueTotals {
    pub(crate) fn new(limit: usize) -> Self {
        let half = || Arc::new(QueueTotal::new(limit / 2));
        Self { outgoing: half(), incoming: half() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.outgoing.bytes() + self.incoming.bytes()
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.outgoing.set_limit(bytes / 2);
        self.incoming.set_limit(bytes / 2);
    }
}

impl QueueTotal {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: AtomicU64::new(0), limit: AtomicU64::new(limit as u64) }
    }

    /// Notes that a queue that had `before` bytes has `after`.
    fn change(&self, before: u64, after: u64) {
        let (before, after) = (before / COARSE * COARSE, after / COARSE * COARSE);
        if before != after {
            // A smaller value wraps around, which subtracts.
            self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Returns the waiting bytes, counted in steps; zero if every queue is empty.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes as u64, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let wanted = self.bytes.load(Ordering::Relaxed).saturating_add(bytes as u64);
        wanted <= self.limit.load(Ordering::Relaxed)
    }

    /// Returns whether less than a quarter of the room is left.
    pub(crate) fn is_short(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.bytes.load(Ordering::Relaxed) > limit - limit / 4
    }

    /// Returns the room that packets for those who are connected may need before others have given way: an eighth.
    pub(crate) fn reserve(&self) -> usize {
        usize::try_from(self.limit.load(Ordering::Relaxed) / 8).unwrap_or(usize::MAX)
    }

    /// Returns how many bytes have to go until that much is free.
    pub(crate) fn excess(&self) -> usize {
        let limit = usize::try_from(self.limit.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.bytes().saturating_sub(limit - self.reserve())
    }
}
