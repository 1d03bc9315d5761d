//! What a program can do by ordinary use is no violation: it waits its turn.

use std::time::Duration;

use conec_core::{ChannelEvent, ChannelId, Code, ErrorCode, OpenChannelError, Target};
use conec_tests::sim::{At, NodeId, World};

/// As many at once as there may be: all open, and nobody is sent away.
#[test]
fn all_channels_that_there_may_be_can_be_opened_at_once() {
    let mut world = World::new(1);
    let names = ["alice", "bob", "carol", "dave"];
    let (_, [alice, others @ ..]) = world.with_proxied_clients(names);
    let others: [NodeId; 3] = others;
    let ids = others.map(|node| world.client_id(node));
    let asked: Vec<_> = (0..256)
        .map(|number| world.request_channel(alice, Target::Id(ids[number % 3])))
        .collect();
    let begin = world.elapsed();
    for _ in &asked {
        world.opened(alice);
    }
    println!("{:?} for all", world.elapsed() - begin);
    assert!(world.elapsed() - begin < Duration::from_secs(1));
    // And closed.
    for at in asked {
        let now = world.now();
        let mut channel = world.channel(alice, at.channel).unwrap();
        channel.abort(now, Code(0));
    }
    world.run_for(Duration::from_secs(1));
    assert!(world.client(alice).is_connected());
}

#[test]
fn channels_that_are_opened_and_closed_as_fast_as_can_be_send_nobody_away() {
    let mut world = World::new(2);
    let (_, [alice, bob]) = world.with_proxied_clients(["alice", "bob"]);
    for _ in 0..10 {
        open_and_close(&mut world, alice, bob, 180, Duration::from_micros(2700));
    }
    assert!(world.client(alice).is_connected());
    let (at_alice, _) = open(&mut world, alice, bob);
    let now = world.now();
    world
        .channel(at_alice.node, at_alice.channel)
        .unwrap()
        .abort(now, Code(0));
}

/// What was held back by an outage comes all at once, and still is no flood.
#[test]
fn an_outage_makes_no_flood_of_what_was_asked_meanwhile() {
    for outage in [2, 5, 9, 14] {
        let mut world = World::new(3);
        let (coordinator, [alice, bob]) = world.with_proxied_clients(["alice", "bob"]);
        open_and_close(&mut world, alice, bob, 100, Duration::from_millis(2));
        world.link(alice, coordinator).up = false;
        let all = outage * 1000 / 10;
        open_and_close(&mut world, alice, bob, all, Duration::from_millis(10));
        world.link(alice, coordinator).up = true;
        open_and_close(&mut world, alice, bob, 1000, Duration::from_millis(5));
        assert!(world.client(alice).is_connected(), "{outage} s");
    }
}

/// There is an end to what may wait, and the program is told.
#[test]
fn more_than_may_wait_is_told() {
    // Also where all answers are there before more may be asked.
    for delay in [10, 1] {
        let mut world = World::new(4);
        world.network.default.delay = Duration::from_millis(delay);
        let coordinator = world.add_coordinator();
        let mut config = world.client_config("alice");
        config.limits.channels_per_client = 10_000;
        config.memory = 4 << 30;
        let alice = world.add_client_with(config);
        world.connect(alice, coordinator);
        let now = world.now();
        let mut taken = 0;
        let refused = loop {
            let target = Target::Name("nobody".parse().unwrap());
            match world.client(alice).open_channel(now, target, b"") {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, OpenChannelError::TooFast);
        assert!((256..=1024).contains(&taken), "{taken}");
        // All of them are answered: what is more than 256 at a pace of 50 a second.
        let begin = world.elapsed();
        for _ in 0..taken {
            let reason = world.wait_for("closed", Duration::from_secs(60), |world| {
                world.take_event(alice, |event| match event.channel() {
                    Some((id, ChannelEvent::Closed { reason })) if id != ChannelId::HOME => {
                        Some(*reason)
                    }
                    Some(_) | None => None,
                })
            });
            assert_eq!(reason, conec_core::CloseReason::Remote(ErrorCode::NotFound));
        }
        let most = Duration::from_secs((taken - 256) / 50 + 1);
        let took = world.elapsed() - begin;
        assert!(took < most, "{took:?} for {taken}");
        assert!(world.client(alice).is_connected());
    }
}

/// Asks for so many channels, and lets go of each when the next is asked for.
fn open_and_close(world: &mut World, from: NodeId, to: NodeId, count: usize, every: Duration) {
    let id = world.client_id(to);
    for _ in 0..count {
        let now = world.now();
        let opened = world.client(from).open_channel(now, id, b"");
        world.run_for(every);
        match opened {
            Ok(channel) => {
                let now = world.now();
                if let Some(mut channel) = world.channel(from, channel) {
                    channel.abort(now, Code(0));
                }
            }
            Err(error) => assert!(
                matches!(error, OpenChannelError::TooFast | OpenChannelError::TooMany),
                "{error}"
            ),
        }
        while world.next_event(from).is_some() {}
        while world.next_event(to).is_some() {}
    }
}

/// Opens a channel once there is room for it.
fn open(world: &mut World, from: NodeId, to: NodeId) -> (At, At) {
    world.run_for(Duration::from_secs(10));
    while world.next_event(from).is_some() {}
    while world.next_event(to).is_some() {}
    world.open_channel(from, to)
}
