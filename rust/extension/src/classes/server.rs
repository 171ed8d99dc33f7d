//! `WebSocketServer`.

mod listen;

use godot::builtin::{Callable, GString, PackedStringArray, Variant};
use godot::classes::{CryptoKey, X509Certificate};
use godot::global::Error;
use godot::obj::Gd;
use godot::register::godot_api;
use godot::register::property::PhantomVar;
use websocket_multiplayer_core::{
    CloseFrame, Network, OriginPattern, TlsError, check_header_lines, check_page_path, check_proxy_header,
};

use super::options::Options;
use crate::access_rules::{AccessRules, VALID, number_in};
use crate::border;
use crate::common::multiplayer_class;
use crate::convert;
use crate::report::Kind;
use crate::request;
use crate::simulation::Simulation;
use crate::tls;
use crate::tuning::Seconds;
use listen::parse_all;

multiplayer_class! {
    /// A WebSocket server: a buffered multiplayer peer whose sockets have a thread of their own.
    ///
    /// In multiplayer mode, assign the object to the `multiplayer_peer` of a `MultiplayerAPI`:
    /// ```gdscript
    /// var server := WebSocketServer.new()
    ///
    /// func _ready() -> void:
    ///     if server.listen(9080, PackedStringArray(), true) == OK:
    ///         multiplayer.multiplayer_peer = server
    /// ```
    /// In raw mode, each message is one packet of `get_peer(id)`, and your script must call `poll()` regularly:
    /// ```gdscript
    /// var server := WebSocketServer.new()
    ///
    /// func _ready() -> void:
    ///     server.data_received.connect(func(id): print(server.get_peer(id).get_packet().get_string_from_utf8()))
    ///     server.listen(9080)
    ///
    /// func _process(_delta: float) -> void:
    ///     server.poll()
    /// ```
    #[class(init, tool, base = MultiplayerPeerExtension)]
    class WebSocketServer: Server {
        /// The IP address to listen on; `"*"` (the default) means all addresses. Cannot be changed while listening. After an
        /// invalid value, `listen()` returns `ERR_INVALID_DATA` until a valid one is set.
        #[var(get = get_bind_ip, set = set_bind_ip)]
        bind_ip: PhantomVar<GString>,

        /// The private key for TLS. TLS needs both this key and `ssl_certificate`: if only one of them is set, `listen()`
        /// returns `ERR_INVALID_DATA`; if both are null, the server listens without TLS. Note that `load()` returns null for a file
        /// that the engine does not recognize as a key or certificate, such as a file named `.pem`. Cannot be changed while
        /// listening; see `set_certificate()`.
        /// ```gdscript
        /// var server := WebSocketServer.new()
        /// var crypto := Crypto.new()
        /// server.private_key = crypto.generate_rsa(2048)
        /// server.ssl_certificate = crypto.generate_self_signed_certificate(server.private_key, "CN=localhost")
        /// server.listen(9080, PackedStringArray(), true)
        /// ```
        #[var(get = get_private_key, set = set_private_key)]
        private_key: PhantomVar<Option<Gd<CryptoKey>>>,

        /// The certificate for TLS; see `private_key`. Cannot be changed while listening; see `set_certificate()`.
        #[var(get = get_ssl_certificate, set = set_ssl_certificate)]
        ssl_certificate: PhantomVar<Option<Gd<X509Certificate>>>,

        /// The certificates that are sent after `ssl_certificate`, up to one that the clients trust. Cannot be changed
        /// while listening.
        #[var(get = get_ca_chain, set = set_ca_chain)]
        ca_chain: PhantomVar<Option<Gd<X509Certificate>>>,

        /// The maximum number of connected clients; 0 (the default) means no limit. Further clients are rejected with HTTP
        /// status 503. Can be changed while listening: connected clients stay. The default is the project setting
        /// `network/limits/websocket_server/max_connections`.
        #[var(get = get_max_connections, set = set_max_connections)]
        max_connections: PhantomVar<i64>,

        /// The maximum number of connections from one address, including handshakes; 0 (the default) means no limit. Further
        /// connections are rejected with HTTP status 429. An IPv6 address counts as its /64. Behind `trusted_proxies`, the
        /// client's address counts. Cannot be changed while listening.
        #[var(get = get_max_connections_per_address, set = set_max_connections_per_address)]
        max_connections_per_address: PhantomVar<i64>,

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

        /// The maximum number of pending connections (handshakes in progress), 1 or more. Clients that wait for
        /// `request_handler` count, too. Further clients wait. For a waiting client, the server drops a pending connection that has
        /// sent nothing for a second, or a slow one of an address that has more than a sixteenth of the places. The default
        /// (1024) is the project setting `network/limits/websocket_server/max_pending_connections`. Cannot be changed while
        /// listening.
        #[var(get = get_max_pending_connections, set = set_max_pending_connections)]
        max_pending_connections: PhantomVar<i64>,

        /// The maximum rate at which data is read from each peer, in KiB per second, TLS included; 0 (the default) means no
        /// limit. A peer that sends faster is slowed down, and nothing is lost. Cannot be changed while listening.
        #[var(get = get_max_inbound_kb_per_second, set = set_max_inbound_kb_per_second)]
        max_inbound_kb_per_second: PhantomVar<i64>,

        /// The origins of web pages that may connect, as `scheme://host[:port]`; `scheme://*.host` means all subdomains, and
        /// `http://localhost:*` any port. Pages of other origins are rejected with HTTP status 403. If empty (the default),
        /// all pages may connect. Clients that send no `Origin`, such as games outside of browsers, may always connect.
        ///
        /// `file://` and `null` stand for pages without a server: local files, web views and sandboxed frames. Note that any
        /// web page can create a sandboxed frame.
        ///
        /// Cannot be changed while listening. After a list with an invalid origin, `listen()` returns `ERR_INVALID_DATA` until a
        /// valid list is set.
        #[var(get = get_allowed_origins, set = set_allowed_origins)]
        allowed_origins: PhantomVar<PackedStringArray>,

        /// The addresses or networks (`10.0.0.0/8`) of proxies in front of the server. For connections from them, the client's
        /// address is read from `proxy_header` or from the PROXY protocol. Empty by default. Cannot be changed while listening.
        /// After a list with an invalid entry, `listen()` returns `ERR_INVALID_DATA` until a valid list is set.
        #[var(get = get_trusted_proxies, set = set_trusted_proxies)]
        trusted_proxies: PhantomVar<PackedStringArray>,

        /// The name of the header in which a trusted proxy sends the client's address. The value is a list of addresses;
        /// each proxy appends the address that connected to it. The server reads the list from its end, and skips trusted
        /// proxies: the first other address is the client's. Ports, quotes, IPv6 zones and empty elements are allowed. If
        /// a trusted proxy sends an invalid list, the connection is rejected with HTTP status 400. If it sends no such header,
        /// the address of the proxy counts as the client's. The default is `x-forwarded-for`. Cannot be changed while
        /// listening.
        #[var(get = get_proxy_header, set = set_proxy_header)]
        proxy_header: PhantomVar<GString>,

        /// If `true`, connections from `trusted_proxies` must begin with the PROXY protocol, version 1 or 2, which contains the
        /// client's address and port. HAProxy (`send-proxy-v2`) and the TCP load balancers of cloud providers can send it; it also
        /// works if the proxy passes TLS through to this server. Other connections must not send it. `false` by default. Cannot
        /// be changed while listening.
        /// ```gdscript
        /// var server := WebSocketServer.new()
        /// server.trusted_proxies = ["10.0.0.5"]
        /// server.proxy_protocol = true
        /// server.listen(9080, PackedStringArray(), true)
        /// ```
        #[var(get = get_proxy_protocol, set = set_proxy_protocol)]
        proxy_protocol: PhantomVar<bool>,

        /// A function that decides which clients may connect. It is called from `poll()` for each client, with a dictionary
        /// that describes the request: `peer_id` (the id that the client will get), `path`, `query`, `headers` (with names in
        /// lower case), `address`, `port` (0 if only a proxy knows it), `protocols`, `secure`.
        ///
        /// The function returns `true` or 101 to accept the client, or `false` (which means 403) or a status from 400 to 599 to
        /// reject it. It can also return a dictionary with `status` and these optional keys: `reason` (a text for a rejected
        /// client), `headers` (`Name: value` lines for the response), `protocol` (one that the client has offered) and `meta` (any
        /// value, which `get_handshake_meta()` of the peer's handle returns later).
        ///
        /// If the function returns anything else, has an error, or uses `await`, the client is rejected with 500, and an error is
        /// printed. (After an error in a function that is declared `-> bool`, GDScript returns `false`, which means 403.)
        /// ```gdscript
        /// var server := WebSocketServer.new()
        /// var users := {"Bearer 4711": "ada"}
        ///
        /// func _ready() -> void:
        ///     server.request_handler = func(request: Dictionary) -> Variant:
        ///         var user: String = users.get(request.headers.get("authorization", ""), "")
        ///         return {status = 101, meta = user} if user else 401
        ///     if server.listen(9080, PackedStringArray(), true) == OK:
        ///         multiplayer.multiplayer_peer = server
        /// ```
        /// If the decision takes time, for example because your server asks a database, the function returns
        /// `{later = true}`, and you call `answer_request()` later.
        ///
        /// A client waits for 30 seconds at most; then it is rejected with 503. A client that was accepted may have
        /// disconnected meanwhile, or the server may be full: only `peer_connected` shows that it is connected. Cannot be changed
        /// while listening.
        #[var(get = get_request_handler, set = set_request_handler)]
        request_handler: PhantomVar<Callable>,

        /// The path for health checks, such as `/health`. If empty (the default), there are none. The response to a GET contains
        /// the server's state as JSON (`peers`, `pending`, `main_thread_idle_msec`, `refusing`); the responses to HEAD and
        /// OPTIONS have no body. The status is 200, or 503 if the game has not polled for 10 seconds. Clients can connect to
        /// the same path, so `/`, the default path of many load balancers, works too. Cannot be changed while listening.
        #[var(get = get_health_path, set = set_health_path)]
        health_path: PhantomVar<GString>,

        /// The path for Prometheus, such as `/metrics`. If empty (the default), there are no metrics. The response to a GET contains
        /// all counters of `get_statistics()` and the server's state, in Prometheus' text format 0.0.4, and nothing about a single
        /// client. The I/O thread answers it, even while the game loads. Anybody who may connect can read it: let the proxy in
        /// front refuse this path. Cannot be changed while listening.
        #[var(get = get_metrics_path, set = set_metrics_path)]
        metrics_path: PhantomVar<GString>,

        #[init(val = Options::new())]
        options: Options,
    }
    accessors {
        /// Emitted in raw mode when a client is connected. `protocol` is the negotiated subprotocol, or empty.
        #[signal]
        fn client_connected(id: i64, protocol: GString);

        /// Emitted in raw mode when a client has disconnected. `was_clean_close` is `true` if the connection ended with a closing
        /// handshake.
        #[signal]
        fn client_disconnected(id: i64, was_clean_close: bool);

        /// Emitted in both modes when a client has sent a Close frame, with its code (1005 if it has none) and reason.
        #[signal]
        fn client_close_request(id: i64, code: i64, reason: GString);

        /// Emitted in raw mode when `get_peer(id)` has one more packet.
        #[signal]
        fn data_received(id: i64);

        /// Emitted from `poll()` when `refuse_new_connections` is set and no client is connected, so that the server can be stopped.
        /// Emitted once each time that `refuse_new_connections` is switched on.
        #[signal]
        fn drained();

        #[func]
        fn get_bind_ip(&self) -> GString {
            self.options.bind_ip.clone()
        }

        #[func]
        fn set_bind_ip(&mut self, address: GString) {
            let parsed = convert::bind_address(&address.to_string());
            let checked = parsed.map(drop).ok_or_else(|| format!("\"{address}\" is neither an IP address nor \"*\""));
            if self.accepts_value("bind_ip", checked, address != self.options.bind_ip) {
                self.options.bind_ip = address;
            }
        }

        #[func]
        fn get_private_key(&self) -> Option<Gd<CryptoKey>> {
            self.options.private_key.clone()
        }

        #[func]
        fn set_private_key(&mut self, key: Option<Gd<CryptoKey>>) {
            if self.accepts_value("private_key", VALID, key != self.options.private_key) {
                if key.is_some() {
                    self.host.invalid_rules.remove(SET_CERTIFICATE);
                }
                border::replace(&mut self.options.private_key, key);
            }
        }

        #[func]
        fn get_ssl_certificate(&self) -> Option<Gd<X509Certificate>> {
            self.options.ssl_certificate.clone()
        }

        #[func]
        fn set_ssl_certificate(&mut self, certificate: Option<Gd<X509Certificate>>) {
            if self.accepts_value("ssl_certificate", VALID, certificate != self.options.ssl_certificate) {
                if certificate.is_some() {
                    self.host.invalid_rules.remove(SET_CERTIFICATE);
                }
                border::replace(&mut self.options.ssl_certificate, certificate);
            }
        }

        #[func]
        fn get_ca_chain(&self) -> Option<Gd<X509Certificate>> {
            self.options.ca_chain.clone()
        }

        #[func]
        fn set_ca_chain(&mut self, chain: Option<Gd<X509Certificate>>) {
            if self.accepts_value("ca_chain", VALID, chain != self.options.ca_chain) {
                border::replace(&mut self.options.ca_chain, chain);
            }
        }

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
        fn get_max_connections(&self) -> i64 {
            self.options.max_connections
        }

        #[func]
        fn set_max_connections(&mut self, count: i64) {
            match number_in(count, 0, MAX_COUNT) {
                Err(why) => self.refuse_value("max_connections", why),
                Ok(()) => {
                    self.host.invalid_rules.remove("max_connections");
                    self.options.max_connections = count;
                    self.host.core.set_max_connections(count as usize);
                }
            }
        }

        #[func]
        fn get_max_connections_per_address(&self) -> i64 {
            self.options.max_connections_per_address
        }

        #[func]
        fn set_max_connections_per_address(&mut self, count: i64) {
            let changes = count != self.options.max_connections_per_address;
            let checked = number_in(count, 0, MAX_COUNT);
            if self.accepts_value("max_connections_per_address", checked, changes) {
                self.options.max_connections_per_address = count;
            }
        }

        #[func]
        fn get_max_pending_connections(&self) -> i64 {
            self.options.max_pending_connections
        }

        #[func]
        fn set_max_pending_connections(&mut self, count: i64) {
            if self.host.in_range("max_pending_connections", count, 1, MAX_COUNT) && self.host.may_change("max_pending_connections") {
                self.options.max_pending_connections = count;
            }
        }

        #[func]
        fn get_max_inbound_kb_per_second(&self) -> i64 {
            self.options.max_inbound_kb_per_second
        }

        #[func]
        fn set_max_inbound_kb_per_second(&mut self, rate_kb: i64) {
            let changes = rate_kb != self.options.max_inbound_kb_per_second;
            let checked = number_in(rate_kb, 0, MAX_COUNT);
            if self.accepts_value("max_inbound_kb_per_second", checked, changes) {
                self.options.max_inbound_kb_per_second = rate_kb;
            }
        }

        #[func]
        fn get_allowed_origins(&self) -> PackedStringArray {
            self.options.allowed_origins.clone()
        }

        #[func]
        fn set_allowed_origins(&mut self, origins: PackedStringArray) {
            let checked = parse_all::<OriginPattern>(&origins).map(drop);
            if self.accepts_value("allowed_origins", checked, origins != self.options.allowed_origins) {
                self.options.allowed_origins = origins;
            }
        }

        #[func]
        fn get_trusted_proxies(&self) -> PackedStringArray {
            self.options.trusted_proxies.clone()
        }

        #[func]
        fn set_trusted_proxies(&mut self, networks: PackedStringArray) {
            let checked = parse_all::<Network>(&networks).map(drop);
            if self.accepts_value("trusted_proxies", checked, networks != self.options.trusted_proxies) {
                self.options.trusted_proxies = networks;
            }
        }

        #[func]
        fn get_proxy_header(&self) -> GString {
            self.options.proxy_header.clone()
        }

        #[func]
        fn set_proxy_header(&mut self, name: GString) {
            let checked = check_proxy_header(&name.to_string()).map(drop);
            if self.accepts_value("proxy_header", checked, name != self.options.proxy_header) {
                self.options.proxy_header = name;
            }
        }

        #[func]
        fn get_proxy_protocol(&self) -> bool {
            self.options.proxy_protocol
        }

        #[func]
        fn set_proxy_protocol(&mut self, enabled: bool) {
            if self.host.may_change("proxy_protocol") {
                self.options.proxy_protocol = enabled;
            }
        }

        #[func]
        fn get_request_handler(&self) -> Callable {
            self.host.request_handler.clone()
        }

        #[func]
        fn set_request_handler(&mut self, handler: Callable) {
            let changes = handler != self.host.request_handler;
            if self.accepts_value("request_handler", VALID, changes) {
                border::replace(&mut self.host.request_handler, handler);
            }
        }

        #[func]
        fn get_health_path(&self) -> GString {
            self.options.health_path.clone()
        }

        #[func]
        fn set_health_path(&mut self, path: GString) {
            match check_page_path(&path.to_string()) {
                Err(error) => self.host.kind.property_error("health_path", error),
                Ok(_) if self.host.may_change("health_path") => self.options.health_path = path,
                Ok(_) => {}
            }
        }

        #[func]
        fn get_metrics_path(&self) -> GString {
            self.options.metrics_path.clone()
        }

        #[func]
        fn set_metrics_path(&mut self, path: GString) {
            match check_page_path(&path.to_string()) {
                Err(error) => self.host.kind.property_error("metrics_path", error),
                Ok(_) if self.host.may_change("metrics_path") => self.options.metrics_path = path,
                Ok(_) => {}
            }
        }
    }
}

