//! A client of the soak that is not ours: it leaves without a word, resets its connection, or stops reading.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use crate::letter::{self, Kind};

/// How it behaves in the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manners {
    /// Its socket is closed with data unread.
    Vanishes,
    /// Its system says that there is no such connection.
    Resets,
    /// It reads nothing any more from the beginning.
    Stops,
}

pub(crate) struct Stranger {
    socket: WebSocket<TcpStream>,
    pub(crate) manners: Manners,
    pub(crate) leaves_at: Instant,
    chat: u32,
    news: Option<u32>,
    pub(crate) over: bool,
    pub(crate) received: u64,
    pub(crate) faults: Vec<String>,
}

impl Stranger {
    pub(crate) fn connect(port: u16, manners: Manners, leaves_at: Instant) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("the server listens")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!("ws://127.0.0.1:{port}/stranger").into_client_request()?;
        let (socket, _) = tungstenite::client::client(request, stream)
            .map_err(|error| anyhow::anyhow!("the upgrade: {error}"))?;
        socket.get_ref().set_nonblocking(true)?;
        Ok(Self {
            socket,
            manners,
            leaves_at,
            chat: 0,
            news: None,
            over: false,
            received: 0,
            faults: Vec::new(),
        })
    }

    pub(crate) fn poll(&mut self) {
        while self.manners != Manners::Stops && !self.over {
            match self.socket.read() {
                // The four bytes are its id.
                Ok(Message::Binary(bytes)) if self.received == 0 && bytes.len() == 4 => self.received = 1,
                Ok(Message::Binary(bytes)) => self.receive(&bytes),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.over = true,
            }
        }
    }

    pub(crate) fn chat(&mut self, size: usize) {
        let chat = Message::binary(letter::write(Kind::Chat, self.chat, size));
        // What does not leave at once is kept by the library and leaves with the next one.
        match self.socket.send(chat) {
            Ok(()) => self.chat += 1,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.chat += 1,
            Err(_) => self.over = true,
        }
    }

    pub(crate) fn leave(self) {
        if self.manners == Manners::Resets {
            // A socket that cannot be set up so is closed the other way.
            let _ = SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO));
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.received += 1;
        match letter::read(bytes) {
            Ok((Kind::News, number)) => {
                let expected = self.news.replace(number + 1).unwrap_or(number);
                if number != expected {
                    self.faults.push(format!("stranger: news {number} instead of {expected}"));
                }
            }
            Ok((Kind::Answer, _)) => {}
            other => self.faults.push(format!("stranger: {other:?}")),
        }
    }
}
