//! A command whose standard input and output are a stream.

use std::{
    future,
    process::{ExitStatus, Stdio},
};

use conec_tokio::{Name, PeerInfo, Receiver, Sender};
use tokio::process::{Child, Command};

use super::protocol::End;
use crate::{
    failure::Failure,
    relay::{Broken, inward, outward},
};

/// Runs it to its end, and until what it has said is sent. Dropped, or when the other end gives up, it is told to end.
pub(super) async fn run(
    command: &str,
    peer: &PeerInfo,
    (sender, receiver): (Sender, Receiver),
) -> Result<End, Failure> {
    let mut child = match shell(command, peer).spawn() {
        Ok(child) => child,
        Err(error) => {
            let why = format!("cannot run {command:?}: {error}");
            return Ok(End::Failed { why });
        }
    };
    let hangup = Hangup::of(&child);
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
    let done = async { tokio::join!(outward(stdout, sender), child.wait()).1 };
    tokio::select! {
        status = done => {
            hangup.is_not_needed();
            status.map(end).map_err(|error| Failure::io("cannot wait for the command", &error))
        }
        failure = given_up => Err(failure),
    }
}

fn shell(command: &str, peer: &PeerInfo) -> Command {
    #[cfg(unix)]
    let mut shell = Command::new("/bin/sh");
    #[cfg(unix)]
    shell.arg("-c").process_group(0);
    #[cfg(windows)]
    let mut shell = Command::new("cmd");
    #[cfg(windows)]
    shell.arg("/C").kill_on_drop(true);
    shell
        .arg(command)
        .env("CONEC_PEER_ID", peer.id.to_string())
        .env(
            "CONEC_PEER_NAME",
            peer.name.as_ref().map_or("", Name::as_str),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    shell
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

/// Tells a command, and all that it has begun, that nobody is there any more, as a terminal does that is closed.
struct Hangup {
    #[cfg(unix)]
    group: std::cell::Cell<Option<rustix::process::Pid>>,
}

#[cfg(unix)]
impl Hangup {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|it| i32::try_from(it).ok());
        let group = id.and_then(rustix::process::Pid::from_raw);
        Self {
            group: group.into(),
        }
    }

    fn is_not_needed(&self) {
        self.group.set(None);
    }
}

#[cfg(unix)]
impl Drop for Hangup {
    fn drop(&mut self) {
        if let Some(group) = self.group.get() {
            // It may have ended.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::HUP);
        }
    }
}

#[cfg(windows)]
impl Hangup {
    fn of(_: &Child) -> Self {
        Self {}
    }

    fn is_not_needed(&self) {}
}
