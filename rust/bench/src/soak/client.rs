//! A client of the soak that is built on the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use websocket_multiplayer_core::{
    ClientConfig, CloseFrame, Delivery, Event, OverflowPolicy, Peer, PeerConfig, PeerId, Runtime, SendError,
    Status, Target, TlsClient, Trust, Url,
};

use crate::packet::{self, Kind};

pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) server: usize,
    pub(crate) leaves_at: Instant,
    /// The client does not poll until then.
    pub(crate) stalls_until: Option<Instant>,
    /// The server may have closed the client because it did not read.
    pub(crate) has_stalled: bool,
    /// The client has sent a Close frame.
    disconnecting: bool,
    connected: bool,
    pub(crate) over: bool,
    request: u32,
    reply: u32,
    /// The number of the next broadcast; `None` before the first one.
    pub(crate) broadcast: Option<u32>,
    /// When a queue is full, the server refuses packets instead of closing the client.
    may_miss_broadcasts: bool,
    pub(crate) missed: u64,
    /// The next numbers of relayed packets to and from other clients.
    relayed_to: HashMap<PeerId, u32>,
    relayed_from: HashMap<PeerId, u32>,
    pub(crate) other_clients: Vec<PeerId>,
    pub(crate) received: u64,
    pub(crate) faults: Vec<String>,
}

impl Client {
    pub(crate) fn connect(
        runtime: &Arc<Runtime>,
        url: &str,
        server: usize,
        config: PeerConfig,
        leaves_at: Instant,
    ) -> Result<Self> {
        let mut peer = Peer::new(Arc::clone(runtime));
        let url = Url::parse(url)?;
        let tls = url.secure.then(|| TlsClient::new(Trust::Anybody, None)).transpose()?;
        let may_miss_broadcasts = config.overflow_policy == OverflowPolicy::Refuse;
        peer.connect(ClientConfig { peer: config, url, protocols: Vec::new(), headers: Vec::new(), tls })?;
        Ok(Self {
            peer,
            server,
            leaves_at,
            stalls_until: None,
            has_stalled: false,
            disconnecting: false,
            connected: false,
            over: false,
            request: 0,
            reply: 0,
            broadcast: None,
            may_miss_broadcasts,
            missed: 0,
            relayed_to: HashMap::new(),
            relayed_from: HashMap::new(),
            other_clients: Vec::new(),
            received: 0,
            faults: Vec::new(),
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected && !self.over
    }

    pub(crate) fn id(&self) -> PeerId {
        PeerId(self.peer.unique_id())
    }

    pub(crate) fn poll(&mut self, now: Instant) {
        if self.stalls_until.is_some_and(|until| now < until) {
            return;
        }
        self.stalls_until = None;
        self.peer.begin_poll();
        while let Some(event) = self.peer.next_event(false) {
            match event {
                Event::ConnectionSucceeded => self.connected = true,
                Event::ConnectionFailed => {
                    self.over = true;
                    self.fault(format!("did not get in: {}", self.peer.last_error()));
                }
                Event::ServerDisconnected => {
                    self.over = true;
                    let code = self.peer.close_code();
                    // After a stall, the server closes the client with 1013, or its Close frame cannot be delivered any more.
                    let slow = self.has_stalled && [1013, -1].contains(&code);
                    if !(slow || self.disconnecting && code == 1000) {
                        self.fault(format!("lost its server: {}", self.peer.last_error()));
                    }
                }
                Event::PeerConnected { id, .. } if id.is_client() => self.other_clients.push(id),
                Event::PeerDisconnected { id, .. } if id.is_client() => {
                    self.other_clients.retain(|other| *other != id)
                }
                _ => {}
            }
        }
        while let Some(packet) = self.peer.pop_packet() {
            self.receive(packet.source, &packet.payload);
        }
    }

    /// Starts the closing handshake; the client ends when the server has answered.
    pub(crate) fn disconnect(&mut self) {
        self.disconnecting = true;
        self.peer.disconnect(PeerId::SERVER, CloseFrame::normal());
    }

    pub(crate) fn is_disconnecting(&self) -> bool {
        self.disconnecting
    }

    pub(crate) fn send_request(&mut self, size: usize) {
        if self.peer.status() != Status::Connected || self.disconnecting {
            return;
        }
        match self.peer.send(
            Target::One(PeerId::SERVER),
            &packet::write(Kind::Request, self.request, size),
            Delivery::Reliable,
        ) {
            Ok(()) => self.request += 1,
            Err(SendError::Full | SendError::ConnectionLost) => {}
            Err(error) => self.fault(format!("request: {error}")),
        }
    }

    /// Sends to another client, if there is one and the packet format has a relay (Godot 3).
    pub(crate) fn send_to_client(&mut self, choice: usize, size: usize) {
        if self.peer.status() != Status::Connected || self.disconnecting || self.other_clients.is_empty() {
            return;
        }
        let to = self.other_clients[choice % self.other_clients.len()];
        let number = self.relayed_to.entry(to).or_default();
        match self.peer.send(
            Target::One(to),
            &packet::write(Kind::Relayed, *number, size),
            Delivery::Reliable,
        ) {
            Ok(()) => *number += 1,
            Err(SendError::Full | SendError::ConnectionLost) => {}
            Err(error) => self.fault(format!("relayed packet to {to}: {error}")),
        }
    }

    fn receive(&mut self, from: PeerId, payload: &[u8]) {
        self.received += 1;
        let what = packet::read(payload);
        match what {
            Ok((Kind::Reply, number)) if from == PeerId::SERVER && number == self.reply => self.reply += 1,
            Ok((Kind::Broadcast, number)) if from == PeerId::SERVER => {
                let expected = self.broadcast.unwrap_or(number);
                self.broadcast = Some(number + 1);
                if number > expected && self.may_miss_broadcasts {
                    self.missed += u64::from(number - expected);
                } else if number != expected {
                    self.fault(format!("broadcast {number} instead of {expected}"));
                }
            }
            Ok((Kind::Relayed, number)) if from.is_client() => {
                let expected = self.relayed_from.entry(from).or_default();
                if number == *expected {
                    *expected += 1;
                } else {
                    let expected = *expected;
                    self.fault(format!("relayed packet {number} from {from} instead of {expected}"));
                }
            }
            other => self.fault(format!("{other:?} from {from}, reply {} is next", self.reply)),
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < 5 {
            self.faults.push(format!("client {} of server {}: {what}", self.id(), self.server));
        }
    }
}
