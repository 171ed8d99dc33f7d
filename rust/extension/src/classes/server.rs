//! `WebSocketServer`.

use std::str::FromStr;

use godot::builtin::{Callable, GString, PackedStringArray, Variant};
use godot::classes::{CryptoKey, X509Certificate};
use godot::global::Error;
use godot::obj::Gd;
use godot::register::godot_api;
use godot::register::property::PhantomVar;
use websocket_multiplayer_core::{
    BindAddress, CloseFrame, ConfigError, Network, OpenError, OriginPattern, ServerConfig, TlsError,
    TlsServer, check_header_lines, check_health_path, check_protocols, check_proxy_header,
};

use super::options::{DEFAULT_PROXY_HEADER, Options};
use crate::access_rules::{AccessRules, RuleType, VALID, number_in};
use crate::border;
use crate::common::multiplayer_class;
use crate::convert;
use crate::report::{Kind, warning};
use crate::request;
use crate::simulation::Simulation;
use crate::tls;
use crate::tuning::Seconds;

multiplayer_class! {
    /// A WebSocket server: a buffered multiplayer peer whose sockets are served by a thread of their own.
    ///
    /// In multiplayer mode the object becomes the `multiplayer_peer` of a `MultiplayerAPI`:
    /// ```gdscript
    /// var server := WebSocketServer.new()
    ///
    /// func _ready() -> void:
    ///     if server.listen(9080, PackedStringArray(), true) == OK:
    ///         multiplayer.multiplayer_peer = server
    /// ```
    /// In raw mode each message is one packet of `get_peer(id)`, and `poll()` must be called regularly:
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
        /// The address to listen on; `"*"`, the default, means all of them. Fixed while listening. What is neither is
        /// refused, and `listen()` returns `ERR_INVALID_DATA` until the address is set well.
        #[var(get = get_bind_ip, set = set_bind_ip)]
        bind_ip: PhantomVar<GString>,

        /// The private key for TLS, which is used when `ssl_certificate` is set, too. Fixed while listening. With one of
        /// both `listen()` returns `ERR_INVALID_DATA`; with neither the server listens without TLS. `load()` gives null
        /// for a file that the engine does not know as a key or certificate, such as one named `.pem`.
        /// ```gdscript
        /// var server := WebSocketServer.new()
        /// var crypto := Crypto.new()
        /// server.private_key = crypto.generate_rsa(2048)
        /// server.ssl_certificate = crypto.generate_self_signed_certificate(server.private_key, "CN=localhost")
        /// server.listen(9080, PackedStringArray(), true)
        /// ```
        #[var(get = get_private_key, set = set_private_key)]
        private_key: PhantomVar<Option<Gd<CryptoKey>>>,

        /// The certificate for TLS, which is used when `private_key` is set, too. Fixed while listening.
        #[var(get = get_ssl_certificate, set = set_ssl_certificate)]
        ssl_certificate: PhantomVar<Option<Gd<X509Certificate>>>,

        /// Further certificates to send after `ssl_certificate`, up to the one that clients trust. Fixed
        /// while listening.
        #[var(get = get_ca_chain, set = set_ca_chain)]
        ca_chain: PhantomVar<Option<Gd<X509Certificate>>>,

        /// How many clients may be connected; 0, the default, means no limit. Further ones are answered 503.
        /// It can change while listening: those who are connected stay. The default comes from the project
        /// setting `network/limits/websocket_server/max_connections`.
        #[var(get = get_max_connections, set = set_max_connections)]
        max_connections: PhantomVar<i64>,

        /// How many connections one address may have, handshakes included; 0, the default, means no limit.
        /// Further ones are answered 429. IPv6 addresses count per /64. Behind `trusted_proxies` the client's
        /// address counts. Fixed while listening.
        #[var(get = get_max_connections_per_address, set = set_max_connections_per_address)]
        max_connections_per_address: PhantomVar<i64>,

        /// How many handshakes may be under way, 1 or more; further clients wait, and one that has sent nothing
        /// for a second makes room for them, or one of an address that has more than a sixteenth of the places.
        /// Clients that wait for `request_handler` count too. The default (1024) comes from the project setting
        /// `network/limits/websocket_server/max_pending_connections`. Fixed while listening.
        #[var(get = get_max_pending_connections, set = set_max_pending_connections)]
        max_pending_connections: PhantomVar<i64>,

        /// KiB that are read from each peer in one second, TLS included; a faster one is slowed down, and nothing
        /// is lost. 0, the default, means no limit. Fixed while listening.
        #[var(get = get_max_inbound_kb_per_second, set = set_max_inbound_kb_per_second)]
        max_inbound_kb_per_second: PhantomVar<i64>,

        /// The web pages whose scripts may connect, as `scheme://host[:port]`; `scheme://*.host` means all
        /// subdomains, and `http://localhost:*` any port. `file://` and `null` are what browsers send for pages
        /// without a server: local files, web views, and sandboxed frames, which any site can make. Others are
        /// answered 403. Empty, the default, means any. Clients that send no `Origin`, as games outside of browsers
        /// do, are always allowed. Fixed while listening. A list with an entry that is no origin is refused, and
        /// `listen()` returns `ERR_INVALID_DATA` until it is set well.
        #[var(get = get_allowed_origins, set = set_allowed_origins)]
        allowed_origins: PhantomVar<PackedStringArray>,

        /// Addresses or networks (`10.0.0.0/8`) of proxies that are believed when they say in `proxy_header`
        /// whom they speak for. Empty by default. Fixed while listening. A list with an entry that is neither is refused,
        /// and `listen()` returns `ERR_INVALID_DATA` until it is set well.
        #[var(get = get_trusted_proxies, set = set_trusted_proxies)]
        trusted_proxies: PhantomVar<PackedStringArray>,

        /// The header in which a trusted proxy names the client's address, a list of addresses to whose end
        /// each proxy adds whom it has_listeners from. It is read from its end: trusted proxies are passed over, and the
        /// first other address is the client's. Ports, quotes, IPv6 zones and empty elements do no harm. A
        /// trusted proxy that sends something else in it is answered 400; one that sends no such header speaks
        /// for itself. Fixed while listening.
        #[var(get = get_proxy_header, set = set_proxy_header)]
        proxy_header: PhantomVar<GString>,

        /// Whether connections from `trusted_proxies` begin with the PROXY protocol, version 1 or 2, in which a
        /// proxy that passes bytes on says whose they are: HAProxy's `send-proxy-v2`, the TCP load balancers of
        /// clouds. The client's address and port are then known also where its TLS reaches this server. Those
        /// proxies must send it, and nobody else may. `false` by default. Fixed while listening.
        /// ```gdscript
        /// var server := WebSocketServer.new()
        /// server.trusted_proxies = ["10.0.0.5"]
        /// server.proxy_protocol = true
        /// server.listen(9080, PackedStringArray(), true)
        /// ```
        #[var(get = get_proxy_protocol, set = set_proxy_protocol)]
        proxy_protocol: PhantomVar<bool>,

        /// Called from `poll()` with a dictionary about each client that wants in: `peer_id` (the id that it
        /// will have), `path`, `query`, `headers` (names in lower case), `address`, `port` (0 when only a
        /// proxy knows it), `protocols`, `secure`.
        ///
        /// It returns `true` or 101 to let the client in, `false` (403) or a status from 400 to 599 to refuse
        /// it, or a dictionary with `status` and, if needed, `reason` (text for a refused client), `headers`
        /// (`Name: value` lines of the answer), `protocol` (one that the client offered) and `meta`, which the
        /// handle's `get_handshake_meta()` gives back later. Anything else, an error, or `await` in it means
        /// 500 and an error line. (An error in a function that is declared `-> bool` returns `false`, so 403.)
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
        /// When the answer takes time, because a database has to be asked for instance, it returns
        /// `{later = true}`, and the answer is given to `answer_request()`.
        ///
        /// A client waits 30 seconds at most, then it is answered 503. It may be gone when the handler returns,
        /// or find no seat left: only `peer_connected` says that it is in. Fixed while listening.
        #[var(get = get_request_handler, set = set_request_handler)]
        request_handler: PhantomVar<Callable>,

        /// A path, such as `/health`, for health checks: a GET is answered with the server's state as JSON
        /// (`peers`, `pending`, `main_thread_idle_msec`, `refusing`), HEAD and OPTIONS without it. The status
        /// is 200, or 503 when the game has not polled for 10 seconds. With `/`, the path that load balancers
        /// ask for by default, clients can still connect to that path. Empty, the default, means none. Fixed
        /// while listening.
        #[var(get = get_health_path, set = set_health_path)]
        health_path: PhantomVar<GString>,

        #[init(val = Options::new())]
        options: Options,
    }
    accessors {
        /// Raw mode: a client is connected; `protocol` is the subprotocol agreed on, or empty.
        #[signal]
        fn client_connected(id: i64, protocol: GString);

        /// Raw mode: a client is gone. `was_clean_close`: after a close handshake.
        #[signal]
        fn client_disconnected(id: i64, was_clean_close: bool);

        /// A client asks to close, with its code (1005: none) and reason. Both modes.
        #[signal]
        fn client_close_request(id: i64, code: i64, reason: GString);

        /// Raw mode: `get_peer(id)` has one more packet.
        #[signal]
        fn data_received(id: i64);

        /// With `refuse_new_connections` set, the last client is gone, and nobody else will come: the server can
        /// end. Emitted from `poll()`, once until clients are admitted again; also when there was none.
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
            match check_health_path(&path.to_string()) {
                Err(error) => self.host.kind.property_error("health_path", error),
                Ok(_) if self.host.may_change("health_path") => self.options.health_path = path,
                Ok(_) => {}
            }
        }
    }
}

