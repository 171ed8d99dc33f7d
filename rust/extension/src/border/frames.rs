//! Once in each frame: what the I/O threads have to say is printed also where nobody calls anything.

use std::cell::Cell;

use godot::builtin::{Callable, StringName};
use godot::classes::{Engine, Object, SceneTree};
use godot::obj::{Gd, InstanceId, Singleton};

use super::run_deferred;

/// Is called in each frame from now on. A main loop that is no `SceneTree` has no such signal: its lines are printed at the next call
/// of any object. Before the main loop exists nothing happens; whoever opens an object comes here again.
pub(crate) fn connect_to_frames() {
    if CONNECTED_TREE.get().is_some_and(|tree| tree.lookup_validity()) {
        return;
    }
    let main_loop = Engine::singleton().get_main_loop();
    let Some(mut tree) = main_loop.and_then(|main_loop| main_loop.try_cast::<SceneTree>().ok()) else {
        return;
    };
    tree.connect(&StringName::from(SIGNAL), &Callable::from_fn(NAME, |_| run_deferred()));
    CONNECTED_TREE.set(Some(tree.instance_id()));
}

/// Is called no more: the code goes with the library.
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
    /// The tree whose frames are attended.
    static CONNECTED_TREE: Cell<Option<InstanceId>> = const { Cell::new(None) };
}

const SIGNAL: &str = "process_frame";
/// Tells the connection from those of the game.
const NAME: &str = "websocket_multiplayer_frame";
