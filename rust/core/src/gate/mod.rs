//! Who is let in: the rules of a server and what it has to remember for them. No socket, no clock.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod allowance;
mod forwarded;
mod health;
pub(crate) mod log_limit;
mod network;
mod origin;
mod source;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::config::ServerConfig;
use crate::http::{HttpResponse, Request};
pub(crate) use allowance::Allowance;
pub use forwarded::{Malformed, client_address};
pub(crate) use health::health;
use log_limit::LogLimit;
pub use network::Network;
pub use origin::OriginPattern;
pub(crate) use source::Source;

/// The rules of a server, and whom it has let in so far.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) config: ServerConfig,
    /// New connections are answered with 503.
    pub(crate) refusing: bool,
    /// Connections by whom they count for.
    sources: HashMap<Source, usize>,
    logs: [LogLimit; 4],
}

/// Lines about clients, which are counted apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// It did not get in.
    TurnedAway,
    /// It met a limit and is closed for that.
    Limit,
    /// It is gone.
    Left,
    /// What it sent means nothing.
    Ignored,
}

/// Why a connection was not let in, for the counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turned {
    /// It sent no request that can be answered otherwise.
    Malformed,
    /// Too many connections of its address.
    Address,
    /// A web page that may not connect.
    Origin,
    /// No room, or nobody is admitted now.
    Full,
    /// The game's handler said no, or nothing that can be used.
    Handler,
    /// The game did not poll for too long.
    Busy,
    /// It took too long, and others wait.
    Evicted,
}

/// What a request comes to before the game's handler is asked.
#[derive(Debug)]
pub(crate) enum Judgement {
    Admitted { protocol: Option<String> },
    Health,
    Refused(Turned, HttpResponse),
}

impl Gate {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let logs = [1, 1, LIVES, 1].map(LogLimit::new);
        Self { config, refusing: false, sources: HashMap::new(), logs }
    }

    /// Whom a connection counts for; a trusted proxy speaks for many.
    pub(crate) fn source(&self, address: IpAddr) -> Option<Source> {
        (!self.is_trusted(address)).then(|| Source::of(address))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// Says whether a connection from there begins with the PROXY protocol.
    pub(crate) fn wants_proxy_protocol(&self, address: IpAddr) -> bool {
        self.config.proxy_protocol && self.is_trusted(address)
    }

    /// Counts a connection for its address; give the result back to [`release`](Self::release).
    pub(crate) fn count(&mut self, address: IpAddr) -> Result<Option<Source>, HttpResponse> {
        let limit = self.config.max_connections_per_address;
        let Some(source) = self.source(address).filter(|_| limit > 0) else { return Ok(None) };
        let count = self.sources.entry(source).or_default();
        if *count >= limit {
            return Err(HttpResponse::new(429, "too many connections from your address").retry_after(5));
        }
        *count += 1;
        Ok(Some(source))
    }

    /// A connection that was counted is gone.
    pub(crate) fn release(&mut self, source: Source) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Whose connection it really is, by what a trusted proxy says.
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

    /// Decides about a request. `peers` are connected; `crowded` says that the game has too much to hear already.
    pub(crate) fn judge(&self, request: &Request, peers: usize, crowded: bool) -> Judgement {
        let refused = Judgement::Refused;
        if request.is_plain()
            && !self.config.health_path.is_empty()
            && request.path() == self.config.health_path
        {
            return Judgement::Health;
        }
        if let Some(fault) = request.fault() {
            return refused(Turned::Malformed, fault.clone());
        }
        if !self.allows_origin(request) {
            return refused(Turned::Origin, HttpResponse::new(403, "pages of this origin may not connect"));
        }
        if let Some(refusal) = self.full(peers) {
            return refused(Turned::Full, refusal);
        }
        if crowded {
            let refusal = HttpResponse::new(503, "the server is busy").retry_after(1);
            return refused(Turned::Busy, refusal);
        }
        // The game's handler may choose one where the server names none.
        if self.config.ask && self.config.protocols.is_empty() {
            return Judgement::Admitted { protocol: None };
        }
        match request.choose_protocol(&self.config.protocols) {
            Ok(protocol) => Judgement::Admitted { protocol },
            Err(refusal) => refused(Turned::Malformed, refusal),
        }
    }

    /// Why nobody more is admitted, if so. Asked again when the game's handler has answered.
    pub(crate) fn full(&self, peers: usize) -> Option<HttpResponse> {
        let why = if self.refusing {
            "the server takes no new players now"
        } else if self.config.max_connections > 0 && peers >= self.config.max_connections {
            "the server is full"
        } else {
            return None;
        };
        Some(HttpResponse::new(503, why).retry_after(5))
    }

    /// What to add to a line about an address; `None`: it is not to be written, and counts for the next one.
    pub(crate) fn may_log(&mut self, line: Line, address: IpAddr, now: Instant) -> Option<String> {
        Some(match self.logs[line as usize].admit(Source::of(address), now)? {
            0 => String::new(),
            count => format!(" ({count} more from there since the last such line)"),
        })
    }

    fn allows_origin(&self, request: &Request) -> bool {
        let patterns = &self.config.allowed_origins;
        let mut origins = request.headers.all("origin");
        match (patterns.is_empty(), origins.next(), origins.next()) {
            // Only browsers send it, and they always do.
            (true, ..) | (_, None, _) => true,
            (_, Some(origin), None) => patterns.iter().any(|pattern| pattern.matches(origin)),
            _ => false,
        }
    }
}

/// Lines per address and minute about players who left: a household may leave together.
pub(crate) const LIVES: u32 = 10;
