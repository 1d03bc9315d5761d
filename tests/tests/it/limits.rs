//! What has a bound, and what happens there.

use std::time::Duration;

use conec_core::{
    ChannelEvent, ClientEvent, CloseReason, CoordinatorConfig, CoordinatorEvent, Direction,
    Endpoint, ErrorCode, PairError, Target, testing::coordinator_entries,
};
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Dial, Key, Raw},
    sim::{At, Event, Half, NodeId, World},
};

use crate::connecting::home;

fn limited(seed: u64, limit: impl FnOnce(&mut CoordinatorConfig)) -> (World, NodeId) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    limit(&mut config);
    let coordinator = world.add_coordinator_with(config);
    (world, coordinator)
}

#[test]
fn an_application_that_takes_no_events_gets_no_more_clients_and_channels() {
    let (mut world, coordinator) = limited(1, |config| config.limits.events = 3);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.add_client(name));
    world.set_lagging(coordinator, true);
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    // The third event: the channel has started. There is room for no other.
    let (at_alice, _) = world.open_channel(alice, bob);
    world.start_connecting(carol, coordinator);
    let full = CloseReason::Remote(ErrorCode::Limit);
    assert_eq!(world.closed(home(carol)), full);
    let bobs_id = world.client(bob).id();
    let refused = world.request_channel(alice, Target::Id(bobs_id));
    assert_eq!(world.closed(refused), full);

    // What is there works on, and can end.
    let stream = world.open_stream(at_alice, b"");
    world.send(stream, "still here");
    let now = world.now();
    let mut channel = world.channel(alice, at_alice.channel).unwrap();
    channel.close(now, Duration::ZERO);
    assert_eq!(world.closed(at_alice), CloseReason::Local);

    // Nothing of it is kept from who asks late.
    world.run_for(Duration::from_secs(1));
    let endpoint = world.coordinator(coordinator);
    let late: Vec<_> = std::iter::from_fn(|| endpoint.poll_application_event()).collect();
    assert!(
        matches!(
            late[..],
            [
                CoordinatorEvent::ClientConnected { .. },
                CoordinatorEvent::ClientConnected { .. },
                CoordinatorEvent::PairStarted { .. },
                CoordinatorEvent::PairClosed { .. },
            ]
        ),
        "{late:?}"
    );
    assert_eq!(endpoint.missed_events(), 0);
    world.set_lagging(coordinator, false);
    world.run_for(Duration::from_secs(1));
    world.open_channel(alice, bob);
}

#[test]
fn an_application_that_wants_no_events_gets_all_clients_and_the_latest_events() {
    let (mut world, coordinator) = limited(1, |config| config.limits.events = 3);
    world.coordinator(coordinator).ignore_events(true);
    world.set_lagging(coordinator, true);
    let names = ["alice", "bob", "carol", "dave", "erin"];
    for (number, name) in names.into_iter().enumerate() {
        let client = world.add_client(name);
        world.connect(client, coordinator);
        let missed = world.coordinator(coordinator).missed_events();
        assert_eq!(missed, (number as u64 + 1).saturating_sub(3));
    }
    let endpoint = world.coordinator(coordinator);
    let late: Vec<_> = std::iter::from_fn(|| endpoint.poll_application_event())
        .map(|event| {
            let CoordinatorEvent::ClientConnected { name, .. } = event else {
                panic!("{event:?}");
            };
            name.unwrap().to_string()
        })
        .collect();
    assert_eq!(late, names[2..]);
}

#[test]
fn strangers_leave_nothing_behind_even_where_no_events_are_taken() {
    let (mut world, coordinator) = limited(2, |_| {});
    world.set_lagging(coordinator, true);
    let raw = Raw::new(2);
    world.add_stranger(raw.clone());
    for _ in 0..10 {
        let (now, address) = (world.now(), world.address(coordinator));
        raw.connect(now, address, &Dial::home(Key::Identity(666)));
    }
    world.run_for(Duration::from_secs(60));
    let now = world.now();
    world.coordinator(coordinator).close(now, Duration::ZERO);
    world.run_for(Duration::from_secs(10));
    assert!(world.coordinator(coordinator).is_finished());
}

#[test]
fn however_many_have_come_and_gone_there_is_room_for_the_next() {
    let (mut world, coordinator) = limited(2, |config| {
        config.limits.clients = 2;
        config.limits.handshakes = 2;
    });
    for _ in 0..10 {
        let client = world.add_client("alice");
        world.connect(client, coordinator);
        let now = world.now();
        world.client(client).close(now, Duration::ZERO);
        assert_eq!(world.closed(home(client)), CloseReason::Local);
        world.run_for(Duration::from_secs(1));
    }
}

#[test]
fn two_machines_with_one_key_do_not_push_each_other_out_for_ever() {
    let (mut world, coordinator) = limited(3, |config| config.limits.takeovers_per_minute = 3);
    let mut last = world.add_client("alice");
    world.connect(last, coordinator);
    let rejoin = |world: &mut World| {
        let mut config = world.client_config("alice");
        config.identity = keys::identity(1);
        let again = world.add_client_with(config);
        world.start_connecting(again, coordinator);
        world.run_for(Duration::from_secs(1));
        again
    };
    for _ in 0..3 {
        last = rejoin(&mut world);
    }
    let refused = rejoin(&mut world);
    assert_eq!(
        world.closed(home(refused)),
        CloseReason::Remote(ErrorCode::RateLimited)
    );
    assert!(world.client(last).is_connected(), "the holder stays");
    world.run_for(Duration::from_secs(61));
    let again = rejoin(&mut world);
    assert!(world.client(again).is_connected());
    assert_eq!(
        world.closed(home(last)),
        CloseReason::Remote(ErrorCode::Superseded)
    );
}

