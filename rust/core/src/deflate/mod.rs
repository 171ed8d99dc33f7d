//! Raw deflate (RFC 1951) in pieces, as permessage-deflate needs it (RFC 7692 section 7.2), without knowledge of WebSocket.
//!
//! The pieces bound the time of one call: what a message costs does not depend on its size alone, and others wait.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod decoder;
mod encoder;
mod memory;

pub(crate) use decoder::{Decoder, Fault, Progress};
pub(crate) use encoder::{Encoder, Window};
pub(crate) use memory::Meter;

/// What a flush ends with. A sender leaves it out, and a receiver adds it (RFC 7692 section 7.2.1).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses messages as one sender does, each of them with those before it. `window`: 9 to 15.
#[cfg(any(test, fuzzing, feature = "bench"))]
pub(crate) fn deflated<'a>(window: u8, messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut deflate = zlib_rs::Deflate::new(6, false, window);
    let compress = |message: &[u8]| {
        // Nothing is flushed twice.
        if message.is_empty() {
            return vec![0];
        }
        let mut out = vec![0; message.len() + message.len() / 4 + 1024];
        let before = deflate.total_out();
        deflate.compress(message, &mut out, zlib_rs::DeflateFlush::SyncFlush).expect("a sound state");
        out.truncate((deflate.total_out() - before) as usize);
        assert_eq!(out.split_off(out.len() - TAIL.len()), TAIL);
        out
    };
    messages.into_iter().map(compress).collect()
}

#[cfg(test)]
mod tests;
