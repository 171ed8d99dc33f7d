//! `docs/limits.md` agrees with the code.

use std::time::Duration;

use crate::access::{log_limit, rules};
use crate::channel::{QueueTotals, complaint};
use crate::config::{PeerConfig, ServerConfig};
use crate::deflate::{Decoder, Encoder, Meter, Window};
use crate::http::{body, head};
use crate::hub::{self, INLINE_MAX, accept, admission, folding, pairs, pending, relay, resume, round};
use crate::net::{checks, emulator, listener, runtime};
use crate::peer::sender;
use crate::session::{self, codecs, control, message, outbox, pool, reader, upgrade};
use crate::tls::stream;
use crate::wire::{proxy_protocol, relay_list};

/// Rows whose figures are not compared here: texts, and limits of other libraries, which have their own tests.
const IN_WORDS: [&str; 19] = [
    "open files of the process",
    "origins of web pages",
    "the game's decision",
    "one message",
    // Tested in tests/behaviour/compression.rs.
    "one message that was [compressed](guide/compression.md)",
    // Tested in tests/behaviour/tls.rs.
    "a TLS handshake message, with the records that carry it",
    "consecutive records without content, with or without padding",
    "consecutive key updates without data in between (TLS 1.3)",
    "requests to renegotiate (TLS 1.2)",
    "warning alerts",
    "`peer_congested` and `peer_drained` that wait for a poll",
    "`peer_suspended` and `peer_resumed` that wait for a poll",
    // Tested in tests/behaviour/resume_rules.rs.
    "bytes that wait for a suspended peer, while the queues of the process are nearly full",
    "connections above `max_connections_per_address`, to come back",
    "data behind a Close frame",
    "log lines about peers that reached a limit (slow, silent, or in violation of the protocol)",
    // Shown by tests/behaviour/control.rs.
    "`ack` messages that wait to be sent",
    // Tested in rust/core/src/access/metrics.rs.
    "page of metrics",
    // Compared in rust/extension/src/lines.rs.
    "log lines that wait for the main thread to print them",
];

