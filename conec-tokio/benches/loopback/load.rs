//! The traffic: who sends what, and who counts it.

use std::{error::Error, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::{Deserialize, Serialize};

use crate::{meter::Meter, result::Result};

/// What is sent over a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// As many bytes as possible.
    Bulk,
    /// As many messages as possible.
    Messages { size: usize, flush: Flush },
    /// One small message to and fro.
    PingPong,
    /// 1 GiB.
    Transfer,
    /// A stream for each call, one call after the other from each of so many workers.
    Calls { workers: usize },
    /// As many calls at once as no channel allows streams, again and again.
    ManyCalls,
}

/// When messages are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flush {
    /// `Sink::feed`: when enough of them have come together.
    Batched,
    /// `Sink::send`: each by itself.
    Each,
}

impl Load {
    pub(crate) const SMALL_BATCHED: Self = messages(64, Flush::Batched);
    pub(crate) const SMALL_FLUSHED: Self = messages(64, Flush::Each);
    /// Those that run for a given time.
    pub(crate) const TIMED: [Self; 8] = [
        Self::Bulk,
        Self::SMALL_BATCHED,
        Self::SMALL_FLUSHED,
        messages(1 << 10, Flush::Batched),
        messages(1 << 10, Flush::Each),
        messages(64 << 10, Flush::Batched),
        messages(64 << 10, Flush::Each),
        Self::PingPong,
    ];

    /// Those in which each call has a stream of its own.
    pub(crate) const CALLS: [Self; 3] = [Self::FEWER_WORKERS, Self::MORE_WORKERS, Self::ManyCalls];
    /// One fewer than there may be streams, so that there is always one to be opened, and as many.
    pub(crate) const FEWER_WORKERS: Self = Self::Calls { workers: 63 };
    pub(crate) const MORE_WORKERS: Self = Self::Calls { workers: 64 };

    /// How many bytes a message has.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bulk | Self::Transfer => PIECE,
            Self::Messages { size, .. } => size,
            Self::PingPong => PING,
            Self::Calls { .. } | Self::ManyCalls => CALL,
        }
    }

    /// Whether each call has a stream of its own.
    pub(crate) fn is_calls(self) -> bool {
        matches!(self, Self::Calls { .. } | Self::ManyCalls)
    }

    /// Whether bytes matter and messages do not.
    pub(crate) fn is_bulk(self) -> bool {
        matches!(self, Self::Bulk | Self::Transfer)
    }
}

const fn messages(size: usize, flush: Flush) -> Load {
    Load::Messages { size, flush }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk => f.write_str("bulk"),
            Self::Messages { size, flush } => {
                match size {
                    0..1024 => write!(f, "{size} B")?,
                    _ => write!(f, "{} KiB", size >> 10)?,
                }
                match flush {
                    Flush::Batched => f.write_str(" batched"),
                    Flush::Each => f.write_str(" flushed"),
                }
            }
            Self::PingPong => f.write_str("ping-pong"),
            Self::Transfer => f.write_str("1 GiB"),
            Self::Calls { workers } => write!(f, "calls of {workers}"),
            Self::ManyCalls => write!(f, "{MANY} calls at once"),
        }
    }
}

/// The initiating end of a stream.
pub(crate) async fn initiate<S, R, M, E, F>(
    load: Load,
    mut sender: S,
    mut receiver: R,
    meter: Arc<Meter>,
) -> Result<()>
where
    S: Sink<Bytes, Error = E> + Unpin,
    R: Stream<Item = Result<M, F>> + Unpin,
    E: Error + Send + Sync + 'static,
    F: Error + Send + Sync + 'static,
{
    let message = Bytes::from(vec![0x5a; load.size()]);
    match load {
        Load::Bulk
        | Load::Messages {
            flush: Flush::Batched,
            ..
        } => loop {
            sender.feed(message.clone()).await?;
        },
        Load::Messages {
            flush: Flush::Each, ..
        } => loop {
            sender.send(message.clone()).await?;
        },
        Load::PingPong => loop {
            let start = Instant::now();
            sender.send(message.clone()).await?;
            receiver.next().await.ok_or("no answer")??;
            meter.round_trip(start.elapsed());
        },
        Load::Transfer => {
            for _ in 0..TRANSFER / load.size() {
                sender.feed(message.clone()).await?;
            }
            sender.close().await?;
            // The process stays until it is told to end.
            std::future::pending().await
        }
        Load::Calls { .. } | Load::ManyCalls => Err("each call has a stream of its own".into()),
    }
}

/// The other end.
pub(crate) async fn accept<S, R, M, E, F>(
    load: Load,
    sender: Option<S>,
    mut receiver: R,
    meter: Arc<Meter>,
) -> Result<()>
where
    S: Sink<Bytes, Error = E> + Unpin,
    R: Stream<Item = Result<M, F>> + Unpin,
    M: AsRef<[u8]> + Into<Bytes>,
    E: Error + Send + Sync + 'static,
    F: Error + Send + Sync + 'static,
{
    match (load, sender) {
        (Load::PingPong, Some(mut sender)) => {
            while let Some(message) = receiver.next().await {
                sender.send(message?.into()).await?;
            }
        }
        (Load::Calls { .. } | Load::ManyCalls, _) => {
            return Err("each call has a stream of its own".into());
        }
        (Load::Bulk | Load::Messages { .. } | Load::PingPong | Load::Transfer, _) => {
            while let Some(message) = receiver.next().await {
                meter.received(message?.as_ref().len(), 1);
            }
        }
    }
    Ok(())
}

/// What bulk data is written in.
pub(crate) const PIECE: usize = 256 << 10;
const PING: usize = 64;
const CALL: usize = 40;
pub(crate) const MANY: usize = 10_000;
pub(crate) const TRANSFER: usize = 1 << 30;
