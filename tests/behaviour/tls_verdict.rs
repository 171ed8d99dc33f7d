//! Certificates that are verified on another thread, which may take long: no data is sent before the result, and a late result does no
//! harm.

use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use super::world::{Node, SECOND, World, multiplayer};
use crate::base::{CloseFrame, CloseReason, ConnId, Phase};
use crate::channel::{Command, Notice};
use crate::config::ServerConfig;
use crate::tls::judge::Judge;
use crate::tls::{TlsClient, TlsServer, TlsSession, self_signed};

/// A server, and clients whose verifier is the judge.
struct Court {
    judge: Arc<Judge>,
    server: TlsServer,
    client: TlsClient,
}

/// A handshake that waits for the judge.
type Check = (ConnId, Box<TlsSession>);

impl Court {
    fn new(refuses: bool) -> Self {
        let judge = Judge::new(refuses);
        let (key, certificate) = self_signed("game.example");
        let server = TlsServer::new(&key, &certificate, "").expect("usable");
        let client = TlsClient::judged_by(Arc::clone(&judge) as _);
        Self { judge, server, client }
    }

    fn world(&self) -> World {
        let server =
            ServerConfig { peer: multiplayer(), tls: Some(self.server.clone()), ..ServerConfig::default() };
        let client = Node::dialling("wss://game.example/lobby", Some(self.client.clone()), multiplayer());
        World::between(Node::gated(server), client, 64 * 1024, usize::MAX)
    }

    /// Runs until the judge was asked, before the client gets the answer.
    fn until_asked(&self, world: &mut World) -> Check {
        let before = self.judge.asked();
        loop {
            world.run();
            let (conn, mut session) = world.client.driver.hub.checks.pop().expect("the handshake goes on");
            session.check();
            if self.judge.asked() > before {
                return (conn, session);
            }
            answer(world, (conn, session));
        }
    }
}

fn answer(world: &mut World, (conn, session): Check) {
    world.client.command(Command::Checked { conn, session: Some(session) }, world.now);
}

/// Runs until nothing changes.
fn finish(world: &mut World) {
    loop {
        world.run();
        let Some((conn, mut session)) = world.client.driver.hub.checks.pop() else { return };
        session.check();
        answer(world, (conn, session));
    }
}

fn is_in(node: &Node) -> bool {
    node.has(|notice| matches!(notice, Notice::Connected { .. }))
}

#[test]
fn nothing_leaves_before_the_verdict() {
    let court = Court::new(false);
    let mut world = court.world();
    let check = court.until_asked(&mut world);
    let sent = world.ends.1.written();
    world.pass(2 * SECOND);
    assert_eq!(world.ends.1.written(), sent, "not even the end of the handshake leaves");
    assert_eq!(world.server.counters().bytes_in.get(), 0, "the server has not seen the request");
    assert!(!is_in(&world.client) && !is_in(&world.server));
    answer(&mut world, check);
    finish(&mut world);
    assert!(is_in(&world.client) && is_in(&world.server));
}

#[test]
fn who_is_refused_gets_the_alert_and_nothing_else() {
    Lines::catch();
    let court = Court::new(true);
    let mut world = court.world();
    let check = court.until_asked(&mut world);
    answer(&mut world, check);
    finish(&mut world);
    let reason = world.client.end();
    assert!(
        matches!(reason, Some(CloseReason::TransportError(why)) if why.contains("unknown issuer")),
        "{reason:?}"
    );
    assert_eq!(world.server.counters().bytes_in.get(), 0);
    assert_eq!(world.server.counters().handshakes_refused.get(), 1);
    let lines = Lines::with("does not trust our certificate (unknown issuer)");
    assert_eq!(lines.len(), 1, "the server says so: {:?}", Lines::with(""));
    assert_eq!((world.client.len(), world.server.len()), (0, 0));
}

#[test]
fn a_verdict_that_comes_too_late_changes_nothing() {
    for refuses in [false, true] {
        let court = Court::new(refuses);
        let mut world = court.world();
        let check = court.until_asked(&mut world);
        world.pass(multiplayer().handshake_timeout + SECOND);
        assert_eq!(world.client.end(), Some(&CloseReason::TimedOut(Phase::Handshake)));
        assert_eq!((world.client.len(), world.server.len()), (0, 0), "nobody waits for the judge");
        let told = world.client.notices.len();
        answer(&mut world, check);
        finish(&mut world);
        assert_eq!(world.client.notices.len(), told, "nothing more is told");
    }
}

#[test]
fn closing_does_not_wait_for_the_verdict() {
    let court = Court::new(false);
    let mut world = court.world();
    let check = court.until_asked(&mut world);
    let frame = Box::new(CloseFrame::normal());
    world.client.command(Command::Finish { frame }, world.now);
    world.run();
    assert_eq!((world.client.len(), world.server.len()), (0, 0), "closed at once");
    answer(&mut world, check);
    finish(&mut world);
    assert!(!is_in(&world.client) && !is_in(&world.server));
}

#[test]
fn a_server_that_leaves_meanwhile_is_noticed_after_the_verdict() {
    let court = Court::new(false);
    let mut world = court.world();
    let check = court.until_asked(&mut world);
    world.ends.0.cut();
    world.pass(Duration::from_millis(100));
    assert_eq!(world.client.len(), 1, "what it said before is still to be judged");
    answer(&mut world, check);
    finish(&mut world);
    assert!(world.client.end().is_some() && world.client.len() == 0);
}

#[test]
fn a_check_that_breaks_ends_the_connection() {
    let court = Court::new(false);
    let mut world = court.world();
    let (conn, _) = court.until_asked(&mut world);
    world.client.command(Command::Checked { conn, session: None }, world.now);
    finish(&mut world);
    let reason = world.client.end();
    assert!(
        matches!(reason, Some(CloseReason::TransportError(why)) if why.contains("could not be checked")),
        "{reason:?}"
    );
    assert_eq!(world.client.len(), 0);
}

#[test]
fn only_who_was_accepted_is_not_asked_about_again() {
    for (refuses, asked) in [(false, 1), (true, 3)] {
        let court = Court::new(refuses);
        for _ in 0..3 {
            let mut world = court.world();
            finish(&mut world);
            assert_eq!(is_in(&world.client), !refuses);
        }
        assert_eq!(court.judge.asked(), asked, "refuses: {refuses}");
    }
}
