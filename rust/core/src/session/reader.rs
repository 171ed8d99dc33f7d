//! Reads frames and messages from bytes that are split anywhere (RFC 6455 sections 5 and 7.4).
//!
//! Most messages are one frame that is complete in the burst: it is unmasked there, and its payload is lent. Pings and pongs too,
//! so that a remote that sends only those takes little of the driver's time. For all else each byte is moved once, to its place in a
//! message whose memory grows with the bytes received, never with the length announced.

use std::mem;

use bytes::Bytes;

use super::Role;
use super::burst::{Payload, ReadBurst};
use super::frame::{CONTROL_MAX, FINAL, HEAD_MAX, Head, MASKED, Opcode, RESERVED, RSV1, apply_mask};
use super::inflation::{Deflated, Inflation};
use super::pool::Pool;
use crate::base::MESSAGE_LIMIT;

/// The position of a connection in its frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// A message or frame that has begun; `None` between messages, so that an idle connection holds no memory here.
    begun: Option<Box<Begun>>,
    /// Data is skipped.
    discards: bool,
    /// Messages may be compressed.
    inflation: Option<Box<Inflation>>,
    pub(super) leeway: Leeway,
}

/// Binary messages that may be larger than others, by their beginnings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leeway {
    /// What begins with these bytes may be longer by them.
    pub(crate) escape: &'static [u8],
    /// What begins with these bytes may have this size, however low the limit is.
    pub(crate) definition: &'static [u8],
    pub(crate) size: usize,
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Frame<'b> {
    /// A complete message.
    Message {
        payload: Payload<'b>,
        text: bool,
    },
    Ping(Payload<'b>),
    Pong(Payload<'b>),
    /// The code, if the frame has one, valid or not.
    Close {
        code: Option<u16>,
        reason: String,
    },
    /// A compressed message takes another turn.
    Unfinished,
}

/// Why the connection must be failed, and the close code for that.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) what: String,
}

/// Frames and messages that are not complete.
#[derive(Debug, Default)]
struct Begun {
    /// The first bytes of a frame header.
    head: [u8; HEAD_MAX],
    head_len: usize,
    /// The frame whose payload is read.
    frame: Option<Begin>,
    /// The payload of a control frame.
    control: Vec<u8>,
    message: Option<Message>,
    /// A message that is whole, and not inflated yet.
    deflated: Option<Deflated>,
}

/// A frame whose header was read.
#[derive(Clone, Copy, Debug)]
struct Begin {
    opcode: Opcode,
    is_final: bool,
    /// The masking key, rotated to fit the next byte.
    mask: Option<[u8; 4]>,
    /// Bytes of the payload that are missing.
    left: u64,
    /// The payload is skipped.
    discarded: bool,
}

/// A message whose end is missing.
#[derive(Debug)]
struct Message {
    text: bool,
    /// The message has several frames.
    fragmented: bool,
    data: Vec<u8>,
    /// Bytes of `data` that are complete characters.
    valid: usize,
    /// Bytes of all frames of the message, headers included.
    wire: u64,
    is_compressed: bool,
    /// The limit when its last frame began: the game may lower it meanwhile.
    max: usize,
}

impl Reader {
    /// Reads messages that may be compressed. `keeps`: each may refer to earlier ones.
    pub(crate) fn inflating(keeps: bool) -> Self {
        Self { inflation: Some(Box::new(Inflation::new(keeps))), ..Self::default() }
    }

    /// Returns whether a message is whole and takes another turn.
    #[inline]
    pub(super) fn is_inflating(&self) -> bool {
        self.inflation.is_some() && self.begun.as_ref().is_some_and(|begun| begun.deflated.is_some())
    }

    /// Leaves to others what a message that is being inflated has taken of the thread's.
    pub(super) fn rest_inflating(&mut self, pool: &mut Pool) {
        if let (Some(begun), Some(inflation)) = (&mut self.begun, &mut self.inflation)
            && let Some(deflated) = &mut begun.deflated
        {
            inflation.rest(deflated, pool.codecs());
        }
    }

