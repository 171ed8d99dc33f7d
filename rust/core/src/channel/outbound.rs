//! An outgoing packet: its only owned form, which waits in a batch of commands, and its only borrowed form, which the game sends, the relay
//! passes on, and a session encodes.

use bytes::Bytes;

use super::budget::{Charge, QueueTotal};
use crate::sync::Arc;
use crate::wire::godot3::HEADER;

/// A packet that waits to be sent.
#[derive(Debug)]
pub(crate) struct Outbound {
    body: OutboundBody,
    pub(crate) form: Form,
}

/// The form of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Binary,
    Text,
    /// Binary, and it may be lost: a new connection of the same peer does not get it again.
    Unreliable,
}

/// The place of the bytes of a waiting packet.
#[derive(Debug)]
enum OutboundBody {
    /// In the arena of the batch, after its wire header: for small payloads, counting references from two threads costs more than a copy.
    Inline { start: u32, size: u32 },
    /// Shared, without a copy.
    Shared(Box<SharedBody>),
}

/// A payload that is not copied, and the wire header that goes before it.
#[derive(Debug)]
struct SharedBody {
    header: Option<[u8; HEADER]>,
    bytes: Bytes,
}

/// The bytes of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadRef<'a> {
    /// The wire header; may be empty.
    pub(crate) prefix: &'a [u8],
    pub(crate) bytes: &'a [u8],
    /// The same bytes in shared form, if they need not be copied because several connections get them.
    pub(crate) shared: Option<&'a Bytes>,
}

impl<'a> PayloadRef<'a> {
    /// A payload that is copied.
    pub(crate) fn copied(bytes: &'a [u8]) -> Self {
        Self { prefix: &[], bytes, shared: None }
    }

    /// A payload that is not copied if it is large.
    pub(crate) fn shared(bytes: &'a Bytes) -> Self {
        Self { prefix: &[], bytes, shared: Some(bytes) }
    }

    pub(crate) fn with_prefix(self, prefix: &'a [u8]) -> Self {
        Self { prefix, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.prefix.len() + self.bytes.len()
    }
}

impl Outbound {
    /// A packet outside of a batch.
    #[cfg(test)]
    pub(crate) fn shared(bytes: Bytes, form: Form) -> Self {
        Self { body: OutboundBody::Shared(Box::new(SharedBody { header: None, bytes })), form }
    }

    /// Returns the effort for one receiver, counted in small packets.
    pub(crate) fn effort(&self) -> usize {
        match &self.body {
            OutboundBody::Inline { .. } => 1,
            OutboundBody::Shared(body) => 1 + body.bytes.len() / 4096,
        }
    }
}

/// The small payloads of a batch of commands, one after the other.
#[derive(Debug)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// The bytes of the copies for all receivers, which count for the process from now on.
    copies: usize,
    charge: Charge,
}

impl Arena {
    pub(super) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { bytes: Vec::new(), copies: 0, charge: Charge::new(total) }
    }

    /// Makes the owned form of a packet for this many peers.
    #[inline(always)]
    pub(super) fn outbound(&mut self, payload: PayloadRef<'_>, form: Form, peers: usize) -> Outbound {
        let start = self.bytes.len();
        let body = match payload.shared {
            None if start <= START_MAX => {
                // Most packets have no header, and copying nothing still costs a call.
                if !payload.prefix.is_empty() {
                    self.bytes.extend_from_slice(payload.prefix);
                }
                self.bytes.extend_from_slice(payload.bytes);
                let size = self.bytes.len() - start;
                self.copies = self.copies.saturating_add(size.saturating_mul(peers));
                self.charge.follow(self.copies);
                OutboundBody::Inline { start: start as u32, size: size as u32 }
            }
            shared => {
                debug_assert!(
                    payload.prefix.is_empty() || payload.prefix.len() == HEADER,
                    "a header is whole"
                );
                OutboundBody::Shared(Box::new(SharedBody {
                    header: payload.prefix.try_into().ok(),
                    bytes: shared.map_or_else(|| Bytes::copy_from_slice(payload.bytes), Bytes::clone),
                }))
            }
        };
        Outbound { body, form }
    }

    /// Returns the borrowed form of a packet of this arena's batch.
    #[inline]
    pub(super) fn payload<'a>(&'a self, packet: &'a Outbound) -> PayloadRef<'a> {
        match &packet.body {
            &OutboundBody::Inline { start, size } => {
                PayloadRef::copied(&self.bytes[start as usize..][..size as usize])
            }
            OutboundBody::Shared(body) => PayloadRef::shared(&body.bytes)
                .with_prefix(body.header.as_ref().map_or(&[], |header| header.as_slice())),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Notes that the copies are made, and count where they are.
    pub(super) fn copied(&mut self) {
        self.copies = 0;
        self.charge.set(0);
    }

    /// Empties the arena, and frees memory far beyond `kept` bytes.
    pub(super) fn clear(&mut self, kept: usize) {
        self.copied();
        self.bytes.clear();
        // As much as was needed recently, because freeing and allocating it for each burst costs more than filling it.
        if self.bytes.capacity() > 4 * kept {
            self.bytes.shrink_to(kept);
        }
    }
}

/// The last position where a payload may begin, so that positions do not overflow if the driver takes nothing.
const START_MAX: usize = 1 << 31;