#[test]
fn who_sends_faster_than_is_forwarded_is_told_and_loses_nothing_but_speed() {
    let (mut world, coordinator) = limited(6, |config| config.limits.forward_rate = Some(100_000));
    let [alice, bob] = ["alice", "bob"].map(|name| world.add_proxied_client(name));
    for client in [alice, bob] {
        world.connect(client, coordinator);
    }
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let stream = world.open(at_alice, Direction::Uni, b"");
    for _ in 0..10 {
        world.send(stream, vec![1; 50_000]);
    }
    let begin = world.now();
    let stream = world.accept_stream(at_bob);
    for _ in 0..10 {
        assert_eq!(world.recv(stream).len(), 50_000);
    }
    assert!(world.now() - begin > Duration::from_secs(3));
    let mut told = 0;
    while let Some(event) = world.next_event(alice) {
        if let Event::Client(ClientEvent::Throttled { packets }) = event {
            assert!(packets > 0);
            told += 1;
        }
    }
    assert!((1..30).contains(&told), "told {told} times");
}

#[test]
fn streams_that_are_opened_too_fast_wait_their_turn() {
    let (mut world, coordinator) = limited(4, |config| {
        config.home.uni_streams = 100;
        config.home.stream_rate = Some(10);
    });
    let alice = world.add_client("alice");
    world.connect(alice, coordinator);
    for number in 0..100u8 {
        let stream = world.open(home(alice), Direction::Uni, &[number]);
        world.send(stream, "now");
        world.finish(stream);
    }
    let opened = |world: &mut World| {
        let mut count = 0;
        while let Some(event) = world.next_event(coordinator) {
            let opened = matches!(
                event.channel(),
                Some((_, ChannelEvent::StreamOpened { .. }))
            );
            count += usize::from(opened);
        }
        count
    };
    world.run_for(Duration::from_millis(500));
    let at_once = opened(&mut world);
    assert!((10..=15).contains(&at_once), "{at_once} at once");
    world.run_for(Duration::from_secs(5));
    let later = opened(&mut world);
    assert!((49..=51).contains(&later), "{later} in five seconds");
    world.run_for(Duration::from_secs(5));
    assert_eq!(at_once + later + opened(&mut world), 100, "none is lost");
}

#[test]
fn a_channel_whose_streams_wait_their_turn_still_ends_by_patience() {
    let (mut world, coordinator) = limited(5, |config| config.home.stream_rate = Some(1));
    let alice = world.add_client("alice");
    world.connect(alice, coordinator);
    for _ in 0..10 {
        world.open(home(alice), Direction::Uni, b"");
    }
    world.run_for(Duration::from_secs(1));
    let now = world.now();
    world
        .coordinator(coordinator)
        .close(now, Duration::from_secs(3));
    assert_eq!(
        world.closed(home(alice)),
        CloseReason::Remote(ErrorCode::None)
    );
    assert!(world.now() - now < Duration::from_secs(4));
}

/// Has a Client send a large message to its Coordinator, which reads it. Gives the stream's two ends.
fn large_message(world: &mut World, client: NodeId, coordinator: NodeId) -> (Half, Half) {
    let id = world.client(client).id();
    let session = world.coordinator(coordinator).find(id);
    let at = At {
        node: coordinator,
        channel: session.expect("it is connected"),
    };
    let sender = world.open(home(client), Direction::Uni, b"");
    world.send(sender, vec![1; LARGE]);
    let receiver = world.accept_stream(at);
    assert_eq!(world.recv(receiver).len(), LARGE);
    (sender, receiver)
}

#[test]
fn memory_is_not_kept_for_messages_that_do_not_come() {
    let (mut world, coordinator) = limited(8, |_| {});
    let client = world.add_client("client");
    world.connect(client, coordinator);
    let (sender, receiver) = large_message(&mut world, client, coordinator);
    assert!(coordinator_entries(world.coordinator(coordinator)) >= LARGE);
    world.run_for(Duration::from_secs(2));
    // The streams themselves take a little.
    assert!(coordinator_entries(world.coordinator(coordinator)) < 3000);
    world.send(sender, vec![2; LARGE]);
    assert_eq!(world.recv(receiver).len(), LARGE);
}

#[test]
fn nobody_has_to_go_for_memory_that_is_kept_for_messages() {
    let limit = 4 * LARGE;
    let (mut world, coordinator) = limited(9, |config| share_out(config, limit));
    let clients: Vec<_> = (0..6)
        .map(|n| world.add_client(&format!("client-{n}")))
        .collect();
    for &client in &clients {
        world.connect(client, coordinator);
    }
    for &client in &clients {
        large_message(&mut world, client, coordinator);
        assert!(coordinator_entries(world.coordinator(coordinator)) < limit + 1000);
    }
    assert_eq!(world.coordinator(coordinator).stats().channels_shed, 0);
}

const LARGE: usize = 400_000;

#[test]
fn a_coordinator_gives_channels_no_longer_labels_than_clients_do() {
    let mut world = World::new(9);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (now, ids) = (world.now(), [alice, bob].map(|node| world.client_id(node)));
    let endpoint = world.coordinator(coordinator);
    for (len, too_long) in [(256, true), (300, true), (255, false)] {
        let connected = endpoint.connect(now, ids[0], ids[1], &vec![1; len]);
        assert_eq!(connected == Err(PairError::LabelTooLong), too_long, "{len}");
    }
    world.opened(alice);
    let at_bob = world.opened(bob);
    let label = &world.opened_with(bob, at_bob.channel).unwrap().label;
    assert_eq!(label.len(), 255);
}
