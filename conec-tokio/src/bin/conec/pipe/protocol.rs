//! What the two ends of a pipe say to each other.
//!
//! Who connects opens a bidirectional stream, `bytes`, on which each message is some of the bytes, and its end is their end. When both
//! directions are done, who listens opens a unidirectional one, `end`, with one message: how it was, as JSON. So who connects knows whether
//! all was delivered.

use conec_tokio::{Channel, Code, Receiver, SendEnd, Sender};
use serde::{Deserialize, Serialize};

use crate::{
    codes,
    failure::{Exit, Failure},
    json,
};

pub(super) const SERVICE: &str = "conec/pipe";

/// How it ended where the other end listens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub(super) enum End {
    /// Both directions, cleanly.
    Done,
    /// The command, by itself.
    Exited { code: i32 },
    /// The command, by a signal.
    Killed { signal: i32 },
    /// It did not work.
    Failed { why: String },
}

/// Opens the stream of bytes.
pub(super) async fn begin(channel: &Channel) -> Result<(Sender, Receiver), Failure> {
    Ok(channel.open_bi(BYTES).await?)
}

/// The stream of bytes that the other end opens.
pub(super) async fn begun(channel: &Channel) -> Result<(Sender, Receiver), Failure> {
    let Some(stream) = channel.accept().await else {
        return Err(channel.closed().await.into());
    };
    match stream.sender {
        Some(sender) if stream.label == BYTES => Ok((sender, stream.receiver)),
        _ => Err(not_understood(channel)),
    }
}

/// Tells how it ended, and waits until that is known.
pub(super) async fn tell(channel: &Channel, end: &End) -> Result<(), Failure> {
    let mut sender = channel.open_uni(END).await?;
    json::send(&mut sender, end).await?;
    sender.finish()?;
    let end = sender.finished().await;
    match end == SendEnd::Finished {
        true => Ok(()),
        false => Err(end.into()),
    }
}

/// Waits for how it ended.
pub(super) async fn told(channel: &Channel) -> Result<End, Failure> {
    let Some(mut stream) = channel.accept().await else {
        let failure = Failure::from(channel.closed().await);
        return Err(failure.help("run it again: what was under way may or may not have arrived"));
    };
    match stream.label == END {
        true => json::receive(&mut stream.receiver).await,
        false => Err(not_understood(channel)),
    }
}

fn not_understood(channel: &Channel) -> Failure {
    const CODE: Code = codes::MALFORMED;
    channel.abort(CODE);
    Failure::new(
        Exit::Other,
        "the other end is not understood",
        "use the same version of conec at both ends",
    )
}

const BYTES: &str = "bytes";
const END: &str = "end";
