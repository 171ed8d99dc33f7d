//! Messages that wait to be compressed.
//!
//! Compressing takes time that others wait for. What is large waits here as it is, and is compressed a piece at a time, in the turns of writing
//! of its connection. Behind it waits whatever is not to overtake it. A message leaves when it is compressed as a whole, because its frame
//! begins with its size.
//!
//! What has to leave at once goes as it is, which is always allowed: before a Close, and when the stream is gone.

use std::collections::VecDeque;

use bytes::Bytes;

use super::claim::Claim;
use super::codecs::{LEAST_PIECE, MESSAGE_WORK, PIECE};
use super::coding::GROWTH;
use super::pool::Pool;
use super::writer::Kind;
use super::{Context, Session};
use crate::channel::PayloadRef;
use crate::deflate::Encoder;

/// The messages of one connection that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Waiting>,
    /// How far the first one is compressed, by the encoder of the connection.
    begun: Option<Pieces>,
    /// The turns in which the first one has waited for messages of other connections.
    turns: u32,
    /// What is compressed of the first one, for all that wait for it.
    wanted: Option<Claim>,
    /// As long as messages wait.
    _waits: Option<Claim>,
}

/// A message as it was handed in.
#[derive(Debug)]
struct Waiting {
    text: bool,
    kind: Kind,
    prefix: Vec<u8>,
    bytes: Bytes,
}

/// A message that is compressed in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Bytes of it that are compressed.
    pub(super) at: usize,
    pub(super) out: Vec<u8>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Puts a message behind those that wait. It counts until it has left.
    pub(super) fn push(&mut self, text: bool, payload: PayloadRef<'_>, kind: Kind, pool: &mut Pool) {
        if self.is_empty() {
            self._waits = Some(pool.codecs().waiting.clone());
        }
        let bytes = payload.shared.map_or_else(|| pool.charged(payload.bytes.to_vec()), Bytes::clone);
        self.messages.push_back(Waiting { text, kind, prefix: payload.prefix.to_vec(), bytes });
    }

    /// Stops compressing. Returns the bytes that were made in vain.
    pub(super) fn stop(&mut self) -> usize {
        self.begun.take().map_or(0, |pieces| pieces.out.len())
    }
}

impl Waiting {
    fn payload(&self) -> PayloadRef<'_> {
        PayloadRef::shared(&self.bytes).with_prefix(&self.prefix)
    }
}

impl Pieces {
    /// Compresses so many bytes more. Returns whether that is all.
    pub(super) fn step(
        &mut self,
        payload: PayloadRef<'_>,
        most: usize,
        encoder: &mut Encoder,
        scratch: &mut [u8],
    ) -> bool {
        let end = payload.len().min(self.at + most);
        let header = payload.prefix.len();
        for (part, from) in [(payload.prefix, 0), (payload.bytes, header)] {
            let range =
                self.at.saturating_sub(from).min(part.len())..end.saturating_sub(from).min(part.len());
            if !range.is_empty() {
                encoder.push(&part[range], scratch, &mut self.out);
            }
        }
        self.at = end;
        if end < payload.len() {
            return false;
        }
        if !encoder.end(scratch, &mut self.out) {
            debug_assert!(false, "a flush ends with its mark");
            self.out.resize(payload.len() + GROWTH, 0);
        }
        true
    }
}

impl Session {
    /// Returns whether messages wait to be compressed, and nothing else is written meanwhile.
    #[inline]
    pub(crate) fn only_compresses(&self) -> bool {
        self.out.is_empty() && self.compresses()
    }

    #[inline]
    pub(super) fn compresses(&self) -> bool {
        self.coding.as_ref().is_some_and(|coding| !coding.outbox.is_empty())
    }

    /// Compresses what waits, as much as one turn may.
    pub(super) fn compress_waiting(&mut self, cx: &mut Context<'_>) {
        let mut left = cx.pool.codecs().turn();
        while left >= LEAST_PIECE
            && self.out.pending() < PIECE
            && let Some(coding) = &mut self.coding
            && let Some(first) = coding.outbox.messages.pop_front()
        {
            let has_begun = coding.outbox.begun.is_some();
            let work = if has_begun {
                None
            } else {
                self.encode(first.text, first.payload(), first.kind, (left, true), cx)
            };
            let (work, is_queued) = match work {
                Some(work) => (work, true),
                None => self.compress_piece(&first, left, cx),
            };
            if work > 0 {
                cx.pool.codecs().note_compressed(work);
                left = left.saturating_sub(work + MESSAGE_WORK);
            }
            let Some(coding) = &mut self.coding else { return };
            if !is_queued {
                coding.outbox.messages.push_front(first);
                break;
            }
            (coding.outbox.turns, coding.outbox.wanted) = (0, None);
            if coding.outbox.is_empty() {
                coding.outbox = Outbox::default();
            }
        }
    }

