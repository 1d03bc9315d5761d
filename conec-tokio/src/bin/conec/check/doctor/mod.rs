//! `conec doctor`.

mod coordinator;
mod finding;
mod machine;

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use self::finding::{Finding, Verdict};
use crate::{
    failure::{Exit, Failure},
    home::Home,
    output::{Output, print, say},
    private,
    session::Connect,
    stop,
};

/// Look for what keeps conec from working well here, and say what to do about it
///
/// The exit code is 1 if something has to be done, and 0 if there are hints at most.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec doctor --bundle report.txt")]
pub(crate) struct Args {
    /// Write all of it into a file besides, for whoever is asked for help. There are addresses in it, but no secrets
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let home = Home::open()?;
        let mut findings = machine::look();
        let at_coordinator = coordinator::look(&home, &self.connect);
        findings.extend(tokio::select! {
            found = at_coordinator => found?,
            () = stop::wanted() => return Err(Failure::interrupted()),
        });
        if let Some(path) = &self.bundle {
            private::write(path, bundle(&findings)?.as_bytes())?;
            say(format_args!("written to {}", path.display()));
        }
        for finding in &findings {
            self.show(finding)?;
        }
        match findings.iter().any(|it| it.verdict == Verdict::Problem) {
            true => Ok(ExitCode::from(Exit::Other as u8)),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    fn show(&self, finding: &Finding) -> Result<(), Failure> {
        match self.output.json {
            true => self.output.line(finding, ""),
            false => print(finding),
        }
    }
}

/// What is known of this machine, as text.
fn bundle(findings: &[Finding]) -> Result<String, Failure> {
    let mut text = String::new();
    let written = write_bundle(&mut text, findings);
    written.map_err(|error| Failure::mistake(error.to_string()))?;
    Ok(text)
}

fn write_bundle(to: &mut String, findings: &[Finding]) -> std::fmt::Result {
    let (version, system) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    writeln!(
        to,
        "conec {version} on {system}, {}",
        std::env::consts::ARCH
    )?;
    let now = std::time::SystemTime::now();
    writeln!(to, "at {}", humantime::format_rfc3339_seconds(now))?;
    for finding in findings {
        writeln!(to, "\n{finding}")?;
    }
    Ok(())
}
