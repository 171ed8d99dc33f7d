//! Checks that all games agree about who is connected.

use super::game::Game;
use super::ledger::Ledger;
use crate::base::PeerId;
use crate::config::{Mode, WireFormat};
use crate::peer::Status;

/// Returns whether all games agree about who is connected, and nothing waits. `games[0]` is the server. Notes who is alive.
pub(super) fn agree(games: &[Game], ledger: &mut Ledger, mode: Mode) -> Result<(), String> {
    let server = &games[0];
    let via = server.session().unwrap_or_default();
    let mut guests = server.roster(ledger);
    for guest in &guests {
        assert!(server.peer.has_peer(*guest));
    }
    let all = guests.clone();
    ledger.sessions.iter_mut().for_each(|session| session.alive = false);
    for game in &games[1..] {
        if game.peer.status() == Status::Connecting {
            return Err(format!("client {} is still at the door", game.number));
        }
        let Some(session) = game.session().filter(|_| game.is_open()) else { continue };
        let id = ledger.sessions[session].id.filter(|id| ledger.session_of(via, *id) == Some(session));
        let Some(id) = id.filter(|id| guests.contains(id)) else {
            return Err(format!("client {} is in, says the client alone", game.number));
        };
        ledger.sessions[session].alive = true;
        if mode == Mode::Multiplayer(WireFormat::Godot3) {
            let others = all.iter().copied().filter(|other| *other != id);
            let mut expected: Vec<_> = others.chain([PeerId::SERVER]).collect();
            expected.sort();
            let mut known = game.roster(ledger);
            known.sort();
            if known != expected {
                return Err(format!("client {} ({id}) knows {known:?} of {expected:?}", game.number));
            }
        }
        guests.retain(|guest| *guest != id);
    }
    if !guests.is_empty() {
        return Err(format!("{guests:?} are in, says the server alone"));
    }
    for game in games {
        for statistics in game.roster(ledger).into_iter().filter_map(|id| game.peer.peer_statistics(id)) {
            let out = (statistics.queued_out_bytes, statistics.queued_out_packets);
            let unread = (statistics.queued_in_bytes, statistics.queued_in_packets);
            if (out, unread) != ((0, 0), (0, 0)) {
                return Err(format!("game {} has {out:?} to send and {unread:?} to read", game.number));
            }
        }
    }
    Ok(())
}
