//! Tests with a judge of certificates who takes his time: a real server, real clients, and threads that must not wait for him.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{BindAddress, ClientConfig, Mode, PeerConfig, ServerConfig, WireFormat};
use crate::http::Url;
use crate::net::Runtime;
use crate::net::checks::CHECKS;
use crate::peer::{Peer, Status};
use crate::tls::judge::Judge;
use crate::tls::{TlsClient, TlsServer, Trust, self_signed};

/// A server and whoever connects to it.
struct Court {
    runtime: Arc<Runtime>,
    server: Peer,
    certificate: String,
}

impl Court {
    fn new() -> Self {
        let runtime = Runtime::new();
        let (key, certificate) = self_signed("localhost");
        let tls = Some(TlsServer::new(&key, &certificate, "").expect("usable"));
        let mut server = Peer::new(Arc::clone(&runtime));
        let bind = BindAddress::Ip(std::net::Ipv4Addr::LOCALHOST.into());
        server
            .listen(ServerConfig { bind, peer: patient(), tls, ..ServerConfig::default() })
            .expect("loopback can be listened on");
        Self { runtime, server, certificate }
    }

    fn connect(&self, tls: TlsClient) -> Peer {
        let url = Url::parse(&format!("wss://localhost:{}/", self.server.local_port())).expect("a URL");
        let mut client = Peer::new(Arc::clone(&self.runtime));
        let config =
            ClientConfig { url, peer: patient(), protocols: Vec::new(), headers: Vec::new(), tls: Some(tls) };
        client.connect(config).expect("it starts");
        client
    }

    fn judged(&self, judge: &Arc<Judge>) -> Peer {
        self.connect(TlsClient::judged_by(Arc::clone(judge) as _))
    }

    fn let_in(&mut self, clients: &mut [Peer]) {
        eventually("all are in", || {
            poll(&mut self.server);
            clients.iter_mut().for_each(poll);
            clients.iter().all(|client| client.status() == Status::Connected)
        });
    }
}

/// Nobody runs out of time, however busy the machine is.
fn patient() -> PeerConfig {
    let mode = Mode::Multiplayer(WireFormat::Godot4);
    PeerConfig { mode, handshake_timeout: Duration::from_secs(600), ..PeerConfig::default() }
}

fn poll(peer: &mut Peer) {
    peer.begin_poll();
    while peer.next_event(false).is_some() {}
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn closing_and_others_do_not_wait_for_the_judge() {
    let mut court = Court::new();
    let judge = Judge::slow(false);
    let mut client = court.judged(&judge);
    eventually("the judge is asked", || judge.asked() == 1);
    // Somebody else gets in meanwhile.
    let named = TlsClient::new(Trust::Only(&court.certificate), None).expect("usable");
    let mut others = [court.connect(named)];
    court.let_in(&mut others);
    poll(&mut client);
    assert_eq!(client.status(), Status::Connecting);
    // The client's I/O thread ends although the judge says nothing.
    client.close();
    eventually("the I/O thread has ended", || court.runtime.thread_count() == 3);
    assert_eq!(judge.asked(), 1);
    // So does everything else.
    court.server.close();
    others[0].close();
    court.runtime.shutdown(Duration::from_secs(1));
    judge.release();
}

#[test]
fn more_than_are_judged_at_once_wait_their_turn() {
    let mut court = Court::new();
    let judge = Judge::slow(false);
    let mut clients: Vec<_> = (0..CHECKS + 5).map(|_| court.judged(&judge)).collect();
    eventually("as many are judged as can be", || judge.asked() == CHECKS);
    // One that waits and gives up, which takes no place.
    clients.pop().expect("there are some").close();
    judge.release();
    court.let_in(&mut clients);
    drop(clients);
    eventually("no thread is left but the server's", || court.runtime.thread_count() == 1);
    court.server.close();
    court.runtime.shutdown(DEADLINE);
    assert_eq!(court.runtime.thread_count(), 0);
}

const DEADLINE: Duration = Duration::from_secs(60);
