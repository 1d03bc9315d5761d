//! The scenarios: how conec behaves, told one behaviour at a time.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod admission;
mod calls;
mod channels;
mod closing;
mod config;
mod congestion;
mod connecting;
mod corpora;
mod crashes;
mod credentials;
mod direct;
mod drivers;
mod errors;
mod gaps;
mod groups;
mod guards;
mod hostile;
mod introductions;
mod jumbo;
mod keys;
mod known;
mod limits;
mod lossy;
mod many_streams;
mod model;
mod names;
mod nat;
mod network;
mod outage;
mod pacing;
mod participant;
mod presence;
mod priorities;
mod racing;
mod rebinding;
mod reckoning;
mod resuming;
mod rules;
mod sealed;
mod secrets;
mod sleep;
mod stats;
mod streams;
mod talk;
mod trust;
mod unread;
mod wakeups;
mod world;

use conec_core::ChannelConfig;
use conec_tests::sim::{At, NodeId, World};

/// A Coordinator, two Clients, and a channel between them.
fn pair(seed: u64) -> (World, NodeId, At, At) {
    let mut world = World::new(seed);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, at_alice, at_bob)
}

/// The same, with a channel that goes through the Coordinator alone.
fn proxied_pair(seed: u64) -> (World, NodeId, At, At) {
    let mut world = World::new(seed);
    let (coordinator, [alice, bob]) = world.with_proxied_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, coordinator, at_alice, at_bob)
}

/// Two Clients with a channel between them, whose settings are changed by `change`.
fn pair_with(seed: u64, change: impl Fn(&mut ChannelConfig)) -> (World, At, At) {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.memory = 1 << 40;
        change(&mut config.peer);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, at_alice, at_bob)
}
