//! Both packet formats: reading returns what was written, and a Godot 3 server sends packets to the peers in their header and rejects
//! forged senders.

use bytes::Bytes;

use super::model;
use super::scripted::{Cuts, Line, ScriptedHub};
use super::upgrades::REQUEST;
use crate::base::PeerId;
use crate::channel::Notice;
use crate::config::{Mode, WireFormat};
use crate::wire::{godot3, godot4};

/// Messages, each after a byte with its length: they are decoded, and sent by the first of three clients of a Godot 3 server.
pub fn wires(data: &[u8]) {
    let mut messages = Vec::new();
    let mut rest = data;
    while let [len, after @ ..] = rest {
        let (message, after) = after.split_at(usize::from(*len).min(after.len()));
        messages.push(message.to_vec());
        rest = after;
    }
    for message in &messages {
        read_and_write(message);
    }
    relay(messages);
}

fn read_and_write(message: &[u8]) {
    if let Some(id) = godot4::decode_id(message) {
        assert!(id.0 >= 2);
        assert_eq!(godot4::encode_id(id), message);
    }
    let sync = godot4::is_state_sync(message);
    let relayed = [&[7, 3, 1, 0, 0, 0][..], message].concat();
    // A relay command inside a relay command is not a state.
    let bare = message.first().is_some_and(|first| first & 7 == 6);
    assert_eq!(godot4::is_state_sync(&relayed), sync && bare);
    let bytes = Bytes::copy_from_slice(message);
    match godot3::decode(&bytes) {
        Some(godot3::Message::Packet { from, to, payload }) => {
            let mut again = godot3::packet_header(from, to).to_vec();
            again.extend_from_slice(&payload);
            // i32::MIN excludes no peer, which is encoded as 0.
            if message[5..9] == i32::MIN.to_le_bytes() {
                again[5..9].copy_from_slice(&message[5..9]);
            }
            assert_eq!(again, message);
        }
        Some(godot3::Message::System(kind, id)) => {
            assert!(id.0 >= 1);
            let again = godot3::system_message(kind, id);
            assert_eq!((again[0], &again[9..]), (message[0], &message[9..]));
        }
        None => assert!(message.len() < 9 || message[0] > 0, "a packet is nine bytes of header and the rest"),
    }
}

fn relay(messages: Vec<Vec<u8>>) {
    let mut hub = ScriptedHub::server(Mode::Multiplayer(WireFormat::Godot3), &[]);
    let conns: Vec<_> = (0..3)
        .map(|_| {
            let mut line = Line::new(REQUEST.to_vec(), Cuts::WHOLE, Cuts::WHOLE);
            line.ends = false;
            let conn = hub.accept(line);
            hub.run();
            conn
        })
        .collect();
    let ids: Vec<_> = hub
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Connected { shared, .. } => Some(shared.id.0),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 3);
    let before: Vec<_> = conns.iter().map(|conn| hub.line(*conn).output.len()).collect();
    // Ids are random; 2, 3 and 4 are placeholders for them.
    let actual = |id: i32| match id.unsigned_abs() {
        small @ 2..=4 => ids[small as usize - 2] * id.signum(),
        _ => id,
    };
    let mut local: Vec<Vec<u8>> = Vec::new();
    let mut relayed = [Vec::new(), Vec::new()];
    for mut message in messages {
        for at in [1, 5] {
            if let Some(field) = message.get_mut(at..at + 4) {
                let id = actual(i32::from_le_bytes((&*field).try_into().expect("four bytes")));
                field.copy_from_slice(&id.to_le_bytes());
            }
        }
        hub.line(conns[0]).input.extend(framed(&message));
        let field = |at: usize| {
            message.get(at..at + 4).map(|field| i32::from_le_bytes(field.try_into().expect("four bytes")))
        };
        let (Some(from), Some(to)) = (field(1), field(5)) else { continue };
        if message[0] != 0 || from != ids[0] {
            continue;
        }
        let for_all = to == 0 || to == i32::MIN;
        if (for_all || to == 1 || to < -1) && message.len() > 9 {
            local.push(message[9..].to_vec());
        }
        for (other, got) in ids[1..].iter().copied().zip(&mut relayed) {
            if for_all || to == other || to < 0 && -to != other {
                got.push(message.clone());
            }
        }
    }
    hub.run();
    let got: Vec<_> = hub
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Packet(packet) => {
                assert_eq!(packet.source, PeerId(ids[0]), "nobody speaks for another");
                Some(packet.payload.to_vec())
            }
            _ => None,
        })
        .collect();
    assert_eq!(got, local, "what the server itself gets");
    for (at, expected) in relayed.iter().enumerate() {
        let output = &hub.line(conns[at + 1]).output[before[at + 1]..].to_vec();
        let got: Vec<_> = model::frames(output, false, true).into_iter().map(|frame| frame.payload).collect();
        assert_eq!(got, *expected, "what client {} gets", at + 1);
    }
    assert_eq!(hub.line(conns[0]).output.len(), before[0], "the sender gets nothing");
    hub.finish();
}

/// A client's frame with a mask of zeros.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    if message.len() < 126 {
        bytes.push(0x80 | message.len() as u8);
    } else {
        bytes.push(0x80 | 126);
        bytes.extend((message.len() as u16).to_be_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(message);
    bytes
}