    /// Returns whether the end of a message or frame is missing.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Skips data from here on, without checking it; control frames are still read.
    pub(crate) fn discard(&mut self) {
        self.discards = true;
        if let Some(begun) = &mut self.begun {
            begun.message = None;
            begun.deflated = None;
            if let Some(frame) = &mut begun.frame {
                frame.discarded |= !frame.opcode.is_control();
            }
        }
    }

    /// Returns the next message or control frame; `None` if the burst was used up before its end, and [`Frame::Unfinished`] if nothing may be
    /// read before another turn.
    ///
    /// A frame is checked when its header is complete, and text at its first wrong byte, wherever the bytes are split. After a
    /// violation the bytes cannot be read any more.
    #[inline]
    pub(crate) fn next<'b>(
        &mut self,
        burst: &mut ReadBurst<'b>,
        role: Role,
        max_message: usize,
        pool: &mut Pool,
    ) -> Result<Option<Frame<'b>>, Violation> {
        if self.begun.is_none()
            && !self.discards
            && let Some(whole) = whole(burst.bytes(), role).filter(|whole| whole.size <= max_message)
        {
            return whole.take(burst);
        }
        self.next_in_pieces(burst, role, max_message, pool)
    }

    #[inline(never)]
    fn next_in_pieces<'b>(
        &mut self,
        burst: &mut ReadBurst<'b>,
        role: Role,
        max_message: usize,
        pool: &mut Pool,
    ) -> Result<Option<Frame<'b>>, Violation> {
        if self.is_inflating() {
            return self.inflate(pool);
        }
        while !burst.is_empty() {
            let begun = self.begun.get_or_insert_default();
            if begun.frame.is_none() {
                let Some(head) = begun.take_head(burst) else { break };
                let limit = SizeLimit { message: max_message, leeway: &self.leeway };
                begun.begin(head, role, limit, self.discards, self.inflation.is_some())?;
            }
            if let Some(frame) = begun.take_payload(burst, &self.leeway)? {
                if matches!(frame, Frame::Unfinished) {
                    return self.inflate(pool);
                }
                self.forget_if_empty();
                return Ok(Some(frame));
            }
        }
        self.forget_if_empty();
        Ok(None)
    }

    /// Frees the memory for what has begun, if nothing has.
    #[inline]
    fn forget_if_empty(&mut self) {
        if self.begun.as_ref().is_some_and(|begun| begun.is_empty()) {
            self.begun = None;
        }
    }

    #[cold]
    #[inline(never)]
    fn inflate<'b>(&mut self, pool: &mut Pool) -> Result<Option<Frame<'b>>, Violation> {
        let (Some(begun), Some(inflation)) = (&mut self.begun, &mut self.inflation) else { return Ok(None) };
        let frame = inflation.go_on(&mut begun.deflated, &self.leeway, pool.codecs())?;
        self.forget_if_empty();
        Ok(Some(frame.unwrap_or(Frame::Unfinished)))
    }

    /// Returns the memory of a message or frame that has begun, in bytes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn holds(&self) -> usize {
        self.begun.as_ref().map_or(0, |begun| {
            begun.control.capacity()
                + begun.message.as_ref().map_or(0, |message| message.data.capacity())
                + begun.deflated.as_ref().map_or(0, Deflated::holds)
        })
    }
}

