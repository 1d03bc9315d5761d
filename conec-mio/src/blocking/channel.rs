use std::{
    fmt, iter,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    ChannelId, ChannelStats, CloseReason, Code, Direction, OpenStreamError, Path, PathStats,
    PeerInfo, SendDatagramError, StreamId,
};

use super::{
    IncomingStream, Receiver, Sender, TimedOut,
    shared::{Handle, Shared, wait, wait_timeout},
};

/// A channel with another entity.
///
/// A cheap handle: clones are the same channel.
///
/// ```no_run
/// # fn run(channel: conec_mio::blocking::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// // Ask.
/// let (mut sender, mut receiver) = channel.open_bi("question")?;
/// sender.send("What is the answer?".into())?;
/// sender.finish()?;
/// let answer = receiver.recv()?;
///
/// // Answer.
/// for mut stream in channel.incoming() {
///     let question = stream.receiver.recv()?;
///     if let Some(mut sender) = stream.sender {
///         sender.send("42".into())?;
///         sender.finish()?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A peer channel is closed gracefully, in the background, when the last handle is dropped; [`Sender`]s and
/// [`Receiver`]s count. A home channel stays open as long as its endpoint, which it keeps from closing.
#[derive(Clone)]
pub struct Channel {
    handle: Handle,
    id: ChannelId,
}

impl Channel {
    /// A handle that the hub has counted.
    pub(super) fn counted(shared: Arc<Shared>, id: ChannelId) -> Self {
        let handle = Handle::counted(shared, Some(id));
        Self { handle, id }
    }

