//! Statistics of a server or client for monitors and a debugger.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::base::PeerId;
use crate::channel::{Mailbox, PeerShared, PeerState, PeerStatistics, Statistics};
use crate::session::Role;

/// The statistics of one [`Peer`](super::Peer), which can be read at any time, also while the peer is borrowed or gone.
///
/// It costs the peer only an entry per connection. A connection counts here from the event about it until it ends.
#[derive(Clone, Default)]
pub struct Observer(Rc<RefCell<Option<Opened>>>);

/// The state since the peer was opened.
struct Opened {
    generation: u64,
    role: Role,
    port: u16,
    mailbox: Arc<Mailbox>,
    peers: Vec<Weak<PeerShared>>,
}

/// The queued bytes and the round-trip times at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Received bytes of all peers that the game has not taken.
    pub queued_in_bytes: usize,
    /// Bytes of all peers that wait to be written.
    pub queued_out_bytes: usize,
    /// The last round-trip time of each peer, if it is known.
    pub round_trips: Vec<Duration>,
}

impl Observer {
    /// Changes each time the peer is opened; `None` while it is not open.
    pub fn generation(&self) -> Option<u64> {
        self.0.borrow().as_ref().map(|opened| opened.generation)
    }

    /// The role of an open peer.
    pub fn role(&self) -> Option<Role> {
        self.0.borrow().as_ref().map(|opened| opened.role)
    }

    /// The port that a server listens on; 0 for a client.
    pub fn local_port(&self) -> u16 {
        self.0.borrow().as_ref().map_or(0, |opened| opened.port)
    }

    /// How long the game has not polled although events wait; `None` if none wait.
    pub fn neglected(&self) -> Option<Duration> {
        self.0.borrow().as_ref().and_then(|opened| opened.mailbox.neglected(Instant::now()))
    }

    /// Counters since the peer was opened; zeros while it is not open.
    pub fn statistics(&self) -> Statistics {
        let opened = self.0.borrow();
        let Some(opened) = &*opened else { return Statistics::default() };
        Statistics { peers: opened.connected().count(), ..opened.mailbox.counters.snapshot() }
    }

    /// Sets the time in `poll()` since the peer was opened, which only its owner measures.
    pub fn set_poll_time(&self, total: Duration) {
        if let Some(opened) = &*self.0.borrow() {
            opened.mailbox.counters.poll_usec.set(u64::try_from(total.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// The queued bytes and the round-trip times.
    pub fn load(&self) -> Load {
        let mut load = Load::default();
        if let Some(opened) = &*self.0.borrow() {
            for shared in opened.connected() {
                load.queued_in_bytes += shared.incoming.load().0;
                load.queued_out_bytes += shared.outgoing.load().0;
                load.round_trips.extend(shared.figures.rtt());
            }
        }
        load
    }

    /// The statistics of the connected peers with the most traffic, `limit` at most, sorted by id.
    pub fn busiest(&self, limit: usize) -> Vec<(PeerId, PeerStatistics)> {
        let opened = self.0.borrow();
        let mut peers: Vec<_> = opened.iter().flat_map(Opened::connected).collect();
        if peers.len() > limit {
            peers.sort_by_cached_key(|shared| {
                std::cmp::Reverse(shared.figures.bytes_in.get() + shared.figures.bytes_out.get())
            });
            peers.truncate(limit);
        }
        peers.sort_by_key(|shared| shared.id);
        let now = Instant::now();
        peers.iter().map(|shared| (shared.id, shared.statistics(now))).collect()
    }

    pub(super) fn opened(&self, generation: u64, role: Role, port: u16, mailbox: &Arc<Mailbox>) {
        let mailbox = Arc::clone(mailbox);
        *self.0.borrow_mut() = Some(Opened { generation, role, port, mailbox, peers: Vec::new() });
    }

    pub(super) fn closed(&self) {
        *self.0.borrow_mut() = None;
    }

    pub(super) fn joined(&self, shared: &Arc<PeerShared>) {
        if let Some(opened) = &mut *self.0.borrow_mut() {
            // Ended connections are removed before the list grows. The entries are weak, because the queues of a peer count for the
            // process.
            if opened.peers.len() == opened.peers.capacity() {
                opened.peers.retain(|shared| shared.strong_count() > 0);
            }
            opened.peers.push(Arc::downgrade(shared));
        }
    }
}

impl Opened {
    fn connected(&self) -> impl Iterator<Item = Arc<PeerShared>> {
        self.peers.iter().filter_map(Weak::upgrade).filter(|shared| shared.state() != PeerState::Closed)
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer")
            .field("role", &self.role())
            .field("peers", &self.statistics().peers)
            .finish_non_exhaustive()
    }
}
