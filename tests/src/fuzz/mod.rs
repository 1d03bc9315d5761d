//! What the fuzz targets do with their input: any bytes whatever. `fuzz/README.md` says how to run them.
//!
//! Each target is a function that panics if what it checks does not hold. libFuzzer calls it with bytes of its own, the
//! ordinary tests with the corpora in `fuzz/corpus`.

pub mod claims;
pub mod control_stream;
pub mod datagrams;
pub mod frame;
pub mod group;
pub mod message;
pub mod preamble;
pub mod reassembly;
pub mod route;
pub mod sealed;
pub mod world;

use std::time::Duration;

use conec_core::Endpoint;

use crate::sim::{NodeId, World};

/// What a target does with an input.
pub type Run = fn(&[u8]);

/// All targets, by the names that they and their corpora have.
pub const TARGETS: [(&str, Run); 13] = [
    ("claims", claims::run),
    ("client_datagrams", datagrams::client),
    ("control_stream", control_stream::run),
    ("coordinator_datagrams", datagrams::coordinator),
    ("frame", frame::run),
    ("group", group::run),
    ("message", message::run),
    ("participant", control_stream::participant::run),
    ("preamble", preamble::run),
    ("reassembly", reassembly::run),
    ("route", route::run),
    ("sealed", sealed::run),
    ("world", world::run),
];

/// The Clients leave, and nothing is left anywhere.
fn leave(world: &mut World, coordinator: Option<NodeId>, clients: &[NodeId]) {
    for &client in clients {
        let now = world.now();
        world.client(client).close(now, Duration::from_secs(5));
    }
    // All timeouts are shorter.
    world.run_for(Duration::from_secs(100));
    for &client in clients {
        world.check_client_ended(client);
    }
    if let Some(coordinator) = coordinator {
        world.check_coordinator_deserted(coordinator);
    }
}

/// Takes an input apart. Whatever is asked for after its end is zero, or empty.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// So many bytes, or as many as there are.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A length and as many bytes.
    fn block(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(len.into())
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
