//! One server of the soak: checks the packets of each client, replies, and broadcasts.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use websocket_multiplayer_core::{
    BindAddress, Delivery, Event, Peer, PeerConfig, PeerId, Runtime, SendError, ServerConfig, Target,
    TlsServer,
};

use crate::packet::{self, Kind};

pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) name: &'static str,
    pub(crate) secure: bool,
    pub(crate) config: PeerConfig,
    clients: HashMap<PeerId, Counters>,
    broadcast: u32,
    pub(crate) requests: u64,
    pub(crate) overflowed: u64,
    pub(crate) refused: u64,
    pub(crate) gone: u64,
    pub(crate) faults: Vec<String>,
}

/// The next number of a client's requests and of the replies to it.
#[derive(Default)]
struct Counters {
    request: u32,
    reply: u32,
}

impl Server {
    pub(crate) fn open(
        runtime: &Arc<Runtime>,
        name: &'static str,
        config: PeerConfig,
        tls: Option<TlsServer>,
    ) -> Result<Self> {
        let mut peer = Peer::new(Arc::clone(runtime));
        let secure = tls.is_some();
        let bind = BindAddress::Ip(Ipv4Addr::LOCALHOST.into());
        peer.listen(ServerConfig { peer: config.clone(), bind, tls, ..ServerConfig::default() })
            .with_context(|| format!("the server {name} does not listen"))?;
        Ok(Self {
            peer,
            name,
            secure,
            config,
            clients: HashMap::new(),
            broadcast: 0,
            requests: 0,
            overflowed: 0,
            refused: 0,
            gone: 0,
            faults: Vec::new(),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/soak", if self.secure { "wss" } else { "ws" }, self.peer.local_port())
    }

    pub(crate) fn has(&self, id: PeerId) -> bool {
        self.clients.contains_key(&id)
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn poll(&mut self) {
        self.peer.begin_poll();
        while let Some(event) = self.peer.next_event(false) {
            match event {
                Event::PeerConnected { id, .. } => {
                    let known = self.clients.insert(id, Counters::default()).is_some();
                    self.fault_if(known, || format!("{id} came twice"));
                }
                Event::PeerDisconnected { id, .. } => {
                    self.gone += 1;
                    let unknown = self.clients.remove(&id).is_none();
                    self.fault_if(unknown, || format!("{id} left without having come"));
                }
                Event::PeerOverflowed { .. } => self.overflowed += 1,
                Event::PacketRefused { .. } => self.refused += 1,
                _ => {}
            }
        }
        while let Some(packet) = self.peer.pop_packet() {
            self.receive(packet.source, &packet.payload);
        }
    }

    /// Sends to all clients. A client whose queue is full misses the packet or is closed, depending on the overflow policy.
    pub(crate) fn broadcast(&mut self, size: usize) {
        let broadcast = packet::write(Kind::Broadcast, self.broadcast, size);
        match self.peer.send(Target::All, &broadcast, Delivery::Reliable) {
            Ok(()) | Err(SendError::Full) => self.broadcast += 1,
            Err(error) => self.fault(format!("broadcast: {error}")),
        }
    }

    /// The number of the next broadcast.
    pub(crate) fn next_broadcast(&self) -> u32 {
        self.broadcast
    }

    /// Checks that requests arrive in order, each once. Every fourth gets a reply.
    fn receive(&mut self, from: PeerId, payload: &[u8]) {
        let Some(counters) = self.clients.get_mut(&from) else {
            self.fault(format!("a packet of {from}, who is not here"));
            return;
        };
        let expected = counters.request;
        match packet::read(payload) {
            Ok((Kind::Request, number)) if number == expected => counters.request += 1,
            other => {
                self.fault(format!("{other:?} from {from} instead of request {expected}"));
                return;
            }
        }
        self.requests += 1;
        if expected.is_multiple_of(4) {
            let number = counters.reply;
            let reply = packet::write(Kind::Reply, number, payload.len() - 5);
            match self.peer.send(Target::One(from), &reply, Delivery::Reliable) {
                Ok(()) => counters.reply += 1,
                // The client's queue is full: the packet was not accepted.
                Err(SendError::Full) => self.refused += 1,
                Err(error) => self.fault(format!("an reply to {from}: {error}")),
            }
        }
    }

    fn fault_if(&mut self, condition: bool, what: impl FnOnce() -> String) {
        if condition {
            self.fault(what());
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < 20 {
            self.faults.push(format!("server {}: {what}", self.name));
        }
    }
}
