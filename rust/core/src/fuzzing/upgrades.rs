//! The HTTP upgrade on both sides: the result does not depend on the cuts, only valid requests are accepted, and no control characters of a
//! remote appear in a response or a log line.

use tungstenite::handshake::derive_accept_key;

use super::scripted::{Cuts, Line, ScriptedHub};
use crate::base::CloseReason;
use crate::channel::Notice;
use crate::config::Mode;
use crate::http::{HEAD_LIMIT, is_token};

/// A request that is accepted.
pub(super) const REQUEST: &[u8] =
    b"GET /game HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A placeholder, of the same length, for the right `Sec-WebSocket-Accept`, which is not known before.
const ACCEPT: &[u8] = b"@@@@@@@@@@@@ACCEPT@@@@@@@@@@";

/// A complete response that accepts a client.
pub(super) fn answer_to(request: &[u8]) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(request)
    )
    .into_bytes()
}

/// A request. The first byte selects whether the server has subprotocols; two bytes follow with the seed of the cuts.
pub fn request(data: &[u8]) {
    let [options, low, high, bytes @ ..] = data else { return };
    let known: &[&str] = if options & 1 == 0 { &[] } else { &["chat", "game"] };
    let cuts = Cuts::new(u16::from_le_bytes([*low, *high]));
    let whole = ask(bytes, known, Cuts::WHOLE, Cuts::WHOLE);
    let pieces = ask(bytes, known, cuts.clone(), cuts);
    // Bytes that cannot be HTTP are refused before the head is complete, with another text.
    if bytes.first().is_none_or(u8::is_ascii_graphic) {
        assert_eq!(whole, pieces, "the verdict depends on the cuts");
    }
    if let Asked::LetIn { target, headers, protocol } = whole {
        let mut again = format!("GET {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &headers {
            again.extend(format!("{name}: {value}\r\n").bytes());
        }
        again.extend(b"\r\n");
        // Invalid UTF-8 becomes longer.
        if again.len() <= HEAD_LIMIT {
            let same = Asked::LetIn { target, headers, protocol };
            assert_eq!(ask(&again, known, Cuts::WHOLE, Cuts::WHOLE), same, "read, written and read again");
        }
    }
}

/// A response to a client's request.
pub fn response(data: &[u8]) {
    let [options, low, high, bytes @ ..] = data else { return };
    let offered: &[&str] = if options & 1 == 0 { &[] } else { &["chat", "game"] };
    let whole = answer(bytes, offered, Cuts::WHOLE);
    let pieces = answer(bytes, offered, Cuts::new(u16::from_le_bytes([*low, *high])));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole, pieces);
            assert_eq!(whole.is_empty(), offered.is_empty(), "one of those that were offered");
            assert!(whole.is_empty() || offered.contains(&whole.as_str()));
        }
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("the verdict depends on the cuts: {whole:?}, {pieces:?}"),
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Asked {
    LetIn {
        target: String,
        headers: Vec<(String, String)>,
        protocol: String,
    },
    Refused(u16),
    /// The head was incomplete, and nothing was answered.
    Nothing,
}

