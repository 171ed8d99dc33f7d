//! Warnings about mistakes that cause no error: `poll()` is never called, or a handler waits for a signal of the other mode. In
//! debug builds of the game only.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::time::Duration;

use godot::builtin::{Callable, StringName};
use godot::classes::{Engine, Object, Os, SceneTree, SceneTreeTimer};
use godot::obj::{Gd, Singleton};
use websocket_multiplayer_core::Role;

use crate::report::{Kind, warning};
use crate::{border, registry};

/// Starts the watchdog, which checks every [`POLL_TIMEOUT`] whether all open objects are polled. Called when an object opens.
pub(crate) fn start_watchdog() {
    if !Os::singleton().is_debug_build() || TIMER.with_borrow(|timer| timer.is_some()) {
        return;
    }
    let main_loop = Engine::singleton().get_main_loop();
    let Some(mut tree) = main_loop.and_then(|main_loop| main_loop.try_cast::<SceneTree>().ok()) else {
        return;
    };
    // The tree runs its timers after everything else in a frame. So a game that was busy for a minute has polled before the
    // watchdog looks.
    let Some(timer) = tree.create_timer_ex(POLL_TIMEOUT.as_secs_f64()).ignore_time_scale(true).done() else {
        return;
    };
    let look = Callable::from_fn("websocket_multiplayer_watchdog", |_| on_timeout());
    border::connect(&timer, "timeout", &look);
    TIMER.with_borrow_mut(|place| **place = Some(timer));
}

/// Stops the watchdog: its code is unloaded with the library.
pub(crate) fn stop_watchdog() {
    TIMER.with_borrow_mut(|place| {
        if let Some(mut timer) = place.take() {
            for connection in timer.get_signal_connection_list("timeout").iter_shared() {
                if let Some(callable) = connection.get("callable").and_then(|one| one.try_to().ok()) {
                    timer.disconnect("timeout", &callable);
                }
            }
        }
    });
}

fn on_timeout() {
    let finished = TIMER.with_borrow_mut(|place| place.take());
    let objects = registry::open_objects();
    for (object, opening) in &objects {
        let idle = object.observer.neglected().filter(|idle| *idle >= POLL_TIMEOUT);
        let Some(idle) = idle.filter(|_| object.should_warn(*opening)) else { continue };
        let what = match object.observer.role() {
            Some(Role::Server) => format!("port {}", object.observer.local_port()),
            _ => "client".to_owned(),
        };
        warning(&format!(
            "{} ({what}): poll() was not called for {} s, and events are waiting. Make the object the multiplayer_peer of a \
             MultiplayerAPI, or call its poll() in _process().",
            object.kind.class(),
            idle.as_secs(),
        ));
    }
    if !objects.is_empty() {
        start_watchdog();
    }
    // The timer must live until here: this function runs inside its signal.
    drop(finished);
}

/// Called when a peer connects: warns if no signal of this mode has a handler, but a signal of the other mode has one. Code of 3.x
/// often connects the signals of both modes, which is no mistake.
pub(crate) fn check_signals(object: &Object, kind: Kind, raw: bool) {
    let left = REMAINING_CHECKS.get();
    if left == 0 || !Os::singleton().is_debug_build() {
        return;
    }
    REMAINING_CHECKS.set(left - 1);
    let (useless, mode, hint): (&[&str], _, _) = match (raw, kind) {
        (true, _) => (
            MULTIPLAYER_SIGNALS,
            "raw",
            "Pass gd_mp_api = true for a MultiplayerAPI, or connect to client_connected, connection_established and \
             data_received.",
        ),
        (false, Kind::Server | Kind::Client) => (
            RAW_SIGNALS,
            "multiplayer",
            "Connect to peer_connected and peer_packet, or pass gd_mp_api = false.",
        ),
        (false, Kind::Either | Kind::Handle) => return,
    };
    let mut idle = None;
    for signal in object.get_signal_list().iter_shared() {
        let name = signal.get("name").map(|name| name.to_string()).unwrap_or_default();
        if OBJECT_SIGNALS.contains(&name.as_str())
            || object.get_signal_connection_list(&StringName::from(&name)).is_empty()
        {
            continue;
        }
        if !useless.contains(&name.as_str()) {
            // A signal of this mode has a handler.
            return;
        }
        idle.get_or_insert(name);
    }
    if let Some(signal) = idle {
        REMAINING_CHECKS.set(0);
        warning(&format!(
            "{}.{signal} has a handler, but is never emitted in {mode} mode. {hint}",
            kind.class()
        ));
    }
}

thread_local! {
    // Not dropped with the thread, which would keep the library from being unloaded.
    static TIMER: RefCell<ManuallyDrop<Option<Gd<SceneTreeTimer>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
    /// Only the first peers are checked: a server with thousands of peers should not spend time on it.
    static REMAINING_CHECKS: Cell<u32> = const { Cell::new(16) };
}

/// The time without a poll, while events wait, after which the watchdog warns.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Signals that are only emitted in multiplayer mode.
const MULTIPLAYER_SIGNALS: &[&str] = &[
    "connection_failed",
    "connection_succeeded",
    "packet_refused",
    "peer_connected",
    "peer_disconnected",
    "peer_overflowed",
    "peer_packet",
    "server_disconnected",
];
/// Signals that are only emitted in raw mode, by servers or by clients.
const RAW_SIGNALS: &[&str] = &[
    "client_connected",
    "client_disconnected",
    "connection_closed",
    "connection_error",
    "connection_established",
    "data_received",
];
/// Signals that every object has.
const OBJECT_SIGNALS: &[&str] = &["property_list_changed", "script_changed"];
