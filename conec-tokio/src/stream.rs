use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{Code, RecvEnd, SendEnd, StreamId};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    SendError, TryRecvError,
    shared::{Channels, Handle, State},
    table::Interest,
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
#[derive(Debug)]
pub struct Sender {
    handle: Handle,
    id: StreamId,
    finished: bool,
}

impl Sender {
    pub(crate) fn new(handle: Handle, id: StreamId) -> Self {
        Self {
            handle,
            id,
            finished: false,
        }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Sends a message, once the stream has room.
    ///
    /// Dropped before it is done, the message was not sent, in no part.
    pub async fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        poll_fn(|cx| {
            self.poll(cx, |state| {
                self.attempt(state, |stream| stream.send(message.clone()))
            })
        })
        .await
    }

    /// Sends a message if the stream has room now.
    ///
    /// Fails with [`SendError::Blocked`] if not.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), SendError> {
        let sent = self
            .handle
            .shared
            .with(|state| self.attempt(state, |stream| stream.send(message)));
        match sent {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(SendError::Blocked),
        }
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        let finished = self
            .handle
            .shared
            .with(|state| self.attempt(state, |stream| stream.finish()));
        match finished {
            Poll::Ready(finished) => {
                finished?;
                self.finished = true;
                Ok(())
            }
            // Ended, and the driver is about to learn how.
            Poll::Pending => Err(SendError::Finished),
        }
    }

    /// How sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the other side's transport has
    /// everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub async fn finished(&mut self) -> SendEnd {
        poll_fn(|cx| self.poll_end(cx)).await
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        self.handle.shared.command(|state, _| {
            if let Some(mut channel) = state.role.channel(self.id.channel()) {
                // It may have ended already.
                let _ = channel.stream(self.id).reset(code);
            }
        });
    }

    fn poll<T>(
        &self,
        cx: &Context<'_>,
        f: impl FnOnce(&mut State<dyn Channels>) -> Poll<T>,
    ) -> Poll<T> {
        self.handle.shared.poll(cx, (Interest::Send(self.id), 0), f)
    }

    /// Pending if the stream is full, or has ended and the driver is about to learn how.
    fn attempt(
        &self,
        state: &mut State<dyn Channels>,
        f: impl FnOnce(&mut conec_core::Stream<'_>) -> Result<(), conec_core::SendError>,
    ) -> Poll<Result<(), SendError>> {
        if let Some(&Some(end)) = state.table.sends.get(&self.id) {
            return Poll::Ready(Err(SendError::Ended(end)));
        }
        if self.finished {
            return Poll::Ready(Err(SendError::Finished));
        }
        let done = match state.role.channel(self.id.channel()) {
            Some(mut channel) => f(&mut channel.stream(self.id)),
            None => Err(conec_core::SendError::Ended),
        };
        match done {
            Ok(()) => {
                state.table.wake_driver();
                Poll::Ready(Ok(()))
            }
            Err(conec_core::SendError::TooLarge { max }) => {
                Poll::Ready(Err(SendError::TooLarge { max }))
            }
            Err(conec_core::SendError::Blocked | conec_core::SendError::Ended) => Poll::Pending,
        }
    }

    fn poll_end(&self, cx: &Context<'_>) -> Poll<SendEnd> {
        self.poll(cx, |state| {
            let end = state.table.sends.get(&self.id).copied().flatten();
            end.map_or(Poll::Pending, Poll::Ready)
        })
    }
}

impl Sink<Bytes> for Sender {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll(cx, |state| {
            self.attempt(state, |stream| stream.poll_ready())
        })
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> Result<(), SendError> {
        self.try_send(message)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if !self.finished {
            // If it has ended otherwise, its end says so.
            let _ = self.finish();
        }
        match ready!(self.poll_end(cx)) {
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
        let _waker = self.handle.shared.command(|state, _| {
            state.table.sends.remove(&self.id);
            if !self.finished
                && let Some(mut channel) = state.role.channel(self.id.channel())
            {
                // It may have ended already.
                let _ = channel.stream(self.id).abandon_send();
            }
            state.table.unregister((Interest::Send(self.id), 0))
        });
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
#[derive(Debug)]
pub struct Receiver {
    handle: Handle,
    id: StreamId,
    /// The error was given out, which ends it as a [`Stream`].
    failed: bool,
}

impl Receiver {
    pub(crate) fn new(handle: Handle, id: StreamId) -> Self {
        Self {
            handle,
            id,
            failed: false,
        }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The next message, or `None` after the last one, once the other side has finished the stream.
    ///
    /// Any other end is an error, which is never [`RecvEnd::Finished`]. Dropped before it is done, nothing was received.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvEnd> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message if it is there, or `None` after the last one.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        match self.handle.shared.with(|state| self.attempt(state)) {
            Poll::Ready(received) => Ok(received?),
            Poll::Pending => Err(TryRecvError::Blocked),
        }
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.handle.shared.command(|state, _| {
            if let Some(mut channel) = state.role.channel(self.id.channel()) {
                // It may have ended already.
                let _ = channel.stream(self.id).stop(code);
            }
        });
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, RecvEnd>> {
        let key = (Interest::Recv(self.id), 0);
        self.handle
            .shared
            .poll(cx, key, |state| self.attempt(state))
    }

    /// Pending if there is no message yet, or the stream has ended and the driver is about to learn how.
    fn attempt(&self, state: &mut State<dyn Channels>) -> Poll<Result<Option<Bytes>, RecvEnd>> {
        match state.table.recvs.get(&self.id) {
            Some(Some(RecvEnd::Finished)) => return Poll::Ready(Ok(None)),
            Some(&Some(end)) => return Poll::Ready(Err(end)),
            Some(None) | None => {}
        }
        let received = state
            .role
            .channel(self.id.channel())
            .map(|mut channel| channel.stream(self.id).recv());
        match received {
            Some(Ok(message)) => {
                // There is room for more, which the other side has to know.
                state.table.wake_driver();
                Poll::Ready(Ok(Some(message)))
            }
            Some(Err(conec_core::RecvError::Blocked | conec_core::RecvError::Ended)) | None => {
                Poll::Pending
            }
        }
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let received = ready!(self.poll_recv(cx));
        self.failed = received.is_err();
        Poll::Ready(received.transpose())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _waker = self.handle.shared.command(|state, _| {
            state.table.recvs.remove(&self.id);
            if let Some(mut channel) = state.role.channel(self.id.channel()) {
                // It may have ended already.
                let _ = channel.stream(self.id).abandon_recv();
            }
            state.table.unregister((Interest::Recv(self.id), 0))
        });
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
