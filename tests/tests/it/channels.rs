//! Channels between Clients: asking, offering, accepting, refusing, ending.

use std::time::Duration;

use conec_core::{
    AnswerError, ChannelEvent, ChannelId, ClientEvent, CloseReason, Code, CoordinatorConfig,
    CoordinatorEvent, CoordinatorLimits, Endpoint, ErrorCode, OpenChannelError, PairError, PairId,
    Policy, Target,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, Tap, World},
};

use crate::closing::nothing_is_left;

fn offered(world: &mut World, node: NodeId) -> At {
    world.wait_for("offered", Duration::from_secs(10), |world| {
        world.take_event(node, |event| match event {
            Event::Client(ClientEvent::Offered { channel, .. }) => Some(At {
                node,
                channel: *channel,
            }),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    })
}

pub(crate) fn opened(world: &mut World, at: At) {
    world.wait_for("opened", Duration::from_secs(10), |world| {
        world.take_event(at.node, |event| {
            (event.channel() == Some((at.channel, &ChannelEvent::Opened))).then_some(())
        })
    });
}

fn pair_closed(world: &mut World, coordinator: NodeId) -> (PairId, CloseReason) {
    world.wait_for("pair closed", Duration::from_secs(60), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::PairClosed { pair, reason }) => {
                Some((*pair, *reason))
            }
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    })
}

/// A Coordinator and two Clients, the second of which asks its application about offers.
fn world_that_asks(seed: u64) -> (World, NodeId, NodeId, NodeId) {
    let mut world = World::new(seed);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let mut config = world.client_config("bob");
    config.auto_accept = false;
    let bob = world.add_client_with(config);
    world.connect(bob, coordinator);
    (world, coordinator, alice, bob)
}

fn by_name(name: &str) -> Target {
    Target::Name(name.parse().unwrap())
}

#[test]
fn two_clients_exchange_messages_through_the_coordinator() {
    let mut world = World::new(1);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let ours = world.open_stream(at_alice, b"greetings");
    world.send(ours, "hello");
    let (theirs, label) = world.accept_labelled(at_bob);
    assert_eq!(label, "greetings");
    assert_eq!(world.recv(theirs), "hello");
    world.send(theirs, "and back");
    assert_eq!(world.recv(ours), "and back");
    let stats = world.coordinator(coordinator).stats();
    assert!(stats.datagrams_forwarded > 0);
    assert_eq!((stats.forwards_denied, stats.forwards_dropped), (0, 0));
}

#[test]
fn an_offer_tells_who_and_what_for_and_can_be_accepted() {
    let (mut world, _, alice, bob) = world_that_asks(2);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let at_bob = offered(&mut world, bob);
    let info = world.client(bob).peer(at_bob.channel).unwrap();
    assert_eq!(info.id, world.client(alice).id());
    assert_eq!(info.name, Some("alice".parse().unwrap()));
    assert_eq!(info.label, "test");
    let now = world.now();
    world.client(bob).accept(now, at_bob.channel).unwrap();
    assert!(world.client(bob).accept(now, at_bob.channel).is_err());
    assert!(
        world
            .client(bob)
            .reject(now, at_bob.channel, Code(0))
            .is_err()
    );
    opened(&mut world, at_alice);
    opened(&mut world, at_bob);
    let info = world.client(alice).peer(at_alice.channel).unwrap();
    assert_eq!(info.id, world.client(bob).id());
}

#[test]
fn a_rejection_carries_its_code() {
    let (mut world, coordinator, alice, bob) = world_that_asks(3);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let at_bob = offered(&mut world, bob);
    let now = world.now();
    world
        .client(bob)
        .reject(now, at_bob.channel, Code(7))
        .unwrap();
    let reason = CloseReason::Application(Code(7));
    assert_eq!(world.closed(at_alice), reason);
    assert_eq!(world.closed(at_bob), CloseReason::Local);
    assert_eq!(pair_closed(&mut world, coordinator).1, reason);
}

#[test]
fn an_offer_that_nobody_answers_ends() {
    let (mut world, coordinator, alice, bob) = world_that_asks(4);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let at_bob = offered(&mut world, bob);
    let limit = CoordinatorLimits::default().answer_timeout + Duration::from_secs(10);
    let start = world.elapsed();
    assert_eq!(
        world.closed(at_alice),
        CloseReason::Remote(ErrorCode::NoAnswer)
    );
    world.closed(at_bob);
    assert!(world.elapsed() - start <= limit);
    pair_closed(&mut world, coordinator);
}

