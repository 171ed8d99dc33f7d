//! Compressed messages as they are received (RFC 7692 section 7.2.2).
//!
//! A message is inflated when it is complete: until then its memory is paid for by what the remote has sent, and it needs no decoder.

use super::burst::Payload;
use super::claim::Claim;
use super::codecs::{Codecs, INFLATE_FREE, LENT};
use super::reader::{Frame, Leeway, Violation, not_utf8, too_large_inflated, valid_text};
use crate::deflate::{Decoder, Fault, Progress, TAIL};

/// The receiving side of a connection whose ends have agreed on permessage-deflate.
#[derive(Debug)]
pub(super) struct Inflation {
    /// Messages may refer to earlier ones.
    keeps: bool,
    /// That of the connection, or the one that the driver has lent for a message that takes several turns.
    decoder: Option<Decoder>,
    /// The decoder is lent by the thread, for longer than a turn.
    lent: Option<Claim>,
}

/// A complete message that is being inflated.
#[derive(Debug)]
pub(super) struct Deflated {
    text: bool,
    input: Vec<u8>,
    /// Bytes of the input, and of [`TAIL`] behind it, that are used.
    at: usize,
    out: Vec<u8>,
    /// The limit when its last frame began: the game may lower it meanwhile.
    max: usize,
    /// Bytes of a text that are checked.
    valid: usize,
    /// It is large.
    place: Option<Claim>,
}

impl Deflated {
    pub(super) fn new(text: bool, input: Vec<u8>, max: usize) -> Self {
        Self { text, input, at: 0, out: Vec::new(), max, valid: 0, place: None }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn holds(&self) -> usize {
        self.input.capacity() + self.out.capacity()
    }

    /// Inflates as much as this turn may. Returns whether that is all.
    fn go_on(&mut self, max: usize, decoder: &mut Decoder, codecs: &mut Codecs) -> Result<bool, Fault> {
        let Codecs { scratch, inflate_left: work, .. } = codecs;
        let len = self.input.len();
        if self.at < len {
            let mut input = &self.input[self.at..];
            let progress = decoder.step(&mut input, &mut self.out, max, scratch, work);
            self.at = len - input.len();
            if progress? == Progress::OutOfWork {
                return Ok(false);
            }
        }
        // Of an empty message, and behind a final block, the end needs no mark, which would be the beginning of something else.
        if self.at == len && (len == 0 || decoder.is_fresh()) {
            return Ok(true);
        }
        let mut tail = &TAIL[self.at - len..];
        let progress = decoder.step(&mut tail, &mut self.out, max, scratch, work);
        self.at = len + TAIL.len() - tail.len();
        Ok(progress? == Progress::Done)
    }

    /// Forgets what came of it, and keeps its place.
    fn start_over(&mut self) {
        (self.at, self.valid, self.out) = (0, 0, Vec::new());
    }

    /// Checks what came in this turn.
    fn check_text(&mut self) -> Result<(), Violation> {
        if self.text {
            self.valid = valid_text(&self.out, self.valid)?;
        }
        Ok(())
    }

    fn finish<'b>(mut self, leeway: &Leeway) -> Result<Frame<'b>, Violation> {
        leeway.check(&self.out, self.text, self.max)?;
        if self.text && self.valid < self.out.len() {
            return Err(not_utf8());
        }
        // It may wait for the game for long.
        if self.out.capacity() > self.out.len() + self.out.len() / 4 {
            self.out.shrink_to_fit();
        }
        Ok(Frame::Message { payload: Payload::Owned(self.out.into()), text: self.text })
    }
}

impl Inflation {
    pub(super) fn new(keeps: bool) -> Self {
        Self { keeps, decoder: None, lent: None }
    }

    #[cfg(test)]
    pub(super) fn has_decoder(&self) -> bool {
        self.decoder.is_some()
    }

    /// Goes on with a message, and returns it when it is whole; `None`: the work of this turn is done.
    pub(super) fn go_on<'b>(
        &mut self,
        message: &mut Option<Deflated>,
        leeway: &Leeway,
        codecs: &mut Codecs,
    ) -> Result<Option<Frame<'b>>, Violation> {
        let Some(deflated) = message else { return Ok(None) };
        let limit = deflated.max;
        let max = leeway.most(limit);
        let begins = !self.keeps && self.decoder.is_none();
        let is_large = deflated.out.len() > INFLATE_FREE
            || deflated.place.is_some()
            || begins && codecs.lent.others() >= LENT;
        self.lent = None;
        if is_large && !codecs.may_go_on(&mut deflated.place, max) {
            self.give_back(deflated, codecs);
            return Ok(None);
        }
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None if self.keeps => Decoder::new(&codecs.meter),
            None => codecs.decoder.take().unwrap_or_else(|| Decoder::new(&codecs.meter)),
        };
        let result = deflated.go_on(max, &mut decoder, codecs).map_err(|fault| match fault {
            Fault::Garbage => {
                Violation { code: 1007, what: "a compressed message that cannot be inflated".to_owned() }
            }
            Fault::TooLarge => too_large_inflated(limit),
        });
        let result = result.and_then(|is_whole| deflated.check_text().map(|()| is_whole));
        // Nothing is read any more, and nothing waits for another turn.
        let is_whole = result.inspect_err(|_| *message = None)?;
        if is_whole && !self.keeps {
            codecs.take_back(decoder);
        } else {
            self.decoder = Some(decoder);
            self.lent = (!self.keeps).then(|| codecs.lent.clone());
        }
        let Some(whole) = message.take_if(|_| is_whole) else { return Ok(None) };
        codecs.note_inflated(whole.input.len(), whole.out.len());
        whole.finish(leeway).map(Some)
    }

    /// Leaves everything that others wait for, because the connection is not read for some time. One that keeps its decoder has nothing of the
    /// kind: a message has no place before much of it has come, and is not left then.
    pub(super) fn rest(&mut self, deflated: &mut Deflated, codecs: &mut Codecs) {
        if !self.keeps {
            self.give_back(deflated, codecs);
            self.lent = None;
            deflated.place = None;
        }
    }

    /// Gives back the decoder that the thread has lent: many may wait, and the little that has come of a message comes again. One that keeps
    /// something cannot go back.
    fn give_back(&mut self, deflated: &mut Deflated, codecs: &mut Codecs) {
        if !self.keeps
            && let Some(decoder) = self.decoder.take()
        {
            deflated.start_over();
            codecs.take_back(decoder);
        }
    }
}
