//! Moves packets through a server in memory, to be counted by callgrind: `instructions SCENARIO PACKETS`.
//!
//! `cargo xtask test instructions` runs it twice and takes the difference, so that the start of the program counts for
//! nothing. The same arguments always take the same way.

use std::env;
use std::error::Error;

use websocket_multiplayer_core::Compression::{Dedicated, Shared};
use websocket_multiplayer_core::bench::{
    ServerInMemory, client_deflated_frame, client_frame, client_text, encode_godot3,
};
use websocket_multiplayer_core::{Compression, Delivery, Peer, PeerId, Target, WireFormat};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let packets: usize = arguments.next().ok_or("how many packets?")?.parse()?;
    let moved = match scenario.as_str() {
        "idle-1000" => idle(packets)?,
        "in-64" => receive(plain(), packets, 64),
        "in-1024" => receive(plain(), packets, 1024),
        // The server acknowledges 32 KiB at a time.
        "in-64-session" => receive(ServerInMemory::with_sessions(), packets, 64),
        "out-64" => send(packets, 64)?,
        "out-1024" => send(packets, 1024)?,
        "out-64-session" => send_in_session(packets)?,
        "in-1024-shared" => receive_compressed(packets, 1024),
        "in-4096-shared" => receive_compressed(packets, 4096),
        "out-1024-shared" => send_compressed(Shared, packets, &json(1024))?,
        "out-4096-shared" => send_compressed(Shared, packets, &json(4096))?,
        "out-64-dedicated" => send_compressed(Dedicated, packets, &states())?,
        "out-1024-dedicated" => send_compressed(Dedicated, packets, &json(1024))?,
        "out-4096-dedicated" => send_compressed(Dedicated, packets, &json(4096))?,
        "broadcast-1024-shared" => broadcast_compressed(packets)?,
        "echo-64" => echo(packets)?,
        "broadcast-256" => broadcast(packets)?,
        "fragments-64" => fragments(packets),
        "relay-64" => relay(packets),
        "trickle" => trickle(packets),
        "ping" => flood(packets, 0x89),
        "pong" => flood(packets, 0x8a),
        other => return Err(format!("there is no scenario {other:?}").into()),
    };
    assert_eq!(moved, packets, "a packet was lost");
    println!("{moved}");
    Ok(())
}

fn plain() -> ServerInMemory {
    ServerInMemory::new(WireFormat::Godot4, None)
}

/// From a client's bytes to the game, a burst of them at a time.
fn receive(mut server: ServerInMemory, packets: usize, size: usize) -> usize {
    server.connect();
    let frame = client_frame(&vec![7; size]);
    let mut taken = 0;
    for burst in bursts(packets) {
        for _ in 0..burst {
            server.say(0, &frame);
        }
        server.drive();
        taken += take(server.peer(), |_, _| {});
    }
    taken
}

/// Messages of sixteen fragments of 64 bytes each, come as a burst; a packet is a fragment.
fn fragments(packets: usize) -> usize {
    let mut server = plain();
    server.connect();
    let fragment = |first: u8| {
        let mut frame = client_frame(&[7; 64]);
        frame[0] = first;
        frame
    };
    let message = [fragment(0x02), fragment(0x00).repeat(BURST - 2), fragment(0x80)].concat();
    let mut taken = 0;
    for _ in 0..packets / BURST {
        server.say(0, &message);
        server.drive();
        taken += take(server.peer(), |_, payload| assert_eq!(payload.len(), BURST * 64));
    }
    taken * BURST + packets % BURST
}

/// Messages of 16 KiB that come 64 bytes at a time, as from a slow or spiteful sender; a packet is one such segment.
fn trickle(packets: usize) -> usize {
    const SIZE: usize = 16 * 1024;
    let mut server = plain();
    server.connect();
    let message = client_frame(&vec![7; SIZE]);
    let mut segments = message.chunks(64).cycle();
    let mut taken = 0;
    for segment in segments.by_ref().take(packets) {
        server.say(0, segment);
        server.drive();
        taken += take(server.peer(), |_, payload| assert_eq!(payload.len(), SIZE));
    }
    assert_eq!(taken, packets / message.len().div_ceil(64));
    packets
}

/// From the game to a client's bytes.
fn send(packets: usize, size: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = plain();
    let id = server.connect();
    send_to(&mut server, id, packets, size, |_, _| {})
}

/// The same for a client that may come back: what is sent is kept until the client acknowledges it, 32 KiB at a time.
fn send_in_session(packets: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = ServerInMemory::with_sessions();
    let id = server.connect();
    send_to(&mut server, id, packets, 64, |server, sent| {
        if sent % (32 * 1024 / 64) == 0 {
            server.say(0, &client_text(&format!("ack {sent} 0")));
            server.drive();
        }
    })
}

