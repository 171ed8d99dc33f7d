//! The same tests for messages that may be compressed, and for what only those can do wrong.

use super::tests::{LEEWAY, defined, escaped, frame};
use super::*;
use crate::deflate::deflated;
use crate::session::Ratio;
use crate::session::codecs::{
    INFLATE_FREE, INFLATE_LEAST, INFLATE_ROUND, INFLATE_TURN, INFLATING, INFLATING_BYTES, LENT,
};

const MAX: usize = 1000;

#[derive(Clone, Debug, Eq, PartialEq)]
enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Fails(u16),
}
use Received::{Binary, Fails, Ping, Text};

/// Reads pieces, with so much work of inflating in a turn.
fn read<'a>(keeps: bool, work: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Received> {
    read_by(&mut Reader::inflating(keeps), work, pieces)
}

fn read_by<'a>(
    reader: &mut Reader,
    work: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Received> {
    let (mut pool, mut all, mut came) = (Pool::default(), Vec::new(), 0);
    for piece in pieces {
        let mut piece = piece.to_vec();
        came += piece.len();
        let mut burst = ReadBurst::new(&mut piece);
        loop {
            pool.set_work(work);
            all.push(match reader.next(&mut burst, Role::Server, MAX, &mut pool) {
                Ok(None) => break,
                Ok(Some(Frame::Message { payload, text: true })) => {
                    Text(String::from_utf8(payload.bytes().to_vec()).expect("it was checked"))
                }
                Ok(Some(Frame::Message { payload, .. })) => Binary(payload.bytes().to_vec()),
                Ok(Some(Frame::Ping(payload))) => Ping(payload.bytes().to_vec()),
                Ok(Some(Frame::Unfinished)) => {
                    assert!(reader.is_inflating() && reader.holds() <= 4096.max(2 * came) + 2 * MAX + 2);
                    continue;
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Err(violation) => {
                    all.push(Fails(violation.code));
                    return all;
                }
            });
        }
        assert!(burst.is_empty() && !reader.is_inflating());
    }
    all
}

/// The results must be the same wherever the input is cut, and however little work a turn may do.
fn reads(keeps: bool, bytes: &[u8], expected: &[Received]) {
    assert_eq!(read(keeps, 1 << 20, [bytes]), expected, "whole");
    assert_eq!(read(keeps, 1, [bytes]), expected, "little work");
    assert_eq!(read(keeps, 1500, bytes.chunks(1)), expected, "one byte at a time");
    for cut in 1..bytes.len() {
        assert_eq!(read(keeps, 3000, [&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
    }
}

fn words(len: usize) -> String {
    "{\"id\":7,\"x\":12.5} ".chars().cycle().take(len).collect()
}

#[test]
fn compressed_messages_are_received_between_others() {
    let (a, b) = (words(300), words(1000));
    for keeps in [false, true] {
        let [one, two] = if keeps {
            deflated(15, [a.as_bytes(), b.as_bytes()]).try_into().expect("two")
        } else {
            [&a, &b].map(|text| deflated(15, [text.as_bytes()]).remove(0))
        };
        let bytes = [
            frame(0xc2, &one),
            frame(0x82, b"plain"),
            frame(0x89, b"p"),
            frame(0xc1, &two),
            frame(0xc1, &[0]),
        ];
        let expected = [
            Binary(a.clone().into()),
            Binary(b"plain".into()),
            Ping(b"p".into()),
            Text(b.clone()),
            Text(String::new()),
        ];
        reads(keeps, &bytes.concat(), &expected);
    }
}

#[test]
fn a_compressed_message_may_be_in_fragments_with_control_frames_between() {
    let text = words(700);
    let whole = deflated(15, [text.as_bytes()]).remove(0);
    let (a, rest) = whole.split_at(5);
    let (b, c) = rest.split_at(7);
    let bytes = [
        frame(0x41, a),
        frame(0x89, b"1"),
        frame(0x00, b),
        frame(0x00, b""),
        frame(0x89, b"2"),
        frame(0x80, c),
        frame(0x81, b"next"),
    ];
    let expected = [Ping(b"1".into()), Ping(b"2".into()), Text(text), Text("next".into())];
    reads(false, &bytes.concat(), &expected);
    reads(true, &bytes.concat(), &expected);
}

#[test]
fn a_text_is_checked_when_it_is_inflated() {
    // The compressed bytes are no text.
    for (text, expected) in
        [(&b"caf\xc3\xa9"[..], Text("caf\u{e9}".into())), (b"caf\xc3", Fails(1007)), (b"\xff", Fails(1007))]
    {
        reads(false, &frame(0xc1, &deflated(15, [text]).remove(0)), &[expected]);
        let [one, two] =
            deflated(15, [&text[..text.len() - 1], &text[text.len() - 1..]]).try_into().expect("two");
        let whole = [one, [0, 0, 0xff, 0xff].to_vec(), two].concat();
        let bytes = [frame(0x41, &whole[..3]), frame(0x80, &whole[3..])].concat();
        reads(
            false,
            &bytes,
            &[if text[0] == b'c' && text.len() == 5 { Text("caf\u{e9}".into()) } else { Fails(1007) }],
        );
    }
}

#[test]
fn the_limit_counts_what_is_inflated() {
    for (size, fits) in [(MAX, true), (MAX + 1, false), (100 * MAX, false)] {
        let message = deflated(15, [vec![b'x'; size].as_slice()]).remove(0);
        let expected = if fits { Binary(vec![b'x'; size]) } else { Fails(1009) };
        reads(false, &frame(0xc2, &message), &[expected]);
    }
    // What does not shrink grows, and is allowed to.
    let noise: Vec<u8> = (0..MAX).map(|_| rand::random()).collect();
    let message = deflated(9, [noise.as_slice()]).remove(0);
    assert!(message.len() > MAX, "{}", message.len());
    reads(false, &frame(0xc2, &message), &[Binary(noise.clone())]);
    let halves = [frame(0x42, &message[..600]), frame(0x80, &message[600..])].concat();
    reads(false, &halves, &[Binary(noise)]);
    // A header that announces more is enough.
    let most = MAX + MAX / 4 + 1024;
    assert_eq!(read(false, 9999, [&frame(0xc2, &vec![0; most + 1])[..10]]), [Fails(1009)]);
    assert_eq!(read(false, 9999, [&frame(0xc2, &vec![0; most])[..10]]), []);
    assert_eq!(read(false, 9999, [&frame(0x82, &[0; MAX + 1])[..10]]), [Fails(1009)]);
}

#[test]
fn only_an_escaped_packet_and_a_definition_may_inflate_to_more_and_not_without_limit() {
    for (first, message, is_taken) in [
        (0xc2, vec![b'x'; MAX], true),
        (0xc2, vec![b'x'; MAX + 1], false),
        (0xc2, escaped(MAX + 2), true),
        (0xc2, escaped(MAX + 3), false),
        (0xc1, escaped(MAX), true),
        (0xc1, escaped(MAX + 1), false),
        (0xc2, vec![b'x'; MAX + MAX / 2], false),
        (0xc2, defined(MAX + MAX / 2), true),
        (0xc2, defined(MAX + MAX / 2 + 1), false),
        (0xc1, defined(MAX + 1), false),
    ] {
        let text = String::from_utf8_lossy(&message).into_owned();
        let taken = if first == 0xc1 { Text(text) } else { Binary(message.clone()) };
        let expected = if is_taken { taken } else { Fails(1009) };
        let bytes = frame(first, &deflated(15, [message.as_slice()]).remove(0));
        for work in [1, 1 << 20] {
            let mut reader = Reader { leeway: LEEWAY, ..Reader::inflating(false) };
            let received = read_by(&mut reader, work, [bytes.as_slice()]);
            assert_eq!(received, std::slice::from_ref(&expected), "{first:x}, {} bytes", message.len());
        }
    }
}

#[test]
fn a_limit_that_is_lowered_counts_for_the_messages_behind() {
    for (leeway, first, message) in [
        (Leeway::default(), 0xc2, vec![b'x'; MAX]),
        (Leeway::default(), 0xc1, escaped(MAX)),
        (LEEWAY, 0xc2, vec![b'x'; MAX]),
        (LEEWAY, 0xc1, escaped(MAX)),
        (LEEWAY, 0xc2, escaped(MAX + 2)),
    ] {
        let (mut reader, mut pool) = (Reader { leeway, ..Reader::inflating(false) }, Pool::default());
        let mut bytes = frame(first, &deflated(15, [message.as_slice()]).remove(0)).repeat(2);
        let mut burst = ReadBurst::new(&mut bytes);
        pool.set_work(1);
        let first = reader.next(&mut burst, Role::Server, MAX, &mut pool);
        assert!(matches!(first, Ok(Some(Frame::Unfinished))));
        pool.set_work(1 << 20);
        let whole = reader.next(&mut burst, Role::Server, MAX / 2, &mut pool);
        assert!(matches!(whole, Ok(Some(Frame::Message { .. }))), "{whole:?}");
        let next = reader.next(&mut burst, Role::Server, MAX / 2, &mut pool);
        assert_eq!(next.expect_err("the limit is lower").code, 1009);
    }
}

#[test]
fn a_limit_that_is_raised_counts_for_the_frames_behind() {
    for leeway in [Leeway::default(), LEEWAY] {
        let (mut reader, mut pool) = (Reader { leeway, ..Reader::inflating(false) }, Pool::default());
        let message = deflated(15, [[7; MAX].as_slice()]).remove(0);
        let (begin, end) = message.split_at(3);
        for (max, mut bytes, is_whole) in
            [(MAX / 2, frame(0x42, begin), false), (MAX, frame(0x80, end), true)]
        {
            let frame = reader.next(&mut ReadBurst::new(&mut bytes), Role::Server, max, &mut pool);
            let frame = frame.expect("no limit is exceeded");
            assert_eq!(matches!(frame, Some(Frame::Message { .. })), is_whole, "{frame:?}");
        }
    }
}

#[test]
fn only_the_first_frame_of_a_message_may_say_that_it_is_compressed() {
    let message = deflated(15, [b"abc".as_slice()]).remove(0);
    for wrong in [
        frame(0xc9, b"p"),
        frame(0xca, b"p"),
        frame(0xc8, &[3, 232]),
        frame(0xe2, &message),
        frame(0xd2, &message),
        frame(0xa2, &message),
        frame(0xc0, &message),
        [frame(0x42, &message[..2]), frame(0xc0, &message[2..])].concat(),
        [frame(0x02, b"x"), frame(0xc0, &message)].concat(),
        [frame(0x02, b"x"), frame(0xc2, &message)].concat(),
        [frame(0x42, &message), frame(0x82, b"x")].concat(),
        // Not masked.
        [&[0xc2, message.len() as u8], &message[..]].concat(),
    ] {
        reads(false, &wrong, &[Fails(1002)]);
    }
    for garbage in [&[0x06, 0x00][..], &[0xff; 9], &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48]] {
        reads(false, &frame(0xc2, garbage), &[Fails(1007)]);
    }
    // Without takeover, nothing can be referred to.
    let [one, two] = deflated(15, [b"Hello".as_slice(), b"Hello"]).try_into().expect("two");
    let bytes = [frame(0xc2, &one), frame(0xc2, &two)].concat();
    reads(true, &bytes, &[Binary(b"Hello".into()), Binary(b"Hello".into())]);
    reads(false, &bytes, &[Binary(b"Hello".into()), Fails(1007)]);
}

#[test]
fn nothing_is_inflated_any_more_after_a_close_sent_here() {
    let (mut reader, mut pool) = (Reader::inflating(false), Pool::default());
    let message = frame(0xc2, &deflated(15, [vec![1; 900].as_slice()]).remove(0));
    let mut bytes = [message.clone(), message, frame(0x89, b"p"), frame(0xc2, b"\xff\xff")].concat();
    let mut burst = ReadBurst::new(&mut bytes);
    pool.set_work(1);
    let first = reader.next(&mut burst, Role::Server, MAX, &mut pool).expect("sound");
    assert!(matches!(first, Some(Frame::Unfinished)) && reader.is_inflating());
    reader.discard();
    assert!(!reader.is_inflating());
    let next = reader.next(&mut burst, Role::Server, MAX, &mut pool).expect("sound");
    assert!(matches!(next, Some(Frame::Ping(_))), "{next:?}");
    let last = reader.next(&mut burst, Role::Server, MAX, &mut pool).expect("it is skipped");
    assert!(last.is_none() && burst.is_empty() && reader.holds() == 0);
}

#[test]
fn half_messages_hold_no_decoder_and_a_whole_one_gives_it_back() {
    let message = frame(0xc2, &deflated(15, [vec![1; 900].as_slice()]).remove(0));
    let mut pool = Pool::default();
    let mut readers: Vec<_> = (0..10).map(|_| Reader::inflating(false)).collect();
    for reader in &mut readers {
        let mut half = message[..message.len() - 1].to_vec();
        let next = reader.next(&mut ReadBurst::new(&mut half), Role::Server, MAX, &mut pool);
        assert!(
            next.expect("sound").is_none() && reader.inflation.as_ref().is_some_and(|it| !it.has_decoder())
        );
    }
    for reader in &mut readers {
        let mut rest = message[message.len() - 1..].to_vec();
        let next = reader.next(&mut ReadBurst::new(&mut rest), Role::Server, MAX, &mut pool);
        assert!(matches!(next, Ok(Some(Frame::Message { .. }))));
        assert!(
            reader.inflation.as_ref().is_some_and(|it| !it.has_decoder()) && pool.codecs().decoder.is_some()
        );
    }
    let Ratio { plain, compressed } = pool.end_turn();
    assert_eq!((plain, compressed), (9000, 10 * (message.len() - 6)));
}

/// Readers with a large message each.
struct Crowd {
    pool: Pool,
    readers: Vec<Reader>,
    message: Vec<u8>,
    max: usize,
}

impl Crowd {
    fn new(keeps: bool, count: usize, max: usize) -> Self {
        let message = frame(0xc2, &deflated(15, [vec![0; max].as_slice()]).remove(0));
        let readers = (0..count).map(|_| Reader::inflating(keeps)).collect();
        Self { pool: Pool::default(), readers, message, max }
    }

    /// A turn of a reader to which this comes. Returns whether a message is whole.
    fn turn(&mut self, at: usize, comes: &[u8]) -> bool {
        let mut comes = comes.to_vec();
        let next =
            self.readers[at].next(&mut ReadBurst::new(&mut comes), Role::Server, self.max, &mut self.pool);
        let is_whole = matches!(next.expect("sound"), Some(Frame::Message { .. }));
        self.pool.end_turn();
        is_whole
    }

    /// A turn of each that has a message. Returns those for which it is whole.
    fn round(&mut self) -> Vec<usize> {
        let busy = |crowd: &Self, at: &usize| crowd.readers[*at].is_inflating();
        let busy: Vec<_> = (0..self.readers.len()).filter(|at| busy(self, at)).collect();
        let done = busy.into_iter().filter(|at| self.turn(*at, b"")).collect();
        self.pool.end_round();
        done
    }

    /// What came of the messages so far.
    fn made(&self) -> usize {
        let came = self.message.len().next_power_of_two();
        self.readers.iter().map(|reader| reader.holds().saturating_sub(came)).sum()
    }
}

#[test]
fn the_memory_of_what_is_inflated_does_not_grow_with_those_who_send_it() {
    for (keeps, max, count) in
        [(false, 1 << 20, 60), (true, 1 << 20, 60), (false, 5 << 20, 15), (false, 20 << 20, 4)]
    {
        let mut crowd = Crowd::new(keeps, count, max);
        let message = crowd.message.clone();
        for at in 0..count {
            assert!(!crowd.turn(at, &message));
        }
        let (mut order, mut most) = (Vec::new(), 0);
        for round in 0.. {
            order.extend(crowd.round());
            if order.len() == count {
                break;
            }
            assert!(round < 10_000, "{order:?}");
            most = most.max(crowd.made());
            let decoders = crowd.readers.iter().filter_map(|reader| reader.inflation.as_ref());
            let decoders = decoders.filter(|it| it.has_decoder()).count();
            assert!(keeps || order.is_empty() || decoders <= INFLATING, "{decoders} decoders");
        }
        let bytes = max.max(INFLATING_BYTES.min(INFLATING * max));
        let others = count * (INFLATE_FREE + INFLATE_TURN);
        // Memory grows by doubling.
        assert!((bytes / 4..2 * (bytes + others)).contains(&most), "{most} bytes of {bytes}");
        let in_order = order.iter().enumerate().all(|(place, at)| place.abs_diff(*at) < INFLATING);
        assert!(in_order, "{order:?}");
    }
}

#[test]
fn many_messages_below_that_size_share_some_decoders() {
    let count = LENT + 50;
    let mut crowd = Crowd::new(false, count, INFLATE_FREE);
    let message = crowd.message.clone();
    let mut whole = 0;
    for at in 0..count {
        whole += usize::from(crowd.turn(at, &message));
    }
    for round in 0.. {
        let decoders = crowd.readers.iter().filter_map(|reader| reader.inflation.as_ref());
        let decoders = decoders.filter(|it| it.has_decoder()).count();
        assert!(decoders <= LENT + INFLATING, "{decoders}");
        assert!(round > 0 || decoders >= LENT - INFLATING, "they are all used: {decoders}");
        if whole == count {
            break;
        }
        assert!(round < 1000, "{whole} of {count}");
        whole += crowd.round().len();
    }
    assert_eq!(crowd.pool.codecs().lent.others(), 0, "they are given back");
}

#[test]
fn a_turn_and_a_round_inflate_so_much_and_each_gets_on_a_little() {
    let full_turns = INFLATE_ROUND / INFLATE_TURN;
    let mut crowd = Crowd::new(false, 2 * full_turns, 1 << 20);
    let message = crowd.message.clone();
    for at in 0..2 * full_turns {
        crowd.turn(at, &message);
    }
    let came = message.len() - 8;
    let made: Vec<_> = crowd.readers.iter().map(|reader| reader.holds() - came).collect();
    let (full, little) = made.split_at(full_turns);
    // The smallest step may go beyond.
    assert!(full.iter().all(|made| (INFLATE_TURN / 2..INFLATE_TURN + 512).contains(made)), "{full:?}");
    assert!(little.iter().all(|made| (512..INFLATE_LEAST + 512).contains(made)), "{little:?}");
    // The next round has as much again.
    crowd.pool.end_round();
    let last = 2 * full_turns - 1;
    for _ in 0..2 {
        crowd.turn(last, b"");
    }
    assert!(crowd.readers[last].holds() - came > INFLATE_TURN / 2);
}

#[test]
fn nobody_keeps_others_from_being_inflated() {
    let count = 30;
    let mut crowd = Crowd::new(false, count, 1 << 20);
    let message = crowd.message.clone();
    for at in 0..count {
        crowd.turn(at, &message);
    }
    // Those at the front send more and more, and some go.
    let mut waits: Vec<_> = (INFLATING..count).collect();
    let mut rounds = 0;
    while !waits.is_empty() {
        for at in crowd.round() {
            waits.retain(|waits| *waits != at);
            crowd.turn(at, &message);
        }
        rounds += 1;
        if rounds == 3 {
            for at in [0, 3, 20, 29] {
                crowd.readers[at].discard();
                waits.retain(|waits| *waits != at);
            }
        }
        assert!(rounds < 16 * count, "{waits:?} wait");
    }
}

#[test]
fn a_reader_that_rests_leaves_everything_to_others() {
    for max in [1 << 20, INFLATE_FREE] {
        let mut crowd = Crowd::new(false, INFLATING + 1, max);
        let message = crowd.message.clone();
        for at in 0..INFLATING {
            // Into a place, if the message is large.
            while crowd.readers[at].holds() < message.len() + max / 4 {
                assert!(
                    !crowd.turn(at, &message[..usize::from(crowd.readers[at].holds() == 0) * message.len()])
                );
            }
        }
        for reader in &mut crowd.readers {
            reader.rest_inflating(&mut crowd.pool);
        }
        let codecs = crowd.pool.codecs();
        assert!(codecs.lent.others() == 0 && codecs.decoder.is_some());
        assert!(
            crowd.readers.iter().all(|reader| reader.inflation.as_ref().is_some_and(|it| !it.has_decoder()))
        );
        // The last one waits for nobody, and the others begin again.
        let last = INFLATING;
        let mut is_whole = crowd.turn(last, &message);
        for _ in 0..2 * max / INFLATE_TURN {
            is_whole |= crowd.turn(last, b"");
            crowd.pool.end_round();
        }
        assert!(is_whole, "{max}");
        let mut whole = 0;
        while whole < INFLATING {
            whole += crowd.round().len();
        }
    }
}
