//! Links that take larger packets than Ethernet usually does, and those that were said to.

use std::time::Duration;

use conec_core::{PathPolicy, Target};
use conec_tests::sim::{At, NodeId, World};

use crate::{connecting::home, network::transfer};

/// A Coordinator and two Clients whose links are said to take so much, on a network that takes so much; and a proxied
/// channel between the two, at each end.
fn pair(said: [Option<u16>; 2], takes: usize) -> (World, NodeId, [At; 2]) {
    let mut world = World::new(1);
    world.network.default.mtu = takes;
    let coordinator = world.add_coordinator();
    let mut names = ["alice", "bob"].into_iter();
    let [alice, bob] = said.map(|link| {
        let mut config = world.client_config(names.next().unwrap());
        config.paths.policy = PathPolicy::ProxiedOnly;
        config.link_mtu = link;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, [at_alice, at_bob])
}

/// How much fits in one packet at this end.
fn fits(world: &mut World, at: At) -> usize {
    let mut channel = world.channel(at.node, at.channel).unwrap();
    channel.max_datagram_size()
}

fn transfer_both_ways(world: &mut World, [one, other]: [At; 2]) {
    for _ in 0..10 {
        transfer(world, one, other, 50, 10_000);
        transfer(world, other, one, 50, 10_000);
    }
}

fn at_coordinator(world: &mut World, coordinator: NodeId, client: NodeId) -> At {
    let id = world.client(client).id();
    let channel = world.coordinator(coordinator).find(Target::Id(id)).unwrap();
    At {
        node: coordinator,
        channel,
    }
}

#[test]
fn packets_grow_to_what_the_links_take() {
    let (mut world, coordinator, ends) = pair([Some(8952); 2], 8952);
    transfer_both_ways(&mut world, ends);
    let theirs = at_coordinator(&mut world, coordinator, ends[0].node);
    transfer_both_ways(&mut world, [home(ends[0].node), theirs]);
    for at in [ends[0], ends[1], home(ends[0].node), theirs] {
        let fits = fits(&mut world, at);
        assert!((8850..8952).contains(&fits), "{fits}");
    }
}

/// Nobody sends what a Client has not said that its link takes, the Coordinator and the other Client included.
#[test]
fn nothing_larger_is_tried_than_both_links_are_said_to_take() {
    for (said, most) in [(None, 1452), (Some(1300), 1300)] {
        let (mut world, coordinator, ends) = pair([Some(8952), said], 8952);
        let theirs = at_coordinator(&mut world, coordinator, ends[1].node);
        let bobs = home(ends[1].node);
        transfer_both_ways(&mut world, ends);
        transfer_both_ways(&mut world, [bobs, theirs]);
        for at in [ends[0], ends[1], bobs, theirs] {
            let fits = fits(&mut world, at);
            assert!((most - 80..most).contains(&fits), "{fits} of {most}");
        }
    }
}

/// The interface takes jumbo frames, the way does not: packets stay small while larger ones are tried in vain.
#[test]
fn a_way_that_takes_less_than_the_link_is_found_out() {
    let (mut world, _, ends) = pair([Some(8952); 2], 1472);
    let start = world.elapsed();
    transfer_both_ways(&mut world, ends);
    let took = world.elapsed() - start;
    assert!(took < Duration::from_secs(10), "{took:?}");
    for at in ends {
        let fits = fits(&mut world, at);
        assert!((1380..1472).contains(&fits), "{fits}");
    }
}

#[test]
fn a_way_that_ceases_to_take_jumbo_frames_is_survived() {
    let (mut world, _, ends) = pair([Some(8952); 2], 8952);
    transfer_both_ways(&mut world, ends);
    world.network.default.mtu = 1472;
    let start = world.elapsed();
    transfer_both_ways(&mut world, ends);
    let took = world.elapsed() - start;
    assert!(took < Duration::from_secs(10), "{took:?}");
    for at in ends {
        assert!(fits(&mut world, at) < 1472);
    }
}
