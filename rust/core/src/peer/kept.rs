//! Tests of the memory that an object keeps after a burst, and after the end of its driver.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::access::AccessPolicy;
use crate::base::{CloseReason, ConnId, Delivery, Packet, Target};
use crate::behaviour::End;
use crate::channel::{KEPT, PeerInfo, PeerShared, Run};
use crate::config::WireFormat;
use crate::hub::{Side, TURN};
use crate::testing::InMemory;

const MANY: usize = 100_000;
const ID: PeerId = PeerId(7);

fn config(mode: Mode) -> PeerConfig {
    PeerConfig { mode, ..PeerConfig::default() }
}

fn shared(runtime: &Runtime) -> Arc<PeerShared> {
    let info = PeerInfo {
        address: "192.0.2.1:1".parse().expect("an address"),
        protocol: String::new(),
        target: "/".into(),
        origin: String::new(),
        headers: Box::default(),
        has_control: false,
        resumes: false,
        opened: Instant::now(),
    };
    Arc::new(PeerShared::new(ConnId { slot: 0, generation: 0 }, ID, info, &runtime.queue_totals))
}

/// An open server whose driver is called by the test.
fn server(runtime: &Arc<Runtime>, mode: Mode) -> (Peer, InMemory<End>) {
    let mut peer = Peer::new(Arc::clone(runtime));
    let access = Box::new(AccessPolicy::new(ServerConfig::default()));
    let driver = peer.open_in_memory(config(mode), Side::Server(access), TURN, Instant::now());
    (peer, driver)
}

#[test]
fn a_burst_gives_its_memory_back() {
    for mode in [Mode::Multiplayer(WireFormat::Godot4), Mode::Raw] {
        let runtime = Runtime::new();
        let (mut peer, driver) = server(&runtime, mode);
        let mut notices = vec![Notice::Connected { shared: shared(&runtime), own_id: PeerId::SERVER }];
        notices.extend(
            (0..MANY).map(|_| {
                Notice::Packet(Packet { source: ID, payload: Bytes::from_static(b"!"), text: false })
            }),
        );
        driver.mailbox.deliver(&mut notices);
        assert!(peer.begin_poll());
        while peer.next_event(true).is_some() {}
        assert!(peer.notices.capacity() <= KEPT, "{mode:?}: {}", peer.notices.capacity());
        let handle = peer.peer(ID).expect("it is connected");
        let mut taken = 0;
        while peer.pop_packet().is_some() || handle.pop_packet().is_some() {
            taken += 1;
        }
        assert_eq!(taken, MANY);
        let open = peer.open.as_ref().expect("it is open");
        assert!(open.receiver.capacity() <= KEPT, "{mode:?}: {}", open.receiver.capacity());
        let capacity = open.roster[&ID].messages_capacity();
        assert!(capacity <= KEPT, "{mode:?}: {capacity}");
        // The driver next fills the list that this side has returned.
        peer.begin_poll();
        driver.mailbox.deliver(&mut vec![Notice::Withdrawn(ID)]);
        peer.begin_poll();
        let mut batch = vec![Notice::Withdrawn(ID)];
        driver.mailbox.deliver(&mut batch);
        assert!(batch.capacity() <= KEPT, "{mode:?}: {}", batch.capacity());
    }
}

#[test]
fn a_burst_of_packets_between_clients_gives_its_memory_back() {
    // Relayed, and taken by the game because nobody relays any more.
    for is_relayed in [true, false] {
        let runtime = Runtime::new();
        let (mut peer, driver) = server(&runtime, Mode::Multiplayer(WireFormat::Godot4));
        let mut notices = vec![Notice::Connected { shared: shared(&runtime), own_id: PeerId::SERVER }];
        notices.extend((0..MANY).map(|_| {
            let mut run = Run::new();
            run.source = ID;
            run.push(PeerId(8), b"\x07\x03\x08\0\0\0!");
            Notice::Run(run)
        }));
        driver.mailbox.deliver(&mut notices);
        assert!(peer.begin_poll());
        while peer.next_event(true).is_some() {}
        let capacity = |peer: &Peer| peer.open.as_ref().expect("it is open").receiver.runs.capacity();
        assert!(capacity(&peer) >= MANY);
        if is_relayed {
            assert_eq!(peer.packet_count(), 0);
        } else {
            peer.set_relaying(Some(1), true);
            assert_eq!(peer.packet_count(), MANY);
        }
        assert!(capacity(&peer) <= KEPT, "{is_relayed}: {}", capacity(&peer));
    }
}

/// Polls until the end of the driver is emitted.
fn events_until_failed(peer: &mut Peer) -> Vec<Event> {
    let start = Instant::now();
    let mut events = Vec::new();
    while peer.status() != Status::Disconnected {
        peer.wait(Duration::from_millis(100));
        peer.begin_poll();
        events.extend(std::iter::from_fn(|| peer.next_event(true)));
        assert!(start.elapsed() < Duration::from_secs(60), "the end is not emitted: {events:?}");
    }
    events
}

/// The game tells of each in turn, and to those that are left.
#[test]
fn a_driver_that_fails_leaves_peers_to_whom_nothing_can_be_sent_any_more() {
    let runtime = Runtime::new();
    let (mut peer, driver) = server(&runtime, Mode::Multiplayer(WireFormat::Godot4));
    let reason = CloseReason::TransportError("the I/O thread failed".into());
    driver.mailbox.deliver(&mut vec![
        Notice::Connected { shared: shared(&runtime), own_id: PeerId::SERVER },
        Notice::DriverFailed(reason),
    ]);
    assert!(peer.begin_poll());
    let joined = Event::PeerConnected { id: ID, protocol: String::new() };
    assert_eq!(peer.next_event(true), Some(joined));
    assert_eq!(peer.next_event(true), Some(Event::PeerDisconnected { id: ID, clean: false }));
    assert_eq!(peer.send(Target::One(ID), b"!", Delivery::Reliable), Ok(()));
    assert_eq!(peer.statistics().packets_to_closed, 1);
    assert_eq!(peer.send(Target::One(PeerId(8)), b"!", Delivery::Reliable), Err(SendError::NotConnected));
    assert_eq!(peer.send(Target::All, b"!", Delivery::Reliable), Err(SendError::NotConnected));
}

#[test]
fn a_driver_that_fails_is_told_of_and_everything_can_be_opened_again() {
    let runtime = Runtime::new();
    let mut server = Peer::new(Arc::clone(&runtime));
    server.listen(ServerConfig { peer: config(Mode::Raw), ..ServerConfig::default() }).expect("a free port");
    let port = server.local_port();
    server.open.as_ref().expect("it is open").mailbox.command(Command::Panic);
    assert_eq!(events_until_failed(&mut server), [Event::ServerFailed]);
    assert!(server.last_error().contains("I/O thread failed"), "{}", server.last_error());
    assert_eq!(server.local_port(), 0);
    let again = ServerConfig { peer: config(Mode::Raw), port, ..ServerConfig::default() };
    server.listen(again).expect("the port is free, and the object usable");
    assert_eq!((server.status(), server.last_error()), (Status::Connected, String::new()));
    server.close();
}
