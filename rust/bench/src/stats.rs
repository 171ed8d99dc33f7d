//! Distributions in fixed memory.

use std::time::Duration;

use serde_json::{Value, json};

/// Counts durations in buckets whose width is below 1 % of their value; smallest and largest are kept exactly.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let buckets = vec![0; (u64::BITS - FINE_BITS + 1) as usize * FINE];
        Self { buckets, count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// The duration that `share` (0..=1) of all are not above. Zero when nothing was recorded.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                // Never outside of what was really seen.
                return Duration::from_nanos(upper_bound(index).clamp(self.min, self.max));
            }
        }
        Duration::ZERO
    }

    /// The share of all durations that are not above `limit`, to the width of a bucket.
    pub(crate) fn share_within(&self, limit: Duration) -> f64 {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let within: u64 = self.buckets[..=bucket(nanos)].iter().sum();
        if self.count == 0 { 0.0 } else { within as f64 / self.count as f64 }
    }

    /// First, median, 99th percentile, last and mean, in milliseconds.
    pub(crate) fn to_json(&self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        json!({
            "count": self.count,
            "first_ms": millis(Duration::from_nanos(self.min)),
            "mean_ms": millis(Duration::from_nanos((self.sum / u128::from(self.count)) as u64)),
            "p50_ms": millis(self.percentile(0.5)),
            "p99_ms": millis(self.percentile(0.99)),
            "last_ms": millis(Duration::from_nanos(self.max)),
        })
    }
}

/// With microseconds as decimals.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 1e3).round() / 1e3
}

/// Below `FINE` each value has its own bucket; above, each power of two has `FINE / 2` of them.
fn bucket(value: u64) -> usize {
    if value < FINE as u64 {
        return value as usize;
    }
    let shift = u64::BITS - FINE_BITS - value.leading_zeros();
    let mantissa = (value >> shift) as usize;
    FINE + (shift as usize - 1) * (FINE / 2) + (mantissa - FINE / 2)
}

/// The largest value that falls into a bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let (shift, mantissa) = ((bucket - FINE) / (FINE / 2) + 1, (bucket - FINE) % (FINE / 2) + FINE / 2);
    let next = (mantissa as u128 + 1) << shift;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

const FINE_BITS: u32 = 8;
const FINE: usize = 1 << FINE_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for value in (0..100_000).chain((17..64).map(|bits| 1 << bits)).chain([u64::MAX - 1, u64::MAX]) {
            let index = bucket(value);
            assert!(index >= last, "{value} goes to {index}, after {last}");
            last = index;
            let upper = upper_bound(index);
            assert!(upper >= value, "{value} is above its bucket's bound {upper}");
            assert!((upper - value) as f64 <= value as f64 / 100.0, "{value} is far below {upper}");
        }
    }

    #[test]
    fn percentiles_of_an_even_spread() {
        let mut histogram = Histogram::new();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let near = |share: f64, micros: f64| {
            let got = histogram.percentile(share).as_secs_f64() * 1e6;
            assert!((got - micros).abs() <= micros * 0.011, "{share}: {got} is not {micros}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(0.0, 1.0);
        near(1.0, 1000.0);
        let json = histogram.to_json();
        assert_eq!((&json["first_ms"], &json["last_ms"]), (&json!(0.001), &json!(1.0)));
        assert_eq!((&json["count"], &json["mean_ms"]), (&json!(1000), &json!(0.501)));
    }

    #[test]
    fn shares_within_a_limit() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.share_within(Duration::MAX), 0.0);
        (1..=100).for_each(|millis| histogram.record(Duration::from_millis(millis)));
        assert_eq!(histogram.share_within(Duration::from_millis(100)), 1.0);
        assert!((histogram.share_within(Duration::from_millis(50)) - 0.5).abs() <= 0.01);
        assert_eq!(histogram.share_within(Duration::from_micros(500)), 0.0);
    }

    #[test]
    fn one_value_is_every_percentile() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_nanos(123_456_789));
        for share in [0.0, 0.5, 1.0] {
            assert_eq!(histogram.percentile(share), Duration::from_nanos(123_456_789));
        }
    }

    #[test]
    fn nothing_recorded_is_null() {
        assert_eq!(Histogram::new().to_json(), Value::Null);
        assert_eq!(Histogram::new().percentile(0.5), Duration::ZERO);
    }

    #[test]
    fn an_endless_duration_does_not_panic() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.to_json()["count"], json!(1));
    }
}