#[godot_api(secondary)]
impl WebSocketServer {
    /// Starts to listen. Port 0 takes any free one, see `get_local_port()`. `protocols` are the subprotocols
    /// that the server speaks; with any given, a client must ask for one of them. `gd_mp_api` chooses
    /// multiplayer mode.
    ///
    /// Returns `ERR_ALREADY_IN_USE` when it listens already or the port is taken, `ERR_INVALID_PARAMETER` for
    /// a port outside 0 to 65535 or a bad subprotocol, `ERR_INVALID_DATA` for a key or certificate that cannot
    /// be used or is set without the other, and `ERR_CANT_CREATE` when the address cannot be listened on.
    ///
    /// `ERR_INVALID_DATA` also follows when a value was refused that says who gets in and where, and was not set well
    /// since: `allowed_origins`, `trusted_proxies`, `bind_ip`, key and certificates, `set_extra_headers()`, and limits,
    /// `proxy_header` or `request_handler` that were not set before. A typing error lets nobody in.
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

    /// Stops listening and closes all connections (code 1001) without any further signal. The same as
    /// `close()`.
    #[func]
    fn stop(&mut self) {
        self.host.close();
    }

    /// Whether the server listens.
    #[func]
    fn is_listening(&self) -> bool {
        self.host.is_open()
    }