impl Begun {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none() && self.deflated.is_none()
    }

    /// Collects a frame header; `None`: bytes are missing.
    fn take_head(&mut self, burst: &mut ReadBurst<'_>) -> Option<Head> {
        loop {
            let begin = &self.head[..self.head_len];
            let missing = Head::len_of(begin) - self.head_len;
            if missing == 0 {
                return Head::parse(begin);
            }
            let bytes = burst.pop(missing);
            if bytes.is_empty() {
                return None;
            }
            self.head[self.head_len..][..bytes.len()].copy_from_slice(bytes);
            self.head_len += bytes.len();
        }
    }

    /// Checks a frame header.
    fn begin(
        &mut self,
        head: Head,
        role: Role,
        limit: SizeLimit<'_>,
        discards: bool,
        inflates: bool,
    ) -> Result<(), Violation> {
        let head_len = mem::take(&mut self.head_len) as u64;
        let Head { first, size, mask } = head;
        let Some(opcode) = Opcode::of(first) else {
            return Err(against_protocol(format!("a frame of the reserved opcode {}", first & 0x0f)));
        };
        let is_compressed = if first & RESERVED != 0 || size > limit.message as u64 {
            self.begin_unusual(&head, opcode, role, limit, discards, inflates)?
        } else {
            check_mask(mask, role)?;
            false
        };
        let is_final = first & FINAL != 0;
        if opcode.is_control() {
            if !is_final {
                return Err(against_protocol("a control frame in fragments"));
            }
            if size > CONTROL_MAX as u64 {
                return Err(against_protocol(format!(
                    "a control frame of {size} bytes; the limit is {CONTROL_MAX}"
                )));
            }
            self.control.reserve_exact(size as usize);
        } else if !discards {
            self.begin_data(opcode, is_final, is_compressed, head_len, size, limit)?;
        }
        let discarded = discards && !opcode.is_control();
        self.frame = Some(Begin { opcode, is_final, mask, left: size, discarded });
        Ok(())
    }

    /// Checks the header of a frame that is large or has reserved bits. Returns whether a compressed message begins with it.
    #[cold]
    #[inline(never)]
    fn begin_unusual(
        &self,
        head: &Head,
        opcode: Opcode,
        role: Role,
        limit: SizeLimit<'_>,
        discards: bool,
        inflates: bool,
    ) -> Result<bool, Violation> {
        let reserved = head.first & RESERVED;
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6.1).
        let is_compressed = reserved == RSV1 && inflates && matches!(opcode, Opcode::Text | Opcode::Binary);
        if !discards {
            let goes_on = opcode == Opcode::Continuation
                && self.message.as_ref().is_some_and(|message| message.is_compressed);
            limit.check(head.size, is_compressed || goes_on)?;
        }
        check_mask(head.mask, role)?;
        if reserved != 0 && !is_compressed {
            return Err(against_protocol(
                "a frame of an extension that was not agreed on (a reserved bit is set)",
            ));
        }
        Ok(is_compressed)
    }

    fn begin_data(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        is_compressed: bool,
        head_len: u64,
        size: u64,
        limit: SizeLimit<'_>,
    ) -> Result<(), Violation> {
        let message = match (opcode, &mut self.message) {
            (Opcode::Continuation, None) => {
                return Err(against_protocol("a continuation frame without a message that it continues"));
            }
            (Opcode::Continuation, Some(message)) => message,
            (_, Some(_)) => return Err(against_protocol("a new message inside a fragmented one")),
            (_, message @ None) => message.insert(Message {
                text: opcode == Opcode::Text,
                fragmented: !is_final,
                data: Vec::new(),
                valid: 0,
                wire: 0,
                is_compressed,
                max: 0,
            }),
        };
        let whole = (message.data.len() as u64).saturating_add(size);
        if whole > limit.message as u64 {
            limit.check(whole, message.is_compressed)?;
        }
        message.max = limit.message;
        message.wire = message.wire.saturating_add(head_len).saturating_add(size);
        if message.wire > (limit.message as u64).saturating_mul(2).saturating_add(OVERHEAD_LIMIT as u64) {
            return Err(Violation { code: 1008, what: "a message in too many fragments".to_owned() });
        }
        Ok(())
    }

    /// Takes bytes of the payload. Returns a message or control frame that is complete with them;
    /// [`Frame::Unfinished`]: it is compressed.
    fn take_payload<'b>(
        &mut self,
        burst: &mut ReadBurst<'b>,
        leeway: &Leeway,
    ) -> Result<Option<Frame<'b>>, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let bytes = burst.pop(usize::try_from(frame.left).unwrap_or(usize::MAX));
        if !frame.discarded {
            if let Some(mask) = &mut frame.mask {
                apply_mask(bytes, *mask);
                mask.rotate_left(bytes.len() % 4);
            }
            match &mut self.message {
                _ if frame.opcode.is_control() => self.control.extend_from_slice(bytes),
                Some(message) => message.append(bytes, frame.left)?,
                None => {}
            }
        }
        frame.left -= bytes.len() as u64;
        if frame.left > 0 {
            return Ok(None);
        }
        let Begin { opcode, is_final, discarded, .. } = *frame;
        self.frame = None;
        Ok(match opcode {
            Opcode::Ping => Some(Frame::Ping(Payload::Owned(mem::take(&mut self.control).into()))),
            Opcode::Pong => Some(Frame::Pong(Payload::Owned(mem::take(&mut self.control).into()))),
            Opcode::Close => Some(close(&mem::take(&mut self.control))?),
            _ if discarded || !is_final => None,
            _ => match self.message.take() {
                Some(Message { is_compressed: true, text, data, max, .. }) => {
                    self.deflated = Some(Deflated::new(text, data, max));
                    Some(Frame::Unfinished)
                }
                message => message.map(|message| message.finish(leeway)).transpose()?,
            },
        })
    }
}

