//! The crowd over ENet, as clients of the engine's `ENetMultiplayerPeer` (modules/enet/enet_multiplayer_peer.cpp): what players lose and the
//! server spends without TCP.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rusty_enet::{Event, Host, HostSettings, Packet, PeerID};
use serde_json::Value;

use crate::Options;
use crate::crowd::Crowd;
use crate::modes::{DRAIN, WARM_UP};
use crate::wire::Wire;

/// A client.
struct Player {
    host: Host<UdpSocket>,
    frames: u64,
}

/// The players join one after the other.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let ids: Vec<i32> = (0..options.count as i32).map(|index| FIRST_ID + index).collect();
    let mut players: Vec<Player> = Vec::new();
    for id in &ids {
        let player = join(options, *id, &mut players)?;
        players.push(player);
    }
    let end = Instant::now() + WARM_UP;
    while Instant::now() < end {
        serve(&mut players, |_, _| {})?;
    }
    let counted = [2 * WARM_UP, 2 * WARM_UP + options.seconds];
    let mut load = Crowd::new(Wire::Godot4, options.copies, options.size, options.rate, ids, counted);
    let end = Instant::now() + counted[1];
    while Instant::now() < end {
        for (index, player) in players.iter_mut().enumerate() {
            let Player { host, frames } = player;
            let server = host.peer_mut(PeerID(0));
            load.send_due(index, frames, |packet| {
                // What does not leave is not delivered, and counted as such.
                let _ = server.send(UNRELIABLE, &Packet::unreliable_unsequenced(packet));
            });
        }
        serve(&mut players, |index, packet| load.note(index, packet))?;
    }
    // Nothing is sent again, so what has not come by then is lost.
    let end = Instant::now() + DRAIN.min(Duration::from_secs(1));
    while load.received < load.owed && Instant::now() < end {
        serve(&mut players, |index, packet| load.note(index, packet))?;
    }
    for player in &mut players {
        player.host.peer_mut(PeerID(0)).disconnect_now(0);
    }
    Ok(load.report(players.len(), options.seconds.as_secs_f64()))
}

/// Connects a player, while those that are there already go on.
fn join(options: &Options, id: i32, others: &mut [Player]) -> Result<Player> {
    let socket = UdpSocket::bind((options.address.ip(), 0)).context("no UDP socket")?;
    let settings = HostSettings { peer_limit: 1, channel_limit: CHANNELS, ..HostSettings::default() };
    let mut host =
        Host::new(socket, settings).map_err(|error| anyhow::anyhow!("no ENet client: {error:?}"))?;
    host.connect(options.address, CHANNELS, id as u32)
        .map_err(|_| anyhow::anyhow!("no place for the server"))?;
    let mut player = Player { host, frames: 0 };
    let end = Instant::now() + options.timeout;
    loop {
        match player.host.service()? {
            Some(Event::Connect { .. }) => return Ok(player),
            Some(Event::Disconnect { .. }) => bail!("the server does not want client {id}"),
            _ => serve(others, |_, _| {})?,
        }
        ensure!(Instant::now() < end, "client {id} is not connected after {:?}", options.timeout);
    }
}

/// Lets every player send and receive once, then sleeps for a moment.
fn serve(players: &mut [Player], mut received: impl FnMut(usize, &[u8])) -> Result<()> {
    for (index, player) in players.iter_mut().enumerate() {
        while let Some(event) = player.host.service()? {
            match event {
                Event::Receive { packet, .. } => received(index, packet.data()),
                Event::Disconnect { .. } => bail!("the server has closed a connection"),
                Event::Connect { .. } => {}
            }
        }
    }
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// Any number above 1.
const FIRST_ID: i32 = 1000;
/// The engine's system channels: reliable packets, and others.
const CHANNELS: usize = 2;
const UNRELIABLE: u8 = 1;
