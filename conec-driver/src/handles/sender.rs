use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{Code, SendEnd, StreamId};
use futures_sink::Sink;

use crate::{
    SendError, TrySendError,
    shared::{Outbox, Shared, Waiter},
};

/// The sending half of a stream.
///
/// Messages arrive whole, in order and at most once. They are on their way as soon as they are taken: there is nothing
/// to flush. As a [`Sink`], closing is [`finish`](Self::finish) and waiting for [`finished`](Self::finished).
///
/// ```no_run
/// # async fn run(mut sender: conec_driver::Sender) -> Result<(), conec_driver::SendError> {
/// use conec_core::SendEnd;
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
    outbox: Arc<Outbox>,
}

impl Sender {
    /// A handle that was counted already.
    pub(super) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        Self {
            waiter: Waiter::new(shared),
            outbox: Outbox::new(id),
        }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.outbox.id()
    }

    /// Sends a message, once the stream has room.
    ///
    /// Dropped before it is done, the message was not sent, in no part.
    pub async fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        let Self { waiter, outbox } = self;
        // Mostly, others wait that it can be added to: without the lock that everybody shares.
        match outbox.add(&message) {
            Some(added) => added,
            None => waiter.wait(|state| state.send(outbox, &message)).await,
        }
    }

    /// Sends a message if the stream has room now.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), TrySendError> {
        let Self { waiter, outbox } = self;
        match outbox.add(&message) {
            Some(added) => Ok(added?),
            None => {
                let sent = waiter.shared.with(|state| state.send(outbox, &message));
                Ok(sent.map_err(|_| TrySendError::Blocked)??)
            }
        }
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        let Self { waiter, outbox } = self;
        waiter.shared.with(|state| state.finish(outbox))
    }

    /// How sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the other side's transport has
    /// everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub async fn finished(&mut self) -> SendEnd {
        let id = self.id();
        let waiter = &mut self.waiter;
        waiter.wait(|state| state.send_end(id)).await
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
        let id = self.id();
        self.waiter.shared.with(|state| {
            state.command_stream(id, |stream| {
                // It may have ended already.
                let _ = stream.set_priority(priority);
            });
        });
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        let id = self.id();
        self.outbox.clear();
        self.waiter.shared.with(|state| {
            state.command_stream(id, |stream| {
                // It may have ended already.
                let _ = stream.reset(code);
            });
        });
    }
}

impl Sink<Bytes> for Sender {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self { waiter, outbox } = self.get_mut();
        if outbox.is_open() {
            return Poll::Ready(Ok(()));
        }
        waiter.poll(cx, |state| state.send_ready(outbox))
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), SendError> {
        let Self { waiter, outbox } = self.get_mut();
        // Matched by hand: forwarding the whole `Option<Result>` stalls the hot path.
        match outbox.add(&message) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error),
            None => waiter
                .shared
                .with(|state| state.start_send(outbox, &message)),
        }
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
        let id = this.id();
        let end = this.waiter.poll(cx, |state| state.send_end(id));
        let end = ready!(end);
        let finished = end == SendEnd::Finished;
        Poll::Ready(finished.then_some(()).ok_or(SendError::Ended(end)))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let (shared, id) = (&self.waiter.shared, self.outbox.id());
        let now = shared.now();
        shared.with(|state| state.release_sender(now, id));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.id())
    }
}
