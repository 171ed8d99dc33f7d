//! The stream that the message reader sees: it reads from the turn and answers into the queue.

use std::io::{self, ErrorKind, Read, Write};

use super::outgoing::{Outgoing, Pool};
use super::turn::Turn;

/// What the message reader sees as its stream: it reads from the turn and answers into the queue.
pub(super) struct Pipe<'a, 't, S> {
    pub(super) turn: Option<&'a mut Turn<'t, S>>,
    pub(super) out: &'a mut Outgoing,
    pub(super) pool: &'a mut Pool,
    pub(super) controls_limit: usize,
    /// Bytes that may be read.
    pub(super) limit: usize,
    pub(super) given: usize,
}

impl<'a> Pipe<'a, '_, io::Empty> {
    /// One that only answers.
    pub(super) fn answering(out: &'a mut Outgoing, pool: &'a mut Pool, controls_limit: usize) -> Self {
        Self { turn: None, out, pool, controls_limit, limit: 0, given: 0 }
    }
}

impl<S: Read> Read for Pipe<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let turn = self.turn.as_mut().ok_or(ErrorKind::WouldBlock)?;
        let limit = buffer.len().min(self.limit - self.given);
        if limit == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = turn.read(&mut buffer[..limit])?;
        self.given += n;
        Ok(n)
    }
}

impl<S> Write for Pipe<'_, '_, S> {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        // A remote that sends pings and does not read the pongs gets one for the last of them (section 5.5.3).
        if self.out.controls() >= self.controls_limit {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.out.push_raw(frames, self.pool);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
