//! The properties that simulate a bad network. A game that players have does not simulate one by mistake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use godot::classes::Os;
use godot::obj::Singleton;
use websocket_multiplayer_core::Conditions;

use crate::host::PeerHost;
use crate::report::warning;
use crate::settings;

/// A property.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Simulated {
    LatencyMsec,
    JitterMsec,
    BandwidthKbps,
    StallEverySec,
    Seed,
}

impl Simulated {
    fn name(self) -> &'static str {
        match self {
            Self::LatencyMsec => "simulate_latency_msec",
            Self::JitterMsec => "simulate_jitter_msec",
            Self::BandwidthKbps => "simulate_bandwidth_kbps",
            Self::StallEverySec => "simulate_stall_every_sec",
            Self::Seed => "simulate_seed",
        }
    }
}

impl PeerHost {
    pub(crate) fn simulated(&self, which: Simulated) -> i64 {
        let conditions = &self.conditions;
        match which {
            Simulated::LatencyMsec => conditions.latency.as_millis() as i64,
            Simulated::JitterMsec => conditions.jitter.as_millis() as i64,
            Simulated::BandwidthKbps => i64::from(conditions.bandwidth),
            Simulated::StallEverySec => conditions.stall_every.as_secs() as i64,
            Simulated::Seed => conditions.seed.cast_signed(),
        }
    }

    pub(crate) fn simulate(&mut self, which: Simulated, value: i64) {
        if !self.can_simulate(which, value) {
            return;
        }
        let (conditions, number) = (&mut self.conditions, value.cast_unsigned());
        match which {
            Simulated::LatencyMsec => conditions.latency = Duration::from_millis(number),
            Simulated::JitterMsec => conditions.jitter = Duration::from_millis(number),
            Simulated::BandwidthKbps => conditions.bandwidth = number as u32,
            Simulated::StallEverySec => conditions.stall_every = Duration::from_secs(number),
            Simulated::Seed => conditions.seed = number,
        }
        if conditions.is_off() || is_allowed(Os::singleton().is_debug_build()) {
            self.config.conditions = self.conditions;
            self.apply();
        }
    }

    /// Whether a value means something; prints a line when it does not.
    fn can_simulate(&self, which: Simulated, value: i64) -> bool {
        let longest = Conditions::MAX_DELAY.as_millis() as i64;
        let stalls =
            Conditions::MIN_STALL_EVERY.as_secs() as i64..=Conditions::MAX_STALL_EVERY.as_secs() as i64;
        match which {
            Simulated::Seed => true,
            Simulated::LatencyMsec | Simulated::JitterMsec => self.in_range(which.name(), value, 0, longest),
            Simulated::BandwidthKbps => {
                self.in_range(which.name(), value, 0, i64::from(Conditions::MAX_BANDWIDTH))
            }
            Simulated::StallEverySec if value == 0 || stalls.contains(&value) => true,
            Simulated::StallEverySec => {
                let (min, max) = (stalls.start(), stalls.end());
                let why =
                    format_args!("{value} cannot be used; it must be 0 (never), or from {min} to {max}");
                self.kind.property_error(which.name(), why);
                false
            }
        }
    }
}

/// Whether this build of the game simulates anything. Says once that it does not.
fn is_allowed(debug_build: bool) -> bool {
    let allowed = debug_build || settings::SIMULATE_IN_RELEASE.read() == 1;
    if !allowed && !WARNED.swap(true, Ordering::Relaxed) {
        warning(
            "WebSocket: simulate_latency_msec and the like do nothing in a release build; remove them, or set \
             the project setting network/websocket/simulate_in_release to Yes.",
        );
    }
    allowed
}

static WARNED: AtomicBool = AtomicBool::new(false);
