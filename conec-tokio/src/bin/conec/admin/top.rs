//! `conec top`.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    operator::{Operator, unexpected},
    protocol::{Answer, Figures, Request},
};
use crate::{
    failure::{Exit, Failure},
    output::{Output, print},
    session::{Connect, Session},
};

/// Watch what a Coordinator does (for its operators)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec top --interval 5s")]
pub(crate) struct Args {
    /// How long to wait between two looks
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How many times to look; without it, until interrupted
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.watch(session).await;
        self.connect.run(work).await
    }

    async fn watch(&self, session: &Session) -> Result<ExitCode, Failure> {
        let mut operator = None;
        let mut before: Option<(Instant, Figures)> = None;
        for number in 1_u64.. {
            let figures = figures(session, &mut operator).await?;
            let now = Instant::now();
            let before_that = before.as_ref().map(|(then, it)| (now - *then, it));
            self.show(number, &Look::of(&figures, before_that))?;
            before = Some((now, figures));
            if self.count.is_some_and(|count| number >= count) {
                break;
            }
            tokio::time::sleep(self.interval).await;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, number: u64, look: &Look<'_>) -> Result<(), Failure> {
        // Again from time to time, as it scrolls away.
        if !self.output.json && (number - 1).is_multiple_of(HEAD_EVERY) {
            if io::stdout().is_terminal() {
                print(format_args!("\n{HEAD}"))?;
            } else if number == 1 {
                print(HEAD)?;
            }
        }
        let Figures {
            clients,
            channels,
            bytes_forwarded,
            forwards_dropped,
            clients_refused,
            ..
        } = look.figures;
        let (packets, megabytes) = (look.packets_per_second, look.bytes_per_second / 1e6);
        let total = *bytes_forwarded as f64 / 1e6;
        self.output.line(
            look,
            format_args!(
                "{clients:>8} {channels:>9} {packets:>11.0} {megabytes:>9.2} {total:>12.2} {forwards_dropped:>9} {clients_refused:>9}"
            ),
        )
    }
}

/// Waits while the Coordinator is away.
async fn figures(session: &Session, operator: &mut Option<Operator>) -> Result<Figures, Failure> {
    loop {
        match try_figures(session, operator).await {
            Err(failure) if failure.exit() == Exit::Lost => {
                *operator = None;
                session.client().connected().await?;
                tokio::time::sleep(A_WHILE).await;
            }
            done => return done,
        }
    }
}

async fn try_figures(
    session: &Session,
    operator: &mut Option<Operator>,
) -> Result<Figures, Failure> {
    let operator = match operator {
        Some(operator) => operator,
        None => operator.insert(Operator::of(session).await?),
    };
    match operator.ask(&Request::Figures).await? {
        Answer::Figures(figures) => Ok(figures),
        Answer::Welcome
        | Answer::Clients { .. }
        | Answer::Channels { .. }
        | Answer::Done
        | Answer::NotThere
        | Answer::Failed { .. } => Err(unexpected()),
    }
}

/// What is seen at once.
#[derive(Serialize)]
struct Look<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    packets_per_second: f64,
    bytes_per_second: f64,
}

impl<'a> Look<'a> {
    fn of(figures: &'a Figures, before: Option<(Duration, &Figures)>) -> Self {
        let rate = |now: u64, then: fn(&Figures) -> u64| match before {
            Some((time, before)) if !time.is_zero() => {
                now.saturating_sub(then(before)) as f64 / time.as_secs_f64()
            }
            Some(_) | None => 0.0,
        };
        Self {
            figures,
            packets_per_second: rate(figures.packets_forwarded, |it| it.packets_forwarded),
            bytes_per_second: rate(figures.bytes_forwarded, |it| it.bytes_forwarded),
        }
    }
}

const HEAD: &str = " clients  channels   packets/s      MB/s  forwarded MB   dropped   refused";
const HEAD_EVERY: u64 = 20;
/// Until it is asked again, where it has just been lost.
const A_WHILE: Duration = Duration::from_millis(100);
