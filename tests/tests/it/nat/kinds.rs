//! What Clients find out of the boxes that they are behind.

use std::net::SocketAddr;

use conec_core::{CoordinatorConfig, Endpoint, EndpointStats, Nat};
use conec_tests::{
    keys,
    sim::{Dependence, NatConfig, Net, NodeId, Tap, World},
};

use super::secs;

#[test]
fn a_client_finds_out_what_it_is_behind() {
    use Dependence::{AddressDependent, EndpointIndependent};
    let boxes = [
        (None, Nat::Absent),
        (Some(NatConfig::firewall()), Nat::Absent),
        (Some(NatConfig::home()), Nat::PortIndependent),
        (Some(NatConfig::full_cone()), Nat::PortIndependent),
        (Some(NatConfig::address_restricted()), Nat::PortIndependent),
        (Some(NatConfig::port_restricted()), Nat::PortIndependent),
        // Two ports at one address do not tell it from the others.
        (
            Some(NatConfig::new(AddressDependent, EndpointIndependent)),
            Nat::PortIndependent,
        ),
        (Some(NatConfig::symmetric()), Nat::PortDependent),
    ];
    for (seed, (config, nat)) in (0..).zip(boxes) {
        for loss in [0.0, 0.2] {
            let mut world = World::new(seed);
            world.network.default.loss = loss;
            let coordinator = coordinator(&mut world);
            let alice = behind(&mut world, config.clone());
            assert_eq!(world.client(alice).nat(), Nat::Unknown);
            world.connect(alice, coordinator);
            world.run_for(secs(if loss > 0.0 { 20 } else { 1 }));
            assert_eq!(world.client(alice).nat(), nat, "{config:?}, {loss}");
            let probes = world.client(alice).stats().probes_sent;
            assert!(probes == 1 || loss > 0.0, "{probes}");
            // Nothing more is asked.
            world.run_for(secs(300));
            assert_eq!(world.client(alice).stats().probes_sent, probes);
            assert_eq!(world.client(alice).nat(), nat);
        }
    }
}

#[test]
fn without_a_second_port_a_nat_is_just_that() {
    for (config, nat) in [
        (None, Nat::Absent),
        (Some(NatConfig::symmetric()), Nat::Unclassified),
    ] {
        let mut world = World::new(20);
        let coordinator = world.add_coordinator();
        let alice = behind(&mut world, config);
        world.connect(alice, coordinator);
        world.run_for(secs(1));
        assert_eq!(world.client(alice).nat(), nat);
        assert_eq!(world.client(alice).stats().probes_sent, 0);
    }
}

/// A second port that is blocked on the way is asked a few times, and then left alone.
#[test]
fn a_second_port_that_does_not_answer_is_not_asked_for_ever() {
    let mut world = World::new(21);
    let coordinator = coordinator(&mut world);
    world.crash(coordinator);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.second_port = Some(SECOND + 1);
    world.restart_coordinator(coordinator, config);
    let alice = behind(&mut world, Some(NatConfig::symmetric()));
    world.connect(alice, coordinator);
    world.run_for(secs(600));
    assert_eq!(world.client(alice).nat(), Nat::Unclassified);
    assert_eq!(world.client(alice).stats().probes_sent, 6);
}

#[test]
fn a_client_that_moves_finds_out_anew() {
    let mut world = World::new(22);
    let coordinator = coordinator(&mut world);
    let alice = behind(&mut world, None);
    world.connect(alice, coordinator);
    world.run_for(secs(1));
    let homes = [NatConfig::symmetric(), NatConfig::home()];
    let found = [Nat::PortDependent, Nat::PortIndependent];
    for (config, nat) in homes.into_iter().zip(found) {
        let home = world.add_nat("home", config);
        world.put(alice, home);
        world.run_for(secs(30));
        assert_eq!(world.client(alice).nat(), nat);
    }
    world.put(alice, Net::Internet);
    world.run_for(secs(30));
    assert_eq!(world.client(alice).nat(), Nat::Absent);
}

/// Nobody else can speak for a Client, be it with the Client's own recorded words; and nobody is sent anything.
#[test]
fn probes_that_were_recorded_or_made_up_do_nothing() {
    let mut world = World::new(23);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let coordinator = coordinator(&mut world);
    let alice = behind(&mut world, Some(NatConfig::home()));
    world.connect(alice, coordinator);
    world.run_for(secs(1));
    assert_eq!(world.client(alice).nat(), Nat::PortIndependent);

    let probe = tap
        .find(|packet| packet.net == Net::Internet && packet.destination.port() == SECOND)
        .unwrap();
    let victim: SocketAddr = "198.18.7.7:7000".parse().unwrap();
    let dropped = |stats: EndpointStats| stats.datagrams_dropped;
    let before = dropped(world.coordinator(coordinator).stats());
    let sent = tap.len();
    let forged = {
        let mut forged = probe.payload.clone();
        // Another number, which the tag does not fit.
        forged[14] += 1;
        forged
    };
    for _ in 0..1000 {
        for payload in [&probe.payload, &forged] {
            world.inject(victim, probe.destination, payload);
            // The first port takes none at all.
            let first = world.address(coordinator);
            world.inject(victim, first, payload);
        }
    }
    world.run_for(secs(1));
    let after = dropped(world.coordinator(coordinator).stats());
    assert_eq!(after - before, 4000);
    assert_eq!(world.client(alice).nat(), Nat::PortIndependent);
    let answers = tap.count(|packet| packet.destination == victim);
    assert_eq!(answers, 0);
    // Neither does the Client hear of it.
    assert_eq!(tap.len() - sent, 4000);
    assert_eq!(world.client(alice).stats().violations, 0);
}

#[test]
fn who_has_no_addresses_to_compare_with_knows_nothing() {
    let mut world = World::new(24);
    let coordinator = coordinator(&mut world);
    let alice = behind(&mut world, Some(NatConfig::home()));
    world.connect(alice, coordinator);
    world.run_for(secs(1));
    let now = world.now();
    let client = world.client(alice);
    assert_eq!(client.nat(), Nat::PortIndependent);
    client.handle_host_addresses(now, &[]);
    assert_eq!(client.nat(), Nat::Unknown);
}

fn coordinator(world: &mut World) -> NodeId {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.second_port = Some(SECOND);
    world.add_coordinator_with(config)
}

fn behind(world: &mut World, config: Option<NatConfig>) -> NodeId {
    let alice = world.add_client("alice");
    if let Some(config) = config {
        let home = world.add_nat("home", config);
        world.put(alice, home);
    }
    alice
}

const SECOND: u16 = 4434;
