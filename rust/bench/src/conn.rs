//! One connection to the server under load.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use anyhow::{Result, bail};
use mio::net::TcpStream;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::deflate::{Deflate, Inflater};
use crate::frame::{self, Kind};
use crate::tls::{Stream, Tls};
use crate::wire::{self, Wire};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// The upgrade was sent; the server has not answered.
    AwaitUpgrade,
    /// The WebSocket is open; the multiplayer id has not arrived.
    AwaitId,
    Usable,
    Gone,
}

/// A connection: a socket, and the state of its WebSocket.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: Stream,
    /// The index in the swarm.
    pub(crate) index: usize,
    /// The peer id, once the connection is usable.
    pub(crate) id: i32,
    pub(crate) phase: Phase,
    /// The server has given it a session.
    has_session: bool,
    pub(crate) opened_at: Instant,
    /// The start of a head or frame that is not complete.
    partial: Vec<u8>,
    /// The fragments of an incomplete message, and whether it is compressed.
    fragments: Vec<u8>,
    is_compressed: bool,
    inflater: Option<Inflater>,
    pub(crate) traffic: Traffic,
    out: Vec<u8>,
    out_sent: usize,
    pub(crate) pings: u64,
    /// When the messages that were not echoed yet were sent, oldest first.
    pub(crate) in_flight: VecDeque<Instant>,
    pub(crate) sent: u64,
    pub(crate) echoed: u64,
}

/// What has come as messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traffic {
    /// Frames of messages, with their headers.
    pub(crate) wire: u64,
    /// What the messages inflate to.
    pub(crate) inflated: u64,
}

impl Traffic {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { wire: self.wire - before.wire, inflated: self.inflated - before.inflated }
    }

    /// Bytes.
    pub(crate) fn per_message(self, messages: u64) -> Value {
        let average = |bytes: u64| (messages > 0).then(|| bytes as f64 / messages as f64);
        json!({ "wire": average(self.wire), "inflated": average(self.inflated) })
    }
}

/// What the upgrade needs.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) request: Vec<u8>,
    pub(crate) accept_key: String,
    pub(crate) wire: Wire,
    /// What the server has to agree to; `None`: nothing is offered.
    pub(crate) deflate: Option<Deflate>,
}

/// What the load reacts to.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Usable,
    Message(&'a [u8]),
}

