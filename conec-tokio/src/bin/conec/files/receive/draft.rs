//! A file that is being received, until it is complete.

use std::{
    fs::{File, FileTimes, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    sync::Arc,
    thread::JoinHandle,
};

use conec_tokio::ClientId;

use super::{
    super::{
        fault::Fault,
        hashing::{Mark, Prefix},
        names,
        protocol::Kept,
    },
    folder::{self, Place},
    store::Notes,
};
use crate::{
    codes,
    failure::{Exit, Failure},
};

/// A file that somebody sends, and where it is to be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) place: Place,
    /// A safe name, which something else may have.
    pub(super) name: String,
    pub(super) kept: Kept,
    pub(super) size: u64,
    pub(super) sender: ClientId,
    pub(super) overwrite: bool,
}

/// A file that is being received. Nobody else writes it meanwhile.
pub(super) struct Draft {
    wanted: Arc<Wanted>,
    /// Which of its [names](names::numbered) it is to have.
    number: usize,
    file: File,
    /// It is there as a whole, by its own name, if it is the same.
    is_whole: bool,
    /// Beginnings of it that may be there already.
    known: Vec<Prefix>,
    written: Prefix,
    /// What makes it certain that it is on disk, as far as it is.
    storing: Option<JoinHandle<io::Result<()>>>,
    stored: u64,
}

impl Wanted {
    /// Where it goes on, or is begun.
    pub(super) fn draft(self: Arc<Self>) -> Result<Draft, Fault> {
        self.draft_if(true)
    }

    /// As before, but without what has the same size and time by chance only.
    fn draft_if(self: Arc<Self>, may_be_whole: bool) -> Result<Draft, Fault> {
        for number in 0..MOST_NUMBERS {
            let draft = self.candidate(number, may_be_whole);
            if let Some(draft) = draft.map_err(|error| self.failed(&error))? {
                return Ok(draft);
            }
        }
        let path = self.place.path(&self.name);
        let what = format!("{MOST_NUMBERS} files are called like {}", path.display());
        Err(Failure::new(Exit::Other, what, "move some of them away").into())
    }

    fn candidate(self: &Arc<Self>, number: usize, may_be_whole: bool) -> io::Result<Option<Draft>> {
        let name = names::numbered(&self.name, number);
        if let Some(there) = self.place.look(&name)? {
            let modified = there.modified().ok().map(|it| it.into_std());
            let is_alike = there.is_file() && there.len() == self.size;
            let is_alike = is_alike && modified == Some(folder::time(&self.kept));
            if is_alike
                && may_be_whole
                && let Ok(mut file) = self.place.read(&name)
            {
                let mut whole = Prefix::default();
                whole.read_to(&mut file, self.size)?;
                return Ok(Some(self.new_draft(number, file, vec![whole], true)));
            }
            if !self.overwrite || there.is_dir() {
                return Ok(None);
            }
        }
        self.part(number, &name)
    }

    /// The unfinished file, if it is no other one's.
    fn part(self: &Arc<Self>, number: usize, name: &str) -> io::Result<Option<Draft>> {
        let part = names::part(name);
        if self.place.look(&part)?.is_some_and(|it| !it.is_file()) {
            return Ok(None);
        }
        let mut file = self.place.write(&part)?;
        // Where files cannot be locked, all goes well as long as one process receives there.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Ok(None);
        }
        let known = match Notes::read(&self.place, name) {
            Some(Notes::File {
                sender,
                size,
                modified,
                stored,
            }) => {
                if sender != self.sender.to_string() {
                    return Ok(None);
                }
                match (size, modified) == (self.size, self.kept.modified) {
                    true => known(&mut file, stored, size)?,
                    false => Vec::new(),
                }
            }
            Some(Notes::Folder { .. }) | None => Vec::new(),
        };
        Ok(Some(self.new_draft(number, file, known, false)))
    }

    fn new_draft(
        self: &Arc<Self>,
        number: usize,
        file: File,
        known: Vec<Prefix>,
        is_whole: bool,
    ) -> Draft {
        Draft {
            wanted: Arc::clone(self),
            number,
            file,
            is_whole,
            known,
            written: Prefix::default(),
            storing: None,
            stored: 0,
        }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        let path = self.place.path(&self.name);
        let failure = Failure::io(format_args!("cannot write {}", path.display()), error);
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return Fault::new(codes::NO_ROOM, failure.help(MAKE_ROOM));
        }
        failure.into()
    }
}

/// What is there of an unfinished file: all of it, if only a process has ended, and what is on disk for certain, if the machine has.
fn known(file: &mut File, stored: Mark, size: u64) -> io::Result<Vec<Prefix>> {
    let length = file.metadata()?.len().min(size);
    let mut prefix = Prefix::default();
    file.seek(SeekFrom::Start(0))?;
    prefix.read_to(file, stored.length.min(length))?;
    if prefix.mark() != stored {
        return Ok(Vec::new());
    }
    let mut known = vec![prefix.clone()];
    prefix.read_to(file, length)?;
    if prefix.length > stored.length {
        known.push(prefix);
    }
    known.retain(|it| it.length > 0);
    Ok(known)
}

