//! Whether channels live through deep queues and any load: a random case for each seed.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Settings,
    connection::{End, Engine},
    link::{Path, Rate},
    load::Kind,
    parallel,
    run::{Plan, run},
};

/// Runs so many cases, prints those in which a channel ended, and says whether there was none.
pub(crate) fn all(settings: &Settings, seeds: std::ops::RangeInclusive<u64>) -> bool {
    let count = seeds.clone().count();
    let ended = parallel::map(seeds.collect(), |seed| {
        let case = Case::new(seed, settings);
        let plan = Plan {
            engine: case.engine,
            load: &case.load,
            after: Duration::ZERO,
        };
        let seen = run(case.path, &[plan], Duration::ZERO, TIME, seed).remove(0);
        let (after, reason) = seen.death?;
        let after = after.as_secs_f64();
        println!("seed {seed}: DEAD after {after:.1} s: {reason}: {case}");
        Some(())
    });
    let ended = ended.into_iter().flatten().count();
    println!("{ended} of {count} channels ended");
    ended == 0
}

struct Case {
    path: Path,
    engine: Engine,
    load: Vec<(End, Kind)>,
}

impl Case {
    fn new(seed: u64, settings: &Settings) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let path = Path {
            rate: Rate::Constant(rng.random_range(5_000_000..=200_000_000)),
            delay: Duration::from_micros(rng.random_range(10_000..=50_000)),
            jitter: Duration::ZERO,
            loss: 0.0,
            queue: Some(Duration::from_millis(rng.random_range(5..=500))),
            policer: None,
        };
        let controls = settings.controls().collect::<Vec<_>>();
        let control = controls[rng.random_range(0..controls.len())];
        let engine = match rng.random_range(0..3) {
            0 => Engine::ToCoordinator(control),
            1 => Engine::FromCoordinator(control),
            _ => Engine::BetweenClients(control),
        };
        let both_ways = rng.random_bool(0.3);
        let streams = rng.random_range(1..=8);
        let load = (0..streams).map(|stream| {
            let from = if both_ways && stream % 2 == 1 {
                End::Far
            } else {
                End::Near
            };
            let kind = if rng.random_bool(0.5) {
                Kind::Bulk
            } else {
                let size = rng.random_range(10_000..=4_000_000);
                Kind::Bursts(size, Duration::from_millis(rng.random_range(20..=1000)))
            };
            (from, kind)
        });
        Self {
            path,
            engine,
            load: load.collect(),
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Path {
            rate, delay, queue, ..
        } = self.path;
        write!(
            f,
            "{}, {:.0} Mbit/s, {:.0} ms there and back on each hop, queue {:?}, {:?}",
            self.engine,
            rate.highest() as f64 / 1e6,
            delay.as_secs_f64() * 2e3,
            queue.unwrap_or_default(),
            self.load
        )
    }
}

/// Slow start is over long before, several times.
const TIME: Duration = Duration::from_secs(6);
