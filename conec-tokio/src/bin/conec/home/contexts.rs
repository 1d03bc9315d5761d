//! The Coordinators that were joined, and which of them commands speak to.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use bytes::Bytes;
use conec_tokio::{CoordinatorUrl, Invitation, Secret};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, private};

/// All contexts, as the file has them.
#[derive(Debug)]
pub(crate) struct Contexts {
    path: PathBuf,
    stored: Stored,
}

/// A Coordinator that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) url: CoordinatorUrl,
    pub(crate) token: Secret<Bytes>,
}

impl From<Invitation> for Context {
    fn from(invitation: Invitation) -> Self {
        Self {
            url: invitation.coordinator,
            token: invitation.token,
        }
    }
}

impl Contexts {
    /// Those in this file. None where there is no file.
    pub(super) fn load(path: PathBuf) -> Result<Self, Failure> {
        let text = private::read(&path)?.unwrap_or_default();
        let stored: Stored =
            toml::from_str(&text).map_err(|error| damaged(&path, error.message()))?;
        for entry in stored.contexts.values() {
            entry.read().map_err(|error| damaged(&path, error))?;
        }
        Ok(Self { path, stored })
    }

    /// Their names and URLs.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.stored.contexts.iter();
        all.map(|(name, entry)| (&**name, &*entry.url))
    }

    /// The name of the one that commands speak to.
    pub(crate) fn current(&self) -> Option<&str> {
        self.stored.current.as_deref()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Context> {
        self.stored.contexts.get(name)?.read().ok()
    }

    /// The one of the Coordinator at this URL.
    pub(crate) fn of_url(&self, url: &CoordinatorUrl) -> Option<Context> {
        let mut all = self.stored.contexts.values();
        all.find_map(|entry| entry.read().ok().filter(|it| it.url == *url))
    }

    /// Adds one or replaces it, and speaks to it from now on.
    pub(crate) fn set(&mut self, name: &str, invitation: &Invitation) {
        let entry = Entry {
            url: invitation.coordinator.to_string(),
            token: HEXLOWER.encode(invitation.token.as_ref()),
        };
        self.stored.contexts.insert(name.into(), entry);
        self.stored.current = Some(name.into());
    }

    /// Speaks to this one from now on. Whether there is one of that name.
    pub(crate) fn choose(&mut self, name: &str) -> bool {
        let is_there = self.stored.contexts.contains_key(name);
        if is_there {
            self.stored.current = Some(name.into());
        }
        is_there
    }

    /// Whether there was one of that name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        if self.current() == Some(name) {
            self.stored.current = None;
        }
        self.stored.contexts.remove(name).is_some()
    }

    pub(crate) fn store(&self) -> Result<(), Failure> {
        let text = toml::to_string(&self.stored)
            .map_err(|error| Failure::mistake(format!("cannot store the context: {error}")))?;
        private::write(&self.path, text.as_bytes())
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: String,
    #[serde(default)]
    token: String,
}

impl Entry {
    fn read(&self) -> Result<Context, String> {
        let url = self.url.parse();
        let url =
            url.map_err(|error| format!("{:?} is no URL of a Coordinator: {error}", self.url))?;
        let token = HEXLOWER.decode(self.token.as_bytes());
        let token = token.map_err(|error| format!("a token is no hexadecimal number: {error}"))?;
        let token = token.into();
        Ok(Context { url, token })
    }
}

/// Without the token.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.url)
    }
}

fn damaged(path: &std::path::Path, error: impl fmt::Display) -> Failure {
    Failure::usage(
        format!("{} is damaged: {error}", path.display()),
        "correct it, or remove it and `conec join` again",
    )
}
