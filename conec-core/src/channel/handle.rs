//! How applications use a channel and its streams: handles that are borrowed for one use.

use std::{
    collections::VecDeque,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::Span;

use super::{Batch, core::ChannelCore, event::Path};
use crate::{
    ChannelId, ChannelStats, CloseReason, Code, CongestionControl, Direction, Lossy,
    OpenStreamError, RecvError, SendBatchError, SendDatagramError, SendError, StreamEnded,
    StreamId, error::WireCode, transport::Link,
};

/// Access to one channel of an endpoint.
///
/// A borrowed handle: obtained for each use, dropped without effect.
#[derive(Debug)]
pub struct Channel<'a> {
    pub(crate) core: &'a mut ChannelCore,
    /// `None` while the channel is being arranged, and after its end.
    pub(crate) link: Option<&'a mut Link>,
    /// Names the channel in what is logged.
    pub(crate) span: Span,
}

impl Channel<'_> {
    /// The channel's id.
    pub fn id(&self) -> ChannelId {
        self.core.id()
    }

    /// Whether the channel is over: what has arrived may be left to be [received](Stream::recv), and nothing else.
    pub fn has_ended(&self) -> bool {
        self.core.is_ended()
    }

    /// Whether streams can be opened.
    pub fn is_open(&self) -> bool {
        self.core.is_open()
    }

    /// Opens a stream under a label of at most 255 bytes.
    ///
    /// The other side hears of it with the next transmit, message or not.
    pub fn open(
        &mut self,
        direction: Direction,
        label: &[u8],
    ) -> Result<StreamId, OpenStreamError> {
        let _entered = self.span.enter();
        match &mut self.link {
            Some(link) => self.core.open_stream(link, direction, label),
            None => Err(OpenStreamError::Closed),
        }
    }

    /// How many streams can be opened now, as far as the other side's word has come: 0 where the channel is not open.
    ///
    /// More become available when the other side knows that streams which were opened before have ended at both ends.
    pub fn available_streams(&self, direction: Direction) -> u64 {
        let link = self.link.as_deref();
        link.map_or(0, |link| self.core.available_streams(link, direction))
    }

    /// The next stream that the other side has opened, and its label. For drivers that take
    /// [channel events by themselves](crate::Endpoint::poll_channel_event); others are told by
    /// [`StreamOpened`](crate::ChannelEvent::StreamOpened).
    ///
    /// Streams that nobody accepts wait with what has arrived on them. Their number is bounded: then the other side can open
    /// no more.
    pub fn accept(&mut self) -> Option<(StreamId, Bytes)> {
        self.core.take_stream()
    }

    /// Access to a stream of this channel. A stream that is unknown or over says so when it is used.
    pub fn stream(&mut self, id: StreamId) -> Stream<'_> {
        Stream {
            core: self.core,
            link: self.link.as_deref_mut(),
            span: &self.span,
            id,
        }
    }

    /// Sends bytes that arrive whole, or not at all, in any order. They are encrypted like everything else.
    pub fn send_datagram(&mut self, bytes: Bytes) -> Result<(), SendDatagramError> {
        match &mut self.link {
            Some(link) => self.core.send_datagram(link, bytes),
            None => Err(SendDatagramError::Closed),
        }
    }

    /// The next datagram, if one is there.
    pub fn recv_datagram(&mut self) -> Option<Bytes> {
        self.core.recv_datagram()
    }

    /// The largest datagram that can be sent now, in bytes; 0 when none can.
    pub fn max_datagram_size(&mut self) -> usize {
        self.link
            .as_mut()
            .map_or(0, |link| link.max_datagram_size())
    }

    /// The current estimate of the round-trip time to the other end.
    pub fn rtt(&self) -> Option<Duration> {
        self.link.as_ref().map(|link| link.rtt())
    }

    /// What is going on in the channel. `None` while it is being arranged, and after its end.
    pub fn stats(&mut self) -> Option<ChannelStats> {
        let link = self.link.as_deref_mut().filter(|link| !link.is_closed())?;
        Some(self.core.stats(link))
    }

    /// What is sent now travels on.
    pub fn path(&self) -> Path {
        self.core.path()
    }

    /// Whether nothing is heard from the other side, as [`Silent`](crate::ChannelEvent::Silent) has told.
    pub fn is_silent(&self) -> bool {
        self.core.is_silent()
    }

    /// Chooses how this end shares the path with others from now on, instead of as [`ChannelConfig::congestion`] has it. The
    /// other end chooses for itself.
    ///
    /// [`ChannelConfig::congestion`]: crate::ChannelConfig::congestion
    pub fn set_congestion(&mut self, choice: CongestionControl) {
        let _entered = self.span.enter();
        self.core.set_congestion(self.link.as_deref(), choice);
    }

    /// Closes the channel gracefully: no stream can be opened from now on, at either side; when those that are open have
    /// ended and were received by their readers, the channel ends. After `patience` it ends in any case.
    ///
    /// A second call shortens or prolongs the patience. A channel that is not open yet ends at once.
    pub fn close(&mut self, now: Instant, patience: Duration) {
        match &mut self.link {
            Some(link) => self.core.close(link, now, patience),
            None => self.end_without_link(),
        }
    }

    /// Ends the channel at once and tells the other side this code. Whatever was under way may or may not arrive. Of a channel
    /// that is over, what is left to be received is forgotten.
    pub fn abort(&mut self, now: Instant, code: Code) {
        match &mut self.link {
            None if self.core.is_ended() => {
                self.span.in_scope(|| self.core.forget(CloseReason::Local));
            }
            Some(link) => link.close(now, WireCode::Application(code), CloseReason::Local),
            None => self.end_without_link(),
        }
    }

    /// Ends a channel that is being arranged. A home channel without a link has links that are not its own yet, or is lost,
    /// and its end is told in its turn, after those of all others.
    fn end_without_link(&mut self) {
        // What is left of one that has ended is for its readers.
        if !self.core.is_ended() {
            self.core.give_up();
        }
    }
}

