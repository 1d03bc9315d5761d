//! Endpoints that die without a word, and come back.

use std::time::Duration;

use conec_core::{CloseReason, CoordinatorConfig, ErrorCode, RecvEnd};
use conec_tests::{keys, sim::World};

use crate::{closing::nothing_is_left, connecting::home, pair};

#[test]
fn a_crashed_peer_is_reported_once_and_readers_get_an_error() {
    let mut world = World::new(12);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "before");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "before");
    world.crash(alice);
    let end = world.recv_ended(theirs);
    assert!(matches!(end, RecvEnd::Closed(_)), "{end:?}");
    world.send_ended(theirs);
    let reason = world.closed(at_bob);
    assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
}

#[test]
fn a_coordinator_that_dies_ends_every_wait_in_time() {
    let (mut world, coordinator, at_alice, at_bob) = pair(9);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "one");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "one");
    let pending = world.request_channel(
        at_alice.node,
        "bob".parse::<conec_core::Name>().unwrap().into(),
    );
    world.crash(coordinator);
    let start = world.elapsed();
    assert_eq!(world.closed(pending), CloseReason::CoordinatorLost);
    assert_eq!(
        world.recv_ended(theirs),
        RecvEnd::Closed(CloseReason::CoordinatorLost)
    );
    assert_eq!(world.closed(at_alice), CloseReason::CoordinatorLost);
    assert_eq!(world.closed(at_bob), CloseReason::CoordinatorLost);
    assert_eq!(world.closed(home(at_alice.node)), CloseReason::TimedOut);
    assert_eq!(world.closed(home(at_bob.node)), CloseReason::TimedOut);
    // The idle timeout, and a few probes after it began.
    assert!(world.elapsed() - start <= Duration::from_secs(45));
    nothing_is_left(&mut world, &[at_alice.node, at_bob.node]);
}

#[test]
fn a_restarted_coordinator_with_its_reset_key_is_noticed_at_once() {
    let mut world = World::new(13);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.reset_key = Some([9; 32]);
    let coordinator = world.add_coordinator_with(config.clone());
    let alice = world.add_client("alice");
    world.connect(alice, coordinator);
    world.crash(coordinator);
    world.restart_coordinator(coordinator, config);
    let before = world.elapsed();
    assert_eq!(world.closed(home(alice)), CloseReason::Reset);
    // With the next keep-alive.
    assert!(world.elapsed() - before <= Duration::from_secs(11));
}
