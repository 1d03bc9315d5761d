//! That the simulated world does what it says: what links do to datagrams, seen by bare sockets, and replaying.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use conec_tests::sim::{Burst, LinkConfig, Net, Received, Socket, World};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sends so many numbered datagrams of this size at once, and gives what comes within an hour.
fn volley(world: &mut World, from: &Socket, to: &Socket, count: u32, size: usize) -> Vec<Received> {
    let address = world.address(to.node);
    for number in 0..count {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(size, 0);
        from.send(address, payload);
    }
    world.run_for(Duration::from_secs(3600));
    std::iter::from_fn(|| world.next_received(to)).collect()
}

fn number(received: &Received) -> u32 {
    u32::from_be_bytes(received.payload[..4].try_into().unwrap())
}

fn numbers(received: &[Received]) -> Vec<u32> {
    received.iter().map(number).collect()
}

fn two_sockets(link: LinkConfig) -> (World, Socket, Socket) {
    let mut world = World::new(1);
    world.network.set_all(&link);
    let (one, other) = (world.add_socket(), world.add_socket());
    (world, one, other)
}

/// What comes of a thousand datagrams over such a link.
fn thousand(link: LinkConfig) -> Vec<Received> {
    let (mut world, one, other) = two_sockets(link);
    volley(&mut world, &one, &other, 1000, 100)
}

#[test]
fn a_clean_link_delivers_everything_in_order_after_its_delay() {
    let received = thousand(LinkConfig {
        delay: millis(30),
        ..LinkConfig::default()
    });
    assert_eq!(numbers(&received), (0..1000).collect::<Vec<_>>());
    assert!(received.iter().all(|it| it.at == millis(30)));
}

#[test]
fn directions_are_links_of_their_own() {
    let (mut world, one, other) = two_sockets(LinkConfig::default());
    world.link(one.node, other.node).delay = millis(100);
    world.link(other.node, one.node).delay = millis(7);
    let start = world.elapsed();
    assert_eq!(
        volley(&mut world, &one, &other, 1, 9)[0].at - start,
        millis(100)
    );
    let start = world.elapsed();
    assert_eq!(
        volley(&mut world, &other, &one, 1, 9)[0].at - start,
        millis(7)
    );
    world.link(one.node, other.node).up = false;
    assert!(volley(&mut world, &one, &other, 9, 9).is_empty());
    assert_eq!(volley(&mut world, &other, &one, 9, 9).len(), 9);
}

#[test]
fn links_can_change_while_packets_are_under_way() {
    let (mut world, one, other) = two_sockets(LinkConfig {
        delay: millis(100),
        ..LinkConfig::default()
    });
    let address = world.address(other.node);
    one.send(address, "slow");
    world.run_for(millis(10));
    world.network.default.delay = millis(20);
    one.send(address, "fast");
    world.run_for(millis(30));
    assert_eq!(world.next_received(&other).unwrap().payload, b"fast");
    // Cutting the link does not stop what is on it.
    world.network.default.up = false;
    one.send(address, "never");
    world.run_for(millis(200));
    assert_eq!(world.next_received(&other).unwrap().payload, b"slow");
    assert_eq!(world.next_received(&other), None);
}

#[test]
fn jitter_spreads_arrivals_and_changes_their_order() {
    let received = thousand(LinkConfig {
        delay: millis(30),
        jitter: millis(10),
        ..LinkConfig::default()
    });
    assert_eq!(received.len(), 1000);
    assert!(
        received
            .iter()
            .all(|it| (millis(30)..millis(40)).contains(&it.at))
    );
    let late = received.iter().filter(|it| it.at > millis(35)).count();
    assert!((400..600).contains(&late), "{late}");
    assert!(!numbers(&received).is_sorted());
}

#[test]
fn losses_come_one_by_one_or_together() {
    let lost_in_a_row = |link| {
        let received = numbers(&thousand(link));
        assert!(received.is_sorted());
        let mut gaps: Vec<_> = received.windows(2).map(|two| two[1] - two[0] - 1).collect();
        gaps.retain(|&gap| gap > 0);
        let longest = gaps.iter().copied().max().unwrap();
        (1000 - received.len(), gaps.len(), longest)
    };
    let (lost, gaps, longest) = lost_in_a_row(LinkConfig {
        loss: 0.2,
        ..LinkConfig::default()
    });
    assert!((150..250).contains(&lost), "{lost}");
    assert!(gaps > 120 && longest < 8, "{gaps}, {longest}");
    // As many, but about twenty at a time.
    let (lost, gaps, longest) = lost_in_a_row(LinkConfig {
        burst: Some(Burst {
            begin: 0.0125,
            end: 0.05,
        }),
        ..LinkConfig::default()
    });
    assert!((100..300).contains(&lost), "{lost}");
    assert!(gaps < 25 && longest > 20, "{gaps}, {longest}");
}

