//! Endpoints that die without a word, and come back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use conec_core::{
    ChannelConfig, ChannelEvent, ChannelId, ClientConfig, ClientEvent, CloseReason,
    CoordinatorConfig, CoordinatorEvent, Direction, Endpoint, ErrorCode, Name, RecvEnd, SendEnd,
    SendError, Target,
};
use conec_tests::{
    keys,
    sim::{At, Event, Half, LinkConfig, NodeId, World},
};
use rand::Rng;

use crate::{channels::opened, closing::nothing_is_left, connecting::home, pair, proxied_pair};

/// A Coordinator that keeps this key when it restarts, or has none to keep.
fn coordinator_with(reset_key: Option<[u8; 32]>) -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.reset_key = reset_key.map(Into::into);
    config
}

/// A Client that can be brought back as who it was.
fn add_client(world: &mut World, name: &str) -> (NodeId, ClientConfig) {
    let config = world.client_config(name);
    (world.add_client_with(config.clone()), config)
}

/// A Coordinator, two Clients with what brings them back, and a channel between them.
fn pair_that_returns(
    seed: u64,
    config: CoordinatorConfig,
) -> (World, NodeId, [(At, ClientConfig); 2]) {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator_with(config);
    let (alice, alices) = add_client(&mut world, "alice");
    let (bob, bobs) = add_client(&mut world, "bob");
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, [(at_alice, alices), (at_bob, bobs)])
}

fn talk(world: &mut World, from: At, to: At) {
    let ours = world.open_stream(from, b"talk");
    world.send(ours, "question");
    let theirs = world.accept_stream(to);
    assert_eq!(world.recv(theirs), "question");
    world.send(theirs, "answer");
    assert_eq!(world.recv(ours), "answer");
}

#[test]
fn a_crashed_peer_is_reported_once_and_readers_get_an_error() {
    let mut world = World::new(12);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "before");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "before");
    world.crash(alice);
    let end = world.recv_ended(theirs);
    assert!(matches!(end, RecvEnd::Closed(_)), "{end:?}");
    world.send_ended(theirs);
    let reason = world.closed(at_bob);
    assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
}

#[test]
fn a_coordinator_that_dies_ends_every_wait_in_time() {
    let (mut world, coordinator, at_alice, at_bob) = pair(9);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "one");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "one");
    let pending = world.request_channel(at_alice.node, "bob".parse::<Name>().unwrap().into());
    world.crash(coordinator);
    let start = world.elapsed();
    assert_eq!(world.closed(pending), CloseReason::CoordinatorLost);
    assert_eq!(
        world.recv_ended(theirs),
        RecvEnd::Closed(CloseReason::CoordinatorLost)
    );
    assert_eq!(world.closed(at_alice), CloseReason::CoordinatorLost);
    assert_eq!(world.closed(at_bob), CloseReason::CoordinatorLost);
    assert_eq!(world.closed(home(at_alice.node)), CloseReason::TimedOut);
    assert_eq!(world.closed(home(at_bob.node)), CloseReason::TimedOut);
    // The idle timeout, and a few probes after it began.
    assert!(world.elapsed() - start <= Duration::from_secs(45));
    nothing_is_left(&mut world, &[at_alice.node, at_bob.node]);
}

#[test]
fn a_restarted_coordinator_with_its_reset_key_is_noticed_at_once() {
    let config = coordinator_with(Some([9; 32]));
    let (mut world, coordinator, clients) = pair_that_returns(13, config.clone());
    world.crash(coordinator);
    world.run_for(Duration::from_secs(2));
    world.restart_coordinator(coordinator, config);
    let before = world.elapsed();
    for (at, _) in &clients {
        assert_eq!(world.closed(*at), CloseReason::CoordinatorLost);
        assert_eq!(world.closed(home(at.node)), CloseReason::Reset);
    }
    // With the next keep-alive, or its repetition.
    assert!(world.elapsed() - before <= Duration::from_secs(11));
    // Who sends something meanwhile notices within a round trip.
    let [alice, bob] = clients.map(|(at, config)| {
        world.restart_client(at.node, config);
        world.connect(at.node, coordinator);
        at.node
    });
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    talk(&mut world, at_alice, at_bob);
    world.crash(coordinator);
    world.restart_coordinator(coordinator, coordinator_with(Some([9; 32])));
    let before = world.elapsed();
    let at_home = world.open_stream(home(alice), b"");
    world.send(at_home, "hello?");
    assert_eq!(world.closed(home(alice)), CloseReason::Reset);
    assert!(world.elapsed() - before <= Duration::from_millis(50));
}

