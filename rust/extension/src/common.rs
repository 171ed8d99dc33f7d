//! The members that `WebSocketServer`, `WebSocketClient` and `BufferedWebSocketMultiplayerPeer` share.
//!
//! gdext wants properties in the struct, and signals and property accessors in the primary `#[godot_api]`
//! block: one macro writes both, with room for what a class has on its own. Everything else is in a secondary
//! block of the second macro.

/// Expands to a class with the common properties and signals, and its own.
macro_rules! multiplayer_class {
    (
        $(#[$($attr:tt)*])*
        class $class:ident: $kind:ident {
            $($fields:tt)*
        }
        accessors {
            $($accessors:tt)*
        }
    ) => {
        #[derive(godot::register::GodotClass)]
        $(#[$($attr)*])*
        pub(crate) struct $class {
            base: godot::obj::Base<godot::classes::MultiplayerPeerExtension>,

            #[init(val = $crate::host::PeerHost::new($crate::report::Kind::$kind))]
            host: $crate::host::PeerHost,

            /// How multiplayer packets look on the wire: `WIRE_FORMAT_GODOT4` (the default) talks to 4.x
            /// engines, their built-in `WebSocketMultiplayerPeer` included, `WIRE_FORMAT_GODOT3` to the 3.x
            /// classes. Fixed while open. Without meaning in raw mode.
            #[var(get = get_wire_format, set = set_wire_format)]
            wire_format: PhantomVar<i64>,

            /// Seconds between the pings to each peer. 0 = none. Must be less than `heartbeat_timeout`, unless that
            /// is 0. The handle of a peer has one of its own.
            #[var(get = get_heartbeat_interval, set = set_heartbeat_interval)]
            heartbeat_interval: PhantomVar<f64>,

            /// Seconds without any received data after which a peer counts as lost and is dropped
            /// (`was_clean_close` is false). 0 = never.
            #[var(get = get_heartbeat_timeout, set = set_heartbeat_timeout)]
            heartbeat_timeout: PhantomVar<f64>,

            /// Seconds that a peer may take no byte while data waits for it; after them it is dropped. 0 =
            /// never.
            #[var(get = get_write_timeout, set = set_write_timeout)]
            write_timeout: PhantomVar<f64>,

            /// Seconds from the TCP connection (on a client: from the call) until the peer must be usable.
            /// More than 0.
            #[var(get = get_handshake_timeout, set = set_handshake_timeout)]
            handshake_timeout: PhantomVar<f64>,

            /// Seconds that the other side has to answer a close request before the connection is cut. More
            /// than 0.
            #[var(get = get_close_timeout, set = set_close_timeout)]
            close_timeout: PhantomVar<f64>,

            /// Largest message accepted from the other side, in KiB, 1 to 1048576. The input buffer's size
            /// unless set. A larger one ends the connection with code 1009.
            #[var(get = get_max_message_size_kb, set = set_max_message_size_kb)]
            max_message_size_kb: PhantomVar<i64>,

            /// What happens in multiplayer mode to a peer that does not take its reliable packets fast
            /// enough: `OVERFLOW_DISCONNECT` (the default) closes it with code 1013 after `overflow_grace`,
            /// `OVERFLOW_REFUSE` makes `put_packet()` return `ERR_OUT_OF_MEMORY` until there is room.
            /// RPCs and synchronizers ignore what it returns, and what is refused then is lost, which
            /// `packets_refused` of `get_statistics()` counts.
            #[var(get = get_overflow_policy, set = set_overflow_policy)]
            overflow_policy: PhantomVar<i64>,

            /// Seconds that a congested peer may stay above its output limits under `OVERFLOW_DISCONNECT`.
            #[var(get = get_overflow_grace, set = set_overflow_grace)]
            overflow_grace: PhantomVar<f64>,

            /// KiB that may wait for a congested peer before unreliable packets for it are dropped. 0 = never
            /// drop.
            #[var(get = get_unreliable_backlog_kb, set = set_unreliable_backlog_kb)]
            unreliable_backlog_kb: PhantomVar<i64>,

            /// Simulates a bad network: each byte arrives so many milliseconds later, 0 to 10000, in both
            /// directions, so that a round trip takes twice as much longer (four times with the same on the
            /// other side). Handshakes take longer too. Like all `simulate_*` it may change while connected,
            /// and does nothing in release builds unless the project setting
            /// `network/websocket/simulate_in_release` says so.
            #[var(get = get_simulate_latency_msec, set = set_simulate_latency_msec)]
            simulate_latency_msec: PhantomVar<i64>,

            /// Simulates a bad network: at most so many milliseconds come on top of the latency, 0 to 10000, by
            /// chance for each 1460 bytes. Nothing is overtaken: what is late keeps back what comes behind it.
            #[var(get = get_simulate_jitter_msec, set = set_simulate_jitter_msec)]
            simulate_jitter_msec: PhantomVar<i64>,

            /// Simulates a bad network: so many kilobits (1000 bits) per second in each direction of each
            /// connection, up to 1000000. 0 = no limit. What is too much waits, as behind any peer that does
            /// not keep up.
            #[var(get = get_simulate_bandwidth_kbps, set = set_simulate_bandwidth_kbps)]
            simulate_bandwidth_kbps: PhantomVar<i64>,

            /// Simulates a bad network: so often, in seconds from 2 to 3600, nothing arrives for one second in
            /// either direction. 0 = never.
            #[var(get = get_simulate_stall_every_sec, set = set_simulate_stall_every_sec)]
            simulate_stall_every_sec: PhantomVar<i64>,

            /// Simulates a bad network: the same seed draws the same jitter and the same stalls for connections
            /// that come and go in the same order.
            #[var(get = get_simulate_seed, set = set_simulate_seed)]
            simulate_seed: PhantomVar<i64>,

            $($fields)*
        }

        #[godot::register::godot_api]
        impl $class {
            /// A packet can be read. Multiplayer mode only; emitted from `poll()` once per packet, in the
            /// order of arrival.
            #[signal]
            fn peer_packet(peer_source: i64);

            /// A packet of `size` bytes for several peers did not go to peer `id`: under `OVERFLOW_REFUSE` it
            /// had no room for it, and the others got it; with either policy no peer got it when the whole
            /// process had no room.
            #[signal]
            fn packet_refused(id: i64, size: i64);

            /// The connection to a peer takes no more data for now, and more than half of the output buffer
            /// is waiting.
            #[signal]
            fn peer_congested(id: i64);

            /// Everything that waited for a congested peer has left.
            #[signal]
            fn peer_drained(id: i64);

            /// A peer is being closed because it did not take its packets fast enough
            /// (`OVERFLOW_DISCONNECT`).
            #[signal]
            fn peer_overflowed(id: i64);

            /// Client, multiplayer mode: connected, and the id has been assigned.
            #[signal]
            fn connection_succeeded();

            /// Client, multiplayer mode: the connection could not be made. `get_last_error()` says why.
            #[signal]
            fn connection_failed();

            /// Client, multiplayer mode: the connection that had been made is lost or was closed.
            /// `get_last_error()` says why.
            #[signal]
            fn server_disconnected();

            #[func]
            fn get_wire_format(&self) -> i64 {
                self.host.wire_format_number()
            }

            #[func]
            fn set_wire_format(&mut self, format: i64) {
                self.host.set_wire_format(format);
            }

            #[func]
            fn get_heartbeat_interval(&self) -> f64 {
                self.host.seconds(Seconds::HeartbeatInterval)
            }

            #[func]
            fn set_heartbeat_interval(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::HeartbeatInterval, seconds);
            }

            #[func]
            fn get_heartbeat_timeout(&self) -> f64 {
                self.host.seconds(Seconds::HeartbeatTimeout)
            }

            #[func]
            fn set_heartbeat_timeout(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::HeartbeatTimeout, seconds);
            }

            #[func]
            fn get_write_timeout(&self) -> f64 {
                self.host.seconds(Seconds::WriteTimeout)
            }

            #[func]
            fn set_write_timeout(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::WriteTimeout, seconds);
            }

            #[func]
            fn get_handshake_timeout(&self) -> f64 {
                self.host.seconds(Seconds::HandshakeTimeout)
            }

            #[func]
            fn set_handshake_timeout(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::HandshakeTimeout, seconds);
            }

            #[func]
            fn get_close_timeout(&self) -> f64 {
                self.host.seconds(Seconds::CloseTimeout)
            }

            #[func]
            fn set_close_timeout(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::CloseTimeout, seconds);
            }

            #[func]
            fn get_max_message_size_kb(&self) -> i64 {
                self.host.max_message_size_kb()
            }

            #[func]
            fn set_max_message_size_kb(&mut self, size_kb: i64) {
                self.host.set_max_message_size_kb(size_kb);
            }

            #[func]
            fn get_overflow_policy(&self) -> i64 {
                self.host.overflow_policy_number()
            }

            #[func]
            fn set_overflow_policy(&mut self, policy: i64) {
                self.host.set_overflow_policy(policy);
            }

            #[func]
            fn get_overflow_grace(&self) -> f64 {
                self.host.seconds(Seconds::OverflowGrace)
            }

            #[func]
            fn set_overflow_grace(&mut self, seconds: f64) {
                self.host.set_seconds(Seconds::OverflowGrace, seconds);
            }

            #[func]
            fn get_unreliable_backlog_kb(&self) -> i64 {
                self.host.unreliable_backlog_kb()
            }

            #[func]
            fn set_unreliable_backlog_kb(&mut self, size_kb: i64) {
                self.host.set_unreliable_backlog_kb(size_kb);
            }

            #[func]
            fn get_simulate_latency_msec(&self) -> i64 {
                self.host.simulation(Simulation::LatencyMsec)
            }

            #[func]
            fn set_simulate_latency_msec(&mut self, msec: i64) {
                self.host.set_simulation(Simulation::LatencyMsec, msec);
            }

            #[func]
            fn get_simulate_jitter_msec(&self) -> i64 {
                self.host.simulation(Simulation::JitterMsec)
            }

            #[func]
            fn set_simulate_jitter_msec(&mut self, msec: i64) {
                self.host.set_simulation(Simulation::JitterMsec, msec);
            }

            #[func]
            fn get_simulate_bandwidth_kbps(&self) -> i64 {
                self.host.simulation(Simulation::BandwidthKbps)
            }

            #[func]
            fn set_simulate_bandwidth_kbps(&mut self, kbps: i64) {
                self.host.set_simulation(Simulation::BandwidthKbps, kbps);
            }

            #[func]
            fn get_simulate_stall_every_sec(&self) -> i64 {
                self.host.simulation(Simulation::StallEverySec)
            }

            #[func]
            fn set_simulate_stall_every_sec(&mut self, seconds: i64) {
                self.host.set_simulation(Simulation::StallEverySec, seconds);
            }

            #[func]
            fn get_simulate_seed(&self) -> i64 {
                self.host.simulation(Simulation::Seed)
            }

            #[func]
            fn set_simulate_seed(&mut self, seed: i64) {
                self.host.set_simulation(Simulation::Seed, seed);
            }

            $($accessors)*
        }

        $crate::common::common_methods!($class);
        $crate::virtuals::multiplayer_virtuals!($class);
    };
}
pub(crate) use multiplayer_class;

