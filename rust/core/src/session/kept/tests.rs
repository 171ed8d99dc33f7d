//! Tests that a new stream gets what the remote lacks, whole and once, and that what is acknowledged or forgotten holds nothing.

use std::io::{self, ErrorKind, Write};

use bytes::Bytes;

use super::*;
use crate::deflate::Window;
use crate::session::WRITE_TURN;
use crate::session::reader::{Frame, Reader};
use crate::session::{ReadBurst, Role};

/// A stream that takes `room` bytes, then blocks.
#[derive(Default)]
pub(in crate::session) struct Narrow {
    pub(in crate::session) taken: Vec<u8>,
    pub(in crate::session) room: usize,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.taken.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer of a session and what its remote receives.
pub(in crate::session) struct Line {
    role: Role,
    pub(in crate::session) writer: Writer,
    pub(in crate::session) pool: Pool,
    /// Messages are compressed.
    pub(in crate::session) is_coded: bool,
    stream: Narrow,
}

impl Line {
    pub(in crate::session) fn new(role: Role) -> Self {
        let mut writer = Writer::default();
        writer.keep();
        Self { role, writer, pool: Pool::default(), is_coded: false, stream: Narrow::default() }
    }

    pub(in crate::session) fn push(&mut self, payload: &[u8], kind: Kind) {
        let bytes = Bytes::copy_from_slice(payload);
        let payload = PayloadRef::shared(&bytes);
        if self.is_coded {
            let window = Window::new(15).expect("it is one");
            let deflated = self.pool.codecs().compress(payload, window);
            let deflated = PayloadRef::copied(&deflated);
            self.writer.push_deflated(self.role, false, deflated, payload, kind, &mut self.pool);
        } else {
            self.writer.push_message(self.role, false, payload, kind, &mut self.pool);
        }
    }

    /// Writes as much as the stream takes. Returns how many messages have left, and how many of them had no room.
    pub(in crate::session) fn write(&mut self, room: usize) -> (usize, usize) {
        self.stream.room = room;
        let done = self.writer.flush(&mut self.stream, WRITE_TURN, &mut self.pool).expect("it blocks only");
        (done.packets, done.unreserved)
    }

    pub(in crate::session) fn acknowledge(&mut self, received: u64) -> Room {
        self.writer.acknowledge(received, &mut self.pool)
    }

    pub(in crate::session) fn rewind(&mut self) -> Room {
        self.stream.taken.clear();
        self.writer.rewind(self.role, &mut self.pool)
    }

    fn sizes(&self) -> Vec<usize> {
        self.payloads().into_iter().map(|(_, payload)| payload.len()).collect()
    }

    /// What the remote has received on this stream: the first byte of each message and its size, or text.
    pub(in crate::session) fn received(&self) -> Vec<String> {
        let name = |(text, words): (bool, String)| {
            if text { words } else { format!("{}{}", &words[..1], words.len()) }
        };
        self.payloads().into_iter().map(name).collect()
    }

