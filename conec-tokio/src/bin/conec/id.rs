//! `conec id`.

use std::process::ExitCode;

use crate::{failure::Failure, home::Home, output::print};

/// Print this machine's id, by which others can reach it and be sure that it is this one
///
/// It is made at the first use, and kept in the home directory: where CONEC_HOME says, or in the user's configuration directory.
/// When several commands run at once, all but one have further ids of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec id")]
pub(crate) struct Args {
    /// Print all ids that commands on this machine have had, the first one first
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let home = Home::open()?;
        if self.all {
            for id in home.ids()? {
                print(id)?;
            }
        } else {
            print(home.identity()?.id())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
