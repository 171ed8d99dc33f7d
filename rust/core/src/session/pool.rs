//! What all connections of a driver share: spare buffers, and the count of the bytes that wait.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use super::claim::Claim;
use super::codecs::Codecs;
use super::coding::Ratio;
use super::outbox::Pieces;
use super::writer::{GATHERED_MAX, Segment};
use crate::channel::{PayloadRef, QueueTotal, charged};
use crate::deflate::{Encoder, Meter, Window};
use crate::http::Compression;
use crate::sync::Arc;

/// Spare buffers and codecs, shared by all connections of a driver, so that an idle connection holds none.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    spare: Vec<Vec<u8>>,
    /// The room of the spare buffers.
    room: usize,
    /// Bytes in the buffers that are in use.
    pub(super) bytes: usize,
    /// Made when the first connection needs them.
    codecs: Option<Box<Codecs>>,
    /// Connections with memory of their own for compression have a claim.
    dedicated: Claim,
    /// What waits in the whole process; `None` in tests.
    total: Option<Arc<QueueTotal>>,
}

impl Pool {
    /// Creates the pool of a driver whose shared payloads count for this total.
    pub(crate) fn new(total: &Arc<QueueTotal>) -> Self {
        Self { total: Some(Arc::clone(total)), ..Self::default() }
    }

    /// Makes a payload that waits in several queues, or outside of all, count for the process.
    pub(super) fn charged(&self, payload: Vec<u8>) -> Bytes {
        match &self.total {
            Some(total) => charged(total, payload),
            None => payload.into(),
        }
    }

    /// Returns the bytes that the queues of all connections hold, without shared payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts bytes that wait elsewhere for the same streams: there were `before`, and now there are `after`.
    pub(crate) fn recount(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
    }

    /// Returns how one more connection may compress: so many may have memory of their own.
    #[cold]
    pub(super) fn affordable(&self, wanted: Compression) -> Compression {
        if self.dedicated.others() < DEDICATED { wanted } else { Compression::Shared }
    }

    /// Returns the claim of a connection to memory of its own.
    pub(super) fn dedicate(&self) -> Claim {
        self.dedicated.clone()
    }

    pub(super) fn codecs(&mut self) -> &mut Codecs {
        self.codecs.get_or_insert_default()
    }

    /// Compresses a message that may go to several receivers, once for all of them; `None`: it does not shrink.
    pub(super) fn deflated(&mut self, payload: PayloadRef<'_>, window: Window) -> Option<Bytes> {
        let out = self.codecs().compress(payload, window);
        let deflated = (out.len() < payload.len()).then(|| self.charged(out.as_slice().to_vec()));
        self.codecs().recycle(out);
        self.codecs().remember(payload, window, deflated.clone());
        deflated
    }

    /// Compresses a piece of a message with the encoder of a connection. Returns whether that was the last one.
    pub(super) fn step(
        &mut self,
        pieces: &mut Pieces,
        payload: PayloadRef<'_>,
        most: usize,
        encoder: &mut Encoder,
    ) -> bool {
        let before = pieces.out.len();
        let is_whole = pieces.step(payload, most, encoder, &mut self.codecs().scratch);
        self.recount(before, pieces.out.len());
        is_whole
    }

    /// Returns what a message was compressed to in pieces; `None`: it does not shrink.
    pub(super) fn finish(&mut self, pieces: Pieces, payload: PayloadRef<'_>) -> Option<Bytes> {
        let mut out = pieces.out;
        self.recount(out.len(), 0);
        (out.len() < payload.len()).then(|| {
            out.shrink_to_fit();
            self.charged(out)
        })
    }

    /// Compresses a piece of a message that may go to several receivers, or of the one that others wait for. Returns its bytes.
    pub(super) fn compress_piece(
        &mut self,
        bytes: &Bytes,
        prefix: &[u8],
        window: Window,
        most: usize,
    ) -> usize {
        let (used, grown, whole) = self.codecs().compress_piece(bytes, prefix, window, most);
        self.recount(0, grown);
        if let Some(mut whole) = whole {
            let deflated = self.finish(mem::take(&mut whole.pieces), whole.payload());
            self.codecs().remember_large(whole, window, deflated);
        }
        used
    }

    /// Begins or ends a command that sends the same to several receivers.
    pub(crate) fn set_broadcast(&mut self, is_broadcast: bool) {
        if let Some(codecs) = &mut self.codecs {
            codecs.set_broadcast(is_broadcast);
        }
    }

    /// Ends a round: nothing keeps the payload of a message that has left.
    pub(crate) fn end_round(&mut self) {
        if let Some(codecs) = &mut self.codecs {
            let dropped = codecs.end_round();
            self.recount(dropped, 0);
        }
    }

    /// Returns whether a message was ever compressed or inflated.
    #[inline]
    pub(crate) fn has_codecs(&self) -> bool {
        self.codecs.is_some()
    }

    /// Sets the work of inflating of one turn.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn set_work(&mut self, work: usize) {
        self.codecs().set_work(work);
    }

    /// Ends a turn of reading of one connection. Returns its messages that were inflated.
    pub(crate) fn end_turn(&mut self) -> Ratio {
        self.codecs.as_mut().map_or_else(Ratio::default, |codecs| {
            codecs.begin_turn();
            mem::take(&mut codecs.inflated)
        })
    }

    /// Returns what counts the memory of codecs.
    pub(super) fn meter(&mut self) -> &Meter {
        &self.codecs().meter
    }

    /// Returns the memory of all codecs.
    #[inline]
    pub(crate) fn codec_bytes(&self) -> Option<usize> {
        self.codecs.as_ref().map(|codecs| codecs.meter.bytes() + codecs.scratch.len())
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        let buffer = self.spare.pop().unwrap_or_default();
        self.room -= buffer.capacity();
        buffer
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        self.bytes -= buffer.len();
        let room = buffer.capacity();
        if room > 0 && self.room + room <= POOLED && room <= 2 * GATHERED_MAX {
            buffer.clear();
            self.room += room;
            self.spare.push(buffer);
        }
    }

    pub(super) fn discard(&mut self, segments: VecDeque<Segment>) {
        for segment in segments {
            if let Segment::Gathered(buffer) = segment {
                self.give(buffer);
            }
        }
    }
}

/// The connections with memory of their own for compression: 226 MiB, if each of them sends and receives.
pub(crate) const DEDICATED: usize = 1024;
/// Bytes of the spare buffers that a driver keeps.
const POOLED: usize = 2 * 1024 * 1024;
