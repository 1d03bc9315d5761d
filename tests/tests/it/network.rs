//! What networks do to datagrams, and what conec makes of it.

use std::time::Duration;

use conec_core::{CloseReason, CoordinatorConfig, Direction, Endpoint, ErrorCode, RecvEnd};
use conec_tests::{
    keys,
    sim::{At, Burst, Half, LinkConfig, World},
};

use crate::{connecting::home, pair};

/// Sends numbered messages of this size from end to end, and sees them arrive.
fn transfer(world: &mut World, from: At, to: At, messages: u32, size: usize) {
    let ours = world.open(from, Direction::Uni, b"transfer");
    let mut next = 0;
    let mut theirs: Option<Half> = None;
    let message = |number: u32| {
        let mut message = number.to_be_bytes().to_vec();
        message.resize(size.max(4), number as u8);
        message
    };
    for number in 0..messages {
        world.send(ours, message(number));
        if let Some(theirs) = theirs {
            while let Ok(received) = world.try_recv(theirs) {
                assert_eq!(received, message(next));
                next += 1;
            }
        } else if number == 3 {
            theirs = Some(world.accept_stream(to));
        }
    }
    world.finish(ours);
    let theirs = theirs.unwrap_or_else(|| world.accept_stream(to));
    while next < messages {
        assert_eq!(world.recv(theirs), message(next));
        next += 1;
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
}

#[test]
fn every_fault_is_survived() {
    let faults = [
        LinkConfig {
            loss: 0.1,
            ..LinkConfig::default()
        },
        LinkConfig {
            burst: Some(Burst {
                begin: 0.01,
                end: 0.2,
            }),
            ..LinkConfig::default()
        },
        LinkConfig {
            jitter: Duration::from_millis(50),
            reorder: 0.2,
            ..LinkConfig::default()
        },
        LinkConfig {
            duplicate: 0.5,
            ..LinkConfig::default()
        },
        LinkConfig {
            corrupt: 0.1,
            ..LinkConfig::default()
        },
        LinkConfig {
            rate: Some(500_000),
            queue: 20_000,
            ..LinkConfig::default()
        },
        LinkConfig {
            mtu: 1252,
            ..LinkConfig::default()
        },
        LinkConfig::rough(),
    ];
    for (seed, fault) in faults.iter().enumerate() {
        let (mut world, _, at_alice, at_bob) = pair(seed as u64);
        world.network.set_all(fault);
        transfer(&mut world, at_alice, at_bob, 300, 3000);
    }
}

#[test]
fn an_mtu_that_shrinks_is_survived() {
    let (mut world, _, at_alice, at_bob) = pair(1);
    transfer(&mut world, at_alice, at_bob, 100, 10_000);
    world.network.default.mtu = 1220;
    transfer(&mut world, at_alice, at_bob, 100, 10_000);
}

#[test]
fn a_path_below_quics_minimum_is_a_time_out() {
    let mut world = World::new(2);
    let coordinator = world.add_coordinator();
    world.network.default.mtu = 1199;
    let alice = world.add_client("alice");
    world.start_connecting(alice, coordinator);
    assert_eq!(world.closed(home(alice)), CloseReason::TimedOut);
}

#[test]
fn an_outage_shorter_than_the_idle_timeout_is_survived() {
    let (mut world, _, at_alice, at_bob) = pair(3);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "before");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "before");
    for host in [at_alice.node, at_bob.node] {
        world.set_up(host, false);
    }
    world.send(ours, "during");
    world.run_for(Duration::from_secs(15));
    for host in [at_alice.node, at_bob.node] {
        world.set_up(host, true);
    }
    assert_eq!(world.recv(theirs), "during");
}

#[test]
fn a_one_way_outage_ends_the_connection_at_both_sides() {
    let (mut world, coordinator, at_alice, at_bob) = pair(4);
    world.link(at_alice.node, coordinator).up = false;
    assert_eq!(world.closed(home(at_alice.node)), CloseReason::TimedOut);
    assert_eq!(
        world.closed(at_bob),
        CloseReason::Remote(ErrorCode::PeerGone)
    );
    assert!(world.elapsed() < Duration::from_secs(60));
}

#[test]
fn congestion_marks_cross_the_coordinator() {
    use conec_core::Ecn;
    use conec_tests::sim::Tap;
    let (mut world, coordinator, at_alice, at_bob) = pair(7);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    transfer(&mut world, at_alice, at_bob, 50, 5000);
    let from = world.address(coordinator);
    let to = world.address(at_bob.node);
    let marked = tap.count(|packet| {
        packet.source == from && packet.destination == to && packet.ecn == Some(Ecn::Ect0)
    });
    assert!(marked > 50, "{marked}");
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let run = |seed| {
        let (mut world, _, at_alice, at_bob) = pair(seed);
        world.network.set_all(&LinkConfig::rough());
        transfer(&mut world, at_alice, at_bob, 200, 2000);
        world.crash(at_bob.node);
        world.closed(at_alice);
        world.trace().hash()
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn a_hundred_clients_exchange_ten_thousand_messages() {
    let mut world = World::new(8);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.handshakes_before_retry = 1000;
    let coordinator = world.add_coordinator_with(config);
    let clients: Vec<_> = (0..100)
        .map(|number| {
            let client = world.add_client(&format!("client-{number}"));
            world.connect(client, coordinator);
            client
        })
        .collect();
    let streams: Vec<_> = (0..50)
        .map(|number| {
            let (from, to) = world.open_channel(clients[2 * number], clients[2 * number + 1]);
            let ours = world.open_stream(from, b"");
            (ours, world.accept_stream(to))
        })
        .collect();
    for _ in 0..100 {
        for &(ours, theirs) in &streams {
            world.send(ours, vec![1; 500]);
            world.send(theirs, vec![2; 500]);
        }
    }
    for &(ours, theirs) in &streams {
        for _ in 0..100 {
            assert_eq!(world.recv(theirs), vec![1; 500]);
            assert_eq!(world.recv(ours), vec![2; 500]);
        }
    }
    assert_eq!(world.coordinator(coordinator).stats().forwards_dropped, 0);
}
