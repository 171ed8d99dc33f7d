//! Deflates messages.

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::memory::Held;
use super::{Meter, TAIL};

/// The size of a window as bits, 9 to 15. A window of 8 bits is legal, but raw deflate cannot have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window(u8);

impl Window {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;

    pub(crate) fn new(bits: u8) -> Option<Self> {
        (9..=15).contains(&bits).then_some(Self(bits))
    }

    /// A number below [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.0 - 9)
    }
}

/// The compressed stream of one sender.
pub(crate) struct Encoder {
    deflate: Deflate,
    /// Nothing was compressed since the stream began.
    is_fresh: bool,
    /// For its end.
    _memory: Held,
}

impl Encoder {
    /// An encoder for many connections: 376 KiB with the largest window.
    pub(crate) fn shared(window: Window, meter: &Meter) -> Self {
        Self::new(window, 8, meter)
    }

    /// An encoder for one connection, which keeps it: 182 KiB. More memory makes messages of a game smaller by little.
    pub(crate) fn dedicated(window: Window, meter: &Meter) -> Self {
        Self::new(Window(window.0.min(DEDICATED.0)), DEDICATED.1, meter)
    }

    fn new(window: Window, mem_level: i32, meter: &Meter) -> Self {
        let window_bits = -i32::from(window.0);
        let config = DeflateConfig { window_bits, mem_level, ..DeflateConfig::new(LEVEL) };
        // What zlib-rs allocates: the window and its chains, the heads of the chains, and three buffers.
        let memory = (4 << window.0) + HEADS + (7 << (mem_level + 6)) + STATE;
        Self { deflate: Deflate::new_with_config(config), is_fresh: true, _memory: meter.hold(memory) }
    }

    /// Forgets what came before: the next message refers to nothing.
    pub(crate) fn reset(&mut self) {
        if !self.is_fresh {
            self.deflate.reset();
            self.is_fresh = true;
        }
    }

    /// Compresses a part of a message.
    pub(crate) fn push(&mut self, part: &[u8], scratch: &mut [u8], out: &mut Vec<u8>) {
        self.run(part, DeflateFlush::NoFlush, scratch, out);
    }

    /// Ends a message that is not empty. Returns false if the output cannot be sent.
    #[must_use]
    pub(crate) fn end(&mut self, scratch: &mut [u8], out: &mut Vec<u8>) -> bool {
        self.run(&[], DeflateFlush::SyncFlush, scratch, out);
        let is_whole = out.ends_with(&TAIL);
        out.truncate(out.len().saturating_sub(TAIL.len()));
        is_whole
    }

    fn run(&mut self, mut input: &[u8], flush: DeflateFlush, scratch: &mut [u8], out: &mut Vec<u8>) {
        self.is_fresh = false;
        loop {
            let before = (self.deflate.total_in(), self.deflate.total_out());
            // The only other result is that nothing was done.
            let result = self.deflate.compress(input, scratch, flush);
            debug_assert!(result.is_ok(), "the state is sound: {result:?}");
            input = &input[(self.deflate.total_in() - before.0) as usize..];
            let made = (self.deflate.total_out() - before.1) as usize;
            out.extend_from_slice(&scratch[..made]);
            // With room left, all that can come has come.
            if made < scratch.len() {
                return;
            }
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("is_fresh", &self.is_fresh).finish_non_exhaustive()
    }
}

/// The largest window of an encoder of one connection, and its level of memory for the rest.
const DEDICATED: (u8, i32) = (13, 5);
/// The heads of the chains of a window, and the rest of an encoder.
const HEADS: usize = 128 * 1024;
const STATE: usize = 8 * 1024;
/// How hard is tried: beyond this level, JSON and binary packets shrink by some percent more, and take a multiple of the time.
const LEVEL: i32 = 3;
