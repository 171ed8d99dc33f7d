//! Encoded frames that wait to be written: small ones copied together, large ones shared.
//!
//! With a session, frames stay here after they have left, until the remote acknowledges them: see [`Kept`].

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;

use super::Role;
use super::frame::{CONTROL_MAX, HEAD_MAX, Opcode, apply_mask, push_head};
use super::kept::Kept;
use super::pool::Pool;
use crate::channel::PayloadRef;

/// Payloads up to this size are copied next to their header: cheaper than a slice of their own in `writev`.
const GATHER: usize = 1024;
/// A buffer takes no more frames at this size.
pub(super) const GATHERED_MAX: usize = 16 * 1024;
/// The most slices of one `writev`.
const SLICES: usize = 32;
/// Places for segments that an idle connection keeps (128 bytes): to allocate them for each packet would be a fifth of its instructions.
const IDLE_SEGMENTS: usize = 4;
/// Bytes that one connection may have written before others get their turn.
pub(crate) const WRITE_TURN: usize = 256 * 1024;
/// Longest frame header and wire header (9).
const HEADS_MAX: usize = HEAD_MAX + 9;
#[derive(Debug)]
pub(super) enum Segment {
    Gathered(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Gathered(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The result of `flush`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flushed {
    /// Bytes that the stream took.
    pub(crate) bytes: usize,
    /// Messages that have left completely.
    pub(crate) packets: usize,
    /// The sizes of those that had room reserved.
    pub(crate) packet_bytes: usize,
    /// How many of them had none.
    pub(crate) unreserved: usize,
    /// The stream takes no more for now.
    pub(crate) blocked: bool,
    /// The turn ended before the stream blocked: the stream may take more.
    pub(crate) cut_short: bool,
}

impl Flushed {
    /// Adds what a later call has written.
    #[inline]
    pub(crate) fn add(&mut self, later: Self) {
        self.bytes += later.bytes;
        self.packets += later.packets;
        self.packet_bytes += later.packet_bytes;
        self.unreserved += later.unreserved;
        self.blocked = later.blocked;
        self.cut_short = later.cut_short;
    }
}

/// What a frame is to the sessions and the budgets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// No data: a control frame, a control message, a head, or an id.
    Control,
    /// A message of the game.
    Message,
    /// One that may be lost: a session does not send it again.
    Unreliable,
    /// The control message that stands for such a one.
    Void,
}

/// Encoded bytes in order, with the ends of frames so that budgets can be released.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// What leaves before everything else: an `ack`, or what opens the connection of a session.
    pub(super) first: Vec<u8>,
    /// Bytes of it that have left.
    first_skip: usize,
    pub(super) segments: VecDeque<Segment>,
    /// The byte stream position where the segments begin.
    pub(super) base: u64,
    /// The segment that leaves next, and how many bytes of it have left, and perhaps of those behind it (see `settle`).
    pub(super) at: usize,
    pub(super) skip: usize,
    /// Bytes in the segments that wait.
    pub(super) pending: usize,
    /// Ends of all frames that have not left completely, or are kept.
    pub(super) ends: VecDeque<End>,
    /// How many of them have left completely.
    pub(super) left: usize,
    /// Byte stream position of the next byte to queue.
    pub(super) queued_total: u64,
    /// Byte stream position up to which frames have left completely.
    pub(super) left_whole: u64,
    /// Frames among `ends` that are not data, and have not left.
    pub(super) controls: usize,
    pub(super) kept: Option<Box<Kept>>,
}

/// Where a frame ends in the byte stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: u64,
    /// Bytes of its payload.
    pub(super) size: u32,
    pub(super) kind: Kind,
    /// Room in the output queue is reserved for it: it has never left.
    pub(super) has_room: bool,
}

