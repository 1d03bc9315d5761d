//! Newcomers per second of the server's time: an X.509 certificate on one side, a raw Ed25519 key on the other.

use std::time::{Duration, Instant};

use conec_core::ChannelConfig;

use crate::harness::{bare, conec};

/// Until the Client is admitted, under no name.
pub(crate) fn conec(time: Duration) -> f64 {
    let mut world = conec::World::new();
    let (start, mut count) = (Instant::now(), 0);
    world.network.spent_in_first = Duration::ZERO;
    while start.elapsed() < 2 * time {
        let mut client = world.client();
        world.connect(&mut client);
        count += 1;
    }
    f64::from(count) / world.network.spent_in_first.as_secs_f64()
}

pub(crate) fn bare(time: Duration) -> f64 {
    let mut world = bare::World::new(&ChannelConfig::default(), &ChannelConfig::default());
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < 2 * time {
        let (mut client, _) = world.client();
        world.connect(&mut client);
        count += 1;
    }
    f64::from(count) / world.network.spent_in_first.as_secs_f64()
}
