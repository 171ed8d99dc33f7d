//! Mistakes by which nothing fails, and nothing works either: a warning says what to change. In debug builds of the game only.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::time::Duration;

use godot::builtin::{Callable, StringName};
use godot::classes::{Engine, Object, Os, SceneTree, SceneTreeTimer};
use godot::obj::{Gd, Singleton};
use websocket_multiplayer_core::Role;

use crate::registry;
use crate::report::{Kind, warning};

/// An object was opened: from now on somebody looks after it.
pub(crate) fn start_watchdog() {
    if !Os::singleton().is_debug_build() || TIMER.with_borrow(|timer| timer.is_some()) {
        return;
    }
    let main_loop = Engine::singleton().get_main_loop();
    let Some(mut tree) = main_loop.and_then(|main_loop| main_loop.try_cast::<SceneTree>().ok()) else {
        return;
    };
    // The tree runs its timers after everything that might poll in the same frame: a game that did nothing else for a minute
    // has polled by then.
    let Some(mut timer) = tree.create_timer_ex(POLL_TIMEOUT.as_secs_f64()).ignore_time_scale(true).done()
    else {
        return;
    };
    timer.connect("timeout", &Callable::from_fn("websocket_multiplayer_watchdog", |_| on_timeout()));
    TIMER.with_borrow_mut(|place| **place = Some(timer));
}

/// Nobody is sampled_at after any more.
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
            "{} ({what}): nobody has called poll() for {} s, and something waits to be told. Make it the multiplayer_peer of \
             a MultiplayerAPI, or call its poll() in _process().",
            object.kind.class(),
            idle.as_secs(),
        ));
    }
    if !objects.is_empty() {
        start_watchdog();
    }
    // This function runs inside of it.
    drop(finished);
}

/// A peer has come: does nobody hear of it, because those who wait for it do so in the other mode? Code of 3.x often connects the
/// signals of both modes.
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
            // Somebody hears of something.
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
    /// A game makes this mistake early, and a server with thousands of peers has other things to do.
    static REMAINING_CHECKS: Cell<u32> = const { Cell::new(16) };
}

/// So long may nobody poll while something waits.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Signals of multiplayer mode alone.
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
/// Signals of raw mode alone, of servers and of clients.
const RAW_SIGNALS: &[&str] = &[
    "client_connected",
    "client_disconnected",
    "connection_closed",
    "connection_error",
    "connection_established",
    "data_received",
];
/// Signals that say nothing about peers.
const OBJECT_SIGNALS: &[&str] = &["property_list_changed", "script_changed"];
