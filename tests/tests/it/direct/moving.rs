//! Moving to a direct path, and away from one that fails: how fast, and at what price.

use std::time::Duration;

use conec_core::{ChannelEvent, ChannelId, CloseReason, Code, Endpoint, ErrorCode, Path};
use conec_tests::sim::{At, LinkConfig, NodeId, Tap, World};

use super::{
    changes,
    flow::{Flow, run},
    is_direct, ms, path, secs, until_direct,
};

/// A Coordinator and two Clients on the Internet. Packets take `through` by way of the Coordinator and `direct` directly.
fn triangle(seed: u64, through: Duration, direct: Duration) -> (World, NodeId, [NodeId; 2]) {
    let mut world = World::new(seed);
    world.network.default.delay = through / 2;
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    for (from, to) in [(alice, bob), (bob, alice)] {
        world.link(from, to).delay = direct;
    }
    (world, coordinator, [alice, bob])
}

/// Changes the direct links between two nodes.
fn set_direct(world: &mut World, nodes: [NodeId; 2], change: impl Fn(&mut LinkConfig)) {
    for (from, to) in [(0, 1), (1, 0)] {
        change(world.link(nodes[from], nodes[to]));
    }
}

/// Bounds the rate of all links from one node to another, with a queue of a tenth of a second.
fn bound(world: &mut World, [from, to]: [NodeId; 2], coordinator: NodeId, rate: u64) {
    for (from, to) in [(from, to), (from, coordinator), (coordinator, to)] {
        let link = world.link(from, to);
        link.rate = Some(rate);
        link.queue = rate as usize / 10;
    }
}

/// Gives a Client a reason to look for direct paths, long before it would do so by itself.
fn look_again(world: &mut World, node: NodeId) {
    let now = world.now();
    let address = "198.51.100.77:7777".parse().unwrap();
    world.client(node).set_mapped_addresses(now, &[address]);
}

/// The time at this place of the sorted list, in hundredths of its length.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// How packets travel: there and back through the Coordinator, and there directly, in milliseconds.
const DISTANCES: [(u64, u64); 5] = [(20, 10), (100, 10), (200, 50), (50, 50), (200, 10)];

#[test]
fn a_direct_path_is_found_within_a_round_trip_and_a_little() {
    for (through, direct) in DISTANCES {
        let (mut world, _, [alice, bob]) = triangle(1, ms(through), ms(direct));
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        let start = world.elapsed();
        until_direct(&mut world, [at_alice, at_bob]);
        let took = world.elapsed() - start;
        println!("{through} ms through the Coordinator, {direct} ms directly: found in {took:?}");
        assert!(took <= ms(2 * through + 3 * 2 * direct), "{took:?}");
    }
}

#[test]
fn a_direct_path_is_found_soon_where_packets_get_lost() {
    let mut times: Vec<_> = (0..100)
        .map(|seed| {
            let (mut world, _, [alice, bob]) = triangle(seed, ms(40), ms(20));
            let (at_alice, at_bob) = world.open_channel(alice, bob);
            world.network.set_all(&LinkConfig {
                delay: ms(20),
                loss: 0.05,
                ..LinkConfig::default()
            });
            let start = world.elapsed();
            until_direct(&mut world, [at_alice, at_bob]);
            world.elapsed() - start
        })
        .collect();
    let late = percentile(&mut times, 99);
    println!("found at 5 % loss in {late:?} (p99)");
    assert!(late <= ms(2500), "{late:?}");
}

