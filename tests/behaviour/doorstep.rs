//! Which pending connection is evicted when all places are taken and another client waits.

use std::time::Duration;

use super::access::{Door, HERE, PROXY};
use super::world::{End, REQUEST, SECOND, raw};
use crate::base::ConnId;
use crate::channel::Notice;
use crate::config::{PeerConfig, ServerConfig};
use crate::hub::EvictionOutcome;
use crate::hub::transports::Readiness;
use crate::tls::{TlsServer, self_signed};

const STRANGER: &str = "198.51.100.1:1";
/// Places, of which one address may have four before it counts as unfair.
const PLACES: usize = 64;

/// A server whose timeouts do not expire.
fn patient(config: ServerConfig) -> Door {
    let mut door = Door::new(ServerConfig { max_pending: PLACES, ..config });
    let peer = PeerConfig { handshake_timeout: 600 * SECOND, ..raw() };
    door.node.command(crate::channel::Command::Configure(Box::new(peer)), door.now);
    door
}

/// Connections of one address that send half of their request.
fn dawdle(door: &mut Door, from: &str, count: usize) -> Vec<(ConnId, End)> {
    (0..count)
        .map(|_| {
            let (conn, end) = door.arrive(from);
            door.say(&end, b"G");
            (conn, end)
        })
        .collect()
}

/// Needs a place while these connections have sent bytes that were not read yet.
fn unread(
    door: &mut Door,
    conns: impl IntoIterator<Item = ConnId>,
    newcomer: Option<&str>,
) -> EvictionOutcome {
    for conn in conns {
        let readable = Readiness { readable: true, ..Readiness::default() };
        assert!(door.node.driver.hub.ready(conn, readable));
    }
    let newcomer = newcomer.map(|address| address.parse().expect("an address"));
    let room = door.node.driver.make_room(newcomer, door.now);
    door.node.run(door.now);
    room
}

#[test]
fn the_silent_make_room_after_a_second() {
    let mut door = Door::new(ServerConfig::default());
    let (silent, _end) = door.arrive(HERE);
    let (_, slow) = door.arrive(HERE);
    door.say(&slow, b"GET / HT");
    assert_eq!(door.node.make_room(HERE, door.now), EvictionOutcome::Wait(Some(door.now + SECOND)));
    door.pass(SECOND);
    let unread = unread(&mut door, [silent], None);
    assert_eq!(unread, EvictionOutcome::Wait(Some(door.now)), "nobody listened to it");
    assert_eq!(door.node.make_room(HERE, door.now), EvictionOutcome::Evicted(silent));
    assert_eq!(door.node.make_room(HERE, door.now), EvictionOutcome::Wait(None), "it speaks, if slowly");
    // A rejected connection that does not close is evicted before one that waits.
    let (answer, _refused) = door.knock(HERE, "Content-Length: 1\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "));
    assert!(matches!(door.node.make_room(HERE, door.now), EvictionOutcome::Evicted(_)));
    assert_eq!((door.node.hub().pending_len(), door.node.counters().pending_evicted.get()), (1, 1));
}

#[test]
fn one_address_too_many_does_not_stay_for_an_answer_that_tls_keeps_back() {
    let (key, certificate) = self_signed("localhost");
    let tls = TlsServer::new(&key, &certificate, "").expect("usable");
    let config = ServerConfig { tls: Some(tls), max_connections_per_address: 1, ..ServerConfig::default() };
    let mut door = patient(config);
    let (within, _end) = door.arrive(HERE);
    door.pass(SECOND / 2);
    let (over, _end) = door.arrive(HERE);
    assert!(door.node.hub().wants_write(over), "the answer waits for the handshake");
    assert_eq!(door.node.make_room(STRANGER, door.now + SECOND / 2), EvictionOutcome::Evicted(within));
    assert_eq!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Wait(Some(door.now + SECOND)));
    assert_eq!(door.node.make_room(STRANGER, door.now + SECOND), EvictionOutcome::Evicted(over));
    assert_eq!(door.node.counters().refused_address.get(), 1, "it is counted for what it was");
}

