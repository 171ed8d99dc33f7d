//! `BufferedWebSocketPeer`: the handle of one connection.

#![expect(
    clippy::needless_pass_by_ref_mut,
    reason = "a method that takes `&self` is const to scripts, and sending is not"
)]

use godot::builtin::{GString, PackedByteArray, VarDictionary, Variant};
use godot::classes::{IPacketPeerExtension, PacketPeerExtension};
use godot::global::Error;
use godot::obj::{Base, Gd, NewGd};
use godot::register::property::PhantomVar;
use godot::register::{GodotClass, godot_api};
use websocket_multiplayer_core::{CloseFrame, Packet, PeerHandle, PeerState, SendError};

use crate::convert;
use crate::raw;
use crate::report::Kind;
use crate::tuning;
use crate::virtuals::guarded;

/// The handle of one connection, returned by `get_peer()` of `WebSocketServer`, `WebSocketClient` and
/// `BufferedWebSocketMultiplayerPeer`.
///
/// In raw mode it is a `PacketPeer` in which each message is one packet. In multiplayer mode, packets go through the
/// multiplayer peer, and the handle only gives information about the connection. A handle stays valid after the connection has ended,
/// in the state `STATE_CLOSED`.
/// ```gdscript
/// var client := WebSocketClient.new()
///
/// func _ready() -> void:
///     client.connection_established.connect(_greet)
///     client.data_received.connect(_read)
///     client.connect_to_url("ws://127.0.0.1:9080")
///
/// func _process(_delta: float) -> void:
///     client.poll()
///
/// func _greet(_protocol: String) -> void:
///     client.get_peer(1).send_text("hello")
///
/// func _read() -> void:
///     var peer := client.get_peer(1)
///     var message := peer.get_packet()
///     if peer.was_string_packet():
///         print(message.get_string_from_utf8())
/// ```
#[derive(GodotClass)]
#[cfg_attr(feature = "engine-names", class(init, tool, base = PacketPeerExtension, rename = WebSocketPeer))]
#[cfg_attr(not(feature = "engine-names"), class(init, tool, base = PacketPeerExtension, rename = BufferedWebSocketPeer))]
pub(crate) struct WebSocketPeer {
    base: Base<PacketPeerExtension>,

    /// The time between two pings to this peer, in seconds. If 0, no pings are sent. The default is the `heartbeat_interval` of the
    /// object that returned this handle. Must be less than the `heartbeat_timeout` of that object, unless that is 0.
    #[var(get = get_heartbeat_interval, set = set_heartbeat_interval)]
    heartbeat_interval: PhantomVar<f64>,

    connection: Option<Connection>,
    /// Whether `put_packet()` sends text.
    write_text: bool,
    /// Whether the packet in `current` came as text.
    text: bool,
    /// The engine reads the last packet until it asks for the next one.
    current: Option<Packet>,
}

/// What the handle object has from the object that created it.
pub(crate) struct Connection {
    pub(crate) handle: PeerHandle,
    pub(crate) multiplayer: bool,
    pub(crate) max_packet_size: i32,
    /// The setting to raise for larger packets.
    pub(crate) output_setting: &'static str,
    /// From the server's request handler.
    pub(crate) meta: Variant,
}

impl WebSocketPeer {
    /// Makes the object for a connection.
    pub(crate) fn of(connection: Connection) -> Gd<Self> {
        let mut object = Self::new_gd();
        object.bind_mut().connection = Some(connection);
        object
    }

    fn handle(&self) -> Option<&PeerHandle> {
        self.connection.as_ref().map(|connection| &connection.handle)
    }

    fn state(&self) -> PeerState {
        self.handle().map_or(PeerState::Closed, PeerHandle::state)
    }

    /// The connection, if it is in raw mode; otherwise prints a line and returns the engine's error code.
    fn raw(&self, method: &str) -> Result<&Connection, Error> {
        match &self.connection {
            Some(connection) if !connection.multiplayer => Ok(connection),
            Some(_) => {
                KIND.error(method, "in multiplayer mode packets go through the multiplayer peer, not through the handle of a connection");
                Err(Error::ERR_UNCONFIGURED)
            }
            None => {
                KIND.error(method, format_args!("not connected; handles come from {}", KIND.opener()));
                Err(Error::FAILED)
            }
        }
    }

