//! The header line in which a client offers `resume`, and comes back to its session (docs/protocol.md).

use super::headers::Headers;
use super::query::Offers;
use super::response::HttpResponse;
use crate::base::ResumeToken;

/// A client comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumption {
    pub(crate) token: ResumeToken,
    /// How many messages the client has received.
    pub(crate) received: u64,
}

impl Resumption {
    /// Returns the header line of the request.
    pub(crate) fn line(&self) -> String {
        format!("{OFFER}; token={}; received={}", self.token.digits(), self.received)
    }
}

/// Reads the offer of a request.
pub(super) fn read(headers: &Headers, offers: &mut Offers) -> Result<(), HttpResponse> {
    let mut items = headers.elements(HEADER).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        (parts.next() == Some(ITEM)).then_some(parts)
    });
    let Some(parameters) = items.next() else { return Ok(()) };
    if items.next().is_some() {
        return Err(HttpResponse::new(400, "resume is offered twice"));
    }
    let (mut version, mut token, mut received) = (None, None, None);
    // A later version may have more of them.
    for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
        match name {
            "v" => version = Some(value),
            "token" => token = Some(value),
            "received" => received = Some(value),
            _ => {}
        }
    }
    if version != Some("1") {
        return Ok(());
    }
    offers.resume = true;
    let Some(token) = token else { return Ok(()) };
    let bad = || HttpResponse::new(400, "token or received of the session is malformed");
    let token = ResumeToken::parse(token).ok_or_else(bad)?;
    let received = received.and_then(number).ok_or_else(bad)?;
    if headers.all("early-data").any(|value| value == "1") {
        // RFC 8470: what came in early data can be a replay, and resuming is no safe request.
        return Err(HttpResponse::new(425, "a session is not resumed in early data"));
    }
    offers.resumption = Some(Resumption { token, received });
    Ok(())
}

/// Reads a decimal number without a sign and without leading zeros.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| canonical)
}

/// The response to a client whose session has ended; the text says how.
pub(crate) fn ended(text: impl Into<String>) -> HttpResponse {
    HttpResponse::new(410, text).with(&format!("Godot-Multiplayer: {ENDED}"))
}

/// The response to a client whose session is not known here.
pub(crate) fn unknown() -> HttpResponse {
    HttpResponse::new(410, "this server does not know the session")
        .with(&format!("Godot-Multiplayer: {UNKNOWN}"))
}

/// The name of the header, in lower case.
pub(super) const HEADER: &str = "godot-multiplayer";
const ITEM: &str = "resume";
/// The values of the header in a response that refuses to resume a session.
pub(super) const ENDED: &str = "ended";
pub(super) const UNKNOWN: &str = "unknown";
/// The header line of a client that offers `resume`.
pub(crate) const OFFER: &str = "Godot-Multiplayer: resume; v=1";

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
        read(&Headers::new(&lines), &mut offers).map(|()| offers).map_err(|response| response.status)
    }

    #[test]
    fn an_offer_is_read_and_unknown_things_are_ignored() {
        for (lines, resume) in [
            (&["Godot-Multiplayer: resume; v=1"][..], true),
            (&["godot-multiplayer: resume;v=1;x=y;flag"], true),
            (&["Godot-Multiplayer: other; v=3, resume; v=1"], true),
            (&["Godot-Multiplayer: relay-list", "Godot-Multiplayer: resume; v=1"], true),
            (&["Godot-Multiplayer: resume; v=2"], false),
            (&["Godot-Multiplayer: resume"], false),
            (&["Godot-Multiplayer: resumes; v=1"], false),
            (&["X: resume; v=1"], false),
            (&[], false),
        ] {
            let offers = read_lines(lines).expect("no error");
            assert_eq!((offers.resume, offers.resumption.is_some()), (resume, false), "{lines:?}");
        }
    }

    #[test]
    fn a_client_that_comes_back_says_what_it_has() {
        let sent = Resumption { token: ResumeToken::random(), received: 12 };
        let read = read_lines(&[&sent.line()]).expect("valid").resumption.expect("it comes back");
        assert!(read.token.is(&sent.token) && read.received == 12);
        assert!(!format!("{read:?}").contains(&sent.token.digits()));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let token = ResumeToken::random().digits();
        for (line, status) in [
            ("Godot-Multiplayer: resume; v=1, resume; v=1".to_owned(), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=-1"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=01"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token={token}; received=18446744073709551616"), 400),
            (format!("Godot-Multiplayer: resume; v=1; token=x{token}; received=1"), 400),
        ] {
            assert_eq!(read_lines(&[&line]).err(), Some(status), "{line}");
        }
        let line = format!("Godot-Multiplayer: resume; v=1; token={token}; received=1");
        assert_eq!(read_lines(&[&line, "Early-Data: 1"]).err(), Some(425));
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
