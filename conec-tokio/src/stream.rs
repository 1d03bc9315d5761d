use std::{
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
use conec_udp::handles::{RecvHalf, SendHalf};
use futures_core::Stream;
use futures_sink::Sink;

use crate::shared::{Shared, Task, Waiter};

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
    half: SendHalf<Task>,
}

impl Sender {
    /// A handle that the hub has counted.
    pub(crate) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let waiter = Waiter::new(Arc::clone(&shared));
        let half = SendHalf::counted(shared, id);
        Self { waiter, half }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.half.id()
    }

    /// Sends a message, once the stream has room.
    ///
    /// Dropped before it is done, the message was not sent, in no part.
    pub async fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        let Self { waiter, half } = self;
        match half.add(&message) {
            Some(added) => added,
            None => waiter.wait(|hub| half.send(hub, &message)).await,
        }
    }

    /// Sends a message if the stream has room now.
    ///
    /// Fails with [`SendError::Blocked`] if not.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), SendError> {
        self.half.try_send(&message)
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.half.finish()
    }

    /// How sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the other side's transport has
    /// everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub async fn finished(&mut self) -> SendEnd {
        let Self { waiter, half } = self;
        waiter.wait(|hub| hub.send_end(half.id())).await
    }

    /// Sets the priority of what is sent on the stream; 0 at first, and less than that to give way. Of a stream that has
    /// ended it changes nothing.
    ///
    /// Streams of the same priority send in turn. Of those, one that has little to send, up to 16 KiB at once, passes by
    /// those that have more, so that a small message does not wait for large ones: it takes no priority for that. But as
    /// long as a stream of a higher priority has something to send, and is let, streams of a lower one send nothing.
    ///
    /// What was handed over to the QUIC engine before, up to a few round trips' worth, keeps its place.
    pub fn set_priority(&mut self, priority: i8) {
        self.half.set_priority(priority);
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        self.half.reset(code);
    }
}

impl Sink<Bytes> for Sender {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self { waiter, half } = self.get_mut();
        if half.is_open() {
            return Poll::Ready(Ok(()));
        }
        waiter.poll(cx, |hub| half.ready(hub))
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), SendError> {
        self.half.start_send(&message)
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
        let Self { waiter, half } = this;
        match ready!(waiter.poll(cx, |hub| hub.send_end(half.id()))) {
            SendEnd::Finished => Poll::Ready(Ok(())),
            end @ (SendEnd::Stopped(_)
            | SendEnd::Refused(_)
            | SendEnd::Reset
            | SendEnd::Closed(_)) => Poll::Ready(Err(SendError::Ended(end))),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.id())
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
    half: RecvHalf<Task>,
}

impl Receiver {
    /// A handle that the hub has counted.
    pub(crate) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let waiter = Waiter::new(Arc::clone(&shared));
        let half = RecvHalf::counted(shared, id);
        Self { waiter, half }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.half.id()
    }

    /// The next message, or `None` after the last one, once the other side has finished the stream.
    ///
    /// Any other end is an error, which is never [`RecvEnd::Finished`]. Dropped before it is done, nothing was received.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvEnd> {
        let Self { waiter, half } = self;
        match half.take() {
            Some(message) => Ok(Some(message)),
            None => waiter.wait(|hub| half.recv(hub)).await,
        }
    }

    /// The next message if it is there, or `None` after the last one.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        self.half.try_recv()
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.half.stop(code);
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { waiter, half } = self.get_mut();
        match half.take() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => waiter.poll(cx, |hub| half.recv_next(hub)),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.id())
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
