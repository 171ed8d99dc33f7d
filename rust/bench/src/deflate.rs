//! permessage-deflate (RFC 7692), as a client that sends nothing compressed.

use std::fmt;

use anyhow::{Result, bail};
use zlib_rs::{Inflate, InflateFlush, Status};

/// How a server compresses what it sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deflate {
    Off,
    /// Each message by itself.
    Shared,
    /// Each message with those before it.
    Dedicated,
}

impl Deflate {
    /// Reads what a server has agreed to, from the values of its header `Sec-WebSocket-Extensions`.
    pub(crate) fn agreed<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut agreed = Self::Off;
        for value in values {
            let mut parts = value.split(';').map(str::trim);
            if parts.next() != Some("permessage-deflate") || agreed != Self::Off {
                bail!("the server chose an extension that was not offered: {value}");
            }
            let forgets = parts.any(|part| part == "server_no_context_takeover");
            agreed = if forgets { Self::Shared } else { Self::Dedicated };
        }
        Ok(agreed)
    }
}

/// Inflates the messages of a server.
pub(crate) struct Inflater {
    inflate: Inflate,
    keeps: bool,
    scratch: Vec<u8>,
}

impl Inflater {
    /// `None`: nothing is compressed.
    pub(crate) fn new(agreed: Deflate) -> Option<Self> {
        let keeps = match agreed {
            Deflate::Off => return None,
            Deflate::Shared => false,
            Deflate::Dedicated => true,
        };
        Some(Self { inflate: Inflate::new(false, LARGEST_WINDOW), keeps, scratch: vec![0; SCRATCH] })
    }

    /// Returns a whole message.
    pub(crate) fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        for mut input in [payload, &TAIL] {
            loop {
                let before = (self.inflate.total_in(), self.inflate.total_out());
                let status = self.inflate.decompress(input, &mut self.scratch, InflateFlush::SyncFlush);
                let taken = (self.inflate.total_in() - before.0) as usize;
                let made = (self.inflate.total_out() - before.1) as usize;
                message.extend_from_slice(&self.scratch[..made]);
                input = &input[taken..];
                if message.len() > LARGEST {
                    bail!("the server sends a message that inflates to more than {LARGEST} bytes");
                }
                match status {
                    Ok(Status::Ok | Status::BufError) if made == self.scratch.len() => {}
                    Ok(Status::Ok | Status::BufError) if input.is_empty() => break,
                    other => bail!("the server sends what cannot be inflated: {other:?}"),
                }
            }
        }
        if !self.keeps {
            self.inflate.reset(false);
        }
        Ok(message)
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

/// What a sender leaves out (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const LARGEST_WINDOW: u8 = 15;
const SCRATCH: usize = 64 << 10;
const LARGEST: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use zlib_rs::{Deflate as Stream, DeflateConfig, DeflateFlush};

    use super::*;

    fn stream() -> Stream {
        Stream::new_with_config(DeflateConfig { window_bits: -15, ..DeflateConfig::new(6) })
    }

    fn compressed(stream: &mut Stream, message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; message.len() + 64];
        let before = stream.total_out();
        stream.compress(message, &mut out, DeflateFlush::SyncFlush).expect("there is room");
        out.truncate((stream.total_out() - before) as usize);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn messages_that_refer_to_others_need_a_window_that_is_kept() {
        let message: Vec<u8> = (0..300u32).flat_map(|number| (number * number).to_le_bytes()).collect();
        let mut stream = stream();
        let [first, second] = [0, 1].map(|_| compressed(&mut stream, &message));
        assert!(second.len() * 10 < first.len());
        let mut keeps = Inflater::new(Deflate::Dedicated).expect("it inflates");
        let mut forgets = Inflater::new(Deflate::Shared).expect("it inflates");
        for part in [&first, &second] {
            assert_eq!(keeps.message(part).expect("whole"), message);
        }
        assert_eq!(forgets.message(&first).expect("whole"), message);
        assert_eq!(forgets.message(&first).expect("by itself"), message);
        assert!(!forgets.message(&second).is_ok_and(|inflated| inflated == message));
    }

    #[test]
    fn large_messages_are_inflated_whole() {
        for size in [0, 1, SCRATCH - 1, SCRATCH, SCRATCH + 1, 3 * SCRATCH] {
            let message = vec![7; size];
            let mut inflater = Inflater::new(Deflate::Shared).expect("it inflates");
            assert_eq!(inflater.message(&compressed(&mut stream(), &message)).expect("whole"), message);
        }
        assert!(Inflater::new(Deflate::Shared).expect("it inflates").message(&[0xff; 20]).is_err());
    }

    #[test]
    fn answers_say_what_is_kept() {
        let agreed = |values: &[&str]| Deflate::agreed(values.iter().copied()).ok();
        assert_eq!(agreed(&[]), Some(Deflate::Off));
        assert_eq!(agreed(&["permessage-deflate"]), Some(Deflate::Dedicated));
        assert_eq!(agreed(&["permessage-deflate; client_no_context_takeover"]), Some(Deflate::Dedicated));
        assert_eq!(agreed(&["permessage-deflate; server_no_context_takeover"]), Some(Deflate::Shared));
        assert_eq!(agreed(&["permessage-bzip2"]), None);
        assert_eq!(agreed(&["permessage-deflate", "permessage-deflate"]), None);
    }
}
