//! Channels.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelId, ChannelStats, CloseReason, Code, CongestionControl, Direction, Path, PathStats,
    PeerInfo, StreamId,
};
use futures_core::Stream;

use crate::{
    OpenStreamError, Receiver, SendDatagramError, Sender, TryOpenStreamError,
    shared::{ChannelHandle, EndpointHandle, Items, Shared},
};

/// A channel with another entity.
///
/// A cheap handle: clones are the same channel. Every waiting call can be dropped at any time, and then has done
/// nothing; what it would have given goes to the next call.
///
/// ```no_run
/// # async fn run(channel: conec_driver::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// // Ask.
/// let (mut sender, mut receiver) = channel.open_bi("question").await?;
/// sender.send("What is the answer?".into()).await?;
/// sender.finish()?;
/// let answer = receiver.recv().await?;
///
/// // Answer.
/// while let Some(mut stream) = channel.accept().await {
///     let question = stream.receiver.recv().await?;
///     if let Some(mut sender) = stream.sender {
///         sender.send("42".into()).await?;
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
    handle: Arc<ChannelHandle>,
}

impl Channel {
    /// A channel that the state counts as held.
    pub(super) fn new(shared: Arc<Shared>, endpoint: Arc<EndpointHandle>, id: ChannelId) -> Self {
        let handle = ChannelHandle {
            shared,
            id,
            endpoint,
        };
        Self {
            handle: Arc::new(handle),
        }
    }

    /// Another channel of the same endpoint, which the state counts as held.
    pub(super) fn sibling(&self, id: ChannelId) -> Self {
        let endpoint = self.handle.endpoint.clone();
        Self::new(Arc::clone(self.shared()), endpoint, id)
    }

    /// What keeps the channel's endpoint open.
    pub(super) fn endpoint(&self) -> Arc<EndpointHandle> {
        Arc::clone(&self.handle.endpoint)
    }

    /// The channel's id, which no other channel of the same endpoint ever has.
    pub fn id(&self) -> ChannelId {
        self.handle.id
    }

    /// Who is at the other end. `None` if that is the Coordinator.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.shared().with(|state| state.peer(self.id()))
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
    /// # use conec_driver::*;
    /// # async fn run(channel: Channel) {
    /// let mut path = channel.path();
    /// loop {
    ///     println!("{path:?}, {:?}", channel.rtt());
    ///     match channel.path_other_than(path).await {
    ///         Some(other) => path = other,
    ///         None => break,
    ///     }
    /// }
    /// # }
    /// ```
    pub fn path(&self) -> Path {
        self.shared().with(|state| state.path(self.id()))
    }

    /// Waits until what is sent travels on another path than this one, and gives it. `None` once the channel is over.
    pub async fn path_other_than(&self, known: Path) -> Option<Path> {
        self.shared()
            .wait(|state| state.path_other_than(self.id(), known))
            .await
    }

    /// What the channel's packets have travelled on so far. `None` for home channels, and once the channel is over.
    pub fn path_stats(&self) -> Option<PathStats> {
        self.shared()
            .with(|state| match state.close_reason(self.id()) {
                Some(_) => None,
                None => state.endpoint().path_stats(self.id()),
            })
    }

    /// Whether nothing is heard from the other side for 1.5 s or more, though it should have acknowledged something: its process may be
    /// gone, or the network between. The channel goes on all the same, and ends if that lasts.
    pub fn is_silent(&self) -> bool {
        self.shared().with(|state| state.is_silent(self.id()))
    }

    /// Waits until the other side [is silent](Self::is_silent). Fails once the channel is over.
    ///
    /// A program that has somebody else to turn to can do that long before the channel ends:
    ///
    /// ```no_run
    /// # use conec_driver::{Channel, api::CloseReason};
    /// # async fn run(channel: Channel) -> Result<(), CloseReason> {
    /// loop {
    ///     channel.silent().await?;
    ///     println!("nothing is heard: a friend is asked instead");
    ///     channel.audible().await?;
    ///     println!("it goes on");
    /// }
    /// # }
    /// ```
    pub async fn silent(&self) -> Result<(), CloseReason> {
        self.shared()
            .wait(|state| state.presence(self.id(), true))
            .await
    }

    /// Waits until the other side is not [silent](Self::is_silent). Fails once the channel is over.
    pub async fn audible(&self) -> Result<(), CloseReason> {
        self.shared()
            .wait(|state| state.presence(self.id(), false))
            .await
    }

    /// Chooses how this end shares the path with others from now on, instead of as
    /// [`ChannelConfig::congestion`](conec_core::ChannelConfig::congestion) has it. The other end chooses for itself.
    pub fn set_congestion(&self, choice: CongestionControl) {
        self.core(|channel| channel.set_congestion(choice));
    }

    /// Opens a bidirectional stream under a label of at most 255 bytes, once the other side allows another.
    ///
    /// Fails if the label is too long, and when the channel is being closed or has ended.
    pub async fn open_bi(
        &self,
        label: impl AsRef<[u8]>,
    ) -> Result<(Sender, Receiver), OpenStreamError> {
        let id = self.open(Direction::Bi, label.as_ref()).await?;
        Ok((self.sender(id), self.receiver(id)))
    }

    /// Opens a unidirectional stream, like [`open_bi`](Self::open_bi).
    pub async fn open_uni(&self, label: impl AsRef<[u8]>) -> Result<Sender, OpenStreamError> {
        let id = self.open(Direction::Uni, label.as_ref()).await?;
        Ok(self.sender(id))
    }

