//! Frames as a client sends and receives them.

use std::io::Cursor;
use std::ops::Range;

use anyhow::{Result, bail};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Appends a complete masked frame. All frames have the same mask: RFC 6455 section 5.3 requires an unpredictable one because of proxies,
/// and on loopback there are none.
pub(crate) fn append(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, mask: Some(MASK), ..FrameHeader::default() };
    header.format(payload.len() as u64, out).expect("a vector takes every write");
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A complete received frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) is_final: bool,
    /// RSV1 (RFC 7692 section 6): of the first frame of a message only.
    pub(crate) is_compressed: bool,
    /// The position of the payload in the parsed bytes.
    pub(crate) payload: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Data,
    Continue,
    Ping,
    Pong,
    Close,
}

/// Reads the frame at `start`. `None`: the frame is not complete.
pub(crate) fn parse(bytes: &[u8], start: usize) -> Result<Option<Frame>> {
    let mut cursor = Cursor::new(&bytes[start..]);
    let Some((header, length)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
    if header.mask.is_some() {
        bail!("the server masks its frames");
    }
    if length > LARGEST {
        bail!("the server sends a frame of {length} bytes");
    }
    let begin = start + cursor.position() as usize;
    let end = begin + length as usize;
    if end > bytes.len() {
        return Ok(None);
    }
    let kind = match header.opcode {
        OpCode::Data(Data::Binary | Data::Text) => Kind::Data,
        OpCode::Data(Data::Continue) => Kind::Continue,
        OpCode::Control(Control::Ping) => Kind::Ping,
        OpCode::Control(Control::Pong) => Kind::Pong,
        OpCode::Control(Control::Close) => Kind::Close,
        other => bail!("the server uses the reserved opcode {other}"),
    };
    if header.rsv1 && kind != Kind::Data {
        bail!("the server compresses a part of a message, or a control frame");
    }
    Ok(Some(Frame { kind, is_final: header.is_final, is_compressed: header.rsv1, payload: begin..end }))
}

/// A binary message that is sent repeatedly, with an increasing number in it, after a prefix that may differ each time.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    size: usize,
    /// The payload has room for the number.
    numbered: bool,
}

impl Template {
    /// The first byte marks raw bytes for `SceneMultiplayer`, so that it does not interpret the packet as a command.
    pub(crate) fn new(size: usize, prefix: usize) -> Self {
        let payload: Vec<u8> =
            (0..size).map(|index| if index == 0 { RAW_BYTES } else { index as u8 }).collect();
        let mut bytes = Vec::new();
        append(&mut bytes, OpCode::Data(Data::Binary), &[&vec![0; prefix], &payload[..]].concat());
        Self { bytes, size, numbered: size > NUMBER.end }
    }

    /// Appends the message; `prefix` has the announced length.
    pub(crate) fn append(&self, out: &mut Vec<u8>, prefix: &[u8], number: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = start + self.bytes.len() - self.size - prefix.len();
        let mut overwrite = |at: usize, bytes: &[u8]| {
            for (index, byte) in (at..).zip(bytes) {
                out[message + index] = byte ^ MASK[index % MASK.len()];
            }
        };
        overwrite(0, prefix);
        if self.numbered {
            overwrite(prefix.len() + NUMBER.start, &number.to_le_bytes());
        }
    }

    /// Returns whether a payload is the one with this number.
    pub(crate) fn is(&self, payload: &[u8], number: u64) -> bool {
        let whole = payload.len() == self.size && payload.first() == Some(&RAW_BYTES);
        whole && (!self.numbered || payload.get(NUMBER) == Some(&number.to_le_bytes()[..]))
    }
}

const MASK: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];
const NUMBER: Range<usize> = 1..9;
const RAW_BYTES: u8 = 3;
const LARGEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes the appended bytes as a server does.
    fn unmasked(bytes: &[u8]) -> (OpCode, Vec<u8>) {
        let mut cursor = Cursor::new(bytes);
        let (header, length) = FrameHeader::parse(&mut cursor).expect("valid").expect("whole");
        let begin = cursor.position() as usize;
        assert_eq!(bytes.len() - begin, length as usize);
        let mask = header.mask.expect("a client masks");
        let payload =
            bytes[begin..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        (header.opcode, payload)
    }

    #[test]
    fn frames_of_all_lengths_are_masked() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..size).map(|index| index as u8).collect();
            let mut out = Vec::new();
            append(&mut out, OpCode::Data(Data::Binary), &payload);
            assert_eq!(unmasked(&out), (OpCode::Data(Data::Binary), payload));
        }
    }

    #[test]
    fn a_template_carries_its_number() {
        for size in [1, 9, 10, 64, 300] {
            for prefix in [&[][..], &[9, 8, 7]] {
                let template = Template::new(size, prefix.len());
                let mut out = Vec::new();
                template.append(&mut out, prefix, 0x0102_0304_0506_0708);
                let (_, message) = unmasked(&out);
                assert_eq!(&message[..prefix.len()], prefix);
                let payload = &message[prefix.len()..];
                assert!(template.is(payload, 0x0102_0304_0506_0708));
                assert_eq!(template.is(payload, 7), size < 10, "{size}");
                assert!(!template.is(&message[..message.len() - 1], 0x0102_0304_0506_0708));
            }
        }
    }

    #[test]
    fn frames_are_parsed_one_after_the_other_and_never_half() {
        let bytes = [0x82, 2, 7, 8, 0x89, 0, 0x02, 1, 9, 0x88, 2, 3, 0xe8];
        let kinds = [(Kind::Data, true), (Kind::Ping, true), (Kind::Data, false), (Kind::Close, true)];
        let mut start = 0;
        for (kind, is_final) in kinds {
            let frame = parse(&bytes, start).expect("valid").expect("whole");
            assert_eq!((frame.kind, frame.is_final), (kind, is_final));
            for end in start..frame.payload.end {
                assert_eq!(parse(&bytes[..end], start).expect("valid so far"), None);
            }
            start = frame.payload.end;
        }
        assert_eq!(start, bytes.len());
    }

    #[test]
    fn a_compressed_message_has_its_mark_on_the_first_frame() {
        let whole = |bytes: &[u8]| parse(bytes, 0).expect("valid").expect("whole").is_compressed;
        assert!(whole(&[0xc2, 1, 7]) && whole(&[0x41, 1, 7]) && !whole(&[0x82, 1, 7]));
        assert!(parse(&[0xc0, 1, 7], 0).is_err());
        assert!(parse(&[0xc9, 0], 0).is_err());
    }

    #[test]
    fn a_masked_or_huge_frame_is_an_error() {
        assert!(parse(&[0x82, 0x81, 0, 0, 0, 0, 1], 0).is_err());
        assert!(parse(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0], 0).is_err());
    }
}
