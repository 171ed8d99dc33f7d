//! Project settings: the defaults of new objects, with the names of 3.x.

use std::sync::atomic::{AtomicBool, Ordering};

use godot::builtin::{GString, Variant, VariantType, vdict};
use godot::classes::ProjectSettings;
use godot::meta::ToGodot;
use godot::obj::{EngineEnum, Singleton};
use godot::register::info::PropertyHint;
use websocket_multiplayer_core::Buffers;

use crate::report::warning;
use crate::tuning::MAX_THRESHOLD;

/// The limits of `WebSocketServer`.
pub(crate) static SERVER: Limits = Limits {
    in_kb: Setting::range(
        "network/limits/websocket_server/max_in_buffer_kb",
        64,
        1,
        Buffers::MAX,
        "2,4096,1,or_greater",
    ),
    in_packets: Setting::range(
        "network/limits/websocket_server/max_in_packets",
        1024,
        1,
        Buffers::MAX,
        "2,16384,1,or_greater",
    ),
    out_kb: Setting::range(
        "network/limits/websocket_server/max_out_buffer_kb",
        64,
        1,
        Buffers::MAX,
        "2,4096,1,or_greater",
    ),
    out_packets: Setting::range(
        "network/limits/websocket_server/max_out_packets",
        1024,
        1,
        Buffers::MAX,
        "2,16384,1,or_greater",
    ),
};

/// The limits of `WebSocketClient`.
pub(crate) static CLIENT: Limits = Limits {
    in_kb: Setting::range(
        "network/limits/websocket_client/max_in_buffer_kb",
        64,
        1,
        Buffers::MAX,
        "2,4096,1,or_greater",
    ),
    in_packets: Setting::range(
        "network/limits/websocket_client/max_in_packets",
        1024,
        1,
        Buffers::MAX,
        "2,16384,1,or_greater",
    ),
    out_kb: Setting::range(
        "network/limits/websocket_client/max_out_buffer_kb",
        64,
        1,
        Buffers::MAX,
        "2,4096,1,or_greater",
    ),
    out_packets: Setting::range(
        "network/limits/websocket_client/max_out_packets",
        1024,
        1,
        Buffers::MAX,
        "2,16384,1,or_greater",
    ),
};

/// The connected clients of a server; 0 means no limit.
pub(crate) static MAX_CONNECTIONS: Setting = Setting::range(
    "network/limits/websocket_server/max_connections",
    0,
    0,
    i32::MAX as i64,
    "0,65536,1,or_greater",
);
/// The pending connections of a server.
pub(crate) static MAX_PENDING: Setting = Setting::range(
    "network/limits/websocket_server/max_pending_connections",
    1024,
    1,
    i32::MAX as i64,
    "1,65536,1,or_greater",
);
/// The MiB in all queues of the process.
pub(crate) static TOTAL_QUEUE_MB: Setting =
    Setting::range("network/limits/websocket_total_queue_mb", 512, 1, 1 << 20, "16,16384,1,or_greater");
/// Whether release builds simulate bad networks.
pub(crate) static SIMULATE_IN_RELEASE: Setting = Setting {
    name: "network/websocket/simulate_in_release",
    default: 0,
    min: 0,
    max: 1,
    hint: PropertyHint::ENUM,
    hint_string: "No,Yes",
    warned: AtomicBool::new(false),
};
/// The level of printed lines.
pub(crate) static LOG_LEVEL: Setting = Setting {
    name: "network/websocket/log_level",
    default: 3,
    min: 0,
    max: 5,
    hint: PropertyHint::ENUM,
    hint_string: "Off,Error,Warn,Info,Debug,Trace",
    warned: AtomicBool::new(false),
};

/// Whether the engine's `Performance` has the monitors of this addon.
pub(crate) static MONITORS: Setting = Setting {
    name: "network/websocket/monitors",
    default: 1,
    min: 0,
    max: 2,
    hint: PropertyHint::ENUM,
    hint_string: "Off,Debug Builds,Always",
    warned: AtomicBool::new(false),
};

