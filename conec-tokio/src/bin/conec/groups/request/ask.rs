//! `conec request`.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{
    RecvEnd,
    calls::{CallError, TOO_LARGE},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::protocol::{Answer, Outcome, RUN, SERVICE};
use crate::{
    codes,
    failure::{Exit, Failure},
    output::say,
    session::{Connect, Session},
    target::Peer,
};

/// Ask somebody, and print the reply
///
/// A command answers there, which `conec reply` runs: it reads the body, what it prints is the reply, and its exit code is that of this.
/// Body and reply have up to 16 MiB each: `conec connect` carries any number of bytes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec request office 'how warm is it?'\n  conec request counter < book.txt"
)]
pub(crate) struct Args {
    /// Whom: a name, or an id as `conec id` prints it
    who: Peer,
    /// What to ask; without it, all of standard input
    body: Option<String>,
    /// How long to wait for the reply; without it, as long as the other end is there
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.ask(session).await;
        self.connect.run(work).await
    }

    async fn ask(&self, session: &Session) -> Result<ExitCode, Failure> {
        let body = self.body().await?;
        let asking = self.asked(session, body);
        let answer = match self.timeout {
            None => asking.await?,
            Some(time) => {
                let answer = tokio::time::timeout(time, asking).await;
                answer.map_err(|_| self.too_late(time))??
            }
        };
        let mut out = tokio::io::stdout();
        let printed = async {
            out.write_all(&answer.printed).await?;
            out.flush().await
        };
        let printed = printed.await;
        printed.map_err(|error| Failure::io("cannot write to standard output", &error))?;
        exit_code(answer.outcome)
    }

    async fn body(&self) -> Result<Bytes, Failure> {
        if let Some(body) = &self.body {
            return Ok(Bytes::from(body.clone()));
        }
        if io::stdin().is_terminal() {
            say("type what to ask; Ctrl-D ends it");
        }
        let mut body = Vec::new();
        let mut limited = tokio::io::stdin().take(MOST + 1);
        let read = limited.read_to_end(&mut body).await;
        read.map_err(|error| Failure::io("cannot read standard input", &error))?;
        match body.len() as u64 > MOST {
            true => Err(too_large("a body has at most 16 MiB")),
            false => Ok(body.into()),
        }
    }

    async fn asked(&self, session: &Session, body: Bytes) -> Result<Answer, Failure> {
        let channel = session.open(&self.who, SERVICE).await?;
        let answer = channel.call(RUN, body).await?;
        Answer::decode(&answer).ok_or_else(malformed)
    }

    fn too_late(&self, time: Duration) -> Failure {
        let time = humantime::format_duration(time);
        Failure::new(
            Exit::Lost,
            format!("no reply of {} within {time}", self.who),
            "the command there takes longer, or the network is down: --timeout waits longer",
        )
    }
}

/// Why there is no answer.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(TOO_LARGE) => too_large("the reply is larger than 16 MiB"),
            CallError::Refused(codes::FAILED) => Self::new(
                Exit::Other,
                "the command was not run to its end there, or has printed more than 16 MiB",
                "why is said where `conec reply` runs",
            ),
            CallError::Refused(code) => RecvEnd::Reset(code).into(),
            CallError::Ended(end) => end.into(),
            CallError::TooLarge { .. } => too_large(&error.to_string()),
            CallError::Malformed => malformed(),
            CallError::Open(_) | CallError::Dropped | _ => Self::new(
                Exit::Lost,
                error.to_string(),
                "the other end has stopped meanwhile, and may have done it or not: ask again",
            ),
        }
    }
}

fn exit_code(outcome: Outcome) -> Result<ExitCode, Failure> {
    let code = match outcome {
        Outcome::Exited(code) => code,
        // As shells tell it.
        Outcome::Killed(signal) => 128 + signal,
        Outcome::TimedOut => {
            return Err(Failure::new(
                Exit::Other,
                "the command has taken longer than it may there",
                "`conec reply --timeout` says there how long it may take",
            ));
        }
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn too_large(what: &str) -> Failure {
    Failure::new(
        Exit::Other,
        what,
        "`conec connect` to a `conec listen --exec` carries any number of bytes",
    )
}

fn malformed() -> Failure {
    Failure::new(
        Exit::Other,
        "the other end did not reply as `conec reply` does",
        "are both of the same version?",
    )
}

/// What fits in a message.
const MOST: u64 = 16 << 20;
