//! What `docs/limits.md` says is what the code does.

use std::time::Duration;

use crate::config::{PeerConfig, ServerConfig};
use crate::gate::{self, log_limit};
use crate::hub::{SMALL, admission, limbo, relay};
use crate::net::driver::{self, accept};
use crate::net::{checks, listener, runtime, simulator};
use crate::peer::outbox;
use crate::session::{self, body, head, message, reader, refused, upgrade};
use crate::tls::stream;
use crate::wire::proxy_protocol;

/// Rows whose figure is nothing to compare: words, and what other libraries limit, which tests of its own show.
const IN_WORDS: [&str; 13] = [
    "open files of the process",
    "pages that may connect",
    "the game's word",
    "one message",
    // Shown by tests/behaviour/tls.rs.
    "a message of the TLS handshake, with the records that carry it",
    "records without content in a row, padding or none",
    "new keys in a row without data in between (TLS 1.3)",
    "requests for another handshake (TLS 1.2)",
    "warnings",
    "`peer_congested` and `peer_drained` while the game does not poll",
    "what comes behind a Close",
    "log lines about peers that met a limit (slow, silent, or against the rules)",
    // Compared in rust/extension/src/lines.rs.
    "log lines that wait for the main thread to print them",
];

#[test]
fn the_documented_figures_are_those_of_the_code() {
    let text = include_str!("../../docs/limits.md").replace("\r\n", "\n");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| limit |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.iter().all(|row| row.len() == 5), "five cells in each row");
    let (peer, server) = (PeerConfig::default(), ServerConfig::default());
    let seconds = |time: Duration| {
        assert_eq!(time.subsec_nanos(), 0);
        format!("{} s", time.as_secs())
    };
    let millis = |time: Duration| format!("{} ms", time.as_millis());
    let bytes = |count: usize| format!("{count} bytes");
    let unlimited = |count: usize| {
        assert_eq!(count, 0);
        "0 (no limit)".to_owned()
    };
    let figures = [
        ("request or answer head", bytes(head::HEAD_LIMIT)),
        ("header lines", head::HEADERS_LIMIT.to_string()),
        ("interim answers (1xx) that a client passes over", upgrade::INTERIM_LIMIT.to_string()),
        (
            "what a client reads of the body of a refusal",
            format!("{} and {}", bytes(body::BODY_LIMIT), seconds(refused::BODY_TIME)),
        ),
        ("time for TCP, TLS, HTTP (client: name look-up and id too)", seconds(peer.handshake_timeout)),
        (
            "look-ups of host names that the system has not answered (clients, the whole process)",
            runtime::LOOKUPS.to_string(),
        ),
        (
            "certificates that the platform judges at once (clients, the whole process)",
            checks::CHECKS.to_string(),
        ),
        ("handshakes under way, and refused ones that are not gone", server.max_pending.to_string()),
        ("connections that wait to be accepted", listener::BACKLOG.to_string()),
        ("connected clients", unlimited(server.max_connections)),
        ("connections of one address (IPv6: of one /64)", unlimited(server.max_connections_per_address)),
        ("the header of the PROXY protocol, version 1", bytes(proxy_protocol::LINE_LIMIT)),
        (
            "the same, version 2",
            format!(
                "{}, of which {} are kept",
                bytes(proxy_protocol::HEAD_V2 + usize::from(u16::MAX)),
                proxy_protocol::HEAD_V2 + proxy_protocol::ADDRESSES_V6
            ),
        ),
        ("waiting for the game's word", seconds(admission::PATIENCE)),
        ("what a client sends while it waits for that", bytes(driver::TURN)),
        ("clients that came while the game did not poll", admission::ARRIVALS_LIMIT.to_string()),
        (
            "time of the I/O thread for handshakes, per round",
            format!("{}, or half of what the connected clients took", millis(driver::GREETING)),
        ),
        (
            "log lines about handshakes that failed",
            format!("one per address and minute, {} addresses", log_limit::PLACES),
        ),
        (
            "log lines about other peers that left",
            format!("{} per address and minute", if gate::LIVES == 10 { "ten" } else { "other than ten" }),
        ),
        ("how long a refused client may take to end after its answer", seconds(session::LINGER)),
        (
            "how long the answer to a refused client may take to leave, TLS included",
            seconds(peer.close_timeout),
        ),
        ("bytes received and not taken, per peer", bytes(peer.buffers.input_bytes)),
        ("packets received and not taken, per peer", peer.buffers.input_packets.to_string()),
        (
            "fragments of one message, headers included",
            format!("twice the largest message and {}", bytes(reader::OVERHEAD_LIMIT)),
        ),
        (
            "one turn of reading a connection",
            format!("{}, encrypted and plain", bytes(driver::TURN.max(stream::TURN_LIMIT))),
        ),
        (
            "what all peers together have received and the game has not taken",
            format!("{} MiB", runtime::QUEUES_LIMIT >> 21),
        ),
        (
            "copies of messages that a client of the Godot 3 wire has passed on in one turn",
            format!("{}, or those of one message", relay::RELAY_TURN),
        ),
        ("answers to pings that wait", message::CONTROLS_LIMIT.to_string()),
        ("pings and pongs, however many come", format!("{}, no limit", bytes(driver::TURN))),
        ("other clients that a Godot 3 server may tell a client of", relay::OTHERS_LIMIT.to_string()),
        ("bytes per second, per peer, with what TLS wraps them in", unlimited(server.max_inbound_per_second)),
        ("silence", seconds(peer.heartbeat_timeout)),
        ("bytes that wait for a congested peer", bytes(peer.buffers.output_bytes)),
        ("packets that wait for a congested peer", peer.buffers.output_packets.to_string()),
        ("how long a peer may stay above them", seconds(peer.overflow_grace)),
        ("bytes that wait for a peer that takes data", format!("{} at least", bytes(peer.burst_bytes()))),
        ("packets that wait for a peer that takes data", format!("{} at least", peer.burst_packets())),
        ("backlog above which unreliable packets are dropped", bytes(peer.unreliable_backlog)),
        ("a peer that takes no byte", seconds(peer.write_timeout)),
        ("one turn of writing a connection", bytes(session::WRITE_TURN)),
        (
            "what the game has sent that is taken up in one round",
            format!("{} small packets of one receiver each, or as much else", driver::COMMANDS_TURN),
        ),
        (
            "bytes that the system takes for a peer and cannot send yet",
            format!(
                "{}; {} with those on their way on Windows",
                bytes(listener::NOT_SENT_LOW_WATER as usize),
                bytes(listener::SEND_BUFFER)
            ),
        ),
        ("bytes on their way through a simulated network, per direction", bytes(simulator::IN_FLIGHT)),
        (
            "packets that `packet_refused` tells of while the game does not poll",
            outbox::REFUSED_LIMIT.to_string(),
        ),
        ("what waits in the whole process to be sent", format!("{} MiB", runtime::QUEUES_LIMIT >> 21)),
        ("the closing handshake", seconds(peer.close_timeout)),
        (
            "a peer that is gone, and of whose packets the game takes none although it polls",
            seconds(peer.close_timeout),
        ),
        ("the answer to a message with a violation right behind it", millis(message::ANSWER_TIME)),
    ];
    for (name, figure) in &figures {
        let row = rows.iter().find(|row| row[0] == *name).unwrap_or_else(|| panic!("{name} has a row"));
        assert_eq!(row[2], figure, "{name}");
    }
    for row in &rows {
        let compared = figures.iter().any(|(name, _)| *name == row[0]);
        assert!(compared != IN_WORDS.contains(&row[0]), "{} is neither compared nor in words", row[0]);
    }
    assert_eq!(rows.len(), figures.len() + IN_WORDS.len(), "no row is there twice");

    // What is said in sentences.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (grace, places) = (seconds(limbo::GRACE), server.max_pending / limbo::FAIR_PART);
    assert_eq!(limbo::FAIR_PART, 16);
    assert_eq!(log_limit::PAUSE, Duration::from_mins(1));
    assert_eq!(outbox::PAUSE, Duration::from_mins(1));
    assert_eq!(accept::COMPLAINT_PAUSE, Duration::from_mins(1));
    for sentence in [
        format!("one that has said nothing for {grace};"),
        format!("when its answer has left, and {grace} after it came at the latest;"),
        format!("more than a sixteenth of all ({places})"),
        format!("it is tried again each {}; one warning a minute", millis(accept::ACCEPT_BACKOFF)),
        format!("dropped, after {grace} if others wait"),
        format!("A packet of more than {} that many peers", bytes(SMALL)),
        format!("up to {} KiB that TLS holds", stream::BUFFER_LIMIT >> 10),
        format!("each {} it is tried again", millis(relay::RETRY)),
        format!("passed on all the same, {} in a round or one packet", bytes(relay::BORROWED)),
    ] {
        assert!(text.contains(&sentence), "{sentence}");
    }
}
