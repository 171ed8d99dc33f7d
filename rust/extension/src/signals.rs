//! The poll loop: takes the events one by one and emits their signals, with nothing borrowed while a handler runs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use godot::builtin::{GString, StringName, Variant};
use godot::classes::{Object, RefCounted};
use godot::meta::ToGodot;
use godot::obj::bounds::DeclUser;
use godot::obj::{Bounds, Gd, GodotClass, Inherits};
use websocket_multiplayer_core::{Event, Mode};

use crate::diagnostics;
use crate::host::PeerHost;
use crate::relaying;
use crate::reopened;
use crate::report::Kind;
use crate::request::call_handler;

/// A class that contains a host.
pub(crate) trait HostClass:
    GodotClass + Bounds<Declarer = DeclUser> + Inherits<Object> + Inherits<RefCounted>
{
    fn host_mut(&mut self) -> &mut PeerHost;
}

/// Applies the notices of the I/O thread, and emits the signals.
///
/// A handler can do anything: close, open again, poll (which returns at once; this loop continues afterwards), or drop all references
/// except the one that is held here.
pub(crate) fn poll<T: HostClass>(mut this: Gd<T>) {
    let (mode, _polling, has_former_peers) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        let Some(mode) = host.core.mode() else { return };
        let Some(polling) = Polling::begin(&host.polling) else { return };
        (mode, polling, host.core.has_former_peers())
    };
    if has_former_peers && !reopened::emit_disconnects(&mut this) {
        return;
    }
    let (kind, generation, names, started, first) = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        // Most polls end here.
        if !host.core.begin_poll() {
            return;
        }
        let started = Instant::now();
        let first = host.next_event(true);
        (host.kind, host.core.generation(), Rc::clone(&host.names), started, first)
    };
    let packets = if mode == Mode::Raw { &names.data_received } else { &names.peer_packet };
    // Looked up at the first packet, for the whole poll: most games never connect to a signal per packet.
    let mut has_listeners = None;
    let mut next = first;
    while let Some(event) = next {
        if matches!(event, Event::PeerConnected { .. }) {
            relaying::update(&mut this);
        }
        let object: &mut Object = this.upcast_mut();
        match event {
            Event::PacketReceived { id } => {
                let has_listeners = *has_listeners
                    .get_or_insert_with(|| !object.get_signal_connection_list(packets).is_empty());
                if has_listeners && mode == Mode::Raw && kind == Kind::Client {
                    emit(object, packets, &[]);
                } else if has_listeners {
                    emit(object, packets, &[id.0.to_variant()]);
                }
            }
            Event::Requested(request) => {
                call_handler(&mut this, Rc::from(request));
                has_listeners = has_listeners.filter(|has_listeners| *has_listeners);
            }
            event => {
                emit_event(object, kind, mode, &names, event);
                // The handler may have connected to the signal for packets.
                has_listeners = has_listeners.filter(|has_listeners| *has_listeners);
            }
        }
        // The handler has dropped all other references: a freed object emits no signal.
        if this.upcast_ref::<RefCounted>().get_reference_count() == 1 {
            break;
        }
        let mut class = this.bind_mut();
        let host = class.host_mut();
        next = if host.core.generation() == generation {
            host.next_event(has_listeners.unwrap_or(true))
        } else {
            None
        };
    }
    let polls = {
        let mut class = this.bind_mut();
        let host = class.host_mut();
        host.registered.add_poll_time(started.elapsed());
        host.core.polls_while_relaying()
    };
    if let Some(polls) = polls {
        relaying::check(&mut this, polls);
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
