//! What an end of a channel tells of what is going on.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelStats, CloseReason, Code, Direction, Endpoint, ErrorCode, SendDatagramError, SendLimit,
    Stream, Target,
};
use conec_tests::sim::{At, LinkConfig, World};

use crate::{pair_with, proxied_pair};

fn stats(world: &mut World, at: At) -> Option<ChannelStats> {
    world.channel(at.node, at.channel)?.stats()
}

/// Before there is anything to go directly, all packets have gone through the Coordinator.
#[test]
fn a_channel_that_looks_for_no_path_counts_what_was_proxied() {
    let (mut world, _, at_alice, at_bob) = proxied_pair(8);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, vec![0; 50_000]);
    let theirs = world.accept_stream(at_bob);
    world.recv(theirs);
    let stats = world
        .client(at_alice.node)
        .path_stats(at_alice.channel)
        .unwrap();
    assert_eq!((stats.direct.packets_sent, stats.changes), (0, 0));
    assert!(stats.proxied.bytes_sent > 50_000, "{stats:?}");
    assert!(stats.proxied.packets_received > 10, "{stats:?}");
}

#[test]
fn endpoints_say_in_logs_how_much_they_have() {
    let (mut world, coordinator, at_alice, _) = proxied_pair(11);
    let client = format!("{:?}", world.client(at_alice.node));
    // The home channel and the one to the other Client.
    assert!(client.contains("channels: 2"), "{client}");
    let coordinator = format!("{:?}", world.coordinator(coordinator));
    assert!(coordinator.contains("clients: 2"), "{coordinator}");
}

/// A Client takes it for a sign that its machine has moved to another network.
#[test]
fn calls_that_the_system_refused_are_counted() {
    let (mut world, coordinator, at_alice, _) = proxied_pair(9);
    let client = world.client(at_alice.node);
    assert!(client.wants_host_addresses());
    world.run_for(Duration::from_secs(5));
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "awake");
    world.run_for(Duration::from_secs(1));
    let client = world.client(at_alice.node);
    assert!(!client.wants_host_addresses());
    client.handle_socket_error();
    assert!(client.wants_host_addresses());
    assert_eq!(client.stats().socket_errors, 1);
    let endpoint = world.coordinator(coordinator);
    (0..2).for_each(|_| endpoint.handle_socket_error());
    assert_eq!(endpoint.stats().socket_errors, 2);
    assert!(!endpoint.wants_host_addresses());
}

#[test]
fn requests_that_led_to_no_channel_are_counted() {
    let mut world = World::new(10);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    for number in 1..=3 {
        let nobody = Target::Name("nobody".parse().unwrap());
        let asked = world.request_channel(alice, nobody);
        let refused = world.closed(asked);
        assert_eq!(refused, CloseReason::Remote(ErrorCode::NotFound));
        let stats = world.coordinator(coordinator).stats();
        assert_eq!(stats.channels_refused, number);
    }
}

/// Also what bears nothing of the application's.
#[test]
fn whatever_is_to_be_acknowledged_is_in_flight_until_it_is() {
    let (mut world, _, at_alice, at_bob) = proxied_pair(11);
    let ours = world.open_stream(at_alice, b"");
    let theirs = world.accept_stream(at_bob);
    type Act = fn(&mut Stream<'_>);
    let acts: [Act; 3] = [
        |stream| stream.stop(Code(1)).unwrap(),
        |stream| stream.send(Bytes::from_static(b"news")).unwrap(),
        |stream| stream.reset(Code(1)).unwrap(),
    ];
    for (number, act) in acts.into_iter().enumerate() {
        world.run_for(Duration::from_secs(3));
        assert_eq!(stats(&mut world, at_bob).unwrap().bytes_in_flight, 0);
        let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
        act(&mut channel.stream(theirs.stream));
        world.run_for(Duration::from_millis(5));
        let stats = stats(&mut world, at_bob).unwrap();
        assert!(stats.bytes_in_flight > 0, "{number}: {stats:?}");
    }
    assert_eq!(world.recv(ours), "news");
}

fn fill(world: &mut World, at: At, streams: usize) {
    let streams: Vec<_> = (0..streams)
        .map(|_| world.open(at, Direction::Uni, b""))
        .collect();
    for _ in 0..200 {
        for stream in &streams {
            while world.try_send(*stream, vec![0; 20_000].into()).is_ok() {}
        }
        world.run_for(Duration::from_millis(20));
    }
}

#[test]
fn a_channel_that_is_idle_has_a_path_and_nothing_under_way() {
    let (mut world, _, at_alice, at_bob) = proxied_pair(1);
    world.run_for(Duration::from_secs(3));
    let before = stats(&mut world, at_alice).unwrap();
    for at in [at_alice, at_bob] {
        let stats = stats(&mut world, at).unwrap();
        assert_eq!(stats.limit, SendLimit::Application);
        assert_eq!((stats.bytes_in_flight, stats.bytes_waiting), (0, 0));
        assert_eq!((stats.packets_lost, stats.bytes_lost), (0, 0));
        assert_eq!((stats.congestion_events, stats.streams_open), (0, 0));
        // Through the Coordinator, and back.
        let path = Duration::from_millis(40);
        assert!((path..path * 2).contains(&stats.rtt), "{stats:?}");
        assert!(
            stats.min_rtt <= stats.rtt && stats.min_rtt >= path,
            "{stats:?}"
        );
        assert!((1200..=1472).contains(&stats.mtu), "{stats:?}");
        assert!(stats.congestion_window > 10_000, "{stats:?}");
        assert_eq!(stats.datagrams, before.datagrams);
    }
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, vec![0; 100_000]);
    let waiting = stats(&mut world, at_alice).unwrap();
    assert_eq!(waiting.streams_open, 1);
    assert!(waiting.bytes_waiting > 100_000, "{waiting:?}");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs).len(), 100_000);
    let after = stats(&mut world, at_alice).unwrap();
    assert_eq!(after.bytes_waiting, 0);
    assert!(after.traffic.bytes_sent - before.traffic.bytes_sent > 100_000);
    assert!(after.traffic.packets_sent > before.traffic.packets_sent + 60);
}

