//! A folder into which something is received. Nothing in it leads out of it: it is held open, and what is in it is reached from there,
//! without following links.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, Metadata, OpenOptions},
    time::SystemTime as CapTime,
};

use super::super::protocol::Kept;

/// A folder into which something is received.
#[derive(Debug, Clone)]
pub(super) struct Place {
    dir: Arc<Dir>,
    path: PathBuf,
}

impl Place {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let (dir, path) = (Arc::new(dir), path.to_owned());
        Ok(Self { dir, path })
    }

    /// For people.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What has this name, if anything has.
    pub(super) fn look(&self, name: &str) -> io::Result<Option<Metadata>> {
        match self.dir.symlink_metadata(name) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A folder in it.
    pub(super) fn enter(&self, name: &str) -> io::Result<Self> {
        let dir = Arc::new(self.dir.open_dir_nofollow(name)?);
        let path = self.path(name);
        Ok(Self { dir, path })
    }

    /// Makes a folder in it, which only its owner can read until all of it is there.
    pub(super) fn make(&self, name: &str) -> io::Result<Self> {
        #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no modes"))]
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        cap_std::fs::DirBuilderExt::mode(&mut builder, 0o700);
        self.dir.create_dir_with(name, &builder)?;
        self.enter(name)
    }

    /// Opens a file to read.
    pub(super) fn read(&self, name: &str) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        Ok(self.dir.open_with(name, &options)?.into_std())
    }

    /// Opens a file to read and write, which is made where there is none, for its owner only.
    pub(super) fn write(&self, name: &str) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        options.follow(FollowSymlinks::No);
        #[cfg(unix)]
        cap_std::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(self.dir.open_with(name, &options)?.into_std())
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives a file another name, which replaces what had it.
    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, &self.dir, to)
    }

    /// Gives a file another name, which nothing else has: otherwise that is an error of its own kind.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match self.dir.hard_link(from, &self.dir, to) {
            Ok(()) => self.remove(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // This file system has no such links.
            Err(_) if self.look(to)?.is_none() => self.replace(from, to),
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    /// Gives a folder in it what is kept of it.
    pub(super) fn settle(&self, name: &str, kept: &Kept) -> io::Result<()> {
        let time = SystemTimeSpec::Absolute(CapTime::from_std(time(kept)));
        self.dir.set_times(name, None, Some(time))?;
        #[cfg(unix)]
        if let Some(mode) = kept.mode {
            use cap_std::fs::PermissionsExt;
            let permissions = cap_std::fs::Permissions::from_mode(mode & 0o777);
            self.dir.set_permissions(name, permissions)?;
        }
        Ok(())
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> io::Result<u64> {
        fs4::available_space(&self.path)
    }
}

/// When it was modified.
pub(super) fn time(kept: &Kept) -> SystemTime {
    let since = Duration::from_nanos(kept.modified.unsigned_abs());
    match kept.modified >= 0 {
        true => SystemTime::UNIX_EPOCH + since,
        false => SystemTime::UNIX_EPOCH - since,
    }
}