#[test]
fn a_restarted_coordinator_with_another_reset_key_is_noticed_by_its_silence() {
    for reset_key in [None, Some([8; 32])] {
        let config = coordinator_with(Some([9; 32]));
        let (mut world, coordinator, clients) = pair_that_returns(14, config);
        world.crash(coordinator);
        world.restart_coordinator(coordinator, coordinator_with(reset_key));
        let before = world.elapsed();
        for (at, _) in &clients {
            assert_eq!(world.closed(home(at.node)), CloseReason::TimedOut);
        }
        let took = world.elapsed() - before;
        let idle = ChannelConfig::default().idle_timeout;
        assert!(took >= idle / 2 && took <= idle * 3 / 2, "{took:?}");
        // The new one knows nobody until they come back.
        assert_eq!(world.coordinator(coordinator).clients(), 0);
        let [alice, bob] = clients.map(|(at, config)| {
            world.restart_client(at.node, config);
            world.connect(at.node, coordinator);
            at.node
        });
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        talk(&mut world, at_alice, at_bob);
    }
}

#[test]
fn what_was_reported_as_finished_has_arrived_though_the_coordinator_died() {
    let mut finished = 0;
    for seed in 0..20 {
        let (mut world, coordinator, at_alice, at_bob) = proxied_pair(seed);
        world.network.set_all(&LinkConfig::rough());
        let message = |number: u32| vec![number as u8; 300 + 10 * number as usize];
        let mut ours: Vec<Half> = Vec::new();
        let mut theirs: BTreeMap<u32, Half> = BTreeMap::new();
        let mut arrived = BTreeSet::new();
        let dies_at = world.elapsed() + Duration::from_millis(world.rng().random_range(100..2000));
        let end = dies_at + Duration::from_secs(1);
        while world.elapsed() < end {
            if world.elapsed() >= dies_at {
                world.crash(coordinator);
            }
            let number = ours.len() as u32;
            let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
            if let Ok(stream) = channel.open(Direction::Uni, &number.to_be_bytes()) {
                channel.stream(stream).send(message(number).into()).unwrap();
                channel.stream(stream).finish().unwrap();
                ours.push(Half {
                    node: at_alice.node,
                    stream,
                });
            }
            world.run_for(Duration::from_millis(10));
            while let Some((number, half)) =
                world.take_event(at_bob.node, |event| match event.channel() {
                    Some((_, ChannelEvent::StreamOpened { stream, label })) => {
                        let half = Half {
                            node: at_bob.node,
                            stream: *stream,
                        };
                        Some((u32::from_be_bytes(label[..].try_into().unwrap()), half))
                    }
                    Some(_) | None => None,
                })
            {
                theirs.insert(number, half);
            }
            for (&number, &half) in &theirs {
                if let Ok(received) = world.try_recv(half) {
                    assert_eq!(received, message(number));
                    arrived.insert(number);
                }
            }
        }
        for (number, half) in (0..).zip(ours) {
            if world.send_ended(half) == SendEnd::Finished {
                finished += 1;
                assert!(
                    arrived.contains(&number),
                    "{number} was said to be finished"
                );
            }
        }
    }
    assert!(finished > 100, "{finished}");
}

#[test]
fn a_client_that_comes_back_takes_its_place_and_its_peers_learn_it_once() {
    let (mut world, coordinator, [(at_alice, config), (at_bob, _)]) =
        pair_that_returns(15, coordinator_with(None));
    let (alice, bob) = (at_alice.node, at_bob.node);
    let ours = world.open_stream(at_bob, b"");
    world.send(ours, "before");
    let theirs = world.accept_stream(at_alice);
    assert_eq!(world.recv(theirs), "before");
    world.crash(alice);
    world.run_for(Duration::from_secs(3));
    world.restart_client(alice, config);
    let before = world.elapsed();
    world.connect(alice, coordinator);
    let gone = CloseReason::Remote(ErrorCode::PeerGone);
    assert_eq!(world.recv_ended(ours), RecvEnd::Closed(gone));
    assert_eq!(world.send_ended(ours), SendEnd::Closed(gone));
    assert_eq!(world.closed(at_bob), gone);
    // Long before anybody would have noticed by the silence.
    assert!(world.elapsed() - before < Duration::from_secs(1));
    assert_eq!(world.try_send(ours, "after".into()), Err(SendError::Ended));
    assert_eq!(world.coordinator(coordinator).clients(), 2);
    let name: Name = "alice".parse().unwrap();
    let at_bob = world.request_channel(bob, Target::Name(name));
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
    talk(&mut world, at_bob, at_alice);
    // A channel's last event comes once, which the world sees to; and so does the news at the coordinator.
    world.run_for(Duration::from_secs(60));
    let mut connected = 0;
    while let Some(event) = world.next_event(coordinator) {
        let id = world.client(alice).id();
        connected += usize::from(matches!(
            event,
            Event::Coordinator(CoordinatorEvent::ClientConnected { id: of, .. })
                if of == id
        ));
    }
    assert_eq!(connected, 2);
}

