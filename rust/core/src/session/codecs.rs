//! What the compressing connections of a driver share, so that an idle one holds nothing.

use std::collections::VecDeque;

use bytes::Bytes;

use super::claim::Claim;
use super::coding::{GROWTH, Ratio};
use super::outbox::Pieces;
use crate::channel::PayloadRef;
use crate::deflate::{Decoder, Encoder, Meter, Window};

/// Compressors and decompressors that serve one message at a time.
#[derive(Debug)]
pub(super) struct Codecs {
    /// By window; each is made when it is needed.
    shared: [Option<Encoder>; Window::COUNT],
    /// What was compressed last: a broadcast is one message for each receiver, with the same payload.
    recent: VecDeque<Recent>,
    /// What was compressed in pieces.
    large: VecDeque<Large>,
    /// By window: a message that is compressed in pieces, for whoever waits for it. The others wait for their turn.
    jobs: [Option<Box<Job>>; Window::COUNT],
    /// The connections in which messages wait to be compressed have a claim.
    pub(super) waiting: Claim,
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
    /// What this turn began with, and what is left in this round.
    inflate_turn: usize,
    inflate_round: usize,
    /// The messages that take more than one turn, each with a decoder of its own.
    pub(super) lent: Claim,
    /// The large messages that are inflated, in the order in which they may go on.
    inflating: VecDeque<Claim>,
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

/// A message of which a part is compressed.
#[derive(Debug)]
struct Job {
    prefix: Vec<u8>,
    payload: Bytes,
    encoder: Encoder,
    pieces: Pieces,
    demand: Demand,
}

/// A message that was compressed in pieces.
#[derive(Debug)]
struct Large {
    recent: Recent,
    demand: Demand,
}

/// Who waits for a message. It stays for some rounds without them, because of receivers that have had their turn, or have others before it.
#[derive(Debug, Default)]
struct Demand {
    /// A connection whose stream takes nothing has no turns: it does not begin again each time.
    claim: Claim,
    /// Ends of rounds since somebody has asked for it.
    age: u8,
}

impl Demand {
    /// Ends a round. Returns whether it stays.
    fn lasts(&mut self, more: u8) -> bool {
        self.age = if self.claim.others() > 0 { 0 } else { self.age + more };
        self.age < AGE
    }
}

/// A message that is compressed.
#[derive(Debug)]
pub(super) struct Whole {
    prefix: Vec<u8>,
    payload: Bytes,
    pub(super) pieces: Pieces,
    demand: Demand,
}

impl Whole {
    pub(super) fn payload(&self) -> PayloadRef<'_> {
        PayloadRef::shared(&self.payload).with_prefix(&self.prefix)
    }
}

impl Recent {
    fn new(payload: PayloadRef<'_>, window: Window, deflated: Option<Bytes>) -> Self {
        Self {
            window,
            prefix: payload.prefix.to_vec(),
            place: place(payload),
            payload: payload.shared.cloned(),
            deflated,
        }
    }

    fn is(&self, payload: PayloadRef<'_>, window: Window) -> bool {
        self.place == place(payload) && self.window == window && self.prefix == payload.prefix
    }
}

impl Codecs {
    /// Returns what a message was compressed to for another receiver; `Some(None)`: it did not shrink.
    pub(super) fn known(&self, payload: PayloadRef<'_>, window: Window) -> Option<Option<Bytes>> {
        let all = self.recent.iter().rev().chain(self.large.iter().map(|large| &large.recent));
        let mut same = all.filter(|recent| recent.is(payload, window));
        same.next().map(|recent| recent.deflated.clone())
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
        self.recent.push_back(Recent::new(payload, window, deflated));
    }

