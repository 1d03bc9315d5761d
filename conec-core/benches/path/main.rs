//! How well long paths are filled: a round trip of 100 ms, in virtual time, with default settings beside quinn-proto
//! without bounds on its windows.
//!
//! ```text
//! cargo bench -p conec-core --bench path                       # under a minute
//! cargo bench -p conec-core --bench path -- --quick            # two seconds of virtual time instead of twenty
//! ```
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod network;
mod transfers;

use std::time::Duration;

use harness::table::{Table, figure, ratio};
use lexopt::prelude::*;
use network::Path;

fn main() -> Result<(), lexopt::Error> {
    let mut time = Duration::from_secs(20);
    let mut wanted = Vec::new();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            // What cargo adds.
            Long("bench") => {}
            Long("quick") => time = Duration::from_secs(2),
            Value(word) => wanted.push(word.string()?),
            Short(_) | Long(_) => return Err(arg.unexpected()),
        }
    }
    let seconds = time.as_secs();
    let mut table = Table::new([
        "100 ms there and back, Mbit/s",
        "quinn-proto, no bounds",
        "between Clients",
        "from the Coordinator",
        "to the Coordinator",
    ]);
    for (name, path) in PATHS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word)) {
            continue;
        }
        let bare = transfers::bare(path, time);
        let beside = |rate: f64| {
            let ratio = ratio(rate / bare, Some(("≥", 0.8)));
            format!("{} = {ratio}", figure(rate))
        };
        table.row([
            format!("{name}, {seconds} s"),
            figure(bare),
            beside(transfers::between_clients(path, time)),
            beside(transfers::from_coordinator(path, time)),
            beside(transfers::to_coordinator(path, time)),
        ]);
    }
    table.print();
    Ok(())
}

/// From one end to the other.
const PATHS: [(&str, Path); 4] = [
    ("1 Gbit/s", LONG_FAT),
    (
        "1 Gbit/s, 0.1 % loss",
        Path {
            loss: 0.001,
            ..LONG_FAT
        },
    ),
    (
        "1 Gbit/s, a queue of 50 ms",
        Path {
            queue: Some(Duration::from_millis(50)),
            ..LONG_FAT
        },
    ),
    (
        "100 Mbit/s, a queue of 50 ms",
        Path {
            bytes_per_second: 12_500_000,
            queue: Some(Duration::from_millis(50)),
            ..LONG_FAT
        },
    ),
];
const LONG_FAT: Path = Path {
    bytes_per_second: 125_000_000,
    delay: Duration::from_millis(50),
    loss: 0.0,
    queue: None,
};
