//! A run: packets of one client for other clients, one after the other. The I/O thread collects them, the game's thread passes them at their
//! place among the other packets, and the I/O thread relays them.

use bytes::Bytes;

use crate::base::{Packet, PeerId};
use crate::wire::godot4::{RELAY_HEADER, relay_header};
use crate::wire::relay_list::{self, TARGET};

/// Relays of one client, in order: what one turn of reading has found, so its size is bounded as that of a turn is.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) source: PeerId,
    /// The number of the relaying object that the game had when the run was collected.
    pub(crate) epoch: u64,
    /// For each message its target, its size, and its bytes as they leave: with the source in the header. For several targets: [`SEVERAL`], the
    /// size, the number of targets, the offset from which times count, and the targets with their offsets.
    bytes: Vec<u8>,
    packets: usize,
    size: usize,
}

/// A packet of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RunPacket<'a> {
    pub(crate) target: PeerId,
    /// The packet as it leaves, but for its time.
    pub(crate) message: &'a [u8],
    /// The time that it leaves with, if that is another one.
    pub(crate) time: Option<u16>,
    /// How many packets follow that have the same message.
    pub(crate) left: usize,
}

impl Run {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { source: PeerId::SERVER, epoch: 0, bytes: Vec::new(), packets: 0, size: 0 })
    }

    /// Adds a relay message of the source, whose target was read.
    pub(crate) fn push(&mut self, target: PeerId, message: &[u8]) {
        self.bytes.extend_from_slice(&target.0.to_le_bytes());
        self.bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        self.push_message(message);
        self.packets += 1;
        self.size += message.len();
    }

    /// Adds a message of the source for several targets, whose header is as long as that of a relay. The time in it counts for `base`.
    pub(crate) fn push_for(&mut self, targets: &[u8], base: u16, message: &[u8]) {
        let count = targets.len() / TARGET;
        self.bytes.extend_from_slice(&SEVERAL.0.to_le_bytes());
        self.bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(count as u16).to_le_bytes());
        self.bytes.extend_from_slice(&base.to_le_bytes());
        self.bytes.extend_from_slice(targets);
        self.push_message(message);
        self.packets += count;
        self.size += count * message.len();
    }

    fn push_message(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(&relay_header(self.source));
        self.bytes.extend_from_slice(message.get(RELAY_HEADER..).unwrap_or_default());
    }

    pub(crate) fn packets(&self) -> usize {
        self.packets
    }

    /// The sizes of its packets together, as they count against the input limits.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the packets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RunPacket<'_>> {
        let mut rest = self.bytes.as_slice();
        let mut several = (Copies { targets: &[], base: 0, time: None }, &[][..]);
        std::iter::from_fn(move || {
            if let Some(packet) = several.0.next(several.1) {
                return Some(packet);
            }
            let (target, size) = entry(&mut rest)?;
            if target != SEVERAL {
                let message = take(&mut rest, size)?;
                return Some(RunPacket { target, message, time: None, left: 0 });
            }
            let [a, b, base @ ..] = *take(&mut rest, COPIES)?.first_chunk::<COPIES>()?;
            let targets = take(&mut rest, usize::from(u16::from_le_bytes([a, b])) * TARGET)?;
            let message = take(&mut rest, size)?;
            let base = u16::from_le_bytes(base);
            several = (Copies { targets, base, time: relay_list::time(message) }, message);
            several.0.next(message)
        })
    }

    /// Returns the packets as the client would have sent them one by one, for a game that relays them itself.
    pub(crate) fn unpacked(&self) -> impl Iterator<Item = Packet> {
        self.iter().map(|packet| Packet { source: self.source, payload: packet.unpacked(), text: false })
    }

    /// Empties it for other packets. Returns false if it holds more memory than is worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        self.bytes.clear();
        self.packets = 0;
        self.size = 0;
        self.bytes.capacity() <= RUN_KEPT
    }
}

impl RunPacket<'_> {
    /// Returns the packet as the client sent it.
    fn unpacked(&self) -> Bytes {
        let mut payload = [&relay_header(self.target), &self.message[RELAY_HEADER..]].concat();
        if let Some(time) = self.time {
            relay_list::set_time(&mut payload, time);
        }
        Bytes::from(payload)
    }
}

/// The targets of a message that are not taken yet.
struct Copies<'a> {
    targets: &'a [u8],
    base: u16,
    time: Option<u16>,
}

impl<'a> Copies<'a> {
    fn next(&mut self, message: &'a [u8]) -> Option<RunPacket<'a>> {
        let (first, rest) = self.targets.split_at_checked(TARGET)?;
        let (target, offset) = relay_list::targets(first).next()?;
        self.targets = rest;
        let later = offset.wrapping_sub(self.base);
        let time = self.time.filter(|_| later != 0).map(|time| time.wrapping_add(later));
        Some(RunPacket { target, message, time, left: rest.len() / TARGET })
    }
}

fn entry(rest: &mut &[u8]) -> Option<(PeerId, usize)> {
    let [a, b, c, d, size @ ..] = *take(rest, ENTRY)?.first_chunk::<ENTRY>()?;
    Some((PeerId(i32::from_le_bytes([a, b, c, d])), u32::from_le_bytes(size) as usize))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

/// A larger run is not kept for other packets.
const RUN_KEPT: usize = 16 * 1024;
/// Target and size.
const ENTRY: usize = 8;
/// The number of targets, and the offset from which times count.
const COPIES: usize = 4;
/// Instead of a target; no client has this id.
const SEVERAL: PeerId = PeerId(-1);

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
        let leave: Vec<_> = run.iter().map(|packet| (packet.target, packet.message)).collect();
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

    #[test]
    fn a_message_for_several_is_one_packet_for_each_with_its_own_time() {
        let mut run = Run::new();
        run.source = PeerId(5);
        let targets = [9, 0, 0, 0, 2, 0, 8, 1, 0, 0, 1, 0, 7, 0, 0, 0, 2, 0];
        run.push_for(&targets, 2, &[7, 0x40, 0, 0, 0, 0, 6, 0, 0, 1]);
        run.push(PeerId(9), &[7, 3, 9, 0, 0, 0, 6, 5, 0]);
        run.push_for(&targets[..6], 0, &[7, 0x40, 0, 0, 0, 0, 2, 0, 0, 1]);
        assert_eq!((run.packets(), run.size()), (5, 3 * 10 + 9 + 10));
        let packets: Vec<_> =
            run.iter().map(|packet| (packet.target.0, packet.time, packet.left, packet.message[6])).collect();
        assert_eq!(
            packets,
            [(9, None, 2, 6), (264, Some(0xffff), 1, 6), (7, None, 0, 6), (9, None, 0, 6), (9, None, 0, 2)]
        );
        assert!(run.iter().all(|packet| packet.message[..6] == relay_header(PeerId(5))));
        let back: Vec<_> = run.unpacked().map(|packet| packet.payload).collect();
        assert_eq!(back[1], [7, 3, 8, 1, 0, 0, 6, 0xff, 0xff, 1][..]);
        assert_eq!(back[4], [7, 3, 9, 0, 0, 0, 2, 0, 0, 1][..]);
        assert!(run.clear() && run.iter().next().is_none() && run.size() == 0);
    }
}