#[test]
fn a_narrow_path_is_what_limits_its_sender() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(2);
    *world.link(coordinator, at_bob.node) = LinkConfig {
        rate: Some(1_250_000),
        queue: 60_000,
        ..LinkConfig::default()
    };
    let ours = world.open(at_alice, Direction::Uni, b"");
    let theirs = world.accept_stream(at_bob);
    let mut limits = BTreeSet::new();
    for _ in 0..1000 {
        while world.try_send(ours, vec![0; 20_000].into()).is_ok() {}
        world.run_for(Duration::from_millis(3));
        while world.try_recv(theirs).is_ok() {}
        let stats = stats(&mut world, at_alice).unwrap();
        limits.insert(format!("{:?}", stats.limit));
        let is_full = stats.bytes_in_flight + u64::from(stats.mtu) >= stats.congestion_window;
        if [SendLimit::Congestion, SendLimit::Pacing].contains(&stats.limit) {
            let is_congested = stats.limit == SendLimit::Congestion;
            assert_eq!(is_congested, is_full, "{stats:?}");
        }
        // What was under way when the window was cut stays so for a while.
        assert!(stats.bytes_in_flight < 400_000, "{stats:?}");
    }
    assert!(
        limits.contains("Congestion") && limits.contains("Pacing"),
        "{limits:?}"
    );
    let stats_then = stats(&mut world, at_alice).unwrap();
    assert!(stats_then.bytes_in_flight > 10_000, "{stats_then:?}");
    assert!(stats_then.packets_lost > 0 && stats_then.congestion_events > 0);
    let packet = stats_then.bytes_lost / stats_then.packets_lost;
    assert!((1000..1500).contains(&packet), "{stats_then:?}");
    // Nothing more to send, and the path has carried what was under way.
    world.finish(ours);
    world.run_for(Duration::from_secs(5));
    while world.try_recv(theirs).is_ok() {}
    world.run_for(Duration::from_secs(5));
    let stats = stats(&mut world, at_alice).unwrap();
    assert_eq!(stats.limit, SendLimit::Application, "{stats:?}");
    assert_eq!((stats.bytes_in_flight, stats.bytes_waiting), (0, 0));
}

#[test]
fn a_reader_that_lags_behind_limits_its_stream_or_its_channel() {
    for (stream_window, window, streams, expected) in [
        (100_000, 1_000_000, 1, SendLimit::StreamWindow),
        (1_000_000, 200_000, 1, SendLimit::ChannelWindow),
        (100_000, 200_000, 3, SendLimit::ChannelWindow),
    ] {
        let (mut world, at_alice, at_bob) = pair_with(3, |config| {
            config.stream_window = stream_window;
            config.receive_window = window;
            config.max_receive_window = window;
        });
        fill(&mut world, at_alice, streams);
        let held_up = stats(&mut world, at_alice).unwrap();
        assert_eq!(held_up.limit, expected, "{held_up:?}");
        assert!(held_up.bytes_waiting > 0, "{held_up:?}");
        assert_eq!(held_up.streams_open, streams);
        let theirs: Vec<_> = (0..streams).map(|_| world.accept_stream(at_bob)).collect();
        for _ in 0..200 {
            world.run_for(Duration::from_millis(20));
            for stream in &theirs {
                while world.try_recv(*stream).is_ok() {}
            }
        }
        let flowing = stats(&mut world, at_alice).unwrap();
        assert_eq!(flowing.limit, SendLimit::Application, "{flowing:?}");
        assert_eq!(flowing.bytes_waiting, 0);
    }
}

