//! What a Client may send before it is let in, and what from then on.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{CoordinatorConfig, CoordinatorEvent, Direction, Policy};
use conec_tests::{
    keys,
    raw::{Dial, Key, Raw, message},
    sim::{At, Event, LinkConfig, NodeId, World},
};

use crate::connecting::{home, wait_for_connected};

/// Little is taken of it before. From then on it is as fast as who never was a newcomer, be it let in at once or late.
#[test]
fn who_is_let_in_sends_at_full_window_at_once() {
    let peer = {
        let mut world = World::new(90);
        world.network.default.delay = Duration::from_millis(25);
        let (_, [alice, bob]) = world.with_proxied_clients(["alice", "bob"]);
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        bulk(&mut world, at_alice, at_bob)
    };
    for wait in [0, 9] {
        let mut world = World::new(90);
        world.network.default.delay = Duration::from_millis(50);
        let coordinator = world.add_coordinator_with(asking());
        let client = world.add_client("alice");
        world.start_connecting(client, coordinator);
        let channel = asked(&mut world, coordinator);
        world.run_for(Duration::from_secs(wait));
        let now = world.now();
        world
            .coordinator(coordinator)
            .admit(now, channel, None)
            .unwrap();
        wait_for_connected(&mut world, client);
        let session = At {
            node: coordinator,
            channel,
        };
        let took = bulk(&mut world, home(client), session);
        println!("16 MB in {took:?} after {wait} s, between peers in {peer:?}");
        assert!(took < peer + Duration::from_millis(100), "{took:?}");
    }
}

/// How long 16 MB take on as many streams as are allowed.
fn bulk(world: &mut World, from: At, to: At) -> Duration {
    let begun = world.elapsed();
    let message = Bytes::from(vec![1; 500_000]);
    for direction in [Direction::Uni, Direction::Bi] {
        for _ in 0..16 {
            let half = world.open(from, direction, b"bulk");
            let mut channel = world.channel(from.node, from.channel).unwrap();
            let mut stream = channel.stream(half.stream);
            let mut batch = stream.batch();
            batch.push(&message).unwrap();
            stream.send_batch(&mut batch).unwrap();
        }
    }
    for _ in 0..32 {
        let theirs = world.accept_stream(to);
        assert_eq!(world.recv(theirs), message);
    }
    world.elapsed() - begun
}

/// Whatever a newcomer sends beside its hello, the hello counts, and nothing of the rest arrives.
#[test]
fn datagrams_and_streams_of_a_newcomer_are_not_taken() {
    let mut world = World::new(91);
    let coordinator = world.add_coordinator_with(asking());
    let raw = Raw::new(91);
    world.add_stranger(raw.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let conn = raw.connect(now, address, &Dial::home(Key::Identity(700)));
    world.run_for(Duration::from_secs(1));
    assert_eq!((conn.open_uni(), conn.open_bi()), (None, Some(0)));
    assert_eq!(conn.open_bi(), None);
    conn.control(&message::hello(b"raw", &[7; 4096]));
    let session = asked(&mut world, coordinator);
    for _ in 0..5 {
        conn.send_datagram(vec![1; 1000]);
    }
    world.run_for(Duration::from_secs(1));
    let now = world.now();
    world
        .coordinator(coordinator)
        .admit(now, session, None)
        .unwrap();
    world.run_for(Duration::from_secs(1));
    assert!(conn.next_of_kind(0).is_some(), "welcome");
    let mut channel = world.channel(coordinator, session).unwrap();
    assert_eq!(channel.recv_datagram(), None);
    conn.send_datagram(vec![2; 1000]);
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"late"));
    conn.write(stream, message::frame(&[3; 100_000]));
    let theirs = world.accept_stream(At {
        node: coordinator,
        channel: session,
    });
    assert_eq!(world.recv(theirs), vec![3; 100_000]);
    let mut channel = world.channel(coordinator, session).unwrap();
    assert_eq!(channel.recv_datagram().unwrap(), vec![2; 1000]);
    assert_eq!(channel.recv_datagram(), None);
    assert_eq!(conn.end(), None);
}

/// What is sent again, arrives twice, or late, uses up no more than there is.
#[test]
fn who_brings_the_largest_token_gets_in_over_a_rough_network() {
    let mut missing = 0;
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.network.default = LinkConfig {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(20),
            loss: 0.15,
            duplicate: 0.2,
            ..world.network.default.clone()
        };
        let coordinator = world.add_coordinator();
        let mut config = world.client_config("alice");
        config.token = vec![7; 4096].into();
        let client = world.add_client_with(config);
        world.start_connecting(client, coordinator);
        world.run_for(Duration::from_secs(15));
        missing += usize::from(!world.client(client).is_connected());
    }
    assert_eq!(missing, 0);
}

fn asking() -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    config
}

fn asked(world: &mut World, coordinator: NodeId) -> conec_core::ChannelId {
    world.wait_for("asked", Duration::from_secs(10), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientAsks { client, .. }) => Some(*client),
            Event::Coordinator(_) | Event::Client(_) => None,
        })
    })
}
