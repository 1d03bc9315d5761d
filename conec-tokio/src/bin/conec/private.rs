//! Files and directories that only their owner can read.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::failure::{Exit, Failure};

/// Makes a directory for its owner only, unless it is there.
pub(crate) fn directory(path: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| Failure::io(format!("cannot make {}", path.display()), &error))
}

/// Writes a file for its owner only. Whenever the machine stops, it is the former one or this as a whole.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    replace(path, content)
        .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

/// What a file holds. `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(
            format!("cannot read {}", path.display()),
            &error,
        )),
    }
}

/// What a file holds that has to be there.
pub(crate) fn read_needed(path: &Path) -> Result<String, Failure> {
    read(path)?.ok_or_else(|| {
        Failure::usage(
            format!("there is no file {}", path.display()),
            "check how it is written",
        )
    })
}

/// What a file holds that not everybody may read.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = read_needed(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(path)
            .map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        if metadata.permissions().mode() & 0o007 != 0 {
            let what = format!("everybody on this machine can read {}", path.display());
            let help = "take their rights away (chmod 600) if you know that nobody has read it, or make a new one";
            return Err(Failure::usage(what, help));
        }
    }
    Ok(text)
}

/// What keeps other processes from having the same.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Unlocked when it is closed.
    _file: fs::File,
}

impl Lock {
    /// Takes it, unless another process has it.
    pub(crate) fn take(path: PathBuf) -> Result<Option<Self>, Failure> {
        let failed =
            |error: &io::Error| Failure::io(format!("cannot lock {}", path.display()), error);
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(failed(&error)),
        }
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    // Such files are made for their owner only.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// A path that has to be there, for what else would be in it.
pub(crate) fn needed(path: Option<PathBuf>, what: &str, help: &str) -> Result<PathBuf, Failure> {
    path.ok_or_else(|| Failure::new(Exit::Usage, format!("there is no place for {what}"), help))
}
