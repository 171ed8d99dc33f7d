//! Runs the deferred work once per frame, so that log lines of the I/O threads are printed even if no script calls the addon.

use std::cell::Cell;

use godot::builtin::{Callable, vslice};
use godot::classes::{Engine, Object, SceneTree};
use godot::obj::{Gd, Inherits, InstanceId, Singleton};

use super::run_deferred;

/// Connects to the signal for each frame. A main loop that is not a `SceneTree` has no such signal; its lines are printed at the next
/// call of any object. Does nothing before the main loop exists; called again whenever an object opens.
pub(crate) fn connect_to_frames() {
    if CONNECTED_TREE.get().is_some_and(|tree| tree.lookup_validity()) {
        return;
    }
    let main_loop = Engine::singleton().get_main_loop();
    let Some(tree) = main_loop.and_then(|main_loop| main_loop.try_cast::<SceneTree>().ok()) else {
        return;
    };
    connect(&tree, SIGNAL, &Callable::from_fn(NAME, |_| run_deferred()));
    CONNECTED_TREE.set(Some(tree.instance_id()));
}

/// Connects a function of the library, which disconnects it when it is unloaded. In the editor, the `connect()` of gdext would do that too, and
/// print a warning for the user about it.
pub(crate) fn connect(object: &Gd<impl Inherits<Object>>, signal: &str, function: &Callable) {
    object.clone().upcast::<Object>().call("connect", vslice![signal, *function]);
}

/// Disconnects from the signal: the code is unloaded with the library.
pub(crate) fn disconnect_from_frames() {
    let Some(id) = CONNECTED_TREE.take() else { return };
    let Ok(mut tree) = Gd::<Object>::try_from_instance_id(id) else { return };
    for connection in tree.get_signal_connection_list(SIGNAL).iter_shared() {
        let callable = connection.get("callable").and_then(|one| one.try_to::<Callable>().ok());
        if let Some(callable) = callable.filter(|one| one.to_string() == NAME) {
            tree.disconnect(SIGNAL, &callable);
        }
    }
}

thread_local! {
    /// The tree whose signal is connected.
    static CONNECTED_TREE: Cell<Option<InstanceId>> = const { Cell::new(None) };
}

const SIGNAL: &str = "process_frame";
/// Distinguishes this connection from those of the game.
const NAME: &str = "websocket_multiplayer_frame";
