//! Commands of the game's thread for the driver, in batches.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::KEPT;
use super::budget::QueueTotal;
use super::outbound::{Arena, Form, Outbound, PayloadRef};
use super::queue::CommandQueue;
use super::run::Run;
use crate::base::{CloseFrame, ConnId, PeerId};
use crate::config::PeerConfig;
use crate::decision::AdmissionDecision;
use crate::sync::Arc;
use crate::tls::TlsSession;
use crate::wire::godot4::Announcement;

/// A command of the game's thread for the driver.
///
/// A frame may have thousands of commands, so commands are small: the fields of rare ones are boxed.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send to one peer.
    Send { to: ConnId, message: Outbound },
    /// Send the same to several peers.
    SendMany { to: Arc<Vec<ConnId>>, message: Outbound },
    /// The game has come to the place of these packets between clients: relay them.
    Relay(Box<Run>),
    /// Server: the game has announced to a client that another one has joined or left.
    Announced { to: PeerId, what: Announcement },
    /// Server: a client is gone, also for the game.
    ForgetPairs(PeerId),
    /// Server: another object relays, or none. All announcements are void. Runs from now on have this number.
    VoidPairs(u64),
    /// The game has taken packets: continue to read this peer.
    Resume(ConnId),
    /// Client: drop the connection, and come back on a new one.
    Reconnect,
    /// Start the closing handshake.
    Close { conn: ConnId, frame: Box<CloseFrame> },
    /// Send a Close without waiting for the answer.
    CloseWithoutWaiting(ConnId),
    /// Drop the connection without a Close.
    Abort(ConnId),
    /// The peer did not keep up: close it with 1013.
    Overflow(ConnId),
    /// Set `TCP_NODELAY`.
    NoDelay { conn: ConnId, enabled: bool },
    /// Set the heartbeat interval of one peer.
    Heartbeat { conn: ConnId, interval: Duration },
    /// Server: the decision of the game's handler.
    Decide { conn: ConnId, id: PeerId, decision: Box<AdmissionDecision> },
    /// Server: set whether new connections are answered with 503. The driver confirms the number when that is in force.
    Refuse { refuse: bool, number: u64 },
    /// Server: set the limit of connected peers.
    MaxConnections(usize),
    /// Set new timeouts and policies.
    Configure(Box<PeerConfig>),
    /// Close all peers and end.
    Finish { frame: Box<CloseFrame> },
    /// A handshake returns from the thread that verified its certificate; `None`: that thread has failed.
    Checked { conn: ConnId, session: Option<Box<TlsSession>> },
    /// Panics, as a defect would.
    #[cfg(test)]
    Panic,
}

impl Command {
    /// Returns the effort, counted in small packets.
    pub(crate) fn effort(&self) -> usize {
        match self {
            Self::Send { message, .. } => message.effort(),
            Self::SendMany { to, message } => to.len() * message.effort(),
            // The room for these is taken now, not when the game sends: a round takes no more than its turn of writing may write.
            Self::Relay(run) => run.packets() + run.size() / 8,
            Self::Configure(_) | Self::Refuse { .. } => 1024,
            _ => 1,
        }
    }
}

/// Commands in order, with their small payloads.
#[derive(Debug)]
pub(super) struct CommandBatch {
    list: Vec<Command>,
    arena: Arena,
    /// How many at the front were held; the driver is to have them only when more have come.
    held: usize,
}

impl CommandBatch {
    pub(super) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { list: Vec::new(), arena: Arena::new(total), held: 0 }
    }

    pub(super) fn is_due(&self) -> bool {
        self.list.len() != self.held
    }

    pub(super) fn push(&mut self, command: Command) {
        self.list.push(command);
    }

    /// Adds a command that waits for the next one, or for [`release`](Self::release): what is written together is sent together.
    pub(super) fn hold(&mut self, command: Command) {
        self.held += usize::from(!self.is_due());
        self.list.push(command);
    }

    pub(super) fn release(&mut self) {
        self.held = 0;
    }

    /// The same for a configuration. It replaces one that the driver has not taken yet, because scripts set several properties in a row.
    pub(super) fn configure(&mut self, config: PeerConfig) {
        match self.list.last_mut() {
            Some(Command::Configure(waiting)) => **waiting = config,
            _ => self.list.push(Command::Configure(Box::new(config))),
        }
    }

    /// The same for a packet.
    #[inline(always)]
    pub(super) fn send(&mut self, to: ConnId, payload: PayloadRef<'_>, form: Form) {
        let message = self.arena.outbound(payload, form, 1);
        self.list.push(Command::Send { to, message });
    }

    /// The same for a packet to several peers.
    pub(super) fn send_many(&mut self, to: Arc<Vec<ConnId>>, payload: PayloadRef<'_>, form: Form) {
        let message = self.arena.outbound(payload, form, to.len());
        self.list.push(Command::SendMany { to, message });
    }
}

/// Commands that the driver has taken and not executed yet.
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

    /// Returns the payload of a packet in one of them.
    #[inline]
    pub(crate) fn payload<'a>(&'a self, packet: &'a Outbound) -> PayloadRef<'a> {
        self.arena.payload(packet)
    }

    /// Notes that all are executed: from now on, copied payloads count where they are.
    pub(crate) fn finish(&mut self) {
        if self.is_empty() {
            self.arena.copied();
        }
    }

    /// Takes the waiting batch. Both sides swap their batches, so that they need not allocate memory; not much more than `kept` bytes of
    /// payload memory are kept. Returns the number of payload bytes taken.
    pub(super) fn swap(&mut self, queue: &CommandQueue<CommandBatch>, kept: usize) -> usize {
        debug_assert!(self.is_empty(), "the payloads that commands speak of are those of one batch");
        if !self.is_empty() {
            return self.arena.len();
        }
        let mut list = Vec::from(mem::take(&mut self.list));
        list.shrink_to(KEPT);
        self.arena.clear(kept);
        queue.take(|batch| {
            if batch.is_due() {
                batch.held = 0;
                mem::swap(&mut batch.list, &mut list);
                mem::swap(&mut batch.arena, &mut self.arena);
            }
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
    fn what_is_held_is_taken_with_what_comes_next() {
        let total = Arc::new(QueueTotal::new(usize::MAX));
        let queue = CommandQueue::new(CommandBatch::new(&total));
        let mut taken = TakenCommands::new(&total);
        let slot = ConnId { slot: 1, generation: 1 };
        let mut take = |held: usize, pushed: usize| {
            for _ in 0..held {
                queue.hold(|batch| batch.hold(Command::Relay(Run::new())));
            }
            for _ in 0..pushed {
                let _ = queue.push(|batch| batch.push(Command::Resume(slot)));
            }
            taken.swap(&queue, 0);
            std::iter::from_fn(|| taken.pop()).count()
        };
        assert_eq!([take(2, 0), take(1, 1), take(0, 0), take(0, 3), take(3, 0)], [0, 4, 0, 3, 0]);
        assert!(queue.may_sleep(CommandBatch::is_due), "three are held");
        assert!(queue.push(CommandBatch::release), "the driver sleeps");
        assert_eq!([take(0, 0), take(0, 0)], [3, 0]);
        assert!(queue.may_sleep(CommandBatch::is_due), "nothing is there");
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
        // A Close command uses the configuration before it.
        assert_eq!((first.close_timeout.as_secs(), second.close_timeout.as_secs()), (5, 6));
    }
}
