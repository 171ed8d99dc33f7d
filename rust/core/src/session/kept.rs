//! What a session has sent and the remote has not acknowledged. A new connection of the session sends it again (docs/protocol.md).
//!
//! Frames that have left stay in the [`Writer`], so that what is kept costs no copy. A frame belongs to one connection: for the next one, the
//! writer encodes the messages anew.

use std::collections::VecDeque;
use std::collections::vec_deque::IterMut;
use std::mem;

use bytes::Bytes;

use super::Role;
use super::frame::{Opcode, apply_mask};
use super::pool::Pool;
use super::writer::{End, Flushed, Kind, Segment, Writer};
use crate::channel::PayloadRef;

/// What a writer needs to keep frames that have left.
#[derive(Debug)]
pub(super) struct Kept {
    /// The number of the last message before the first one that is here. The first message has number 1.
    before: u64,
    /// The byte stream position behind the last frame that was dropped.
    pub(super) from: u64,
    /// The messages that are here and have left.
    sent: Room,
    /// The byte stream position behind the last message that had left on a former stream.
    again: u64,
    /// How many frames a new stream had to write: what is not acknowledged yet is not forgotten because that many leave at once.
    returned: usize,
    /// What the frames do not have, because it is compressed there.
    originals: VecDeque<Original>,
}

/// The payload of a compressed frame. A new connection may have other codecs, and takes it as it is.
#[derive(Debug)]
struct Original {
    /// Where its frame ends.
    at: u64,
    payload: Bytes,
}

/// Messages in bytes and packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
}

impl Room {
    fn add(&mut self, end: &End) {
        self.bytes += end.size as usize;
        self.packets += 1;
    }

    fn subtract(&mut self, end: &End) {
        self.bytes -= end.size as usize;
        self.packets -= 1;
    }
}

impl Kept {
    /// Notes which frames have left. Returns their number.
    #[inline]
    pub(super) fn take_left(
        &mut self,
        ends: IterMut<'_, End>,
        written: u64,
        done: &mut Flushed,
        controls: &mut usize,
    ) -> usize {
        let mut left = 0;
        for end in ends {
            if end.at > written {
                break;
            }
            end.count(done, controls);
            if mem::take(&mut end.has_room) {
                self.sent.add(end);
            }
            left += 1;
        }
        left
    }

    /// Drops the originals of frames that are dropped at the front.
    pub(super) fn drop_originals(&mut self) {
        while self.originals.pop_front_if(|original| original.at <= self.from).is_some() {}
    }

    /// The same at the back.
    pub(super) fn drop_originals_behind(&mut self, at: u64) {
        while self.originals.pop_back_if(|original| original.at > at).is_some() {}
    }
}

