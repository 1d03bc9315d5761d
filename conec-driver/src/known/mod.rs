//! Whose which name is, kept in a file in the style of ssh's `known_hosts`.

mod keeper;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use conec_core::{ClientId, InvalidName, KnownClients, Name, TextError};
use thiserror::Error;

pub(crate) use self::keeper::Keeper;
use crate::stored::{is_private_to_write, replace};

/// A file with the names that a Client [remembers](conec_core::ClientConfig::known), and whose they are: in each line a name and an id.
/// What follows a `#` is a comment.
///
/// ```text
/// # The sensors on the roof.
/// sensor-17  7uiq2ma5f4dx3ykbjohzt5cbwfad7kzapmqff66sybs6j3uopxbifaup
/// ```
///
/// A Client that is given what is [loaded](Self::load) from there knows it from the beginning, and its handles add what it learns, before they
/// give the channel to the application. That takes a moment once for each name, in a thread of its own. What cannot be stored is logged as a
/// warning, known until the Client ends, and tried again with the next.
///
/// ```no_run
/// # async fn run(mut config: conec_driver::api::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
/// use conec_driver::api::{KnownFile, OpenError};
/// # async fn connect(config: conec_driver::api::ClientConfig) -> Result<conec_driver::Client, std::io::Error> { todo!() }
///
/// config.known = Some(KnownFile::new("known_clients").load()?);
/// let client = connect(config).await?;
/// let bob: conec_driver::api::Name = "bob".parse()?;
/// match client.open(bob, "chat").await {
///     Ok(channel) => println!("{:?}", channel.peer()),
///     // Both ids are in it, and what to do.
///     Err(OpenError::KeyChanged(change)) => println!("{change}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// Without handles, in an event loop, the application does that itself: at [`Learned`](conec_core::ClientEvent::Learned) it
/// [adds](Self::add) the name.
///
/// # Several programs
///
/// Whoever writes holds a lock meanwhile, on a file beside it (`.lock`), and puts another file in the place of the former one, with
/// what that had by then: no program loses what another one has added, and the file is there as a whole whenever the
/// machine stops. Nobody else can read it (mode 0600). Comments stay. What a program adds or changes is not seen by others that run
/// already, until they would add another id for the same name: then that of the file counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    path: PathBuf,
}

impl KnownFile {
    /// The file at this path, be it there or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it, to be [known](conec_core::ClientConfig::known) by a Client: nothing if there is no such file.
    ///
    /// Fails if a line is malformed, if two lines give one name to different ids, or if others can write to the file, where the
    /// system knows that (Unix).
    pub fn load(&self) -> Result<KnownClients, KnownError> {
        let entries = self.parse(&self.read()?)?;
        let mut known: KnownClients = entries
            .into_iter()
            .map(|(name, entry)| (name, entry.id))
            .collect();
        known.set_file(&self.path);
        Ok(known)
    }

    /// Adds a name, unless it is there. Whose it is by this file: somebody else's if another program has learned that before.
    pub fn add(&self, name: &Name, id: ClientId) -> Result<ClientId, KnownError> {
        let mut whose = id;
        self.change(name, |known| {
            whose = known.unwrap_or(id);
            Some(whose)
        })?;
        Ok(whose)
    }

    /// Gives a name to somebody, whoever has it. Gives whose it was.
    pub fn set(&self, name: &Name, id: ClientId) -> Result<Option<ClientId>, KnownError> {
        self.change(name, |_| Some(id))
    }

    /// Removes a name. Gives whose it was.
    pub fn forget(&self, name: &Name) -> Result<Option<ClientId>, KnownError> {
        self.change(name, |_| None)
    }

