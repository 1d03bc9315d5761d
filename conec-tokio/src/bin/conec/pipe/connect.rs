//! `conec connect`.

use std::{future, io, process::ExitCode};

use conec_tokio::Channel;

use super::{
    protocol::{self, End, SERVICE},
    stdio,
};
use crate::{
    failure::{Exit, Failure},
    relay::{Broken, inward, outward},
    session::{Connect, Session},
    target::Peer,
};

/// Connect standard input and output to who listens
///
/// The other end runs `conec listen`, and is connected to what was said there: a command, a port, a socket, or its own standard input and
/// output. Each direction ends by itself, so `conec connect office < question > answer` works. If the other end runs a command, this one ends with
/// that one's exit code; or with 128 and the number of the signal that has ended it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec listen --name office --tcp localhost:22                (there)\n  ssh -o ProxyCommand='conec connect %h' office                (here)\n  tar c photos | conec connect backup"
)]
pub(crate) struct Args {
    /// To whom: a name, or an id as `conec id` prints it
    who: Peer,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| {
            let channel = session.open(&self.who, SERVICE).await?;
            exchange(&channel).await
        };
        self.connect.run(work).await
    }
}

async fn exchange(channel: &Channel) -> Result<ExitCode, Failure> {
    let (sender, receiver) = protocol::begin(channel).await?;
    let (input, output) = (stdio::input()?, stdio::output()?);
    let sent = async {
        match outward(input, sender).await {
            Err(Broken::Here(error)) => Failure::io("cannot read standard input", &error),
            // It is at an end, or not wanted: the other end will say what came of it.
            Ok(()) | Err(Broken::There(_)) => future::pending().await,
        }
    };
    let received = async { tokio::join!(inward(receiver, output), protocol::told(channel)) };
    tokio::select! {
        failure = sent => Err(failure),
        (received, end) = received => outcome(received, end?),
        () = hung_up() => Err(Failure::interrupted()),
    }
}

/// Waits until a terminal or a program has hung up, and for the ends that may be on their way then: ssh does so as soon as it is done.
async fn hung_up() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut hangup) = signal(SignalKind::hangup()) {
            hangup.recv().await;
            return tokio::time::sleep(GRACE).await;
        }
    }
    future::pending().await
}

fn outcome(received: Result<(), Broken>, end: End) -> Result<ExitCode, Failure> {
    if let Some(code) = exit_code(&end) {
        return Ok(code);
    }
    match (end, received) {
        (End::Failed { why }, _) => {
            let why: String = why.chars().filter(|it| !it.is_control()).collect();
            Err(Failure::new(
                Exit::Other,
                format!("the other end says: {why}"),
                "what it connects to is said where `conec listen` runs",
            ))
        }
        // Who read it has had enough, as `head` has.
        (_, Err(Broken::Here(error))) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", &error))
        }
        (_, Err(Broken::There(failure))) => Err(failure),
        (_, Ok(()) | Err(Broken::Here(_))) => Ok(ExitCode::SUCCESS),
    }
}

/// As a shell has it.
fn exit_code(end: &End) -> Option<ExitCode> {
    let code = match end {
        End::Exited { code } => *code,
        End::Killed { signal } => 128 + signal,
        End::Done | End::Failed { .. } => return None,
    };
    Some(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX)))
}

#[cfg(unix)]
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
