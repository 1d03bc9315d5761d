//! What channels take, and leave behind.

use std::time::Duration;

use conec_core::{CoordinatorConfig, Direction, Endpoint};
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Dial, Key, Raw, message},
    sim::World,
};

use crate::{held, is_tight};

pub(crate) fn a_channel_leaves_nothing_behind() {
    let mut world = World::new(2);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let mut live = Vec::new();
    for _ in 0..6 {
        for _ in 0..10 {
            let (at_alice, at_bob) = world.open_channel(alice, bob);
            let ours = world.open(at_alice, Direction::Uni, b"");
            world.send(ours, vec![0; 100_000]);
            world.finish(ours);
            let theirs = world.accept_stream(at_bob);
            world.recv(theirs);
            let now = world.now();
            let mut channel = world.channel(alice, at_alice.channel).expect("open");
            channel.close(now, Duration::from_secs(5));
            world.closed(at_alice);
            world.closed(at_bob);
        }
        world.run_for(Duration::from_secs(10));
        while world.next_event(alice).is_some() || world.next_event(bob).is_some() {}
        live.push(dhat::HeapStats::get().curr_bytes);
    }
    // The trace of the run is full after the first rounds. The world itself notes who was met and what is over, which
    // takes some hundred bytes; a connection that stayed would take thousands.
    let grown = live[5].saturating_sub(live[4]) / 10;
    assert!(grown < 600, "{grown} bytes for each channel: {live:?}");
}

/// Whether they leave few streams or many, with labels or without.
pub(crate) fn channels_that_are_over_take_no_more_than_messages_may() {
    const LIMIT: usize = 512 << 10;
    let mut empty = None;
    for (channels, streams, label) in [
        (0, 0, &[][..]),
        (120, 1, &[]),
        (120, 1, &[1; 255]),
        (120, 7, &[]),
        (60, 16, &[1; 255]),
    ] {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = 8;
        share_out(&mut config, LIMIT);
        let mut world = World::new(5);
        let coordinator = world.add_coordinator_with(config.clone());
        let raw = Raw::new(5);
        world.add_stranger(raw.clone());
        world.set_lagging(coordinator, true);
        for number in 0..channels {
            let (now, address) = (world.now(), world.address(coordinator));
            let conn = raw.connect(now, address, &Dial::home(Key::Identity(700 + number)));
            world.run_for(Duration::from_secs(1));
            conn.control(&message::hello(b"", b""));
            world.run_for(Duration::from_secs(1));
            for _ in 0..streams {
                let stream = conn.open_uni().expect("as many as are allowed");
                conn.write(stream, message::preamble(label));
                conn.write(stream, message::frame(b"x"));
            }
            conn.send_datagram(vec![4; 1000]);
            world.run_for(Duration::from_secs(1));
            conn.close(world.now(), 0);
            world.run_for(Duration::from_secs(1));
            let endpoint = world.coordinator(coordinator);
            while endpoint.poll_channel_event().is_some() {}
            while endpoint.poll_application_event().is_some() {}
        }
        world.run_for(Duration::from_secs(20));
        let held = held(&mut world, coordinator, config);
        let Some(empty) = empty else {
            empty = Some(held);
            continue;
        };
        let held = held - empty;
        is_tight(
            &format!("channels that are over, with {streams} streams"),
            held,
            LIMIT,
        );
    }
}

pub(crate) fn clients_at_every_limit_take_no_more_than_the_worst_case(lose: impl FnOnce(&Raw)) {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.clients = 3;
    config.limits.clients_per_network = Some(3);
    config.limits.handshakes = 1;
    config.limits.channels_per_client = 8;
    config.limits.events = 100;
    config.limits.pairs = 8;
    config.limits.forward_queue = 100 << 10;
    share_out(&mut config, 8 << 20);
    let worst = config.worst_case_bytes();
    let mut world = World::new(3);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(3);
    world.add_stranger(raw.clone());
    let dialled = [600, 601, 602].map(|number| {
        let (now, address) = (world.now(), world.address(coordinator));
        let dial = Dial {
            initial_window: 4 << 20,
            ..Dial::home(Key::Identity(number))
        };
        let conn = raw.connect(now, address, &dial);
        world.run_for(Duration::from_secs(1));
        conn.control(&message::hello(
            format!("raw-{number}").as_bytes(),
            &[7; 4096],
        ));
        world.run_for(Duration::from_secs(1));
        conn
    });
    lose(&raw);
    // Nobody receives. Each stream has one message that waits and part of another, and all that the windows let in.
    for conn in &dialled {
        while let Some(stream) = conn.open_uni().or_else(|| conn.open_bi()) {
            conn.write(stream, message::preamble(&[1; 255]));
            conn.write(stream, message::frame(&[2; 60_000]));
            conn.write(stream, message::frame(&[3; 60_000]));
            conn.write(stream, message::frame(&[4; 200_000]));
        }
        for _ in 0..2000 {
            conn.send_datagram(vec![4; 200]);
        }
    }
    world.run_for(Duration::from_secs(20));
    let connected = dialled.iter().filter(|conn| conn.end().is_none()).count();
    assert_eq!(connected, 3, "they stay below the limits");
    let held = held(&mut world, coordinator, config) as u64;
    println!("3 clients hold {held} bytes of at most {worst}");
    assert!(held <= worst, "{held} bytes of at most {worst}");
    assert!(held > 4 << 20, "{held} bytes are no test of a limit");
}