#[test]
fn an_address_that_holds_the_door_shut_with_a_byte_each_does_not() {
    let mut door = patient(ServerConfig::default());
    let slow = dawdle(&mut door, HERE, PLACES);
    let soon = EvictionOutcome::Wait(Some(door.now + SECOND));
    assert_eq!([HERE, STRANGER].map(|from| door.node.make_room(from, door.now)), [soon; 2]);
    door.pass(SECOND);
    let unread = unread(&mut door, slow.iter().map(|(conn, _)| *conn), Some(STRANGER));
    assert_eq!(unread, EvictionOutcome::Wait(None), "what it said since then was not read");
    // A further connection of the address evicts none, and does not block the clients behind it.
    assert_eq!(door.node.make_room("192.0.2.1:99", door.now), EvictionOutcome::Refused);
    assert_eq!(door.node.len(), PLACES);
    for (conn, _) in &slow[..PLACES - 4] {
        assert_eq!(
            door.node.make_room(STRANGER, door.now),
            EvictionOutcome::Evicted(*conn),
            "the oldest first"
        );
    }
    assert_eq!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Wait(None), "a fair share");
    assert_eq!(door.node.counters().pending_evicted.get(), PLACES as u64 - 4);
    // The same when the system has no resources left, and the waiting client is unknown.
    dawdle(&mut door, HERE, 1);
    assert_eq!(door.node.driver.make_room(None, door.now), EvictionOutcome::Evicted(slow[PLACES - 4].0));
}

#[test]
fn the_addresses_of_one_subscriber_are_one() {
    let mut door = patient(ServerConfig::default());
    let ends: Vec<_> = (0..8).map(|host| dawdle(&mut door, &format!("[2001:db8::{host}]:1"), 1)).collect();
    door.pass(SECOND);
    assert_eq!(door.node.make_room("[2001:db8::ffff]:1", door.now), EvictionOutcome::Refused);
    assert_eq!(door.node.make_room("[2001:db8:0:1::1]:1", door.now), EvictionOutcome::Evicted(ends[0][0].0));
}

#[test]
fn the_address_with_the_most_places_gives_one() {
    let mut door = patient(ServerConfig::default());
    let _some = dawdle(&mut door, "192.0.2.1:1", 8);
    let most = dawdle(&mut door, "192.0.2.2:1", 12);
    let _others: Vec<_> = (3..8).map(|host| dawdle(&mut door, &format!("192.0.2.{host}:1"), 8)).collect();
    door.pass(SECOND);
    for (conn, _) in &most[..4] {
        assert_eq!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Evicted(*conn));
    }
    // An exchange in the other direction would gain nothing.
    assert_eq!(door.node.make_room("192.0.2.1:2", door.now), EvictionOutcome::Refused);
}

#[test]
fn a_crowd_that_takes_its_time_harms_none_of_its_own() {
    let mut door = patient(ServerConfig::default());
    let households: Vec<_> =
        (0..PLACES / 4).map(|home| dawdle(&mut door, &format!("203.0.113.{home}:1"), 4)).collect();
    door.pass(10 * SECOND);
    for from in [STRANGER, "203.0.113.0:2"] {
        assert_eq!(door.node.make_room(from, door.now), EvictionOutcome::Wait(None), "{from}");
    }
    assert_eq!((door.node.len(), households.len() * 4), (PLACES, PLACES));
}

#[test]
fn players_of_one_address_do_not_push_each_other_out() {
    let mut door = patient(ServerConfig::default());
    let _crowd = dawdle(&mut door, HERE, PLACES);
    for _ in 0..30 {
        door.pass(SECOND / 10);
        assert!(!matches!(door.node.make_room(HERE, door.now), EvictionOutcome::Evicted(_)));
    }
    assert_eq!((door.node.len(), door.node.counters().handshakes_refused.get()), (PLACES, 0));
}

#[test]
fn time_counts_from_the_first_word_that_was_heard() {
    let mut door = patient(ServerConfig::default());
    let arrived: Vec<_> = (0..PLACES).map(|_| door.arrive(HERE)).collect();
    // The received bytes stay unread, because the thread is busy.
    door.now += 5 * SECOND;
    for (_, end) in &arrived {
        door.say(end, b"G");
    }
    assert_eq!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Wait(Some(door.now + SECOND)));
}