impl Conn {
    pub(crate) fn new(
        stream: TcpStream,
        tls: Option<&Tls>,
        index: usize,
        upgrade: &Upgrade,
        now: Instant,
    ) -> Self {
        Self {
            stream: Stream::new(stream, tls),
            index,
            id: 0,
            phase: Phase::AwaitUpgrade,
            has_session: false,
            opened_at: now,
            partial: Vec::new(),
            fragments: Vec::new(),
            is_compressed: false,
            inflater: None,
            traffic: Traffic::default(),
            out: upgrade.request.clone(),
            out_sent: 0,
            pings: 0,
            in_flight: VecDeque::new(),
            sent: 0,
            echoed: 0,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// Returns the buffer to which frames are appended; [`Conn::flush`] sends them.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(crate) fn send_close(&mut self) {
        frame::append(&mut self.out, OpCode::Control(Control::Close), &1000u16.to_be_bytes());
    }

    /// Writes until the buffer is empty or the socket is full.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.out_sent < self.out.len() {
            match self.stream.write(&self.out[self.out_sent..]) {
                Ok(0) => bail!("the server takes nothing more"),
                Ok(count) => self.out_sent += count,
                // Connecting, or full: an event follows.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.out_sent = 0;
        match self.stream.flush() {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Reads until the socket is empty, and passes on complete messages. An error ends the connection. `closed`: the server sends nothing
    /// more.
    pub(crate) fn read(
        &mut self,
        upgrade: &Upgrade,
        buffer: &mut [u8],
        closed: bool,
        mut handle: impl FnMut(&mut Self, Incoming<'_>, Instant),
    ) -> Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("closed by the server without a close frame"),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            if self.partial.is_empty() {
                let used = self.consume(upgrade, &buffer[..count], now, &mut handle)?;
                self.partial.extend_from_slice(&buffer[used..count]);
            } else {
                let mut bytes = std::mem::take(&mut self.partial);
                bytes.extend_from_slice(&buffer[..count]);
                let used = self.consume(upgrade, &bytes, now, &mut handle)?;
                if used < bytes.len() {
                    bytes.drain(..used);
                    self.partial = bytes;
                }
            }
            // A short read has emptied the socket, so another read is needed only if the stream has ended, for which there is no separate
            // event.
            if count < buffer.len() && !closed && !self.stream.is_secure() {
                return Ok(());
            }
        }
    }

    /// Returns the number of bytes consumed.
    fn consume(
        &mut self,
        upgrade: &Upgrade,
        bytes: &[u8],
        now: Instant,
        handle: &mut impl FnMut(&mut Self, Incoming<'_>, Instant),
    ) -> Result<usize> {
        let mut used = 0;
        if self.phase == Phase::AwaitUpgrade {
            let Some((length, agreed)) = upgrade.check_answer(bytes)? else { return Ok(0) };
            used = length;
            self.inflater = Inflater::new(agreed);
            self.phase = Phase::AwaitId;
            if upgrade.wire == Wire::Raw {
                self.phase = Phase::Usable;
                handle(self, Incoming::Usable, now);
            }
        }
        while let Some(frame) = frame::parse(bytes, used)? {
            let length = frame.payload.end - std::mem::replace(&mut used, frame.payload.end);
            let payload = &bytes[frame.payload];
            match frame.kind {
                Kind::Data | Kind::Continue => {
                    self.traffic.wire += length as u64;
                    if frame.kind == Kind::Data {
                        self.is_compressed = frame.is_compressed;
                    }
                    if frame.kind == Kind::Data && frame.is_final {
                        self.inflate(upgrade.wire, payload, now, handle)?;
                        continue;
                    }
                    self.fragments.extend_from_slice(payload);
                    if frame.is_final {
                        let whole = std::mem::take(&mut self.fragments);
                        self.inflate(upgrade.wire, &whole, now, handle)?;
                    }
                }
                Kind::Ping => {
                    self.pings += 1;
                    frame::append(&mut self.out, OpCode::Control(Control::Pong), payload);
                }
                Kind::Pong => {}
                Kind::Close => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    bail!("closed by the server with code {code}");
                }
            }
        }
        Ok(used)
    }

    fn inflate(
        &mut self,
        wire: Wire,
        payload: &[u8],
        now: Instant,
        handle: &mut impl FnMut(&mut Self, Incoming<'_>, Instant),
    ) -> Result<()> {
        if !self.is_compressed {
            self.traffic.inflated += payload.len() as u64;
            return self.message(wire, payload, now, handle);
        }
        let Some(inflater) = &mut self.inflater else { bail!("the server compresses, which was not agreed") };
        let message = inflater.message(payload)?;
        self.traffic.inflated += message.len() as u64;
        self.message(wire, &message, now, handle)
    }

    fn message(
        &mut self,
        wire: Wire,
        message: &[u8],
        now: Instant,
        handle: &mut impl FnMut(&mut Self, Incoming<'_>, Instant),
    ) -> Result<()> {
        if self.phase == Phase::AwaitId && message.starts_with(b"lists ") {
            // It allows more than any of the loads needs.
        } else if self.phase == Phase::AwaitId && message.starts_with(b"session ") {
            self.has_session = true;
        } else if self.phase == Phase::AwaitId {
            self.id = wire.read_id(message)?;
            if self.has_session {
                frame::append(&mut self.out, OpCode::Data(Data::Text), b"ack 0 0");
            }
            self.phase = Phase::Usable;
            handle(self, Incoming::Usable, now);
        } else if let Some(payload) = wire.payload(message)? {
            if let Some(answer) = wire::path_confirmation(payload) {
                frame::append(&mut self.out, OpCode::Data(Data::Binary), &answer);
            }
            handle(self, Incoming::Message(payload), now);
        }
        Ok(())
    }
}

impl Upgrade {
    /// `offer`: items of the header `Godot-Multiplayer`; may be empty.
    pub(crate) fn new(host: &str, path: &str, wire: Wire, offer: &str, deflate: Option<Deflate>) -> Self {
        let key = tungstenite::handshake::client::generate_key();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{}{}\r\n",
            if deflate.is_some() { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" },
            if offer.is_empty() { String::new() } else { format!("Godot-Multiplayer: {offer}\r\n") }
        );
        let accept_key = tungstenite::handshake::derive_accept_key(key.as_bytes());
        Self { request: request.into_bytes(), accept_key, wire, deflate }
    }

    /// Returns the length of the server's head, once it is complete and valid, and what is agreed on.
    fn check_answer(&self, bytes: &[u8]) -> Result<Option<(usize, Deflate)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
        let status = response.code.unwrap_or(0);
        if status != 101 {
            bail!("answered with HTTP status {status}");
        }
        let accepted = response.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("sec-websocket-accept")
                && header.value == self.accept_key.as_bytes()
        });
        if !accepted {
            bail!("answered with a wrong Sec-WebSocket-Accept");
        }
        let extensions = response
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("sec-websocket-extensions"));
        let agreed = Deflate::agreed(extensions.filter_map(|header| std::str::from_utf8(header.value).ok()))?;
        let wanted = self.deflate.unwrap_or(Deflate::Off);
        if agreed != wanted {
            bail!("the server compresses in another way: {agreed:?} instead of {wanted:?}");
        }
        Ok(Some((length, agreed)))
    }
}
