//! The packets that all games have sent and received, and the check that both agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::base::{PeerId, Target};

/// One session of a game, from `listen` or `connect` to its end.
pub(super) struct Session {
    /// The server's session; a server's is its own.
    pub(super) via: usize,
    /// Its peer id, once it is known.
    pub(super) id: Option<PeerId>,
    sent: Vec<Sent>,
    got: BTreeMap<usize, Vec<usize>>,
    /// The game itself has ended it, by a Close after all its packets.
    pub(super) left: bool,
    /// Client: the server's game has ended it in the same way.
    pub(super) sent_away: bool,
    /// Packets may be missing at the end, because a peer was too slow or the connection was dropped.
    pub(super) spoiled: bool,
    /// Both sides are connected, and everything in flight has arrived.
    pub(super) alive: bool,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) target: Target,
    /// The receivers that the sender knew and meant.
    pub(super) to: Vec<PeerId>,
    pub(super) size: usize,
    pub(super) droppable: bool,
    /// Nobody will get it.
    pub(super) failed: bool,
    /// They will not get it.
    pub(super) refused: Vec<PeerId>,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) sessions: Vec<Session>,
    /// Packets that arrived.
    pub(super) delivered: usize,
    /// The sessions by port.
    pub(super) ports: HashMap<u16, usize>,
    by_id: HashMap<(usize, PeerId), usize>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("left", &self.left)
            .field("sent_away", &self.sent_away)
            .field("spoiled", &self.spoiled)
            .field("alive", &self.alive)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Begins a session; that of a server has no `via`.
    pub(super) fn open(&mut self, via: Option<usize>) -> usize {
        let session = self.sessions.len();
        self.sessions.push(Session {
            via: via.unwrap_or(session),
            id: via.is_none().then_some(PeerId::SERVER),
            sent: Vec::new(),
            got: BTreeMap::new(),
            left: false,
            sent_away: false,
            spoiled: false,
            alive: false,
        });
        session
    }

    /// Notes the id of a client, as its server or the client itself knows it.
    pub(super) fn name(&mut self, session: usize, id: PeerId) {
        let known = self.sessions[session].id.replace(id);
        assert!(known.is_none_or(|known| known == id), "session {session} is {known:?} and {id}");
        let via = self.sessions[session].via;
        let other = self.by_id.insert((via, id), session);
        assert!(other.is_none_or(|other| other == session), "two sessions are called {id}");
    }

    /// Returns the session of a peer of this server.
    pub(super) fn session_of(&self, via: usize, id: PeerId) -> Option<usize> {
        if id == PeerId::SERVER { Some(via) } else { self.by_id.get(&(via, id)).copied() }
    }

    /// Returns the number of the next packet.
    pub(super) fn next(&self, session: usize) -> usize {
        self.sessions[session].sent.len()
    }

    pub(super) fn send(&mut self, session: usize, sent: Sent) {
        self.sessions[session].sent.push(sent);
    }

    pub(super) fn sent(&mut self, session: usize, number: usize) -> &mut Sent {
        &mut self.sessions[session].sent[number]
    }

    pub(super) fn receive(&mut self, session: usize, from: usize, number: usize) {
        assert_ne!(session, from, "nobody gets his own packets");
        let got = self.sessions[session].got.entry(from).or_default();
        assert!(got.last().is_none_or(|last| *last < number), "{number} behind {:?}", got.last());
        got.push(number);
        self.delivered += 1;
    }

    /// Checks that every accepted packet arrived once and in order, or that the connection ended before. `harmed` tells which clients'
    /// connections lost bytes. `strict`: every game takes its packets so fast that no closing handshake times out.
    pub(super) fn check(&self, harmed: &[bool], strict: bool) -> Result<Missing, String> {
        let mut missing = Missing::default();
        for (to, receiver) in self.sessions.iter().enumerate() {
            for from in receiver.got.keys() {
                assert_eq!(self.sessions[*from].via, receiver.via, "from another server");
            }
            for (from, sender) in self.sessions.iter().enumerate() {
                if from == to || sender.via != receiver.via {
                    continue;
                }
                let calm = |client: usize| strict && !harmed[client] && !self.sessions[client].spoiled;
                let whole = if sender.via == from {
                    receiver.alive || calm(to) && !receiver.left && (sender.left || receiver.sent_away)
                } else if receiver.via == to {
                    sender.alive || calm(from) && sender.left && !sender.sent_away && !receiver.left
                } else {
                    sender.alive && receiver.alive
                };
                self.check_pair(from, to, whole, &mut missing)?;
            }
        }
        Ok(missing)
    }

    fn check_pair(&self, from: usize, to: usize, whole: bool, missing: &mut Missing) -> Result<(), String> {
        let empty = Vec::new();
        let (sender, receiver) = (&self.sessions[from], &self.sessions[to]);
        let got = receiver.got.get(&from).unwrap_or(&empty);
        let Some(id) = receiver.id else {
            assert!(got.is_empty(), "session {to} was never in");
            return Ok(());
        };
        let last = got.last().copied();
        let mut arrived = got.iter().copied().peekable();
        for (number, sent) in sender.sent.iter().enumerate() {
            let named = sent.to.contains(&id);
            if arrived.next_if_eq(&number).is_some() {
                let fits = match sent.target {
                    Target::All => true,
                    Target::One(one) => one == id,
                    Target::AllExcept(one) => one != id,
                };
                assert!(fits && !sent.failed && !sent.refused.contains(&id), "{sent:?} came to {id}");
                continue;
            }
            if !named || sent.failed || sent.refused.contains(&id) {
                continue;
            }
            if !sent.droppable {
                if whole || last.is_some_and(|last| last > number) {
                    return Err(format!(
                        "packet {number} of session {from} ({} bytes) is missing at session {to}, which got up to \
                         {last:?}; all were to come: {whole}; {sender:?} {receiver:?}",
                        sent.size
                    ));
                }
            } else if whole {
                // A client drops one packet, whatever the target is; a server drops one for each receiver.
                missing.dropped.insert((from, number, (sender.via == from).then_some(to)));
            }
        }
        assert_eq!(arrived.next(), None, "session {to} got what session {from} never sent");
        missing.whole += usize::from(whole);
        Ok(())
    }
}

/// The results of a check.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Unreliable packets that did not arrive although everything else did: sender, number, and receiver if that matters.
    pub(super) dropped: BTreeSet<(usize, usize, Option<usize>)>,
    /// Pairs of which no packet may be missing.
    pub(super) whole: usize,
}
