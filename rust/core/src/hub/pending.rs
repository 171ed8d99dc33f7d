//! Pending connections: those that are not admitted yet, or were rejected and are not gone. Their number is limited, and one is
//! evicted when another waits.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::admission::Asked;
use super::connection::{Connection, Stage};
use super::resume::ComesBack;
use super::{Hub, Side};
use crate::access::{AccessPolicy, ClientKey, RejectReason};
use crate::base::{CloseReason, ConnId, ResumeToken};
use crate::http::HttpResponse;
use crate::wire::proxy_protocol::Preamble;
use crate::wire::relay_list::Terms;

/// The part of a connection that only a pending one has.
pub(super) struct Pending {
    /// Since when the handshake has been under way.
    pub(super) started: Instant,
    /// The header of the PROXY protocol, while it is read. It comes before TLS and HTTP.
    pub(super) preamble: Option<Box<Preamble>>,
    /// When the first bytes came, those of TLS included.
    pub(super) first_bytes: Option<Instant>,
    /// The request that waits for the game's decision.
    pub(super) asked: Option<Box<Asked>>,
    /// Why it was rejected.
    pub(super) reject_reason: Option<RejectReason>,
    /// Its end is not logged.
    pub(super) suppress_log: bool,
    /// Client: by when the id must have come.
    pub(super) id_deadline: Option<Instant>,
    /// Client: the subprotocol that was agreed on.
    pub(super) protocol: String,
    /// Client: the session that the server has given, and for how long it keeps it without a connection.
    pub(super) granted: Option<(ResumeToken, Duration)>,
    /// Client: the server takes messages for several clients.
    pub(super) lists: Option<Terms>,
    /// It has said which session it belongs to.
    pub(super) comes_back: Option<ComesBack>,
    /// Server: its address is at the limit, so that it may only come back to a session; the key of the address, and the response else.
    pub(super) spare: Option<Box<(ClientKey, HttpResponse)>>,
}

impl Pending {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            preamble: None,
            first_bytes: None,
            asked: None,
            reject_reason: None,
            suppress_log: false,
            id_deadline: None,
            protocol: String::new(),
            granted: None,
            lists: None,
            comes_back: None,
            spare: None,
        }
    }
}

/// The pending connections.
#[derive(Debug, Default)]
pub(super) struct PendingQueue {
    len: usize,
    /// In the order in which they came. Connections that are not pending any more are removed later.
    queue: VecDeque<ConnId>,
}

/// The decision about a new connection for which there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EvictionOutcome {
    /// This connection was evicted; the caller drops its stream.
    Evicted(ConnId),
    /// The new connection waits. Try again at this time, or when a connection is gone.
    Wait(Option<Instant>),
    /// The new connection is refused: its client has too many pending connections.
    Refused,
}

/// The pending connections of one client.
#[derive(Debug, Default)]
struct Share {
    places: usize,
    /// The oldest connection that has had enough time.
    slow: Option<ConnId>,
    /// When the first of the others has had enough time.
    due: Option<Instant>,
}

impl Connection {
    /// Takes a place above the limit of its address, for a client that comes back to its session; `Err`: there is none.
    pub(super) fn take_spare(
        &mut self,
        access: &mut AccessPolicy,
        response: HttpResponse,
    ) -> Result<(), HttpResponse> {
        let address = self.address.ip();
        let Stage::Pending(pending) = &mut self.stage else { return Err(response) };
        let Some(client) = access.spare(address) else { return Err(response) };
        pending.spare = Some(Box::new((client, response)));
        Ok(())
    }
}

impl PendingQueue {
    /// A connection was admitted, or dropped before it was.
    pub(super) fn leave(&mut self) {
        self.len -= 1;
    }
}

impl Hub {
    pub(super) fn enter_pending(&mut self, conn: ConnId) {
        // Each connection leaves its entry behind.
        if self.pending_queue.queue.len() > 2 * self.pending_queue.len + 64 {
            self.tidy_pending();
        }
        self.pending_queue.len += 1;
        self.pending_queue.queue.push_back(conn);
    }

