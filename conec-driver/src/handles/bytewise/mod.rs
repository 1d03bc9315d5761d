//! Streams of bytes over streams of messages.

#[cfg(feature = "futures-io")]
mod futures;
mod reader;
#[cfg(feature = "tokio")]
mod tokio;
mod writer;

use conec_core::StreamId;

pub use self::{reader::ByteReader, writer::ByteWriter};
use super::{IncomingStream, Receiver, Sender};

/// Both halves of a bidirectional stream as one stream of bytes each way, for what wants something like a socket.
///
/// It reads as a [`ByteReader`] does, and writes as a [`ByteWriter`]; the two are [apart](Self::split) at any time. One direction
/// can end long before the other, and exactly: `shutdown` gives the other side the end of the bytes, and what it has to say still
/// comes. What is copied between this and a socket, by `tokio::io::copy_bidirectional` for instance, ends as if the two sockets at its
/// ends were connected.
///
/// ```no_run
/// # async fn run(channel: conec_driver::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// use conec_driver::ByteStream;
///
/// // One side ...
/// let mut stream = ByteStream::from(channel.open_bi("bytes").await?);
/// stream.writer().write_chunk("hello".into()).await?;
/// stream.writer().shutdown().await?;
/// let answer = stream.reader().read_chunk().await?;
///
/// // ... and the other.
/// if let Some(Ok(stream)) = channel.accept().await.map(ByteStream::try_from) {
///     let (mut reader, mut writer) = stream.into_split();
///     while let Some(bytes) = reader.read_chunk().await? {
///         writer.write_chunk(bytes).await?;
///     }
///     writer.shutdown().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// Dropped before both directions have ended, the other side learns that: its reader gets an error, its writer is told to stop.
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

    /// The id of the stream that is written to.
    pub fn id(&self) -> StreamId {
        self.writer.id()
    }

    /// The half that reads.
    pub fn reader(&mut self) -> &mut ByteReader {
        &mut self.reader
    }

    /// The half that writes.
    pub fn writer(&mut self) -> &mut ByteWriter {
        &mut self.writer
    }

    /// Both halves, to be used at the same time.
    pub fn split(&mut self) -> (&mut ByteReader, &mut ByteWriter) {
        (&mut self.reader, &mut self.writer)
    }

    /// Both halves, for different tasks.
    #[must_use = "dropped, both directions are given up"]
    pub fn into_split(self) -> (ByteReader, ByteWriter) {
        (self.reader, self.writer)
    }
}

impl From<(Sender, Receiver)> for ByteStream {
    /// What [`open_bi`](crate::Channel::open_bi) gives.
    fn from((sender, receiver): (Sender, Receiver)) -> Self {
        Self::new(sender, receiver)
    }
}

impl From<(ByteReader, ByteWriter)> for ByteStream {
    /// What [`into_split`](Self::into_split) gives.
    fn from((reader, writer): (ByteReader, ByteWriter)) -> Self {
        Self { reader, writer }
    }
}

impl TryFrom<IncomingStream> for ByteStream {
    type Error = ByteReader;

    /// A stream that the other side has opened. Where it is unidirectional, there is only a reader.
    fn try_from(stream: IncomingStream) -> Result<Self, ByteReader> {
        let reader = ByteReader::new(stream.receiver);
        match stream.sender {
            Some(sender) => Ok(Self {
                reader,
                writer: ByteWriter::new(sender),
            }),
            None => Err(reader),
        }
    }
}