impl Writer {
    #[cfg(test)]
    pub(super) fn originals(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.originals.len())
    }

    /// Keeps the payload of the last frame, which is compressed.
    pub(super) fn keep_original(&mut self, payload: Bytes) {
        let at = self.queued_total;
        if let Some(kept) = &mut self.kept {
            kept.originals.push_back(Original { at, payload });
        }
    }

    /// Keeps the messages that are queued from now on until they are acknowledged.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(Box::new(Kept {
            before: 0,
            from: self.left_whole,
            sent: Room::default(),
            again: 0,
            returned: 0,
            originals: VecDeque::new(),
        }));
    }

    /// Keeps nothing any more.
    pub(crate) fn keep_nothing(&mut self, pool: &mut Pool) {
        while self.left > 0 {
            self.pop();
        }
        self.kept = None;
        self.release(pool);
    }

    pub(crate) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// The messages that have left, on this stream or on a former one, and are not acknowledged.
    pub(crate) fn sent(&self) -> Room {
        self.kept.as_ref().map(|kept| kept.sent).unwrap_or_default()
    }

    /// The bytes that had left on a former stream, and wait to leave on this one.
    pub(crate) fn again(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.again.saturating_sub(self.written()) as usize)
    }

    /// The number before the first message that can be sent again.
    pub(crate) fn before(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.before)
    }

    /// The frames that a new stream may have to write.
    pub(crate) fn frames(&self) -> usize {
        self.ends.len()
    }

    /// The number of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.before() + self.ends.iter().filter(|end| end.kind != Kind::Control).count() as u64
    }

    /// Drops the messages up to a number that the remote has received. Returns the room of those that were not known to have left: the
    /// end of a stream can hide that they did.
    pub(crate) fn acknowledge(&mut self, received: u64, pool: &mut Pool) -> Room {
        let Some(kept) = &mut self.kept else { return Room::default() };
        let mut dropped = 0;
        for end in self.ends.range(..self.left) {
            if end.kind != Kind::Control {
                if kept.before >= received {
                    break;
                }
                kept.before += 1;
                kept.sent.subtract(end);
            }
            kept.from = end.at;
            dropped += 1;
        }
        self.ends.drain(..dropped);
        self.left -= dropped;
        if let Some(kept) = self.kept.as_mut().filter(|_| self.ends.len() <= FORGET_PACKETS) {
            kept.returned = 0;
        }
        let mut freed = Room::default();
        while self.before() < received
            && let Some(end) = self.pop()
        {
            if end.has_room {
                freed.add(&end);
            }
        }
        self.release(pool);
        freed
    }

    /// The bytes of the frames that have left and are still here. Control frames between messages are among them, and a remote decides
    /// how many there are.
    pub(crate) fn held(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| (self.left_whole - kept.from) as usize)
    }

    /// A new stream has to write everything that is here.
    pub(crate) fn note_return(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.returned = self.ends.len();
        }
    }

    fn keeps_more_than(&self, max_bytes: usize, max_frames: usize) -> bool {
        let sent = self.sent();
        sent.bytes.max(self.held()) > max_bytes || sent.packets.max(self.left) > max_frames
    }

    /// Forgets the oldest messages until the frames that have left are within the limits. What waits to be written stays.
    #[inline]
    pub(crate) fn forget(&mut self, max_bytes: usize, max_packets: usize, has_stream: bool, pool: &mut Pool) {
        let returned = self.kept.as_ref().map_or(0, |kept| kept.returned);
        let most = max_packets.min(FORGET_PACKETS.max(returned));
        if !self.keeps_more_than(max_bytes, most) {
            return;
        }
        while self.keeps_more_than(max_bytes, most)
            && let Some(front) = self.ends.front()
            && (self.left > 0 || !has_stream && !front.has_room)
        {
            self.pop();
        }
        self.drop_controls();
        self.release(pool);
    }

    /// The stream is gone: everything that is here waits for the next one, encoded anew, and unreliable messages leave their numbers only.
    /// Returns the room of those that had some.
    pub(crate) fn rewind(&mut self, role: Role, pool: &mut Pool) -> Room {
        let mut freed = Room::default();
        let mut old = mem::take(self);
        let Some(last) = &mut old.kept else { return freed };
        let (before, mut originals) = (last.before, mem::take(&mut last.originals));
        self.keep();
        if let Some(kept) = &mut self.kept {
            kept.before = before;
        }
        let (mut segments, mut base) = (old.segments.iter().peekable(), old.base);
        for end in &old.ends {
            match end.kind {
                Kind::Control => {}
                Kind::Message if originals.front().is_some_and(|original| original.at == end.at) => {
                    if let Some(original) = originals.pop_front() {
                        self.push_payload_again(role, PayloadRef::shared(&original.payload), end, pool);
                    }
                }
                Kind::Message => {
                    let start = end.at - u64::from(end.size);
                    while let Some(segment) =
                        segments.next_if(|segment| base + segment.bytes().len() as u64 <= start)
                    {
                        base += segment.bytes().len() as u64;
                    }
                    // An empty message lies nowhere.
                    let place = segments.peek().filter(|_| end.size > 0);
                    self.push_again(
                        role,
                        place.map(|segment| (*segment, (start - base) as usize)),
                        end,
                        pool,
                    );
                }
                Kind::Unreliable | Kind::Void => {
                    if end.has_room {
                        freed.add(end);
                    }
                    self.push_void(role, pool);
                }
            }
        }
        old.discard(pool);
        freed
    }

    /// Queues that the next number is void. It counts like a message, so that numbers and messages are the same.
    pub(crate) fn push_void(&mut self, role: Role, pool: &mut Pool) {
        self.push_frame(role, Opcode::Text, PayloadRef::copied(VOID), Kind::Void, false, pool);
        if let (Some(end), Some(kept)) = (self.ends.back_mut(), &mut self.kept) {
            end.size = 0;
            kept.sent.add(end);
        }
    }

    /// Queues a message again whose payload lies in a segment from there on, masked there if the sender is a client.
    fn push_again(&mut self, role: Role, place: Option<(&Segment, usize)>, end: &End, pool: &mut Pool) {
        let mut copy = Vec::new();
        let payload = match place {
            None => PayloadRef::copied(&[]),
            Some((Segment::Shared(bytes), _)) => PayloadRef::shared(bytes),
            Some((Segment::Gathered(buffer), at)) => {
                let bytes = &buffer[at..at + end.size as usize];
                match buffer[..at].last_chunk() {
                    Some(mask) if role == Role::Client => {
                        copy.extend_from_slice(bytes);
                        apply_mask(&mut copy, *mask);
                        PayloadRef::copied(&copy)
                    }
                    _ => PayloadRef::copied(bytes),
                }
            }
        };
        self.push_payload_again(role, payload, end, pool);
    }

    fn push_payload_again(&mut self, role: Role, payload: PayloadRef<'_>, end: &End, pool: &mut Pool) {
        self.push_frame(role, Opcode::Binary, payload, Kind::Message, end.has_room, pool);
        if let Some(kept) = self.kept.as_mut().filter(|_| !end.has_room) {
            kept.sent.add(end);
            kept.again = self.queued_total;
        }
    }

    /// Drops the first frame. Only with the next stream to come may that be one that has not left.
    fn pop(&mut self) -> Option<End> {
        let end = self.ends.pop_front()?;
        if self.left > 0 {
            self.left -= 1;
        } else {
            let n = (end.at - self.written()) as usize;
            self.pending -= n;
            self.skip += n;
            self.left_whole = end.at;
            self.controls -= usize::from(end.kind == Kind::Control);
        }
        if let Some(kept) = &mut self.kept {
            kept.from = end.at;
            if end.kind != Kind::Control {
                kept.before += 1;
                if !end.has_room {
                    kept.sent.subtract(&end);
                }
            }
        }
        Some(end)
    }

    /// Drops the control frames that have left, at the front.
    pub(super) fn drop_controls(&mut self) {
        while self.left > 0 && self.ends.front().is_some_and(|end| end.kind == Kind::Control) {
            self.pop();
        }
    }
}

/// The control message in place of a message that is not sent again.
const VOID: &[u8] = b"skip 1";
/// The most frames that are kept after they have left, whatever the limits of the queue are. They are encoded anew whenever the remote comes
/// back. A remote that acknowledges has fewer: 10,000 messages per second and a round trip of 1.25 s make 15,000 with the 250 ms of an `ack`.
pub(crate) const FORGET_PACKETS: usize = 16_384;

#[cfg(test)]
pub(super) mod tests;
