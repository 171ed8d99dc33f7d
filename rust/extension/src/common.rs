//! The members that `WebSocketServer`, `WebSocketClient` and `BufferedWebSocketMultiplayerPeer` share.
//!
//! gdext requires properties in the struct, and signals and property accessors in the primary `#[godot_api]` block. One macro
//! writes both, and takes the members that only one class has. A second macro writes everything else, in a secondary block.

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

            /// The wire format of packets in multiplayer mode. `WIRE_FORMAT_GODOT4` (the default) is compatible with 4.x
            /// engines, including their own `WebSocketMultiplayerPeer`; `WIRE_FORMAT_GODOT3` is compatible with the 3.x
            /// classes. Cannot be changed while open. Raw mode ignores it.
            #[var(get = get_wire_format, set = set_wire_format)]
            wire_format: PhantomVar<i64>,

            /// The time between two pings to each peer, in seconds. If 0, no pings are sent. Must be less than
            /// `heartbeat_timeout`, unless that is 0. To change it for one peer, set it on the handle that `get_peer()` returns.
            #[var(get = get_heartbeat_interval, set = set_heartbeat_interval)]
            heartbeat_interval: PhantomVar<f64>,

            /// If nothing is received from a peer for this time, in seconds, the peer is dropped (with `was_clean_close`
            /// `false`). If 0, peers are never dropped for silence.
            #[var(get = get_heartbeat_timeout, set = set_heartbeat_timeout)]
            heartbeat_timeout: PhantomVar<f64>,

            /// If data waits for a peer, and the peer accepts no byte for this time, in seconds, the peer is dropped. If 0,
            /// peers are never dropped for this.
            #[var(get = get_write_timeout, set = set_write_timeout)]
            write_timeout: PhantomVar<f64>,

            /// The time that the handshake may take, in seconds: from the TCP connection (on a client, from the call) until
            /// the peer is connected. Must be greater than 0.
            #[var(get = get_handshake_timeout, set = set_handshake_timeout)]
            handshake_timeout: PhantomVar<f64>,

            /// The time that the other side has to answer a Close frame, in seconds. Then the connection is dropped. Must be
            /// greater than 0.
            #[var(get = get_close_timeout, set = set_close_timeout)]
            close_timeout: PhantomVar<f64>,

            /// The size of the largest message that is accepted, in KiB, 1 to 1048576. The default is the size of the input
            /// buffer. A larger message closes the connection with code 1009.
            #[var(get = get_max_message_size_kb, set = set_max_message_size_kb)]
            max_message_size_kb: PhantomVar<i64>,

            /// What happens in multiplayer mode if a peer does not accept its reliable packets fast enough.
            /// `OVERFLOW_DISCONNECT` (the default) closes the peer with code 1013 after `overflow_grace`. `OVERFLOW_REFUSE`
            /// makes `put_packet()` return `ERR_OUT_OF_MEMORY` until there is room. RPCs and synchronizers ignore this
            /// error, so their refused packets are lost; `packets_refused` of `get_statistics()` counts them.
            #[var(get = get_overflow_policy, set = set_overflow_policy)]
            overflow_policy: PhantomVar<i64>,

            /// The time that a congested peer may stay above its output limits, in seconds, with `OVERFLOW_DISCONNECT`.
            #[var(get = get_overflow_grace, set = set_overflow_grace)]
            overflow_grace: PhantomVar<f64>,

            /// If more than this waits for a congested peer, in KiB, unreliable packets for this peer are dropped. If 0, this
            /// limit does not apply: they are dropped where there is no room, and while the peer is suspended.
            #[var(get = get_unreliable_backlog_kb, set = set_unreliable_backlog_kb)]
            unreliable_backlog_kb: PhantomVar<i64>,

            /// Whether messages are compressed (permessage-deflate), if the other side agrees. `COMPRESSION_OFF` is the default.
            /// Cannot be changed while open. A new object gets the project setting `network/websocket/compression_mode`.
            ///
            /// Compression pays for texts and for large or similar packets, and costs processor time at both ends. Do not compress
            /// messages in which secrets are beside what others may choose: the size tells about the content, also with TLS.
            ///
            /// In web exports, the browser decides itself: it compresses if the server agrees, whatever this property is.
            /// ```gdscript
            /// var server := WebSocketServer.new()
            /// server.compression_mode = WebSocketServer.COMPRESSION_SHARED
            /// ```
            #[var(get = get_compression_mode, set = set_compression_mode)]
            compression_mode: PhantomVar<i64>,

            /// Sent messages that are smaller are not compressed, in bytes, 0 to 1073741824: each end uses its own value. Cannot be
            /// changed while open. A new object gets the project setting `network/websocket/compression_threshold`, 1024 by default.
            /// With `COMPRESSION_DEDICATED`, 16 to 64 are good values for small packets that are like one another.
            ///
            /// In web exports it has no effect.
            #[var(get = get_compression_threshold, set = set_compression_threshold)]
            compression_threshold: PhantomVar<i64>,

            /// Simulates the latency of a bad network: each byte arrives this many milliseconds later, 0 to 10000. The latency
            /// applies to both directions, so a round trip takes twice as much longer (four times if the other side has the same
            /// value). Handshakes take longer, too.
            ///
            /// All `simulate_*` properties can be changed while connected. They do nothing in release builds, unless the
            /// project setting `network/websocket/simulate_in_release` is *Yes*.
            #[var(get = get_simulate_latency_msec, set = set_simulate_latency_msec)]
            simulate_latency_msec: PhantomVar<i64>,

            /// Simulates the jitter of a bad network: a random delay of at most this many milliseconds, 0 to 10000, is added to the
            /// latency for each 1460 bytes. The order of the data is kept: data behind a delayed part waits.
            #[var(get = get_simulate_jitter_msec, set = set_simulate_jitter_msec)]
            simulate_jitter_msec: PhantomVar<i64>,

            /// Simulates the bandwidth of a bad network, in kilobits (1000 bits) per second, in each direction of each connection,
            /// up to 1000000. If 0, the bandwidth is not limited. Data beyond the bandwidth waits, as for any congested peer.
            #[var(get = get_simulate_bandwidth_kbps, set = set_simulate_bandwidth_kbps)]
            simulate_bandwidth_kbps: PhantomVar<i64>,

            /// Simulates the stalls of a bad network: once in this many seconds, 2 to 3600, nothing arrives for one second in
            /// either direction. If 0, there are no stalls.
            #[var(get = get_simulate_stall_every_sec, set = set_simulate_stall_every_sec)]
            simulate_stall_every_sec: PhantomVar<i64>,

            /// Simulates a network that loses connections: each connection is cut without a Close frame after about this many seconds, 2
            /// to 3600, at random from half of them to one and a half times. What is in flight is lost. If 0, no connection is cut.
            ///
            /// A peer with a session (`resume_timeout`) is suspended, and comes back by itself. A peer without one is disconnected, as by a
            /// real network.
            #[var(get = get_simulate_disconnect_every_sec, set = set_simulate_disconnect_every_sec)]
            simulate_disconnect_every_sec: PhantomVar<i64>,

            /// The seed of the simulated jitter, stalls and cuts. The same seed gives the same jitter, stalls and cuts, if
            /// connections open and close in the same order.
            #[var(get = get_simulate_seed, set = set_simulate_seed)]
            simulate_seed: PhantomVar<i64>,

            $($fields)*
        }

        #[godot::register::godot_api]
        impl $class {
            /// Emitted in multiplayer mode from `poll()` when a packet can be read, once per packet, in the order of
            /// arrival.
            #[signal]
            fn peer_packet(peer_source: i64);

            /// Emitted when a packet of `size` bytes to several peers was not sent to peer `id`. With `OVERFLOW_REFUSE`, that
            /// peer had no room, and the others got the packet. If the whole process had no room, no peer got the packet, with
            /// either policy.
            #[signal]
            fn packet_refused(id: i64, size: i64);

            /// Emitted when a peer accepts no more data for now, and more than half of its output buffer is in use.
            #[signal]
            fn peer_congested(id: i64);

            /// Emitted when all data that waited for a congested peer has been sent.
            #[signal]
            fn peer_drained(id: i64);

            /// Emitted in multiplayer mode when a peer has lost its connection and may come back within `resume_timeout`. On a
            /// client, `id` is 1, and the client connects again by itself.
            #[signal]
            fn peer_suspended(id: i64);

            /// Emitted in multiplayer mode when a suspended peer has come back. No reliable packet was lost. On a client, `id` is 1.
            #[signal]
            fn peer_resumed(id: i64);

            /// Emitted when a peer is closed because it did not accept its packets fast enough (see
            /// `OVERFLOW_DISCONNECT`).
            #[signal]
            fn peer_overflowed(id: i64);

            /// Emitted on a client in multiplayer mode when it is connected and has its peer id.
            #[signal]
            fn connection_succeeded();

            /// Emitted on a client in multiplayer mode when it could not connect. `get_last_error()` returns the reason.
            #[signal]
            fn connection_failed();

            /// Emitted on a client in multiplayer mode when an established connection was lost or closed.
            /// `get_last_error()` returns the reason.
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
            fn get_compression_mode(&self) -> i64 {
                self.host.compression_mode_number()
            }

            #[func]
            fn set_compression_mode(&mut self, mode: i64) {
                self.host.set_compression_mode(mode);
            }

            #[func]
            fn get_compression_threshold(&self) -> i64 {
                self.host.compression_threshold()
            }

            #[func]
            fn set_compression_threshold(&mut self, bytes: i64) {
                self.host.set_compression_threshold(bytes);
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
            fn get_simulate_disconnect_every_sec(&self) -> i64 {
                self.host.simulation(Simulation::DisconnectEverySec)
            }

            #[func]
            fn set_simulate_disconnect_every_sec(&mut self, seconds: i64) {
                self.host.set_simulation(Simulation::DisconnectEverySec, seconds);
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
            /// The wire format of 4.x engines: packets without a header; the first message contains the peer id.
            #[constant]
            const WIRE_FORMAT_GODOT4: i64 = $crate::tuning::WIRE_FORMAT_GODOT4;

            /// The wire format of the 3.x classes: a header of 9 bytes before each packet.
            #[constant]
            const WIRE_FORMAT_GODOT3: i64 = $crate::tuning::WIRE_FORMAT_GODOT3;

            /// A peer that does not accept its reliable packets fast enough is closed with code 1013.
            #[constant]
            const OVERFLOW_DISCONNECT: i64 = $crate::tuning::OVERFLOW_DISCONNECT;

            /// `put_packet()` returns `ERR_OUT_OF_MEMORY` while a peer has no room for the packet.
            #[constant]
            const OVERFLOW_REFUSE: i64 = $crate::tuning::OVERFLOW_REFUSE;

            /// Messages are not compressed.
            #[constant]
            const COMPRESSION_OFF: i64 = $crate::tuning::COMPRESSION_OFF;

            /// Each message is compressed by itself: no memory is kept for a peer, and a broadcast is compressed once for all peers.
            #[constant]
            const COMPRESSION_SHARED: i64 = $crate::tuning::COMPRESSION_SHARED;

            /// Each message is compressed with those before it: small similar packets become much smaller. Each peer takes up to 226 KiB
            /// of memory, and a broadcast is compressed for each peer.
            #[constant]
            const COMPRESSION_DEDICATED: i64 = $crate::tuning::COMPRESSION_DEDICATED;

            /// Returns the handle of a connected peer: always the same object while the peer is connected. For an unknown id,
            /// prints an error and returns null. A client has only the peer 1, its server, which exists from the moment the client
            /// starts to connect. In the handlers of a disconnect signal, the handle still exists, with the close code and reason.
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

            /// Sets the queue limits of each peer: the sizes of the buffers in KiB, and the numbers of packets. Each value, 1 to
            /// 1048576, is rounded up to a power of two. A packet larger than the output buffer is refused.
            ///
            /// Returns `ERR_INVALID_PARAMETER` if a value is out of range, and `FAILED` while open. In both cases nothing is
            /// changed.
            /// ```gdscript
            /// var server := WebSocketServer.new()
            /// # Packets to players may have up to 1 MiB.
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
            /// last `poll()`, and `ERR_INVALID_PARAMETER` for an unknown target or an empty packet. Returns
            /// `ERR_OUT_OF_MEMORY` for a packet that is larger than the output buffer, for which the process has no room
            /// (`network/limits/websocket_total_queue_mb`) or, with `OVERFLOW_REFUSE`, for which its peer has no room.
            // The engine's own put_packet() returns OK for an empty packet without calling the extension.
            #[func(rename = put_packet)]
            fn put_packet_of_script(
                &mut self,
                buffer: godot::builtin::PackedByteArray,
            ) -> godot::global::Error {
                self.host.put_packet(buffer.as_slice())
            }

            /// Returns the totals since the object was opened:
            ///
            /// `peers` (connected peers), `pending` (handshakes in progress), `bytes_in`, `bytes_out`, `packets_in`, `packets_out`;
            ///
            /// `deflated_out_bytes`, `compressed_out_bytes` (sizes of sent messages that were compressed, before and after it),
            /// `compressed_in_bytes`, `inflated_in_bytes` (the same for received messages, as they came and decompressed),
            /// `compression_bytes` (memory of all compressors and decompressors);
            ///
            /// `packets_relayed`, `bytes_relayed` (on a server: packets of clients for other clients that the thread of the sockets
            /// relayed, once for each receiver), `packets_folded` (packets for other clients that shared the message of another one: on a
            /// client those that it saved, on a server those that all its clients saved);
            ///
            /// `packets_refused`, `packets_dropped_unreliable`, `packets_to_closed` (packets to peers that were closed already);
            ///
            /// `peers_overflowed` (closed because they did not keep up), `peers_violated` (closed because they violated the
            /// protocol or a limit of receiving), `peers_timed_out` (dropped because they were silent, or accepted no data, for too
            /// long), `reads_paused` (how often a peer was not read for a while, because its input buffer was full or it sent
            /// faster than allowed), `pings_unanswered`;
            ///
            /// `peers_suspended` (peers that have lost their connection and may come back), `sessions_resumed` (how often a peer
            /// came back), `sessions_expired` (peers that did not);
            ///
            /// `handshakes_refused` (all connections that failed before they were connected), and of these
            /// `refused_malformed`, `refused_address`, `refused_origin`, `refused_full`, `refused_handler`, `refused_busy`,
            /// `refused_resume`, `refused_too_soon`, `handshakes_timed_out` and `pending_evicted`;
            ///
            /// `health_checks`, `accept_errors`, `poll_usec` (microseconds in those calls of `poll()` that found something,
            /// including signal handlers), `io_wakeups` (how often the I/O thread woke up).
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

            /// Returns the statistics of one peer: `rtt_msec` (round-trip time, -1 if unknown), `bytes_in`, `bytes_out`,
            /// `packets_in`, `packets_out`, `compression` (what was agreed on: *shared*, *dedicated*, or empty), `deflated_out_bytes`,
            /// `compressed_out_bytes`, `compressed_in_bytes`, `inflated_in_bytes` (as in `get_statistics()`), `queued_in_bytes`, `queued_in_packets`, `queued_out_bytes`, `queued_out_packets`,
            /// `connected_msec` (time since it connected), `last_receive_msec` (time since data was received), `last_packet_msec`
            /// (time since a packet of the game was received, -1 if none was), `suspended` (1 while the peer has no connection and may
            /// come back), `resumes` (how often it came back), `unacked_bytes` and `unacked_packets` (sent, and kept until the peer
            /// acknowledges them), `address`, `port`, `protocol`, `path`. For an unknown id, prints an error and returns an empty
            /// dictionary.
            ///
            /// `last_packet_msec` tells whether a player's game runs, if that game sends something regularly. `last_receive_msec` does
            /// not: pings are answered while a game loads, and by a browser also while its page sleeps.
            /// ```gdscript
            /// func is_far_away(server: WebSocketServer, id: int) -> bool:
            ///     return server.get_peer_statistics(id)["rtt_msec"] > 200.0
            /// ```
            #[func]
            fn get_peer_statistics(&self, id: i64) -> godot::builtin::VarDictionary {
                self.host.peer_statistics(id)
            }

            /// Returns the reason why the last connection failed or ended, as a text for people; an empty string if there was no
            /// error. If a server rejected the connection, the text contains the HTTP status and the beginning of its text or
            /// JSON, in one line.
            #[func]
            fn get_last_error(&self) -> godot::builtin::GString {
                godot::builtin::GString::from(&self.host.core.last_error())
            }

            /// Returns the code of the Close frame that ended the last connection, or -1 if there was none.
            #[func]
            fn get_close_code(&self) -> i64 {
                i64::from(self.host.core.close_code())
            }

            /// Returns the reason in the Close frame that ended the last connection.
            #[func]
            fn get_close_reason(&self) -> godot::builtin::GString {
                godot::builtin::GString::from(&self.host.core.close_reason())
            }
        }
    };
}
pub(crate) use common_methods;
