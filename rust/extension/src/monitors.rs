//! Custom monitors of the engine's `Performance`: sums of all open objects of the game.
//!
//! They are computed only when a monitor is read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use godot::builtin::{Callable, StringName, VarArray, Variant};
use godot::classes::{Engine, Os, Performance};
use godot::meta::ToGodot;
use godot::obj::Singleton;
use websocket_multiplayer_core::Statistics;

use crate::registry;
use crate::settings;

/// Adds the monitors, if the project setting asks for them.
pub(crate) fn install() {
    let engine = Engine::singleton();
    let wanted = match settings::MONITORS.read() {
        0 => false,
        1 => Os::singleton().is_debug_build(),
        _ => true,
    };
    // The editor itself opens no connection, so it would only list zeros.
    if !wanted || engine.is_editor_hint() {
        return;
    }
    let meter = Rc::new(RefCell::new(Meter::new()));
    let mut performance = Performance::singleton();
    // Since 4.6 a monitor can have a type.
    let knows_types = performance.get_method_argument_count("add_custom_monitor") > 3;
    for (name, figure, unit) in MONITORS {
        let id = StringName::from(name);
        if performance.has_custom_monitor(&id) {
            continue;
        }
        let meter = Rc::clone(&meter);
        let callable = Callable::from_fn(name, move |_| {
            // The meter is never borrowed twice: it calls nothing that runs scripts.
            meter.try_borrow_mut().map_or(0.0, |mut meter| figure(meter.read()))
        });
        if knows_types {
            let arguments: [Variant; 4] =
                [id.to_variant(), callable.to_variant(), VarArray::new().to_variant(), unit.to_variant()];
            performance.call("add_custom_monitor", &arguments);
        } else {
            performance.add_custom_monitor(&id, &callable);
        }
    }
}

/// Removes the monitors: their code is unloaded with the library.
pub(crate) fn remove() {
    let mut performance = Performance::singleton();
    for (name, ..) in MONITORS {
        let id = StringName::from(name);
        if performance.has_custom_monitor(&id) {
            performance.remove_custom_monitor(&id);
        }
    }
}

type Figure = fn(&Figures) -> f64;

/// The values of the monitors.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    peers: usize,
    /// Per second.
    packets_in: f64,
    packets_out: f64,
    bytes_in: f64,
    bytes_out: f64,
    packets_relayed: f64,
    /// Per frame.
    poll_usec: f64,
    queued_in: usize,
    queued_out: usize,
    dropped: u64,
    overflowed: u64,
    suspended: usize,
    resumed: u64,
    rtt_p50: Duration,
    rtt_max: Duration,
}

/// Id, figure, and the engine's `MonitorType`.
const MONITORS: [(&str, Figure, i64); 15] = [
    ("WebSocket/peers", |now| now.peers as f64, QUANTITY),
    ("WebSocket/packets_in_per_second", |now| now.packets_in, QUANTITY),
    ("WebSocket/packets_out_per_second", |now| now.packets_out, QUANTITY),
    ("WebSocket/bytes_in_per_second", |now| now.bytes_in, MEMORY),
    ("WebSocket/bytes_out_per_second", |now| now.bytes_out, MEMORY),
    ("WebSocket/packets_relayed_per_second", |now| now.packets_relayed, QUANTITY),
    ("WebSocket/queued_in_bytes", |now| now.queued_in as f64, MEMORY),
    ("WebSocket/queued_out_bytes", |now| now.queued_out as f64, MEMORY),
    ("WebSocket/packets_dropped", |now| now.dropped as f64, QUANTITY),
    ("WebSocket/peers_overflowed", |now| now.overflowed as f64, QUANTITY),
    ("WebSocket/peers_suspended", |now| now.suspended as f64, QUANTITY),
    ("WebSocket/sessions_resumed", |now| now.resumed as f64, QUANTITY),
    ("WebSocket/rtt_p50_msec", |now| now.rtt_p50.as_secs_f64() * 1000.0, QUANTITY),
    ("WebSocket/rtt_max_msec", |now| now.rtt_max.as_secs_f64() * 1000.0, QUANTITY),
    ("WebSocket/poll_usec_per_frame", |now| now.poll_usec, QUANTITY),
];

