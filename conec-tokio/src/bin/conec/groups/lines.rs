//! What comes on standard input, to be published.

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use crate::failure::{Exit, Failure};

/// Standard input, line by line.
pub(super) struct Lines(BufReader<Stdin>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(BufReader::new(tokio::io::stdin()))
    }

    /// The next line, without what ends it. `None` after the last. Dropped before it is done, part of a line is lost.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(MOST + 1);
        limited.read_until(b'\n', &mut line).await.map_err(unread)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        fit(line).map(Some)
    }

    /// All that is left.
    pub(super) async fn rest(&mut self) -> Result<Bytes, Failure> {
        let mut all = Vec::new();
        let mut limited = (&mut self.0).take(MOST + 1);
        limited.read_to_end(&mut all).await.map_err(unread)?;
        fit(all)
    }
}

fn fit(message: Vec<u8>) -> Result<Bytes, Failure> {
    match message.len() as u64 > MOST {
        true => Err(Failure::new(
            Exit::Other,
            "no group takes messages of more than 1 MiB",
            "publish it in parts, or send it by `conec send`",
        )),
        false => Ok(message.into()),
    }
}

fn unread(error: std::io::Error) -> Failure {
    Failure::io("cannot read standard input", &error)
}

/// No group has larger messages.
const MOST: u64 = 1 << 20;
