//! What the three multiplayer classes share, by composition: the core peer, the settings that a script edits,
//! the state of the engine's packet interface, and the handles of connected peers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use godot::builtin::{Callable, VarDictionary, Variant};
use godot::classes::multiplayer_peer::{ConnectionStatus, TransferMode};
use godot::global::Error;
use godot::obj::Gd;
use websocket_multiplayer_core::{
    AdmissionDecision, Buffers, ClientConfig, CloseFrame, Conditions, ConnectionRequest, Delivery, Event,
    Mode, OpenError, Packet, Peer, PeerConfig, PeerHandle, PeerId, PeerState, Role, SendError, ServerConfig,
    Statistics, Status, Target, TlsClient, TlsError, Url, WireFormat, check_header_lines, check_protocols,
};

use crate::access_rules::InvalidRules;
use crate::classes::{Connection, WebSocketPeer};
use crate::convert;
use crate::registry::RegistryEntry;
use crate::report::Kind;
use crate::request::{HandlerErrors, PendingRequests};
use crate::settings;
use crate::signals::SignalNames;
use crate::tuning::compression;
use crate::{border, diagnostics};

/// One server or client, behind whichever class.
pub(crate) struct PeerHost {
    pub(crate) kind: Kind,
    pub(crate) core: Peer,
    /// The settings of the script; `mode` is that of the last opening.
    pub(crate) config: PeerConfig,
    pub(crate) wire_format: WireFormat,
    /// The simulated network as set by the script; `config` has the part that this build simulates.
    pub(crate) conditions: Conditions,
    pub(crate) names: Rc<SignalNames>,
    /// Server: the I/O thread relays packets between clients.
    pub(crate) relays_on_io_thread: bool,
    pub(crate) relayer: Option<border::Relayer>,
    /// Outlives a borrow of the host, so that a poll can clear it whatever ends the poll.
    pub(crate) polling: Rc<Cell<bool>>,
    /// For the monitors and the debugger.
    pub(crate) registered: Rc<RegistryEntry>,
    transfer_mode: TransferMode,
    transfer_channel: i32,
    target: i32,
    /// The engine reads the last packet until it asks for the next one, so nothing else may replace it.
    current: Option<Packet>,
    /// One object per connection, kept while it lasts: a script may set the write mode through one `get_peer()` and send through
    /// another.
    handles: RefCell<HashMap<i32, Gd<WebSocketPeer>>>,
    /// Peers whose disconnect is being emitted; their handles are released afterwards.
    leaving: Vec<i32>,
    /// Server: the script's function that decides about requests.
    pub(crate) request_handler: Callable,
    /// Server: the requests that the handler has not answered.
    pub(crate) pending_requests: PendingRequests,
    /// Server: the `meta` that the handler has attached to accepted peers.
    metas: HashMap<i32, Variant>,
    pub(crate) handler_errors: HandlerErrors,
    /// Access rules with an invalid value; nothing opens until they have a valid one.
    pub(crate) invalid_rules: InvalidRules,
}

impl PeerHost {
    /// Makes a closed host with the limits of the project settings.
    pub(crate) fn new(kind: Kind) -> Self {
        let buffers = match kind {
            Kind::Server => settings::SERVER.buffers(),
            Kind::Client => settings::CLIENT.buffers(),
            // The limits of the engine's own 4.x class, which has no project settings.
            Kind::Either | Kind::Handle => Buffers {
                input_bytes: 65_535,
                input_packets: 4096,
                output_bytes: 65_535,
                output_packets: 4096,
            },
        };
        let runtime = crate::entry::runtime();
        runtime.set_total_queue_limit((settings::TOTAL_QUEUE_MB.read() as usize).saturating_mul(1024 * 1024));
        crate::logging::set_level(settings::LOG_LEVEL.read());
        border::connect_to_frames();
        let core = Peer::new(runtime);
        let registered = RegistryEntry::new(kind, core.observer());
        Self {
            kind,
            core,
            config: PeerConfig {
                mode: Mode::Multiplayer(WireFormat::Godot4),
                buffers,
                resume_offered: true,
                lists_offered: true,
                compression: compression(settings::COMPRESSION_MODE.read()).flatten(),
                compression_threshold: settings::COMPRESSION_THRESHOLD.read() as usize,
                ..PeerConfig::default()
            },
            wire_format: WireFormat::Godot4,
            conditions: Conditions::default(),
            relays_on_io_thread: true,
            relayer: None,
            names: Rc::new(SignalNames::new()),
            polling: Rc::default(),
            registered,
            transfer_mode: TransferMode::RELIABLE,
            transfer_channel: 0,
            target: 0,
            current: None,
            handles: RefCell::default(),
            leaving: Vec::new(),
            request_handler: Callable::invalid(),
            pending_requests: PendingRequests::default(),
            metas: HashMap::new(),
            handler_errors: HandlerErrors::default(),
            invalid_rules: InvalidRules::new(),
        }
    }