/// `Performance.MONITOR_TYPE_QUANTITY`.
const QUANTITY: i64 = 0;
/// `Performance.MONITOR_TYPE_MEMORY`.
const MEMORY: i64 = 1;

/// Computes the figures from the counters.
struct Meter {
    figures: Figures,
    /// When the current values were read.
    sampled_at: Option<Instant>,
    base: Base,
}

/// The counters at the beginning of the interval for rates.
struct Base {
    at: Instant,
    frames: u64,
    /// By object and opening.
    totals: HashMap<(u64, u64), Statistics>,
}

impl Meter {
    fn new() -> Self {
        let base = Base { at: Instant::now(), frames: 0, totals: HashMap::new() };
        Self { figures: Figures::default(), sampled_at: None, base }
    }

    /// Returns the current figures. The engine reads one monitor after the other, and gets the values of one moment.
    fn read(&mut self) -> &Figures {
        let now = Instant::now();
        if self
            .sampled_at
            .is_none_or(|sampled_at| now.saturating_duration_since(sampled_at) >= SAMPLE_LIFETIME)
        {
            self.sampled_at = Some(now);
            self.sample(now);
        }
        &self.figures
    }

    fn sample(&mut self, now: Instant) {
        let figures = &mut self.figures;
        let mut round_trips = Vec::new();
        let mut totals = HashMap::new();
        (figures.peers, figures.queued_in, figures.queued_out) = (0, 0, 0);
        (figures.dropped, figures.overflowed) = (0, 0);
        (figures.suspended, figures.resumed) = (0, 0);
        for (object, opening) in registry::open_objects() {
            let statistics = object.observer.statistics();
            let load = object.observer.load();
            figures.peers += statistics.peers;
            figures.queued_in += load.queued_in_bytes;
            figures.queued_out += load.queued_out_bytes;
            figures.dropped += statistics.packets_refused + statistics.packets_dropped_unreliable;
            figures.overflowed += statistics.peers_overflowed;
            figures.suspended += statistics.peers_suspended;
            figures.resumed += statistics.sessions_resumed;
            round_trips.extend(load.round_trips);
            totals.insert((object.number, opening), statistics);
        }
        let middle = round_trips.len() / 2;
        figures.rtt_max = round_trips.iter().copied().max().unwrap_or_default();
        figures.rtt_p50 =
            if round_trips.is_empty() { Duration::ZERO } else { *round_trips.select_nth_unstable(middle).1 };
        let passed = now.saturating_duration_since(self.base.at);
        if passed < MIN_RATE_INTERVAL {
            return;
        }
        let sum = |what: fn(&Statistics) -> u64| {
            let more = totals.iter().map(|(key, now)| {
                // Objects that were opened meanwhile count from zero.
                what(now).saturating_sub(self.base.totals.get(key).map_or(0, what))
            });
            more.sum::<u64>() as f64
        };
        let seconds = passed.as_secs_f64();
        figures.packets_in = sum(|totals| totals.packets_in) / seconds;
        figures.packets_out = sum(|totals| totals.packets_out) / seconds;
        figures.bytes_in = sum(|totals| totals.bytes_in) / seconds;
        figures.bytes_out = sum(|totals| totals.bytes_out) / seconds;
        let frames = Engine::singleton().get_process_frames();
        let drawn = frames.saturating_sub(self.base.frames).max(1);
        figures.packets_relayed = sum(|totals| totals.packets_relayed) / seconds;
        figures.poll_usec = sum(|totals| totals.poll_usec) / drawn as f64;
        self.base = Base { at: now, frames, totals };
    }
}

/// How long the values count as current.
const SAMPLE_LIFETIME: Duration = Duration::from_millis(10);
/// Rates over a shorter time would jump.
const MIN_RATE_INTERVAL: Duration = Duration::from_millis(500);
