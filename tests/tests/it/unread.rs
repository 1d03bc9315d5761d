//! What goes on beside streams that nobody reads.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ClientConfig, CloseReason, CoordinatorConfig, Direction, Endpoint, ErrorCode,
    Target,
    testing::{client_entries, coordinator_entries},
};
use conec_tests::{
    budget::{share_out, share_out_channels},
    keys,
    sim::{At, Half, LinkConfig, NodeId, World},
};

use crate::{connecting::home, pair};

/// A Coordinator whose Clients share so much memory for messages.
fn sharing(seed: u64, bytes: usize) -> (World, NodeId) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    share_out(&mut config, bytes);
    let coordinator = world.add_coordinator_with(config);
    (world, coordinator)
}

/// Has so many streams full of what nobody reads.
fn fill(world: &mut World, from: At, streams: usize, size: usize) {
    for _ in 0..streams {
        let stream = world.open(from, Direction::Uni, b"unread");
        for _ in 0..size / MESSAGE {
            push(world, stream, &Bytes::from(vec![0; MESSAGE]));
        }
    }
    world.run_for(Duration::from_secs(10));
}

/// Sends a message however much waits.
fn push(world: &mut World, half: Half, message: &Bytes) {
    let mut channel = world.channel(half.node, half.stream.channel()).unwrap();
    let mut stream = channel.stream(half.stream);
    let mut batch = stream.batch();
    batch.push(message).unwrap();
    stream.send_batch(&mut batch).unwrap();
}

/// Asks for so many channels, and is told of each that nobody is there.
fn ask_for_nobody(world: &mut World, client: NodeId, times: usize) {
    let nobody = Target::Name("nobody".parse().unwrap());
    for _ in 0..times {
        let now = world.now();
        let asked = world
            .client(client)
            .open_channel(now, nobody.clone(), &[1; 255])
            .unwrap();
        let refused = world.closed(At {
            node: client,
            channel: asked,
        });
        assert_eq!(refused, CloseReason::Remote(ErrorCode::NotFound));
    }
}

/// The control stream is set aside with all others, where the engine wastes memory on the smallest messages.
#[test]
fn a_home_channel_whose_streams_were_set_aside_carries_requests() {
    let mut world = World::new(11);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    world.connect(alice, coordinator);
    let tiny = world.open(home(alice), Direction::Uni, b"tiny");
    // What is read ahead, and then each in a packet of its own.
    for number in 0..3000 {
        push(&mut world, tiny, &Bytes::from_static(b"x"));
        if number >= 2000 {
            world.run_for(Duration::from_millis(2));
        }
    }
    fill(&mut world, home(alice), 2, 16 << 20);
    ask_for_nobody(&mut world, alice, 600);
}

/// As many requests as take more than is kept free for control messages, and an address that changes.
#[test]
fn a_home_channel_full_of_unread_streams_carries_requests_and_follows_its_nat() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let client = world.add_proxied_client(name);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    fill(&mut world, home(alice), 2, 16 << 20);
    ask_for_nobody(&mut world, alice, 600);
    let (more, _) = world.open_channel(alice, bob);
    assert!(world.channel(more.node, more.channel).is_some());
    let address = (world.address(alice).ip(), 5000).into();
    world.rebind(alice, address);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "still here");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "still here");
}

/// What is read makes room for more, however little it is of the whole window.
#[test]
fn a_stream_with_little_to_send_goes_on_beside_unread_ones() {
    let (mut world, _, at_alice, at_bob) = pair(2);
    let ours = world.open(at_alice, Direction::Uni, b"chat");
    let theirs = world.accept_stream(at_bob);
    fill(&mut world, at_alice, 2, 40 << 20);
    for number in 0..1000u32 {
        let message = Bytes::from(vec![number as u8; 1000]);
        world.send(ours, message.clone());
        assert_eq!(world.recv(theirs), message);
    }
}

/// Channels to one reader, with more unread messages than there is memory for.
struct Unread {
    world: World,
    /// The readers' ends.
    ends: Vec<At>,
    /// How many streams with messages there are on each.
    streams: usize,
}

