//! The HTTP upgrade of a session, either side (RFC 6455 section 4).

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::burst::ReadBurst;
use super::coding::Coding;
use super::keepalive::Keepalive;
use super::reader::Reader;
use super::{Context, HalfClose, Incoming, Session, State, Step};
use crate::base::CloseReason;
use crate::http::head::Progress;
use crate::http::{Agreed, Answer, HEAD_LIMIT, Head, HttpResponse, Request, deflate};
use crate::wire::proxy_protocol::{self, is_proxy_protocol};

impl Session {
    /// Server: answers the request with 101.
    pub(crate) fn accept(
        &mut self,
        request: &Request,
        protocol: Option<&str>,
        headers: &[String],
        cx: &mut Context<'_>,
    ) {
        if matches!(self.state, State::AwaitDecision) {
            let wanted = cx.config.compression.map(|wanted| cx.pool.affordable(wanted));
            let agreed = wanted.and_then(|wanted| deflate::accept(&request.headers, wanted));
            let (agreed, extension) = agreed.unzip();
            let answer = request.accept(protocol, extension.as_deref(), headers);
            self.out.push_raw(answer.as_bytes(), cx.pool);
            self.open(agreed, cx);
        }
    }

    /// Server: answers the request with an error and ends.
    pub(crate) fn refuse(&mut self, refusal: &HttpResponse, cx: &mut Context<'_>) {
        if let State::AwaitRequest(head) = &self.state {
            self.wants_head_only = head.asks_for_head();
        }
        if matches!(self.state, State::AwaitRequest(_) | State::AwaitDecision) {
            let answer = if self.wants_head_only { refusal.encode_head() } else { refusal.encode() };
            self.out.push_raw(answer.as_bytes(), cx.pool);
            let outcome = CloseReason::Refused(format!("refused with {}: {}", refusal.status, refusal.text));
            self.drain(outcome, HalfClose::Wanted, cx);
        }
    }

    /// Server: the request waits for the game's decision, until the deadline at most.
    pub(crate) fn await_decision_until(&mut self, deadline: Option<Instant>) {
        if matches!(self.state, State::AwaitDecision) {
            self.deadline = deadline;
        }
    }

    /// Server: returns whether a request waits for `accept` or `refuse`.
    pub(crate) fn awaits_decision(&self) -> bool {
        matches!(self.state, State::AwaitDecision)
    }

