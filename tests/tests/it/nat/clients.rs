//! Clients behind boxes of all kinds.

use std::time::Duration;

use conec_core::{ClientEvent, Direction, Endpoint};
use conec_tests::sim::{Access, At, Event, Half, LinkConfig, NatConfig, NatId, Net, NodeId, World};

use super::secs;

/// A question and its answer.
fn talk(world: &mut World, from: At, to: At) {
    let ours = world.open_stream(from, b"talk");
    world.send(ours, "question");
    let theirs = world.accept_stream(to);
    assert_eq!(world.recv(theirs), "question");
    world.send(theirs, "answer");
    assert_eq!(world.recv(ours), "answer");
}

/// Alice behind a box and Bob on the Internet, with a channel.
fn behind(seed: u64, config: NatConfig) -> (World, NodeId, NatId, At, At) {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator();
    let home = world.add_nat("home", config);
    let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
    world.put(alice, home);
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, home, at_alice, at_bob)
}

/// Sends numbered messages both ways at once, and does something in between after every so many. All arrive, in order.
fn transfer(
    world: &mut World,
    ends: [At; 2],
    messages: u32,
    every: u32,
    mut event: impl FnMut(&mut World, u32),
) {
    let ours = world.open(ends[0], Direction::Bi, b"transfer");
    let theirs = world.accept_stream(ends[1]);
    let halves: [Half; 2] = [ours, theirs];
    let (mut sent, mut received) = ([0; 2], [0; 2]);
    let start = world.elapsed();
    while received != [messages; 2] {
        let mut moved = false;
        for (from, to) in [(0, 1), (1, 0)] {
            let message = [&u32::to_be_bytes(sent[from])[..], &[7; 2000]].concat();
            if sent[from] < messages && world.try_send(halves[from], message.into()).is_ok() {
                moved = true;
                sent[from] += 1;
                if from == 0 && sent[0] % every == 0 {
                    event(world, sent[0] / every);
                }
            }
            while let Ok(message) = world.try_recv(halves[to]) {
                moved = true;
                assert_eq!(message[..4], u32::to_be_bytes(received[to]));
                received[to] += 1;
            }
        }
        if !moved && !world.step() {
            world.fail("nothing moves any more");
        }
        assert!(world.elapsed() - start < secs(120), "{received:?}");
    }
}

#[test]
fn clients_behind_every_kind_of_box_talk_through_the_coordinator() {
    for one in Access::ALL {
        for other in Access::ALL {
            let mut world = World::new(1);
            let coordinator = world.add_coordinator();
            let [alice, bob] = [("alice", one), ("bob", other)].map(|(name, access)| {
                let client = world.add_client(name);
                world.put_behind(client, access, coordinator);
                world.connect(client, coordinator);
                client
            });
            let (at_alice, at_bob) = world.open_channel(alice, bob);
            talk(&mut world, at_alice, at_bob);
            talk(&mut world, at_bob, at_alice);
        }
    }
}

#[test]
fn a_client_learns_at_what_address_it_is_seen() {
    let (mut world, _, home, at_alice, _) = behind(2, NatConfig::symmetric());
    let observed = world.client(at_alice.node).observed_address().unwrap();
    assert_eq!(Some(observed.ip()), world.outer_ip(home));
    assert_ne!(observed, world.address(at_alice.node));
}

/// What a driver is asked for, which looks up the machine's addresses when it is up anyway.
#[test]
fn a_client_asks_for_its_own_addresses_now_and_then_and_when_they_are_in_doubt() {
    let (mut world, _, home, at_alice, at_bob) = behind(5, NatConfig::port_restricted());
    let alice = at_alice.node;
    assert!(world.client(alice).wants_host_addresses());
    assert!(!world.client(alice).wants_host_addresses());
    let mut asked = 0;
    for _ in 0..600 {
        world.run_for(secs(1));
        asked += u32::from(world.client(alice).wants_host_addresses());
    }
    // Every 15 seconds, but only when something comes or is due.
    assert!((20..=40).contains(&asked), "{asked}");
    while !world.client(alice).wants_host_addresses() {
        world.run_for(secs(1));
    }
    // It is seen elsewhere: at once.
    let observed = world.client(alice).observed_address();
    world.run_for(secs(2));
    world.reboot(home);
    let start = world.elapsed();
    talk(&mut world, at_alice, at_bob);
    while world.client(alice).observed_address() == observed {
        world.run_for(Duration::from_millis(50));
        assert!(world.elapsed() - start < secs(10));
    }
    assert!(world.client(alice).wants_host_addresses());
}

