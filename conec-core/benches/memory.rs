//! What idle connections take, in bytes that the allocator was asked for.
//!
//! ```text
//! cargo bench -p conec-core --bench memory
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]

mod harness;

use conec_core::ChannelConfig;
use harness::{
    bare, conec,
    table::{Table, figure, ratio},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let home = conec::coordinator_config();
    let client = conec::client_config(home.certificate.pin());

    let mut table = Table::new(["KB of memory", "conec", "quinn-proto", "ratio"]);
    let mut row = |what: &str, conec: f64, bare: f64, wanted| {
        let cells = [what.to_owned(), figure(conec / 1e3), figure(bare / 1e3)];
        let [what, conec_kb, bare_kb] = cells;
        table.row([what, conec_kb, bare_kb, ratio(conec / bare, wanted)]);
    };
    let (at_client, at_coordinator) = conec_peer_channel();
    row(
        "an idle Client, at the Coordinator",
        conec_client(),
        bare_connection(&home.home),
        Some(("≤", 1.2)),
    );
    row(
        "an idle peer channel, at a Client",
        at_client,
        bare_connection(&client.peer),
        None,
    );
    println!("{table}");
    println!("an idle peer channel, at the Coordinator: {at_coordinator:.0} bytes");
}

fn in_use() -> f64 {
    dhat::HeapStats::get().curr_bytes as f64
}

/// At the Coordinator, for each Client.
fn conec_client() -> f64 {
    let mut world = conec::World::new();
    // Tables get their first room.
    drop(world.idle_client());
    let before = in_use();
    for _ in 0..COUNT {
        drop(world.idle_client());
    }
    (in_use() - before) / f64::from(COUNT)
}

/// At the server, for each connection.
fn bare_connection(settings: &ChannelConfig) -> f64 {
    let mut world = bare::World::new(settings, settings);
    drop(world.idle_client());
    let before = in_use();
    for _ in 0..COUNT {
        drop(world.idle_client());
    }
    (in_use() - before) / f64::from(COUNT)
}

/// For each channel, at the Client that asked for it, and at the Coordinator.
fn conec_peer_channel() -> (f64, f64) {
    let of = |channels: u32| {
        let mut world = conec::World::new();
        let (mut alice, mut bob) = (world.idle_client(), world.idle_client());
        for _ in 0..channels {
            world.channel(&mut alice, &mut bob);
        }
        world.network.run_for(
            conec::SETTLED,
            &mut [&mut world.coordinator, &mut alice, &mut bob],
        );
        let all = in_use();
        drop(alice);
        let without_alice = in_use();
        drop(bob);
        let without_bob = in_use();
        drop(world);
        (all - without_alice, without_bob - in_use())
    };
    let (few, many) = (of(1), of(1 + COUNT));
    let each = |many: f64, few: f64| (many - few) / f64::from(COUNT);
    (each(many.0, few.0), each(many.1, few.1))
}

const COUNT: u32 = 100;
