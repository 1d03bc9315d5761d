//! What the core costs beside bare quinn-proto, in memory: no sockets, one thread.
//!
//! ```text
//! cargo bench -p conec-core                                     # this and memory: about six minutes
//! cargo bench -p conec-core --bench speed -- --quick            # one short round
//! cargo bench -p conec-core --bench speed -- bulk handshakes    # what is so called
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

#[path = "../harness/mod.rs"]
mod harness;

mod forwarding;
mod handshakes;
mod idle;
mod streams;

use std::time::Duration;

use harness::{
    Authority,
    table::{Table, figure, median, ratio},
};
use lexopt::prelude::*;

fn main() -> Result<(), lexopt::Error> {
    let mut rounds = 7;
    let mut time = Duration::from_millis(500);
    let mut clients = 10_000;
    let mut wanted = Vec::new();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            // What cargo adds.
            Long("bench") => {}
            Long("quick") => {
                rounds = 1;
                time = Duration::from_millis(50);
                clients = 1000;
            }
            Long("rounds") => rounds = args.value()?.parse()?,
            Long("seconds") => time = args.value()?.parse_with(seconds)?,
            Value(word) => wanted.push(word.string()?),
            Short(_) | Long(_) => return Err(arg.unexpected()),
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));

    let mut table = Table::new(["one channel, in memory", "conec", "quinn-proto", "ratio"]);
    for load in streams::Load::ALL {
        if !is_wanted(&load.to_string()) {
            continue;
        }
        let (conec, bare) = interleaved(
            rounds,
            || streams::conec(load, time),
            || streams::bare(load, time),
        );
        table.row([
            format!("{load}, {}", load.unit()),
            figure(median(conec.clone())),
            figure(median(bare.clone())),
            ratio(ratios(&conec, &bare), load.wanted()),
        ]);
    }
    table.print();

    let mut table = Table::new(["forwarding at a Coordinator", "million packets/s"]);
    for batch in [1, 10, 44].into_iter().filter(|_| is_wanted("forwarding")) {
        let figures = (0..rounds).map(|_| forwarding::packets_per_second(batch, time));
        let name = format!("batches of {batch}");
        table.row([name, figure(median(figures.collect()) / 1e6)]);
    }
    table.print();

    let mut table = Table::new(["at the server", "conec", "quinn-proto", "ratio"]);
    if is_wanted("handshakes") {
        let (conec, bare) = interleaved(
            rounds,
            || handshakes::conec(time),
            || handshakes::bare(time),
        );
        table.row([
            "handshakes per second".to_owned(),
            figure(median(conec.clone())),
            figure(median(bare.clone())),
            ratio(ratios(&conec, &bare), Some(("≥", 0.9))),
        ]);
        let authority = Authority::new();
        let (conec, bare) = interleaved(
            rounds,
            || handshakes::conec_certified(&authority, time),
            || handshakes::bare_certified(&authority, time),
        );
        table.row([
            "the same, with certificates of Clients".to_owned(),
            figure(median(conec.clone())),
            figure(median(bare.clone())),
            ratio(ratios(&conec, &bare), Some(("≥", 0.85))),
        ]);
    }
    table.print();

    let mut table = Table::new(["idle Clients", "ns a poll", "ratio to 1"]);
    let counts = [1, 1000, 10_000];
    let counts = counts.into_iter().filter(|&count| count <= clients);
    let mut coordinators = counts
        .filter(|_| is_wanted("idle"))
        .map(idle::Idle::new)
        .collect::<Vec<_>>();
    // In turn, as the processor's clock is not always the same.
    let mut figures = vec![Vec::new(); coordinators.len()];
    for _ in 0..rounds {
        for (coordinator, figures) in coordinators.iter_mut().zip(&mut figures) {
            figures.push(coordinator.nanoseconds_per_poll(time));
        }
    }
    for (coordinator, nanoseconds) in coordinators.iter().zip(&figures) {
        let count = coordinator.count();
        let wanted = (count == 10_000).then_some(("≤", 1.5));
        table.row([
            count.to_string(),
            figure(median(nanoseconds.clone())),
            ratio(ratios(nanoseconds, &figures[0]), wanted),
        ]);
    }
    table.print();
    Ok(())
}

fn seconds(value: &str) -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(value.parse()?)?)
}

/// Measures two things in turn.
fn interleaved(
    rounds: usize,
    mut a: impl FnMut() -> f64,
    mut b: impl FnMut() -> f64,
) -> (Vec<f64>, Vec<f64>) {
    (0..rounds).map(|_| (a(), b())).unzip()
}

/// The median of the rounds' own ratios.
fn ratios(a: &[f64], b: &[f64]) -> f64 {
    median(a.iter().zip(b).map(|(a, b)| a / b).collect())
}
