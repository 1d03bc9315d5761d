//! Where Clients may be besides alone behind a box each, and which path that gives them.

use std::net::SocketAddr;

use conec_core::{
    Path,
    PrivateAddresses::{self, Never, SameNetwork},
};
use conec_tests::sim::{Access, At, Hairpin, LinkConfig, NatConfig, Net, NodeId, World};

use super::{changes, ms, path, secs, talk, truly_direct, until_direct};

/// Has two Clients put somewhere and connected, and opens a channel between them: from each to the other, with losses
/// and without. The ends are told in the order of the Clients, whoever asked.
fn each_way(
    mut place: impl FnMut(&mut World, NodeId) -> [NodeId; 2],
    mut outcome: impl FnMut(World, NodeId, [At; 2]),
) {
    for seed in 0..4 {
        let (lossy, turned) = (seed & 1 != 0, seed & 2 != 0);
        let mut world = World::new(seed);
        if lossy {
            world.network.set_all(&LinkConfig {
                loss: 0.1,
                jitter: ms(5),
                ..LinkConfig::default()
            });
        }
        let coordinator = world.add_coordinator();
        let [one, other] = place(&mut world, coordinator);
        let ends = if turned {
            let (at_other, at_one) = world.open_channel(other, one);
            [at_one, at_other]
        } else {
            world.open_channel(one, other).into()
        };
        outcome(world, coordinator, ends);
    }
}

/// Two Clients, each connected after it was put where it belongs.
fn clients(
    world: &mut World,
    coordinator: NodeId,
    nets: [Net; 2],
    private: PrivateAddresses,
) -> [NodeId; 2] {
    let mut names = ["alice", "bob"].into_iter();
    nets.map(|net| {
        let mut config = world.client_config(names.next().unwrap());
        config.paths.private = private;
        let client = world.add_client_with(config);
        world.put(client, net);
        world.connect(client, coordinator);
        client
    })
}

/// Both ends are direct soon, or never, though the channel is used.
fn expect(mut world: World, coordinator: NodeId, ends: [At; 2], direct: bool) {
    talk(&mut world, ends);
    if direct {
        until_direct(&mut world, ends);
        truly_direct(&mut world, coordinator, ends);
        return;
    }
    for _ in 0..15 {
        world.run_for(secs(5));
        talk(&mut world, ends);
        for at in ends {
            assert_eq!(path(&mut world, at), Path::Proxied);
            assert_eq!(changes(&mut world, at), []);
        }
    }
}

#[test]
fn neighbours_meet_at_their_own_addresses() {
    each_way(
        |world, coordinator| {
            let home = world.add_nat("home", NatConfig::home());
            clients(world, coordinator, [home.into(); 2], SameNetwork)
        },
        |mut world, coordinator, ends| {
            until_direct(&mut world, ends);
            for (at, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                let address = world.address(other.node);
                assert_eq!(path(&mut world, at), Path::Direct(address));
            }
            truly_direct(&mut world, coordinator, ends);
        },
    );
}

#[test]
fn neighbours_who_cannot_meet_at_their_own_addresses_need_a_hairpin() {
    for (isolated, private, hairpin, met) in [
        // They keep their own addresses to themselves.
        (false, Never, Hairpin::None, false),
        (false, Never, Hairpin::ExternalSource, true),
        // Their network lets them not talk to each other.
        (true, SameNetwork, Hairpin::None, false),
        (true, SameNetwork, Hairpin::InternalSource, false),
        (true, SameNetwork, Hairpin::ExternalSource, true),
    ] {
        each_way(
            |world, coordinator| {
                let config = NatConfig {
                    hairpin,
                    ..NatConfig::home()
                };
                let home = world.add_nat("home", config);
                let nodes = clients(world, coordinator, [home.into(); 2], private);
                if isolated {
                    world.link(nodes[0], nodes[1]).up = false;
                    world.link(nodes[1], nodes[0]).up = false;
                }
                nodes
            },
            |world, coordinator, ends| expect(world, coordinator, ends, met),
        );
    }
}

