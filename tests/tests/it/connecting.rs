//! From a stranger to a connected Client.

use std::time::Duration;

use conec_core::{
    ChannelConfig, ChannelEvent, ChannelId, ClientEvent, CloseReason, Code, ConnectError,
    CoordinatorConfig, CoordinatorEvent, Endpoint, ErrorCode, Policy, Trust,
};
use conec_tests::{
    keys,
    sim::{At, Event, LinkConfig, NodeId, World},
};

pub(crate) fn home(node: NodeId) -> At {
    At {
        node,
        channel: ChannelId::HOME,
    }
}

pub(crate) fn wait_for_connected(world: &mut World, client: NodeId) {
    world.wait_for("connected", Duration::from_secs(60), |world| {
        world.take_event(client, |event| {
            matches!(event, Event::Client(ClientEvent::Connected { .. })).then_some(())
        })
    });
}

#[test]
fn both_sides_learn_who_the_other_is() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    world.connect(alice, coordinator);
    let address = world.address(alice);
    let id = world.client(alice).id();
    let connected = world.take_event(coordinator, |event| match event {
        Event::Coordinator(CoordinatorEvent::ClientConnected {
            client,
            id,
            name,
            address,
        }) => Some((*client, *id, name.clone(), *address)),
        Event::Coordinator(_) | Event::Client(_) => None,
    });
    let (session, known_id, name, known_address) = connected.expect("the coordinator knows");
    assert_eq!((known_id, known_address), (id, address));
    assert_eq!(name, Some("alice".parse().unwrap()));
    assert_eq!(world.client(alice).observed_address(), Some(address));
    assert_eq!(world.client(alice).name(), name.as_ref());
    assert_eq!(world.coordinator(coordinator).find(id), Some(session));
    assert_eq!(
        world.coordinator(coordinator).find(name.unwrap()),
        Some(session)
    );
}

#[test]
fn a_coordinator_is_trusted_by_host_name_too() {
    let mut world = World::new(2);
    let coordinator = world.add_coordinator();
    let mut config = world.client_config("alice");
    config.trust = Trust::Roots(keys::certificate_with(1).1);
    let alice = world.add_client_with(config);
    world.connect(alice, coordinator);
}

#[test]
fn what_is_no_host_name_is_refused_at_once() {
    let mut world = World::new(2);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    let (now, address) = (world.now(), world.address(coordinator));
    for name in ["", "two words", "a..b"] {
        let begun = world.client(alice).connect(now, name, &[address]);
        assert_eq!(begun, Err(ConnectError::InvalidHostName), "{name}");
    }
    world.connect(alice, coordinator);
}

#[test]
fn an_impostor_of_the_coordinator_is_recognised() {
    for by_pin in [true, false] {
        let mut world = World::new(3);
        let coordinator = world.add_coordinator();
        let mut config = world.client_config("alice");
        let (other, roots) = keys::certificate_with(2);
        config.trust = match by_pin {
            true => Trust::Pin(other.pin()),
            false => Trust::Roots(roots),
        };
        let alice = world.add_client_with(config);
        world.start_connecting(alice, coordinator);
        assert_eq!(world.closed(home(alice)), CloseReason::Identity);
        world.run_for(Duration::from_secs(20));
        assert_eq!(
            world.next_event(coordinator),
            None,
            "a stranger is not announced"
        );
    }
}

#[test]
fn connecting_survives_a_rough_network() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.network.set_all(&LinkConfig::rough());
        let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
        world.open_channel(alice, bob);
    }
}

#[test]
fn the_application_decides_whom_to_admit_and_under_which_name() {
    let mut world = World::new(8);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    let coordinator = world.add_coordinator_with(config);
    let mut config = world.client_config("alice");
    config.token = "let me in".into();
    let alice = world.add_client_with(config);
    let bob = world.add_client("bob");
    let silent = world.add_client("silent");
    for client in [alice, bob, silent] {
        world.start_connecting(client, coordinator);
    }
    let asked = |world: &mut World, wanted: &str| {
        world.wait_for("asked", Duration::from_secs(5), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::ClientAsks {
                    client,
                    name: Some(name),
                    token,
                    ..
                }) if name.as_str() == wanted => Some((*client, token.clone())),
                Event::Coordinator(_) | Event::Client(_) => None,
            })
        })
    };
    let (client, token) = asked(&mut world, "alice");
    assert!(token == "let me in");
    let now = world.now();
    let name = Some("alice-2".parse().unwrap());
    let at_coordinator = world.coordinator(coordinator);
    at_coordinator.admit(now, client, name.clone()).unwrap();
    assert!(at_coordinator.admit(now, client, name.clone()).is_err());
    wait_for_connected(&mut world, alice);
    assert_eq!(world.client(alice).name(), name.as_ref());
    let id = world.client(alice).id();
    let at_coordinator = world.coordinator(coordinator);
    assert_eq!(at_coordinator.client(client), Some((id, name.as_ref())));
    assert_eq!(at_coordinator.client(ChannelId::HOME), None);

    let (client, _) = asked(&mut world, "bob");
    let now = world.now();
    world
        .coordinator(coordinator)
        .refuse(now, client, Code(42))
        .unwrap();
    assert_eq!(world.closed(home(bob)), CloseReason::Application(Code(42)));
    asked(&mut world, "silent");
    // The client gives up before the coordinator does.
    assert_eq!(world.closed(home(silent)), CloseReason::TimedOut);
}

