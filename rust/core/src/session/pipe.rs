//! The stream that the message reader sees: it reads from the turn and answers into the queue.

use std::io::{self, ErrorKind, Read, Write};

use super::outgoing::{Outgoing, Pool};
use super::turn::Turn;

/// What the message reader sees as its stream: it reads from the turn and answers into the queue.
pub(super) struct Pipe<'a, 't, S> {
    pub(super) turn: Option<&'a mut Turn<'t, S>>,
    pub(super) out: &'a mut Outgoing,
    pub(super) pool: &'a mut Pool,
    /// Bytes that may be read.
    pub(super) limit: usize,
    pub(super) given: usize,
}

impl<'a> Pipe<'a, '_, io::Empty> {
    /// One that only answers.
    pub(super) fn answering(out: &'a mut Outgoing, pool: &'a mut Pool) -> Self {
        Self { turn: None, out, pool, limit: 0, given: 0 }
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
        self.out.push_raw(frames, self.pool);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
