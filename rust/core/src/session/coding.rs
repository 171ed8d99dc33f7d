//! Compressed messages as they are sent (RFC 7692 section 7.2.1).
//!
//! What does not shrink goes as it is, and so does what is small. What is large waits in the [`Outbox`].

use std::mem;

use bytes::Bytes;

use super::claim::Claim;
use super::codecs::PIECE;
use super::frame::Opcode;
use super::outbox::Outbox;
use super::pool::Pool;
use super::writer::{Kind, Writer};
use super::{Context, Role, Session};
use crate::channel::PayloadRef;
use crate::config::PeerConfig;
use crate::deflate::{Encoder, Window};
use crate::http::{Agreed, Compression};

/// The sending side of a connection whose ends have agreed on permessage-deflate.
#[derive(Debug)]
pub(super) struct Coding {
    /// `None`: the remote's window is too small to compress for.
    window: Option<Window>,
    /// A message may refer to those before it.
    keeps: bool,
    /// The same for what is received.
    receive_keeps: bool,
    /// For its end, if something is kept.
    _dedicated: Option<Claim>,
    /// Made when it is needed, if `keeps`.
    pub(super) encoder: Option<Encoder>,
    /// What waits to be compressed.
    pub(super) outbox: Outbox,
    /// The sizes of the messages that have left, before they were compressed.
    left_bytes: u64,
    /// What was compressed since the figures were taken.
    compressed: Ratio,
}

/// The sizes of messages, as they are and compressed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) plain: usize,
    pub(crate) compressed: usize,
}

impl Ratio {
    pub(super) fn add(&mut self, plain: usize, compressed: usize) {
        self.plain += plain;
        self.compressed += compressed;
    }
}

impl Coding {
    pub(super) fn new(Agreed { send, receive_keeps }: Agreed, pool: &Pool) -> Self {
        Self {
            _dedicated: (send.keeps || receive_keeps).then(|| pool.dedicate()),
            window: Window::new(send.window),
            keeps: send.keeps,
            receive_keeps,
            encoder: None,
            outbox: Outbox::default(),
            left_bytes: 0,
            compressed: Ratio::default(),
        }
    }

    pub(super) fn note_left(&mut self, bytes: usize) {
        self.left_bytes += bytes as u64;
    }

    pub(super) fn window(&self) -> Option<Window> {
        self.window
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Takes what waits. Nothing is compressed behind it any more, so that the encoder may have seen what the remote never gets.
    pub(super) fn take_outbox(&mut self, pool: &mut Pool) -> Outbox {
        let mut outbox = mem::take(&mut self.outbox);
        pool.recount(outbox.stop(), 0);
        outbox
    }

    /// Returns the window to compress a message for; `None`: it goes as it is.
    fn window_of(&self, payload: PayloadRef<'_>, kind: Kind, config: &PeerConfig) -> Option<Window> {
        let is_large = payload.len() >= config.compression_threshold.max(1);
        self.window.filter(|_| kind.is_data() && is_large)
    }
}

impl Session {
    /// Queues a message of a connection whose messages may be compressed.
    #[cold]
    #[inline(never)]
    pub(super) fn send_coded(
        &mut self,
        text: bool,
        payload: PayloadRef<'_>,
        kind: Kind,
        cx: &mut Context<'_>,
    ) {
        let most = cx.pool.codecs().most_at_once();
        if !self.compresses()
            && let Some(work) = self.encode(text, payload, kind, (most, false), cx)
        {
            if work > 0 {
                cx.pool.codecs().note_compressed(work);
            }
        } else if let Some(coding) = &mut self.coding {
            coding.outbox.push(text, payload, kind, cx.pool);
        }
    }

