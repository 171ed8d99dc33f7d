//! Clients that lose their connections on real sockets, through a proxy that cuts them.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use websocket_multiplayer_core::{
    Delivery, Event, PeerConfig, PeerId, Runtime, ServerConfig, Status, Target,
};

use crate::support::{TestPeer, client, eventually, multiplayer, raise_file_limit, server, server_with};

fn config() -> PeerConfig {
    PeerConfig { resume_timeout: Duration::from_secs(20), resume_offered: true, ..multiplayer() }
}

/// A proxy on loopback whose connections can be cut.
struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// New connections are dropped.
    refuses: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Fin,
    Reset,
}

impl Proxy {
    fn new(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (open, refuses) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, refuse) = (Arc::clone(&open), Arc::clone(&refuses));
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if refuse.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                for (from, into) in [(&client, &server), (&server, &client)] {
                    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
                    let (from, into) = (copy(from), copy(into));
                    thread::spawn(move || pump(from, into));
                }
                list.lock().expect("nobody panics here").extend([client, server]);
            }
        });
        Self { port, open, refuses }
    }

    fn cut(&self, cut: Cut) {
        for stream in self.open.lock().expect("nobody panics here").drain(..) {
            if let Cut::Reset = cut {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut into: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer)
        && into.write_all(&buffer[..n]).is_ok()
    {}
    let _ = into.shutdown(Shutdown::Both);
}

/// The numbers that a peer has received from each other one.
#[derive(Default)]
struct Received(HashMap<PeerId, Vec<u32>>);

impl Received {
    fn take(&mut self, peer: &mut TestPeer) {
        for (from, packet) in peer.packets() {
            let number = u32::from_le_bytes(packet[..4].try_into().expect("a number"));
            self.0.entry(from).or_default().push(number);
        }
    }

    fn assert_all(&self, from: PeerId, count: u32) {
        let all: Vec<_> = (0..count).collect();
        assert_eq!(self.0[&from], all, "of {from}: in order, and each once");
    }
}

fn packet(number: u32) -> Vec<u8> {
    let mut packet = number.to_le_bytes().to_vec();
    packet.resize(4 + (number as usize * 37) % 3000, 7);
    packet
}

#[test]
fn nothing_is_lost_through_a_proxy_that_cuts_again_and_again() {
    for cut in [Cut::Fin, Cut::Reset] {
        let runtime = Runtime::new();
        let mut server = server(&runtime, config());
        let proxy = Proxy::new(server.peer.local_port());
        let mut client = client(&runtime, proxy.port, config());
        eventually("it is connected", || {
            server.poll();
            client.poll();
            client.peer.status() == Status::Connected && server.connected_ids().len() == 1
        });
        let id = PeerId(client.peer.unique_id());
        let (mut at_server, mut at_client) = (Received::default(), Received::default());
        const COUNT: u32 = 600;
        for number in 0..COUNT {
            let packet = packet(number);
            client.peer.send(Target::One(PeerId(1)), &packet, Delivery::Reliable).expect("there is room");
            server.peer.send(Target::One(id), &packet, Delivery::Reliable).expect("there is room");
            if number % 100 == 50 {
                proxy.cut(cut);
            }
            thread::sleep(Duration::from_millis(2));
            server.poll();
            client.poll();
            at_server.take(&mut server);
            at_client.take(&mut client);
        }
        eventually("everything has arrived", || {
            server.poll();
            client.poll();
            at_server.take(&mut server);
            at_client.take(&mut client);
            let len = |received: &Received| received.0.values().map(Vec::len).sum::<usize>();
            len(&at_server) >= COUNT as usize && len(&at_client) >= COUNT as usize
        });
        at_server.assert_all(id, COUNT);
        at_client.assert_all(PeerId(1), COUNT);
        for (peer, name) in [(&server, "server"), (&client, "client")] {
            let count = |wanted: fn(&Event) -> bool| peer.events.iter().filter(|event| wanted(event)).count();
            let suspended = count(|event| matches!(event, Event::PeerSuspended { .. }));
            assert!(suspended >= 3, "{name}: {cut:?}: {suspended} suspensions");
            assert_eq!(suspended, count(|event| matches!(event, Event::PeerResumed { .. })), "{name}");
            assert!(!peer.has(|event| matches!(event, Event::PeerDisconnected { .. })), "{name}");
        }
        assert_eq!(client.peer.unique_id(), id.0);
        let statistics = server.peer.statistics();
        assert_eq!((statistics.peers, statistics.peers_suspended), (1, 0));
        assert!(statistics.sessions_resumed >= 3);
    }
}

#[test]
fn two_hundred_clients_that_are_cut_at_once_come_back() {
    const CLIENTS: usize = 200;
    raise_file_limit();
    let runtime = Runtime::new();
    let mut server = server_with(&runtime, ServerConfig { peer: config(), ..ServerConfig::default() });
    let proxy = Proxy::new(server.peer.local_port());
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&runtime, proxy.port, config())).collect();
    eventually("all are in", || {
        server.poll();
        clients.iter_mut().for_each(TestPeer::poll);
        clients.iter().all(|client| client.peer.status() == Status::Connected)
            && server.connected_ids().len() == CLIENTS
    });
    let ids: Vec<_> = clients.iter().map(|client| client.peer.unique_id()).collect();
    let start = Instant::now();
    proxy.cut(Cut::Reset);
    server.peer.send(Target::All, &packet(0), Delivery::Reliable).expect("there is room");
    let mut received: Vec<_> = clients.iter().map(|_| Received::default()).collect();
    eventually("all are back", || {
        server.poll();
        for (client, received) in clients.iter_mut().zip(&mut received) {
            client.poll();
            received.take(client);
        }
        received.iter().all(|received| !received.0.is_empty())
    });
    let (joined, took) = (start - begun, start.elapsed());
    println!("{CLIENTS} clients were back after {took:?}; they had come in {joined:?}");
    // A busy machine takes longer for both.
    assert!(took < Duration::from_secs(2).max(joined * 3), "{took:?}, and {joined:?} at first");
    assert_eq!(server.connected_ids().len(), CLIENTS);
    assert_eq!(clients.iter().map(|client| client.peer.unique_id()).collect::<Vec<_>>(), ids);
    assert!(received.iter().all(|received| received.0[&PeerId(1)] == [0]));
}

