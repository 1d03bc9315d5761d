//! Newcomers per second of the server's time: an X.509 certificate on one side, a raw Ed25519 key on the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use conec_core::ChannelConfig;

use crate::harness::{Authority, bare, conec};

/// Until the Client is admitted, under no name.
pub(crate) fn conec(time: Duration) -> f64 {
    conec_in(conec::World::new(), time)
}

/// The same with a certificate of each Client's, which the Coordinator checks.
pub(crate) fn conec_certified(authority: &Arc<Authority>, time: Duration) -> f64 {
    conec_in(conec::World::certified(authority), time)
}

fn conec_in(mut world: conec::World, time: Duration) -> f64 {
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
    let config = ChannelConfig::default();
    bare_in(bare::World::new(&config, &config), time)
}

/// The same with certificates on both sides.
pub(crate) fn bare_certified(authority: &Arc<Authority>, time: Duration) -> f64 {
    bare_in(bare::World::certified(authority), time)
}

fn bare_in(mut world: bare::World, time: Duration) -> f64 {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < 2 * time {
        let (mut client, _) = world.client();
        world.connect(&mut client);
        count += 1;
    }
    f64::from(count) / world.network.spent_in_first.as_secs_f64()
}
