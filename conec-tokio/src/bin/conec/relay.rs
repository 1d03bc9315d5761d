//! Bytes between a stream and something else: a socket, a pipe.
//!
//! What is read at once is a message, so that nothing is copied but by the system. An end is passed on as what it is: a clean one never
//! stands for another.

use std::io;

use bytes::BytesMut;
use conec_tokio::{Receiver, SendEnd, SendError, Sender};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{codes, failure::Failure};

/// What has failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What is at this end.
    Here(io::Error),
    /// The stream, or the other end.
    There(Failure),
}

/// Both ways. Each direction ends by itself; but where one fails, nothing is of use any more, as with sockets.
pub(crate) async fn relay(
    (sender, receiver): (Sender, Receiver),
    (from, to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
) -> Result<(), Broken> {
    tokio::try_join!(outward(from, sender), inward(receiver, to))?;
    Ok(())
}

/// Both ways, with a TCP connection: what fails on the one side is a reset at the other.
pub(crate) async fn with_tcp(
    stream: (Sender, Receiver),
    mut socket: TcpStream,
) -> Result<(), Broken> {
    // Each message is all that there was.
    let _ = socket.set_nodelay(true);
    let outcome = relay(stream, socket.split()).await;
    close(socket, &outcome);
    outcome
}

/// Closes a TCP connection: with a reset, if that was not all.
pub(crate) fn close(socket: TcpStream, outcome: &Result<(), Broken>) {
    if outcome.is_err() {
        let _ = socket.set_zero_linger();
    }
}

/// Sends what is read, and then that this was all.
pub(crate) async fn outward(
    mut from: impl AsyncRead + Unpin,
    mut to: Sender,
) -> Result<(), Broken> {
    let mut room = BytesMut::new();
    loop {
        // Small messages share what was reserved.
        if room.capacity() < LEAST {
            room.reserve(PIECE);
        }
        let read = tokio::select! {
            biased;
            read = from.read_buf(&mut room) => read,
            // Who wants no more may say so while there is nothing to send.
            end = to.finished() => return Err(ended(end)),
        };
        match read {
            Ok(0) => return to.finish().map_err(there),
            Ok(_) => to.send(room.split().freeze()).await.map_err(there)?,
            Err(error) => {
                to.reset(codes::FAILED);
                return Err(Broken::Here(error));
            }
        }
    }
}

/// Writes what is received, and then ends what it is written to.
pub(crate) async fn inward(
    mut from: Receiver,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Broken> {
    while let Some(message) = from.recv().await.map_err(there)? {
        if let Err(error) = write(&mut to, &message).await {
            from.stop(codes::FAILED);
            return Err(Broken::Here(error));
        }
    }
    to.shutdown().await.map_err(Broken::Here)
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

fn there(error: impl Into<Failure>) -> Broken {
    Broken::There(error.into())
}

fn ended(end: SendEnd) -> Broken {
    there(SendError::Ended(end))
}

/// As much is read at once.
const PIECE: usize = 64 << 10;
/// Less room than this is not worth a system call.
const LEAST: usize = 8 << 10;
