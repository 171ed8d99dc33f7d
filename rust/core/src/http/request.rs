//! The request of an upgrade as a server reads it (RFC 6455 section 4.2).

use httparse::Status as Parsed;

use super::accept_key::derive_accept_key;
use super::head::HEADERS_LIMIT;
use super::headers::Headers;
use super::query::{Offers, take_offers};
use super::response::HttpResponse;
use super::resume::{self, HEADER, has_token};
use super::token::is_token;

/// The methods that are answered; HEAD and OPTIONS only for health checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Method {
    Get,
    Head,
    Options,
}

/// A request without a body, usually a valid upgrade.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    /// Path and query, without the offers.
    pub(crate) target: String,
    pub(crate) offers: Offers,
    pub(crate) headers: Headers,
    /// Subprotocols that the client offers, in the client's order.
    pub(crate) protocols: Vec<String>,
    /// `Sec-WebSocket-Accept` for the key of the request.
    accept: String,
    /// Why the request cannot be answered with 101.
    fault: Option<HttpResponse>,
}

impl Request {
    /// Parses a complete head.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, HttpResponse> {
        if head.starts_with(b"PRI * HTTP/2.0\r\n") {
            return Err(HttpResponse::new(505, "HTTP/2 is not supported"));
        }
        if let Some(refusal) = refuse_request_line(head) {
            return Err(refusal);
        }
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
        let mut parsed = httparse::Request::new(&mut lines);
        match parsed.parse(head) {
            Ok(Parsed::Complete(_)) => {}
            Ok(Parsed::Partial) => return Err(HttpResponse::new(400, "the request head is incomplete")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(HttpResponse::new(431, format!("more than {HEADERS_LIMIT} header lines")));
            }
            Err(error) => return Err(HttpResponse::new(400, format!("malformed request: {error}"))),
        }
        let target = parsed.path.unwrap_or_default();
        let method = match parsed.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            Some("OPTIONS") if target != "*" => Method::Options,
            _ => return Err(only_get()),
        };
        let headers = Headers::new(parsed.headers);
        Self::check(method, origin_form(target)?, headers, parsed.version == Some(1))
    }

    /// Returns the target without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns whether this is no upgrade, but a request for a page, as browsers and health checks send it.
    pub(crate) fn is_plain(&self) -> bool {
        self.method != Method::Get || !self.headers.has_element("upgrade", "websocket")
    }

    /// Returns whether the method is `OPTIONS`.
    pub(crate) fn asks_for_options(&self) -> bool {
        self.method == Method::Options
    }

    /// Returns why the request cannot be answered with 101.
    pub(crate) fn fault(&self) -> Option<&HttpResponse> {
        self.fault.as_ref()
    }

    /// Returns the response 101.
    pub(crate) fn accept(&self, protocol: Option<&str>, extension: Option<&str>, extra: &[String]) -> String {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(protocol) = protocol {
            answer.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        }
        if let Some(extension) = extension {
            answer.push_str(&format!("Sec-WebSocket-Extensions: {extension}\r\n"));
        }
        for line in extra {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer
    }

    fn check(
        method: Method,
        target: String,
        mut headers: Headers,
        is_1_1: bool,
    ) -> Result<Self, HttpResponse> {
        if headers.count("host") != 1 && (is_1_1 || headers.count("host") > 1) {
            return Err(HttpResponse::new(400, "exactly one Host header is required"));
        }
        let is_empty = headers.all("content-length").all(is_zero);
        if !is_empty || headers.count("transfer-encoding") > 0 {
            return Err(HttpResponse::new(400, "an upgrade request has no body"));
        }
        // HTTP/1.0 is enough for a health check.
        let upgrade = match method {
            Method::Options => Err(only_get()),
            Method::Head if headers.has_element("upgrade", "websocket") => Err(only_get()),
            _ if !is_1_1 => Err(HttpResponse::new(505, "only HTTP/1.1 is supported")),
            Method::Head => Err(upgrade_required(NOT_A_PAGE)),
            Method::Get => Self::check_upgrade(&headers),
        };
        let (target, mut offers) = take_offers(target);
        let upgrade = upgrade.and_then(|(accept, mut protocols)| {
            resume::read(&headers, &mut protocols, &mut offers)?;
            Ok((accept, protocols))
        });
        // Nobody sees a token.
        headers.remove(HEADER);
        if headers.elements(PROTOCOLS).any(has_token) {
            headers.remove(PROTOCOLS);
        }
        let ((accept, protocols), fault) = match upgrade {
            Ok(upgrade) => (upgrade, None),
            Err(fault) => ((String::new(), Vec::new()), Some(fault)),
        };
        Ok(Self { method, target, offers, headers, protocols, accept, fault })
    }

    /// Returns the accept key and the subprotocols offered.
    fn check_upgrade(headers: &Headers) -> Result<(String, Vec<String>), HttpResponse> {
        if !headers.has_element("upgrade", "websocket") || !headers.has_element("connection", "upgrade") {
            return Err(upgrade_required(NOT_A_PAGE));
        }
        let mut versions = headers.elements("sec-websocket-version").peekable();
        match (versions.peek().is_some(), headers.count("sec-websocket-version")) {
            (true, 1) if versions.all(|version| version == "13") => {}
            (false, _) => return Err(HttpResponse::new(400, "Sec-WebSocket-Version is missing")),
            _ => return Err(upgrade_required("only WebSocket version 13 is supported")),
        }
        let key = match (headers.first("sec-websocket-key"), headers.count("sec-websocket-key")) {
            (Some(key), 1) if is_key(key) => key,
            (None, _) => return Err(HttpResponse::new(400, "Sec-WebSocket-Key is missing")),
            (_, 2..) => return Err(HttpResponse::new(400, "Sec-WebSocket-Key is given twice")),
            _ => return Err(HttpResponse::new(400, "Sec-WebSocket-Key is not 16 bytes in base64")),
        };
        let accept = derive_accept_key(key);
        let protocols: Vec<_> = headers.elements(PROTOCOLS).map(str::to_owned).collect();
        if !protocols.iter().all(is_token) {
            return Err(HttpResponse::new(400, "Sec-WebSocket-Protocol is not a list of tokens"));
        }
        Ok((accept, protocols))
    }
}

