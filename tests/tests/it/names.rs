//! Who bears which name.

use std::time::Duration;

use conec_core::{
    ChannelConfig, CloseReason, CoordinatorConfig, Endpoint, ErrorCode, Name, Target,
};
use conec_tests::{keys, sim::World};

use crate::{channels::opened, connecting::home};

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
fn a_name_can_be_kept_for_who_is_gone() {
    let mut world = World::new(12);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.names_kept = Duration::from_secs(60);
    let coordinator = world.add_coordinator_with(config);
    let own = world.client_config("alice");
    for _ in 0..2 {
        // Also for who was back, and is gone again.
        let alice = world.add_client_with(own.clone());
        world.connect(alice, coordinator);
        let now = world.now();
        world.client(alice).close(now, Duration::from_secs(1));
        assert_eq!(world.closed(home(alice)), CloseReason::Local);
        world.run_for(Duration::from_secs(59));
        let other = world.add_client("alice");
        world.start_connecting(other, coordinator);
        let refused = CloseReason::Remote(ErrorCode::NameInUse);
        assert_eq!(world.closed(home(other)), refused);
    }
    world.run_for(Duration::from_secs(1));
    let other = world.add_client("alice");
    world.connect(other, coordinator);
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

#[test]
fn a_client_needs_no_name() {
    let mut world = World::new(8);
    let (coordinator, [bob]) = world.with_clients(["bob"]);
    let mut clients = [(); 2].map(|()| {
        let mut config = world.client_config("unused");
        config.name = None;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    for _ in 0..2 {
        clients.reverse();
        let [one, other] = clients;
        assert_eq!(world.client(one).name(), None);
        // Those who know its id reach it.
        for (from, to) in [(one, bob), (bob, one), (one, other)] {
            let (_, at_to) = world.open_channel(from, to);
            let id = world.client(from).id();
            let peer = world.client(to).peer(at_to.channel).unwrap();
            assert_eq!(peer.id, id);
            assert_eq!(peer.name.is_some(), from == bob);
        }
    }
}

#[test]
fn a_name_of_one_who_crashed_is_free_when_that_is_noticed() {
    let mut world = World::new(9);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    world.crash(alice);
    let start = world.elapsed();
    let mut refused = 0;
    let heir = loop {
        let heir = world.add_client("alice");
        world.start_connecting(heir, coordinator);
        world.run_for(Duration::from_secs(5));
        if world.client(heir).is_connected() {
            break heir;
        }
        assert_eq!(
            world.closed(home(heir)),
            CloseReason::Remote(ErrorCode::NameInUse)
        );
        refused += 1;
    };
    let took = world.elapsed() - start;
    let idle = ChannelConfig::default().idle_timeout;
    assert!(
        refused > 2 && took < idle + Duration::from_secs(20),
        "{took:?}"
    );
    let name: Name = "alice".parse().unwrap();
    let id = world.client(heir).id();
    let at_coordinator = world.coordinator(coordinator);
    assert_eq!(at_coordinator.find(name), at_coordinator.find(id));
}

#[test]
fn who_comes_back_under_another_name_gives_the_old_one_up() {
    let mut world = World::new(10);
    let coordinator = world.add_coordinator();
    let alices = world.client_config("alice");
    let alice = world.add_client_with(alices.clone());
    world.connect(alice, coordinator);
    let mut config = alices;
    config.name = Some("alicia".parse().unwrap());
    let again = world.add_client_with(config);
    world.connect(again, coordinator);
    let at_coordinator = world.coordinator(coordinator);
    let [old, new] = ["alice", "alicia"].map(|name| {
        let name: Name = name.parse().unwrap();
        at_coordinator.find(name)
    });
    assert!(old.is_none() && new.is_some());
    let other = world.add_client("alice");
    world.connect(other, coordinator);
}

#[test]
fn a_channel_by_name_leads_to_whoever_bears_it_now() {
    let mut world = World::new(11);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let name: Name = "bob".parse().unwrap();
    let now = world.now();
    world.client(bob).close(now, Duration::from_secs(1));
    world.closed(home(bob));
    let lost = world.request_channel(alice, Target::Name(name.clone()));
    assert_eq!(world.closed(lost), CloseReason::Remote(ErrorCode::NotFound));
    let other = world.add_client("bob");
    world.connect(other, coordinator);
    let found = world.request_channel(alice, Target::Name(name));
    opened(&mut world, found);
    // The name is the coordinator's word; the id is proved.
    let id = world.client(other).id();
    assert_eq!(world.client(alice).peer(found.channel).unwrap().id, id);
}
