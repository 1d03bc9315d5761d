//! Networks that are gone for a while.

use std::time::Duration;

use crate::talk::Talk;

/// Outages of all lengths up to 25 seconds, of the whole network or of one host's link to it.
fn outages(seeds: std::ops::Range<u64>, direct: bool) {
    for seed in seeds {
        for seconds in 1..=25 {
            for talking in [false, true] {
                let hosts = [0..3, 0..1, 1..2, 2..3][seconds as usize % 4].clone();
                let mut talk = Talk::new(seed, direct);
                talk.is_about(&format!("{hosts:?} gone for {seconds} s, {talking}"));
                talk.pass(Duration::from_secs(3), talking);
                talk.pass_up_to(Duration::from_secs(10), talking);
                let nodes = [talk.coordinator, talk.ends[0].node, talk.ends[1].node];
                for &node in &nodes[hosts.clone()] {
                    talk.world.set_up(node, false);
                }
                talk.pass(Duration::from_secs(seconds), talking);
                for &node in &nodes[hosts] {
                    talk.world.set_up(node, true);
                }
                talk.goes_on();
            }
        }
    }
}

#[test]
fn what_waits_for_the_network_goes_on_soon_after_it_is_back() {
    outages(0..2, false);
}

#[test]
fn what_waits_for_the_network_goes_on_soon_on_direct_paths() {
    outages(2..4, true);
}
