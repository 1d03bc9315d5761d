//! Machines that sleep and wake up.

use std::time::Duration;

use conec_core::CoordinatorConfig;
use conec_tests::{
    keys,
    sim::{Clock, NodeId, World},
};

use crate::talk::Talk;

/// Sleeps of all these lengths, with both kinds of clock, with and without room in the socket, with and without messages
/// under way.
fn nights(seeds: std::ops::Range<u64>, direct: bool, who: fn(&Talk) -> NodeId) {
    for seed in seeds {
        for (number, seconds) in [5, 10, 20, 25].into_iter().enumerate() {
            for clock in [Clock::Stands, Clock::Runs] {
                for talking in [false, true] {
                    let room = [0, 200 << 10][(seed as usize / 2 + number) % 2];
                    let mut talk = Talk::new(seed, direct);
                    talk.is_about(&format!("{clock:?}, room {room}, {seconds} s, {talking}"));
                    let node = who(&talk);
                    talk.pass(Duration::from_secs(3), talking);
                    talk.pass_up_to(Duration::from_secs(20), talking);
                    talk.world.sleep(node, clock, room);
                    talk.pass(Duration::from_secs(seconds), talking);
                    talk.world.wake(node);
                    talk.goes_on();
                }
            }
        }
    }
}

#[test]
fn the_opener_of_a_proxied_channel_sleeps() {
    nights(0..2, false, |talk| talk.ends[0].node);
}

#[test]
fn the_accepter_of_a_proxied_channel_sleeps() {
    nights(2..4, false, |talk| talk.ends[1].node);
}

#[test]
fn the_opener_of_a_direct_channel_sleeps() {
    nights(4..6, true, |talk| talk.ends[0].node);
}

#[test]
fn the_accepter_of_a_direct_channel_sleeps() {
    nights(6..8, true, |talk| talk.ends[1].node);
}

#[test]
fn the_coordinator_sleeps() {
    nights(8..10, false, |talk| talk.coordinator);
    nights(10..12, true, |talk| talk.coordinator);
}

/// The shorter of two idle timeouts counts, and who sleeps by a clock that stands still is asked in time by that.
#[test]
fn who_sleeps_and_has_the_shorter_idle_timeout_wakes_up_in_the_same_session() {
    let mut world = World::new(12);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.home.idle_timeout = Duration::from_secs(60);
    let coordinator = world.add_coordinator_with(config);
    let mut config = world.client_config("alice");
    config.home.idle_timeout = Duration::from_secs(10);
    config.home.keep_alive = Some(Duration::from_secs(3));
    let alice = world.add_client_with(config);
    world.connect(alice, coordinator);
    let id = world.client_id(alice);
    let session = world.coordinator(coordinator).find(id);
    world.run_for(Duration::from_secs(30));
    world.sleep(alice, Clock::Stands, 200 << 10);
    world.run_for(Duration::from_secs(12));
    world.wake(alice);
    world.run_for(Duration::from_secs(30));
    assert!(session.is_some());
    assert_eq!(world.coordinator(coordinator).find(id), session);
}
