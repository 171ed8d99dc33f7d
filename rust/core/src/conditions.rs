//! A bad network, as a developer asks for it.

use std::time::Duration;

/// What a simulated network does to the connections of one object, in both directions; nothing by default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// How much later each byte arrives: a round trip takes twice as much longer.
    pub latency: Duration,
    /// At most so much comes on top of the latency, differently for each segment of 1460 bytes.
    pub jitter: Duration,
    /// Kilobits (1000 bits) per second in each direction; 0 = no limit.
    pub bandwidth: u32,
    /// For a second in each such period nothing arrives; zero = never.
    pub stall_every: Duration,
    /// The same seed draws the same jitter and the same stalls for connections that come and go in the same order.
    pub seed: u64,
}

impl Conditions {
    /// The longest latency, and the most jitter.
    pub const MAX_DELAY: Duration = Duration::from_secs(10);
    /// The largest bandwidth, in kilobits per second.
    pub const MAX_BANDWIDTH: u32 = 1_000_000;
    /// The shortest period of stalls.
    pub const MIN_STALL_EVERY: Duration = Duration::from_secs(2);
    /// The longest one.
    pub const MAX_STALL_EVERY: Duration = Duration::from_secs(3600);
    /// How long a stall lasts.
    pub const STALL: Duration = Duration::from_secs(1);

    /// Says whether the network is left as it is.
    pub fn is_off(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }

    /// With every value in its range.
    pub(crate) fn bounded(self) -> Self {
        let stall_every = match self.stall_every {
            Duration::ZERO => Duration::ZERO,
            period => period.clamp(Self::MIN_STALL_EVERY, Self::MAX_STALL_EVERY),
        };
        Self {
            latency: self.latency.min(Self::MAX_DELAY),
            jitter: self.jitter.min(Self::MAX_DELAY),
            bandwidth: self.bandwidth.min(Self::MAX_BANDWIDTH),
            stall_every,
            seed: self.seed,
        }
    }
}