    /// Queues a message, compressed if it has no more than so many bytes; a larger one goes as it is, unless it waits already. Returns how many
    /// were compressed; `None`: it is to be compressed in pieces.
    pub(super) fn encode(
        &mut self,
        text: bool,
        payload: PayloadRef<'_>,
        kind: Kind,
        (most, waits): (usize, bool),
        cx: &mut Context<'_>,
    ) -> Option<usize> {
        let coding = self.coding.as_mut()?;
        let Some(window) = coding.window_of(payload, kind, cx.config) else {
            self.out.push_message(self.role, text, payload, kind, cx.pool);
            return Some(0);
        };
        let is_shared = !coding.keeps && cx.pool.codecs().may_come_again(payload);
        if is_shared && let Some(known) = cx.pool.codecs().known(payload, window) {
            self.push_encoded(text, known.as_ref(), payload, kind, cx);
            return Some(0);
        }
        if payload.len() > PIECE || payload.len() > most && waits {
            return None;
        }
        if payload.len() > most {
            self.out.push_message(self.role, text, payload, kind, cx.pool);
            return Some(0);
        }
        if is_shared {
            let deflated = cx.pool.deflated(payload, window);
            self.push_encoded(text, deflated.as_ref(), payload, kind, cx);
            return Some(payload.len());
        }
        let (out, pays) = if coding.keeps {
            let encoder = coding.encoder.get_or_insert_with(|| Encoder::dedicated(window, cx.pool.meter()));
            let out = cx.pool.codecs().compress_behind(encoder, payload);
            // The first of many small messages has nothing to refer to, but the others refer to it.
            let growth = if payload.len() <= MAY_GROW { GROWTH } else { 0 };
            let pays = out.len() < payload.len() + growth;
            if !pays {
                // The remote never gets what later messages would refer to.
                encoder.reset();
            }
            (out, pays)
        } else {
            let out = cx.pool.codecs().compress(payload, window);
            let pays = out.len() < payload.len();
            (out, pays)
        };
        if pays {
            coding.compressed.add(payload.len(), out.len());
            let deflated = PayloadRef::copied(&out);
            self.out.push_deflated(self.role, text, deflated, payload, kind, cx.pool);
        } else {
            self.out.push_message(self.role, text, payload, kind, cx.pool);
        }
        cx.pool.codecs().recycle(out);
        Some(payload.len())
    }

    /// Queues a message that was compressed to this; `None`: it goes as it is.
    pub(super) fn push_encoded(
        &mut self,
        text: bool,
        deflated: Option<&Bytes>,
        payload: PayloadRef<'_>,
        kind: Kind,
        cx: &mut Context<'_>,
    ) {
        match deflated {
            Some(deflated) => {
                if let Some(coding) = &mut self.coding {
                    coding.compressed.add(payload.len(), deflated.len());
                }
                let deflated = PayloadRef::shared(deflated);
                self.out.push_deflated(self.role, text, deflated, payload, kind, cx.pool);
            }
            None => self.out.push_message(self.role, text, payload, kind, cx.pool),
        }
    }

    /// Returns what the ends of the connection have agreed on.
    pub(crate) fn compression(&self) -> Option<Compression> {
        let coding = self.coding.as_ref()?;
        Some(if coding.keeps || coding.receive_keeps { Compression::Dedicated } else { Compression::Shared })
    }

    /// Returns what was compressed since the last call.
    pub(crate) fn take_compressed(&mut self) -> Ratio {
        self.coding.as_mut().map_or_else(Ratio::default, |coding| mem::take(&mut coding.compressed))
    }

    /// Returns the sizes of the messages that have left, before they were compressed; `None`: nothing is compressed.
    pub(crate) fn left_uncompressed(&self) -> Option<u64> {
        self.coding.as_ref().map(|coding| coding.left_bytes)
    }
}

impl Writer {
    /// Queues a message that was compressed. To budgets and sessions it has the size that it had before.
    pub(super) fn push_deflated(
        &mut self,
        role: Role,
        text: bool,
        deflated: PayloadRef<'_>,
        payload: PayloadRef<'_>,
        kind: Kind,
        pool: &mut Pool,
    ) {
        let opcode = if text { Opcode::DeflatedText } else { Opcode::DeflatedBinary };
        self.push_frame(role, opcode, deflated, kind, true, pool);
        if let Some(end) = self.ends.back_mut() {
            end.size = payload.len() as u32;
        }
        if self.keeps() && kind == Kind::Message {
            debug_assert!(payload.prefix.is_empty(), "sessions are of a wire without headers");
            let original = payload.shared.map_or_else(|| pool.charged(payload.bytes.to_vec()), Bytes::clone);
            self.keep_original(original);
        }
    }