impl Draft {
    /// What the other end may leave out, if it has the same.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.known.iter().map(Prefix::mark).collect()
    }

    /// How many bytes may be there already.
    pub(super) fn there(&self) -> u64 {
        self.known.iter().map(|it| it.length).max().unwrap_or(0)
    }

    pub(super) fn left(&self) -> u64 {
        self.wanted.size - self.written.length
    }

    pub(super) fn size(&self) -> u64 {
        self.wanted.size
    }

    pub(super) fn name(&self) -> String {
        names::numbered(&self.wanted.name, self.number)
    }

    /// Goes on after so many bytes, as the other end wants it.
    pub(super) fn begin(mut self, from: u64) -> Result<Self, Fault> {
        let known = self.known.iter().find(|it| it.length == from);
        match known {
            Some(known) => self.written = known.clone(),
            None if from == 0 && self.is_whole && self.size() > 0 => {
                let again = self.wanted.draft_if(false)?;
                return again.begin(0);
            }
            None if from == 0 => {}
            None => return Err(Fault::malformed("it goes on where nothing was")),
        }
        if !self.is_whole {
            let begun = self.cut_to(from);
            begun.map_err(|error| self.wanted.failed(&error))?;
        }
        self.known.clear();
        Ok(self)
    }

    fn cut_to(&mut self, from: u64) -> io::Result<()> {
        self.file.set_len(from)?;
        self.file.seek(SeekFrom::Start(from))?;
        self.stored = from;
        match self.is_worth_keeping() {
            true => self.notes().keep(&self.wanted.place, &self.name()),
            false => Notes::forget(&self.wanted.place, &self.name()),
        }
    }

    /// More of it.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if piece.is_empty() || piece.len() as u64 > self.left() {
            return Err(Fault::malformed("it sends more of a file than it said"));
        }
        self.written.add(piece);
        self.file
            .write_all(piece)
            .and_then(|()| self.store())
            .map_err(|error| self.wanted.failed(&error))
    }

    /// It is complete: it gets its name, which is given back.
    pub(super) fn complete(mut self, hash: blake3::Hash) -> Result<String, Fault> {
        let (place, name) = (self.wanted.place.clone(), self.name());
        if self.left() > 0 || self.written.mark().blake3 != hash {
            let what = format!(
                "{}: what has come is not what was sent",
                place.path(&name).display()
            );
            if !self.is_whole {
                // It is of no use. Where it cannot be removed, it is found not to be the same at the next time.
                let _ = self.finish_storing();
                let _ = place.remove(&names::part(&name));
                let _ = Notes::forget(&place, &name);
            }
            return Err(Failure::new(Exit::Other, what, "send it again").into());
        }
        let settled = match self.is_whole {
            true => Ok(name),
            false => self.settle(),
        };
        settled.map_err(|error| self.wanted.failed(&error))
    }

    fn settle(&mut self) -> io::Result<String> {
        self.finish_storing()?;
        let times = FileTimes::new().set_modified(folder::time(&self.wanted.kept));
        self.file.set_times(times)?;
        #[cfg(unix)]
        if let Some(mode) = self.wanted.kept.mode {
            use std::os::unix::fs::PermissionsExt;
            let permissions = std::fs::Permissions::from_mode(mode & 0o777);
            self.file.set_permissions(permissions)?;
        }
        if self.is_worth_keeping() {
            self.file.sync_data()?;
        }
        let unfinished = self.name();
        let name = self.rename(&names::part(&unfinished))?;
        Notes::forget(&self.wanted.place, &unfinished)?;
        Ok(name)
    }

    fn rename(&mut self, part: &str) -> io::Result<String> {
        let place = &self.wanted.place;
        if self.wanted.overwrite {
            place.replace(part, &self.name())?;
            return Ok(self.name());
        }
        while let Err(error) = place.rename(part, &self.name()) {
            // Something has got that name meanwhile.
            if error.kind() != io::ErrorKind::AlreadyExists || self.number == MOST_NUMBERS {
                return Err(error);
            }
            self.number += 1;
        }
        Ok(self.name())
    }

    /// Makes it certain, from time to time, that what was written is on disk. The next bytes need not wait for that.
    fn store(&mut self) -> io::Result<()> {
        let is_due = self.written.length - self.stored >= STORE_EVERY;
        if !is_due || self.storing.as_ref().is_some_and(|it| !it.is_finished()) {
            return Ok(());
        }
        self.finish_storing()?;
        self.stored = self.written.length;
        let (file, notes) = (self.file.try_clone()?, self.notes());
        let (place, name) = (self.wanted.place.clone(), self.name());
        self.storing = Some(std::thread::spawn(move || {
            file.sync_data()?;
            notes.keep(&place, &name)
        }));
        Ok(())
    }

    fn finish_storing(&mut self) -> io::Result<()> {
        match self.storing.take().map(JoinHandle::join) {
            Some(Ok(stored)) => stored,
            Some(Err(_)) => Err(io::Error::other("it could not be stored")),
            None => Ok(()),
        }
    }

    fn notes(&self) -> Notes {
        let Wanted {
            sender, kept, size, ..
        } = &*self.wanted;
        Notes::of_file(*sender, kept, *size, self.written.mark())
    }

    /// Small files are quickly sent again.
    fn is_worth_keeping(&self) -> bool {
        self.size() >= WORTH_KEEPING
    }
}

pub(super) const MAKE_ROOM: &str =
    "make room, and let it be sent again: what is there already is kept";
/// How many files may be called alike.
pub(super) const MOST_NUMBERS: usize = 1000;
/// From what size on it is noted what is there of an unfinished file.
const WORTH_KEEPING: u64 = 1 << 20;
/// After how many bytes it is made certain that they are on disk.
const STORE_EVERY: u64 = 256 << 20;
