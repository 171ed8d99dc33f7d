//! Connections of trusted proxies that name the client in the PROXY protocol.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Instant;

use super::{Hub, Side};
use crate::access::RejectReason;
use crate::base::{CloseReason, ConnId};
use crate::http::HttpResponse;
use crate::wire::proxy_protocol::Preface;

impl Hub {
    /// Reads the header of a trusted proxy. Returns whether the bytes after the header can be read.
    #[cold]
    pub(super) fn read_preamble<S: Read>(
        &mut self,
        conn: ConnId,
        stream: &mut S,
        buffer: &mut [u8],
        now: Instant,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let preamble = connection.pending_mut().and_then(|pending| pending.preamble.take());
        let Some(mut preamble) = preamble else { return true };
        if connection.session.outcome().is_some() {
            // The connection is closed already, and all bytes are dropped.
            return true;
        }
        let before = preamble.len();
        let preface = preamble.read(stream, buffer);
        let came = preamble.len();
        // These bytes are the proxy's: the client may still be silent.
        self.counters.bytes_in.add(came - before);
        match preface {
            Ok(Preface::Partial) => {
                if let Some(pending) = connection.pending_mut() {
                    pending.preamble = Some(preamble);
                }
                return false;
            }
            Ok(Preface::Whole(None)) => {}
            Ok(Preface::Whole(Some(client))) => self.speaks_for(conn, client, now),
            Ok(Preface::Malformed(why)) => self.refuse_preamble(conn, why, now),
            Ok(Preface::Ended) if came > 0 => self.refuse_preamble(conn, "it is incomplete", now),
            Err(error) if error.kind() != ErrorKind::ConnectionReset || came > 0 => {
                connection.session.fail(&error)
            }
            Ok(Preface::Ended) | Err(_) => connection.session.end(CloseReason::NoRequest),
        }
        // The bytes after the header were not read yet.
        let goes_on = self.connections.get(conn).is_some_and(|connection| !connection.session.is_ended());
        if !goes_on {
            self.note_outcome(conn, now);
        }
        goes_on
    }

    /// From here on the connection counts as this client's.
    fn speaks_for(&mut self, conn: ConnId, client: SocketAddr, now: Instant) {
        let (Side::Server(access), Some(connection)) = (&mut self.side, self.connections.get_mut(conn))
        else {
            return;
        };
        connection.address = client;
        match access.count(client.ip()) {
            Ok(client) => connection.client_key = client,
            Err(response) => {
                if let Err(response) = connection.take_spare(access, response) {
                    self.reject(conn, RejectReason::Address, &response, now);
                }
            }
        }
    }

    fn refuse_preamble(&mut self, conn: ConnId, why: &str, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let what = format!("this trusted proxy must send the PROXY protocol: {why}");
        if connection.tls.is_some() {
            // A response would have to be inside TLS, which has not begun.
            if let Some(pending) = connection.pending_mut() {
                pending.reject_reason = Some(RejectReason::Malformed);
            }
            connection.session.end(CloseReason::Refused(what));
        } else {
            self.reject(conn, RejectReason::Malformed, &HttpResponse::new(400, what), now);
        }
    }
}
