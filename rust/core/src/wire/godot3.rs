//! The packet format of the 3.x classes in multiplayer mode: nine bytes before each packet in both directions, little-endian (3.6:
//! modules/websocket/websocket_multiplayer_peer.cpp).
//!
//! ```text
//! offset 0  u8   type  0 packet, 1 a peer joined, 2 a peer left, 3 your id
//! offset 1  i32  from  sender
//! offset 5  i32  to    0 all, 1 the server, >1 one peer, <0 all but that one
//! offset 9             the packet, or for the other types an i32: the peer
//! ```

use bytes::Bytes;

use crate::base::{PeerId, Target};

/// Bytes before each packet.
pub(crate) const HEADER: usize = 9;

/// Bytes of a whole system message.
pub(crate) const SYSTEM_SIZE: usize = HEADER + 4;

/// What the server tells its clients in system messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum System {
    Joined,
    Left,
    YourId,
}

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Message {
    Packet { from: PeerId, to: Target, payload: Bytes },
    System(System, PeerId),
}

/// The header of a packet.
pub(crate) fn packet_header(from: PeerId, to: Target) -> [u8; HEADER] {
    header(0, from, to.to_engine())
}

/// Returns a complete system message from the server to all clients.
pub(crate) fn system_message(kind: System, id: PeerId) -> Bytes {
    let kind = match kind {
        System::Joined => 1,
        System::Left => 2,
        System::YourId => 3,
    };
    let mut message = header(kind, PeerId::SERVER, 0).to_vec();
    message.extend(id.0.to_le_bytes());
    message.into()
}

/// Reads a message; `None` if it does not have this format.
pub(crate) fn decode(message: &Bytes) -> Option<Message> {
    let (head, rest) = message.split_at_checked(HEADER)?;
    let kind = match head[0] {
        0 => {
            let (from, to) = (PeerId(int(&head[1..5])?), Target::from_engine(int(&head[5..9])?));
            return Some(Message::Packet { from, to, payload: message.slice(HEADER..) });
        }
        1 => System::Joined,
        2 => System::Left,
        3 => System::YourId,
        _ => return None,
    };
    let id = PeerId(int(rest)?);
    (id.0 >= 1).then_some(Message::System(kind, id))
}

fn header(kind: u8, from: PeerId, to: i32) -> [u8; HEADER] {
    let (from, to) = (from.0.to_le_bytes(), to.to_le_bytes());
    [kind, from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3]]
}

fn int(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_round_trip() {
        for to in [Target::All, Target::One(PeerId(1)), Target::One(PeerId(77)), Target::AllExcept(PeerId(5))]
        {
            let mut message = packet_header(PeerId(1234), to).to_vec();
            message.extend(b"body");
            let decoded = decode(&message.into()).expect("valid");
            assert_eq!(
                decoded,
                Message::Packet { from: PeerId(1234), to, payload: Bytes::from_static(b"body") }
            );
        }
    }

    #[test]
    fn system_messages_are_those_of_3_6() {
        let message = system_message(System::YourId, PeerId(0x0102_0304));
        assert_eq!(message[..], [3, 1, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(decode(&message), Some(Message::System(System::YourId, PeerId(0x0102_0304))));
        assert_eq!(system_message(System::Joined, PeerId(1))[0], 1);
        assert_eq!(system_message(System::Left, PeerId(1))[0], 2);
    }

    #[test]
    fn what_is_too_short_or_unknown_is_refused() {
        for bad in [&[][..], &[0; 8], &[4; 13], &[1; 12], &[3; 14], &[3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(decode(&Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
        assert!(
            matches!(decode(&Bytes::from_static(&[0; 9])), Some(Message::Packet { payload, .. }) if payload.is_empty())
        );
    }
}
