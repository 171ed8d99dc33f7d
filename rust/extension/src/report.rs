//! One readable line for what a script did wrong.

use std::fmt::Display;

use godot::global::{PrintLevel, PrintRecord, PrintSource, print_custom};

/// Which class speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `WebSocketServer`.
    Server,
    /// `WebSocketClient`.
    Client,
    /// `BufferedWebSocketMultiplayerPeer`: either role.
    Either,
    /// `BufferedWebSocketPeer`: the handle of one connection.
    Handle,
}

impl Kind {
    /// The name that scripts use.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Server => "WebSocketServer",
            Self::Client => "WebSocketClient",
            Self::Either if cfg!(feature = "engine-names") => "WebSocketMultiplayerPeer",
            Self::Either => "BufferedWebSocketMultiplayerPeer",
            Self::Handle if cfg!(feature = "engine-names") => "WebSocketPeer",
            Self::Handle => "BufferedWebSocketPeer",
        }
    }

    /// What opens an object of this class.
    pub(crate) const fn opener(self) -> &'static str {
        match self {
            Self::Server => "listen()",
            Self::Client => "connect_to_url()",
            Self::Either => "create_server() or create_client()",
            Self::Handle => "get_peer() of a connected object",
        }
    }

    /// Prints one error line that names class and method.
    #[track_caller]
    pub(crate) fn error(self, method: &str, why: impl Display) {
        print(PrintLevel::Error, method, &format!("{}.{method}(): {why}.", self.class()));
    }

    /// The same for a property.
    #[track_caller]
    pub(crate) fn property_error(self, property: &str, why: impl Display) {
        print(PrintLevel::Error, property, &format!("{}.{property}: {why}.", self.class()));
    }
}

/// Prints one warning.
#[track_caller]
pub(crate) fn warning(text: &str) {
    print(PrintLevel::Warn, "", text);
}

#[track_caller]
fn print(level: PrintLevel, function: &str, message: &str) {
    let source = PrintSource { function, ..PrintSource::caller() };
    print_custom(PrintRecord { level, message, rationale: None, source: Some(source), editor_notify: false });
}
