//! Connections of proxies that say in the PROXY protocol whom they speak for.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Instant;

use super::{Hub, Side};
use crate::access::RejectReason;
use crate::base::{CloseReason, ConnId};
use crate::http::HttpResponse;
use crate::wire::proxy_protocol::Preface;

impl Hub {
    /// Reads on in the header that a trusted proxy begins with; true: what follows it can be read.
    #[cold]
    pub(super) fn read_preamble<S: Read>(
        &mut self,
        conn: ConnId,
        stream: &mut S,
        buffer: &mut [u8],
        now: Instant,
    ) -> bool {
        let Some(member) = self.members.get_mut(conn) else { return false };
        let preamble = member.pending_mut().and_then(|pending| pending.preamble.take());
        let Some(mut preamble) = preamble else { return true };
        if member.session.outcome().is_some() {
            // It is closed already, and whatever comes is thrown away.
            return true;
        }
        let before = preamble.len();
        let preface = preamble.read(stream, buffer);
        let came = preamble.len();
        // It is not noted as heard: the proxy has spoken, and the client may be silent.
        self.totals.bytes_in.add(came - before);
        match preface {
            Ok(Preface::Partial) => {
                if let Some(pending) = member.pending_mut() {
                    pending.preamble = Some(preamble);
                }
                return false;
            }
            Ok(Preface::Whole(None)) => {}
            Ok(Preface::Whole(Some(client))) => self.speaks_for(conn, client, now),
            Ok(Preface::Malformed(why)) => self.refuse_preamble(conn, why, now),
            Ok(Preface::Ended) if came > 0 => self.refuse_preamble(conn, "it is incomplete", now),
            Err(error) if error.kind() != ErrorKind::ConnectionReset || came > 0 => {
                member.session.fail(&error)
            }
            Ok(Preface::Ended) | Err(_) => member.session.end(CloseReason::NoRequest),
        }
        // What follows was not asked for yet.
        let goes_on = self.members.get(conn).is_some_and(|member| !member.session.is_ended());
        if !goes_on {
            self.note_outcome(conn, now);
        }
        goes_on
    }

    /// From here on it is this client's connection, as if there were no proxy.
    fn speaks_for(&mut self, conn: ConnId, client: SocketAddr, now: Instant) {
        let (Side::Server(access), Some(member)) = (&mut self.side, self.members.get_mut(conn)) else {
            return;
        };
        member.address = client;
        match access.count(client.ip()) {
            Ok(client) => member.client_key = client,
            Err(response) => self.reject(conn, RejectReason::Address, &response, now),
        }
    }

    fn refuse_preamble(&mut self, conn: ConnId, why: &str, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        let what = format!("the PROXY protocol was expected of this trusted proxy: {why}");
        if member.tls.is_some() {
            // It is not known whether the other side speaks TLS, in which an answer would have to be.
            if let Some(pending) = member.pending_mut() {
                pending.reject_reason = Some(RejectReason::Malformed);
            }
            member.session.end(CloseReason::Refused(what));
        } else {
            self.reject(conn, RejectReason::Malformed, &HttpResponse::new(400, what), now);
        }
    }
}
