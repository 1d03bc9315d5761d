//! What is to be sent: a walk through files and folders, depth first, always in the same order, so that what is sent again finds what is
//! there already at its beginning.

use std::{
    fmt, fs, io,
    iter::Peekable,
    path::{Path, PathBuf},
    time::SystemTime,
};

use walkdir::{DirEntry, WalkDir};

use super::super::protocol::{Entry, Kept, MOST_NAMES, Summary, VERSION};
use crate::failure::Failure;

/// A file or folder that was named on the command line.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    path: PathBuf,
    name: String,
}

impl Thing {
    /// What this path leads to; a link that is named by itself is followed.
    pub(super) fn find(given: &Path) -> Result<Self, Failure> {
        let path = fs::canonicalize(given).map_err(|error| {
            Failure::usage(
                format!("cannot send {}: {error}", given.display()),
                "check the path; the last argument is whom to send to",
            )
        })?;
        // `.` and `..` have no name of their own.
        let name = given.file_name().or_else(|| path.file_name());
        let name = name.ok_or_else(|| {
            let what = format!("{} has no name to be sent under", given.display());
            Failure::usage(what, "name the files and folders in it")
        })?;
        let name = name.to_string_lossy().into_owned();
        Ok(Self { path, name })
    }

    fn walk(&self) -> Walk<'_> {
        let entries = WalkDir::new(&self.path).sort_by_file_name();
        Walk {
            entries: entries.into_iter().peekable(),
            root: &self.name,
            open: 0,
        }
    }
}

/// A step of the walk: what to tell the other end, and the file itself if it is one.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) entry: Entry,
    pub(super) path: PathBuf,
}

/// Why something is left out.
#[derive(Debug)]
pub(super) struct LeftOut(String);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out: {}", self.0)
    }
}

/// All steps through these things.
pub(super) fn steps(things: &[Thing]) -> impl Iterator<Item = Result<Step, LeftOut>> {
    things.iter().flat_map(Thing::walk)
}

/// How much there is.
pub(super) fn summary(things: &[Thing]) -> Summary {
    let names = things.iter().take(MOST_NAMES).map(|it| it.name.clone());
    let mut summary = Summary {
        version: VERSION,
        names: names.collect(),
        files: 0,
        folders: 0,
        bytes: 0,
    };
    for step in steps(things).flatten() {
        match step.entry {
            Entry::File { size, .. } => {
                summary.files += 1;
                summary.bytes += size;
            }
            Entry::Folder(_) => summary.folders += 1,
            Entry::Leave | Entry::End => {}
        }
    }
    summary
}

/// When something was modified, in nanoseconds since 1970.
pub(super) fn modified(metadata: &fs::Metadata) -> io::Result<i64> {
    let modified = metadata.modified()?;
    let since = modified.duration_since(SystemTime::UNIX_EPOCH);
    let nanoseconds = match since {
        Ok(since) => i64::try_from(since.as_nanos()),
        Err(before) => i64::try_from(before.duration().as_nanos()).map(|it| -it),
    };
    nanoseconds.map_err(|_| io::Error::other("its time is out of range"))
}

struct Walk<'a> {
    entries: Peekable<walkdir::IntoIter>,
    root: &'a str,
    /// How many folders the walk is in.
    open: usize,
}

impl Iterator for Walk<'_> {
    type Item = Result<Step, LeftOut>;

    fn next(&mut self) -> Option<Self::Item> {
        let depth = match self.entries.peek() {
            Some(Ok(entry)) => entry.depth(),
            // It says itself that it could not be read.
            Some(Err(_)) => self.open,
            None => 0,
        };
        if depth < self.open {
            self.open -= 1;
            let (entry, path) = (Entry::Leave, PathBuf::new());
            return Some(Ok(Step { entry, path }));
        }
        Some(match self.entries.next()? {
            Ok(entry) => self.step(entry),
            Err(error) => Err(LeftOut(error.to_string())),
        })
    }
}

impl Walk<'_> {
    fn step(&mut self, found: DirEntry) -> Result<Step, LeftOut> {
        let path = found.path().to_owned();
        let left_out = |why: &dyn fmt::Display| LeftOut(format!("{}: {why}", path.display()));
        let metadata = found.metadata().map_err(|error| left_out(&error))?;
        let name = match found.depth() {
            0 => self.root.to_owned(),
            _ => found.file_name().to_string_lossy().into_owned(),
        };
        let kept = Kept {
            name,
            mode: mode(&metadata),
            modified: modified(&metadata).map_err(|error| left_out(&error))?,
        };
        let entry = if metadata.is_dir() {
            self.open += 1;
            Entry::Folder(kept)
        } else if metadata.is_file() {
            let size = metadata.len();
            Entry::File { kept, size }
        } else if metadata.is_symlink() {
            return Err(left_out(&"it is a link"));
        } else {
            return Err(left_out(&"it is neither a file nor a folder"));
        };
        Ok(Step { entry, path })
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_leaves_every_folder_that_it_enters() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let root = home.path().join("root");
        fs::create_dir_all(root.join("a/b/c"))?;
        fs::create_dir_all(root.join("d"))?;
        fs::write(root.join("a/b/file"), "xyz")?;
        fs::write(root.join("e"), "")?;
        let thing = Thing::find(&root).map_err(|it| io::Error::other(it.to_string()))?;
        let things = [thing];
        let told: Vec<_> = steps(&things)
            .map(|step| match step.map(|it| it.entry) {
                Ok(Entry::Folder(kept)) => format!("+{}", kept.name),
                Ok(Entry::Leave) => "-".into(),
                Ok(Entry::File { kept, size }) => format!("{}:{size}", kept.name),
                Ok(Entry::End) => "end".into(),
                Err(left_out) => left_out.to_string(),
            })
            .collect();
        assert_eq!(told.join(" "), "+root +a +b +c - file:3 - - +d - e:0 -");
        let summary = summary(&things);
        assert_eq!((summary.files, summary.folders, summary.bytes), (2, 5, 3));
        Ok(())
    }
}
