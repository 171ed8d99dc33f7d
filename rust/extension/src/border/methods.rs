//! The methods of the engine that are called in each poll that finds packets, by pointers that are looked up once.
//!
//! At each call, gdext looks the method up in a table, checks that the object is alive and of the right class, and counts its references.
//! With the processor's caches full of the game's data, this takes longer than the methods themselves, and as long as many packets.

#![allow(unsafe_code, reason = "methods of the engine are called through pointers")]

use std::ptr::null_mut;
use std::sync::OnceLock;

use godot::builtin::{PackedInt32Array, StringName};
use godot::classes::{ClassDb, MultiplayerPeerExtension, SceneMultiplayer};
use godot::obj::{Gd, GodotClass, InstanceId, Singleton};
use godot::sys::{self, GodotFfi};

use super::engine::Engine;

/// Returns whether anything is connected to a signal of the object.
pub(crate) fn has_connections(object: &Gd<MultiplayerPeerExtension>, signal: &StringName) -> bool {
    let Some(Some(method)) = HAS_CONNECTIONS.get() else {
        return !object.get_signal_connection_list(signal).is_empty();
    };
    let mut result: sys::GDExtensionBool = 0;
    // SAFETY: an object and arguments of these types, alive during the call.
    unsafe { method.call(object.obj_sys(), &[signal.sys()], (&raw mut result).cast()) };
    result != 0
}

/// What a `SceneMultiplayer` does for a peer.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Relaying {
    /// It relays packets between the peer's clients.
    Relays,
    /// It relays, and was emptied, or no client has come yet.
    KnowsNobody,
    /// It does not relay, has another peer, or is gone.
    RelaysNot,
}

/// A `SceneMultiplayer`, and a peer that it had, which may have parted or be gone.
#[derive(Clone, Copy)]
pub(crate) struct Relayer {
    api: InstanceId,
    peer: sys::GDExtensionObjectPtr,
}

impl Relayer {
    pub(crate) fn new(api: &Gd<SceneMultiplayer>, peer: &Gd<impl GodotClass>) -> Self {
        Self { api: api.instance_id(), peer: peer.obj_sys() }
    }

    /// A number that no other `SceneMultiplayer` has.
    pub(crate) fn number(self) -> u64 {
        self.api.to_i64().cast_unsigned()
    }

    /// Asks the `SceneMultiplayer`.
    pub(crate) fn relaying(self) -> Relaying {
        let Some(Some(methods)) = RELAYER.get() else { return Relaying::RelaysNot };
        // SAFETY: any number may be passed. An instance id is never given to a second object, so this is null or the `SceneMultiplayer`, which
        // nothing frees before this function returns.
        let api = unsafe { (methods.object_of_id)(self.number()) };
        if api.is_null() {
            return Relaying::RelaysNot;
        }
        let mut relays: sys::GDExtensionBool = 0;
        let mut peer: sys::GDExtensionObjectPtr = null_mut();
        // SAFETY: methods of this object's class, with results of their types. A reference is one pointer, and null at first.
        unsafe {
            methods.is_server_relay_enabled.call(api, &[], (&raw mut relays).cast());
            methods.get_multiplayer_peer.call(api, &[], (&raw mut peer).cast());
        }
        if !peer.is_null() {
            let mut is_last: sys::GDExtensionBool = 0;
            // SAFETY: gives back the reference that the result is. It is not the last one, because the `SceneMultiplayer` has one.
            unsafe { methods.unreference.call(peer, &[], (&raw mut is_last).cast()) };
        }
        if relays == 0 || peer != self.peer {
            return Relaying::RelaysNot;
        }
        let mut peers = PackedInt32Array::new();
        // SAFETY: as above. Of an empty array, the engine returns a null pointer.
        let first = unsafe {
            methods.get_peers.call(api, &[], peers.sys_mut());
            (methods.item)(peers.sys(), 0)
        };
        if first.is_null() { Relaying::KnowsNobody } else { Relaying::Relays }
    }
}

/// Finds the methods. The engine prints an error for a method that it does not have, and a script may listen to errors, so nothing may be
/// borrowed. At the first stage that has all classes of the engine.
pub(crate) fn find_methods() {
    let Some(engine) = Engine::get() else { return };
    // The library may have been loaded before: the methods are the same.
    let _ = HAS_CONNECTIONS.set(Method::find(engine, "Object", "has_connections", 2_619_796_661));
    let _ = RELAYER.set(RelayerMethods::find(engine));
}

/// `None` before 4.4.
static HAS_CONNECTIONS: OnceLock<Option<Method>> = OnceLock::new();
/// `None` in an engine that is built without the multiplayer module.
static RELAYER: OnceLock<Option<RelayerMethods>> = OnceLock::new();

/// The methods that [`Relayer`] calls.
struct RelayerMethods {
    object_of_id: sys::GDExtensionInterfaceObjectGetInstanceFromId,
    /// A number of a `PackedInt32Array`.
    item: sys::GDExtensionInterfacePackedInt32ArrayOperatorIndexConst,
    is_server_relay_enabled: Method,
    get_multiplayer_peer: Method,
    get_peers: Method,
    unreference: Method,
}

impl RelayerMethods {
    fn find(engine: Engine) -> Option<Self> {
        // SAFETY: the types are those of the engine's header.
        let (object_of_id, item) = unsafe {
            (
                engine.function(c"object_get_instance_from_id")?,
                engine.function(c"packed_int32_array_operator_index_const")?,
            )
        };
        let method = |class, name, signature| Method::find(engine, class, name, signature);
        Some(Self {
            object_of_id,
            item,
            is_server_relay_enabled: method("SceneMultiplayer", "is_server_relay_enabled", 36_873_697)?,
            get_multiplayer_peer: method("MultiplayerAPI", "get_multiplayer_peer", 3_223_692_825)?,
            get_peers: method("MultiplayerAPI", "get_peers", 969_006_518)?,
            unreference: method("RefCounted", "unreference", 2_240_911_060)?,
        })
    }
}

/// A method of a class of the engine.
struct Method {
    bind: sys::GDExtensionMethodBindPtr,
    call: sys::GDExtensionInterfaceObjectMethodBindPtrcall,
}

// SAFETY: the engine's own data, which never changes and lives as long as the process.
unsafe impl Send for Method {}
// SAFETY: as above.
unsafe impl Sync for Method {}

impl Method {
    /// Finds a method by its name and the engine's number for its signature.
    fn find(engine: Engine, class: &str, name: &str, signature: i64) -> Option<Self> {
        let (class, name) = (StringName::from(class), StringName::from(name));
        if !ClassDb::singleton().class_has_method(&class, &name) {
            return None;
        }
        // SAFETY: the types are those of the engine's header.
        let (find, call) = unsafe {
            (
                engine
                    .function::<sys::GDExtensionInterfaceClassdbGetMethodBind>(c"classdb_get_method_bind")?,
                engine.function(c"object_method_bind_ptrcall")?,
            )
        };
        // SAFETY: the engine's own function, with two names.
        let bind = unsafe { find(class.sys().cast(), name.sys().cast(), signature) };
        (!bind.is_null()).then_some(Self { bind, call })
    }

    /// # Safety
    /// On the main thread, with an object of the method's class, and arguments and a result of the method's types.
    unsafe fn call(
        &self,
        object: sys::GDExtensionObjectPtr,
        arguments: &[sys::GDExtensionConstTypePtr],
        result: sys::GDExtensionTypePtr,
    ) {
        // SAFETY: as above.
        unsafe { (self.call)(self.bind, object, arguments.as_ptr(), result) };
    }
}
