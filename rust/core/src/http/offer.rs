//! The client's side of an upgrade: the request, and what the response must hold (RFC 6455 section 4.1).

use httparse::Status as Parsed;

use super::accept_key::{derive_accept_key, generate_key};
use super::deflate::{self, Agreed, Compression};
use super::head::HEADERS_LIMIT;
use super::headers::Headers;
use super::refused::Refused;
use super::text::{self, named};
use super::url::Url;

/// The meaning of a response.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The connection is open, with a subprotocol or none (empty).
    Upgraded {
        protocol: String,
        /// Messages may be compressed.
        deflate: Option<Agreed>,
    },
    /// An interim response; the final one follows (RFC 9110 section 15.2).
    Interim,
    /// The server refused the upgrade.
    Refused(Box<Refused>),
    /// The response is not valid, for this reason.
    Bad(String),
}

/// The request of a client, and what the response must hold.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    request: String,
    accept: String,
    protocols: Vec<String>,
    compression: Option<Compression>,
}

impl Offer {
    /// Writes the request. `headers` are checked lines.
    pub(crate) fn new(
        url: &Url,
        protocols: &[String],
        compression: Option<Compression>,
        headers: &[String],
    ) -> Self {
        let key = generate_key();
        let given = |name: &str| {
            headers
                .iter()
                .any(|line| line.split(':').next().is_some_and(|known| known.eq_ignore_ascii_case(name)))
        };
        let mut request = format!("GET {} HTTP/1.1\r\n", url.target);
        if !given("host") {
            request.push_str(&format!("Host: {}\r\n", url.host_header()));
        }
        if !given("user-agent") {
            request.push_str(&format!("User-Agent: {USER_AGENT}\r\n"));
        }
        request.push_str(&format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        ));
        if !protocols.is_empty() {
            request.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(",")));
        }
        if let Some(compression) = compression {
            request.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", deflate::offer(compression)));
        }
        if let Some(authorization) = url.authorization.as_ref().filter(|_| !given("authorization")) {
            request.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        for line in headers {
            request.push_str(line);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self { request, accept: derive_accept_key(&key), protocols: protocols.to_vec(), compression }
    }

    /// Returns the bytes of the request.
    pub(crate) fn request(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Reads the complete head of a response.
    pub(crate) fn check(&self, head: &[u8]) -> Answer {
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
        let mut parsed = httparse::Response::new(&mut lines);
        match parsed.parse(head) {
            Ok(Parsed::Complete(_)) => {}
            Ok(Parsed::Partial) => return Answer::Bad("the server's response is incomplete".into()),
            Err(httparse::Error::TooManyHeaders) => {
                return Answer::Bad(format!(
                    "the server's response has more than {HEADERS_LIMIT} header lines"
                ));
            }
            Err(error) => return Answer::Bad(format!("the server does not speak HTTP: {error}")),
        }
        let headers = Headers::new(parsed.headers);
        match parsed.code.unwrap_or_default() {
            101 => match self.check_upgrade(&headers, parsed.version == Some(1)) {
                Ok((protocol, deflate)) => Answer::Upgraded { protocol, deflate },
                Err(why) => Answer::Bad(why),
            },
            100..200 => Answer::Interim,
            status => Answer::Refused(Box::new(Refused::new(status, head, &headers))),
        }
    }

    /// Returns what the server chose, or why the response is no upgrade.
    fn check_upgrade(&self, headers: &Headers, is_1_1: bool) -> Result<(String, Option<Agreed>), String> {
        if !is_1_1 {
            return Err("the server's response is not HTTP/1.1".into());
        }
        if !headers.has_element("upgrade", "websocket") || !headers.has_element("connection", "upgrade") {
            return Err("the server's response does not upgrade to WebSocket".into());
        }
        let mut accepts = headers.all("sec-websocket-accept");
        match (accepts.next(), accepts.next()) {
            (Some(accept), None) if accept == self.accept => {}
            _ => return Err("the server's Sec-WebSocket-Accept does not match".into()),
        }
        let deflate = deflate::check(headers, self.compression)?;
        let chosen: Vec<_> = headers.elements("sec-websocket-protocol").collect();
        let protocol = match (chosen.as_slice(), self.protocols.as_slice()) {
            ([], []) => Ok(String::new()),
            ([one], offered) if offered.iter().any(|name| name == one) => Ok((*one).to_owned()),
            ([], offered) => Err(format!(
                "the server chose no subprotocol, and this client offers {}; make the server support one of them, or offer none",
                named(offered)
            )),
            (chosen, []) => Err(format!(
                "the server chose the subprotocol {}, and this client offers none; offer it",
                shown(chosen)
            )),
            (chosen, offered) => Err(format!(
                "the server chose the subprotocol {}, and this client offers {}",
                shown(chosen),
                named(offered)
            )),
        };
        Ok((protocol?, deflate))
    }
}

/// Names elements that the server sent, for a log line.
pub(super) fn shown(elements: &[&str]) -> String {
    named(&elements.iter().map(|element| text::tidy(element, 80)).collect::<Vec<_>>())
}

/// The `User-Agent` header, for the logs of servers and proxies.
const USER_AGENT: &str = concat!("websocket-multiplayer/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(protocols: &[&str]) -> Offer {
        let protocols: Vec<_> = protocols.iter().map(|name| (*name).to_owned()).collect();
        Offer::new(
            &Url::parse("ws://u:p@[::1]:9080/a?b").expect("valid"),
            &protocols,
            None,
            &["X-Game: 1".to_owned()],
        )
    }

    fn check(offer: &Offer, head: &str) -> Result<String, String> {
        match offer.check(head.as_bytes()) {
            Answer::Upgraded { protocol, deflate: None } => Ok(protocol),
            Answer::Upgraded { deflate, .. } => Err(format!("nothing was offered: {deflate:?}")),
            Answer::Interim => Err("interim".into()),
            Answer::Refused(refused) => Err(refused.words()),
            Answer::Bad(why) => Err(why),
        }
    }

    fn answer(offer: &Offer, extra: &str) -> Result<String, String> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {}\r\n{extra}\r\n",
            offer.accept
        );
        check(offer, &head)
    }

    #[test]
    fn the_request_is_what_servers_expect() {
        let request = offer(&["a", "b"]).request;
        assert!(
            request
                .starts_with("GET /a?b HTTP/1.1\r\nHost: [::1]:9080\r\nUser-Agent: websocket-multiplayer/"),
            "{request}"
        );
        for line in [
            "\r\nUpgrade: websocket\r\n",
            "Sec-WebSocket-Protocol: a,b\r\n",
            "Authorization: Basic dTpw\r\n",
            "X-Game: 1\r\n\r\n",
        ] {
            assert!(request.contains(line), "{request}");
        }
    }

    #[test]
    fn a_good_answer_is_accepted() {
        assert_eq!(answer(&offer(&[]), ""), Ok(String::new()));
        assert_eq!(answer(&offer(&["a", "b"]), "Sec-WebSocket-Protocol: b\r\n"), Ok("b".into()));
    }

    #[test]
    fn lists_may_have_empty_elements() {
        let offer = offer(&["a"]);
        assert_eq!(
            answer(&offer, "Sec-WebSocket-Protocol: , a ,\r\nSec-WebSocket-Extensions: ,\r\n"),
            Ok("a".into())
        );
        let head = format!(
            "HTTP/1.1 101 x\r\nUpgrade: ,websocket,\r\nConnection: ,,upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: \"a\"\r\n\r\n",
            offer.accept
        );
        assert_eq!(check(&offer, &head), Ok("a".into()));
    }

    #[test]
    fn a_bad_answer_says_why() {
        for (offered, line, words) in [
            (
                &[][..],
                "Protocol: a",
                "the server chose the subprotocol a, and this client offers none; offer it",
            ),
            (&["a"], "Protocol: b", "the server chose the subprotocol b, and this client offers a"),
            (
                &["a", "b"],
                "Protocol: a, b",
                "the server chose the subprotocol a, b, and this client offers a, b",
            ),
            (&["a"], "Protocol: \u{1b}[31m\u{202e}", "the server does not speak HTTP: invalid header value"),
            (&["a"], "Protocol: \u{202e}x", "the server chose the subprotocol x, and this client offers a"),
            (
                &["a", "b"],
                "Version: 13",
                "the server chose no subprotocol, and this client offers a, b; make the server support one of them, or offer none",
            ),
            (
                &[],
                "Extensions: permessage-deflate; x",
                "the server chose an extension that was not offered: permessage-deflate; x",
            ),
        ] {
            assert_eq!(
                answer(&offer(offered), &format!("Sec-WebSocket-{line}\r\n")),
                Err(words.into()),
                "{line}"
            );
        }
        let offer = offer(&[]);
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "HTTP/1.1 101 OK\r\n\r\n",
        ] {
            assert!(check(&offer, bad).is_err(), "{bad}");
        }
        let many = format!("HTTP/1.1 101 OK\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_LIMIT + 1));
        assert_eq!(check(&offer, &many), Err("the server's response has more than 128 header lines".into()));
    }

    #[test]
    fn an_interim_answer_is_not_the_final_one() {
        let offer = offer(&[]);
        for line in ["100 Continue", "102 Processing", "103 Early Hints", "199 "] {
            assert_eq!(check(&offer, &format!("HTTP/1.1 {line}\r\n\r\n")), Err("interim".into()), "{line}");
        }
    }

    #[test]
    fn a_user_agent_is_sent_unless_the_game_names_one() {
        let url = Url::parse("ws://h").expect("valid");
        let ours = Offer::new(&url, &[], None, &[]).request;
        assert!(
            ours.contains(&format!(
                "\r\nUser-Agent: websocket-multiplayer/{}\r\n",
                env!("CARGO_PKG_VERSION")
            ))
        );
        let theirs = Offer::new(&url, &[], None, &["user-agent: My Game/2".to_owned()]).request;
        assert!(
            theirs.contains("\r\nuser-agent: My Game/2\r\n") && !theirs.contains("websocket-multiplayer")
        );
    }
}
