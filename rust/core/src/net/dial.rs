//! Name look-up and connection of a client: the look-up has a thread of its own, and the addresses are raced (RFC 8305). A client that comes
//! back to its server tries the last address at once: the look-up may hang on a network that is gone.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::listener::{Unsent, tune};
use super::runtime::Runtime;
use crate::base::{CloseReason, Phase};
use crate::channel::Mailbox;
use crate::http::Url;

/// Time after which the next address is tried as well (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers.
pub(crate) struct Dialler {
    host: String,
    zone: Option<String>,
    port: u16,
    /// Result of the look-up, left here by its thread.
    answer: Answer,
    /// The address of the server when it was connected last, which is tried without waiting for the look-up.
    last: Option<SocketAddr>,
    /// The name was looked up.
    is_found: bool,
    left: VecDeque<SocketAddr>,
    attempts: Vec<Attempt>,
    next_attempt: Instant,
    next_token: usize,
    deadline: Instant,
    problem: Option<String>,
    unsent: Unsent,
}

/// Result of a look-up.
type Answer = Arc<Mutex<Option<io::Result<Vec<SocketAddr>>>>>;

struct Attempt {
    token: Token,
    address: SocketAddr,
    stream: TcpStream,
}

/// Progress of dialling.
pub(crate) enum Dialled {
    Waiting,
    Connected(TcpStream, SocketAddr),
    Failed(CloseReason),
}

impl Dialler {
    /// Starts dialling. `last` is where the server was before. The sockets of the attempts get the tokens from `first_token` on.
    pub(crate) fn start(
        url: &Url,
        last: Option<SocketAddr>,
        deadline: Instant,
        first_token: usize,
        runtime: &Runtime,
        mailbox: &Arc<Mailbox>,
        now: Instant,
    ) -> io::Result<Self> {
        let literal: Option<Vec<IpAddr>> = match url.host.parse() {
            // The system resolves a zone to the number of an interface, without a query.
            Ok(_) if url.zone.is_some() => None,
            Ok(address) => Some(vec![address]),
            // RFC 6761 section 6.3: no look-up is needed, and some systems take seconds for one.
            Err(_) if url.host.eq_ignore_ascii_case("localhost") => {
                Some(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
            }
            Err(_) => None,
        };
        let is_found = literal.is_some();
        let left = match literal {
            Some(ips) => ips.into_iter().map(|ip| SocketAddr::new(ip, url.port)).collect(),
            None => last.into_iter().collect(),
        };
        let answer = Answer::default();
        if !is_found {
            let zone = url.zone.iter().flat_map(|zone| ["%", zone]);
            let host: String = std::iter::once(url.host.as_str()).chain(zone).collect();
            let (port, mailbox, slot) = (url.port, Arc::downgrade(mailbox), Arc::clone(&answer));
            let started = runtime.look_up(move || {
                let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                if let Some(mailbox) = mailbox.upgrade() {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                    mailbox.force_wake();
                }
            });
            match started {
                Err(error) if last.is_some() => {
                    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Err(error));
                }
                started => started?,
            }
        }
        Ok(Self {
            host: url.host.clone(),
            zone: url.zone.clone(),
            port: url.port,
            answer,
            last,
            is_found,
            left,
            attempts: Vec::new(),
            next_attempt: now,
            next_token: first_token,
            deadline,
            problem: None,
            unsent: runtime.unsent(),
        })
    }

    /// Applies the result of the look-up.
    fn resolved(&mut self, answer: io::Result<Vec<SocketAddr>>) {
        self.is_found = true;
        match answer {
            Ok(addresses) => {
                self.left
                    .extend(interleave(&addresses).into_iter().filter(|found| Some(*found) != self.last));
            }
            Err(error) => {
                self.problem = Some(match &self.zone {
                    None => format!("cannot find the host {:?}: {error}", self.host),
                    Some(zone) => {
                        format!(
                            "{} has the zone {zone:?}, which is not a network interface of this machine: {error}",
                            self.host
                        )
                    }
                });
            }
        }
    }

