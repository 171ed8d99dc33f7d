//! The messages that a session has sent and the remote has not acknowledged, in order of their numbers.
//!
//! The messages are kept, not their frames: a frame belongs to one transport, which masks and encrypts it (docs/protocol.md).

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use crate::channel::PayloadRef;
use crate::hub::INLINE_MAX;

/// Sent messages, until they are acknowledged or forgotten.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    /// The number of the last message before the first one in `messages`. The first message has number 1.
    before: u64,
    messages: VecDeque<Message>,
    /// The bytes of the copied messages, one after the other.
    copied: VecDeque<u8>,
    /// The payloads of the shared messages.
    shared: VecDeque<Bytes>,
    /// The sizes of all messages together.
    bytes: usize,
    /// The number of the last message that the present transport, or a former one, has written completely.
    written: u64,
    /// The sizes of the written messages that are still here.
    written_bytes: usize,
    /// The next message for the present transport.
    next: Cursor,
    /// The payloads at the front whose messages are gone.
    dead: Cursor,
}

/// A place between two messages.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The number of the message before it.
    number: u64,
    /// The bytes in `copied` and the payloads in `shared` before it.
    copied: usize,
    shared: usize,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    size: u32,
    body: Body,
    /// Room in the output queue is reserved for it: it was never written.
    has_room: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Body {
    Copied,
    Shared,
    /// An unreliable message: it has a number, and is not sent again.
    Void,
}

/// What a transport sends next.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A message. With `has_room`, its writing releases its room.
    Message { payload: PayloadRef<'a>, has_room: bool },
    /// That its number is void.
    Skip,
}

/// Messages in bytes and packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
}

impl Room {
    fn add(&mut self, message: Message) {
        self.bytes += message.size as usize;
        self.packets += 1;
    }
}

