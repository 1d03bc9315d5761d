//! What a policy allows, and what it keeps from happening.

use std::time::Duration;

use conec_core::{
    ChannelEvent, ChannelId, ClientEvent, CloseReason, Endpoint, ErrorCode, Path, PathPolicy,
    Target,
};
use conec_tests::{
    raw::route_of,
    sim::{Access, At, Event, NodeId, Packet, Tap, World},
};

use super::{
    flow::{Flow, run},
    is_direct, ms, path, secs, until_direct,
};

/// A Coordinator and two Clients with these policies, connected to it.
fn clients(world: &mut World, policies: [PathPolicy; 2]) -> (NodeId, [NodeId; 2]) {
    let coordinator = world.add_coordinator();
    let mut names = ["alice", "bob"].into_iter();
    let clients = policies.map(|policy| {
        let mut config = world.client_config(names.next().unwrap());
        config.paths.policy = policy;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    (coordinator, clients)
}

fn set_direct(world: &mut World, [one, other]: [NodeId; 2], up: bool) {
    world.link(one, other).up = up;
    world.link(other, one).up = up;
}

/// How the next peer channel at a node ended; it must not have opened.
fn closed_unopened(world: &mut World, node: NodeId) -> CloseReason {
    world.wait_for("the end", secs(120), |world| {
        world.take_event(node, |event| match event.channel() {
            Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => {
                panic!("{channel:?} has opened")
            }
            Some((channel, ChannelEvent::Closed { reason })) if channel != ChannelId::HOME => {
                Some(*reason)
            }
            Some(_) | None => None,
        })
    })
}

/// How many packets of peer channels a node has sent to the Coordinator.
fn through(world: &World, tap: &Tap, node: NodeId, coordinator: NodeId) -> usize {
    let (from, to) = (world.address(node), world.address(coordinator));
    tap.count(|packet| {
        let short = packet.payload[0] & 0xc0 == 0x40 && packet.payload[1] & 0x80 != 0;
        packet.source == from && packet.destination == to && short
    })
}

const DIRECT_ONLY: PathPolicy = PathPolicy::DirectOnly(Duration::from_secs(5));

#[test]
fn who_wants_no_direct_paths_is_known_to_the_coordinator_alone() {
    for policies in [
        [PathPolicy::ProxiedOnly, PathPolicy::Auto],
        [PathPolicy::Auto, PathPolicy::ProxiedOnly],
        [PathPolicy::ProxiedOnly; 2],
    ] {
        let mut world = World::new(1);
        let (coordinator, [alice, bob]) = clients(&mut world, policies);
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 1000, ms(100))];
        run(&mut world, &mut flows, secs(70));
        flows[0].drain(&mut world);
        let hub = world.address(coordinator);
        let elsewhere = tap.count(|packet| packet.source != hub && packet.destination != hub);
        assert_eq!(elsewhere, 0);
        assert_eq!(world.client(alice).stats().probes_sent, 0);
        for at in [at_alice, at_bob] {
            assert_eq!(path(&mut world, at), Path::Proxied);
        }
    }
}

