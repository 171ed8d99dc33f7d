//! The unsafe code: packets cross the border to the engine as raw pointers, and a default argument may be
//! null.

#![allow(
    unsafe_code,
    reason = "the engine's packet virtuals take raw pointers, and gdext allows no null default for objects"
)]

use godot::classes::TlsOptions;
use godot::global::Error;
use godot::meta::conv::RawPtr;
use godot::meta::{GodotConvert, GodotImmutable};
use godot::obj::Gd;

use websocket_multiplayer_core::Packet;

/// Where `_get_packet` writes the address of a packet.
pub(crate) type BufferOut = RawPtr<*mut RawPtr<*const u8>>;
/// Where `_put_packet` finds a packet.
pub(crate) type BufferIn = RawPtr<*const u8>;
/// Where `_get_packet` writes its size.
pub(crate) type SizeOut = RawPtr<*mut i32>;

/// Hands the engine a packet, or says why there is none.
///
/// # Safety Both pointers are the ones that the engine passed to `_get_packet`, and the packet stays where it
/// is until the next call.
pub(crate) unsafe fn hand_out(buffer: BufferOut, size: SizeOut, packet: Result<&Packet, Error>) -> Error {
    let (payload, error): (&[u8], Error) = match packet {
        Ok(packet) => (&packet.payload, Error::OK),
        Err(error) => (&[], error),
    };
    // SAFETY: the engine passes the addresses of two variables of its own, valid for this call
    // (MultiplayerPeerExtension and PacketPeerExtension, get_packet). It reads the payload until the next
    // get_packet; the caller keeps the packet so long.
    unsafe {
        *buffer.ptr() = RawPtr::new(payload.as_ptr());
        *size.ptr() = payload.len() as i32;
    }
    error
}

/// The bytes that the engine passed to `_put_packet`.
///
/// # Safety
/// Both arguments are the ones of `_put_packet`, and the slice does not outlive that call.
pub(crate) unsafe fn handed_in<'a>(buffer: BufferIn, size: i32) -> &'a [u8] {
    match usize::try_from(size) {
        Ok(len @ 1..) if !buffer.ptr().is_null() => {
            // SAFETY: the engine passes the address and size of one of its buffers, which it does not change
            // during the call.
            unsafe { std::slice::from_raw_parts(buffer.ptr(), len) }
        }
        _ => &[],
    }
}

/// TLS options, or null: an argument that may be left out.
#[derive(Clone, Debug, GodotConvert)]
#[godot(transparent)]
pub(crate) struct OptionalTlsOptions(pub(crate) Option<Gd<TlsOptions>>);

// SAFETY: the trait asks for defaults that calls cannot change through each other. The only default of this
// type is null.
unsafe impl GodotImmutable for OptionalTlsOptions {}
