//! What there is a fixed number of places for.

use std::time::Duration;

use conec_core::{CoordinatorConfig, Policy};
use conec_tests::{
    keys,
    raw::{Dial, Key, Raw, message, ticket},
    sim::World,
};

use crate::{held, is_tight, log_in};

const COUNT: usize = 100;

/// Whether they were only asked for, or have begun.
pub(crate) fn pairs_take_what_is_reckoned() {
    let empty = with_pairs(0, false);
    let reckoned = reckoned(|config, count| config.limits.pairs = count);
    for (what, accepted) in [("a pair that was asked for", false), ("a pair", true)] {
        let each = (with_pairs(COUNT, accepted) - empty) / COUNT;
        is_tight(what, each, reckoned);
    }
    let each = (with_claims(COUNT) - with_claims(0)) / COUNT;
    // It has no names.
    println!("a pair that one end has claimed: {each} bytes of {reckoned}");
    assert!(each <= reckoned, "{each} bytes");
}

/// A message, and much that is skipped, which is not kept with it.
fn with_more(message: &[u8]) -> Vec<u8> {
    let skipped = [vec![0x3f], vec![0; 700]].concat();
    [message::frame(message), message::frame(&skipped)].concat()
}

/// Pairs that stood at another Coordinator.
fn with_claims(count: usize) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.ticket_key = Some([5; 32].into());
    let mut world = World::new(14);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(14);
    world.add_stranger(raw.clone());
    let conn = log_in(&mut world, &raw, coordinator, 600);
    for number in 0..count as u8 {
        let route = |end| [0x80, 0, 0, 0, number, end];
        let end = message::Offer {
            request: None,
            role: 0,
            own_route: route(0),
            peer_route: route(1),
            channel: number.into(),
            peer: keys::identity(601).id(),
            peer_name: Vec::new(),
            label: vec![b'l'; 255],
        };
        let ticket = ticket::seal(&[5; 32], 0, keys::identity(600).id(), &end);
        conn.control_bytes(with_more(&message::resume(&end, &ticket)));
        world.run_for(Duration::from_millis(20));
    }
    assert!(conn.next_of_kind(6).is_none(), "a claim is refused");
    held(&mut world, coordinator, config)
}

fn with_pairs(count: usize, accepted: bool) -> usize {
    let config = CoordinatorConfig::new(keys::certificate());
    let mut world = World::new(9);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(9);
    world.add_stranger(raw.clone());
    let [asks, asked] = [600, 601].map(|number| log_in(&mut world, &raw, coordinator, number));
    let target = keys::identity(601).id();
    for request in 0..count as u64 {
        let asked = message::open_by_id(request, target, &[b'l'; 255]);
        asks.control_bytes(with_more(&asked));
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(1));
    let mut offers = 0;
    for conn in [&asks, &asked] {
        while let Some(offer) = conn.next_offer() {
            offers += 1;
            if accepted {
                conn.control(&message::accept(offer.own_route));
            }
        }
    }
    assert_eq!(offers, 2 * count);
    world.run_for(Duration::from_secs(1));
    held(&mut world, coordinator, config)
}

/// Of those who ask to be let in, with the longest token, and leave again.
pub(crate) fn events_take_what_is_reckoned() {
    let each = (with_events(COUNT) - with_events(0)) / COUNT;
    let reckoned = reckoned(|config, count| config.limits.events = count);
    is_tight("an event", each, reckoned);
}

fn with_events(count: usize) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    let mut world = World::new(10);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(10);
    world.add_stranger(raw.clone());
    world.set_lagging(coordinator, true);
    for number in 0..count as u16 {
        let (now, address) = (world.now(), world.address(coordinator));
        let conn = raw.connect(now, address, &Dial::home(Key::Identity(700 + number)));
        world.run_for(Duration::from_millis(200));
        conn.control(&message::hello(&[b'n'; 64], &[7; 4096]));
        world.run_for(Duration::from_millis(200));
        conn.close(world.now(), 0);
    }
    world.run_for(Duration::from_secs(20));
    held(&mut world, coordinator, config)
}

/// By how much one more makes the worst case worse.
fn reckoned(set: fn(&mut CoordinatorConfig, usize)) -> usize {
    let with = |count| {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.memory = 0;
        set(&mut config, count);
        config.worst_case_bytes() as usize
    };
    (with(2 * COUNT) - with(COUNT)) / COUNT
}

/// News of addresses and offers for a Client that reads nothing of what it is told.
pub(crate) fn what_a_deaf_client_is_told_is_reckoned_with_it() {
    let reckoned = reckoned(|config, count| config.limits.clients = count);
    let held = with_deaf(true) - with_deaf(false);
    println!("what a deaf client was told: {held} bytes of {reckoned}");
    assert!(held <= reckoned, "{held} bytes of {reckoned}");
}

fn with_deaf(told: bool) -> usize {
    let config = CoordinatorConfig::new(keys::certificate());
    let mut world = World::new(13);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(13);
    let mallory = world.add_stranger(raw.clone());
    let asks = log_in(&mut world, &raw, coordinator, 601);
    let (now, address) = (world.now(), world.address(coordinator));
    let dial = Dial {
        stream_window: 1024,
        window: 4096,
        ..Dial::home(Key::Identity(600))
    };
    let deaf = raw.connect(now, address, &dial);
    world.run_for(Duration::from_secs(1));
    deaf.control(&message::hello(b"", b""));
    world.run_for(Duration::from_secs(1));
    deaf.set_reading(false);
    let addresses = [1, 2].map(|port| ([198, 51, 100, 66], port).into());
    for round in 0..if told { 1000 } else { 0 } {
        world.rebind(mallory, addresses[round % 2]);
        deaf.ping();
        let target = keys::identity(600).id();
        asks.control(&message::open_by_id(round as u64, target, &[7; 255]));
        world.run_for(Duration::from_millis(20));
        while let Some(offer) = asks.next_offer() {
            asks.control(&message::close_channel(offer.own_route, 0));
        }
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(deaf.end(), None);
    held(&mut world, coordinator, config)
}
