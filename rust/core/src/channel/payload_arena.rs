//! Small payloads on their way to the game, several in one allocation.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

/// Copies payloads into blocks of memory that they share.
///
/// A block is never used by two rounds: the game's thread would let go of one round's payloads while the driver adds the
/// next one's, and two threads that count the same references cost each other more than the copies. Once the game has let go
/// of all that lies in it, a large block is used again: memory that one thread allocates and another one frees is slow to allocate.
#[derive(Debug, Default)]
pub(crate) struct PayloadArena {
    room: BytesMut,
    /// `room` is a large block.
    is_large: bool,
    /// Bytes of this round, and of the last round with any.
    round: usize,
    last_round: usize,
    /// Used large blocks, the oldest first; the game may still have payloads in them.
    lent: VecDeque<BytesMut>,
    /// The number of large blocks of this round.
    used: usize,
}

impl PayloadArena {
    pub(crate) fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.room.capacity() < payload.len() {
            self.start_block(payload.len());
        }
        self.round += payload.len();
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }

    /// Ends the round.
    pub(crate) fn finish(&mut self) {
        if self.round == 0 {
            return;
        }
        self.put_aside();
        // The memory of a burst is freed step by step.
        if self.lent.len() > 4 * self.used {
            self.lent.pop_front();
        }
        self.last_round = mem::take(&mut self.round);
        self.used = 0;
    }

    /// The unused rest of a block stays allocated as long as its payloads wait, so a round with few payloads starts with a small block.
    fn start_block(&mut self, at_least: usize) {
        self.put_aside();
        let size = self.last_round.max(self.round * 4).clamp(SMALLEST, LARGEST).max(at_least);
        if size == LARGEST {
            self.used += 1;
            if self.lent.front_mut().is_some_and(|oldest| oldest.try_reclaim(LARGEST)) {
                self.room = self.lent.pop_front().unwrap_or_default();
                self.is_large = true;
                return;
            }
        }
        self.room = BytesMut::with_capacity(size);
        self.is_large = size == LARGEST;
    }

    fn put_aside(&mut self) {
        let block = mem::take(&mut self.room);
        if mem::take(&mut self.is_large) {
            // A payload that the game keeps for long in the oldest block must not prevent the reuse of the others.
            if self.lent.len() == LENT_MAX {
                self.lent.pop_front();
            }
            self.lent.push_back(block);
        }
    }
}

const SMALLEST: usize = 64;
const LARGEST: usize = 16 * 1024;
/// The most large blocks that are kept; 4 MiB.
const LENT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_a_round_lie_together_and_rounds_apart() {
        let mut arena = PayloadArena::default();
        // The arena learns from a round how much the next one may need.
        for byte in [1, 2] {
            arena.copy(&[byte; 100]);
        }
        arena.finish();
        let one = arena.copy(&[1; 100]);
        let two = arena.copy(&[2; 100]);
        assert_eq!(two.as_ptr(), one.as_ptr().wrapping_add(100));
        arena.finish();
        let three = arena.copy(&[3; 100]);
        assert_ne!(three.as_ptr(), two.as_ptr().wrapping_add(100));
        assert_eq!((&one[..], &two[..], &three[..]), (&[1; 100][..], &[2; 100][..], &[3; 100][..]));
    }

    #[test]
    fn a_piece_is_as_large_as_it_has_to_be() {
        let mut arena = PayloadArena::default();
        assert_eq!(arena.copy(&[7; 5000]).len(), 5000);
        assert_eq!(arena.copy(&[]).len(), 0);
        assert_eq!(arena.copy(&[8; 700])[..], [8; 700]);
    }

    /// The payloads of a round that fills large blocks.
    fn round(arena: &mut PayloadArena) -> Vec<Bytes> {
        let round = (0..4 * LARGEST / 1000).map(|n| arena.copy(&[n as u8; 1000])).collect();
        arena.finish();
        round
    }

    #[test]
    fn what_the_game_has_let_go_of_is_used_again_and_nothing_else() {
        let mut arena = PayloadArena::default();
        round(&mut arena);
        let one = round(&mut arena);
        let known = arena.lent.len();
        let two = round(&mut arena);
        assert!(one.iter().chain(&two).all(|bytes| bytes.iter().all(|byte| *byte == bytes[0])));
        assert!(
            one.iter().zip(&two).enumerate().all(|(n, (one, two))| (one[0], two[0]) == (n as u8, n as u8))
        );
        let more = arena.lent.len();
        assert!(more > known, "the game had all of them");
        drop((one, two));
        round(&mut arena);
        assert_eq!(arena.lent.len(), more);
    }

    #[test]
    fn what_is_kept_for_long_does_not_hinder_the_rest_for_ever() {
        let mut arena = PayloadArena::default();
        round(&mut arena);
        let kept = arena.copy(&[7; 1000]);
        for _ in 0..LENT_MAX {
            round(&mut arena);
        }
        assert!(arena.lent.front_mut().expect("used").try_reclaim(LARGEST));
        assert_eq!(kept[..], [7; 1000]);
    }

    #[test]
    fn a_burst_does_not_stay_for_ever() {
        let mut arena = PayloadArena::default();
        drop([round(&mut arena), round(&mut arena), round(&mut arena)]);
        assert!(arena.lent.len() > 3);
        for _ in 0..20 {
            arena.copy(&[1; 10]);
            arena.finish();
        }
        assert!(arena.lent.is_empty());
    }
}
