//! What happens to a migration when something else fails: the network, a server, a disk. In the end it is exact, or it has ended with an
//! error that says why, and the same command goes on once that is mended.

mod clusters;
mod servers;
mod throttle;

use std::time::Duration;

use rdts_testkit::{ChildProgram, Direction, FaultProxy, Flow, Rng, Server};

use crate::crash::trial::{Place, Trial, crash, server};
use crate::support::LONG;

/// Keys before the load.
const KEYS: u64 = 1_000;

/// A source that notices soon when a replica is gone, and says often that it is there itself.
fn attentive(name: &str) -> Place {
    let server = Server::builder(name).arg("repl-backlog-size", "64mb").arg("repl-timeout", "4");
    Place::Server(server.arg("repl-ping-replica-period", "1").start())
}

/// Which link goes through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// A migration with a proxy on one side, and the direction in which most of that link's bytes go.
fn through_a_proxy(side: Side, seed: u64) -> (Trial, FaultProxy, Direction) {
    let mut trial = Trial::new(attentive("redis-7.0"), server("redis-7.0"), KEYS, seed);
    // So long may a server be silent.
    trial.more = ["--reply-timeout", "3"].map(str::to_owned).to_vec();
    match side {
        Side::Source => {
            let proxy = FaultProxy::before(trial.source.server());
            trial.from = proxy.url();
            (trial, proxy, Direction::ToClient)
        }
        Side::Target => {
            let proxy = FaultProxy::before(trial.target.server());
            trial.to = proxy.url();
            (trial, proxy, Direction::ToServer)
        }
    }
}

/// Breaks the link in all ways that both ends notice at once, and slows it down in between.
fn survives_breaks(side: Side, seed: u64) {
    let (mut trial, proxy, data) = through_a_proxy(side, seed);
    let mut rng = Rng::new(seed);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    let full_syncs = trial.full_syncs();
    for round in 0..3 {
        let breaks = proxy.accepted();
        proxy.cut();
        proxy.wait_until("a new connection", LONG, |proxy| proxy.accepted() > breaks);
        trial.load().wait_for(rng.between(1, 200), LONG);
        // Somewhere within a command.
        proxy.reset_after(data, rng.between(1, 20_000));
        proxy.wait_until("a reset", LONG, |proxy| proxy.resets() > round);
        trial.load().wait_for(rng.between(1, 200), LONG);
        let pace = [Flow::Single, Flow::Limited(50_000), Flow::Late(Duration::from_millis(40))];
        proxy.set_both(pace[usize::try_from(round).unwrap()]);
        proxy.wait_for_bytes(data, 20_000, LONG);
        if round == 1 {
            // Also while it is slow.
            proxy.cut();
            proxy.wait_for_bytes(data, 10_000, LONG);
        }
        proxy.set_both(Flow::Free);
        trial.wait_until_caught_up(&program);
    }
    // Nobody answers for a moment.
    let refused = proxy.refused();
    proxy.refuse(true);
    proxy.cut();
    proxy.wait_until("two attempts", LONG, |proxy| proxy.refused() >= refused + 2);
    proxy.refuse(false);
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), full_syncs, "a break must not make the source send all again");
}

#[test]
fn the_link_to_the_source_breaks() {
    survives_breaks(Side::Source, 410);
}

#[test]
fn the_link_to_the_target_breaks() {
    survives_breaks(Side::Target, 420);
}

/// Has the link die silently: nobody is told.
fn survives_silence(side: Side, dead: &[Direction], seed: u64) {
    let (mut trial, proxy, _) = through_a_proxy(side, seed);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    let full_syncs = trial.full_syncs();
    let before = proxy.accepted();
    for direction in dead {
        proxy.set(*direction, Flow::Lost);
    }
    // New connections get nowhere either.
    proxy.wait_until("it to be noticed", LONG, |proxy| proxy.accepted() > before);
    proxy.set_both(Flow::Free);
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), full_syncs);
}

