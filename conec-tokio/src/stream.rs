use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{
    Code, RecvEnd, SendEnd, StreamId,
    hub::{SendError, TryRecvError},
};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    outbox::Outbox,
    shared::{AnyHub, Shared, Waiter, now},
};

/// The sending half of a stream.
///
/// Messages arrive whole, in order and at most once. They are on their way as soon as they are taken: there is nothing
/// to flush. As a [`Sink`], closing is [`finish`](Self::finish) and waiting for [`finished`](Self::finished).
///
/// ```no_run
/// # async fn run(mut sender: conec_tokio::Sender) -> Result<(), conec_tokio::SendError> {
/// use conec_tokio::SendEnd;
///
/// sender.send("one".into()).await?;
/// sender.send("two".into()).await?;
/// sender.finish()?;
/// if sender.finished().await == SendEnd::Finished {
///     println!("the other side has both");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A `Sender` that is dropped without [`finish`](Self::finish) gives the stream up: the reader gets an error, never a
/// clean end, and messages that it has not received may be lost. After `finish` dropping does nothing: what was sent
/// arrives, as long as the endpoint lives. A `Sender` keeps its channel from being closed.
pub struct Sender {
    waiter: Waiter,
    id: StreamId,
    outbox: Arc<Outbox>,
}

impl Sender {
    /// A handle that the hub has counted.
    pub(crate) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let waiter = Waiter::new(shared);
        let outbox = Outbox::new(id);
        Self { waiter, id, outbox }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Sends a message, once the stream has room.
    ///
    /// Dropped before it is done, the message was not sent, in no part.
    pub async fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        if let Some(added) = self.outbox.add(&message) {
            return added;
        }
        let Self { waiter, outbox, .. } = self;
        let shared = Arc::clone(&waiter.shared);
        let send = |hub: &mut AnyHub| shared.send(hub, outbox, &message);
        waiter.wait(send).await
    }

    /// Sends a message if the stream has room now.
    ///
    /// Fails with [`SendError::Blocked`] if not.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), SendError> {
        if let Some(added) = self.outbox.add(&message) {
            return added;
        }
        let shared = &self.waiter.shared;
        let sent = shared.with(|hub| shared.send(hub, &self.outbox, &message).done());
        sent.unwrap_or(Err(SendError::Blocked))
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.waiter.shared.with(|hub| {
            // If it has ended, that is told next.
            let _ = self.outbox.hand_over(hub);
            hub.finish(self.id)
        })
    }

    /// How sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the other side's transport has
    /// everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub async fn finished(&mut self) -> SendEnd {
        let Self { waiter, id, .. } = self;
        waiter.wait(|hub| hub.send_end(*id)).await
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        self.outbox.clear();
        self.waiter.shared.with(|hub| hub.reset(self.id, code));
    }
}

impl Sink<Bytes> for Sender {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.outbox.is_open() {
            return Poll::Ready(Ok(()));
        }
        let Self { waiter, outbox, .. } = self.get_mut();
        waiter.poll(cx, |hub| outbox.ready(hub))
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), SendError> {
        if let Some(added) = self.outbox.add(&message) {
            return added;
        }
        // There was room, and whoever was told so may rely on it.
        let shared = &self.waiter.shared;
        shared.with(|hub| shared.send_unasked(hub, &self.outbox, &message))
    }

    /// Ready at once: whatever was taken is sent as soon as network and reader allow, flushed or not. That it has arrived
    /// is known of a finished stream only: [`poll_close`](Sink::poll_close) waits for that.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let this = self.get_mut();
        // Where it was finished already, or has ended otherwise, its end says so.
        let _ = this.finish();
        let Self { waiter, id, .. } = this;
        match ready!(waiter.poll(cx, |hub| hub.send_end(*id))) {
            SendEnd::Finished => Poll::Ready(Ok(())),
            end @ (SendEnd::Stopped(_)
            | SendEnd::Refused(_)
            | SendEnd::Reset
            | SendEnd::Closed(_)) => Poll::Ready(Err(SendError::Ended(end))),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.waiter
            .shared
            .with(|hub| hub.release_sender(now(), self.id));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.id)
    }
}

/// The receiving half of a stream.
///
/// As a [`Stream`] of messages it ends after a clean end, and also after it has given an error.
///
/// ```no_run
/// # async fn run(mut receiver: conec_tokio::Receiver) -> Result<(), conec_tokio::RecvEnd> {
/// while let Some(message) = receiver.recv().await? {
///     println!("{} bytes", message.len());
/// }
/// println!("that was all, for certain");
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A `Receiver` that is dropped before the stream's end wants no more messages: the sender is told to stop. A
/// `Receiver` keeps its channel from being closed.
pub struct Receiver {
    waiter: Waiter,
    id: StreamId,
    /// What was received and not given out.
    batch: VecDeque<Bytes>,
}

impl Receiver {
    /// A handle that the hub has counted.
    pub(crate) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let waiter = Waiter::new(shared);
        let batch = VecDeque::new();
        Self { waiter, id, batch }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The next message, or `None` after the last one, once the other side has finished the stream.
    ///
    /// Any other end is an error, which is never [`RecvEnd::Finished`]. Dropped before it is done, nothing was received.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvEnd> {
        let Self { waiter, id, batch } = self;
        if batch.is_empty() {
            let received = waiter.wait(|hub| hub.recv_batch(*id)).await?;
            *batch = received.unwrap_or_default();
        }
        Ok(batch.pop_front())
    }

    /// The next message if it is there, or `None` after the last one.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        match self.batch.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.waiter.shared.with(|hub| hub.try_recv(self.id)),
        }
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.batch.clear();
        self.waiter.shared.with(|hub| hub.stop(self.id, code));
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { waiter, id, batch } = self.get_mut();
        if batch.is_empty() {
            match ready!(waiter.poll(cx, |hub| hub.recv_next_batch(*id))) {
                Some(Ok(received)) => *batch = received,
                Some(Err(end)) => return Poll::Ready(Some(Err(end))),
                None => {}
            }
        }
        Poll::Ready(batch.pop_front().map(Ok))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.waiter
            .shared
            .with(|hub| hub.release_receiver(now(), self.id));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.id)
    }
}

/// A stream that the other side has opened.
#[derive(Debug)]
pub struct IncomingStream {
    /// What the opener says it is for.
    pub label: Bytes,
    /// The half to answer on, if the stream is bidirectional.
    pub sender: Option<Sender>,
    /// The half to receive from.
    pub receiver: Receiver,
}