fn ask(bytes: &[u8], known: &[&str], reading: Cuts, writing: Cuts) -> Asked {
    let mut hub = ScriptedHub::server(Mode::Raw, known);
    let conn = hub.accept(Line::new(bytes.to_vec(), reading, writing));
    hub.finish();
    let output = std::mem::take(&mut hub.line(conn).output);
    let shared = hub.notices.iter().find_map(|notice| match notice {
        Notice::Connected { shared, .. } => Some(shared),
        _ => None,
    });
    let mut lines = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Response::new(&mut lines);
    let answer = parsed.parse(&output).expect("our answer is HTTP");
    let header = |wanted: &str| {
        let mut found = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(wanted));
        let first =
            found.next().map(|header| std::str::from_utf8(header.value).expect("our headers are text"));
        assert!(found.next().is_none(), "{wanted} twice");
        first
    };
    let Some(shared) = shared else {
        assert!(hub.notices.is_empty(), "the game hears nothing of those who do not get in");
        let httparse::Status::Complete(len) = answer else {
            assert!(output.is_empty(), "an answer is whole");
            return Asked::Nothing;
        };
        let status = parsed.code.expect("a status");
        assert!(matches!(status, 400 | 405 | 408 | 426 | 431 | 503 | 505), "{status}");
        let body = header("content-length").expect("a length").parse::<usize>().expect("a number");
        assert_eq!(output.len(), len + body, "the whole body and nothing behind it");
        assert_eq!(header("connection"), Some("close"));
        return Asked::Refused(status);
    };
    // A client that ends its side at once need not get a response.
    if answer.is_complete() {
        assert_eq!(parsed.code, Some(101));
        assert_eq!(header("sec-websocket-accept"), Some(accept_key(bytes).as_str()));
        assert_eq!(header("sec-websocket-protocol").unwrap_or_default(), shared.info.protocol);
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes, |at| &bytes[..at + 4]);
    let ends = |byte: u8| head.iter().filter(|known| **known == byte).count();
    assert!(ends(b'\r') == ends(b'\n') && !head.contains(&0), "lines end with CR LF and hold no NUL");
    let info = &shared.info;
    assert!(info.target.starts_with('/') && !info.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    for (name, value) in &info.headers {
        assert!(is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(!value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f), "{value:?}");
    }
    assert!(if known.is_empty() {
        info.protocol.is_empty()
    } else {
        known.contains(&info.protocol.as_str())
    });
    let count = |wanted: &str| info.headers.iter().filter(|(name, _)| name == wanted).count();
    for once in ["host", "sec-websocket-key", "sec-websocket-version"] {
        assert_eq!(count(once), 1, "{once}");
    }
    assert_eq!(count("transfer-encoding"), 0);
    for (_, length) in info.headers.iter().filter(|(name, _)| name == "content-length") {
        assert!(!length.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0'), "a body: {length}");
    }
    Asked::LetIn {
        target: info.target.clone(),
        headers: info.headers.to_vec(),
        protocol: info.protocol.clone(),
    }
}

/// Returns the subprotocol, or why the client is not connected.
fn answer(bytes: &[u8], offered: &[&str], reading: Cuts) -> Result<String, String> {
    let offered: Vec<_> = offered.iter().map(|name| (*name).to_owned()).collect();
    let mut hub = ScriptedHub::client(Mode::Raw);
    let mut line = Line::new(Vec::new(), Cuts::WHOLE, Cuts::WHOLE);
    line.ends = false;
    let conn = hub.dial(&offered, line);
    hub.run();
    let mut line = hub.line(conn);
    let accept = accept_key(&line.output);
    let mut input = bytes.to_vec();
    if let Some(at) = input.windows(ACCEPT.len()).position(|window| window == ACCEPT) {
        input[at..at + ACCEPT.len()].copy_from_slice(accept.as_bytes());
    }
    line.input = input;
    line.reading = reading;
    drop(line);
    hub.finish();
    match hub.notices.first().expect("the game gets a notice in any case") {
        Notice::Connected { shared, .. } => Ok(shared.info.protocol.clone()),
        Notice::Failed(reason) => {
            let why = reason.to_string();
            assert!(!why.chars().any(char::is_control) && why.len() < 3000, "{why:?}");
            assert!(matches!(reason, CloseReason::Refused(_) | CloseReason::TransportError(_)), "{reason:?}");
            Err(why)
        }
        other => panic!("{other:?}"),
    }
}

/// Returns the answer to the last key in a head.
fn accept_key(head: &[u8]) -> String {
    let end = head.windows(4).position(|window| window == b"\r\n\r\n").map_or(head.len(), |at| at + 2);
    let key = head[..end].split(|byte| *byte == b'\n').find_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        line[..at].eq_ignore_ascii_case(b"sec-websocket-key").then(|| line[at + 1..].trim_ascii())
    });
    derive_accept_key(key.unwrap_or_default())
}
