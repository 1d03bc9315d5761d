//! What keeps the Coordinator from reading what is said in a group.

use std::path::{Path, PathBuf};

use clap::Args;
use conec_tokio::{Group, GroupKey, JoinConfig, Name};

use crate::{failure::Failure, private, session::Session};

/// By what messages are sealed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sealing")]
pub(super) struct Seal {
    /// A file with a passphrase: only who has the same one reads the messages, and not the Coordinator. Six random words, or more
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    passphrase_file: Option<PathBuf>,
    /// A file with a key instead of a passphrase: 64 hexadecimal digits, as `openssl rand -hex 32` makes them
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Seal {
    /// Joins a group as `part` says, sealed if that is wanted.
    pub(super) async fn join(
        &self,
        session: &Session,
        group: &Name,
        part: impl FnOnce(&mut JoinConfig),
    ) -> Result<Group, Failure> {
        let mut config = match self.key(group).await? {
            Some(key) => JoinConfig::sealed(key),
            None => JoinConfig::default(),
        };
        part(&mut config);
        let joined = session.client().join(group.clone(), config).await;
        joined.map_err(|error| Failure::from(error).during(group))
    }

    pub(super) fn is_used(&self) -> bool {
        self.passphrase_file.is_some() || self.key_file.is_some()
    }

    async fn key(&self, group: &Name) -> Result<Option<GroupKey>, Failure> {
        if let Some(path) = &self.key_file {
            return Ok(Some(parse(&secret(path)?, path)?));
        }
        let Some(path) = &self.passphrase_file else {
            return Ok(None);
        };
        let (passphrase, name, group) = (secret(path)?, path.clone(), group.clone());
        // That is made to take long.
        let derived =
            tokio::task::spawn_blocking(move || GroupKey::from_passphrase(&passphrase, &group));
        let derived = derived
            .await
            .map_err(|error| Failure::mistake(error.to_string()))?;
        let key = derived.map_err(|error| {
            Failure::usage(
                format!("{}: {error}", name.display()),
                "write a passphrase into it, in one line",
            )
        })?;
        Ok(Some(key))
    }
}

fn parse(text: &str, path: &Path) -> Result<GroupKey, Failure> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let bytes = bytes.ok().and_then(|it| <[u8; 32]>::try_from(it).ok());
    bytes.map(GroupKey::from_bytes).ok_or_else(|| {
        let what = format!(
            "{} holds no key: it is 64 hexadecimal digits",
            path.display()
        );
        Failure::usage(what, "make one with `openssl rand -hex 32`")
    })
}

/// What a file holds, without what is around it.
fn secret(path: &Path) -> Result<String, Failure> {
    let text = private::read(path)?.ok_or_else(|| {
        Failure::usage(
            format!("there is no file {}", path.display()),
            "make it, readable to you alone (umask 077)",
        )
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage(
            format!("{} is empty", path.display()),
            "write the secret into it, in one line",
        ));
    }
    #[cfg(unix)]
    warn_if_others_read(path);
    Ok(text.to_owned())
}

/// It may be meant so: that is not refused.
#[cfg(unix)]
fn warn_if_others_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let readable = |it: std::fs::Metadata| it.is_file() && it.permissions().mode() & 0o077 != 0;
    if std::fs::metadata(path).is_ok_and(readable) {
        let path = path.display();
        crate::output::say(format_args!(
            "warning: others on this machine may read {path}: chmod 600"
        ));
    }
}
