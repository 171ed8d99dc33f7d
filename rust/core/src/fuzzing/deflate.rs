//! Compressed messages: neither cuts nor turns change what is received, and another inflate finds the same.

use super::scripted::Cuts;
use crate::deflate::{Decoder, Fault, Meter, Progress};
use crate::session::reader::{Frame, Reader, Violation};
use crate::session::{Pool, ReadBurst, Role};

/// Frames of a server whose messages may be compressed, and the same bytes as one deflate stream. The first byte selects whether messages
/// refer to earlier ones, and the limit; two bytes follow with the seed of the cuts.
pub fn deflate(data: &[u8]) {
    let [options, low, high, bytes @ ..] = data else { return };
    let keeps = options & 1 != 0;
    let max = if options & 2 == 0 { 1000 } else { 100_000 };
    let seed = u16::from_le_bytes([*low, *high]);
    let whole = received(bytes, keeps, max, Cuts::WHOLE, usize::MAX);
    for (cuts, work) in
        [(Cuts::new(seed), 64 * 1024), (Cuts::SINGLE, usize::MAX), (Cuts::WHOLE, 1 + usize::from(seed))]
    {
        assert_eq!(received(bytes, keeps, max, cuts, work), whole, "cuts or turns change what is received");
    }
    let stream = inflated(bytes, max, usize::MAX);
    assert_eq!(inflated(bytes, max, 1 + usize::from(seed)), stream, "turns change the output");
    if let (Ok(ours), Ok(theirs)) = (stream, miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, max)) {
        assert!(ours.starts_with(&theirs), "the other inflate finds something else");
    }
}

fn inflated(mut input: &[u8], max: usize, at_once: usize) -> Result<Vec<u8>, Fault> {
    let (mut decoder, mut out, mut scratch) = (Decoder::new(&Meter::default()), Vec::new(), vec![0; 4096]);
    loop {
        let mut work = at_once;
        match decoder.step(&mut input, &mut out, max, &mut scratch, &mut work)? {
            Progress::Done => return Ok(out),
            Progress::OutOfWork => {}
        }
    }
}

/// Returns the messages in words, and at the end a violation if there is one.
fn received(bytes: &[u8], keeps: bool, max: usize, mut cuts: Cuts, work: usize) -> Vec<String> {
    let (mut reader, mut pool, mut all) = (Reader::inflating(keeps), Pool::default(), Vec::new());
    let mut came = 0;
    while came < bytes.len() {
        let n = cuts.next().min(bytes.len() - came);
        let mut piece = bytes[came..came + n].to_vec();
        came += n;
        let mut burst = ReadBurst::new(&mut piece);
        loop {
            pool.set_work(work);
            match reader.next(&mut burst, Role::Client, max, &mut pool) {
                Ok(None) => break,
                Ok(Some(Frame::Unfinished)) => {}
                Ok(Some(Frame::Message { payload, text })) => {
                    all.push(format!("{text} {:?}", payload.bytes()))
                }
                Ok(Some(Frame::Ping(payload))) => all.push(format!("ping {:?}", payload.bytes())),
                Ok(Some(Frame::Pong(payload))) => all.push(format!("pong {:?}", payload.bytes())),
                Ok(Some(Frame::Close { code, reason })) => {
                    all.push(format!("close {code:?} {reason}"));
                    return all;
                }
                // A text that is none and too large is either, whichever a turn sees first.
                Err(Violation { code: 1007 | 1009, .. }) => {
                    all.push("1007 or 1009".to_owned());
                    return all;
                }
                Err(violation) => {
                    all.push(violation.code.to_string());
                    return all;
                }
            }
            assert!(reader.holds() <= 4096.max(2 * came) + 2 * max + 128, "memory grows with what came");
        }
        assert!(burst.is_empty(), "what is not whole is taken, too");
    }
    all
}
