//! A Coordinator that has several addresses, or is said to have them.

use std::{
    iter,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use conec_core::{
    ChannelEvent, ClientLimits, CloseReason, Code, CoordinatorConfig, CoordinatorEvent, Endpoint,
    Trust, Unreachable,
};
use conec_tests::{
    keys,
    sim::{Event, NodeId, Tap, World},
};

use crate::connecting::{home, wait_for_connected};

#[test]
fn the_one_address_that_is_alive_is_found_within_a_second() {
    for place in 0..3 {
        let mut world = World::new(place);
        let coordinator = world.add_coordinator();
        let alice = world.add_client("alice");
        let mut addresses = nowhere(2);
        addresses.insert(place as usize, world.address(coordinator));
        connect(&mut world, alice, &addresses);
        wait_for_connected(&mut world, alice);
        let took = world.elapsed();
        let begins = Duration::from_millis(250 * place);
        assert!(
            (begins..begins + Duration::from_millis(100)).contains(&took),
            "{took:?}"
        );
        // The others are not tried any more.
        world.run_for(Duration::from_secs(5));
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        world.run_for(Duration::from_secs(60));
        assert_eq!(tap.count(|packet| is_nowhere(packet.destination)), 0);
        assert!(tap.count(|packet| packet.destination == addresses[place as usize]) > 0);
    }
}

#[test]
fn a_slow_address_is_not_given_up_for_those_that_come_after_it() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    slow_down(&mut world, alice, coordinator, Duration::from_secs(2));
    let mut addresses = vec![world.address(coordinator)];
    addresses.extend(nowhere(3));
    connect(&mut world, alice, &addresses);
    wait_for_connected(&mut world, alice);
    assert!(world.elapsed() < Duration::from_secs(9));
}

#[test]
fn nobody_there_is_a_time_out_for_all_addresses_together() {
    let mut world = World::new(5);
    let alice = world.add_client("alice");
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let addresses = nowhere(4);
    connect(&mut world, alice, &addresses);
    assert_eq!(world.closed(home(alice)), CloseReason::TimedOut);
    assert_eq!(world.elapsed(), ClientLimits::default().handshake_timeout);
    // Each was tried again and again.
    for address in addresses {
        assert!(tap.count(|packet| packet.destination == address) >= 3);
    }
    world.run_for(Duration::from_secs(1));
    world.check_client_ended(alice);
}

#[test]
fn an_ipv4_address_is_known_in_ipv6_form() {
    let mut world = World::new(6);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    let address = world.address(coordinator);
    let IpAddr::V4(ip) = address.ip() else {
        unreachable!("a node has an IPv4 address");
    };
    let mapped = SocketAddr::new(ip.to_ipv6_mapped().into(), address.port());
    let (certificate, roots) = keys::certificate_for(&ip.to_string(), 3);
    world.restart_coordinator(coordinator, CoordinatorConfig::new(certificate));
    let mut config = world.client_config("alice");
    config.trust = Trust::Roots(roots);
    world.restart_client(alice, config);
    let now = world.now();
    // As the host's name too.
    let host = mapped.ip().to_string();
    world.client(alice).connect(now, &host, &[mapped]).unwrap();
    wait_for_connected(&mut world, alice);
}

#[test]
fn who_has_no_address_of_a_version_goes_on_with_the_other_at_once() {
    for first in 0..2 {
        let mut world = World::new(7);
        let coordinator = world.add_coordinator();
        world.add_ipv6(coordinator);
        let alice = world.add_client("alice");
        let mut addresses = world.host_addresses(coordinator).to_vec();
        addresses.rotate_left(first);
        connect(&mut world, alice, &addresses);
        wait_for_connected(&mut world, alice);
        assert!(world.elapsed() < Duration::from_millis(100));
    }
}