    /// Returns how much of the first message has left already: as [`Self::begun`], but counted before it was compressed.
    pub(crate) fn begun_uncompressed(&self) -> usize {
        let begun = self.begun();
        let Some(end) = self.ends.get(self.left).filter(|_| begun > 0) else { return 0 };
        let whole = (end.at - self.left_whole).max(1);
        (begun as u64 * u64::from(end.size) / whole) as usize
    }
}

impl Kind {
    /// Returns whether it is a message of the game.
    fn is_data(self) -> bool {
        matches!(self, Self::Message | Self::Unreliable)
    }
}

/// The largest message that may become larger where others refer to it, in bytes, and by how much less it grows.
pub(crate) const MAY_GROW: usize = 512;
pub(crate) const GROWTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::kept::tests::Line;

    #[test]
    fn a_new_stream_gets_as_it_was_what_was_compressed() {
        for role in [Role::Server, Role::Client] {
            for room in 0..400 {
                let mut line = Line::new(role);
                line.is_coded = true;
                line.push(&[b'a'; 3000], Kind::Message);
                line.push(&[b'b'; 2000], Kind::Unreliable);
                line.is_coded = false;
                line.push(&[b'c'; 100], Kind::Message);
                line.is_coded = true;
                line.push(&[b'd'; 70], Kind::Message);
                line.push(&[b'e'; 5000], Kind::Message);
                let (left, _) = line.write(room);
                let freed = line.rewind();
                assert_eq!((freed.packets, freed.bytes), if left < 2 { (1, 2000) } else { (0, 0) }, "{room}");
                line.push(&[b'f'; 900], Kind::Message);
                line.write(usize::MAX);
                assert_eq!(line.received(), ["a3000", "skip 1", "c100", "d70", "e5000", "f900"], "{room}");
                // And again, behind what is acknowledged.
                line.acknowledge(3);
                line.rewind();
                line.write(usize::MAX);
                assert_eq!(line.received(), ["d70", "e5000", "f900"]);
                line.acknowledge(6);
                assert_eq!(line.writer.originals(), 0);
                assert_eq!((line.writer.sent().packets, line.pool.bytes()), (0, 0));
            }
        }
    }

    #[test]
    fn an_original_is_kept_as_long_as_its_message() {
        let mut line = Line::new(Role::Server);
        line.is_coded = true;
        for _ in 0..4 {
            line.push(&[b'x'; 2000], Kind::Message);
        }
        line.push(&[b'u'; 2000], Kind::Unreliable);
        line.write(usize::MAX);
        assert_eq!(line.writer.originals(), 4);
        line.acknowledge(1);
        assert_eq!(line.writer.originals(), 3);
        line.writer.forget(4500, 1000, true, &mut line.pool);
        assert_eq!((line.writer.originals(), line.writer.before()), (1, 3));
        line.writer.keep_nothing(&mut line.pool);
        assert_eq!((line.writer.originals(), line.pool.bytes()), (0, 0));
    }

    #[test]
    fn what_a_compressed_message_counts_is_its_size() {
        let mut line = Line::new(Role::Server);
        line.is_coded = true;
        line.push(&[b'x'; 60_000], Kind::Message);
        line.push(&[b'y'; 60_000], Kind::Message);
        let wire = line.writer.pending();
        assert!(wire < 1000 && line.writer.begun_uncompressed() == 0, "{wire}");
        line.write(wire / 4);
        let begun = line.writer.begun_uncompressed();
        assert!((29_000..31_000).contains(&begun), "{begun}");
        line.write(wire / 4 + 10);
        assert_eq!(line.writer.sent().bytes, 60_000);
        // The second one has begun.
        line.push(&[b'z'; 60_000], Kind::Message);
        assert_eq!(line.writer.drop_unsent(&mut line.pool), (1, 60_000));
        assert_eq!(line.writer.originals(), 2);
        line.rewind();
        line.write(usize::MAX);
        assert_eq!(line.received(), ["x60000", "y60000"]);
    }

    #[test]
    fn a_header_and_its_payload_are_one_message() {
        let mut pool = Pool::default();
        let payload = [b'p'; 3000];
        let message = PayloadRef::copied(&payload).with_prefix(b"header  9");
        let window = Window::new(15).expect("it is one");
        let deflated = pool.codecs().compress(message, window);
        let whole = [deflated.as_slice(), &[0, 0, 0xff, 0xff, 3, 0]].concat();
        let found = miniz_oxide::inflate::decompress_to_vec(&whole).expect("sound");
        assert_eq!(found, [&b"header  9"[..], &payload].concat());
    }
}
