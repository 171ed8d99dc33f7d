//! The access policy of a server: which requests get in, how many of one address, and how often it is logged.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::client_key::ClientKey;
use super::forwarded::client_address;
use super::log_limit::LogLimit;
use crate::config::ServerConfig;
use crate::http::{HttpResponse, Request, named};

/// The rules of a server, and how many connections each client has.
#[derive(Debug)]
pub(crate) struct AccessPolicy {
    pub(crate) config: ServerConfig,
    /// New connections are answered with 503.
    pub(crate) refusing: bool,
    clients: HashMap<ClientKey, Share>,
    logs: [LogLimit; 4],
}

/// What one client has.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    connections: usize,
    /// How many of its connections, present or lost, belong to sessions.
    sessions: usize,
    /// Its connections above the limit, at most one for each session.
    spares: usize,
}

/// Kinds of log lines about clients, each with a limit of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogLine {
    /// The client was rejected.
    Rejected,
    /// The client exceeded a limit and is closed for that.
    Limit,
    /// The client left.
    Left,
    /// The client sent something that is ignored.
    Ignored,
}

/// Why a connection was rejected, for the counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RejectReason {
    /// The request is not valid.
    Malformed,
    /// Too many connections of its address.
    Address,
    /// The origin of the page is not allowed.
    Origin,
    /// The server is full, or refuses new connections.
    Full,
    /// The game's handler rejected the request, or failed.
    Handler,
    /// Too many events wait because the game does not poll.
    Busy,
    /// The client wanted a session back that has ended, or is not known.
    Resume,
    /// The client wanted a session back too often, or in early data, and tries again.
    TooSoon,
    /// The handshake took too long while other clients waited.
    Evicted,
}

/// What the rules say about a request, before the game's handler is asked.
#[derive(Debug)]
pub(crate) enum PolicyDecision {
    Admit { protocol: Option<String> },
    Health,
    Metrics,
    Reject(RejectReason, HttpResponse),
}

