//! What the game's thread and the I/O thread share: commands in one direction, notices in the other, and the state of each peer.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod backpressure;
mod budget;
mod command;
pub(crate) mod complaint;
mod counters;
mod mailbox;
mod notice;
mod outbound;
mod payload_arena;
mod peer_shared;
#[expect(clippy::disallowed_types, reason = "the game's thread may wait for notices")]
mod queue;
mod run;
mod shared_payload;

pub(crate) use backpressure::{Backlog, OverLimit, Reservation, WhenFull};
pub(crate) use budget::{Charge, QueueTotal, QueueTotals};
pub(crate) use command::{Command, TakenCommands};
pub(crate) use counters::Counters;
pub use counters::{Figure, PeerStatistics, Statistics, Unit, Value};
#[cfg(any(test, fuzzing, feature = "bench"))]
pub(crate) use mailbox::NeverAsleep;
pub(crate) use mailbox::{KEPT, Mailbox, Wake};
pub(crate) use notice::Notice;
pub(crate) use outbound::{Form, Outbound, PayloadRef};
pub(crate) use payload_arena::PayloadArena;
pub use peer_shared::PeerState;
pub(crate) use peer_shared::{PeerInfo, PeerShared, input_limits, output_limits};
pub(crate) use run::{Run, RunPacket};
pub(crate) use shared_payload::charged;