    /// Compresses a piece of the message that is under way for this window, or begins with this one. Returns its bytes, those by which its
    /// memory grows, and the message if it is whole.
    pub(super) fn compress_piece(
        &mut self,
        bytes: &Bytes,
        prefix: &[u8],
        window: Window,
        most: usize,
    ) -> (usize, usize, Option<Whole>) {
        let place = &mut self.jobs[window.index()];
        let job = place.get_or_insert_with(|| {
            let mut encoder =
                self.shared[window.index()].take().unwrap_or_else(|| Encoder::shared(window, &self.meter));
            encoder.reset();
            let (prefix, payload) = (prefix.to_vec(), bytes.clone());
            Box::new(Job { prefix, payload, encoder, pieces: Pieces::default(), demand: Demand::default() })
        });
        job.demand.age = 0;
        let before = (job.pieces.at, job.pieces.out.len());
        let payload = PayloadRef::shared(&job.payload).with_prefix(&job.prefix);
        let is_whole = job.pieces.step(payload, most, &mut job.encoder, &mut self.scratch);
        let (used, grown) = (job.pieces.at - before.0, job.pieces.out.len() - before.1);
        let whole = place.take_if(|_| is_whole).map(|job| {
            let Job { prefix, payload, encoder, pieces, demand } = *job;
            self.shared[window.index()] = Some(encoder);
            Whole { prefix, payload, pieces, demand }
        });
        (used, grown, whole)
    }

    /// Returns the claim of who waits for this message, if it is the one that is compressed in pieces for this window.
    pub(super) fn claim_on(&self, payload: PayloadRef<'_>, window: Window) -> Option<Claim> {
        let job = self.jobs[window.index()].as_ref()?;
        let is_same =
            place(PayloadRef::shared(&job.payload)) == place(payload) && job.prefix == payload.prefix;
        is_same.then(|| job.demand.claim.clone())
    }

    /// Remembers what a large message was compressed to, as long as somebody waits for it.
    pub(super) fn remember_large(&mut self, whole: Whole, window: Window, deflated: Option<Bytes>) {
        if self.large.len() == RECENT {
            self.large.pop_front();
        }
        let recent = Recent::new(whole.payload(), window, deflated);
        self.large.push_back(Large { recent, demand: whole.demand });
    }

    /// Returns the bytes that a connection may compress in its turn of writing. There are always some, so that each of them gets on. What it
    /// does is [noted](Self::note_compressed); the rest is for others.
    pub(super) fn turn(&self) -> usize {
        (self.compress_left / TURNS).clamp(LEAST_PIECE, PIECE)
    }

    /// Begins or ends a command that sends the same to several receivers.
    pub(super) fn set_broadcast(&mut self, is_broadcast: bool) {
        self.is_broadcast = is_broadcast;
        self.recent.retain(|recent| recent.payload.is_some());
    }

    /// Forgets what was compressed, so that no payload is kept, and begins the work of the next round.
    ///
    /// Returns the bytes of those that nobody waits for any more, and that are dropped.
    pub(super) fn end_round(&mut self) -> usize {
        self.compress_left = COMPRESS_ROUND;
        self.recent.clear();
        self.inflate_round = INFLATE_ROUND;
        // Their messages are whole, or dropped.
        self.inflating.retain(|place| place.others() > 0);
        let more = if self.waiting.others() > 0 { 1 } else { AGE };
        self.large.retain_mut(|large| large.demand.lasts(more));
        let mut dropped = 0;
        for (job, encoder) in self.jobs.iter_mut().zip(&mut self.shared) {
            let old = job.take_if(|job| !job.demand.lasts(more));
            if let Some(old) = old {
                dropped += old.pieces.out.len();
                *encoder = Some(old.encoder);
            }
        }
        dropped
    }

    /// Begins the next turn of reading. When the work of the round is done, each connection gets on a little.
    pub(super) fn begin_turn(&mut self) {
        let done = self.inflate_turn.saturating_sub(self.inflate_left);
        self.inflate_round = self.inflate_round.saturating_sub(done);
        self.set_work(INFLATE_TURN.min(self.inflate_round).max(INFLATE_LEAST));
    }

    pub(super) fn set_work(&mut self, work: usize) {
        (self.inflate_turn, self.inflate_left) = (work, work);
    }

    /// Returns whether a large message may go on, or has to wait for those before it, for which there is memory.
    ///
    /// What is inflated is complete, so that no message keeps its place because of a remote that stalls. A remote that sends many waits behind
    /// all others each time.
    pub(super) fn may_go_on(&mut self, place: &mut Option<Claim>, max: usize) -> bool {
        let place = place.get_or_insert_with(|| {
            let place = Claim::default();
            self.inflating.push_back(place.clone());
            place
        });
        let most = (INFLATING_BYTES / max.max(1)).clamp(1, INFLATING);
        self.inflating.iter().take(most).any(|first| first.is(place))
    }