    /// The channel's id, which no other channel of the same endpoint ever has.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Who is at the other end. `None` if that is the Coordinator.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.shared().with(|hub| hub.peer(self.id))
    }

    /// The current estimate of the round-trip time on the [path](Self::path) in use, while the channel is there.
    pub fn rtt(&self) -> Option<Duration> {
        self.core(|channel| channel.rtt())?
    }

    /// What is going on in the channel, while it is there.
    pub fn stats(&self) -> Option<ChannelStats> {
        self.core(|channel| channel.stats())?
    }

    /// What is sent now travels on: through the Coordinator, as in the beginning and once the channel is over, or directly
    /// to the other Client. The other end decides for itself.
    ///
    /// ```no_run
    /// # use conec_mio::blocking::*;
    /// # fn run(channel: Channel) {
    /// let mut path = channel.path();
    /// loop {
    ///     println!("{path:?}, {:?}", channel.rtt());
    ///     match channel.path_other_than(path) {
    ///         Some(other) => path = other,
    ///         None => break,
    ///     }
    /// }
    /// # }
    /// ```
    pub fn path(&self) -> Path {
        self.shared().with(|hub| hub.path(self.id))
    }

    /// Waits until what is sent travels on another path than this one, and gives it. `None` once the channel is over.
    pub fn path_other_than(&self, known: Path) -> Option<Path> {
        wait(self.shared(), |hub| hub.path_other_than(self.id, known))
    }

    /// Waits as [`path_other_than`](Self::path_other_than) does, no longer than the limit.
    pub fn path_other_than_timeout(
        &self,
        known: Path,
        limit: Duration,
    ) -> Result<Option<Path>, TimedOut> {
        wait_timeout(self.shared(), limit, |hub| {
            hub.path_other_than(self.id, known)
        })
    }

    /// What the channel's packets have travelled on so far. `None` for home channels, and once the channel is over.
    pub fn path_stats(&self) -> Option<PathStats> {
        self.shared().with(|hub| hub.path_stats(self.id))
    }

    /// Opens a bidirectional stream under a label of at most 255 bytes, once the other side allows another.
    ///
    /// Fails with [`OpenStreamError::LabelTooLong`] or, when the channel is being closed or has ended,
    /// [`OpenStreamError::Closed`]; never with `Blocked`.
    pub fn open_bi(&self, label: impl AsRef<[u8]>) -> Result<(Sender, Receiver), OpenStreamError> {
        let id = self.open(Direction::Bi, label.as_ref(), None)?;
        Ok((self.sender(id), self.receiver(id)))
    }

    /// Opens a stream as [`open_bi`](Self::open_bi) does.
    ///
    /// Fails with [`OpenStreamError::Blocked`] if the other side allows no other within the limit.
    pub fn open_bi_timeout(
        &self,
        label: impl AsRef<[u8]>,
        limit: Duration,
    ) -> Result<(Sender, Receiver), OpenStreamError> {
        let id = self.open(Direction::Bi, label.as_ref(), Some(limit))?;
        Ok((self.sender(id), self.receiver(id)))
    }

    /// Opens a unidirectional stream, like [`open_bi`](Self::open_bi).
    pub fn open_uni(&self, label: impl AsRef<[u8]>) -> Result<Sender, OpenStreamError> {
        let id = self.open(Direction::Uni, label.as_ref(), None)?;
        Ok(self.sender(id))
    }

    /// Opens a unidirectional stream, like [`open_bi_timeout`](Self::open_bi_timeout).
    pub fn open_uni_timeout(
        &self,
        label: impl AsRef<[u8]>,
        limit: Duration,
    ) -> Result<Sender, OpenStreamError> {
        let id = self.open(Direction::Uni, label.as_ref(), Some(limit))?;
        Ok(self.sender(id))
    }

    /// Waits for the next stream that the other side opens. `None` once the channel is over.
    ///
    /// A stream that the other side gave up before it was accepted is not seen here.
    pub fn accept(&self) -> Option<IncomingStream> {
        let accepted = wait(self.shared(), |hub| hub.accept_stream(self.id));
        self.incoming_stream(accepted)
    }

    /// Waits as [`accept`](Self::accept) does, no longer than the limit.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Option<IncomingStream>, TimedOut> {
        let accepted = wait_timeout(self.shared(), limit, |hub| hub.accept_stream(self.id))?;
        Ok(self.incoming_stream(accepted))
    }

    /// The streams that the other side opens, as [`accept`](Self::accept) gives them.
    pub fn incoming(&self) -> impl Iterator<Item = IncomingStream> {
        iter::from_fn(|| self.accept())
    }

    /// Sends bytes that arrive whole or not at all, in any order, once there is room to send them, which is soon.
    ///
    /// Fails if they are more than fits ([`max_datagram_size`](Self::max_datagram_size)), or the channel is over; never
    /// with `Blocked`.
    pub fn send_datagram(&self, bytes: Bytes) -> Result<(), SendDatagramError> {
        wait(self.shared(), |hub| {
            hub.send_datagram(self.id, bytes.clone())
        })
    }

    /// Waits for the next datagram. `None` once the channel is over.
    pub fn recv_datagram(&self) -> Option<Bytes> {
        wait(self.shared(), |hub| hub.recv_datagram(self.id))
    }

    /// Waits as [`recv_datagram`](Self::recv_datagram) does, no longer than the limit.
    pub fn recv_datagram_timeout(&self, limit: Duration) -> Result<Option<Bytes>, TimedOut> {
        wait_timeout(self.shared(), limit, |hub| hub.recv_datagram(self.id))
    }

    /// The largest datagram that can be sent now, in bytes; 0 when none can.
    pub fn max_datagram_size(&self) -> usize {
        self.core(|channel| channel.max_datagram_size())
            .unwrap_or(0)
    }

    /// Closes the channel gracefully: no stream can be opened from now on, at either side; the channel ends when those
    /// that are open have ended, after `patience` in any case. Gives the reason that it ended for.
    pub fn close(&self, patience: Duration) -> CloseReason {
        self.shared()
            .with(|hub| hub.close_channel(Instant::now(), self.id, patience));
        self.closed()
    }

    /// Ends the channel at once and tells the other side this code. Whatever was under way may or may not arrive.
    pub fn abort(&self, code: Code) {
        self.shared()
            .with(|hub| hub.abort_channel(Instant::now(), self.id, code));
    }

    /// Waits for the channel's end.
    pub fn closed(&self) -> CloseReason {
        wait(self.shared(), |hub| hub.closed(self.id))
    }

    /// Waits as [`closed`](Self::closed) does, no longer than the limit.
    pub fn closed_timeout(&self, limit: Duration) -> Result<CloseReason, TimedOut> {
        wait_timeout(self.shared(), limit, |hub| hub.closed(self.id))
    }

    /// Waits until the channel is open, or over.
    pub(super) fn opened(&self) -> Result<(), CloseReason> {
        wait(self.shared(), |hub| hub.opened(self.id))
    }

    /// Waits as [`opened`](Self::opened) does, no longer than the limit.
    pub(super) fn opened_timeout(&self, limit: Duration) -> Result<(), CloseReason> {
        wait_timeout(self.shared(), limit, |hub| hub.opened(self.id))
            .unwrap_or(Err(CloseReason::TimedOut))
    }

    fn open(
        &self,
        direction: Direction,
        label: &[u8],
        limit: Option<Duration>,
    ) -> Result<StreamId, OpenStreamError> {
        // A limit that cannot be counted is as good as none.
        wait_timeout(self.shared(), limit.unwrap_or(Duration::MAX), |hub| {
            hub.open_stream(self.id, direction, label)
        })
        .unwrap_or(Err(OpenStreamError::Blocked))
    }

    fn incoming_stream(&self, accepted: Option<(StreamId, Bytes)>) -> Option<IncomingStream> {
        let (id, label) = accepted?;
        Some(IncomingStream {
            label,
            sender: (id.direction() == Direction::Bi).then(|| self.sender(id)),
            receiver: self.receiver(id),
        })
    }

    fn sender(&self, id: StreamId) -> Sender {
        Sender::counted(Arc::clone(self.shared()), id)
    }

    fn receiver(&self, id: StreamId) -> Receiver {
        Receiver::counted(Arc::clone(self.shared()), id)
    }

    fn core<T>(&self, f: impl FnOnce(&mut conec_core::Channel<'_>) -> T) -> Option<T> {
        self.shared()
            .with(|hub| hub.endpoint_mut().channel(self.id).as_mut().map(f))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", self.id)
    }
}
