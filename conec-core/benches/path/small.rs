//! Small messages on one stream, beside bulk on another of the same connection.

use std::time::Duration;

use crate::{
    Settings, cases,
    connection::{End, Engine},
    harness::table::{Table, ratio},
    load::Kind,
    parallel,
    report::Record,
    run::{Plan, run},
};

pub(crate) fn beside_bulk(settings: &Settings) -> Vec<Record> {
    let cases = settings.choose(GROUP, cases::SMALL);
    let alone = vec![(End::Near, Kind::Small(EVERY))];
    let beside = vec![(End::Near, Kind::Bulk), (End::Near, Kind::Small(EVERY))];
    let mut kinds = vec![
        (Engine::Bare, "bare quinn-proto, no bulk".to_owned(), alone),
        (
            Engine::Bare,
            "bare quinn-proto, priority".to_owned(),
            beside.clone(),
        ),
    ];
    for control in settings.controls() {
        for engine in [
            Engine::ToCoordinator(control),
            Engine::BetweenClients(control),
        ] {
            kinds.push((engine, engine.to_string(), beside.clone()));
        }
    }
    let mut jobs = Vec::new();
    for case in &cases {
        for (engine, _, load) in &kinds {
            for seed in settings.seeds() {
                jobs.push((case.path, *engine, load, seed));
            }
        }
    }
    let seen = parallel::map(jobs, |(path, engine, load, seed)| {
        let plan = Plan {
            engine,
            load,
            after: Duration::ZERO,
        };
        let time = settings.time(path);
        let path = cases::hop(path, engine.hops());
        run(path, &[plan], Duration::ZERO, time, seed).remove(0)
    });
    let mut table = Table::new([
        "64 B messages beside bulk, one way",
        "connection",
        "p50, ms",
        "p99, ms",
        "p99 of bare with priority",
        "bulk, Mbit/s",
    ]);
    let mut records: Vec<Record> = Vec::new();
    let mut runs = seen.chunks(settings.seeds().count());
    for case in &cases {
        let mut reference = None;
        for ((engine, name, load), runs) in kinds.iter().zip(&mut runs) {
            let record = Record::new(GROUP, case.name, name, runs);
            let p99 = record.p99.unwrap_or(0.0);
            if *engine == Engine::Bare && load.len() > 1 {
                reference = Some(p99);
            }
            let bound = engine.is_conec().then_some(("≤", 1.3));
            let of_bare = reference.map_or_else(String::new, |bare| ratio(p99 / bare, bound));
            table.row([
                case.name.to_owned(),
                name.clone(),
                format!("{:.1}", record.p50.unwrap_or(0.0)),
                format!("{p99:.1}"),
                of_bare,
                record.cell(format!("{:.1}", record.rate)),
            ]);
            records.push(record);
        }
    }
    table.print();
    records
}

const GROUP: &str = "small";
const EVERY: Duration = Duration::from_millis(20);
