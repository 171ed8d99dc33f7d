//! The properties that simulate a bad network. Release builds ignore them, unless a project setting allows them.

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
pub(crate) enum Simulation {
    LatencyMsec,
    JitterMsec,
    BandwidthKbps,
    StallEverySec,
    DisconnectEverySec,
    Seed,
}

impl Simulation {
    fn name(self) -> &'static str {
        match self {
            Self::LatencyMsec => "simulate_latency_msec",
            Self::JitterMsec => "simulate_jitter_msec",
            Self::BandwidthKbps => "simulate_bandwidth_kbps",
            Self::StallEverySec => "simulate_stall_every_sec",
            Self::DisconnectEverySec => "simulate_disconnect_every_sec",
            Self::Seed => "simulate_seed",
        }
    }
}

impl PeerHost {
    pub(crate) fn simulation(&self, which: Simulation) -> i64 {
        let conditions = &self.conditions;
        match which {
            Simulation::LatencyMsec => conditions.latency.as_millis() as i64,
            Simulation::JitterMsec => conditions.jitter.as_millis() as i64,
            Simulation::BandwidthKbps => i64::from(conditions.bandwidth),
            Simulation::StallEverySec => conditions.stall_every.as_secs() as i64,
            Simulation::DisconnectEverySec => conditions.disconnect_every.as_secs() as i64,
            Simulation::Seed => conditions.seed.cast_signed(),
        }
    }

    pub(crate) fn set_simulation(&mut self, which: Simulation, value: i64) {
        if !self.is_valid_simulation(which, value) {
            return;
        }
        let (conditions, number) = (&mut self.conditions, value.cast_unsigned());
        match which {
            Simulation::LatencyMsec => conditions.latency = Duration::from_millis(number),
            Simulation::JitterMsec => conditions.jitter = Duration::from_millis(number),
            Simulation::BandwidthKbps => conditions.bandwidth = number as u32,
            Simulation::StallEverySec => conditions.stall_every = Duration::from_secs(number),
            Simulation::DisconnectEverySec => conditions.disconnect_every = Duration::from_secs(number),
            Simulation::Seed => conditions.seed = number,
        }
        if conditions.is_off() || is_allowed(Os::singleton().is_debug_build()) {
            self.config.conditions = self.conditions;
            self.apply();
        }
    }

    /// Whether a value is valid; prints a line otherwise.
    fn is_valid_simulation(&self, which: Simulation, value: i64) -> bool {
        let longest = Conditions::MAX_DELAY.as_millis() as i64;
        let periods = Conditions::MIN_PERIOD.as_secs() as i64..=Conditions::MAX_PERIOD.as_secs() as i64;
        match which {
            Simulation::Seed => true,
            Simulation::LatencyMsec | Simulation::JitterMsec => {
                self.in_range(which.name(), value, 0, longest)
            }
            Simulation::BandwidthKbps => {
                self.in_range(which.name(), value, 0, i64::from(Conditions::MAX_BANDWIDTH))
            }
            Simulation::StallEverySec | Simulation::DisconnectEverySec
                if value == 0 || periods.contains(&value) =>
            {
                true
            }
            Simulation::StallEverySec | Simulation::DisconnectEverySec => {
                let (min, max) = (periods.start(), periods.end());
                let why =
                    format_args!("{value} cannot be used; it must be 0 (never), or from {min} to {max}");
                self.kind.property_error(which.name(), why);
                false
            }
        }
    }
}

/// Whether this build simulates networks. Otherwise prints one warning.
fn is_allowed(debug_build: bool) -> bool {
    let allowed = debug_build || settings::SIMULATE_IN_RELEASE.read() == 1;
    if !allowed && !WARNED.swap(true, Ordering::Relaxed) {
        warning(
            "WebSocket: simulate_latency_msec and the other simulate_* properties do nothing in a release build; remove them, or set \
             the project setting network/websocket/simulate_in_release to Yes.",
        );
    }
    allowed
}

static WARNED: AtomicBool = AtomicBool::new(false);
