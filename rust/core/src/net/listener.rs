//! The listening socket. The game's thread makes it, so that errors are known at once, and can close it at any time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::{TcpListener, TcpStream};
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::BindAddress;
use crate::error::OpenError;

/// Connections that wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
pub(crate) const BACKLOG: i32 = 1024;
/// Bytes that the kernel takes beyond what it can send at once: more would hide for seconds that a peer does not keep up.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER: u32 = 32 * 1024;

/// A listening socket that two threads hold: closing it frees the port at once, whatever the driver does.
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
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Sets up a connected socket: small packets leave at once, and the kernel says early that a peer does not keep up.
pub(crate) fn tune(stream: &TcpStream) {
    // A socket that refuses an option still works.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
    #[cfg(target_vendor = "apple")]
    let _ = SockRef::from(stream).set_nosigpipe(true);
}