/// The interface that it was bound to may be gone.
#[test]
fn a_client_whose_socket_fails_asks_for_its_own_addresses() {
    let (mut world, _, _, at_alice, at_bob) = behind(6, NatConfig::port_restricted());
    let alice = at_alice.node;
    while !world.client(alice).wants_host_addresses() {
        world.run_for(secs(1));
    }
    world.run_for(secs(2));
    talk(&mut world, at_alice, at_bob);
    assert!(!world.client(alice).wants_host_addresses());
    world.client(alice).handle_socket_error();
    talk(&mut world, at_alice, at_bob);
    assert!(world.client(alice).wants_host_addresses());
    assert_eq!(world.client(alice).stats().socket_errors, 1);
}

#[test]
fn keep_alives_hold_mappings_open() {
    let config = NatConfig {
        idle_expiry: secs(30),
        inbound_refreshes: false,
        ..NatConfig::symmetric()
    };
    let (mut world, _, home, at_alice, at_bob) = behind(3, config);
    let observed = world.client(at_alice.node).observed_address();
    world.run_for(secs(1800));
    assert_eq!(world.client(at_alice.node).observed_address(), observed);
    assert_eq!(world.mappings(home), 1);
    talk(&mut world, at_bob, at_alice);
}

#[test]
fn a_box_that_forgets_faster_than_keep_alives_come_delays_and_loses_nothing() {
    let config = NatConfig {
        idle_expiry: secs(5),
        ..NatConfig::port_restricted()
    };
    let (mut world, _, home, at_alice, at_bob) = behind(4, config);
    for _ in 0..10 {
        world.run_for(secs(7));
        let start = world.elapsed();
        talk(&mut world, at_bob, at_alice);
        assert!(world.elapsed() - start < secs(15));
    }
    assert_eq!(world.mappings(home), 1);
}

#[test]
fn a_mapping_that_dies_of_age_is_replaced_while_messages_flow() {
    let config = NatConfig {
        lifetime: Some(secs(60)),
        ..NatConfig::carrier_grade()
    };
    let (mut world, _, home, at_alice, at_bob) = behind(5, config);
    let mut addresses = vec![world.client(at_alice.node).observed_address()];
    let ours = world.open(at_alice, Direction::Bi, b"");
    let theirs = world.accept_stream(at_bob);
    for number in 0..600_u32 {
        for (from, to) in [(ours, theirs), (theirs, ours)] {
            world.send(from, number.to_be_bytes().to_vec());
            assert_eq!(world.recv(to), &number.to_be_bytes()[..]);
        }
        world.run_for(secs(1));
        addresses.push(world.client(at_alice.node).observed_address());
    }
    addresses.dedup();
    assert!(addresses.len() >= 10, "{addresses:?}");
    assert_eq!(world.mappings(home), 1);
}

#[test]
fn a_box_that_reboots_in_mid_transfer_loses_no_message() {
    for seed in 0..5 {
        let (mut world, _, home, at_alice, at_bob) = behind(seed, NatConfig::port_restricted());
        transfer(
            &mut world,
            [at_alice, at_bob],
            2000,
            400,
            |world, time| match time {
                1 | 3 => world.reboot(home),
                2 => world.renumber(home),
                _ => {}
            },
        );
    }
}

#[test]
fn a_client_that_roams_in_mid_transfer_loses_no_message() {
    for seed in 0..5 {
        let (mut world, _, home, at_alice, at_bob) = behind(seed, NatConfig::home());
        let mobile = world.add_nat("mobile", NatConfig::carrier_grade());
        let alice = at_alice.node;
        transfer(
            &mut world,
            [at_alice, at_bob],
            2000,
            400,
            |world, time| match time {
                1 => world.put(alice, mobile),
                2 => world.put(alice, Net::Internet),
                // And back, where her old mapping still is.
                3 => world.put(alice, home),
                _ => {}
            },
        );
    }
}

