//! What is logged, for people: on standard error.

use std::{
    env,
    io::{self, IsTerminal},
};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Logging {
    /// Say more of what goes on; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = HEADING)]
    verbose: u8,
    /// How log lines are written to standard error
    #[arg(long, global = true, value_enum, default_value_t, help_heading = HEADING)]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object in a line
    Json,
}

impl Logging {
    /// Whether who reads standard error is a program.
    pub(crate) fn is_json(self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Logs from now on. `CONEC_LOG` has directives as tracing-subscriber's `EnvFilter` takes them, and counts before all else.
    pub(crate) fn begin(self, usual: LevelFilter) {
        let level = match self.verbose {
            0 => usual,
            1 => usual.max(LevelFilter::INFO),
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let filter = EnvFilter::builder()
            .with_default_directive(level.into())
            .with_env_var("CONEC_LOG")
            .from_env_lossy();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(is_colored());
        match self.log_format {
            LogFormat::Text => subscriber.with_target(false).init(),
            LogFormat::Json => subscriber.json().init(),
        }
    }
}

/// Whether standard error takes colours, and nobody minds (<https://no-color.org>).
fn is_colored() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

const HEADING: &str = "Logging";
