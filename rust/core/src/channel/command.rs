//! What the game's thread asks of the driver, in batches.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::KEPT;
use super::budget::QueueTotal;
use super::outbound::{Arena, Outbound, PayloadRef};
use super::queue::CommandQueue;
use crate::base::{CloseFrame, ConnId, PeerId};
use crate::config::PeerConfig;
use crate::decision::AdmissionDecision;
use crate::sync::Arc;
use crate::tls::TlsSession;

/// What the game's thread asks of the driver.
///
/// Thousands of them may cross in a frame: what is seldom asked for is kept elsewhere, so that they are small.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send to one peer.
    Send { to: ConnId, message: Outbound },
    /// Send the same to many.
    SendMany { to: Arc<Vec<ConnId>>, message: Outbound },
    /// The game took packets: read this peer again.
    Resume(ConnId),
    /// Start the close handshake.
    Close { conn: ConnId, frame: Box<CloseFrame> },
    /// Say goodbye without waiting for the answer.
    CloseWithoutWaiting(ConnId),
    /// Drop the connection without a word.
    Abort(ConnId),
    /// The peer did not keep up: close it with 1013.
    Overflow(ConnId),
    /// Set `TCP_NODELAY`.
    NoDelay { conn: ConnId, enabled: bool },
    /// A heartbeat interval for one peer alone.
    Heartbeat { conn: ConnId, interval: Duration },
    /// Server: what the game's handler decided.
    Decide { conn: ConnId, id: PeerId, decision: Box<AdmissionDecision> },
    /// Server: answer new connections with 503, or not; the number comes back when that holds.
    Refuse { refuse: bool, number: u64 },
    /// Server: a new limit.
    MaxConnections(usize),
    /// New timeouts and policies.
    Configure(Box<PeerConfig>),
    /// Close all peers and end.
    Finish { frame: Box<CloseFrame> },
    /// A handshake comes back from where its certificate was looked at; `None`: something broke there.
    Checked { conn: ConnId, session: Option<Box<TlsSession>> },
    /// What a defect does.
    #[cfg(test)]
    Panic,
}

impl Command {
    /// How much there is to do, in small packets.
    pub(crate) fn effort(&self) -> usize {
        match self {
            Self::Send { message, .. } => message.effort(),
            Self::SendMany { to, message } => to.len() * message.effort(),
            Self::Configure(_) | Self::Refuse { .. } => 1024,
            _ => 1,
        }
    }
}

/// Commands in order, and the small payloads that they speak of.
#[derive(Debug)]
pub(super) struct CommandBatch {
    list: Vec<Command>,
    arena: Arena,
}

impl CommandBatch {
    pub(super) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { list: Vec::new(), arena: Arena::new(total) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn push(&mut self, command: Command) {
        self.list.push(command);
    }

    /// The same for a configuration. It takes the place of one that the driver has not seen yet: a script sets one property
    /// after the other.
    pub(super) fn configure(&mut self, config: PeerConfig) {
        match self.list.last_mut() {
            Some(Command::Configure(waiting)) => **waiting = config,
            _ => self.list.push(Command::Configure(Box::new(config))),
        }
    }

    /// The same for a packet.
    #[inline(always)]
    pub(super) fn send(&mut self, to: ConnId, payload: PayloadRef<'_>, text: bool) {
        let message = self.arena.outbound(payload, text, 1);
        self.list.push(Command::Send { to, message });
    }

    /// The same for a packet to many.
    pub(super) fn send_many(&mut self, to: Arc<Vec<ConnId>>, payload: PayloadRef<'_>, text: bool) {
        let message = self.arena.outbound(payload, text, to.len());
        self.list.push(Command::SendMany { to, message });
    }
}

/// Commands that the driver has taken and not done yet.
#[derive(Debug)]
pub(crate) struct TakenCommands {
    list: VecDeque<Command>,
    arena: Arena,
}

impl TakenCommands {
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { list: VecDeque::new(), arena: Arena::new(total) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn pop(&mut self) -> Option<Command> {
        self.list.pop_front()
    }

    /// The bytes of a packet of one of them.
    #[inline]
    pub(crate) fn payload<'a>(&'a self, packet: &'a Outbound) -> PayloadRef<'a> {
        self.arena.payload(packet)
    }

    /// All are done: what was copied counts where it is.
    pub(crate) fn finish(&mut self) {
        if self.is_empty() {
            self.arena.copied();
        }
    }

    /// Takes the batch that waits. Both sides swap, so that no memory is allocated in the long run; of memory for payloads not far
    /// more than `kept` bytes are kept. Says how many bytes of payloads were taken.
    pub(super) fn swap(&mut self, queue: &CommandQueue<CommandBatch>, kept: usize) -> usize {
        debug_assert!(self.is_empty(), "the payloads that commands speak of are those of one batch");
        if !self.is_empty() {
            return self.arena.len();
        }
        let mut list = Vec::from(mem::take(&mut self.list));
        list.shrink_to(KEPT);
        self.arena.clear(kept);
        queue.take(|batch| {
            mem::swap(&mut batch.list, &mut list);
            mem::swap(&mut batch.arena, &mut self.arena);
        });
        self.list = list.into();
        self.arena.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stay_small() {
        assert!(size_of::<Command>() <= 40, "{}", size_of::<Command>());
    }

    #[test]
    fn a_configuration_takes_the_place_of_one_that_waits() {
        let mut batch = CommandBatch::new(&Arc::new(QueueTotal::new(usize::MAX)));
        let after =
            |seconds| PeerConfig { close_timeout: Duration::from_secs(seconds), ..PeerConfig::default() };
        for seconds in 1..=5 {
            batch.configure(after(seconds));
        }
        batch.push(Command::Finish { frame: Box::new(CloseFrame::normal()) });
        batch.configure(after(6));
        let list = batch.list.as_slice();
        let [Command::Configure(first), Command::Finish { .. }, Command::Configure(second)] = list else {
            panic!("{} commands", list.len());
        };
        // What is closed waits as the configuration before it says.
        assert_eq!((first.close_timeout.as_secs(), second.close_timeout.as_secs()), (5, 6));
    }
}