    /// Checks the attempts whose sockets are `ready`, and starts the next attempt when its time has come.
    pub(crate) fn advance(&mut self, ready: &[Token], registry: &Registry, now: Instant) -> Dialled {
        if !self.is_found {
            let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(answer) = answer {
                self.resolved(answer);
            }
        }
        for token in ready {
            let Some(index) = self.attempts.iter().position(|attempt| attempt.token == *token) else {
                continue;
            };
            match is_connected(&self.attempts[index].stream) {
                Ok(false) => {}
                Ok(true) => {
                    let mut attempt = self.attempts.swap_remove(index);
                    if let Err(error) = registry.deregister(&mut attempt.stream) {
                        return Dialled::Failed(CloseReason::TransportError(format!(
                            "cannot use the connection: {error}"
                        )));
                    }
                    tune(&attempt.stream, self.unsent);
                    return Dialled::Connected(attempt.stream, attempt.address);
                }
                Err(error) => {
                    let attempt = self.attempts.swap_remove(index);
                    self.failed(attempt.address, &error, now);
                }
            }
        }
        if now >= self.deadline {
            let what = if !self.is_found { "the host name was not found in time" } else { "no answer" };
            log::debug!("{} port {}: {what}", self.host, self.port);
            return Dialled::Failed(CloseReason::TimedOut(Phase::Handshake));
        }
        while now >= self.next_attempt {
            let Some(address) = self.left.pop_front() else { break };
            match self.attempt(address, registry) {
                Ok(()) => self.next_attempt = now + ATTEMPT_DELAY,
                Err(error) => self.failed(address, &error, now),
            }
        }
        if self.attempts.is_empty() && self.left.is_empty() && self.is_found {
            let problem =
                self.problem.take().unwrap_or_else(|| format!("the host {:?} has no address", self.host));
            return Dialled::Failed(CloseReason::TransportError(problem));
        }
        Dialled::Waiting
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Returns when `advance` has to be called at the latest.
    pub(crate) fn wake_at(&self) -> Instant {
        if self.left.is_empty() { self.deadline } else { self.next_attempt.min(self.deadline) }
    }

    fn attempt(&mut self, address: SocketAddr, registry: &Registry) -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let token = Token(self.next_token);
        self.next_token += 1;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.attempts.push(Attempt { token, address, stream });
        Ok(())
    }

    fn failed(&mut self, address: SocketAddr, error: &io::Error, now: Instant) {
        self.problem = Some(match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {address}"),
            _ => format!("cannot connect to {address}: {error}"),
        });
        // The next address need not wait.
        self.next_attempt = now;
    }
}

fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Alternates IPv6 and IPv4, in the resolver's order, so that a broken address family costs one delay (RFC 8305 section 4).
fn interleave(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.iter().copied().partition(|address: &SocketAddr| address.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::with_capacity(addresses.len());
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop_front());
        mixed.extend(second.pop_front());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use mio::{Events, Poll};

    use super::*;
    use crate::channel::{NeverAsleep, QueueTotal};

    /// Dials a name that the system does not know, for a client whose server was at `last`; the answer of the look-up is `answer`.
    fn dial(
        last: SocketAddr,
        answer: Option<io::Result<Vec<SocketAddr>>>,
    ) -> Result<SocketAddr, CloseReason> {
        let (runtime, total, start) = (Runtime::new(), Arc::new(QueueTotal::new(1)), Instant::now());
        let mailbox = Arc::new(Mailbox::new(Box::new(NeverAsleep), Arc::default(), &total, start));
        let url = Url::parse("ws://game.invalid").expect("valid");
        let deadline = start + Duration::from_secs(20);
        let mut dialler = Dialler::start(&url, Some(last), deadline, 7, &runtime, &mailbox, start)
            .expect("a look-up is started");
        dialler.answer = Arc::new(Mutex::new(answer));
        let mut poll = Poll::new().expect("a poller");
        let (mut events, mut ready) = (Events::with_capacity(8), Vec::new());
        loop {
            match dialler.advance(&ready, poll.registry(), Instant::now()) {
                Dialled::Waiting => {}
                Dialled::Connected(_, address) => return Ok(address),
                Dialled::Failed(reason) => return Err(reason),
            }
            let wait = dialler.wake_at().saturating_duration_since(Instant::now());
            poll.poll(&mut events, Some(wait)).expect("sockets are polled");
            ready = events.iter().map(|event| event.token()).collect();
        }
    }

    #[test]
    fn the_last_address_is_tried_beside_the_look_up() {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (one, two, gone) = (listen(), listen(), listen());
        let [one, two, gone_at] = [&one, &two, &gone].map(|listener| listener.local_addr().expect("bound"));
        drop(gone);
        // The look-up hangs, or fails, or finds another address as well.
        assert_eq!(dial(one, None), Ok(one));
        assert_eq!(dial(one, Some(Err(io::Error::other("no network")))), Ok(one));
        assert_eq!(dial(one, Some(Ok(vec![two, one]))), Ok(one));
        // The server has moved.
        assert_eq!(dial(gone_at, Some(Ok(vec![gone_at, two]))), Ok(two));
        let nowhere = dial(gone_at, Some(Ok(vec![gone_at]))).expect_err("nobody listens").to_string();
        assert!(nowhere.contains("refused"), "{nowhere}");
    }

    #[test]
    fn a_look_up_that_cannot_be_started_does_not_keep_a_client_from_its_last_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let last = listener.local_addr().expect("bound");
        let (runtime, total, now) = (Runtime::new(), Arc::new(QueueTotal::new(1)), Instant::now());
        let mailbox = Arc::new(Mailbox::new(Box::new(NeverAsleep), Arc::default(), &total, now));
        let url = Url::parse("ws://game.invalid").expect("valid");
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let stuck = || {
            let wait = Arc::clone(&wait);
            runtime.look_up(move || drop(wait.lock().map(|wait| wait.recv())))
        };
        while stuck().is_ok() {}
        let start = |last| Dialler::start(&url, last, now, 7, &runtime, &mailbox, now);
        assert!(start(None).is_err() && start(Some(last)).is_ok());
        drop(end);
    }

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let given: Vec<_> = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(parse).into();
        let mixed: Vec<_> = interleave(&given).into();
        assert_eq!(mixed, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(parse));
    }
}
