//! How peers end: what is counted, what is written down, and who hears of it.

use std::time::Instant;

use super::{Hub, News, Side};
use crate::error::{CloseReason, Escaped};
use crate::gate::Line;
use crate::id::ConnId;
use crate::link::Link;
use crate::session::Context;

impl Hub {
    /// Closes a peer that does not take its packets.
    pub(super) fn overflow(&mut self, conn: ConnId, now: Instant) {
        let Some(member) = self.members.get_mut(conn) else { return };
        if member.session.outcome().is_some() {
            return;
        }
        let (packets, bytes) =
            member.session.overflow(&mut Context { config: &self.config, pool: &mut self.pool, now });
        if let Some(link) = member.link.clone() {
            self.totals.peers_overflowed.add(1);
            self.news.push(News::Overflowed(link.id));
            if let Some(more) = self.may_log(Line::Limit, &link, now) {
                log::warn!(
                    "peer {} ({}) does not take its packets: closing it with 1013, {packets} packets ({bytes} bytes) are not delivered; raise \
                     max_out_buffer_kb / max_out_packets (set_buffers) or overflow_grace if this is a healthy peer{more}",
                    link.id,
                    link.info.address
                );
            }
        }
        self.dirty.push(conn);
        self.after(conn, now);
    }

    /// Counts the end of a peer, writes down what its life was like, and tells of it.
    pub(super) fn note_left(&mut self, link: &Link, reason: CloseReason, now: Instant) {
        let line = match reason {
            CloseReason::Violation(_) => {
                self.totals.peers_violated.add(1);
                Line::Limit
            }
            CloseReason::TimedOut(_) => {
                self.totals.peers_timed_out.add(1);
                Line::Limit
            }
            _ => Line::Left,
        };
        if let Some(more) = self.may_log(line, link, now) {
            let figures = &link.figures;
            log::info!(
                "peer {} ({}) was connected for {:.1} s: {}; received {} packets ({} bytes), sent {} ({} bytes){more}",
                link.id,
                link.info.address,
                now.saturating_duration_since(link.info.opened).as_secs_f64(),
                Escaped(&reason.to_string()),
                figures.packets_in.get(),
                figures.bytes_in.get(),
                figures.packets_out.get(),
                figures.bytes_out.get(),
            );
        }
        let id = link.id;
        self.news.push(News::Disconnected { id, reason });
        self.announce_left(id, now);
    }

    /// As [`Gate::may_log`](crate::gate::Gate::may_log); a client has but one connection to write about.
    pub(super) fn may_log(&mut self, line: Line, link: &Link, now: Instant) -> Option<String> {
        match &mut self.side {
            Side::Server(gate) => gate.may_log(line, link.info.address.ip(), now),
            Side::Client { .. } => Some(String::new()),
        }
    }
}
