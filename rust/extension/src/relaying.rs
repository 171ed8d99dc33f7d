//! Finds the `SceneMultiplayer` that relays packets between the clients of a server. If there is exactly one, the I/O thread does its work.

use godot::builtin::{Callable, StringName};
use godot::classes::{Object, SceneMultiplayer};
use godot::obj::Gd;

use crate::border::{Relayer, Relaying};
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
    let relayer = relaying_api(this.upcast_ref(), &names.peer_connected).map(|api| Relayer::new(&api, this));
    let relaying = relayer.map_or(Relaying::RelaysNot, Relayer::relaying);
    let by = relayer.filter(|_| relaying != Relaying::RelaysNot).map(Relayer::number);
    let mut class = this.bind_mut();
    let host = class.host_mut();
    host.relayer = relayer;
    host.core.set_relaying(by, relaying == Relaying::KnowsNobody);
}

/// Returns the only `SceneMultiplayer` that listens to the peer. A script between the two, such as a peer that wraps this one, has to see
/// all packets, and an API of its own that relays is not known here.
fn relaying_api(object: &Object, peer_connected: &StringName) -> Option<Gd<SceneMultiplayer>> {
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
    only
}

impl PeerHost {
    /// Returns whether the I/O thread may relay at all; nothing is asked otherwise.
    fn may_relay(&self) -> bool {
        self.relays_on_io_thread && self.core.may_relay()
    }

    /// Asks anew before a run is passed if a handler may have emptied or replaced the API, or made it relay no more: then the game has to see
    /// the packets.
    #[inline]
    pub(crate) fn check_relaying(&self) {
        if self.core.must_ask_who_relays()
            && self.relayer.is_none_or(|relayer| relayer.relaying() != Relaying::Relays)
        {
            self.core.stop_relaying();
        }
    }

    pub(crate) fn set_relay_on_io_thread(&mut self, enabled: bool) {
        self.relays_on_io_thread = enabled;
        if !enabled {
            self.core.set_relaying(None, true);
        }
    }
}
