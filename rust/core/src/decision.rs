//! The decision of a game's handler about a request, checked before anything is sent.

use crate::base::ConfigError;
use crate::config::check_header_lines;
use crate::event::ConnectionRequest;
use crate::http::HttpResponse;

/// The decision about a [`ConnectionRequest`], for [`Peer::answer`](crate::Peer::answer).
#[derive(Clone, Debug)]
pub struct AdmissionDecision(pub(crate) Admission);

#[derive(Clone, Debug)]
pub(crate) enum Admission {
    Accept { protocol: Option<String>, headers: Vec<String> },
    Refuse(HttpResponse),
}

/// Why a decision cannot be carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// The status neither accepts nor refuses.
    #[error("status {0} cannot be sent; use 101 to accept, or 400 to 599")]
    Status(i64),
    /// The reason cannot be sent.
    #[error("the reason has a control character, or more than 500 bytes")]
    Reason,
    /// A header line cannot be sent.
    #[error(transparent)]
    Header(#[from] ConfigError),
    /// The client did not offer this subprotocol.
    #[error("the client did not offer subprotocol {0:?}")]
    Protocol(String),
}

impl AdmissionDecision {
    /// Accepts the client, or rejects it with an HTTP status.
    ///
    /// `headers` are header lines of the response. `reason` is for a rejected client. `protocol` is the subprotocol of an accepted client,
    /// instead of the server's choice.
    ///
    /// # Errors
    /// [`DecisionError`]: a status other than 101 and 400 to 599, a reason or header that cannot be sent, a subprotocol that the
    /// client did not offer.
    pub fn new(
        request: &ConnectionRequest,
        status: i64,
        reason: &str,
        headers: &[String],
        protocol: &str,
    ) -> Result<Self, DecisionError> {
        if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
            return Err(DecisionError::Reason);
        }
        let headers = check_header_lines(headers)?;
        let status = match status {
            101 => {
                if !protocol.is_empty() && !request.protocols.iter().any(|offered| offered == protocol) {
                    return Err(DecisionError::Protocol(protocol.chars().take(80).collect()));
                }
                let protocol = Some(protocol.to_owned()).filter(|name| !name.is_empty());
                return Ok(Self(Admission::Accept { protocol, headers }));
            }
            400..=599 => status as u16,
            _ => return Err(DecisionError::Status(status)),
        };
        let text = if reason.is_empty() { "refused by the game" } else { reason };
        // A status line is ASCII; the body has the reason in any language.
        let phrase = Some(reason.to_owned()).filter(|text| !text.is_empty() && text.is_ascii());
        Ok(Self(Admission::Refuse(HttpResponse { headers, phrase, ..HttpResponse::new(status, text) })))
    }

    /// Accepts the client.
    pub fn accept() -> Self {
        Self(Admission::Accept { protocol: None, headers: Vec::new() })
    }

    /// Rejects the client with 500, because the game failed to decide.
    pub fn fault() -> Self {
        Self(Admission::Refuse(HttpResponse::new(500, "the server could not decide about the request")))
    }

    /// Returns whether the client is accepted.
    pub fn accepts(&self) -> bool {
        matches!(self.0, Admission::Accept { .. })
    }
}

const LONGEST_REASON: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConnId, PeerId};

    fn decision(
        status: i64,
        reason: &str,
        header: &str,
        protocol: &str,
    ) -> Result<AdmissionDecision, DecisionError> {
        let request = ConnectionRequest {
            id: PeerId(2),
            path: "/".into(),
            query: String::new(),
            headers: Vec::new(),
            address: ([192, 0, 2, 1], 1).into(),
            protocols: vec!["chess".into()],
            secure: false,
            conn: ConnId { slot: 0, generation: 0 },
        };
        let headers: Vec<_> = Some(header.to_owned()).filter(|line| !line.is_empty()).into_iter().collect();
        AdmissionDecision::new(&request, status, reason, &headers, protocol)
    }

    #[test]
    fn only_what_can_be_sent_is_a_verdict() {
        assert!(decision(101, "", "X-Seat: 5", "chess").expect("valid").accepts());
        assert!(!decision(400, "no seat", "", "").expect("valid").accepts());
        assert!(decision(599, "kein Platz für dich", "Retry-After: 5", "").is_ok());
        for status in [-1, 0, 1, 100, 200, 302, 399, 600, 1 << 40] {
            assert_eq!(decision(status, "", "", "").expect_err("refused"), DecisionError::Status(status));
        }
        for reason in ["a\r\nSet-Cookie: x", "a\nb", "\0", &"x".repeat(501)] {
            assert_eq!(decision(403, reason, "", "").expect_err("refused"), DecisionError::Reason);
        }
        assert!(decision(101, "", "A: b\r\nC: d", "").is_err());
        assert!(decision(403, "", "Content-Length: 0", "").is_err());
        assert!(matches!(decision(101, "", "", "poker"), Err(DecisionError::Protocol(_))));
    }

    #[test]
    fn the_reason_is_in_the_answer() {
        let Admission::Refuse(response) = decision(403, "banned", "", "").expect("valid").0 else {
            panic!("it refuses")
        };
        let answer = response.encode();
        assert!(
            answer.starts_with("HTTP/1.1 403 banned\r\n") && answer.ends_with("\r\n\r\nbanned\n"),
            "{answer}"
        );
        let Admission::Refuse(response) = decision(403, "größer", "", "").expect("valid").0 else {
            panic!("it refuses")
        };
        assert!(response.encode().starts_with("HTTP/1.1 403 Forbidden\r\n"));
    }
}
