//! The home directory: who this machine is, and which Coordinators it knows.

mod contexts;

use std::{env, path::PathBuf};

use conec_tokio::{ClientId, Identity, load_or_create_identity};
use directories::ProjectDirs;

pub(crate) use self::contexts::{Context, Contexts};
use crate::{
    failure::{Exit, Failure},
    private::{self, Lock},
};

/// The home directory.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
}

/// An identity that no other process on this machine has meanwhile.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) identity: Identity,
    _lock: Lock,
}

impl Home {
    /// Where `CONEC_HOME` says, or where the system has configurations. Made where it is not there.
    pub(crate) fn open() -> Result<Self, Failure> {
        let set = env::var_os("CONEC_HOME").filter(|it| !it.is_empty());
        let usual = || ProjectDirs::from("", "", "conec").map(|it| it.config_dir().to_owned());
        let path = set.map(PathBuf::from).or_else(usual);
        let path = private::needed(path, "the identity", "set CONEC_HOME to a directory")?;
        private::directory(&path)?;
        Ok(Self { path })
    }

    /// The first identity, which is this machine's. Made at the first time.
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        self.nth(0)
    }

    /// The first identity that no other process has. A Coordinator has one session for each key, so processes that run at once
    /// need several.
    pub(crate) fn lease(&self) -> Result<Lease, Failure> {
        for n in 0..MOST {
            let lock = self.path.join(format!("{}.lock", file_name(n)));
            if let Some(lock) = Lock::take(lock)? {
                let identity = self.nth(n)?;
                return Ok(Lease {
                    identity,
                    _lock: lock,
                });
            }
        }
        Err(Failure::new(
            Exit::Other,
            format!(
                "{MOST} processes have their identities from {}",
                self.path.display()
            ),
            "end some, or set CONEC_HOME to another directory",
        ))
    }

    /// All identities that there are, the first one first.
    pub(crate) fn ids(&self) -> Result<Vec<ClientId>, Failure> {
        let there = |n: &usize| *n == 0 || self.path.join(file_name(*n)).exists();
        let ids = (0..MOST).take_while(there);
        ids.map(|n| Ok(self.nth(n)?.id())).collect()
    }

    pub(crate) fn contexts(&self) -> Result<Contexts, Failure> {
        Contexts::load(self.path.join("contexts.toml"))
    }

    fn nth(&self, n: usize) -> Result<Identity, Failure> {
        let path = self.path.join(file_name(n));
        Ok(load_or_create_identity(&path)?)
    }
}

fn file_name(n: usize) -> String {
    match n {
        0 => "identity".into(),
        n => format!("identity-{n}"),
    }
}

/// How many processes may run at once.
const MOST: usize = 1000;