/// Who asked hears of it at the next full second, as if nobody were there.
#[test]
fn the_coordinators_application_has_as_long_to_answer_as_its_limits_say() {
    let mut world = World::new(15);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.channels = Policy::Ask;
    config.limits.answer_timeout = Duration::from_secs(3);
    let coordinator = world.add_coordinator_with(config);
    let [alice, bob] = ["alice", "bob"].map(|name| world.add_client(name));
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let asked = world.wait_for("asked", Duration::from_secs(1), |world| {
        let elapsed = world.elapsed();
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::PairAsks { .. }) => Some(elapsed),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    pair_closed(&mut world, coordinator);
    let answered_for = world.elapsed() - asked;
    assert!(
        (3.0..3.1).contains(&answered_for.as_secs_f64()),
        "{answered_for:?}"
    );
    assert_eq!(
        world.closed(at_alice),
        CloseReason::Remote(ErrorCode::NotFound)
    );
    assert!(world.elapsed() - asked < Duration::from_millis(4100));
}

/// The Client's own limit is for its own application, to the second, also where the other end is itself.
#[test]
fn an_application_has_as_long_to_answer_an_offer_as_its_limits_say() {
    for to in ["bob", "alice"] {
        let mut world = World::new(14);
        let coordinator = world.add_coordinator();
        let [alice, bob] = ["alice", "bob"].map(|name| {
            let mut config = world.client_config(name);
            config.auto_accept = false;
            config.limits.answer_timeout = Duration::from_secs(3);
            let client = world.add_client_with(config);
            world.connect(client, coordinator);
            client
        });
        let at_alice = world.request_channel(alice, by_name(to));
        let theirs = offered(&mut world, if to == "bob" { bob } else { alice });
        let start = world.elapsed();
        assert_eq!(world.closed(theirs), CloseReason::TimedOut);
        assert!(world.elapsed() - start <= Duration::from_millis(3100));
        let reason = CloseReason::Remote(ErrorCode::NoAnswer);
        assert_eq!(world.closed(at_alice), reason);
        assert!(world.elapsed() - start <= Duration::from_millis(3200));
    }
}

#[test]
fn an_offer_that_is_over_cannot_be_answered_even_if_nobody_has_heard_of_its_end() {
    let (mut world, coordinator, alice, bob) = world_that_asks(13);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let at_bob = offered(&mut world, bob);
    world.set_lagging(bob, true);
    let now = world.now();
    let mut channel = world.channel(alice, at_alice.channel).unwrap();
    channel.close(now, Duration::ZERO);
    world.run_for(Duration::from_secs(1));
    let now = world.now();
    let client = world.client(bob);
    assert_eq!(client.accept(now, at_bob.channel), Err(AnswerError));
    let rejected = client.reject(now, at_bob.channel, Code(1));
    assert_eq!(rejected, Err(AnswerError));
    world.set_lagging(bob, false);
    world.closed(at_bob);
    for client in [alice, bob] {
        let now = world.now();
        world.client(client).close(now, Duration::ZERO);
        nothing_is_left(&mut world, &[client]);
    }
    world.check_coordinator_deserted(coordinator);
}

#[test]
fn unknown_clients_are_not_found() {
    let mut world = World::new(5);
    let (_, [alice]) = world.with_clients(["alice"]);
    for target in [by_name("nobody"), Target::Id(keys::identity(999).id())] {
        let at = world.request_channel(alice, target);
        assert_eq!(world.closed(at), CloseReason::Remote(ErrorCode::NotFound));
    }
}

#[test]
fn a_client_has_a_channel_with_itself() {
    let mut world = World::new(6);
    let (_, [alice]) = world.with_clients(["alice"]);
    let (one, other) = world.open_channel(alice, alice);
    assert_ne!(one, other);
    let stream = world.open_stream(one, b"me");
    world.send(stream, "I");
    let stream = world.accept_stream(other);
    assert_eq!(world.recv(stream), "I");
    let now = world.now();
    world
        .channel(alice, one.channel)
        .unwrap()
        .abort(now, Code(3));
    assert_eq!(world.closed(other), CloseReason::Application(Code(3)));
    assert_eq!(world.closed(one), CloseReason::Local);
}

#[test]
fn a_pair_of_clients_has_several_channels() {
    let mut world = World::new(7);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let channels: Vec<_> = (0..5)
        .map(|number| match number % 2 {
            0 => world.open_channel(alice, bob),
            _ => {
                let (at_bob, at_alice) = world.open_channel(bob, alice);
                (at_alice, at_bob)
            }
        })
        .collect();
    for (number, (at_alice, _)) in channels.iter().enumerate() {
        let stream = world.open_stream(*at_alice, b"");
        world.send(stream, vec![number as u8]);
    }
    for (number, (_, at_bob)) in channels.iter().enumerate() {
        let stream = world.accept_stream(*at_bob);
        assert_eq!(world.recv(stream), vec![number as u8]);
    }
}

#[test]
fn the_coordinator_connects_two_clients_of_its_own_accord() {
    let (mut world, coordinator, alice, bob) = world_that_asks(8);
    let now = world.now();
    let pair = world
        .coordinator(coordinator)
        .connect(
            now,
            "alice".parse::<conec_core::Name>().unwrap(),
            "bob".parse::<conec_core::Name>().unwrap(),
            b"work",
        )
        .unwrap();
    let at_bob = offered(&mut world, bob);
    let now = world.now();
    world.client(bob).accept(now, at_bob.channel).unwrap();
    opened(&mut world, at_bob);
    let at_alice = world.wait_for("opened", Duration::from_secs(5), |world| {
        world.take_event(alice, |event| match event.channel() {
            Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => Some(At {
                node: alice,
                channel,
            }),
            Some(_) | None => None,
        })
    });
    assert_eq!(
        world.client(alice).peer(at_alice.channel).unwrap().label,
        "work"
    );
    let now = world.now();
    world
        .coordinator(coordinator)
        .disconnect(now, pair, Code(5))
        .unwrap();
    assert_eq!(world.closed(at_alice), CloseReason::Application(Code(5)));
    assert_eq!(world.closed(at_bob), CloseReason::Application(Code(5)));
    assert_eq!(pair_closed(&mut world, coordinator).0, pair);
    let now = world.now();
    let nobody = keys::identity(999).id();
    assert_eq!(
        world
            .coordinator(coordinator)
            .connect(now, nobody, nobody, b""),
        Err(PairError::NotFound)
    );
}

#[test]
fn the_application_decides_who_may_reach_whom() {
    let mut world = World::new(9);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.channels = Policy::Ask;
    let coordinator = world.add_coordinator_with(config);
    let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let asked = |world: &mut World| {
        world.wait_for("asked", Duration::from_secs(5), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::PairAsks { pair, from, to, .. }) => {
                    Some((*pair, *from, *to))
                }
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        })
    };
    let denied = world.request_channel(alice, by_name("bob"));
    let (pair, from, to) = asked(&mut world);
    assert_eq!(from, world.client(alice).id());
    assert_eq!(to, world.client(bob).id());
    let now = world.now();
    world.coordinator(coordinator).deny(now, pair).unwrap();
    // As if bob were not there.
    let not_found = CloseReason::Remote(ErrorCode::NotFound);
    assert_eq!(world.closed(denied), not_found);

    let granted = world.request_channel(alice, by_name("bob"));
    let (pair, ..) = asked(&mut world);
    let now = world.now();
    world.coordinator(coordinator).grant(now, pair).unwrap();
    assert!(world.coordinator(coordinator).deny(now, pair).is_err());
    opened(&mut world, granted);

    let forgotten = world.request_channel(alice, by_name("bob"));
    asked(&mut world);
    assert_eq!(world.closed(forgotten), not_found);
}

