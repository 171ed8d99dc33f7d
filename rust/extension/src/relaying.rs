//! Finds the `SceneMultiplayer` that relays packets between the clients of a server. If there is exactly one, the I/O thread does its work.

use godot::builtin::{Callable, StringName};
use godot::classes::{Object, SceneMultiplayer};
use godot::obj::{Gd, InstanceId};

use crate::host::PeerHost;
use crate::signals::HostClass;

/// Tells the core who relays now. `SceneMultiplayer` announces clients to each other when `peer_connected` is emitted, so this is called
/// before that.
pub(crate) fn update<T: HostClass>(this: &mut Gd<T>) {
    let names = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        if !host.may_relay() {
            return;
        }
        std::rc::Rc::clone(&host.names)
    };
    let by = relaying_api(this.upcast_ref(), &names.peer_connected);
    this.bind_mut().host_mut().core.set_relaying(by.map(|api| api.to_i64().cast_unsigned()));
}

/// The same at each poll while somebody relays. Listing the connections of a signal takes a hundred times as long as asking the API itself, and
/// an API that joins in knows no clients before the next one connects, so it is looked for in some polls only.
pub(crate) fn check<T: HostClass>(this: &mut Gd<T>, by: u64, polls: u64) {
    let api = InstanceId::try_from_i64(by.cast_signed()).map(Gd::<SceneMultiplayer>::try_from_instance_id);
    let still_relays = api.and_then(Result::ok).is_some_and(|api| {
        let peer = api.get_multiplayer_peer();
        api.is_server_relay_enabled() && peer.is_some_and(|peer| peer.instance_id() == this.instance_id())
    });
    if !still_relays || polls.is_multiple_of(POLLS) {
        update(this);
    }
}

/// Returns the instance id of the only `SceneMultiplayer` that listens to the peer, if it relays. A script between the two, such as a
/// peer that wraps this one, has to see all packets, and an API of its own that relays is not known here.
fn relaying_api(object: &Object, peer_connected: &StringName) -> Option<InstanceId> {
    let mut only = None;
    for connection in object.get_signal_connection_list(peer_connected).iter_shared() {
        let callable = connection.get("callable").and_then(|callable| callable.try_to::<Callable>().ok());
        let listener = callable.and_then(|callable| callable.object());
        let Some(api) = listener.and_then(|listener| listener.try_cast::<SceneMultiplayer>().ok()) else {
            continue;
        };
        if only.replace(api).is_some() {
            return None;
        }
    }
    only.filter(|api| api.is_server_relay_enabled()).map(|api| api.instance_id())
}

impl PeerHost {
    /// Returns whether the I/O thread may relay at all; nothing is asked otherwise.
    fn may_relay(&self) -> bool {
        self.relays_on_io_thread && self.core.may_relay()
    }

    pub(crate) fn set_relay_on_io_thread(&mut self, enabled: bool) {
        self.relays_on_io_thread = enabled;
        if !enabled {
            self.core.set_relaying(None);
        }
    }
}

/// Every so many polls, all listeners are looked at.
const POLLS: u64 = 32;
