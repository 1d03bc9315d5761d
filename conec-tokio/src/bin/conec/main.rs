//! `conec`: runs a Coordinator, and does by itself what people want channels for.
//!
//! What is for programs goes to standard output, everything for people to standard error.

#![forbid(unsafe_code)]

mod admin;
mod allow;
mod args;
mod check;
mod codes;
mod coordinator;
mod failure;
mod files;
mod forward;
mod groups;
mod home;
mod id;
mod join;
mod json;
mod log;
mod manual;
mod open_files;
mod output;
mod pipe;
mod private;
mod reasons;
mod relay;
mod saved;
mod serve;
mod session;
mod shell;
mod stop;
mod target;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use self::{args::Cli, failure::Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let logging = cli.logging;
    logging.begin(cli.command.log_level());
    match run(cli) {
        Ok(code) => code,
        Err(failure) if logging.is_json() => failure.log(),
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let mut runtime = match cli.command.has_work_besides() {
        true => Builder::new_multi_thread(),
        false => Builder::new_current_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot begin", &error))?;
    let outcome = runtime.block_on(cli.command.run());
    // A thread may wait for standard input, for ever.
    runtime.shutdown_background();
    outcome
}
