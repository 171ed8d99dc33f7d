//! One server of the soak, and what it owes to and gets from each of its clients.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use websocket_multiplayer_core::{
    BindAddress, Delivery, Event, Peer, PeerConfig, PeerId, Runtime, SendError, ServerConfig, Target,
    TlsServer,
};

use crate::letter::{self, Kind};

pub(crate) struct Host {
    pub(crate) peer: Peer,
    pub(crate) name: &'static str,
    pub(crate) secure: bool,
    pub(crate) config: PeerConfig,
    guests: HashMap<PeerId, Guest>,
    news: u32,
    pub(crate) chats: u64,
    pub(crate) overflowed: u64,
    pub(crate) refused: u64,
    pub(crate) gone: u64,
    pub(crate) faults: Vec<String>,
}

/// The next number each way.
#[derive(Default)]
struct Guest {
    chat: u32,
    answer: u32,
}

impl Host {
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
            guests: HashMap::new(),
            news: 0,
            chats: 0,
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
        self.guests.contains_key(&id)
    }

    pub(crate) fn guests(&self) -> usize {
        self.guests.len()
    }

    pub(crate) fn poll(&mut self) {
        self.peer.begin_poll();
        while let Some(event) = self.peer.next_event(false) {
            match event {
                Event::PeerConnected { id, .. } => {
                    let known = self.guests.insert(id, Guest::default()).is_some();
                    self.fault_if(known, || format!("{id} came twice"));
                }
                Event::PeerDisconnected { id, .. } => {
                    self.gone += 1;
                    let unknown = self.guests.remove(&id).is_none();
                    self.fault_if(unknown, || format!("{id} left without having come"));
                }
                Event::PeerOverflowed { .. } => self.overflowed += 1,
                Event::PacketRefused { .. } => self.refused += 1,
                _ => {}
            }
        }
        while let Some(packet) = self.peer.pop_packet() {
            self.chat(packet.source, &packet.payload);
        }
    }

    /// Everybody gets it, or is refused it, or is closed.
    pub(crate) fn tell_news(&mut self, size: usize) {
        let news = letter::write(Kind::News, self.news, size);
        match self.peer.send(Target::All, &news, Delivery::Reliable) {
            Ok(()) | Err(SendError::Full) => self.news += 1,
            Err(error) => self.fault(format!("news: {error}")),
        }
    }

    /// The number of the next news.
    pub(crate) fn news(&self) -> u32 {
        self.news
    }

    /// Chats must come in order, each once; every fourth is answered.
    fn chat(&mut self, from: PeerId, payload: &[u8]) {
        let Some(guest) = self.guests.get_mut(&from) else {
            self.fault(format!("a packet of {from}, who is not here"));
            return;
        };
        let expected = guest.chat;
        match letter::read(payload) {
            Ok((Kind::Chat, number)) if number == expected => guest.chat += 1,
            other => {
                self.fault(format!("{other:?} from {from} instead of chat {expected}"));
                return;
            }
        }
        self.chats += 1;
        if expected.is_multiple_of(4) {
            let number = guest.answer;
            let answer = letter::write(Kind::Answer, number, payload.len() - 5);
            match self.peer.send(Target::One(from), &answer, Delivery::Reliable) {
                Ok(()) => guest.answer += 1,
                // Refused, or about to be closed: nothing was promised.
                Err(SendError::Full) => self.refused += 1,
                Err(error) => self.fault(format!("an answer to {from}: {error}")),
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
