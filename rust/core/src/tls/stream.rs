//! The bytes of a connection inside TLS.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustls::Connection;

use super::words::{self, Remote};

/// The state of TLS on one connection.
pub(crate) struct TlsSession {
    connection: Connection,
    /// The first bytes of the remote.
    first: First,
    /// The caller continues the handshake with `check`, because verifying a certificate may take long.
    apart: bool,
    /// `check` has to be called before anything else.
    unchecked: bool,
    /// The error that `check` found.
    failed: Option<rustls::Error>,
    /// A read stopped although the transport may have more.
    spent: bool,
    /// The closing alert was queued.
    close_notify_queued: bool,
    /// The remote has sent at least one byte.
    has_received: bool,
    /// Bytes read from the transport, minus the plain bytes in them.
    overhead: isize,
    /// Plain bytes that were written, minus the encrypted bytes that the transport took.
    unsent: usize,
    /// The transport took some bytes.
    moved: bool,
}

/// A transport with TLS: the caller reads and writes plain bytes, and the transport carries encrypted ones.
///
/// Reading and writing also continue the handshake.
pub(crate) struct TlsStream<'a, S> {
    session: &'a mut TlsSession,
    transport: &'a mut S,
}

impl TlsSession {
    pub(super) fn new(mut connection: Connection) -> Self {
        // The session bounds its own queue. Here, only the bytes of one flush wait.
        connection.set_buffer_limit(Some(BUFFER_LIMIT));
        Self {
            connection,
            first: First::default(),
            apart: false,
            unchecked: false,
            failed: None,
            spent: false,
            close_notify_queued: false,
            has_received: false,
            overhead: 0,
            unsent: 0,
            moved: false,
        }
    }

    /// Sets whether the caller continues the handshake with [`check`](Self::check), on a thread where it may take long.
    pub(super) fn apart(mut self, apart: bool) -> Self {
        self.apart = apart;
        self
    }

    /// Returns whether `check` has to be called before anything else.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.unchecked
    }

    /// Continues the handshake. The next read returns the error, if there is one.
    pub(crate) fn check(&mut self) {
        self.unchecked = false;
        self.failed = self.connection.process_new_packets().err();
    }

    /// Returns whether encrypted bytes wait to be written.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Returns, once, whether reading stopped although the transport may have more bytes.
    pub(crate) fn take_spent(&mut self) -> bool {
        std::mem::take(&mut self.spent)
    }

    /// Returns how many more encrypted bytes than plain bytes were read since the last call. The number is negative if the plain bytes
    /// arrived before that call.
    pub(crate) fn take_overhead(&mut self) -> isize {
        std::mem::take(&mut self.overhead)
    }

    /// Returns how many written bytes the transport has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Returns whether the transport took any bytes since the last call.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns whether the remote has sent any bytes, those of the handshake included.
    pub(crate) fn has_received(&self) -> bool {
        self.has_received
    }

    /// Queues the closing alert (`close_notify`). Returns true the first time.
    pub(crate) fn queue_close_notify(&mut self) -> bool {
        let first = !self.close_notify_queued;
        if first {
            self.close_notify_queued = true;
            self.connection.send_close_notify();
        }
        first
    }

    fn remote(&self) -> Remote {
        match self.connection {
            Connection::Client(_) => Remote::Server,
            Connection::Server(_) => Remote::Client,
        }
    }

    /// Returns an I/O error that explains an error of TLS.
    pub(super) fn failure(&self, error: &rustls::Error) -> io::Error {
        let kind = match error {
            rustls::Error::AlertReceived(_) => ErrorKind::UnexpectedEof,
            _ => ErrorKind::InvalidData,
        };
        io::Error::new(kind, words::explain(error, self.remote(), self.first.bytes()))
    }

    pub(crate) fn stream<'a, S>(&'a mut self, transport: &'a mut S) -> TlsStream<'a, S> {
        TlsStream { session: self, transport }
    }
}

/// The first bytes of a stream, by which its protocol is recognized.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    bytes: [u8; 8],
    len: usize,
}

/// A stream whose first bytes are recorded.
struct Noted<'a, S> {
    first: &'a mut First,
    stream: &'a mut S,
}

impl First {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn note<'a, S>(&'a mut self, stream: &'a mut S) -> Noted<'a, S> {
        Noted { first: self, stream }
    }
}

impl<S: Read> Read for Noted<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let First { bytes, len } = self.first;
        let new = n.min(bytes.len() - *len);
        bytes[*len..*len + new].copy_from_slice(&buffer[..new]);
        *len += new;
        Ok(n)
    }
}

impl std::fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
    }
}

impl<S> TlsStream<'_, S> {
    /// Returns whether the handshake is still under way, so that no data can be read or written.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.connection.is_handshaking()
    }
}

