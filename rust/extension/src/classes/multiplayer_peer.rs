//! `BufferedWebSocketMultiplayerPeer`: the members of the engine's own 4.x class.

use godot::builtin::{GString, PackedStringArray};
use godot::global::Error;
use godot::meta::owned_into_arg;
use godot::obj::Gd;
use godot::register::godot_api;
use godot::register::property::PhantomVar;
use websocket_multiplayer_core::{
    Buffers, OpenError, PeerId, ServerConfig, TlsError, TlsServer, check_header_lines, check_protocols,
};

use crate::access_rules::{AccessRules, RuleType};
use crate::common::multiplayer_class;
use crate::convert;
use crate::raw::OptionalTlsOptions;
use crate::report::Kind;
use crate::simulation::Simulation;
use crate::tls;
use crate::tuning::Seconds;

multiplayer_class! {
    /// A replacement for the engine's `WebSocketMultiplayerPeer`, with buffers and a thread of its own for the sockets.
    ///
    /// It has the same members and the same protocol as the engine's class: in a project that uses that class, replace its name.
    /// ```gdscript
    /// var peer := BufferedWebSocketMultiplayerPeer.new()
    ///
    /// func _ready() -> void:
    ///     if peer.create_client("ws://127.0.0.1:9080") == OK:
    ///         multiplayer.multiplayer_peer = peer
    /// ```
    #[cfg_attr(feature = "engine-names", class(init, tool, base = MultiplayerPeerExtension, rename = WebSocketMultiplayerPeer))]
    #[cfg_attr(not(feature = "engine-names"), class(init, tool, base = MultiplayerPeerExtension, rename = BufferedWebSocketMultiplayerPeer))]
    class WebSocketMultiplayerPeer: Either {
        /// The subprotocols that a server supports, or that a client offers. Cannot be changed while open. After a list with an
        /// invalid subprotocol, nothing opens until a valid list is set.
        #[var(get = get_supported_protocols, set = set_supported_protocols)]
        supported_protocols: PhantomVar<PackedStringArray>,

        /// `Name: value` lines that are sent in the handshake. Cannot be changed while open. After a list with an invalid line,
        /// nothing opens until a valid list is set.
        #[var(get = get_handshake_headers, set = set_handshake_headers)]
        handshake_headers: PhantomVar<PackedStringArray>,

        /// The size of each peer's input buffer in bytes, 1 to 1073741824, without rounding. Cannot be changed while open.
        #[var(get = get_inbound_buffer_size, set = set_inbound_buffer_size)]
        inbound_buffer_size: PhantomVar<i64>,

        /// The size of each peer's output buffer in bytes, 1 to 1073741824, without rounding. It is also the size of the largest
        /// packet. Cannot be changed while open.
        #[var(get = get_outbound_buffer_size, set = set_outbound_buffer_size)]
        outbound_buffer_size: PhantomVar<i64>,

        /// The maximum number of packets that wait to be sent to each peer, and that wait to be read from it; 1 to 1048576.
        /// Cannot be changed while open.
        #[var(get = get_max_queued_packets, set = set_max_queued_packets)]
        max_queued_packets: PhantomVar<i64>,

        /// The time that a peer may take to come back after it has lost its connection, in seconds, 0 to 120. If 0 (the default), the loss
        /// of the connection is the end of the peer. Otherwise, a client of this addon connects again by itself and goes on as the same
        /// peer: with the same id, without `peer_disconnected`, and without the loss of a reliable packet. Until then the peer is
        /// suspended, and packets for it wait. Only in multiplayer mode with the wire format of 4.x. A change applies to clients that
        /// connect, and that lose their connection, afterwards.
        #[var(get = get_resume_timeout, set = set_resume_timeout)]
        resume_timeout: PhantomVar<f64>,

        /// If `true` (the default), a server relays the packets of clients for other clients on the thread of its sockets, for a
        /// `SceneMultiplayer` with `server_relay`. Each client receives the same packets in the same order as otherwise, but the main
        /// thread does not handle each of them: `get_available_packet_count()` does not count them, `peer_packet` is not emitted for
        /// them, and the engine's network profiler does not see them; `packets_relayed` of `get_statistics()` counts them. They leave
        /// when the main thread asks for the packet behind them: a handler that itself calls `get_available_packet_count()` or
        /// `get_packet_peer()` makes them leave during that call, before what it sends afterwards. If `false`, if a script or more
        /// than one `SceneMultiplayer` uses the peer, for packets that a client sends to all or to all but one (`set_target_peer(0)` or
        /// a negative target), and for packets larger than `get_max_packet_size()`, the main thread relays. Only in multiplayer mode
        /// with the wire format of 4.x. `true` applies to clients that connect afterwards.
        #[var(get = get_relay_on_io_thread, set = set_relay_on_io_thread)]
        relay_on_io_thread: PhantomVar<bool>,

        /// If `true` (the default), the client asks the server for a session that survives the loss of the connection. The server decides
        /// with `resume_timeout`. A change applies to the next connection. In a web export the default is `false`, and a game asks for a
        /// session by setting it to `true`.
        #[var(get = is_resume_enabled, set = set_resume_enabled)]
        resume_enabled: PhantomVar<bool>,

        protocols: PackedStringArray,
        headers: PackedStringArray,
    }
    accessors {
        /// Emitted on a server from `poll()` when `refuse_new_connections` is set and no peer is connected. Emitted once each time
        /// that `refuse_new_connections` is switched on.
        #[signal]
        fn drained();

        #[func]
        fn get_relay_on_io_thread(&self) -> bool {
            self.host.relays_on_io_thread
        }

        #[func]
        fn set_relay_on_io_thread(&mut self, enabled: bool) {
            self.host.set_relay_on_io_thread(enabled);
        }

        #[func]
        fn get_resume_timeout(&self) -> f64 {
            self.host.seconds(Seconds::ResumeTimeout)
        }

        #[func]
        fn set_resume_timeout(&mut self, seconds: f64) {
            self.host.set_seconds(Seconds::ResumeTimeout, seconds);
        }

        #[func]
        fn is_resume_enabled(&self) -> bool {
            self.host.config.resume_offered
        }

        #[func]
        fn set_resume_enabled(&mut self, enabled: bool) {
            self.host.config.resume_offered = enabled;
        }

        #[func]
        fn get_supported_protocols(&self) -> PackedStringArray {
            self.protocols.clone()
        }

        #[func]
        fn set_supported_protocols(&mut self, protocols: PackedStringArray) {
            let checked = check_protocols(convert::strings(&protocols)).map(drop);
            if self.accepts_value("supported_protocols", checked, protocols != self.protocols) {
                self.protocols = protocols;
            }
        }

        #[func]
        fn get_handshake_headers(&self) -> PackedStringArray {
            self.headers.clone()
        }

        #[func]
        fn set_handshake_headers(&mut self, headers: PackedStringArray) {
            let checked = check_header_lines(convert::strings(&headers)).map(drop);
            if self.accepts_value("handshake_headers", checked, headers != self.headers) {
                self.headers = headers;
            }
        }

        #[func]
        fn get_inbound_buffer_size(&self) -> i64 {
            self.host.config.buffers.input_bytes as i64
        }

        #[func]
        fn set_inbound_buffer_size(&mut self, buffer_size: i64) {
            let name = "inbound_buffer_size";
            if self.host.in_range(name, buffer_size, 1, MAX_BYTES) && self.host.may_change(name) {
                self.host.config.buffers.input_bytes = buffer_size as usize;
            }
        }

        #[func]
        fn get_outbound_buffer_size(&self) -> i64 {
            self.host.config.buffers.output_bytes as i64
        }

        #[func]
        fn set_outbound_buffer_size(&mut self, buffer_size: i64) {
            let name = "outbound_buffer_size";
            if self.host.in_range(name, buffer_size, 1, MAX_BYTES) && self.host.may_change(name) {
                self.host.config.buffers.output_bytes = buffer_size as usize;
            }
        }

        #[func]
        fn get_max_queued_packets(&self) -> i64 {
            self.host.config.buffers.output_packets as i64
        }

        #[func]
        fn set_max_queued_packets(&mut self, max_queued_packets: i64) {
            let name = "max_queued_packets";
            if self.host.in_range(name, max_queued_packets, 1, Buffers::MAX) && self.host.may_change(name) {
                let buffers = &mut self.host.config.buffers;
                buffers.input_packets = max_queued_packets as usize;
                buffers.output_packets = max_queued_packets as usize;
            }
        }
    }
}

