//! A connection as the hub reads and writes it.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;

use super::simulator::{Reader, Writer};

/// Where bytes come from or go to.
///
/// One type for all, so that the hub's code is there once, and as fast as if there were no simulation.
pub(crate) enum Transport<'a> {
    /// A connected socket. Writing to one whose remote is gone is an error and never a signal: `writev` would raise
    /// SIGPIPE, which ends a game whose process does not ignore it.
    Socket(&'a mut TcpStream),
    /// The end of a simulated network.
    Arrived(Reader<'a>),
    /// The beginning of one.
    Leaving(Writer<'a>),
}

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.read(buffer),
            Self::Arrived(reader) => reader.read(buffer),
            Self::Leaving(_) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // std asks for no signal by itself.
            Self::Socket(socket) => socket.write(bytes),
            Self::Leaving(writer) => writer.write(bytes),
            Self::Arrived(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => write_vectored(socket, slices),
            Self::Leaving(writer) => writer.write_vectored(slices),
            Self::Arrived(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.flush(),
            Self::Arrived(_) | Self::Leaving(_) => Ok(()),
        }
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn write_vectored(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket2::SockRef::from(socket).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
}

/// Apple has an option of the socket for it, set by `tune`; Windows has no such signal.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn write_vectored(mut socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.write_vectored(slices)
}
