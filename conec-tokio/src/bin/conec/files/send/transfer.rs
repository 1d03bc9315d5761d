//! The sending end of a transfer.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{Channel, Receiver, Sender};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, block_in_place, spawn_blocking},
};

use super::{
    super::{
        fault::Fault,
        hashing::{self, Mark, PIECE, Prefix},
        progress::{Progress, tell},
        protocol::{self, AHEAD, Answer, BYTES, Entry, FILES, Start, Stop, Summary},
    },
    walk::{self, Thing},
};
use crate::failure::{Exit, Failure};

/// Whether all was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    All,
    /// Some things could not be read, or are no files.
    LeftOut(u64),
}

/// What is to be sent.
pub(super) struct Sending<'a> {
    pub(super) things: &'a [Thing],
    /// How much that is. It was looked up before the other end was spoken to, which need not wait for it.
    pub(super) summary: Summary,
    /// How many bytes a second at most.
    pub(super) limit: Option<u64>,
}

/// Sends all of this.
pub(super) async fn send(
    channel: &Channel,
    sending: Sending<'_>,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let mut lines = Lines::open(channel).await?;
    let sent = lines.transfer(sending, progress).await;
    // As long as the streams are there, so that the other end hears of nothing else before that.
    sent.map_err(|fault| fault.tell(channel))
}

/// What both speak on.
struct Lines {
    entries: Sender,
    answers: Receiver,
    bytes: Sender,
}

impl Lines {
    async fn open(channel: &Channel) -> Result<Self, Failure> {
        let (entries, answers) = channel.open_bi(FILES).await?;
        let bytes = channel.open_uni(BYTES).await?;
        Ok(Self {
            entries,
            answers,
            bytes,
        })
    }

    async fn transfer(
        &mut self,
        sending: Sending<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        let Self {
            entries,
            answers,
            bytes,
        } = self;
        let Sending {
            things,
            summary,
            limit,
        } = sending;
        protocol::say(entries, &summary).await?;
        expect(answers, &Answer::Taken).await?;
        progress.begin(summary.files, summary.folders, summary.bytes)?;
        let (announced, files) = mpsc::channel(AHEAD);
        let announce = announce(entries, things, summary, announced);
        let pour = pour(answers, bytes, files, Pace::new(limit), progress);
        let (left_out, ()) = tokio::try_join!(announce, pour)?;
        entries.finish()?;
        expect(answers, &Answer::Done).await?;
        // Heard to its end, so that the other one knows that it was.
        let _ = answers.recv().await;
        progress.done()?;
        Ok(match left_out {
            0 => Outcome::All,
            left_out => Outcome::LeftOut(left_out),
        })
    }
}

/// How fast it is sent.
struct Pace {
    limit: Option<u64>,
    /// When the next piece may be sent.
    next: Instant,
}

impl Pace {
    fn new(limit: Option<u64>) -> Self {
        let next = Instant::now();
        Self { limit, next }
    }

    /// Waits as long as these bytes take.
    async fn keep(&mut self, bytes: usize) {
        if let Some(limit) = self.limit {
            let takes = Duration::from_secs_f64(bytes as f64 / limit as f64);
            self.next = self.next.max(Instant::now()) + takes;
            tokio::time::sleep_until(self.next.into()).await;
        }
    }
}

/// A file that the other end was told of.
struct Announced {
    path: PathBuf,
    size: u64,
    modified: i64,
}

/// Tells the other end what there is. How many things were left out.
async fn announce(
    entries: &mut Sender,
    things: &[Thing],
    summary: Summary,
    announced: mpsc::Sender<Announced>,
) -> Result<u64, Fault> {
    let mut left_out = 0;
    let mut left = summary;
    let mut steps = walk::steps(things);
    while let Some(step) = block_in_place(|| steps.next()) {
        match step {
            Ok(step) => {
                // More than was promised is not taken.
                left = left
                    .without(&step.entry)
                    .ok_or_else(|| changed(&step.path))?;
                protocol::say(entries, &step.entry).await?;
                if let Entry::File { kept, size } = step.entry {
                    let (path, modified) = (step.path, kept.modified);
                    let file = Announced {
                        path,
                        size,
                        modified,
                    };
                    // Where nobody takes it, the other half has failed, and says why.
                    let _ = announced.send(file).await;
                }
            }
            Err(why) => {
                left_out += 1;
                tell(why);
            }
        }
    }
    protocol::say(entries, &Entry::End).await?;
    Ok(left_out)
}

