//! The floor to compare with: an echo server of mio and tungstenite and nothing else, on one thread: `bare [PORT]`.
//!
//! It reads a connection until that would block, then flushes it once. Like the servers that it is compared with it sends
//! each client an id first.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use tungstenite::{Message, WebSocket};

fn main() -> Result<(), Box<dyn Error>> {
    let port = env::args().nth(1).map_or(Ok(PORT), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("echoes on port {port}");
    let mut poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let (sender, newcomers) = channel();
    thread::spawn(move || welcome(&listener, &sender, &waker));
    let mut sockets = HashMap::new();
    let mut events = Events::with_capacity(1024);
    let mut next = WAKER.0 + 1;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            let token = event.token();
            if token == WAKER {
                for mut socket in newcomers.try_iter() {
                    let token = Token(next);
                    next += 1;
                    poll.registry().register(
                        socket.get_mut(),
                        token,
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    sockets.insert(token, socket);
                }
            } else if let Some(socket) = sockets.get_mut(&token)
                && !echo(socket)
            {
                sockets.remove(&token);
            }
        }
    }
}

/// Upgrades one client after the other, which is no part of what is measured.
fn welcome(listener: &TcpListener, sender: &Sender<WebSocket<TcpStream>>, waker: &Waker) {
    for (number, stream) in listener.incoming().flatten().enumerate() {
        let Ok(copy) = stream.try_clone() else { continue };
        let Ok(mut socket) = tungstenite::accept(stream) else { continue };
        let id = (number as i32 + 2).to_le_bytes();
        let ready = socket.send(Message::binary(id.to_vec())).is_ok()
            && copy.set_nodelay(true).is_ok()
            && copy.set_nonblocking(true).is_ok();
        // The client waits for its id before it sends, so nothing is in the first reader's buffer.
        let socket =
            WebSocket::from_raw_socket(TcpStream::from_std(copy), tungstenite::protocol::Role::Server, None);
        if !ready || sender.send(socket).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

/// False: the connection is over.
fn echo(socket: &mut WebSocket<TcpStream>) -> bool {
    let blocks = |error: &tungstenite::Error| matches!(error, tungstenite::Error::Io(error) if error.kind() == ErrorKind::WouldBlock);
    loop {
        match socket.read() {
            Ok(message @ Message::Binary(_)) => match socket.write(message) {
                Ok(()) => {}
                Err(error) if blocks(&error) => {}
                Err(_) => return false,
            },
            Ok(_) => {}
            Err(error) if blocks(&error) => break,
            Err(_) => return false,
        }
    }
    match socket.flush() {
        Ok(()) => true,
        Err(error) => blocks(&error),
    }
}

const PORT: u16 = 9081;
const WAKER: Token = Token(0);
