//! Tests that cuts do not change the result, that a violation is found at its first wrong byte, and that no memory is kept without need.

use super::*;
use crate::session::frame::push_head;

const MAX: usize = 1000;

/// A result of the reader, with an owned payload.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Received {
    Message(Vec<u8>),
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fails(u16),
}
use Received::{Close, Fails, Message as Binary, Ping, Pong, Text};

fn received(frame: Frame<'_>) -> Received {
    match frame {
        Frame::Message { payload, text: true } => {
            Text(String::from_utf8(payload.bytes().to_vec()).expect("it was checked"))
        }
        Frame::Message { payload, text: false } => Binary(payload.bytes().to_vec()),
        Frame::Ping(payload) => Ping(payload.bytes().to_vec()),
        Frame::Pong(payload) => Pong(payload.bytes().to_vec()),
        Frame::Close { code, reason } => Close(code, reason),
        Frame::Unfinished => unreachable!("nothing is compressed"),
    }
}

/// A frame of a client; the mask has four different bytes.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_head(&mut bytes, Opcode::Binary, payload.len(), Some([0x3a, 0x91, 0x5c, 0xe7]));
    bytes[0] = first;
    let head = bytes.len();
    bytes.extend_from_slice(payload);
    apply_mask(&mut bytes[head..], [0x3a, 0x91, 0x5c, 0xe7]);
    bytes
}

/// Passes bytes to the reader. Returns whether it failed.
fn feed(reader: &mut Reader, bytes: &[u8], all: &mut Vec<Received>) -> bool {
    feed_within(MAX, reader, bytes, all)
}

