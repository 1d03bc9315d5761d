//! What two tools say to each other: the protocol of `conec/files`.
//!
//! 1. Who sends opens the channel, unless there is a code. With a code, who receives opens it, and both prove on the first
//!    bidirectional stream, [`CODE`], that they know it.
//! 2. Who sends opens the bidirectional stream [`FILES`], and then the unidirectional stream [`BYTES`].
//! 3. On [`FILES`] it says in a [`Summary`] what there is. Who receives answers [`Answer::Taken`], or ends the channel with a code.
//! 4. On [`FILES`] each [`Entry`] is told, depth first. To each file, in the same order, the answer is [`Answer::Wanted`]: how much
//!    of it may be there already. Many entries are under way at once, so that a small file takes no round trip.
//! 5. On [`BYTES`] comes for each file, in the same order, its [`Start`], then as many bytes as that leaves, in messages of any
//!    size but 0, then its [`Stop`].
//! 6. When all is in its place, the answer is [`Answer::Done`].
//!
//! Everything but bytes is JSON, of at most [`MOST_HEADER`] bytes. Names are single names, never paths.

use bytes::Bytes;
use conec_tokio::{Receiver, Sender};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{fault::Fault, hashing::Mark};
use crate::failure::{Exit, Failure};

/// The label of the channel.
pub(super) const SERVICE: &str = "conec/files";
/// Where both prove to know a code.
pub(super) const CODE: &str = "code";
/// What there is, and what is wanted of it.
pub(super) const FILES: &str = "files";
/// What is in the files.
pub(super) const BYTES: &str = "bytes";
/// The version of all this.
pub(super) const VERSION: u32 = 1;
/// How many files may be announced before their bytes have come.
pub(super) const AHEAD: usize = 64;
/// How many names a summary has at most.
pub(super) const MOST_NAMES: usize = 20;
/// How many folders may be in each other.
pub(super) const MOST_DEPTH: usize = 128;
/// How many bytes a message in JSON has at most.
const MOST_HEADER: usize = 64 << 10;
/// How many files and folders there are at most.
const MOST_ENTRIES: u64 = 100_000_000;

/// What somebody wants to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Summary {
    pub(super) version: u32,
    /// Of what was named on the command line, the first ones.
    pub(super) names: Vec<String>,
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) bytes: u64,
}

impl Summary {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let counts = self.files.checked_add(self.folders);
        let fits = counts.is_some_and(|it| it <= MOST_ENTRIES) && self.bytes <= i64::MAX as u64;
        match self.version == VERSION && self.names.len() <= MOST_NAMES && fits {
            true => Ok(()),
            false => Err(Fault::malformed("what it wants to send is not understood")),
        }
    }

    /// What is left after this. `None` if it is more than was left.
    pub(super) fn without(&self, entry: &Entry) -> Option<Self> {
        let mut left = self.clone();
        match entry {
            Entry::Folder(_) => left.folders = left.folders.checked_sub(1)?,
            Entry::File { size, .. } => {
                left.files = left.files.checked_sub(1)?;
                left.bytes = left.bytes.checked_sub(*size)?;
            }
            Entry::Leave | Entry::End => {}
        }
        Some(left)
    }
}

/// A step of the walk through what is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(super) enum Entry {
    /// Into a folder.
    Folder(Kept),
    /// Out of the folder.
    Leave,
    /// A file.
    File {
        #[serde(flatten)]
        kept: Kept,
        size: u64,
    },
    /// That was all.
    End,
}

/// What is kept of a file or a folder, besides what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) name: String,
    /// Who may read, write and execute it, as Unix has it.
    pub(super) mode: Option<u32>,
    /// In nanoseconds since 1970.
    pub(super) modified: i64,
}

/// What who receives says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Answer {
    /// Go on.
    Taken,
    /// The file, but for what is there already, as far as one of these marks is right.
    Wanted { marks: Vec<Mark> },
    /// All is in its place.
    Done,
}

/// Before the bytes of a file: how many are left out, since they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) from: u64,
}

/// After the bytes of a file: the hash of all of it, with what was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    #[serde(with = "super::hashing::hexadecimal")]
    pub(super) blake3: blake3::Hash,
}

/// Says something in JSON.
pub(super) async fn say(to: &mut Sender, what: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec(what)
        .map_err(|error| Failure::mistake(format!("cannot be told: {error}")))?;
    Ok(to.send(Bytes::from(text)).await?)
}

/// Hears something in JSON.
pub(super) async fn hear<T: DeserializeOwned>(from: &mut Receiver) -> Result<T, Fault> {
    match from.recv().await? {
        Some(message) if message.len() <= MOST_HEADER => serde_json::from_slice(&message)
            .map_err(|error| Fault::malformed(format!("not understood: {error}"))),
        Some(_) => Err(Fault::malformed("not understood: too long")),
        None => Err(Failure::new(
            Exit::Lost,
            "the other end has stopped too early",
            "see what it says; sent again, it goes on where it was",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_they_are_written_down() {
        let kept = Kept {
            name: "a".into(),
            mode: Some(0o644),
            modified: 7,
        };
        let entries = [
            (
                Entry::Folder(kept.clone()),
                r#"{"is":"folder","name":"a","mode":420,"modified":7}"#,
            ),
            (Entry::Leave, r#"{"is":"leave"}"#),
            (
                Entry::File { kept, size: 3 },
                r#"{"is":"file","name":"a","mode":420,"modified":7,"size":3}"#,
            ),
            (Entry::End, r#"{"is":"end"}"#),
        ];
        for (entry, text) in entries {
            assert_eq!(serde_json::to_string(&entry).ok().as_deref(), Some(text));
            assert_eq!(serde_json::from_str::<Entry>(text).ok(), Some(entry));
        }
    }

    #[test]
    fn summaries_that_cannot_be_are_not_understood() {
        let good = Summary {
            version: VERSION,
            names: vec!["a".into()],
            files: 1,
            folders: 0,
            bytes: 1,
        };
        assert!(good.check().is_ok());
        let wrong = [
            Summary {
                version: 2,
                ..good.clone()
            },
            Summary {
                files: u64::MAX,
                folders: 1,
                ..good.clone()
            },
            Summary {
                bytes: u64::MAX,
                ..good.clone()
            },
            Summary {
                names: vec![String::new(); MOST_NAMES + 1],
                ..good
            },
        ];
        assert!(wrong.iter().all(|it| it.check().is_err()));
    }
}
