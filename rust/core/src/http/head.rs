//! The head of an HTTP message, collected over any number of reads.

/// Largest head accepted, in bytes.
pub(crate) const HEAD_LIMIT: usize = 16 * 1024;
/// Most header lines accepted.
pub(crate) const HEADERS_LIMIT: usize = 128;

/// The bytes of a head, collected up to the empty line.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
}

/// The state of a head after some bytes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// The head is complete, and has this length.
    Whole(usize),
    /// More bytes are needed.
    Partial,
    /// The head is larger than [`HEAD_LIMIT`].
    TooLarge,
    /// A line does not end with CR LF.
    BadLine,
    /// The stream ended after this many bytes.
    Ended(usize),
}

impl Head {
    /// Takes the next bytes of the stream, up to the end of the head; an empty slice is the end of the stream. Returns how many
    /// of the bytes belong to the head.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (Progress, usize) {
        let before = self.bytes.len();
        if bytes.is_empty() {
            return (Progress::Ended(before), 0);
        }
        let taken = bytes.len().min(HEAD_LIMIT + 1 - before);
        self.bytes.extend_from_slice(&bytes[..taken]);
        // The empty line may have begun in the earlier bytes.
        let from = before.saturating_sub(3);
        let end = end_of_head(&self.bytes[from..]).map(|at| from + at);
        // A bad line is reported before the empty line, wherever the bytes are split.
        let fresh = &self.bytes[before.saturating_sub(1)..end.unwrap_or(self.bytes.len())];
        if has_bad_line(fresh, before == 0) {
            return (Progress::BadLine, 0);
        }
        if let Some(len) = end {
            self.bytes.truncate(len);
            let progress = if len > HEAD_LIMIT { Progress::TooLarge } else { Progress::Whole(len) };
            return (progress, len - before);
        }
        let progress = if self.bytes.len() > HEAD_LIMIT { Progress::TooLarge } else { Progress::Partial };
        (progress, taken)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether the bytes begin a HEAD request, whose response has no body.
    pub(crate) fn asks_for_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }

    /// Returns whether the first byte cannot begin an HTTP message, as that of a TLS record or of binary data.
    pub(crate) fn is_not_http(&self) -> bool {
        self.bytes.first().is_some_and(|byte| !byte.is_ascii_graphic() && *byte != b'\r' && *byte != b'\n')
    }
}

/// Returns whether the bytes have an LF without a CR, or a CR without an LF.
fn has_bad_line(bytes: &[u8], from_start: bool) -> bool {
    from_start && bytes.first() == Some(&b'\n')
        || bytes.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'))
}

/// Returns the index after the empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(parts: &[&[u8]]) -> (Progress, Vec<u8>, Vec<u8>) {
        let mut head = Head::default();
        let mut rest = Vec::new();
        let mut progress = Progress::Partial;
        for part in parts {
            let (came_to, taken) = head.take(part);
            progress = came_to;
            rest.extend_from_slice(&part[taken..]);
            if progress != Progress::Partial {
                break;
            }
        }
        (progress, head.bytes, rest)
    }

    #[test]
    fn finds_the_end_across_any_split_and_leaves_the_rest() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        for split in 1..bytes.len() - 4 {
            let (progress, head, rest) = collect(&[&bytes[..split], &bytes[split..]]);
            assert_eq!(progress, Progress::Whole(24), "split {split}");
            assert_eq!((head.as_slice(), rest.as_slice()), (&bytes[..24], &b"rest"[..]));
        }
    }

    #[test]
    fn stops_at_the_limit() {
        let long = vec![b'a'; HEAD_LIMIT + 10];
        assert_eq!(collect(&[&long]).0, Progress::TooLarge);
        assert_eq!(collect(&[&long[..HEAD_LIMIT]]).0, Progress::Partial);
        let mut fits = vec![b'a'; HEAD_LIMIT - 4];
        fits.extend_from_slice(b"\r\n\r\n");
        assert_eq!(collect(&[&fits]).0, Progress::Whole(HEAD_LIMIT));
        fits.insert(0, b'a');
        assert_eq!(collect(&[&fits]).0, Progress::TooLarge);
    }

    #[test]
    fn a_line_that_ends_with_a_bare_lf_or_cr_is_told_at_once() {
        for bad in ["\nGET", "GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\nA: b\nC", "GET\rX", "G\r\rX"] {
            for split in 1..bad.len() {
                let (progress, ..) = collect(&[&bad.as_bytes()[..split], &bad.as_bytes()[split..]]);
                assert_eq!(progress, Progress::BadLine, "{bad:?} split at {split}");
            }
        }
        assert_eq!(
            collect(&[b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"]).0,
            Progress::BadLine,
            "a whole head too"
        );
        assert_eq!(collect(&[b"GET / HTTP/1.1\r", b"\nA: b\r\n", b"\r"]).0, Progress::Partial);
    }

    #[test]
    fn tells_the_end_of_the_stream() {
        assert_eq!(collect(&[b""]).0, Progress::Ended(0));
        assert_eq!(collect(&[b"GET", b""]).0, Progress::Ended(3));
    }
}