/// Sends to a peer, and calls `after` with the number of packets after each burst.
fn send_to(
    server: &mut ServerInMemory,
    id: PeerId,
    packets: usize,
    size: usize,
    after: impl Fn(&mut ServerInMemory, usize),
) -> Result<usize, Box<dyn Error>> {
    // Each differs from the one before, as a game's packets do.
    let mut payload = vec![7_u8; size];
    let frame = frame_size(size);
    let mut bytes = 0;
    for burst in bursts(packets) {
        for _ in 0..burst {
            payload[0] = payload[0].wrapping_add(1);
            server.peer().send(Target::One(id), &payload, Delivery::Reliable)?;
        }
        server.drive();
        bytes += server.clear_output();
        after(server, bytes / frame);
    }
    Ok(bytes / frame)
}

/// Compressed messages from a client's bytes to the game.
fn receive_compressed(packets: usize, size: usize) -> usize {
    let mut server = ServerInMemory::with_compression(Shared, THRESHOLD);
    server.connect();
    let frames: Vec<_> = json(size).iter().map(|message| client_deflated_frame(message)).collect();
    let mut frames = frames.iter().cycle();
    let mut taken = 0;
    for burst in bursts(packets) {
        for frame in frames.by_ref().take(burst) {
            server.say(0, frame);
        }
        server.drive();
        taken += take(server.peer(), |_, payload| assert_eq!(payload.len(), size));
    }
    taken
}

/// From the game to a client's bytes, each message compressed.
fn send_compressed(
    compression: Compression,
    packets: usize,
    messages: &[Vec<u8>],
) -> Result<usize, Box<dyn Error>> {
    let mut server = ServerInMemory::with_compression(compression, THRESHOLD);
    let id = server.connect();
    let mut messages = messages.iter().cycle();
    let mut sent = 0;
    for burst in bursts(packets) {
        for message in messages.by_ref().take(burst) {
            server.peer().send(Target::One(id), message, Delivery::Reliable)?;
        }
        server.drive();
        sent += compressed(server.output_of(0));
        server.clear_output();
    }
    Ok(sent)
}

/// To fifty clients at once, compressed once; a packet is one that one of them gets.
fn broadcast_compressed(packets: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = ServerInMemory::with_compression(Shared, THRESHOLD);
    for _ in 0..CLIENTS {
        server.connect();
    }
    let mut sent = 0;
    for message in json(1024).iter().cycle().take(packets / CLIENTS) {
        server.peer().send(Target::All, message, Delivery::Reliable)?;
        server.drive();
        sent += (0..CLIENTS).map(|client| compressed(server.output_of(client))).sum::<usize>();
        server.clear_output();
    }
    Ok(sent)
}

/// Both ways.
fn echo(packets: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = plain();
    server.connect();
    let frame = client_frame(&[7; 64]);
    let (mut bytes, mut refused) = (0, None);
    for burst in bursts(packets) {
        for _ in 0..burst {
            server.say(0, &frame);
        }
        server.drive();
        let mut answers = Vec::with_capacity(burst);
        take(server.peer(), |id, payload| answers.push((id, payload.clone())));
        for (id, payload) in answers {
            refused = server.peer().send(Target::One(id), &payload, Delivery::Reliable).err().or(refused);
        }
        server.drive();
        bytes += server.clear_output();
    }
    refused.map_or(Ok(bytes / frame_size(64)), |error| Err(error.into()))
}

/// One packet and its answer in each frame, while a thousand other clients say nothing and are sent nothing.
fn idle(packets: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = plain();
    for _ in 0..=1000 {
        server.connect();
    }
    let frame = client_frame(&[7; 64]);
    let mut bytes = 0;
    for _ in 0..packets {
        server.say(1000, &frame);
        server.drive();
        let mut answer = None;
        take(server.peer(), |id, payload| answer = Some((id, payload.clone())));
        let (id, payload) = answer.ok_or("a packet was lost")?;
        server.peer().send(Target::One(id), &payload, Delivery::Reliable)?;
        server.drive();
        bytes += server.clear_output_of(1000);
    }
    Ok(bytes / frame_size(64))
}

