//! Objects that were closed and opened again in one frame. `close()` emits no signal, and a `MultiplayerAPI` that has not seen the
//! object closed still lists its old peers. Therefore `peer_disconnected` is emitted for the old peers before the first new one connects.

use std::rc::Rc;

use godot::builtin::Callable;
use godot::classes::{MultiplayerApi, Object, RefCounted, SceneMultiplayer};
use godot::meta::ToGodot;
use godot::obj::Gd;
use websocket_multiplayer_core::PeerId;

use crate::border;
use crate::signals::{HostClass, emit};

/// Emits `peer_disconnected` for each peer that a `MultiplayerAPI` connected to this object still lists. Returns `false` if a handler
/// has closed the object, opened it again or freed it.
pub(crate) fn emit_disconnects<T: HostClass>(this: &mut Gd<T>) -> bool {
    let (names, generation, former) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        (Rc::clone(&host.names), host.core.generation(), host.core.former_peers())
    };
    let mut emitted = Vec::new();
    for (callable, id) in stale_peers(this.upcast_ref()) {
        if !former.contains(&PeerId(id)) {
            // Another client, which the server has relayed: this object has never announced it.
            callable.call(&[id.to_variant()]);
        } else if !emitted.contains(&id) {
            emitted.push(id);
            let new = this.bind_mut().host_mut().swap_handle(id, None);
            emit(this.upcast_mut(), &names.peer_disconnected, &[id.to_variant()]);
            let mut class = this.bind_mut();
            let host = class.host_mut();
            let is_same = host.core.generation() == generation;
            border::free_later(if is_same { host.swap_handle(id, new) } else { new });
        }
        // A freed object emits no signal.
        if this.upcast_ref::<RefCounted>().get_reference_count() == 1
            || this.bind_mut().host_mut().core.generation() != generation
        {
            return false;
        }
    }
    true
}

/// The old peers that each connected `MultiplayerAPI` still lists, the server last, with the callable that handles their disconnect.
fn stale_peers(object: &Object) -> Vec<(Callable, i32)> {
    let mut stale_peers = Vec::new();
    for connection in object.get_signal_connection_list("peer_disconnected").iter_shared() {
        let Some(callable) = connection.get("callable").and_then(|one| one.try_to::<Callable>().ok()) else {
            continue;
        };
        let Some(api) = callable.object().and_then(|object| object.try_cast::<MultiplayerApi>().ok()) else {
            continue;
        };
        let mut ids = api.get_peers().to_vec();
        if let Ok(scene) = api.try_cast::<SceneMultiplayer>() {
            ids.extend(scene.get_authenticating_peers().as_slice());
        }
        ids.sort_by_key(|id| *id == PeerId::SERVER.0);
        stale_peers.extend(ids.into_iter().map(|id| (callable.clone(), id)));
    }
    stale_peers
}
