//! How many bytes may be read from one peer now.

use std::time::{Duration, Instant};

/// A token bucket: it fills with time, up to the bytes of one second, and each read takes bytes out of it. A read may take more than
/// there are; then nothing is read until the bucket has made up for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimiter {
    /// Bytes per second.
    rate: f64,
    bytes: f64,
    at: Instant,
}

impl RateLimiter {
    pub(crate) fn new(rate: usize, now: Instant) -> Self {
        Self { rate: rate as f64, bytes: rate as f64, at: now }
    }

    /// Adds the bytes of the time that has passed. Returns how many may be read at once.
    pub(crate) fn refill(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.bytes = (self.bytes + passed * self.rate).min(self.rate);
        self.at = now;
        self.bytes.max(0.0) as usize
    }

    /// Takes bytes out; a negative number puts some back.
    pub(crate) fn take(&mut self, bytes: isize) {
        self.bytes -= bytes as f64;
    }

    /// Returns until when nothing is read from an empty bucket: until it has the bytes of a tenth of a second, so that one turn reads
    /// more than a few bytes.
    pub(crate) fn rests_until(&self, now: Instant) -> Option<Instant> {
        if self.bytes >= 1.0 {
            return None;
        }
        let missing = self.rate / 10.0 - self.bytes;
        let ready = self.at + Duration::from_secs_f64((missing / self.rate).clamp(0.001, 3600.0));
        (ready > now).then_some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn a_second_brings_a_seconds_worth_and_no_more_is_kept() {
        let start = Instant::now();
        let mut rate_limiter = RateLimiter::new(1000, start);
        assert_eq!(rate_limiter.refill(start), 1000);
        rate_limiter.take(1500);
        assert_eq!(rate_limiter.refill(start), 0);
        let later = start + Duration::from_millis(600);
        assert_eq!(rate_limiter.rests_until(start), Some(later));
        assert_eq!(rate_limiter.rests_until(later - Duration::from_millis(1)), Some(later));
        assert_eq!(rate_limiter.rests_until(later), None);
        assert_eq!(rate_limiter.refill(later), 100);
        // A peer that sends little can go on with the rest.
        rate_limiter.take(99);
        assert_eq!(rate_limiter.rests_until(later), None);
        rate_limiter.take(1);
        assert_eq!(rate_limiter.rests_until(later), Some(later + Duration::from_millis(100)));
        assert_eq!(rate_limiter.refill(later + Duration::from_secs(60)), 1000);
    }
}
