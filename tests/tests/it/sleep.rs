//! Machines that sleep and wake up.

use std::time::Duration;

use conec_tests::sim::{Clock, NodeId};

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