fn only_get() -> HttpResponse {
    HttpResponse::new(405, "only GET is supported").with("Allow: GET")
}

fn upgrade_required(text: &str) -> HttpResponse {
    HttpResponse::new(426, text).with("Upgrade: websocket").with("Sec-WebSocket-Version: 13")
}

/// The header with the subprotocols that a client offers, in lower case.
const PROTOCOLS: &str = "sec-websocket-protocol";
const NOT_A_PAGE: &str = "this is a WebSocket server; it answers upgrade requests";

/// Finds faults of method and version that need a status of their own (RFC 9110 section 15); the parser has one error for all.
fn refuse_request_line(head: &[u8]) -> Option<HttpResponse> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, _target, version) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_token(method) {
        return Some(HttpResponse::new(400, "malformed request line"));
    }
    let digits = version.strip_prefix(b"HTTP/")?;
    let is_version =
        digits.len() == 3 && digits[0].is_ascii_digit() && digits[1] == b'.' && digits[2].is_ascii_digit();
    (is_version && digits != b"1.1" && digits != b"1.0")
        .then(|| HttpResponse::new(505, "only HTTP/1.1 is supported"))
}

/// Returns the path of a target, also of one in absolute form; other forms are refused (RFC 9112 section 3.2).
fn origin_form(target: &str) -> Result<String, HttpResponse> {
    if target.starts_with('/') {
        return Ok(target.to_owned());
    }
    let absolute = ["http://", "https://", "ws://", "wss://"].iter().find_map(|scheme| {
        let prefix = target.get(..scheme.len())?;
        prefix.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
    });
    match absolute {
        Some(rest) => {
            let path = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
            Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
        }
        None => Err(HttpResponse::new(400, "the request target is not a path")),
    }
}

/// Returns whether the key is 16 bytes in base64. Spare bits of the last digit may be set: some clients leave bits there.
fn is_key(key: &str) -> bool {
    key.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
    })
}

