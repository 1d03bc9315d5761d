//! A world of endpoints, networks and faults in virtual time, replayed exactly from a seed.
//!
//! ```
//! use conec_tests::sim::World;
//!
//! let mut world = World::new(7);
//! let coordinator = world.add_coordinator();
//! let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
//! world.connect(alice, coordinator);
//! world.connect(bob, coordinator);
//! let (at_alice, at_bob) = world.open_channel(alice, bob);
//! let stream = world.open_stream(at_alice, b"greetings");
//! world.send(stream, "hello");
//! let stream = world.accept_stream(at_bob);
//! assert_eq!(world.recv(stream), "hello");
//! ```

mod access;
mod nat;
mod network;
mod node;
mod places;
mod processor;
mod sleep;
mod socket;
mod story;
mod topology;
mod trace;
mod world;

pub use self::{
    access::Access,
    nat::{Dependence, Hairpin, NatConfig, Ports},
    network::{Burst, LinkConfig, Network, Packet, Tap},
    node::{Event, NodeId, Stranger},
    sleep::Clock,
    socket::{Received, Socket},
    story::{At, Half},
    topology::{Host, NatId, Net},
    trace::Trace,
    world::{Wakeup, World},
};
