//! The beginning of the body of a response (RFC 9112 section 6), in each kind of framing.

/// Where a body ends.
#[derive(Debug)]
pub(super) enum Framing {
    /// After this many more bytes.
    Length(u64),
    Chunked(Chunk),
    /// At the end of the connection.
    UntilEnd,
}

/// The next part of a chunked body.
#[derive(Debug)]
pub(super) enum Chunk {
    /// The rest of a line with a size; `None`: no digit was read yet.
    Size {
        size: Option<u64>,
        in_extension: bool,
    },
    Data(u64),
    /// The end of the line after the data.
    DataEnd,
}

impl Framing {
    /// Returns the framing that the headers of a response name; `None`: the body has another framing or coding.
    pub(super) fn of(transfer_encoding: Option<&str>, content_length: Option<&str>) -> Option<Self> {
        match (transfer_encoding, content_length.map(str::parse)) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => {
                Some(Self::Chunked(Chunk::Size { size: None, in_extension: false }))
            }
            (Some(_), _) => None,
            (None, Some(Ok(length))) => Some(Self::Length(length)),
            (None, Some(Err(_)) | None) => Some(Self::UntilEnd),
        }
    }
}

/// The first bytes of a body, no more than [`BODY_LIMIT`].
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    bytes: Vec<u8>,
    /// Bytes of the connection that may still be read for the body.
    left: usize,
    is_whole: bool,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let is_whole = matches!(framing, Framing::Length(0));
        Self { framing, bytes: Vec::new(), left: BODY_LIMIT, is_whole }
    }

    /// Takes the next bytes of the connection.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.left)];
        self.left -= bytes.len();
        match &mut self.framing {
            Framing::Length(length) => {
                let n = usize::try_from(*length).unwrap_or(usize::MAX).min(bytes.len());
                self.bytes.extend_from_slice(&bytes[..n]);
                *length -= n as u64;
                self.is_whole |= *length == 0;
            }
            Framing::UntilEnd => self.bytes.extend_from_slice(bytes),
            Framing::Chunked(_) => bytes.iter().for_each(|byte| self.take_chunked(*byte)),
        }
        self.is_whole |= self.left == 0;
    }

    /// Returns whether no more bytes are needed.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn take_chunked(&mut self, byte: u8) {
        let Framing::Chunked(chunk) = &mut self.framing else { return };
        match chunk {
            _ if self.is_whole => {}
            Chunk::Size { size, .. } if byte == b'\n' => match size {
                // The last chunk, whose trailers are not needed, or a line without a size.
                Some(0) | None => self.is_whole = true,
                Some(size) => *chunk = Chunk::Data(*size),
            },
            Chunk::Size { size, in_extension } => match char::from(byte).to_digit(16) {
                Some(digit) if !*in_extension => {
                    *size = size.unwrap_or(0).checked_mul(16).map(|size| size + u64::from(digit));
                    // The size does not fit 64 bits.
                    self.is_whole = size.is_none();
                }
                _ => *in_extension = true,
            },
            Chunk::Data(left) => {
                self.bytes.push(byte);
                *left -= 1;
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                }
            }
            Chunk::DataEnd if byte == b'\n' => *chunk = Chunk::Size { size: None, in_extension: false },
            Chunk::DataEnd => {}
        }
    }
}

/// Bytes that are read after the head of a response.
pub(crate) const BODY_LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(framing: Framing, bytes: &[u8], step: usize) -> (String, bool) {
        let mut body = Body::new(framing);
        for part in bytes.chunks(step) {
            if !body.is_whole() {
                body.take(part);
            }
        }
        (String::from_utf8_lossy(body.bytes()).into_owned(), body.is_whole())
    }

    fn chunked() -> Framing {
        Framing::of(Some("Chunked"), None).expect("known")
    }

    #[test]
    fn every_framing_ends_where_it_should() {
        for step in [1, 2, 3, 1000] {
            assert_eq!(read(Framing::Length(5), b"hello, rest", step), ("hello".into(), true));
            assert_eq!(read(Framing::Length(50), b"hello", step), ("hello".into(), false));
            assert_eq!(read(Framing::UntilEnd, b"hello", step), ("hello".into(), false));
            let wire = b"3;x=1f\r\nhel\r\n02\r\nlo\r\n0\r\nTrailer: x\r\n\r\nrest";
            assert_eq!(read(chunked(), wire, step), ("hello".into(), true));
            assert_eq!(read(chunked(), b"5\r\nhel", step), ("hel".into(), false));
            assert_eq!(read(chunked(), b"\r\nhel", step), (String::new(), true));
            let huge = b"fffffffffffffffff\r\nhello";
            assert_eq!(read(chunked(), huge, step), (String::new(), true), "larger than any there is");
        }
        assert!(Body::new(Framing::Length(0)).is_whole());
    }

    #[test]
    fn no_more_is_kept_than_is_worth_it() {
        let long = vec![b'x'; 3 * BODY_LIMIT];
        for length in [Some("18446744073709551615"), None] {
            for step in [7, 1000, long.len()] {
                let mut body = Body::new(Framing::of(None, length).expect("known"));
                for part in long.chunks(step) {
                    body.take(part);
                }
                assert!(body.is_whole() && body.bytes().len() == BODY_LIMIT, "{length:?} in steps of {step}");
            }
        }
        // The bytes around the chunks count, too.
        let mut body = Body::new(chunked());
        body.take(b"1;");
        for _ in 0..BODY_LIMIT {
            body.take(b"extension ");
        }
        assert!(body.is_whole() && body.bytes().is_empty());
    }

    #[test]
    fn the_headers_say_how_it_is_framed() {
        assert!(matches!(Framing::of(None, Some("5")), Some(Framing::Length(5))));
        assert!(matches!(Framing::of(None, None), Some(Framing::UntilEnd)));
        assert!(matches!(Framing::of(None, Some("x")), Some(Framing::UntilEnd)));
        assert!(matches!(Framing::of(Some("chunked"), Some("5")), Some(Framing::Chunked(_))));
        assert!(Framing::of(Some("gzip, chunked"), None).is_none());
    }
}
