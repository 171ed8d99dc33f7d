//! `BufferedWebSocketMultiplayerPeer`: the members of the engine's own 4.x class.

use godot::builtin::{GString, PackedStringArray};
use godot::global::Error;
use godot::meta::owned_into_arg;
use godot::obj::Gd;
use godot::register::godot_api;
use godot::register::property::PhantomVar;
use websocket_multiplayer_core::{
    Buffers, OpenError, ServerConfig, TlsError, TlsServer, check_header_lines, check_protocols,
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
    /// The engine's `WebSocketMultiplayerPeer`, buffered and served by a thread of its own.
    ///
    /// It has the same members and speaks the same protocol: in a project that uses the engine's class,
    /// change the name.
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
        /// The subprotocols that a server speaks, or that a client asks for. Fixed while open. A list with one that is no
        /// token is refused, and nothing opens until it is set well.
        #[var(get = get_supported_protocols, set = set_supported_protocols)]
        supported_protocols: PhantomVar<PackedStringArray>,

        /// `Name: value` lines that are sent with the handshake. Fixed while open. A list with a line that cannot be sent
        /// is refused, and nothing opens until it is set well.
        #[var(get = get_handshake_headers, set = set_handshake_headers)]
        handshake_headers: PhantomVar<PackedStringArray>,

        /// The input buffer of each peer in bytes, kept exactly as given, 1 to 1073741824. Fixed while open.
        #[var(get = get_inbound_buffer_size, set = set_inbound_buffer_size)]
        inbound_buffer_size: PhantomVar<i64>,

        /// The output buffer of each peer in bytes, and with it the largest packet; kept exactly as given, 1
        /// to 1073741824. Fixed while open.
        #[var(get = get_outbound_buffer_size, set = set_outbound_buffer_size)]
        outbound_buffer_size: PhantomVar<i64>,

        /// How many packets may wait for each peer, and from it; 1 to 1048576. Fixed while open.
        #[var(get = get_max_queued_packets, set = set_max_queued_packets)]
        max_queued_packets: PhantomVar<i64>,

        protocols: PackedStringArray,
        headers: PackedStringArray,
    }
    accessors {
        /// A server that refuses new connections (`refuse_new_connections`) has no peer any more. Emitted once, from
        /// `poll()`, until it admits somebody again.
        #[signal]
        fn drained();

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
    /// Starts to connect to a `ws://` or `wss://` URL and returns at once. Without options, the platform's
    /// trusted certificates decide about a `wss://` server. What a URL may hold is that of `WebSocketClient.connect_to_url()`.
    ///
    /// Returns `ERR_ALREADY_IN_USE` when it is open already, `ERR_INVALID_PARAMETER` for a URL that cannot be
    /// used, the TLS options of a server, or `handshake_headers` or `supported_protocols` that were refused, and `ERR_INVALID_DATA` for a certificate that cannot be used.
    /// ```gdscript
    /// var peer := BufferedWebSocketMultiplayerPeer.new()
    /// # A self-signed certificate, for a test: anybody could pretend to be the server.
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

    /// Starts to listen on a port (0: any free one) of an address (`"*"`: all).
    ///
    /// Returns `ERR_ALREADY_IN_USE` when it is open already or the port is taken, `ERR_INVALID_PARAMETER` for
    /// a port outside 0 to 65535, a bad address, the TLS options of a client, or `handshake_headers` or
    /// `supported_protocols` that were refused, `ERR_INVALID_DATA` for a key
    /// or certificate that cannot be used, and `ERR_CANT_CREATE` when the address cannot be listened on.
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

    /// The IP address of a connected peer. An unknown id prints an error and gives `""`.
    #[func]
    fn get_peer_address(&self, id: i64) -> GString {
        self.host
            .known_peer("get_peer_address", id)
            .map_or_else(GString::new, |peer| GString::from(&peer.address()))
    }

    /// The TCP port of a connected peer. An unknown id prints an error and gives 0.
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
    /// What a handshake must not pass without.
    const RULES: &'static [(&'static str, RuleType)] =
        &[("handshake_headers", RuleType::Texts), ("supported_protocols", RuleType::Texts)];
}

const MAX_BYTES: i64 = 1 << 30;