/// Whether messages are compressed.
pub(crate) static COMPRESSION_MODE: Setting = Setting {
    name: "network/websocket/compression_mode",
    default: 0,
    min: 0,
    max: 2,
    hint: PropertyHint::ENUM,
    hint_string: "Off,Shared,Dedicated",
    warned: AtomicBool::new(false),
};
/// The bytes of the smallest message that is compressed.
pub(crate) static COMPRESSION_THRESHOLD: Setting = Setting::range(
    "network/websocket/compression_threshold",
    1024,
    0,
    MAX_THRESHOLD,
    "0,65536,1,or_greater,suffix:B",
);

/// Registers all settings with the engine, at every start, also in exported games: a value that equals its default is not saved in
/// `project.godot`, and would read as null.
pub(crate) fn register() {
    let limits = [&SERVER, &CLIENT]
        .into_iter()
        .flat_map(|limits| [&limits.in_kb, &limits.in_packets, &limits.out_kb, &limits.out_packets]);
    let others = [
        &MAX_CONNECTIONS,
        &MAX_PENDING,
        &TOTAL_QUEUE_MB,
        &LOG_LEVEL,
        &MONITORS,
        &SIMULATE_IN_RELEASE,
        &COMPRESSION_MODE,
        &COMPRESSION_THRESHOLD,
    ];
    for (index, setting) in limits.chain(others).enumerate() {
        setting.register(FIRST_ORDER + index as i32);
        // Warns about an invalid value at the start, not when the first object is created.
        setting.read();
    }
}

/// The four limits of one role.
pub(crate) struct Limits {
    in_kb: Setting,
    in_packets: Setting,
    out_kb: Setting,
    out_packets: Setting,
}

impl Limits {
    /// The queue limits of a new object.
    pub(crate) fn buffers(&self) -> Buffers {
        Buffers::rounded(
            self.in_kb.read(),
            self.in_packets.read(),
            self.out_kb.read(),
            self.out_packets.read(),
        )
        .expect("each value was checked against the range of Buffers")
    }
}

/// One whole number in the project settings.
pub(crate) struct Setting {
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
    hint: PropertyHint,
    hint_string: &'static str,
    warned: AtomicBool,
}

impl Setting {
    const fn range(name: &'static str, default: i64, min: i64, max: i64, hint_string: &'static str) -> Self {
        Self {
            name,
            default,
            min,
            max,
            hint: PropertyHint::RANGE,
            hint_string,
            warned: AtomicBool::new(false),
        }
    }

    /// Returns the project's value. An invalid value counts as the default; a warning is printed once, and again after the value
    /// was valid in between.
    pub(crate) fn read(&self) -> i64 {
        let value = ProjectSettings::singleton().get_setting_with_override(self.name);
        if let Some(value) = whole(&value).filter(|value| (self.min..=self.max).contains(value)) {
            self.warned.store(false, Ordering::Relaxed);
            return value;
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            let Self { name, default, min, max, .. } = self;
            warning(&format!(
                "WebSocket: project setting {name} is {value}; it must be a whole number from {min} to {max}. Using {default}."
            ));
        }
        self.default
    }

    fn register(&self, order: i32) {
        let mut project = ProjectSettings::singleton();
        let default = self.default.to_variant();
        if !project.has_setting(self.name) {
            project.set_setting(self.name, &default);
        }
        project.set_initial_value(self.name, &default);
        project.set_as_basic(self.name, false);
        project.set_order(self.name, order);
        let info = vdict! {
            "name" => &GString::from(self.name),
            "type" => i64::from(VariantType::INT.ord()),
            "hint" => i64::from(self.hint.ord()),
            "hint_string" => &GString::from(self.hint_string),
        };
        project.add_property_info(&info.upcast_any_dictionary());
    }
}

/// An int, or a float without a fraction (a `project.godot` may have either).
fn whole(value: &Variant) -> Option<i64> {
    match value.get_type() {
        VariantType::INT => value.try_to().ok(),
        VariantType::FLOAT => value
            .try_to::<f64>()
            .ok()
            .filter(|value| value.fract() == 0.0 && value.abs() < 1e15)
            .map(|value| value as i64),
        _ => None,
    }
}

/// After the engine's own settings; below 65536, because the editor takes settings above that for the user's and offers to delete them.
const FIRST_ORDER: i32 = 3000;
