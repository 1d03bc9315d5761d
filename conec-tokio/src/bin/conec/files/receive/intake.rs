//! The receiving end of a transfer.

use std::{path::Path, time::Duration};

use conec_tokio::{Channel, IncomingStream, Receiver, Sender};
use tokio::{sync::mpsc, task::block_in_place};

use super::{
    super::{
        fault::Fault,
        progress::{Progress, tell, without_bars},
        protocol::{self, AHEAD, Answer, BYTES, FILES, Start, Stop, Summary},
    },
    consent::Consent,
    draft::Draft,
    folder::Place,
    plan::{Left, Planner, Step},
    store::Notes,
    writer::Writer,
};
use crate::{
    codes,
    failure::{Exit, Failure},
    output::{Output, print},
    serve::called,
};

/// What both speak on.
struct Lines {
    entries: Receiver,
    answers: Sender,
    bytes: Receiver,
}

impl Lines {
    async fn accept(channel: &Channel) -> Result<Self, Fault> {
        // Either may be the first to be heard of.
        let (one, other) = (stream(channel).await?, stream(channel).await?);
        let (files, bytes) = match one.label == FILES {
            true => (one, other),
            false => (other, one),
        };
        match files.sender {
            Some(answers) if files.label == FILES && bytes.label == BYTES => Ok(Self {
                entries: files.receiver,
                answers,
                bytes: bytes.receiver,
            }),
            _ => Err(Fault::malformed("it opens other streams")),
        }
    }
}

/// Where what comes goes.
pub(super) struct Intake {
    pub(super) place: Place,
    pub(super) overwrite: bool,
    pub(super) output: Output,
}

impl Intake {
    /// Takes what is sent over a channel, if that is wanted here. Whether it was.
    pub(super) async fn take(&self, channel: Channel, consent: &Consent) -> Result<bool, Failure> {
        let mut lines = Lines::accept(&channel)
            .await
            .map_err(|fault| fault.tell(&channel))?;
        let taken = self.transfer(&channel, &mut lines, consent).await;
        // As long as the streams are there, so that the other end hears of nothing else before that.
        taken.map_err(|fault| fault.tell(&channel))
    }

    async fn transfer(
        &self,
        channel: &Channel,
        lines: &mut Lines,
        consent: &Consent,
    ) -> Result<bool, Fault> {
        let peer = channel.peer().ok_or_else(gone)?;
        let who = called(&peer);
        let Lines {
            entries,
            answers,
            bytes,
        } = lines;
        let summary = tokio::time::timeout(PATIENCE, protocol::hear::<Summary>(entries));
        let summary = summary.await.map_err(|_| gone())??;
        summary.check()?;
        let wanted = tokio::select! {
            wanted = consent.to(peer.id, &who, &summary) => wanted,
            reason = channel.closed() => return Err(Failure::from(reason).into()),
        };
        if !wanted {
            channel.abort(codes::DENIED);
            return Ok(false);
        }
        protocol::say(answers, &Answer::Taken).await?;
        let mut progress = Progress::new(self.output);
        progress.begin(summary.files, summary.folders, summary.bytes)?;
        let (planned, steps) = mpsc::channel(AHEAD);
        let planner = Planner::new(self.place.clone(), self.overwrite, peer.id, summary.clone());
        tokio::try_join!(
            planner.run(entries, answers, planned),
            self.fill(bytes, steps, &mut progress),
        )?;
        protocol::say(answers, &Answer::Done).await?;
        answers.finish()?;
        consent.is_used(peer.id, &summary).await;
        progress.done()?;
        // The other end closes the channel when it has heard that.
        let _ = tokio::time::timeout(PATIENCE, channel.closed()).await;
        Ok(true)
    }

    /// Puts everything in its place.
    async fn fill(
        &self,
        bytes: &mut Receiver,
        mut steps: mpsc::Receiver<Step>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        while let Some(step) = steps.recv().await {
            match step {
                Step::File {
                    draft,
                    place,
                    is_top,
                } => {
                    let name = fill_one(*draft, &place, bytes, progress).await?;
                    self.show(is_top, &place.path(&name))?;
                }
                Step::Leave(left) => {
                    block_in_place(|| settle(&left))?;
                    self.show(left.is_top, &left.place.path(&left.name))?;
                }
            }
        }
        Ok(())
    }

    /// Prints what is complete, of what was named at the other end.
    fn show(&self, is_top: bool, path: &Path) -> Result<(), Failure> {
        match is_top && !self.output.json {
            true => without_bars(|| print(path.display())),
            false => Ok(()),
        }
    }
}

async fn fill_one(
    draft: Draft,
    place: &Place,
    bytes: &mut Receiver,
    progress: &mut Progress,
) -> Result<String, Fault> {
    let Start { from } = protocol::hear(bytes).await?;
    let draft = block_in_place(|| draft.begin(from))?;
    progress.file(&place.path(&draft.name()));
    progress.keep(from);
    let mut left = draft.left();
    let writer = Writer::begin(draft)?;
    while left > 0 {
        let piece = bytes.recv().await?.ok_or_else(gone)?;
        let length = piece.len();
        // More than that is not written either.
        left = left.saturating_sub(length as u64);
        if !writer.write(piece).await {
            break;
        }
        progress.add(length)?;
    }
    let draft = writer.finish().await?;
    let Stop { blake3 } = protocol::hear(bytes).await?;
    let size = draft.size();
    let name = block_in_place(|| draft.complete(blake3))?;
    let path = place.path(&name).display().to_string();
    progress.completed(&path, size, from, blake3)?;
    Ok(name)
}

/// All of a folder is there: what is kept of it is set, which later files would change.
fn settle(left: &Left) -> Result<(), Failure> {
    let Left {
        place,
        name,
        kept,
        is_top,
    } = left;
    let settled = place.settle(name, kept).and_then(|()| match is_top {
        true => Notes::forget(place, name),
        false => Ok(()),
    });
    settled.or_else(|error| {
        // Some file systems have neither modes nor such times.
        tell(format_args!(
            "{}: times and permissions are not kept: {error}",
            place.path(name).display()
        ));
        Ok(())
    })
}

/// The next stream that the other end opens.
async fn stream(channel: &Channel) -> Result<IncomingStream, Fault> {
    let accepted = tokio::time::timeout(PATIENCE, channel.accept()).await;
    match accepted.map_err(|_| gone())? {
        Some(stream) => Ok(stream),
        None => Err(Failure::from(channel.closed().await).into()),
    }
}

fn gone() -> Failure {
    Failure::new(
        Exit::Lost,
        "the other end does not go on",
        "check the network, and that it still runs; sent again, it goes on where it was",
    )
}

/// How long the other end may take to say what comes next, where nobody has to decide anything.
const PATIENCE: Duration = Duration::from_secs(30);