#[test]
fn a_policy_can_be_chosen_for_each_channel() {
    let mut world = World::new(2);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    let mut config = world.client_config("bob");
    config.auto_accept = false;
    let bob = world.add_client_with(config);
    for client in [alice, bob] {
        world.connect(client, coordinator);
    }
    let target = Target::Id(world.client(bob).id());
    for (ours, theirs, direct) in [
        (PathPolicy::Auto, PathPolicy::Auto, true),
        (PathPolicy::ProxiedOnly, PathPolicy::Auto, false),
        (PathPolicy::Auto, PathPolicy::ProxiedOnly, false),
        (DIRECT_ONLY, PathPolicy::Auto, true),
        (PathPolicy::Auto, DIRECT_ONLY, true),
    ] {
        let now = world.now();
        let channel = world
            .client(alice)
            .open_channel_with(now, target.clone(), b"", ours)
            .unwrap();
        let offered = world.wait_for("an offer", secs(5), |world| {
            world.take_event(bob, |event| match event {
                Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        });
        let now = world.now();
        world.client(bob).accept_with(now, offered, theirs).unwrap();
        world.run_for(secs(5));
        let ends = [(alice, channel), (bob, offered)].map(|(node, channel)| At { node, channel });
        for at in ends {
            assert_eq!(is_direct(&mut world, at), direct, "{ours:?} {theirs:?}");
            let open = world.channel(at.node, at.channel).unwrap().is_open();
            assert!(open, "{ours:?} {theirs:?}");
        }
    }
}

#[test]
fn a_channel_that_must_be_direct_sends_nothing_else_once_it_is_open() {
    for policies in [
        [DIRECT_ONLY, PathPolicy::Auto],
        [PathPolicy::Auto, DIRECT_ONLY],
    ] {
        let mut world = World::new(3);
        let (coordinator, nodes @ [alice, bob]) = clients(&mut world, policies);
        // It opens late at one end, and what is sent by then waits there.
        world.link(alice, bob).delay = ms(300);
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        assert!(is_direct(&mut world, at_alice) && is_direct(&mut world, at_bob));
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 1000, ms(20))];
        run(&mut world, &mut flows, secs(10));
        // Not even when the path fails. When there is one again, it all goes on.
        set_direct(&mut world, nodes, false);
        run(&mut world, &mut flows, secs(4));
        set_direct(&mut world, nodes, true);
        run(&mut world, &mut flows, secs(10));
        flows[0].drain(&mut world);
        assert!(flows[0].arrivals.len() >= 1000);
        for node in nodes {
            assert_eq!(through(&world, &tap, node, coordinator), 0);
        }
    }
}

#[test]
fn a_channel_that_must_be_direct_ends_when_it_finds_no_path_in_time() {
    let mut world = World::new(4);
    let (coordinator, nodes @ [alice, bob]) = clients(&mut world, [DIRECT_ONLY, PathPolicy::Auto]);
    set_direct(&mut world, nodes, false);
    let target = Target::Id(world.client_id(bob));
    let at_alice = world.request_channel(alice, target);
    let start = world.elapsed();
    assert_eq!(
        closed_unopened(&mut world, alice),
        CloseReason::NoDirectPath
    );
    let took = world.elapsed() - start;
    assert!((secs(5)..secs(6)).contains(&took), "{took:?}");
    assert_eq!(
        closed_unopened(&mut world, bob),
        CloseReason::Remote(ErrorCode::NoDirectPath)
    );
    world.run_for(secs(1));
    assert!(world.channel(alice, at_alice.channel).is_none());
    assert_eq!(world.coordinator(coordinator).clients(), 2);
}

#[test]
fn a_channel_that_must_be_direct_ends_when_its_path_is_gone_for_too_long() {
    let mut world = World::new(5);
    let (_, nodes @ [alice, bob]) = clients(&mut world, [DIRECT_ONLY, PathPolicy::Auto]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 1000, ms(20))];
    run(&mut world, &mut flows, secs(1));
    set_direct(&mut world, nodes, false);
    let start = world.elapsed();
    run(&mut world, &mut flows, secs(1));
    assert_eq!(world.closed(at_alice), CloseReason::NoDirectPath);
    // Its failure has to be noticed first.
    let took = world.elapsed() - start;
    assert!((secs(5)..secs(10)).contains(&took), "{took:?}");
    assert_eq!(
        world.closed(at_bob),
        CloseReason::Remote(ErrorCode::NoDirectPath)
    );
}

