//! RFC 6455 section 5, implemented again in the simplest way: the meaning of a complete byte stream.
//!
//! It shares no code with the sessions, which read the same bytes in parts.

/// What a remote has sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said {
    Message {
        text: bool,
        payload: Vec<u8>,
    },
    Ping(Vec<u8>),
    Pong,
    /// The last item.
    Close {
        code: u16,
        reason: String,
    },
    /// The last item: the connection is failed with this code.
    Violation(u16),
}

/// One frame, unmasked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) first: u8,
    pub(super) masked: bool,
    pub(super) payload: Vec<u8>,
}

/// The first frame in some bytes.
enum Parsed {
    /// A frame with a complete header, the received part of its payload, and the lengths of both.
    Frame(Frame, usize, usize),
    Incomplete,
    Violation(u16),
}

/// An incomplete message: whether it is text, and its payload so far.
type Partial = Option<(bool, Vec<u8>)>;

/// Returns everything that the bytes of a remote contain, up to the first incomplete frame, which is validated as far as possible.
pub(super) fn understand(mut bytes: &[u8], from_client: bool, max: usize) -> Vec<Said> {
    let mut all = Vec::new();
    let mut partial: Partial = None;
    loop {
        let (frame, head, size) = match parse(bytes, max) {
            Parsed::Frame(frame, head, size) => (frame, head, size),
            Parsed::Incomplete => return all,
            Parsed::Violation(code) => {
                all.push(Said::Violation(code));
                return all;
            }
        };
        let whole = frame.payload.len() == size;
        let said = match fault(&frame, size, from_client, max, &partial) {
            Some(code) => Some(Said::Violation(code)),
            None if frame.first & 0x0f < 8 => continue_message(frame, whole, &mut partial),
            None if whole => Some(control(frame.first & 0x0f, frame.payload)),
            None => None,
        };
        let last = !whole || matches!(said, Some(Said::Close { .. } | Said::Violation(_)));
        all.extend(said);
        if last {
            return all;
        }
        bytes = &bytes[head + size..];
    }
}

/// Returns the frames that the session wrote, which must be well-formed; with `whole`, the last one too.
pub(super) fn frames(mut bytes: &[u8], masked: bool, whole: bool) -> Vec<Frame> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (frame, len) = match parse(bytes, usize::MAX) {
            Parsed::Frame(frame, head, size) if frame.payload.len() == size => (frame, head + size),
            Parsed::Frame(..) | Parsed::Incomplete if !whole => break,
            _ => panic!("no frame of ours: {bytes:?}"),
        };
        assert_eq!(frame.masked, masked, "only a client masks");
        assert_eq!(frame.first & 0xf0, 0x80, "whole messages, no reserved bits");
        bytes = &bytes[len..];
        all.push(frame);
    }
    all
}

fn parse(bytes: &[u8], max: usize) -> Parsed {
    let [first, second, rest @ ..] = bytes else { return Parsed::Incomplete };
    let (extra, short) = match second & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        len => (0, u64::from(len)),
    };
    let masked = second & 0x80 != 0;
    let mask_len = if masked { 4 } else { 0 };
    let Some((head, body)) = rest.split_at_checked(extra + mask_len) else { return Parsed::Incomplete };
    let (extended, mask) = head.split_at(extra);
    let len = extended.iter().fold(short, |len, byte| len << 8 | u64::from(*byte));
    if matches!(first & 0x0f, 3..=7 | 11..=15) {
        return Parsed::Violation(1002);
    }
    if len > max as u64 {
        return Parsed::Violation(1009);
    }
    let len = len as usize;
    let payload = body[..len.min(body.len())]
        .iter()
        .enumerate()
        .map(|(at, byte)| if masked { byte ^ mask[at % 4] } else { *byte })
        .collect();
    Parsed::Frame(Frame { first: *first, masked, payload }, 2 + extra + mask_len, len)
}

/// Returns what is wrong with the header of a frame of `size` bytes.
fn fault(frame: &Frame, size: usize, from_client: bool, max: usize, partial: &Partial) -> Option<u16> {
    let Frame { first, masked, .. } = frame;
    let opcode = first & 0x0f;
    if *masked != from_client || first & 0x70 != 0 {
        return Some(1002);
    }
    if opcode >= 8 {
        return (first & 0x80 == 0 || size > 125).then_some(1002);
    }
    if (opcode == 0) != partial.is_some() {
        return Some(1002);
    }
    let so_far = partial.as_ref().map_or(0, |(_, so_far)| so_far.len());
    (so_far + size > max).then_some(1009)
}

/// Handles a frame of a message, or its beginning.
fn continue_message(frame: Frame, whole: bool, partial: &mut Partial) -> Option<Said> {
    let is_last = whole && frame.first & 0x80 != 0;
    let (text, so_far) = partial.take().unwrap_or((frame.first & 0x0f == 1, Vec::new()));
    let message = [so_far, frame.payload].concat();
    if text {
        match std::str::from_utf8(&message) {
            Ok(_) => {}
            // An incomplete character.
            Err(error) if error.error_len().is_none() && !is_last => {}
            Err(_) => return Some(Said::Violation(1007)),
        }
    }
    if is_last {
        return Some(Said::Message { text, payload: message });
    }
    *partial = Some((text, message));
    None
}

fn control(opcode: u8, payload: Vec<u8>) -> Said {
    match (opcode, payload.as_slice()) {
        (9, _) => Said::Ping(payload),
        (10, _) => Said::Pong,
        (_, []) => Said::Close { code: 1005, reason: String::new() },
        (_, [_]) => Said::Violation(1002),
        (_, [high, low, reason @ ..]) => {
            let Ok(reason) = std::str::from_utf8(reason) else { return Said::Violation(1007) };
            let code = u16::from_be_bytes([*high, *low]);
            // Section 7.4 and IANA's registry: codes that may be sent. Any other code is answered and reported as a protocol error.
            if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                Said::Close { code, reason: reason.to_owned() }
            } else {
                Said::Close { code: 1002, reason: "Protocol violation".to_owned() }
            }
        }
    }
}
