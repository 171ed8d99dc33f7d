//! What all connections of a driver share: spare buffers, and the count of the bytes that wait.

use std::collections::VecDeque;

use super::writer::{GATHERED_MAX, Segment};

/// Spare buffers, shared by all connections of a driver, so that an idle connection holds none.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    spare: Vec<Vec<u8>>,
    /// The room of the spare buffers.
    room: usize,
    /// Bytes in the buffers that are in use.
    pub(super) bytes: usize,
}

impl Pool {
    /// Returns the bytes that the queues of all connections hold, without shared payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts bytes that wait elsewhere for the same streams: there were `before`, and now there are `after`.
    pub(crate) fn recount(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        let buffer = self.spare.pop().unwrap_or_default();
        self.room -= buffer.capacity();
        buffer
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        self.bytes -= buffer.len();
        let room = buffer.capacity();
        if room > 0 && self.room + room <= POOLED && room <= 2 * GATHERED_MAX {
            buffer.clear();
            self.room += room;
            self.spare.push(buffer);
        }
    }

    pub(super) fn discard(&mut self, segments: VecDeque<Segment>) {
        for segment in segments {
            if let Segment::Gathered(buffer) = segment {
                self.give(buffer);
            }
        }
    }
}

/// Bytes of the spare buffers that a driver keeps.
const POOLED: usize = 2 * 1024 * 1024;