#[test]
fn a_black_hole_swallows_the_link_to_the_source() {
    survives_silence(Side::Source, &[Direction::ToClient, Direction::ToServer], 430);
}

#[test]
fn nothing_comes_from_the_source_any_more() {
    survives_silence(Side::Source, &[Direction::ToClient], 440);
}

/// The source hears no acknowledgement, takes the replica for dead, and closes; the end of the connection arrives.
#[test]
fn nothing_gets_to_the_source_any_more() {
    survives_silence(Side::Source, &[Direction::ToServer], 450);
}

#[test]
fn a_black_hole_swallows_the_link_to_the_target() {
    survives_silence(Side::Target, &[Direction::ToClient, Direction::ToServer], 460);
}

/// What was sent is executed, but no reply comes: it must not be executed again.
#[test]
fn nothing_comes_from_the_target_any_more() {
    survives_silence(Side::Target, &[Direction::ToClient], 470);
}

#[test]
fn nothing_gets_to_the_target_any_more() {
    survives_silence(Side::Target, &[Direction::ToServer], 480);
}

/// While the snapshot is copied: the target's link breaks at random places.
#[test]
fn the_link_to_the_target_breaks_during_the_snapshot() {
    let (mut trial, proxy, data) = through_a_proxy(Side::Target, 490);
    let mut rng = Rng::new(490);
    // So that there is time for it.
    proxy.set(data, Flow::Limited(2_000_000));
    let program = trial.start(&[]);
    for round in 0..5 {
        proxy.reset_after(data, rng.between(1, 200_000));
        proxy.wait_until("a reset", LONG, |proxy| proxy.resets() > round || !program.is_running());
    }
    assert!(!trial.is_live(&program), "the snapshot was too short for this test");
    proxy.set(data, Flow::Free);
    trial.wait_until_live(&program, 100);
    let full_syncs = trial.full_syncs();
    trial.stop_and_finish(program);
    assert_eq!((full_syncs, trial.full_syncs()), (1, 1));
}

/// While the snapshot is transferred: no server sends the rest of one.
#[test]
fn the_link_to_the_source_breaks_during_the_snapshot() {
    let (mut trial, proxy, data) = through_a_proxy(Side::Source, 500);
    proxy.reset_after(data, 50_000);
    ends_with(trial.start(&[]), 4, &proxy.addr());
    // The target has a part of it.
    if trial.target.keys() > 0 {
        ends_with(trial.start(&[]), 4, "snapshot");
    }
    trial.more.extend(["--on-lost", "restart"].map(str::to_owned));
    // Now it begins again by itself.
    proxy.reset_after(data, 50_000);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    let full_syncs = trial.full_syncs();
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), full_syncs);
}

/// The whole snapshot is in the spool, and a part of it in the target: nothing has to be sent again.
#[test]
fn the_link_to_the_source_breaks_while_the_snapshot_waits_for_the_target() {
    let (mut trial, proxy, _) = through_a_proxy(Side::Source, 505);
    let slow = FaultProxy::before(trial.target.server());
    slow.set(Direction::ToServer, Flow::Limited(300_000));
    trial.to = slow.url();
    let program = trial.start(&[]);
    trial.source.server().wait_until("the snapshot to be transferred", LONG, |source| {
        source.info("replication").get("slave0").is_some_and(|replica| replica.contains("state=online"))
    });
    let accepted = proxy.accepted();
    proxy.cut();
    proxy.wait_until("a new connection", LONG, |proxy| proxy.accepted() > accepted);
    assert!(!trial.is_live(&program), "the snapshot was too short for this test");
    // The tool may die as well.
    crash(program);
    let program = trial.start(&[]);
    slow.set_both(Flow::Free);
    trial.wait_until_live(&program, 100);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 1);
}

/// Fails the test with all that it said, unless it has ended with this status and an error that holds this text.
fn ends_with(program: ChildProgram, status: i32, text: &str) {
    let finished = crate::support::ends(program, status);
    let error = crate::support::summary(&finished)["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(text), "{error}\n{}", finished.stderr);
}
