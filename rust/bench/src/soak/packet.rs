//! The packets of the soak: a kind, a number, and bytes that show whether the packet arrived whole.

/// The route of a packet, and who numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// From a client to the server: numbered by the client.
    Request = 1,
    /// From the server to one client: numbered for that client.
    Reply = 2,
    /// From the server to all clients: numbered by the server.
    Broadcast = 3,
    /// From a client to another through the server: numbered for that pair.
    Relayed = 4,
}

/// The kind, the number, and a pattern that follows from the number.
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
    let kind = [Kind::Request, Kind::Reply, Kind::Broadcast, Kind::Relayed]
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
