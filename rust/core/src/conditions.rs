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
    /// How long a connection lasts before it is cut without a Close: at random from half of this time to one and a half times; zero: it is
    /// not cut.
    pub disconnect_every: Duration,
    /// The same seed gives the same jitter, stalls and cuts, if connections open and close in the same order.
    pub seed: u64,
}

impl Conditions {
    /// The longest latency, and the largest jitter.
    pub const MAX_DELAY: Duration = Duration::from_secs(10);
    /// The largest bandwidth, in kilobits per second.
    pub const MAX_BANDWIDTH: u32 = 1_000_000;
    /// The shortest period of stalls and cuts.
    pub const MIN_PERIOD: Duration = Duration::from_secs(2);
    /// The longest period of stalls and cuts.
    pub const MAX_PERIOD: Duration = Duration::from_secs(3600);
    /// The length of a stall.
    pub const STALL: Duration = Duration::from_secs(1);

    /// Returns whether no network is simulated.
    pub fn is_off(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }

    /// Returns the conditions with every value in its range.
    pub(crate) fn bounded(self) -> Self {
        let period = |every| match every {
            Duration::ZERO => Duration::ZERO,
            every => every.clamp(Self::MIN_PERIOD, Self::MAX_PERIOD),
        };
        Self {
            latency: self.latency.min(Self::MAX_DELAY),
            jitter: self.jitter.min(Self::MAX_DELAY),
            bandwidth: self.bandwidth.min(Self::MAX_BANDWIDTH),
            stall_every: period(self.stall_every),
            disconnect_every: period(self.disconnect_every),
            seed: self.seed,
        }
    }
}
