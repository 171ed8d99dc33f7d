//! What the two threads share about one peer: the budgets of its queues, its state and its counters.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::backpressure::{InputLimits, InputQueue, OutputLimits, OutputQueue, Reservation, WhenFull};
use super::budget::QueueTotals;
use super::counters::{PeerCounters, PeerStatistics};
use crate::base::{CloseReason, ConnId, PeerId};
use crate::config::{Compression, MOST_PACKETS, PeerConfig};

/// The state of a peer; the engine's `WebSocketPeer.State`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerState {
    /// Not open yet.
    Connecting,
    /// Open.
    Open,
    /// The closing handshake is under way.
    Closing,
    /// Closed.
    Closed,
}

/// Facts about a connection that do not change.
#[derive(Debug)]
pub(crate) struct PeerInfo {
    /// Where it came from first: [`PeerShared::address`] follows a peer that comes back from elsewhere.
    pub(crate) address: SocketAddr,
    pub(crate) protocol: String,
    /// The request target: path and query.
    pub(crate) target: String,
    /// `ws://host` or `wss://host`, as the client has requested it.
    pub(crate) origin: String,
    /// Server: the request's headers, names in lower case.
    pub(crate) headers: Box<[(String, String)]>,
    /// Text messages are control messages.
    pub(crate) has_control: bool,
    /// It may come back after the loss of its connection.
    pub(crate) resumes: bool,
    pub(crate) opened: Instant,
}

/// One peer, shared by both threads.
///
/// The fields for sending are in one cache line, those for receiving in the next one.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct PeerShared {
    pub(crate) outgoing: OutputQueue,
    pub(crate) conn: ConnId,
    pub(crate) id: PeerId,
    /// Notices of congestion and its end that the game has not taken.
    congestion_notices: AtomicU8,
    /// The same of suspensions and their end.
    suspension_notices: AtomicU8,
    state: AtomicU8,
    /// What the present connection has agreed on, or the last one.
    compression: AtomicU8,
    pub(crate) incoming: InputQueue,
    pub(crate) figures: PeerCounters,
    pub(crate) info: PeerInfo,
    /// The address of the present connection, or of the last one.
    address: Mutex<SocketAddr>,
    end: OnceLock<CloseReason>,
    /// How the game ends the session, from its call on: the driver may hear of something else first.
    wanted_end: OnceLock<Box<CloseReason>>,
}

impl PeerShared {
    pub(crate) fn new(conn: ConnId, id: PeerId, info: PeerInfo, totals: &QueueTotals) -> Self {
        Self {
            outgoing: OutputQueue::new(),
            conn,
            id,
            congestion_notices: AtomicU8::new(0),
            suspension_notices: AtomicU8::new(0),
            state: AtomicU8::new(PeerState::Open as u8),
            compression: AtomicU8::new(0),
            incoming: InputQueue::new(&totals.incoming),
            figures: PeerCounters::default(),
            address: Mutex::new(info.address),
            info,
            end: OnceLock::new(),
            wanted_end: OnceLock::new(),
        }
    }

    pub(crate) fn state(&self) -> PeerState {
        match self.state.load(Ordering::Acquire) {
            0 => PeerState::Connecting,
            1 => PeerState::Open,
            2 => PeerState::Closing,
            _ => PeerState::Closed,
        }
    }

