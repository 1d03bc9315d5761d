//! Command lines that the system's shell runs for others, each with all that it begins in a process group of its own.

use std::process::Stdio;

use conec_tokio::PeerInfo;
use tokio::process::{Child, Command};

/// A command line that is run for this peer, which it finds in its environment. What it reads and prints are pipes.
pub(crate) fn command(line: &str, peer: &PeerInfo) -> Command {
    #[cfg(unix)]
    let mut command = Command::new("/bin/sh");
    #[cfg(unix)]
    command.arg("-c").process_group(0);
    #[cfg(windows)]
    let mut command = Command::new("cmd");
    #[cfg(windows)]
    command.arg("/C").kill_on_drop(true);
    command
        .arg(line)
        .env("CONEC_PEER_ID", peer.id.to_string())
        .env_remove("CONEC_PEER_NAME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(name) = &peer.name {
        command.env("CONEC_PEER_NAME", name.as_str());
    }
    command
}

/// How a command is ended that is of no use any more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// It is asked to, and may do something before. Not by a hang-up, which is ignored by all that is started under nohup.
    Terminate,
    /// At once.
    Kill,
}

/// What such a command has begun, itself included. All of that is ended when this is dropped, unless it is [spared](Self::spare). Drop it
/// before the [`Child`]: after that, the system may give the command's process id to somebody else.
#[derive(Debug)]
pub(crate) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
    #[cfg(unix)]
    ending: Ending,
}

#[cfg(unix)]
impl Group {
    pub(crate) fn of(child: &Child, ending: Ending) -> Self {
        let id = child.id().and_then(|it| i32::try_from(it).ok());
        let leader = id.and_then(rustix::process::Pid::from_raw);
        Self { leader, ending }
    }

    /// The command has done what it was to do. What it has left behind goes on.
    pub(crate) fn spare(mut self) {
        self.leader = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        let signal = match self.ending {
            Ending::Terminate => rustix::process::Signal::TERM,
            Ending::Kill => rustix::process::Signal::KILL,
        };
        if let Some(leader) = self.leader {
            // It may have ended.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

#[cfg(windows)]
impl Group {
    /// There are no such groups: the command alone is ended, when it is dropped.
    pub(crate) fn of(_: &Child, _: Ending) -> Self {
        Self {}
    }

    pub(crate) fn spare(self) {}
}
