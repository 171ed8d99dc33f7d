//! What the compressing connections of a driver share, so that an idle one holds nothing.

use std::collections::VecDeque;

use bytes::Bytes;

use super::coding::Ratio;
use crate::channel::PayloadRef;
use crate::deflate::{Decoder, Encoder, Meter, Window};

/// Compressors and decompressors that serve one message at a time.
#[derive(Debug)]
pub(super) struct Codecs {
    /// By window; each is made when it is needed.
    shared: [Option<Encoder>; Window::COUNT],
    /// What was compressed last: a broadcast is one message for each receiver, with the same payload.
    recent: VecDeque<Recent>,
    /// The same payload goes to several receivers in one command, and lies at one place until its end.
    is_broadcast: bool,
    /// The bytes that may still be compressed in this round.
    compress_left: usize,
    /// The spare memory of a compressed message.
    spare: Vec<u8>,
    /// It has read nothing.
    pub(super) decoder: Option<Decoder>,
    /// Where output goes first.
    pub(super) scratch: Box<[u8]>,
    /// The work of inflating that is left in this turn of reading.
    pub(super) inflate_left: usize,
    /// The messages that were inflated in this turn.
    pub(super) inflated: Ratio,
    /// The memory of all codecs of the driver, also those of connections.
    pub(super) meter: Meter,
}

/// A message that was compressed by itself.
#[derive(Debug)]
struct Recent {
    window: Window,
    prefix: Vec<u8>,
    /// Where the payload lies.
    place: (usize, usize),
    /// Keeps it there; `None`: it lies there until the end of the command.
    payload: Option<Bytes>,
    /// `None`: it does not shrink.
    deflated: Option<Bytes>,
}

impl Codecs {
    /// Returns what a message was compressed to for another receiver; `Some(None)`: it did not shrink.
    pub(super) fn recent(&self, payload: PayloadRef<'_>, window: Window) -> Option<Option<Bytes>> {
        let is_same = |recent: &&Recent| {
            recent.place == place(payload) && recent.window == window && recent.prefix == payload.prefix
        };
        self.recent.iter().rev().find(is_same).map(|recent| recent.deflated.clone())
    }

    /// Returns whether the same message may come again for another receiver.
    pub(super) fn may_come_again(&self, payload: PayloadRef<'_>) -> bool {
        payload.shared.is_some() || self.is_broadcast
    }

    /// Remembers what a message was compressed to.
    pub(super) fn remember(&mut self, payload: PayloadRef<'_>, window: Window, deflated: Option<Bytes>) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent {
            window,
            prefix: payload.prefix.to_vec(),
            place: place(payload),
            payload: payload.shared.cloned(),
            deflated,
        });
    }

    /// Begins or ends a command that sends the same to several receivers.
    pub(super) fn set_broadcast(&mut self, is_broadcast: bool) {
        self.is_broadcast = is_broadcast;
        self.recent.retain(|recent| recent.payload.is_some());
    }

    /// Forgets what was compressed, so that no payload is kept, and begins the work of the next round.
    pub(super) fn end_round(&mut self) {
        self.compress_left = COMPRESS_ROUND;
        self.recent.clear();
    }

    /// Compresses a message by itself. What comes back is not smaller if that is of no use, and goes to [`Self::recycle`].
    pub(super) fn compress(&mut self, payload: PayloadRef<'_>, window: Window) -> Vec<u8> {
        let mut encoder =
            self.shared[window.index()].take().unwrap_or_else(|| Encoder::shared(window, &self.meter));
        encoder.reset();
        let out = self.compress_behind(&mut encoder, payload);
        self.shared[window.index()] = Some(encoder);
        out
    }

    /// Compresses a message behind those that this encoder has compressed before.
    pub(super) fn compress_behind(&mut self, encoder: &mut Encoder, payload: PayloadRef<'_>) -> Vec<u8> {
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

    /// Takes from the work of this round what it is to compress a message. Returns false if that is used up.
    pub(super) fn may_compress(&mut self, payload: PayloadRef<'_>) -> bool {
        let may = self.compress_left > 0;
        self.compress_left = self.compress_left.saturating_sub(payload.len());
        may
    }

    /// Takes back memory.
    pub(super) fn recycle(&mut self, mut spare: Vec<u8>) {
        spare.clear();
        self.spare = spare;
    }

    /// Counts a message that was inflated.
    pub(super) fn note_inflated(&mut self, came: usize, inflated: usize) {
        self.inflated.add(inflated, came);
    }
}

fn place(payload: PayloadRef<'_>) -> (usize, usize) {
    (payload.bytes.as_ptr() as usize, payload.bytes.len())
}

impl Default for Codecs {
    fn default() -> Self {
        Self {
            shared: Default::default(),
            recent: VecDeque::new(),
            is_broadcast: false,
            compress_left: COMPRESS_ROUND,
            spare: Vec::new(),
            decoder: None,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            inflate_left: INFLATE_TURN,
            inflated: Ratio::default(),
            meter: Meter::default(),
        }
    }
}

/// The messages that are remembered until the end of a round: receivers with different windows, and some packets of one frame.
const RECENT: usize = 16;
/// The bytes that are compressed in one round, which takes some milliseconds: others wait meanwhile. What is sent beyond goes as it is.
pub(crate) const COMPRESS_ROUND: usize = 512 * 1024;
pub(crate) const SCRATCH: usize = 64 * 1024;
/// The work of inflating in one turn of reading: as many bytes as a turn delivers of other messages. See
/// [`Decoder::step`](crate::deflate::Decoder::step) for what counts.
pub(crate) const INFLATE_TURN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_means_the_same_payload_only_while_that_lies_there() {
        let mut codecs = Codecs::default();
        let (bytes, window) = (Bytes::from(vec![7; 2000]), Window::new(15).expect("it is one"));
        let (copied, shared) = (PayloadRef::copied(&bytes), PayloadRef::shared(&bytes));
        assert!(codecs.may_come_again(shared) && !codecs.may_come_again(copied));
        codecs.set_broadcast(true);
        assert!(codecs.may_come_again(copied));
        codecs.remember(copied, window, None);
        assert_eq!(codecs.recent(copied, window), Some(None));
        assert_eq!(codecs.recent(copied.with_prefix(b"other"), window), None);
        assert_eq!(codecs.recent(PayloadRef::copied(&bytes[..1999]), window), None);
        codecs.set_broadcast(false);
        assert_eq!(codecs.recent(copied, window), None);
        codecs.remember(shared, window, Some(Bytes::from_static(b"small")));
        codecs.set_broadcast(true);
        assert_eq!(codecs.recent(shared, window), Some(Some(Bytes::from_static(b"small"))));
        codecs.end_round();
        assert_eq!(codecs.recent(shared, window), None);
        assert!(bytes.is_unique(), "nothing keeps it");
    }
}
