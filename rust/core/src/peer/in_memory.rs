//! A peer whose driver is called by a test.

use std::sync::Arc;
use std::time::Instant;

use super::{Peer, Status};
use crate::base::PeerId;
use crate::config::PeerConfig;
use crate::hub::Side;
use crate::session::Role;
use crate::testing::{InMemory, MemoryStream};

impl Peer {
    /// Opens without a socket or a thread.
    pub(crate) fn open_in_memory<S: MemoryStream>(
        &mut self,
        config: PeerConfig,
        side: Side,
        turn: usize,
        now: Instant,
    ) -> InMemory<S> {
        self.check_closed().expect("it is closed");
        let (role, status, unique_id) = match side {
            Side::Server(_) => (Role::Server, Status::Connected, PeerId::SERVER.0),
            Side::Client { .. } => (Role::Client, Status::Connecting, 0),
        };
        let driver = InMemory::new(config.clone(), side, &self.runtime.queue_totals, turn, now);
        self.opened(role, config, Arc::clone(&driver.mailbox), None);
        self.status = status;
        self.unique_id = unique_id;
        driver
    }
}