#[test]
fn every_datagram_is_counted_where_it_goes() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(4);
    world.run_for(Duration::from_secs(2));
    let send = |world: &mut World, len: usize| {
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.send_datagram(Bytes::from(vec![0; len]))
    };
    // As many as the other side keeps, and more, of which the oldest give way.
    for _ in 0..1000 {
        assert_eq!(send(&mut world, 1000), Ok(()));
        world.run_for(Duration::from_millis(1));
    }
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    let max = channel.max_datagram_size();
    assert_eq!(
        send(&mut world, max + 1),
        Err(SendDatagramError::TooLarge { max })
    );
    world.run_for(Duration::from_secs(1));
    let sender = stats(&mut world, at_alice).unwrap().datagrams;
    assert_eq!((sender.sent, sender.refused), (1000, 1));
    assert_eq!(
        (sender.discarded, sender.received, sender.displaced),
        (0, 0, 0)
    );
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    let taken = std::iter::from_fn(|| channel.recv_datagram()).count() as u64;
    let receiver = stats(&mut world, at_bob).unwrap().datagrams;
    assert_eq!((receiver.sent, receiver.refused), (0, 0));
    assert_eq!(receiver.received, 1000);
    assert_eq!(receiver.displaced, 1000 - taken);
    assert!(taken > 200 && receiver.displaced > 200, "{receiver:?}");

    // Some are lost on the way. Both ends together tell how many.
    world.link(coordinator, at_bob.node).loss = 0.2;
    for _ in 0..1000 {
        assert_eq!(send(&mut world, 100), Ok(()));
        world.run_for(Duration::from_millis(20));
        let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
        while channel.recv_datagram().is_some() {}
    }
    world.run_for(Duration::from_secs(5));
    let ours = stats(&mut world, at_alice).unwrap();
    let theirs = stats(&mut world, at_bob).unwrap().datagrams;
    assert_eq!(ours.datagrams.sent, 2000);
    assert_eq!(theirs.displaced, receiver.displaced);
    let lost = ours.datagrams.sent - theirs.received;
    assert!((100..300).contains(&lost), "{lost}");
    assert!(ours.packets_lost >= lost, "{ours:?} {lost}");
    // Nor more than were lost on this way, with those that were looking for a larger MTU or said other things.
    assert!(ours.packets_lost < lost + 30, "{ours:?} {lost}");
}

#[test]
fn datagrams_that_a_path_does_not_take_any_more_are_counted() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(5);
    world.run_for(Duration::from_secs(2));
    world.link(coordinator, at_bob.node).rate = Some(20_000);
    let mut refused = 0;
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    let max = channel.max_datagram_size();
    while refused < 3 {
        let sent = channel.send_datagram(Bytes::from(vec![0; max]));
        refused += u64::from(sent == Err(SendDatagramError::Blocked));
    }
    let before = stats(&mut world, at_alice).unwrap();
    assert_eq!(before.datagrams.refused, 3);
    world.network.default.mtu = 1300;
    for way in [at_alice.node, at_bob.node] {
        world.link(way, coordinator).mtu = 1300;
        world.link(coordinator, way).mtu = 1300;
    }
    world.wait_for("they are dropped", Duration::from_secs(60), |world| {
        let stats = stats(world, at_alice).unwrap();
        (stats.datagrams.discarded > 0).then_some(())
    });
    let after = stats(&mut world, at_alice).unwrap();
    assert!(after.mtu <= 1300 && after.mtu < before.mtu, "{after:?}");
    assert!(after.datagrams.discarded > 50, "{after:?}");
}

#[test]
fn a_channel_that_is_over_tells_nothing() {
    let (mut world, _, at_alice, at_bob) = proxied_pair(6);
    assert!(stats(&mut world, at_alice).is_some() && stats(&mut world, at_bob).is_some());
    let now = world.now();
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.abort(now, Code(1));
    assert_eq!(channel.stats(), None);
    world.run_for(Duration::from_secs(1));
    assert_eq!(stats(&mut world, at_alice), None);
    assert_eq!(stats(&mut world, at_bob), None);
    // One that is being arranged has no path yet.
    let target = world.client_id(at_bob.node).into();
    let arranged = world.request_channel(at_alice.node, target);
    assert_eq!(stats(&mut world, arranged), None);
}