/// A client masks its frames, a server does not (section 5.1).
#[inline]
fn check_mask(mask: Option<[u8; 4]>, role: Role) -> Result<(), Violation> {
    match (mask, role) {
        (None, Role::Server) => Err(against_protocol("a frame of a client that is not masked")),
        (Some(_), Role::Client) => Err(against_protocol("a frame of a server that is masked")),
        (Some(_), Role::Server) | (None, Role::Client) => Ok(()),
    }
}

/// The size of the largest message, and which ones may be larger.
#[derive(Clone, Copy)]
struct SizeLimit<'a> {
    message: usize,
    leeway: &'a Leeway,
}

impl SizeLimit<'_> {
    /// Checks the size of a message that is larger than most may be.
    #[cold]
    #[inline(never)]
    fn check(self, size: u64, is_compressed: bool) -> Result<(), Violation> {
        let most = self.leeway.most(self.message);
        let most = if is_compressed { compressed_limit(most) } else { most };
        if size > most as u64 { Err(too_large(size, self.message)) } else { Ok(()) }
    }
}

/// Checks the beginning of a text, of which `valid` bytes were checked before. Returns up to where it is checked: the rest of the last
/// character may follow.
pub(super) fn valid_text(text: &[u8], valid: usize) -> Result<usize, Violation> {
    match std::str::from_utf8(&text[valid..]) {
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(valid + error.valid_up_to()),
        Err(_) => Err(not_utf8()),
    }
}

impl Leeway {
    /// Returns the size of the largest message, where others may have `max` bytes.
    pub(super) fn most(&self, max: usize) -> usize {
        max.saturating_add(self.escape.len()).max(self.size)
    }

    /// Checks the size of a complete message.
    pub(super) fn check(&self, message: &[u8], text: bool, max: usize) -> Result<(), Violation> {
        let size = message.len();
        if size <= max {
            return Ok(());
        }
        let is_escaped = message.starts_with(self.escape) && size <= max.saturating_add(self.escape.len());
        let is_definition = message.starts_with(self.definition) && size <= self.size;
        if !text && (is_escaped || is_definition) { Ok(()) } else { Err(too_large(size as u64, max)) }
    }
}

impl Message {
    /// Takes the next bytes of a frame of which `left` bytes are missing.
    fn append(&mut self, bytes: &[u8], left: u64) -> Result<(), Violation> {
        let before = self.data.len();
        if self.data.capacity() - before < bytes.len() {
            let came = before + bytes.len();
            let room = left.min(SMALLEST_ROOM.max(2 * came).saturating_sub(before) as u64) as usize;
            if self.fragmented {
                self.data.reserve(room);
            } else {
                self.data.reserve_exact(room);
            }
        }
        self.data.extend_from_slice(bytes);
        if self.text && !self.is_compressed {
            self.valid = valid_text(&self.data, self.valid)?;
        }
        Ok(())
    }

    fn finish<'b>(self, leeway: &Leeway) -> Result<Frame<'b>, Violation> {
        leeway.check(&self.data, self.text, self.max)?;
        if self.text && self.valid < self.data.len() {
            return Err(not_utf8());
        }
        Ok(Frame::Message { payload: Payload::Owned(Bytes::from(self.data)), text: self.text })
    }
}

/// A message in one frame, or a ping or a pong, complete in the burst.
struct Whole {
    first: u8,
    head: usize,
    size: usize,
    mask: Option<[u8; 4]>,
}

