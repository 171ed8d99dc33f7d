//! The poll loop: takes the events one by one and emits their signals, with nothing borrowed while a handler runs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use godot::builtin::{GString, StringName, Variant};
use godot::classes::{MultiplayerPeerExtension, Object, RefCounted};
use godot::meta::ToGodot;
use godot::obj::bounds::DeclUser;
use godot::obj::{Bounds, Gd, Inherits, WithBaseField};
use websocket_multiplayer_core::{Event, Mode};

use crate::border;
use crate::diagnostics;
use crate::host::PeerHost;
use crate::relaying;
use crate::reopened;
use crate::report::Kind;
use crate::request::call_handler;

/// A class that contains a host.
pub(crate) trait HostClass:
    WithBaseField<Base = MultiplayerPeerExtension>
    + Bounds<Declarer = DeclUser>
    + Inherits<MultiplayerPeerExtension>
    + Inherits<Object>
    + Inherits<RefCounted>
{
    fn host_mut(&mut self) -> &mut PeerHost;
}

/// Applies the notices of the I/O thread, and emits the signals.
///
/// A handler can do anything: close, open again, poll (which returns at once; this loop continues afterwards), or drop all references
/// except the one that is held here.
pub(crate) fn poll<T: HostClass>(class: &mut T) {
    let host = class.host_mut();
    if host.core.mode().is_none() {
        return;
    }
    let Some(_polling) = Polling::begin(&host.polling) else { return };
    let mut poll = None;
    let has_former_peers = host.core.has_former_peers();
    if !has_former_peers {
        poll = Poll::begin(class);
        if poll.is_none() {
            return;
        }
    }
    // Handlers can use the object until this is dropped, which is after `this`: that may be the last reference.
    let lent = class.base_mut();
    let mut this: Gd<T> = lent.clone().cast();
    if has_former_peers && reopened::emit_disconnects(&mut this) {
        poll = Poll::begin(&mut *this.bind_mut());
    }
    if let Some(poll) = poll {
        poll.run(&mut this);
    }
}

/// A poll that has come to an event with a handler.
struct Poll {
    started: Instant,
    mode: Mode,
    generation: u64,
    /// Whether anything is connected to the signal for packets: looked up at the first packet, for the whole poll.
    has_listeners: Option<bool>,
    event: Option<Event>,
}

impl Poll {
    /// Polls as far as no handler is called. Most polls end here, and return `None`; a `Gd` takes as long to make as several packets to
    /// receive, so there is none yet.
    fn begin<T: HostClass>(class: &mut T) -> Option<Self> {
        let host = class.host_mut();
        let mode = host.core.mode()?;
        if !host.core.begin_poll() {
            return None;
        }
        let mut poll = Self {
            started: Instant::now(),
            mode,
            generation: host.core.generation(),
            has_listeners: None,
            event: host.next_event(true),
        };
        if matches!(poll.event, Some(Event::PacketReceived { .. })) && !poll.look_for_listeners(class) {
            poll.event = class.host_mut().next_event(false);
        }
        if poll.event.is_some() {
            return Some(poll);
        }
        class.host_mut().registered.add_poll_time(poll.started.elapsed());
        None
    }

    fn look_for_listeners<T: HostClass>(&mut self, class: &mut T) -> bool {
        let names = Rc::clone(&class.host_mut().names);
        let signal = names.of_packets(self.mode);
        *self.has_listeners.insert(border::has_connections(&class.base(), signal))
    }

    /// Emits the events, with nothing borrowed while a handler runs.
    fn run<T: HostClass>(mut self, this: &mut Gd<T>) {
        let (kind, names) = {
            let mut class = this.bind_mut();
            let host = class.host_mut();
            (host.kind, Rc::clone(&host.names))
        };
        while let Some(event) = self.event.take() {
            if matches!(event, Event::PeerConnected { .. }) {
                relaying::update(this);
            }
            match event {
                Event::PacketReceived { id } => {
                    let has_listeners =
                        self.has_listeners.unwrap_or_else(|| self.look_for_listeners(&mut *this.bind_mut()));
                    let signal = names.of_packets(self.mode);
                    if has_listeners && self.mode == Mode::Raw && kind == Kind::Client {
                        emit(this.upcast_mut(), signal, &[]);
                    } else if has_listeners {
                        emit(this.upcast_mut(), signal, &[id.0.to_variant()]);
                    }
                }
                event => {
                    match event {
                        Event::Requested(request) => call_handler(this, Rc::from(request)),
                        event => emit_event(this.upcast_mut(), kind, self.mode, &names, event),
                    }
                    // The handler may have connected to the signal for packets.
                    self.has_listeners = self.has_listeners.filter(|has_listeners| *has_listeners);
                }
            }
            // The handler has dropped all other references: a freed object emits no signal.
            if this.upcast_ref::<RefCounted>().get_reference_count() == 1 {
                break;
            }
            let mut class = this.bind_mut();
            let host = class.host_mut();
            if host.core.generation() == self.generation {
                self.event = host.next_event(self.has_listeners.unwrap_or(true));
            }
        }
        this.bind_mut().host_mut().registered.add_poll_time(self.started.elapsed());
    }
}

