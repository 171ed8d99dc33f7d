//! Counts the memory of compressors and decompressors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of all codecs that were made for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Returns the bytes that are held now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts these bytes as long as the result lives.
    pub(super) fn hold(&self, bytes: usize) -> Held {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held { meter: self.clone(), bytes }
    }
}

/// The memory of one codec.
#[derive(Debug)]
pub(super) struct Held {
    meter: Meter,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Encoder, Window};
    use super::*;

    #[test]
    fn memory_counts_as_long_as_it_is_held() {
        let meter = Meter::default();
        let window = |bits| Window::new(bits).expect("it is one");
        let (shared, small) = (Encoder::shared(window(15), &meter), Encoder::shared(window(9), &meter));
        assert_eq!(meter.bytes(), (376 + 250) * 1024);
        drop((shared, small));
        let dedicated = [Encoder::dedicated(window(15), &meter), Encoder::dedicated(window(13), &meter)];
        assert_eq!(meter.bytes(), 2 * 182 * 1024);
        let decoder = Decoder::new(&meter);
        assert_eq!(meter.bytes(), (2 * 182 + 44) * 1024);
        drop((dedicated, decoder));
        assert_eq!(meter.bytes(), 0);
    }
}