    pub(crate) fn resumes(&self) -> bool {
        self.info.resumes
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Driver: the peer has come back from this address.
    pub(crate) fn set_address(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    fn compression(&self) -> &'static str {
        match self.compression.load(Ordering::Relaxed) {
            0 => "",
            1 => "shared",
            _ => "dedicated",
        }
    }

    /// Driver: the connection has agreed on this.
    pub(crate) fn set_compression(&self, compression: Option<Compression>) {
        let number = match compression {
            None => 0,
            Some(Compression::Shared) => 1,
            Some(Compression::Dedicated) => 2,
        };
        self.compression.store(number, Ordering::Relaxed);
    }

    /// Game thread: closes the peer. If it may come back, it is told this reason, whatever becomes of its connection before the Close is
    /// written.
    pub(crate) fn begin_closing(&self, reason: impl FnOnce() -> CloseReason) {
        if self.resumes() {
            let _ = self.wanted_end.set(Box::new(reason()));
        }
        self.set_closing();
    }

    pub(crate) fn wanted_end(&self) -> Option<&CloseReason> {
        self.wanted_end.get().map(Box::as_ref)
    }

    /// Moves on to `Closing`, never back from `Closed`.
    pub(crate) fn set_closing(&self) {
        self.state.fetch_max(PeerState::Closing as u8, Ordering::AcqRel);
    }

    pub(crate) fn set_closed(&self, reason: &CloseReason) {
        let _ = self.end.set(reason.clone());
        self.state.store(PeerState::Closed as u8, Ordering::Release);
    }

    /// Driver: returns whether one more notice of congestion, and of its end, may be emitted: not before the game has received the
    /// last ones.
    pub(crate) fn may_emit_congestion(&self) -> bool {
        self.congestion_notices.load(Ordering::Relaxed) < 2
    }

    /// Driver: notes that such a notice is emitted.
    pub(crate) fn note_congestion_emitted(&self) {
        self.congestion_notices.fetch_add(1, Ordering::Relaxed);
    }

    /// Game thread: notes that it has received such a notice.
    pub(crate) fn note_congestion_received(&self) {
        self.congestion_notices.fetch_sub(1, Ordering::Relaxed);
    }

    /// Driver: takes the right to emit one more suspension, and its end: not before the game has received the last ones.
    pub(crate) fn may_emit_suspension(&self) -> bool {
        let may = self.suspension_notices.load(Ordering::Relaxed) < 2;
        if may {
            self.suspension_notices.fetch_add(2, Ordering::Relaxed);
        }
        may
    }

    /// Game thread: notes that it has received such a notice.
    pub(crate) fn note_suspension_received(&self) {
        self.suspension_notices.fetch_sub(1, Ordering::Relaxed);
    }

    /// Why the connection ended; `None` while it is open.
    pub(crate) fn end(&self) -> Option<&CloseReason> {
        self.end.get()
    }

    /// Returns the present statistics.
    pub(crate) fn statistics(&self, now: Instant) -> PeerStatistics {
        let connected = now.saturating_duration_since(self.info.opened);
        let (queued_in_bytes, queued_in_packets) = self.incoming.load();
        let (queued_out_bytes, queued_out_packets) = self.outgoing.load();
        PeerStatistics {
            rtt_msec: self.figures.rtt().map_or(-1.0, |rtt| rtt.as_secs_f64() * 1000.0),
            compression: self.compression().to_owned(),
            queued_in_bytes,
            queued_in_packets,
            queued_out_bytes,
            queued_out_packets,
            connected_msec: connected.as_millis() as u64,
            last_receive_msec: connected.saturating_sub(self.figures.last_receive()).as_millis() as u64,
            last_packet_msec: self
                .figures
                .last_packet()
                .map_or(-1, |last| connected.saturating_sub(last).as_millis() as i64),
            address: self.address().ip().to_string(),
            port: self.address().port(),
            suspended: usize::from(self.outgoing.is_suspended()),
            protocol: self.info.protocol.clone(),
            path: self.info.target.clone(),
            ..self.figures.snapshot()
        }
    }

    /// Any thread: takes room for a packet by the rule in `backpressure`.
    #[inline]
    pub(crate) fn reserve(
        &self,
        size: usize,
        when_full: WhenFull,
        config: &PeerConfig,
        process_has_room: impl FnOnce() -> bool,
    ) -> Reservation {
        if self.state() != PeerState::Open {
            return Reservation::Closed;
        }
        let is_closed = || self.state() == PeerState::Closed;
        self.outgoing.reserve(size, when_full, &output_limits(config), process_has_room, is_closed)
    }

    /// Driver: the same for a packet that it queues itself. A game that closes the peer meanwhile has done so after it passed the packet,
    /// and the driver closes it later.
    pub(crate) fn reserve_now(
        &self,
        size: usize,
        when_full: WhenFull,
        config: &PeerConfig,
        process_has_room: bool,
    ) -> Reservation {
        self.outgoing.reserve(size, when_full, &output_limits(config), || process_has_room, || false)
    }

    /// Returns whether more waits than `set_buffers` allows for a congested peer, or would with `size` more bytes in `more` packets.
    pub(crate) fn is_over_output_limits(&self, size: usize, more: usize, config: &PeerConfig) -> bool {
        self.outgoing.is_over(size, more, &output_limits(config))
    }
}

const _: () = assert!(MOST_PACKETS <= super::budget::MOST_PACKETS, "counters hold what limits allow");

pub(crate) fn input_limits(config: &PeerConfig) -> InputLimits {
    InputLimits { bytes: config.buffers.input_bytes, packets: config.buffers.input_packets }
}

pub(crate) fn output_limits(config: &PeerConfig) -> OutputLimits {
    OutputLimits {
        bytes: config.buffers.output_bytes,
        packets: config.buffers.output_packets,
        burst_bytes: config.burst_bytes(),
        burst_packets: config.burst_packets(),
        droppable_bytes: config.unreliable_backlog,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::budget::{Budget, Charge, Counted, QueueTotal};
    use super::*;
    use crate::config::Buffers;

    const STEP: usize = 4096;

    #[test]
    fn a_reservation_takes_all_or_nothing() {
        let budget = Budget::new();
        assert!(budget.reserve(60, 100, 2));
        assert!(!budget.reserve(41, 100, 2));
        assert!(budget.reserve(40, 100, 2));
        assert!(!budget.reserve(0, 100, 2));
        assert_eq!(budget.load(), (100, 2));
        budget.release(60, 1);
        assert_eq!(budget.load(), (40, 1));
        budget.clear();
        budget.clear();
        assert_eq!(budget.load(), (0, 0));
        // The other thread has cleared it between a reservation and its release.
        budget.release(40, 1);
        assert_eq!(budget.load(), (0, 0));
    }

    #[test]
    fn what_becomes_of_a_packet_without_room() {
        const LIMITS: OutputLimits =
            OutputLimits { bytes: 100, packets: 3, burst_bytes: 400, burst_packets: 12, droppable_bytes: 50 };
        let after = |waiting: usize, congested, when_full, process_has_room, closed| {
            let queue = OutputQueue::new();
            queue.add(waiting);
            queue.set_congested(congested);
            let reservation = queue.reserve(10, when_full, &LIMITS, || process_has_room, || closed);
            let left = match reservation {
                Taken => waiting + 10,
                Closed => 0,
                _ => waiting,
            };
            assert_eq!(queue.load().0, left, "{reservation:?}");
            reservation
        };
        let each = [WhenFull::Drop, WhenFull::Refuse, WhenFull::Close];
        let outcomes = |waiting, congested, process_has_room, closed| {
            each.map(|when_full| after(waiting, congested, when_full, process_has_room, closed))
        };
        use Reservation::{Closed, Dropped, Overflow, Refused, Taken};
        // The room of a peer that is not congested.
        assert_eq!(outcomes(390, false, true, false), [Taken; 3]);
        assert_eq!(outcomes(391, false, true, false), [Dropped, Refused, Overflow]);
        // The room of a congested peer: the driver decides how long it may stay above its limits.
        assert_eq!(outcomes(50, true, true, false), [Taken; 3]);
        assert_eq!(outcomes(51, true, true, false), [Dropped, Taken, Taken]);
        assert_eq!(outcomes(91, true, true, false), [Dropped, Refused, Taken]);
        assert_eq!(outcomes(391, true, true, false), [Dropped, Refused, Overflow]);
        // No peer is closed because the process is full.
        assert_eq!(outcomes(0, false, false, false), [Dropped, Refused, Refused]);
        assert_eq!(outcomes(0, false, true, true), [Closed; 3]);
    }

    #[test]
    fn the_largest_limits_hold() {
        let buffers = Buffers::rounded(1, 1, Buffers::MAX, Buffers::MAX).expect("the largest there are");
        let config = PeerConfig { buffers, ..PeerConfig::default() };
        let (bytes, packets) = (config.burst_bytes(), config.burst_packets());
        let budget = Budget::new();
        let taken = (0..=packets).take_while(|_| budget.reserve(1, bytes, packets)).count();
        assert_eq!((taken, budget.load()), (packets, (packets, packets)));
        budget.clear();
        let size = buffers.output_bytes;
        let taken = (0..=bytes / size).take_while(|_| budget.reserve(size, bytes, packets)).count();
        // Addresses of 32 bits do not reach further than three of the largest.
        let most = if usize::BITS == 32 { 3 } else { 16 };
        assert_eq!((taken, budget.load()), (most, (most * size, most)));
    }

    #[test]
    fn the_process_counts_in_steps_and_forgets_what_was_dropped() {
        let total = Arc::new(QueueTotal::new(10 * STEP));
        let (one, two) = (Counted::new(&total), Counted::new(&total));
        one.add(STEP - 1, 1);
        assert!(total.has_room(10 * STEP));
        one.add(1, 1);
        two.add(3 * STEP + 5, 1);
        assert!(total.has_room(6 * STEP) && !total.has_room(6 * STEP + 1));
        one.release(1, 1);
        assert!(total.has_room(7 * STEP));
        drop(two);
        assert!(total.has_room(10 * STEP));
    }

    #[test]
    fn a_queue_of_four_gib_is_full_where_addresses_have_32_bits() {
        const MOST: usize = u32::MAX as usize;
        let budget = Budget::new();
        assert!(budget.reserve(MOST - 10, MOST, 10));
        assert!(!budget.reserve(20, MOST, 10));
        assert!(budget.reserve(10, MOST, 10));
        // More may wait for a moment, until the other thread finds that it is too much.
        budget.add(20);
        assert!(!budget.reserve(1, MOST, 10));
        budget.release(20, 1);
        assert_eq!(budget.load(), (MOST, 2));
    }

    #[test]
    fn a_charge_is_given_back_whole() {
        let total = Arc::new(QueueTotal::new(100_000));
        let (mut one, mut two) = (Charge::new(&total), Charge::new(&total));
        one.set(50_000);
        two.follow(STEP - 1);
        assert_eq!((total.bytes(), total.is_short()), (50_000, false));
        two.follow(STEP);
        two.set(25_001);
        assert!(total.is_short() && total.has_room(24_999) && !total.has_room(25_000));
        one.set(10);
        assert_eq!(total.bytes(), 25_011);
        drop((one, two));
        assert_eq!(total.bytes(), 0);
    }
}
