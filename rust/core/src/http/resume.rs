//! How a client offers `resume` and `relay-list`, and comes back to its session: in a header line, or, from a page, which can set none, by the
//! names of subprotocols (docs/protocol.md).

use super::headers::Headers;
use super::query::Offers;
use super::response::HttpResponse;
use crate::base::{CloseFrame, CloseReason, LONGEST_REASON, ResumeToken, Side};

/// A client comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumption {
    pub(crate) token: ResumeToken,
    /// How many messages the client has received.
    pub(crate) received: u64,
    /// It is a page: it has said so by a subprotocol, one must be selected, and it does not see the status of a response.
    pub(crate) is_page: bool,
}

/// Why a client does not get its session back.
#[derive(Debug)]
pub(crate) enum Denied {
    /// It has ended.
    Ended(CloseReason),
    /// This server does not know it.
    Unknown,
    /// Any other response; the session may go on.
    Response(HttpResponse),
}

impl Resumption {
    /// Returns the header line of the request.
    pub(crate) fn line(&self) -> String {
        format!("{LINE}: {OFFER}; token={}; received={}", self.token.digits(), self.received)
    }
}

impl Denied {
    /// Returns the response to a client that reads it.
    pub(crate) fn response(&self) -> HttpResponse {
        match self {
            Self::Ended(_) => {
                HttpResponse::new(410, self.words()).with(&format!("Godot-Multiplayer: {ENDED}"))
            }
            Self::Unknown => {
                HttpResponse::new(410, self.words()).with(&format!("Godot-Multiplayer: {UNKNOWN}"))
            }
            Self::Response(response) => response.clone(),
        }
    }

    /// Returns the Close that tells the same to a page, behind 101; `None`: the page need not know it.
    pub(crate) fn close(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            // To a page that comes back, the code of a loss would say to try again.
            Self::Ended(CloseReason::Closed { by: Side::Local, code, reason })
                if !matches!(code, 1012 | 1014 | 3012) =>
            {
                (*code, reason.clone())
            }
            Self::Ended(_) => (GONE, format!("{ENDED}: {}", self.words())),
            Self::Unknown => (GONE, format!("{UNKNOWN}: {}", self.words())),
            Self::Response(_) => return None,
        };
        let reason = reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned();
        Some(CloseFrame { code, reason })
    }

    fn words(&self) -> String {
        match self {
            Self::Ended(CloseReason::Closed { code, reason, .. }) => {
                format!("the session has ended with code {code} {reason}")
            }
            Self::Ended(CloseReason::Refused(what)) => format!("the session has ended: {what}"),
            Self::Ended(reason) => format!("the session has ended: {reason}"),
            Self::Unknown => "this server does not know the session".to_owned(),
            Self::Response(response) => response.text.clone(),
        }
    }
}

/// Returns the header line of a client that offers these.
pub(crate) fn offer_line(resume: bool, lists: bool) -> Option<String> {
    let items: Vec<_> = [(resume, OFFER), (lists, OFFER_LISTS)]
        .into_iter()
        .filter_map(|(offered, item)| offered.then_some(item))
        .collect();
    (!items.is_empty()).then(|| format!("{LINE}: {}", items.join(", ")))
}

/// Reads the offer of a request, and takes the name with the token out of the subprotocols.
pub(super) fn read(
    headers: &Headers,
    protocols: &mut Vec<String>,
    offers: &mut Offers,
) -> Result<(), HttpResponse> {
    read_header(headers, offers)?;
    read_name(protocols, offers)
}

fn read_header(headers: &Headers, offers: &mut Offers) -> Result<(), HttpResponse> {
    offers.lists = item(headers, LISTS)?.is_some_and(|item| item.is_version_1);
    let Some(Item { is_version_1: true, token, received }) = item(headers, ITEM)? else { return Ok(()) };
    offers.resume = true;
    if let Some(token) = token {
        offers.resumption = Some(resumption(token, received, false)?);
    }
    Ok(())
}

/// An item of the header.
#[derive(Default)]
struct Item<'a> {
    is_version_1: bool,
    token: Option<&'a str>,
    received: Option<&'a str>,
}

/// Reads an item of the header, which may be there once.
fn item<'a>(headers: &'a Headers, name: &str) -> Result<Option<Item<'a>>, HttpResponse> {
    let mut items = headers.elements(HEADER).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        (parts.next() == Some(name)).then_some(parts)
    });
    let Some(parameters) = items.next() else { return Ok(None) };
    if items.next().is_some() {
        return Err(twice(name));
    }
    let mut item = Item::default();
    // A later version may have more of them.
    for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
        match name {
            "v" => item.is_version_1 = value == "1",
            "token" => item.token = Some(value),
            "received" => item.received = Some(value),
            _ => {}
        }
    }
    Ok(Some(item))
}

