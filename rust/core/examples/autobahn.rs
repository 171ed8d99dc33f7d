//! The two peers that the Autobahn|Testsuite talks to, on the public interface alone: `autobahn server [PORT]` echoes each
//! message to its sender, `autobahn client URL` goes through all cases of a fuzzing server and has the report written. With a last argument,
//! `shared` or `dedicated`, messages are compressed, also the smallest.

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use websocket_multiplayer_core::{
    BindAddress, Buffers, ClientConfig, Compression, Event, Packet, Peer, PeerConfig, PeerHandle, PeerId,
    Runtime, SendError, ServerConfig, Url,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let compression = match arguments.last().map(String::as_str) {
        Some("shared") => Some(Compression::Shared),
        Some("dedicated") => Some(Compression::Dedicated),
        _ => None,
    };
    arguments.truncate(arguments.len() - usize::from(compression.is_some()));
    let config = config(compression);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server"] => serve(config, 0),
        ["server", port] => serve(config, port.parse()?),
        ["client", url] => go_through(&config, url),
        _ => Err("autobahn server [PORT] [shared|dedicated] | autobahn client URL [shared|dedicated]".into()),
    }
}

/// The largest cases are one message of 16 MiB, and one of 4 MiB in 65,536 fragments. No pings: the suite would answer one in the
/// middle of a frame that it sends in pieces.
fn config(compression: Option<Compression>) -> PeerConfig {
    let buffers =
        Buffers { input_bytes: LARGE, input_packets: 65_536, output_bytes: LARGE, output_packets: 65_536 };
    let heartbeat_interval = Duration::ZERO;
    PeerConfig { buffers, heartbeat_interval, compression, compression_threshold: 0, ..PeerConfig::default() }
}

fn serve(peer: PeerConfig, port: u16) -> Result<(), Box<dyn Error>> {
    let mut server = Peer::new(Runtime::new());
    let bind = BindAddress::Ip(Ipv4Addr::LOCALHOST.into());
    server.listen(ServerConfig { peer, bind, port, ..ServerConfig::default() })?;
    println!("READY on port {}", server.local_port());
    let mut echoes: Vec<(PeerId, Echo)> = Vec::new();
    loop {
        let mut busy = false;
        server.begin_poll();
        while let Some(event) = server.next_event(false) {
            match event {
                Event::PeerConnected { id, .. } => {
                    echoes.extend(server.peer(id).map(|handle| (id, Echo::new(handle))));
                }
                Event::PeerDisconnected { id, .. } => echoes.retain(|(known, _)| *known != id),
                _ => {}
            }
        }
        for (_, echo) in &mut echoes {
            busy |= echo.turn();
        }
        rest(busy);
    }
}

fn go_through(config: &PeerConfig, url: &str) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new();
    let url = url.trim_end_matches('/');
    let mut count = String::new();
    talk(&runtime, config, &format!("{url}/getCaseCount"), |message| {
        count = String::from_utf8_lossy(&message.payload).into_owned();
    })?;
    let count: u32 = count.parse()?;
    println!("{count} cases");
    for case in 1..=count {
        talk(&runtime, config, &format!("{url}/runCase?case={case}&agent={AGENT}"), |_| {})?;
    }
    talk(&runtime, config, &format!("{url}/updateReports?agent={AGENT}"), |_| {})
}

/// One connection, from its beginning to its end, with every message sent back.
fn talk(
    runtime: &Arc<Runtime>,
    config: &PeerConfig,
    url: &str,
    mut hear: impl FnMut(&Packet),
) -> Result<(), Box<dyn Error>> {
    let mut client = Peer::new(Arc::clone(runtime));
    let (protocols, headers) = (Vec::new(), Vec::new());
    client.connect(ClientConfig {
        peer: config.clone(),
        url: Url::parse(url)?,
        protocols,
        headers,
        tls: None,
    })?;
    let since = Instant::now();
    let mut echo = None;
    loop {
        let mut ended = false;
        client.begin_poll();
        while let Some(event) = client.next_event(false) {
            match event {
                Event::PeerConnected { id, .. } => echo = client.peer(id).map(Echo::new),
                Event::ConnectionFailed => return Err(client.last_error().into()),
                Event::PeerDisconnected { .. } => ended = true,
                _ => {}
            }
        }
        let busy = echo.as_mut().is_some_and(|echo| echo.turn_with(&mut hear));
        if ended {
            return Ok(());
        }
        if since.elapsed() > CASE_LIMIT {
            return Err(format!("{url} did not end").into());
        }
        rest(busy);
    }
}

/// Sends back what comes, as fast as the other side takes it.
struct Echo {
    handle: PeerHandle,
    waiting: VecDeque<Packet>,
}

impl Echo {
    fn new(handle: PeerHandle) -> Self {
        Self { handle, waiting: VecDeque::new() }
    }

    fn turn(&mut self) -> bool {
        self.turn_with(|_| {})
    }

    fn turn_with(&mut self, mut hear: impl FnMut(&Packet)) -> bool {
        let before = self.waiting.len();
        while let Some(packet) = self.handle.pop_packet() {
            hear(&packet);
            self.waiting.push_back(packet);
        }
        let mut busy = self.waiting.len() > before;
        while let Some(packet) = self.waiting.front() {
            if self.handle.send(&packet.payload, packet.text) == Err(SendError::Full) {
                break;
            }
            self.waiting.pop_front();
            busy = true;
        }
        busy
    }
}

fn rest(busy: bool) {
    if !busy {
        thread::sleep(Duration::from_micros(100));
    }
}

const LARGE: usize = 32 * 1024 * 1024;
const AGENT: &str = "core";
/// Far above what the largest case takes on a slow machine.
const CASE_LIMIT: Duration = Duration::from_secs(480);