#[test]
fn a_client_that_was_offline_between_two_networks_goes_on() {
    let (mut world, coordinator, _, at_alice, at_bob) = behind(6, NatConfig::home());
    let mobile = world.add_nat("mobile", NatConfig::symmetric());
    let ours = world.open(at_bob, Direction::Uni, b"");
    let theirs = world.accept_stream(at_alice);
    world.set_up(at_alice.node, false);
    world.send(ours, "are you there?");
    world.run_for(secs(12));
    world.put(at_alice.node, mobile);
    world.set_up(at_alice.node, true);
    assert_eq!(world.recv(theirs), "are you there?");
    let observed = world.wait_for("the new address", secs(5), |world| {
        world.take_event(at_alice.node, |event| match event {
            Event::Client(ClientEvent::AddressObserved { address }) => Some(*address),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    assert_eq!(Some(observed.ip()), world.outer_ip(mobile));
    assert_eq!(world.coordinator(coordinator).clients(), 2);
}

#[test]
fn neighbours_behind_one_box_talk() {
    let (mut world, coordinator, home, at_alice, _) = behind(7, NatConfig::home());
    let carol = world.add_client("carol");
    world.put(carol, home);
    world.connect(carol, coordinator);
    let (at_carol, at_alice) = world.open_channel(carol, at_alice.node);
    talk(&mut world, at_carol, at_alice);
    talk(&mut world, at_alice, at_carol);
}

#[test]
fn a_client_behind_two_boxes_talks() {
    let mut world = World::new(8);
    let coordinator = world.add_coordinator();
    let provider = world.add_nat("provider", NatConfig::carrier_grade());
    let clients = ["alice", "bob"].map(|name| {
        let home = world.add_nat_in("home", NatConfig::home(), provider);
        let client = world.add_client(name);
        world.put(client, home);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(clients[0], clients[1]);
    world.run_for(secs(200));
    transfer(&mut world, [at_alice, at_bob], 500, 500, |_, _| {});
}

#[test]
fn a_coordinator_at_home_serves_neighbours_and_the_world() {
    let mut world = World::new(9);
    let coordinator = world.add_coordinator();
    let home = world.add_nat("home", NatConfig::home());
    world.put(coordinator, home);
    let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
    world.put(alice, home);
    world.connect(alice, coordinator);
    // She is seen at a private address, which means nothing outside.
    assert_eq!(
        world.client(alice).observed_address(),
        Some(world.address(alice))
    );
    let outside = world.forward_port(home, 443, coordinator);
    world.connect_at(bob, outside);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    talk(&mut world, at_alice, at_bob);
}

#[test]
fn ipv6_and_ipv4_clients_talk_to_each_other() {
    let mut world = World::new(10);
    let coordinator = world.add_coordinator();
    world.add_ipv6(coordinator);
    let home = world.add_nat("home", NatConfig::home());
    let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
    world.put(alice, home);
    world.add_ipv6(alice);
    world.drop_ipv4(alice);
    for client in [alice, bob] {
        world.connect(client, coordinator);
        let observed = world.client(client).observed_address().unwrap();
        assert_eq!(observed.is_ipv6(), client == alice);
    }
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    transfer(&mut world, [at_alice, at_bob], 500, 500, |_, _| {});
}

#[test]
fn a_small_mtu_behind_a_box_is_found_out() {
    let (mut world, _, home, at_alice, at_bob) = behind(11, NatConfig::home());
    world.link(at_alice.node, home).mtu = 1280;
    world.link(home, at_alice.node).mtu = 1280;
    transfer(&mut world, [at_alice, at_bob], 1000, 500, |world, time| {
        if time == 1 {
            world.link(at_alice.node, home).mtu = 1220;
        }
    });
}

#[test]
fn two_runs_of_one_seed_are_the_same_behind_boxes_too() {
    let run = |seed| {
        let (mut world, _, home, at_alice, at_bob) = behind(seed, NatConfig::carrier_grade());
        world.network.set_all(&LinkConfig::rough());
        transfer(&mut world, [at_alice, at_bob], 300, 100, |world, _| {
            world.renumber(home);
            world.run_for(Duration::from_millis(100));
        });
        world.trace().hash()
    };
    for seed in 0..3 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
