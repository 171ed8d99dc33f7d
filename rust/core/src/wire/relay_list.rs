//! Messages of a client for several other clients: a list of targets is defined once, and a message that uses it stands for one relay to
//! each of them (docs/protocol.md).

use super::godot4::{RELAY_HEADER, is_state_sync};
use crate::base::PeerId;

/// What a server allows a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Terms {
    /// The most targets of all lists together.
    pub(crate) targets: usize,
    /// The most bytes that one message for more than one target may stand for, headers included.
    pub(crate) bytes: usize,
}

/// A message of a client to which lists were granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ListMessage<'a> {
    Define {
        list: u8,
        targets: &'a [u8],
    },
    Use(Range),
    /// A packet for the game that would look like one of these messages.
    Escaped,
}

/// The targets of a message: a part of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Range {
    pub(crate) list: u8,
    pub(crate) from: usize,
    pub(crate) count: usize,
}

impl Terms {
    /// Returns what a server allows whose peers may leave this much untaken, and send messages of this size; `None`: no list is worth it.
    // Half of the input: when reading resumes, as much is free, so that no message is tried in vain.
    pub(crate) fn of(input_packets: usize, input_bytes: usize, max_message: usize) -> Option<Self> {
        let targets = TARGETS.min(input_packets / 2).min(max_message.saturating_sub(DEFINE_HEADER) / TARGET);
        (targets >= LEAST).then_some(Self { targets, bytes: BYTES.min(input_bytes / 2) })
    }

    /// Returns the message that tells a client.
    pub(crate) fn words(self) -> String {
        format!("lists 1 {} {}", self.targets, self.bytes)
    }

    /// Returns the size of the longest definition.
    pub(crate) fn longest(self) -> usize {
        DEFINE_HEADER + self.targets * TARGET
    }

    /// Reads this message. A later version may have more words.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(message).ok()?.split(' ');
        if (words.next(), words.next()) != (Some("lists"), Some("1")) {
            return None;
        }
        let mut number = || words.next()?.parse::<usize>().ok();
        Some(Self { targets: number()?.min(TARGETS), bytes: number()? })
    }
}

impl<'a> ListMessage<'a> {
    /// Reads such a message; the error says what is wrong.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, String> {
        match *message {
            [_, DEFINE, list, a, b, ref targets @ ..] => {
                let count = usize::from(u16::from_le_bytes([a, b]));
                if targets.len() != count * TARGET {
                    return Err(format!("a list of {count} targets in {} bytes", targets.len()));
                }
                if usize::from(list) >= LISTS {
                    return Err(format!("list {list}; there are {LISTS}"));
                }
                Ok(Self::Define { list, targets })
            }
            [_, USE, list, a, b, c, _, ..] => {
                let range = u32::from_le_bytes([a, b, c, 0]) as usize;
                Ok(Self::Use(Range { list, from: range & 0xfff, count: (range >> 12) + 1 }))
            }
            [_, ESCAPE, _, ..] => Ok(Self::Escaped),
            _ => Err("a message for several clients that is too short".to_owned()),
        }
    }
}

/// Returns whether a binary message is one of these, if the client may send them.
#[inline]
pub(crate) fn is_list_message(message: &[u8]) -> bool {
    matches!(message, [COMMAND_SYS, DEFINE | USE | ESCAPE, ..])
}

/// Returns for how many targets such a message counts.
pub(crate) fn copies(message: &[u8]) -> usize {
    match ListMessage::read(message) {
        Ok(ListMessage::Use(range)) => range.count,
        _ => 1,
    }
}

/// Returns the message that defines a list.
pub(crate) fn definition(list: u8, targets: &[(PeerId, u16)]) -> Vec<u8> {
    let count = (targets.len() as u16).to_le_bytes();
    let mut message = vec![COMMAND_SYS, DEFINE, list, count[0], count[1]];
    for (target, offset) in targets {
        message.extend_from_slice(&target.0.to_le_bytes());
        message.extend_from_slice(&offset.to_le_bytes());
    }
    message
}

/// Returns the header of a message for a part of a list. It is as long as the header of a relay, in whose place it is.
pub(crate) fn use_header(Range { list, from, count }: Range) -> [u8; RELAY_HEADER] {
    let [a, b, c, _] = ((count as u32 - 1) << 12 | from as u32).to_le_bytes();
    [COMMAND_SYS, USE, list, a, b, c]
}

/// Returns the message for a packet that would look like one of these.
pub(crate) fn escaped(packet: &[u8]) -> Vec<u8> {
    [&ESCAPED, packet].concat()
}

/// Returns whether two relays are of the same packet, but for their times.
pub(crate) fn is_same_packet(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() || one.get(RELAY_HEADER) != other.get(RELAY_HEADER) {
        return false;
    }
    let from = if time(one).is_some() { TIME + 2 } else { RELAY_HEADER };
    one.get(from..) == other.get(from..)
}

/// Returns the targets of a list as they are sent, with their offsets.
pub(crate) fn targets(list: &[u8]) -> impl Iterator<Item = (PeerId, u16)> {
    list.as_chunks::<TARGET>().0.iter().map(|[a, b, c, d, offset @ ..]| {
        (PeerId(i32::from_le_bytes([*a, *b, *c, *d])), u16::from_le_bytes(*offset))
    })
}

/// Checks the targets of a list of this client; the error says what is wrong.
pub(crate) fn check_targets(list: &[u8], source: PeerId) -> Result<(), String> {
    let mut ids: Vec<_> = targets(list).map(|(target, _)| target.0).collect();
    if let Some(id) = ids.iter().find(|id| !PeerId(**id).is_client() || **id == source.0) {
        return Err(format!("the target {id}, which is not another client"));
    }
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the target {} twice", pair[0])),
        None => Ok(()),
    }
}