#[test]
fn channels_are_limited_at_both_ends_and_in_both_directions() {
    let mut world = World::new(10);
    let coordinator = world.add_coordinator();
    let mut config = world.client_config("alice");
    config.limits.channels_per_client = 2;
    let alice = world.add_client_with(config);
    let bob = world.add_client("bob");
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (first, _) = world.open_channel(alice, bob);
    world.open_channel(alice, bob);
    let now = world.now();
    let id = world.client(bob).id();
    assert_eq!(
        world.client(alice).open_channel(now, id, b""),
        Err(OpenChannelError::TooMany)
    );
    // What others ask for has places of its own, of which one of them alone does not get all.
    let (at_bob, _) = world.open_channel(bob, alice);
    let refused = world.request_channel(bob, by_name("alice"));
    assert_eq!(world.closed(refused), CloseReason::Remote(ErrorCode::Limit));
    let now = world.now();
    for at in [first, at_bob] {
        let mut channel = world.channel(at.node, at.channel).unwrap();
        channel.abort(now, Code(0));
        world.closed(at);
    }
    world.run_for(Duration::from_secs(1));
    while world.next_event(alice).is_some() {}
    world.open_channel(bob, alice);
    world.open_channel(alice, bob);
}

/// A Coordinator with such limits, and its Clients: alice, bob, carol and dave.
fn limited(seed: u64, limit: impl FnOnce(&mut CoordinatorLimits)) -> (World, [NodeId; 4]) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    limit(&mut config.limits);
    let coordinator = world.add_coordinator_with(config);
    let names = ["alice", "bob", "carol", "dave"];
    let clients = names.map(|name| world.add_client(name));
    for client in clients {
        world.connect(client, coordinator);
    }
    (world, clients)
}

