//! What attackers cost a bystander: real processes and sockets, on the loopback interface. Linux only.
//!
//! ```text
//! cargo bench -p conec-tests --bench attacks                    # each kind of attack, and all at once
//! cargo bench -p conec-tests --bench attacks -- --quick         # the same in one short round
//! cargo bench -p conec-tests --bench attacks -- flood probes    # the kinds in whose names one of these occurs
//! ```
//!
//! A Coordinator with the default configuration (and a second port, as one kind of attack is about it), two Clients that talk
//! through it, the bystanders, and ten attackers of a kind, each in a network of its own, in one more process. Of the bystanders
//! are measured small messages to and fro, and then bulk: first alone (*quiet*), then under attack, then beside the *control*.
//!
//! **Processors.** The attackers' machines are elsewhere, so they have a processor of their own, the last one, and those that are
//! measured have the others. All attackers together may use `--share` (0.1) of all processors, which each of their threads sees
//! to by its own clock of processor time. As sending on the loopback interface includes the kernel's delivery, so much is what
//! a real network would have brought.
//!
//! **The control** is what the same costs where the Coordinator has nothing to do with it: as many datagrams of the attackers'
//! average size, from as many threads, to somebody on the processors that are measured whom each of them takes as much processor
//! time as one of the attackers' took the Coordinator alone (*for attackers*, in processors). So it is what is left to the
//! bystanders by who has equal rights, and what it does to them is the kernel's and the scheduler's doing, not conec's.
//!
//! What is wanted: a round trip's 99th percentile of at most twice the quiet one, bulk of at least 0.9 of what it is beside the
//! control, and a Coordinator that takes no more memory than its default budget of 512 MiB and 64 MiB more.
//!
//! `--rounds` and `--seconds` say how often and how long, figures are medians, but for peak memory and deaths, of which the worst
//! counts; `--json FILE` keeps the results. Nothing else should be running.

mod attack;
mod attackers;
mod bystanders;
mod control;
mod measure;
mod processors;
mod report;
mod role;
mod settings;

#[path = "../../../conec-tokio/benches/loopback/meter.rs"]
mod meter;
#[path = "../../../conec-tokio/benches/loopback/process.rs"]
#[expect(dead_code, reason = "shared with the benchmark on loopback")]
mod process;
#[path = "../../../conec-tokio/benches/loopback/result.rs"]
mod result;
#[path = "../../../conec-core/benches/harness/table.rs"]
mod table;

use crate::{report::Record, result::Result, settings::Settings};

fn main() -> Result<()> {
    let Some(settings) = Settings::from_args()? else {
        return Ok(());
    };
    let mut records = Vec::new();
    for scenario in &settings.scenarios {
        let rounds = (1..=settings.rounds).map(|round| {
            eprintln!("{}, round {round} of {}", scenario.name, settings.rounds);
            measure::measure(scenario, &settings)
        });
        records.push(Record::new(scenario.name, rounds.collect()));
    }
    report::print(&records);
    if let Some(file) = settings.json {
        std::fs::write(file, serde_json::to_string_pretty(&records)?)?;
    }
    Ok(())
}
