//! A proxy on one thread whose connections can all be reset at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

pub(super) struct Proxy {
    pub(super) port: u16,
    cuts: Arc<AtomicBool>,
    waker: Waker,
}

/// A client's connection and the one to the server, with what each has not taken.
struct Pair {
    sockets: [TcpStream; 2],
    waiting: [Vec<u8>; 2],
}

impl Proxy {
    pub(super) fn start(server: SocketAddr) -> Result<Self> {
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).context("no free port")?;
        let port = listener.local_addr()?.port();
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let cuts = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&cuts);
        // It ends with the process.
        thread::spawn(move || {
            if let Err(error) = pass_on(poll, &listener, server, &wanted) {
                eprintln!("wsload: the proxy failed: {error}");
            }
        });
        Ok(Self { port, cuts, waker })
    }

    /// Resets all connections. Returns when.
    pub(super) fn cut(&self) -> Instant {
        let now = Instant::now();
        self.cuts.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            eprintln!("wsload: the proxy does not wake up: {error}");
        }
        while self.cuts.load(Ordering::Acquire) {
            thread::sleep(Duration::from_micros(20));
        }
        now
    }
}

fn pass_on(
    mut poll: Poll,
    listener: &TcpListener,
    server: SocketAddr,
    cuts: &AtomicBool,
) -> std::io::Result<()> {
    let mut events = Events::with_capacity(1024);
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let number = event.token().0;
            if number < FIRST {
                continue;
            }
            let (index, side) = ((number - FIRST) / 2, (number - FIRST) % 2);
            if let Some(Some(pair)) = pairs.get_mut(index)
                && !(pair.write(side) && (!event.is_readable() || pair.read(side, &mut buffer)))
            {
                pairs[index] = None;
            }
        }
        if cuts.load(Ordering::Acquire) {
            for pair in pairs.drain(..).flatten() {
                for socket in &pair.sockets {
                    SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
                }
            }
            cuts.store(false, Ordering::Release);
        }
        while let Ok((client, _)) = listener.accept() {
            let mut sockets = [client, TcpStream::connect(server)?];
            for (side, socket) in sockets.iter_mut().enumerate() {
                socket.set_nodelay(true)?;
                let token = Token(FIRST + 2 * pairs.len() + side);
                poll.registry().register(socket, token, Interest::READABLE | Interest::WRITABLE)?;
            }
            pairs.push(Some(Pair { sockets, waiting: Default::default() }));
        }
    }
}

impl Pair {
    /// Passes on what one side has sent. Returns false at its end.
    fn read(&mut self, side: usize, buffer: &mut [u8]) -> bool {
        loop {
            match self.sockets[side].read(buffer) {
                Ok(0) => return false,
                Ok(count) => self.waiting[1 - side].extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let is_empty = error.kind() == ErrorKind::WouldBlock;
                    return is_empty && self.write(1 - side);
                }
            }
        }
    }

    /// Writes what waits for one side. Returns false if that is gone.
    fn write(&mut self, side: usize) -> bool {
        let waiting = &mut self.waiting[side];
        while !waiting.is_empty() {
            match self.sockets[side].write(waiting) {
                Ok(count) => drop(waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Connecting, or full: an event follows.
                Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected),
            }
        }
        true
    }
}

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// The first token of the connections.
const FIRST: usize = 2;