#[test]
fn two_homes_of_one_provider_meet_if_it_turns_packets_around() {
    for (hairpin, met) in [
        (Hairpin::None, false),
        (Hairpin::InternalSource, false),
        (Hairpin::ExternalSource, true),
    ] {
        each_way(
            |world, coordinator| {
                let config = NatConfig {
                    hairpin,
                    lifetime: None,
                    ..NatConfig::carrier_grade()
                };
                let provider = world.add_nat("provider", config);
                let homes = ["one", "other"].map(|name| {
                    let home = world.add_nat_in(name, NatConfig::home(), provider);
                    home.into()
                });
                clients(world, coordinator, homes, SameNetwork)
            },
            |world, coordinator, ends| expect(world, coordinator, ends, met),
        );
    }
}

#[test]
fn of_two_boxes_in_a_row_the_worse_one_counts() {
    for (outer, inner, met) in [
        (NatConfig::full_cone(), NatConfig::home(), true),
        (NatConfig::carrier_grade(), NatConfig::home(), true),
        (NatConfig::symmetric(), NatConfig::full_cone(), false),
        (NatConfig::full_cone(), NatConfig::symmetric(), false),
    ] {
        each_way(
            |world, coordinator| {
                let outer = world.add_nat("outer", outer.clone());
                let inner = world.add_nat_in("inner", inner.clone(), outer);
                let other = world.add_nat("other", NatConfig::port_restricted());
                let nets = [inner.into(), other.into()];
                clients(world, coordinator, nets, SameNetwork)
            },
            |world, coordinator, ends| expect(world, coordinator, ends, met),
        );
    }
}

#[test]
fn pings_that_come_early_spoil_nothing() {
    for other in [
        NatConfig::port_restricted(),
        NatConfig::address_restricted(),
        NatConfig::full_cone(),
        NatConfig::firewall(),
        spoiling(),
    ] {
        each_way(
            |world, coordinator| {
                let nets = [spoiling(), other.clone()].map(|config| {
                    let home = world.add_nat("home", config);
                    home.into()
                });
                clients(world, coordinator, nets, SameNetwork)
            },
            |world, coordinator, ends| expect(world, coordinator, ends, true),
        );
    }
}

/// A box that gives what goes out another port where something unasked for came from, as those that track connections
/// do.
fn spoiling() -> NatConfig {
    NatConfig {
        early_inbound_spoils: Some(secs(30)),
        idle_expiry: secs(30),
        ..NatConfig::home()
    }
}

#[test]
fn those_with_ipv6_meet_whatever_translates_their_ipv4() {
    each_way(
        |world, coordinator| {
            let nets = ["one", "other"].map(|name| {
                let home = world.add_nat(name, NatConfig::symmetric());
                home.into()
            });
            let nodes = clients(world, coordinator, nets, SameNetwork);
            for node in nodes {
                world.add_ipv6(node);
            }
            nodes
        },
        |mut world, coordinator, ends| {
            until_direct(&mut world, ends);
            for at in ends {
                let path = path(&mut world, at);
                assert!(matches!(path, Path::Direct(SocketAddr::V6(_))), "{path:?}");
            }
            truly_direct(&mut world, coordinator, ends);
        },
    );
}

#[test]
fn a_port_that_is_forwarded_lets_everybody_in() {
    each_way(
        |world, coordinator| {
            let nets = ["one", "other"].map(|name| world.add_nat(name, NatConfig::symmetric()));
            let nodes = clients(world, coordinator, nets.map(Net::from), SameNetwork);
            let outside = world.forward_port(nets[0], 7000, nodes[0]);
            let now = world.now();
            world.client(nodes[0]).set_mapped_addresses(now, &[outside]);
            nodes
        },
        |mut world, coordinator, ends| {
            until_direct(&mut world, ends);
            truly_direct(&mut world, coordinator, ends);
        },
    );
}

#[test]
fn a_neighbour_of_the_coordinator_is_seen_at_an_address_that_means_nothing_outside() {
    for (other, met) in [
        // Who is let in shows where it is.
        (Access::Public, true),
        (Access::FullCone, true),
        (Access::PortRestricted, false),
    ] {
        for turned in [false, true] {
            let mut world = World::new(1);
            let coordinator = world.add_coordinator();
            let home = world.add_nat("home", NatConfig::home());
            world.put(coordinator, home);
            let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
            world.put(alice, home);
            world.connect(alice, coordinator);
            world.put_behind(bob, other, coordinator);
            let outside = world.forward_port(home, 4433, coordinator);
            world.connect_at(bob, outside);
            let (from, to) = if turned { (bob, alice) } else { (alice, bob) };
            let ends = world.open_channel(from, to).into();
            expect(world, coordinator, ends, met);
        }
    }
}