    /// The number of pending connections; on a server `max_pending` at most.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending_queue.len
    }

    /// Evicts a connection so that a new one can be served: one that was silent for a second, else one that was answered, else the
    /// slowest one of a client with more than its share. A connection that waits to be read is not slow itself. Many clients with few
    /// connections each do not evict each other. A new connection does not evict earlier ones of the same client: it is refused, so
    /// that it does not keep other clients waiting.
    pub(super) fn make_room(&mut self, newcomer: Option<SocketAddr>, now: Instant) -> EvictionOutcome {
        self.tidy_pending();
        let Side::Server(access) = &self.side else { return EvictionOutcome::Wait(None) };
        let fair = (access.config.max_pending / FAIR_SHARE).max(1);
        let mut shares: HashMap<ClientKey, Share> = HashMap::new();
        let (mut answered, mut again) = (None, None);
        for &conn in &self.pending_queue.queue {
            let Some(connection) = self.connections.get(conn) else { continue };
            let Some(pending) = connection.pending() else { continue };
            let mut share =
                access.client_key(connection.address.ip()).map(|client| shares.entry(client).or_default());
            if let Some(share) = &mut share {
                share.places += 1;
            }
            let until = pending.first_bytes.filter(|_| !connection.outcome_noted).unwrap_or(pending.started)
                + PENDING_GRACE;
            let is_due = until <= now;
            if connection.outcome_noted {
                // Inside TLS the response may wait for a handshake that never ends.
                if is_due || !connection.wants_write() {
                    answered = answered.or(Some(conn));
                } else {
                    sooner(&mut again, until);
                }
            } else if pending.first_bytes.is_none() {
                if is_due && !connection.io.read_queued {
                    return self.evict(conn, now);
                }
                sooner(&mut again, until.max(now));
            } else if let Some(share) = share {
                if !is_due {
                    sooner(&mut share.due, until);
                } else if share.slow.is_none() && !connection.io.read_queued {
                    share.slow = Some(conn);
                }
            }
        }
        if let Some(conn) = answered {
            return self.evict(conn, now);
        }
        let own = newcomer.and_then(|address| access.client_key(address.ip()));
        let own = own.and_then(|client| shares.remove(&client)).unwrap_or_default();
        let unfair = || shares.values().filter(|share| share.places > fair);
        let most = unfair().filter(|share| share.slow.is_some()).max_by_key(|share| share.places);
        if let Some(&Share { places, slow: Some(conn), .. }) = most
            && places > own.places + 1
        {
            return self.evict(conn, now);
        }
        if own.places > fair && own.slow.is_some() {
            return EvictionOutcome::Refused;
        }
        for due in unfair().chain([&own]).filter_map(|share| share.due) {
            sooner(&mut again, due);
        }
        EvictionOutcome::Wait(again)
    }

    fn evict(&mut self, conn: ConnId, now: Instant) -> EvictionOutcome {
        let mut why = "it was rejected and did not close while other clients waited";
        if let Some(Connection { stage: Stage::Pending(pending), outcome_noted, .. }) =
            self.connections.get_mut(conn)
        {
            pending.reject_reason.get_or_insert(RejectReason::Evicted);
            if !*outcome_noted {
                why = match pending.first_bytes {
                    None => "it sent nothing while other clients waited",
                    Some(_) => "it was slow while other clients waited, and its address had many connections",
                };
            }
        }
        self.fail(conn, CloseReason::TransportError(why.into()), now);
        EvictionOutcome::Evicted(conn)
    }

    fn tidy_pending(&mut self) {
        let is_pending = |conn: &ConnId| {
            self.connections.get(*conn).is_some_and(|connection| connection.pending().is_some())
        };
        self.pending_queue.queue.retain(is_pending);
    }
}

fn sooner(at: &mut Option<Instant>, other: Instant) {
    *at = Some(at.map_or(other, |at| at.min(other)));
}

/// How long a pending connection is kept while others wait: before its first byte, before its request, and after its response.
pub(crate) const PENDING_GRACE: Duration = Duration::from_secs(1);
/// The share of one client, for example a household or the gateway of a provider, is `max_pending` divided by this number.
pub(crate) const FAIR_SHARE: usize = 16;