    /// Leaves all bytes in the burst while the request waits for a decision, and notices the end of the stream.
    #[inline(never)]
    pub(super) fn watch<'b>(&mut self, burst: &mut ReadBurst<'b>) -> Step<'b> {
        match burst.fill() {
            Ok([]) => self.end(CloseReason::LeftEarly),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return self.failed(&error),
        }
        Step::Wait
    }

    #[inline(never)]
    pub(super) fn read_request<'b>(&mut self, burst: &mut ReadBurst<'b>, cx: &mut Context<'_>) -> Step<'b> {
        let State::AwaitRequest(head) = &mut self.state else { return Step::Wait };
        let progress = match collect(head, burst) {
            Ok(progress) => progress,
            // Health checks that only connect end like this.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && head.bytes().is_empty() => {
                self.end(CloseReason::NoRequest);
                return Step::Wait;
            }
            Err(error) => return self.failed(&error),
        };
        // Version 2 of the PROXY protocol begins like an empty head.
        let next = if head.bytes() == b"\r\n\r\n" { burst.bytes() } else { &[] };
        let refusal = match progress {
            _ if is_proxy_protocol(head.bytes()) || next.first() == Some(&0) => {
                HttpResponse::new(400, proxy_protocol::UNEXPECTED)
            }
            Progress::Partial | Progress::BadLine if head.is_not_http() => {
                HttpResponse::new(400, "this is not HTTP; TLS is not spoken on this port")
            }
            Progress::Partial => return Step::Wait,
            Progress::TooLarge => {
                HttpResponse::new(431, format!("the request head is larger than {} KiB", HEAD_LIMIT / 1024))
            }
            Progress::BadLine => HttpResponse::new(400, "the lines of a request head must end with CR LF"),
            Progress::Ended(0) => {
                self.end(CloseReason::NoRequest);
                return Step::Wait;
            }
            Progress::Ended(_) => HttpResponse::new(400, "the request head is incomplete"),
            Progress::Whole(len) => match Request::parse(&head.bytes()[..len]) {
                Ok(request) => {
                    self.wants_head_only = head.asks_for_head();
                    self.state = State::AwaitDecision;
                    return Step::Incoming(Incoming::Request(Box::new(request)));
                }
                Err(refusal) => refusal,
            },
        };
        self.refuse(&refusal, cx);
        Step::Again
    }

    #[inline(never)]
    pub(super) fn read_response<'b>(&mut self, burst: &mut ReadBurst<'b>, cx: &Context<'_>) -> Step<'b> {
        let State::AwaitResponse { offer, head, interim } = &mut self.state else { return Step::Wait };
        let progress = match collect(head, burst) {
            Ok(progress) => progress,
            Err(error) => return self.failed(&error),
        };
        let why = match progress {
            Progress::Partial | Progress::BadLine if head.is_not_http() => {
                "the server does not speak HTTP; it may want TLS (wss://)".to_owned()
            }
            Progress::Partial => return Step::Wait,
            Progress::TooLarge => {
                format!("the head of the server's response is larger than {} KiB", HEAD_LIMIT / 1024)
            }
            Progress::BadLine => "the server does not speak HTTP: a line does not end with CR LF".to_owned(),
            Progress::Ended(_) => "the server closed the connection during the handshake".to_owned(),
            Progress::Whole(len) => match offer.check(&head.bytes()[..len]) {
                Answer::Upgraded { protocol, deflate } => {
                    self.open(deflate, cx);
                    return Step::Incoming(Incoming::Opened { protocol });
                }
                Answer::Interim if *interim < INTERIM_LIMIT => {
                    *interim += 1;
                    *head = Head::default();
                    return Step::Again;
                }
                Answer::Interim => {
                    format!("the server sent more than {INTERIM_LIMIT} interim responses (1xx)")
                }
                Answer::Refused(refused) => {
                    let enough = cx.now + BODY_TIME;
                    self.deadline = Some(self.deadline.map_or(enough, |deadline| deadline.min(enough)));
                    self.gone = refused.gone;
                    self.state = State::Refused(refused);
                    return Step::Again;
                }
                Answer::Bad(why) => why,
            },
        };
        self.end(CloseReason::Refused(why));
        Step::Wait
    }

    /// Client: reads the body of a response that refuses the upgrade.
    #[inline(never)]
    pub(super) fn read_refusal<'b>(&mut self, burst: &mut ReadBurst<'b>) -> Step<'b> {
        let State::Refused(refused) = &mut self.state else { return Step::Wait };
        while !refused.is_whole() {
            let size = match burst.fill() {
                Ok([]) => break,
                Ok(bytes) => {
                    refused.take(bytes);
                    bytes.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(_) => break,
            };
            burst.pop(size);
        }
        let words = refused.words();
        self.end(CloseReason::Refused(words));
        Step::Wait
    }

    fn open(&mut self, agreed: Option<Agreed>, cx: &Context<'_>) {
        self.state = State::Open(match agreed {
            None => Reader::default(),
            Some(agreed) => Reader::inflating(agreed.receive_keeps),
        });
        self.coding = agreed.map(|agreed| Box::new(Coding::new(agreed, cx.pool)));
        self.keepalive = Keepalive::new(cx.now);
        self.deadline = None;
    }
}

/// Reads until the head is complete or faulty. The bytes after the head stay in the burst.
fn collect(head: &mut Head, burst: &mut ReadBurst<'_>) -> io::Result<Progress> {
    loop {
        let (progress, taken) = match burst.fill() {
            Ok(bytes) => head.take(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Partial),
            Err(error) => return Err(error),
        };
        burst.pop(taken);
        if progress != Progress::Partial {
            return Ok(progress);
        }
    }
}

/// How long a client waits for the body of a refusal, if the handshake has that much time left.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(1);
/// Interim responses that a client skips: each has a head of its own.
pub(crate) const INTERIM_LIMIT: usize = 16;