    /// Compresses a piece of the first message. Returns its bytes, and whether the message is queued, because that was its last one.
    fn compress_piece(&mut self, first: &Waiting, most: usize, cx: &mut Context<'_>) -> (usize, bool) {
        let (text, kind, payload) = (first.text, first.kind, first.payload());
        let Some(coding) = &mut self.coding else { return (0, true) };
        let Some(window) = coding.window() else {
            self.out.push_message(self.role, text, payload, kind, cx.pool);
            return (0, true);
        };
        let (work, deflated) = if coding.keeps() {
            let mut pieces = coding.outbox.begun.take().unwrap_or_default();
            let before = pieces.at;
            let encoder = coding.encoder.get_or_insert_with(|| Encoder::dedicated(window, cx.pool.meter()));
            let is_whole = cx.pool.step(&mut pieces, payload, most, encoder);
            let work = pieces.at - before;
            if !is_whole {
                coding.outbox.begun = Some(pieces);
                return (work, false);
            }
            let deflated = cx.pool.finish(pieces, payload);
            if deflated.is_none() {
                // The remote never gets what later messages would refer to.
                encoder.reset();
            }
            (work, deflated)
        } else {
            let work = cx.pool.compress_piece(&first.bytes, &first.prefix, window, most);
            let known = cx.pool.codecs().known(payload, window);
            if known.is_none() {
                coding.outbox.wanted = cx.pool.codecs().claim_on(payload, window);
                coding.outbox.turns += u32::from(coding.outbox.wanted.is_none());
                if coding.outbox.turns < MOST_TURNS {
                    return (work, false);
                }
            }
            (work, known.flatten())
        };
        self.push_encoded(text, deflated.as_ref(), payload, kind, cx);
        (work, true)
    }

    /// Queues what waits to be compressed as it is, because nothing may wait any more.
    pub(crate) fn send_uncompressed(&mut self, pool: &mut Pool) {
        if !self.compresses() {
            return;
        }
        let Some(coding) = &mut self.coding else { return };
        let outbox = coding.take_outbox(pool);
        for first in outbox.messages {
            self.out.push_message(self.role, first.text, first.payload(), first.kind, pool);
        }
    }

    /// Drops what waits to be compressed.
    pub(super) fn drop_waiting(&mut self, pool: &mut Pool) {
        if let Some(coding) = &mut self.coding {
            coding.take_outbox(pool);
        }
    }
}

/// The turns in which a message waits for those of other connections before it goes as it is: less than half a second.
pub(crate) const MOST_TURNS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::{Meter, Window};

    #[test]
    fn a_message_is_the_same_whatever_the_pieces_are() {
        let bytes = Bytes::from((0..20_000_u32).flat_map(|i| (i % 251).to_be_bytes()).collect::<Vec<_>>());
        for prefix in [&b""[..], b"header  9"] {
            let payload = PayloadRef::shared(&bytes).with_prefix(prefix);
            for most in [4, 9, 10, 4096, 70_000, usize::MAX / 2] {
                let mut encoder = Encoder::shared(Window::new(15).expect("it is one"), &Meter::default());
                let (mut pieces, mut pool, mut steps) = (Pieces::default(), Pool::default(), 1);
                while !pool.step(&mut pieces, payload, most, &mut encoder) {
                    steps += 1;
                }
                assert_eq!(steps, payload.len().div_ceil(most));
                assert_eq!(pool.bytes(), pieces.out.len(), "what waits is counted");
                let deflated = pool.finish(pieces, payload).expect("it shrinks");
                assert_eq!(pool.bytes(), 0);
                let whole = [&deflated, &[0, 0, 0xff, 0xff, 3, 0][..]].concat();
                let found = miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound");
                assert!(found == [prefix, &bytes].concat(), "{most} at once");
            }
        }
    }
}
