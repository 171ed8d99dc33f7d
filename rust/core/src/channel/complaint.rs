//! The log line about the queues of the process, when they are full.

use std::time::{Duration, Instant};

use super::budget::QueueTotal;

/// Logs, at intervals, that the process had no room for a packet.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    pub(crate) fn log(&mut self, total: &QueueTotal, now: Instant) {
        if self.last.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return;
        }
        self.last = Some(now);
        log::warn!(
            "{} bytes wait to be sent in all queues of the process, which is half of \
             network/limits/websocket_total_queue_mb: packets are refused until some are sent; send less, or raise this setting",
            total.bytes()
        );
    }
}

/// The interval between two log lines about the limit of the process.
pub(crate) const PAUSE: Duration = Duration::from_mins(1);
