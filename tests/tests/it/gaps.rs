//! Losses that leave many gaps in the streams.
//!
//! The engine ends a connection when one of its streams has more than 1024 gaps. So many come about when every second packet
//! is lost for a round trip of a long fat path.

use std::time::Duration;

use conec_core::{
    ChannelConfig, ChannelEvent, Code, CoordinatorConfig, Direction, PathPolicy, RecvEnd, SendEnd,
    Target, testing::client_entries,
};
use conec_tests::{
    fuzz::reassembly,
    keys,
    sim::{At, Burst, Half, NodeId, World},
};
use proptest::{prelude::*, test_runner::RngSeed};
use rand::Rng;

use crate::connecting::home;

/// A world in which much may be under way, and takes 25 ms from hop to hop.
fn long_fat(seed: u64) -> (World, NodeId, [NodeId; 2]) {
    long_fat_with(seed, |_| {})
}

/// The same, with channels of other settings.
fn long_fat_with(seed: u64, change: impl Fn(&mut ChannelConfig)) -> (World, NodeId, [NodeId; 2]) {
    let mut world = World::new(seed);
    world.network.default.delay = Duration::from_millis(25);
    let wide = |channel: &mut ChannelConfig| {
        channel.receive_window = 32 << 20;
        change(channel);
    };
    let mut config = CoordinatorConfig::new(keys::certificate());
    wide(&mut config.home);
    config.memory = 1 << 40;
    let coordinator = world.add_coordinator_with(config);
    let clients = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.paths.policy = PathPolicy::ProxiedOnly;
        config.memory = 1 << 40;
        wide(&mut config.home);
        wide(&mut config.peer);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    (world, coordinator, clients)
}

/// A proxied channel on it.
fn long_fat_channel(seed: u64) -> (World, NodeId, At, At) {
    channel_in(long_fat(seed))
}

fn channel_in(
    (mut world, coordinator, [alice, bob]): (World, NodeId, [NodeId; 2]),
) -> (World, NodeId, At, At) {
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, at_alice, at_bob)
}

/// Messages that tell their places, sent on one stream.
struct Bulk {
    ours: Half,
    theirs: Option<Half>,
    sent: u32,
    received: u32,
}

impl Bulk {
    fn new(world: &mut World, from: At) -> Self {
        Self {
            ours: world.open(from, Direction::Uni, b"bulk"),
            theirs: None,
            sent: 0,
            received: 0,
        }
    }

    const MESSAGE: u32 = 10_000;

    fn message(number: u32) -> Vec<u8> {
        let words = (number..number + Self::MESSAGE / 4).map(|word| word.wrapping_mul(0x9e37_79b9));
        words.flat_map(u32::to_be_bytes).collect()
    }

    /// Sends as much as there is room for.
    fn send(&mut self, world: &mut World) {
        while world
            .try_send(self.ours, Self::message(self.sent).into())
            .is_ok()
        {
            self.sent += 1;
        }
    }

    /// Receives what is there.
    fn receive(&mut self, world: &mut World) {
        if let Some(theirs) = self.theirs {
            while let Ok(message) = world.try_recv(theirs) {
                assert!(message == Self::message(self.received), "{}", self.received);
                self.received += 1;
            }
        }
    }

    /// Opens flows, whose first message arrives.
    fn several<const N: usize>(world: &mut World, from: At, to: At) -> [Self; N] {
        [(); N].map(|()| {
            let mut bulk = Self::new(world, from);
            bulk.send(world);
            bulk.theirs = Some(world.accept_stream(to));
            bulk
        })
    }

    /// Receives all the rest.
    fn finish(&mut self, world: &mut World) {
        world.finish(self.ours);
        let theirs = self.theirs.unwrap();
        while self.received < self.sent {
            assert!(world.recv(theirs) == Self::message(self.received));
            self.received += 1;
        }
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
        assert_eq!(world.send_ended(self.ours), SendEnd::Finished);
    }
}

/// Lets the flows go on for a while. They are read, or only sent on.
fn flow(world: &mut World, bulks: &mut [Bulk], read: bool, time: Duration) {
    let end = world.now() + time;
    while world.now() < end {
        for bulk in &mut *bulks {
            bulk.send(world);
            if read {
                bulk.receive(world);
            }
        }
        world.step_by(end);
    }
}

/// The same, while every second packet on the way is lost: 4,000 packets or more.
fn lossy_flow(world: &mut World, [from, to]: [NodeId; 2], bulks: &mut [Bulk], read: bool) {
    let before = world.datagrams_sent();
    world.link(from, to).lose_every = Some(2);
    flow(world, bulks, read, ROUND_TRIP);
    world.link(from, to).lose_every = None;
    let sent = world.datagrams_sent() - before;
    assert!(sent > 8000, "{sent}");
}

/// Streams from one end to the other, with as much under way as the windows allow.
fn warm<const N: usize>(world: &mut World, from: At, to: At) -> [Bulk; N] {
    let mut bulks = Bulk::several(world, from, to);
    flow(world, &mut bulks, true, WARMING);
    bulks
}

