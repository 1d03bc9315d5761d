//! What is known of something unfinished, kept beside it, so that it goes on whatever has happened meanwhile.

use std::io::{self, Read, Write};

use conec_tokio::ClientId;
use serde::{Deserialize, Serialize};

use super::{
    super::{hashing::Mark, names, protocol::Kept},
    folder::Place,
};

/// What is known of something unfinished. It belongs to who sends it: others can neither add to it nor replace it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "lowercase")]
pub(super) enum Notes {
    /// A folder that others may not add to.
    Folder { sender: String },
    /// A file, with how much of it is on disk for certain.
    File {
        sender: String,
        size: u64,
        modified: i64,
        stored: Mark,
    },
}

impl Notes {
    pub(super) fn of_folder(sender: ClientId) -> Self {
        let sender = sender.to_string();
        Self::Folder { sender }
    }

    pub(super) fn of_file(sender: ClientId, kept: &Kept, size: u64, stored: Mark) -> Self {
        Self::File {
            sender: sender.to_string(),
            size,
            modified: kept.modified,
            stored,
        }
    }

    /// What is kept beside the file or folder of this name. What cannot be read is of no use.
    pub(super) fn read(place: &Place, name: &str) -> Option<Self> {
        let name = names::notes(name);
        if !place.look(&name).ok()??.is_file() {
            return None;
        }
        let mut text = String::new();
        let file = place.read(&name).ok()?;
        file.take(MOST).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps it. Whenever this process stops, it is the former one or this as a whole.
    pub(super) fn keep(&self, place: &Place, name: &str) -> io::Result<()> {
        let name = names::notes(name);
        let fresh = format!("{name}.new");
        place.remove(&fresh)?;
        let mut file = place.write(&fresh)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.sync_data()?;
        place.replace(&fresh, &name)
    }

    pub(super) fn forget(place: &Place, name: &str) -> io::Result<()> {
        place.remove(&names::notes(name))
    }
}

/// How many bytes they are at most.
const MOST: u64 = 4096;
