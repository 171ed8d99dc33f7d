//! The packets of the soak: what kind, which number, and bytes that show whether they arrived whole.

/// Who counts the number of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A client to the server: counted by the client.
    Chat = 1,
    /// The server to one client: counted for that client.
    Answer = 2,
    /// The server to all: counted by the server.
    News = 3,
    /// A client to another through the server: counted for that pair.
    Whisper = 4,
}

/// Kind and number in front, a pattern that follows from the number behind.
pub(crate) fn write(kind: Kind, number: u32, size: usize) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend(number.to_le_bytes());
    bytes.extend((0..size).map(|at| pattern(number, at)));
    bytes
}

/// Kind and number of a packet, or what is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<(Kind, u32), String> {
    let Some((&[kind, a, b, c, d], rest)) = bytes.split_first_chunk::<5>() else {
        return Err(format!("a packet of {} bytes", bytes.len()));
    };
    let number = u32::from_le_bytes([a, b, c, d]);
    let kind = [Kind::Chat, Kind::Answer, Kind::News, Kind::Whisper]
        .into_iter()
        .find(|known| *known as u8 == kind)
        .ok_or_else(|| format!("a packet of kind {kind}"))?;
    match rest.iter().enumerate().find(|&(at, byte)| *byte != pattern(number, at)) {
        Some((at, _)) => Err(format!("{kind:?} {number} differs at byte {at}")),
        None => Ok((kind, number)),
    }
}

fn pattern(number: u32, at: usize) -> u8 {
    (number as usize).wrapping_mul(31).wrapping_add(at.wrapping_mul(7)) as u8
}
