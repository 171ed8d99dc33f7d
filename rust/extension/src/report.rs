//! Error and warning lines about mistakes of a script.

use std::fmt::Display;
use std::panic::Location;

use godot::global::{PrintLevel, PrintRecord, PrintSource, print_custom};

use crate::lines::Line;
use crate::logging;

/// The class that a line is about.
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

/// Prints that a script has called an object on another thread than the main thread. Printed at once: that thread belongs to the
/// script, and borrows nothing of this library.
pub(crate) fn wrong_thread(class: &str, method: &str) {
    let message = format!(
        "{class}.{method}() was not called on the main thread, so it did nothing. Objects can be created and freed on any \
         thread, but must be used on the main thread, for example with call_deferred(). This error is printed once per object."
    );
    let source = PrintSource { function: method, ..PrintSource::caller() };
    print_custom(PrintRecord {
        level: PrintLevel::Error,
        message: &message,
        rationale: None,
        source: Some(source),
        editor_notify: false,
    });
}

/// Queues a line. It is printed when the script's current call returns, because a logger must find nothing borrowed.
#[track_caller]
fn print(level: PrintLevel, function: &str, message: &str) {
    let place = Location::caller();
    logging::queue(Line {
        level,
        message: message.to_owned(),
        function: function.to_owned(),
        file: place.file().to_owned(),
        line: place.line(),
    });
}