#[test]
fn what_cannot_be_reached_is_told_as_that_and_soon() {
    use Unreachable::{Host, NoRoute, Port, Prohibited};
    for (said, reason, millis) in [
        (vec![NoRoute], NoRoute, 0),
        (vec![NoRoute; 4], NoRoute, 0),
        // What others say is said of two packets to each, all at the same time.
        (vec![Port], Port, 600),
        (vec![Port; 4], Port, 600),
        (vec![Host; 4], Host, 600),
        (vec![NoRoute, Port], Port, 600),
        (vec![Prohibited, Host], Prohibited, 600),
    ] {
        let mut world = World::new(8);
        let alice = world.add_client("alice");
        let addresses = nowhere(said.len() as u16);
        connect(&mut world, alice, &addresses);
        let tell = |world: &mut World| {
            for (&address, &reason) in addresses.iter().zip(&said) {
                report(world, alice, address, reason);
            }
        };
        tell(&mut world);
        if millis > 0 {
            world.run_for(Duration::from_millis(millis));
            tell(&mut world);
        }
        let closed = world.closed(home(alice));
        assert_eq!(closed, CloseReason::Unreachable(reason), "{said:?}");
        assert_eq!(world.elapsed(), Duration::from_millis(millis), "{said:?}");
        world.check_client_ended(alice);
    }
}

/// Silence may be a loss, a word a forgery: both are believed only as far as they go.
#[test]
fn one_address_that_is_silent_is_waited_for() {
    let mut world = World::new(9);
    let alice = world.add_client("alice");
    let addresses = nowhere(3);
    connect(&mut world, alice, &addresses);
    report(&mut world, alice, addresses[0], Unreachable::NoRoute);
    report(&mut world, alice, addresses[1], Unreachable::Host);
    assert_eq!(world.closed(home(alice)), CloseReason::TimedOut);
    assert_eq!(world.elapsed(), ClientLimits::default().handshake_timeout);
}

#[test]
fn what_anybody_could_claim_stops_nobody_who_is_answered() {
    for reason in [
        Unreachable::Host,
        Unreachable::Prohibited,
        Unreachable::Port,
    ] {
        // On the way before the first answer; with it; and later.
        for millis in [5, 25, 35, 500, 5000] {
            let mut world = World::new(10);
            let coordinator = world.add_coordinator();
            let alice = world.add_client("alice");
            let address = world.address(coordinator);
            connect(&mut world, alice, &[address]);
            world.run_for(Duration::from_millis(millis));
            for _ in 0..100 {
                report(&mut world, alice, address, reason);
            }
            world.run_for(Duration::from_secs(60));
            assert!(world.client(alice).is_connected(), "{reason:?} {millis}");
            assert_eq!(world.coordinator(coordinator).clients(), 1);
        }
    }
}

#[test]
fn what_anybody_could_claim_stops_no_handshake_that_takes_long() {
    let mut world = World::new(17);
    let mut config = CoordinatorConfig::new(keys::certificate());
    // It answers with a Retry first.
    config.limits.handshakes_before_retry = 0;
    let coordinator = world.add_coordinator_with(config);
    let alice = world.add_client("alice");
    slow_down(&mut world, alice, coordinator, Duration::from_millis(400));
    let address = world.address(coordinator);
    connect(&mut world, alice, &[address]);
    for reason in [Unreachable::NoRoute, Unreachable::Port] {
        world.run_for(Duration::from_millis(450) - world.elapsed());
        report(&mut world, alice, address, reason);
    }
    world.run_for(Duration::from_millis(100));
    for _ in 0..100 {
        report(&mut world, alice, address, Unreachable::Port);
    }
    wait_for_connected(&mut world, alice);
    assert!(world.elapsed() > Duration::from_millis(800));
}

