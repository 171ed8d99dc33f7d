//! Buffered WebSocket peers for multiplayer games, without any engine.
//!
//! A [`Peer`] is one server or one client. Its sockets have an I/O thread of their own. The game's thread calls [`Peer::begin_poll`] and
//! [`Peer::next_event`] once per frame, and takes packets at any time. These calls do not block; a program without frames can call
//! [`Peer::wait`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use websocket_multiplayer_core::{Event, Mode, Peer, PeerConfig, Runtime, ServerConfig, WireFormat};
//!
//! let runtime = Runtime::new();
//! let mut server = Peer::new(runtime);
//! let peer = PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot4), ..PeerConfig::default() };
//! server.listen(ServerConfig { peer, port: 9080, ..ServerConfig::default() })?;
//! loop {
//!     server.wait(Duration::from_secs(1));
//!     server.begin_poll();
//!     while let Some(event) = server.next_event(false) {
//!         if let Event::PeerConnected { id, .. } = event {
//!             println!("hello {id}");
//!         }
//!     }
//!     while let Some(packet) = server.pop_packet() {
//!         println!("{} bytes from {}", packet.payload.len(), packet.source);
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), websocket_multiplayer_core::OpenError>(())
//! ```
//!
//! # Limits
//!
//! | limit | default | beyond it |
//! |---|---|---|
//! | head of a request or response | 16 KiB, 128 lines | status 431, or the client gives up |
//! | interim responses (1xx) before the final one | 16 | the client gives up |
//! | body of a rejection that a client reads | 4096 bytes, 1 s | the rest is missing in [`Peer::last_error`] |
//! | received packets that the game has not taken, per peer | 64 KiB, 1024 packets | the peer is not read until the game takes some |
//! | one received message | the input buffer | Close 1009 |
//! | fragments of one message | twice the largest message and 64 KiB in all | Close 1008 |
//! | waiting for a peer that takes data | 16 output buffers, at least 4 MiB | as for a congested peer |
//! | waiting for a congested peer | 64 KiB, 1024 packets | [`OverflowPolicy`] |
//! | pongs that wait | 64 | only the last ping is answered |
//! | in flight on an emulated network | 1 MiB in each direction | the session waits, or the socket is not read |
//! | all queues of a process, half for each direction | 512 MiB | [`SendError::Full`], or dropped if unreliable |
//! | pending connections: handshakes, and rejected connections that are not closed | 1024 | clients wait in the backlog of 1024; the server evicts some |
//! | a request that waits for the game's decision | 30 s | status 503 |
//! | a rejected connection that the client does not close | 1 s | it is dropped |
//! | clients that connect while the game does not poll | 4096 | status 503 |
//! | peers that a Godot 3 server announces | 65,536 | Close 1008 |
//! | log lines about failed handshakes | one per address and minute, 1024 addresses | counted in the next line |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod access;
mod base;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod channel;
mod conditions;
mod config;
mod decision;
mod deflate;
mod event;
mod http;
mod hub;
mod net;
mod peer;
mod session;
mod sync;
#[cfg(any(test, fuzzing, feature = "bench"))]
mod testing;
mod tls;
mod wire;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing)))]
mod fuzzing;

#[cfg(test)]
#[path = "../../../tests/behaviour/mod.rs"]
mod behaviour;
#[cfg(test)]
#[path = "../../../tests/layers.rs"]
mod layers;

pub use access::network::Network;
pub use access::origin::OriginPattern;
#[doc(hidden)]
pub use access::{Malformed, client_address};
pub use base::{
    CloseFrame, CloseReason, ConfigError, ConnId, Delivery, Packet, PeerId, Phase, SendError, Side, Target,
};
pub use channel::{Figure, PeerState, PeerStatistics, Statistics, Unit, Value};
pub use conditions::Conditions;
pub use config::{
    BindAddress, Buffers, ClientConfig, Compression, Mode, OverflowPolicy, PeerConfig, ServerConfig,
    WireFormat, check_header_lines, check_page_path, check_protocols, check_proxy_header,
};
pub use decision::{AdmissionDecision, DecisionError};
pub use event::{ConnectionRequest, Event};
pub use http::Url;
pub use net::{Library, OpenError, Runtime};
pub use peer::{Load, Observer, Peer, PeerHandle, Status};
pub use session::Role;
pub use tls::{TlsClient, TlsError, TlsServer, Trust};
