//! What goes on beside streams that nobody reads.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{CloseReason, Direction, ErrorCode, Target};
use conec_tests::sim::{At, Half, World};

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

const MESSAGE: usize = 1 << 20;
