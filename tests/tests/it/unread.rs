//! What goes on beside streams that nobody reads.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{
    ChannelEvent, CloseReason, CoordinatorConfig, Direction, ErrorCode, Target,
    testing::coordinator_entries,
};
use conec_tests::{
    keys,
    sim::{At, Half, LinkConfig, NodeId, World},
};

use crate::{connecting::home, pair};

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
    let nobody = Target::Name("nobody".parse().unwrap());
    for _ in 0..600 {
        let now = world.now();
        let asked = world
            .client(alice)
            .open_channel(now, nobody.clone(), &[1; 255])
            .unwrap();
        let refused = world.closed(At {
            node: alice,
            channel: asked,
        });
        assert_eq!(refused, CloseReason::Remote(ErrorCode::NotFound));
    }
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
    assert!(most < 8 * MESSAGE, "{most} bytes");
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
