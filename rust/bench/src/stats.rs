//! Distributions in fixed memory.

use std::time::Duration;

use serde_json::{Value, json};

/// Counts durations to three significant digits; the smallest and the largest are kept exactly.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    nanos: hdrhistogram::Histogram<u64>,
    min: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let nanos = hdrhistogram::Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds in order");
        Self { nanos, min: u64::MAX, max: 0 }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = nanos(duration);
        self.nanos.saturating_record(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Returns the duration that a `share` (0 to 1) of all durations do not exceed. Zero if nothing was recorded.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        if self.nanos.is_empty() {
            return Duration::ZERO;
        }
        // Never outside of the recorded range.
        Duration::from_nanos(self.nanos.value_at_quantile(share).clamp(self.min, self.max))
    }

    /// Returns the share of all durations that do not exceed `limit`.
    pub(crate) fn share_within(&self, limit: Duration) -> f64 {
        if self.nanos.is_empty() { 0.0 } else { self.nanos.quantile_below(nanos(limit)) }
    }

    /// Returns the minimum, median, 99th percentile, maximum and mean, in milliseconds.
    pub(crate) fn to_json(&self) -> Value {
        if self.nanos.is_empty() {
            return Value::Null;
        }
        json!({
            "count": self.nanos.len(),
            "first_ms": millis(Duration::from_nanos(self.min)),
            "mean_ms": millis(Duration::from_nanos(self.nanos.mean() as u64)),
            "p50_ms": millis(self.percentile(0.5)),
            "p99_ms": millis(self.percentile(0.99)),
            "last_ms": millis(Duration::from_nanos(self.max)),
        })
    }
}

/// Returns milliseconds with three decimals.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 1e3).round() / 1e3
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(LONGEST)
}

/// An hour, in nanoseconds: longer than any run.
const LONGEST: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

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
