//! The packet format of the engine's 4.x class: the server's first message is the client's id, and every later message is one packet
//! without a header (modules/websocket/websocket_multiplayer_peer.cpp). `SceneMultiplayer` does the relaying and the peer lists.

use crate::base::{Packet, PeerId};

/// Returns the message that tells a client its id: 32 bits, little-endian.
pub(crate) fn encode_id(id: PeerId) -> [u8; 4] {
    id.0.to_le_bytes()
}

/// Reads that message. Only 2 to 2147483647 can be the id of a client.
pub(crate) fn decode_id(message: &[u8]) -> Option<PeerId> {
    let id = PeerId(i32::from_le_bytes(message.try_into().ok()?));
    id.is_client().then_some(id)
}

/// Returns the client for whom a client's message is: the relay command with one target. Commands for the server, for several peers, and with
/// flags are for the game.
pub(crate) fn relay_target(message: &[u8]) -> Option<PeerId> {
    let [COMMAND_SYS, SYS_RELAY, a, b, c, d, _, ..] = *message else { return None };
    Some(PeerId(i32::from_le_bytes([a, b, c, d]))).filter(|target| target.is_client())
}

/// The header of a relayed packet: to the server with the target, from the server with the source.
pub(crate) fn relay_header(peer: PeerId) -> [u8; RELAY_HEADER] {
    let [a, b, c, d] = peer.0.to_le_bytes();
    [COMMAND_SYS, SYS_RELAY, a, b, c, d]
}

/// What a server tells a client about another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Announcement {
    Joined(PeerId),
    Left(PeerId),
}

/// Reads such a message.
pub(crate) fn announcement(packet: &[u8]) -> Option<Announcement> {
    let [COMMAND_SYS, kind, id @ ..] = packet else { return None };
    let id = decode_id(id)?;
    match *kind {
        SYS_ADD_PEER => Some(Announcement::Joined(id)),
        SYS_DEL_PEER => Some(Announcement::Left(id)),
        _ => None,
    }
}

impl Packet {
    /// Returns whether this is recognizably the state of a `MultiplayerSynchronizer`, which the next state replaces.
    pub fn is_state_sync(&self) -> bool {
        is_state_sync(&self.payload)
    }
}

/// Returns whether a packet is recognizably the state of a `MultiplayerSynchronizer` (command 6 without the delta flag), also inside a
/// relay command, so that a relayed state stays droppable (modules/multiplayer/scene_multiplayer.h).
pub(crate) fn is_state_sync(packet: &[u8]) -> bool {
    const COMMAND_MASK: u8 = 7;
    const COMMAND_SYNC: u8 = 6;
    const DELTA_FLAG: u8 = 1 << 4;
    let is_sync = |first: u8| first & COMMAND_MASK == COMMAND_SYNC && first & DELTA_FLAG == 0;
    match packet {
        [first, SYS_RELAY, ..] if first & COMMAND_MASK == COMMAND_SYS => {
            packet.get(RELAY_HEADER).copied().is_some_and(is_sync)
        }
        [first, ..] => is_sync(*first),
        [] => false,
    }
}

/// Command, sub-command, peer id.
pub(crate) const RELAY_HEADER: usize = 6;
/// The size of an announcement.
pub(crate) const ANNOUNCEMENT: usize = 6;
const COMMAND_SYS: u8 = 7;
const SYS_ADD_PEER: u8 = 1;
const SYS_DEL_PEER: u8 = 2;
const SYS_RELAY: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_little_endian_and_belong_to_clients() {
        assert_eq!(encode_id(PeerId(0x41_cf_c2_b3)), [0xb3, 0xc2, 0xcf, 0x41]);
        assert_eq!(decode_id(&[0xb3, 0xc2, 0xcf, 0x41]), Some(PeerId(0x41_cf_c2_b3)));
        for bad in [&[1, 0, 0, 0][..], &[0, 0, 0, 0], &[0xff; 4], &[2, 0, 0], &[2, 0, 0, 0, 0], &[]] {
            assert_eq!(decode_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn relays_and_announcements_are_read_to_the_byte() {
        let relay = |target: i32, packet: &[u8]| [&relay_header(PeerId(target))[..], packet].concat();
        assert_eq!(relay(9, &[1]), [7, 3, 9, 0, 0, 0, 1]);
        assert_eq!(relay_target(&relay(i32::MAX, &[6, 1, 2])), Some(PeerId(i32::MAX)));
        for other in [relay(9, &[]), relay(1, &[1]), relay(0, &[1]), relay(-9, &[1]), vec![7, 3], vec![]] {
            assert_eq!(relay_target(&other), None, "{other:?}");
        }
        assert_eq!(relay_target(&[15, 3, 9, 0, 0, 0, 1]), None);
        assert_eq!(relay_target(&[7, 1, 9, 0, 0, 0, 1]), None);
        assert_eq!(announcement(&[7, 1, 9, 0, 0, 0]), Some(Announcement::Joined(PeerId(9))));
        assert_eq!(announcement(&[7, 2, 9, 0, 0, 0]), Some(Announcement::Left(PeerId(9))));
        for other in [&[7, 1, 1, 0, 0, 0][..], &[7, 3, 9, 0, 0, 0], &[15, 1, 9, 0, 0, 0], &[7, 1, 9, 0, 0]] {
            assert_eq!(announcement(other), None, "{other:?}");
        }
        assert_eq!(announcement(&[7, 1, 9, 0, 0, 0, 0]), None);
    }

    #[test]
    fn state_is_recognised_bare_and_relayed() {
        assert!(is_state_sync(&[6, 1, 2]));
        assert!(is_state_sync(&[7, 3, 9, 0, 0, 0, 6, 1]));
        assert!(!is_state_sync(&[6 | 1 << 4, 1]));
        assert!(!is_state_sync(&[7, 3, 9, 0, 0, 0, 6 | 1 << 4]));
        assert!(!is_state_sync(&[7, 3, 9, 0, 0, 0]));
        assert!(!is_state_sync(&[7, 1, 6, 0, 0, 0]));
        assert!(!is_state_sync(&[0]));
        assert!(!is_state_sync(&[]));
    }
}
