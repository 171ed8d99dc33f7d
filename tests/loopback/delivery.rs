//! Packets arrive intact, in order, once, and before the notice that their sender has disconnected.

use websocket_multiplayer_core::{
    CloseFrame, Delivery, Event, PeerConfig, PeerId, Runtime, SendError, Target,
};

use crate::support::{DEADLINE, TestPeer, eventually, multiplayer, party};

/// Returns reproducible bytes.
fn bytes(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (seed.wrapping_mul(31).wrapping_add(at.wrapping_mul(7)) >> 3) as u8).collect()
}

#[test]
fn packets_arrive_in_order_both_ways() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &multiplayer());
    let (id, mut client) = clients.drain().next().expect("one client");
    let sizes: Vec<_> = (0..500).map(|i| 1 + (i * 7919) % 60_000).collect();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (mut sent_up, mut sent_down) = (0, 0);
    eventually("all packets", || {
        // Paced to stay within the output buffer, so that even on a slow machine no peer is congested.
        while sent_up < sizes.len()
            && client.peer.peer_statistics(PeerId(1)).is_some_and(|s| s.queued_out_bytes < 5000)
        {
            client
                .peer
                .send(Target::One(PeerId(1)), &bytes(sent_up, sizes[sent_up]), Delivery::Reliable)
                .expect("room");
            sent_up += 1;
        }
        while sent_down < sizes.len()
            && server.peer.peer_statistics(id).is_some_and(|s| s.queued_out_bytes < 5000)
        {
            server
                .peer
                .send(Target::One(id), &bytes(sent_down, sizes[sent_down]), Delivery::Reliable)
                .expect("room");
            sent_down += 1;
        }
        server.poll();
        client.poll();
        up.extend(server.packets());
        down.extend(client.packets());
        up.len() == sizes.len() && down.len() == sizes.len()
    });
    for (i, size) in sizes.iter().enumerate() {
        assert_eq!(up[i], (id, bytes(i, *size)), "up {i}");
        assert_eq!(down[i], (PeerId(1), bytes(i, *size)), "down {i}");
    }
}

#[test]
fn a_burst_in_one_frame_reaches_a_healthy_peer_whole() {
    let runtime = Runtime::new();
    // One client waits while the other one reads, which takes long on a busy machine.
    let patient = PeerConfig { overflow_grace: DEADLINE, ..multiplayer() };
    let (mut server, mut clients) = party(&runtime, 2, &patient);
    for (count, size) in [(3000, 100), (60, 60_000)] {
        for i in 0..count {
            server.peer.send(Target::All, &bytes(i, size), Delivery::Reliable).expect("a burst fits");
        }
        for client in clients.values_mut() {
            let mut got = Vec::new();
            eventually("the burst", || {
                server.poll();
                client.poll();
                got.extend(client.packets());
                got.len() == count
            });
            assert!(got.iter().enumerate().all(|(i, (_, packet))| *packet == bytes(i, size)));
        }
    }
    assert_eq!(server.peer.statistics().packets_refused, 0);
}

#[test]
fn targets_reach_whom_they_name() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 3, &multiplayer());
    let ids: Vec<_> = clients.keys().copied().collect();
    server.peer.send(Target::One(ids[0]), b"one", Delivery::Reliable).expect("room");
    server.peer.send(Target::AllExcept(ids[1]), b"except", Delivery::Reliable).expect("room");
    server.peer.send(Target::All, b"all", Delivery::Reliable).expect("room");
    let expected = |id: PeerId| {
        let mut expected: Vec<&[u8]> = vec![];
        if id == ids[0] {
            expected.push(b"one");
        }
        if id != ids[1] {
            expected.push(b"except");
        }
        expected.push(b"all");
        expected
    };
    for (id, client) in &mut clients {
        let mut got = Vec::new();
        eventually("the broadcast", || {
            server.poll();
            client.poll();
            got.extend(client.packets());
            got.iter().any(|(_, packet)| packet == b"all")
        });
        assert_eq!(got.iter().map(|(_, packet)| packet.as_slice()).collect::<Vec<_>>(), expected(*id));
    }
    assert_eq!(
        server.peer.send(Target::One(PeerId(5)), b"x", Delivery::Reliable),
        Err(SendError::UnknownPeer(5))
    );
    assert_eq!(server.peer.send(Target::All, b"", Delivery::Reliable), Err(SendError::Empty));
}

#[test]
fn the_last_packets_come_before_the_end() {
    let runtime = Runtime::new();
    for from_server in [true, false] {
        let (mut server, mut clients) = party(&runtime, 1, &multiplayer());
        let (id, mut client) = clients.drain().next().expect("one client");
        let (sender, receiver, source, target) = if from_server {
            (&mut server, &mut client, PeerId(1), id)
        } else {
            (&mut client, &mut server, id, PeerId(1))
        };
        for i in 0..20 {
            sender.peer.send(Target::One(target), &bytes(i, 3000), Delivery::Reliable).expect("room");
        }
        assert!(sender.peer.disconnect(target, CloseFrame::new(4001, "bye").expect("a valid frame")));
        let mut got = Vec::new();
        eventually("the end", || {
            sender.poll();
            receiver.peer.begin_poll();
            let mut gone = false;
            while let Some(event) = receiver.peer.next_event(false) {
                gone |= matches!(event, Event::PeerDisconnected { clean: true, .. });
                receiver.events.push(event);
            }
            assert!(!gone || got.len() == 20, "the end was told after {} packets", got.len());
            got.extend(receiver.packets());
            gone
        });
        assert!(got.iter().enumerate().all(|(i, packet)| *packet == (source, bytes(i, 3000))));
        assert!(receiver.has(
            |event| matches!(event, Event::CloseRequested { code: 4001, reason, .. } if reason == "bye")
        ));
        eventually("the sender knows", || {
            sender.poll();
            sender.has(|event| matches!(event, Event::PeerDisconnected { clean: true, .. }))
        });
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 1, &multiplayer());
    let client = clients.values_mut().next().expect("one client");
    let max = client.peer.max_packet_size();
    assert_eq!(max, 65_536);
    assert_eq!(
        client.peer.send(Target::One(PeerId(1)), &bytes(1, max + 1), Delivery::Reliable),
        Err(SendError::TooLarge { size: max + 1, max })
    );
    client.peer.send(Target::One(PeerId(1)), &bytes(1, max), Delivery::Reliable).expect("it fits");
    let mut got = Vec::new();
    eventually("the packet", || {
        server.poll();
        got.extend(server.packets());
        !got.is_empty()
    });
    assert_eq!(got[0].1, bytes(1, max));
    TestPeer::poll(client);
    assert!(client.peer.has_peer(PeerId(1)), "one byte too many costs no connection");
}