    /// The port it listens on, also when `listen()` was given 0. 0 when it does not listen.
    #[func]
    fn get_local_port(&self) -> i64 {
        i64::from(self.host.core.local_port())
    }

    /// Whether a client with this id is connected.
    #[func]
    fn has_peer(&self, id: i64) -> bool {
        self.host.has_peer(id)
    }

    /// The IP address of a client. An unknown id prints an error and gives `""`.
    #[func]
    fn get_peer_address(&self, id: i64) -> GString {
        self.host
            .known_peer("get_peer_address", id)
            .map_or_else(GString::new, |peer| GString::from(&peer.address()))
    }

    /// The TCP port of a client. An unknown id prints an error and gives 0.
    #[func]
    fn get_peer_port(&self, id: i64) -> i64 {
        self.host.known_peer("get_peer_port", id).map_or(0, |peer| i64::from(peer.port()))
    }

    /// Closes the connection to a client: packets sent before still leave, its unread ones are discarded, and
    /// the signal that it is gone follows. `code` is 1000 to 4999 except 1004 to 1006 and 1015; `reason` at
    /// most 123 bytes of UTF-8.
    ///
    /// As in the engine's `MultiplayerPeer`, a bool in place of the code is understood: `true` drops the
    /// client at once, and no signal follows.
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

    /// Replaces `private_key` and `ssl_certificate`, also while the server listens: new connections get the new
    /// certificate, those that are open stay. `ca_chain` is sent with it as before.
    ///
    /// Returns `ERR_INVALID_DATA` for a key or certificate that cannot be used or is null, and `ERR_UNCONFIGURED` for
    /// a server that listens without TLS. A server that listens goes on with what it has then; another one does not
    /// listen until they are set well.
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

    /// Answers a request about which `request_handler` has returned `{later = true}`. `peer_id` is that of the
    /// request, and `verdict` what the handler could have returned: a bool, a status, or a dictionary.
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
    ///     # In place of a database or a web service.
    ///     await get_tree().create_timer(0.5).timeout
    ///     var verdict := {status = 101, meta = {user = "ada"}}
    ///     server.answer_request(request.peer_id, verdict if request.path == "/" else {status = 404})
    /// ```
    /// Clients give up after their own `handshake_timeout`, 3 seconds unless set.
    ///
    /// Returns `ERR_DOES_NOT_EXIST` when no such request waits: it was answered already, or before the last
    /// `close()`, or the client did not wait (30 seconds at most), which is not an error and prints nothing.
    /// Returns `ERR_INVALID_PARAMETER` for a verdict that cannot be used, after which the client is answered
    /// 500, and `ERR_UNCONFIGURED` when the server does not listen.
    #[func(gd_self)]
    fn answer_request(mut this: Gd<Self>, peer_id: i64, verdict: Variant) -> Error {
        request::answer(&mut this, peer_id, &verdict)
    }