/// No stall is longer than a round trip through the Coordinator. Goodput may dip for two of them: then it is no less
/// than half of what it was. Later, when the queue overflows here as it did there, a lost packet holds the others up
/// for two: the time that it takes to be sure of the loss, and to send it again.
#[test]
fn going_over_to_a_direct_path_stalls_nothing() {
    let (mut longest, mut least): (f64, f64) = (0.0, 1.0);
    for rate in [250_000, 1_000_000] {
        for (through, direct) in DISTANCES {
            let (mut world, coordinator, nodes) = triangle(1, ms(through), ms(direct));
            set_direct(&mut world, nodes, |link| link.up = false);
            bound(&mut world, nodes, coordinator, rate);
            let (from, to) = world.open_channel(nodes[0], nodes[1]);
            let mut flows = [Flow::new(&mut world, from, to, 1000)];
            run(&mut world, &mut flows, secs(8));
            let before = world.elapsed();
            let usual = flows[0].bytes(before - secs(4), before) / 4;
            // From the outside: with the queues that this very flow makes.
            let round_trip = world.channel(from.node, from.channel).unwrap().rtt();
            let round_trip = round_trip.unwrap().max(ms(2 * through));
            set_direct(&mut world, nodes, |link| link.up = true);
            look_again(&mut world, nodes[0]);
            while !is_direct(&mut world, from) {
                run(&mut world, &mut flows, ms(1));
                assert!(world.elapsed() < before + secs(10));
            }
            let moved = world.elapsed();
            run(&mut world, &mut flows, secs(4));
            let case = format!("{rate} bytes/s, {through} ms and {direct} ms, {round_trip:?}");
            let (stall, later) = flows[0].longest_pauses(moved, moved + 3 * round_trip);
            assert!(stall <= round_trip, "{case}: stalls for {stall:?}");
            assert!(later <= 2 * round_trip, "{case}: stalls for {later:?}");
            longest = longest.max(stall.as_secs_f64() / round_trip.as_secs_f64());
            // Four round trips, in which one may be lost to a packet that was: the queue overflows now and then, here as there.
            let first = (round_trip * 2, round_trip * 4);
            let rest = (round_trip * 6, secs(4) - round_trip * 6);
            for (after, time) in [first, rest] {
                let carried = flows[0].bytes(moved + after, moved + after + time);
                let share = carried as f64 / time.as_secs_f64() / usual as f64;
                assert!(share >= 0.5, "{case}: {share} after {after:?}");
                least = least.min(share);
            }
            flows[0].drain(&mut world);
        }
    }
    println!("longest stall: {longest:.2} round trips; least goodput after two: {least:.2}");
}

#[test]
fn a_path_that_dies_under_load_is_left_within_seconds() {
    let mut times = Vec::new();
    for (through, direct) in DISTANCES {
        for dying in [&[(0, 1), (1, 0)][..], &[(0, 1)], &[(1, 0)]] {
            for seed in 0..4 {
                let (mut world, coordinator, nodes) = triangle(seed, ms(through), ms(direct));
                bound(&mut world, nodes, coordinator, 300_000);
                let (from, to) = world.open_channel(nodes[0], nodes[1]);
                until_direct(&mut world, [from, to]);
                let mut flows = [Flow::new(&mut world, from, to, 1000)];
                run(&mut world, &mut flows, secs(1) + ms(37 * seed));
                for &(from, to) in dying {
                    world.link(nodes[from], nodes[to]).up = false;
                }
                let dead = world.elapsed() + ms(direct);
                run(&mut world, &mut flows, secs(8));
                times.push(flows[0].longest_pause(dead));
                // It is used no more by whom it does not serve.
                let at = [from, to][dying[0].0];
                assert_eq!(path(&mut world, at), Path::Proxied);
                flows[0].drain(&mut world);
            }
        }
    }
    let (p95, p99) = (percentile(&mut times, 95), percentile(&mut times, 99));
    println!("flowing again in {p95:?} (p95), {p99:?} (p99)");
    assert!(p95 <= ms(2500), "{p95:?}");
    assert!(p99 <= secs(5), "{p99:?}");
}

#[test]
fn a_path_that_comes_back_is_taken_again() {
    let (mut world, _, nodes) = triangle(1, ms(100), ms(10));
    let (from, to) = world.open_channel(nodes[0], nodes[1]);
    until_direct(&mut world, [from, to]);
    let mut flows = [Flow::paced(&mut world, from, to, 1000, ms(20))];
    run(&mut world, &mut flows, secs(1));
    for round in 0..4 {
        set_direct(&mut world, nodes, |link| link.up = false);
        run(&mut world, &mut flows, secs(8));
        assert_eq!(path(&mut world, from), Path::Proxied);
        set_direct(&mut world, nodes, |link| link.up = true);
        let back = world.elapsed();
        while !is_direct(&mut world, from) || !is_direct(&mut world, to) {
            run(&mut world, &mut flows, ms(100));
            assert!(world.elapsed() < back + secs(100), "round {round}");
        }
    }
    flows[0].drain(&mut world);
}

