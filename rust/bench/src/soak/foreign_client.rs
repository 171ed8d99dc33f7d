//! A client of the soak that is built on tungstenite: it closes its socket without a Close frame, resets its connection, or stops reading.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use crate::packet::{self, Kind};

/// How the connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// The socket is closed with unread data, and without a Close frame.
    Vanishes,
    /// The socket is reset.
    Resets,
    /// The client reads nothing after the upgrade.
    Stops,
}

pub(crate) struct ForeignClient {
    socket: WebSocket<TcpStream>,
    pub(crate) ending: Ending,
    pub(crate) leaves_at: Instant,
    request: u32,
    broadcast: Option<u32>,
    pub(crate) over: bool,
    pub(crate) received: u64,
    pub(crate) faults: Vec<String>,
}

impl ForeignClient {
    pub(crate) fn connect(port: u16, ending: Ending, leaves_at: Instant) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("the server listens")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!("ws://127.0.0.1:{port}/foreign").into_client_request()?;
        let (socket, _) = tungstenite::client::client(request, stream)
            .map_err(|error| anyhow::anyhow!("the upgrade: {error}"))?;
        socket.get_ref().set_nonblocking(true)?;
        Ok(Self {
            socket,
            ending,
            leaves_at,
            request: 0,
            broadcast: None,
            over: false,
            received: 0,
            faults: Vec::new(),
        })
    }

    pub(crate) fn poll(&mut self) {
        while self.ending != Ending::Stops && !self.over {
            match self.socket.read() {
                // The four bytes are the client's id.
                Ok(Message::Binary(bytes)) if self.received == 0 && bytes.len() == 4 => self.received = 1,
                Ok(Message::Binary(bytes)) => self.receive(&bytes),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.over = true,
            }
        }
    }

    pub(crate) fn send_request(&mut self, size: usize) {
        let request = Message::binary(packet::write(Kind::Request, self.request, size));
        // tungstenite keeps what the socket does not take, and writes it with the next message.
        match self.socket.send(request) {
            Ok(()) => self.request += 1,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.request += 1,
            Err(_) => self.over = true,
        }
    }

    pub(crate) fn leave(self) {
        if self.ending == Ending::Resets {
            // If this fails, the socket is closed normally.
            let _ = SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO));
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.received += 1;
        match packet::read(bytes) {
            Ok((Kind::Broadcast, number)) => {
                let expected = self.broadcast.replace(number + 1).unwrap_or(number);
                if number != expected {
                    self.faults.push(format!("foreign client: broadcast {number} instead of {expected}"));
                }
            }
            Ok((Kind::Reply, _)) => {}
            other => self.faults.push(format!("foreign client: {other:?}")),
        }
    }
}
