//! A command that answers.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::PeerInfo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::protocol::{Answer, Outcome};
use crate::failure::{Exit, Failure};

/// Runs a command line, by the system's shell, for this peer. Dropped before it is done, or when the time is over, the command is killed.
pub(super) async fn run(
    line: &str,
    peer: &PeerInfo,
    body: Bytes,
    timeout: Option<Duration>,
) -> Result<Answer, Failure> {
    let mut child = start(line, peer)?;
    let answering = answer(&mut child, body);
    let Some(timeout) = timeout else {
        return answering.await;
    };
    match tokio::time::timeout(timeout, answering).await {
        Ok(answer) => answer,
        Err(_) => Ok(Answer {
            outcome: Outcome::TimedOut,
            printed: Bytes::new(),
        }),
    }
}

fn start(line: &str, peer: &PeerInfo) -> Result<Child, Failure> {
    let mut command = shell();
    command
        .arg(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .env("CONEC_PEER_ID", peer.id.to_string())
        .env_remove("CONEC_PEER_NAME");
    if let Some(name) = &peer.name {
        command.env("CONEC_PEER_NAME", name.as_str());
    }
    let child = command.spawn();
    child.map_err(|error| Failure::io("cannot start the command", &error))
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

#[cfg(unix)]
fn shell() -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c");
    command
}

#[cfg(not(unix))]
fn shell() -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C");
    command
}

/// As much as fits in a message, with how the command has ended.
const MOST: u64 = (16 << 20) - 256;