/// Returns the memory that a codec counts.
fn held<T>(make: impl FnOnce(&Meter) -> T) -> usize {
    let meter = Meter::default();
    let _codec = make(&meter);
    meter.bytes()
}

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
    let largest = Window::new(15).expect("it is one");
    let unlimited = |count: usize| {
        assert_eq!(count, 0);
        "0 (no limit)".to_owned()
    };
    let figures = [
        ("head of an HTTP request or response", bytes(head::HEAD_LIMIT)),
        ("header lines in a head", head::HEADERS_LIMIT.to_string()),
        ("interim responses (1xx) that a client skips", upgrade::INTERIM_LIMIT.to_string()),
        (
            "body of a rejection that a client reads",
            format!("{} and {}", bytes(body::BODY_LIMIT), seconds(upgrade::BODY_TIME)),
        ),
        (
            "handshake: TCP, TLS and HTTP (on a client also the name look-up and the peer id)",
            seconds(peer.handshake_timeout),
        ),
        (
            "name look-ups that the system has not answered (clients, whole process)",
            runtime::LOOKUPS.to_string(),
        ),
        (
            "certificates that the platform verifies at the same time (clients, whole process)",
            checks::CHECKS.to_string(),
        ),
        ("pending connections", server.max_pending.to_string()),
        ("backlog: connections that wait to be accepted", listener::BACKLOG.to_string()),
        ("connected clients", unlimited(server.max_connections)),
        ("connections from one address (IPv6: from one /64)", unlimited(server.max_connections_per_address)),
        ("PROXY protocol header, version 1", bytes(proxy_protocol::LINE_LIMIT)),
        (
            "PROXY protocol header, version 2",
            format!(
                "{}, of which {} are kept",
                bytes(proxy_protocol::HEAD_V2 + usize::from(u16::MAX)),
                proxy_protocol::HEAD_V2 + proxy_protocol::ADDRESSES_V6
            ),
        ),
        ("time for the game's decision", seconds(admission::DECISION_TIMEOUT)),
        ("bytes that a client sends while the game decides", bytes(hub::TURN)),
        ("clients that connected while the game did not poll", admission::ARRIVALS_LIMIT.to_string()),
        (
            "time of the I/O thread for handshakes, per round",
            format!("{}, or half of the time that connected clients took", millis(round::HANDSHAKES_TURN)),
        ),
        (
            "log lines about failed handshakes",
            format!("one per address and minute, {} addresses", log_limit::PLACES),
        ),
        (
            "log lines about other peers that disconnected",
            format!("{} per address and minute", if rules::LIVES == 10 { "ten" } else { "other than ten" }),
        ),
        ("time for a rejected client to close its side after the response", seconds(session::LINGER)),
        ("time to send the response to a rejected client, TLS included", seconds(peer.close_timeout)),
        ("bytes received and not taken by the game, per peer", bytes(peer.buffers.input_bytes)),
        ("packets received and not taken by the game, per peer", peer.buffers.input_packets.to_string()),
        (
            "fragments of one message, headers included",
            format!("twice the largest message and {}", bytes(reader::OVERHEAD_LIMIT)),
        ),
        (
            "the same as it comes",
            format!(
                "the largest message, a quarter of it, and {}",
                bytes(reader::compressed_limit(4000) - 4000 - 1000)
            ),
        ),
        (
            "work of inflating in one turn of reading a connection: a byte of output counts 1, a byte of input 16, \
             each call and each new stream 1024",
            codecs::INFLATE_TURN.to_string(),
        ),
        (
            "the same for all connections in one round",
            format!("{}, and {} of each connection beyond", codecs::INFLATE_ROUND, codecs::INFLATE_LEAST),
        ),
        (
            "messages that inflate to more than 65536 bytes, at a time",
            format!(
                "as many as {} are, {} at most, and 1 at least",
                bytes(codecs::INFLATING_BYTES),
                codecs::INFLATING
            ),
        ),
        (
            "memory to inflate",
            format!(
                "{}, for each message that takes more than one turn, {} and up to {} large ones at a time, or for each \
                 peer with `COMPRESSION_DEDICATED`",
                bytes(held(Decoder::new)),
                codecs::LENT,
                codecs::INFLATING
            ),
        ),
        (
            "one turn of reading a connection",
            format!("{}, encrypted and plain", bytes(hub::TURN.max(stream::TURN_LIMIT))),
        ),
        (
            "bytes received from all peers and not taken by the game (whole process)",
            format!("{} MiB", runtime::QUEUES_LIMIT >> 21),
        ),
        (
            "copies that the relay of the Godot 3 wire makes for one client in one turn",
            format!("{}, or those of one message", relay::RELAY_TURN),
        ),
        (
            "clients between which `relay_on_io_thread` relays",
            format!("{} that know each other", pairs::PLACES),
        ),
        (
            "targets of messages for several clients, from one client in one turn",
            format!(
                "{} and {} of copies, or those of one message more; a definition counts its targets",
                relay::RELAY_TURN,
                bytes(relay::RELAY_TURN * relay_list::COPIED)
            ),
        ),
        (
            "lists of a client that sends [messages for several clients](protocol.md#lists-one-message-for-several-clients)",
            relay_list::LISTS.to_string(),
        ),
        (
            "targets of all these lists together, 6 bytes each",
            format!(
                "{}, or half of `max_in_packets`, or as many as `max_message_size_kb` allows, at the time of the handshake",
                relay_list::TARGETS
            ),
        ),
        (
            "time that a client's packet for other clients waits for its copies, where [lists](protocol.md#lists-one-message-for-several-clients) are agreed on",
            millis(folding::HOLD),
        ),
        ("packets of a client that wait so at a time", folding::MOST_HELD.to_string()),
        ("one packet that waits so", bytes(folding::LONGEST)),
        (
            "bytes that a message for several clients stands for",
            format!(
                "{}, or half of the input buffer or of `max_inbound_kb_per_second` at the time of the handshake",
                bytes(relay_list::BYTES)
            ),
        ),
        ("pongs that wait to be sent", message::CONTROLS_LIMIT.to_string()),
        (
            "one control message (text) of a client that offered [`alive`](protocol.md)",
            bytes(control::LONGEST),
        ),
        ("pings and pongs received", format!("{}, no limit", bytes(hub::TURN))),
        (
            "other clients that a Godot 3 server may announce to a client",
            relay::REMOTE_PEERS_LIMIT.to_string(),
        ),
        ("bytes per second from one peer, TLS overhead included", unlimited(server.max_inbound_per_second)),
        ("silence", seconds(peer.heartbeat_timeout)),
        ("bytes that wait for a congested peer", bytes(peer.buffers.output_bytes)),
        ("packets that wait for a congested peer", peer.buffers.output_packets.to_string()),
        ("time that a congested peer may stay above these two", seconds(peer.overflow_grace)),
        (
            "bytes that wait for a peer that is not congested",
            format!("{} at least", bytes(peer.burst_bytes())),
        ),
        ("packets that wait for a peer that is not congested", format!("{} at least", peer.burst_packets())),
        ("backlog above which unreliable packets are dropped", bytes(peer.unreliable_backlog)),
        ("time that a peer may accept no byte while data waits", seconds(peer.write_timeout)),
        ("one turn of writing a connection", bytes(session::WRITE_TURN)),
        (
            "bytes that are compressed in one round; each message, or piece of one, counts 1024 more",
            format!("{}, and {} of each connection beyond", codecs::COMPRESS_ROUND, codecs::LEAST_PIECE),
        ),
        ("the same at once", bytes(codecs::PIECE)),
        (
            "turns in which a large message waits, because those of other peers are compressed (`COMPRESSION_SHARED`)",
            outbox::MOST_TURNS.to_string(),
        ),
        ("peers of a server with `COMPRESSION_DEDICATED`", pool::DEDICATED.to_string()),
        (
            "memory to compress for a peer with `COMPRESSION_DEDICATED`",
            bytes(held(|meter| Encoder::dedicated(largest, meter))),
        ),
        (
            "memory to compress for all others",
            format!(
                "{} times up to {}, and {}",
                // One for what is compressed in pieces, and one for the others.
                2 * Window::COUNT,
                bytes(held(|meter| Encoder::shared(largest, meter))),
                bytes(codecs::SCRATCH)
            ),
        ),
        (
            "sent packets that the I/O thread takes up in one round",
            format!(
                "{} small packets with one receiver each, or as much work with others",
                round::COMMANDS_TURN
            ),
        ),
        (
            "unsent bytes that the operating system holds for one peer",
            format!(
                "{}; {} with those in flight on Windows",
                bytes(listener::NOT_SENT_LOW_WATER as usize),
                bytes(listener::SEND_BUFFER)
            ),
        ),
        ("bytes in flight on a simulated network, per direction", bytes(emulator::IN_FLIGHT)),
        ("`packet_refused` signals that wait for a poll", sender::REFUSED_LIMIT.to_string()),
        ("bytes that wait to be sent (whole process)", format!("{} MiB", runtime::QUEUES_LIMIT >> 21)),
        (
            "time without a connection",
            format!("0 (no sessions), {} at most", seconds(PeerConfig::RESUME_MAX)),
        ),
        ("the same for a client that has not confirmed its session", seconds(peer.handshake_timeout)),
        (
            "silence after which a client gives its connection up",
            format!("{}; it asks after {}", seconds(resume::CLIENT_GUARD.1), millis(resume::CLIENT_GUARD.0)),
        ),
        (
            "silence after which a server gives a connection up",
            format!("{}; it asks after {}", seconds(resume::SERVER_GUARD.1), seconds(resume::SERVER_GUARD.0)),
        ),
        ("suspended peers of a server", resume::SUSPENDED_MOST.to_string()),
        ("bytes that wait for a suspended peer", format!("{} at least", bytes(peer.burst_bytes()))),
        ("packets that wait for a suspended peer", format!("{} at least", peer.burst_packets())),
        (
            "the same while less than an eighth of the room is left",
            format!(
                "1/{} of the room, {}, or an equal part of what has to go if that is more",
                8 * resume::SUSPENDED_MOST,
                bytes(QueueTotals::new(runtime::QUEUES_LIMIT).outgoing.reserve() / resume::SUSPENDED_MOST)
            ),
        ),
        ("bytes sent and not acknowledged, per peer", format!("{} at least", bytes(peer.burst_bytes()))),
        ("the same in packets", session::FORGET_PACKETS.to_string()),
        ("frames to write again that count as one more return", resume::FRAMES.to_string()),
        ("returns of one peer", format!("one per second, {} at once", resume::BURST)),
        ("ended sessions that are remembered", format!("{}, for `resume_timeout`", resume::TOMBSTONES)),
        ("time of one attempt of a client to come back", format!("{} at least", seconds(resume::ATTEMPT))),
        (
            "time above the output limits of a congested peer with a session",
            format!("{} at least", seconds(hub::STALL)),
        ),
        ("answers that the session is unknown", resume::UNKNOWN_MOST.to_string()),
        ("the closing handshake", seconds(peer.close_timeout)),
        (
            "time that the end of a peer waits for unread packets, if the game polls and takes none",
            seconds(peer.close_timeout),
        ),
        ("time to answer the last message before a violation", millis(message::ANSWER_TIME)),
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

    // Figures in sentences.
    assert_eq!((codecs::INFLATE_FREE, codecs::MESSAGE_WORK), (65536, 1024));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (grace, places) = (seconds(pending::PENDING_GRACE), server.max_pending / pending::FAIR_SHARE);
    assert_eq!(pending::FAIR_SHARE, 16);
    assert_eq!(log_limit::PAUSE, Duration::from_mins(1));
    assert_eq!(complaint::PAUSE, Duration::from_mins(1));
    assert_eq!(accept::COMPLAINT_PAUSE, Duration::from_mins(1));
    for sentence in [
        format!("a connection that has sent nothing for {grace} after"),
        format!("whose response has been sent, or that was accepted more than {grace} ago"),
        format!("still pending {grace} after its first byte"),
        format!("more than one sixteenth of all places ({places})"),
        format!("accepting is retried every {}; one warning per minute", millis(accept::ACCEPT_BACKOFF)),
        format!("dropped; after {grace} if other clients wait"),
        format!("A packet of more than {} that many peers", bytes(INLINE_MAX)),
        format!("up to {} KiB that TLS holds", stream::BUFFER_LIMIT >> 10),
        format!("every {} this is tried again", millis(relay::RETRY)),
        format!("still relayed, up to {} per round, or one packet", bytes(relay::BORROWED)),
    ] {
        assert!(text.contains(&sentence), "{sentence}");
    }
}
