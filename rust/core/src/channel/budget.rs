//! Room in queues: who may add to one, how much waits in it, and how much memory all queues of the process take together.
//!
//! Both threads change a budget without a lock; `tests/model` tries all orders in which they can do so.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Bytes and packets that wait in a queue.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Packets above, bytes below [`BYTES_BITS`]: both threads change it once per packet, and each change that the other
    /// thread has to see costs more than the packet's copy.
    waiting: AtomicU64,
}

/// A budget whose bytes count for the whole process too, in units of [`COARSE`].
#[derive(Debug)]
pub(crate) struct Counted {
    budget: Budget,
    total: Arc<QueueTotal>,
}

/// What all queues of the process hold: each direction has half of the room. A game that does not look at its input could not
/// send any more if that took it all, nor hear anybody because of those who do not listen.
#[derive(Clone, Debug)]
pub(crate) struct QueueTotals {
    pub(crate) outgoing: Arc<QueueTotal>,
    pub(crate) incoming: Arc<QueueTotal>,
}

/// Bytes that all queues of one direction hold: where several hold the same, it counts once.
#[derive(Debug)]
pub(crate) struct QueueTotal {
    // As wide on 32 bits: what several threads add before one of them looks must not wrap around.
    bytes: AtomicU64,
    limit: AtomicU64,
}

/// A part of a total that one thread at a time changes. Dropped, it is given back.
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

    /// Takes room for one packet, whatever the limits.
    #[cfg(test)]
    pub(crate) fn add(&self, bytes: usize) {
        self.grow(bytes);
    }

    /// Gives room back. What `clear` has released meanwhile is not released again.
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        self.shrink(bytes, packets);
    }

    /// Releases everything: nothing of it will be sent or read any more. Both threads may call it, each byte goes once.
    pub(crate) fn clear(&self) {
        self.empty();
    }

    /// Takes room for one packet, or none at all.
    pub(crate) fn reserve(&self, size: usize, max_bytes: usize, max_packets: usize) -> bool {
        let after = self.grow(size).1;
        let fits = fits(after, max_bytes, max_packets);
        if !fits {
            self.release(size, 1);
        }
        fits
    }

    /// What waited before and waits after.
    fn grow(&self, bytes: usize) -> (u64, u64) {
        let more = 1 << BYTES_BITS | bytes as u64;
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

    /// A change that changes nothing. Of two threads that both change a budget, the later one sees all that the earlier one did
    /// before.
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

    /// Takes room for one packet, whatever the limits.
    pub(crate) fn add(&self, bytes: usize) {
        let (before, after) = self.budget.grow(bytes);
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

    /// Says whether all queues of the process in this direction together may take so much more.
    pub(crate) fn process_has_room(&self, bytes: usize) -> bool {
        self.total.has_room(bytes)
    }
}

impl Drop for Counted {
    /// What nobody took any more, because the whole object was closed.
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
            // Wraps around for less.
            let more = (bytes as u64).wrapping_sub(self.bytes as u64);
            self.total.bytes.fetch_add(more, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }

    /// Follows something that grows by little at a time, so that the common counter is left alone mostly.
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

/// Bytes and packets.
fn unpack(waiting: u64) -> (u64, u64) {
    (waiting & ((1 << BYTES_BITS) - 1), waiting >> BYTES_BITS)
}

fn fits(waiting: u64, max_bytes: usize, max_packets: usize) -> bool {
    let (bytes, packets) = unpack(waiting);
    bytes <= max_bytes as u64 && packets <= max_packets as u64
}

/// A terabyte, sixty times what [`burst_bytes`](crate::config::PeerConfig::burst_bytes) allows, and 16 million packets.
const BYTES_BITS: u32 = 40;
/// The most packets that a limit may allow. Who finds too many has counted one more by then, and so may the other thread; far
/// fewer than the rest of the 24 bits.
pub(super) const MOST_PACKETS: usize = (1 << (64 - BYTES_BITS)) - 1024;
/// A queue counts for the process in steps of so many bytes, so that small packets leave the common counter alone.
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

    /// A queue that held `before` bytes holds `after`.
    fn change(&self, before: u64, after: u64) {
        let (before, after) = (before / COARSE * COARSE, after / COARSE * COARSE);
        if before != after {
            // Wraps around for less.
            self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Bytes that wait, counted in steps; zero when every queue is empty.
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

    /// Says whether less than a quarter of the room is left.
    pub(crate) fn is_short(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.bytes.load(Ordering::Relaxed) > limit - limit / 4
    }
}