/// Returns the time of a relayed packet that has one: state of a `MultiplayerSynchronizer`, which is counted for each receiver.
pub(crate) fn time(message: &[u8]) -> Option<u16> {
    let bytes = message.get(TIME..TIME + 2).filter(|_| is_state_sync(message))?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Sets the time of a relayed packet that has one.
pub(crate) fn set_time(message: &mut [u8], time: u16) {
    if let Some(bytes) = message.get_mut(TIME..TIME + 2) {
        bytes.copy_from_slice(&time.to_le_bytes());
    }
}

const COMMAND_SYS: u8 = 7;
const USE: u8 = 0x40;
const DEFINE: u8 = 0x41;
const ESCAPE: u8 = 0x42;
/// The bytes before the packet of an escaped message.
pub(crate) const ESCAPED: [u8; ESCAPE_HEADER] = [COMMAND_SYS, ESCAPE];
pub(crate) const ESCAPE_HEADER: usize = 2;
/// The first bytes of a definition.
pub(crate) const DEFINED: [u8; 2] = [COMMAND_SYS, DEFINE];
const DEFINE_HEADER: usize = 5;
/// Of a relay, behind the first byte of the packet.
const TIME: usize = RELAY_HEADER + 1;
/// A target and its offset.
pub(crate) const TARGET: usize = 6;
/// The lists of a client.
pub(crate) const LISTS: usize = 16;
/// The most targets of all lists of a client.
pub(crate) const TARGETS: usize = 4096;
/// The most bytes that one message may stand for.
pub(crate) const BYTES: usize = 1 << 20;
/// As many bytes of copies cost as much as a target does.
pub(crate) const COPIED: usize = 16;
/// Fewer targets are not worth a list.
pub(crate) const LEAST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_to_the_byte() {
        let list = [9, 0, 0, 0, 0xff, 0xff, 8, 1, 0, 0, 2, 0];
        let define = [&[7, 0x41, 15, 2, 0][..], &list].concat();
        assert_eq!(ListMessage::read(&define), Ok(ListMessage::Define { list: 15, targets: &list }));
        assert_eq!(targets(&list).collect::<Vec<_>>(), [(PeerId(9), 0xffff), (PeerId(264), 2)]);
        for (bytes, from, count) in
            [([0, 0, 0], 0, 1), ([0xff, 0x0f, 0], 0xfff, 1), ([1, 0xf0, 0xff], 1, 4096)]
        {
            let message = [&[7, 0x40, 3][..], &bytes, &[6]].concat();
            assert_eq!(ListMessage::read(&message), Ok(ListMessage::Use(Range { list: 3, from, count })));
            assert_eq!((copies(&message), copies(&define)), (count, 1));
        }
        let empty = ListMessage::Define { list: 3, targets: &[] };
        assert_eq!(ListMessage::read(&[7, 0x41, 3, 0, 0]), Ok(empty));
        assert_eq!(ListMessage::read(&[7, 0x42, 7]), Ok(ListMessage::Escaped));
        for wrong in [
            &define[..4],
            &define[..5],
            &define[..define.len() - 1],
            &[&[7, 0x41, 16, 2, 0][..], &list].concat(),
            &[7, 0x40, 0, 0, 0, 0],
            &[7, 0x42],
        ] {
            assert!(is_list_message(wrong) && ListMessage::read(wrong).is_err(), "{wrong:?}");
        }
        for other in [&[7, 0x43, 1][..], &[7, 3], &[7], &[15, 0x40, 0, 0, 0, 0, 1], &[6, 0x40, 1]] {
            assert!(!is_list_message(other), "{other:?}");
        }
    }

    #[test]
    fn targets_are_other_clients_and_distinct() {
        let list = |ids: &[i32]| {
            ids.iter().flat_map(|id| [&id.to_le_bytes()[..], &[0, 0]].concat()).collect::<Vec<_>>()
        };
        let mut many: Vec<_> = (2..4098).collect();
        assert_eq!(check_targets(&list(&many), PeerId(1)), Ok(()));
        many[4095] = many[0];
        for wrong in [&many[..], &[7], &[1], &[0], &[-8], &[8, 9, 8]] {
            assert!(check_targets(&list(wrong), PeerId(7)).is_err());
        }
    }

    #[test]
    fn only_state_has_a_time() {
        let relay = |packet: &[u8]| [&[7, 3, 9, 0, 0, 0][..], packet].concat();
        let mut state = relay(&[6, 0xfe, 0xff, 1]);
        assert_eq!(time(&state), Some(0xfffe));
        set_time(&mut state, 0x0102);
        assert_eq!(state, relay(&[6, 2, 1, 1]));
        for other in [relay(&[6, 1]), relay(&[22, 1, 2, 3]), relay(&[2, 1, 2, 3]), relay(&[])] {
            assert_eq!(time(&other), None, "{other:?}");
        }
    }

    #[test]
    fn terms_follow_the_limits() {
        let words = |packets, bytes, message| Terms::of(packets, bytes, message).map(Terms::words);
        assert_eq!(words(1024, 65_536, 65_536).as_deref(), Some("lists 1 512 32768"));
        assert_eq!(words(100_000, 1 << 20, 1 << 20).as_deref(), Some("lists 1 4096 524288"));
        assert_eq!(words(100_000, 1 << 30, 1 << 20).as_deref(), Some("lists 1 4096 1048576"));
        assert_eq!(words(1024, 512, 29).as_deref(), Some("lists 1 4 256"));
        assert_eq!((words(5, 512, 512), words(64, 512, 22), words(64, 512, 0)), (None, None, None));
    }
}
