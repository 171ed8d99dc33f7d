//! The bytes of a connection inside TLS.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustls::Connection;

use super::explain;

/// The state of TLS on one connection.
pub(crate) struct TlsSession {
    connection: Connection,
    /// The remote was told that nothing more comes.
    said_goodbye: bool,
}

/// A transport seen through TLS: what is read is plain, what is written leaves encrypted.
///
/// The handshake happens on the way: reading takes what the remote says, writing sends what TLS itself has to say.
pub(crate) struct TlsStream<'a, S> {
    session: &'a mut TlsSession,
    transport: &'a mut S,
}

impl TlsSession {
    pub(super) fn new(mut connection: Connection) -> Self {
        // What the session has queued is bounded there; here only what one flush can hand over waits.
        connection.set_buffer_limit(Some(BUFFER_LIMIT));
        Self { connection, said_goodbye: false }
    }

    /// Says whether encrypted bytes wait to be written.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Queues the closing alert; true the first time.
    pub(crate) fn say_goodbye(&mut self) -> bool {
        let first = !self.said_goodbye;
        if first {
            self.said_goodbye = true;
            self.connection.send_close_notify();
        }
        first
    }

    pub(crate) fn stream<'a, S>(&'a mut self, transport: &'a mut S) -> TlsStream<'a, S> {
        TlsStream { session: self, transport }
    }
}

impl<S> TlsStream<'_, S> {
    /// Says whether nothing but the handshake can be read and written yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.connection.is_handshaking()
    }
}

impl<S: Write> TlsStream<'_, S> {
    /// Writes encrypted bytes until none wait or the transport blocks; says whether it blocked.
    pub(crate) fn push(&mut self) -> io::Result<bool> {
        while self.session.connection.wants_write() {
            match self.session.connection.write_tls(self.transport) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

impl<S: Read> Read for TlsStream<'_, S> {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.connection.reader().read(plain) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The messages inside say where they end, so a missing closing alert cuts nothing off unseen.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            if self.session.connection.read_tls(self.transport)? == 0
                && self.session.connection.is_handshaking()
            {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the remote ended the connection during the TLS handshake",
                ));
            }
            // A failure leaves an alert to be sent; the next write does.
            self.session
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, explain(&error)))?;
        }
    }
}

impl<S: Write> Write for TlsStream<'_, S> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(plain)])
    }

    fn write_vectored(&mut self, plain: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.session.connection.is_handshaking() || self.push()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = self.session.connection.writer().write_vectored(plain)?;
        // If this blocks, the bytes are taken all the same, and the next call says so.
        self.push()?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map(|_| ())
    }
}

/// Plain bytes that one write hands over at most.
const BUFFER_LIMIT: usize = 32 * 1024;