/// Expands to the common methods and constants.
macro_rules! common_methods {
    ($class:ident) => {
        #[godot::register::godot_api(secondary)]
        impl $class {
            /// The wire format of 4.x engines: bare packets, peer ids in the first message.
            #[constant]
            const WIRE_FORMAT_GODOT4: i64 = $crate::tuning::WIRE_FORMAT_GODOT4;

            /// The wire format of the 3.x classes: a header of 9 bytes before each packet.
            #[constant]
            const WIRE_FORMAT_GODOT3: i64 = $crate::tuning::WIRE_FORMAT_GODOT3;

            /// A peer that does not take its reliable packets fast enough is closed with code 1013.
            #[constant]
            const OVERFLOW_DISCONNECT: i64 = $crate::tuning::OVERFLOW_DISCONNECT;

            /// `put_packet()` returns `ERR_OUT_OF_MEMORY` while a peer has no room.
            #[constant]
            const OVERFLOW_REFUSE: i64 = $crate::tuning::OVERFLOW_REFUSE;

            /// The handle of a connected peer, always the same object while it is connected. An unknown id
            /// prints an error and gives null. On a client only id 1, the server, exists, from the call that opens
            /// on. While the end of a peer is told, its handle still has the close code and reason.
            /// ```gdscript
            /// var server := WebSocketServer.new()
            ///
            /// func _ready() -> void:
            ///     server.client_connected.connect(_greet)
            ///     server.listen(9080)
            ///
            /// func _process(_delta: float) -> void:
            ///     server.poll()
            ///
            /// func _greet(id: int, _protocol: String) -> void:
            ///     var peer := server.get_peer(id)
            ///     peer.send_text("hello, " + peer.get_connected_host())
            /// ```
            #[func]
            fn get_peer(&self, peer_id: i64) -> Option<godot::obj::Gd<$crate::classes::WebSocketPeer>> {
                self.host.peer("get_peer", peer_id)
            }

            /// Sets the queue limits of each connected peer: buffers in KiB, and packets. Each value, 1 to
            /// 1048576, is rounded up to a power of two. A packet larger than the output buffer is refused.
            /// Returns `ERR_INVALID_PARAMETER` for a value out of range, and `FAILED` while open; nothing is
            /// changed then.
            /// ```gdscript
            /// var server := WebSocketServer.new()
            /// # Packets of up to a megabyte towards each player.
            /// server.set_buffers(64, 1024, 1024, 1024)
            /// ```
            #[func]
            fn set_buffers(
                &mut self,
                input_buffer_size_kb: i64,
                input_max_packets: i64,
                output_buffer_size_kb: i64,
                output_max_packets: i64,
            ) -> godot::global::Error {
                self.host.set_buffers(
                    input_buffer_size_kb,
                    input_max_packets,
                    output_buffer_size_kb,
                    output_max_packets,
                )
            }

            /// Sends a packet to the target of `set_target_peer()` with the current transfer mode.
            ///
            /// Returns `ERR_UNCONFIGURED` when not connected, `FAILED` on a client whose connection has ended since the
            /// last `poll()`, `ERR_INVALID_PARAMETER` for an unknown target or an empty packet, and
            /// `ERR_OUT_OF_MEMORY` for one that is larger than the output buffer, finds no room in the whole process
            /// (`network/limits/websocket_total_queue_mb`) or, with `OVERFLOW_REFUSE`, none for its peer.
            // The engine's own answers OK to an empty packet without asking anybody.
            #[func(rename = put_packet)]
            fn put_packet_of_script(
                &mut self,
                buffer: godot::builtin::PackedByteArray,
            ) -> godot::global::Error {
                self.host.put_packet(buffer.as_slice())
            }

            /// Totals since the object was opened: `peers`, `pending` (handshakes under way), `bytes_in`,
            /// `bytes_out`, `packets_in`, `packets_out`, `packets_refused`, `packets_dropped_unreliable`,
            /// `packets_to_closed`, `peers_overflowed`, `peers_violated` (broke the protocol or met a limit of
            /// receiving), `peers_timed_out` (silent, or took nothing, for too long), `reads_paused` (times that a
            /// peer was not read for a while: its input buffer was full, or it sent faster than it may),
            /// `pings_unanswered`, `handshakes_refused` (did not get in), of which
            /// `refused_malformed`, `refused_address`, `refused_origin`, `refused_full`, `refused_handler`,
            /// `refused_busy`, `handshakes_timed_out` and `pending_evicted`; `health_checks`,
            /// `accept_errors`, `poll_usec` (microseconds spent in those calls of `poll()` that found something,
            /// signal handlers included), `io_wakeups`.
            /// ```gdscript
            /// var server := WebSocketServer.new()
            /// server.listen(9080, PackedStringArray(), true)
            /// var totals := server.get_statistics()
            /// print("%d players, %d packets refused" % [totals.peers, totals.packets_refused])
            /// ```
            #[func]
            fn get_statistics(&self) -> godot::builtin::VarDictionary {
                $crate::convert::dictionary(self.host.statistics().values())
            }

            /// About one peer: `rtt_msec` (-1: unknown), `bytes_in`, `bytes_out`, `packets_in`,
            /// `packets_out`, `queued_in_bytes`, `queued_in_packets`, `queued_out_bytes`,
            /// `queued_out_packets`, `connected_msec`, `last_receive_msec`, `address`, `port`, `protocol`,
            /// `path`. An unknown id prints an error and gives an empty dictionary.
            /// ```gdscript
            /// func is_far_away(server: WebSocketServer, id: int) -> bool:
            ///     return server.get_peer_statistics(id)["rtt_msec"] > 200.0
            /// ```
            #[func]
            fn get_peer_statistics(&self, id: i64) -> godot::builtin::VarDictionary {
                self.host.peer_statistics(id)
            }

            /// Why the last connection failed or ended, in words. Empty while nothing went wrong. Of a server that
            /// refused: the status of its answer, and the beginning of its text or JSON in one line.
            #[func]
            fn get_last_error(&self) -> godot::builtin::GString {
                godot::builtin::GString::from(&self.host.core.last_error())
            }

            /// The code of the close frame that ended the last connection, or -1 when there was none.
            #[func]
            fn get_close_code(&self) -> i64 {
                i64::from(self.host.core.close_code())
            }

            /// The reason in the close frame that ended the last connection.
            #[func]
            fn get_close_reason(&self) -> godot::builtin::GString {
                godot::builtin::GString::from(&self.host.core.close_reason())
            }
        }
    };
}
pub(crate) use common_methods;