/// Receives all the rest.
fn finish(world: &mut World, bulks: &mut [Bulk]) {
    for bulk in bulks {
        bulk.finish(world);
    }
}

fn at_coordinator(world: &mut World, node: NodeId, client: NodeId) -> At {
    let target = Target::Id(world.client_id(client));
    let channel = world.coordinator(node).find(target).unwrap();
    At { node, channel }
}

const WARMING: Duration = Duration::from_millis(1500);
const ROUND_TRIP: Duration = Duration::from_millis(100);

#[test]
fn every_second_packet_lost_for_a_round_trip_ends_no_peer_channel() {
    let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(1);
    let mut bulks = warm::<1>(&mut world, at_alice, at_bob);
    let way = [at_alice.node, coordinator];
    for _ in 0..2 {
        lossy_flow(&mut world, way, &mut bulks, true);
        flow(&mut world, &mut bulks, true, WARMING);
    }
    finish(&mut world, &mut bulks);
}

#[test]
fn nor_a_home_channel() {
    for upwards in [true, false] {
        let (mut world, coordinator, [alice, _]) = long_fat(2);
        let ends = [home(alice), at_coordinator(&mut world, coordinator, alice)];
        let [from, to] = if upwards { ends } else { [ends[1], ends[0]] };
        let mut bulks = warm::<1>(&mut world, from, to);
        lossy_flow(&mut world, [from.node, to.node], &mut bulks, true);
        finish(&mut world, &mut bulks);
    }
}

#[test]
fn streams_side_by_side_all_arrive() {
    let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(3);
    let mut bulks = warm::<4>(&mut world, at_alice, at_bob);
    let way = [at_alice.node, coordinator];
    lossy_flow(&mut world, way, &mut bulks, true);
    // What comes later on the same streams, and on new ones, is as good.
    flow(&mut world, &mut bulks, true, ROUND_TRIP * 5);
    finish(&mut world, &mut bulks);
    let [mut later] = warm::<1>(&mut world, at_alice, at_bob);
    later.finish(&mut world);
}

#[test]
fn a_reader_that_comes_back_late_finds_everything() {
    let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(4);
    let mut bulks = warm::<2>(&mut world, at_alice, at_bob);
    let way = [at_alice.node, coordinator];
    for _ in 0..3 {
        lossy_flow(&mut world, way, &mut bulks[..1], false);
    }
    flow(&mut world, &mut bulks, false, Duration::from_secs(5));
    // What nobody reads stops its sender, and not the others.
    let sent = bulks[0].sent;
    flow(&mut world, &mut bulks[..1], false, Duration::from_secs(5));
    assert_eq!(bulks[0].sent, sent);
    flow(&mut world, &mut bulks, true, Duration::from_secs(5));
    assert!(bulks[0].received > sent);
    finish(&mut world, &mut bulks);
}

/// What is set aside is not read yet: it must not let the other side send more.
#[test]
fn no_more_comes_than_the_window_lets_in() {
    let window = 12 << 20;
    let (mut world, coordinator, at_alice, at_bob) = channel_in(long_fat_with(11, |channel| {
        channel.receive_window = window;
        channel.max_receive_window = window;
    }));
    let mut bulks = warm::<1>(&mut world, at_alice, at_bob);
    let way = [at_alice.node, coordinator];
    lossy_flow(&mut world, way, &mut bulks, false);
    flow(&mut world, &mut bulks, false, Duration::from_secs(5));
    let unread = (bulks[0].sent - bulks[0].received) * Bulk::MESSAGE;
    // In front of the sender's window, read ahead of the application, and between two looks at the window.
    let buffered = (256 + 64 + 64) << 10;
    assert!(unread <= window + buffered, "{unread}");
    finish(&mut world, &mut bulks);
}

#[test]
fn streams_that_are_not_accepted_yet_are_safe_too() {
    let one_a_second = |channel: &mut ChannelConfig| channel.stream_rate = Some(1);
    let (mut world, coordinator, at_alice, at_bob) = channel_in(long_fat_with(5, one_a_second));
    let mut bulks = Vec::from(warm::<1>(&mut world, at_alice, at_bob));
    for _ in 0..2 {
        let first = world.open(at_alice, Direction::Uni, b"first");
        let accepted = world.accept_stream(at_bob);
        world.finish(first);
        assert_eq!(world.recv_ended(accepted), RecvEnd::Finished);
    }
    // The next has to wait. Its packets are lost from the first on: its window is full in less than a round trip.
    let mut waiting = [Bulk::new(&mut world, at_alice)];
    let way = [at_alice.node, coordinator];
    lossy_flow(&mut world, way, &mut waiting, false);
    flow(&mut world, &mut waiting, false, ROUND_TRIP * 2);
    let early = world.take_event(at_bob.node, |event| match event.channel() {
        Some((_, ChannelEvent::StreamOpened { .. })) => Some(()),
        Some(_) | None => None,
    });
    assert_eq!(early, None);
    for mut bulk in waiting {
        bulk.theirs = Some(world.accept_stream(at_bob));
        bulks.push(bulk);
    }
    finish(&mut world, &mut bulks);
}