    /// Sets `Name: value` lines for the answer to each client. Fixed while listening. A line without a colon,
    /// with a line break, or with a name that the handshake itself uses, is refused, and none is set.
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

impl WebSocketServer {
    /// A server that listens keeps the certificate that it has. Another one must not listen without.
    fn refuse_certificate(&mut self, error: TlsError) -> Error {
        let code = self.host.report_open_error("set_certificate", &OpenError::Tls(error.clone()));
        if !self.host.is_open() {
            self.host.invalid_rules.insert(SET_CERTIFICATE, error.to_string());
        }
        code
    }

    fn try_listen(
        &mut self,
        port: i64,
        protocols: &PackedStringArray,
        gd_mp_api: bool,
        tls: Result<Option<TlsServer>, TlsError>,
    ) -> Result<Error, Error> {
        let host = &self.host;
        host.check_opening("listen", Error::ERR_INVALID_DATA)?;
        let port = host.check_port("listen", port)?;
        if let Some(half) = self.options.incomplete_identity() {
            host.kind.error("listen", format_args!("{half}; TLS needs both, and without TLS both are null"));
            return Err(Error::ERR_INVALID_DATA);
        }
        let refuse = |error| host.report_open_error("listen", &OpenError::Config(error));
        let protocols = check_protocols(convert::strings(protocols)).map_err(refuse)?;
        let options = &self.options;
        let config = ServerConfig {
            peer: host.config_for(gd_mp_api),
            bind: convert::bind_address(&self.options.bind_ip.to_string()).unwrap_or(BindAddress::Any),
            port,
            protocols,
            extra_headers: self.options.extra_headers.clone(),
            max_connections: self.options.max_connections as usize,
            max_pending: self.options.max_pending_connections as usize,
            max_connections_per_address: options.max_connections_per_address as usize,
            max_inbound_per_second: (options.max_inbound_kb_per_second as usize).saturating_mul(1024),
            allowed_origins: parse_all(&options.allowed_origins).map_err(refuse)?,
            trusted_proxies: parse_all(&options.trusted_proxies).map_err(refuse)?,
            proxy_header: check_proxy_header(&options.proxy_header.to_string()).map_err(refuse)?,
            proxy_protocol: options.proxy_protocol,
            ask: !host.request_handler.is_null(),
            health_path: check_health_path(&options.health_path.to_string()).map_err(refuse)?,
            tls: tls.map_err(|error| host.report_open_error("listen", &OpenError::Tls(error)))?,
        };
        if config.proxy_protocol && config.trusted_proxies.is_empty() {
            warning(
                "WebSocketServer.listen(): proxy_protocol is set and trusted_proxies is empty: it is read from nobody.",
            );
        }
        self.options.active_tls.clone_from(&config.tls);
        Ok(self.host.open_server("listen", config))
    }
}

impl AccessRules for WebSocketServer {
    /// Who gets in, and where.
    const RULES: &'static [(&'static str, RuleType)] = &[
        ("allowed_origins", RuleType::Texts),
        ("bind_ip", RuleType::Text),
        ("ca_chain", RuleType::Certificate),
        ("max_connections", RuleType::Whole),
        ("max_connections_per_address", RuleType::Whole),
        ("max_inbound_kb_per_second", RuleType::Whole),
        ("private_key", RuleType::Key),
        ("proxy_header", RuleType::Text),
        ("request_handler", RuleType::Callable),
        ("ssl_certificate", RuleType::Certificate),
        ("trusted_proxies", RuleType::Texts),
    ];

    fn keeps_value(&self, rule: &str) -> bool {
        let options = &self.options;
        match rule {
            "max_connections" => options.max_connections > 0,
            "max_connections_per_address" => options.max_connections_per_address > 0,
            "max_inbound_kb_per_second" => options.max_inbound_kb_per_second > 0,
            "proxy_header" => options.proxy_header != DEFAULT_PROXY_HEADER,
            "request_handler" => !self.host.request_handler.is_null(),
            _ => false,
        }
    }
}

fn parse_all<T: FromStr<Err = ConfigError>>(texts: &PackedStringArray) -> Result<Vec<T>, ConfigError> {
    convert::strings(texts).iter().map(|text| text.parse()).collect()
}

const MAX_COUNT: i64 = i32::MAX as i64;
/// As rules that were refused are called.
const SET_CERTIFICATE: &str = "set_certificate()";
const EXTRA_HEADERS: &str = "set_extra_headers()";
