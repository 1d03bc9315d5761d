//! Where everything goes that the other end tells of.

use std::{io, sync::Arc};

use conec_tokio::{ClientId, Receiver, Sender};
use tokio::{sync::mpsc, task::block_in_place};

use super::{
    super::{
        fault::Fault,
        names,
        progress::size,
        protocol::{self, Answer, Entry, Kept, MOST_DEPTH, Summary},
    },
    draft::{Draft, MAKE_ROOM, MOST_NUMBERS, Wanted},
    folder::Place,
    store::Notes,
};
use crate::{
    codes,
    failure::{Exit, Failure},
};

/// What is to be done next, in the order in which the bytes come.
pub(super) enum Step {
    File {
        draft: Box<Draft>,
        place: Place,
        is_top: bool,
    },
    /// All of a folder is there.
    Leave(Left),
}

/// A folder that is in its place.
pub(super) struct Left {
    /// What it is in.
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) kept: Kept,
    pub(super) is_top: bool,
}

/// Finds places.
pub(super) struct Planner {
    top: Place,
    overwrite: bool,
    sender: ClientId,
    /// What may still come, by what was said.
    left: Summary,
    /// The folders that it is in.
    open: Vec<Open>,
    is_room_checked: bool,
}

struct Open {
    place: Place,
    name: String,
    kept: Kept,
}

impl Planner {
    pub(super) fn new(top: Place, overwrite: bool, sender: ClientId, summary: Summary) -> Self {
        Self {
            top,
            overwrite,
            sender,
            left: summary,
            open: Vec::new(),
            is_room_checked: false,
        }
    }

    /// Plans everything that the other end tells of.
    pub(super) async fn run(
        mut self,
        entries: &mut Receiver,
        answers: &mut Sender,
        steps: mpsc::Sender<Step>,
    ) -> Result<(), Fault> {
        loop {
            let entry = protocol::hear::<Entry>(entries).await?;
            let left = self.left.without(&entry);
            let all = self.left.bytes;
            self.left = left.ok_or_else(|| Fault::malformed("it sends more than it said"))?;
            let step = match entry {
                Entry::Folder(kept) => {
                    block_in_place(|| self.enter(kept))?;
                    continue;
                }
                Entry::Leave => self.leave()?,
                Entry::File { kept, size } => {
                    let step = block_in_place(|| self.file(kept, size, all))?;
                    if let Step::File { draft, .. } = &step {
                        let marks = draft.marks();
                        protocol::say(answers, &Answer::Wanted { marks }).await?;
                    }
                    step
                }
                Entry::End => break,
            };
            // Where nobody takes it, the other half has failed, and says why.
            let _ = steps.send(step).await;
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => Err(Fault::malformed("it has not left all folders")),
        }
    }

    fn here(&self) -> &Place {
        self.open.last().map_or(&self.top, |it| &it.place)
    }

    fn safe(&self, name: &str) -> String {
        match self.open.is_empty() {
            true => names::safe_at_top(name),
            false => names::safe(name),
        }
    }

    fn file(&mut self, kept: Kept, size: u64, all: u64) -> Result<Step, Fault> {
        let place = self.here().clone();
        let wanted = Wanted {
            place: place.clone(),
            name: self.safe(&kept.name),
            kept,
            size,
            sender: self.sender,
            overwrite: self.overwrite,
        };
        let draft = Arc::new(wanted).draft()?;
        let there = draft.there();
        if there < size {
            // What comes before this is in its place already: for what comes after it there has to be room too.
            let needed = match self.is_room_checked {
                true => size - there,
                false => all - there,
            };
            self.is_room_checked = true;
            check_room(&place, needed)?;
        }
        Ok(Step::File {
            draft: Box::new(draft),
            place,
            is_top: self.open.is_empty(),
        })
    }

    fn enter(&mut self, kept: Kept) -> Result<(), Fault> {
        if self.open.len() >= MOST_DEPTH {
            let what = format!("more than {MOST_DEPTH} folders are in each other");
            let help = "send the innermost ones by themselves, or all as one archive";
            return Err(Failure::new(Exit::Other, what, help).into());
        }
        let safe = self.safe(&kept.name);
        for number in 0..MOST_NUMBERS {
            let name = names::numbered(&safe, number);
            let place = self.folder(&name).map_err(|error| {
                let path = self.here().path(&name);
                Failure::io(format_args!("cannot make {}", path.display()), &error)
            })?;
            if let Some(place) = place {
                self.open.push(Open { place, name, kept });
                return Ok(());
            }
        }
        let what = format!("{MOST_NUMBERS} folders are called like {safe}");
        Err(Failure::new(Exit::Other, what, "move some of them away").into())
    }

    /// The folder of this name, if it is there to be added to.
    fn folder(&self, name: &str) -> io::Result<Option<Place>> {
        let here = self.here();
        let is_top = self.open.is_empty();
        let Some(there) = here.look(name)? else {
            if is_top {
                Notes::of_folder(self.sender).keep(here, name)?;
            }
            return here.make(name).map(Some);
        };
        // In one that was begun by this sender, all is this sender's.
        let is_own = || Notes::read(here, name) == Some(Notes::of_folder(self.sender));
        match there.is_dir() && (!is_top || self.overwrite || is_own()) {
            true => here.enter(name).map(Some),
            false => Ok(None),
        }
    }

    fn leave(&mut self) -> Result<Step, Fault> {
        let open = self.open.pop();
        let Open { name, kept, .. } =
            open.ok_or_else(|| Fault::malformed("it leaves a folder that it is not in"))?;
        Ok(Step::Leave(Left {
            place: self.here().clone(),
            name,
            kept,
            is_top: self.open.is_empty(),
        }))
    }
}

fn check_room(place: &Place, needed: u64) -> Result<(), Fault> {
    // Where the system does not say, it is tried.
    let Ok(room) = place.room() else {
        return Ok(());
    };
    if needed <= room {
        return Ok(());
    }
    let what = format!(
        "{} are to come, but there is room for {}",
        size(needed),
        size(room)
    );
    let failure = Failure::new(Exit::Other, what, MAKE_ROOM);
    Err(Fault::new(codes::NO_ROOM, failure))
}
