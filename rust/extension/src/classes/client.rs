//! `WebSocketClient`.

use godot::builtin::{GString, PackedStringArray};
use godot::classes::X509Certificate;
use godot::global::Error;
use godot::obj::Gd;
use godot::register::godot_api;
use godot::register::property::PhantomVar;
use websocket_multiplayer_core::{CloseFrame, PeerId, TlsError};

use crate::access_rules::{AccessRules, RuleType, VALID};
use crate::border;
use crate::common::multiplayer_class;
use crate::convert;
use crate::simulation::Simulation;
use crate::tls;
use crate::tuning::Seconds;

multiplayer_class! {
    /// A WebSocket client: a buffered multiplayer peer whose socket has a thread of its own.
    ///
    /// In multiplayer mode, assign the object to the `multiplayer_peer` of a `MultiplayerAPI`:
    /// ```gdscript
    /// var client := WebSocketClient.new()
    ///
    /// func _ready() -> void:
    ///     if client.connect_to_url("ws://127.0.0.1:9080", PackedStringArray(), true) == OK:
    ///         multiplayer.multiplayer_peer = client
    /// ```
    /// In raw mode, each message is one packet of `get_peer(1)`, and your script must call `poll()` regularly.
    #[class(init, tool, base = MultiplayerPeerExtension)]
    class WebSocketClient: Client {
        /// If `true` (the default), the certificate of a `wss://` server is verified. If `false`, any certificate is accepted,
        /// and `trusted_ssl_certificate` is ignored.
        #[var(get = is_verify_ssl_enabled, set = set_verify_ssl_enabled)]
        verify_ssl: PhantomVar<bool>,

        /// The only certificate, or the only authority, that is trusted for a `wss://` server. If null (the default), the
        /// certificates that the platform trusts are used, or Mozilla's list if the platform has none. So check that `load()`
        /// has returned a certificate. Cannot be changed while open. After an invalid value, `connect_to_url()` to a `wss://`
        /// server fails until a valid one is set.
        #[var(get = get_trusted_ssl_certificate, set = set_trusted_ssl_certificate)]
        trusted_ssl_certificate: PhantomVar<Option<Gd<X509Certificate>>>,

        /// If `true` (the default), the client asks the server for a session that survives the loss of the connection. The server decides
        /// with `resume_timeout`. A change applies to the next connection. In a web export the default is `false`, and a game asks for a
        /// session by setting it to `true`.
        #[var(get = is_resume_enabled, set = set_resume_enabled)]
        resume_enabled: PhantomVar<bool>,

        #[init(val = true)]
        verify: bool,
        trusted: Option<Gd<X509Certificate>>,
    }
    accessors {
        /// Emitted in raw mode when the client is connected. `protocol` is the negotiated subprotocol, or empty.
        #[signal]
        fn connection_established(protocol: GString);

        /// Emitted in raw mode when the connection has ended. `was_clean_close` is `true` if it ended with a closing handshake.
        #[signal]
        fn connection_closed(was_clean_close: bool);

        /// Emitted in raw mode when the client could not connect. `get_last_error()` returns the reason.
        #[signal]
        fn connection_error();

        /// Emitted in raw mode when `get_peer(1)` has one more packet.
        #[signal]
        fn data_received();

        /// Emitted in both modes when the server has sent a Close frame, with its code (1005 if it has none) and reason.
        #[signal]
        fn server_close_request(code: i64, reason: GString);

        #[func]
        fn is_resume_enabled(&self) -> bool {
            self.host.config.resume_offered
        }

        #[func]
        fn set_resume_enabled(&mut self, enabled: bool) {
            self.host.config.resume_offered = enabled;
        }

        #[func]
        fn is_verify_ssl_enabled(&self) -> bool {
            self.verify
        }

        #[func]
        fn set_verify_ssl_enabled(&mut self, enabled: bool) {
            if self.accepts_value("verify_ssl", VALID, enabled && !self.verify) {
                self.verify = enabled;
            }
        }

        #[func]
        fn get_trusted_ssl_certificate(&self) -> Option<Gd<X509Certificate>> {
            self.trusted.clone()
        }

        #[func]
        fn set_trusted_ssl_certificate(&mut self, certificate: Option<Gd<X509Certificate>>) {
            if self.accepts_value("trusted_ssl_certificate", VALID, certificate != self.trusted) {
                border::replace(&mut self.trusted, certificate);
            }
        }
    }
}

