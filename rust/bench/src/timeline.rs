//! A run in which the server stalled for a while: when each message returned, and its latency.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stats::{Histogram, millis};

/// When messages returned, measured from the start, in order, with their latencies.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) sent: u64,
    received: Vec<(Duration, Duration)>,
}

impl Timeline {
    pub(crate) fn note(&mut self, at: Duration, latency: Duration) {
        self.received.push((at, latency));
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received.len() as u64)
    }

    /// Returns the longest silence, the latency before it, and the time from its end until the latency stayed normal.
    pub(crate) fn to_json(&self) -> Value {
        let gap = |pair: &[(Duration, Duration)]| pair[1].0 - pair[0].0;
        let Some(index) =
            (1..self.received.len()).max_by_key(|&index| gap(&self.received[index - 1..=index]))
        else {
            return Value::Null;
        };
        let silence = gap(&self.received[index - 1..=index]);
        let (before, after) = self.received.split_at(index);
        let normal = p99(before.iter().filter(|(at, _)| *at >= WARM_UP));
        let end = after[0].0;
        let limit = normal.mul_f64(NORMAL);
        // Slices of some frames, so that each contains enough messages for a percentile.
        let mut recovered_at = end;
        let mut slice_start = end;
        for slice in after.chunk_by(|one, other| slice(end, one.0) == slice(end, other.0)) {
            let slice_end = slice_start.max(slice[slice.len() - 1].0);
            if p99(slice.iter()) > limit {
                recovered_at = slice_end;
            }
            slice_start = slice_end;
        }
        json!({
            "silence_ms": millis(silence),
            "normal_p99_ms": millis(normal),
            "recovered_ms": millis(recovered_at - end),
            "worst_ms": millis(after.iter().map(|(_, latency)| *latency).max().unwrap_or_default()),
        })
    }
}

fn slice(start: Duration, at: Duration) -> u128 {
    (at - start).as_millis() / SLICE_MS
}

fn p99<'a>(received: impl Iterator<Item = &'a (Duration, Duration)>) -> Duration {
    let mut histogram = Histogram::new();
    received.for_each(|(_, latency)| histogram.record(*latency));
    histogram.percentile(0.99)
}

/// The latency counts as normal only after this time.
const WARM_UP: Duration = Duration::from_millis(500);
const SLICE_MS: u128 = 50;
/// Latencies up to this multiple of the former p99 are normal.
const NORMAL: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One message per millisecond, each with a latency of 10 ms except for those in `slow`.
    fn run(silent: std::ops::Range<u32>, slow: std::ops::Range<u32>) -> Timeline {
        let mut timeline = Timeline { sent: 4000, ..Timeline::default() };
        for at in (0..4000).filter(|at| !silent.contains(at)) {
            let latency = if slow.contains(&at) { 500 * MS } else { 10 * MS };
            timeline.note(at * MS, latency);
        }
        timeline
    }

    #[test]
    fn recovery_is_counted_from_the_end_of_the_silence() {
        let found = run(1500..2500, 2500..2620).to_json();
        assert_eq!(found["silence_ms"], json!(1001.0));
        assert_eq!(found["normal_p99_ms"], json!(10.0));
        let recovered = found["recovered_ms"].as_f64().expect("a number");
        assert!((119.0..=150.0).contains(&recovered), "{recovered}");
        assert_eq!(found["worst_ms"], json!(500.0));
    }

    #[test]
    fn a_relapse_counts() {
        let recovered = run(1500..2500, 3500..3510).to_json()["recovered_ms"].as_f64().expect("a number");
        assert!(recovered >= 1000.0, "{recovered}");
        assert_eq!(run(1500..2500, 0..0).to_json()["recovered_ms"], json!(0.0));
    }

    #[test]
    fn what_never_came_is_lost() {
        assert_eq!(run(0..0, 0..0).lost(), 0);
        assert_eq!(run(1500..1600, 0..0).lost(), 100);
    }
}
