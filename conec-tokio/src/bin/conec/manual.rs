//! `conec completions` and `conec man`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

use crate::failure::Failure;

/// Print what a shell needs to complete commands by the tabulator key
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  conec completions bash > ~/.local/share/bash-completion/completions/conec"
)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

/// Print the manual page, of conec or of one of its commands
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec man ping | man -l -")]
pub(crate) struct Man {
    /// Of which command
    command: Vec<String>,
}

impl Completions {
    pub(crate) async fn run(self, mut conec: Command) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut conec, "conec", &mut script);
        give(&script)
    }
}

impl Man {
    pub(crate) async fn run(self, mut conec: Command) -> Result<ExitCode, Failure> {
        conec.build();
        let mut command = &conec;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                Failure::usage(
                    format!("there is no command {name:?}"),
                    "`conec help` lists those that there are",
                )
            })?;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone())
            .render(&mut page)
            .map_err(|error| Failure::io("cannot make the page", &error))?;
        give(&page)
    }
}

fn give(text: &[u8]) -> Result<ExitCode, Failure> {
    let written = io::stdout().lock().write_all(text);
    written.map_err(|error| Failure::io("cannot write to standard output", &error))?;
    Ok(ExitCode::SUCCESS)
}
