//! A run: packets of one client for other clients, one after the other. The I/O thread collects them, the game's thread passes them at their
//! place among the other packets, and the I/O thread relays them.

use bytes::Bytes;

use crate::base::{Packet, PeerId};
use crate::wire::godot4::{RELAY_HEADER, relay_header};

/// Relays of one client, in order: what one turn of reading has found, so its size is bounded as that of a turn is.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) source: PeerId,
    /// The number of the relaying object that the game had when the run was collected.
    pub(crate) epoch: u64,
    /// For each packet its target, its size, and its bytes as they leave: with the source in the header.
    bytes: Vec<u8>,
    packets: usize,
}

impl Run {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { source: PeerId::SERVER, epoch: 0, bytes: Vec::new(), packets: 0 })
    }

    /// Adds a relay message of the source, whose target was read.
    pub(crate) fn push(&mut self, target: PeerId, message: &[u8]) {
        self.bytes.extend_from_slice(&target.0.to_le_bytes());
        self.bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&relay_header(self.source));
        self.bytes.extend_from_slice(message.get(RELAY_HEADER..).unwrap_or_default());
        self.packets += 1;
    }

    pub(crate) fn packets(&self) -> usize {
        self.packets
    }

    /// The sizes of its packets together, as they count against the input limits.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() - self.packets * ENTRY
    }

    /// Returns the targets and the packets for them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<ENTRY>()?;
            let [a, b, c, d, size @ ..] = *head;
            let (message, after) = after.split_at_checked(u32::from_le_bytes(size) as usize)?;
            rest = after;
            Some((PeerId(i32::from_le_bytes([a, b, c, d])), message))
        })
    }

    /// Returns the packets as the client sent them, for a game that relays them itself.
    pub(crate) fn unpacked(&self) -> impl Iterator<Item = Packet> {
        self.iter().map(|(target, message)| {
            let payload = [&relay_header(target), &message[RELAY_HEADER..]].concat();
            Packet { source: self.source, payload: Bytes::from(payload), text: false }
        })
    }

    /// Empties it for other packets. Returns false if it holds more memory than is worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        self.bytes.clear();
        self.packets = 0;
        self.bytes.capacity() <= RUN_KEPT
    }
}

/// A larger run is not kept for other packets.
const RUN_KEPT: usize = 16 * 1024;
/// Target and size.
const ENTRY: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_with_their_source_and_go_back_as_they_came() {
        let mut run = Run::new();
        run.source = PeerId(5);
        let sent = [&[7, 3, 9, 0, 0, 0, 1, 2][..], &[7, 3, 8, 1, 0, 0, 3]];
        run.push(PeerId(9), sent[0]);
        run.push(PeerId(264), sent[1]);
        let leave: Vec<_> = run.iter().collect();
        assert_eq!(
            leave,
            [(PeerId(9), &[7, 3, 5, 0, 0, 0, 1, 2][..]), (PeerId(264), &[7, 3, 5, 0, 0, 0, 3])]
        );
        assert_eq!((run.packets(), run.size()), (2, 15));
        let back: Vec<_> = run.unpacked().map(|packet| packet.payload).collect();
        assert_eq!(back, sent);
        assert!(run.clear());
        assert_eq!((run.iter().count(), run.packets(), run.size()), (0, 0, 0));
    }
}