/// To fifty clients at once; a packet is one that one of them gets.
fn broadcast(packets: usize) -> Result<usize, Box<dyn Error>> {
    let mut server = plain();
    for _ in 0..CLIENTS {
        server.connect();
    }
    let mut payload = [7_u8; 256];
    let mut bytes = 0;
    for _ in 0..packets / CLIENTS {
        payload[0] = payload[0].wrapping_add(1);
        server.peer().send(Target::All, &payload, Delivery::Reliable)?;
        server.drive();
        bytes += server.clear_output();
    }
    Ok(bytes / frame_size(256))
}

/// From one client to another on the wire of 3.x: the game does not see it.
fn relay(packets: usize) -> usize {
    let mut server = ServerInMemory::new(WireFormat::Godot3, None);
    let [from, to] = [server.connect(), server.connect()];
    let mut message = encode_godot3(from.0, to.0).to_vec();
    message.extend([7; 64]);
    let frame = client_frame(&message);
    let mut bytes = 0;
    for burst in bursts(packets) {
        for _ in 0..burst {
            server.say(0, &frame);
        }
        server.drive();
        bytes += server.clear_output();
    }
    assert_eq!(take(server.peer(), |_, _| {}), 0, "the game was shown what is for another");
    bytes / frame_size(message.len())
}

/// Control frames without a payload, as many at a time as no honest client sends.
fn flood(frames: usize, first: u8) -> usize {
    let mut server = plain();
    server.connect();
    let many = [first, 0x80, 0x3a, 0x91, 0x5c, 0xe7].repeat(FLOOD);
    for _ in 0..frames / FLOOD {
        server.say(0, &many);
        server.drive();
        server.clear_output();
    }
    server.say(0, &client_frame(&[7; 64]));
    server.drive();
    assert_eq!(take(server.peer(), |_, _| {}), 1, "it was not read to its end");
    frames / FLOOD * FLOOD
}

fn take(server: &mut Peer, mut each: impl FnMut(PeerId, &bytes::Bytes)) -> usize {
    server.begin_poll();
    while server.next_event(false).is_some() {}
    let mut taken = 0;
    while let Some(packet) = server.pop_packet() {
        each(packet.source, &packet.payload);
        taken += 1;
    }
    taken
}

/// Sixteen packets come and go together, as with clients that keep that many in flight.
fn bursts(packets: usize) -> impl Iterator<Item = usize> {
    (0..packets).step_by(BURST).map(move |done| BURST.min(packets - done))
}

/// Returns the number of a server's frames, which are all compressed messages.
fn compressed(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let [0xc2, size, rest @ ..] = frames {
        let (size, rest) = match (size, rest) {
            (126, [high, low, rest @ ..]) => (u16::from_be_bytes([*high, *low]), rest),
            _ => (u16::from(*size), rest),
        };
        frames = &rest[usize::from(size)..];
        count += 1;
    }
    assert!(frames.is_empty(), "a message that is not compressed");
    count
}

/// Messages of a game that sends its state as JSON, each of which differs from those before it.
fn json(size: usize) -> Vec<Vec<u8>> {
    let message = |mut seed: u32| {
        let mut text = String::new();
        for id in 0.. {
            let [x, y, health] = [100_000, 100_000, 100].map(|below| next(&mut seed) % below);
            text += &format!(r#"{{"id":{id},"x":{x},"y":{y},"health":{health},"state":"running"}},"#);
            if text.len() >= size {
                break;
            }
        }
        text.truncate(size);
        text.into_bytes()
    };
    (0..VARIANTS).map(message).collect()
}

/// Packets like those of a `MultiplayerSynchronizer`, 64 bytes each: the command, the time, three objects that move, and a flag.
fn states() -> Vec<Vec<u8>> {
    let packet = |time: u32| {
        let mut packet = vec![6];
        packet.extend((time as u16).to_le_bytes());
        for object in 1..=3_u32 {
            packet.extend([object, 12].map(u32::to_le_bytes).as_flattened());
            for axis in 1..=3_u32 {
                let position = (object * 100 + time * axis) as f32 / 60.0;
                packet.extend(position.to_le_bytes());
            }
        }
        packet.push(1);
        packet
    };
    (0..VARIANTS).map(packet).collect()
}

/// The same numbers each time.
fn next(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *seed >> 8
}

/// What a packet of a server takes on the wire.
fn frame_size(payload: usize) -> usize {
    payload + if payload < 126 { 2 } else { 4 }
}

const BURST: usize = 16;
/// The receivers of a broadcast.
const CLIENTS: usize = 50;
/// The size of the smallest compressed messages, as `docs/guide/compression.md` advises for small packets.
const THRESHOLD: usize = 64;
/// Messages until they come again: more than a compressor keeps.
const VARIANTS: u32 = 256;
/// Control frames in one turn.
const FLOOD: usize = 1000;
