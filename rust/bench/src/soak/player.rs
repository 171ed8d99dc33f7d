//! A client of the soak that is built on the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use websocket_multiplayer_core::{
    ClientConfig, CloseFrame, Delivery, Event, OverflowPolicy, Peer, PeerConfig, PeerId, Runtime, SendError,
    Status, Target, TlsClient, Trust, Url,
};

use crate::letter::{self, Kind};

pub(crate) struct Player {
    pub(crate) peer: Peer,
    pub(crate) server: usize,
    pub(crate) leaves_at: Instant,
    /// It does not look after its connection until then.
    pub(crate) sleeps_until: Option<Instant>,
    /// It has slept, so that the server may have closed it with a reason.
    pub(crate) has_slept: bool,
    /// It has said goodbye.
    parting: bool,
    connected: bool,
    pub(crate) over: bool,
    chat: u32,
    answer: u32,
    /// The news it expects next; the first ones are whichever come.
    pub(crate) news: Option<u32>,
    /// Holes are no fault where the server refuses what does not fit.
    may_miss_news: bool,
    pub(crate) missed: u64,
    /// Numbers to and from other clients.
    whispered: HashMap<PeerId, u32>,
    heard: HashMap<PeerId, u32>,
    pub(crate) others: Vec<PeerId>,
    pub(crate) received: u64,
    pub(crate) faults: Vec<String>,
}

impl Player {
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
        let may_miss_news = config.overflow_policy == OverflowPolicy::Refuse;
        peer.connect(ClientConfig { peer: config, url, protocols: Vec::new(), headers: Vec::new(), tls })?;
        Ok(Self {
            peer,
            server,
            leaves_at,
            sleeps_until: None,
            has_slept: false,
            parting: false,
            connected: false,
            over: false,
            chat: 0,
            answer: 0,
            news: None,
            may_miss_news,
            missed: 0,
            whispered: HashMap::new(),
            heard: HashMap::new(),
            others: Vec::new(),
            received: 0,
            faults: Vec::new(),
        })
    }

    pub(crate) fn is_in(&self) -> bool {
        self.connected && !self.over
    }

    pub(crate) fn id(&self) -> PeerId {
        PeerId(self.peer.unique_id())
    }

    pub(crate) fn poll(&mut self, now: Instant) {
        if self.sleeps_until.is_some_and(|until| now < until) {
            return;
        }
        self.sleeps_until = None;
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
                    // One that slept was told that it is too slow, or could not be told any more.
                    let slow = self.has_slept && [1013, -1].contains(&code);
                    if !(slow || self.parting && code == 1000) {
                        self.fault(format!("lost its server: {}", self.peer.last_error()));
                    }
                }
                Event::PeerConnected { id, .. } if id.is_client() => self.others.push(id),
                Event::PeerDisconnected { id, .. } if id.is_client() => {
                    self.others.retain(|other| *other != id)
                }
                _ => {}
            }
        }
        while let Some(packet) = self.peer.pop_packet() {
            self.receive(packet.source, &packet.payload);
        }
    }

    /// Says goodbye; it is over when the server has answered.
    pub(crate) fn part(&mut self) {
        self.parting = true;
        self.peer.disconnect(PeerId::SERVER, CloseFrame::normal());
    }

    pub(crate) fn is_parting(&self) -> bool {
        self.parting
    }

    pub(crate) fn chat(&mut self, size: usize) {
        if self.peer.status() != Status::Connected || self.parting {
            return;
        }
        match self.peer.send(
            Target::One(PeerId::SERVER),
            &letter::write(Kind::Chat, self.chat, size),
            Delivery::Reliable,
        ) {
            Ok(()) => self.chat += 1,
            Err(SendError::Full | SendError::Lost) => {}
            Err(error) => self.fault(format!("chat: {error}")),
        }
    }

    /// To another client, where there are any (Godot 3 wire).
    pub(crate) fn whisper(&mut self, choice: usize, size: usize) {
        if self.peer.status() != Status::Connected || self.parting || self.others.is_empty() {
            return;
        }
        let to = self.others[choice % self.others.len()];
        let number = self.whispered.entry(to).or_default();
        match self.peer.send(
            Target::One(to),
            &letter::write(Kind::Whisper, *number, size),
            Delivery::Reliable,
        ) {
            Ok(()) => *number += 1,
            Err(SendError::Full | SendError::Lost) => {}
            Err(error) => self.fault(format!("whisper to {to}: {error}")),
        }
    }

    fn receive(&mut self, from: PeerId, payload: &[u8]) {
        self.received += 1;
        let what = letter::read(payload);
        match what {
            Ok((Kind::Answer, number)) if from == PeerId::SERVER && number == self.answer => self.answer += 1,
            Ok((Kind::News, number)) if from == PeerId::SERVER => {
                let expected = self.news.unwrap_or(number);
                self.news = Some(number + 1);
                if number > expected && self.may_miss_news {
                    self.missed += u64::from(number - expected);
                } else if number != expected {
                    self.fault(format!("news {number} instead of {expected}"));
                }
            }
            Ok((Kind::Whisper, number)) if from.is_client() => {
                let expected = self.heard.entry(from).or_default();
                if number == *expected {
                    *expected += 1;
                } else {
                    let expected = *expected;
                    self.fault(format!("whisper {number} from {from} instead of {expected}"));
                }
            }
            other => self.fault(format!("{other:?} from {from}, answer {} is next", self.answer)),
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < 5 {
            self.faults.push(format!("client {} of server {}: {what}", self.id(), self.server));
        }
    }
}