#[test]
fn a_client_without_a_way_back_is_gone_when_its_time_is_over() {
    let config = PeerConfig { resume_timeout: Duration::from_secs(1), ..config() };
    let runtime = Runtime::new();
    let mut server = server(&runtime, config.clone());
    let proxy = Proxy::new(server.peer.local_port());
    let mut client = client(&runtime, proxy.port, config);
    eventually("it is connected", || {
        server.poll();
        client.poll();
        client.peer.status() == Status::Connected && server.connected_ids().len() == 1
    });
    proxy.refuses.store(true, Ordering::Relaxed);
    proxy.cut(Cut::Fin);
    eventually("both are told of the suspension", || {
        server.poll();
        client.poll();
        [&server, &client].iter().all(|peer| peer.has(|event| matches!(event, Event::PeerSuspended { .. })))
    });
    assert!(client.peer.is_suspended(PeerId(1)));
    assert_eq!(client.peer.status(), Status::Connected, "a game goes on meanwhile");
    eventually("both are told of the end", || {
        server.poll();
        client.poll();
        [&server, &client]
            .iter()
            .all(|peer| peer.has(|event| matches!(event, Event::PeerDisconnected { .. })))
    });
    assert!(client.has(|event| *event == Event::ServerDisconnected));
    assert!(!client.peer.last_error().is_empty());
    assert_eq!(server.peer.statistics().sessions_expired, 1);
}

#[test]
fn a_game_that_knows_better_reconnects_at_once() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = crate::support::party(&runtime, 1, &config());
    let client = clients.values_mut().next().expect("one");
    client.peer.reconnect().expect("it has a session");
    eventually("it is back", || {
        server.poll();
        client.poll();
        [&server, client].iter().all(|peer| peer.has(|event| matches!(event, Event::PeerResumed { .. })))
    });
    let id = PeerId(client.peer.unique_id());
    assert_eq!(server.peer.peer_statistics(id).expect("connected").resumes, 1);
    let (mut server, mut clients) = crate::support::party(&runtime, 1, &multiplayer());
    let client = clients.values_mut().next().expect("one");
    assert!(client.peer.reconnect().is_err(), "there is no session");
    client.poll();
    server.poll();
    assert_eq!(client.peer.status(), Status::Connected);
}
