//! More streams than there is memory for what is known of them.

use std::time::Duration;

use conec_core::{
    ChannelEvent, CoordinatorConfig, Direction, Endpoint, RecvEnd, testing::coordinator_entries,
};
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Dial, Key, Raw, message},
    sim::{At, Event, NodeId, World},
};

use crate::connecting::home;

const LIMIT: usize = 1 << 20;
const MANY: usize = 3000;

fn coordinator(seed: u64) -> (World, NodeId) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.home.uni_streams = 8192;
    share_out(&mut config, LIMIT);
    let coordinator = world.add_coordinator_with(config);
    (world, coordinator)
}

/// One whose application lags behind.
fn lagging(seed: u64) -> (World, NodeId) {
    let (mut world, coordinator) = coordinator(seed);
    world.set_lagging(coordinator, true);
    (world, coordinator)
}

/// Connects a Client. Gives the two ends of its home channel.
fn connect(world: &mut World, coordinator: NodeId, name: &str) -> (At, At) {
    let client = world.add_client(name);
    world.connect(client, coordinator);
    let id = world.client_id(client);
    let channel = world.coordinator(coordinator).find(id).unwrap();
    let node = coordinator;
    (home(client), At { node, channel })
}

/// Sends one message on each of so many streams.
fn send(world: &mut World, from: At, streams: usize) {
    for _ in 0..streams {
        let stream = world.open(from, Direction::Uni, &[b'l'; 255]);
        world.send(stream, &b"hello"[..]);
        world.finish(stream);
    }
    world.run_for(Duration::from_secs(10));
}

fn receive(world: &mut World, at: At, streams: usize) {
    for _ in 0..streams {
        let stream = world.accept_stream(at);
        assert_eq!(world.recv(stream), "hello");
        assert_eq!(world.recv_ended(stream), RecvEnd::Finished);
    }
}

/// They are within what the Coordinator allows, so that they must cost nobody a channel.
#[test]
fn streams_for_which_there_is_no_memory_wait_for_the_application() {
    let (mut world, coordinator) = lagging(1);
    let (from, at) = connect(&mut world, coordinator, "alice");
    send(&mut world, from, MANY);
    let kept = coordinator_entries(world.coordinator(coordinator));
    assert!(kept < LIMIT + LIMIT / 8, "{kept} bytes are kept");
    world.set_lagging(coordinator, false);
    receive(&mut world, at, MANY);
    assert_eq!(world.coordinator(coordinator).stats().channels_shed, 0);
}

/// Others have taken all memory, and nothing of it becomes free.
#[test]
fn each_channel_may_have_a_few_streams_however_many_others_have() {
    let (mut world, coordinator) = lagging(2);
    let (from, _) = connect(&mut world, coordinator, "alice");
    send(&mut world, from, MANY);
    let (from, at) = connect(&mut world, coordinator, "bob");
    send(&mut world, from, 20);
    let mut channel = world.channel(coordinator, at.channel).unwrap();
    let accepted = std::iter::from_fn(|| channel.accept()).count();
    assert!(accepted >= 8, "{accepted} were accepted");
}

/// Who was kept from having more has done nothing meanwhile.
#[test]
fn streams_go_on_when_the_memory_of_others_is_free_again() {
    let (mut world, coordinator) = coordinator(3);
    let (alice, at_alice) = connect(&mut world, coordinator, "alice");
    let (bob, at_bob) = connect(&mut world, coordinator, "bob");
    send(&mut world, bob, 10);
    send(&mut world, alice, MANY);
    send(&mut world, bob, 10);
    for _ in 0..10 {
        world.accept_stream(at_bob);
    }
    world.run_for(Duration::from_secs(10));
    let opened = |event: &Event| match event.channel() {
        Some((id, ChannelEvent::StreamOpened { .. })) => id == at_bob.channel,
        Some(_) | None => false,
    };
    let early = world.take_event(coordinator, |event| opened(event).then_some(()));
    assert!(early.is_none(), "there is no memory");
    receive(&mut world, at_alice, MANY);
    receive(&mut world, at_bob, 10);
}

/// Many that began before it tell nothing, since their labels have not come.
#[test]
fn a_stream_is_told_of_however_many_have_no_label_yet() {
    let (mut world, coordinator) = coordinator(4);
    let raw = Raw::new(4);
    world.add_stranger(raw.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let conn = raw.connect(now, address, &Dial::home(Key::Identity(600)));
    world.run_for(Duration::from_secs(1));
    conn.control(&message::hello(b"", b""));
    let at = world.opened(coordinator);
    world.run_for(Duration::from_secs(1));
    for _ in 0..40 {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b"late")[..3].to_vec());
    }
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"told"));
    let (_, label) = world.accept_labelled(at);
    assert_eq!(label, "told");
}
