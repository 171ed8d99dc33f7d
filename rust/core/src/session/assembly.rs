//! Messages out of frames: most are one frame that lies whole in the turn's buffer, and are taken from there.
//!
//! Pings and pongs are, too: to make a message reader for each would let one who sends nothing else take the driver's time.
//!
//! Everything else (fragments, large frames that come in pieces, a Close, violations) is the message reader's. It is fed one frame
//! at a time, so that it is known when it holds nothing any more; then it is dropped with the turn, its buffers with it.

use std::io::{self, Read};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Role as WireRole, WebSocketConfig, WebSocketContext};

use super::outgoing::apply_mask;
use super::{Role, Turn};

/// How far an open connection is in its messages.
#[derive(Default)]
pub(super) struct Assembly {
    /// Made when it is needed.
    reader: Option<Box<WebSocketContext>>,
    /// Bytes that the reader wants of the frame that it was last given a piece of.
    left: usize,
    /// The reader waits for the next fragment of a message.
    fragmented: bool,
}

/// What comes next.
pub(super) enum Look {
    /// A message of so many bytes, unmasked, at the front of the turn.
    Message { size: usize, text: bool },
    /// A ping or a pong with so many bytes, unmasked, at the front of the turn.
    Signal { size: usize, ping: bool },
    /// The rest of a frame, for the reader.
    Frame,
    /// The stream has ended.
    Ended,
}

impl Assembly {
    /// Looks at the next frame; `WouldBlock` when there is none yet, or too little of it.
    pub(super) fn look<S: Read>(
        &mut self,
        turn: &mut Turn<'_, S>,
        role: Role,
        max_message: usize,
    ) -> io::Result<Look> {
        while self.left == 0 {
            let bytes = turn.fill()?;
            if bytes.is_empty() {
                return Ok(Look::Ended);
            }
            if !self.fragmented
                && let Some(Plain { head, size, mask, text }) = plain(bytes, role)
                && size <= max_message
            {
                if head + size <= bytes.len() {
                    turn.consume(head);
                    if let Some(mask) = mask {
                        apply_mask(turn.front(size), mask);
                    }
                    return Ok(Look::Message { size, text });
                }
                if head + size <= WAITED_FOR {
                    if turn.fill_more()? == 0 {
                        return Ok(Look::Ended);
                    }
                    continue;
                }
            }
            let mut cursor = io::Cursor::new(bytes);
            let (header, size) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => {
                    if turn.fill_more()? == 0 {
                        return Ok(Look::Ended);
                    }
                    continue;
                }
                // The reader says what is wrong with it.
                Err(_) => {
                    self.left = usize::MAX;
                    break;
                }
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let whole = size.saturating_add(cursor.position() as usize);
            match header.opcode {
                OpCode::Data(Data::Continue) => self.fragmented &= !header.is_final,
                OpCode::Data(_) => self.fragmented |= !header.is_final,
                OpCode::Control(control) if is_signal(&header, control, size, role) => {
                    if whole > bytes.len() {
                        if turn.fill_more()? == 0 {
                            return Ok(Look::Ended);
                        }
                        continue;
                    }
                    turn.consume(whole - size);
                    if let Some(mask) = header.mask {
                        apply_mask(turn.front(size), mask);
                    }
                    return Ok(Look::Signal { size, ping: control == Control::Ping });
                }
                OpCode::Control(_) => {}
            }
            self.left = whole;
        }
        Ok(Look::Frame)
    }

    /// The reader, and how much it may be given.
    pub(super) fn reader(&mut self, role: Role, max_message: usize) -> (&mut WebSocketContext, &mut usize) {
        let reader = self.reader.get_or_insert_with(|| reader(role, max_message));
        (reader, &mut self.left)
    }

    /// The reader for good: no message is taken from the turn any more.
    pub(super) fn into_reader(self, role: Role, max_message: usize) -> Box<WebSocketContext> {
        self.reader.unwrap_or_else(|| reader(role, max_message))
    }

    /// Drops the reader when nothing is left in it.
    pub(super) fn rest(&mut self) {
        if self.left == 0 && !self.fragmented {
            self.reader = None;
        }
    }
}

/// Says whether a header is that of a ping or a pong with nothing wrong about it (RFC 6455 section 5.5).
fn is_signal(header: &FrameHeader, control: Control, size: usize, role: Role) -> bool {
    matches!(control, Control::Ping | Control::Pong)
        && header.is_final
        && !(header.rsv1 || header.rsv2 || header.rsv3)
        && header.mask.is_some() == (role == Role::Server)
        && size <= 125
}

/// The header of a whole message without anything special about it.
struct Plain {
    head: usize,
    size: usize,
    mask: Option<[u8; 4]>,
    text: bool,
}

/// Reads the header at the front of `bytes`; `None`: it is another kind of frame, or not all there (RFC 6455 section 5.2).
fn plain(bytes: &[u8], role: Role) -> Option<Plain> {
    let text = match bytes.first()? {
        // The last fragment of a text or binary message, which is also the first; no reserved bit.
        0x81 => true,
        0x82 => false,
        _ => return None,
    };
    let second = *bytes.get(1)?;
    // A client masks its frames, a server does not.
    let masked = second & 0x80 != 0;
    if masked != (role == Role::Server) {
        return None;
    }
    let (head, size) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        size => (2, usize::from(size)),
    };
    if !masked {
        return Some(Plain { head, size, mask: None, text });
    }
    Some(Plain { head: head + 4, size, mask: Some(*bytes.get(head..)?.first_chunk()?), text })
}

fn reader(role: Role, max_message: usize) -> Box<WebSocketContext> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(REPLY_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let role = match role {
        Role::Server => WireRole::Server,
        Role::Client => WireRole::Client,
    };
    Box::new(WebSocketContext::new(role, Some(limits)))
}

/// The rest of a frame up to this size is waited for in the turn's buffer: to move its beginning there twice costs less than the
/// reader, which reads it bit by bit. Half of a turn, so that the rest comes with the next one.
const WAITED_FOR: usize = 32 * 1024;
/// Read buffer of a message reader, in bytes.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes that the message reader may write at once: a Close has at most 139.
const REPLY_BUFFER: usize = 1024;