/// Sends what is in the files, as far as the other end does not have it.
async fn pour(
    answers: &mut Receiver,
    to: &mut Sender,
    mut files: mpsc::Receiver<Announced>,
    mut pace: Pace,
    progress: &mut Progress,
) -> Result<(), Fault> {
    while let Some(file) = files.recv().await {
        match protocol::hear(answers).await? {
            Answer::Wanted { marks } => {
                pour_one(&file, &marks, to, &mut pace, progress).await?;
            }
            other @ (Answer::Taken | Answer::Done) => return Err(unexpected(&other)),
        }
    }
    to.finish()?;
    Ok(())
}

async fn pour_one(
    announced: &Announced,
    marks: &[Mark],
    to: &mut Sender,
    pace: &mut Pace,
    progress: &mut Progress,
) -> Result<(), Fault> {
    let size = announced.size;
    if marks.len() > 2 || marks.iter().any(|it| it.length > size) {
        return Err(Fault::malformed("it has more of a file than there is"));
    }
    let path = announced.path.display().to_string();
    let failed = |error: io::Error| Failure::io(format_args!("cannot read {path}"), &error);
    progress.file(&announced.path);
    let mut file = File::open(&announced.path).map_err(failed)?;
    announced.check(&file)?;
    let sent = block_in_place(|| hashing::common(&mut file, marks)).map_err(failed)?;
    let from = sent.length;
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    progress.keep(from);
    protocol::say(to, &Start { from }).await?;
    let (mut pieces, reading) = read_on(file, size, sent);
    while let Some(piece) = pieces.recv().await {
        let length = piece.len();
        to.send(piece).await?;
        progress.add(length)?;
        pace.keep(length).await;
    }
    let read = reading.await.unwrap_or_else(|error| Err(error.into()));
    let (file, sent) = read.map_err(failed)?;
    announced.check(&file)?;
    if sent.length < size {
        return Err(changed(&announced.path).into());
    }
    let blake3 = sent.mark().blake3;
    protocol::say(to, &Stop { blake3 }).await?;
    progress.completed(&path, size, from, blake3)?;
    Ok(())
}

impl Announced {
    /// It is still as it was announced.
    fn check(&self, file: &File) -> Result<(), Failure> {
        let same = file.metadata().and_then(|it| {
            Ok(it.is_file() && it.len() == self.size && walk::modified(&it)? == self.modified)
        });
        match same {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(changed(&self.path)),
        }
    }
}

/// A file's bytes from where it stands, which are read while those before are sent, and then what was read in all.
fn read_on(
    mut file: File,
    size: u64,
    mut read: Prefix,
) -> (
    mpsc::Receiver<Bytes>,
    JoinHandle<io::Result<(File, Prefix)>>,
) {
    let (ahead, pieces) = mpsc::channel(READ_AHEAD);
    let reading = spawn_blocking(move || {
        while read.length < size {
            let piece = read_piece(&mut file, size, &mut read)?;
            // The file is shorter than it was, or the transfer over.
            if piece.is_empty() || ahead.blocking_send(piece).is_err() {
                break;
            }
        }
        Ok((file, read))
    });
    (pieces, reading)
}

/// As much as goes into a message; nothing at the end of the file.
fn read_piece(file: &mut File, size: u64, sent: &mut Prefix) -> io::Result<Bytes> {
    let most = (size - sent.length).min(PIECE as u64);
    let mut piece = Vec::with_capacity(PIECE);
    file.take(most).read_to_end(&mut piece)?;
    sent.add(&piece);
    Ok(piece.into())
}

async fn expect(answers: &mut Receiver, wanted: &Answer) -> Result<(), Fault> {
    let answer = protocol::hear::<Answer>(answers).await?;
    match answer == *wanted {
        true => Ok(()),
        false => Err(unexpected(&answer)),
    }
}

fn unexpected(answer: &Answer) -> Fault {
    Fault::malformed(format!("this was not to be said now: {answer:?}"))
}

/// So many pieces may be read before those before them are sent.
const READ_AHEAD: usize = 8;

fn changed(path: &Path) -> Failure {
    Failure::new(
        Exit::Other,
        format!("{} has changed while it was sent", path.display()),
        "send it again when it does not change any more; what has arrived is kept",
    )
}
