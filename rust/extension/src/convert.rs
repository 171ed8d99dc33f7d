//! Between the engine's types and the core's. The only place that knows both kinds of error.

use std::net::IpAddr;

use godot::builtin::{GString, PackedStringArray, VarDictionary, vdict};
use godot::global::Error;
use godot::meta::ToGodot;
use websocket_multiplayer_core::{BindAddress, OpenError, PeerStatistics, SendError, Statistics};

/// The engine's code for an object that did not open.
pub(crate) fn open_error(error: &OpenError) -> Error {
    match error {
        OpenError::AlreadyOpen | OpenError::AddressInUse { .. } => Error::ERR_ALREADY_IN_USE,
        OpenError::Config(_) => Error::ERR_INVALID_PARAMETER,
        OpenError::Tls(_) => Error::ERR_INVALID_DATA,
        _ => Error::ERR_CANT_CREATE,
    }
}

/// The engine's code for a packet that was not taken.
pub(crate) fn send_error(error: SendError) -> Error {
    match error {
        SendError::NotConnected => Error::ERR_UNCONFIGURED,
        SendError::UnknownPeer(_) | SendError::Empty => Error::ERR_INVALID_PARAMETER,
        SendError::TooLarge { .. } | SendError::Full => Error::ERR_OUT_OF_MEMORY,
        SendError::NotUtf8 => Error::ERR_INVALID_DATA,
        _ => Error::FAILED,
    }
}

/// Text lines as a script gives them.
pub(crate) fn strings(lines: &PackedStringArray) -> Vec<String> {
    lines.as_slice().iter().map(GString::to_string).collect()
}

/// `"*"` or an address.
pub(crate) fn bind_address(text: &str) -> Option<BindAddress> {
    match text.trim() {
        "*" => Some(BindAddress::Any),
        text => text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(BindAddress::Ip),
    }
}

/// Headers by name; values of a repeated one are joined by `", "`.
pub(crate) fn headers(lines: Vec<(String, String)>) -> VarDictionary {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in lines {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.extend([", ", &value]),
            None => joined.push((name, value)),
        }
    }
    joined.iter().map(|(name, value)| (name.to_variant(), value.to_variant())).collect()
}

/// `get_statistics()`.
pub(crate) fn statistics(from: &Statistics) -> VarDictionary {
    vdict! {
        "peers" => from.peers as i64,
        "pending" => from.pending as i64,
        "bytes_in" => from.bytes_in as i64,
        "bytes_out" => from.bytes_out as i64,
        "packets_in" => from.packets_in as i64,
        "packets_out" => from.packets_out as i64,
        "packets_refused" => from.packets_refused as i64,
        "packets_dropped_unreliable" => from.packets_dropped_unreliable as i64,
        "packets_to_closed" => from.packets_to_closed as i64,
        "peers_overflowed" => from.peers_overflowed as i64,
        "peers_violated" => from.peers_violated as i64,
        "peers_timed_out" => from.peers_timed_out as i64,
        "reads_paused" => from.reads_paused as i64,
        "pings_unanswered" => from.pings_unanswered as i64,
        "handshakes_refused" => from.handshakes_refused as i64,
        "refused_malformed" => from.refused_malformed as i64,
        "refused_address" => from.refused_address as i64,
        "refused_origin" => from.refused_origin as i64,
        "refused_full" => from.refused_full as i64,
        "refused_handler" => from.refused_handler as i64,
        "refused_busy" => from.refused_busy as i64,
        "handshakes_timed_out" => from.handshakes_timed_out as i64,
        "pending_evicted" => from.pending_evicted as i64,
        "health_checks" => from.health_checks as i64,
        "accept_errors" => from.accept_errors as i64,
        "poll_usec" => from.poll_usec as i64,
        "io_wakeups" => from.io_wakeups as i64,
    }
}

/// `get_peer_statistics()`.
pub(crate) fn peer_statistics(from: &PeerStatistics) -> VarDictionary {
    vdict! {
        "rtt_msec" => from.rtt_msec,
        "bytes_in" => from.bytes_in as i64,
        "bytes_out" => from.bytes_out as i64,
        "packets_in" => from.packets_in as i64,
        "packets_out" => from.packets_out as i64,
        "queued_in_bytes" => from.queued_in_bytes as i64,
        "queued_in_packets" => from.queued_in_packets as i64,
        "queued_out_bytes" => from.queued_out_bytes as i64,
        "queued_out_packets" => from.queued_out_packets as i64,
        "connected_msec" => from.connected_msec as i64,
        "last_receive_msec" => from.last_receive_msec as i64,
        "address" => &GString::from(&from.address),
        "port" => i64::from(from.port),
        "protocol" => &GString::from(&from.protocol),
        "path" => &GString::from(&from.path),
    }
}