impl AccessPolicy {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let logs = [1, 1, LIVES, 1].map(LogLimit::new);
        Self { config, refusing: false, clients: HashMap::new(), logs }
    }

    /// Returns as which client an address counts; `None` for a trusted proxy, which has many clients.
    pub(crate) fn client_key(&self, address: IpAddr) -> Option<ClientKey> {
        (!self.is_trusted(address)).then(|| ClientKey::of(address))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// Returns whether connections from this address begin with the PROXY protocol.
    pub(crate) fn wants_proxy_protocol(&self, address: IpAddr) -> bool {
        self.config.proxy_protocol && self.is_trusted(address)
    }

    /// Counts a connection of an address. The caller hands the key to [`release`](Self::release) at the end of the connection.
    pub(crate) fn count(&mut self, address: IpAddr) -> Result<Option<ClientKey>, HttpResponse> {
        let limit = self.config.max_connections_per_address;
        let Some(client) = self.client_key(address).filter(|_| limit > 0) else { return Ok(None) };
        let share = self.clients.entry(client).or_default();
        if share.connections >= limit {
            return Err(HttpResponse::new(429, "too many connections from your address").retry_after(5));
        }
        share.connections += 1;
        Ok(Some(client))
    }

    /// Gives a client at its limit one connection more for each session that it has: the session's connection may be lost, and the
    /// client about to come back. The caller hands the key to [`release_spare`](Self::release_spare).
    pub(crate) fn spare(&mut self, address: IpAddr) -> Option<ClientKey> {
        let client = self.client_key(address)?;
        let share = self.clients.get_mut(&client).filter(|share| share.spares < share.sessions)?;
        share.spares += 1;
        Some(client)
    }

    pub(crate) fn release_spare(&mut self, client: ClientKey) {
        self.change(client, |share| share.spares -= 1);
    }

    /// A connection of a client belongs to a session from now on.
    pub(crate) fn begin_session(&mut self, client: ClientKey) {
        self.change(client, |share| share.sessions += 1);
    }

    pub(crate) fn end_session(&mut self, client: ClientKey) {
        self.change(client, |share| share.sessions -= 1);
    }

    /// Ends the counting of a connection.
    pub(crate) fn release(&mut self, client: ClientKey) {
        self.change(client, |share| share.connections -= 1);
    }

    fn change(&mut self, client: ClientKey, act: impl FnOnce(&mut Share)) {
        if let Some(share) = self.clients.get_mut(&client) {
            act(share);
            if share.connections == 0 && share.sessions == 0 && share.spares == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// Returns the address of the client, which a trusted proxy names in its header lines.
    pub(crate) fn client_of(
        &self,
        socket: SocketAddr,
        request: &Request,
    ) -> Result<SocketAddr, HttpResponse> {
        if !self.is_trusted(socket.ip()) {
            return Ok(socket);
        }
        let lines = request.headers.all(&self.config.proxy_header);
        client_address(lines, socket, &self.config.trusted_proxies).map_err(|_| {
            HttpResponse::new(400, format!("{} is not a list of addresses", self.config.proxy_header))
        })
    }

    /// Decides about a request. `peers` is the number of connected peers; `crowded`: too many events wait for the game.
    pub(crate) fn decide(&self, request: &Request, peers: usize, crowded: bool) -> PolicyDecision {
        let reject = PolicyDecision::Reject;
        if request.is_plain() {
            let asks_for = |path: &str| !path.is_empty() && request.path() == path;
            if asks_for(&self.config.health_path) {
                return PolicyDecision::Health;
            }
            if asks_for(&self.config.metrics_path) {
                return PolicyDecision::Metrics;
            }
        }
        if let Some(fault) = request.fault() {
            return reject(RejectReason::Malformed, fault.clone());
        }
        if let Some(response) = self.wrong_origin(request) {
            return reject(RejectReason::Origin, response);
        }
        if let Some(response) = self.full(peers) {
            return reject(RejectReason::Full, response);
        }
        if crowded {
            let response = HttpResponse::new(503, "the server is busy").retry_after(1);
            return reject(RejectReason::Busy, response);
        }
        // Without subprotocols of the server, the game's handler may choose one.
        if self.config.ask && self.config.protocols.is_empty() {
            return PolicyDecision::Admit { protocol: None };
        }
        match choose_protocol(&request.protocols, &self.config.protocols) {
            Ok(protocol) => PolicyDecision::Admit { protocol },
            Err(response) => reject(RejectReason::Malformed, response),
        }
    }

    /// Returns the response if no more peers are admitted. Checked again after the game's handler has decided.
    pub(crate) fn full(&self, peers: usize) -> Option<HttpResponse> {
        let why = if self.refusing {
            "the server accepts no new players now"
        } else if self.config.max_connections > 0 && peers >= self.config.max_connections {
            "the server is full"
        } else {
            return None;
        };
        Some(HttpResponse::new(503, why).retry_after(5))
    }

    /// Returns what to add to a log line about an address; `None`: the line is suppressed, and counted in the next one.
    pub(crate) fn may_log(&mut self, line: LogLine, address: IpAddr, now: Instant) -> Option<String> {
        Some(match self.logs[line as usize].allow(ClientKey::of(address), now)? {
            0 => String::new(),
            count => format!(" ({count} more from there since the last such line)"),
        })
    }

    /// Returns the response to a page whose origin is not allowed.
    pub(crate) fn wrong_origin(&self, request: &Request) -> Option<HttpResponse> {
        (!self.allows_origin(request)).then(|| HttpResponse::new(403, "pages of this origin may not connect"))
    }

    fn allows_origin(&self, request: &Request) -> bool {
        let patterns = &self.config.allowed_origins;
        let mut origins = request.headers.all("origin");
        match (patterns.is_empty(), origins.next(), origins.next()) {
            // Browsers always send the header, and other clients usually do not.
            (true, ..) | (_, None, _) => true,
            (_, Some(origin), None) => patterns.iter().any(|pattern| pattern.matches(origin)),
            _ => false,
        }
    }
}

/// Chooses the first offered subprotocol that the server supports. If only one side names subprotocols, or none is common, the
/// request is rejected, as by the engine's own class: browsers and most clients would end such a connection themselves.
fn choose_protocol(offered: &[String], supported: &[String]) -> Result<Option<String>, HttpResponse> {
    let text = match (offered, supported) {
        ([], []) => return Ok(None),
        ([], supported) => {
            format!("the client offers no subprotocol; this server wants one of: {}", named(supported))
        }
        (offered, []) => format!(
            "the client offers the subprotocols {}, and this server names none; give it one of them in listen() or \
             supported_protocols",
            named(offered)
        ),
        (offered, supported) => match offered.iter().find(|offered| supported.contains(offered)) {
            Some(chosen) => return Ok(Some(chosen.clone())),
            None => format!(
                "no common subprotocol: the client offers {}, this server supports {}",
                named(offered),
                named(supported)
            ),
        },
    };
    Err(HttpResponse::new(400, text))
}

/// Log lines per address and minute about peers that left: several players of one household may leave together.
pub(crate) const LIVES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offered_protocol_that_is_supported_wins() {
        let choose = |offered: &[&str], supported: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            choose_protocol(&names(offered), &names(supported))
        };
        assert_eq!(choose(&["a", "b", "c"], &["c", "b"]), Ok(Some("b".to_owned())));
        assert_eq!(choose(&[], &[]), Ok(None));
        let response = choose(&["a", "b", "c"], &[]).expect_err("the server names none");
        assert!(
            response
                .text
                .starts_with("the client offers the subprotocols a, b, c, and this server names none")
        );
        let response = choose(&["a", "b", "c"], &["x", "y"]).expect_err("none in common");
        let text = "no common subprotocol: the client offers a, b, c, this server supports x, y";
        assert_eq!((response.status, response.text.as_str()), (400, text));
        let response = choose(&[], &["x"]).expect_err("none offered");
        let text = "the client offers no subprotocol; this server wants one of: x";
        assert_eq!((response.status, response.text.as_str()), (400, text));
    }
}
