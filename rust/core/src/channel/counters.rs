//! The figures of `get_statistics()` and `get_peer_statistics()`: each is one line of one of the two lists below.
//!
//! A line makes the counter, the field of the snapshot, and the key for scripts. A test compares the lists with `docs/statistics.md`, and
//! prints the missing rows.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The description of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The key in a dictionary.
    pub name: &'static str,
    /// The unit.
    pub unit: Unit,
    /// The meaning.
    pub description: &'static str,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// A count.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// A text.
    Text,
}

/// The value of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An integer.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(&'a str),
}

/// Makes the struct of counters and the snapshot from a list of figures. A line contains the name, the type in the snapshot, the kind of
/// counter, the unit and the description.
macro_rules! figures {
    (
        $(#[$of_snapshot:meta])* pub struct $Snapshot:ident;
        $(#[$of_counters:meta])* pub(crate) struct $Counters:ident
            { $($(#[$of_other:meta])* $other:ident: $Other:ty,)* }
        $($name:ident: $Type:ty, $Kind:ident, $unit:ident, $description:literal;)*
    ) => {
        $(#[$of_snapshot])*
        pub struct $Snapshot {
            $(#[doc = $description] pub $name: $Type,)*
        }

        $(#[$of_counters])*
        pub(crate) struct $Counters {
            $(pub(crate) $name: $Kind,)*
            $($(#[$of_other])* pub(crate) $other: $Other,)*
        }

        impl $Snapshot {
            /// All figures, in order.
            pub const FIGURES: &'static [Figure] = &[$(Figure {
                name: stringify!($name),
                unit: Unit::$unit,
                description: $description,
            },)*];

            /// The names and values of all figures, in order.
            pub fn values(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
                [$((stringify!($name), Value::from(&self.$name)),)*].into_iter()
            }
        }

        impl $Counters {
            /// Returns the present values. The caller fills in the figures that are [`Given`].
            pub(crate) fn snapshot(&self) -> $Snapshot {
                $Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

figures! {
    /// Counters of one server or client since it was opened.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct Statistics;

    /// The counters of one server or client. The driver writes all of them except for the [`Game`]'s and half of the
    /// [`Both`]'s.
    #[derive(Debug, Default)]
    pub(crate) struct Counters {
        /// Clients that connected, or request it, and of which the game has not taken the notice yet.
        arrivals: AtomicUsize,
    }

    peers: usize, Given, Count, "Connected peers.";
    pending: usize, Gauge, Count, "Handshakes in progress.";
    bytes_in: u64, Counter, Bytes, "Bytes read from sockets.";
    bytes_out: u64, Counter, Bytes, "Bytes written to sockets.";
    packets_in: u64, Counter, Count, "Messages received; one for several receivers counts once.";
    packets_out: u64, Counter, Count, "Messages written completely.";
    deflated_out_bytes: u64, Counter, Bytes, "Sizes of sent messages before they were compressed; those that were not do not count.";
    compressed_out_bytes: u64, Counter, Bytes, "The sizes of these messages when they were compressed.";
    compressed_in_bytes: u64, Counter, Bytes, "Sizes of received messages that were compressed, as they came.";
    inflated_in_bytes: u64, Counter, Bytes, "The sizes of these messages when they were decompressed.";
    compression_bytes: usize, Gauge, Bytes, "Memory of all compressors and decompressors.";
    packets_relayed: u64, Counter, Count, "On a server: packets of clients for other clients that the I/O thread relayed, once for each receiver.";
    bytes_relayed: u64, Counter, Bytes, "The sizes of these packets together.";
    packets_folded: u64, Counter, Count, "Packets for other clients that shared the message of another one: on a client those that it saved, on a server those that all its clients saved.";
    packets_refused: u64, Both, Count, "Packets refused because there was no room.";
    packets_dropped_unreliable: u64, Both, Count, "Unreliable packets dropped because a peer did not keep up.";
    packets_to_closed: u64, Both, Count, "Packets to peers that were closed already.";
    peers_overflowed: u64, Counter, Count, "Peers closed because they did not keep up.";
    peers_violated: u64, Counter, Count, "Peers closed because they violated the protocol or a limit of receiving.";
    peers_timed_out: u64, Counter, Count, "Peers dropped because they sent nothing, accepted no data, or did not answer a Close frame for too long.";
    reads_paused: u64, Counter, Count, "How often a peer was not read for a while, because its input buffer was full or it sent faster than allowed.";
    peers_suspended: usize, Gauge, Count, "Peers that have lost their connection and may come back within `resume_timeout`.";
    sessions_resumed: u64, Counter, Count, "How often a peer came back on a new connection.";
    sessions_expired: u64, Counter, Count, "Suspended peers that did not come back in time.";
    pings_unanswered: u64, Counter, Count, "Pings without an answer, because so many pongs were waiting that only the last ping is answered.";
    handshakes_refused: u64, Counter, Count, "Connections that failed before they were connected: the following ten, and those that broke off.";
    refused_malformed: u64, Counter, Count, "Rejected: the request was malformed.";
    refused_address: u64, Counter, Count, "Rejected: the address had too many connections.";
    refused_origin: u64, Counter, Count, "Rejected: the origin is not in `allowed_origins`.";
    refused_full: u64, Counter, Count, "Rejected: the server was full, or `refuse_new_connections` was set.";
    refused_handler: u64, Counter, Count, "Rejected: by `request_handler`, or because its result was invalid.";
    refused_busy: u64, Counter, Count, "Rejected: too many events were waiting, because the game did not poll.";
    refused_resume: u64, Counter, Count, "Rejected: the client wanted a session back that has ended, or is not known.";
    refused_too_soon: u64, Counter, Count, "Rejected for now: the client wanted its session back too often, or in early data, and tries again.";
    handshakes_timed_out: u64, Counter, Count, "Handshakes that exceeded their time.";
    pending_evicted: u64, Counter, Count, "Pending connections that were dropped for waiting clients: silent for a second, or slow and many of one address.";
    health_checks: u64, Counter, Count, "Answered health checks and requests for metrics, which do not count as handshakes.";
    accept_errors: u64, Counter, Count, "How often the operating system had no socket for a new connection.";
    poll_usec: u64, Game, Microseconds, "Time in those calls of `poll()` that found something, including signal handlers.";
    io_wakeups: u64, Counter, Count, "How often the I/O thread woke up.";
}

figures! {
    /// The statistics of one peer.
    #[derive(Clone, Debug, PartialEq)]
    pub struct PeerStatistics;

    /// The counters of one peer, written by the driver only.
    #[derive(Debug, Default)]
    #[repr(align(64))]
    pub(crate) struct PeerCounters {
        /// When data was received last, in milliseconds after `PeerInfo::opened`.
        last_receive: AtomicU64,
        /// When a packet was received last, in milliseconds after `PeerInfo::opened`, plus one; 0: never.
        last_packet: AtomicU64,
        /// Microseconds plus one; 0: unknown.
        round_trip: AtomicU32,
    }

    rtt_msec: f64, Given, Milliseconds, "Round-trip time of the last ping; -1 if unknown.";
    bytes_in: u64, Counter, Bytes, "Bytes read from its socket.";
    bytes_out: u64, Counter, Bytes, "Bytes written to its socket.";
    packets_in: u64, Counter, Count, "Messages received; one for several receivers counts once.";
    packets_out: u64, Counter, Count, "Messages written completely.";
    compression: String, Given, Text, "Agreed compression of messages: `shared`, `dedicated`, or empty.";
    deflated_out_bytes: u64, Counter, Bytes, "Sizes of sent messages before they were compressed; those that were not do not count.";
    compressed_out_bytes: u64, Counter, Bytes, "The sizes of these messages when they were compressed.";
    compressed_in_bytes: u64, Counter, Bytes, "Sizes of received messages that were compressed, as they came.";
    inflated_in_bytes: u64, Counter, Bytes, "The sizes of these messages when they were decompressed.";
    queued_in_bytes: usize, Given, Bytes, "Bytes received and not taken by the game.";
    queued_in_packets: usize, Given, Count, "Packets received and not taken by the game.";
    queued_out_bytes: usize, Given, Bytes, "Bytes that wait to be sent.";
    queued_out_packets: usize, Given, Count, "Packets that wait to be sent.";
    connected_msec: u64, Given, Milliseconds, "Time since the peer connected.";
    last_receive_msec: u64, Given, Milliseconds, "Time since data was received.";
    last_packet_msec: i64, Given, Milliseconds, "Time since a packet of the game was received; -1 if none was. Pongs and control messages do not count.";
    suspended: usize, Given, Count, "1 while the peer has no connection and may come back, else 0.";
    resumes: u64, Counter, Count, "How often the peer came back on a new connection.";
    unacked_bytes: usize, Gauge, Bytes, "Bytes sent, and kept because the peer has not acknowledged them; 0 without `resume_timeout`.";
    unacked_packets: usize, Gauge, Count, "The same in packets.";
    address: String, Given, Text, "Remote IP address.";
    port: u16, Given, Count, "Remote port.";
    protocol: String, Given, Text, "Negotiated subprotocol, or empty.";
    path: String, Given, Text, "Path and query of the request.";
}

impl PeerCounters {
    pub(crate) fn set_last_receive(&self, at: Duration) {
        self.last_receive.store(at.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn last_receive(&self) -> Duration {
        Duration::from_millis(self.last_receive.load(Ordering::Relaxed))
    }

    pub(crate) fn set_last_packet(&self, at: Duration) {
        self.last_packet.store(at.as_millis() as u64 + 1, Ordering::Relaxed);
    }

    pub(crate) fn last_packet(&self) -> Option<Duration> {
        self.last_packet.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.round_trip.store(micros.saturating_add(1), Ordering::Relaxed);
    }

    /// The connection is lost: what was measured on it says nothing of the next one.
    pub(crate) fn forget_rtt(&self) {
        self.round_trip.store(0, Ordering::Relaxed);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(u64::from(micros)))
    }
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        // One writer: a plain store is enough, and cheaper than an atomic addition.
        self.0.store(self.0.load(Ordering::Relaxed) + n as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter that the game's thread writes. It has a cache line of its own, so that a change does not remove the other counters from the
/// cache of the driver's processor.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Game(Counter);

impl Game {
    pub(crate) fn set(&self, n: u64) {
        self.0.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, n: usize) {
        self.0.add(n);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A counter for which both threads have one of their own: the game for what it sends, the driver for what it relays.
#[derive(Debug, Default)]
pub(crate) struct Both {
    pub(crate) game: Game,
    pub(crate) driver: Counter,
}

impl Both {
    pub(crate) fn get(&self) -> u64 {
        self.game.get() + self.driver.get()
    }
}

/// A value that increases and decreases.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    pub(crate) fn set(&self, n: usize) {
        self.0.store(n, Ordering::Relaxed);
    }

    // One writer, as with a counter.
    pub(crate) fn increase(&self) {
        self.set(self.get() + 1);
    }

    pub(crate) fn decrease(&self) {
        self.set(self.get() - 1);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A figure that is not counted, but determined for each snapshot.
#[derive(Debug, Default)]
pub(crate) struct Given;

impl Given {
    #[expect(clippy::unused_self, reason = "as the counters have it")]
    fn get<T: Default>(&self) -> T {
        T::default()
    }
}

impl From<&u64> for Value<'_> {
    fn from(value: &u64) -> Self {
        Self::Integer(i64::try_from(*value).unwrap_or(i64::MAX))
    }
}

impl From<&i64> for Value<'_> {
    fn from(value: &i64) -> Self {
        Self::Integer(*value)
    }
}

impl From<&usize> for Value<'_> {
    fn from(value: &usize) -> Self {
        Self::from(&(*value as u64))
    }
}

impl From<&u16> for Value<'_> {
    fn from(value: &u16) -> Self {
        Self::Integer(i64::from(*value))
    }
}

impl From<&f64> for Value<'_> {
    fn from(value: &f64) -> Self {
        Self::Float(*value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(figures: &[Figure]) -> Vec<String> {
        let row = |figure: &Figure| {
            let unit = match figure.unit {
                Unit::Count => "",
                Unit::Bytes => "bytes",
                Unit::Milliseconds => "ms",
                Unit::Microseconds => "µs",
                Unit::Text => "text",
            };
            let description = figure.description.trim_end_matches('.');
            format!("| `{}` | {unit} | {description} |", figure.name).replace("|  |", "| |")
        };
        figures.iter().map(row).collect()
    }

    #[test]
    fn the_documented_figures_are_those_that_are_counted() {
        let page = include_str!("../../../../docs/statistics.md").replace("\r\n", "\n");
        let tables: Vec<Vec<&str>> = page
            .split("\n## ")
            .skip(1)
            .map(|section| section.lines().filter(|line| line.starts_with("| `")).collect())
            .collect();
        for (figures, table) in [Statistics::FIGURES, PeerStatistics::FIGURES].into_iter().zip(&tables) {
            let expected = rows(figures);
            let missing: Vec<_> =
                expected.iter().filter(|row| !table.contains(&row.as_str())).map(String::as_str).collect();
            assert!(missing.is_empty(), "not in docs/statistics.md:\n{}", missing.join("\n"));
            assert_eq!(expected, *table, "docs/statistics.md has others, or another order");
        }
        assert_eq!(tables.len(), 2);
    }

    #[test]
    fn a_snapshot_has_each_figure_once_in_the_order_of_the_list() {
        let counters = Counters::default();
        counters.pending.set(3);
        counters.bytes_in.add(40);
        counters.bytes_in.add(2);
        counters.packets_refused.game.add(1);
        let statistics = Statistics { peers: 5, ..counters.snapshot() };
        let values: Vec<_> = statistics.values().filter(|(_, value)| *value != Value::Integer(0)).collect();
        let expected = [("peers", 5), ("pending", 3), ("bytes_in", 42), ("packets_refused", 1)];
        assert_eq!(values, expected.map(|(name, value)| (name, Value::Integer(value))));
        let names: Vec<_> = Statistics::FIGURES.iter().map(|figure| figure.name).collect();
        assert!(statistics.values().map(|(name, _)| name).eq(names.iter().copied()));
        let peer = PeerStatistics { rtt_msec: 1.5, port: 80, ..PeerCounters::default().snapshot() };
        let values: Vec<_> = peer.values().filter(|(_, value)| *value != Value::Integer(0)).collect();
        let nothing = Value::Text("");
        let expected = [
            ("rtt_msec", Value::Float(1.5)),
            ("compression", nothing),
            ("address", nothing),
            ("port", Value::Integer(80)),
            ("protocol", nothing),
            ("path", nothing),
        ];
        assert_eq!(values, expected);
    }
}
