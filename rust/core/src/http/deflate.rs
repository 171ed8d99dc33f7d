//! The negotiation of permessage-deflate, either side (RFC 7692 sections 5 and 7.1).

use super::headers::Headers;
use super::token::{divided, is_token};

/// How the messages of a connection are compressed (permessage-deflate, RFC 7692).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Each message by itself, so that no memory is kept for a peer, and one compression serves all receivers of a broadcast.
    Shared,
    /// Each message with those before it, which makes small similar messages much smaller, and keeps memory for each peer.
    Dedicated,
}

/// What the ends of a connection have agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Agreed {
    pub(crate) send: Sending,
    /// What is received may refer to earlier messages.
    pub(crate) receive_keeps: bool,
}

/// The same for what this end sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sending {
    /// The largest window as bits, 8 to 15.
    pub(crate) window: u8,
    /// What is sent may refer to earlier messages.
    pub(crate) keeps: bool,
}

/// The parameters of an offer or an answer.
#[derive(Debug, Default)]
struct Params {
    server_keeps_nothing: bool,
    client_keeps_nothing: bool,
    server_window: Option<u8>,
    /// An offer may have this one without a value.
    client_window: Option<Option<u8>>,
}

/// Server: takes the first offer that is legal, and returns what is agreed and the element of the answer; `None`: messages stay as they
/// are. An offer that is not legal is declined, like one of an unknown extension.
pub(crate) fn accept(headers: &Headers, wanted: Compression) -> Option<(Agreed, String)> {
    let elements = headers.all(HEADER).flat_map(|line| divided(line, ',')).take(ELEMENTS);
    let offered = elements.filter_map(|element| Params::read(element, Side::Offer)).find_map(Result::ok)?;
    let shares = wanted == Compression::Shared;
    let mut answer = NAME.to_owned();
    // Each may be in an answer also if it was not offered (sections 7.1.1.1 and 7.1.1.2).
    let server_keeps_nothing = shares || offered.server_keeps_nothing;
    if server_keeps_nothing {
        answer.push_str("; server_no_context_takeover");
    }
    let client_keeps_nothing = shares || offered.client_keeps_nothing;
    if client_keeps_nothing {
        answer.push_str("; client_no_context_takeover");
    }
    if let Some(window) = offered.server_window {
        answer.push_str(&format!("; server_max_window_bits={window}"));
    }
    let send = Sending { window: offered.server_window.unwrap_or(LARGEST), keeps: !server_keeps_nothing };
    Some((Agreed { send, receive_keeps: !client_keeps_nothing }, answer))
}

/// Client: returns the offers. A server that cannot keep nothing takes the second one.
pub(crate) fn offer(wanted: Compression) -> &'static str {
    match wanted {
        Compression::Shared => {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits, \
             permessage-deflate; client_max_window_bits"
        }
        Compression::Dedicated => "permessage-deflate; client_max_window_bits",
    }
}

/// Client: returns what is agreed; `None`: messages stay as they are. `wanted` was offered, or nothing.
///
/// # Errors
/// Says which part of the answer was not offered, or is not legal.
pub(super) fn check(headers: &Headers, wanted: Option<Compression>) -> Result<Option<Agreed>, String> {
    let elements: Vec<_> = headers.all(HEADER).flat_map(|line| divided(line, ',')).collect();
    let (Some(wanted), Some(element)) = (wanted, elements.first()) else {
        return match elements.as_slice() {
            [] => Ok(None),
            some => Err(format!(
                "the server chose an extension that was not offered: {}",
                super::offer::shown(some)
            )),
        };
    };
    let Some(answer) = Params::read(element, Side::Answer) else {
        return Err(format!(
            "the server chose an extension that was not offered: {}",
            super::offer::shown(&elements)
        ));
    };
    let shown = || super::offer::shown(&elements);
    let answer =
        answer.map_err(|why| format!("the server's answer to permessage-deflate {why}: {}", shown()))?;
    if elements.len() > 1 {
        return Err(format!("the server chose more than one extension: {}", shown()));
    }
    let send = Sending {
        window: answer.client_window.flatten().unwrap_or(LARGEST),
        keeps: wanted == Compression::Dedicated && !answer.client_keeps_nothing,
    };
    Ok(Some(Agreed { send, receive_keeps: !answer.server_keeps_nothing }))
}

/// Where parameters stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Offer,
    Answer,
}

impl Params {
    /// Reads an element of the header; `None`: it is another extension.
    fn read(element: &str, side: Side) -> Option<Result<Self, &'static str>> {
        let mut parts = divided(element, ';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut params = Self::default();
        for part in parts {
            if let Err(why) = params.add(part, side) {
                return Some(Err(why));
            }
        }
        Some(Ok(params))
    }

    fn add(&mut self, part: &str, side: Side) -> Result<(), &'static str> {
        let (name, value) = match part.split_once('=') {
            None => (part, None),
            Some((name, value)) => (name.trim_end(), Some(token(value.trim_start()).ok_or(NO_TOKEN)?)),
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let window = || value.as_deref().map(window).transpose();
        if is("server_no_context_takeover") || is("client_no_context_takeover") {
            let keeps_nothing = if is("server_no_context_takeover") {
                &mut self.server_keeps_nothing
            } else {
                &mut self.client_keeps_nothing
            };
            match (value, std::mem::replace(keeps_nothing, true)) {
                (Some(_), _) => Err("has a value where none may be"),
                (None, true) => Err(TWICE),
                (None, false) => Ok(()),
            }
        } else if is("server_max_window_bits") {
            let window = window()?.ok_or(NO_VALUE)?;
            self.server_window.replace(window).map_or(Ok(()), |_| Err(TWICE))
        } else if is("client_max_window_bits") {
            let window = window()?;
            if window.is_none() && side == Side::Answer {
                return Err(NO_VALUE);
            }
            self.client_window.replace(window).map_or(Ok(()), |_| Err(TWICE))
        } else {
            Err("has a parameter that was not offered")
        }
    }
}

/// Returns a value without its quotes; `None`: it is no token.
fn token(value: &str) -> Option<String> {
    let text = match value.strip_prefix('"') {
        None => value.to_owned(),
        Some(quoted) => {
            let mut text = String::new();
            let mut escaped = false;
            for char in quoted.strip_suffix('"')?.chars() {
                escaped = !escaped && char == '\\';
                if !escaped {
                    text.push(char);
                }
            }
            text
        }
    };
    Some(text).filter(|text| is_token(text))
}

/// Reads the bits of a window (section 7.1.2): no zeros in front.
fn window(value: &str) -> Result<u8, &'static str> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err("has a window that is not 8 to 15"),
    }
}

const HEADER: &str = "sec-websocket-extensions";
const NAME: &str = "permessage-deflate";
const LARGEST: u8 = 15;
/// So many elements of a request are looked at.
const ELEMENTS: usize = 16;
const NO_TOKEN: &str = "has a value that is no token";
const NO_VALUE: &str = "has a parameter without its value";
const TWICE: &str = "has a parameter twice";

#[cfg(test)]
mod tests;