/// Access to one stream of a channel.
///
/// A borrowed handle: obtained for each use, dropped without effect.
#[derive(Debug)]
pub struct Stream<'a> {
    core: &'a mut ChannelCore,
    link: Option<&'a mut Link>,
    span: &'a Span,
    id: StreamId,
}

impl Stream<'_> {
    /// Takes a whole message for sending, or nothing.
    ///
    /// Small messages travel together; [`poll_transmit`](crate::Endpoint::poll_transmit) sends whatever was taken.
    pub fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        match &mut self.link {
            Some(link) => self.core.send(link, self.id, message),
            None => Err(SendError::Ended),
        }
    }

    /// Whether [`send`](Self::send) would take a message now. If that is pending, [`Writable`](crate::ChannelEvent::Writable)
    /// follows.
    pub fn poll_ready(&mut self) -> Poll<Result<(), StreamEnded>> {
        match &mut self.link {
            Some(link) => self.core.poll_ready(link, self.id),
            None => Poll::Ready(Err(StreamEnded)),
        }
    }

    /// An empty batch for streams of this channel.
    pub fn batch(&self) -> Batch {
        self.core.batch()
    }

    /// Takes all messages of a batch for sending, which is then empty.
    ///
    /// A batch is taken even if the stream has much waiting: ask [`poll_ready`](Self::poll_ready) before.
    pub fn send_batch(&mut self, batch: &mut Batch) -> Result<(), SendBatchError> {
        match &mut self.link {
            Some(link) => self.core.send_batch(link, self.id, batch),
            None => Err(SendBatchError::Ended),
        }
    }

    /// Sets the priority of what is sent on the stream; 0 at first, and less than that to give way.
    ///
    /// Streams of the same priority send in turn. Of those, one that has little to send, up to 16 KiB at once, passes by
    /// those that have more, so that a small message does not wait for large ones: it takes no priority for that. But as
    /// long as a stream of a higher priority has something to send, and is let, streams of a lower one send nothing.
    ///
    /// What was handed over to the QUIC engine before, up to a few round trips' worth, keeps its place.
    pub fn set_priority(&mut self, priority: i8) -> Result<(), StreamEnded> {
        match &mut self.link {
            Some(link) => self.core.set_priority(link, self.id, priority),
            None => Err(StreamEnded),
        }
    }

    /// No more messages: the stream ends regularly after those that were taken.
    /// [`SendEnded`](crate::ChannelEvent::SendEnded) tells when the other side has them all.
    pub fn finish(&mut self) -> Result<(), StreamEnded> {
        match &mut self.link {
            Some(link) => self.core.finish(link, self.id),
            None => Err(StreamEnded),
        }
    }

    /// Gives up sending: messages not yet received at the other side are dropped, and the reader learns the code.
    pub fn reset(&mut self, code: Code) -> Result<(), StreamEnded> {
        self.reset_with(WireCode::Application(code))
    }

    /// Like [`reset`](Self::reset) when there is no reason to give but that nobody holds the stream any more.
    pub fn abandon_send(&mut self) -> Result<(), StreamEnded> {
        self.reset_with(crate::ErrorCode::Dropped.into())
    }

    /// The next message, whole and in order.
    pub fn recv(&mut self) -> Result<Bytes, RecvError> {
        let _entered = self.span.enter();
        self.core.recv(self.link.as_deref_mut(), self.id)
    }

    /// All messages that are there, at least one, in order: some 64 KiB of them, or one that is larger.
    ///
    /// For many small messages that costs less than [`recv`](Self::recv) for each.
    pub fn recv_batch(&mut self) -> Result<VecDeque<Bytes>, RecvError> {
        let _entered = self.span.enter();
        self.core.recv_batch(self.link.as_deref_mut(), self.id)
    }

    /// Prefers loss to back-pressure from now on, or with `None`, as at first, back-pressure to loss.
    ///
    /// Whatever the application does, the stream is read on, and its sender is not held up: of what the application does not
    /// receive in time, the newest messages are kept, as many as [`Lossy`] says, and the others are dropped, the oldest first.
    /// Where some are missing, [`recv`](Self::recv) tells once how many ([`RecvError::Lagged`]), and then goes on with the next.
    /// So what was received and what was reported make up together what was sent, without a gap. Nothing is dropped silently:
    /// the end of the stream is told only after that.
    ///
    /// What is there already counts: some of it may be dropped at once. What is kept when this is set back to `None` stays, and
    /// so does the number that is to be told. Where all channels together have nearly taken the memory that there is for
    /// messages (`memory` in the configuration), a lossy reader's messages wait at their sender as all others do; large ones
    /// do already where half of it is taken.
    ///
    /// ```no_run
    /// use conec_core::{Lossy, RecvError, Stream, StreamEnded};
    ///
    /// /// Draws the latest picture that has come.
    /// fn draw(stream: &mut Stream<'_>) -> Result<(), StreamEnded> {
    ///     stream.set_lossy(Some(Lossy::latest()))?;
    ///     loop {
    ///         match stream.recv() {
    ///             Ok(picture) => println!("a picture of {} bytes", picture.len()),
    ///             Err(RecvError::Lagged(pictures)) => println!("{pictures} were left out"),
    ///             Err(RecvError::Blocked) => return Ok(()),
    ///             Err(RecvError::Ended) => return Err(StreamEnded),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn set_lossy(&mut self, lossy: Option<Lossy>) -> Result<(), StreamEnded> {
        let _entered = self.span.enter();
        self.core
            .set_lossy(self.link.as_deref_mut(), self.id, lossy)
    }

    /// Puts messages back that were received last and that nobody has looked at, such as what is left of a
    /// [batch](Self::recv_batch). They are the next that are received, or dropped by a [lossy](Self::set_lossy) reader.
    ///
    /// If the stream has ended, they stay where they are.
    pub fn put_back(&mut self, messages: &mut VecDeque<Bytes>) -> Result<(), StreamEnded> {
        let _entered = self.span.enter();
        self.core.put_back(self.id, messages)
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) -> Result<(), StreamEnded> {
        self.stop_with(WireCode::Application(code))
    }

    /// Like [`stop`](Self::stop) when there is no reason to give but that nobody holds the stream any more.
    pub fn abandon_recv(&mut self) -> Result<(), StreamEnded> {
        self.stop_with(crate::ErrorCode::Dropped.into())
    }

    fn reset_with(&mut self, code: WireCode) -> Result<(), StreamEnded> {
        let _entered = self.span.enter();
        match &mut self.link {
            Some(link) => self.core.reset(link, self.id, code),
            None => Err(StreamEnded),
        }
    }

    fn stop_with(&mut self, code: WireCode) -> Result<(), StreamEnded> {
        let _entered = self.span.enter();
        self.core.stop(self.link.as_deref_mut(), self.id, code)
    }
}