#[test]
fn who_crashes_while_a_channel_is_set_up_keeps_nobody_waiting_for_ever() {
    for asker_crashes in [true, false] {
        let mut world = World::new(16);
        let (coordinator, [alice]) = world.with_clients(["alice"]);
        let mut config = world.client_config("bob");
        config.auto_accept = false;
        let bob = world.add_client_with(config);
        world.connect(bob, coordinator);
        let name: Name = "bob".parse().unwrap();
        let at_alice = world.request_channel(alice, Target::Name(name));
        let at_bob = world.wait_for("offered", Duration::from_secs(5), |world| {
            world.take_event(bob, |event| match event {
                Event::Client(ClientEvent::Offered { channel, .. }) => Some(At {
                    node: bob,
                    channel: *channel,
                }),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        });
        let (crashed, left) = match asker_crashes {
            true => (alice, at_bob),
            false => (bob, at_alice),
        };
        world.crash(crashed);
        let now = world.now();
        if asker_crashes {
            world.client(bob).accept(now, at_bob.channel).unwrap();
        }
        let reason = world.closed(left);
        assert!(
            matches!(
                reason,
                CloseReason::Remote(ErrorCode::PeerGone | ErrorCode::NoAnswer)
                    | CloseReason::TimedOut
            ),
            "{reason:?}"
        );
        assert!(world.elapsed() < Duration::from_secs(60));
        assert!(world.client(left.node).is_connected());
    }
}

#[test]
fn whoever_crashes_at_whatever_moment_the_others_are_not_stuck() {
    for victim in 0..3 {
        for moment in 0..60 {
            let mut world = World::new(17);
            let coordinator = world.add_coordinator();
            let (alice, alices) = add_client(&mut world, "alice");
            let (bob, bobs) = add_client(&mut world, "bob");
            world.connect(bob, coordinator);
            world.start_connecting(alice, coordinator);
            let mut asked = false;
            for _ in 0..2 * moment {
                world.step();
                if !asked && world.client(alice).is_connected() {
                    asked = true;
                    let id = world.client(bob).id();
                    world.request_channel(alice, Target::Id(id));
                }
            }
            world.crash([coordinator, alice, bob][victim]);
            world.run_for(Duration::from_secs(100));
            // The dead one's peers have let go of it.
            match victim {
                0 => {
                    assert!(world.client(alice).is_finished(), "at moment {moment}");
                    assert!(world.client(bob).is_finished(), "at moment {moment}");
                    world.restart_coordinator(coordinator, coordinator_with(None));
                }
                _ => assert_eq!(world.coordinator(coordinator).clients(), 1),
            }
            // And everybody can come back.
            for (client, config) in [(alice, alices), (bob, bobs)] {
                if world.client(client).is_finished() || client == [coordinator, alice, bob][victim]
                {
                    world.restart_client(client, config);
                    world.connect(client, coordinator);
                }
            }
            let id = world.client(bob).id();
            let at_alice = world.request_channel(alice, Target::Id(id));
            opened(&mut world, at_alice);
        }
    }
}

#[test]
fn a_herd_of_clients_is_back_a_minute_after_the_coordinator_is() {
    const CLIENTS: usize = 1024;
    let mut world = World::new(18);
    let mut config = coordinator_with(Some([9; 32]));
    config.limits.clients = 4 * CLIENTS;
    config.memory = 1 << 30;
    let coordinator = world.add_coordinator_with(config.clone());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| add_client(&mut world, &format!("client-{number}")))
        .collect();
    for (client, _) in &clients {
        world.start_connecting(*client, coordinator);
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.coordinator(coordinator).clients(), CLIENTS);
    world.crash(coordinator);
    world.run_for(Duration::from_secs(2));
    world.restart_coordinator(coordinator, config);
    let back = world.elapsed();
    // What an application does as long as Clients do not reconnect by themselves: it waits, at random and longer each
    // time, and begins anew.
    let mut waits = vec![(None, Duration::from_millis(500)); CLIENTS];
    while world.coordinator(coordinator).clients() < CLIENTS {
        world.run_for(Duration::from_millis(100));
        let now = world.elapsed();
        assert!(
            now - back < Duration::from_secs(60),
            "{} are back",
            world.coordinator(coordinator).clients()
        );
        for ((client, config), (again, patience)) in clients.iter().zip(&mut waits) {
            let lost = world.take_event(*client, |event| {
                matches!(event.channel(), Some((_, ChannelEvent::Closed { .. }))).then_some(())
            });
            if lost.is_some() {
                *again = Some(now + world.rng().random_range(Duration::ZERO..*patience));
                *patience = (*patience * 2).min(Duration::from_secs(8));
            }
            if again.is_some_and(|at| at <= now) {
                *again = None;
                world.restart_client(*client, config.clone());
                world.start_connecting(*client, coordinator);
            }
        }
    }
    // They are of use, too.
    let (at_first, at_last) = world.open_channel(clients[0].0, clients[CLIENTS - 1].0);
    talk(&mut world, at_first, at_last);
}