#[godot_api(secondary)]
impl WebSocketMultiplayerPeer {
    /// Starts to connect to a `ws://` or `wss://` URL, and returns at once. Without options, a `wss://` server must have a
    /// certificate that the platform trusts. The URL can contain the same parts as in `WebSocketClient.connect_to_url()`.
    ///
    /// Returns `ERR_ALREADY_IN_USE` if the object is open already, `ERR_INVALID_PARAMETER` for an invalid URL, for the TLS
    /// options of a server, or after an invalid value of `handshake_headers` or `supported_protocols`, and `ERR_INVALID_DATA` for a
    /// certificate that cannot be used.
    /// ```gdscript
    /// var peer := BufferedWebSocketMultiplayerPeer.new()
    /// # For a test with a self-signed certificate: anybody could pretend to be the server.
    /// if peer.create_client("wss://127.0.0.1:9080", TLSOptions.client_unsafe()) == OK:
    ///     multiplayer.multiplayer_peer = peer
    /// ```
    #[func(gd_self)]
    fn create_client(
        mut this: Gd<Self>,
        url: GString,
        #[opt(default = owned_into_arg(OptionalTlsOptions(None)))] tls_client_options: OptionalTlsOptions,
    ) -> Error {
        if let Err(error) = this.bind().host.check_opening("create_client", Error::ERR_INVALID_PARAMETER) {
            return error;
        }
        let url = url.to_string();
        if tls_client_options.0.as_ref().is_some_and(|options| options.is_server()) {
            Kind::Either.error(
                "create_client",
                "tls_client_options are options of a server; make them with TLSOptions.client()",
            );
            return Error::ERR_INVALID_PARAMETER;
        }
        let options = tls_client_options.0;
        let trust = || options.as_ref().map_or_else(|| tls::client(true, None), tls::client_options);
        let tls = tls::for_url(&url, trust);
        let mut class = this.bind_mut();
        let (protocols, headers) = (convert::strings(&class.protocols), convert::strings(&class.headers));
        class.host.connect("create_client", &url, protocols, headers, true, tls)
    }

