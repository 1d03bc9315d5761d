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
mod result;
mod role;
mod router;
mod settings;
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

use std::process::ExitCode;

use crate::{lab::Lab, result::Result, router::Router, settings::Settings};

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

/// The exit status of what cannot be done here.
const CANNOT: u8 = 77;
