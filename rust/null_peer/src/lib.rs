//! The floor that `cargo xtask bench` compares with: a multiplayer peer that answers a script's calls from memory. What a
//! packet costs here is what the engine, the bindings and the script cost, whoever moves the bytes.

#![allow(unsafe_code, reason = "the engine's packet virtuals take raw pointers")]
#![allow(unreachable_pub, reason = "gdext makes public accessors")]

use godot::classes::IMultiplayerPeerExtension;
use godot::classes::multiplayer_peer::{ConnectionStatus, TransferMode};
use godot::global::Error;
use godot::init::{ExtensionLibrary, gdextension};
use godot::meta::conv::RawPtr;
use godot::register::{GodotClass, godot_api};

struct NullPeer;

// SAFETY: implementing the trait asserts that gdext's rules for extensions are kept; two virtuals below are all the unsafe
// code there is.
#[gdextension(entry_symbol = null_peer_init)]
unsafe impl ExtensionLibrary for NullPeer {}

/// Finds `batch` packets of `size` bytes at each `poll()`, all from the same peer, and forgets what it is told to send.
#[derive(GodotClass)]
#[class(init, tool, base = MultiplayerPeerExtension)]
struct NullMultiplayerPeer {
    /// Packets that each `poll()` finds.
    #[var]
    batch: i32,
    /// Bytes of each.
    #[var]
    size: i32,
    waiting: i32,
    target: i32,
    packet: Vec<u8>,
    taken: u64,
}

#[godot_api]
impl IMultiplayerPeerExtension for NullMultiplayerPeer {
    fn poll(&mut self) {
        self.packet.resize(usize::try_from(self.size).unwrap_or(0), 7);
        self.waiting = self.batch;
    }

    fn close(&mut self) {}

    fn disconnect_peer(&mut self, _peer: i32, _force: bool) {}

    fn get_available_packet_count(&self) -> i32 {
        self.waiting
    }

    fn get_max_packet_size(&self) -> i32 {
        1 << 20
    }

    unsafe fn get_packet_rawptr(
        &mut self,
        buffer: RawPtr<*mut RawPtr<*const u8>>,
        buffer_size: RawPtr<*mut i32>,
    ) -> Error {
        self.waiting -= 1;
        // SAFETY: the engine passes the addresses of two variables of its own, valid for this call, and reads the packet
        // before it calls again; the vector changes in `poll` only.
        unsafe {
            *buffer.ptr() = RawPtr::new(self.packet.as_ptr());
            *buffer_size.ptr() = self.packet.len() as i32;
        }
        Error::OK
    }

    unsafe fn put_packet_rawptr(&mut self, _buffer: RawPtr<*const u8>, size: i32) -> Error {
        self.taken += u64::from(size.unsigned_abs());
        Error::OK
    }

    fn get_packet_channel(&self) -> i32 {
        0
    }

    fn get_packet_mode(&self) -> TransferMode {
        TransferMode::RELIABLE
    }

    fn get_packet_peer(&self) -> i32 {
        2
    }

    fn set_transfer_channel(&mut self, _channel: i32) {}

    fn get_transfer_channel(&self) -> i32 {
        0
    }

    fn set_transfer_mode(&mut self, _mode: TransferMode) {}

    fn get_transfer_mode(&self) -> TransferMode {
        TransferMode::RELIABLE
    }

    fn set_target_peer(&mut self, peer: i32) {
        self.target = peer;
    }

    fn is_server(&self) -> bool {
        true
    }

    fn get_unique_id(&self) -> i32 {
        1
    }

    fn get_connection_status(&self) -> ConnectionStatus {
        ConnectionStatus::CONNECTED
    }

    fn set_refuse_new_connections(&mut self, _enable: bool) {}

    fn is_refusing_new_connections(&self) -> bool {
        false
    }

    fn is_server_relay_supported(&self) -> bool {
        true
    }
}
