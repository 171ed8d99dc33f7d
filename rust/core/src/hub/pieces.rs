//! Small payloads on their way to the game, several in one allocation.

use bytes::{Bytes, BytesMut};

/// Copies payloads into pieces of memory that they share.
///
/// A piece is never shared by two rounds: the game's thread would let go of one round's payloads while the driver adds the
/// next one's, and two threads that count the same references cost each other more than the copies.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    room: BytesMut,
    /// The size of the last piece of this round.
    last: usize,
}

impl Pieces {
    pub(super) fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.room.capacity() < payload.len() {
            // What is unused stays unread memory for as long as the payloads wait, so that a round of few starts small.
            self.last = (self.last * 4).clamp(SMALLEST, LARGEST).max(payload.len());
            self.room = BytesMut::with_capacity(self.last);
        }
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }

    /// Ends the round.
    pub(super) fn finish(&mut self) {
        if self.last > 0 {
            *self = Self::default();
        }
    }
}

const SMALLEST: usize = 512;
const LARGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_a_round_lie_together_and_rounds_apart() {
        let mut pieces = Pieces::default();
        let one = pieces.copy(&[1; 100]);
        let two = pieces.copy(&[2; 100]);
        assert_eq!(two.as_ptr(), one.as_ptr().wrapping_add(100));
        pieces.finish();
        let three = pieces.copy(&[3; 100]);
        assert_ne!(three.as_ptr(), two.as_ptr().wrapping_add(100));
        assert_eq!((&one[..], &two[..], &three[..]), (&[1; 100][..], &[2; 100][..], &[3; 100][..]));
    }

    #[test]
    fn a_piece_is_as_large_as_it_has_to_be() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.copy(&[7; 5000]).len(), 5000);
        assert_eq!(pieces.copy(&[]).len(), 0);
        assert_eq!(pieces.copy(&[8; 700])[..], [8; 700]);
    }
}
