//! Health checks of load balancers and orchestrators.

use std::time::Duration;

use crate::http::{HttpResponse, Request};

/// Returns the response to a health check: 503 if the game does not poll any more.
pub(crate) fn health(
    request: &Request,
    peers: usize,
    pending: usize,
    refusing: bool,
    idle: Duration,
) -> HttpResponse {
    let status = if idle > STUCK { 503 } else { 200 };
    if request.asks_for_options() {
        return HttpResponse::new(status, "").with("Allow: GET, HEAD, OPTIONS");
    }
    let text = format!(
        "{{\"peers\":{peers},\"pending\":{pending},\"main_thread_idle_msec\":{},\"refusing\":{refusing}}}",
        idle.as_millis()
    );
    HttpResponse::json(status, text)
}

/// A main thread that has not polled for this long hangs, or loads something very large.
const STUCK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_that_does_not_poll_is_ill() {
        let get = Request::parse(b"GET /health HTTP/1.0\r\n\r\n").expect("a request");
        let healthy = health(&get, 3, 1, false, STUCK).encode();
        assert!(healthy.starts_with("HTTP/1.1 200 OK\r\n"), "{healthy}");
        assert!(healthy.contains("\r\nContent-Type: application/json\r\n"), "{healthy}");
        assert!(healthy.ends_with(
            "\r\n\r\n{\"peers\":3,\"pending\":1,\"main_thread_idle_msec\":10000,\"refusing\":false}\n"
        ));
        let options = Request::parse(b"OPTIONS /health HTTP/1.0\r\n\r\n").expect("a request");
        let healthy = health(&options, 3, 1, false, STUCK).encode();
        assert!(healthy.starts_with("HTTP/1.1 200 OK\r\n"), "{healthy}");
        assert!(healthy.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{healthy}");
        assert!(healthy.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{healthy}");
        for request in [get, options] {
            let ill = health(&request, 3, 1, true, STUCK + Duration::from_millis(1)).encode();
            assert!(ill.starts_with("HTTP/1.1 503 "), "{ill}");
        }
    }
}
