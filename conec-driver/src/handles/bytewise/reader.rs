//! Bytes out of messages.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use conec_core::{Code, StreamId};

use crate::Receiver;

/// Reads the messages of a stream as bytes, one after the other, for what knows streams of bytes only.
///
/// Where a message ends cannot be seen. The end of the bytes is a clean end of the stream, and nothing else is: a stream that
/// was reset, or whose [`Sender`](crate::Sender) was dropped without [`finish`](crate::Sender::finish), gives an [`io::Error`]
/// with the [`RecvError`](crate::RecvError) in it, again and again. Its kinds are told at [`RecvError`](crate::RecvError).
///
/// It is an `AsyncRead` and an `AsyncBufRead` of `futures-io` (feature `futures-io`) and of tokio (feature `tokio`, which
/// `conec-tokio` has always). Only the last task that has polled it is woken.
///
/// ```no_run
/// # async fn run(receiver: conec_driver::Receiver) -> std::io::Result<()> {
/// use conec_driver::ByteReader;
///
/// let mut reader = ByteReader::new(receiver);
/// let mut total = 0;
/// while let Some(bytes) = reader.read_chunk().await? {
///     total += bytes.len();
/// }
/// println!("{total} bytes, and that was all, for certain");
/// # Ok(())
/// # }
/// ```
///
/// A [lossy](crate::Receiver::set_lossy) stream has holes: each gives an error of the kind [`InvalidData`](io::ErrorKind::InvalidData)
/// once, and bytes after that go on behind it.
///
/// # Dropping
///
/// As with a [`Receiver`]: dropped before the end, the sender is told to stop. Every future can be dropped before it is
/// done: nothing was read then.
#[derive(Debug)]
pub struct ByteReader {
    receiver: Receiver,
    /// What is left of a message.
    rest: Bytes,
}

impl ByteReader {
    /// Reads what the receiver has not given out yet.
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            rest: Bytes::new(),
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.receiver.id()
    }

    /// The next bytes, as many as lie together: a message, or what is left of it. They are not copied. `None` at the end, after the
    /// other side has finished the stream. Never gives zero bytes.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Like [`read_chunk`](Self::read_chunk), for who polls.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ready!(self.poll_fill_buf(cx))?;
        let chunk = std::mem::take(&mut self.rest);
        Poll::Ready(Ok((!chunk.is_empty()).then_some(chunk)))
    }

    /// The next bytes if they were received together with those before: what [`read_chunk`](Self::read_chunk) would give next, without
    /// waiting. `None` says nothing of what comes.
    pub fn take_buffered(&mut self) -> Option<Bytes> {
        while self.rest.is_empty() {
            self.rest = self.receiver.pop_held()?;
        }
        Some(std::mem::take(&mut self.rest))
    }

    /// Copies what is there, as much as there is room for, and says how many bytes that are: 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut copied = 0;
        self.poll_each(cx, room.len(), |bytes| {
            room[copied..copied + bytes.len()].copy_from_slice(bytes);
            copied += bytes.len();
        })
        .map_ok(|()| copied)
    }

    /// The bytes that are next, without taking them: [`consume`](Self::consume) does. None at the end.
    pub fn poll_fill_buf(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        // Messages may be empty, which is not the end.
        while self.rest.is_empty() {
            match ready!(self.receiver.poll_recv(cx))? {
                Some(message) => self.rest = message,
                None => break,
            }
        }
        Poll::Ready(Ok(&self.rest))
    }

    /// The bytes that are here already, of those that are next: what [`poll_fill_buf`](Self::poll_fill_buf) has shown and was not taken.
    pub fn buffer(&self) -> &[u8] {
        &self.rest
    }

    /// Takes so many of the bytes that [`poll_fill_buf`](Self::poll_fill_buf) has shown, or all of them if they are fewer.
    pub fn consume(&mut self, bytes: usize) {
        self.rest.advance(bytes.min(self.rest.len()));
    }

    /// Wants no more bytes: the other side learns the code.
    pub fn stop(&mut self, code: Code) {
        self.rest.clear();
        self.receiver.stop(code);
    }

    /// The receiver. Messages that are taken from it are missing here.
    pub fn get_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// What is left of the message that was being read, and the receiver of those after it.
    #[must_use = "what is left of a message is lost otherwise"]
    pub fn into_parts(self) -> (Bytes, Receiver) {
        (self.rest, self.receiver)
    }

    /// Has `put` copy what is there, in pieces of `room` bytes together, at most. If nothing is put, there is no room, or it is the
    /// end.
    pub(super) fn poll_each(
        &mut self,
        cx: &mut Context<'_>,
        mut room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_fill_buf(cx))?;
        loop {
            let now = room.min(self.rest.len());
            put(&self.rest[..now]);
            self.rest.advance(now);
            room -= now;
            if room == 0 {
                return Poll::Ready(Ok(()));
            }
            // Small messages come together, and are read so.
            match self.receiver.pop_held() {
                Some(message) => self.rest = message,
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl From<Receiver> for ByteReader {
    fn from(receiver: Receiver) -> Self {
        Self::new(receiver)
    }
}