#[test]
fn a_share_is_overtaken_doubled_or_damaged() {
    let received = numbers(&thousand(LinkConfig {
        reorder: 0.1,
        ..LinkConfig::default()
    }));
    let out_of_order = received.windows(2).filter(|two| two[0] > two[1]).count();
    assert_eq!(received.len(), 1000);
    assert!(out_of_order > 0, "those held back come last");
    let in_time = received.iter().rev().take_while(|&&it| it != 999).count();
    assert!((60..140).contains(&in_time), "{in_time}");

    let mut times = BTreeMap::new();
    for number in numbers(&thousand(LinkConfig {
        duplicate: 0.1,
        ..LinkConfig::default()
    })) {
        *times.entry(number).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 1000);
    let doubled = times.values().filter(|&&times| times == 2).count();
    assert!((60..140).contains(&doubled), "{doubled}");

    let received = thousand(LinkConfig {
        corrupt: 0.1,
        ..LinkConfig::default()
    });
    let flipped = received.iter().zip(0_u32..).filter(|(received, number)| {
        let mut bits: u32 = (number ^ self::number(received)).count_ones();
        bits += received.payload[4..]
            .iter()
            .map(|byte| byte.count_ones())
            .sum::<u32>();
        assert!(bits <= 1, "one bit at most");
        bits == 1
    });
    let flipped = flipped.count();
    assert!((60..140).contains(&flipped), "{flipped}");
}

#[test]
fn a_narrow_link_has_a_queue_and_drops_what_finds_it_full() {
    let (mut world, one, other) = two_sockets(LinkConfig {
        rate: Some(100_000),
        queue: 20_000,
        ..LinkConfig::default()
    });
    let start = world.elapsed();
    let received = volley(&mut world, &one, &other, 100, 1000);
    // One is on its way when the queue begins to fill.
    assert_eq!(numbers(&received), (0..21).collect::<Vec<_>>());
    for (received, turn) in received.iter().zip(1..) {
        assert_eq!(received.at - start, millis(10 + 10 * turn));
    }
    // Later there is room again.
    assert_eq!(volley(&mut world, &one, &other, 1, 1000).len(), 1);
}

#[test]
fn what_is_too_large_vanishes() {
    let (mut world, one, other) = two_sockets(LinkConfig::default());
    world.link(one.node, other.node).mtu = 1200;
    assert_eq!(volley(&mut world, &one, &other, 1, 1200).len(), 1);
    assert_eq!(volley(&mut world, &one, &other, 1, 1201).len(), 0);
    assert_eq!(volley(&mut world, &other, &one, 1, 1472).len(), 1);
}

#[test]
fn a_host_that_is_cut_off_neither_hears_nor_says_anything() {
    let (mut world, one, other) = two_sockets(LinkConfig::default());
    world.set_up(other.node, false);
    assert!(volley(&mut world, &one, &other, 1, 9).is_empty());
    assert!(volley(&mut world, &other, &one, 1, 9).is_empty());
    world.set_up(other.node, true);
    assert_eq!(volley(&mut world, &one, &other, 1, 9).len(), 1);
}

#[test]
fn taps_see_a_packet_in_every_network() {
    let (mut world, one, other) = two_sockets(LinkConfig::default());
    let home = world.add_nat("home", conec_tests::sim::NatConfig::home());
    world.put(one.node, home);
    let tap = conec_tests::sim::Tap::default();
    world.network.tap = Some(tap.clone());
    assert_eq!(volley(&mut world, &one, &other, 5, 9).len(), 5);
    for net in [home.into(), Net::Internet] {
        assert_eq!(tap.count(|packet| packet.net == net), 5);
    }
    assert_eq!(tap.count(|_| true), 10);
}

#[test]
fn time_is_only_what_is_simulated() {
    let begin = Instant::now();
    let mut world = World::new(1);
    world.run_for(Duration::from_secs(1_000_000));
    assert_eq!(world.elapsed(), Duration::from_secs(1_000_000));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// Runs itself in a process of its own, in which it fails.
#[test]
fn a_failure_shows_its_seed_and_what_happened_and_can_be_replayed() {
    if std::env::var_os(FAIL).is_some() {
        let mut world = World::new(4321);
        world.network.set_all(&LinkConfig::rough());
        let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
        world.open_channel(alice, bob);
        assert_eq!(world.datagrams_sent(), 0, "a claim that is wrong");
        return;
    }
    let fail = |seed: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("world::a_failure_shows_its_seed_and_what_happened_and_can_be_replayed")
            .env(FAIL, "1")
            .env_remove("CONEC_SEED")
            .env("RUST_BACKTRACE", "0");
        if let Some(seed) = seed {
            command.env("CONEC_SEED", seed);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let first = fail(None);
    assert!(first.contains("a claim that is wrong"), "{first}");
    assert!(first.contains("replay with CONEC_SEED=4321"), "{first}");
    assert!(
        first.contains("coordinator: Coordinator(ClientConnected"),
        "{first}"
    );
    let story = |text: &str| {
        let is_line = |line: &&str| {
            line.trim_start()
                .starts_with(|first: char| first.is_ascii_digit())
        };
        text.lines()
            .filter(is_line)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(story(&first).len() > 5, "{first}");
    assert_eq!(story(&fail(Some("4321"))), story(&first));
    let other = fail(Some("99"));
    assert!(other.contains("replay with CONEC_SEED=99"), "{other}");
    assert_ne!(story(&other), story(&first));
}

const FAIL: &str = "CONEC_TEST_MUST_FAIL";