/// The second time, and the fifth, as the first. NATs on the way have long forgotten those who do not go on trying.
#[test]
fn a_path_that_is_good_again_is_taken_within_five_seconds() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        let coordinator = world.add_coordinator();
        let (mut hosts, mut clients) = (Vec::new(), Vec::new());
        for name in ["alice", "bob"] {
            let client = world.add_client(name);
            let nat = world.add_nat(name, conec_tests::sim::NatConfig::home());
            world.put(client, nat);
            world.connect(client, coordinator);
            hosts.push(nat);
            clients.push(client);
        }
        let (from, to) = world.open_channel(clients[0], clients[1]);
        until_direct(&mut world, [from, to]);
        let mut flows = [(from, to), (to, from)]
            .map(|(from, to)| Flow::paced(&mut world, from, to, 500, ms(100)));
        let one_way = seed == 3;
        for round in 0..5 {
            let gone = secs([15, 4, 40, 15, 100][round]) + ms(377 * seed);
            world.link(hosts[0], hosts[1]).up = false;
            world.link(hosts[1], hosts[0]).up = one_way;
            run(&mut world, &mut flows, gone);
            assert_eq!(path(&mut world, from), Path::Proxied);
            world.link(hosts[0], hosts[1]).up = true;
            world.link(hosts[1], hosts[0]).up = true;
            let back = world.elapsed();
            while !is_direct(&mut world, from) || !is_direct(&mut world, to) {
                run(&mut world, &mut flows, ms(10));
                let took = world.elapsed() - back;
                assert!(took <= secs(5), "seed {seed}, round {round}: {took:?}");
            }
            run(&mut world, &mut flows, secs(5));
        }
        for flow in &mut flows {
            flow.drain(&mut world);
        }
    }
}

/// Bob has her look for him at a dozen places where he is not, for each of his channels. Each channel gets its share of
/// what a Client may send.
/// What says nothing itself hears by the home channel that there is a network again, and tries what it had.
#[test]
fn an_idle_channel_looks_for_its_path_as_soon_as_there_is_a_network_again() {
    for outage in [20_000, 20_700, 21_400, 22_100] {
        let (mut world, coordinator, [alice, bob]) = triangle(5, ms(20), ms(10));
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        until_direct(&mut world, [at_alice, at_bob]);
        world.run_for(secs(5));
        world.set_up(alice, false);
        world.run_for(ms(outage));
        assert!(!is_direct(&mut world, at_alice), "after {outage} ms");
        world.set_up(alice, true);
        let [home, peer] = [coordinator, bob].map(|node| world.address(node));
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let heard = world.address(alice);
        world.wait_for("the home channel", secs(10), |_| {
            tap.find(|it| it.source == home && it.destination == heard)
        });
        world.wait_for("a ping", ms(20), |_| {
            tap.find(|it| it.source == heard && it.destination == peer)
        });
    }
}

#[test]
fn among_a_great_many_channels_each_finds_its_path() {
    let mut world = World::new(1);
    let (_, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    let [target, back] = [alice, bob].map(|it| conec_core::Target::Id(world.client_id(it)));
    let nowhere: Vec<_> = (1..=12)
        .map(|last| ([198, 51, 100, last], 4000).into())
        .collect();
    let now = world.now();
    world.client(bob).set_mapped_addresses(now, &nowhere);
    for _ in 0..100 {
        world.request_channel(bob, target.clone());
        world.request_channel(alice, back.clone());
    }
    world.run_for(secs(1));
    let at_carol = world.request_channel(carol, target);
    let asked = world.elapsed();
    let mut ends = vec![at_carol];
    world.run_for(secs(1));
    for node in [alice, bob] {
        while let Some(channel) = world.take_event(node, |event| match event.channel() {
            Some((channel, ChannelEvent::Opened)) => Some(channel),
            Some(_) | None => None,
        }) {
            ends.extend((channel != ChannelId::HOME).then_some(At { node, channel }));
        }
    }
    assert_eq!(ends.len(), 402);
    world.wait_for("direct paths", secs(10), |world| {
        let direct = ends.iter().filter(|&&at| is_direct(world, at));
        (direct.count() == 402).then_some(())
    });
    let took = world.elapsed() - asked;
    println!("found in {took:?}");
    assert!(took <= secs(5), "{took:?}");
}

/// As is said of it in the documentation of `Path`.
#[test]
fn a_direct_path_ends_with_the_connection_to_the_coordinator() {
    let (mut world, coordinator, [alice, bob]) = triangle(1, ms(40), ms(10));
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 500, ms(100))];
    run(&mut world, &mut flows, secs(1));
    world.link(coordinator, alice).up = false;
    world.link(alice, coordinator).up = false;
    let start = world.elapsed();
    // Until the home channel is given up, everything arrives.
    run(&mut world, &mut flows, secs(25));
    assert!(is_direct(&mut world, at_alice) && is_direct(&mut world, at_bob));
    assert!(flows[0].longest_pause(start) <= ms(200));
    let gone = CloseReason::Remote(ErrorCode::PeerGone);
    assert_eq!(world.closed(at_bob), gone);
    assert_eq!(world.closed(at_alice), CloseReason::CoordinatorLost);
    assert!(world.elapsed() - start <= secs(45));
}

