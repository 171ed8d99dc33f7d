//! The sessions of a server by their tokens, and those that have ended.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::access::ClientKey;
use crate::base::{CloseReason, ConnId, ResumeToken};

/// The tokens with which a client may come back.
///
/// A client that comes back gets a new token. Until it shows that it has it, the last one remains valid, because the answer can be lost like
/// everything else. Using the last one again gives the same new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    last: ResumeToken,
    next: Option<ResumeToken>,
}

impl Tokens {
    pub(super) fn new(token: ResumeToken) -> Self {
        Self { last: token, next: None }
    }

    /// Client: the token to come back with.
    pub(super) fn newest(&self) -> ResumeToken {
        self.next.unwrap_or(self.last)
    }

    /// Server: a client comes back with a valid token. Returns the token that it gets.
    pub(super) fn renew(&mut self, used: &ResumeToken) -> ResumeToken {
        if let Some(next) = self.next.filter(|next| next.is(used)) {
            *self = Self::new(next);
        }
        *self.next.get_or_insert_with(|| self.last.renewed())
    }

    /// Server: the client has its newest token.
    pub(super) fn confirm(&mut self) {
        *self = Self::new(self.newest());
    }

    /// Server: returns whether a client may come back with this token.
    pub(super) fn is_valid(&self, token: &ResumeToken) -> bool {
        // Both are compared, whichever matches.
        self.last.is(token) | self.next.is_some_and(|next| next.is(token))
    }
}

/// The sessions of a hub; a client has one.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// By the handle of their tokens, which the server has drawn.
    slots: HashMap<u64, ConnId>,
    /// Those without a connection, by address, the longest suspended first.
    away: HashMap<ClientKey, VecDeque<(Instant, ConnId)>>,
    /// Sessions that have ended, the oldest first, so that their clients learn why.
    ended: VecDeque<Tombstone>,
}

#[derive(Debug)]
struct Tombstone {
    tokens: Tokens,
    reason: CloseReason,
    until: Instant,
}

/// What a token belongs to.
#[derive(Debug)]
pub(super) enum Found {
    /// The session in this slot, if its tokens match.
    Session(ConnId),
    /// One that has ended.
    Ended(CloseReason),
    Unknown,
}

impl Sessions {
    pub(super) fn begin(&mut self, token: ResumeToken, conn: ConnId) {
        self.slots.insert(token.handle, conn);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A session has lost its connection.
    pub(super) fn leave(&mut self, address: ClientKey, conn: ConnId, now: Instant) {
        self.away.entry(address).or_default().push_back((now, conn));
    }

    /// It has a new one, or has ended.
    pub(super) fn leave_no_more(&mut self, address: ClientKey, conn: ConnId) {
        let Some(away) = self.away.get_mut(&address) else { return };
        if let Some(at) = away.iter().position(|(_, other)| *other == conn) {
            away.remove(at);
        }
        if away.is_empty() {
            self.away.remove(&address);
        }
    }

    /// Returns the session that gives way to another one: the longest suspended of the address that has the most of them. The addresses are
    /// compared one by one, 4096 at most.
    pub(super) fn longest_away(&self) -> Option<ConnId> {
        let firsts = self.away.values().filter_map(|away| away.front().map(|first| (away.len(), *first)));
        firsts.max_by_key(|(count, (since, _))| (*count, Reverse(*since))).map(|(_, (_, conn))| conn)
    }

    /// Looks a token up. The caller checks a session with [`Tokens::is_valid`].
    pub(super) fn find(&self, token: &ResumeToken) -> Found {
        if let Some(conn) = self.slots.get(&token.handle) {
            return Found::Session(*conn);
        }
        let ended = self.ended.iter().find(|tombstone| tombstone.tokens.is_valid(token));
        ended.map_or(Found::Unknown, |tombstone| Found::Ended(tombstone.reason.clone()))
    }

    /// A session has ended, and its client knows.
    pub(super) fn end(&mut self, tokens: &Tokens) {
        self.slots.remove(&tokens.last.handle);
    }

    /// A session has ended. Its client is told so until then.
    pub(super) fn bury(&mut self, tokens: &Tokens, reason: CloseReason, until: Instant) {
        self.end(tokens);
        if self.ended.len() >= TOMBSTONES {
            self.ended.pop_front();
        }
        self.ended.push_back(Tombstone { tokens: *tokens, reason, until });
    }

    /// Removes what is too old.
    pub(super) fn tidy(&mut self, now: Instant) {
        while self.ended.pop_front_if(|tombstone| tombstone.until <= now).is_some() {}
        if self.ended.is_empty() {
            self.ended = VecDeque::new();
        }
    }
}

/// The most ended sessions that are remembered.
pub(crate) const TOMBSTONES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may begin at any time")]
    fn the_longest_of_the_address_with_the_most_gives_way() {
        let address = |n: u32| ClientKey::of(std::net::Ipv4Addr::from(n).into());
        let conn = |slot| ConnId { slot, generation: 0 };
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let at = |n: u32| start + std::time::Duration::from_secs(n.into());
        for n in 0..1000 {
            sessions.leave(address(n), conn(n), at(n));
        }
        assert_eq!(sessions.longest_away(), Some(conn(0)), "the longest of all");
        for n in 1000..1003 {
            sessions.leave(address(7), conn(n), at(n));
        }
        for gone in [7, 1000, 1001] {
            assert_eq!(sessions.longest_away(), Some(conn(gone)));
            sessions.leave_no_more(address(7), conn(gone));
        }
        assert_eq!(sessions.longest_away(), Some(conn(0)));
        for n in 0..1003 {
            sessions.leave_no_more(address(n), conn(n));
            sessions.leave_no_more(address(7), conn(n));
        }
        assert_eq!((sessions.longest_away(), sessions.away.len()), (None, 0));
    }

    #[test]
    fn the_last_token_is_valid_until_the_new_one_is_confirmed() {
        let first = ResumeToken::random();
        let mut tokens = Tokens::new(first);
        let second = tokens.renew(&first);
        // The answer was lost.
        assert!(tokens.renew(&first).is(&second) && tokens.is_valid(&first) && tokens.is_valid(&second));
        let third = tokens.renew(&second);
        assert!(!tokens.is_valid(&first) && tokens.is_valid(&second) && tokens.is_valid(&third));
        tokens.confirm();
        assert!(!tokens.is_valid(&second) && tokens.is_valid(&third));
        tokens.confirm();
        assert!(tokens.newest().is(&third));
    }
}
