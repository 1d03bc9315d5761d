//! Two connections that share a link.

use std::time::Duration;

use crate::{
    Settings, cases,
    connection::{End, Engine},
    control::Control,
    harness::table::{Table, figure, ratio},
    load::Kind,
    parallel,
    report::Record,
    run::{Plan, Seen, run},
};

/// Who is beside whom.
struct Pair {
    name: String,
    first: Engine,
    second: Engine,
    wanted: Wanted,
}

/// What is wanted of the second.
#[derive(PartialEq)]
enum Wanted {
    /// That both get the same.
    Fair,
    /// That the first has what it would have alone.
    GivesWay,
    Nothing,
}

fn pairs() -> Vec<Pair> {
    let conec = Engine::ToCoordinator(Control::Default);
    let pair = |name: &str, first, second, wanted| Pair {
        name: name.to_owned(),
        first,
        second,
        wanted,
    };
    let mut pairs = vec![
        pair("two channels", conec, conec, Wanted::Fair),
        pair("beside bare Cubic", Engine::Bare, conec, Wanted::Fair),
        pair(
            "two bare Cubics",
            Engine::Bare,
            Engine::Bare,
            Wanted::Nothing,
        ),
    ];
    for control in Control::ALL {
        if control != Control::Default {
            let wanted = if control.gives_way() {
                Wanted::GivesWay
            } else {
                Wanted::Nothing
            };
            let name = format!("beside {control}");
            pairs.push(pair(&name, conec, Engine::ToCoordinator(control), wanted));
        }
    }
    pairs
}

pub(crate) fn shared(settings: &Settings) -> Vec<Record> {
    let cases = settings.choose(GROUP, cases::SHARED);
    let seeds = settings.shared_seeds();
    let pairs = pairs();
    let mut jobs = Vec::new();
    for case in &cases {
        for pair in &pairs {
            for seed in seeds.clone() {
                jobs.push((case.path, pair.first, pair.second, seed));
            }
        }
    }
    let seen = parallel::map(jobs, |(path, first, second, seed)| {
        let plan = |engine, after| Plan {
            engine,
            load: &[(End::Near, Kind::Bulk)],
            after,
        };
        // The second comes while the first is under way, each time at another moment.
        let later = Duration::from_millis(500 + seed * 137 % 1000);
        let (first, second) = (plan(first, Duration::ZERO), plan(second, later));
        run(path, &[first, second], UNCOUNTED, TIME, seed)
    });
    let mut alone = Vec::new();
    for case in &cases {
        for pair in &pairs {
            alone.push((case.path, pair.first));
        }
    }
    let alone = parallel::map(alone, |(path, engine)| {
        let plan = Plan {
            engine,
            load: &[(End::Near, Kind::Bulk)],
            after: Duration::ZERO,
        };
        run(path, &[plan], UNCOUNTED, TIME, 1).remove(0).rate
    });
    let mut alone = alone.into_iter();
    let mut table = Table::new([
        "two on one link, 100 Mbit/s",
        "who",
        "first, Mbit/s",
        "second, Mbit/s",
        "Jain's index, mean",
        "first keeps, of alone",
    ]);
    let mut records = Vec::new();
    let mut runs = seen.chunks(seeds.count());
    for case in &cases {
        for (pair, runs) in pairs.iter().zip(&mut runs) {
            let of = |index: usize| {
                let runs = runs.iter().map(|both| both[index].clone());
                runs.collect::<Vec<_>>()
            };
            let rate = |seen: &Seen| seen.rate;
            let fairness = runs
                .iter()
                .map(|both| jain(rate(&both[0]), rate(&both[1])))
                .sum::<f64>()
                / runs.len() as f64;
            let alone = alone.next().expect("as many as pairs");
            let mut both = [(pair.first, 0), (pair.second, 1)].map(|(engine, index)| {
                let connection = format!("{}: {engine}", pair.name);
                let mut record = Record::new(GROUP, case.name, connection, &of(index));
                record.fairness = Some(fairness);
                record
            });
            let keeps = (alone > 0.0).then(|| both[0].rate / alone);
            both[0].keeps = keeps;
            let bound = |wanted: Wanted| (pair.wanted == wanted).then_some(("≥", 0.9));
            table.row([
                case.name.to_owned(),
                pair.name.clone(),
                both[0].cell(figure(both[0].rate)),
                both[1].cell(figure(both[1].rate)),
                ratio(fairness, bound(Wanted::Fair)),
                keeps.map_or_else(String::new, |keeps| ratio(keeps, bound(Wanted::GivesWay))),
            ]);
            records.extend(both);
        }
    }
    table.print();
    records
}

/// Jain's index of fairness: 1 where both have the same, 0.5 where one has everything.
fn jain(first: f64, second: f64) -> f64 {
    let squares = first.powi(2) + second.powi(2);
    if squares == 0.0 {
        return 1.0;
    }
    (first + second).powi(2) / (2.0 * squares)
}

const GROUP: &str = "fairness";
/// How long two may take to come to terms: several of Cubic's periods.
const UNCOUNTED: Duration = Duration::from_secs(20);
const TIME: Duration = Duration::from_secs(60);