    // --- opening and closing ---

    /// Whether the object listens, connects or is connected. An object whose connection was lost is not open, although its last
    /// packets may be unread.
    pub(crate) fn is_open(&self) -> bool {
        self.core.status() != Status::Disconnected
    }

    /// Listens, or prints why not.
    pub(crate) fn open_server(&mut self, method: &str, config: ServerConfig) -> Error {
        let mode = config.peer.mode;
        self.open(method, mode, |core| core.listen(config))
    }

    /// Starts to connect to a URL, or prints why not. `tls` comes from [`tls::for_url`](crate::tls::for_url).
    pub(crate) fn connect(
        &mut self,
        method: &str,
        url: &str,
        protocols: Vec<String>,
        headers: Vec<String>,
        multiplayer: bool,
        tls: Option<Result<TlsClient, TlsError>>,
    ) -> Error {
        let config = self.check_closed(method).and_then(|()| {
            let checked = Url::parse(url)
                .and_then(|url| Ok((url, check_protocols(protocols)?, check_header_lines(headers)?)));
            let (url, protocols, headers) =
                checked.map_err(|error| self.report_open_error(method, &OpenError::Config(error)))?;
            let tls =
                tls.transpose().map_err(|error| self.report_open_error(method, &OpenError::Tls(error)))?;
            Ok(ClientConfig { peer: self.config_for(multiplayer), url, protocols, headers, tls })
        });
        match config {
            Ok(config) => self.open(method, config.peer.mode, |core| core.connect(config)),
            Err(error) => error,
        }
    }

    /// Checks the range of a port; prints a line otherwise.
    pub(crate) fn check_port(&self, method: &str, port: i64) -> Result<u16, Error> {
        u16::try_from(port).map_err(|_| {
            self.kind.error(
                method,
                format_args!("port {port} cannot be used; it must be from 0 (any free port) to 65535"),
            );
            Error::ERR_INVALID_PARAMETER
        })
    }

    /// Returns `ERR_ALREADY_IN_USE` and prints a line if the object is open.
    pub(crate) fn check_closed(&self, method: &str) -> Result<(), Error> {
        if self.is_open() { Err(self.report_open_error(method, &OpenError::AlreadyOpen)) } else { Ok(()) }
    }

    /// Prints why the object does not open.
    pub(crate) fn report_open_error(&self, method: &str, error: &OpenError) -> Error {
        self.kind.error(method, error);
        convert::open_error(error)
    }

    /// Closes the connection of a client, or stops connecting.
    pub(crate) fn disconnect_from_server(&mut self, frame: CloseFrame) {
        if self.core.status() != Status::Connected || !self.core.disconnect(PeerId::SERVER, frame) {
            self.close();
        }
    }

    /// Makes a client come back on a new connection.
    pub(crate) fn reconnect(&mut self) -> Error {
        match self.core.reconnect() {
            Ok(()) => Error::OK,
            Err(_) => {
                self.kind.error("reconnect", "the server has given no session; it has to set resume_timeout");
                Error::ERR_UNAVAILABLE
            }
        }
    }

    /// The core's configuration for a mode, for both roles.
    pub(crate) fn config_for(&self, multiplayer: bool) -> PeerConfig {
        let mode = if multiplayer { Mode::Multiplayer(self.wire_format) } else { Mode::Raw };
        PeerConfig { mode, ..self.config.clone() }
    }

