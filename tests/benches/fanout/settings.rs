//! What can be chosen.

use std::time::Duration;

use lexopt::prelude::*;

use crate::result::Result;

pub(crate) struct Settings {
    /// This process has a role in another one's measurement.
    pub(crate) role: Option<String>,
    wanted: Vec<String>,
    pub(crate) rounds: usize,
    /// For how long each measures.
    pub(crate) time: Duration,
    /// The largest UDP payload.
    pub(crate) mtu: u16,
    /// How many messages publishers may be ahead of the slowest member.
    pub(crate) window: u64,
    /// How many messages are published in a second, if not as many as are taken.
    pub(crate) rate: Option<u64>,
    /// How much conec's Coordinator may send ahead to a member at first.
    pub(crate) receive_window: Option<u32>,
    pub(crate) json: Option<String>,
}

impl Settings {
    pub(crate) fn from_args() -> Result<Self> {
        let mut settings = Self {
            role: None,
            wanted: Vec::new(),
            rounds: 5,
            time: Duration::from_secs(2),
            mtu: 1452,
            window: 192,
            rate: None,
            receive_window: None,
            json: None,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("role") => settings.role = Some(args.value()?.string()?),
                // What cargo adds.
                Long("bench") => {}
                Long("quick") => {
                    settings.rounds = 1;
                    settings.time = Duration::from_millis(500);
                }
                Long("rounds") => settings.rounds = args.value()?.parse()?,
                Long("time") => settings.time = Duration::from_secs_f64(args.value()?.parse()?),
                Long("mtu") => settings.mtu = args.value()?.parse()?,
                Long("window") => settings.window = args.value()?.parse()?,
                Long("rate") => settings.rate = Some(args.value()?.parse()?),
                Long("receive-window") => settings.receive_window = Some(args.value()?.parse()?),
                Long("json") => settings.json = Some(args.value()?.string()?),
                Value(word) => settings.wanted.push(word.string()?),
                Short(_) | Long(_) => return Err(arg.unexpected().into()),
            }
        }
        Ok(settings)
    }

    /// Whether a case of this name is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|it| name.contains(it))
    }
}
