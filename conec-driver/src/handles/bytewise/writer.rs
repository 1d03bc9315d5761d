//! Bytes into messages.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use conec_core::{Code, StreamId};
use futures_sink::Sink;

use crate::{SendError, Sender};

/// Writes bytes as messages of a stream, for what knows streams of bytes only.
///
/// What is written at once is one message, at most [60 KiB](Self::DEFAULT_PIECE) of it. It is on its way as soon as it is taken: flushing does
/// nothing. Where the messages end is nothing to build on: a [`ByteReader`](crate::ByteReader) does not tell.
///
/// [`shutdown`](Self::shutdown) says that this was all, and leaves the other direction as it is. Errors are [`io::Error`]s with the
/// [`SendError`] in it, whose kinds are told there.
///
/// It is an `AsyncWrite` of `futures-io` (feature `futures-io`) and of tokio (feature `tokio`, which `conec-tokio` has always): their
/// `close` and `shutdown` are [`shutdown`](Self::shutdown). Only the last task that has polled it is woken.
///
/// ```no_run
/// # async fn run(sender: conec_driver::Sender) -> std::io::Result<()> {
/// use conec_driver::ByteWriter;
///
/// let mut writer = ByteWriter::new(sender);
/// writer.write_chunk("one, ".into()).await?;
/// writer.write_chunk("two".into()).await?;
/// writer.shutdown().await?;
/// println!("the other side has all of it");
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// As with a [`Sender`]: dropped without [`shutdown`](Self::shutdown) or [`finish`](Self::finish), the stream is given up, and its reader gets an
/// error after what it has received by then, never a clean end. This is not what sockets do: bytes that are cut off are never taken for
/// all of them.
#[derive(Debug)]
pub struct ByteWriter {
    sender: Sender,
    piece: usize,
}

impl ByteWriter {
    /// How much of what is written at once is one message, in bytes: 60 KiB, which one system call sends. Half of that takes a tenth more of
    /// the processor, and so do 64 KiB, of which a small rest is sent by itself. Larger ones gain nothing, and arrive later.
    pub const DEFAULT_PIECE: usize = 60 << 10;

    /// Writes behind what the sender has sent.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self {
            sender,
            piece: Self::DEFAULT_PIECE,
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.sender.id()
    }

    /// Sends at most so many bytes in one message, at least one. At first it is [`DEFAULT_PIECE`](Self::DEFAULT_PIECE), or where this side's
    /// channel allows less (`max_message_size`), that. The other side has to allow as much: where it allows less, set it here.
    pub fn set_piece(&mut self, bytes: usize) {
        self.piece = bytes.max(1);
    }

    /// Writes all of these bytes, without copying them: in one message, whatever its size, as long as the channel allows it
    /// (`max_message_size`), or else in several. Nothing is sent of no bytes.
    ///
    /// Dropped before it is done, the bytes were not sent, in no part, if they fit in one message.
    pub async fn write_chunk(&mut self, mut chunk: Bytes) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_chunk(cx, &mut chunk)).await
    }

    /// Like [`write_chunk`](Self::write_chunk), for who polls: takes away from the chunk what is sent, and is done when nothing is left.
    pub fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let mut max = chunk.len();
        while !chunk.is_empty() {
            ready!(self.poll_ready(cx))?;
            let piece = chunk.slice(..max.min(chunk.len()));
            let len = piece.len();
            match self.start_send(piece)? {
                Ok(()) => drop(chunk.split_to(len)),
                Err(allowed) => max = allowed,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the bytes, or as many as one message takes, once the stream has room, and says how many those are.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Like [`poll_write`](Self::poll_write), with what lies in several places in one message.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_ready(cx))?;
        loop {
            let message = gather(slices, self.piece);
            let len = message.len();
            match self.start_send(message)? {
                Ok(()) => return Poll::Ready(Ok(len)),
                Err(allowed) => self.piece = allowed,
            }
        }
    }

    /// Says that this was all: the reader gets a clean end after it. Waits until the other side's transport has everything. Fails where
    /// that never comes, since the other side wants no more, or the channel has ended.
    ///
    /// A reader that does not read what does not fit in the windows is waited for, as well: where that may be, [`finish`](Self::finish).
    /// Dropped early, the end is said nonetheless.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// Like [`shutdown`](Self::shutdown), for who polls.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sender)
            .poll_close(cx)
            .map_err(io::Error::from)
    }

    /// Says that this was all, as [`shutdown`](Self::shutdown) does, and waits for nothing. Fails if that was said before, or the stream has
    /// ended.
    pub fn finish(&mut self) -> io::Result<()> {
        Ok(self.sender.finish()?)
    }

    /// Gives up writing: what the other side has not received is dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        self.sender.reset(code);
    }

    /// The sender, whose messages are written in between.
    pub fn get_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The sender, which goes on behind what was written.
    #[must_use = "dropped unfinished, the stream is given up"]
    pub fn into_inner(self) -> Sender {
        self.sender
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.sender).poll_ready(cx)
    }

    /// Sends a message. Where it is larger than the channel allows, says what it allows.
    fn start_send(&mut self, message: Bytes) -> io::Result<Result<(), usize>> {
        let len = message.len();
        match Pin::new(&mut self.sender).start_send(message) {
            Ok(()) => Ok(Ok(())),
            Err(SendError::TooLarge { max }) if 0 < max && max < len => Ok(Err(max)),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<Sender> for ByteWriter {
    fn from(sender: Sender) -> Self {
        Self::new(sender)
    }
}

/// The first bytes of all slices together, at most so many.
fn gather(slices: &[IoSlice<'_>], max: usize) -> Bytes {
    if let [slice] = slices {
        return Bytes::copy_from_slice(&slice[..max.min(slice.len())]);
    }
    let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
    let mut gathered = BytesMut::with_capacity(max.min(total));
    for slice in slices {
        let left = max - gathered.len();
        gathered.extend_from_slice(&slice[..left.min(slice.len())]);
    }
    gathered.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_gathered_up_to_the_maximum() {
        let slices = [&b"one"[..], b"", b"two", b"three"].map(IoSlice::new);
        assert_eq!(gather(&slices, 100), "onetwothree");
        assert_eq!(gather(&slices, 7), "onetwot");
        assert_eq!(gather(&slices, 3), "one");
        assert_eq!(gather(&slices[..1], 2), "on");
        assert_eq!(gather(&[], 2), "");
    }
}
