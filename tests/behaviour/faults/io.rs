//! The I/O side of one object: the driver in memory, with streams that the storm connects through its proxies.

use std::net::SocketAddr;
use std::time::Instant;

use super::super::world::End;
use crate::base::CloseReason;
use crate::config::PeerConfig;
use crate::hub::Side;
use crate::hub::transports::{Next, ShortRead, Step};
use crate::peer::Peer;
use crate::testing::InMemory;

pub(super) struct Io {
    driver: InMemory<End>,
    /// The game that it serves, until the game opens again.
    pub(super) game: usize,
    /// It listens.
    pub(super) serves: bool,
}

impl Io {
    /// Opens a game's peer.
    pub(super) fn open(
        peer: &mut Peer,
        game: usize,
        config: PeerConfig,
        side: Side,
        turn: usize,
        now: Instant,
    ) -> Self {
        let serves = matches!(side, Side::Server(_));
        let mut driver = peer.open_in_memory(config, side, turn, now);
        if !turn.is_multiple_of(2) {
            driver.streams.short_reads = ShortRead::SaysNothing;
        }
        Self { driver, game, serves }
    }

    pub(super) fn dial(&mut self, end: End, now: Instant) {
        self.driver.dial(end.resetting(), &[], now);
    }

    pub(super) fn accept(&mut self, port: u16, end: End, now: Instant) {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        self.driver.accept(end.resetting(), address, now);
    }

    /// Connecting fails, because nobody listens.
    pub(super) fn fail(&mut self, now: Instant) {
        self.driver.hub.dial_failed(CloseReason::TransportError("connection refused".into()), now);
        self.driver.round(now);
    }

    /// Runs one round, during which the game's thread may act.
    pub(super) fn turn(&mut self, now: Instant, game: impl FnOnce()) -> bool {
        let mut game = Some(game);
        let busy = self.driver.round_with(now, &mut |step| {
            if step == Step::Expire
                && let Some(game) = game.take()
            {
                game();
            }
        });
        self.check();
        busy
    }

    /// Returns when the next deadline is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.driver.wake_at()
    }

    /// Returns whether its driver has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.driver.next == Next::Finished
    }

    /// Stops to accept connections.
    pub(super) fn is_finishing(&self) -> bool {
        self.driver.hub.is_finishing()
    }

    /// Checks that everything has returned to its initial state, except for connections whose time is over.
    pub(super) fn end(mut self) {
        self.driver.drop_all();
        assert_eq!((self.driver.hub.len(), self.driver.hub.pending_len()), (0, 0));
    }

    /// Returns the number of connections, and of the handshakes among them.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.driver.hub.len(), self.driver.hub.pending_len())
    }

    /// Checks what must always be true.
    fn check(&self) {
        let hub = &self.driver.hub;
        assert!(hub.len() == self.driver.streams().count() && hub.pending_len() <= hub.len());
    }
}