impl Unacked {
    /// The number of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.before + self.messages.len() as u64
    }

    /// The number before the first message that can be sent again.
    pub(crate) fn before(&self) -> u64 {
        self.before
    }

    /// The messages that are kept.
    pub(crate) fn size(&self) -> Room {
        Room { bytes: self.bytes, packets: self.messages.len() }
    }

    /// The bytes that are copies of this session's own. Shared payloads count elsewhere.
    pub(crate) fn copied_bytes(&self) -> usize {
        self.copied.len()
    }

    /// Adds the next message, for which room is reserved. An unreliable one leaves only its number. Returns whether the transport
    /// writes it at once: not if others wait before it, or there is no transport. Then an unreliable one has no room any more.
    pub(crate) fn push(&mut self, payload: PayloadRef<'_>, reliable: bool, has_transport: bool) -> bool {
        let is_next = has_transport && !self.has_backlog();
        let has_room = is_next || reliable;
        let size = if has_room { payload.len() } else { 0 };
        let body = if !reliable {
            Body::Void
        } else if let Some(shared) = payload.shared.filter(|_| size > INLINE_MAX) {
            debug_assert!(payload.prefix.is_empty(), "only the Godot 4 format resumes, and it has no header");
            self.shared.push_back(shared.clone());
            Body::Shared
        } else {
            self.copied.extend(payload.prefix);
            self.copied.extend(payload.bytes);
            Body::Copied
        };
        self.bytes += size;
        self.messages.push_back(Message { size: size as u32, body, has_room });
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Returns whether messages wait for the transport to take them.
    pub(crate) fn has_backlog(&self) -> bool {
        self.next.number < self.last()
    }

    /// Passes the next message to `send`. Returns false if there is none.
    pub(crate) fn send_next(&mut self, send: impl FnOnce(Next<'_>)) -> bool {
        let Some(message) = self.messages.get((self.next.number - self.before) as usize).copied() else {
            return false;
        };
        let size = message.size as usize;
        match message.body {
            Body::Void => send(Next::Skip),
            Body::Shared => {
                let payload = PayloadRef::shared(&self.shared[self.next.shared]);
                send(Next::Message { payload, has_room: message.has_room });
            }
            Body::Copied => {
                let range = self.next.copied..self.next.copied + size;
                if self.copied.as_slices().0.len() < range.end {
                    self.copied.make_contiguous();
                }
                let payload = PayloadRef::copied(&self.copied.as_slices().0[range]);
                send(Next::Message { payload, has_room: message.has_room });
            }
        }
        self.advance();
        true
    }

    /// Notes that the transport has written the next messages completely.
    pub(crate) fn note_written(&mut self, packets: usize) {
        for _ in 0..packets {
            let at = (self.written - self.before) as usize;
            let Some(message) = self.messages.get_mut(at) else { break };
            message.has_room = false;
            self.written += 1;
            self.written_bytes += message.size as usize;
        }
    }

    /// Releases the messages up to a number that the remote has received. Returns the room of those that were not known to be written:
    /// the end of a transport can hide that they were.
    pub(crate) fn acknowledge(&mut self, received: u64) -> Room {
        let mut freed = Room::default();
        while self.before < received.min(self.last()) {
            let Some(message) = self.pop() else { break };
            if message.has_room {
                freed.add(message);
            }
        }
        self.drop_payloads();
        freed
    }

    /// Forgets the oldest messages until those that were written are within the limits. What waits to be written stays.
    pub(crate) fn forget(&mut self, max_bytes: usize, max_packets: usize) {
        let most = max_packets.min(FORGET_PACKETS) as u64;
        while self.written > self.before
            && (self.written_bytes > max_bytes || self.written - self.before > most)
        {
            self.pop();
        }
        self.drop_payloads();
    }

    /// A new transport begins with the first message. Returns the room of messages that need none any more: unreliable ones that were not
    /// written.
    pub(crate) fn rewind(&mut self) -> Room {
        let mut freed = Room::default();
        for message in &mut self.messages {
            if message.body == Body::Void {
                if mem::take(&mut message.has_room) {
                    freed.add(*message);
                }
                self.bytes -= message.size as usize;
                message.size = 0;
            }
        }
        self.written = self.before;
        self.written_bytes = 0;
        self.next = Cursor { number: self.before, ..Cursor::default() };
        freed
    }

    /// The present transport is gone: what follows waits for the next one.
    pub(crate) fn hold(&mut self) {
        self.next = Cursor { number: self.before, ..Cursor::default() };
    }

    fn advance(&mut self) {
        if let Some(message) = self.messages.get((self.next.number - self.before) as usize) {
            self.next.number += 1;
            match message.body {
                Body::Copied => self.next.copied += message.size as usize,
                Body::Shared => self.next.shared += 1,
                Body::Void => {}
            }
        }
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        let size = message.size as usize;
        self.before += 1;
        self.bytes -= size;
        let is_taken = self.next.number >= self.before;
        self.next.number = self.next.number.max(self.before);
        match message.body {
            Body::Copied => {
                self.dead.copied += size;
                self.next.copied -= if is_taken { size } else { 0 };
            }
            Body::Shared => {
                self.dead.shared += 1;
                self.next.shared -= usize::from(is_taken);
            }
            Body::Void => {}
        }
        if self.written >= self.before {
            self.written_bytes -= size;
        }
        self.written = self.written.max(self.before);
        Some(message)
    }

    /// Drops the payloads of the messages that are gone, all at once. An idle session holds no memory, and one after a burst not the memory of the burst.
    fn drop_payloads(&mut self) {
        let Cursor { copied, shared, .. } = mem::take(&mut self.dead);
        if copied > 0 {
            self.copied.drain(..copied);
        }
        if shared > 0 {
            self.shared.drain(..shared);
        }
        if self.messages.is_empty() && self.messages.capacity() > KEPT_MESSAGES {
            self.messages = VecDeque::new();
            self.copied = VecDeque::new();
            self.shared = VecDeque::new();
        } else if self.copied.capacity() > 4 * KEPT_BYTES && self.copied.len() < KEPT_BYTES {
            self.copied.shrink_to(KEPT_BYTES);
            self.messages.shrink_to(KEPT_MESSAGES);
        }
    }
}

/// The most written messages that are kept, whatever the limits of the queue are.
pub(crate) const FORGET_PACKETS: usize = 65_536;
/// Memory that a session keeps for its next messages.
const KEPT_BYTES: usize = 16 * 1024;
const KEPT_MESSAGES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn small(unacked: &mut Unacked, payload: &[u8]) -> bool {
        unacked.push(PayloadRef::copied(payload), true, true)
    }

    /// The messages that a transport takes, in words: a void one is `-`, and one with room has a `+`.
    fn all(unacked: &mut Unacked) -> Vec<String> {
        let mut all = Vec::new();
        while unacked.send_next(|next| {
            all.push(match next {
                Next::Message { payload, has_room } => {
                    let name = String::from_utf8_lossy(&payload.bytes[..1]).into_owned();
                    if has_room { format!("{name}+") } else { name }
                }
                Next::Skip => "-".to_owned(),
            });
        }) {}
        all
    }

    #[test]
    fn an_acknowledged_message_is_gone_and_the_others_stay_in_order() {
        let mut unacked = Unacked::default();
        let large = Bytes::from(vec![b'b'; 5000]);
        assert!(small(&mut unacked, b"a1"));
        assert!(unacked.push(PayloadRef::shared(&large), true, true));
        assert!(unacked.push(PayloadRef::copied(b"void"), false, true));
        assert!(small(&mut unacked, b"d4"));
        unacked.note_written(2);
        assert_eq!((unacked.last(), unacked.size()), (4, Room { bytes: 5008, packets: 4 }));
        assert!(all(&mut unacked).is_empty(), "the transport has all of them");
        assert_eq!(unacked.acknowledge(1), Room::default());
        // The last one was received although its write had failed.
        assert_eq!(unacked.acknowledge(4), Room { bytes: 6, packets: 2 });
        assert_eq!((unacked.before(), unacked.last(), unacked.size()), (4, 4, Room::default()));
        assert_eq!(unacked.acknowledge(2), Room::default());
        assert!(small(&mut unacked, b"e5") && !unacked.has_backlog());
    }

    #[test]
    fn only_what_was_written_is_forgotten() {
        let mut unacked = Unacked::default();
        for _ in 0..10 {
            small(&mut unacked, &[b'x'; 100]);
        }
        unacked.note_written(6);
        unacked.forget(250, 1000);
        assert_eq!((unacked.before(), unacked.last()), (4, 10));
        unacked.forget(250, 1);
        assert_eq!(unacked.before(), 5);
        unacked.forget(0, 0);
        assert_eq!((unacked.before(), unacked.size()), (6, Room { bytes: 400, packets: 4 }));
    }

    #[test]
    fn a_new_transport_writes_everything_again_and_new_messages_behind() {
        let mut unacked = Unacked::default();
        let large = Bytes::from(vec![b'l'; 5000]);
        for (payload, reliable) in [(b"one", true), (b"two", false), (b"3rd", true), (b"4th", false)] {
            unacked.push(PayloadRef::copied(payload), reliable, true);
        }
        unacked.push(PayloadRef::shared(&large), true, true);
        unacked.note_written(3);
        unacked.hold();
        assert!(!unacked.push(PayloadRef::copied(b"6"), true, false), "there is no transport");
        assert_eq!(unacked.acknowledge(1), Room::default());
        assert_eq!(unacked.rewind(), Room { bytes: 3, packets: 1 });
        assert_eq!(all(&mut unacked), ["-", "3", "-", "l+", "6+"]);
        assert!(small(&mut unacked, b"7"));
        unacked.note_written(2);
        // The same again.
        assert_eq!(unacked.rewind(), Room::default());
        assert_eq!(unacked.acknowledge(2), Room::default());
        assert!(!small(&mut unacked, b"8"), "others wait before it");
        assert_eq!(all(&mut unacked), ["3", "-", "l+", "6+", "7+", "8+"]);
        unacked.note_written(6);
        assert_eq!(unacked.acknowledge(8), Room::default());
        assert_eq!((unacked.last(), unacked.size()), (8, Room::default()));
    }
}
