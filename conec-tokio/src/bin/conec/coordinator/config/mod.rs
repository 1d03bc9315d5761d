//! The configuration file of a Coordinator.

mod fields;
mod sections;

use std::{fs, net::SocketAddr, path::Path, path::PathBuf, time::Duration};

use conec_tokio::{ClientId, ConfigError, CoordinatorConfig};
use serde::Deserialize;

pub(super) use self::fields::Decision;
use self::{
    fields::{Time, ids},
    sections::{Group, Home, Limits},
};
use super::{metrics::Address, second::SecondPort};
use crate::failure::{Failure, advice_on};

/// All that can be said in the file. `dist/coordinator.toml` explains it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    pub(super) listen: Option<SocketAddr>,
    pub(super) hosts: Vec<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    #[serde(deserialize_with = "ids")]
    pub(super) admins: Vec<ClientId>,
    pub(super) open: bool,
    pub(super) channels: Option<Decision>,
    pub(super) groups: Option<Decision>,
    pub(super) rules: Option<String>,
    pub(super) authorities: Option<PathBuf>,
    pub(super) authorities_optional: bool,
    pub(super) revoked: Vec<PathBuf>,
    pub(super) reset_key: Option<PathBuf>,
    pub(super) ticket_key: Option<PathBuf>,
    pub(super) second_port: Option<SecondPort>,
    pub(super) metrics: Option<Address>,
    pub(super) memory: Option<usize>,
    drain: Option<Time>,
    limits: Limits,
    home: Home,
    group: Group,
}

impl Config {
    /// What a file says. All that is wrong with it is said with the line.
    pub(super) fn read(path: &Path) -> Result<(Self, Source), Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot read {}: {error}", path.display());
            Failure::usage(what, advice_on(&error))
        })?;
        let source = Source {
            path: path.into(),
            text,
        };
        let config = toml::from_str(&source.text).map_err(|error| {
            let error = error.to_string();
            Failure::usage(format!("{}: {}", path.display(), error.trim_end()), HELP)
        })?;
        Ok((config, source))
    }

    /// Sets what was said, and leaves all else as it is by default.
    pub(super) fn apply(&self, config: &mut CoordinatorConfig) {
        if let Some(memory) = self.memory {
            config.memory = memory;
        }
        self.limits.apply(&mut config.limits);
        self.home.apply(&mut config.home);
        self.group.apply(&mut config.group);
    }

    pub(super) fn drain(&self) -> Option<Duration> {
        self.drain.map(Into::into)
    }

    /// Has what can be changed while a Coordinator runs from another one.
    pub(super) fn take_up(&mut self, other: Self) {
        let Self {
            admins,
            open,
            channels,
            groups,
            rules,
            drain,
            ..
        } = other;
        (self.admins, self.open, self.rules) = (admins, open, rules);
        (self.channels, self.groups, self.drain) = (channels, groups, drain);
    }

    /// The part that counts from the start on: the rest can be changed while the Coordinator runs.
    pub(super) fn fixed(&self) -> Self {
        Self {
            admins: Vec::new(),
            open: false,
            channels: None,
            groups: None,
            rules: None,
            drain: None,
            ..self.clone()
        }
    }
}

/// The text of a configuration, to say where something is.
#[derive(Debug, Default)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// A value that the library does not take.
    pub(super) fn refused(&self, error: &ConfigError) -> Failure {
        let line = if let ConfigError::OutOfRange(what, _) = error {
            self.line_of(what)
        } else {
            None
        };
        let place = match line {
            Some(line) => format!("{} line {line}: ", self.path.display()),
            None => String::new(),
        };
        Failure::usage(format!("{place}{error}"), HELP)
    }

    /// A key whose value is of no use.
    pub(super) fn wrong(&self, key: &str, why: impl std::fmt::Display) -> Failure {
        if self.path.as_os_str().is_empty() {
            return Failure::usage(
                format!("{key}: {why}"),
                "`conec coordinator --help` explains it",
            );
        }
        let line = self
            .line_of(key)
            .map_or(String::new(), |line| format!(" line {line}"));
        Failure::usage(format!("{}{line}: {key}: {why}", self.path.display()), HELP)
    }

    /// A file that it names: beside itself, unless the whole path is given.
    pub(super) fn beside(&self, path: PathBuf) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(path),
            None => path,
        }
    }

    /// Where a key is. Of groups, the library says so.
    fn line_of(&self, what: &str) -> Option<usize> {
        let mut section = "";
        for (before, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                section = name.trim();
            }
            let Some((key, _)) = line.split_once('=') else {
                continue;
            };
            let is_here = what.ends_with(" of groups") == (section == "group");
            if is_here && what.split(' ').any(|word| word == key.trim()) {
                return Some(before + 1);
            }
        }
        None
    }
}

const HELP: &str = "`conec coordinator --check --config FILE` tries a file without running it; dist/coordinator.toml explains all keys";

#[cfg(test)]
mod tests {
    use conec_tokio::Certificate;

    use super::*;

    /// What the file that explains all keys has in comments are the defaults, where there are some.
    #[test]
    fn the_explained_values_are_the_defaults() {
        let text = include_str!("../../../../../dist/coordinator.toml");
        let has_none = |line: &str| NO_DEFAULT.iter().any(|key| line.starts_with(key));
        let (_, tables) = text.split_once("\n[limits]").expect("it is there");
        let lines = tables.lines().map(|line| match line.strip_prefix('#') {
            Some(said) if !said.starts_with(' ') && !has_none(said) => said,
            Some(_) => "",
            None => line,
        });
        let memory = text.lines().find_map(|line| line.strip_prefix("#memory"));
        let memory = memory.expect("it is there");
        let tables: Vec<_> = lines.collect();
        let text = format!("memory{memory}\n[limits]{}", tables.join("\n"));
        let said: Config = toml::from_str(&text).expect("it is right");
        assert_ne!(said, Config::default());

        let certificate = Certificate::self_signed(["localhost"]).expect("it is a host");
        let usual = CoordinatorConfig::new(certificate);
        let mut config = usual.clone();
        said.apply(&mut config);
        assert_eq!(format!("{config:?}"), format!("{usual:?}"));
    }

    const NO_DEFAULT: [&str; 5] = [
        "clients_per_network",
        "forward_rate",
        "publish_rate",
        "keep_alive",
        "push_back",
    ];
}
