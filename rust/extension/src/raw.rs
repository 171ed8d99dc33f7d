//! Unsafe code: packets are passed to and from the engine as raw pointers, a default argument can be null, and two functions of the
//! operating system are called for which there is no library.

#![allow(
    unsafe_code,
    reason = "the engine's packet virtuals take raw pointers, and gdext allows no null default for objects; \
              libraries are pinned by address"
)]

use std::io;
#[cfg(unix)]
use std::mem::MaybeUninit;

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

/// Passes a packet to the engine, or the error if there is none.
///
/// # Safety
/// Both pointers are those that the engine has passed to `_get_packet`, and the packet stays in place until the next call.
pub(crate) unsafe fn return_packet(
    buffer: BufferOut,
    size: SizeOut,
    packet: Result<&Packet, Error>,
) -> Error {
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

/// Returns the bytes that the engine has passed to `_put_packet`.
///
/// # Safety
/// Both arguments are the ones of `_put_packet`, and the slice does not outlive that call.
pub(crate) unsafe fn packet_from_engine<'a>(buffer: BufferIn, size: i32) -> &'a [u8] {
    match usize::try_from(size) {
        Ok(len @ 1..) if !buffer.ptr().is_null() => {
            // SAFETY: the engine passes the address and size of one of its buffers, which it does not change
            // during the call.
            unsafe { std::slice::from_raw_parts(buffer.ptr(), len) }
        }
        _ => &[],
    }
}

/// TLS options or null, for an optional argument.
#[derive(Clone, Debug, GodotConvert)]
#[godot(transparent)]
pub(crate) struct OptionalTlsOptions(pub(crate) Option<Gd<TlsOptions>>);

// SAFETY: the trait requires default values that no call can change for another call. The only default value of this type is null.
unsafe impl GodotImmutable for OptionalTlsOptions {}

/// Keeps this library in memory until the process ends, although the engine unloads it: one of its threads is still blocked in a
/// system call, and would return to code that is gone.
#[cfg(unix)]
pub(crate) fn keep_loaded() -> io::Result<()> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address is allowed, and `info` has room for the result.
    let found = unsafe { libc::dladdr((keep_loaded as *const ()).cast(), info.as_mut_ptr()) };
    // SAFETY: zeros are a valid value: null pointers.
    let info = unsafe { info.assume_init() };
    if found == 0 || info.dli_fname.is_null() {
        return Err(io::Error::other("the system cannot tell which library this code belongs to"));
    }
    // NOLOAD, because the library is loaded already, and no other file of that name is meant. The handle is never closed.
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name comes from the loader itself, and lasts as long as the library is loaded.
    let handle = unsafe { libc::dlopen(info.dli_fname, flags) };
    if handle.is_null() {
        return Err(io::Error::other("the system does not find the loaded library"));
    }
    Ok(())
}

/// The same on Windows.
#[cfg(windows)]
pub(crate) fn keep_loaded() -> io::Result<()> {
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };

    let flags = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
    let mut module = std::ptr::null_mut();
    // SAFETY: with FROM_ADDRESS the second argument is an address instead of a name, here that of our own code.
    let done = unsafe { GetModuleHandleExW(flags, (keep_loaded as *const ()).cast(), &mut module) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Limits the unsent bytes that the kernel accepts for a socket.
#[cfg(target_vendor = "apple")]
pub(crate) fn limit_unsent(socket: std::os::fd::BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let size = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the option's value is an integer of this size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// As in Apple's `netinet/tcp.h`.
#[cfg(target_vendor = "apple")]
const TCP_NOTSENT_LOWAT: libc::c_int = 0x201;