#[test]
fn a_coordinator_that_is_about_to_start_is_not_missed() {
    let mut world = World::new(11);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    let address = world.address(coordinator);
    world.crash(coordinator);
    connect(&mut world, alice, &[address]);
    world.run_for(Duration::from_millis(20));
    report(&mut world, alice, address, Unreachable::Port);
    world.run_for(Duration::from_millis(500));
    world.restart_coordinator(coordinator, CoordinatorConfig::new(keys::certificate()));
    wait_for_connected(&mut world, alice);
    assert!(world.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_server_that_is_somebody_else_ends_the_race() {
    for impostor_first in [true, false] {
        let mut world = World::new(12);
        let coordinator = world.add_coordinator();
        let (other, _) = keys::certificate_with(2);
        let impostor = world.add_coordinator_with(CoordinatorConfig::new(other));
        let alice = world.add_client("alice");
        // It does not matter which is tried first, but who answers first.
        slow_down(&mut world, alice, coordinator, Duration::from_millis(400));
        let mut addresses = [coordinator, impostor].map(|node| world.address(node));
        if impostor_first {
            addresses.reverse();
        }
        connect(&mut world, alice, &addresses);
        assert_eq!(world.closed(home(alice)), CloseReason::Identity);
        assert!(
            world.elapsed() < Duration::from_millis(350),
            "{:?}",
            world.elapsed()
        );
        // The Coordinator never hears who it was, and nothing is left of it.
        for node in [coordinator, impostor] {
            assert!(world.next_event(node).is_none());
            world.run_for(Duration::from_secs(15));
            world.check_coordinator_deserted(node);
        }
        world.check_client_ended(alice);
    }
}

#[test]
fn a_server_that_is_somebody_else_and_comes_late_changes_nothing() {
    let mut world = World::new(13);
    let coordinator = world.add_coordinator();
    let (other, _) = keys::certificate_with(2);
    let impostor = world.add_coordinator_with(CoordinatorConfig::new(other));
    let alice = world.add_client("alice");
    slow_down(&mut world, alice, impostor, Duration::from_millis(400));
    let addresses = [impostor, coordinator].map(|node| world.address(node));
    connect(&mut world, alice, &addresses);
    wait_for_connected(&mut world, alice);
    world.run_for(Duration::from_secs(60));
    assert!(world.client(alice).is_connected());
    assert!(world.next_event(impostor).is_none());
}

/// The same Coordinator is reached more than once, and is to know of one Client only: whoever of the attempts comes first,
/// whatever comes after.
#[test]
fn one_coordinator_that_is_reached_more_than_once_has_one_session() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.takeovers_per_minute = 0;
        let coordinator = world.add_coordinator_with(config);
        world.add_ipv6(coordinator);
        let alice = world.add_client("alice");
        world.add_ipv6(alice);
        // Some have answered when the race is won, others not; and where answers cross and get lost.
        slow_down(
            &mut world,
            alice,
            coordinator,
            Duration::from_millis(50 * seed),
        );
        if seed % 2 == 1 {
            for (from, to) in [(alice, coordinator), (coordinator, alice)] {
                world.link(from, to).loss = 0.05;
                world.link(from, to).reorder = 0.2;
            }
        }
        let addresses = world.host_addresses(coordinator).to_vec();
        assert_eq!(addresses.len(), 2);
        connect(&mut world, alice, &addresses);
        wait_for_connected(&mut world, alice);
        world.run_for(Duration::from_secs(20));
        assert!(world.client(alice).is_connected());
        let events: Vec<_> = iter::from_fn(|| world.next_event(coordinator)).collect();
        let [connected, opened] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(
            matches!(
                connected,
                Event::Coordinator(CoordinatorEvent::ClientConnected { .. })
            ) && matches!(opened.channel(), Some((_, ChannelEvent::Opened))),
            "{events:?}"
        );
        let now = world.now();
        world.client(alice).close(now, Duration::from_secs(1));
        world.run_for(Duration::from_secs(20));
        world.check_client_ended(alice);
        world.check_coordinator_deserted(coordinator);
    }
}

