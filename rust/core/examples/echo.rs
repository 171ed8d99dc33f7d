//! An echo server on the core alone, to be loaded from outside: `echo [PORT] [wait|spin] [off|shared|dedicated]`.
//!
//! It waits until something comes, or with `spin` looks all the time. Each second with traffic it prints how much the game's
//! thread and the I/O thread had to do. The last word is how messages are compressed; with it, a message of 1 MiB or more goes to all
//! clients but the one that has sent the last smaller message.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    Buffers, Compression, Delivery, Event, Mode, Packet, Peer, PeerConfig, PeerId, Runtime, ServerConfig,
    Target, WireFormat,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let port = arguments.next().map_or(Ok(PORT), |port| port.parse())?;
    let spin = arguments.next().is_some_and(|word| word == "spin");
    let mut server = Peer::new(Runtime::new());
    // A client that offers it gets a session.
    let resume_timeout = PeerConfig::RESUME_MAX;
    let mode = Mode::Multiplayer(WireFormat::Godot4);
    let mut peer = PeerConfig { mode, resume_timeout, ..PeerConfig::default() };
    let compression = arguments.next();
    if let Some(word) = &compression {
        peer.compression = match word.as_str() {
            "shared" => Some(Compression::Shared),
            "dedicated" => Some(Compression::Dedicated),
            _ => None,
        };
        peer.compression_threshold = THRESHOLD;
        peer.buffers = Buffers { input_bytes: LEVELS, output_bytes: LEVELS, ..Buffers::default() };
    }
    let mut levels = compression.map(|_| Levels::default());
    server.listen(ServerConfig { peer, port, ..ServerConfig::default() })?;
    println!("echoes on port {}", server.local_port());
    let mut report = Report::new();
    loop {
        let began = Instant::now();
        let handled = turn(&mut server, &mut levels)?;
        report.polls += 1;
        if handled > 0 {
            report.messages += handled;
            report.busy += began.elapsed();
        } else if !spin {
            server.wait(REST);
        }
        report.tell(&server);
    }
}

/// Echoes whatever has come.
fn turn(server: &mut Peer, levels: &mut Option<Levels>) -> Result<u64, Box<dyn Error>> {
    server.begin_poll();
    while let Some(event) = server.next_event(false) {
        match event {
            Event::PeerConnected { id, .. } => println!("+ {id}"),
            Event::PeerDisconnected { id, .. } => println!("- {id}"),
            _ => {}
        }
    }
    let mut handled = 0;
    while let Some(packet) = server.pop_packet() {
        let target = levels.as_mut().map_or(Target::One(packet.source), |levels| levels.target(&packet));
        server.send(target, &packet.payload, Delivery::Reliable)?;
        handled += 1;
    }
    Ok(handled)
}

/// Who gets what, if not only echoes are wanted.
#[derive(Default)]
struct Levels {
    last_small: Option<PeerId>,
}

impl Levels {
    fn target(&mut self, packet: &Packet) -> Target {
        if packet.payload.len() < LEVEL {
            self.last_small = Some(packet.source);
            return Target::One(packet.source);
        }
        self.last_small.map_or(Target::All, Target::AllExcept)
    }
}

struct Report {
    since: Instant,
    messages: u64,
    polls: u64,
    busy: Duration,
    wakeups: u64,
}

impl Report {
    fn new() -> Self {
        Self { since: Instant::now(), messages: 0, polls: 0, busy: Duration::ZERO, wakeups: 0 }
    }

    fn tell(&mut self, server: &Peer) {
        if self.since.elapsed() < Duration::from_secs(1) {
            return;
        }
        let wakeups = server.statistics().io_wakeups;
        if self.messages > 0 {
            println!(
                "{} messages, {:.0} ns each on this thread, {} polls, {} wake-ups of the I/O thread",
                self.messages,
                self.busy.as_nanos() as f64 / self.messages as f64,
                self.polls,
                wakeups - self.wakeups,
            );
        }
        *self = Self { wakeups, ..Self::new() };
    }
}

const PORT: u16 = 9080;
/// Of a level, at least.
const LEVEL: usize = 1 << 20;
/// Room for several.
const LEVELS: usize = 8 << 20;
/// Smaller messages are not compressed.
const THRESHOLD: usize = 16;
/// At most so long, for the report.
const REST: Duration = Duration::from_secs(1);
