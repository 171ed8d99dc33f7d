//! Tests that any stream is inflated to what was deflated, whatever the pieces are, and that a hostile one costs no more than it may.

use super::decoder::{CALL_WORK, INPUT_WORK};
use super::*;

/// Inflates a message as a receiver does, with so much work at once. Returns it, and the work that it took.
fn inflate(
    decoder: &mut Decoder,
    message: &[u8],
    max: usize,
    at_once: usize,
) -> Result<(Vec<u8>, usize), Fault> {
    let (mut out, mut scratch, mut took) = (Vec::new(), vec![0; 64 * 1024], 0);
    for mut part in [message, &TAIL] {
        // See `session::inflation`.
        if part == TAIL && (message.is_empty() || decoder.is_fresh()) {
            break;
        }
        loop {
            let mut work = at_once;
            let progress = decoder.step(&mut part, &mut out, max, &mut scratch, &mut work)?;
            took += at_once - work;
            assert!(out.capacity() <= 64 * 1024 + 2 * out.len(), "memory grows with what came");
            if progress == Progress::Done {
                break;
            }
        }
    }
    Ok((out, took))
}

/// Bytes that do not shrink.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Bytes that shrink.
fn words(len: usize) -> Vec<u8> {
    (0..)
        .flat_map(|i: u32| format!("{{\"id\":{},\"x\":{}}}", i % 97, i * 31 % 1009).into_bytes())
        .take(len)
        .collect()
}

const MAX: usize = 4 << 20;

#[test]
fn the_examples_of_the_rfc_are_read() {
    let examples: [&[&[u8]]; 5] = [
        &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &[0xf2, 0x00, 0x11, 0x00, 0x00]],
        &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
        &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]],
        // The same without the byte behind the final block.
        &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
        &[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
    ];
    for messages in examples {
        let mut decoder = Decoder::new(&Meter::default());
        for message in messages {
            assert_eq!(inflate(&mut decoder, message, MAX, 9999).expect("sound").0, b"Hello", "{message:x?}");
        }
        // What comes behind a final block is read too.
        for next in [&[0x00][..], &[], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]] {
            let expected = if next.len() > 1 { &b"Hello"[..] } else { b"" };
            assert_eq!(inflate(&mut decoder, next, MAX, 9999).expect("sound").0, expected, "{messages:x?}");
        }
    }
}

#[test]
fn what_was_deflated_is_inflated_with_any_window_and_any_work_at_once() {
    for size in [0, 1, 1023, 1024, 1025, 65_535, 65_536, 65_537, 300_000, 1 << 20] {
        for window in [9, 10, 13, 15] {
            let messages = [words(size), noise(size), vec![7; size], words(size / 2)];
            let compressed = deflated(window, messages.iter().map(Vec::as_slice));
            for at_once in [1, 1000, 64 * 1024] {
                if size > 2000 && at_once == 1 {
                    continue;
                }
                let mut decoder = Decoder::new(&Meter::default());
                for (message, compressed) in messages.iter().zip(&compressed) {
                    let (found, _) = inflate(&mut decoder, compressed, MAX, at_once).expect("sound");
                    assert!(found == *message, "{size} bytes, window {window}, {at_once} at once");
                }
                // Each by itself, and only the first one makes sense so.
                decoder.reset();
                assert_eq!(
                    inflate(&mut decoder, &compressed[0], MAX, at_once).expect("sound").0,
                    messages[0]
                );
            }
        }
    }
}

#[test]
fn the_limit_is_exact() {
    for size in [1, 1000, 65_536, 100_000] {
        for message in [vec![0; size], noise(size), words(size)] {
            let compressed = deflated(15, [message.as_slice()]).remove(0);
            for at_once in [1000, 1 << 20] {
                let with = |max| {
                    inflate(&mut Decoder::new(&Meter::default()), &compressed, max, at_once)
                        .map(|(out, _)| out.len())
                };
                assert_eq!(with(size), Ok(size));
                assert_eq!(with(size + 1), Ok(size));
                assert_eq!(with(size - 1), Err(Fault::TooLarge));
            }
        }
    }
}