/// Reads the subprotocol with which a page comes back.
fn read_name(protocols: &mut Vec<String>, offers: &mut Offers) -> Result<(), HttpResponse> {
    let mut names = protocols.iter().filter_map(|name| name.strip_prefix(RETURN));
    let Some(name) = names.next() else { return Ok(()) };
    if names.next().is_some() || offers.resumption.is_some() {
        return Err(twice(ITEM));
    }
    let (token, received) = name.split_once('.').map_or((name, None), |(token, n)| (token, Some(n)));
    offers.resumption = Some(resumption(token, received, true)?);
    protocols.retain(|name| !has_token(name));
    Ok(())
}

fn resumption(token: &str, received: Option<&str>, is_page: bool) -> Result<Resumption, HttpResponse> {
    let bad = || HttpResponse::new(400, "token or received of the session is malformed");
    let token = ResumeToken::parse(token).ok_or_else(bad)?;
    let received = received.and_then(number).ok_or_else(bad)?;
    Ok(Resumption { token, received, is_page })
}

/// Returns whether this subprotocol is that of a page that comes back, with its token.
pub(super) fn has_token(protocol: &str) -> bool {
    protocol.starts_with(RETURN)
}

/// Returns the subprotocol that a page which comes back is answered with: that of its session in disguise. A server that does not
/// know sessions selects none of them, and the page does not take it for its own.
pub(crate) fn selected(protocol: &str) -> String {
    if protocol.is_empty() { NAME.to_owned() } else { format!("{NAME}+{protocol}") }
}

/// Returns whether a page can be answered with this subprotocol.
pub(crate) fn is_selectable(protocol: &str) -> bool {
    protocol.strip_prefix(NAME).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

fn twice(name: &str) -> HttpResponse {
    HttpResponse::new(400, format!("{name} is offered twice"))
}

/// Reads a decimal number without a sign and without leading zeros.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| canonical)
}

