//! Frames as a client sends and receives them.

use std::io::Cursor;
use std::ops::Range;

use anyhow::{Result, bail};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Appends a whole masked frame. The mask is the same for all frames: RFC 6455 section 5.3 wants it unpredictable
/// because of proxies in between, and there are none on loopback.
pub(crate) fn append(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, mask: Some(MASK), ..FrameHeader::default() };
    header.format(payload.len() as u64, out).expect("a vector takes every write");
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame that was received whole.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) is_final: bool,
    /// Where the payload is in the bytes that were parsed.
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

/// Reads the frame at `start`. `None`: it is not all there yet.
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
    Ok(Some(Frame { kind, is_final: header.is_final, payload: begin..end }))
}

/// A binary message that is sent again and again, with a number in it that counts up.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where the masked number is; none in a payload that is too short for it.
    number_at: Option<usize>,
}

impl Template {
    /// The first byte marks raw bytes for a game's `SceneMultiplayer`, so that no other meaning is read into it.
    pub(crate) fn new(size: usize) -> Self {
        let payload: Vec<u8> =
            (0..size).map(|index| if index == 0 { RAW_BYTES } else { index as u8 }).collect();
        let mut bytes = Vec::new();
        append(&mut bytes, OpCode::Data(Data::Binary), &payload);
        let number_at = (size > NUMBER.end).then(|| bytes.len() - size + NUMBER.start);
        Self { bytes, number_at }
    }

    pub(crate) fn append(&self, out: &mut Vec<u8>, number: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(at) = self.number_at {
            for (index, byte) in number.to_le_bytes().into_iter().enumerate() {
                out[start + at + index] = byte ^ MASK[(NUMBER.start + index) % MASK.len()];
            }
        }
    }

    /// Whether an echoed payload is the one with that number in it.
    pub(crate) fn is_echo(&self, payload: &[u8], number: u64) -> bool {
        let size = payload.len();
        let whole = self.bytes.len() >= size && payload.first() == Some(&RAW_BYTES);
        let counted = self.number_at.is_none() || payload.get(NUMBER) == Some(&number.to_le_bytes()[..]);
        whole && counted
    }
}

const MASK: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];
const NUMBER: Range<usize> = 1..9;
const RAW_BYTES: u8 = 3;
const LARGEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server makes of bytes that were appended here.
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
            let template = Template::new(size);
            let mut out = Vec::new();
            template.append(&mut out, 0x0102_0304_0506_0708);
            let (_, payload) = unmasked(&out);
            assert_eq!(payload.len(), size);
            assert!(template.is_echo(&payload, 0x0102_0304_0506_0708));
            assert_eq!(template.is_echo(&payload, 7), size < 10, "{size}");
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
    fn a_masked_or_huge_frame_is_an_error() {
        assert!(parse(&[0x82, 0x81, 0, 0, 0, 0, 1], 0).is_err());
        assert!(parse(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0], 0).is_err());
    }
}
