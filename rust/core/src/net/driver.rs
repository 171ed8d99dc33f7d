//! The I/O thread: waits for sockets, deadlines and commands, and runs the rounds of the hub.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod turns;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::checks::Check;
use super::dial::Dialler;
use super::listener::Listener;
use super::runtime::Runtime;
use super::sockets::{Dial, Sockets, Source, WAKER};
use crate::access::AccessPolicy;
use crate::base::CloseReason;
use crate::channel::{Counters, Mailbox, Wake};
use crate::config::{ClientConfig, ServerConfig};
use crate::http::Url;
use crate::hub::round::EVENTS;
use crate::hub::transports::Next;
use crate::hub::{Hub, Side, TURN};

pub(crate) struct Driver {
    events: Events,
    sockets: Sockets,
    hub: Hub,
    mailbox: Arc<Mailbox>,
    /// When the next round is due.
    next: Next,
    /// Tokens of the dialler that the poller has reported.
    dialled: Vec<Token>,
    /// Client: runs look-ups and certificate checks.
    runtime: Weak<Runtime>,
    /// Client: what it dials again when its connection is lost.
    again: Option<(Url, Vec<String>, Vec<String>)>,
}

impl Driver {
    /// Starts the thread of a server whose socket listens already. With `refuse`, new connections are rejected for now.
    pub(crate) fn serve(
        config: ServerConfig,
        refuse: bool,
        listener: Listener,
        runtime: &Runtime,
    ) -> io::Result<Arc<Mailbox>> {
        Self::server(config, refuse, listener, runtime)?.spawn("websocket-server", runtime)
    }

    fn server(config: ServerConfig, refuse: bool, listener: Listener, runtime: &Runtime) -> io::Result<Self> {
        let peer = config.peer.clone();
        let mut access = AccessPolicy::new(config);
        access.refusing = refuse;
        let mut driver = Self::new(peer, Side::Server(Box::new(access)), runtime, Instant::now())?;
        driver.sockets.listen(listener)?;
        Ok(driver)
    }

    /// Starts the thread of a client.
    pub(crate) fn connect(config: ClientConfig, runtime: &Arc<Runtime>) -> io::Result<Arc<Mailbox>> {
        let ClientConfig { url, peer, protocols, headers, tls } = config;
        let now = Instant::now();
        let deadline = now + peer.handshake_timeout;
        let peer_resumes = peer.resume_offered;
        let mut driver = Self::new(peer, Side::Client { url: url.clone(), tls }, runtime, now)?;
        let dialler =
            Dialler::start(&url, None, deadline, Sockets::first_dial(), runtime, &driver.mailbox, now)?;
        if peer_resumes {
            driver.again = Some((url, protocols.clone(), headers.clone()));
        }
        driver.sockets.dial(Dial { dialler, protocols, headers, started: now, least: Duration::ZERO });
        driver.runtime = Arc::downgrade(runtime);
        driver.spawn("websocket-client", runtime)
    }

    fn new(peer: crate::config::PeerConfig, side: Side, runtime: &Runtime, now: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let sockets = Sockets::new(poll, peer.conditions, runtime.unsent());
        let outgoing = &runtime.queue_totals.outgoing;
        let mailbox = Arc::new(Mailbox::new(Box::new(waker), Arc::new(Counters::default()), outgoing, now));
        let hub = Hub::new(peer, side, runtime.queue_totals.clone(), Arc::clone(&mailbox), TURN);
        Ok(Self {
            events: Events::with_capacity(EVENTS),
            sockets,
            hub,
            mailbox,
            next: Next::Again,
            dialled: Vec::new(),
            runtime: Weak::new(),
            again: None,
        })
    }