#[test]
fn ends_of_streams_are_what_they_are_without_losses() {
    let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(6);
    let before = client_entries(world.client(at_bob.node));
    let mut bulks = warm::<4>(&mut world, at_alice, at_bob);
    let way = [at_alice.node, coordinator];
    world.link(way[0], way[1]).lose_every = Some(2);
    flow(&mut world, &mut bulks, true, ROUND_TRIP * 3 / 4);
    let [stays, finishes, resets, stops] = &mut bulks;
    world.finish(finishes.ours);
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.stream(resets.ours.stream).reset(Code(7)).unwrap();
    let theirs = stops.theirs.unwrap();
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    channel.stream(theirs.stream).stop(Code(8)).unwrap();
    assert_eq!(
        world.recv_ended(resets.theirs.unwrap()),
        RecvEnd::Reset(Code(7))
    );
    assert_eq!(world.send_ended(stops.ours), SendEnd::Stopped(Code(8)));
    world.link(way[0], way[1]).lose_every = None;
    while finishes.received < finishes.sent {
        let message = world.recv(finishes.theirs.unwrap());
        assert!(message == Bulk::message(finishes.received));
        finishes.received += 1;
    }
    let theirs = finishes.theirs.unwrap();
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    assert_eq!(world.send_ended(finishes.ours), SendEnd::Finished);
    stays.receive(&mut world);
    stays.finish(&mut world);
    world.run_for(Duration::from_secs(1));
    // Their places are free again. The engine tells of eight together.
    let opened = [(); 64 - 7].map(|()| world.open(at_alice, Direction::Uni, b"after"));
    for ours in opened {
        let theirs = world.accept_stream(at_bob);
        world.finish(ours);
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    }
    // Nor do they take any memory: only the control stream is still read as what was set aside.
    world.run_for(Duration::from_secs(1));
    let after = client_entries(world.client(at_bob.node));
    assert!(after < before + 2500, "{before} before, {after} after");
}

/// Small messages, each in a packet of its own: many are sent again in one.
#[test]
fn small_packets_lost_by_thousands_end_nothing() {
    let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(7);
    let mut bulks = warm::<1>(&mut world, at_alice, at_bob);
    let ours = world.open(at_alice, Direction::Uni, b"small");
    world.send(ours, "first");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "first");
    for read in [true, false] {
        world.link(at_alice.node, coordinator).lose_every = Some(2);
        for number in 0..6000_u32 {
            world.send(ours, number.to_be_bytes().to_vec());
            world.run_for(Duration::from_micros(10));
        }
        world.link(at_alice.node, coordinator).lose_every = None;
        flow(&mut world, &mut bulks, read, WARMING);
        for number in 0..6000_u32 {
            assert_eq!(world.recv(theirs), number.to_be_bytes()[..]);
        }
    }
    finish(&mut world, &mut bulks);
}

/// Slow start fills the queue, and half of what comes then is lost.
#[test]
fn deep_queues_end_nothing() {
    for (seed, megabits, queue_ms) in [(8, 100, 500), (9, 200, 200), (10, 200, 500)] {
        let (mut world, _, at_alice, at_bob) = long_fat_channel(seed);
        let rate = megabits * 1_000_000 / 8;
        world.network.default.delay = Duration::from_millis(5);
        world.set_max_segments(1);
        world.network.default.rate = Some(rate);
        world.network.default.queue = (rate * queue_ms / 1000) as usize;
        let mut bulks = Bulk::several::<1>(&mut world, at_alice, at_bob);
        flow(&mut world, &mut bulks, true, Duration::from_secs(4));
        finish(&mut world, &mut bulks);
    }
}

/// Whatever is lost, in whatever pattern, for whatever time.
#[test]
fn no_pattern_of_losses_ends_a_channel() {
    for seed in 20..24 {
        let (mut world, coordinator, at_alice, at_bob) = long_fat_channel(seed);
        let mut bulks = warm::<3>(&mut world, at_alice, at_bob);
        let way = [at_alice.node, coordinator];
        for _ in 0..6 {
            let begin = world.rng().random_range(0.01..1.0);
            let end = world.rng().random_range(0.2..1.0);
            world.link(way[0], way[1]).burst = Some(Burst { begin, end });
            let time = world.rng().random_range(20..300);
            let read = world.rng().random();
            flow(&mut world, &mut bulks, read, Duration::from_millis(time));
            world.link(way[0], way[1]).burst = None;
            let read = world.rng().random();
            flow(&mut world, &mut bulks, read, ROUND_TRIP * 4);
        }
        finish(&mut world, &mut bulks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn bytes_in_any_order_are_put_in_the_streams(steps in prop::collection::vec(any::<u8>(), 0..1500)) {
        reassembly::run(&steps);
    }
}
