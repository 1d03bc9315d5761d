//! A command that answers a request.

use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use conec_tokio::{PeerInfo, Receiver, Sender};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
};

use super::{ENOUGH, Outcome, pieces};
use crate::failure::{Exit, Failure};

/// Starts a command line, by the system's shell, for this peer. Dropped, it is killed.
pub(super) fn start(line: &str, peer: &PeerInfo) -> Result<Child, Failure> {
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
    command
        .spawn()
        .map_err(|error| Failure::io("cannot start the command", &error))
}

/// Gives it the body, and the asker what it prints. How it has ended.
pub(super) async fn answer(
    child: &mut Child,
    mut body: Receiver,
    reply: &mut Sender,
) -> Result<Outcome, Failure> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let replying = async {
        if let Some(mut stdout) = stdout {
            pieces::send_all(&mut stdout, "what the command prints", reply).await?;
        }
        let ended = child.wait().await;
        ended.map_err(|error| Failure::io("cannot wait for the command", &error))
    };
    let ended = tokio::select! {
        ended = replying => ended?,
        // The asker has given up.
        Err(failure) = give(&mut body, stdin) => return Err(failure),
    };
    body.stop(ENOUGH);
    Ok(outcome(ended))
}

/// Not every command reads all of it.
async fn give(body: &mut Receiver, stdin: Option<ChildStdin>) -> Result<(), Failure> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    while let Some(piece) = body.recv().await? {
        if stdin.write_all(&piece).await.is_err() {
            body.stop(ENOUGH);
            break;
        }
    }
    Ok(())
}

/// Tells the asker that this was all, and how it has ended.
pub(super) async fn finish(reply: &mut Sender, outcome: Outcome) -> Result<(), Failure> {
    let outcome = serde_json::to_vec(&outcome)
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
    reply.send(Bytes::new()).await?;
    reply.send(outcome.into()).await?;
    reply.finish()?;
    Ok(())
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
