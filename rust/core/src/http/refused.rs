//! The response of a server that refuses an upgrade, in one line for the game: the status, where it redirects to, and the beginning
//! of the body.

use std::fmt::Write as _;

use super::body::{Body, Framing};
use super::headers::Headers;
use super::resume;
use super::text::{self, Kind};

/// A final response other than 101.
#[derive(Debug)]
pub(crate) struct Refused {
    status: u16,
    phrase: String,
    /// `None`: the response has no body, or no readable one.
    body: Option<Body>,
    kind: Kind,
    latin1: bool,
    location: Option<String>,
    /// Seconds of `Retry-After`.
    retry_after: Option<u32>,
    /// What the server says of a session that the client wanted back.
    pub(crate) gone: Option<Gone>,
}

/// Why a session cannot be resumed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gone {
    /// It has ended.
    Ended,
    /// The server does not know it: the server is another one, or was started again.
    Unknown,
}

impl Refused {
    /// Reads a complete head; `headers` are its header lines.
    pub(super) fn new(status: u16, head: &[u8], headers: &Headers) -> Self {
        let (kind, latin1) = text::kind(headers.first("content-type"));
        let is_plain =
            headers.first("content-encoding").is_none_or(|how| how.eq_ignore_ascii_case("identity"));
        let location = headers.first("location").filter(|_| (300..400).contains(&status));
        let has_body =
            !matches!(status, 200..300 | 304) && location.is_none() && is_plain && kind != Kind::Binary;
        let framing = Framing::of(headers.first("transfer-encoding"), headers.first("content-length"));
        Self {
            status,
            phrase: text::tidy(&phrase(head), LONGEST_PHRASE),
            body: framing.filter(|_| has_body).map(Body::new),
            kind,
            latin1,
            location: location.map(|target| text::tidy(target, LONGEST_LOCATION)),
            retry_after: headers.first("retry-after").and_then(|seconds| seconds.parse().ok()),
            gone: match (status, headers.first(resume::HEADER)) {
                (410, Some(resume::ENDED)) => Some(Gone::Ended),
                (410, Some(resume::UNKNOWN)) => Some(Gone::Unknown),
                _ => None,
            },
        }
    }

    /// Returns whether no more bytes of the body are needed.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_whole)
    }

    /// Takes bytes that follow the head.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if let Some(body) = &mut self.body {
            body.take(bytes);
        }
    }

    /// Returns the line for the game.
    pub(crate) fn words(&self) -> String {
        let said = self.body.as_ref().map(|body| text::readable(body.bytes(), self.kind, self.latin1));
        let said = text::tidy(&said.unwrap_or_default(), LONGEST_SAID);
        // Some servers repeat the reason phrase in the body.
        let repeated = self.phrase.strip_suffix('…').is_some_and(|begin| said.starts_with(begin));
        let phrase = if repeated { "" } else { &self.phrase };
        let mut words = format!("server answered {} {phrase}", self.status).trim_end().to_owned();
        if let Some(location) = &self.location {
            // Writing to a string cannot fail.
            let _ = write!(words, " and redirects to {location}; redirects are not followed, connect to ");
            words.push_str(&web_socket(location));
            return words;
        }
        if (200..300).contains(&self.status) {
            words.push_str(" and no upgrade: this path does not serve WebSockets");
            return words;
        }
        let said = self.without_status(&said);
        if !said.is_empty() {
            let _ = write!(words, ": {said}");
        }
        if let Some(seconds) = self.retry_after {
            let _ = write!(words, "; try again in {seconds} s");
        }
        words
    }

    /// Removes the status and its phrase from the beginning: many pages repeat them there.
    fn without_status<'a>(&self, said: &'a str) -> &'a str {
        let mut rest = said;
        for known in [self.status.to_string().as_str(), self.phrase.as_str()] {
            if !known.is_empty()
                && let Some((first, behind)) = rest.split_at_checked(known.len())
                // In lower case the phrase may begin a sentence.
                && (first == known || behind.is_empty() && first.eq_ignore_ascii_case(known))
                && !behind.starts_with(char::is_alphanumeric)
            {
                rest = behind.trim_start_matches(|char: char| char.is_whitespace() || ".:-".contains(char));
            }
        }
        rest
    }
}

/// Returns the reason phrase in any language: the parser leaves out a phrase that is not ASCII.
fn phrase(head: &[u8]) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let phrase = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    text::decode(phrase, false)
}

/// Returns the URL to connect to for a `https://` or `http://` URL, as redirects name them.
fn web_socket(location: &str) -> String {
    for (page, socket) in [("https://", "wss://"), ("http://", "ws://")] {
        if let Some((scheme, rest)) = location.split_at_checked(page.len())
            && scheme.eq_ignore_ascii_case(page)
        {
            return format!("{socket}{rest}");
        }
    }
    "it".to_owned()
}

/// Characters of a body that the game reads; the reason of a `request_handler` fits.
pub(crate) const LONGEST_SAID: usize = 500;
const LONGEST_PHRASE: usize = 80;
const LONGEST_LOCATION: usize = 200;
