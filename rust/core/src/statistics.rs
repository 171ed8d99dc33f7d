//! Figures for a game's own display.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::link::Link;
use crate::net::mailbox::Totals;

/// Totals of one server or client since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Connected peers.
    pub peers: usize,
    /// Handshakes under way.
    pub pending: usize,
    /// Bytes read from sockets.
    pub bytes_in: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Messages received.
    pub packets_in: u64,
    /// Messages written whole.
    pub packets_out: u64,
    /// Packets that found no room and were not taken.
    pub packets_refused: u64,
    /// Unreliable packets dropped because a peer did not keep up.
    pub packets_dropped_unreliable: u64,
    /// Packets for a peer that was gone already.
    pub packets_to_closed: u64,
    /// Peers closed because they did not keep up.
    pub peers_overflowed: u64,
    /// Peers whose connection was failed, because they broke the protocol or met a limit of receiving.
    pub peers_violated: u64,
    /// Peers dropped because they said nothing, took nothing, or did not answer a Close for too long.
    pub peers_timed_out: u64,
    /// Times that a peer was not read for a while, because its input buffer was full or it sent faster than it may.
    pub reads_paused: u64,
    /// Pings that came while so many answers waited to be written that only the last ping is answered.
    pub pings_unanswered: u64,
    /// Connections that did not get in: all of the following and those that broke off.
    pub handshakes_refused: u64,
    /// No request that can be answered with 101.
    pub refused_malformed: u64,
    /// Too many connections of one address.
    pub refused_address: u64,
    /// Web pages that may not connect.
    pub refused_origin: u64,
    /// No room, or nobody was admitted.
    pub refused_full: u64,
    /// The game's handler said no, or nothing that can be used.
    pub refused_handler: u64,
    /// The game had not polled for too long.
    pub refused_busy: u64,
    /// The handshake took too long.
    pub handshakes_timed_out: u64,
    /// Silent, or slow and many of their address, for a second while others waited.
    pub pending_evicted: u64,
    /// Health checks answered; they are no handshakes.
    pub health_checks: u64,
    /// Times that the system could not give a socket for a new connection.
    pub accept_errors: u64,
    /// Microseconds spent in those polls that found something.
    pub poll_usec: u64,
    /// Times that the I/O thread woke up.
    pub io_wakeups: u64,
}

impl Statistics {
    pub(crate) fn add_totals(&mut self, totals: &Totals) {
        self.pending = totals.pending.load(Ordering::Relaxed);
        self.bytes_in = totals.bytes_in.get();
        self.bytes_out = totals.bytes_out.get();
        self.packets_in = totals.packets_in.get();
        self.packets_out = totals.packets_out.get();
        self.peers_overflowed = totals.peers_overflowed.get();
        self.peers_violated = totals.peers_violated.get();
        self.peers_timed_out = totals.peers_timed_out.get();
        self.reads_paused = totals.reads_paused.get();
        self.pings_unanswered = totals.pings_unanswered.get();
        self.handshakes_refused = totals.handshakes_refused.get();
        self.refused_malformed = totals.refused_malformed.get();
        self.refused_address = totals.refused_address.get();
        self.refused_origin = totals.refused_origin.get();
        self.refused_full = totals.refused_full.get();
        self.refused_handler = totals.refused_handler.get();
        self.refused_busy = totals.refused_busy.get();
        self.handshakes_timed_out = totals.handshakes_timed_out.get();
        self.pending_evicted = totals.pending_evicted.get();
        self.health_checks = totals.health_checks.get();
        self.accept_errors = totals.accept_errors.get();
        self.io_wakeups = totals.wakeups.get();
    }
}

/// Figures of one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatistics {
    /// Round trip of the last ping in milliseconds; -1 = unknown.
    pub rtt_msec: f64,
    /// Bytes read from its socket.
    pub bytes_in: u64,
    /// Bytes written to its socket.
    pub bytes_out: u64,
    /// Messages received.
    pub packets_in: u64,
    /// Messages written whole.
    pub packets_out: u64,
    /// Received bytes that the game has not taken.
    pub queued_in_bytes: usize,
    /// The same in packets.
    pub queued_in_packets: usize,
    /// Bytes that wait to be written.
    pub queued_out_bytes: usize,
    /// The same in packets.
    pub queued_out_packets: usize,
    /// Milliseconds since it is connected.
    pub connected_msec: u64,
    /// Milliseconds since something was received.
    pub last_receive_msec: u64,
    /// Remote IP address.
    pub address: String,
    /// Remote port.
    pub port: u16,
    /// Subprotocol agreed on.
    pub protocol: String,
    /// Path and query of the request.
    pub path: String,
}

impl PeerStatistics {
    pub(crate) fn of(link: &Link) -> Self {
        let figures = &link.figures;
        let connected = Instant::now().saturating_duration_since(link.info.opened);
        let (queued_in_bytes, queued_in_packets) = link.receiving.budget.load();
        let (queued_out_bytes, queued_out_packets) = link.outgoing.load();
        Self {
            rtt_msec: figures.rtt().map_or(-1.0, |rtt| rtt.as_secs_f64() * 1000.0),
            bytes_in: figures.bytes_in.get(),
            bytes_out: figures.bytes_out.get(),
            packets_in: figures.packets_in.get(),
            packets_out: figures.packets_out.get(),
            queued_in_bytes,
            queued_in_packets,
            queued_out_bytes,
            queued_out_packets,
            connected_msec: connected.as_millis() as u64,
            last_receive_msec: connected.saturating_sub(figures.last_receive()).as_millis() as u64,
            address: link.info.address.ip().to_string(),
            port: link.info.address.port(),
            protocol: link.info.protocol.clone(),
            path: link.info.target.clone(),
        }
    }
}
