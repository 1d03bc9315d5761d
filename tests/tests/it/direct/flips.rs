//! Paths that come and go at random, under streams that must not notice.

use conec_tests::sim::{LinkConfig, NatConfig, NatId, World};
use rand::Rng;

use super::{
    changes,
    flow::{Flow, run},
    ms, until_direct,
};

/// What befalls the direct path and the boxes on it.
fn strike(world: &mut World, homes: [NatId; 2]) {
    let [one, other] = homes;
    let side = usize::from(world.rng().random_bool(0.5));
    let (from, to) = (homes[side], homes[1 - side]);
    match world.rng().random_range(0..10) {
        0..3 => {
            world.link(one, other).up = false;
            world.link(other, one).up = false;
        }
        3 => world.link(from, to).up = false,
        4..7 => {
            for (from, to) in [(one, other), (other, one)] {
                *world.link(from, to) = LinkConfig::default();
            }
        }
        7 => world.reboot(homes[side]),
        8 => world.renumber(homes[side]),
        _ => {
            let link = world.link(from, to);
            link.loss = 0.3;
            link.mtu = 1250;
        }
    }
}

/// Lives through so many strikes; tells how often an end went over to another path.
fn story(seed: u64, strikes: usize) -> usize {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator();
    let homes = ["one", "other"].map(|name| world.add_nat(name, NatConfig::port_restricted()));
    let clients = [("alice", homes[0]), ("bob", homes[1])].map(|(name, home)| {
        let client = world.add_client(name);
        world.put(client, home);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(clients[0], clients[1]);
    let ends = [at_alice, at_bob];
    until_direct(&mut world, ends);
    let mut flows = [
        Flow::paced(&mut world, at_alice, at_bob, 300, ms(25)),
        Flow::paced(&mut world, at_bob, at_alice, 3000, ms(70)),
    ];
    let mut moves = 0;
    for _ in 0..strikes {
        strike(&mut world, homes);
        let pause = ms(world.rng().random_range(100..6000));
        run(&mut world, &mut flows, pause);
        for at in ends {
            moves += changes(&mut world, at).len();
        }
    }
    for (from, to) in [(0, 1), (1, 0)] {
        *world.link(homes[from], homes[to]) = LinkConfig::default();
    }
    for flow in &mut flows {
        flow.drain(&mut world);
    }
    moves
}

#[test]
fn paths_flip_and_streams_do_not_notice() {
    let moves: usize = (0..6).map(|seed| story(seed, 80)).sum();
    assert!(moves > 100, "{moves}");
}

/// Goes on until paths have flipped, died or been moved by a box as often as the environment's `CONEC_FLIPS` says.
#[test]
#[ignore = "takes as long as is wished"]
fn paths_flip_a_given_number_of_times() {
    let wished = std::env::var("CONEC_FLIPS").map_or(10_000, |wished| wished.parse().unwrap());
    let (mut seed, mut moves) = (1000, 0);
    while moves < wished {
        moves += story(seed, 200);
        seed += 1;
    }
    println!("{moves} changes of path, in {} stories", seed - 1000);
}
