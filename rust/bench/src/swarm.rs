//! All connections of a run, on one thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use tungstenite::protocol::frame::coding::{Control, OpCode};

use crate::conn::{Conn, Incoming, Phase, Traffic, Upgrade};
use crate::frame;
use crate::load::Load;
use crate::stats::Histogram;
use crate::tls::Tls;

/// The connections, and the results of opening them.
#[derive(Debug)]
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    upgrade: Upgrade,
    tls: Option<Tls>,
    conns: Vec<Conn>,
    buffer: Vec<u8>,
    /// Connections that are being opened.
    opening: usize,
    pub(crate) usable: usize,
    /// Time until a connection is usable, measured from the start of the run, and from its own connect call.
    pub(crate) since_start: Histogram,
    pub(crate) since_connect: Histogram,
    pub(crate) timed_out: usize,
    /// Why connections ended that did not become usable, and why usable ones were lost.
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) lost: BTreeMap<String, usize>,
    started: Instant,
    closing: bool,
}

/// One event, copied out of mio's list.
#[derive(Clone, Copy, Debug)]
struct Ready {
    index: usize,
    writable: bool,
    closed: bool,
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        Self { index: event.token().0, writable: event.is_writable(), closed: event.is_read_closed() }
    }
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr, upgrade: Upgrade, tls: Option<Tls>) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("cannot make a poll")?,
            events: Events::with_capacity(4096),
            address,
            upgrade,
            tls,
            conns: Vec::new(),
            buffer: vec![0; 256 << 10],
            opening: 0,
            usable: 0,
            since_start: Histogram::new(),
            since_connect: Histogram::new(),
            timed_out: 0,
            refused: BTreeMap::new(),
            lost: BTreeMap::new(),
            started: Instant::now(),
            closing: false,
        })
    }

    /// Opens `count` connections, at most `parallel` at a time, until each is usable or has failed, or `limit` has passed.
    pub(crate) fn open(
        &mut self,
        count: usize,
        parallel: usize,
        limit: Duration,
        load: &mut impl Load,
    ) -> Result<()> {
        self.started = Instant::now();
        let deadline = self.started + limit;
        let mut next_line = self.started + Duration::from_secs(2);
        // With few connections at a time, the aim is to have all of them: a refused one is tried again.
        let attempts = if parallel < count { count * 2 } else { count };
        loop {
            while self.usable + self.opening < count && self.conns.len() < attempts && self.opening < parallel
            {
                self.connect()?;
            }
            if self.opening == 0 {
                break;
            }
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            if now >= next_line {
                eprintln!("wsload: {} of {count} usable", self.usable);
                next_line = now + Duration::from_secs(2);
            }
            self.poll_once(deadline.min(next_line), load)?;
        }
        // The connections that are still being opened, and those that wait for them.
        self.timed_out = self.opening + count.saturating_sub(self.conns.len());
        for index in 0..self.conns.len() {
            if matches!(self.conns[index].phase, Phase::AwaitUpgrade | Phase::AwaitId) {
                self.drop_conn(index);
            }
        }
        self.opening = 0;
        Ok(())
    }

    /// Runs the load for `time`.
    pub(crate) fn run(&mut self, time: Duration, load: &mut impl Load) -> Result<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && self.usable > 0 {
            self.poll_once(deadline, load)?;
        }
        Ok(())
    }

    /// Closes all connections with a Close frame, so that the server logs no broken connections.
    pub(crate) fn close(&mut self, load: &mut impl Load) -> Result<()> {
        self.closing = true;
        for index in 0..self.conns.len() {
            if self.conns[index].phase == Phase::Usable {
                self.conns[index].send_close();
                if self.conns[index].flush().is_err() {
                    self.drop_conn(index);
                    self.usable -= 1;
                }
            }
        }
        self.run(CLOSE_LIMIT, load)
    }

    /// The peer id of each connection; 0 where it is not usable.
    pub(crate) fn ids(&self) -> Vec<i32> {
        self.conns.iter().map(|conn| conn.id).collect()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.conns.iter().fold(Traffic::default(), |sum, conn| Traffic {
            wire: sum.wire + conn.traffic.wire,
            inflated: sum.inflated + conn.traffic.inflated,
        })
    }

    pub(crate) fn pings(&self) -> u64 {
        self.conns.iter().map(|conn| conn.pings).sum()
    }

    /// Sends what a load has queued outside of an event.
    pub(crate) fn flush_all(&mut self, mut fill: impl FnMut(&mut Conn)) {
        for index in 0..self.conns.len() {
            if self.conns[index].phase == Phase::Usable {
                fill(&mut self.conns[index]);
                if let Err(error) = self.conns[index].flush() {
                    self.end(index, &error);
                }
            }
        }
    }

    fn connect(&mut self) -> Result<()> {
        let stream = TcpStream::connect(self.address).context("cannot make a socket")?;
        let index = self.conns.len();
        let mut conn = Conn::new(stream, self.tls.as_ref(), index, &self.upgrade, Instant::now());
        let token = Token(index);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(conn.socket(), token, interest).context("cannot register a socket")?;
        self.conns.push(conn);
        self.opening += 1;
        Ok(())
    }

    /// Waits for events, `deadline` at most, and handles them.
    fn poll_once(&mut self, deadline: Instant, load: &mut impl Load) -> Result<()> {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome.context("cannot poll")?,
        }
        let ready: Vec<Ready> = self.events.iter().map(Ready::from).collect();
        for ready in ready {
            let index = ready.index;
            if self.conns[index].phase == Phase::Gone {
                continue;
            }
            if let Err(error) = self.drive(ready, load) {
                self.end(index, &error);
            }
        }
        Ok(())
    }

    fn drive(&mut self, Ready { index, writable, closed }: Ready, load: &mut impl Load) -> Result<()> {
        let Self { conns, upgrade, buffer, since_start, since_connect, started, .. } = self;
        let conn = &mut conns[index];
        if writable {
            if let Some(error) = conn.socket().take_error()? {
                return Err(error.into());
            }
            // The connection is established by now: this is the first opportunity on every system.
            if conn.phase == Phase::AwaitUpgrade {
                conn.socket().set_nodelay(true)?;
            }
            conn.flush()?;
        }
        let mut became_usable = false;
        let outcome = conn.read(upgrade, buffer, closed, |conn, incoming, now| match incoming {
            Incoming::Usable => {
                became_usable = true;
                since_start.record(now - *started);
                since_connect.record(now - conn.opened_at);
            }
            Incoming::Message(payload) => load.on_message(conn, payload, now),
        });
        if became_usable {
            self.opening -= 1;
            self.usable += 1;
        }
        outcome?;
        self.conns[index].flush()
    }

    /// Records why a connection has ended, and answers a Close frame.
    fn end(&mut self, index: usize, error: &anyhow::Error) {
        let was = self.conns[index].phase;
        let why = format!("{error:#}");
        if why.contains("with code") {
            let conn = &mut self.conns[index];
            frame::append(conn.out(), OpCode::Control(Control::Close), &1000u16.to_be_bytes());
            // The server may have closed the socket already, which is fine.
            drop(conn.flush());
        }
        self.drop_conn(index);
        if was == Phase::Usable {
            self.usable -= 1;
            if !self.closing {
                *self.lost.entry(why).or_default() += 1;
            }
        } else {
            self.opening -= 1;
            *self.refused.entry(why).or_default() += 1;
        }
    }

    fn drop_conn(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        conn.phase = Phase::Gone;
        // The socket may be deregistered already if it failed.
        drop(self.poll.registry().deregister(conn.socket()));
        drop(conn.socket().shutdown(std::net::Shutdown::Both));
    }
}

const CLOSE_LIMIT: Duration = Duration::from_secs(2);
