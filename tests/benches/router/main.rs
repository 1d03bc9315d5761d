//! Bulk between real processes, over a faulty router in user space: conec beside the system's TCP. Needs root, iproute2
//! and TUN devices.
//!
//! ```text
//! cargo bench -p conec-tests --bench router                           # what says most
//! cargo bench -p conec-tests --bench router -- "loss 0.5" jitter      # the cases in whose names one of these occurs
//! cargo bench -p conec-tests --bench router -- --all                  # all cases of conec-core's benchmark of paths
//! cargo bench -p conec-tests --bench router -- --beside               # conec and TCP Cubic at once, who share the link
//! ```
//!
//! Two network namespaces have a TUN device each. This process carries the packets from one to the other, with the faults
//! of conec-core's benchmark of paths. `--rounds` and `--seconds` say how often and how long; figures are medians.
//! `--json FILE` keeps the results. Processor time is shared with what is measured, so that nothing else should be running;
//! what the router adds by being late itself is in the last column.
//!
//! Exit status: 77 if it cannot be done here.

mod conec;
mod lab;
mod measure;
mod process;
mod router;
mod tcp;

#[path = "../../../conec-core/benches/path/cases.rs"]
#[expect(dead_code, reason = "shared with the benchmark of paths")]
mod cases;
#[path = "../../../conec-core/benches/path/control.rs"]
#[expect(dead_code, reason = "shared with the benchmark of paths")]
mod control;
#[path = "../../../conec-core/benches/path/link.rs"]
mod link;
#[path = "../../../conec-core/benches/harness/table.rs"]
mod table;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use lexopt::prelude::*;

use crate::{cases::Case, lab::Lab, router::Router};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> Result<ExitCode> {
    let Some(settings) = Settings::from_args()? else {
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(obstacle) = Lab::obstacle() {
        eprintln!("\n!!! NOTHING IS MEASURED OVER THE FAULTY ROUTER: {obstacle}\n");
        return Ok(ExitCode::from(CANNOT));
    }
    let (lab, devices) = Lab::build()?;
    let router = Router::start(devices);
    let records = if settings.beside {
        measure::beside(&settings, &router)
    } else {
        measure::alone(&settings, &router)
    };
    drop(lab);
    let records = records?;
    if let Some(file) = &settings.json {
        std::fs::write(file, serde_json::to_string_pretty(&records)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the command line says.
pub(crate) struct Settings {
    cases: Vec<Case>,
    /// Together with TCP instead of alone.
    beside: bool,
    rounds: u64,
    time: Duration,
    json: Option<PathBuf>,
}

impl Settings {
    /// `None` if this is a role's process, whose work is then done.
    fn from_args() -> Result<Option<Self>> {
        let mut settings = Self {
            cases: Vec::new(),
            beside: false,
            rounds: 3,
            time: Duration::from_secs(10),
            json: None,
        };
        let (mut wanted, mut all) = (Vec::new(), false);
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("role") => {
                    process::run(serde_json::from_str(&args.value()?.string()?)?)?;
                    return Ok(None);
                }
                // What cargo adds.
                Long("bench") => {}
                Long("all") => all = true,
                Long("beside") => settings.beside = true,
                Long("rounds") => settings.rounds = args.value()?.parse()?,
                Long("seconds") => settings.time = Duration::from_secs(args.value()?.parse()?),
                Long("json") => settings.json = Some(args.value()?.into()),
                Value(word) => wanted.push(word.string()?),
                Short(_) | Long(_) => return Err(arg.unexpected().into()),
            }
        }
        if !all && wanted.is_empty() {
            let most = if settings.beside { &SHARED[..] } else { &MOST };
            wanted.extend(most.iter().map(|&name| name.to_owned()));
        }
        let is_wanted = |case: &&Case| all || wanted.iter().any(|word| case.name.contains(word));
        settings.cases = cases::TRANSFERS.iter().filter(is_wanted).copied().collect();
        Ok(Some(settings))
    }
}

/// What is measured without being told.
const MOST: [&str; 7] = [
    "clean, 20 ms",
    "±1 ms, 20 ms",
    "±5 ms, 20 ms",
    "loss 0.5 %, 20 ms",
    "loss 1 %, 20 ms",
    "100 Mbit/s, queue 500 ms, 20 ms",
    "rate 100, 10",
];
/// What is, where two share the link.
const SHARED: [&str; 3] = [
    "clean, 20 ms",
    "clean, 50 ms",
    "100 Mbit/s, queue 200 ms, 20 ms",
];
/// The exit status of what cannot be done here.
const CANNOT: u8 = 77;
