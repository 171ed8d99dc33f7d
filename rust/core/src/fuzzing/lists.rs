//! Messages of a client for several others, implemented again in the simplest way (docs/protocol.md).

use std::collections::{HashMap, HashSet};

use super::model::Said;

/// What the server of [`ScriptedHub`](super::scripted::ScriptedHub) tells a client.
pub(super) const TERMS: &[u8] = b"lists 1 4 256";
const TARGETS: usize = 4;
const BYTES: usize = 256;

/// The lists of a client.
struct Model {
    own_id: i32,
    lists: HashMap<u8, Vec<(i32, u16)>>,
}

impl Model {
    /// Returns the packets for which a message stands; `None`: it ends the connection.
    fn packets(&mut self, message: &[u8]) -> Option<Vec<Vec<u8>>> {
        match message {
            [7, 0x42, packet @ ..] => (!packet.is_empty()).then(|| vec![packet.to_vec()]),
            [7, 0x41, list, low, high, targets @ ..] => {
                let count = usize::from(*low) | usize::from(*high) << 8;
                let mut ids = HashSet::new();
                let mut all = Vec::new();
                for target in targets.chunks(6) {
                    let [a, b, c, d, x, y] = *target else { return None };
                    let id = i32::from_le_bytes([a, b, c, d]);
                    if id <= 1 || id == self.own_id || !ids.insert(id) {
                        return None;
                    }
                    all.push((id, u16::from_le_bytes([x, y])));
                }
                if all.len() != count || *list > 15 {
                    return None;
                }
                self.lists.insert(*list, all);
                (self.lists.values().map(Vec::len).sum::<usize>() <= TARGETS).then(Vec::new)
            }
            [7, 0x40, list, a, b, c, packet @ ..] if !packet.is_empty() => {
                let from = usize::from(*a) + usize::from(b % 16) * 256;
                let count = usize::from(b / 16) + usize::from(*c) * 16 + 1;
                let targets = self.lists.get(list)?.get(from..from + count)?;
                if count > 1 && count * message.len() > BYTES {
                    return None;
                }
                // Nothing is relayed here, so the game gets all of them.
                let since = |offset: u16| offset.wrapping_sub(targets[0].1);
                Some(targets.iter().map(|(target, offset)| relay(*target, packet, since(*offset))).collect())
            }
            [7, 0x40 | 0x41, ..] => None,
            _ => Some(vec![message.to_vec()]),
        }
    }
}

/// The packet as the client would have sent it for one target, with the time of its state.
fn relay(target: i32, packet: &[u8], since: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if let [first, low, high, ..] = packet.as_mut_slice()
        && *first & 0b10111 == 0b110
    {
        [*low, *high] = u16::from_le_bytes([*low, *high]).wrapping_add(since).to_le_bytes();
    }
    [&[7, 3][..], &target.to_le_bytes(), &packet].concat()
}

/// Ends what was said at the first message that breaks the rules.
pub(super) fn end_at_breach(said: &mut Vec<Said>, own_id: i32) {
    let mut model = Model { own_id, lists: HashMap::new() };
    let breach = said.iter().position(
        |said| matches!(said, Said::Message { text: false, payload } if model.packets(payload).is_none()),
    );
    if let Some(at) = breach {
        said.truncate(at);
        said.push(Said::Violation(1008));
    }
}

/// Puts the packets in the place of the messages that stand for them.
pub(super) fn expand(said: &mut Vec<Said>, own_id: i32) {
    let mut model = Model { own_id, lists: HashMap::new() };
    let all = said.drain(..).flat_map(|said| match said {
        Said::Message { text: false, payload } => {
            let packets = model.packets(&payload).expect("it was checked");
            packets.into_iter().map(|payload| Said::Message { text: false, payload }).collect()
        }
        other => vec![other],
    });
    *said = all.collect();
}