/// Returns whether a `Content-Length` is zero; proxies that join lines may repeat it.
fn is_zero(length: &str) -> bool {
    length
        .split(',')
        .map(str::trim)
        .all(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    fn request(line: &str, headers: &[&str]) -> Result<Request, HttpResponse> {
        let request = Request::parse(format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n")).as_bytes())?;
        request.fault.clone().map_or(Ok(request), Err)
    }

    fn with(change: impl Fn(&mut Vec<&'static str>)) -> Result<Request, HttpResponse> {
        let mut headers =
            vec!["Host: h:1", "Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"];
        change(&mut headers);
        request("GET /chat?x=1 HTTP/1.1", &headers)
    }

    fn status(result: Result<Request, HttpResponse>) -> u16 {
        result.expect_err("refused").status
    }

    #[test]
    fn accepts_the_example_of_the_rfc() {
        let request = with(|_| {}).expect("valid");
        assert_eq!(request.target, "/chat?x=1");
        assert!(
            request
                .accept(None, None, &[])
                .contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
        );
    }

    #[test]
    fn tolerates_what_browsers_and_proxies_send() {
        assert!(with(|headers| headers[2] = "Connection: keep-alive, Upgrade").is_ok());
        assert!(with(|headers| headers[1] = "upgrade: WebSocket").is_ok());
        assert!(with(|headers| headers.push("X-Empty:")).is_ok());
        assert!(with(|headers| headers.extend(["A: b"; HEADERS_LIMIT - 5])).is_ok());
        let absolute = request(
            "GET http://h/a?b HTTP/1.1",
            &["Host: h", "Upgrade: websocket", "Connection: upgrade", KEY, "Sec-WebSocket-Version: 13"],
        );
        assert_eq!(absolute.expect("valid").target, "/a?b");
    }

    #[test]
    fn lists_may_have_empty_elements_and_quotes() {
        for (at, line) in [
            (1, "Upgrade: , websocket,"),
            (1, "Upgrade: h2c,,WebSocket"),
            (2, "Connection: ,keep-alive,, Upgrade ,"),
            (2, "Connection: \"Upgrade\""),
            (2, "Connection: x=\"a, b\", upgrade"),
            (4, "Sec-WebSocket-Version: 13,"),
            (4, "Sec-WebSocket-Version: 13, 13"),
        ] {
            assert!(with(|headers| headers[at] = line).is_ok(), "{line}");
        }
        for (line, offered) in [
            ("Sec-WebSocket-Protocol: a,,b,", &["a", "b"][..]),
            ("Sec-WebSocket-Protocol:", &[]),
            ("Sec-WebSocket-Protocol: ,", &[]),
            ("Sec-WebSocket-Protocol: \"a\", b", &["a", "b"]),
        ] {
            assert_eq!(with(|headers| headers.push(line)).expect(line).protocols, offered, "{line}");
        }
        // A word inside of quotes is no element of its own.
        assert_eq!(status(with(|headers| headers[2] = "Connection: x=\"a, upgrade, b\"")), 426);
    }

    #[test]
    fn nobody_sees_a_token() {
        let token = "0123456789abcdef".repeat(3);
        for line in [
            format!("Godot-Multiplayer: resume; v=1; token={token}; received=0"),
            format!("Sec-WebSocket-Protocol: godot-resume.v1, godot-resume.v1.{token}.0"),
            format!("Sec-WebSocket-Protocol: a, godot-resume.v1.{token}"),
        ] {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\r\nSec-WebSocket-Version: 13\r\n{line}\r\n\r\n"
            );
            let request = Request::parse(head.as_bytes()).expect("a request");
            assert!(!format!("{request:?}").contains(&token), "{request:?}");
        }
    }

    #[test]
    fn no_body_may_be_said_in_so_many_words() {
        for fine in ["Content-Length: 0", "content-length:  0 ", "Content-Length: 0, 0", "Content-Length: 00"]
        {
            assert!(with(|headers| headers.push(fine)).is_ok(), "{fine}");
        }
        assert!(with(|headers| headers.extend(["Content-Length: 0"; 2])).is_ok());
        for bad in [
            "Content-Length: 5",
            "Content-Length: -0",
            "Content-Length: +0",
            "Content-Length: 0x0",
            "Content-Length:",
            "Content-Length: ,",
            "Content-Length: 0, 5",
            "Content-Length: 0 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
        ] {
            assert_eq!(status(with(|headers| headers.push(bad))), 400, "{bad}");
            assert_eq!(
                status(with(|headers| headers.extend(["Content-Length: 0", bad]))),
                400,
                "0 and {bad}"
            );
        }
    }

    #[test]
    fn what_the_keys_last_digit_has_too_many_is_sent_back_as_it_came() {
        let request =
            with(|headers| headers[3] = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==").expect("16 bytes");
        let accept = derive_accept_key("dGhlIHNhbXBsZSBub25jZR==");
        assert!(request.accept(None, None, &[]).contains(&format!("Sec-WebSocket-Accept: {accept}\r\n")));
        for bad in [
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQQ=",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ-==",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==dGhlIA==",
            "Sec-WebSocket-Key: ==",
        ] {
            assert_eq!(status(with(|headers| headers[3] = bad)), 400, "{bad}");
        }
    }

    #[test]
    fn each_fault_has_its_status() {
        let valid =
            ["Host: h", "Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"];
        for (line, expected) in [
            ("POST / HTTP/1.1", 405),
            ("OPTIONS * HTTP/1.1", 405),
            ("GET / HTTP/1.0", 505),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/9", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET /", 400),
            ("GET * HTTP/1.1", 400),
            ("GET ftp://h/ HTTP/1.1", 400),
            ("G\0T / HTTP/1.1", 400),
        ] {
            assert_eq!(status(request(line, &valid)), expected, "{line:?}");
        }
        assert_eq!(status(Request::parse(b"PRI * HTTP/2.0\r\n\r\n")), 505);
    }

    #[test]
    fn each_header_fault_has_its_status() {
        assert_eq!(status(with(|headers| _ = headers.remove(0))), 400);
        assert_eq!(status(with(|headers| headers.push("Host: other"))), 400);
        assert_eq!(status(with(|headers| _ = headers.remove(1))), 426);
        assert_eq!(status(with(|headers| headers[1] = "Upgrade: h2c")), 426);
        assert_eq!(status(with(|headers| _ = headers.remove(2))), 426);
        assert_eq!(status(with(|headers| headers[2] = "Connection: keep-alive")), 426);
        assert_eq!(status(with(|headers| _ = headers.remove(3))), 400);
        assert_eq!(status(with(|headers| headers[3] = "Sec-WebSocket-Key: c2hvcnQ=")), 400);
        assert_eq!(status(with(|headers| headers.push(KEY))), 400);
        assert_eq!(status(with(|headers| _ = headers.remove(4))), 400);
        assert_eq!(status(with(|headers| headers[4] = "Sec-WebSocket-Version: 8")), 426);
        assert_eq!(status(with(|headers| headers.push("Content-Length: 3"))), 400);
        assert_eq!(status(with(|headers| headers.push(" folded: line"))), 400);
        assert_eq!(status(with(|headers| headers.push("no colon"))), 400);
        assert_eq!(status(with(|headers| headers.push("A: \0"))), 400);
        assert_eq!(status(with(|headers| headers.push("Sec-WebSocket-Protocol: a b"))), 400);
        assert_eq!(status(with(|headers| headers.push("Sec-WebSocket-Version: 13"))), 426);
        assert_eq!(status(with(|headers| headers[4] = "Sec-WebSocket-Version: 13, 8")), 426);
        assert_eq!(status(with(|headers| headers[4] = "Sec-WebSocket-Version: ,")), 400);
        assert_eq!(status(with(|headers| headers.extend(["A: b"; HEADERS_LIMIT - 4]))), 431);
    }

    #[test]
    fn a_request_for_a_page_is_told_apart() {
        let page = Request::parse(b"GET /health?x HTTP/1.0\r\n\r\n").expect("a request");
        assert!(page.is_plain() && page.path() == "/health");
        assert_eq!(page.fault().map(|fault| fault.status), Some(505));
        let upgrade = with(|_| {}).expect("valid");
        assert!(!upgrade.is_plain() && upgrade.fault().is_none());
        assert!(Request::parse(b"GET / HTTP/1.1\r\n\r\n").is_err(), "HTTP/1.1 has a Host");
    }

    #[test]
    fn the_methods_of_health_checks_are_told_apart_and_never_upgrade() {
        let fault = |line: &str| request(line, &["Host: h"]).expect_err("no upgrade").status;
        assert_eq!(fault("HEAD / HTTP/1.1"), 426);
        assert_eq!(fault("HEAD / HTTP/1.0"), 505);
        assert_eq!(fault("OPTIONS / HTTP/1.1"), 405);
        for method in ["HEAD", "OPTIONS"] {
            let line = format!("{method} /health HTTP/1.1\r\nHost: h\r\n");
            let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
            let request =
                Request::parse(format!("{line}{upgrade}{KEY}\r\n\r\n").as_bytes()).expect("a request");
            assert!(request.is_plain() && request.fault().is_some(), "{method}");
            assert_eq!(request.asks_for_options(), method == "OPTIONS");
        }
        // What HAProxy asks unless it is told otherwise.
        let haproxy = Request::parse(b"OPTIONS / HTTP/1.0\r\n\r\n").expect("a request");
        assert!(haproxy.is_plain() && haproxy.asks_for_options() && haproxy.path() == "/");
    }

    #[test]
    fn refusals_are_complete_answers() {
        let answer = with(|headers| headers[4] = "Sec-WebSocket-Version: 8").expect_err("refused").encode();
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let empty = HttpResponse::new(200, "").encode();
        assert!(
            empty.ends_with("\r\nContent-Length: 0\r\n\r\n") && !empty.contains("Content-Type"),
            "{empty}"
        );
        let page = HttpResponse::new(426, "no page");
        assert_eq!(page.encode(), page.encode_head() + "no page\n");
    }
}