#[godot_api(secondary)]
impl WebSocketClient {
    /// Starts to connect to a `ws://` or `wss://` URL, and returns at once. `protocols` are the subprotocols to offer. If
    /// `gd_mp_api` is `true`, the client uses multiplayer mode. `custom_headers` are `Name: value` lines for the request; a line
    /// named `User-Agent` replaces that of the addon.
    ///
    /// A URL without a scheme means `ws://`. A fragment (`#...`) is ignored. `user:password@` becomes an `Authorization` header.
    /// International host names work, and IPv6 addresses in brackets, also with a zone: `ws://[fe80::1%eth0]:9080`.
    ///
    /// Returns `ERR_ALREADY_IN_USE` if the client is open already, `ERR_INVALID_PARAMETER` for an invalid URL, subprotocol or
    /// header, and `ERR_INVALID_DATA` for a `trusted_ssl_certificate` that cannot be used.
    /// ```gdscript
    /// var client := WebSocketClient.new()
    ///
    /// func _ready() -> void:
    ///     client.connection_failed.connect(func() -> void: print(client.get_last_error()))
    ///     var headers := PackedStringArray(["Authorization: Bearer 4711"])
    ///     if client.connect_to_url("ws://127.0.0.1:9080/lobby", PackedStringArray(), true, headers) == OK:
    ///         multiplayer.multiplayer_peer = client
    /// ```
    #[func(gd_self)]
    fn connect_to_url(
        mut this: Gd<Self>,
        url: GString,
        #[opt(default = &PackedStringArray::new())] protocols: PackedStringArray,
        #[opt(default = false)] gd_mp_api: bool,
        #[opt(default = &PackedStringArray::new())] custom_headers: PackedStringArray,
    ) -> Error {
        let (protocols, headers) = (convert::strings(&protocols), convert::strings(&custom_headers));
        let url = url.to_string();
        let (verify, trusted, rules) = {
            let class = this.bind();
            (class.verify, class.trusted.clone(), class.host.check_rules())
        };
        let trust = || rules.map_err(TlsError::new).and_then(|()| tls::client(verify, trusted.as_ref()));
        let tls = tls::for_url(&url, trust);
        let host = &mut this.bind_mut().host;
        host.connect("connect_to_url", &url, protocols, headers, gd_mp_api, tls)
    }

    /// Closes the connection with a Close frame; the disconnect signal follows. `code` is 1000 to 4999 except 1004 to 1006 and
    /// 1015; `reason` has at most 123 bytes of UTF-8. If the client is still connecting, stops connecting without a signal. Does
    /// nothing if the client is not open.
    #[func]
    fn disconnect_from_host(
        &mut self,
        #[opt(default = 1000)] code: i64,
        #[opt(default = "")] reason: GString,
    ) {
        match CloseFrame::new(code, &reason.to_string()) {
            Ok(frame) => self.host.disconnect_from_server(frame),
            Err(error) => self.host.kind.error("disconnect_from_host", error),
        }
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

    /// Returns the IP address of the server. When not connected, prints an error and returns an empty string.
    #[func]
    fn get_connected_host(&self) -> GString {
        self.host
            .connected_peer("get_connected_host", 1)
            .map_or_else(GString::new, |peer| GString::from(&peer.address()))
    }

    /// Returns the TCP port of the server. When not connected, prints an error and returns 0.
    #[func]
    fn get_connected_port(&self) -> i64 {
        self.host.connected_peer("get_connected_port", 1).map_or(0, |peer| i64::from(peer.port()))
    }
}

impl AccessRules for WebSocketClient {
    /// Which servers the client trusts.
    const RULES: &'static [(&'static str, RuleType)] =
        &[("trusted_ssl_certificate", RuleType::Certificate), ("verify_ssl", RuleType::Bool)];
}
