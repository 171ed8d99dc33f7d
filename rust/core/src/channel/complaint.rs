//! The log line about the queues of the process, when they are full.

use std::time::{Duration, Instant};

use super::budget::QueueTotal;

/// When an object last logged that the process had no room for a packet.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    /// Returns whether a line is due, and notes it.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

impl QueueTotal {
    pub(super) fn complain(&self) {
        log::warn!(
            "{} bytes wait to be sent in all queues of the process, which is half of \
             network/limits/websocket_total_queue_mb: packets are refused until some are sent; send less, or raise this setting",
            self.bytes()
        );
    }
}

/// The interval between two log lines about the limit of the process.
pub(crate) const PAUSE: Duration = Duration::from_mins(1);
