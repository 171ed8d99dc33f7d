//! The properties of a simulated bad network.

use std::time::Duration;

/// The simulated network of the connections of one object, in both directions; by default, none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// The delay of each byte. A round trip takes twice this time.
    pub latency: Duration,
    /// The largest random delay in addition to the latency, for each segment of 1460 bytes.
    pub jitter: Duration,
    /// Kilobits (1000 bits) per second in each direction; 0 = no limit.
    pub bandwidth: u32,
    /// Once in each of these periods nothing arrives for one second; zero: never.
    pub stall_every: Duration,
    /// The same seed gives the same jitter and the same stalls, if connections open and close in the same order.
    pub seed: u64,
}

impl Conditions {
    /// The longest latency, and the largest jitter.
    pub const MAX_DELAY: Duration = Duration::from_secs(10);
    /// The largest bandwidth, in kilobits per second.
    pub const MAX_BANDWIDTH: u32 = 1_000_000;
    /// The shortest period of stalls.
    pub const MIN_STALL_EVERY: Duration = Duration::from_secs(2);
    /// The longest period of stalls.
    pub const MAX_STALL_EVERY: Duration = Duration::from_secs(3600);
    /// The length of a stall.
    pub const STALL: Duration = Duration::from_secs(1);

    /// Returns whether no network is simulated.
    pub fn is_off(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }

    /// Returns the conditions with every value in its range.
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
