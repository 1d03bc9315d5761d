//! The sending halves of streams.

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
    shared::{ChannelHandle, Outbox, Place, Stamina, State},
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
    channel: Arc<ChannelHandle>,
    outbox: Arc<Outbox>,
    stamina: Stamina,
    /// Where it waits as a [`Sink`].
    place: Place,
}

impl Sender {
    /// A half that the state knows as held.
    pub(super) fn new(channel: Arc<ChannelHandle>, id: StreamId) -> Self {
        Self {
            channel,
            outbox: Outbox::new(id),
            stamina: Stamina::default(),
            place: Place::default(),
        }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.outbox.id()
    }

    /// Sends a message, once the stream has room.
    ///
    /// Dropped before it is done, the message was not sent, in no part. Where it never has to wait, every ten thousandth call
    /// lets other tasks have their turn first.
    pub async fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        self.stamina.go_on().await;
        let outbox = &self.outbox;
        // Usually others wait already, and it is added to them: without the lock of the endpoint.
        match outbox.add(&message) {
            Some(added) => added,
            None => {
                let send = |state: &mut State<_>| state.send(outbox, &message);
                self.channel.shared.wait(send).await
            }
        }
    }

    /// Sends a message if the stream has room now.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), TrySendError> {
        match self.outbox.add(&message) {
            Some(added) => Ok(added?),
            None => {
                let send = |state: &mut State<_>| state.send(&self.outbox, &message);
                let sent = self.channel.shared.with(send);
                Ok(sent.map_err(|_| TrySendError::Blocked)??)
            }
        }
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.channel.shared.with(|state| state.finish(&self.outbox))
    }

    /// How sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the other side's transport has
    /// everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub async fn finished(&mut self) -> SendEnd {
        let id = self.id();
        self.channel.shared.wait(|state| state.send_end(id)).await
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
        self.channel.shared.with(|state| {
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
        self.channel.shared.with(|state| {
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
        let Self {
            channel,
            outbox,
            stamina,
            place,
        } = self.get_mut();
        ready!(stamina.poll(cx));
        if outbox.is_open() {
            return Poll::Ready(Ok(()));
        }
        channel
            .shared
            .poll(cx, place, |state| state.send_ready(outbox))
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), SendError> {
        let Self {
            channel, outbox, ..
        } = self.get_mut();
        // Matched by hand: forwarding the whole `Option<Result>` stalls the hot path.
        match outbox.add(&message) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error),
            None => channel
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
        let shared = &this.channel.shared;
        let end = ready!(shared.poll(cx, &mut this.place, |state| state.send_end(id)));
        let finished = end == SendEnd::Finished;
        Poll::Ready(finished.then_some(()).ok_or(SendError::Ended(end)))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let (shared, id) = (&self.channel.shared, self.outbox.id());
        shared.leave(&mut self.place);
        shared.with(|state| state.release_sender(id));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.id())
    }
}
