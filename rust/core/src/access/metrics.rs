//! The figures of a server for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;
use std::time::Duration;

use crate::channel::{Statistics, Unit, Value};
use crate::http::{HttpResponse, Request};

/// The state of a server at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerState {
    pub(crate) statistics: Statistics,
    /// How long the game has not polled.
    pub(crate) idle: Duration,
    pub(crate) refusing: bool,
    /// 0: no limit.
    pub(crate) max_connections: usize,
    /// Bytes in the queues of the process that the game has not taken.
    pub(crate) queued_in: usize,
    /// Bytes in the queues of the process that wait to be sent.
    pub(crate) queued_out: usize,
}

/// Returns the response to a request for the metrics. Its length does not depend on the number of peers: no figure is about a peer.
pub(crate) fn metrics(request: &Request, state: &ServerState) -> HttpResponse {
    if request.asks_for_options() {
        return HttpResponse::new(200, "").with("Allow: GET, HEAD, OPTIONS");
    }
    let mut page = Page::default();
    for (figure, (_, value)) in Statistics::FIGURES.iter().zip(state.statistics.values()) {
        let Value::Integer(value) = value else { continue };
        let (name, value) = match figure.unit {
            // Prometheus counts time in seconds.
            Unit::Microseconds => {
                (figure.name.replace("_usec", "_seconds"), format!("{}", value as f64 / 1e6))
            }
            _ => (figure.name.to_owned(), value.to_string()),
        };
        if LEVELS.contains(&figure.name) {
            page.add(&name, "gauge", figure.description, &value);
        } else {
            page.add(&format!("{name}_total"), "counter", figure.description, &value);
        }
    }
    let seconds = format!("{}", state.idle.as_secs_f64());
    page.add("main_thread_idle_seconds", "gauge", "Time since the game polled the server.", &seconds);
    for (name, help, value) in [
        ("refusing", "1 if refuse_new_connections is set.", usize::from(state.refusing)),
        ("max_connections", "The limit of connected clients; 0: no limit.", state.max_connections),
        (
            "process_queued_in_bytes",
            "Received and not taken by the game, in the whole process.",
            state.queued_in,
        ),
        ("process_queued_out_bytes", "Waiting to be sent, in the whole process.", state.queued_out),
    ] {
        page.add(name, "gauge", help, &value.to_string());
    }
    // The end of the last line is that of the response.
    page.text.pop();
    HttpResponse { content_type: CONTENT_TYPE, ..HttpResponse::new(200, page.text) }
        .with("Cache-Control: no-store")
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn add(&mut self, name: &str, kind: &str, help: &str, value: &str) {
        // Writing to a string cannot fail. The descriptions have no backslash and no line end, which would have to be escaped.
        _ = writeln!(
            self.text,
            "# HELP websocket_{name} {help}\n# TYPE websocket_{name} {kind}\nwebsocket_{name} {value}"
        );
    }
}

/// The figures that rise and fall; all others count.
const LEVELS: [&str; 4] = ["peers", "pending", "peers_suspended", "compression_bytes"];
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    fn page(statistics: Statistics) -> String {
        let get = Request::parse(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
        let idle = Duration::from_millis(1500);
        let state =
            ServerState { statistics, idle, refusing: true, max_connections: 8, queued_in: 3, queued_out: 5 };
        metrics(&get, &state).encode()
    }

    #[test]
    fn each_figure_has_a_help_a_type_and_a_value() {
        let page = page(Statistics { peers: 2, bytes_in: 7, poll_usec: 2_500_000, ..Statistics::default() });
        let (head, body) = page.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(lines.len(), 3 * (Statistics::FIGURES.len() + 5));
        for three in lines.chunks(3) {
            let (name, value) = three[2].split_once(' ').expect("a name and a value");
            assert!(three[0].starts_with(&format!("# HELP {name} ")), "{three:?}");
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(three[1], format!("# TYPE {name} {kind}"));
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite) && !three[0].contains('\\'), "{three:?}");
        }
        for line in [
            "websocket_peers 2",
            "websocket_bytes_in_total 7",
            "websocket_poll_seconds_total 2.5",
            "websocket_main_thread_idle_seconds 1.5",
            "websocket_refusing 1",
            "websocket_max_connections 8",
            "websocket_process_queued_in_bytes 3",
            "websocket_process_queued_out_bytes 5",
        ] {
            assert!(lines.contains(&line), "{line} is not in {body}");
        }
        assert!(body.ends_with("_bytes 5\n"), "the last line ends: {body}");
    }

    #[test]
    fn the_alerts_and_the_dashboard_name_figures_that_exist() {
        let page = page(Statistics::default());
        let pages = [
            include_str!("../../../../docs/prometheus/alerts.yml"),
            include_str!("../../../../docs/prometheus/dashboard.json"),
            include_str!("../../../../docs/deploying.md"),
        ];
        for text in pages {
            let is_word = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
            let words = text.split(|byte| !is_word(byte)).filter_map(|word| word.strip_prefix("websocket_"));
            let words: Vec<&str> =
                words.filter(|word| !word.is_empty() && !SETTINGS.contains(word)).collect();
            assert!(words.len() > 4, "{words:?}");
            for word in words {
                let found = page.contains(&format!("\nwebsocket_{word} "));
                // Part of a name with "..." behind it.
                assert!(found || word.ends_with('_'), "there is no figure websocket_{word}");
            }
        }
    }

    /// Not figures, although they begin alike.
    const SETTINGS: [&str; 2] = ["total_queue_mb", "multiplayer"];

    #[test]
    fn the_page_stays_small_with_the_largest_figures() {
        let full = Statistics { peers: usize::MAX, bytes_in: u64::MAX, ..Statistics::default() };
        assert!(page(full).len() < 8192, "{}", page(full).len());
    }
}
