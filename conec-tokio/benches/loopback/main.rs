//! What conec costs beside quinn: UDP on the loopback interface, every role in a process of its own.
//!
//! ```text
//! cargo bench -p conec-tokio --bench loopback                    # everything: about ten minutes
//! cargo bench -p conec-tokio --bench loopback -- --quick         # one short round
//! cargo bench -p conec-tokio --bench loopback -- bulk proxied    # what is so called
//! cargo bench -p conec-tokio --bench loopback -- --transfer      # 1 GiB through a Coordinator, peak memory of each
//! cargo bench -p conec-tokio --bench loopback -- --calls         # a stream for each call, as many as may be, and more
//! ```
//!
//! Each process runs on tokio's current-thread runtime, with which raw quinn is fastest in bulk where there are not more
//! cores than processes; `--multi-thread` is for the other one. `--rounds` and `--seconds` say how often and how long,
//! `--json FILE` and `--svg FILE` keep the results.
//!
//! Absolute figures drift from hour to hour on most machines: rounds are interleaved, and the ratios at the end are
//! medians of each round's own. Nothing else should be running.

mod calls;
mod conec;
mod forwarder;
mod load;
mod meter;
mod mio;
mod plot;
#[expect(dead_code, reason = "shared with the benchmark of outages")]
mod process;
mod quinn;
mod report;
mod result;
mod role;
mod stack;

use std::{path::PathBuf, time::Duration};

use lexopt::prelude::*;

use crate::{load::Load, report::Results, result::Result, stack::Stack};

fn main() -> Result<()> {
    let Some(settings) = Settings::from_args()? else {
        return Ok(());
    };
    let mut results = Results::default();
    for round in 1..=settings.rounds {
        for &load in &settings.loads {
            for &stack in &settings.stacks {
                eprintln!("round {round} of {}: {stack}, {load}", settings.rounds);
                let measured = stack::measure(stack, load, settings.warm_up, settings.time)?;
                results.add(stack, load, measured);
            }
        }
    }
    println!("{results}");
    if let Some(file) = settings.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    if let Some(file) = settings.svg {
        plot::draw(&results, &file)?;
    }
    Ok(())
}

struct Settings {
    loads: Vec<Load>,
    stacks: Vec<Stack>,
    rounds: usize,
    warm_up: Duration,
    time: Duration,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Settings {
    /// What the command line says. `None` if this is a role's process, whose work is then done.
    fn from_args() -> Result<Option<Self>> {
        let mut settings = Self {
            loads: Load::TIMED.to_vec(),
            stacks: Stack::ALL.to_vec(),
            rounds: 5,
            warm_up: Duration::from_millis(500),
            time: Duration::from_millis(1500),
            json: None,
            svg: None,
        };
        let mut wanted = Vec::new();
        let mut multi_thread = false;
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("role") => {
                    let role = serde_json::from_str(&args.value()?.string()?)?;
                    role::run(role, multi_thread)?;
                    return Ok(None);
                }
                // What cargo adds.
                Long("bench") => {}
                Long("quick") => {
                    settings.rounds = 1;
                    settings.warm_up = Duration::from_millis(200);
                    settings.time = Duration::from_millis(300);
                }
                Long("transfer") => {
                    settings.loads = vec![Load::Transfer];
                    settings.stacks.retain(|stack| stack.is_proxied_conec());
                    settings.rounds = 1;
                }
                Long("calls") => {
                    settings.loads = Load::CALLS.to_vec();
                    settings.stacks = vec![Stack::ConecProxied];
                    settings.time = Duration::from_secs(4);
                }
                Long("multi-thread") => multi_thread = true,
                Long("rounds") => settings.rounds = args.value()?.parse()?,
                Long("seconds") => {
                    settings.time = Duration::from_secs_f64(args.value()?.parse()?);
                }
                Long("json") => settings.json = Some(args.value()?.into()),
                Long("svg") => settings.svg = Some(args.value()?.into()),
                Value(word) => wanted.push(word.string()?),
                Short(_) | Long(_) => return Err(arg.unexpected().into()),
            }
        }
        let stacks = settings.stacks.iter().map(Stack::to_string);
        let names = stacks
            .chain(settings.loads.iter().map(Load::to_string))
            .collect::<Vec<_>>();
        if let Some(unknown) = wanted
            .iter()
            .find(|&word| !names.iter().any(|name| name.contains(word)))
        {
            return Err(format!(
                "nothing is called {unknown}: there are {}",
                names.join("; ")
            )
            .into());
        }
        choose(&mut settings.stacks, &wanted);
        choose(&mut settings.loads, &wanted);
        Ok(Some(settings))
    }
}

/// Keeps those whose names contain one of the words, if there are any.
fn choose<T: Copy + ToString>(all: &mut Vec<T>, words: &[String]) {
    let chosen = |item: &T| {
        let name = item.to_string();
        words.iter().any(|word| name.contains(word))
    };
    if all.iter().any(chosen) {
        all.retain(chosen);
    }
}