/// Who goes on talking is told again, on the path that there was.
#[test]
fn a_goodbye_that_is_lost_on_a_direct_path_is_said_again_there() {
    let (mut world, coordinator, nodes) = triangle(2, ms(40), ms(10));
    let [alice, bob] = nodes;
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    world.run_for(secs(1));
    world.set_up(coordinator, false);
    set_direct(&mut world, nodes, |link| link.up = false);
    let now = world.now();
    let mut channel = world.channel(alice, at_alice.channel).unwrap();
    channel.abort(now, Code(7));
    world.run_for(ms(5));
    set_direct(&mut world, nodes, |link| link.up = true);
    let ours = world.open_stream(at_bob, b"");
    let start = world.elapsed();
    world.send(ours, "are you there?");
    assert_eq!(world.closed(at_bob), CloseReason::Application(Code(7)));
    assert!(world.elapsed() - start < ms(100));
}

#[test]
fn losses_make_no_path_flap() {
    let paces = [Some(ms(1000)), Some(ms(100)), Some(ms(20))];
    let without_pauses = [None; 6];
    let (mut direct, mut proxied) = (0, 0);
    for (seed, pause) in (0..).zip(paces.into_iter().chain(without_pauses)) {
        let (mut world, _, [alice, bob]) = triangle(seed, ms(50), ms(20));
        world.network.set_all(&LinkConfig {
            delay: ms(20),
            loss: 0.1,
            ..LinkConfig::default()
        });
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        until_direct(&mut world, [at_alice, at_bob]);
        for at in [at_alice, at_bob] {
            changes(&mut world, at);
        }
        let mut flow = Flow::new(&mut world, at_alice, at_bob, 500);
        if let Some(pause) = pause {
            flow.set_pace(&world, pause);
        }
        run(&mut world, &mut [flow], secs(600));
        for at in [at_alice, at_bob] {
            let flaps = changes(&mut world, at);
            println!("pauses of {pause:?}: {} changes of path", flaps.len());
            assert!(flaps.len() <= 2, "there and back is one: {flaps:?}");
        }
        let stats = world.client(alice).path_stats(at_alice.channel).unwrap();
        direct += stats.direct.packets_sent;
        proxied += stats.proxied.packets_sent;
    }
    // Nor are many packets sent on both paths for fear of losses.
    assert!(20 * proxied < direct, "{proxied} besides {direct}");
}

/// Packets that went directly from one node to another.
fn count_direct(world: &mut World, from: NodeId, to: NodeId, time: Duration) -> usize {
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    world.run_for(time);
    let (from, to) = (world.address(from), world.address(to));
    tap.count(|packet| packet.source == from && packet.destination == to)
}

