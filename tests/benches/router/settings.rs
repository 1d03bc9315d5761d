//! What the command line says.

use std::{path::PathBuf, time::Duration};

use lexopt::prelude::*;

use crate::{
    cases::{self, Case},
    result::Result,
    role,
};

/// What the command line says.
pub(crate) struct Settings {
    pub(crate) cases: Vec<Case>,
    /// Together with TCP instead of alone.
    pub(crate) beside: bool,
    pub(crate) rounds: u64,
    pub(crate) time: Duration,
    pub(crate) json: Option<PathBuf>,
}

impl Settings {
    /// `None` if this is a role's process, whose work is then done.
    pub(crate) fn from_args() -> Result<Option<Self>> {
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
                    role::run(serde_json::from_str(&args.value()?.string()?)?)?;
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
