//! Peers that do not keep up: no packet is lost silently, and memory stays bounded.

use std::time::Duration;

use websocket_multiplayer_core::{
    Buffers, Delivery, Event, OverflowPolicy, PeerConfig, PeerId, Runtime, SendError, Target,
};

use crate::support::{DEADLINE, eventually, multiplayer, party};

fn small() -> Buffers {
    Buffers { input_bytes: 16 * 1024, input_packets: 64, output_bytes: 16 * 1024, output_packets: 64 }
}

#[test]
fn a_receiver_that_stops_taking_makes_the_sender_refuse_and_gets_everything_later() {
    let runtime = Runtime::new();
    let config = PeerConfig { buffers: small(), overflow_policy: OverflowPolicy::Refuse, ..multiplayer() };
    let (mut server, mut clients) = party(&runtime, 1, &config);
    let (id, mut client) = clients.drain().next().expect("one client");
    let mut sent = 0_u32;
    let mut refused = 0;
    // The client does not poll: its input buffer, the kernel's buffers and the server's output buffer fill up one after the other.
    eventually("the sender refuses", || {
        server.poll();
        for _ in 0..100 {
            let mut packet = vec![0; 1000];
            packet[..4].copy_from_slice(&sent.to_le_bytes());
            match server.peer.send(Target::One(id), &packet, Delivery::Reliable) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        refused > 0
    });
    let queued = server.peer.peer_statistics(id).expect("still connected").queued_out_bytes;
    assert!(queued <= config.burst_bytes(), "{queued}");
    eventually("congestion is told", || {
        server.poll();
        server.has(|event| matches!(event, Event::PeerCongested { .. }))
    });
    assert!(server.peer.statistics().packets_refused > 0);
    let mut got = Vec::new();
    eventually("everything that was accepted", || {
        server.poll();
        client.poll();
        got.extend(
            client
                .packets()
                .into_iter()
                .map(|(_, packet)| u32::from_le_bytes(packet[..4].try_into().expect("four bytes"))),
        );
        got.len() == sent as usize
    });
    assert!(got.iter().copied().eq(0..sent), "in order");
    eventually("the sender hears that all has left", || {
        server.poll();
        server.has(|event| matches!(event, Event::PeerDrained { .. }))
    });
    server.peer.send(Target::One(id), b"again", Delivery::Reliable).expect("there is room again");
}

#[test]
fn a_peer_that_does_not_keep_up_is_closed_once_and_nobody_else_notices() {
    let runtime = Runtime::new();
    // Long enough for a slow client on a busy machine to read the Close frame.
    let config = PeerConfig {
        buffers: small(),
        overflow_grace: Duration::from_millis(200),
        close_timeout: DEADLINE,
        ..multiplayer()
    };
    let (mut server, mut clients) = party(&runtime, 2, &config);
    let mut ids = clients.keys().copied();
    let (slow, healthy) = (ids.next().expect("first"), ids.next().expect("second"));
    let mut healthy_client = clients.remove(&healthy).expect("the second client");
    let (mut sent, mut got) = (0, 0);
    eventually("the slow one is closed", || {
        server.poll();
        healthy_client.poll();
        got += healthy_client.packets().len();
        // Paced, so that the healthy client always keeps up.
        while sent - got < 50 {
            let _ = server.peer.send(Target::All, &[1; 1000], Delivery::Reliable);
            sent += 1;
        }
        server.has(|event| matches!(event, Event::PeerDisconnected { .. }))
    });
    assert_eq!(
        server
            .events
            .iter()
            .filter(|event| matches!(event, Event::PeerOverflowed { id } if *id == slow))
            .count(),
        1
    );
    assert!(server.has(|event| matches!(event, Event::PeerDisconnected { id, clean: false } if *id == slow)));
    assert_eq!(server.peer.statistics().peers_overflowed, 1);
    eventually("the healthy one has everything", || {
        server.poll();
        healthy_client.poll();
        got += healthy_client.packets().len();
        got == sent
    });
    // The slow client gets the Close frame as soon as it reads again.
    let mut slow_client = clients.remove(&slow).expect("the first client");
    eventually("the slow one sees the code", || {
        slow_client.poll();
        slow_client.packets();
        slow_client.peer.close_code() == 1013
    });
}

#[test]
fn unreliable_packets_are_dropped_and_counted_only_behind_a_backlog() {
    let runtime = Runtime::new();
    let config = PeerConfig { overflow_policy: OverflowPolicy::Refuse, ..multiplayer() };
    let (mut server, mut clients) = party(&runtime, 1, &config);
    let (id, mut client) = clients.drain().next().expect("one client");
    for _ in 0..100 {
        server.peer.send(Target::One(id), &[1; 100], Delivery::Droppable).expect("taken");
    }
    let mut got = 0;
    eventually("all that was sent to a healthy peer", || {
        server.poll();
        client.poll();
        got += client.packets().len();
        got == 100
    });
    assert_eq!(server.peer.statistics().packets_dropped_unreliable, 0);
    eventually("a backlog", || {
        server.poll();
        while server.peer.send(Target::One(id), &[2; 10_000], Delivery::Reliable).is_ok() {}
        server.peer.peer_statistics(id).is_some_and(|figures| figures.queued_out_bytes > 16 * 1024)
            && server.has(|event| matches!(event, Event::PeerCongested { .. }))
    });
    let dropped = server.peer.statistics().packets_dropped_unreliable;
    assert_eq!(
        server.peer.send(Target::One(id), &[3; 100], Delivery::Droppable),
        Ok(()),
        "dropping is no error"
    );
    assert_eq!(server.peer.statistics().packets_dropped_unreliable, dropped + 1);
}

#[test]
fn a_full_input_buffer_holds_the_sender_back_and_loses_nothing() {
    let runtime = Runtime::new();
    let config = PeerConfig {
        buffers: Buffers { output_bytes: 64 * 1024, output_packets: 1024, ..small() },
        overflow_grace: DEADLINE,
        ..multiplayer()
    };
    let (mut server, mut clients) = party(&runtime, 1, &config);
    let (id, mut client) = clients.drain().next().expect("one client");
    for i in 0..2000_u32 {
        let mut packet = vec![0; 1 + (i as usize * 37) % 1500];
        packet[0] = i as u8;
        client.peer.send(Target::One(PeerId(1)), &packet, Delivery::Reliable).expect("a burst fits");
    }
    let mut most = 0;
    eventually("the input buffer is full", || {
        let figures = server.peer.peer_statistics(id).expect("connected");
        most = most.max(figures.queued_in_bytes);
        figures.queued_in_packets >= 8
            && client.peer.peer_statistics(PeerId(1)).is_some_and(|own| own.packets_out > 30)
    });
    let mut got = Vec::new();
    eventually("everything", || {
        most = most.max(server.peer.peer_statistics(id).expect("connected").queued_in_bytes);
        server.poll();
        client.poll();
        got.extend(server.packets().into_iter().map(|(_, packet)| packet[0]));
        got.len() == 2000
    });
    assert!(got.iter().copied().eq((0..2000_u32).map(|i| i as u8)));
    assert!(most <= 16 * 1024, "never more than the input buffer: {most}");
}
