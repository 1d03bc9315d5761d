//! What the command line says.

use std::{path::PathBuf, time::Duration};

use lexopt::prelude::*;

use crate::{attack::Attack, result::Result, role};

/// What the command line says.
pub(crate) struct Settings {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) rounds: usize,
    /// Until sessions are there and limits are reached.
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The part of all processors that the attackers may use.
    pub(crate) share: f64,
    pub(crate) json: Option<PathBuf>,
}

/// The kinds of attacks that happen at once.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) attacks: Vec<Attack>,
}

impl Settings {
    /// `None` if this is a role's process, whose work is then done.
    pub(crate) fn from_args() -> Result<Option<Self>> {
        let mut settings = Self {
            scenarios: Vec::new(),
            rounds: 3,
            warm_up: Duration::from_secs(3),
            time: Duration::from_secs(3),
            share: 0.1,
            json: None,
        };
        let mut wanted = Vec::new();
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("role") => {
                    role::run(serde_json::from_str(&args.value()?.string()?)?)?;
                    return Ok(None);
                }
                // What cargo adds.
                Long("bench") => {}
                Long("quick") => {
                    settings.rounds = 1;
                    settings.warm_up = Duration::from_secs(1);
                    settings.time = Duration::from_millis(500);
                }
                Long("rounds") => settings.rounds = args.value()?.parse()?,
                Long("seconds") => {
                    settings.time = Duration::from_secs_f64(args.value()?.parse()?);
                }
                Long("share") => settings.share = args.value()?.parse()?,
                Long("json") => settings.json = Some(args.value()?.into()),
                Value(word) => wanted.push(word.string()?),
                Short(_) | Long(_) => return Err(arg.unexpected().into()),
            }
        }
        let each = Attack::ALL.into_iter().map(|attack| Scenario {
            name: attack.name(),
            attacks: vec![attack],
        });
        let all_at_once = Scenario {
            name: "all at once",
            attacks: Attack::ALL.to_vec(),
        };
        let is_wanted = |it: &Scenario| {
            wanted.is_empty() || wanted.iter().any(|word| it.name.contains(word.as_str()))
        };
        let all = each.chain([all_at_once]);
        settings.scenarios = all.filter(is_wanted).collect();
        if settings.scenarios.is_empty() {
            return Err("nothing is called so".into());
        }
        Ok(Some(settings))
    }
}