    /// Closes all connections without a signal.
    pub(crate) fn close(&mut self) {
        self.core.close();
        self.release_all_peers();
    }

    /// Releases the handles and the `meta` of all peers. They are freed later, because this object is borrowed now.
    fn release_all_peers(&mut self) {
        self.pending_requests.clear();
        self.leaving.clear();
        if !self.handles.get_mut().is_empty() || !self.metas.is_empty() {
            border::free_later((self.handles.take(), std::mem::take(&mut self.metas)));
        }
    }

    /// Releases the handle and the `meta` of a peer that is gone.
    fn release_peer(&mut self, id: i32) {
        self.pending_requests.withdraw(id);
        let kept = (self.handles.get_mut().remove(&id), self.metas.remove(&id));
        if !matches!(kept, (None, None)) {
            border::free_later(kept);
        }
    }

    fn open(
        &mut self,
        method: &str,
        mode: Mode,
        start: impl FnOnce(&mut Peer) -> Result<(), OpenError>,
    ) -> Error {
        match start(&mut self.core) {
            Ok(()) => {
                self.config.mode = mode;
                self.registered.reset_poll_time();
                self.release_all_peers();
                border::connect_to_frames();
                diagnostics::start_watchdog();
                Error::OK
            }
            Err(error) => self.report_open_error(method, &error),
        }
    }

    /// Passes the game's decision about a request to the core, and keeps `meta` for the peer. A `meta` that is not kept stays with the
    /// caller, because it must not be freed while this object is borrowed.
    pub(crate) fn answer(
        &mut self,
        request: &ConnectionRequest,
        decision: AdmissionDecision,
        meta: &mut Variant,
    ) {
        if decision.accepts() && !meta.is_nil() {
            std::mem::swap(self.metas.entry(request.id.0).or_default(), meta);
        }
        self.core.answer(request, decision);
    }

    // --- polling ---

    /// Returns the next event for the game, and updates the handles.
    pub(crate) fn next_event(&mut self, packet_events: bool) -> Option<Event> {
        let event = self.core.next_event(packet_events);
        if !self.leaving.is_empty() {
            self.release_left_peers();
        }
        match &event {
            Some(Event::PeerDisconnected { id, .. }) => self.leaving.push(id.0),
            Some(Event::ConnectionFailed | Event::ServerDisconnected) => self.leaving.push(PeerId::SERVER.0),
            Some(Event::RequestWithdrawn { id }) => self.release_peer(id.0),
            _ => {}
        }
        event
    }

    /// Releases the peers whose disconnect was emitted completely.
    fn release_left_peers(&mut self) {
        for id in std::mem::take(&mut self.leaving) {
            if self.core.is_leaving(PeerId(id)) {
                self.leaving.push(id);
            } else {
                self.release_peer(id);
            }
        }
    }

    /// While the disconnect of an old connection is emitted, its handle replaces that of a new connection with the same id.
    pub(crate) fn swap_handle(
        &mut self,
        id: i32,
        other: Option<Gd<WebSocketPeer>>,
    ) -> Option<Gd<WebSocketPeer>> {
        let handles = self.handles.get_mut();
        match other {
            Some(object) => handles.insert(id, object),
            None => handles.remove(&id),
        }
    }

    // --- packets ---

    pub(crate) fn packet_count(&self) -> i32 {
        self.check_relaying();
        i32::try_from(self.core.packet_count()).unwrap_or(i32::MAX)
    }

    pub(crate) fn max_packet_size(&self) -> i32 {
        let size = if self.is_open() {
            self.core.max_packet_size()
        } else {
            self.config_for(true).max_packet_size()
        };
        i32::try_from(size).unwrap_or(i32::MAX)
    }

    /// The sender of the next packet.
    pub(crate) fn packet_peer(&self) -> i32 {
        self.check_relaying();
        match self.core.peek_packet() {
            Some((source, _)) => source.0,
            None => {
                match self.multiplayer() {
                    Ok(()) => self.kind.error(
                        "get_packet_peer",
                        "there is no packet; check get_available_packet_count() first",
                    ),
                    Err(why) => self.kind.error("get_packet_peer", why),
                }
                PeerId::SERVER.0
            }
        }
    }