#[godot_api(secondary)]
impl WebSocketServer {
    /// Starts to listen on a port; 0 means any free port (see `get_local_port()`). `protocols` are the subprotocols that the server
    /// supports; if there are any, a client must offer one of them. If `gd_mp_api` is `true`, the server uses multiplayer mode.
    ///
    /// Returns `ERR_ALREADY_IN_USE` if the server listens already or the port is in use, `ERR_INVALID_PARAMETER` for a port
    /// outside 0 to 65535 or an invalid subprotocol, `ERR_INVALID_DATA` for a key or certificate that cannot be used or is set
    /// without the other, and `ERR_CANT_CREATE` if the server cannot listen on the address.
    ///
    /// Also returns `ERR_INVALID_DATA` after an invalid value of a property that controls access, until a valid value is set.
    /// This applies to `allowed_origins`, `trusted_proxies`, `bind_ip`, keys and certificates, `set_extra_headers()`, and to limits,
    /// `proxy_header` and `request_handler` if they had no other value before. So a typing error lets nobody in.
    /// ```gdscript
    /// var server := WebSocketServer.new()
    /// var error := server.listen(9080)
    /// if error != OK:
    ///     print("cannot listen: ", error_string(error))
    /// ```
    #[func(gd_self)]
    fn listen(
        mut this: Gd<Self>,
        port: i64,
        #[opt(default = &PackedStringArray::new())] protocols: PackedStringArray,
        #[opt(default = false)] gd_mp_api: bool,
    ) -> Error {
        let identity = this.bind().options.identity();
        let tls = identity.read();
        this.bind_mut().try_listen(port, &protocols, gd_mp_api, tls).unwrap_or_else(|error| error)
    }