/// Reads the frame at the front of `bytes`; `None`: the frame is of another kind, or not complete.
#[inline]
fn whole(bytes: &[u8], role: Role) -> Option<Whole> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    if !matches!(first, WHOLE_TEXT | WHOLE_BINARY | PING | PONG) {
        return None;
    }
    // A client masks its frames, a server does not.
    let masked = second & MASKED != 0;
    if masked != (role == Role::Server) {
        return None;
    }
    let (head, size) = match second & 0x7f {
        // A control frame has at most 125 bytes.
        126.. if first >= PING => return None,
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        size => (2, usize::from(size)),
    };
    let (head, mask) =
        if masked { (head + 4, Some(*bytes.get(head..)?.first_chunk()?)) } else { (head, None) };
    (size <= bytes.len() - head).then_some(Whole { first, head, size, mask })
}

impl Whole {
    /// As [`Reader::next`], whose result this is: to wrap it there is a copy.
    #[inline]
    fn take<'b>(self, burst: &mut ReadBurst<'b>) -> Result<Option<Frame<'b>>, Violation> {
        let bytes = &mut burst.pop(self.head + self.size)[self.head..];
        if let Some(mask) = self.mask {
            apply_mask(bytes, mask);
        }
        let payload = Payload::Borrowed(bytes);
        Ok(Some(match self.first {
            PING => Frame::Ping(payload),
            PONG => Frame::Pong(payload),
            WHOLE_TEXT if std::str::from_utf8(payload.bytes()).is_err() => return Err(not_utf8()),
            first => Frame::Message { payload, text: first == WHOLE_TEXT },
        }))
    }
}

/// The payload of a Close (section 5.5.1).
fn close<'b>(payload: &[u8]) -> Result<Frame<'b>, Violation> {
    match payload {
        [] => Ok(Frame::Close { code: None, reason: String::new() }),
        [_] => Err(against_protocol("a Close with half a code")),
        [high, low, reason @ ..] => match std::str::from_utf8(reason) {
            Ok(reason) => {
                let code = Some(u16::from_be_bytes([*high, *low]));
                Ok(Frame::Close { code, reason: reason.to_owned() })
            }
            Err(_) => Err(Violation { code: 1007, what: "a Close whose reason is not UTF-8".to_owned() }),
        },
    }
}

/// Returns whether a Close may have this code (section 7.4, and IANA's registry for 1012 to 1014).
pub(crate) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn against_protocol(what: impl Into<String>) -> Violation {
    Violation { code: 1002, what: what.into() }
}

#[cold]
pub(super) fn not_utf8() -> Violation {
    Violation { code: 1007, what: "a text message that is not UTF-8".to_owned() }
}

/// The text is for both sides: it is also the reason of the Close.
fn too_large(size: u64, limit: usize) -> Violation {
    let what =
        format!("a message of {size} bytes; the receiver takes {limit} at most: raise its {MESSAGE_LIMIT}");
    Violation { code: TOO_LARGE, what }
}

/// The same for a message that is larger than it came. Its size is not known.
pub(super) fn too_large_inflated(limit: usize) -> Violation {
    let what = format!(
        "a compressed message of more than {limit} bytes, which the receiver takes at most: raise its {MESSAGE_LIMIT}"
    );
    Violation { code: TOO_LARGE, what }
}

/// The most bytes of a compressed message: what does not shrink grows by an eighth at most, and by some bytes for each flush.
#[cold]
#[inline(never)]
pub(crate) fn compressed_limit(max_message: usize) -> usize {
    max_message.saturating_add(max_message / 4).saturating_add(1024)
}

const WHOLE_TEXT: u8 = FINAL | Opcode::Text as u8;
const WHOLE_BINARY: u8 = FINAL | Opcode::Binary as u8;
const PING: u8 = FINAL | Opcode::Ping as u8;
const PONG: u8 = FINAL | Opcode::Pong as u8;
/// The close code for a message that is too large (section 7.4.1).
pub(crate) const TOO_LARGE: u16 = 1009;
/// Bytes that the fragments of one message may have beyond twice the largest message.
pub(crate) const OVERHEAD_LIMIT: usize = 64 * 1024;
/// The memory of a message of which few bytes were received.
const SMALLEST_ROOM: usize = 4 * 1024;

#[cfg(test)]
mod compressed;
#[cfg(test)]
mod tests;