impl Writer {
    /// Returns the number of bytes that wait, without those that leave before everything else.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Returns whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending == 0 && self.first.is_empty()
    }

    /// The byte stream position of the next byte that leaves.
    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.queued_total - self.pending as u64
    }

    /// Returns how many bytes of the first frame have left already.
    pub(crate) fn begun(&self) -> usize {
        (self.written() - self.left_whole) as usize
    }

    /// Returns the number of control frames that wait.
    pub(crate) fn controls(&self) -> usize {
        self.controls
    }

    /// Queues bytes as they are: the head of a request or a response.
    pub(crate) fn push_raw(&mut self, bytes: &[u8], pool: &mut Pool) {
        self.gather(bytes.len(), pool).extend_from_slice(bytes);
        pool.bytes += bytes.len();
        self.added(bytes.len(), End { at: 0, size: 0, kind: Kind::Control, has_room: false });
    }

    /// Queues one message, its wire header and all in one frame. Room is reserved for one of the game.
    #[inline]
    pub(crate) fn push_message(
        &mut self,
        role: Role,
        text: bool,
        payload: PayloadRef<'_>,
        kind: Kind,
        pool: &mut Pool,
    ) {
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        self.push_frame(role, opcode, payload, kind, kind != Kind::Control, pool);
    }

    /// Queues a control frame of at most 125 bytes.
    pub(crate) fn push_control(&mut self, role: Role, opcode: Opcode, payload: &[u8], pool: &mut Pool) {
        debug_assert!(opcode.is_control() && payload.len() <= CONTROL_MAX);
        self.push_frame(role, opcode, PayloadRef::copied(payload), Kind::Control, false, pool);
    }

    /// Returns how many bytes leave before the first data message of which no byte has left.
    pub(crate) fn before_data(&self) -> usize {
        let written = self.written();
        let begun = usize::from(self.left_whole != written);
        let waits = self.ends.iter().skip(self.left).enumerate();
        let last = waits.take_while(|(at, end)| *at < begun || end.kind == Kind::Control).last();
        let before = last.map_or(0, |(_, end)| (end.at - written) as usize);
        before + self.first.len() - self.first_skip
    }

    /// Queues a control message (text) before everything that waits, which begins with a whole frame.
    pub(crate) fn push_first(&mut self, role: Role, text: &str, pool: &mut Pool) {
        debug_assert_eq!(self.begun(), 0, "a frame is not torn");
        let mask = (role == Role::Client).then(rand::random::<[u8; 4]>);
        let buffer = self.first_buffer(pool);
        let before = buffer.len();
        push_head(buffer, Opcode::Text, text.len(), mask);
        let body = buffer.len();
        buffer.extend_from_slice(text.as_bytes());
        if let Some(mask) = mask {
            apply_mask(&mut buffer[body..], mask);
        }
        pool.bytes += buffer.len() - before;
    }

    /// Queues what waits in another writer before everything in this one.
    pub(crate) fn begin_with(&mut self, mut other: Self, pool: &mut Pool) {
        if other.is_empty() {
            return other.discard(pool);
        }
        other.settle();
        let buffer = self.first_buffer(pool);
        let before = buffer.len();
        buffer.extend_from_slice(&other.first[other.first_skip..]);
        let mut skip = other.skip;
        for segment in other.segments.iter().skip(other.at) {
            buffer.extend_from_slice(&segment.bytes()[skip..]);
            skip = 0;
        }
        pool.bytes += buffer.len() - before;
        other.discard(pool);
    }

    fn first_buffer(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        if self.first.is_empty() {
            self.first = pool.take();
        }
        &mut self.first
    }

    /// Drops every frame of which no byte has left and returns the data messages among them as (packets, bytes).
    pub(crate) fn drop_unsent(&mut self, pool: &mut Pool) -> (usize, usize) {
        let written = self.written();
        let boundary = if self.left_whole == written {
            Some(written)
        } else {
            self.ends.get(self.left).map(|end| end.at)
        };
        let boundary = boundary.unwrap_or(written);
        let mut dropped = (0, 0);
        while let Some(end) = self.ends.pop_back_if(|end| end.at > boundary) {
            match end.kind {
                Kind::Control => self.controls -= 1,
                _ if end.has_room => dropped = (dropped.0 + 1, dropped.1 + end.size as usize),
                _ => dropped.0 += 1,
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.drop_originals_behind(boundary);
        }
        self.truncate((boundary - written) as usize, pool);
        dropped
    }

    /// Drops everything.
    pub(crate) fn discard(&mut self, pool: &mut Pool) {
        let Self { first, segments, .. } = std::mem::take(self);
        pool.discard(segments);
        pool.give(first);
    }

    /// Writes until everything has left, the stream blocks, or it took `turn` bytes.
    pub(crate) fn flush<W: Write>(
        &mut self,
        stream: &mut W,
        turn: usize,
        pool: &mut Pool,
    ) -> io::Result<Flushed> {
        let mut done = Flushed::default();
        while !self.is_empty() {
            let left = turn.saturating_sub(done.bytes);
            if left == 0 {
                done.cut_short = true;
                break;
            }
            self.settle();
            let written = if self.first.is_empty() && self.segments.len() == self.at + 1 {
                let bytes = &self.segments[self.at].bytes()[self.skip..];
                stream.write(&bytes[..bytes.len().min(left)])
            } else {
                self.write_vectored(stream, left)
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    done.bytes += n;
                    self.advance(n, pool);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    done.blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let written = self.written();
        if let Some(kept) = &mut self.kept {
            self.left +=
                kept.take_left(self.ends.range_mut(self.left..), written, &mut done, &mut self.controls);
            if let Some(last) = self.left.checked_sub(1) {
                self.left_whole = self.ends[last].at;
            }
            self.drop_controls();
        } else {
            while let Some(end) = self.ends.pop_front_if(|end| end.at <= written) {
                self.left_whole = end.at;
                end.count(&mut done, &mut self.controls);
            }
        }
        self.release(pool);
        Ok(done)
    }

    fn write_vectored<W: Write>(&self, stream: &mut W, most: usize) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut used, mut size) = (0, 0);
        let first = Some(&self.first[self.first_skip..]).filter(|first| !first.is_empty());
        let segments = self.segments.iter().skip(self.at).enumerate();
        let rest = segments.map(|(at, segment)| &segment.bytes()[if at == 0 { self.skip } else { 0 }..]);
        for (slot, bytes) in slices.iter_mut().zip(first.into_iter().chain(rest)) {
            let bytes = &bytes[..bytes.len().min(most - size)];
            *slot = IoSlice::new(bytes);
            used += 1;
            size += bytes.len();
            if size == most {
                break;
            }
        }
        stream.write_vectored(&slices[..used])
    }

    pub(super) fn push_frame(
        &mut self,
        role: Role,
        opcode: Opcode,
        payload: PayloadRef<'_>,
        kind: Kind,
        has_room: bool,
        pool: &mut Pool,
    ) {
        let PayloadRef { prefix, bytes: payload, shared, .. } = payload;
        let mask = (role == Role::Client).then(rand::random::<[u8; 4]>);
        let len = prefix.len() + payload.len();
        // A client's payload is masked, so it is a copy anyway (RFC 6455 section 5.3).
        let shared = if payload.len() > GATHER && mask.is_none() { shared } else { None };
        let mut room = HEADS_MAX + prefix.len();
        if shared.is_none() {
            room += payload.len();
        } else if self.kept.is_some() {
            self.make_room_for_head(room);
        }
        let buffer = self.gather(room, pool);
        let before = buffer.len();
        push_head(buffer, opcode, len, mask);
        let body = buffer.len();
        // Most packets have no prefix, and copying nothing still costs a call.
        if !prefix.is_empty() {
            buffer.extend_from_slice(prefix);
        }
        if shared.is_none() {
            buffer.extend_from_slice(payload);
        }
        if let Some(mask) = mask {
            apply_mask(&mut buffer[body..], mask);
        }
        let mut added = buffer.len() - before;
        pool.bytes += added;
        if let Some(payload) = shared {
            self.segments.push_back(Segment::Shared(payload.clone()));
            added += payload.len();
        }
        self.added(added, End { at: 0, size: len as u32, kind, has_room });
    }

    fn added(&mut self, n: usize, end: End) {
        self.pending += n;
        self.queued_total += n as u64;
        self.controls += usize::from(end.kind == Kind::Control);
        self.ends.push_back(End { at: self.queued_total, ..end });
    }

    fn fits(&self, room: usize) -> bool {
        matches!(self.segments.back(), Some(Segment::Gathered(buffer)) if buffer.len() + room <= GATHERED_MAX)
    }

    /// A head in front of a payload of its own would keep a whole spare buffer for as long as the message is kept.
    #[cold]
    fn make_room_for_head(&mut self, room: usize) {
        if !self.fits(room) {
            self.segments.push_back(Segment::Gathered(Vec::with_capacity(room)));
        }
    }

    /// Returns the last buffer, or a new one if that has no room.
    fn gather(&mut self, room: usize, pool: &mut Pool) -> &mut Vec<u8> {
        if !self.fits(room) {
            self.segments.push_back(Segment::Gathered(pool.take()));
        }
        match self.segments.back_mut() {
            Some(Segment::Gathered(buffer)) => buffer,
            _ => unreachable!("a gathered segment was just ensured"),
        }
    }

    fn advance(&mut self, mut n: usize, pool: &mut Pool) {
        if !self.first.is_empty() {
            let first = n.min(self.first.len() - self.first_skip);
            self.first_skip += first;
            n -= first;
            if self.first_skip == self.first.len() {
                self.first_skip = 0;
                pool.give(std::mem::take(&mut self.first));
            }
        }
        self.pending -= n;
        self.skip += n;
    }

    /// Goes on to the segment of the next byte, but not behind the last one, whose buffer takes more frames.
    pub(super) fn settle(&mut self) {
        while self.at + 1 < self.segments.len() {
            let len = self.segments[self.at].bytes().len();
            if self.skip < len {
                break;
            }
            self.skip -= len;
            self.at += 1;
        }
    }

    /// Drops the segments that are of no use any more.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        let until = match &mut self.kept {
            None => self.queued_total - self.pending as u64,
            Some(kept) => {
                kept.drop_originals();
                kept.from
            }
        };
        while let Some(front) = self.segments.front() {
            let len = front.bytes().len();
            if self.base + len as u64 > until {
                break;
            }
            self.base += len as u64;
            match self.at.checked_sub(1) {
                Some(at) => self.at = at,
                None => self.skip -= len,
            }
            if let Some(Segment::Gathered(buffer)) = self.segments.pop_front() {
                pool.give(buffer);
            }
        }
        if self.segments.is_empty() {
            // An idle connection keeps little memory for its queue.
            if self.segments.capacity() > IDLE_SEGMENTS {
                self.segments.shrink_to(IDLE_SEGMENTS);
            }
            if self.ends.capacity() > 64 {
                self.ends.shrink_to(16);
            }
        }
    }

    fn truncate(&mut self, keep: usize, pool: &mut Pool) {
        self.queued_total -= (self.pending - keep) as u64;
        self.pending = keep;
        let mut room = (self.queued_total - self.base) as usize;
        let mut kept = VecDeque::new();
        while room > 0
            && let Some(segment) = self.segments.pop_front()
        {
            let len = segment.bytes().len().min(room);
            room -= len;
            kept.push_back(match segment {
                Segment::Gathered(mut buffer) => {
                    pool.bytes -= buffer.len() - len;
                    buffer.truncate(len);
                    Segment::Gathered(buffer)
                }
                Segment::Shared(bytes) => Segment::Shared(bytes.slice(..len)),
            });
        }
        pool.discard(std::mem::replace(&mut self.segments, kept));
        if self.at == self.segments.len() {
            self.at = self.at.saturating_sub(1);
            self.skip = self.segments.back().map_or(0, |segment| segment.bytes().len());
        }
    }
}