fn emit_event(object: &mut Object, kind: Kind, mode: Mode, names: &SignalNames, event: Event) {
    let raw = mode == Mode::Raw;
    if matches!(event, Event::PeerConnected { .. }) {
        diagnostics::check_signals(object, kind, raw);
    }
    match event {
        Event::PeerConnected { id, protocol } => match (raw, kind) {
            (false, _) => emit(object, &names.peer_connected, &[id.0.to_variant()]),
            (true, Kind::Client) => emit(object, &names.connection_established, &[text(&protocol)]),
            (true, _) => emit(object, &names.client_connected, &[id.0.to_variant(), text(&protocol)]),
        },
        Event::PeerDisconnected { id, clean } => match (raw, kind) {
            (false, _) => emit(object, &names.peer_disconnected, &[id.0.to_variant()]),
            (true, Kind::Client) => emit(object, &names.connection_closed, &[clean.to_variant()]),
            (true, _) => emit(object, &names.client_disconnected, &[id.0.to_variant(), clean.to_variant()]),
        },
        Event::CloseRequested { id, code, reason } => match kind {
            Kind::Server => emit(
                object,
                &names.client_close_request,
                &[id.0.to_variant(), i64::from(code).to_variant(), text(&reason)],
            ),
            Kind::Client => {
                emit(object, &names.server_close_request, &[i64::from(code).to_variant(), text(&reason)])
            }
            // The engine's 4.x class has no such signal.
            Kind::Either | Kind::Handle => {}
        },
        Event::ConnectionFailed if raw => emit(object, &names.connection_error, &[]),
        Event::ConnectionFailed => emit(object, &names.connection_failed, &[]),
        // In raw mode connection_established and connection_closed were emitted.
        Event::ConnectionSucceeded if !raw => emit(object, &names.connection_succeeded, &[]),
        Event::ServerDisconnected if !raw => emit(object, &names.server_disconnected, &[]),
        Event::PeerCongested { id } => emit(object, &names.peer_congested, &[id.0.to_variant()]),
        Event::PeerDrained { id } => emit(object, &names.peer_drained, &[id.0.to_variant()]),
        Event::PeerSuspended { id } => emit(object, &names.peer_suspended, &[id.0.to_variant()]),
        Event::PeerResumed { id } => emit(object, &names.peer_resumed, &[id.0.to_variant()]),
        Event::PeerOverflowed { id } => emit(object, &names.peer_overflowed, &[id.0.to_variant()]),
        Event::Drained => emit(object, &names.drained, &[]),
        Event::PacketRefused { id, size } => {
            emit(object, &names.packet_refused, &[id.0.to_variant(), (size as i64).to_variant()])
        }
        _ => {}
    }
}

pub(crate) fn emit(object: &mut Object, signal: &StringName, args: &[Variant]) {
    // This fails only if a script has blocked the object's signals on purpose.
    let _ = object.emit_signal(signal, args);
}

fn text(text: &str) -> Variant {
    GString::from(text).to_variant()
}

/// Set while a poll runs; cleared whatever ends the poll.
struct Polling(Rc<Cell<bool>>);

impl Polling {
    /// Returns `None` if a poll of the same object runs already, further up the stack.
    fn begin(flag: &Rc<Cell<bool>>) -> Option<Self> {
        (!flag.replace(true)).then(|| Self(Rc::clone(flag)))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl SignalNames {
    fn of_packets(&self, mode: Mode) -> &StringName {
        if mode == Mode::Raw { &self.data_received } else { &self.peer_packet }
    }
}

macro_rules! signal_names {
    ($($name:ident)*) => {
        /// The names of all signals, interned once per object instead of once per emission.
        pub(crate) struct SignalNames {
            $(pub(crate) $name: StringName,)*
        }

        impl SignalNames {
            pub(crate) fn new() -> Self {
                Self { $($name: StringName::from(stringify!($name)),)* }
            }
        }
    };
}

signal_names! {
    client_close_request
    client_connected
    client_disconnected
    connection_closed
    connection_error
    connection_established
    connection_failed
    connection_succeeded
    data_received
    drained
    packet_refused
    peer_congested
    peer_connected
    peer_disconnected
    peer_drained
    peer_overflowed
    peer_packet
    peer_resumed
    peer_suspended
    server_close_request
    server_disconnected
}
