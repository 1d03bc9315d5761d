//! `conec request`.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use conec_tokio::{Receiver, Sender};
use tokio::io::AsyncWriteExt;

use super::{Outcome, REQUEST, SERVICE, pieces};
use crate::{
    failure::{Exit, Failure},
    output::say,
    session::{Connect, Session},
    target::Peer,
};

/// Ask somebody, and print the reply
///
/// A command answers there, which `conec reply` runs: it reads the body, what it prints is the reply, and its exit code is that of this.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec request office 'how warm is it?'\n  tar c src | conec request builder > built.tar"
)]
pub(crate) struct Args {
    /// Whom: a name, or an id as `conec id` prints it
    who: Peer,
    /// What to ask; without it, all of standard input
    body: Option<String>,
    /// How long to wait for all of the reply; without it, as long as the other end is there
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let session = Session::connect(&self.connect, None).await?;
        session
            .run(async |session: &Session| self.ask(session).await)
            .await
    }

    async fn ask(&self, session: &Session) -> Result<ExitCode, Failure> {
        let asking = self.asked(session);
        let Some(time) = self.timeout else {
            return exit_code(asking.await?);
        };
        let asked = tokio::time::timeout(time, asking).await;
        let asked = asked.map_err(|_| {
            let time = humantime::format_duration(time);
            Failure::new(
                Exit::Lost,
                format!("no reply of {} within {time}", self.who),
            )
            .help("the command there takes longer, or the network is down: --timeout waits longer")
        })?;
        exit_code(asked?)
    }

    async fn asked(&self, session: &Session) -> Result<Outcome, Failure> {
        let channel = session.open(&self.who, SERVICE).await?;
        let (sender, receiver) = channel.open_bi(REQUEST).await?;
        let sending = self.send(sender);
        // The reply may be complete while the body is not: not every command reads all of it.
        tokio::select! {
            outcome = receive(receiver) => outcome,
            Err(failure) = sending => Err(failure),
        }
    }

    async fn send(&self, mut sender: Sender) -> Result<(), Failure> {
        let wanted = match &self.body {
            Some(body) => pieces::send_all(&mut body.as_bytes(), "the body", &mut sender).await?,
            None => {
                if io::stdin().is_terminal() {
                    say("type what to ask; Ctrl-D ends it");
                }
                pieces::send_all(&mut tokio::io::stdin(), "standard input", &mut sender).await?
            }
        };
        if wanted {
            sender.finish()?;
        }
        Ok(())
    }
}

/// Prints the reply, as it comes.
async fn receive(mut reply: Receiver) -> Result<Outcome, Failure> {
    let mut out = tokio::io::stdout();
    let unwritten = |error| Failure::io("cannot write to standard output", &error);
    loop {
        match reply.recv().await? {
            Some(piece) if piece.is_empty() => break,
            Some(piece) => out.write_all(&piece).await.map_err(unwritten)?,
            None => return Err(malformed()),
        }
    }
    out.flush().await.map_err(unwritten)?;
    let outcome = reply.recv().await?.ok_or_else(malformed)?;
    serde_json::from_slice(&outcome).map_err(|_| malformed())
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
            )
            .help("`conec reply --timeout` says there how long it may take"));
        }
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn malformed() -> Failure {
    Failure::new(
        Exit::Other,
        "the other end did not reply as `conec reply` does",
    )
    .help("are both of the same version?")
}
