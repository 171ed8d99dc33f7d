//! The listening socket. The game's thread creates it, so that errors are returned at once, and can close it at any time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::open_error::OpenError;
use crate::config::BindAddress;

/// Connections that wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
pub(crate) const BACKLOG: i32 = 1024;
/// Bytes that the kernel buffers beyond what it can send at once. With more, a peer that does not keep up would go unnoticed for
/// seconds.
#[cfg_attr(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")), allow(dead_code))]
pub(crate) const NOT_SENT_LOW_WATER: u32 = 32 * 1024;
/// Bytes that the kernel buffers in all, on systems without that option. Bytes in flight count too, so this also limits what a
/// connection carries per round trip.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// How the kernel's send buffer is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsent {
    /// `TCP_NOTSENT_LOWAT`.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    LowWater,
    /// The same, set by the embedding program: no library sets it here without unsafe code.
    #[cfg(target_vendor = "apple")]
    Asked(fn(std::os::fd::BorrowedFd<'_>, u32) -> io::Result<()>),
    /// A small `SO_SNDBUF`.
    #[cfg_attr(
        any(target_os = "linux", target_os = "android"),
        cfg_attr(not(feature = "bench"), expect(dead_code))
    )]
    SendBuffer,
}

impl Unsent {
    /// The best option of the system.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) const DEFAULT: Self = Self::LowWater;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) const DEFAULT: Self = Self::SendBuffer;

    fn limit(self, stream: &TcpStream) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::LowWater => SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER),
            #[cfg(target_vendor = "apple")]
            Self::Asked(limit) => limit(std::os::fd::AsFd::as_fd(stream), NOT_SENT_LOW_WATER),
            Self::SendBuffer => SockRef::from(stream).set_send_buffer_size(SEND_BUFFER),
        }
    }
}

/// A listening socket shared by two threads. Closing it frees the port at once, whatever the driver does.
#[derive(Clone)]
pub(crate) struct Listener {
    socket: Arc<Mutex<Option<TcpListener>>>,
    port: u16,
}

impl Listener {
    /// Binds and listens.
    pub(crate) fn bind(address: BindAddress, port: u16) -> Result<Self, OpenError> {
        let shown = match address {
            BindAddress::Any => "*".to_owned(),
            BindAddress::Ip(ip) => ip.to_string(),
        };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => OpenError::AddressInUse { port, address: shown.clone() },
            _ => OpenError::CannotListen { port, address: shown.clone(), source },
        };
        let socket = match address {
            BindAddress::Ip(ip) => listen(SocketAddr::new(ip, port)),
            BindAddress::Any => match listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
                // No IPv6 on this machine.
                Err(error)
                    if error.kind() != io::ErrorKind::AddrInUse
                        && error.kind() != io::ErrorKind::PermissionDenied =>
                {
                    listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
                }
                result => result,
            },
        };
        let socket = socket.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        Ok(Self { socket: Arc::new(Mutex::new(Some(socket))), port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes the socket: the port is free when this returns.
    pub(crate) fn close(&self) {
        self.lock().take();
    }

    /// Takes the next connection. `None`: the listener is closed.
    ///
    /// This lock is held over a system call that does not block; only `close` ever waits for it.
    pub(crate) fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.lock().as_ref().map(TcpListener::accept)
    }

    pub(crate) fn register(&self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        match self.lock().as_mut() {
            Some(socket) => registry.register(socket, token, mio::Interest::READABLE),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<TcpListener>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    // On Unix this lets a port be used again while old connections linger; elsewhere it would let others take it.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog())?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Returns the backlog as the system expects it: Winsock takes more than 200 only as a hint, given as a negative number.
fn backlog() -> i32 {
    if cfg!(windows) { -BACKLOG } else { BACKLOG }
}

/// Sets the options of a connected socket: small packets are sent at once, and a peer that does not keep up is noticed early.
pub(crate) fn tune(stream: &TcpStream, unsent: Unsent) {
    // A socket that refuses an option still works.
    let _ = stream.set_nodelay(true);
    let _ = unsent.limit(stream);
    #[cfg(target_vendor = "apple")]
    let _ = SockRef::from(stream).set_nosigpipe(true);
}
