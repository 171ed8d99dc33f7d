//! Responses as a server writes them.

/// A response that ends the connection. See [`Request::accept`](super::Request::accept) for 101.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// Further header lines.
    pub(crate) headers: Vec<String>,
    /// Replaces the usual phrase of the status.
    pub(crate) phrase: Option<String>,
    pub(crate) content_type: &'static str,
}

impl HttpResponse {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, text: text.into(), headers: Vec::new(), phrase: None, content_type }
    }

    /// A response for programs.
    pub(crate) fn json(status: u16, text: String) -> Self {
        Self { content_type: "application/json", ..Self::new(status, text) }.with("Cache-Control: no-store")
    }

    /// Adds when another try makes sense.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.with(&format!("Retry-After: {seconds}"))
    }

    pub(crate) fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Returns the bytes of the response; without a text it has no body.
    pub(crate) fn encode(&self) -> String {
        let mut answer = self.encode_head();
        if !self.text.is_empty() {
            answer.push_str(&self.text);
            answer.push('\n');
        }
        answer
    }

    /// Returns the response to HEAD: that to GET without the body (RFC 9110 section 9.3.2).
    pub(crate) fn encode_head(&self) -> String {
        let mut answer = format!(
            "HTTP/1.1 {} {}\r\nConnection: close\r\n",
            self.status,
            self.phrase.as_deref().unwrap_or_else(|| reason_phrase(self.status)),
        );
        let length = if self.text.is_empty() {
            0
        } else {
            answer.push_str(&format!("Content-Type: {}\r\n", self.content_type));
            self.text.len() + 1
        };
        for line in &self.headers {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
        answer.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        answer
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        402 => "Payment Required",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}