    fn transmit(&self, method: &str, payload: &[u8], text: bool) -> Error {
        let connection = match self.raw(method) {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        let Err(error) = connection.handle.send(payload, text) else { return Error::OK };
        match error {
            // A normal outcome: the caller reads it and tries later.
            SendError::Full => {}
            SendError::NotConnected => {
                KIND.error(method, "not connected");
                // What both the 3.6 and the 4.x class answer.
                return Error::FAILED;
            }
            SendError::TooLarge { .. } => {
                KIND.error(method, format_args!("{error}; raise {}", connection.output_setting))
            }
            error => KIND.error(method, error),
        }
        convert::send_error(error)
    }

    fn take_packet(&mut self) -> Result<&Packet, Error> {
        let connection = self.raw("get_packet")?;
        let Some(packet) = connection.handle.pop_packet() else {
            KIND.error("get_packet", "there is no packet; check get_available_packet_count() first");
            return Err(Error::ERR_UNAVAILABLE);
        };
        self.text = packet.text;
        Ok(self.current.insert(packet))
    }
}

#[allow(unsafe_code, reason = "two virtuals of the engine take raw pointers")]
#[godot_api]
impl IPacketPeerExtension for WebSocketPeer {
    fn get_available_packet_count(&self) -> i32 {
        guarded(0, || match &self.connection {
            Some(connection) if !connection.multiplayer => {
                i32::try_from(connection.handle.packet_count()).unwrap_or(i32::MAX)
            }
            _ => 0,
        })
    }

    fn get_max_packet_size(&self) -> i32 {
        self.connection.as_ref().map_or(0, |connection| connection.max_packet_size)
    }

    unsafe fn get_packet_rawptr(&mut self, r_buffer: raw::BufferOut, r_buffer_size: raw::SizeOut) -> Error {
        guarded(Error::FAILED, || {
            // SAFETY: the engine's own pointers; `current` keeps the packet until the next get_packet.
            unsafe { raw::return_packet(r_buffer, r_buffer_size, self.take_packet()) }
        })
    }

    unsafe fn put_packet_rawptr(&mut self, p_buffer: raw::BufferIn, p_buffer_size: i32) -> Error {
        guarded(Error::FAILED, || {
            // SAFETY: the engine's own buffer, used in this call only.
            let payload = unsafe { raw::packet_from_engine(p_buffer, p_buffer_size) };
            self.transmit("put_packet", payload, self.write_text)
        })
    }
}

#[godot_api]
impl WebSocketPeer {
    /// `put_packet()` and `put_var()` send text messages.
    #[constant]
    const WRITE_MODE_TEXT: i64 = 0;

    /// `put_packet()` and `put_var()` send binary messages.
    #[constant]
    const WRITE_MODE_BINARY: i64 = 1;

    /// The peer is connecting.
    #[constant]
    const STATE_CONNECTING: i64 = PeerState::Connecting as i64;

    /// The peer is connected; messages can be sent.
    #[constant]
    const STATE_OPEN: i64 = PeerState::Open as i64;

    /// The closing handshake has begun.
    #[constant]
    const STATE_CLOSING: i64 = PeerState::Closing as i64;

    /// The connection has ended.
    #[constant]
    const STATE_CLOSED: i64 = PeerState::Closed as i64;

    /// Closes the connection with a Close frame. Messages that were sent before are still delivered. `code` is 1000 to 4999 except
    /// 1004 to 1006 and 1015; `reason` has at most 123 bytes of UTF-8. Does nothing if the connection is closed already.
    ///
    /// A negative `code` drops the connection at once, without a Close frame; earlier messages that the operating system has not
    /// accepted yet are lost. In both cases the disconnect signal follows from `poll()`.
    #[func]
    fn close(&mut self, #[opt(default = 1000)] code: i64, #[opt(default = "")] reason: GString) {
        if code < 0 {
            if let Some(handle) = self.handle() {
                handle.abort();
            }
            return;
        }
        match (CloseFrame::new(code, &reason.to_string()), self.handle()) {
            (Ok(frame), Some(handle)) => handle.close(frame),
            (Ok(_), None) => {}
            (Err(error), _) => KIND.error("close", error),
        }
    }

    /// Returns the IP address of the other side, or an empty string if it is not known.
    #[func]
    fn get_connected_host(&self) -> GString {
        self.text_of(PeerHandle::address)
    }

    /// Returns the TCP port of the other side, or 0 if it is not known.
    #[func]
    fn get_connected_port(&self) -> i64 {
        self.handle().map_or(0, |handle| i64::from(handle.port()))
    }

    /// Returns the number of bytes that wait to be sent.
    #[func]
    fn get_current_outbound_buffered_amount(&self) -> i64 {
        self.handle().map_or(0, |handle| handle.queued_out_bytes() as i64)
    }

    /// Returns the kind of message that `put_packet()` and `put_var()` send: `WRITE_MODE_TEXT` or `WRITE_MODE_BINARY` (the default).
    #[func]
    fn get_write_mode(&self) -> i64 {
        if self.write_text { Self::WRITE_MODE_TEXT } else { Self::WRITE_MODE_BINARY }
    }

    /// Sets the kind of message that `put_packet()` and `put_var()` send. In text mode, they return `ERR_INVALID_DATA` for bytes that
    /// are not valid UTF-8.
    #[func]
    fn set_write_mode(&mut self, mode: i64) {
        if let Ok(text) = is_text("set_write_mode", mode) {
            self.write_text = text;
        }
    }

    /// Returns `true` if messages can be sent.
    #[func]
    fn is_connected_to_host(&self) -> bool {
        self.state() == PeerState::Open
    }