    /// Stops listening, and closes all connections with code 1001. No more signals are emitted. The same as `close()`.
    #[func]
    fn stop(&mut self) {
        self.host.close();
    }

    /// Returns `true` if the server listens.
    #[func]
    fn is_listening(&self) -> bool {
        self.host.is_open()
    }

    /// Returns the port on which the server listens, also after `listen(0)`; 0 if it does not listen.
    #[func]
    fn get_local_port(&self) -> i64 {
        i64::from(self.host.core.local_port())
    }

    /// Returns `true` if a client with this id is connected.
    #[func]
    fn has_peer(&self, id: i64) -> bool {
        self.host.has_peer(id)
    }

    /// Returns the IP address of a client. For an unknown id, prints an error and returns an empty string.
    #[func]
    fn get_peer_address(&self, id: i64) -> GString {
        self.host
            .known_peer("get_peer_address", id)
            .map_or_else(GString::new, |peer| GString::from(&peer.address()))
    }

    /// Returns the TCP port of a client. For an unknown id, prints an error and returns 0.
    #[func]
    fn get_peer_port(&self, id: i64) -> i64 {
        self.host.known_peer("get_peer_port", id).map_or(0, |peer| i64::from(peer.port()))
    }

    /// Closes the connection to a client. Packets that were sent before are still delivered; packets of the client that were not
    /// read are discarded. The disconnect signal follows. `code` is 1000 to 4999 except 1004 to 1006 and 1015; `reason` has at
    /// most 123 bytes of UTF-8.
    ///
    /// As in the engine's `MultiplayerPeer`, the second argument can be a bool instead of the code: `true` drops the client at
    /// once, without a signal.
    /// ```gdscript
    /// var server := WebSocketServer.new()
    ///
    /// func kick(id: int) -> void:
    ///     server.disconnect_peer(id, 4001, "be nice")
    /// ```
    // The engine's own disconnect_peer(peer, force) stays reachable through variables typed as
    // MultiplayerPeer.
    #[func(rename = disconnect_peer)]
    fn disconnect_client(
        &mut self,
        id: i64,
        #[opt(default = 1000)] code: i64,
        #[opt(default = "")] reason: GString,
    ) {
        match code {
            // A bool arrives as 0 or 1, and neither is a close code.
            0 => self.host.disconnect(id, CloseFrame::normal()),
            1 => self.host.disconnect_now(id),
            code => match CloseFrame::new(code, &reason.to_string()) {
                Ok(frame) => self.host.disconnect(id, frame),
                Err(error) => self.host.kind.error("disconnect_peer", error),
            },
        }
    }