#[test]
fn an_idle_path_costs_next_to_nothing_and_lapses() {
    let (mut world, _, [alice, bob]) = triangle(1, ms(40), ms(10));
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 500, ms(10))];
    run(&mut world, &mut flows, secs(1));
    flows[0].drain(&mut world);
    let last_use = world.elapsed();
    world.run_for(secs(1));
    for (from, to) in [(alice, bob), (bob, alice)] {
        let packets = count_direct(&mut world, from, to, secs(45));
        println!("{packets} packets in 45 s");
        assert!((2..=3).contains(&packets), "{packets}");
    }
    while is_direct(&mut world, at_alice) || is_direct(&mut world, at_bob) {
        world.run_for(secs(1));
    }
    let lapsed = world.elapsed() - last_use;
    println!("lapsed after {lapsed:?} without use");
    // When the next packet would be due to keep it warm.
    assert!((secs(120)..secs(138)).contains(&lapsed), "{lapsed:?}");
    for (from, to) in [(at_alice, at_bob), (at_bob, at_alice)] {
        assert_eq!(path(&mut world, from), Path::Proxied);
        let packets = count_direct(&mut world, from.node, to.node, secs(600));
        assert_eq!(packets, 0);
    }
    // And when it is needed, it is there again.
    flows[0].resume(&world);
    run(&mut world, &mut flows, secs(1));
    assert!(is_direct(&mut world, at_alice) && is_direct(&mut world, at_bob));
}

#[test]
fn an_idle_path_is_kept_for_as_long_as_is_wished() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.paths.keep_warm = None;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    until_direct(&mut world, [at_alice, at_bob]);
    for (from, to) in [(alice, bob), (bob, alice)] {
        let packets = count_direct(&mut world, from, to, secs(3600));
        assert!((230..=250).contains(&packets), "{packets}");
    }
    for at in [at_alice, at_bob] {
        assert!(is_direct(&mut world, at));
    }
}

/// The other's answers keep its own NAT's memory fresh.
#[test]
fn an_idle_path_is_kept_warm_by_who_asked_for_the_channel() {
    let (mut world, _, [alice, bob]) = triangle(1, ms(40), ms(10));
    for (from, to) in [(alice, bob), (bob, alice)] {
        let (at_from, at_to) = world.open_channel(from, to);
        until_direct(&mut world, [at_from, at_to]);
        world.run_for(secs(5));
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let ends = [from, to].map(|node| world.address(node));
        let (mut firsts, mut quiet) = (Vec::new(), true);
        for _ in 0..60 {
            let seen = tap.len();
            world.run_for(secs(1));
            let mut packets = (seen..tap.len()).filter_map(|at| tap.get(at));
            let first =
                packets.find(|it| ends.contains(&it.source) && ends.contains(&it.destination));
            let is_first = quiet;
            quiet = first.is_none();
            firsts.extend(first.filter(|_| is_first).map(|it| it.source));
        }
        assert!(firsts.len() >= 3, "{firsts:?}");
        assert!(firsts.iter().all(|&it| it == ends[0]), "{firsts:?}");
        world.network.tap = None;
        let now = world.now();
        let mut channel = world.channel(from, at_from.channel).unwrap();
        channel.close(now, Duration::ZERO);
        assert_eq!(world.closed(at_from), CloseReason::Local);
    }
}

#[test]
fn a_search_without_success_ends_when_nobody_uses_the_channel() {
    let (mut world, _, nodes @ [alice, bob]) = triangle(1, ms(40), ms(10));
    set_direct(&mut world, nodes, |link| link.up = false);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    world.run_for(secs(200));
    assert_eq!(count_direct(&mut world, alice, bob, secs(600)), 0);
    set_direct(&mut world, nodes, |link| link.up = true);
    let mut flows = [Flow::paced(&mut world, at_alice, at_bob, 500, ms(10))];
    run(&mut world, &mut flows, secs(1));
    assert!(is_direct(&mut world, at_alice) && is_direct(&mut world, at_bob));
}

#[test]
fn home_channels_have_no_other_path() {
    let (mut world, coordinator, [alice, _]) = triangle(1, ms(40), ms(10));
    let home = At {
        node: alice,
        channel: ChannelId::HOME,
    };
    assert_eq!(path(&mut world, home), Path::Proxied);
    assert_eq!(world.client(alice).path_stats(ChannelId::HOME), None);
    let id = world.client_id(alice);
    let coordinator = world.coordinator(coordinator);
    let session = coordinator.find(id).unwrap();
    assert_eq!(coordinator.path_stats(session), None);
}
