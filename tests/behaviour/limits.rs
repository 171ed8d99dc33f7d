//! The defaults that `docs/limits.md` names are those of the code.

use std::time::Duration;

use crate::config::{PeerConfig, ServerConfig};

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let text = include_str!("../../docs/limits.md").replace("\r\n", "\n");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.iter().all(|row| row.len() == 5), "five cells in each row");
    let (peer, server) = (PeerConfig::default(), ServerConfig::default());
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    for (name, default) in [
        ("`handshake_timeout`", seconds(peer.handshake_timeout)),
        ("`max_pending_connections`", server.max_pending.to_string()),
        ("`max_connections`", format!("{} (no limit)", server.max_connections)),
        ("`max_connections_per_address`", format!("{} (no limit)", server.max_connections_per_address)),
        ("`max_inbound_kb_per_second`", format!("{} (no limit)", server.max_inbound_per_second)),
        ("`max_in_buffer_kb`, `set_buffers`", format!("{} bytes", peer.buffers.input_bytes)),
        ("`max_in_packets`, `set_buffers`", peer.buffers.input_packets.to_string()),
        ("`max_out_buffer_kb`, `set_buffers`", format!("{} bytes", peer.buffers.output_bytes)),
        ("`max_out_packets`, `set_buffers`", peer.buffers.output_packets.to_string()),
        ("`heartbeat_timeout`", seconds(peer.heartbeat_timeout)),
        ("`overflow_grace`", seconds(peer.overflow_grace)),
        ("16 output buffers", format!("{} bytes at least", peer.burst_bytes())),
        ("16 × `max_out_packets`", format!("{} at least", peer.burst_packets())),
        ("`unreliable_backlog_kb`", format!("{} bytes", peer.unreliable_backlog)),
        ("`write_timeout`", seconds(peer.write_timeout)),
        ("`close_timeout`", seconds(peer.close_timeout)),
    ] {
        let row = rows.iter().find(|row| row[1] == name).unwrap_or_else(|| panic!("{name} has a row"));
        assert_eq!(row[2], default, "{name}");
    }
}
