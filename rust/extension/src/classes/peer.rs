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

/// One connection of a `WebSocketServer`, `WebSocketClient` or `BufferedWebSocketMultiplayerPeer`, from their
/// `get_peer()`.
///
/// In raw mode it is a `PacketPeer`: one message is one packet. In multiplayer mode the packets belong to the
/// multiplayer peer, and the handle tells about the connection. It stays valid after the connection ended,
/// and then says that it is not connected.
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

    /// Seconds between the pings to this peer; 0 = none. That of the object that this handle came from, until it
    /// is set here for this peer alone. Must be less than that object's `heartbeat_timeout`, unless that is 0.
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

/// What the handle object knows of the object that it came from.
pub(crate) struct Connection {
    pub(crate) handle: PeerHandle,
    pub(crate) multiplayer: bool,
    pub(crate) max_packet_size: i32,
    /// What makes larger packets fit.
    pub(crate) output_setting: &'static str,
    /// From the server's request handler.
    pub(crate) meta: Variant,
}

impl WebSocketPeer {
    /// The object for a connection.
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

    /// The connection of raw mode, or a line and the engine's code for why packets cannot be used.
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
            KIND.error("get_packet", "there is no packet; ask get_available_packet_count() first");
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
    /// Messages are sent as text.
    #[constant]
    const WRITE_MODE_TEXT: i64 = 0;

    /// Messages are sent as binary data.
    #[constant]
    const WRITE_MODE_BINARY: i64 = 1;

    /// The connection is being made.
    #[constant]
    const STATE_CONNECTING: i64 = PeerState::Connecting as i64;

    /// Messages can be sent.
    #[constant]
    const STATE_OPEN: i64 = PeerState::Open as i64;

    /// One side asked to close.
    #[constant]
    const STATE_CLOSING: i64 = PeerState::Closing as i64;

    /// There is no connection any more.
    #[constant]
    const STATE_CLOSED: i64 = PeerState::Closed as i64;

    /// Closes the connection: messages sent before still leave. `code` is 1000 to 4999 except 1004 to 1006
    /// and 1015; `reason` at most 123 bytes of UTF-8. Does nothing when it is closed already.
    ///
    /// A negative `code` drops the connection at once, without telling the other side; what the system has not
    /// taken yet of earlier messages is lost. The signal that the peer is gone follows from `poll()`.
    #[func]
    fn close(&mut self, #[opt(default = 1000)] code: i64, #[opt(default = "")] reason: GString) {
        if code < 0 {
            if let Some(handle) = self.handle() {
                handle.cut();
            }
            return;
        }
        match (CloseFrame::new(code, &reason.to_string()), self.handle()) {
            (Ok(frame), Some(handle)) => handle.close(frame),
            (Ok(_), None) => {}
            (Err(error), _) => KIND.error("close", error),
        }
    }

    /// The IP address of the other side; `""` when it is not known.
    #[func]
    fn get_connected_host(&self) -> GString {
        self.text_of(PeerHandle::address)
    }

    /// The TCP port of the other side; 0 when it is not known.
    #[func]
    fn get_connected_port(&self) -> i64 {
        self.handle().map_or(0, |handle| i64::from(handle.port()))
    }

    /// Bytes that were sent and still wait on this side.
    #[func]
    fn get_current_outbound_buffered_amount(&self) -> i64 {
        self.handle().map_or(0, |handle| handle.queued_out_bytes() as i64)
    }

    /// How `put_packet()` and `put_var()` send: `WRITE_MODE_TEXT` or `WRITE_MODE_BINARY`, the default.
    #[func]
    fn get_write_mode(&self) -> i64 {
        if self.write_text { Self::WRITE_MODE_TEXT } else { Self::WRITE_MODE_BINARY }
    }

    /// Sets how `put_packet()` and `put_var()` send. In text mode bytes that are not UTF-8 are refused with
    /// `ERR_INVALID_DATA`.
    #[func]
    fn set_write_mode(&mut self, mode: i64) {
        if let Ok(text) = is_text("set_write_mode", mode) {
            self.write_text = text;
        }
    }

    /// Whether messages can be sent.
    #[func]
    fn is_connected_to_host(&self) -> bool {
        self.state() == PeerState::Open
    }

    /// Whether small messages leave at once (TCP_NODELAY), which is the default.
    #[func]
    fn set_no_delay(&mut self, enabled: bool) {
        if let Some(handle) = self.handle() {
            handle.set_no_delay(enabled);
        }
    }

    /// Whether the packet taken last was a text message.
    #[func]
    fn was_string_packet(&self) -> bool {
        self.text
    }

    /// On a server, the path and query that the client asked for; on a client, those of the URL.
    #[func]
    fn get_requested_path(&self) -> GString {
        self.text_of(PeerHandle::path)
    }

    /// On a server, the URL that the client asked for; on a client, the URL it connected to.
    #[func]
    fn get_requested_url(&self) -> GString {
        self.text_of(PeerHandle::requested_url)
    }

    /// On a server, the headers of the client's request with lower-case names. Values of a repeated header
    /// are joined by `", "`.
    #[func]
    fn get_request_headers(&self) -> VarDictionary {
        convert::headers(self.handle().map(PeerHandle::headers).unwrap_or_default())
    }

    /// What the server's request handler attached to this connection; null when it attached nothing.
    #[func]
    fn get_handshake_meta(&self) -> Variant {
        self.connection.as_ref().map_or_else(Variant::nil, |connection| connection.meta.clone())
    }

    /// The subprotocol agreed on, or `""`.
    #[func]
    fn get_selected_protocol(&self) -> GString {
        self.text_of(PeerHandle::protocol)
    }

    /// `STATE_CONNECTING`, `STATE_OPEN`, `STATE_CLOSING` or `STATE_CLOSED`.
    #[func]
    fn get_ready_state(&self) -> i64 {
        self.state() as i64
    }

    /// The code of the close frame that ended the connection, or -1 when there was none.
    #[func]
    fn get_close_code(&self) -> i64 {
        self.handle().map_or(-1, |handle| i64::from(handle.close_code()))
    }

    /// The reason in the close frame that ended the connection.
    #[func]
    fn get_close_reason(&self) -> GString {
        self.text_of(PeerHandle::close_reason)
    }

    /// Sends a message as binary data or as text, whatever the write mode is.
    #[func]
    fn send(&mut self, message: PackedByteArray, #[opt(default = 1)] write_mode: i64) -> Error {
        match is_text("send", write_mode) {
            Ok(text) => self.transmit("send", message.as_slice(), text),
            Err(error) => error,
        }
    }

    /// Sends a text message.
    #[func]
    fn send_text(&mut self, message: GString) -> Error {
        self.transmit("send_text", message.to_string().as_bytes(), true)
    }

    /// Sends a message, which may be empty.
    // The engine's own put_packet() answers OK to an empty message without calling the extension.
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