    fn spawn(mut self, name: &str, runtime: &Runtime) -> io::Result<Arc<Mailbox>> {
        let mailbox = Arc::clone(&self.mailbox);
        runtime.spawn(name, Some(Arc::downgrade(&mailbox)), move || {
            let mailbox = Arc::clone(&self.mailbox);
            let what = match panic::catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("the I/O thread failed: {error}"),
                Err(_) => "the I/O thread failed; this is a defect, please report it".to_owned(),
            };
            mailbox.deliver_failure(what.clone());
            log::error!("{what}");
        })?;
        Ok(mailbox)
    }

    fn run(&mut self) -> io::Result<()> {
        while self.next != Next::Finished {
            self.round()?;
        }
        Ok(())
    }

    /// Waits for readiness, a deadline or a command, and runs one round.
    fn round(&mut self) -> io::Result<()> {
        let mut timeout = self.timeout();
        if self.hub.held_until().is_some() {
            // The game is about to send more: it need not wake this thread for each packet.
            std::thread::sleep(NAP);
            timeout = Some(Duration::ZERO);
        } else if timeout.is_none_or(|timeout| !timeout.is_zero()) && !self.mailbox.may_sleep() {
            timeout = Some(Duration::ZERO);
        }
        match self.sockets.poll.poll(&mut self.events, timeout) {
            // The process may have been stopped: poll again, so that what came meanwhile is seen before any deadline expires.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        self.mailbox.awake();
        self.mailbox.counters.io_wakeups.add(1);
        let now = Instant::now();
        for event in &self.events {
            match Source::of(event.token()) {
                Source::Waker => {}
                Source::Listener => self.hub.listener_ready(),
                Source::Dial(token) => self.dialled.push(token),
                Source::Connection(slot) => self.sockets.event(slot, event, &mut self.hub, now),
            }
        }
        self.sockets.advance_emulated(&mut self.hub, now);
        self.sockets.advance_dial(&self.dialled, &mut self.hub, now)?;
        self.dialled.clear();
        let more_events = self.events.iter().count() == EVENTS;
        self.next = self.hub.round(&mut self.sockets, now, more_events);
        self.start_checks();
        self.dial_again(now);
        if self.next == Next::Finished {
            self.sockets.finish();
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        let Next::Sleep { until } = self.next else { return Some(Duration::ZERO) };
        let next = [until, self.sockets.wake_at(), self.hub.redial_at()].into_iter().flatten().min()?;
        let wait = next.saturating_duration_since(Instant::now());
        // The poller counts in milliseconds. Waking up late once is cheaper than waking up early twice.
        Some(if wait.is_zero() { wait } else { wait + Duration::from_millis(1) })
    }

    /// Client: dials again after the loss of its connection.
    fn dial_again(&mut self, now: Instant) {
        let Some((url, protocols, headers)) = &self.again else { return };
        let Some(deadline) = self.hub.take_dial(now) else { return };
        let Some(runtime) = self.runtime.upgrade() else { return };
        // A look-up for each attempt: the network may be another one now. Beside it, the last address: it may be the same one.
        let last = self.hub.server_address();
        let dialler =
            Dialler::start(url, last, deadline, Sockets::first_dial(), &runtime, &self.mailbox, now);
        match dialler {
            Ok(dialler) => {
                let (protocols, headers) = (protocols.clone(), headers.clone());
                self.sockets.dial(Dial { dialler, protocols, headers, started: now, least: deadline - now });
            }
            Err(error) => self.hub.dial_failed(CloseReason::TransportError(error.to_string()), now),
        }
        self.next = Next::Again;
    }

    /// Moves handshakes whose certificate has to be verified to their own threads: that may take seconds.
    fn start_checks(&mut self) {
        for (conn, session) in self.hub.checks.drain(..) {
            if let Some(runtime) = self.runtime.upgrade() {
                runtime.check(Check { conn, session, mailbox: Arc::downgrade(&self.mailbox) });
            }
        }
    }
}

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        Self::wake(self)
    }
}

/// How long the thread rests while packets wait for their copies: a game sends a hundred in this time.
const NAP: Duration = Duration::from_micros(200);
