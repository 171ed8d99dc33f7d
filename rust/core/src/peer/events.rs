//! Makes events for the game from the notices of the I/O thread, in order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::handle::Member;
use super::open::Open;
use super::{Peer, Status, give_back};
use crate::base::{CloseReason, PeerId, PeerMap};
use crate::channel::{Notice, PeerShared};
use crate::config::Mode;
use crate::event::Event;
use crate::session::Role;

impl Peer {
    /// Takes the notices of the I/O thread. After it, call [`next_event`](Self::next_event) until it returns `None`. Returns false if there
    /// is no event, so that this call is not needed.
    pub fn begin_poll(&mut self) -> bool {
        self.leaving.clear();
        if !self.former.is_empty() {
            self.former = PeerMap::default();
        }
        if self.has_given_up() {
            let event = self.failed(&CloseReason::Aborted);
            self.events.push_back(event);
        }
        let waits = self.has_something_to_say();
        let Some(open) = &mut self.open else { return waits };
        open.mailbox.note_poll(Instant::now());
        open.release_taken();
        open.sender.forget_last();
        open.release_runs();
        open.receiver.runs.note_poll();
        // Most polls end here, while the processor's caches are full of the game's data, so they touch as little memory as possible.
        if !waits && !open.mailbox.has_notices() {
            return false;
        }
        open.poll += 1;
        // The ends of the last poll come first: the packets of those peers have been readable for a whole poll.
        let ends = self.ends.drain(..);
        if self.notices.is_empty() && ends.len() == 0 {
            // Both sides swap their lists, so that they need not allocate memory.
            let mut taken = Vec::from(std::mem::take(&mut self.notices));
            open.mailbox.take_notices(&mut taken);
            self.notices = taken.into();
        } else {
            let mut taken = Vec::new();
            open.mailbox.take_notices(&mut taken);
            let mut notices: VecDeque<_> = ends.collect();
            notices.append(&mut self.notices);
            notices.extend(taken);
            self.notices = notices;
        }
        if open.given_up {
            self.notices.clear();
        }
        open.sender.take_refused(&mut self.events);
        true
    }

    /// Returns whether an event waits that needs no new notice of the I/O thread.
    fn has_something_to_say(&self) -> bool {
        !self.notices.is_empty()
            || !self.ends.is_empty()
            || !self.events.is_empty()
            || self.open.as_ref().is_some_and(|open| open.sender.has_refused())
            || self.is_drained()
    }

    /// Waits until the next poll has something to do, for `timeout` at most. Returns whether it has. Returns at once if nothing is open.
    ///
    /// For programs that have nothing else to do. Health checks count the waiting as time without a poll.
    pub fn wait(&self, timeout: Duration) -> bool {
        let waits = self.has_something_to_say() || self.has_given_up();
        let Some(open) = &self.open else { return waits };
        open.release_runs();
        waits || open.mailbox.wait_for_notices(timeout.min(A_YEAR))
    }