#[test]
fn a_channel_that_must_be_direct_ends_at_once_with_an_end_that_must_not() {
    for policies in [
        [DIRECT_ONLY, PathPolicy::ProxiedOnly],
        [PathPolicy::ProxiedOnly, DIRECT_ONLY],
    ] {
        let mut world = World::new(6);
        let (_, [alice, bob]) = clients(&mut world, policies);
        let target = Target::Id(world.client_id(bob));
        world.request_channel(alice, target);
        let start = world.elapsed();
        for node in [alice, bob] {
            let reason = closed_unopened(&mut world, node);
            assert!(
                matches!(
                    reason,
                    CloseReason::NoDirectPath | CloseReason::Remote(ErrorCode::NoDirectPath)
                ),
                "{reason:?}"
            );
        }
        assert!(world.elapsed() - start < secs(1));
    }
}

#[test]
fn a_channel_to_oneself_is_not_direct() {
    let mut world = World::new(7);
    let (_, [alice, _]) = clients(&mut world, [PathPolicy::Auto; 2]);
    let (one, other) = world.open_channel(alice, alice);
    world.run_for(secs(10));
    assert!(!is_direct(&mut world, one) && !is_direct(&mut world, other));
    assert_eq!(world.client(alice).stats().probes_sent, 0);
    // Which is known at once.
    let now = world.now();
    let start = world.elapsed();
    let target = Target::Id(world.client_id(alice));
    world
        .client(alice)
        .open_channel_with(now, target, b"", DIRECT_ONLY)
        .unwrap();
    assert_eq!(
        closed_unopened(&mut world, alice),
        CloseReason::NoDirectPath
    );
    assert!(world.elapsed() - start < secs(1));
    assert_eq!(world.client(alice).stats().probes_sent, 0);
}

/// What goes both ways while it is in doubt whether the direct path still carries it included.
#[test]
fn what_went_through_the_coordinator_is_counted_to_the_byte() {
    let mut world = World::new(9);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let (coordinator, nodes @ [alice, bob]) = clients(&mut world, [PathPolicy::Auto; 2]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 1000, ms(10))];
    run(&mut world, &mut flows, secs(1));
    set_direct(&mut world, nodes, false);
    run(&mut world, &mut flows, secs(10));
    flows[0].drain(&mut world);
    world.run_for(secs(1));
    assert_eq!(path(&mut world, at_alice), Path::Proxied);
    let [from, to] = [alice, coordinator].map(|node| world.address(node));
    let went_there = |packet: &&Packet| {
        let is_between = packet.source == from && packet.destination == to;
        is_between && route_of(&packet.payload).is_some()
    };
    let proxied = world.client(alice).path_stats(at_alice.channel).unwrap();
    let proxied = proxied.proxied;
    assert_eq!(proxied.packets_sent, tap.count(went_there) as u64);
    assert_eq!(proxied.bytes_sent, tap.bytes(went_there) as u64);
}

#[test]
fn statistics_tell_what_went_which_way() {
    let mut world = World::new(8);
    let (coordinator, nodes @ [alice, bob]) = clients(&mut world, [PathPolicy::Auto; 2]);
    world.put_behind(alice, Access::PortRestricted, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 1000, ms(10))];
    run(&mut world, &mut flows, secs(1));
    flows[0].drain(&mut world);
    world.run_for(secs(1));
    let [ours, theirs] =
        [at_alice, at_bob].map(|at| world.client(at.node).path_stats(at.channel).unwrap());
    assert!(ours.direct.bytes_sent > 100_000, "{ours:?}");
    assert!(ours.proxied.packets_sent > 5, "the handshake: {ours:?}");
    assert!(ours.proxied.bytes_sent < 20_000, "{ours:?}");
    assert_eq!(ours.direct.packets_sent, theirs.direct.packets_received);
    assert_eq!(ours.direct.bytes_sent, theirs.direct.bytes_received);
    assert_eq!(theirs.direct.packets_sent, ours.direct.packets_received);
    assert_eq!(ours.changes, 1);
    set_direct(&mut world, nodes, false);
    flows[0].resume(&world);
    run(&mut world, &mut flows, secs(10));
    let ours = world.client(alice).path_stats(at_alice.channel).unwrap();
    assert!(ours.proxied.bytes_sent > 500_000, "{ours:?}");
    assert_eq!(ours.changes, 2);
}
