//! Conversions between the engine's types and the core's. The only file that knows the errors of both.

use std::net::IpAddr;

use godot::builtin::{GString, PackedStringArray, VarDictionary};
use godot::global::Error;
use godot::meta::ToGodot;
use websocket_multiplayer_core::{BindAddress, OpenError, SendError, Value};

/// The engine's error code for an object that did not open.
pub(crate) fn open_error(error: &OpenError) -> Error {
    match error {
        OpenError::AlreadyOpen | OpenError::AddressInUse { .. } => Error::ERR_ALREADY_IN_USE,
        OpenError::Config(_) => Error::ERR_INVALID_PARAMETER,
        OpenError::Tls(_) => Error::ERR_INVALID_DATA,
        _ => Error::ERR_CANT_CREATE,
    }
}

/// The engine's error code for a packet that was not sent.
pub(crate) fn send_error(error: SendError) -> Error {
    match error {
        SendError::NotConnected => Error::ERR_UNCONFIGURED,
        SendError::UnknownPeer(_) | SendError::Empty => Error::ERR_INVALID_PARAMETER,
        SendError::TooLarge { .. } | SendError::Full => Error::ERR_OUT_OF_MEMORY,
        SendError::NotUtf8 => Error::ERR_INVALID_DATA,
        _ => Error::FAILED,
    }
}

/// The strings of an array.
pub(crate) fn strings(lines: &PackedStringArray) -> Vec<String> {
    lines.as_slice().iter().map(GString::to_string).collect()
}

/// Parses `"*"` or an IP address.
pub(crate) fn bind_address(text: &str) -> Option<BindAddress> {
    match text.trim() {
        "*" => Some(BindAddress::Any),
        text => text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(BindAddress::Ip),
    }
}

/// The headers as a dictionary; the values of a repeated header are joined by `", "`.
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

/// `get_statistics()` or `get_peer_statistics()`.
pub(crate) fn dictionary<'a>(figures: impl Iterator<Item = (&'static str, Value<'a>)>) -> VarDictionary {
    let mut dictionary = VarDictionary::new();
    for (name, value) in figures {
        match value {
            Value::Integer(number) => dictionary.set(name, number),
            Value::Float(number) => dictionary.set(name, number),
            Value::Text(text) => dictionary.set(name, &GString::from(text)),
        }
    }
    dictionary
}

#[cfg(test)]
mod tests {
    use websocket_multiplayer_core::{Figure, PeerStatistics, Statistics};

    #[test]
    fn the_help_of_the_classes_names_every_figure() {
        let source = include_str!("common.rs");
        let help = |beginning: &str| {
            let (_, rest) = source.split_once(beginning).expect("the comment begins like this");
            rest.split("#[func]").next().unwrap_or_default()
        };
        let missing = |figures: &[Figure], beginning: &str| {
            let names = figures.iter().map(|figure| format!("`{}`", figure.name));
            names.filter(|name| !help(beginning).contains(name)).collect::<Vec<_>>()
        };
        let nothing: [String; 0] = [];
        assert_eq!(
            missing(Statistics::FIGURES, "/// Returns the totals since the object was opened:"),
            nothing
        );
        assert_eq!(missing(PeerStatistics::FIGURES, "/// Returns the statistics of one peer:"), nothing);
    }
}
