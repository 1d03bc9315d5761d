//! How well paths are used that are not a loopback, in virtual time, beside bare quinn-proto: long and fat ones, and such
//! with reordering, loss, deep queues, policers and changing rates.
//!
//! ```text
//! cargo bench -p conec-core --bench path                           # everything
//! cargo bench -p conec-core --bench path -- jitter "loss 0.5"      # the cases in whose names one of these occurs
//! cargo bench -p conec-core --bench path -- small fairness         # groups: bulk, small, fairness, long fat path
//! cargo bench -p conec-core --bench path -- --quick                # two seconds of virtual time, one seed
//! cargo bench -p conec-core --bench path -- --survive 1000         # random loads on deep queues: does a channel end?
//! cargo bench -p conec-core --bench path -- --survive 17..17       # that seed
//! ```
//!
//! `--seeds N` and `--seconds N` say how often and how long; figures are medians of the seeds. `--json FILE` and `--svg FILE`
//! keep the results.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod cases;
mod connection;
mod control;
mod fairness;
mod link;
mod load;
mod network;
mod parallel;
mod plot;
mod report;
mod run;
mod small;
mod survive;
mod transfers;

use std::{error::Error, ops::RangeInclusive, path::PathBuf, process::ExitCode, time::Duration};

use lexopt::prelude::*;

use crate::{
    cases::Case,
    control::Control,
    link::{Path, Rate},
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let settings = Settings::from_args()?;
    if let Some(seeds) = settings.survive.clone() {
        return Ok(if survive::all(&settings, seeds) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let mut records = Vec::new();
    for group in [
        transfers::long_fat,
        transfers::faulty,
        small::beside_bulk,
        fairness::shared,
    ] {
        let measured = group(&settings);
        if !measured.is_empty() {
            println!();
        }
        records.extend(measured);
    }
    report::print_deaths(&records);
    if let Some(file) = &settings.json {
        std::fs::write(file, serde_json::to_string_pretty(&records)?)?;
    }
    if let Some(file) = &settings.svg {
        plot::draw(&records, file)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the command line says.
pub(crate) struct Settings {
    wanted: Vec<String>,
    seeds: u64,
    time: Duration,
    quick: bool,
    survive: Option<RangeInclusive<u64>>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Settings {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let mut settings = Self {
            wanted: Vec::new(),
            seeds: 3,
            time: Duration::from_secs(20),
            quick: false,
            survive: None,
            json: None,
            svg: None,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                // What cargo adds.
                Long("bench") => {}
                Long("quick") => {
                    settings.quick = true;
                    settings.seeds = 1;
                    settings.time = Duration::from_secs(2);
                }
                Long("seeds") => settings.seeds = args.value()?.parse()?,
                Long("seconds") => settings.time = Duration::from_secs(args.value()?.parse()?),
                Long("survive") => settings.survive = Some(seeds(&args.value()?.string()?)?),
                Long("json") => settings.json = Some(args.value()?.into()),
                Long("svg") => settings.svg = Some(args.value()?.into()),
                Value(word) => settings.wanted.push(word.string()?),
                Short(_) | Long(_) => return Err(arg.unexpected().into()),
            }
        }
        Ok(settings)
    }

    /// Those that are wanted: all of a group, or those whose names say so.
    pub(crate) fn choose(&self, group: &str, cases: &[Case]) -> Vec<Case> {
        let is_wanted = |case: &&Case| {
            self.wanted.is_empty()
                || self
                    .wanted
                    .iter()
                    .any(|word| group.contains(word) || case.name.contains(word))
        };
        cases.iter().filter(is_wanted).copied().collect()
    }

    pub(crate) fn seeds(&self) -> RangeInclusive<u64> {
        1..=self.seeds
    }

    /// Where there are two connections, more depends on chance.
    pub(crate) fn shared_seeds(&self) -> RangeInclusive<u64> {
        1..=if self.quick { 1 } else { self.seeds.max(10) }
    }

    /// How long to measure on a path.
    pub(crate) fn time(&self, path: Path) -> Duration {
        match path.rate {
            // The whole course of it, in any case.
            Rate::Thirds(_, _, time) => time,
            Rate::Constant(_) | Rate::Random(..) => self.time,
        }
    }

    /// The kinds of congestion control to measure.
    pub(crate) fn controls(&self) -> impl Iterator<Item = Control> {
        Control::ALL.into_iter()
    }
}

/// `1000` is for as many, `17..20` for those.
fn seeds(word: &str) -> Result<RangeInclusive<u64>, Box<dyn Error>> {
    Ok(match word.split_once("..") {
        Some((first, last)) => first.parse()?..=last.parse()?,
        None => 1..=word.parse()?,
    })
}