    /// Applies the next notices, and returns the next event. With `packet_events = false`, packets become readable without an event for
    /// each.
    pub fn next_event(&mut self, packet_events: bool) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            self.leaving.clear();
            let open = self.open.as_mut()?;
            let Some(notice) = self.notices.pop_front() else {
                // A handler may have asked for packets, and then changed who relays.
                open.receiver.runs.note_poll();
                return self.drained();
            };
            give_back(&mut self.notices);
            match notice {
                Notice::Packet(packet) => {
                    let id = packet.source;
                    let mode = open.config.borrow().mode;
                    let Some((member, known)) = open.note_fresh(id) else { continue };
                    // The game has closed this peer meanwhile, so it wants none of its packets.
                    if member.is_discarding() || !known {
                        member.release(&packet);
                        continue;
                    }
                    if mode == Mode::Raw {
                        member.push(packet);
                    } else {
                        open.receiver.push(packet);
                    }
                    if packet_events {
                        return Some(Event::PacketReceived { id });
                    }
                }
                Notice::Run(run) => self.run_received(run),
                Notice::Connected { shared, own_id } => {
                    open.mailbox.counters.arrivals.fetch_sub(1, Ordering::Relaxed);
                    return Some(self.connected(shared, own_id));
                }
                Notice::Requested { request, left } => {
                    open.mailbox.counters.arrivals.fetch_sub(1, Ordering::Relaxed);
                    if !left.load(Ordering::Relaxed) {
                        return Some(Event::Requested(request));
                    }
                    open.unasked.push(request.id);
                }
                Notice::Withdrawn(id) => {
                    let Some(at) = open.unasked.iter().position(|unasked| *unasked == id) else {
                        return Some(Event::RequestWithdrawn { id });
                    };
                    open.unasked.swap_remove(at);
                }
                Notice::Refusing(number) => self.refusals_held = number,
                Notice::CloseRequested { id, code, reason } => {
                    if open.roster.contains_key(&id) {
                        return Some(Event::CloseRequested { id, code, reason });
                    }
                }
                Notice::Disconnected { id, reason } => {
                    if open.is_fresh(id) {
                        self.ends.push(Notice::Disconnected { id, reason });
                    } else if let Some(event) = self.disconnected(id, &reason) {
                        return Some(event);
                    }
                }
                Notice::Failed(reason) => return Some(self.failed(&reason)),
                Notice::Joined(id) => {
                    open.release_announcement();
                    // After the end of the server there are no other clients.
                    let connected = open.roster.contains_key(&PeerId::SERVER);
                    if connected && open.remote_peers.insert(id, 0).is_none() {
                        return Some(Event::PeerConnected { id, protocol: String::new() });
                    }
                }
                Notice::Left(id) => {
                    if open.remote_peers.get(&id).is_some_and(|fresh| *fresh == open.poll) {
                        self.ends.push(Notice::Left(id));
                        continue;
                    }
                    open.release_announcement();
                    if open.remote_peers.remove(&id).is_some() {
                        return Some(Event::PeerDisconnected { id, clean: true });
                    }
                }
                Notice::Suspended(id) => {
                    if let Some(member) = open.roster.get(&id) {
                        member.shared().note_suspension_received();
                        return Some(Event::PeerSuspended { id });
                    }
                }
                Notice::Resumed(id) => {
                    if let Some(member) = open.roster.get(&id) {
                        member.shared().note_suspension_received();
                        return Some(Event::PeerResumed { id });
                    }
                }
                Notice::Congested(id) => {
                    if let Some(member) = open.roster.get(&id) {
                        member.shared().note_congestion_received();
                        return Some(Event::PeerCongested { id });
                    }
                }
                Notice::Drained(id) => {
                    if let Some(member) = open.roster.get(&id) {
                        member.shared().note_congestion_received();
                        return Some(Event::PeerDrained { id });
                    }
                }
                Notice::Overflowed(id) => {
                    if open.roster.contains_key(&id) {
                        return Some(Event::PeerOverflowed { id });
                    }
                }
                Notice::DriverFailed(reason) => self.driver_failed(&reason),
            }
        }
    }

    /// Returns `Drained` once, when all notices are taken and the last peer of a server that refuses new connections is gone.
    fn drained(&mut self) -> Option<Event> {
        let drained = self.is_drained();
        self.drained_emitted |= drained;
        drained.then_some(Event::Drained)
    }

    /// Returns whether `Drained` is due.
    fn is_drained(&self) -> bool {
        let is_over = self.refuse && !self.drained_emitted && self.refusals_held == self.refusals;
        let empty = |open: &Open| open.role == Role::Server && open.roster.is_empty();
        is_over && self.open.as_ref().is_some_and(empty) && self.status == Status::Connected
    }

    fn connected(&mut self, shared: Arc<PeerShared>, own_id: PeerId) -> Event {
        let id = shared.id;
        let protocol = shared.info.protocol.clone();
        if let Some(open) = &mut self.open {
            self.observer.joined(&shared);
            let member = open.server_to_be.take().unwrap_or_else(|| {
                Rc::new(Member::new(None, Arc::downgrade(&open.mailbox), Rc::clone(&open.config)))
            });
            member.connected(shared, own_id);
            if open.role == Role::Client {
                // It stays connected until the next poll, also if the server has sent it away already: `SceneMultiplayer` looks at the status behind
                // each poll, and would otherwise emit `connection_failed`.
                member.set_fresh(open.poll);
            }
            open.roster.insert(id, member);
            open.sender.forget_roster();
            if open.role == Role::Client {
                self.status = Status::Connected;
                self.unique_id = own_id.0;
                self.events.push_back(Event::ConnectionSucceeded);
            }
        }
        Event::PeerConnected { id, protocol }
    }
}

/// Longer than any program waits, and short enough to be added to a time.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