    /// Opens a bidirectional stream if the other side allows another now.
    pub fn try_open_bi(
        &self,
        label: impl AsRef<[u8]>,
    ) -> Result<(Sender, Receiver), TryOpenStreamError> {
        let id = self.try_open(Direction::Bi, label.as_ref())?;
        Ok((self.sender(id), self.receiver(id)))
    }

    /// Opens a unidirectional stream if the other side allows another now.
    pub fn try_open_uni(&self, label: impl AsRef<[u8]>) -> Result<Sender, TryOpenStreamError> {
        let id = self.try_open(Direction::Uni, label.as_ref())?;
        Ok(self.sender(id))
    }

    /// How many streams can be opened now without waiting: 0 once the channel is over or being closed.
    ///
    /// As many as the other side allows at once
    /// ([`bi_streams`](conec_core::ChannelConfig::bi_streams), [`uni_streams`](conec_core::ChannelConfig::uni_streams)), without
    /// those that it does not know yet to have ended at both ends.
    pub fn available_streams(&self, direction: Direction) -> u64 {
        self.core(|channel| channel.available_streams(direction))
            .unwrap_or(0)
    }

    /// The next stream that the other side opens. `None` once the channel is over.
    ///
    /// A stream that the other side gave up before it was accepted is not seen here. Those that nobody accepts wait with what
    /// was sent on them; their number is bounded, and then the other side waits to open more.
    pub async fn accept(&self) -> Option<IncomingStream> {
        let accepted = self.shared().wait(|state| state.accept_stream(self.id()));
        Some(self.incoming_stream(accepted.await?))
    }

    /// The streams that the other side opens, as [`accept`](Self::accept) gives them. Keeps the channel from being
    /// closed.
    pub fn incoming(&self) -> impl Stream<Item = IncomingStream> + Send + Unpin + use<> {
        let channel = self.clone();
        Items::new(self.shared(), move |state| {
            let accepted = state.accept_stream(channel.id());
            accepted.map(|accepted| Some(channel.incoming_stream(accepted?)))
        })
    }

    /// Sends bytes that arrive whole or not at all, in any order, once there is room to send them.
    ///
    /// Fails if they are more than fits ([`max_datagram_size`](Self::max_datagram_size)), or the channel is over.
    pub async fn send_datagram(&self, bytes: Bytes) -> Result<(), SendDatagramError> {
        self.shared()
            .wait(|state| state.send_datagram(self.id(), bytes.clone()))
            .await
    }

    /// The next datagram. `None` once the channel is over.
    pub async fn recv_datagram(&self) -> Option<Bytes> {
        self.shared()
            .wait(|state| state.recv_datagram(self.id()))
            .await
    }

    /// The largest datagram that can be sent now, in bytes; 0 when none can.
    pub fn max_datagram_size(&self) -> usize {
        self.core(|channel| channel.max_datagram_size())
            .unwrap_or(0)
    }

    /// Closes the channel gracefully: no stream can be opened from now on, at either side; the channel ends when those
    /// that are open have ended, after `patience` in any case. Gives the reason that it ended for.
    ///
    /// Dropped early, the channel is being closed nonetheless.
    pub async fn close(&self, patience: Duration) -> CloseReason {
        let now = self.shared().now();
        self.shared()
            .with(|state| state.close_channel(now, self.id(), patience));
        self.closed().await
    }

    /// Ends the channel at once and tells the other side this code. Whatever was under way may or may not arrive.
    pub fn abort(&self, code: Code) {
        self.shared().command(|endpoint, now| {
            if let Some(mut channel) = endpoint.channel(self.id()) {
                channel.abort(now, code);
            }
        });
    }

    /// Waits for the channel's end.
    pub async fn closed(&self) -> CloseReason {
        self.shared().wait(|state| state.closed(self.id())).await
    }

    /// Waits until the channel is open, or over.
    pub(super) async fn opened(&self) -> Result<(), CloseReason> {
        self.shared().wait(|state| state.opened(self.id())).await
    }

    async fn open(&self, direction: Direction, label: &[u8]) -> Result<StreamId, OpenStreamError> {
        self.shared()
            .wait(|state| state.open_stream(self.id(), direction, label))
            .await
    }

    fn try_open(&self, direction: Direction, label: &[u8]) -> Result<StreamId, TryOpenStreamError> {
        let opened = self
            .shared()
            .with(|state| state.open_stream(self.id(), direction, label));
        Ok(opened.map_err(|_| TryOpenStreamError::Blocked)??)
    }

    fn incoming_stream(&self, (id, label): (StreamId, Bytes)) -> IncomingStream {
        IncomingStream {
            label,
            sender: (id.direction() == Direction::Bi).then(|| self.sender(id)),
            receiver: self.receiver(id),
        }
    }

    fn sender(&self, id: StreamId) -> Sender {
        Sender::new(Arc::clone(&self.handle), id)
    }

    fn receiver(&self, id: StreamId) -> Receiver {
        Receiver::new(Arc::clone(&self.handle), id)
    }

    fn core<T>(&self, f: impl FnOnce(&mut conec_core::Channel<'_>) -> T) -> Option<T> {
        self.shared()
            .with(|state| state.endpoint_mut().channel(self.id()).as_mut().map(f))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", self.id())
    }
}

/// A stream that the other side has opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct IncomingStream {
    /// What the opener says it is for.
    pub label: Bytes,
    /// The half to answer on, if the stream is bidirectional.
    pub sender: Option<Sender>,
    /// The half to receive from.
    pub receiver: Receiver,
}

impl IncomingStream {
    /// A stream out of its parts, which may come from an adapter's own type.
    #[must_use = "dropped, the stream is given up"]
    pub fn new(label: Bytes, sender: Option<Sender>, receiver: Receiver) -> Self {
        Self {
            label,
            sender,
            receiver,
        }
    }
}