/// The name of the header, in lower case.
pub(super) const HEADER: &str = "godot-multiplayer";
const ITEM: &str = "resume";
const LISTS: &str = "relay-list";
/// The subprotocol of a page that comes back, and the beginning of the one that has its token.
const NAME: &str = "godot-resume.v1";
const RETURN: &str = "godot-resume.v1.";
/// The close code for a page whose session is gone, if the session had none.
const GONE: u16 = 4410;
/// The values of the header in a response that refuses to resume a session, and the first words of a Close with [`GONE`].
pub(super) const ENDED: &str = "ended";
pub(super) const UNKNOWN: &str = "unknown";
const LINE: &str = "Godot-Multiplayer";
/// The items of a client that offers them.
const OFFER: &str = "resume; v=1";
const OFFER_LISTS: &str = "relay-list; v=1";

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Result<Offers, u16> {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| line.split_once(": ").expect("a line"))
            .map(|(name, value)| httparse::Header { name, value: value.as_bytes() })
            .collect();
        let mut offers = Offers::default();
        let headers = Headers::new(&lines);
        let mut protocols: Vec<_> = headers.elements("sec-websocket-protocol").map(str::to_owned).collect();
        let result = read(&headers, &mut protocols, &mut offers);
        assert!(result.is_err() || protocols.iter().all(|name| !has_token(name)), "{protocols:?}");
        result.map(|()| offers).map_err(|response| response.status)
    }

    #[test]
    fn an_offer_is_read_and_unknown_things_are_ignored() {
        for (lines, resume, lists) in [
            (&["Godot-Multiplayer: resume; v=1"][..], true, false),
            (&["godot-multiplayer: resume;v=1;x=y;flag"], true, false),
            (&["Godot-Multiplayer: other; v=3, resume; v=1"], true, false),
            (&["Godot-Multiplayer: relay-list", "Godot-Multiplayer: resume; v=1"], true, false),
            (&["Godot-Multiplayer: relay-list;v=1", "Godot-Multiplayer: resume; v=1"], true, true),
            (&["Godot-Multiplayer: relay-list; x; y=z; v=1, resume; v=2"], false, true),
            (&["Godot-Multiplayer: relay-list; v=2"], false, false),
            (&["Godot-Multiplayer: relay-list; v=10, relay-lists; v=1"], false, false),
            (&["Godot-Multiplayer: resume; v=2"], false, false),
            (&["Godot-Multiplayer: resume"], false, false),
            (&["Godot-Multiplayer: resumes; v=1"], false, false),
            (&["X: resume; v=1"], false, false),
            (&[], false, false),
        ] {
            let offers = read_lines(lines).expect("no error");
            assert_eq!((offers.resume, offers.lists), (resume, lists), "{lines:?}");
            assert!(offers.resumption.is_none(), "{lines:?}");
        }
    }

    #[test]
    fn a_client_that_comes_back_says_what_it_has() {
        let sent = Resumption { token: ResumeToken::random(), received: 12, is_page: false };
        let read = read_lines(&[&sent.line()]).expect("valid").resumption.expect("it comes back");
        assert!(read.token.is(&sent.token) && read.received == 12 && !read.is_page);
        assert!(!format!("{read:?}").contains(&sent.token.digits()));
    }

    #[test]
    fn a_page_says_the_same_by_a_subprotocol() {
        let token = ResumeToken::random();
        let digits = token.digits();
        for names in [
            format!("godot-resume.v1, godot-resume.v1.{digits}.12"),
            format!("godot-resume.v1.{digits}.12, godot-resume.v1+a, godot-resume.v1+b"),
            format!("godot-resume.v1.{digits}.12"),
        ] {
            let read = read_lines(&[&format!("Sec-WebSocket-Protocol: {names}")]).expect("valid");
            let read = read.resumption.expect("it comes back");
            assert!(read.token.is(&token) && read.received == 12 && read.is_page, "{names}");
        }
        for names in ["godot-resume.v1", "godot-resume.v1+a", "godot-resume.v2.x.1", "godot-resume", "a.b.c"]
        {
            let read = read_lines(&[&format!("Sec-WebSocket-Protocol: {names}")]).expect("valid");
            assert!(read.resumption.is_none() && !read.resume, "{names}");
        }
    }

    #[test]
    fn the_subprotocol_of_the_session_is_selected_in_disguise() {
        assert_eq!(
            (selected("").as_str(), selected("a.b").as_str()),
            ("godot-resume.v1", "godot-resume.v1+a.b")
        );
        for (name, selectable) in [
            (selected(""), true),
            (selected("a"), true),
            (format!("godot-resume.v1.{}.1", ResumeToken::random().digits()), false),
            ("godot-resume.v11".into(), false),
            ("a".into(), false),
        ] {
            assert_eq!(is_selectable(&name), selectable, "{name}");
        }
    }

    #[test]
    fn a_page_is_told_by_a_close_what_others_read_in_a_status() {
        let closed = |by, reason: &str| CloseReason::Closed { by, code: 4001, reason: reason.into() };
        let told = |denied: Denied| denied.close().map(|frame| (frame.code, frame.reason));
        assert_eq!(told(Denied::Ended(closed(Side::Local, "kicked"))), Some((4001, "kicked".into())));
        for code in [1012, 1014, 3012] {
            let ended = CloseReason::Closed { by: Side::Local, code, reason: "out".into() };
            let words = format!("ended: the session has ended with code {code} out");
            assert_eq!(told(Denied::Ended(ended)), Some((4410, words)));
        }
        // How the connection was lost is no end that somebody has chosen.
        assert_eq!(
            told(Denied::Ended(closed(Side::Remote, "x"))),
            Some((4410, "ended: the session has ended with code 4001 x".into()))
        );
        assert_eq!(
            told(Denied::Ended(CloseReason::TransportError("ü".repeat(200))))
                .map(|(code, words)| (code, words.len())),
            Some((4410, 122))
        );
        let unknown = told(Denied::Unknown);
        assert_eq!(unknown, Some((4410, "unknown: this server does not know the session".into())));
        assert_eq!(told(Denied::Response(HttpResponse::new(429, ""))), None);
        assert_eq!(Denied::Unknown.response().status, 410);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let token = ResumeToken::random().digits();
        for (line, status) in [
            ("Godot-Multiplayer: resume; v=1, resume; v=1".to_owned(), 400),
            ("Godot-Multiplayer: relay-list; v=1, relay-list; v=2".to_owned(), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=-1"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=01"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=18446744073709551616"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token=x{token}; received=1"), 400),
        ] {
            assert_eq!(read_lines(&[&line]).err(), Some(status), "{line}");
        }
        for names in [
            format!("godot-resume.v1.{token}"),
            format!("godot-resume.v1.{token}."),
            format!("godot-resume.v1.{token}.1.2"),
            format!("godot-resume.v1.{token}.01"),
            format!("godot-resume.v1.x{token}.1"),
            "godot-resume.v1.".to_owned(),
            format!("godot-resume.v1.{token}.1, godot-resume.v1.{token}.1"),
        ] {
            assert_eq!(
                read_lines(&[&format!("Sec-WebSocket-Protocol: {names}")]).err(),
                Some(400),
                "{names}"
            );
        }
        let name = format!("Sec-WebSocket-Protocol: godot-resume.v1.{token}.1");
        let header = format!("Godot-Multiplayer: resume; v=1; token={token}; received=1");
        assert_eq!(read_lines(&[&header, &name]).err(), Some(400), "twice");
    }

    #[test]
    fn numbers_have_one_form() {
        for (digits, value) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(digits), Some(value));
        }
        for wrong in ["", "-1", "+1", "01", "00", "1.0", "0x1", "1e3", " 1", "18446744073709551616", "٣"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