#[test]
fn the_coordinator_limits_channels_too() {
    let (mut world, [alice, bob, carol, _]) = limited(11, |it| it.channels_per_client = 3);
    for other in [alice, bob, carol] {
        world.open_channel(alice, other);
    }
    // Nobody else has a channel with this one.
    let refused = world.request_channel(alice, by_name("dave"));
    assert_eq!(world.closed(refused), CloseReason::Remote(ErrorCode::Limit));
}

/// One Client gets less than half of the channels that there may be in all, and the next one as much of what is left.
#[test]
fn the_coordinator_shares_out_channels_too() {
    let (mut world, [alice, bob, carol, dave]) = limited(12, |it| it.pairs = 16);
    for (client, places) in [(alice, 7), (bob, 4)] {
        for _ in 0..places {
            world.open_channel(client, dave);
        }
        let refused = world.request_channel(client, by_name("dave"));
        assert_eq!(world.closed(refused), CloseReason::Remote(ErrorCode::Limit));
    }
    world.open_channel(carol, dave);
}

#[test]
fn a_request_that_is_given_up_leaves_nothing_behind() {
    let (mut world, coordinator, alice, bob) = world_that_asks(13);
    let at_alice = world.request_channel(alice, by_name("bob"));
    let now = world.now();
    world
        .channel(alice, at_alice.channel)
        .unwrap()
        .abort(now, Code(0));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    let at_bob = offered(&mut world, bob);
    assert_eq!(
        world.closed(at_bob),
        CloseReason::Remote(ErrorCode::Dropped)
    );
    pair_closed(&mut world, coordinator);
    // And while the offer is on its way to be answered.
    let at_alice = world.request_channel(alice, by_name("bob"));
    let at_bob = offered(&mut world, bob);
    let now = world.now();
    world.client(bob).accept(now, at_bob.channel).unwrap();
    world
        .channel(alice, at_alice.channel)
        .unwrap()
        .abort(now, Code(0));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    world.closed(at_bob);
    pair_closed(&mut world, coordinator);
}

#[test]
fn crossing_requests_give_two_channels() {
    let mut world = World::new(14);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let from_alice = world.request_channel(alice, by_name("bob"));
    let from_bob = world.request_channel(bob, by_name("alice"));
    opened(&mut world, from_alice);
    opened(&mut world, from_bob);
}

#[test]
fn the_coordinator_forwards_what_it_cannot_read() {
    let mut world = World::new(15);
    let (coordinator, [alice, bob]) = world.with_proxied_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let secret = b"the treasure is buried under the old oak";
    let ours = world.open_stream(at_alice, secret);
    world.send(ours, secret.repeat(100));
    let (theirs, label) = world.accept_labelled(at_bob);
    assert_eq!(label, &secret[..]);
    assert_eq!(world.recv(theirs), secret.repeat(100));
    // All of it went through the coordinator, and nothing of it can be seen there.
    let through = world.address(coordinator);
    let forwarded = tap.count(|packet| packet.destination == through || packet.source == through);
    assert_eq!(forwarded, tap.count(|_| true));
    assert!(world.coordinator(coordinator).stats().bytes_forwarded > 4000);
    let readable = tap.count(|packet| packet.payload.windows(8).any(|part| part == &secret[..8]));
    assert_eq!(readable, 0);
    // Nor does the coordinator take part in the channel: no event tells of what is inside.
    let inside = world.take_event(coordinator, |event| match event.channel() {
        Some((_, ChannelEvent::StreamOpened { .. } | ChannelEvent::Readable { .. })) => Some(()),
        Some(_) | None => None,
    });
    assert_eq!(inside, None);
}

/// Either side may leave a channel while it is being set up, at whatever moment: nobody hangs, and nothing is left.
#[test]
fn closing_while_a_channel_is_being_set_up_is_fine() {
    for leaver in [0, 1] {
        for steps in 0..60 {
            let (mut world, coordinator, alice, bob) = world_that_asks(13);
            let at_alice = world.request_channel(alice, by_name("bob"));
            let at_bob = offered(&mut world, bob);
            let now = world.now();
            world.client(bob).accept(now, at_bob.channel).unwrap();
            for _ in 0..steps {
                world.step();
            }
            let now = world.now();
            let leaving = [at_alice, at_bob][leaver];
            if let Some(mut channel) = world.channel(leaving.node, leaving.channel) {
                channel.close(now, Duration::from_secs(10));
            }
            for at in [at_alice, at_bob] {
                world.closed(at);
            }
            assert!(world.now() - now < Duration::from_secs(5), "{steps}");
            let now = world.now();
            for client in [alice, bob] {
                world.client(client).close(now, Duration::from_secs(1));
            }
            world.run_for(Duration::from_secs(30));
            for client in [alice, bob] {
                world.check_client_ended(client);
            }
            world.check_coordinator_deserted(coordinator);
        }
    }
}
