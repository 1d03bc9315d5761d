//! Streams of bytes for threads.

use std::{
    future::{Future, poll_fn},
    io::{self, BufRead, IoSlice, Read, Write},
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytes::Bytes;

use super::{
    IncomingStream, Receiver, Sender, TimedOut,
    wait::{wait, wait_timeout, waiting},
};

/// Reads the messages of a stream as bytes: [`conec_driver::ByteReader`], whose waiting calls block.
///
/// It is a [`Read`] and a [`BufRead`], for all of which [`set_timeout`](Self::set_timeout) sets a limit.
///
/// ```no_run
/// # fn run(receiver: conec_mio::blocking::Receiver) -> std::io::Result<()> {
/// use std::io::BufRead;
/// use conec_mio::blocking::ByteReader;
///
/// for line in ByteReader::new(receiver).lines() {
///     println!("{}", line?);
/// }
/// println!("that was all, for certain");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ByteReader {
    inner: conec_driver::ByteReader,
    limit: Option<Duration>,
}

impl ByteReader {
    /// Reads what the receiver has not given out yet, without a time limit.
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self {
            inner: conec_driver::ByteReader::new(receiver.0),
            limit: None,
        }
    }

    /// From now on, a read that waits for longer than that fails with [`io::ErrorKind::TimedOut`], and a [`TimedOut`] in the error. Then it
    /// has read nothing, and may be tried again. At first there is no limit.
    pub fn set_timeout(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    waiting! { "ByteReader":
        read_chunk, read_chunk_timeout [&mut self,] () -> io::Result<Option<Bytes>> {
            self.inner.read_chunk()
        }
    }
}

impl Read for ByteReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Self { inner, limit } = self;
        wait_io(*limit, poll_fn(|cx| inner.poll_read(cx, room)))
    }
}

impl BufRead for ByteReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Self { inner, limit } = self;
        wait_io(*limit, poll_fn(|cx| inner.poll_fill_buf(cx).map_ok(|_| ())))?;
        Ok(self.inner.buffer())
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
    }
}

/// Writes bytes as messages of a stream: [`conec_driver::ByteWriter`], whose waiting calls block.
///
/// It is a [`Write`], for which [`set_timeout`](Self::set_timeout) sets a limit. Flushing does nothing: what is written is on its way. To drop
/// it without [`shutdown`](Self::shutdown) or [`finish`](conec_driver::ByteWriter::finish) gives the stream up.
///
/// ```no_run
/// # fn run(sender: conec_mio::blocking::Sender) -> std::io::Result<()> {
/// use std::io::Write;
/// use conec_mio::blocking::ByteWriter;
///
/// let mut writer = ByteWriter::new(sender);
/// writeln!(writer, "{} lines", 1)?;
/// writer.shutdown()?;
/// println!("the other side has it");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ByteWriter {
    inner: conec_driver::ByteWriter,
    limit: Option<Duration>,
}

impl ByteWriter {
    /// Writes behind what the sender has sent, without a time limit.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self {
            inner: conec_driver::ByteWriter::new(sender.0),
            limit: None,
        }
    }

    /// From now on, a write that waits for longer than that fails with [`io::ErrorKind::TimedOut`], and a [`TimedOut`] in the error. Then it
    /// has written nothing, and may be tried again; of [`write_all`](Write::write_all), some may be written. At first there is no limit.
    pub fn set_timeout(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    waiting! { "ByteWriter":
        write_chunk, write_chunk_timeout [&mut self,] (chunk: Bytes) -> io::Result<()> {
            self.inner.write_chunk(chunk)
        }

        shutdown, shutdown_timeout [&mut self,] () -> io::Result<()> { self.inner.shutdown() }
    }
}

impl Write for ByteWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { inner, limit } = self;
        wait_io(*limit, poll_fn(|cx| inner.poll_write(cx, bytes)))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { inner, limit } = self;
        wait_io(*limit, poll_fn(|cx| inner.poll_write_vectored(cx, slices)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both halves of a bidirectional stream as one stream of bytes each way: [`conec_driver::ByteStream`], whose waiting calls block.
///
/// A thread that reads and one that writes have [a half](Self::into_split) each.
///
/// ```no_run
/// # fn run(channel: conec_mio::blocking::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::{Read, Write};
/// use conec_mio::blocking::ByteStream;
///
/// let mut stream = ByteStream::from(channel.open_bi("bytes")?);
/// stream.write_all(b"hello")?;
/// stream.writer().shutdown()?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ByteStream {
    reader: ByteReader,
    writer: ByteWriter,
}

impl ByteStream {
    /// Joins two halves, of the same stream or not.
    #[must_use]
    pub fn new(sender: Sender, receiver: Receiver) -> Self {
        Self {
            reader: ByteReader::new(receiver),
            writer: ByteWriter::new(sender),
        }
    }

    /// The half that reads.
    pub fn reader(&mut self) -> &mut ByteReader {
        &mut self.reader
    }

    /// The half that writes.
    pub fn writer(&mut self) -> &mut ByteWriter {
        &mut self.writer
    }

    /// Both halves, for different threads.
    #[must_use = "dropped, both directions are given up"]
    pub fn into_split(self) -> (ByteReader, ByteWriter) {
        (self.reader, self.writer)
    }
}

impl From<(Sender, Receiver)> for ByteStream {
    /// What [`open_bi`](super::Channel::open_bi) gives.
    fn from((sender, receiver): (Sender, Receiver)) -> Self {
        Self::new(sender, receiver)
    }
}

impl TryFrom<IncomingStream> for ByteStream {
    type Error = ByteReader;

    /// A stream that the other side has opened. Where it is unidirectional, there is only a reader.
    fn try_from(stream: IncomingStream) -> Result<Self, ByteReader> {
        match stream.sender {
            Some(sender) => Ok(Self::new(sender, stream.receiver)),
            None => Err(ByteReader::new(stream.receiver)),
        }
    }
}

impl Read for ByteStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.reader.read(room)
    }
}

impl BufRead for ByteStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
    }
}

impl Write for ByteStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits, no longer than the limit if there is one.
fn wait_io<T>(
    limit: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match limit {
        None => wait(future),
        Some(limit) => wait_timeout(limit, future)
            .unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late))),
    }
}

impl Deref for ByteReader {
    type Target = conec_driver::ByteReader;

    fn deref(&self) -> &conec_driver::ByteReader {
        &self.inner
    }
}

impl DerefMut for ByteReader {
    fn deref_mut(&mut self) -> &mut conec_driver::ByteReader {
        &mut self.inner
    }
}

impl Deref for ByteWriter {
    type Target = conec_driver::ByteWriter;

    fn deref(&self) -> &conec_driver::ByteWriter {
        &self.inner
    }
}

impl DerefMut for ByteWriter {
    fn deref_mut(&mut self) -> &mut conec_driver::ByteWriter {
        &mut self.inner
    }
}