#[test]
fn who_is_not_admitted_in_time_is_refused_and_counted() {
    let mut world = World::new(9);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    config.limits.answer_timeout = Duration::from_secs(3);
    let coordinator = world.add_coordinator_with(config);
    let alice = world.add_client("alice");
    world.start_connecting(alice, coordinator);
    let refused = CloseReason::Remote(ErrorCode::Refused);
    assert_eq!(world.closed(home(alice)), refused);
    let time = world.elapsed().as_secs_f64();
    assert!((3.0..3.5).contains(&time), "{time}");
    let stats = world.coordinator(coordinator).stats();
    assert_eq!((stats.clients_refused, stats.handshakes_refused), (1, 0));
}

#[test]
fn nobody_is_admitted_where_the_policy_says_so() {
    let mut world = World::new(9);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Deny;
    let coordinator = world.add_coordinator_with(config);
    let alice = world.add_client("alice");
    world.start_connecting(alice, coordinator);
    assert_eq!(
        world.closed(home(alice)),
        CloseReason::Remote(ErrorCode::Refused)
    );
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.next_event(coordinator), None);
}

#[test]
fn a_full_coordinator_says_so() {
    for per_network in [None, Some(10)] {
        let mut world = World::new(10);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = 1;
        config.limits.clients_per_network = per_network;
        let coordinator = world.add_coordinator_with(config);
        let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
        world.connect(alice, coordinator);
        world.start_connecting(bob, coordinator);
        assert_eq!(
            world.closed(home(bob)),
            CloseReason::Remote(ErrorCode::Limit)
        );
    }
}

#[test]
fn an_idle_client_stays_connected() {
    let mut world = World::new(11);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.coordinator(coordinator).clients(), 2);
    let stream = world.open_stream(at_alice, b"");
    world.send(stream, "still there?");
    let stream = world.accept_stream(at_bob);
    assert_eq!(world.recv(stream), "still there?");
}

#[test]
fn silence_ends_a_connection_at_both_sides() {
    let mut world = World::new(12);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    world.set_up(alice, false);
    assert_eq!(world.closed(home(alice)), CloseReason::TimedOut);
    let idle = ChannelConfig::default().idle_timeout;
    assert!(world.elapsed() <= idle + Duration::from_secs(15));
    world.wait_for("gone", Duration::from_secs(30), |world| {
        (world.coordinator(coordinator).clients() == 0).then_some(())
    });
}

#[test]
fn an_endpoint_is_used_in_any_order_of_calls() {
    let mut world = World::new(14);
    let alice = world.add_client("alice");
    let now = world.now();
    let client = world.client(alice);
    assert!(client.poll_timeout().is_none());
    client.handle_timeout(now);
    assert!(client.poll_event().is_none());
    assert!(client.channel(ChannelId::HOME).is_none());
    assert!(client.open_channel(now, client.id(), b"").is_err());
    client.close(now, Duration::ZERO);
    assert!(client.connect(now, "not a name!", &[]).is_err());
    assert!(client.connect(now, keys::HOST, &[]).is_err());
    assert!(
        client
            .connect(now, keys::HOST, &["192.0.2.1:0".parse().unwrap()])
            .is_err()
    );
    client
        .connect(now, keys::HOST, &["192.0.2.1:1".parse().unwrap()])
        .unwrap();
    assert!(
        client
            .connect(now, keys::HOST, &["192.0.2.1:1".parse().unwrap()])
            .is_err()
    );
    client.abort(now, Code(0));
    assert_eq!(world.closed(home(alice)), CloseReason::Local);
    let closed = world.take_event(alice, |event| {
        matches!(event.channel(), Some((_, ChannelEvent::Closed { .. }))).then_some(())
    });
    assert_eq!(closed, None, "a channel ends once");
}
