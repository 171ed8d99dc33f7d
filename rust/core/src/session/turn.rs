//! One turn of reading a connection: bounded in bytes, few system calls.

use std::io::{self, ErrorKind, Read};

/// Reads a connection for one turn of the driver.
///
/// The bytes come through a buffer that all connections of a driver share, so that a small message costs one system
/// call and an idle connection holds no large buffer. When the buffer was filled once, the turn is over and `read`
/// answers `WouldBlock`: a peer that floods cannot keep the driver from the others, also not inside one call into
/// the message reader, which loops over fragments.
pub(crate) struct Turn<'a, S> {
    stream: &'a mut S,
    buffer: &'a mut [u8],
    start: usize,
    end: usize,
    state: TurnState,
    /// A short read means that the socket is empty; not so where the poller re-arms only after `WouldBlock`.
    trust_short_reads: bool,
    total: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TurnState {
    /// The stream was not asked yet, or may have more within this turn.
    Fresh,
    /// The turn's budget is spent; the stream may have more.
    Spent,
    /// The stream has no more for now.
    Drained,
    /// The stream has ended.
    Ended,
}

impl<'a, S: Read> Turn<'a, S> {
    pub(crate) fn new(stream: &'a mut S, buffer: &'a mut [u8], trust_short_reads: bool) -> Self {
        Self { stream, buffer, start: 0, end: 0, state: TurnState::Fresh, trust_short_reads, total: 0 }
    }

    /// Gives back bytes of an earlier turn, to be read first.
    pub(crate) fn put_back(&mut self, stash: &mut Vec<u8>) {
        debug_assert!(self.start == self.end && stash.len() <= self.buffer.len());
        self.buffer[..stash.len()].copy_from_slice(stash);
        self.start = 0;
        self.end = stash.len();
        *stash = Vec::new();
    }

    /// Throws away what the stream has; false: it has ended.
    pub(crate) fn skip(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok([]) => return false,
                Ok(bytes) => {
                    let n = bytes.len();
                    self.consume(n);
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Moves what was read from the stream and not used into `stash`, for the next turn.
    pub(crate) fn keep_rest(&mut self, stash: &mut Vec<u8>) {
        if self.start < self.end {
            stash.extend_from_slice(&self.buffer[self.start..self.end]);
            self.start = self.end;
        }
    }

    /// Says whether the stream may have more to read at once.
    pub(crate) fn may_have_more(&self) -> bool {
        matches!(self.state, TurnState::Fresh | TurnState::Spent) || self.start < self.end
    }

    /// Bytes taken from the stream in this turn.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Bytes that are there without asking the stream.
    pub(crate) fn fill(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.fill_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Uses up bytes that `fill` showed.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// The next `size` bytes of those that `fill` showed.
    pub(crate) fn front(&mut self, size: usize) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + size]
    }

    /// Uses up the next `size` bytes of those that `fill` showed.
    pub(crate) fn pop_front(&mut self, size: usize) -> &[u8] {
        let start = self.start;
        self.consume(size);
        &self.buffer[start..self.start]
    }

    /// Reads behind what is there already and returns how many bytes came; 0 at the end of the stream.
    pub(crate) fn fill_more(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let before = self.end;
        match self.state {
            TurnState::Fresh if before < self.buffer.len() => {}
            TurnState::Fresh | TurnState::Spent | TurnState::Drained => {
                return Err(ErrorKind::WouldBlock.into());
            }
            TurnState::Ended => return Ok(0),
        }
        loop {
            match self.stream.read(&mut self.buffer[before..]) {
                Ok(0) => self.state = TurnState::Ended,
                Ok(n) => {
                    self.end += n;
                    self.total += n;
                    let short = self.end < self.buffer.len() && self.trust_short_reads;
                    self.state = if short { TurnState::Drained } else { TurnState::Spent };
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        self.state = TurnState::Drained;
                    }
                    return Err(error);
                }
            }
            return Ok(self.end - before);
        }
    }
}

impl<S: Read> Read for Turn<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_reads_one_buffer() {
        let mut stream: &[u8] = &[7; 25];
        let mut buffer = [0; 10];
        let mut turn = Turn::new(&mut stream, &mut buffer, true);
        let mut out = [0; 4];
        let sizes: Vec<_> = (0..3).map(|_| turn.read(&mut out).expect("bytes")).collect();
        assert_eq!(sizes, [4, 4, 2]);
        assert_eq!(turn.read(&mut out).expect_err("spent").kind(), ErrorKind::WouldBlock);
        assert!(turn.may_have_more());
    }

    #[test]
    fn a_short_read_saves_the_call_that_would_block() {
        let mut stream: &[u8] = &[7; 3];
        let mut buffer = [0; 10];
        let mut turn = Turn::new(&mut stream, &mut buffer, true);
        assert_eq!(turn.read(&mut [0; 10]).expect("bytes"), 3);
        assert_eq!(turn.read(&mut [0; 10]).expect_err("drained").kind(), ErrorKind::WouldBlock);
        assert!(!turn.may_have_more());
    }

    #[test]
    fn unused_bytes_come_first_in_the_next_turn() {
        let mut stream: &[u8] = b"abcdef";
        let mut buffer = [0; 4];
        let mut stash = Vec::new();
        let mut turn = Turn::new(&mut stream, &mut buffer, true);
        assert_eq!(turn.read(&mut [0; 1]).expect("a"), 1);
        turn.keep_rest(&mut stash);
        assert_eq!(stash, b"bcd");
        let mut turn = Turn::new(&mut stream, &mut buffer, true);
        turn.put_back(&mut stash);
        let mut out = [0; 4];
        assert_eq!(turn.read(&mut out).expect("stash"), 3);
        assert_eq!(&out[..3], b"bcd");
        assert_eq!(turn.read(&mut out).expect("rest"), 2);
    }

    #[test]
    fn the_end_is_reported_as_zero_bytes() {
        let mut stream: &[u8] = b"";
        let mut buffer = [0; 4];
        let mut turn = Turn::new(&mut stream, &mut buffer, true);
        assert_eq!(turn.read(&mut [0; 4]).expect("end"), 0);
        assert!(!turn.may_have_more());
    }
}
