//! What the compressing connections of a driver share, so that an idle one holds nothing.

use crate::channel::PayloadRef;
use crate::deflate::{Decoder, Encoder, Window};

/// Compressors and decompressors that serve one message at a time.
#[derive(Debug)]
pub(super) struct Codecs {
    /// By window; each is made when it is needed.
    shared: [Option<Encoder>; Window::COUNT],
    /// The spare memory of a compressed message.
    spare: Vec<u8>,
    /// It has read nothing.
    pub(super) decoder: Option<Decoder>,
    /// Where output goes first.
    pub(super) scratch: Box<[u8]>,
    /// The work of inflating that is left in this turn of reading.
    pub(super) inflate_left: usize,
    /// Bytes of messages that were inflated in this turn, beyond those that came.
    pub(super) gained: usize,
}

impl Codecs {
    /// Compresses a message by itself. What comes back is not smaller if that is of no use, and goes to [`Self::recycle`].
    pub(super) fn compress(&mut self, payload: PayloadRef<'_>, window: Window) -> Vec<u8> {
        let encoder = self.shared[window.index()].get_or_insert_with(|| Encoder::shared(window));
        encoder.reset();
        let mut out = std::mem::take(&mut self.spare);
        for part in [payload.prefix, payload.bytes] {
            encoder.push(part, &mut self.scratch, &mut out);
        }
        if !encoder.end(&mut self.scratch, &mut out) {
            debug_assert!(false, "a flush ends with its mark");
            out.resize(payload.len(), 0);
        }
        out
    }

    /// Takes back memory.
    pub(super) fn recycle(&mut self, mut spare: Vec<u8>) {
        spare.clear();
        self.spare = spare;
    }

    /// Counts a message that was inflated.
    pub(super) fn note_inflated(&mut self, came: usize, inflated: usize) {
        self.gained += inflated.saturating_sub(came);
    }
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
            shared: Default::default(),
            spare: Vec::new(),
            decoder: None,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            inflate_left: INFLATE_TURN,
            gained: 0,
        }
    }
}

const SCRATCH: usize = 64 * 1024;
/// The work of inflating in one turn of reading: as many bytes as a turn delivers of other messages. See
/// [`Decoder::step`](crate::deflate::Decoder::step) for what counts.
pub(crate) const INFLATE_TURN: usize = 64 * 1024;