impl Unread {
    /// So many messages of the largest size on each channel, each on its own stream, and none read.
    fn fill(mut world: World, channels: &[(At, At)], streams: usize) -> Self {
        for (sender, &(ours, _)) in channels.iter().enumerate() {
            for number in 0..streams {
                let stream = world.open(ours, Direction::Uni, b"unread");
                push(&mut world, stream, &message(sender, number));
                world.finish(stream);
            }
        }
        world.run_for(Duration::from_secs(30));
        Self {
            world,
            ends: channels.iter().map(|&(_, theirs)| theirs).collect(),
            streams,
        }
    }

    /// A message a second is read, of whichever channel has one. All come in the end.
    fn read(&mut self, kept: impl Fn(&mut World) -> usize) {
        let reader = self.ends[0].node;
        let mut open: Vec<Half> = Vec::new();
        let mut expected: Vec<Bytes> = Vec::new();
        for sender in 0..self.ends.len() {
            expected.extend((0..self.streams).map(|number| message(sender, number)));
        }
        let mut quiet = 0;
        while !expected.is_empty() {
            while let Some(stream) = accept(&mut self.world, reader) {
                open.push(stream);
            }
            let world = &mut self.world;
            match open.iter().find_map(|&half| world.try_recv(half).ok()) {
                Some(got) => {
                    let at = expected.iter().position(|it| *it == got);
                    expected.swap_remove(at.expect("each once, and as it was sent"));
                    quiet = 0;
                }
                None => quiet += 1,
            }
            assert!(quiet < 20, "{} messages never come", expected.len());
            let kept = kept(world);
            assert!(kept < LIMIT + LIMIT / 8, "{kept} bytes are kept");
            world.run_for(Duration::from_secs(1));
        }
        for at in &self.ends {
            assert!(self.world.channel(at.node, at.channel).is_some());
        }
    }
}

fn message(sender: usize, number: usize) -> Bytes {
    let mut message = vec![number as u8; LARGE];
    message[0] = sender as u8;
    message.into()
}

fn accept(world: &mut World, node: NodeId) -> Option<Half> {
    world.take_event(node, |event| match event.channel() {
        Some((_, ChannelEvent::StreamOpened { stream, .. })) => Some(Half {
            node,
            stream: *stream,
        }),
        Some(_) | None => None,
    })
}

#[test]
fn clients_whose_coordinator_is_slow_are_held_up_and_not_cut_off() {
    let (mut world, coordinator) = sharing(3, LIMIT);
    let channels: Vec<_> = (0..6)
        .map(|number| {
            let client = world.add_client(&format!("client-{number}"));
            world.connect(client, coordinator);
            let id = world.client_id(client);
            let channel = world.coordinator(coordinator).find(id).unwrap();
            let node = coordinator;
            (home(client), At { node, channel })
        })
        .collect();
    let mut unread = Unread::fill(world, &channels, 16);
    unread.read(|world| coordinator_entries(world.coordinator(coordinator)));
    let stats = unread.world.coordinator(coordinator).stats();
    assert_eq!(stats.channels_shed, 0);
}

#[test]
fn peers_of_a_slow_client_are_held_up_and_not_cut_off() {
    let mut world = World::new(4);
    let coordinator = world.add_coordinator();
    let mut config = world.client_config("slow");
    share_out_channels(&mut config, LIMIT);
    let slow = world.add_client_with(config);
    world.connect(slow, coordinator);
    let channels: Vec<_> = (0..4)
        .map(|number| {
            let client = world.add_client(&format!("client-{number}"));
            world.connect(client, coordinator);
            world.open_channel(client, slow)
        })
        .collect();
    let mut unread = Unread::fill(world, &channels, 30);
    unread.read(|world| client_entries(world.client(slow)));
    assert_eq!(unread.world.client(slow).stats().channels_shed, 0);
}

