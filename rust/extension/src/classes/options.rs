//! The properties that only `WebSocketServer` has.

use godot::builtin::{GString, PackedStringArray};
use godot::classes::{CryptoKey, X509Certificate};
use godot::obj::Gd;
use websocket_multiplayer_core::TlsServer;

use crate::{settings, tls};

/// The values of these properties.
pub(super) struct Options {
    pub(super) bind_ip: GString,
    pub(super) private_key: Option<Gd<CryptoKey>>,
    pub(super) ssl_certificate: Option<Gd<X509Certificate>>,
    pub(super) ca_chain: Option<Gd<X509Certificate>>,
    pub(super) max_connections: i64,
    pub(super) max_connections_per_address: i64,
    pub(super) max_pending_connections: i64,
    pub(super) max_inbound_kb_per_second: i64,
    pub(super) allowed_origins: PackedStringArray,
    pub(super) trusted_proxies: PackedStringArray,
    pub(super) proxy_header: GString,
    pub(super) proxy_protocol: bool,
    pub(super) health_path: GString,
    pub(super) metrics_path: GString,
    pub(super) extra_headers: Vec<String>,
    /// The TLS identity of a server that listens.
    pub(super) active_tls: Option<TlsServer>,
}

impl Options {
    pub(super) fn new() -> Self {
        Self {
            bind_ip: GString::from("*"),
            private_key: None,
            ssl_certificate: None,
            ca_chain: None,
            max_connections: settings::MAX_CONNECTIONS.read(),
            max_connections_per_address: 0,
            max_pending_connections: settings::MAX_PENDING.read(),
            max_inbound_kb_per_second: 0,
            allowed_origins: PackedStringArray::new(),
            trusted_proxies: PackedStringArray::new(),
            proxy_header: GString::from(DEFAULT_PROXY_HEADER),
            proxy_protocol: false,
            health_path: GString::new(),
            metrics_path: GString::new(),
            extra_headers: Vec::new(),
            active_tls: None,
        }
    }

    /// The missing part, if TLS was probably meant.
    pub(super) fn incomplete_identity(&self) -> Option<&'static str> {
        match (&self.private_key, &self.ssl_certificate, &self.ca_chain) {
            (Some(_), None, _) => Some("private_key is set and ssl_certificate is not"),
            (None, Some(_), _) => Some("ssl_certificate is set and private_key is not"),
            (None, None, Some(_)) => Some("ca_chain is set, and neither private_key nor ssl_certificate is"),
            _ => None,
        }
    }

    pub(super) fn identity(&self) -> tls::Identity {
        tls::Identity {
            private_key: self.private_key.clone(),
            ssl_certificate: self.ssl_certificate.clone(),
            ca_chain: self.ca_chain.clone(),
        }
    }
}

pub(super) const DEFAULT_PROXY_HEADER: &str = "x-forwarded-for";
