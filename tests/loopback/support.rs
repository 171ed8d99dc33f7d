//! Servers and clients on loopback, and waiting for what must happen without sleeping for a fixed time.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::WebSocket;
use tungstenite::client::IntoClientRequest;
use websocket_multiplayer_core::{
    BindAddress, ClientConfig, Event, Mode, Peer, PeerConfig, PeerId, Runtime, ServerConfig, Status, Url,
    WireFormat,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A peer with all events that it has emitted.
pub(crate) struct TestPeer {
    pub(crate) peer: Peer,
    pub(crate) events: Vec<Event>,
}

impl TestPeer {
    pub(crate) fn poll(&mut self) {
        self.peer.begin_poll();
        while let Some(event) = self.peer.next_event(false) {
            self.events.push(event);
        }
    }

    pub(crate) fn connected_ids(&self) -> Vec<PeerId> {
        let mut ids = Vec::new();
        for event in &self.events {
            match event {
                Event::PeerConnected { id, .. } => ids.push(*id),
                Event::PeerDisconnected { id, .. } => ids.retain(|known| known != id),
                _ => {}
            }
        }
        ids
    }

    pub(crate) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    /// Takes all readable packets as (source, bytes).
    pub(crate) fn packets(&mut self) -> Vec<(PeerId, Vec<u8>)> {
        std::iter::from_fn(|| self.peer.pop_packet())
            .map(|packet| (packet.source, packet.payload.to_vec()))
            .collect()
    }
}

pub(crate) fn multiplayer() -> PeerConfig {
    PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot4), ..PeerConfig::default() }
}

pub(crate) fn raw() -> PeerConfig {
    PeerConfig { mode: Mode::Raw, ..PeerConfig::default() }
}

pub(crate) fn server(runtime: &Arc<Runtime>, peer: PeerConfig) -> TestPeer {
    server_with(runtime, ServerConfig { peer, ..ServerConfig::default() })
}

pub(crate) fn server_with(runtime: &Arc<Runtime>, config: ServerConfig) -> TestPeer {
    let mut server = Peer::new(Arc::clone(runtime));
    let config = ServerConfig { bind: BindAddress::Ip(Ipv4Addr::LOCALHOST.into()), ..config };
    server.listen(config).expect("loopback can be listened on");
    assert_eq!(server.status(), Status::Connected);
    TestPeer { peer: server, events: Vec::new() }
}

pub(crate) fn client_config(port: u16, peer: PeerConfig) -> ClientConfig {
    let url = Url::parse(&format!("ws://127.0.0.1:{port}/game?x=1")).expect("a valid URL");
    ClientConfig { peer, url, protocols: Vec::new(), headers: Vec::new(), tls: None }
}

pub(crate) fn client(runtime: &Arc<Runtime>, port: u16, peer: PeerConfig) -> TestPeer {
    let mut client = Peer::new(Arc::clone(runtime));
    client.connect(client_config(port, peer)).expect("connecting starts");
    TestPeer { peer: client, events: Vec::new() }
}

/// A server with `n` multiplayer clients, all connected.
pub(crate) fn party(
    runtime: &Arc<Runtime>,
    n: usize,
    config: &PeerConfig,
) -> (TestPeer, HashMap<PeerId, TestPeer>) {
    let mut server = server(runtime, config.clone());
    let port = server.peer.local_port();
    let mut clients: Vec<_> = (0..n).map(|_| client(runtime, port, config.clone())).collect();
    eventually("all clients are in", || {
        server.poll();
        clients.iter_mut().for_each(TestPeer::poll);
        server.connected_ids().len() == n
            && clients.iter().all(|client| client.peer.status() == Status::Connected)
    });
    (server, clients.into_iter().map(|client| (PeerId(client.peer.unique_id()), client)).collect())
}

/// Connects a foreign client: tungstenite over a blocking socket.
pub(crate) fn foreign(port: u16) -> WebSocket<TcpStream> {
    foreign_to(port, "/")
}

/// The same with another path and query.
pub(crate) fn foreign_to(port: u16, target: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let request = format!("ws://127.0.0.1:{port}{target}").into_client_request().expect("a valid request");
    tungstenite::client::client(request, stream).expect("the server lets us in").0
}

/// Raises this process's limit of open files as far as the system permits, for tests with hundreds of connections.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let most = getrlimit(Resource::Nofile).maximum;
        // If this fails, the test fails at the first connection beyond the limit.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    }
}

/// Polls until `done` returns true; panics after the deadline.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
