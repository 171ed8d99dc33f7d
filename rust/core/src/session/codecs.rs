//! What the compressing connections of a driver share, so that an idle one holds nothing.

use crate::deflate::Decoder;

/// Compressors and decompressors that serve one message at a time.
#[derive(Debug)]
pub(super) struct Codecs {
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
    /// Counts a message that was inflated.
    pub(super) fn note_inflated(&mut self, came: usize, inflated: usize) {
        self.gained += inflated.saturating_sub(came);
    }
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
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
