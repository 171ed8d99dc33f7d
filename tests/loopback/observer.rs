//! An observer sees the connected peers, and keeps nothing alive.

use websocket_multiplayer_core::{Delivery, PeerId, Role, Runtime, Status, Target};

use crate::support::{client, eventually, multiplayer, party, server};

#[test]
fn it_shows_openings_peers_and_what_waits() {
    let runtime = Runtime::new();
    let (mut server, mut clients) = party(&runtime, 3, &multiplayer());
    let observer = server.peer.observer();
    assert_eq!((observer.role(), observer.local_port()), (Some(Role::Server), server.peer.local_port()));
    assert_eq!(observer.statistics().peers, 3);
    let mut ids: Vec<_> = clients.keys().copied().collect();
    ids.sort();
    assert_eq!(observer.busiest(10).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);

    // If only one peer is requested, the one with the most traffic is returned.
    let busy = ids[1];
    let sender = &mut clients.get_mut(&busy).expect("it is there").peer;
    sender.send(Target::One(PeerId(1)), &[7; 5000], Delivery::Reliable).expect("there is room");
    eventually("it waits for the game", || observer.load().queued_in_bytes == 5000);
    let [(id, figures)] = observer.busiest(1).try_into().expect("one");
    assert_eq!((id, figures.queued_in_bytes), (busy, 5000));
    assert_eq!(observer.load().queued_out_bytes, 0);
    server.poll();
    assert_eq!(server.packets().len(), 1);
    assert_eq!(observer.load().queued_in_bytes, 0);

    drop(clients);
    eventually("they are gone", || observer.statistics().peers == 0);
    assert!(observer.busiest(10).is_empty() && observer.load().round_trips.is_empty());
    let generation = observer.generation();
    assert!(generation.is_some());
    server.peer.close();
    assert_eq!((observer.generation(), observer.role(), observer.statistics().packets_in), (None, None, 0));
    drop(server);
    assert_eq!(observer.generation(), None);
}

#[test]
fn it_does_not_keep_what_a_lost_peer_had_waiting() {
    let runtime = Runtime::new();
    let mut server = server(&runtime, multiplayer());
    let observer = server.peer.observer();
    for _ in 0..20 {
        let mut client = client(&runtime, server.peer.local_port(), multiplayer());
        eventually("connected", || {
            server.poll();
            client.poll();
            server.connected_ids().len() == 1 && client.peer.status() == Status::Connected
        });
        client.peer.send(Target::One(PeerId(1)), &[7; 50_000], Delivery::Reliable).expect("there is room");
        eventually("it waits", || observer.load().queued_in_bytes == 50_000);
        server.poll();
        client.peer.close();
        eventually("gone", || {
            server.poll();
            observer.statistics().peers == 0
        });
        server.packets();
        server.events.clear();
    }
    eventually("nothing waits anywhere", || runtime.queued_bytes() == 0);
}
