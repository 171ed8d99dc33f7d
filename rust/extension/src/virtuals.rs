//! The virtual methods that the engine calls on a multiplayer peer, generated for each class: gdext has no inheritance between Rust
//! classes, and does not expand macros inside a `#[godot_api]` impl, so this macro expands to the whole impl.
//!
//! A virtual that unwinds leaves the engine's return value uninitialized. Therefore each virtual runs in [`guarded`].

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a virtual. After a panic, which the panic hook has printed already, returns the fallback.
pub(crate) fn guarded<R>(fallback: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Expands to `IMultiplayerPeerExtension` for a class with a `host` field.
macro_rules! multiplayer_virtuals {
    ($class:ident) => {
        #[allow(unsafe_code, reason = "two virtuals of the engine take raw pointers")]
        #[godot::register::godot_api]
        impl godot::classes::IMultiplayerPeerExtension for $class {
            fn poll(&mut self) {
                $crate::virtuals::guarded((), || $crate::signals::poll(self));
            }

            // Also called for values whose type the setter does not accept.
            fn on_set(
                &mut self,
                property: godot::builtin::StringName,
                value: godot::builtin::Variant,
            ) -> bool {
                $crate::virtuals::guarded(false, || {
                    $crate::access_rules::AccessRules::refuses_type_of(self, &property.to_string(), &value)
                })
            }

            fn close(&mut self) {
                $crate::virtuals::guarded((), || self.host.close());
            }

            fn disconnect_peer(&mut self, p_peer: i32, p_force: bool) {
                $crate::virtuals::guarded((), || {
                    if p_force {
                        self.host.disconnect_now(i64::from(p_peer));
                    } else {
                        self.host
                            .disconnect(i64::from(p_peer), websocket_multiplayer_core::CloseFrame::normal());
                    }
                });
            }

            fn get_available_packet_count(&self) -> i32 {
                $crate::virtuals::guarded(0, || self.host.packet_count())
            }

            fn get_max_packet_size(&self) -> i32 {
                $crate::virtuals::guarded(0, || self.host.max_packet_size())
            }

            unsafe fn get_packet_rawptr(
                &mut self,
                r_buffer: $crate::raw::BufferOut,
                r_buffer_size: $crate::raw::SizeOut,
            ) -> godot::global::Error {
                $crate::virtuals::guarded(godot::global::Error::FAILED, || {
                    // SAFETY: the engine's own pointers; the host keeps the packet until the next get_packet.
                    unsafe { $crate::raw::return_packet(r_buffer, r_buffer_size, self.host.take_packet()) }
                })
            }

            unsafe fn put_packet_rawptr(
                &mut self,
                p_buffer: $crate::raw::BufferIn,
                p_buffer_size: i32,
            ) -> godot::global::Error {
                $crate::virtuals::guarded(godot::global::Error::FAILED, || {
                    // SAFETY: the engine's own buffer, used in this call only.
                    let payload = unsafe { $crate::raw::packet_from_engine(p_buffer, p_buffer_size) };
                    self.host.put_packet(payload)
                })
            }

            fn get_packet_channel(&self) -> i32 {
                0
            }

            fn get_packet_mode(&self) -> godot::classes::multiplayer_peer::TransferMode {
                $crate::virtuals::guarded(godot::classes::multiplayer_peer::TransferMode::RELIABLE, || {
                    self.host.packet_mode()
                })
            }

            fn get_packet_peer(&self) -> i32 {
                $crate::virtuals::guarded(1, || self.host.packet_peer())
            }

            fn set_transfer_channel(&mut self, p_channel: i32) {
                self.host.set_transfer_channel(p_channel);
            }

            fn get_transfer_channel(&self) -> i32 {
                self.host.transfer_channel()
            }

            fn set_transfer_mode(&mut self, p_mode: godot::classes::multiplayer_peer::TransferMode) {
                self.host.set_transfer_mode(p_mode);
            }

            fn get_transfer_mode(&self) -> godot::classes::multiplayer_peer::TransferMode {
                self.host.transfer_mode()
            }

            fn set_target_peer(&mut self, p_peer: i32) {
                self.host.set_target(p_peer);
            }

            fn is_server(&self) -> bool {
                $crate::virtuals::guarded(false, || self.host.is_server())
            }

            fn get_unique_id(&self) -> i32 {
                $crate::virtuals::guarded(0, || self.host.unique_id())
            }

            fn get_connection_status(&self) -> godot::classes::multiplayer_peer::ConnectionStatus {
                $crate::virtuals::guarded(
                    godot::classes::multiplayer_peer::ConnectionStatus::DISCONNECTED,
                    || self.host.status(),
                )
            }

            fn set_refuse_new_connections(&mut self, p_enable: bool) {
                $crate::virtuals::guarded((), || self.host.core.set_refuse_new_connections(p_enable));
            }

            fn is_refusing_new_connections(&self) -> bool {
                $crate::virtuals::guarded(false, || self.host.core.refuses_new_connections())
            }

            // With the 3.x wire format the addon relays packets itself.
            fn is_server_relay_supported(&self) -> bool {
                self.host.wire_format == websocket_multiplayer_core::WireFormat::Godot4
            }
        }

        impl $crate::signals::HostClass for $class {
            fn host_mut(&mut self) -> &mut $crate::host::PeerHost {
                &mut self.host
            }
        }
    };
}
pub(crate) use multiplayer_virtuals;