    /// Changes whose a name is, while nobody else writes. Whose it was.
    fn change(
        &self,
        name: &Name,
        change: impl FnOnce(Option<ClientId>) -> Option<ClientId>,
    ) -> Result<Option<ClientId>, KnownError> {
        // Where it is a link, that stays.
        let place = match fs::canonicalize(&self.path) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(self.failed(error)),
        };
        let lock = lock(&place).map_err(|error| self.failed(error))?;
        let text = self.read()?;
        let entry = self.parse(&text)?.remove(name);
        let former = entry.as_ref().map(|entry| entry.id);
        let new = change(former);
        if new != former {
            let lines = entry.map(|entry| entry.lines).unwrap_or_default();
            let text = rewrite(&text, &lines, new.map(|id| format!("{name} {id}\n")));
            replace(&place, &text).map_err(|error| self.failed(error))?;
        }
        // Held until now.
        drop(lock);
        Ok(former)
    }

    fn read(&self) -> Result<Vec<u8>, KnownError> {
        let mut text = Vec::new();
        let mut file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
            Err(error) => return Err(self.failed(error)),
        };
        if !is_private_to_write(&file).map_err(|error| self.failed(error))? {
            let path = self.path.clone();
            return Err(KnownError::NotPrivate { path });
        }
        file.read_to_end(&mut text)
            .map_err(|error| self.failed(error))?;
        Ok(text)
    }

    /// Whose which name is in this text.
    fn parse(&self, text: &[u8]) -> Result<BTreeMap<Name, Entry>, KnownError> {
        let mut entries = BTreeMap::<Name, Entry>::new();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let failed = |error| KnownError::Line {
                path: self.path.clone(),
                line: at + 1,
                error,
            };
            let Some((name, id)) = parse_line(line).map_err(failed)? else {
                continue;
            };
            let lines = Vec::new();
            let entry = entries.entry(name).or_insert(Entry { id, lines });
            if entry.id != id {
                let first = entry.lines[0] + 1;
                return Err(failed(KnownLineError::Twice { first }));
            }
            entry.lines.push(at);
        }
        Ok(entries)
    }

    fn failed(&self, error: io::Error) -> KnownError {
        let path = self.path.clone();
        KnownError::Io { path, error }
    }
}

/// Whose a name is, and which lines say so, of which the first is number 0.
struct Entry {
    id: ClientId,
    lines: Vec<usize>,
}

/// Why names could not be loaded or stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KnownError {
    /// The file, or the folder that it is in, cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it cannot be.
        #[source]
        error: io::Error,
    },
    /// Others can write to the file, and so may have given names to whom they like.
    #[error(
        "others can write to {path}: see that it is right, and take their rights away (chmod 600)"
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// A line is malformed.
    #[error("{path} is wrong in line {line}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number: that of the first is 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        error: KnownLineError,
    },
    /// The Client remembers no names.
    #[error("this client remembers no names: set `known` in its configuration")]
    Unused,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KnownLineError {
    /// It does not consist of two words.
    #[error("a line is a name and an id, or a comment that begins with #")]
    Words,
    /// The first word is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The second one is no id.
    #[error(transparent)]
    Id(#[from] TextError),
    /// An earlier line gives the name to somebody else.
    #[error("line {first} gives this name to another id: remove the one that is wrong")]
    Twice {
        /// That line's number.
        first: usize,
    },
}

fn parse_line(line: &[u8]) -> Result<Option<(Name, ClientId)>, KnownLineError> {
    // What is no text is neither a name nor an id, and may be in comments.
    let line = String::from_utf8_lossy(line);
    let said = line.split('#').next().unwrap_or_default();
    let mut words = said.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, _, _) => Ok(None),
        (Some(name), Some(id), None) => Ok(Some((name.parse()?, id.parse()?))),
        (Some(_), _, _) => Err(KnownLineError::Words),
    }
}

/// The text without these lines, and with a new one, where the first of them was, or at its end.
fn rewrite(text: &[u8], without: &[usize], new: Option<String>) -> Vec<u8> {
    let mut new = new.unwrap_or_default().into_bytes();
    let mut rewritten = Vec::with_capacity(text.len() + new.len() + 1);
    for (at, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if without.contains(&at) {
            rewritten.append(&mut new);
        } else {
            rewritten.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                rewritten.push(b'\n');
            }
        }
    }
    rewritten.append(&mut new);
    rewritten
}

/// Waits until nobody else writes. Others wait as long as what is given is there.
fn lock(place: &Path) -> io::Result<fs::File> {
    let mut beside = OsString::from(place);
    beside.push(".lock");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(beside)?;
    file.lock()?;
    Ok(file)
}
