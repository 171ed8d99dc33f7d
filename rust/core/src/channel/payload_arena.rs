//! Small payloads on their way to the game, several in one allocation.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

/// Copies payloads into pieces of memory that they share.
///
/// A piece is never shared by two rounds: the game's thread would let go of one round's payloads while the driver adds the
/// next one's, and two threads that count the same references cost each other more than the copies. Once the game has let go
/// of all that lies in it, a large one is used again: memory that one thread gets and another one frees is slow to get.
#[derive(Debug, Default)]
pub(crate) struct PayloadArena {
    room: BytesMut,
    /// It is one of the large ones.
    is_large: bool,
    /// Bytes of this round, and of the last one that had any.
    round: usize,
    last_round: usize,
    /// Large ones that were used, the oldest first; the game may still have something in them.
    lent: VecDeque<BytesMut>,
    /// Large ones that this round has used.
    used: usize,
}

impl PayloadArena {
    pub(crate) fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.room.capacity() < payload.len() {
            self.start_piece(payload.len());
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
        // What a burst needed goes bit by bit when it is not needed any more.
        if self.lent.len() > 4 * self.used {
            self.lent.pop_front();
        }
        self.last_round = mem::take(&mut self.round);
        self.used = 0;
    }

    /// What is unused stays unread memory for as long as the payloads wait, so that a round of few starts small.
    fn start_piece(&mut self, at_least: usize) {
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
        let piece = mem::take(&mut self.room);
        if mem::take(&mut self.is_large) {
            // The game keeps something in the oldest one for long: that must not keep the others from being used.
            if self.lent.len() == LENT_MAX {
                self.lent.pop_front();
            }
            self.lent.push_back(piece);
        }
    }
}

const SMALLEST: usize = 64;
const LARGEST: usize = 16 * 1024;
/// Large pieces that may be known; 4 MiB.
const LENT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_a_round_lie_together_and_rounds_apart() {
        let mut pieces = PayloadArena::default();
        // Of a round like this one it learns how much the next may need.
        for byte in [1, 2] {
            pieces.copy(&[byte; 100]);
        }
        pieces.finish();
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
        let mut pieces = PayloadArena::default();
        assert_eq!(pieces.copy(&[7; 5000]).len(), 5000);
        assert_eq!(pieces.copy(&[]).len(), 0);
        assert_eq!(pieces.copy(&[8; 700])[..], [8; 700]);
    }

    /// A round of large pieces, as the game gets it.
    fn round(pieces: &mut PayloadArena) -> Vec<Bytes> {
        let round = (0..4 * LARGEST / 1000).map(|n| pieces.copy(&[n as u8; 1000])).collect();
        pieces.finish();
        round
    }

    #[test]
    fn what_the_game_has_let_go_of_is_used_again_and_nothing_else() {
        let mut pieces = PayloadArena::default();
        round(&mut pieces);
        let one = round(&mut pieces);
        let known = pieces.lent.len();
        let two = round(&mut pieces);
        assert!(one.iter().chain(&two).all(|bytes| bytes.iter().all(|byte| *byte == bytes[0])));
        assert!(
            one.iter().zip(&two).enumerate().all(|(n, (one, two))| (one[0], two[0]) == (n as u8, n as u8))
        );
        let more = pieces.lent.len();
        assert!(more > known, "the game had all of them");
        drop((one, two));
        round(&mut pieces);
        assert_eq!(pieces.lent.len(), more);
    }

    #[test]
    fn what_is_kept_for_long_does_not_hinder_the_rest_for_ever() {
        let mut pieces = PayloadArena::default();
        round(&mut pieces);
        let kept = pieces.copy(&[7; 1000]);
        for _ in 0..LENT_MAX {
            round(&mut pieces);
        }
        assert!(pieces.lent.front_mut().expect("used").try_reclaim(LARGEST));
        assert_eq!(kept[..], [7; 1000]);
    }

    #[test]
    fn a_burst_does_not_stay_for_ever() {
        let mut pieces = PayloadArena::default();
        drop([round(&mut pieces), round(&mut pieces), round(&mut pieces)]);
        assert!(pieces.lent.len() > 3);
        for _ in 0..20 {
            pieces.copy(&[1; 10]);
            pieces.finish();
        }
        assert!(pieces.lent.is_empty());
    }
}
