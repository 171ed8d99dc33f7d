//! The server's half of the upgrade as a client writes the request for it and reads it (RFC 6455 section 4.1).

use httparse::Status as Parsed;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::head::HEADERS_LIMIT;
use super::list::{elements, has_element};
use crate::url::Url;

/// What a client asks for, and what the answer must hold.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    request: String,
    accept: String,
    protocols: Vec<String>,
}

impl Offer {
    /// Writes the request. `headers` are checked lines.
    pub(crate) fn new(url: &Url, protocols: &[String], headers: &[String]) -> Self {
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
        request.push_str(&format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        ));
        if !protocols.is_empty() {
            request.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(",")));
        }
        if let Some(authorization) = url.authorization.as_ref().filter(|_| !given("authorization")) {
            request.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        for line in headers {
            request.push_str(line);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self { request, accept: derive_accept_key(key.as_bytes()), protocols: protocols.to_vec() }
    }

    /// The request's bytes.
    pub(crate) fn request(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Checks a whole answer and says which subprotocol the server chose; else, in words, why the client is not in.
    pub(crate) fn check(&self, head: &[u8]) -> Result<String, String> {
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
        let mut parsed = httparse::Response::new(&mut lines);
        match parsed.parse(head) {
            Ok(Parsed::Complete(_)) => {}
            Ok(Parsed::Partial) => return Err("the server's answer is incomplete".into()),
            Err(error) => return Err(format!("the server does not speak HTTP: {error}")),
        }
        let status = parsed.code.unwrap_or_default();
        if status != 101 {
            let reason: String =
                parsed.reason.unwrap_or_default().chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(format!("server answered {status} {reason}").trim_end().to_owned());
        }
        let headers: Vec<_> = parsed
            .headers
            .iter()
            .map(|header| {
                (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned())
            })
            .collect();
        if parsed.version != Some(1) {
            return Err("the server's answer is not HTTP/1.1".into());
        }
        if !has_element(&headers, "upgrade", "websocket") || !has_element(&headers, "connection", "upgrade") {
            return Err("the server's answer does not upgrade to WebSocket".into());
        }
        let mut accepts = headers.iter().filter(|(name, _)| name == "sec-websocket-accept");
        match (accepts.next(), accepts.next()) {
            (Some((_, accept)), None) if *accept == self.accept => {}
            _ => return Err("the server's Sec-WebSocket-Accept does not match".into()),
        }
        if elements(&headers, "sec-websocket-extensions").any(|extension| !extension.is_empty()) {
            return Err("the server chose an extension that was not offered".into());
        }
        let chosen: Vec<_> =
            elements(&headers, "sec-websocket-protocol").filter(|name| !name.is_empty()).collect();
        match chosen.as_slice() {
            [] if self.protocols.is_empty() => Ok(String::new()),
            [] => Err("the server chose none of the offered subprotocols".into()),
            [one] if self.protocols.iter().any(|offered| offered == one) => Ok((*one).to_owned()),
            _ => Err("the server chose a subprotocol that was not offered".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(protocols: &[&str]) -> Offer {
        let protocols: Vec<_> = protocols.iter().map(|name| (*name).to_owned()).collect();
        Offer::new(
            &Url::parse("ws://u:p@[::1]:9080/a?b").expect("valid"),
            &protocols,
            &["X-Game: 1".to_owned()],
        )
    }

    fn answer(offer: &Offer, extra: &str) -> Result<String, String> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {}\r\n{extra}\r\n",
            offer.accept
        );
        offer.check(head.as_bytes())
    }

    #[test]
    fn the_request_is_what_servers_expect() {
        let request = offer(&["a", "b"]).request;
        assert!(
            request.starts_with("GET /a?b HTTP/1.1\r\nHost: [::1]:9080\r\nUpgrade: websocket\r\n"),
            "{request}"
        );
        for line in ["Sec-WebSocket-Protocol: a,b\r\n", "Authorization: Basic dTpw\r\n", "X-Game: 1\r\n\r\n"]
        {
            assert!(request.contains(line), "{request}");
        }
    }

    #[test]
    fn a_good_answer_is_accepted() {
        assert_eq!(answer(&offer(&[]), ""), Ok(String::new()));
        assert_eq!(answer(&offer(&["a", "b"]), "Sec-WebSocket-Protocol: b\r\n"), Ok("b".into()));
    }

    #[test]
    fn a_bad_answer_says_why() {
        assert!(answer(&offer(&[]), "Sec-WebSocket-Protocol: a\r\n").is_err());
        assert!(answer(&offer(&["a"]), "").is_err());
        assert!(answer(&offer(&["a"]), "Sec-WebSocket-Protocol: b\r\n").is_err());
        assert!(answer(&offer(&[]), "Sec-WebSocket-Extensions: permessage-deflate\r\n").is_err());
        let offer = offer(&[]);
        assert_eq!(
            offer.check(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
            Err("server answered 403 Forbidden".into())
        );
        assert!(offer.check(b"SSH-2.0-x\r\n\r\n").is_err());
        assert!(offer.check(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n").is_err());
        assert!(offer.check(b"HTTP/1.1 101 OK\r\n\r\n").is_err());
    }
}
