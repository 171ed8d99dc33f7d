//! Room in queues: who may add to one, how much waits in it, and in all queues of the process together.
//!
//! Both threads change a budget without a lock; `tests/model` tries all orders in which they can do so.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes and packets that wait in a queue; the bytes count for the whole process too, in units of [`COARSE`].
#[derive(Debug)]
pub(crate) struct Budget {
    /// Packets above, bytes below [`BYTES_BITS`]: both threads change it once per packet, and each change that the other
    /// thread has to see costs more than the packet's copy.
    waiting: AtomicU64,
    total: Arc<QueueTotal>,
}

/// What waits in all queues of the process: each direction has half of the room. A game that does not look at its input could not
/// send any more if that took it all, nor hear anybody because of those who do not listen.
#[derive(Clone, Debug)]
pub(crate) struct QueueTotals {
    pub(crate) outgoing: Arc<QueueTotal>,
    pub(crate) incoming: Arc<QueueTotal>,
}

/// Bytes that wait in all queues of one direction.
#[derive(Debug)]
pub(crate) struct QueueTotal {
    bytes: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { waiting: AtomicU64::new(0), total: Arc::clone(total) }
    }

    pub(crate) fn load(&self) -> (usize, usize) {
        unpack(self.waiting.load(Ordering::SeqCst))
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.grow(bytes);
    }

    /// Gives room back. What `clear` has released meanwhile is not released again.
    pub(crate) fn release(&self, bytes: usize, packets: usize) {
        let less = |waiting| {
            let (had_bytes, had_packets) = unpack(waiting);
            pack(had_bytes.saturating_sub(bytes), had_packets.saturating_sub(packets))
        };
        let change =
            self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| Some(less(waiting)));
        let before = change.unwrap_or_else(|unchanged| unchanged);
        self.total.change(unpack(before).0, unpack(less(before)).0);
    }

    /// Releases everything: nothing of it will be sent or read any more. Both threads may call it, each byte goes once.
    pub(crate) fn clear(&self) {
        let before = self.waiting.swap(0, Ordering::SeqCst);
        self.total.change(unpack(before).0, 0);
    }

    /// Takes room for one packet, or none at all.
    pub(crate) fn reserve(&self, size: usize, max_bytes: usize, max_packets: usize) -> bool {
        let (bytes, packets) = self.grow(size);
        let fits = bytes <= max_bytes && packets <= max_packets;
        if !fits {
            self.release(size, 1);
        }
        fits
    }

    /// Says whether all queues of the process in this direction together may take so much more.
    pub(crate) fn process_has_room(&self, bytes: usize) -> bool {
        self.total.has_room(bytes)
    }

    fn grow(&self, bytes: usize) -> (usize, usize) {
        let more = pack(bytes, 1);
        let before = self.waiting.fetch_add(more, Ordering::SeqCst);
        let after = unpack(before + more);
        self.total.change(unpack(before).0, after.0);
        after
    }
}

impl Drop for Budget {
    /// What nobody took any more, because the whole object was closed.
    fn drop(&mut self) {
        self.clear();
    }
}

fn pack(bytes: usize, packets: usize) -> u64 {
    (packets as u64) << BYTES_BITS | bytes as u64
}

fn unpack(waiting: u64) -> (usize, usize) {
    ((waiting & ((1 << BYTES_BITS) - 1)) as usize, (waiting >> BYTES_BITS) as usize)
}

/// A terabyte, sixty times what [`burst_bytes`](crate::config::PeerConfig::burst_bytes) allows, and 16 million packets.
const BYTES_BITS: u32 = 40;
/// The most packets that a limit may allow. Who finds too many has counted one more by then, and so may the other thread; far
/// fewer than the rest of the 24 bits.
pub(crate) const MOST_PACKETS: usize = (1 << (64 - BYTES_BITS)) - 1024;
/// A queue counts for the process in steps of so many bytes, so that small packets leave the common counter alone.
const COARSE: usize = 4096;

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
        Self { bytes: AtomicUsize::new(0), limit: AtomicUsize::new(limit) }
    }

    /// A queue that held `before` bytes holds `after`.
    fn change(&self, before: usize, after: usize) {
        let (before, after) = (before / COARSE * COARSE, after / COARSE * COARSE);
        if before != after {
            // Wraps around for less.
            self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Bytes that wait, counted in steps; zero when every queue is empty.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= self.limit.load(Ordering::Relaxed)
    }
}