    /// Takes back the decoder that was lent for a message.
    pub(super) fn take_back(&mut self, mut decoder: Decoder) {
        decoder.reset();
        self.decoder = Some(decoder);
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
            out.resize(payload.len() + GROWTH, 0);
        }
        out
    }

    /// Returns the size of the largest message that may be compressed at once in this round.
    pub(super) fn most_at_once(&self) -> usize {
        if self.compress_left > 0 { PIECE } else { 0 }
    }

    /// Takes what was compressed from the work of this round.
    pub(super) fn note_compressed(&mut self, bytes: usize) {
        self.compress_left = self.compress_left.saturating_sub(bytes + MESSAGE_WORK);
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
            large: VecDeque::new(),
            jobs: Default::default(),
            waiting: Claim::default(),
            is_broadcast: false,
            compress_left: COMPRESS_ROUND,
            spare: Vec::new(),
            decoder: None,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            inflate_left: INFLATE_TURN,
            inflate_turn: INFLATE_TURN,
            inflate_round: INFLATE_ROUND,
            lent: Claim::default(),
            inflating: VecDeque::new(),
            inflated: Ratio::default(),
            meter: Meter::default(),
        }
    }
}

/// The messages that are remembered until the end of a round: receivers with different windows, and some packets of one frame.
const RECENT: usize = 16;
/// The ends of rounds that a large message stays without somebody who waits for it. There are up to two in a round.
const AGE: u8 = 4;
/// The bytes that are compressed in one round, which takes some milliseconds: others wait meanwhile. Beyond, what is small goes as it is, and each
/// connection with a large message gets on by [`LEAST_PIECE`].
pub(crate) const COMPRESS_ROUND: usize = 512 * 1024;
/// What a message or a piece costs beside its bytes.
pub(crate) const MESSAGE_WORK: usize = 1024;
/// The most that is compressed at once, and of one connection in its turn of writing. It takes about a millisecond.
pub(crate) const PIECE: usize = 64 * 1024;
/// The least that a connection compresses in its turn of writing.
pub(crate) const LEAST_PIECE: usize = 1024;
/// A turn takes this part of what is left in the round.
const TURNS: usize = 8;
pub(crate) const SCRATCH: usize = 64 * 1024;
/// The work of inflating in one turn of reading: as many bytes as a turn delivers of other messages. See
/// [`Decoder::step`](crate::deflate::Decoder::step) for what counts.
pub(crate) const INFLATE_TURN: usize = 64 * 1024;
/// The same for all connections in one round, but for [`INFLATE_LEAST`] of each: it takes some milliseconds.
pub(crate) const INFLATE_ROUND: usize = 1024 * 1024;
pub(crate) const INFLATE_LEAST: usize = 4 * 1024;
/// The messages that may take more than one turn at a time. Further ones count as large: they wait for their place before they begin.
pub(crate) const LENT: usize = 256;
/// A message that inflates to more is large.
pub(crate) const INFLATE_FREE: usize = 64 * 1024;
/// The large messages that are inflated at a time, so that half of a round's work is left for others, and their bytes, if each is as large as it
/// may be. There is always one.
pub(crate) const INFLATING: usize = 8;
pub(crate) const INFLATING_BYTES: usize = 16 * 1024 * 1024;

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
        assert_eq!(codecs.known(copied, window), Some(None));
        assert_eq!(codecs.known(copied.with_prefix(b"other"), window), None);
        assert_eq!(codecs.known(PayloadRef::copied(&bytes[..1999]), window), None);
        codecs.set_broadcast(false);
        assert_eq!(codecs.known(copied, window), None);
        codecs.remember(shared, window, Some(Bytes::from_static(b"small")));
        codecs.set_broadcast(true);
        assert_eq!(codecs.known(shared, window), Some(Some(Bytes::from_static(b"small"))));
        codecs.end_round();
        assert_eq!(codecs.known(shared, window), None);
        assert!(bytes.is_unique(), "nothing keeps it");
    }
}
