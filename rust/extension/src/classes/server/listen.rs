//! Opening of a `WebSocketServer`: from its properties to the configuration of the core, and the rules without which nothing opens.

use std::str::FromStr;

use godot::builtin::PackedStringArray;
use godot::global::Error;
use websocket_multiplayer_core::{
    BindAddress, ConfigError, OpenError, ServerConfig, TlsError, TlsServer, check_page_path, check_protocols,
    check_proxy_header,
};

use super::{SET_CERTIFICATE, WebSocketServer};
use crate::access_rules::{AccessRules, RuleType};
use crate::classes::options::DEFAULT_PROXY_HEADER;
use crate::convert;
use crate::report::warning;

impl WebSocketServer {
    /// A server that listens keeps its certificate. A server that does not listen must not listen without one.
    pub(super) fn refuse_certificate(&mut self, error: TlsError) -> Error {
        let code = self.host.report_open_error("set_certificate", &OpenError::Tls(error.clone()));
        if !self.host.is_open() {
            self.host.invalid_rules.insert(SET_CERTIFICATE, error.to_string());
        }
        code
    }

    pub(super) fn try_listen(
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
            health_path: check_page_path(&options.health_path.to_string()).map_err(refuse)?,
            metrics_path: check_page_path(&options.metrics_path.to_string()).map_err(refuse)?,
            tls: tls.map_err(|error| host.report_open_error("listen", &OpenError::Tls(error)))?,
        };
        if config.proxy_protocol && config.trusted_proxies.is_empty() {
            warning(
                "WebSocketServer.listen(): proxy_protocol is set, but trusted_proxies is empty: the PROXY protocol is not used.",
            );
        }
        self.options.active_tls.clone_from(&config.tls);
        Ok(self.host.open_server("listen", config))
    }
}

impl AccessRules for WebSocketServer {
    /// Which clients may connect, and to which address.
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

pub(super) fn parse_all<T: FromStr<Err = ConfigError>>(
    texts: &PackedStringArray,
) -> Result<Vec<T>, ConfigError> {
    convert::strings(texts).iter().map(|text| text.parse()).collect()
}
