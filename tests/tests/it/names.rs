//! Who bears which name.

use std::time::Duration;

use conec_core::{CloseReason, Endpoint, ErrorCode};
use conec_tests::{keys, sim::World};

use crate::connecting::home;

#[test]
fn a_name_belongs_to_its_first_holder() {
    let mut world = World::new(6);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let other = world.add_client("alice");
    world.start_connecting(other, coordinator);
    assert_eq!(
        world.closed(home(other)),
        CloseReason::Remote(ErrorCode::NameInUse)
    );
    world.run_for(Duration::from_secs(60));
    assert!(world.client(alice).is_connected());
    // Once the name is free, it is anyone's.
    let now = world.now();
    world.client(alice).close(now, Duration::from_secs(1));
    assert_eq!(world.closed(home(alice)), CloseReason::Local);
    let third = world.add_client("alice");
    world.connect(third, coordinator);
}

#[test]
fn the_same_identity_takes_its_session_over() {
    let mut world = World::new(7);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let mut config = world.client_config("alice");
    config.identity = keys::identity(1);
    let again = world.add_client_with(config);
    assert_eq!(world.client(again).id(), world.client(alice).id());
    world.connect(again, coordinator);
    assert_eq!(
        world.closed(home(alice)),
        CloseReason::Remote(ErrorCode::Superseded)
    );
    assert_eq!(world.closed(at_alice), CloseReason::CoordinatorLost);
    assert_eq!(
        world.closed(at_bob),
        CloseReason::Remote(ErrorCode::PeerGone)
    );
    world.open_channel(bob, again);
}
