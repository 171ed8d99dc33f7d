//! The packet formats of servers.

use anyhow::{Result, bail};

/// The packet format of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire {
    /// Each message is a packet of the game.
    Raw,
    /// The engine's 4.x class: the first message is the client's id.
    Godot4,
    /// The 3.x classes: nine bytes before each packet, and system messages of the server.
    Godot3,
}

impl Wire {
    /// Reads the client's id from the first message.
    pub(crate) fn read_id(self, message: &[u8]) -> Result<i32> {
        let digits = match (self, message) {
            (Self::Godot4, [_, _, _, _]) => message,
            (Self::Godot3, [YOUR_ID, _, _, _, _, _, _, _, _, digits @ ..]) => digits,
            _ => bail!("the first message is no peer id: {} bytes", message.len()),
        };
        match digits.try_into().map(i32::from_le_bytes) {
            Ok(id) if id >= 2 => Ok(id),
            _ => bail!("the server gave a wrong peer id"),
        }
    }

    /// Returns the packet in a message; `None` for a system message.
    pub(crate) fn payload(self, message: &[u8]) -> Result<Option<&[u8]>> {
        if self != Self::Godot3 {
            return Ok(Some(message));
        }
        match message.split_at_checked(GODOT3_HEADER) {
            Some(([PACKET, ..], payload)) => Ok(Some(payload)),
            Some(_) => Ok(None),
            None => bail!("a message of {} bytes has no header", message.len()),
        }
    }

    /// Returns the header of a packet to the server.
    pub(crate) fn to_server(self, id: i32) -> Vec<u8> {
        match self {
            Self::Raw | Self::Godot4 => Vec::new(),
            Self::Godot3 => godot3_header(id, SERVER),
        }
    }

    /// Returns the header of a packet that the server relays to another client. With the 4.x class, `SceneMultiplayer` relays packets.
    pub(crate) fn to_client(self, from: i32, to: i32) -> Vec<u8> {
        match self {
            Self::Godot3 => godot3_header(from, to),
            Self::Raw | Self::Godot4 => [&[SCENE_SYSTEM, SCENE_RELAY][..], &to.to_le_bytes()].concat(),
        }
    }

    /// Removes the header of a relayed packet.
    pub(crate) fn relayed(self, payload: &[u8]) -> Option<&[u8]> {
        match (self, payload) {
            (Self::Godot3, _) => Some(payload),
            (_, [SCENE_SYSTEM, SCENE_RELAY, _, _, _, _, payload @ ..]) => Some(payload),
            _ => None,
        }
    }
}

/// Returns whether a packet is one of `SceneMultiplayer`'s own: a peer that joined or left, a relayed packet, a path.
pub(crate) fn is_scene_system(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| matches!(first & SCENE_COMMAND, SCENE_SYSTEM | SCENE_PATH))
}

/// Returns the answer to a node path, so that later RPCs use a number instead, as in a game.
pub(crate) fn path_confirmation(payload: &[u8]) -> Option<Vec<u8>> {
    const ID_AT: usize = 34;
    if payload.first()? & SCENE_COMMAND != SCENE_PATH {
        return None;
    }
    let id = payload.get(ID_AT..ID_AT + 4)?;
    Some([&[SCENE_CONFIRM, 1][..], id].concat())
}

fn godot3_header(from: i32, to: i32) -> Vec<u8> {
    [&[PACKET][..], &from.to_le_bytes(), &to.to_le_bytes()].concat()
}

const SERVER: i32 = 1;
const GODOT3_HEADER: usize = 9;
const PACKET: u8 = 0;
const YOUR_ID: u8 = 3;
/// modules/multiplayer/scene_multiplayer.h: the command is in the low three bits.
const SCENE_COMMAND: u8 = 7;
const SCENE_PATH: u8 = 1;
const SCENE_CONFIRM: u8 = 2;
const SCENE_SYSTEM: u8 = 7;
const SCENE_RELAY: u8 = 3;

/// Defines the list 0 with these targets (docs/protocol.md, "Lists").
pub(crate) fn list(targets: impl Iterator<Item = i32>) -> Vec<u8> {
    let targets: Vec<_> = targets.collect();
    let mut message = vec![SCENE_SYSTEM, LIST, 0];
    message.extend_from_slice(&(targets.len() as u16).to_le_bytes());
    for target in targets {
        message.extend_from_slice(&target.to_le_bytes());
        message.extend_from_slice(&[0, 0]);
    }
    message
}

/// The header of a message for all targets of this list.
pub(crate) fn for_list(targets: usize) -> [u8; 6] {
    let [a, b, c, _] = ((targets.max(1) as u32 - 1) << 12).to_le_bytes();
    [SCENE_SYSTEM, FOR_LIST, 0, a, b, c]
}

const FOR_LIST: u8 = 0x40;
const LIST: u8 = 0x41;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_wires() {
        assert_eq!(Wire::Godot4.read_id(&[5, 0, 0, 0]).expect("an id"), 5);
        let named = [3, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0];
        assert_eq!(Wire::Godot3.read_id(&named).expect("an id"), 7);
        assert!(Wire::Godot4.read_id(&named).is_err());
        assert!(Wire::Godot4.read_id(&[1, 0, 0, 0]).is_err(), "the server's own");
        assert!(Wire::Godot3.read_id(&[5, 0, 0, 0]).is_err());
    }

    #[test]
    fn only_packets_reach_the_game() {
        let packet = [&Wire::Godot3.to_server(9)[..], b"hi"].concat();
        assert_eq!(Wire::Godot3.payload(&packet).expect("whole"), Some(&b"hi"[..]));
        assert_eq!(Wire::Godot3.payload(&[1; 13]).expect("whole"), None);
        assert!(Wire::Godot3.payload(&[0; 8]).is_err());
        assert_eq!(Wire::Godot4.payload(b"hi").expect("whole"), Some(&b"hi"[..]));
    }

    #[test]
    fn relayed_packets_are_unwrapped() {
        let sent = [&Wire::Godot4.to_client(2, 3)[..], b"hi"].concat();
        assert_eq!(sent, [7, 3, 3, 0, 0, 0, b'h', b'i']);
        assert_eq!(Wire::Godot4.relayed(&sent), Some(&b"hi"[..]));
        assert_eq!(Wire::Godot4.relayed(&[7, 1, 3, 0, 0, 0]), None);
    }

    #[test]
    fn paths_are_confirmed() {
        let mut path = vec![1];
        path.extend([b'0'; 33]);
        path.extend([4, 3, 2, 1]);
        path.extend(b"Blast\0");
        assert_eq!(path_confirmation(&path), Some(vec![2, 1, 4, 3, 2, 1]));
        assert_eq!(path_confirmation(&path[..36]), None);
        assert_eq!(path_confirmation(&[3, 1, 2]), None);
    }
}
