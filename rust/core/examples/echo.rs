//! An echo server on the core alone, to be loaded from outside: `echo [PORT] [wait|spin]`.
//!
//! It waits until something comes, or with `spin` looks all the time. Each second with traffic it prints how much the game's
//! thread and the I/O thread had to do.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    Delivery, Event, Mode, Peer, PeerConfig, Runtime, ServerConfig, Target, WireFormat,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let port = arguments.next().map_or(Ok(PORT), |port| port.parse())?;
    let spin = arguments.next().is_some_and(|word| word == "spin");
    let mut server = Peer::new(Runtime::new());
    // A client that offers it gets a session.
    let resume_timeout = PeerConfig::RESUME_MAX;
    let mode = Mode::Multiplayer(WireFormat::Godot4);
    let peer = PeerConfig { mode, resume_timeout, ..PeerConfig::default() };
    server.listen(ServerConfig { peer, port, ..ServerConfig::default() })?;
    println!("echoes on port {}", server.local_port());
    let mut report = Report::new();
    loop {
        let began = Instant::now();
        let handled = turn(&mut server)?;
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
fn turn(server: &mut Peer) -> Result<u64, Box<dyn Error>> {
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
        server.send(Target::One(packet.source), &packet.payload, Delivery::Reliable)?;
        handled += 1;
    }
    Ok(handled)
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
/// At most so long, for the report.
const REST: Duration = Duration::from_secs(1);