/// Once the channel was ended by it.
#[test]
fn eighty_streams_with_messages_of_the_largest_size_wait_for_their_reader() {
    // Half of the budget, and more, is for other things.
    nobody_reads(9, 80, 16 << 20, 128 << 20, |config| {
        config.peer.uni_streams = 80
    });
}

/// When the first are received, there is plenty of memory all at once. Once the channel was ended by what was then read.
#[test]
fn thirty_streams_with_large_messages_wait_where_there_is_little_memory() {
    let limit = 64 << 20;
    nobody_reads(10, 30, 8 << 20, limit, |config| {
        share_out_channels(config, limit)
    });
}

/// A message on each of so many streams, of which none is read for a while, and then all are, in turn. Messages may take so much
/// memory.
fn nobody_reads(
    seed: u64,
    streams: u8,
    size: usize,
    limit: usize,
    change: impl Fn(&mut ClientConfig),
) {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        change(&mut config);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (from, to) = world.open_channel(alice, bob);
    for number in 0..streams {
        let stream = world.open(from, Direction::Uni, b"unread");
        push(&mut world, stream, &Bytes::from(vec![number; size]));
        world.finish(stream);
    }
    world.run_for(Duration::from_secs(30));
    let mut seen = vec![false; streams.into()];
    let mut open = Vec::new();
    while seen.contains(&false) {
        let kept = client_entries(world.client(to.node));
        assert!(kept < limit + limit / 8 + size, "{kept} bytes are kept");
        let (at, message) = world.wait_for("a message", Duration::from_secs(60), |world| {
            while let Some(stream) = accept(world, to.node) {
                open.push(stream);
            }
            let mut halves = open.iter().enumerate();
            halves.find_map(|(at, &half)| Some((at, world.try_recv(half).ok()?)))
        });
        open.swap_remove(at);
        let number = message[0];
        assert_eq!(message.len(), size);
        assert!(message.iter().all(|&byte| byte == number));
        assert!(!std::mem::replace(&mut seen[usize::from(number)], true));
    }
    for at in [from, to] {
        assert!(world.channel(at.node, at.channel).is_some());
        assert_eq!(world.client(at.node).stats().channels_shed, 0);
    }
}

/// Small messages pass by what nobody reads, also where that has filled half of the memory.
#[test]
fn small_messages_are_read_where_large_ones_wait() {
    let mut world = World::new(5);
    let coordinator = world.add_coordinator();
    let mut config = world.client_config("slow");
    share_out_channels(&mut config, LIMIT);
    let slow = world.add_client_with(config);
    let quick = world.add_client("quick");
    for client in [slow, quick] {
        world.connect(client, coordinator);
    }
    let channel = world.open_channel(quick, slow);
    let ours = world.open(channel.0, Direction::Uni, b"chat");
    let theirs = world.accept_stream(channel.1);
    let mut unread = Unread::fill(world, &[channel], 60);
    assert!(client_entries(unread.world.client(slow)) > LIMIT * 3 / 8);
    for number in 0..100u32 {
        let message = Bytes::from(vec![number as u8; 1000]);
        unread.world.send(ours, message.clone());
        assert_eq!(unread.world.recv(theirs), message);
    }
    unread.read(|world| client_entries(world.client(slow)));
}

/// More large messages than there is memory for are under way at the same time, from Clients that are not quick.
#[test]
fn large_messages_that_come_side_by_side_take_no_more_than_there_is() {
    let limit = 8 << 20;
    let (mut world, coordinator) = sharing(18, limit);
    let clients = 16;
    for number in 0..clients {
        let client = world.add_client(&format!("client-{number}"));
        world.connect(client, coordinator);
        world.link(client, coordinator).rate = Some(500_000);
        let stream = world.open(home(client), Direction::Uni, b"large");
        push(&mut world, stream, &vec![0; limit / 5].into());
        world.finish(stream);
    }
    let (mut open, mut got) = (Vec::new(), 0);
    while got < clients {
        let kept = coordinator_entries(world.coordinator(coordinator));
        assert!(kept < limit + limit / 8, "{kept} bytes are kept");
        open.extend(accept(&mut world, coordinator));
        let before = open.len();
        open.retain(|&half| world.try_recv(half).is_err());
        got += before - open.len();
        world.run_for(Duration::from_millis(10));
        assert!(
            world.elapsed() < Duration::from_secs(300),
            "{got} have come"
        );
    }
    assert_eq!(world.coordinator(coordinator).stats().channels_shed, 0);
}