    /// Replaces `private_key` and `ssl_certificate`, also while the server listens. New connections get the new certificate; open
    /// connections stay. `ca_chain` is still sent with it.
    ///
    /// Returns `ERR_INVALID_DATA` for a key or certificate that is null or cannot be used, and `ERR_UNCONFIGURED` if the server
    /// listens without TLS. After an error, a server that listens keeps its certificate, and a server that does not listen
    /// cannot listen until a valid key and certificate are set.
    #[func(gd_self)]
    fn set_certificate(
        mut this: Gd<Self>,
        key: Option<Gd<CryptoKey>>,
        certificate: Option<Gd<X509Certificate>>,
    ) -> Error {
        let (Some(key), Some(certificate)) = (key, certificate) else {
            let error = TlsError::new("the key or the certificate is null".to_owned());
            return this.bind_mut().refuse_certificate(error);
        };
        let (open, active_tls, chain) = {
            let class = this.bind();
            (class.host.is_open(), class.options.active_tls.clone(), class.options.ca_chain.clone())
        };
        let checked = match (open, &active_tls) {
            (true, None) => {
                let why = "the server listens without TLS; set a certificate before listen()";
                Kind::Server.error("set_certificate", why);
                return Error::ERR_UNCONFIGURED;
            }
            (true, Some(identity)) => tls::replace(identity, &key, &certificate, chain.as_ref()),
            (false, _) => tls::server(&key, &certificate, chain.as_ref()).map(drop),
        };
        let mut class = this.bind_mut();
        if let Err(error) = checked {
            return class.refuse_certificate(error);
        }
        for name in [SET_CERTIFICATE, "private_key", "ssl_certificate"] {
            class.host.invalid_rules.remove(name);
        }
        border::replace(&mut class.options.private_key, Some(key));
        border::replace(&mut class.options.ssl_certificate, Some(certificate));
        Error::OK
    }

