//! The game's side of the editor's "WebSocket" tab: reports all open objects each time the editor asks.

use godot::builtin::{Array, Callable, GString, VarArray, VarDictionary};
use godot::classes::{Engine, EngineDebugger, Time};
use godot::meta::ToGodot;
use godot::obj::Singleton;
use websocket_multiplayer_core::Role;

use crate::convert;
use crate::registry::{self, RegistryEntry};

/// The prefix of the messages of both sides.
pub(crate) const CAPTURE: &str = "websocket_multiplayer";
/// The editor's request.
pub(crate) const LOOK: &str = "look";
/// The game's answer: one dictionary.
pub(crate) const REPORT: &str = "report";

/// Listens to the debugger, if there is one.
pub(crate) fn install() {
    let mut debugger = EngineDebugger::singleton();
    if Engine::singleton().is_editor_hint() || !debugger.is_active() || debugger.has_capture(CAPTURE) {
        return;
    }
    debugger.register_message_capture(
        CAPTURE,
        &Callable::from_fn(CAPTURE, |arguments| {
            let asked = arguments.first().is_some_and(|message| message.to_string() == LOOK);
            if asked {
                let message = GString::from(&format!("{CAPTURE}:{REPORT}"));
                let mut data = VarArray::new();
                data.push(&report().to_variant());
                EngineDebugger::singleton().send_message(&message, &data);
            }
            asked
        }),
    );
}

/// Stops listening: the code is unloaded with the library.
pub(crate) fn remove() {
    let mut debugger = EngineDebugger::singleton();
    if debugger.has_capture(CAPTURE) {
        debugger.unregister_message_capture(CAPTURE);
    }
}

fn report() -> VarDictionary {
    let mut report = VarDictionary::new();
    let objects: Array<VarDictionary> =
        registry::open_objects().iter().map(|(object, opening)| describe(object, *opening)).collect();
    report.set("usec", Time::singleton().get_ticks_usec() as i64);
    report.set("objects", &objects);
    report
}

/// The statistics of an object, with its identity and the statistics of its peers.
fn describe(object: &RegistryEntry, opening: u64) -> VarDictionary {
    let mut described = convert::dictionary(object.observer.statistics().values());
    let peers = object.observer.busiest(PEERS_LIMIT).into_iter().map(|(id, statistics)| {
        let mut peer = convert::dictionary(statistics.values());
        peer.set("id", i64::from(id.0));
        peer
    });
    let load = object.observer.load();
    described.set("class", object.kind.class());
    described.set("number", object.number as i64);
    described.set("opening", opening as i64);
    described.set("is_server", object.observer.role() == Some(Role::Server));
    described.set("local_port", i64::from(object.observer.local_port()));
    described.set("queued_in_bytes", load.queued_in_bytes as i64);
    described.set("queued_out_bytes", load.queued_out_bytes as i64);
    described.set("listed", &peers.collect::<Array<VarDictionary>>());
    described
}

/// Peers per object in a report, which must stay small enough to be sent each second. The totals include all peers.
const PEERS_LIMIT: usize = 200;
