//! The bytes of one turn of reading: of one read, or those that an earlier turn left.

use std::io::{self, ErrorKind, Read};
use std::mem;

use bytes::Bytes;

/// Bytes that are taken from the front.
///
/// All connections of a driver share the buffer, so that a small message costs one system call and an idle connection holds no large
/// buffer. A turn does one read, so that no peer can keep the driver from the others. Slices that are taken outlive the borrow of the
/// burst, so that a message can be passed on without a copy.
#[derive(Debug)]
pub(crate) struct ReadBurst<'b> {
    bytes: &'b mut [u8],
    end: End,
}

/// What follows the bytes.
#[derive(Debug)]
enum End {
    /// Perhaps more bytes, in another turn.
    Open,
    /// The remote has ended its side.
    Ended,
    Failed(io::Error),
}

/// The payload of a message or a control frame.
#[derive(Debug)]
pub(crate) enum Payload<'b> {
    /// A slice of the burst, or of other memory that is used again.
    Borrowed(&'b [u8]),
    Owned(Bytes),
}

impl Payload<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl<'b> ReadBurst<'b> {
    /// Creates a burst of bytes that were read before.
    pub(crate) fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, end: End::Open }
    }

    /// Reads once into a buffer that is not empty.
    pub(crate) fn read<S: Read>(stream: &mut S, buffer: &'b mut [u8]) -> Self {
        debug_assert!(!buffer.is_empty(), "to read nothing looks like the end");
        let (n, end) = loop {
            match stream.read(buffer) {
                Ok(0) => break (0, End::Ended),
                Ok(n) => break (n, End::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break (0, End::Open),
                Err(error) => break (0, End::Failed(error)),
            }
        };
        Self { bytes: &mut buffer[..n], end }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes that were not taken yet.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Returns the bytes; `WouldBlock` if there are none for now, an empty slice at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() {
            match mem::replace(&mut self.end, End::Ended) {
                End::Open => {
                    self.end = End::Open;
                    return Err(ErrorKind::WouldBlock.into());
                }
                End::Ended => {}
                End::Failed(error) => return Err(error),
            }
        }
        Ok(self.bytes)
    }

    /// Takes the next `size` bytes, or all if there are fewer.
    #[inline]
    pub(crate) fn pop(&mut self, size: usize) -> &'b mut [u8] {
        let bytes = mem::take(&mut self.bytes);
        let (front, rest) = bytes.split_at_mut(size.min(bytes.len()));
        self.bytes = rest;
        front
    }

    /// Drops all bytes. Returns false if the stream has ended.
    pub(crate) fn skip(&mut self) -> bool {
        self.bytes = &mut [];
        matches!(self.end, End::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that returns these results one after the other.
    struct Steps(Vec<io::Result<&'static [u8]>>);

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.remove(0)?.read(buffer)
        }
    }

    fn read<'b>(buffer: &'b mut [u8], steps: Vec<io::Result<&'static [u8]>>) -> ReadBurst<'b> {
        ReadBurst::read(&mut Steps(steps), buffer)
    }

    #[test]
    fn what_is_taken_outlives_the_burst() {
        let mut buffer = *b"abcdef";
        let mut burst = read(&mut buffer, vec![Ok(b"abcd")]);
        let (first, rest) = (burst.pop(3), burst.pop(9));
        assert!(burst.is_empty());
        assert_eq!(burst.fill().expect_err("no more for now").kind(), ErrorKind::WouldBlock);
        drop(burst);
        assert_eq!((&*first, &*rest), (&b"abc"[..], &b"d"[..]));
    }

    #[test]
    fn an_interrupted_read_is_tried_again() {
        let mut buffer = [0; 4];
        let mut burst = read(&mut buffer, vec![Err(ErrorKind::Interrupted.into()), Ok(b"a")]);
        assert_eq!(burst.fill().expect("read"), b"a");
    }

    #[test]
    fn the_end_comes_behind_the_bytes() {
        let mut buffer = [0; 4];
        let mut burst = read(&mut buffer, vec![Ok(b"")]);
        assert_eq!(burst.fill().expect("the end"), b"");
        assert!(!burst.skip());
        let mut burst = read(&mut buffer, vec![Err(ErrorKind::ConnectionReset.into())]);
        assert!(!burst.skip());
        assert_eq!(burst.fill().expect_err("it failed").kind(), ErrorKind::ConnectionReset);
        assert_eq!(burst.fill().expect("returned once"), b"");
        let mut burst = read(&mut buffer, vec![Err(ErrorKind::WouldBlock.into())]);
        assert!(burst.skip());
    }
}
