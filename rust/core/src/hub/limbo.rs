//! Connections that are not in yet, or were rejected and are not gone: how many there may be, and who goes when another waits.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::member::Member;
use super::{Hub, Side};
use crate::access::{ClientKey, RejectReason};
use crate::base::{CloseReason, ConnId};

/// Connections that are not connected yet, or were rejected and are not gone: their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Limbo {
    len: usize,
    /// In the order in which they came; those that have left it are still there for a while.
    queue: VecDeque<ConnId>,
}

/// What becomes of one for whom there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Room {
    /// This one went for it; its stream is to be dropped.
    Made(ConnId),
    /// It waits; ask again then, or when somebody has left.
    Wait(Option<Instant>),
    /// Nobody goes for one more of those who hold the room.
    Refused,
}

/// The room that one client takes.
#[derive(Debug, Default)]
struct Share {
    places: usize,
    /// The one that has been at it for longest, and for too long.
    slow: Option<ConnId>,
    /// When the first of the others has been at it for too long.
    due: Option<Instant>,
}

impl Limbo {
    pub(super) fn leave(&mut self, member: &mut Member) {
        if std::mem::take(&mut member.in_limbo) {
            self.len -= 1;
        }
    }
}

impl Hub {
    pub(super) fn enter_limbo(&mut self, conn: ConnId) {
        // Each leaves something behind in the queue.
        if self.limbo.queue.len() > 2 * self.limbo.len + 64 {
            self.tidy_limbo();
        }
        if let Some(member) = self.members.get_mut(conn) {
            member.in_limbo = true;
            self.limbo.len += 1;
            self.limbo.queue.push_back(conn);
        }
    }

    /// Connections that may not become more than `max_pending`.
    pub(crate) fn in_limbo(&self) -> usize {
        self.limbo.len
    }

    /// Ends one that is worth less than one that waits, so that this can be heard: one that has been silent for a second, else
    /// one that was answered, else the slowest of a source that holds more than its share of the room. Whoever waits to be read
    /// waits for us. A crowd of many sources harms none of them, and the newcomer of a source does not push out those who came
    /// from there before: it is the one who goes, so that it keeps nobody waiting who comes from elsewhere.
    pub(super) fn make_room(&mut self, newcomer: Option<SocketAddr>, now: Instant) -> Room {
        self.tidy_limbo();
        let Side::Server(access) = &self.side else { return Room::Wait(None) };
        let fair = (access.config.max_pending / FAIR_PART).max(1);
        let mut shares: HashMap<ClientKey, Share> = HashMap::new();
        let (mut answered, mut again) = (None, None);
        for &conn in &self.limbo.queue {
            let Some(member) = self.members.get(conn) else { continue };
            let mut share =
                access.client_key(member.address.ip()).map(|client| shares.entry(client).or_default());
            if let Some(share) = &mut share {
                share.places += 1;
            }
            let until = member.heard.filter(|_| !member.reported).unwrap_or(member.started) + GRACE;
            let is_due = until <= now;
            if member.reported {
                // Inside TLS its answer may wait for a handshake that never comes.
                if is_due || !member.wants_write() {
                    answered = answered.or(Some(conn));
                } else {
                    sooner(&mut again, until);
                }
            } else if member.heard.is_none() {
                if is_due && !member.io.read_queued {
                    return self.evict(conn, now);
                }
                sooner(&mut again, until.max(now));
            } else if let Some(share) = share {
                if !is_due {
                    sooner(&mut share.due, until);
                } else if share.slow.is_none() && !member.io.read_queued {
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
            return Room::Refused;
        }
        for due in unfair().chain([&own]).filter_map(|share| share.due) {
            sooner(&mut again, due);
        }
        Room::Wait(again)
    }

    fn evict(&mut self, conn: ConnId, now: Instant) -> Room {
        let mut why = "it was turned away and did not go while others waited";
        if let Some(member) = self.members.get_mut(conn) {
            member.reject_reason.get_or_insert(RejectReason::Evicted);
            if !member.reported {
                why = match member.heard {
                    None => "it said nothing while others waited",
                    Some(_) => "it took its time while others waited, and there were many of its address",
                };
            }
        }
        self.fail(conn, CloseReason::Lost(why.into()), now);
        Room::Made(conn)
    }

    fn tidy_limbo(&mut self) {
        self.limbo.queue.retain(|conn| self.members.get(*conn).is_some_and(|member| member.in_limbo));
    }
}

fn sooner(at: &mut Option<Instant>, other: Instant) {
    *at = Some(at.map_or(other, |at| at.min(other)));
}

/// How long one keeps its place when others wait: in silence, on the way to its request, or to read why it may not come in.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// One source may hold such a part of the room before it is told from a crowd: a household, a school, a provider's gateway.
pub(crate) const FAIR_PART: usize = 16;
