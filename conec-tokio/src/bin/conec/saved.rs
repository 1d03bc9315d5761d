//! `conec context`.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use crate::{
    failure::Failure,
    home::{Contexts, Home},
    output::{Output, say},
};

/// List the Coordinators that were joined, choose the one that commands speak to, or forget one
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec context use office")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them; the one that commands speak to is marked by a star
    Ls(Output),
    /// Speak to this one from now on
    Use {
        /// As `conec context ls` shows it
        name: String,
    },
    /// Forget one, and its token
    Rm {
        /// As `conec context ls` shows it
        name: String,
    },
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut contexts = Home::open()?.contexts()?;
        match self.action {
            None => list(&contexts, Output::default())?,
            Some(Action::Ls(output)) => list(&contexts, output)?,
            Some(Action::Use { name }) => {
                need(contexts.choose(&name), &name)?;
                contexts.store()?;
            }
            Some(Action::Rm { name }) => {
                need(contexts.remove(&name), &name)?;
                contexts.store()?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    url: &'a str,
    current: bool,
}

fn list(contexts: &Contexts, output: Output) -> Result<(), Failure> {
    let mut is_empty = true;
    for (name, url) in contexts.list() {
        is_empty = false;
        let current = contexts.current() == Some(name);
        let mark = if current { '*' } else { ' ' };
        output.line(
            &Line { name, url, current },
            format_args!("{mark} {name}  {url}"),
        )?;
    }
    if is_empty {
        say("none was joined yet: `conec join` with a Coordinator's ticket");
    }
    Ok(())
}

fn need(is_there: bool, name: &str) -> Result<(), Failure> {
    match is_there {
        true => Ok(()),
        false => Err(Failure::usage(
            format!("there is no context {name:?}"),
            "`conec context ls` lists those that there are",
        )),
    }
}