    pub(crate) fn packet_mode(&self) -> TransferMode {
        self.check_relaying();
        match self.core.peek_packet() {
            Some((_, true)) => TransferMode::UNRELIABLE,
            _ => TransferMode::RELIABLE,
        }
    }

    /// Takes the next packet, which stays in memory until the next call.
    pub(crate) fn take_packet(&mut self) -> Result<&Packet, Error> {
        self.check_relaying();
        if let Some(packet) = self.core.pop_packet() {
            return Ok(self.current.insert(packet));
        }
        match self.multiplayer() {
            Ok(()) => {
                self.kind.error("get_packet", "there is no packet; check get_available_packet_count() first");
                Err(Error::ERR_UNAVAILABLE)
            }
            Err(why) => {
                self.kind.error("get_packet", why);
                Err(Error::ERR_UNCONFIGURED)
            }
        }
    }

    /// Sends to the current target with the current mode.
    pub(crate) fn put_packet(&mut self, payload: &[u8]) -> Error {
        let delivery = if self.transfer_mode == TransferMode::RELIABLE {
            Delivery::Reliable
        } else {
            Delivery::Droppable
        };
        if self.core.mode() == Some(Mode::Raw) {
            self.kind.error("put_packet", RAW_MODE);
            return Error::ERR_UNCONFIGURED;
        }
        let Err(error) = self.core.send(Target::from_engine(self.target), payload, delivery) else {
            return Error::OK;
        };
        match error {
            // No error line. Full is normal with OVERFLOW_REFUSE: the caller checks the result and tries again later. ConnectionLost means that
            // the connection has ended, which the next poll reports.
            SendError::Full | SendError::ConnectionLost => {}
            SendError::TooLarge { .. } => {
                self.kind.error("put_packet", format_args!("{error}; raise {}", self.output_setting()))
            }
            SendError::NotConnected => match self.multiplayer() {
                Ok(()) => self.kind.error("put_packet", "not connected yet; wait for peer_connected"),
                Err(why) => self.kind.error("put_packet", why),
            },
            SendError::UnknownPeer(id) => {
                self.kind.error(
                    "put_packet",
                    format_args!(
                        "there is no peer {id}; call set_target_peer() with a connected one, 0 or -id"
                    ),
                );
            }
            error => self.kind.error("put_packet", error),
        }
        convert::send_error(error)
    }

    pub(crate) fn set_target(&mut self, id: i32) {
        self.target = id;
    }

    pub(crate) fn transfer_mode(&self) -> TransferMode {
        self.transfer_mode
    }

    pub(crate) fn set_transfer_mode(&mut self, mode: TransferMode) {
        self.transfer_mode = mode;
    }

    pub(crate) fn transfer_channel(&self) -> i32 {
        self.transfer_channel
    }

    pub(crate) fn set_transfer_channel(&mut self, channel: i32) {
        self.transfer_channel = channel;
    }

    /// An error if the packets of this object cannot be used.
    fn multiplayer(&self) -> Result<(), String> {
        match self.core.mode() {
            Some(Mode::Multiplayer(_)) => Ok(()),
            Some(Mode::Raw) => Err(RAW_MODE.to_owned()),
            None => Err(format!("not open; call {} first", self.kind.opener())),
        }
    }