    /// If `enabled` is `true` (the default), small messages are sent at once (TCP_NODELAY).
    #[func]
    fn set_no_delay(&mut self, enabled: bool) {
        if let Some(handle) = self.handle() {
            handle.set_no_delay(enabled);
        }
    }

    /// Returns `true` if the last packet that was read was a text message.
    #[func]
    fn was_string_packet(&self) -> bool {
        self.text
    }

    /// Returns the path and the query: on a server those of the client's request, on a client those of the URL.
    #[func]
    fn get_requested_path(&self) -> GString {
        self.text_of(PeerHandle::path)
    }

    /// Returns the URL: on a server that of the client's request, on a client the one that it connected to.
    #[func]
    fn get_requested_url(&self) -> GString {
        self.text_of(PeerHandle::requested_url)
    }

    /// Returns the headers of the client's request on a server, with names in lower case. The values of a repeated header are
    /// joined by `", "`.
    #[func]
    fn get_request_headers(&self) -> VarDictionary {
        convert::headers(self.handle().map(PeerHandle::headers).unwrap_or_default())
    }

    /// Returns the `meta` that the server's `request_handler` has attached to this connection, or null.
    #[func]
    fn get_handshake_meta(&self) -> Variant {
        self.connection.as_ref().map_or_else(Variant::nil, |connection| connection.meta.clone())
    }

    /// Returns the negotiated subprotocol, or an empty string.
    #[func]
    fn get_selected_protocol(&self) -> GString {
        self.text_of(PeerHandle::protocol)
    }

    /// Returns `STATE_CONNECTING`, `STATE_OPEN`, `STATE_CLOSING` or `STATE_CLOSED`.
    #[func]
    fn get_ready_state(&self) -> i64 {
        self.state() as i64
    }

    /// Returns the code of the Close frame that ended the connection, or -1 if there was none.
    #[func]
    fn get_close_code(&self) -> i64 {
        self.handle().map_or(-1, |handle| i64::from(handle.close_code()))
    }

    /// Returns the reason in the Close frame that ended the connection.
    #[func]
    fn get_close_reason(&self) -> GString {
        self.text_of(PeerHandle::close_reason)
    }

    /// Sends a message as binary data or as text, regardless of `set_write_mode()`. Returns the same errors as `put_packet()`, and
    /// `ERR_INVALID_PARAMETER` for an unknown `write_mode`.
    #[func]
    fn send(&mut self, message: PackedByteArray, #[opt(default = 1)] write_mode: i64) -> Error {
        match is_text("send", write_mode) {
            Ok(text) => self.transmit("send", message.as_slice(), text),
            Err(error) => error,
        }
    }

    /// Sends a text message. Returns the same errors as `put_packet()`.
    #[func]
    fn send_text(&mut self, message: GString) -> Error {
        self.transmit("send_text", message.to_string().as_bytes(), true)
    }

    /// Sends a message, which may be empty.
    ///
    /// Returns `FAILED` when not connected, `ERR_UNCONFIGURED` in multiplayer mode, `ERR_OUT_OF_MEMORY` for a message that is larger
    /// than the output buffer or finds no room, and `ERR_INVALID_DATA` for text that is not valid UTF-8.
    // The engine's own put_packet() returns OK for an empty message without calling the extension.
    #[func(rename = put_packet)]
    fn put_message(&mut self, buffer: PackedByteArray) -> Error {
        self.transmit("put_packet", buffer.as_slice(), self.write_text)
    }

    #[func]
    fn get_heartbeat_interval(&self) -> f64 {
        self.handle().map_or(0.0, |handle| handle.heartbeat_interval().as_secs_f64())
    }

    #[func]
    fn set_heartbeat_interval(&mut self, seconds: f64) {
        let Some(handle) = self.handle() else {
            return KIND.property_error(
                "heartbeat_interval",
                format_args!("not connected; handles come from {}", KIND.opener()),
            );
        };
        let timeout = handle.heartbeat_timeout().as_secs_f64();
        if let Some(interval) = tuning::duration(KIND, "heartbeat_interval", seconds, true)
            && tuning::is_heartbeat(KIND, "heartbeat_interval", seconds, timeout)
        {
            handle.set_heartbeat_interval(interval);
        }
    }
}

impl WebSocketPeer {
    fn text_of(&self, what: impl FnOnce(&PeerHandle) -> String) -> GString {
        self.handle().map_or_else(GString::new, |handle| GString::from(&what(handle)))
    }
}

fn is_text(method: &str, mode: i64) -> Result<bool, Error> {
    match mode {
        WebSocketPeer::WRITE_MODE_TEXT => Ok(true),
        WebSocketPeer::WRITE_MODE_BINARY => Ok(false),
        _ => {
            KIND.error(
                method,
                format_args!(
                    "write mode {mode} is unknown; use WRITE_MODE_TEXT (0) or WRITE_MODE_BINARY (1)"
                ),
            );
            Err(Error::ERR_INVALID_PARAMETER)
        }
    }
}

const KIND: Kind = Kind::Handle;
