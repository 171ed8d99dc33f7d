//! Frames as bytes: opcodes, headers and the masking key (RFC 6455 sections 5.2 and 5.3).

/// The kinds of frames. The other ten values are reserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
    /// Not read as such: the same with [`RSV1`].
    DeflatedText = 0x41,
    DeflatedBinary = 0x42,
}

impl Opcode {
    /// Returns the opcode in a frame's first byte; `None`: a reserved one.
    pub(super) fn of(first: u8) -> Option<Self> {
        Some(match first & 0x0f {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// FIN, the reserved bits and the opcode.
    pub(super) first: u8,
    /// Bytes of the payload.
    pub(super) size: u64,
    pub(super) mask: Option<[u8; 4]>,
}

impl Head {
    /// Returns the length of the header that begins with these bytes; 2 while only one of them was read.
    pub(super) fn len_of(begin: &[u8]) -> usize {
        let Some(second) = begin.get(1) else { return 2 };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if second & MASKED == 0 { 0 } else { 4 }
    }

    /// Reads a header; `None`: bytes are missing.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (at, size) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            size => (2, u64::from(size)),
        };
        let mask = if second & MASKED == 0 { None } else { Some(*bytes.get(at..)?.first_chunk()?) };
        Some(Self { first, size, mask })
    }
}

/// Appends the header of a frame that is a complete message or a control frame.
pub(crate) fn push_head(buffer: &mut Vec<u8>, opcode: Opcode, len: usize, mask: Option<[u8; 4]>) {
    let mut head = [0; HEAD_MAX];
    head[0] = FINAL | opcode as u8;
    let mut size = match len {
        ..126 => {
            head[1] = len as u8;
            2
        }
        126..=0xffff => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    if let Some(mask) = mask {
        head[1] |= MASKED;
        head[size..size + 4].copy_from_slice(&mask);
        size += 4;
    }
    buffer.extend_from_slice(&head[..size]);
}

/// XORs bytes with the masking key, eight at a time.
pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word = u64::from_ne_bytes(chunk.try_into().expect("chunks of eight")) ^ wide;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

/// FIN, in the first byte: the last or only frame of its message.
pub(super) const FINAL: u8 = 0x80;
/// The three bits of the first byte that extensions use.
pub(super) const RESERVED: u8 = 0x70;
/// The first of them: the message is compressed (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;
/// In the second byte: a masking key follows.
pub(super) const MASKED: u8 = 0x80;
/// Bytes of the longest header.
pub(super) const HEAD_MAX: usize = 14;
/// Bytes of the longest payload of a control frame (section 5.5).
pub(super) const CONTROL_MAX: usize = 125;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    use super::*;

    #[test]
    fn heads_are_those_of_the_protocol() {
        for len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 5_000_000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                for (ours, theirs) in [
                    (Opcode::Text, OpCode::Data(Data::Text)),
                    (Opcode::Binary, OpCode::Data(Data::Binary)),
                    (Opcode::Close, OpCode::Control(Control::Close)),
                    (Opcode::Ping, OpCode::Control(Control::Ping)),
                    (Opcode::Pong, OpCode::Control(Control::Pong)),
                ] {
                    let header = FrameHeader { opcode: theirs, mask, ..FrameHeader::default() };
                    let (mut expected, mut found) = (Vec::new(), Vec::new());
                    header.format(len as u64, &mut expected).expect("a Vec takes every byte");
                    push_head(&mut found, ours, len, mask);
                    assert_eq!(found, expected, "{len} {mask:?}");
                    let head = Head { first: FINAL | ours as u8, size: len as u64, mask };
                    assert_eq!(Head::parse(&found), Some(head));
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_a_head_is_read_as_the_oracle_reads_it() {
        for first in [0x00, 0x01, 0x82, 0x89, 0x8a, 0xf2] {
            for second in 0..=255 {
                let bytes = [first, second, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
                for len in 0..=bytes.len() {
                    let mut cursor = Cursor::new(&bytes[..len]);
                    let theirs = FrameHeader::parse(&mut cursor).expect("the opcodes are known");
                    let ours = Head::parse(&bytes[..len]);
                    assert_eq!(
                        ours.map(|head| (head.size, head.mask)),
                        theirs.as_ref().map(|(header, size)| (*size, header.mask))
                    );
                    let whole = Head::len_of(&bytes[..len]);
                    assert_eq!(len >= whole, ours.is_some(), "{second:#x}, {len} bytes");
                    if ours.is_some() {
                        assert_eq!(whole as u64, cursor.position());
                    }
                }
            }
        }
    }
}