    /// The messages that the remote has received on this stream, and whether they are text.
    fn payloads(&self) -> Vec<(bool, String)> {
        let (mut bytes, mut reader, mut all) =
            (self.stream.taken.clone(), Reader::inflating(false), Vec::new());
        let other = if self.role == Role::Server { Role::Client } else { Role::Server };
        let mut burst = ReadBurst::new(&mut bytes);
        while let Some(frame) =
            reader.next(&mut burst, other, 1 << 20, &mut Pool::default()).expect("no violation")
        {
            let Frame::Message { payload, text } = frame else { continue };
            all.push((text, String::from_utf8_lossy(payload.bytes()).into_owned()));
        }
        all
    }
}

#[test]
fn an_acknowledged_message_is_gone_and_the_others_stay() {
    for role in [Role::Server, Role::Client] {
        let mut line = Line::new(role);
        line.push(b"aa", Kind::Message);
        line.push(&[b'b'; 5000], Kind::Message);
        line.push(b"void", Kind::Unreliable);
        line.push(b"dddd", Kind::Message);
        // Two have left, and a part of the third one.
        assert_eq!(line.write(5000 + 2 + if role == Role::Server { 2 + 4 + 3 } else { 6 + 8 + 3 }), (2, 0));
        assert_eq!((line.writer.last(), line.writer.sent()), (4, Room { bytes: 5002, packets: 2 }));
        assert_eq!(line.acknowledge(1), Room::default());
        assert_eq!(line.writer.sent(), Room { bytes: 5000, packets: 1 });
        assert_eq!(line.write(usize::MAX), (2, 0));
        assert_eq!(line.received(), ["a2", "b5000", "v4", "d4"]);
        assert_eq!(line.acknowledge(4), Room::default());
        assert_eq!((line.writer.before(), line.writer.last(), line.writer.sent()), (4, 4, Room::default()));
        assert_eq!(line.pool.bytes(), 0, "it holds nothing");
        line.push(b"e", Kind::Message);
        assert_eq!((line.write(usize::MAX), line.writer.last()), ((1, 0), 5));
    }
}

#[test]
fn a_new_stream_gets_everything_again_and_what_is_new_behind() {
    for role in [Role::Server, Role::Client] {
        for room in 0..6000 {
            let mut line = Line::new(role);
            line.writer.push_control(role, Opcode::Ping, b"1", &mut line.pool);
            for (payload, kind) in [("one.", Kind::Message), ("two.", Kind::Unreliable), (".", Kind::Message)]
            {
                line.push(payload.as_bytes(), kind);
            }
            line.push(&[b'l'; 5000], Kind::Message);
            line.push(&[b'm'; 700], Kind::Message);
            let (left, _) = line.write(room);
            let freed = line.rewind();
            assert_eq!(freed.packets, usize::from(left < 2), "{room}: the unreliable one needs none");
            line.push(b"6", Kind::Message);
            line.writer.push_void(role, &mut line.pool);
            let all = ["o4", "skip 1", ".1", "l5000", "m700", "61", "skip 1"];
            // The remote has received one, whether that is known or not.
            let freed = line.acknowledge(1);
            assert_eq!((freed.packets, freed.bytes), if left == 0 { (1, 4) } else { (0, 0) }, "{room}");
            assert_eq!(line.writer.sent().packets, left.saturating_sub(1).max(1) + 1, "{room}");
            let (packets, unreserved) = line.write(usize::MAX);
            assert_eq!((packets, line.received()), (6, all[1..].iter().map(ToString::to_string).collect()));
            assert_eq!(unreserved, left.saturating_sub(2) + 2, "{room}");
            // And again.
            assert_eq!(line.rewind(), Room::default());
            line.acknowledge(3);
            line.write(usize::MAX);
            assert_eq!(line.received(), all[3..]);
            line.acknowledge(7);
            assert_eq!((line.writer.sent(), line.pool.bytes()), (Room::default(), 0));
        }
    }
}

#[test]
fn only_what_has_left_is_forgotten() {
    let mut line = Line::new(Role::Server);
    for _ in 0..10 {
        line.push(&[b'x'; 100], Kind::Message);
    }
    line.write(6 * 102 + 50);
    let forget = |line: &mut Line, bytes, packets, has_stream| {
        line.writer.forget(bytes, packets, has_stream, &mut line.pool);
        (line.writer.before(), line.writer.sent().packets)
    };
    assert_eq!(forget(&mut line, 250, 1000, true), (4, 2));
    assert_eq!(forget(&mut line, 250, 1, true), (5, 1));
    assert_eq!(forget(&mut line, 0, 0, true), (6, 0));
    line.write(usize::MAX);
    assert_eq!(line.received().len(), 10);
    // What the next stream still has to write again is not forgotten, but while there is none it may be.
    line.push(b"new", Kind::Message);
    line.rewind();
    assert_eq!(forget(&mut line, 0, 0, true), (6, 4));
    assert_eq!(forget(&mut line, 0, 0, false), (10, 0));
    line.write(usize::MAX);
    assert_eq!(line.received(), ["n3"]);
}

#[test]
fn control_frames_behind_a_message_that_is_kept_are_bounded_too() {
    for role in [Role::Server, Role::Client] {
        for (size, most) in [(100, usize::MAX), (0, 500)] {
            let mut line = Line::new(role);
            line.push(b"unacknowledged", Kind::Message);
            for _ in 0..100_000 {
                line.writer.push_control(role, Opcode::Pong, &[b'p'; 125][..size], &mut line.pool);
                line.write(usize::MAX);
                line.stream.taken.clear();
                line.writer.forget(100_000, most, true, &mut line.pool);
                assert!(line.pool.bytes() <= 100_000 + 20_000, "{}", line.pool.bytes());
                assert!(line.writer.ends.len() <= 1001, "{}", line.writer.ends.len());
            }
            // It is forgotten, as any message that is never acknowledged.
            assert_eq!((line.writer.before(), line.writer.last()), (1, 1));
        }
    }
}

#[test]
fn large_messages_that_are_kept_hold_no_spare_buffers() {
    let mut line = Line::new(Role::Server);
    // The pool has large ones.
    for _ in 0..100 {
        line.writer.push_control(Role::Server, Opcode::Pong, &[b'p'; 125], &mut line.pool);
    }
    line.push(&[b'x'; 1000], Kind::Message);
    line.write(usize::MAX);
    line.acknowledge(1);
    for _ in 0..100 {
        line.push(&[b'l'; 2000], Kind::Message);
    }
    line.write(usize::MAX);
    let room: usize = line
        .writer
        .segments
        .iter()
        .map(|segment| if let Segment::Gathered(buffer) = segment { buffer.capacity() } else { 0 })
        .sum();
    assert!((400..100 * 64).contains(&room), "{room}");
}

#[test]
fn an_empty_message_is_sent_again() {
    for role in [Role::Server, Role::Client] {
        for shared in [false, true] {
            let mut line = Line::new(role);
            let sizes = if shared { [2000, 0, 2000, 0] } else { [1, 0, 2, 0] };
            for size in sizes {
                line.push(&vec![b'x'; size], Kind::Message);
            }
            line.write(usize::MAX);
            for _ in 0..2 {
                line.rewind();
                assert_eq!(line.writer.last(), 4);
                assert_eq!(line.write(usize::MAX), (4, 4));
                assert_eq!(line.sizes(), sizes);
            }
        }
    }
}

#[test]
fn what_is_written_again_is_known_until_it_has_left() {
    for role in [Role::Server, Role::Client] {
        let mut line = Line::new(role);
        line.push(&[b'a'; 1000], Kind::Message);
        line.push(&[b'b'; 1000], Kind::Message);
        line.write(usize::MAX);
        line.push(&[b'c'; 1000], Kind::Message);
        assert_eq!(line.writer.again(), 0);
        line.rewind();
        let again = line.writer.again();
        assert!((2000..2100).contains(&again), "{again}");
        line.acknowledge(1);
        assert_eq!(line.writer.again(), again / 2);
        line.write(500);
        assert_eq!(line.writer.again(), again / 2 - 500);
        line.write(again / 2 - 500);
        assert_eq!((line.writer.again(), line.writer.pending() > 1000), (0, true));
    }
}

#[test]
fn what_leaves_first_tears_no_frame_and_is_not_kept() {
    for role in [Role::Server, Role::Client] {
        let mut line = Line::new(role);
        line.push(&[b'a'; 300], Kind::Message);
        line.push(&[b'b'; 300], Kind::Message);
        line.write(10);
        let before = line.writer.before_data();
        assert_eq!(line.write(before), (1, 0));
        line.writer.push_first(role, "ack 1 2", &mut line.pool);
        line.write(3);
        // The next one waits behind it.
        let before = line.writer.before_data();
        assert_eq!(line.write(before), (0, 0));
        line.writer.push_first(role, "ack 2 2", &mut line.pool);
        assert_eq!(line.write(usize::MAX), (1, 0));
        assert_eq!(line.received(), ["a300", "ack 1 2", "ack 2 2", "b300"]);
        line.rewind();
        line.write(usize::MAX);
        assert_eq!(line.received(), ["a300", "b300"]);
    }
}

#[test]
fn a_writer_that_drops_what_has_not_left_takes_more() {
    for role in [Role::Server, Role::Client] {
        for room in 0..1300 {
            let mut line = Line::new(role);
            line.push(&[b'a'; 500], Kind::Message);
            line.write(usize::MAX);
            line.push(&[b'b'; 16_000], Kind::Message);
            line.push(&[b'c'; 500], Kind::Message);
            let (left, _) = line.write(room);
            let begun = line.writer.begun() > 0;
            line.writer.drop_unsent(&mut line.pool);
            line.push(b"d", Kind::Message);
            line.write(usize::MAX);
            let sizes = line.received().len();
            assert_eq!((left, sizes), (0, if begun { 3 } else { 2 }), "{room}");
            line.acknowledge(4);
            assert_eq!(line.pool.bytes(), 0);
        }
    }
}
