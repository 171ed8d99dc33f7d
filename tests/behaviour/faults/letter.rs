//! Packets that contain their sender and number.

/// The content of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Letter {
    /// The sender's session.
    pub(super) session: usize,
    /// The number of the packet among all that this session has tried to send.
    pub(super) number: usize,
}

impl Letter {
    /// Makes a packet of `size` bytes, at least `SMALLEST`.
    pub(super) fn write(self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size);
        bytes.extend((self.session as u16).to_be_bytes());
        bytes.extend((self.number as u16).to_be_bytes());
        bytes.extend((size as u32).to_be_bytes());
        let start = (self.session * 31 + self.number * 7) % 256;
        while bytes.len() < size {
            let most = (size - bytes.len()).min(256);
            bytes.extend_from_slice(&FILLER[start..start + most]);
        }
        bytes
    }

    /// Reads a packet, and checks every byte.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let number = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        assert!(bytes.len() >= SMALLEST, "a letter is cut off: {bytes:?}");
        let letter = Self { session: number(0), number: number(2) };
        assert_eq!(letter.write(bytes.len()), bytes, "{letter:?} was changed on its way");
        letter
    }
}

const FILLER: [u8; 512] = {
    let mut bytes = [0; 512];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % 251) as u8;
        at += 1;
    }
    bytes
};

pub(super) const SMALLEST: usize = 8;
