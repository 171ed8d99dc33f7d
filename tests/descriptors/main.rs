//! A server in a process that may open no more files: a process of its own, for its other tests would starve with it.

#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use websocket_multiplayer_core::{BindAddress, Mode, Peer, PeerConfig, Runtime, ServerConfig};

const DEADLINE: Duration = Duration::from_secs(20);
const SILENT: usize = 20;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn the_silent_go_first_when_there_are_no_more_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: most }).expect("fewer are allowed");
    let mut server = Peer::new(Runtime::new());
    let peer =
        PeerConfig { mode: Mode::Raw, handshake_timeout: Duration::from_mins(10), ..Default::default() };
    let bind = BindAddress::Ip(Ipv4Addr::LOCALHOST.into());
    server.listen(ServerConfig { peer, bind, ..ServerConfig::default() }).expect("a free port");
    let there = ("127.0.0.1", server.local_port());
    let connect = || TcpStream::connect(there).expect("connected");
    let silent: Vec<_> = (0..SILENT).map(|_| connect()).collect();
    let start = Instant::now();
    while server.statistics().pending < SILENT {
        assert!(start.elapsed() < DEADLINE, "the silent ones are there");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.pop().is_some(), "one for our end");
    let mut honest = connect();
    honest.write_all(REQUEST).expect("sent");
    honest.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let mut answer = [0; 12];
    honest.read_exact(&mut answer).expect("an answer while others are silent");
    assert_eq!(&answer, b"HTTP/1.1 101");
    let statistics = server.statistics();
    assert!(statistics.accept_errors >= 1, "the system had none to give");
    // It may be two: without a file to give, the system does not even say that nobody waits any more.
    let evicted = statistics.pending_evicted as usize;
    assert!((1..=2).contains(&evicted), "{evicted} made room for one");
    assert_eq!(statistics.pending, SILENT - evicted);
    drop((silent, files));
}
