use std::{fmt, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelId, CloseReason, Code, Direction, OpenStreamError, PeerInfo, SendDatagramError, StreamId,
};
use futures_core::Stream;

use crate::{
    IncomingStream, Receiver, Sender,
    shared::{Channels, Handle, Shared, State},
    table::{Interest, Table, Topic},
};

/// A channel with another entity.
///
/// A cheap handle: clones are the same channel. Every waiting call can be dropped at any time, and then has done
/// nothing; what it would have given goes to the next call.
///
/// ```no_run
/// # async fn run(channel: conec_tokio::Channel) -> Result<(), Box<dyn std::error::Error>> {
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
    handle: Handle,
    id: ChannelId,
}

impl Channel {
    pub(crate) fn new(shared: Arc<Shared<dyn Channels>>, table: &mut Table, id: ChannelId) -> Self {
        let handle = Handle::new(shared, table, Some(id));
        Self { handle, id }
    }

    /// The channel's id, which no other channel of the same endpoint ever has.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Who is at the other end. `None` if that is the Coordinator.
    pub fn peer(&self) -> Option<PeerInfo> {
        let entry = |state: &State<dyn Channels>| state.table.channels.get(&self.id)?.peer.clone();
        self.handle.shared.with(|state| entry(state))
    }

    /// The current estimate of the round-trip time, while the channel is there.
    pub fn rtt(&self) -> Option<Duration> {
        let rtt = |state: &mut State<dyn Channels>| state.role.channel(self.id)?.rtt();
        self.handle.shared.with(rtt)
    }

    /// Opens a bidirectional stream under a label of at most 255 bytes, once the other side allows another.
    ///
    /// Fails with [`OpenStreamError::LabelTooLong`] or, when the channel is being closed or has ended,
    /// [`OpenStreamError::Closed`]; never with `Blocked`.
    pub async fn open_bi(
        &self,
        label: impl AsRef<[u8]>,
    ) -> Result<(Sender, Receiver), OpenStreamError> {
        let open = |table: &mut Table, id| {
            table.recvs.insert(id, None);
            (self.sender(table, id), self.receiver(table, id))
        };
        self.open(Direction::Bi, label.as_ref(), open).await
    }

    /// Opens a unidirectional stream, like [`open_bi`](Self::open_bi).
    pub async fn open_uni(&self, label: impl AsRef<[u8]>) -> Result<Sender, OpenStreamError> {
        let open = |table: &mut Table, id| self.sender(table, id);
        self.open(Direction::Uni, label.as_ref(), open).await
    }

    /// The next stream that the other side opens. `None` once the channel is over.
    ///
    /// A stream that the other side gave up before it was accepted is not seen here.
    pub async fn accept(&self) -> Option<IncomingStream> {
        let accept = |state: &mut State<dyn Channels>| self.poll_accept(&mut state.table);
        let interest = Interest::Channel(self.id, Topic::Streams);
        self.handle.shared.wait(interest, accept).await
    }

    /// The streams that the other side opens, as [`accept`](Self::accept) gives them. Keeps the channel from being
    /// closed.
    pub fn incoming(&self) -> impl Stream<Item = IncomingStream> + Send + Unpin + use<> {
        let channel = self.clone();
        let interest = Interest::Channel(self.id, Topic::Streams);
        self.handle
            .shared
            .stream(interest, move |state| channel.poll_accept(&mut state.table))
    }

    /// Sends bytes that arrive whole or not at all, in any order, once there is room to send them.
    ///
    /// Fails if they are more than fits ([`max_datagram_size`](Self::max_datagram_size)), or the channel is over; never
    /// with `Blocked`.
    pub async fn send_datagram(&self, bytes: Bytes) -> Result<(), SendDatagramError> {
        let send = |state: &mut State<dyn Channels>| {
            let sent = match state.table.closed(self.id) {
                Some(_) => Err(SendDatagramError::Closed),
                None => state
                    .role
                    .channel(self.id)
                    .map_or(Err(SendDatagramError::Closed), |mut channel| {
                        channel.send_datagram(bytes.clone())
                    }),
            };
            match sent {
                Err(SendDatagramError::Blocked) => Poll::Pending,
                sent => {
                    state.table.wake_driver();
                    Poll::Ready(sent)
                }
            }
        };
        let interest = Interest::Channel(self.id, Topic::DatagramsWritable);
        self.handle.shared.wait(interest, send).await
    }

