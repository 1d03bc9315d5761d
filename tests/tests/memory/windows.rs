//! What has come, and stays in the engine because nobody reads it.

use std::time::Duration;

use conec_core::{ChannelConfig, CoordinatorConfig};
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Dial, Key, Raw, RawConn, message},
    sim::{At, World},
};

use crate::{held, held_by_client, is_tight, log_in};

/// The engine keeps packets for the sake of the few bytes that they bring.
pub(crate) fn full_of_packets_with_hardly_anything_they_take_what_is_reckoned() {
    let config = |clients| {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = clients;
        bound(&mut config.home);
        config
    };
    let with = |clients| {
        let mut config = config(clients);
        config.memory = 0;
        config.worst_case_bytes() as usize
    };
    let mut world = World::new(7);
    let coordinator = world.add_coordinator_with(config(4));
    let raw = Raw::new(7);
    world.add_stranger(raw.clone());
    let conn = log_in(&mut world, &raw, coordinator, 600);
    fill(&mut world, &conn, 1, WINDOW);
    let held = held(&mut world, coordinator, config(4)) - MESSAGE;
    is_tight("a window full of single bytes", held, with(5) - with(4));
}

/// Of those that others have asked for.
pub(crate) fn those_of_peer_channels_too() {
    const COUNT: usize = 4;
    let config = |world: &World, channels| {
        let mut config = world.client_config("victim");
        config.limits.channels_per_client = channels;
        bound(&mut config.peer);
        config
    };
    let channels = |count| {
        let mut world = World::new(11);
        let coordinator = world.add_coordinator();
        let victim_config = config(&world, 16);
        let victim = world.add_client_with(victim_config.clone());
        world.connect(victim, coordinator);
        let raw = Raw::new(11);
        world.add_stranger(raw.clone());
        let id = world.client_id(victim);
        let home = log_in(&mut world, &raw, coordinator, 600);
        for _ in 0..count {
            home.control(&message::open_by_id(7, id, b"test"));
            world.run_for(Duration::from_secs(1));
            let offer = home.next_offer().expect("an offer");
            home.control(&message::accept(offer.own_route));
            world.run_for(Duration::from_secs(1));
            let (now, via) = (world.now(), world.address(coordinator));
            let conn = raw.connect_peer(now, &offer, via, &Dial::peer(Key::Identity(600)));
            world.run_for(Duration::from_secs(1));
            let from = keys::identity(600).id();
            conn.control(&message::bind(offer.channel, from, id, b"test"));
            world.run_for(Duration::from_secs(1));
            fill(&mut world, &conn, 1, WINDOW);
        }
        held_by_client(&mut world, victim, victim_config) - count * MESSAGE
    };
    let with = |channels| {
        let mut config = config(&World::new(11), channels);
        config.memory = 0;
        config.worst_case_bytes() as usize
    };
    // Each has a place among those that it has asked for, too.
    let reckoned = (with(5) - with(4)) / 2;
    let each = (channels(COUNT) - channels(0)) / COUNT;
    is_tight("one of a peer channel", each, reckoned);
}

pub(crate) fn those_that_have_grown_take_what_is_shared_out() {
    const SHARE: usize = 4 << 20;
    const CLIENTS: usize = 6;
    let mut config = CoordinatorConfig::new(keys::certificate());
    let with = |clients| {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = clients;
        config.memory = 0;
        config.worst_case_bytes() as usize
    };
    let fixed = CLIENTS * (with(5) - with(4));
    config.limits.clients = CLIENTS;
    share_out(&mut config, SHARE);
    let mut world = World::new(12);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(12);
    world.add_stranger(raw.clone());
    for number in 0..CLIENTS as u16 {
        let conn = log_in(&mut world, &raw, coordinator, 600 + number);
        let at = world.opened(coordinator);
        read_much(&mut world, at, &conn);
        fill(&mut world, &conn, 300, 2 * SHARE);
    }
    let held = held(&mut world, coordinator, config) - CLIENTS * MESSAGE;
    // The other half is for messages.
    let shared = SHARE / 8 * 9 + SHARE / 4;
    is_tight("windows that have grown", held, shared + fixed);
}

const WINDOW: usize = 16 << 10;
const MESSAGE: usize = 70_000;

fn bound(config: &mut ChannelConfig) {
    config.receive_window = WINDOW as u32;
    config.max_receive_window = WINDOW as u32;
}

/// Sends much that is read at once, as fast as it goes.
fn read_much(world: &mut World, at: At, conn: &RawConn) {
    const COUNT: usize = 300;
    let stream = conn.open_uni().expect("as many as are allowed");
    conn.write(stream, message::preamble(b""));
    conn.write(stream, message::frame(&[1; 50_000]).repeat(COUNT));
    conn.finish(stream);
    let stream = world.accept_stream(at);
    for _ in 0..COUNT {
        world.recv(stream);
    }
}

/// Fills a channel's window in pieces, each with a packet to itself.
fn fill(world: &mut World, conn: &RawConn, piece: usize, at_most: usize) {
    let stream = conn.open_uni().expect("as many as are allowed");
    conn.write(stream, message::preamble(b""));
    // It waits for its reader. What comes next stays in the window.
    conn.write(stream, message::frame(&[2; MESSAGE]));
    world.run_for(Duration::from_secs(1));
    let mut sent = 0;
    while conn.is_flushed() {
        conn.write(stream, vec![1; piece]);
        world.run_for(Duration::from_micros(500));
        sent += piece;
        assert!(sent < 10 * at_most, "the window is not full");
    }
}