/// More small ones than there is memory for, of which none is read for some time.
#[test]
fn small_messages_take_no_more_than_there_is() {
    let limit = 8 << 20;
    let (mut world, coordinator) = sharing(8, limit);
    let (clients, streams, small) = (16, 16, 60_000);
    for number in 0..clients {
        let client = world.add_client(&format!("client-{number}"));
        world.connect(client, coordinator);
        for _ in 0..streams {
            let stream = world.open(home(client), Direction::Uni, b"small");
            push(&mut world, stream, &vec![0; small].into());
        }
    }
    world.run_for(Duration::from_secs(30));
    let (mut open, mut got) = (Vec::new(), 0);
    while got < clients * streams {
        let kept = coordinator_entries(world.coordinator(coordinator));
        assert!(kept < limit + limit / 8, "{kept} bytes are kept");
        while let Some(stream) = accept(&mut world, coordinator) {
            open.push(stream);
        }
        let before = got;
        for &half in &open {
            got += usize::from(world.try_recv(half).is_ok());
        }
        world.run_for(Duration::from_secs(1));
        assert!(got > before, "{got} have come");
    }
    assert_eq!(world.coordinator(coordinator).stats().channels_shed, 0);
}

/// What has come in part takes memory at the reader.
#[test]
fn who_sends_many_large_messages_is_in_the_middle_of_few() {
    let mut world = World::new(6);
    let (coordinator, [client]) = world.with_clients(["client"]);
    let streams: Vec<_> = (0..16)
        .map(|number| {
            let stream = world.open(home(client), Direction::Uni, b"large");
            for _ in 0..2 {
                push(&mut world, stream, &Bytes::from(vec![number; MESSAGE]));
            }
            stream
        })
        .collect();
    world.network.set_all(&LinkConfig {
        rate: Some(RATE),
        queue: (RATE / 20) as usize,
        ..LinkConfig::default()
    });
    let (mut open, mut got, mut most) = (Vec::new(), 0, 0);
    while got < 2 * streams.len() {
        most = most.max(coordinator_entries(world.coordinator(coordinator)));
        open.extend(accept(&mut world, coordinator));
        for &half in &open {
            got += usize::from(world.try_recv(half).is_ok());
        }
        assert!(world.step(), "all come");
    }
    assert!(most < 8 * MESSAGE + 100_000, "{most} bytes");
}

/// They are in the middle of messages that nobody reads.
#[test]
fn nobody_waits_for_large_messages_that_their_readers_hold_up() {
    let mut world = World::new(7);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.home.stream_window = LARGE as u32;
    let coordinator = world.add_coordinator_with(config);
    let client = world.add_client("client");
    world.connect(client, coordinator);
    for _ in 0..4 {
        let stream = world.open(home(client), Direction::Uni, b"unread");
        for number in 0..4 {
            push(&mut world, stream, &message(0, number));
        }
    }
    world.run_for(Duration::from_secs(10));
    while accept(&mut world, coordinator).is_some() {}
    let stream = world.open(home(client), Direction::Uni, b"read");
    for number in 0..10 {
        push(&mut world, stream, &message(1, number));
    }
    let half = world.wait_for("a stream", Duration::from_secs(5), |world| {
        accept(world, coordinator)
    });
    for number in 0..10 {
        let got = world.wait_for("a message", Duration::from_secs(5), |world| {
            world.try_recv(half).ok()
        });
        assert_eq!(got, message(1, number));
    }
}

const MESSAGE: usize = 1 << 20;
/// Bytes per second.
const RATE: u64 = 1_250_000;
const LARGE: usize = 256 << 10;
/// What messages may take in all.
const LIMIT: usize = 16 << 20;