    /// The next datagram. `None` once the channel is over.
    pub async fn recv_datagram(&self) -> Option<Bytes> {
        let recv = |state: &mut State<dyn Channels>| {
            if state.table.closed(self.id).is_some() {
                return Poll::Ready(None);
            }
            let received = state
                .role
                .channel(self.id)
                .and_then(|mut channel| channel.recv_datagram());
            received.map_or(Poll::Pending, |bytes| Poll::Ready(Some(bytes)))
        };
        let interest = Interest::Channel(self.id, Topic::DatagramsReadable);
        self.handle.shared.wait(interest, recv).await
    }

    /// The largest datagram that can be sent now, in bytes; 0 when none can.
    pub fn max_datagram_size(&self) -> usize {
        self.handle.shared.with(|state| {
            let channel = state.role.channel(self.id);
            channel.map_or(0, |mut channel| channel.max_datagram_size())
        })
    }

    /// Closes the channel gracefully: no stream can be opened from now on, at either side; the channel ends when those
    /// that are open have ended, after `patience` in any case. Gives the reason that it ended for.
    ///
    /// Dropped early, the channel is being closed nonetheless.
    pub async fn close(&self, patience: Duration) -> CloseReason {
        self.handle.shared.command(|state, now| {
            if let Some(mut channel) = state.role.channel(self.id) {
                channel.close(now, patience);
            }
            // Who waits to open a stream waits in vain.
            state.table.wake_channel(self.id);
        });
        self.closed().await
    }

    /// Ends the channel at once and tells the other side this code. Whatever was under way may or may not arrive.
    pub fn abort(&self, code: Code) {
        self.handle.shared.command(|state, now| {
            if let Some(mut channel) = state.role.channel(self.id) {
                channel.abort(now, code);
            }
        });
    }

    /// Waits for the channel's end.
    pub async fn closed(&self) -> CloseReason {
        let closed = |state: &mut State<dyn Channels>| {
            let reason = state.table.closed(self.id);
            reason.map_or(Poll::Pending, Poll::Ready)
        };
        let interest = Interest::Channel(self.id, Topic::Life);
        self.handle.shared.wait(interest, closed).await
    }

    /// Waits until the channel is open, or over.
    pub(crate) async fn opened(&self) -> Result<(), CloseReason> {
        let opened = |state: &mut State<dyn Channels>| state.table.poll_opened(self.id);
        let interest = Interest::Channel(self.id, Topic::Life);
        self.handle.shared.wait(interest, opened).await
    }

    async fn open<T>(
        &self,
        direction: Direction,
        label: &[u8],
        open: impl Fn(&mut Table, StreamId) -> T,
    ) -> Result<T, OpenStreamError> {
        let attempt = |state: &mut State<dyn Channels>| {
            let opened = match state.table.closed(self.id) {
                Some(_) => Err(OpenStreamError::Closed),
                None => state
                    .role
                    .channel(self.id)
                    .map_or(Err(OpenStreamError::Closed), |mut channel| {
                        channel.open(direction, label)
                    }),
            };
            match opened {
                Ok(id) => {
                    state.table.wake_driver();
                    Poll::Ready(Ok(open(&mut state.table, id)))
                }
                Err(OpenStreamError::Blocked) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            }
        };
        let interest = Interest::Channel(self.id, Topic::Available(direction));
        self.handle.shared.wait(interest, attempt).await
    }

    fn poll_accept(&self, table: &mut Table) -> Poll<Option<IncomingStream>> {
        let entry = table.channels.get_mut(&self.id);
        let next = entry.and_then(|entry| entry.streams.pop_front());
        match next {
            Some((id, label)) => Poll::Ready(Some(IncomingStream {
                label,
                sender: match id.direction() {
                    Direction::Bi => Some(self.sender_of(table, id)),
                    Direction::Uni => None,
                },
                receiver: self.receiver(table, id),
            })),
            None if table.closed(self.id).is_some() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The sending half of a stream that was just opened.
    fn sender(&self, table: &mut Table, id: StreamId) -> Sender {
        table.sends.insert(id, None);
        self.sender_of(table, id)
    }

    fn sender_of(&self, table: &mut Table, id: StreamId) -> Sender {
        Sender::new(self.hold(table), id)
    }

    fn receiver(&self, table: &mut Table, id: StreamId) -> Receiver {
        Receiver::new(self.hold(table), id)
    }

    fn hold(&self, table: &mut Table) -> Handle {
        Handle::new(Arc::clone(&self.handle.shared), table, Some(self.id))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", self.id)
    }
}