impl End {
    /// Counts a frame that has left.
    #[inline]
    pub(super) fn count(&self, done: &mut Flushed, controls: &mut usize) {
        if self.kind == Kind::Control {
            *controls -= 1;
            return;
        }
        done.packets += 1;
        if self.has_room {
            done.packet_bytes += self.size as usize;
        } else {
            done.unreserved += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::kept::tests::Narrow;

    fn push(out: &mut Writer, pool: &mut Pool, size: usize, byte: u8) {
        out.push_message(
            Role::Server,
            false,
            PayloadRef::shared(&Bytes::from(vec![byte; size])),
            Kind::Message,
            pool,
        );
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_stream_takes() {
        let (mut whole, mut pool) = (Narrow { taken: Vec::new(), room: usize::MAX }, Pool::default());
        let sizes = [3, 2000, 0, 126, 70_000, 5, 1024, 1025];
        let mut out = Writer::default();
        for (i, size) in sizes.into_iter().enumerate() {
            push(&mut out, &mut pool, size, i as u8);
        }
        let done = out.flush(&mut whole, WRITE_TURN, &mut pool).expect("written");
        assert_eq!((done.packets, done.packet_bytes), (sizes.len(), sizes.iter().sum()));
        for step in [1, 7, 1000, 4096] {
            let mut out = Writer::default();
            for (i, size) in sizes.into_iter().enumerate() {
                push(&mut out, &mut pool, size, i as u8);
            }
            let mut narrow = Narrow { taken: Vec::new(), room: 0 };
            let mut packets = 0;
            while out.pending() > 0 {
                narrow.room = step;
                packets += out.flush(&mut narrow, WRITE_TURN, &mut pool).expect("written").packets;
            }
            assert_eq!(narrow.taken, whole.taken, "step {step}");
            assert_eq!(packets, sizes.len());
        }
    }

    #[test]
    fn a_turn_writes_so_much_and_no_more() {
        let (mut pool, mut out) = (Pool::default(), Writer::default());
        let sizes = [3, 2000, 0, 126, 70_000, 5, 1024, 1025];
        for (i, size) in sizes.into_iter().enumerate() {
            push(&mut out, &mut pool, size, i as u8);
        }
        let mut narrow = Narrow { taken: Vec::new(), room: usize::MAX };
        let mut packets = 0;
        while out.pending() > 0 {
            let (before, waits) = (narrow.taken.len(), out.pending());
            let done = out.flush(&mut narrow, 1000, &mut pool).expect("written");
            assert_eq!(narrow.taken.len() - before, waits.min(1000));
            assert_eq!((done.bytes, done.cut_short, done.blocked), (waits.min(1000), waits > 1000, false));
            packets += done.packets;
        }
        assert_eq!(packets, sizes.len());
    }

    #[test]
    fn dropping_keeps_the_frame_under_way_whole() {
        for room in 0..60 {
            let mut pool = Pool::default();
            let mut out = Writer::default();
            for byte in 1..=4 {
                push(&mut out, &mut pool, 10, byte);
            }
            let mut narrow = Narrow { taken: Vec::new(), room };
            let sent = out.flush(&mut narrow, WRITE_TURN, &mut pool).expect("written").packets;
            let (dropped, bytes) = out.drop_unsent(&mut pool);
            assert_eq!(bytes, dropped * 10);
            out.push_control(Role::Server, Opcode::Close, &1013_u16.to_be_bytes(), &mut pool);
            narrow.room = usize::MAX;
            let rest = out.flush(&mut narrow, WRITE_TURN, &mut pool).expect("written").packets;
            assert_eq!(sent + rest + dropped, 4, "room {room}");
            assert_eq!(narrow.taken.len(), (sent + rest) * 12 + 4, "room {room}");
            assert_eq!(narrow.taken[narrow.taken.len() - 4..], [0x88, 2, 0x03, 0xf5]);
        }
    }

    #[test]
    fn dropping_keeps_a_shared_payload_whose_header_has_left() {
        let mut pool = Pool::default();
        let mut out = Writer::default();
        push(&mut out, &mut pool, 2000, 1);
        push(&mut out, &mut pool, 2000, 2);
        let mut narrow = Narrow { taken: Vec::new(), room: 4 };
        out.flush(&mut narrow, WRITE_TURN, &mut pool).expect("written");
        assert_eq!(out.drop_unsent(&mut pool), (1, 2000));
        assert_eq!(out.pending(), 2000);
    }

    #[test]
    fn a_client_masks_what_a_server_unmasks() {
        let mut pool = Pool::default();
        let mut out = Writer::default();
        let payload: Vec<u8> = (0..=255).collect();
        let message = PayloadRef::copied(&payload).with_prefix(&[9, 9]);
        out.push_message(Role::Client, false, message, Kind::Message, &mut pool);
        let mut stream = Narrow { taken: Vec::new(), room: usize::MAX };
        out.flush(&mut stream, WRITE_TURN, &mut pool).expect("written");
        let (head, body) = stream.taken.split_at_mut(8);
        assert_eq!(head[..4], [0x82, 0x80 | 126, 1, 2]);
        apply_mask(body, head[4..8].try_into().expect("four bytes"));
        assert_eq!((&body[..2], &body[2..]), (&[9, 9][..], payload.as_slice()));
    }
}
