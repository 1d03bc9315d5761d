//! One stream of large messages, as fast as it goes.

use std::time::Duration;

use crate::{
    Settings,
    cases::{self, Case},
    connection::{End, Engine},
    control::Control,
    harness::table::{Table, figure, ratio},
    link::Path,
    load::Kind,
    parallel,
    report::{Record, median_of, percent},
    run::{Plan, Seen, run},
};

/// Over all kinds of paths, beside bare quinn-proto with its defaults.
pub(crate) fn faulty(settings: &Settings) -> Vec<Record> {
    let cases = settings.choose(GROUP, cases::TRANSFERS);
    let mut engines = vec![Engine::Bare];
    for control in settings.controls() {
        engines.extend([
            Engine::ToCoordinator(control),
            Engine::BetweenClients(control),
        ]);
    }
    let reference = cases::TRANSFERS[0].path;
    let mut paths = Vec::new();
    if !cases.is_empty() {
        paths.push(reference);
    }
    for case in &cases {
        for path in [case.path, cases::clean(case.path)] {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let seen = transfer(settings, &paths, &engines);
    let on = |path: Path, engine: usize| {
        let path = paths.iter().position(|&other| other == path);
        &seen[path.expect("all were measured")][engine]
    };
    let rate = |path: Path, engine: usize| median_of(on(path, engine), |seen| seen.rate);
    let mut records = Vec::new();
    for case in &cases {
        for (index, engine) in engines.iter().enumerate() {
            let runs = on(case.path, index);
            let headers = median_of(on(reference, index), Seen::headers);
            let mut record = Record::new(GROUP, case.name, engine, runs);
            record.of_bare = engine.is_conec().then(|| record.rate / rate(case.path, 0));
            let clean = cases::clean(case.path);
            record.of_clean = (clean != case.path).then(|| record.rate / rate(clean, index));
            record.wasted = record
                .death
                .is_none()
                .then(|| median_of(runs, |seen| seen.wasted(headers)));
            records.push(record);
        }
    }
    print_faulty(&cases, &records, engines.len());
    records
}

/// Over long fat paths, beside quinn-proto without bounds on its windows.
pub(crate) fn long_fat(settings: &Settings) -> Vec<Record> {
    let cases = settings.choose(LONG_FAT, cases::LONG_FAT);
    let engines = [
        Engine::Unbounded,
        Engine::BetweenClients(Control::Default),
        Engine::FromCoordinator(Control::Default),
        Engine::ToCoordinator(Control::Default),
    ];
    let paths = cases.iter().map(|case| case.path).collect::<Vec<_>>();
    let seen = transfer(settings, &paths, &engines);
    let mut table = Table::new([
        "100 ms there and back, Mbit/s",
        "quinn-proto, no bounds",
        "between Clients",
        "from the Coordinator",
        "to the Coordinator",
    ]);
    let mut records = Vec::new();
    for (case, seen) in cases.iter().zip(seen) {
        let mut cells = vec![case.name.to_owned()];
        let bare = median_of(&seen[0], |seen| seen.rate);
        for (engine, runs) in engines.iter().zip(&seen) {
            let mut record = Record::new(LONG_FAT, case.name, engine, runs);
            let mut cell = figure(record.rate);
            if engine.is_conec() {
                let of_bare = record.rate / bare;
                record.of_bare = Some(of_bare);
                cell = format!("{cell} = {}", ratio(of_bare, Some(("≥", 0.8))));
            }
            cells.push(record.cell(cell));
            records.push(record);
        }
        table.row(cells);
    }
    table.print();
    records
}

/// For each path and each engine, what was seen with each seed.
fn transfer(settings: &Settings, paths: &[Path], engines: &[Engine]) -> Vec<Vec<Vec<Seen>>> {
    let mut jobs = Vec::new();
    for &path in paths {
        for &engine in engines {
            for seed in settings.seeds() {
                jobs.push((path, engine, seed));
            }
        }
    }
    let seen = parallel::map(jobs, |(path, engine, seed)| {
        let plan = Plan {
            engine,
            load: &[(End::Near, Kind::Bulk)],
            after: Duration::ZERO,
        };
        let time = settings.time(path);
        let path = cases::hop(path, engine.hops());
        run(path, &[plan], Duration::ZERO, time, seed).remove(0)
    });
    let seeds = settings.seeds().count();
    seen.chunks(seeds)
        .map(<[Seen]>::to_vec)
        .collect::<Vec<_>>()
        .chunks(engines.len())
        .map(<[Vec<Seen>]>::to_vec)
        .collect()
}

fn print_faulty(cases: &[Case], records: &[Record], engines: usize) {
    let mut table = Table::new([
        "bulk",
        "connection",
        "Mbit/s",
        "of bare",
        "of clean",
        "dropped",
        "for nothing",
    ]);
    let optional =
        |figure: Option<f64>, show: &dyn Fn(f64) -> String| figure.map_or_else(String::new, show);
    for (case, records) in cases.iter().zip(records.chunks(engines)) {
        for record in records {
            let wanted = case.of_clean.map(|part| ("≥", part));
            let wanted = wanted.filter(|_| record.of_bare.is_some());
            table.row([
                case.name.to_owned(),
                record.connection.clone(),
                record.cell(figure(record.rate)),
                optional(record.of_bare, &|of_bare| ratio(of_bare, None)),
                optional(record.of_clean, &|of_clean| ratio(of_clean, wanted)),
                percent(record.dropped),
                optional(record.wasted, &percent),
            ]);
        }
    }
    table.print();
}

const GROUP: &str = "bulk";
const LONG_FAT: &str = "long fat path";
