//! What can be said on the command line. Each command has its own arguments, in its own file.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::{
    admin::{drain, kick, ls, top},
    check::{bench, doctor, ping, status},
    coordinator,
    failure::Failure,
    files::{receive, send},
    forward::{command as forward, expose},
    groups, id, join,
    log::Logging,
    manual,
    pipe::{connect, listen},
    saved,
};

/// End-to-end encrypted channels between programs, through one server that you run.
///
/// One machine with a public UDP address runs `conec coordinator`. All others join it by its ticket, with `conec join`, and
/// can reach each other from then on.
#[derive(Debug, Parser)]
#[command(name = "conec", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// To add a command: a variant here, a line in [`run`](Command::run), and a module with its `Args`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Coordinator(Box<coordinator::Args>),
    Join(join::Args),
    Context(saved::Args),
    Id(id::Args),
    Listen(listen::Args),
    Connect(connect::Args),
    Expose(expose::Args),
    Forward(forward::Args),
    Send(send::Args),
    Receive(receive::Args),
    Pub(groups::Publish),
    Sub(groups::Subscribe),
    Chat(groups::Chat),
    Request(groups::Request),
    Reply(groups::Reply),
    Ping(ping::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Ls(ls::Args),
    Kick(kick::Args),
    Drain(drain::Args),
    Top(top::Args),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Command {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Coordinator(args) => args.run().await,
            Self::Join(args) => args.run().await,
            Self::Context(args) => args.run().await,
            Self::Id(args) => args.run().await,
            Self::Listen(args) => args.run().await,
            Self::Connect(args) => args.run().await,
            Self::Expose(args) => args.run().await,
            Self::Forward(args) => args.run().await,
            Self::Send(args) => args.run().await,
            Self::Receive(args) => args.run().await,
            Self::Pub(args) => args.run().await,
            Self::Sub(args) => args.run().await,
            Self::Chat(args) => args.run().await,
            Self::Request(args) => args.run().await,
            Self::Reply(args) => args.run().await,
            Self::Ping(args) => args.run().await,
            Self::Status(args) => args.run().await,
            Self::Doctor(args) => args.run().await,
            Self::Bench(args) => args.run().await,
            Self::Ls(args) => args.run().await,
            Self::Kick(args) => args.run().await,
            Self::Drain(args) => args.run().await,
            Self::Top(args) => args.run().await,
            Self::Completions(args) => args.run(Cli::command()).await,
            Self::Man(args) => args.run(Cli::command()).await,
        }
    }

    /// Whether it does much that is not the endpoint's own, like hashing files or copying from and to connections.
    ///
    /// All packets are handled in one task. Where there is little else to do, more threads only wake each other up: on two processors,
    /// `conec bench` is a seventh faster when each process has one thread.
    pub(crate) fn has_work_besides(&self) -> bool {
        matches!(
            self,
            Self::Send(_) | Self::Receive(_) | Self::Expose(_) | Self::Forward(_)
        )
    }

    /// What it logs where nobody has asked for more or less.
    pub(crate) fn log_level(&self) -> LevelFilter {
        if matches!(self, Self::Coordinator(_)) {
            LevelFilter::INFO
        } else {
            LevelFilter::WARN
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason than those below
  2    wrong usage or configuration
  3    the Coordinator cannot be reached, or is not who it should be
  4    refused, by the Coordinator or by the other end
  5    nobody is there by that name, or nobody who serves that
  6    lost or cut off on the way
  130  interrupted";

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// The command lines in the guide are command lines.
    #[test]
    fn what_the_guide_says_can_be_said() {
        let mut count = 0;
        for text in [
            include_str!("../../../guide/tool.md"),
            include_str!("../../../guide/operating.md"),
        ] {
            for line in command_lines(text) {
                can_be_said(line);
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    /// So are the examples in the help.
    #[test]
    fn what_the_help_says_can_be_said() {
        let mut count = 0;
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let (_, examples) = help.split_once("\nExample").unwrap_or_default();
            for line in examples.lines().map(str::trim) {
                // What does not fit in a line goes on in the next.
                if line.starts_with("conec ") && line.matches('\'').count() % 2 == 0 {
                    can_be_said(line.split("  (").next().unwrap_or(line));
                    count += 1;
                }
            }
        }
        assert!(count > 15, "{count}");
    }

    /// Lines in blocks of code that begin with the tool's name.
    fn command_lines(text: &str) -> impl Iterator<Item = &str> {
        let blocks = text.split("```").skip(1).step_by(2);
        let lines = blocks.flat_map(str::lines);
        lines.filter(|line| line.starts_with("conec "))
    }

    fn can_be_said(line: &str) {
        // Up to a comment, or what is for the shell.
        let words = shlex::split(line).expect("a command line").into_iter();
        let words = words.take_while(|word| !["|", "<", ">"].contains(&word.as_str()));
        match Cli::try_parse_from(words) {
            Ok(_) => {}
            // Some values stand for others, as TICKET does.
            Err(error) if error.kind() == ErrorKind::ValueValidation => {}
            Err(error) => panic!("{line}: {error}"),
        }
    }
}