fn feed_within(max: usize, reader: &mut Reader, bytes: &[u8], all: &mut Vec<Received>) -> bool {
    let mut bytes = bytes.to_vec();
    let mut burst = ReadBurst::new(&mut bytes);
    loop {
        match reader.next(&mut burst, Role::Server, max, &mut Pool::default()) {
            Ok(Some(frame)) => all.push(received(frame)),
            Ok(None) => {
                assert!(burst.is_empty(), "everything is taken");
                return false;
            }
            Err(violation) => {
                all.push(Fails(violation.code));
                return true;
            }
        }
    }
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Received> {
    let (mut reader, mut all) = (Reader::default(), Vec::new());
    for piece in pieces {
        if feed(&mut reader, piece, &mut all) {
            break;
        }
    }
    all
}

/// The results must be the same for the whole input, for two parts with any cut, for three parts around each byte, and for single bytes.
fn reads(bytes: &[u8], expected: &[Received]) {
    assert_eq!(read([bytes]), expected, "whole");
    assert_eq!(read(bytes.chunks(1)), expected, "one byte at a time");
    for cut in 1..bytes.len() {
        assert_eq!(read([&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
        assert_eq!(
            read([&bytes[..cut - 1], &bytes[cut - 1..cut], &bytes[cut..]]),
            expected,
            "cut around {cut}"
        );
    }
}

fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

#[test]
fn a_mask_fits_wherever_the_payload_is_cut() {
    for len in [0, 1, 2, 3, 4, 5, 7, 8, 9, 30, 125, 126, 200] {
        reads(&frame(0x82, &counting(len)), &[Binary(counting(len))]);
    }
    let fragments = [frame(0x02, &counting(5)), frame(0x00, &counting(3)), frame(0x80, &counting(9))];
    let whole = [counting(5), counting(3), counting(9)].concat();
    reads(&fragments.concat(), &[Binary(whole)]);
    // Three reads of one frame, with lengths that are not multiples of the mask's.
    let bytes = frame(0x82, &counting(100));
    for (one, two) in [(7, 12), (8, 13), (9, 11), (21, 22)] {
        assert_eq!(read([&bytes[..one], &bytes[one..two], &bytes[two..]]), [Binary(counting(100))]);
    }
}

#[test]
fn a_server_does_not_mask() {
    let mut reader = Reader::default();
    let mut bytes = *b"\x82\x03abc\x02\x01d\x80\x01e";
    let mut burst = ReadBurst::new(&mut bytes);
    for expected in ["abc", "de"] {
        let frame = reader
            .next(&mut burst, Role::Client, MAX, &mut Pool::default())
            .expect("nothing is wrong")
            .expect("a message");
        assert_eq!(received(frame), Binary(expected.into()));
    }
    let mut masked = frame(0x82, b"x");
    let failed = reader.next(&mut ReadBurst::new(&mut masked), Role::Client, MAX, &mut Pool::default());
    assert_eq!(failed.expect_err("masked").code, 1002);
}

#[test]
fn control_frames_come_between_fragments() {
    let bytes = [
        frame(0x01, b"a\xe2"),
        frame(0x89, b"ping"),
        frame(0x00, b"\x82"),
        frame(0x8a, &counting(125)),
        frame(0x00, b""),
        frame(0x80, b"\xac."),
        frame(0x82, b"next"),
        frame(0x88, b"\x0f\xa0bye"),
    ];
    let expected = [
        Ping(b"ping".to_vec()),
        Pong(counting(125)),
        Text("a\u{20ac}.".into()),
        Binary(b"next".to_vec()),
        Close(Some(4000), "bye".into()),
    ];
    reads(&bytes.concat(), &expected);
    let begun = [frame(0x02, b"x"), frame(0x88, b"")].concat();
    reads(&begun, &[Close(None, String::new())]);
}

#[test]
fn a_frame_is_judged_when_its_head_is_there() {
    // This many bytes of each are needed, whatever follows.
    let rows: [(&[u8], &[u8], u16); 15] = [
        (b"", b"\x83\x80\0\0\0\0", 1002),
        (b"", b"\x8b\x85\0\0\0\0", 1002),
        (b"", b"\x82\x05", 1002),
        (b"", b"\xc2\x85\0\0\0\0", 1002),
        (b"", b"\xa9\x85\0\0\0\0", 1002),
        (b"", b"\x09\x85\0\0\0\0", 1002),
        (b"", b"\x89\xfe\0\x7e\0\0\0\0", 1002),
        (b"", b"\x88\xfe\0\x7e\0\0\0\0", 1002),
        (b"", b"\x80\x85\0\0\0\0", 1002),
        (b"", b"\x82\xfe\x03\xe9\0\0\0\0", 1009),
        (b"", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
        (b"", b"\x89\xfe\x03\xe9\0\0\0\0", 1009),
        (b"\x02\x81\0\0\0\0x", b"\x82\x85\0\0\0\0", 1002),
        (b"\x02\x81\0\0\0\0x", b"\x01\x85\0\0\0\0", 1002),
        (b"\x02\x81\0\0\0\0x", b"\x00\xfe\x03\xe8\0\0\0\0", 1009),
    ];
    for (before, head, code) in rows {
        let bytes = [before, head].concat();
        reads(&bytes, &[Fails(code)]);
        assert_eq!(read([&bytes[..bytes.len() - 1]]), [], "not before: {head:x?}");
        reads(&[&bytes[..], b"12345"].concat(), &[Fails(code)]);
    }
}

#[test]
fn the_largest_of_everything_passes() {
    reads(&frame(0x82, &counting(MAX)), &[Binary(counting(MAX))]);
    let two = [frame(0x02, &counting(600)), frame(0x80, &counting(MAX - 600))];
    reads(&two.concat(), &[Binary([counting(600), counting(MAX - 600)].concat())]);
    let three = [frame(0x02, &counting(600)), frame(0x00, &counting(300)), frame(0x80, &counting(101))];
    assert_eq!(read([&three.concat()[..]]), [Fails(1009)], "the sum counts, not the last two");
    reads(&frame(0x89, &counting(125)), &[Ping(counting(125))]);
    // A length in more bytes than necessary: the protocol requires the shortest form, but others accept longer ones, and so does this
    // reader.
    let long = [&b"\x82\xff\0\0\0\0\0\0\0\x02\0\0\0\0ab\x89\xfe\0\x01\0\0\0\0c"[..]].concat();
    reads(&long, &[Binary(b"ab".to_vec()), Ping(b"c".to_vec())]);
}

#[test]
fn text_is_judged_by_its_first_wrong_byte() {
    let rows: [(&[&[u8]], usize); 7] = [
        // The frames of a text, and the number of bytes at which it is known to be invalid.
        (&[b"a\xff", b"more"], 2),
        (&[b"\xc3\x28more"], 2),
        (&[b"\xe2\x82", b"\x28more"], 3),
        (&[b"\xed\xa0\x80"], 2),
        (&[b"\xf4", b"\x90\x80\x80"], 2),
        (&[b"\xf0\x9f", b"", b"\x98", b"\x20"], 4),
        (&[b"\xf5\x80"], 1),
    ];
    for (fragments, wrong) in rows {
        let mut bytes = Vec::new();
        let (mut payload, mut shown) = (0, 0);
        for (i, fragment) in fragments.iter().enumerate() {
            let is_final = i + 1 == fragments.len();
            let first = u8::from(i == 0) | if is_final { 0x80 } else { 0 };
            bytes.extend(frame(first, fragment));
            if (payload + 1..=payload + fragment.len()).contains(&wrong) {
                shown = bytes.len() - fragment.len() + wrong - payload;
            }
            payload += fragment.len();
        }
        reads(&bytes, &[Fails(1007)]);
        reads(&bytes[..shown], &[Fails(1007)]);
        assert_eq!(read([&bytes[..shown - 1]]), [], "{fragments:x?}");
    }
}

#[test]
fn a_character_must_end_with_its_message() {
    reads(&frame(0x81, b"\xe2\x82"), &[Fails(1007)]);
    reads(&[frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(), &[Fails(1007)]);
    let text = "\u{e9}\u{20ac}\u{1f600}!";
    for cut in 0..text.len() {
        let (one, two) = text.as_bytes().split_at(cut);
        reads(&[frame(0x01, one), frame(0x80, two)].concat(), &[Text(text.into())]);
    }
    let bytewise = text.bytes().enumerate().flat_map(|(i, byte)| frame(u8::from(i == 0), &[byte]));
    let bytes: Vec<u8> = bytewise.chain(frame(0x80, b"")).collect();
    reads(&bytes, &[Text(text.into())]);
}

#[test]
fn a_close_says_its_code_as_it_came() {
    reads(&frame(0x88, b"\x03\xe8"), &[Close(Some(1000), String::new())]);
    reads(&frame(0x88, b"\x03\xedx"), &[Close(Some(1005), "x".into())]);
    reads(&frame(0x88, b"\x03"), &[Fails(1002)]);
    reads(&frame(0x88, b"\x03\xe8\xff"), &[Fails(1007)]);
    let allowed: Vec<u16> = (0..=u16::MAX).filter(|code| may_be_sent(*code)).collect();
    let ranges = [1000..=1003, 1007..=1014, 3000..=4999];
    assert_eq!(allowed, ranges.into_iter().flatten().collect::<Vec<u16>>());
}

#[test]
fn fragments_without_end_are_too_many() {
    let begin = frame(0x02, b"");
    // Each fragment has a header of six bytes; pings between fragments do not count.
    let most = (2 * MAX + OVERHEAD_LIMIT) / 6;
    let (mut reader, mut all) = (Reader::default(), Vec::new());
    assert!(!feed(&mut reader, &begin, &mut all));
    for _ in 1..most {
        let bytes = [frame(0x00, b""), frame(0x8a, b"")].concat();
        assert!(!feed(&mut reader, &bytes, &mut all));
    }
    all.clear();
    assert!(feed(&mut reader, &frame(0x00, b""), &mut all));
    assert_eq!(all, [Fails(1008)]);
}

#[test]
fn memory_follows_what_came_and_an_idle_reader_has_none() {
    const LARGE: usize = 1 << 20;
    for fragments in [1, 3, 500] {
        let mut reader = Reader::default();
        let size = LARGE / fragments;
        let (mut moves, mut place, mut came) = (0, None, 0);
        for i in 0..fragments {
            let last = i + 1 == fragments;
            let first = if i == 0 { 0x02 } else { 0x00 } | if last { 0x80 } else { 0 };
            for piece in frame(first, &vec![7; size]).chunks(50) {
                let mut piece = piece.to_vec();
                came += piece.len();
                let found =
                    reader.next(&mut ReadBurst::new(&mut piece), Role::Server, LARGE, &mut Pool::default());
                assert!(reader.holds() <= 4096.max(2 * came), "{} bytes for {came}", reader.holds());
                let data = reader.begun.as_ref().and_then(|begun| begun.message.as_ref());
                let now = data.map(|message| message.data.capacity());
                moves += usize::from(now.is_some() && now != place);
                place = now;
                if let Some(frame) = found.expect("nothing is wrong") {
                    assert!(last && matches!(received(frame), Binary(all) if all.len() == size * fragments));
                }
            }
        }
        // 4 KiB, 8 KiB, ... 1 MiB: fewer bytes are moved than received.
        assert!(moves <= 14, "{fragments} fragments: it grew {moves} times");
        assert!(reader.begun.is_none());
    }
    let (mut reader, mut all) = (Reader::default(), Vec::new());
    for bytes in [frame(0x82, b"x"), frame(0x89, b"x"), frame(0x82, &counting(300))] {
        for piece in bytes.chunks(4) {
            feed(&mut reader, piece, &mut all);
        }
        assert!(reader.begun.is_none(), "it keeps nothing");
    }
}

#[test]
fn behind_our_close_only_control_frames_count() {
    let before = [frame(0x82, b"received"), frame(0x01, b"begun")].concat();
    let text = [frame(0x00, b"\xff no text"), frame(0x80, b"")].concat();
    let large = frame(0x82, &counting(2 * MAX));
    let after = [
        text,
        large,
        frame(0x89, b"ping"),
        frame(0x80, b"no start"),
        frame(0x02, b""),
        frame(0x88, b"\x03\xe8"),
    ]
    .concat();
    let expected = [Binary(b"received".to_vec()), Ping(b"ping".to_vec()), Close(Some(1000), String::new())];
    let rest = [&before[..], &after].concat();
    for close_at in before.len() - 3..before.len() + 1 {
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        feed(&mut reader, &rest[..close_at], &mut all);
        reader.discard();
        assert_eq!(reader.holds(), 0);
        for piece in rest[close_at..].chunks(7) {
            assert!(!feed(&mut reader, piece, &mut all), "nothing of it is wrong any more");
        }
        assert_eq!(all, expected, "our Close behind {close_at} bytes");
        assert!(reader.begun.is_none());
    }
    for bad in
        [frame(0xc2, b""), frame(0x83, b""), frame(0x09, b""), b"\x82\x01".to_vec(), frame(0x89, &[0; 126])]
    {
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        reader.discard();
        assert!(feed(&mut reader, &bad, &mut all));
        assert_eq!(all, [Fails(1002)], "{bad:x?}");
    }
}

pub(super) const ESCAPE: &[u8] = &[7, 0x42];

/// A definition may be half as large again as any other message.
pub(super) const LEEWAY: Leeway = Leeway { escape: ESCAPE, definition: &[7, 0x41], size: MAX + MAX / 2 };

pub(super) fn defined(len: usize) -> Vec<u8> {
    [&[7, 0x41][..], &vec![b'd'; len - 2]].concat()
}

pub(super) fn escaped(len: usize) -> Vec<u8> {
    [ESCAPE, &vec![b'e'; len - ESCAPE.len()]].concat()
}

#[test]
fn only_an_escaped_packet_and_a_definition_may_be_larger_and_not_without_limit() {
    for (first, message, is_taken) in [
        (0x82, counting(MAX), true),
        (0x82, counting(MAX + 1), false),
        (0x82, escaped(MAX), true),
        (0x82, escaped(MAX + 2), true),
        (0x82, escaped(MAX + 3), false),
        (0x81, escaped(MAX), true),
        (0x81, escaped(MAX + 1), false),
        (0x82, counting(MAX + MAX / 2), false),
        (0x82, defined(MAX + MAX / 2), true),
        (0x82, defined(MAX + MAX / 2 + 1), false),
        (0x81, defined(MAX + 1), false),
    ] {
        let text = String::from_utf8_lossy(&message).into_owned();
        let taken = if first == 0x81 { Text(text) } else { Binary(message.clone()) };
        let expected = if is_taken { taken } else { Fails(1009) };
        let whole = frame(first, &message);
        let parts = [frame(first & 0x0f, &message[..1]), frame(0x80, &message[1..])].concat();
        for (bytes, cut) in [(&whole, whole.len()), (&whole, 9), (&parts, parts.len()), (&parts, 700)] {
            let (mut reader, mut all) = (Reader { leeway: LEEWAY, ..Reader::default() }, Vec::new());
            let _ = feed(&mut reader, &bytes[..cut], &mut all) || feed(&mut reader, &bytes[cut..], &mut all);
            assert_eq!(all, std::slice::from_ref(&expected), "{first:x}, {} bytes", message.len());
        }
    }
}

#[test]
fn a_limit_that_is_lowered_counts_for_the_frames_behind() {
    for (leeway, first, message, is_taken) in [
        (Leeway::default(), 0x82, counting(MAX), true),
        (Leeway::default(), 0x81, escaped(MAX), true),
        (LEEWAY, 0x82, counting(MAX), true),
        (LEEWAY, 0x81, escaped(MAX), true),
        (LEEWAY, 0x82, escaped(MAX + 2), true),
        (LEEWAY, 0x82, counting(MAX + 1), false),
    ] {
        let (mut reader, mut all) = (Reader { leeway, ..Reader::default() }, Vec::new());
        let bytes = frame(first, &message);
        assert!(!feed(&mut reader, &bytes[..500], &mut all));
        assert_eq!(feed_within(MAX / 2, &mut reader, &bytes[500..], &mut all), !is_taken);
        assert_eq!(all.len(), 1, "{first:x}, {} bytes", message.len());
        if is_taken {
            assert!(feed_within(MAX / 2, &mut reader, &bytes, &mut all));
            assert_eq!(all.pop(), Some(Fails(1009)));
        }
    }
    // The last fragment has begun behind the change.
    let (mut reader, mut all) = (Reader { leeway: LEEWAY, ..Reader::default() }, Vec::new());
    assert!(!feed(&mut reader, &frame(0x02, &counting(MAX / 2)), &mut all));
    assert!(feed_within(MAX / 2, &mut reader, &frame(0x80, b"!"), &mut all));
    assert_eq!(all, [Fails(1009)]);
}

#[test]
fn a_limit_that_is_raised_counts_for_the_frames_behind() {
    for leeway in [Leeway::default(), LEEWAY] {
        let (mut reader, mut all) = (Reader { leeway, ..Reader::default() }, Vec::new());
        assert!(!feed_within(MAX / 2, &mut reader, &frame(0x02, &counting(MAX)[..MAX / 2]), &mut all));
        assert!(!feed(&mut reader, &frame(0x80, &counting(MAX)[MAX / 2..]), &mut all));
        assert_eq!(all, [Binary(counting(MAX))]);
    }
}

#[test]
fn sums_of_sizes_do_not_wrap_without_a_limit() {
    let (mut reader, mut all) = (Reader::default(), Vec::new());
    let fragments =
        [frame(0x02, b"x"), b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0y".to_vec()].concat();
    assert!(!feed_within(usize::MAX, &mut reader, &fragments, &mut all), "it goes on");
    assert!(all.is_empty() && reader.holds() < 64 * 1024);
}
