//! Inflates messages, in bounded steps and to a bounded size.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::Meter;
use super::memory::Held;

/// The compressed stream of one sender.
///
/// It takes any window: the sender alone decides which one it uses.
pub(crate) struct Decoder {
    inflate: Inflate,
    /// Nothing was read since the stream began.
    is_fresh: bool,
    /// For its end.
    _memory: Held,
}

/// How far the input was inflated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// All of it.
    Done,
    /// The work of this turn is done, and some is left.
    OutOfWork,
}

/// Why the input cannot be inflated. The decoder is of no use any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It is no deflate stream.
    Garbage,
    /// It inflates to more than is allowed.
    TooLarge,
}

impl Decoder {
    /// A decoder: 44 KiB.
    pub(crate) fn new(meter: &Meter) -> Self {
        Self { inflate: Inflate::new(false, WINDOW), is_fresh: true, _memory: meter.hold(MEMORY) }
    }

    /// Forgets what came before.
    pub(crate) fn reset(&mut self) {
        if !self.is_fresh {
            self.inflate.reset(false);
            self.is_fresh = true;
        }
    }

    /// Returns whether the stream has just begun: the input has ended with a final block, or there was none.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Appends what the input inflates to, at most `max` bytes in all. `work` is what may be done in this turn: output counts once, input
    /// counts [`INPUT_WORK`] times, because tables are built from it, and a call or a new stream counts [`CALL_WORK`].
    pub(crate) fn step(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
        max: usize,
        scratch: &mut [u8],
        work: &mut usize,
    ) -> Result<Progress, Fault> {
        loop {
            if *work == 0 {
                return Ok(Progress::OutOfWork);
            }
            // One byte more than is allowed shows that there is more.
            let room =
                max.saturating_sub(out.len()).saturating_add(1).min(scratch.len()).min((*work).max(LEAST));
            let piece = &input[..input.len().min((*work / INPUT_WORK).max(LEAST))];
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let result = self.inflate.decompress(piece, &mut scratch[..room], InflateFlush::SyncFlush);
            let taken = (self.inflate.total_in() - before.0) as usize;
            let made = (self.inflate.total_out() - before.1) as usize;
            *input = &input[taken..];
            out.extend_from_slice(&scratch[..made]);
            *work = work.saturating_sub(made + INPUT_WORK * taken + CALL_WORK);
            self.is_fresh &= taken == 0;
            if out.len() > max {
                return Err(Fault::TooLarge);
            }
            let status = result.map_err(|_| Fault::Garbage)?;
            if status == Status::StreamEnd {
                // A final block ends the stream (RFC 7692 section 7.2.3.4). The rest is that of the next one, which refers to nothing.
                self.inflate.reset(false);
                self.is_fresh = true;
            } else if made < room && taken == 0 && !piece.is_empty() {
                return Err(Fault::Garbage);
            }
            if input.is_empty() && (made < room || self.is_fresh) {
                return Ok(Progress::Done);
            }
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("is_fresh", &self.is_fresh).finish_non_exhaustive()
    }
}

/// What zlib-rs allocates: the largest window, and tables.
const MEMORY: usize = 44 * 1024;
/// The largest window, as bits.
const WINDOW: u8 = 15;
/// The least that is inflated at once, so that each turn gets on.
const LEAST: usize = 512;
/// What a byte of input counts.
pub(crate) const INPUT_WORK: usize = 16;
/// What a call or a new stream counts.
pub(crate) const CALL_WORK: usize = 1024;
