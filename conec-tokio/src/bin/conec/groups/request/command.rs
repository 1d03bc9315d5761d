//! A command that answers.

use std::{process::ExitStatus, time::Duration};

use bytes::Bytes;
use conec_tokio::PeerInfo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout},
};

use super::protocol::{Answer, Outcome};
use crate::{
    failure::{Exit, Failure},
    shell::{self, Ending, Group},
};

/// Runs a command line for this peer. Dropped before it is done, or when the time is over, the command is killed, with all that it has begun.
pub(super) async fn run(
    line: &str,
    peer: &PeerInfo,
    body: Bytes,
    timeout: Option<Duration>,
) -> Result<Answer, Failure> {
    let child = shell::command(line, peer).spawn();
    let mut child = child.map_err(|error| Failure::io("cannot start the command", &error))?;
    let group = Group::of(&child, Ending::Kill);
    let answering = answer(&mut child, body);
    let answered = match timeout {
        None => Some(answering.await),
        Some(time) => tokio::time::timeout(time, answering).await.ok(),
    };
    let Some(answer) = answered.transpose()? else {
        return Ok(Answer {
            outcome: Outcome::TimedOut,
            printed: Bytes::new(),
        });
    };
    group.spare();
    Ok(answer)
}

async fn answer(child: &mut Child, body: Bytes) -> Result<Answer, Failure> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (printed, ()) = tokio::join!(read(stdout), give(stdin, body));
    let printed = printed?;
    let ended = child.wait().await;
    let ended = ended.map_err(|error| Failure::io("cannot wait for the command", &error))?;
    Ok(Answer {
        outcome: outcome(ended),
        printed,
    })
}

async fn give(stdin: Option<ChildStdin>, body: Bytes) {
    if let Some(mut stdin) = stdin {
        // Not every command reads all of it.
        let _ = stdin.write_all(&body).await;
    }
}

async fn read(stdout: Option<ChildStdout>) -> Result<Bytes, Failure> {
    let mut printed = Vec::new();
    if let Some(stdout) = stdout {
        let mut limited = stdout.take(MOST + 1);
        let read = limited.read_to_end(&mut printed).await;
        read.map_err(|error| Failure::io("cannot read what the command prints", &error))?;
    }
    match printed.len() as u64 > MOST {
        true => Err(Failure::new(
            Exit::Other,
            format!("the command prints more than {MOST} bytes"),
            "have it print less: `conec listen --exec` carries any number of bytes",
        )),
        false => Ok(printed.into()),
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Outcome::Killed(signal);
    }
    Outcome::Exited(status.code().unwrap_or(1))
}

/// As much as fits in a message, with how the command has ended.
const MOST: u64 = (16 << 20) - 256;