    /// Starts to listen on a port (0 means any free port) of an IP address (`"*"` means all addresses).
    ///
    /// Returns `ERR_ALREADY_IN_USE` if the object is open already or the port is in use, `ERR_INVALID_PARAMETER` for a port
    /// outside 0 to 65535, for an invalid address, for the TLS options of a client, or after an invalid value of
    /// `handshake_headers` or `supported_protocols`, `ERR_INVALID_DATA` for a key or certificate that cannot be used, and
    /// `ERR_CANT_CREATE` if the object cannot listen on the address.
    /// ```gdscript
    /// var peer := BufferedWebSocketMultiplayerPeer.new()
    /// if peer.create_server(9080) == OK:
    ///     multiplayer.multiplayer_peer = peer
    /// ```
    #[func(gd_self)]
    fn create_server(
        mut this: Gd<Self>,
        port: i64,
        #[opt(default = "*")] bind_address: GString,
        #[opt(default = owned_into_arg(OptionalTlsOptions(None)))] tls_server_options: OptionalTlsOptions,
    ) -> Error {
        if tls_server_options.0.as_ref().is_some_and(|options| !options.is_server()) {
            Kind::Either.error(
                "create_server",
                "tls_server_options are options of a client; make them with TLSOptions.server()",
            );
            return Error::ERR_INVALID_PARAMETER;
        }
        let tls = tls_server_options.0.as_ref().map(tls::server_options).transpose();
        let mut class = this.bind_mut();
        class.try_create_server(port, &bind_address.to_string(), tls).unwrap_or_else(|error| error)
    }

    /// Drops the connection to the server and comes back on a new one at once. For a game that knows that its network has changed, for
    /// example with `NOTIFICATION_APPLICATION_RESUMED` on a phone. Returns `ERR_UNAVAILABLE` if the server has given no session.
    #[func]
    fn reconnect(&mut self) -> Error {
        self.host.reconnect()
    }

    /// Returns `true` while the client has lost its connection and tries to come back.
    #[func]
    fn is_suspended(&self) -> bool {
        self.host.core.is_suspended(PeerId::SERVER)
    }

    /// Returns the IP address of a connected peer. For an unknown id, prints an error and returns an empty string.
    #[func]
    fn get_peer_address(&self, id: i64) -> GString {
        self.host
            .known_peer("get_peer_address", id)
            .map_or_else(GString::new, |peer| GString::from(&peer.address()))
    }

    /// Returns the TCP port of a connected peer. For an unknown id, prints an error and returns 0.
    #[func]
    fn get_peer_port(&self, id: i64) -> i64 {
        self.host.known_peer("get_peer_port", id).map_or(0, |peer| i64::from(peer.port()))
    }
}

impl WebSocketMultiplayerPeer {
    fn try_create_server(
        &mut self,
        port: i64,
        address: &str,
        tls: Result<Option<TlsServer>, TlsError>,
    ) -> Result<Error, Error> {
        let host = &self.host;
        host.check_opening("create_server", Error::ERR_INVALID_PARAMETER)?;
        let port = host.check_port("create_server", port)?;
        let Some(bind) = convert::bind_address(address) else {
            host.kind.error(
                "create_server",
                format_args!("bind_address {address:?} is neither an IP address nor \"*\""),
            );
            return Err(Error::ERR_INVALID_PARAMETER);
        };
        let refuse = |error| host.report_open_error("create_server", &OpenError::Config(error));
        let config = ServerConfig {
            peer: host.config_for(true),
            bind,
            port,
            protocols: check_protocols(convert::strings(&self.protocols)).map_err(refuse)?,
            extra_headers: check_header_lines(convert::strings(&self.headers)).map_err(refuse)?,
            tls: tls.map_err(|error| host.report_open_error("create_server", &OpenError::Tls(error)))?,
            ..ServerConfig::default()
        };
        Ok(self.host.open_server("create_server", config))
    }
}

impl AccessRules for WebSocketMultiplayerPeer {
    /// Values without which a handshake must not succeed.
    const RULES: &'static [(&'static str, RuleType)] =
        &[("handshake_headers", RuleType::Texts), ("supported_protocols", RuleType::Texts)];
}

const MAX_BYTES: i64 = 1 << 30;
