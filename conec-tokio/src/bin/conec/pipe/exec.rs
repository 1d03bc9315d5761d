//! A command whose standard input and output are a stream.

use std::{future, process::ExitStatus};

use conec_tokio::{PeerInfo, Receiver, Sender};

use super::protocol::End;
use crate::{
    failure::Failure,
    relay::{Broken, inward, outward},
    shell::{self, Ending, Group},
};

/// Runs it to its end, and until what it has said is sent. Dropped, or when the other end gives up, it is told to end.
pub(super) async fn run(
    command: &str,
    peer: &PeerInfo,
    (sender, receiver): (Sender, Receiver),
) -> Result<End, Failure> {
    let mut child = match shell::command(command, peer).spawn() {
        Ok(child) => child,
        Err(error) => {
            let why = format!("cannot run {command:?}: {error}");
            return Ok(End::Failed { why });
        }
    };
    let group = Group::of(&child, Ending::Terminate);
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::mistake("the command has no pipes"));
    };
    let given_up = async {
        match inward(receiver, stdin).await {
            Err(Broken::There(failure)) => failure,
            // It has read all, or does not want to.
            Ok(()) | Err(Broken::Here(_)) => future::pending().await,
        }
    };
    // What it says goes on for as long as somebody has its standard output, which may be longer than it.
    let done = async { tokio::join!(outward(stdout, sender), child.wait()) };
    tokio::select! {
        (said, status) = done => {
            // Where nobody hears what it has left behind, that is of no use either.
            if said.is_ok() {
                group.spare();
            }
            status.map(end).map_err(|error| Failure::io("cannot wait for the command", &error))
        }
        failure = given_up => Err(failure),
    }
}

fn end(status: ExitStatus) -> End {
    if let Some(code) = status.code() {
        return End::Exited { code };
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return End::Killed { signal };
    }
    End::Failed {
        why: format!("the command has ended: {status}"),
    }
}
