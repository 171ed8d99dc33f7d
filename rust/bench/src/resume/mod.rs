//! Clients of the core that lose their connections all at once, through a proxy, and come back.

mod proxy;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use websocket_multiplayer_core::{
    ClientConfig, Delivery, Event, Mode, Peer, PeerConfig, PeerId, Runtime, Status, Target, Url, WireFormat,
};

use crate::Options;
use crate::stats::Histogram;
use proxy::Proxy;

/// One player.
struct Client {
    peer: Peer,
    sent: u32,
    /// Packets that were echoed.
    echoed: u32,
    /// The packet that was sent right after the cut was echoed.
    is_back: bool,
}

pub(crate) fn run(options: &Options) -> Result<Value> {
    let proxy = Proxy::start(options.address)?;
    let runtime = Runtime::new();
    let mut clients = connect(options, &runtime, proxy.port)?;
    let (mut back, mut cuts) = (Histogram::new(), 0);
    let ends = Instant::now() + options.seconds;
    while cuts == 0 || Instant::now() < ends {
        // The server lets a client come back once per second.
        pass(&mut clients, PAUSE)?;
        for client in &mut clients {
            (0..options.in_flight).try_for_each(|_| client.send(options.size))?;
        }
        let cut = proxy.cut();
        clients.iter_mut().try_for_each(|client| client.send(options.size))?;
        cuts += 1;
        come_back(&mut clients, cut, &mut back, options.timeout)?;
    }
    let sent: u64 = clients.iter().map(|client| u64::from(client.sent)).sum();
    let written: u64 = clients.iter().map(|client| client.peer.statistics().packets_out).sum();
    let usable = clients.len();
    clients.iter_mut().for_each(|client| client.peer.close());
    runtime.shutdown(CLOSE);
    Ok(json!({
        "usable": usable,
        "cuts": cuts,
        "back": back.to_json(),
        "sent_again": (written - sent) as f64 / (cuts * usable) as f64,
    }))
}

fn connect(options: &Options, runtime: &Arc<Runtime>, port: u16) -> Result<Vec<Client>> {
    let mode = Mode::Multiplayer(WireFormat::Godot4);
    let config = PeerConfig {
        mode,
        resume_offered: true,
        handshake_timeout: options.timeout,
        ..PeerConfig::default()
    };
    let url = Url::parse(&format!("ws://127.0.0.1:{port}/"))?;
    let mut clients = Vec::new();
    for _ in 0..options.count {
        let mut peer = Peer::new(Arc::clone(runtime));
        let (peer_config, url) = (config.clone(), url.clone());
        peer.connect(ClientConfig {
            peer: peer_config,
            url,
            protocols: Vec::new(),
            headers: Vec::new(),
            tls: None,
        })?;
        clients.push(Client { peer, sent: 0, echoed: 0, is_back: false });
    }
    let deadline = Instant::now() + options.timeout;
    while clients.iter().any(|client| client.peer.status() != Status::Connected) {
        ensure!(Instant::now() < deadline, "not all clients got in");
        clients.iter_mut().try_for_each(Client::poll)?;
        thread::sleep(TICK);
    }
    Ok(clients)
}

/// The games go on for a while.
fn pass(clients: &mut [Client], time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        clients.iter_mut().try_for_each(Client::poll)?;
        thread::sleep(TICK);
    }
    Ok(())
}

/// Waits until each client has the echo of what it sent behind the cut, and all before it.
fn come_back(clients: &mut [Client], cut: Instant, back: &mut Histogram, limit: Duration) -> Result<()> {
    clients.iter_mut().for_each(|client| client.is_back = false);
    let mut missing = clients.len();
    while missing > 0 {
        ensure!(cut.elapsed() < limit, "{missing} clients did not come back");
        for client in clients.iter_mut() {
            client.poll()?;
            if !client.is_back && client.echoed == client.sent {
                client.is_back = true;
                back.record(cut.elapsed());
                missing -= 1;
            }
        }
        thread::sleep(TICK);
    }
    Ok(())
}

impl Client {
    fn send(&mut self, size: usize) -> Result<()> {
        let mut packet = self.sent.to_le_bytes().to_vec();
        packet.resize(size.max(4), 7);
        self.peer.send(Target::One(PeerId::SERVER), &packet, Delivery::Reliable)?;
        self.sent += 1;
        Ok(())
    }

    fn poll(&mut self) -> Result<()> {
        self.peer.begin_poll();
        while let Some(event) = self.peer.next_event(false) {
            if matches!(event, Event::PeerDisconnected { .. } | Event::ConnectionFailed) {
                bail!("a player is lost: {}", self.peer.last_error());
            }
        }
        while let Some(packet) = self.peer.pop_packet() {
            let expected = self.echoed.to_le_bytes();
            ensure!(packet.payload.starts_with(&expected), "a packet is lost, doubled or out of order");
            self.echoed += 1;
        }
        Ok(())
    }
}

/// Between two looks at all clients.
const TICK: Duration = Duration::from_micros(200);
const PAUSE: Duration = Duration::from_millis(1100);
const CLOSE: Duration = Duration::from_secs(5);
