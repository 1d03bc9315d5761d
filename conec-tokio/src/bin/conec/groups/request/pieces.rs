//! Bytes of any length over a stream of messages.

use bytes::{Bytes, BytesMut};
use conec_tokio::{SendEnd, SendError, Sender};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::ENOUGH;
use crate::failure::Failure;

/// Sends all that can be read, in pieces of which none is empty. Whether the other end wants it to the end.
pub(super) async fn send_all(
    from: &mut (impl AsyncRead + Unpin),
    what: &str,
    to: &mut Sender,
) -> Result<bool, Failure> {
    while let Some(piece) = next(from, what).await? {
        match to.send(piece).await {
            Err(SendError::Ended(SendEnd::Stopped(ENOUGH))) => return Ok(false),
            sent => sent?,
        }
    }
    Ok(true)
}

async fn next(from: &mut (impl AsyncRead + Unpin), what: &str) -> Result<Option<Bytes>, Failure> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let read = from.read_buf(&mut piece).await;
    match read.map_err(|error| Failure::io(format_args!("cannot read {what}"), &error))? {
        0 => Ok(None),
        _ => Ok(Some(piece.freeze())),
    }
}

const PIECE: usize = 64 << 10;
