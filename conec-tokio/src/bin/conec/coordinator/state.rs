//! What lasts of a Coordinator: a directory that only its owner can read.

use std::{
    env,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use conec_tokio::{
    Certificate, ClientId, Identity, Revocation, Secret, load_or_create_certificate,
};
use data_encoding::HEXLOWER;
use directories::ProjectDirs;

use crate::{
    failure::{Exit, Failure},
    private::{self, Lock},
};

/// The state directory, which no other process uses meanwhile.
pub(super) struct State {
    path: PathBuf,
    _lock: Lock,
}

impl State {
    /// This directory, or the usual one. Made where it is not there.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, Failure> {
        let path = path.or_else(usual_path);
        let path = private::needed(path, "the state", "give --state DIR")?;
        private::directory(&path)?;
        let lock = Lock::take(path.join("lock"))?.ok_or_else(|| {
            let what = format!("another Coordinator uses {}", path.display());
            Failure::new(
                Exit::Usage,
                what,
                "stop it, or give this one another --state DIR",
            )
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// The certificate, made at the first start for these hosts.
    pub(super) fn certificate(&self, hosts: &[String]) -> Result<Certificate, Failure> {
        let path = self.path.join("certificate.pem");
        Ok(load_or_create_certificate(&path, hosts)?)
    }

    /// What lets others in, made at the first start.
    pub(super) fn token(&self) -> Result<Secret<Bytes>, Failure> {
        let path = self.path.join("token");
        let Some(text) = private::read(&path)? else {
            let token = Identity::generate_seed()?;
            private::write(&path, HEXLOWER.encode(&token).as_bytes())?;
            return Ok(token.to_vec().into());
        };
        let token = HEXLOWER.decode(text.trim().as_bytes()).ok();
        let token = token
            .filter(|it| it.len() >= SHORTEST_TOKEN)
            .ok_or_else(|| {
                Failure::usage(
                    format!("{} is damaged", path.display()),
                    "remove it: a new token is made, and all have to join again",
                )
            })?;
        Ok(token.into())
    }

    /// Who may not connect.
    pub(super) fn forbidden(&self) -> Result<Vec<ClientId>, Failure> {
        let path = self.path.join("forbidden");
        let text = private::read(&path)?.unwrap_or_default();
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let read = |(before, line): (usize, &str)| {
            line.trim().parse().map_err(|error| {
                let line = before + 1;
                Failure::usage(
                    format!("{} line {line} is no id: {error}", path.display()),
                    "correct that line, or take it away: it says who is forbidden",
                )
            })
        };
        lines.map(read).collect()
    }

    pub(super) fn keep_forbidden(&self, ids: &[ClientId]) -> Result<(), Failure> {
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        private::write(&self.path.join("forbidden"), text.as_bytes())
    }

    /// Which channels were taken away. What cannot be read is old, and of no use any more.
    pub(super) fn revocations(&self) -> Result<Vec<Revocation>, Failure> {
        let text = private::read(&self.path.join("revocations"))?.unwrap_or_default();
        let read = |line: &str| {
            let (channel, hour) = line.split_once(' ')?;
            Some(Revocation {
                channel: channel.parse().ok()?,
                hour: hour.parse().ok()?,
            })
        };
        Ok(text.lines().filter_map(read).collect())
    }

    pub(super) fn keep_revocations(&self, all: &[Revocation]) -> Result<(), Failure> {
        let line = |it: &Revocation| format!("{} {}\n", it.channel, it.hour);
        let text: String = all.iter().map(line).collect();
        private::write(&self.path.join("revocations"), text.as_bytes())
    }

    /// Where operators find the ticket.
    pub(super) fn keep_ticket(&self, ticket: &str) -> Result<(), Failure> {
        private::write(&self.path.join("ticket"), format!("{ticket}\n").as_bytes())
    }
}

/// Where the home directory is, or where the system has data of programs.
fn usual_path() -> Option<PathBuf> {
    match env::var_os("CONEC_HOME").filter(|it| !it.is_empty()) {
        Some(home) => Some(Path::new(&home).join("coordinator")),
        None => {
            let places = ProjectDirs::from("", "", "conec")?;
            Some(places.data_local_dir().join("coordinator"))
        }
    }
}

const SHORTEST_TOKEN: usize = 16;
