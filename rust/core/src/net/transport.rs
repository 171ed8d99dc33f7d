//! A connected socket as sessions read and write it.

use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;

/// A connected socket. Writing to one whose remote is gone is an error and never a signal: `writev` would raise SIGPIPE,
/// which ends a game whose process does not ignore it.
pub(crate) struct Transport<'a>(pub(crate) &'a mut TcpStream);

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // std asks for no signal by itself.
        self.0.write(bytes)
    }

    #[cfg(all(unix, not(target_vendor = "apple")))]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        socket2::SockRef::from(&*self.0).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
    }

    /// Apple has an option of the socket for it, set by `tune`; Windows has no such signal.
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