#[test]
fn the_losers_of_a_race_are_soon_forgotten() {
    let mut world = World::new(14);
    let mut config = CoordinatorConfig::new(keys::certificate());
    // They would be waited for.
    config.limits.handshake_timeout = Duration::from_secs(3600);
    config.limits.hello_timeout = Duration::from_secs(3600);
    let coordinator = world.add_coordinator_with(config);
    world.add_ipv6(coordinator);
    let alice = world.add_client("alice");
    world.add_ipv6(alice);
    slow_down(&mut world, alice, coordinator, Duration::from_millis(300));
    let addresses = world.host_addresses(coordinator).to_vec();
    connect(&mut world, alice, &addresses);
    wait_for_connected(&mut world, alice);
    let entries = |world: &mut World| {
        let coordinator = world.coordinator(coordinator);
        conec_core::testing::coordinator_entries(coordinator)
    };
    assert!(entries(&mut world) > 0);
    world.run_for(Duration::from_secs(15));
    let after_a_race = entries(&mut world);
    let before_another = {
        let mut world = World::new(14);
        let (coordinator, [_]) = world.with_clients(["alice"]);
        world.run_for(Duration::from_secs(15));
        conec_core::testing::coordinator_entries(world.coordinator(coordinator))
    };
    assert_eq!(after_a_race, before_another);
}

#[test]
fn a_race_can_be_given_up() {
    for gracefully in [true, false] {
        for millis in [0, 100, 300, 700] {
            let mut world = World::new(15);
            let coordinator = world.add_coordinator();
            let alice = world.add_client("alice");
            slow_down(&mut world, alice, coordinator, Duration::from_millis(400));
            let mut addresses = nowhere(3);
            addresses.push(world.address(coordinator));
            connect(&mut world, alice, &addresses);
            world.run_for(Duration::from_millis(millis));
            let now = world.now();
            if gracefully {
                world.client(alice).close(now, Duration::from_secs(10));
            } else {
                world.client(alice).abort(now, Code(1));
            }
            assert_eq!(world.closed(home(alice)), CloseReason::Local);
            assert_eq!(world.elapsed(), Duration::from_millis(millis), "at once");
            world.run_for(Duration::from_secs(20));
            world.check_client_ended(alice);
            world.check_coordinator_deserted(coordinator);
        }
    }
}

#[test]
fn the_driver_is_to_listen_only_while_somebody_connects() {
    let mut world = World::new(16);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    assert!(!world.client(alice).wants_unreachable());
    let address = world.address(coordinator);
    connect(&mut world, alice, &[address]);
    assert!(world.client(alice).wants_unreachable());
    assert!(!world.coordinator(coordinator).wants_unreachable());
    wait_for_connected(&mut world, alice);
    assert!(!world.client(alice).wants_unreachable());
}

fn connect(world: &mut World, client: NodeId, addresses: &[SocketAddr]) {
    let now = world.now();
    let client = world.client(client);
    client.connect(now, keys::HOST, addresses).unwrap();
}

/// What a driver does.
fn report(world: &mut World, client: NodeId, address: SocketAddr, reason: Unreachable) {
    // Whatever is due has been sent before.
    let _ = world.take_event(client, |_| None::<()>);
    let now = world.now();
    world
        .client(client)
        .handle_unreachable(now, address, reason);
}

/// How long it is from one to the other and back.
fn slow_down(world: &mut World, a: NodeId, b: NodeId, rtt: Duration) {
    world.link(a, b).delay = rtt / 2;
    world.link(b, a).delay = rtt / 2;
}

/// Addresses that nobody has.
fn nowhere(count: u16) -> Vec<SocketAddr> {
    let ports = 1..=count;
    ports.map(|port| ([192, 0, 2, 1], port).into()).collect()
}

fn is_nowhere(address: SocketAddr) -> bool {
    nowhere(1)[0].ip() == address.ip()
}