    /// Answers a request for which `request_handler` has returned `{later = true}`. `peer_id` is the `peer_id` of the request, and
    /// `verdict` is any value that the handler can return: a bool, a status, or a dictionary.
    /// ```gdscript
    /// var server := WebSocketServer.new()
    ///
    /// func _ready() -> void:
    ///     server.request_handler = func(request: Dictionary) -> Dictionary:
    ///         look_up(request)
    ///         return {later = true}
    ///     if server.listen(9080, PackedStringArray(), true) == OK:
    ///         multiplayer.multiplayer_peer = server
    ///
    /// func look_up(request: Dictionary) -> void:
    ///     # Stands for a database or a web service.
    ///     await get_tree().create_timer(0.5).timeout
    ///     var verdict := {status = 101, meta = {user = "ada"}}
    ///     server.answer_request(request.peer_id, verdict if request.path == "/" else {status = 404})
    /// ```
    /// Note that a client waits for its own `handshake_timeout` only, which is 3 seconds by default.
    ///
    /// Returns `ERR_DOES_NOT_EXIST` if no such request is pending: because it was answered already, because it is from before the
    /// last `close()`, or because the client has disconnected or has waited for 30 seconds; in the last two cases nothing is
    /// printed. Returns `ERR_INVALID_PARAMETER` for an invalid verdict, and the client is rejected with 500. Returns
    /// `ERR_UNCONFIGURED` if the server does not listen.
    #[func(gd_self)]
    fn answer_request(mut this: Gd<Self>, peer_id: i64, verdict: Variant) -> Error {
        request::answer(&mut this, peer_id, &verdict)
    }

    /// Sets `Name: value` lines that are sent in the response to each client. Cannot be changed while listening. If a line has no
    /// colon, a line break, or a name that the handshake itself uses, an error is printed and no line is set.
    #[func]
    fn set_extra_headers(&mut self, #[opt(default = &PackedStringArray::new())] headers: PackedStringArray) {
        match check_header_lines(convert::strings(&headers)) {
            Err(error) => self.refuse_value(EXTRA_HEADERS, error.to_string()),
            Ok(lines) => {
                if self.accepts_value(EXTRA_HEADERS, VALID, lines != self.options.extra_headers) {
                    self.options.extra_headers = lines;
                }
            }
        }
    }
}

const MAX_COUNT: i64 = i32::MAX as i64;
/// Names of invalid rules that are not properties.
const SET_CERTIFICATE: &str = "set_certificate()";
const EXTRA_HEADERS: &str = "set_extra_headers()";