#[test]
fn a_proxy_speaks_for_many_and_only_its_clients_are_many_or_few() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let mut door = patient(ServerConfig { ask: true, trusted_proxies, ..ServerConfig::default() });
    let _slow = dawdle(&mut door, PROXY, PLACES / 2);
    door.pass(SECOND);
    for from in [STRANGER, PROXY] {
        assert_eq!(door.node.make_room(from, door.now), EvictionOutcome::Wait(None), "{from}");
    }
    // Valid requests that wait for the game's decision while it loads.
    let ends: Vec<_> =
        (0..PLACES / 2).map(|_| door.knock(PROXY, "X-Forwarded-For: 203.0.113.7\r\n").1).collect();
    let asked = door.asked();
    assert_eq!((asked.len(), ends.len()), (PLACES / 2, PLACES / 2));
    door.pass(Duration::from_millis(900));
    assert!(matches!(door.node.make_room(PROXY, door.now), EvictionOutcome::Wait(Some(_))));
    door.pass(Duration::from_millis(100));
    assert_eq!(door.node.make_room(PROXY, door.now), EvictionOutcome::Evicted(asked[0].conn));
    door.node.run(door.now);
    assert!(door.node.has(|notice| matches!(notice, Notice::Withdrawn(id) if *id == asked[0].id)));
}

#[test]
fn who_waits_for_the_game_keeps_its_place_unless_it_is_many() {
    let mut door = patient(ServerConfig { ask: true, ..ServerConfig::default() });
    let players: Vec<_> = (0..PLACES).map(|home| door.knock(&format!("203.0.113.{home}:1"), "").1).collect();
    door.pass(20 * SECOND);
    assert_eq!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Wait(None));
    for end in &players[..PLACES / 2] {
        door.leave(end);
    }
    let (attackers, many) = (PLACES / 2, "192.0.2.66:1");
    for _ in 0..attackers {
        let (_, end) = door.arrive(many);
        door.say(&end, REQUEST);
    }
    door.pass(SECOND);
    let made = (0..attackers)
        .filter(|_| matches!(door.node.make_room(STRANGER, door.now), EvictionOutcome::Evicted(_)));
    assert_eq!(made.count(), attackers - 4);
    let left = door.asked();
    assert_eq!(left.iter().filter(|request| request.address.to_string() == many).count(), 4);
    assert_eq!(left.len(), PLACES / 2 + 4);
}

/// Connects to the listener and sends nothing.
fn knock(door: &mut Door, from: &str) -> End {
    let (server_end, end) = End::pair(64 * 1024, usize::MAX);
    door.node.driver.knock(server_end, from.parse().expect("an address"));
    door.node.run(door.now);
    end
}

#[test]
fn who_finds_no_room_waits_in_the_backlog_until_a_silent_one_has_had_its_second() {
    let mut door = Door::new(ServerConfig { max_pending: 2, ..ServerConfig::default() });
    let silent = [HERE, HERE].map(|from| knock(&mut door, from));
    let waiting = [STRANGER, STRANGER].map(|from| knock(&mut door, from));
    assert_eq!(door.node.hub().load(), (2, 2));
    waiting[0].inject(REQUEST);
    waiting[1].inject(REQUEST);
    door.pass(SECOND / 2);
    assert_eq!(
        (waiting[0].readable(), door.node.counters().pending_evicted.get()),
        (0, 0),
        "nobody goes yet"
    );
    door.pass(SECOND);
    assert_eq!((door.connected(), door.node.counters().pending_evicted.get()), (2, 2));
    assert_eq!(door.node.hub().load(), (2, 0));
    drop(silent);
}

#[test]
fn a_server_that_ends_takes_nobody_out_of_the_backlog() {
    let mut door = Door::new(ServerConfig { max_pending: 1, ..ServerConfig::default() });
    let _silent = knock(&mut door, HERE);
    let waiting = knock(&mut door, STRANGER);
    waiting.inject(REQUEST);
    let frame = Box::new(crate::base::CloseFrame::going_away());
    door.node.command(crate::channel::Command::Finish { frame }, door.now);
    door.pass(20 * SECOND);
    assert_eq!((door.connected(), door.node.hub().load()), (0, (0, 0)));
}
