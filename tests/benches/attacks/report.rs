//! Medians, and the table.

use serde::Serialize;

use crate::{
    measure::Round,
    result::Result,
    table::{Table, figure, median, ratio},
};

/// The medians of several rounds. Ratios are medians of each round's own.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    attack: &'static str,
    quiet: Figures,
    control: Figures,
    attacked: Figures,
    /// The 99th percentile of round trips under attack: of the quiet one, and of the one beside the control.
    of_quiet: f64,
    of_control: f64,
    /// Bulk under attack, of what it is beside the control.
    bulk_of_control: f64,
    /// Processors that the Coordinator uses under the attack alone.
    for_attackers: f64,
    /// The Coordinator's, in MiB: of the worst round.
    peak_memory: f64,
    /// How rounds have ended that have no figures.
    deaths: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Figures {
    /// Of round trips, in microseconds.
    p50: f64,
    p99: f64,
    /// In megabytes per second.
    bulk: f64,
    /// Thousands of datagrams a second that others sent during either.
    beside_round_trips: f64,
    beside_bulk: f64,
}

impl Record {
    pub(crate) fn new(attack: &'static str, rounds: Vec<Result<Round>>) -> Self {
        let (mut good, mut deaths) = (Vec::new(), Vec::new());
        for round in rounds {
            match round {
                Ok(round) => good.push(round),
                Err(error) => deaths.push(error.to_string()),
            }
        }
        let of = |figure: fn(&Round) -> f64| match good.is_empty() {
            true => f64::NAN,
            false => median(good.iter().map(figure).collect()),
        };
        Self {
            attack,
            quiet: Figures::new(&good, |round| &round.quiet),
            control: Figures::new(&good, |round| &round.control),
            attacked: Figures::new(&good, |round| &round.attacked),
            of_quiet: of(|it| it.attacked.p99.as_secs_f64() / it.quiet.p99.as_secs_f64()),
            of_control: of(|it| it.attacked.p99.as_secs_f64() / it.control.p99.as_secs_f64()),
            bulk_of_control: of(|it| it.attacked.bulk / it.control.bulk),
            for_attackers: of(|round| round.for_attackers),
            peak_memory: good.iter().map(|it| it.peak_memory).max().unwrap_or(0) as f64
                / f64::from(1 << 20),
            deaths,
        }
    }
}

impl Figures {
    fn new(rounds: &[Round], figures: fn(&Round) -> &crate::measure::Figures) -> Self {
        let of = |figure: fn(&crate::measure::Figures) -> f64| match rounds.is_empty() {
            true => f64::NAN,
            false => median(rounds.iter().map(|it| figure(figures(it))).collect()),
        };
        Self {
            p50: of(|it| it.median.as_secs_f64() * 1e6),
            p99: of(|it| it.p99.as_secs_f64() * 1e6),
            bulk: of(|it| it.bulk / 1e6),
            beside_round_trips: of(|it| it.beside_round_trips / 1e3),
            beside_bulk: of(|it| it.beside_bulk / 1e3),
        }
    }
}

pub(crate) fn print(records: &[Record]) {
    let mut table = Table::new([
        "ten attackers of each kind",
        "round trip p99, µs: quiet",
        "control",
        "attack",
        "of quiet",
        "of control",
        "bulk, MB/s: quiet",
        "control",
        "attack",
        "of control",
        "for attackers",
        "their K/s: round trips, bulk",
        "peak MiB",
    ]);
    for record in records {
        let three = |of: fn(&Figures) -> f64| {
            [&record.quiet, &record.control, &record.attacked].map(|it| figure(of(it)))
        };
        let mut row = vec![record.attack.to_owned()];
        row.extend(three(|it| it.p99));
        row.push(ratio(record.of_quiet, Some(("≤", 2.0))));
        row.push(figure(record.of_control));
        row.extend(three(|it| it.bulk));
        row.push(ratio(record.bulk_of_control, Some(("≥", 0.9))));
        row.push(figure(record.for_attackers));
        let beside = [
            record.attacked.beside_round_trips,
            record.attacked.beside_bulk,
        ];
        row.push(beside.map(figure).join(", "));
        row.push(ratio(record.peak_memory, Some(("≤", MEMORY))));
        if !record.deaths.is_empty() {
            row[0] = format!("{} DEAD: {}", row[0], record.deaths.join("; "));
        }
        table.row(row);
    }
    table.print();
}

/// The default budget and what may come on top, in MiB.
const MEMORY: f64 = 512.0 + 64.0;