impl<S: Write> TlsStream<'_, S> {
    /// Writes encrypted bytes until none wait or the transport blocks. Returns whether the transport blocked.
    pub(crate) fn push(&mut self) -> io::Result<bool> {
        while self.session.connection.wants_write() {
            match self.session.connection.write_tls(self.transport) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.session.moved = true;
                    // This also subtracts the overhead of TLS, some dozens of bytes per record. It is corrected when no bytes wait any more.
                    self.session.unsent = self.session.unsent.saturating_sub(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.session.unsent = 0;
        Ok(false)
    }
}

impl<S: Read> Read for TlsStream<'_, S> {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.session.failed.take() {
            return Err(self.session.failure(&error));
        }
        let mut taken = 0;
        loop {
            match self.session.connection.reader().read(plain) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // WebSocket messages contain their lengths, so a missing closing alert cannot hide that one was cut off.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => {
                    self.session.overhead -= *result.as_ref().unwrap_or(&0) as isize;
                    return result;
                }
            }
            // Empty records, key updates and warnings must not keep the driver from other connections.
            let left = TURN_LIMIT - taken;
            if left == 0 {
                self.session.spent = true;
                return Err(ErrorKind::WouldBlock.into());
            }
            let session = &mut *self.session;
            let transport = session.first.note(self.transport);
            let n = match session.connection.read_tls(&mut transport.take(left as u64)) {
                // A health check that only connects ends like this, and so does a client that rejects the certificate.
                Err(error)
                    if error.kind() == ErrorKind::ConnectionReset
                        && session.connection.is_handshaking()
                        && session.remote() == Remote::Client =>
                {
                    0
                }
                n => n?,
            };
            taken += n;
            self.session.overhead += n as isize;
            if n == 0 && !self.session.has_received && self.session.remote() == Remote::Client {
                // A probe, or the slower one of two connections that a client raced: no handshake has failed.
                return Ok(0);
            }
            self.session.has_received |= n > 0;
            if n == 0 && self.session.connection.is_handshaking() {
                let why = words::ended(self.session.remote(), self.session.first.bytes());
                return Err(io::Error::new(ErrorKind::UnexpectedEof, why));
            }
            if self.session.apart && self.session.connection.is_handshaking() {
                self.session.unchecked = true;
                return Err(ErrorKind::WouldBlock.into());
            }
            // A failure leaves an alert, which the next write sends.
            if let Err(error) = self.session.connection.process_new_packets() {
                return Err(self.session.failure(&error));
            }
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
        self.session.unsent += n;
        // The bytes count as written even if this blocks; the next call reports that it blocks.
        self.push()?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map(|_| ())
    }
}

/// The most encrypted bytes that one read takes.
pub(crate) const TURN_LIMIT: usize = 64 * 1024;
/// The most plain bytes that one write takes.
pub(crate) const BUFFER_LIMIT: usize = 32 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use rustls::HandshakeKind;
    use rustls::version::{TLS12, TLS13};

    use super::super::{TlsClients, TlsServer, Trust, certified_key, self_signed, server_config};
    use super::*;

    /// Carries bytes in both directions until neither side sends more.
    pub(in super::super) fn shake_hands(
        client: &mut TlsSession,
        server: &mut TlsSession,
    ) -> Result<(), rustls::Error> {
        while client.wants_write() || server.wants_write() {
            carry(client, server)?;
            carry(server, client)?;
        }
        Ok(())
    }

    fn carry(from: &mut TlsSession, to: &mut TlsSession) -> Result<(), rustls::Error> {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.connection.write_tls(&mut wire).expect("memory takes everything");
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            to.connection.read_tls(&mut wire).expect("memory does not fail");
            to.connection.process_new_packets()?;
        }
        Ok(())
    }

    fn kinds(
        clients: &TlsClients,
        trust: Trust<'_>,
        server: &TlsServer,
    ) -> (Option<HandshakeKind>, Option<HandshakeKind>) {
        let client = clients.client(trust, None).expect("usable");
        let mut client = client.session("localhost").expect("a name");
        let mut server = server.session().expect("usable");
        shake_hands(&mut client, &mut server).expect("they trust each other");
        let Connection::Server(asked) = &server.connection else { panic!("a server's session") };
        assert_eq!(asked.server_name(), Some("localhost"));
        assert_eq!(asked.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        (client.connection.handshake_kind(), server.connection.handshake_kind())
    }

    #[test]
    fn a_second_connection_resumes_the_session() {
        let full = (Some(HandshakeKind::Full), Some(HandshakeKind::Full));
        let resumed = (Some(HandshakeKind::Resumed), Some(HandshakeKind::Resumed));
        let (key, certificate) = self_signed("localhost");
        for version in [&TLS12, &TLS13] {
            let certified = certified_key(&key, &certificate, "").expect("usable");
            let config = server_config(certified, &[version]).expect("usable");
            let server = TlsServer { config: Arc::new(Mutex::new(config)) };
            let clients = TlsClients::default();
            let only = Trust::Only(&certificate);
            assert_eq!(kinds(&clients, only, &server), full, "{version:?}");
            assert_eq!(kinds(&clients, only, &server), resumed, "{version:?}");
            assert_eq!(kinds(&clients, only, &server), resumed, "{version:?}");
            // A client with another trust checks the server anew, and so does a client of a new certificate.
            assert_eq!(kinds(&clients, Trust::Anybody, &server), full, "{version:?}");
            server.replace(&key, &certificate, "").expect("usable");
            assert_eq!(kinds(&clients, only, &server), full, "{version:?}");
        }
    }

    #[test]
    fn a_session_begun_without_checks_does_not_open_the_door() {
        let (key, certificate) = self_signed("localhost");
        let (_, other) = self_signed("localhost");
        let server = TlsServer::new(&key, &certificate, "").expect("usable");
        let clients = TlsClients::default();
        kinds(&clients, Trust::Anybody, &server);
        let strict = clients.client(Trust::Only(&other), None).expect("usable");
        let mut client = strict.session("localhost").expect("a name");
        let mut server = server.session().expect("usable");
        assert!(shake_hands(&mut client, &mut server).is_err());
    }

    #[test]
    fn few_kinds_of_trust_are_remembered() {
        let clients = TlsClients::default();
        let configs: Vec<_> = (0..20)
            .map(|_| clients.client(Trust::Only(&self_signed("localhost").1), None).expect("usable").config)
            .collect();
        assert_eq!(configs.iter().filter(|config| Arc::strong_count(config) > 1).count(), 8);
        assert!(clients.client(Trust::Only("platform"), None).is_err());
    }
}
