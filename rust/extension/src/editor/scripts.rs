//! The files that a web export gets, and the classes in them.

/// A class by its script.
#[derive(Debug, PartialEq)]
pub(super) struct Class {
    pub(super) name: &'static str,
    /// The engine's class at the end of its bases.
    pub(super) base: &'static str,
    pub(super) path: String,
}

/// Where a file is in the exported game.
pub(super) fn place(name: &str) -> String {
    format!("{ADDON}web/{name}")
}

/// The scripts that have a class name.
pub(super) fn classes() -> impl Iterator<Item = Class> {
    FILES.iter().filter_map(|&(file, text)| {
        let name = value(text, "class_name ")?;
        Some(Class { name, base: base(text), path: place(file) })
    })
}

/// The engine's class that a script extends, maybe by way of other scripts.
fn base(text: &'static str) -> &'static str {
    let extends = value(text, "extends ").unwrap_or("RefCounted");
    let parent = FILES.iter().find(|&&(file, text)| {
        value(text, "class_name ") == Some(extends)
            || extends.trim_matches('"').rsplit('/').next() == Some(file)
    });
    parent.map_or(extends, |&(_, text)| base(text))
}

fn value(text: &'static str, key: &str) -> Option<&'static str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

pub(super) const ADDON: &str = "res://addons/websocket_multiplayer/";

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../web/", $name)))),*] };
}

/// Every file of `rust/extension/web`, with its text.
pub(super) const FILES: &[(&str, &str)] = files![
    "buffered_web_socket_multiplayer_peer.gd",
    "buffered_web_socket_peer.gd",
    "checks.gd",
    "client_state.gd",
    "close_frame.gd",
    "closing_connections.gd",
    "congestion.gd",
    "connection.gd",
    "former_peers.gd",
    "gate.js",
    "gate_page.js",
    "gate_session.js",
    "gated_transport.gd",
    "lone_transport.gd",
    "multiplayer_base.gd",
    "multiplayer_client.gd",
    "packet_queue.gd",
    "project_settings.gd",
    "received_packets.gd",
    "transport.gd",
    "url.gd",
    "web_socket_client.gd",
    "web_socket_server.gd",
    "wire_format.gd",
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_for_the_web_is_exported() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there: Vec<_> = fs::read_dir(folder)
            .expect("the folder of the sources")
            .map(|entry| entry.expect("a file").file_name().into_string().expect("a plain name"))
            .collect();
        there.retain(|name| !name.ends_with(".uid"));
        there.sort();
        let exported: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(exported, there);
    }

    #[test]
    fn the_public_classes_are_found_in_their_scripts() {
        let mut found: Vec<_> = classes().map(|class| (class.name, class.base)).collect();
        found.sort();
        let base = "MultiplayerPeerExtension";
        let expected = [
            ("BufferedWebSocketMultiplayerPeer", base),
            ("BufferedWebSocketPeer", "RefCounted"),
            ("WebSocketClient", base),
            ("WebSocketServer", base),
        ];
        assert_eq!(found, expected);
    }
}