    /// The setting to raise for larger packets.
    pub(crate) fn output_setting(&self) -> &'static str {
        match self.kind {
            Kind::Server => {
                "network/limits/websocket_server/max_out_buffer_kb or call set_buffers() before listen()"
            }
            Kind::Client => {
                "network/limits/websocket_client/max_out_buffer_kb or call set_buffers() before connect_to_url()"
            }
            Kind::Either | Kind::Handle => "outbound_buffer_size before create_server() or create_client()",
        }
    }

    // --- state ---

    pub(crate) fn status(&self) -> ConnectionStatus {
        match self.core.status() {
            Status::Disconnected => ConnectionStatus::DISCONNECTED,
            Status::Connecting => ConnectionStatus::CONNECTING,
            Status::Connected => ConnectionStatus::CONNECTED,
        }
    }

    pub(crate) fn is_server(&self) -> bool {
        match self.kind {
            Kind::Server => true,
            Kind::Client | Kind::Handle => false,
            Kind::Either => self.core.role() == Some(Role::Server),
        }
    }

    pub(crate) fn unique_id(&self) -> i32 {
        if self.kind == Kind::Server { PeerId::SERVER.0 } else { self.core.unique_id() }
    }

    /// The counters since the object was opened.
    pub(crate) fn statistics(&self) -> Statistics {
        self.core.statistics()
    }

    /// The statistics of one peer. For an unknown id, prints a line and returns an empty dictionary.
    pub(crate) fn peer_statistics(&self, id: i64) -> VarDictionary {
        match i32::try_from(id).ok().and_then(|id| self.core.peer_statistics(PeerId(id))) {
            Some(statistics) => convert::dictionary(statistics.values()),
            None => {
                self.report_unknown_peer("get_peer_statistics", id);
                VarDictionary::new()
            }
        }
    }

    // --- peers ---

    pub(crate) fn has_peer(&self, id: i64) -> bool {
        i32::try_from(id).is_ok_and(|id| self.core.has_peer(PeerId(id)))
    }

    /// A peer that is connected or connecting; prints a line if there is none.
    pub(crate) fn known_peer(&self, method: &str, id: i64) -> Option<PeerHandle> {
        let peer = i32::try_from(id).ok().and_then(|id| self.core.peer(PeerId(id)));
        if peer.is_none() {
            self.report_unknown_peer(method, id);
        }
        peer
    }

    /// The same, but without a server to which the client is still connecting.
    pub(crate) fn connected_peer(&self, method: &str, id: i64) -> Option<PeerHandle> {
        let peer = i32::try_from(id).ok().and_then(|id| self.core.peer(PeerId(id)));
        let peer = peer.filter(|peer| peer.state() != PeerState::Connecting);
        if peer.is_none() {
            self.report_unknown_peer(method, id);
        }
        peer
    }

    /// Prints that there is no such peer.
    pub(crate) fn report_unknown_peer(&self, method: &str, id: i64) {
        if self.is_open() {
            let hint = if self.core.role() == Some(Role::Client) {
                "; a client's only peer is 1, the server"
            } else {
                ""
            };
            self.kind.error(method, format_args!("peer {id} is not connected{hint}"));
        } else {
            self.kind.error(
                method,
                format_args!(
                    "peer {id} is not connected, because nothing is open; call {} first",
                    self.kind.opener()
                ),
            );
        }
    }

    /// The handle object of a peer, always the same one while the peer is connected.
    pub(crate) fn peer(&self, method: &str, id: i64) -> Option<Gd<WebSocketPeer>> {
        let handle = self.known_peer(method, id)?;
        let id = handle.id().0;
        let mut handles = self.handles.borrow_mut();
        let object = handles.entry(id).or_insert_with(|| {
            WebSocketPeer::of(Connection {
                handle,
                multiplayer: self.core.mode() != Some(Mode::Raw),
                max_packet_size: self.max_packet_size(),
                output_setting: self.output_setting(),
                meta: self.metas.get(&id).cloned().unwrap_or_default(),
            })
        });
        Some(object.clone())
    }

    /// Starts the closing handshake with a peer.
    pub(crate) fn disconnect(&mut self, id: i64, frame: CloseFrame) {
        let known = i32::try_from(id).is_ok_and(|id| self.core.disconnect(PeerId(id), frame));
        if !known {
            self.report_unknown_peer("disconnect_peer", id);
        }
    }

    /// Drops a peer; no event follows.
    pub(crate) fn disconnect_now(&mut self, id: i64) {
        let known = i32::try_from(id).ok().filter(|&id| self.core.disconnect_now(PeerId(id)));
        match known {
            Some(id) => self.release_peer(id),
            None => self.report_unknown_peer("disconnect_peer", id),
        }
    }
}

const RAW_MODE: &str = "this object is not in multiplayer mode: its packets are at get_peer(id).get_packet() and \
    get_peer(id).put_packet(); pass gd_mp_api = true for a MultiplayerAPI";