#[test]
fn a_bomb_takes_as_little_as_a_message_of_the_limit() {
    let bomb = deflated(15, [vec![0; 64 << 20].as_slice()]).remove(0);
    assert!(bomb.len() < 70_000, "{}", bomb.len());
    let (mut decoder, mut out, mut scratch) =
        (Decoder::new(&Meter::default()), Vec::new(), vec![0; 64 * 1024]);
    let (mut input, mut turns) = (bomb.as_slice(), 0);
    let fault = loop {
        let mut work = 64 * 1024;
        let before = out.len();
        match decoder.step(&mut input, &mut out, 1 << 20, &mut scratch, &mut work) {
            Ok(_) => turns += 1,
            Err(fault) => break fault,
        }
        assert!(out.len() - before <= 64 * 1024 + 512);
    };
    assert_eq!((fault, out.len()), (Fault::TooLarge, (1 << 20) + 1));
    assert!(out.capacity() <= 2 << 20 && turns >= 15, "{} {turns}", out.capacity());
}

#[test]
fn input_without_output_is_work_too() {
    // Empty blocks, and final ones, each of which begins a new stream.
    for (block, calls) in [(&[0x00, 0x00, 0x00, 0xff, 0xff][..], 0), (&[0x03, 0x00], 1)] {
        let message = block.repeat(10_000);
        let (out, took) =
            inflate(&mut Decoder::new(&Meter::default()), &message, MAX, 64 * 1024).expect("sound");
        let least = INPUT_WORK * message.len() + calls * 10_000 * CALL_WORK;
        assert!(out.is_empty() && took >= least - least / 50, "{took} of {least}");
    }
}

#[test]
fn garbage_is_found_and_a_part_is_no_panic() {
    for garbage in [
        &[0x06, 0x00][..],
        &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48],
        &[0xff; 20],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
    ] {
        let found = inflate(&mut Decoder::new(&Meter::default()), garbage, MAX, 9999);
        assert_eq!(found.expect_err("garbage"), Fault::Garbage, "{garbage:x?}");
    }
    let whole = deflated(15, [words(5000).as_slice()]).remove(0);
    for len in 0..whole.len() {
        let _ = inflate(&mut Decoder::new(&Meter::default()), &whole[..len], MAX, 9999);
    }
    // Both inflate any bytes to the same, or to nothing.
    let mut junk = noise(40_000);
    for start in (0..junk.len() - 200).step_by(97) {
        junk[start] &= 0xf8 | (2 * (start as u8 % 3));
        let input = &junk[start..][..200];
        let theirs = miniz_oxide::inflate::decompress_to_vec(input);
        if let (Ok((ours, _)), Ok(theirs)) =
            (inflate(&mut Decoder::new(&Meter::default()), input, MAX, 9999), theirs)
        {
            assert!(ours.starts_with(&theirs), "{input:x?}");
        }
    }
}

/// Compresses a message by itself.
fn compress(encoder: &mut Encoder, message: &[u8], parts: usize) -> Vec<u8> {
    let (mut out, mut scratch) = (Vec::new(), vec![0; 64 * 1024]);
    for part in message.chunks(parts) {
        encoder.push(part, &mut scratch, &mut out);
    }
    assert!(encoder.end(&mut scratch, &mut out));
    out
}

#[test]
fn two_others_inflate_what_is_compressed_within_the_window() {
    for bits in 9..=15 {
        let mut encoder = Encoder::shared(Window::new(bits).expect("it is one"), &Meter::default());
        for size in [1, 2, 1023, 1024, 65_535, 65_536, 65_537, 200_000] {
            for message in [words(size), noise(size), vec![b'x'; size]] {
                for parts in [size, 1000] {
                    encoder.reset();
                    let compressed = compress(&mut encoder, &message, parts);
                    // One that has no larger window than was agreed.
                    let mut narrow = zlib_rs::Inflate::new(false, bits);
                    let whole = [compressed.as_slice(), &TAIL].concat();
                    let mut out = vec![0; size + 1];
                    narrow.decompress(&whole, &mut out, zlib_rs::InflateFlush::SyncFlush).expect("sound");
                    assert!(
                        narrow.total_out() == size as u64 && out[..size] == message,
                        "{bits} bits, {size}"
                    );
                    // And one that is another.
                    let whole = [whole.as_slice(), &[0x03, 0x00]].concat();
                    assert!(miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound") == message);
                }
            }
        }
    }
    assert!([0, 7, 8, 16].into_iter().all(|bits| Window::new(bits).is_none()));
}

#[test]
fn what_was_reset_refers_to_nothing_and_what_was_not_refers_to_all() {
    let mut encoder = Encoder::shared(Window::new(15).expect("it is one"), &Meter::default());
    let message = words(2000);
    let first = compress(&mut encoder, &message, 2000);
    let again = compress(&mut encoder, &message, 2000);
    assert!(again.len() * 10 < first.len(), "{} {}", again.len(), first.len());
    encoder.reset();
    assert_eq!(compress(&mut encoder, &message, 2000), first);
}
