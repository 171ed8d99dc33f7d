//! The 3.x packet format between this library's server and clients.

use websocket_multiplayer_core::{
    Delivery, Event, Mode, PeerConfig, PeerId, PeerState, Runtime, SendError, Target, WireFormat,
};

use crate::support::{TestPeer, eventually, multiplayer, party};

fn config() -> PeerConfig {
    PeerConfig { mode: Mode::Multiplayer(WireFormat::Godot3), ..multiplayer() }
}

#[test]
fn clients_know_each_other_and_talk_without_the_servers_game() {
    let runtime = Runtime::new();
    let (mut server, clients) = party(&runtime, 3, &config());
    let mut clients: Vec<_> = clients.into_iter().collect();
    eventually("everybody knows everybody", || {
        clients.iter_mut().for_each(|(_, client)| client.poll());
        clients.iter().all(|(_, client)| client.connected_ids().len() == 3)
    });
    let ids: Vec<_> = clients.iter().map(|(id, _)| *id).collect();
    let max = clients[0].1.peer.max_packet_size();
    assert_eq!(max, 65_536 - 9);
    // The server's game does not poll, because the I/O thread relays.
    let sender = &mut clients[0].1.peer;
    sender.send(Target::One(ids[1]), &vec![1; max], Delivery::Reliable).expect("room");
    sender.send(Target::AllExcept(PeerId(1)), b"all but the server", Delivery::Reliable).expect("room");
    assert_eq!(sender.send(Target::One(PeerId(3)), b"x", Delivery::Reliable), Err(SendError::UnknownPeer(3)));
    assert!(matches!(
        sender.send(Target::All, &vec![1; max + 1], Delivery::Reliable),
        Err(SendError::TooLarge { .. })
    ));
    let mut got = [Vec::new(), Vec::new()];
    eventually("the packets", || {
        for (client, got) in clients[1..].iter_mut().zip(&mut got) {
            client.1.poll();
            got.extend(client.1.packets());
        }
        got[0].len() == 2 && got[1].len() == 1
    });
    assert_eq!(got[0], [(ids[0], vec![1; max]), (ids[0], b"all but the server".to_vec())]);
    assert_eq!(got[1], [(ids[0], b"all but the server".to_vec())]);
    server.poll();
    assert!(server.packets().is_empty());
    // One client leaves, and the others get the notice.
    clients.remove(0).1.peer.close();
    eventually("the others know", || {
        clients.iter_mut().for_each(|(_, client)| client.poll());
        clients.iter().all(|(_, client)| client.connected_ids().len() == 2)
    });
    // The server closes, so every peer disconnects.
    drop(server);
    eventually("all are alone", || {
        clients.iter_mut().for_each(|(_, client): &mut (_, TestPeer)| client.poll());
        clients.iter().all(|(_, client)| {
            client.connected_ids().is_empty() && client.events.last() == Some(&Event::ServerDisconnected)
        })
    });
}

#[test]
fn who_goes_with_the_server_goes_behind_its_last_packet_although_the_server_was_dropped_here() {
    let runtime = Runtime::new();
    let (server, clients) = party(&runtime, 2, &config());
    let mut clients: Vec<_> = clients.into_iter().collect();
    eventually("everybody knows everybody", || {
        clients.iter_mut().for_each(|(_, client)| client.poll());
        clients.iter().all(|(_, client)| client.connected_ids().len() == 2)
    });
    let (_, mut client) = clients.remove(0);
    let (id, other) = &mut clients[0];
    let handle = client.peer.peer(PeerId::SERVER).expect("it is connected");
    other.peer.send(Target::All, b"bye", Delivery::Reliable).expect("room");
    let arrived = || client.peer.peer_statistics(PeerId::SERVER).expect("known").queued_in_packets;
    eventually("the packet waits for a poll", || arrived() > 0);
    drop(server);
    // The game still does not poll, so it gets the packet and the end of the server in one poll.
    eventually("the server is gone", || handle.state() == PeerState::Closed && runtime.thread_count() == 0);
    assert!(client.peer.begin_poll());
    let mut told = Vec::new();
    while let Some(event) = client.peer.next_event(true) {
        if event == (Event::PacketReceived { id: *id }) {
            assert!(client.peer.disconnect_now(PeerId::SERVER));
        }
        told.push(event);
    }
    assert_eq!(told, [Event::PacketReceived { id: *id }]);
    assert_eq!(client.packets(), [(*id, b"bye".to_vec())], "it can be read before its sender is gone");
    client.poll();
    assert!(client.has(|event| matches!(event, Event::PeerDisconnected { id: gone, .. } if gone == id)));
}
