//! The receiving halves of streams.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{Code, RecvEnd, StreamId};
use futures_core::Stream;

use crate::{
    TryRecvError,
    shared::{ChannelHandle, Place, Stamina, State},
};

/// The receiving half of a stream.
///
/// As a [`Stream`] of messages it ends after a clean end, and also after it has given an error.
///
/// ```no_run
/// # async fn run(mut receiver: conec_driver::Receiver) -> Result<(), conec_core::RecvEnd> {
/// while let Some(message) = receiver.recv().await? {
///     println!("{} bytes", message.len());
/// }
/// println!("that was all, for certain");
/// # Ok(())
/// # }
/// ```
///
/// What had arrived whole when the channel ended is there for a reader that comes later, as long as memory lasts
/// (`memory` in the configuration), unless one side has [aborted](crate::Channel::abort) the channel.
///
/// # Dropping
///
/// A `Receiver` that is dropped before the stream's end wants no more messages: the sender is told to stop. A
/// `Receiver` keeps its channel from being closed.
pub struct Receiver {
    channel: Arc<ChannelHandle>,
    id: StreamId,
    /// Messages that were received together, so that not each of them takes the lock of the endpoint.
    batch: VecDeque<Bytes>,
    /// As a [`Stream`], it has given its error.
    failed: bool,
    stamina: Stamina,
    place: Place,
}

impl Receiver {
    /// A half that the state knows as held.
    pub(super) fn new(channel: Arc<ChannelHandle>, id: StreamId) -> Self {
        Self {
            channel,
            id,
            batch: VecDeque::new(),
            failed: false,
            stamina: Stamina::default(),
            place: Place::default(),
        }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The next message, or `None` after the last one, once the other side has finished the stream.
    ///
    /// Any other end is an error, which is never [`RecvEnd::Finished`]. Dropped before it is done, nothing was received.
    /// Where it never has to wait, every ten thousandth call lets other tasks have their turn first.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvEnd> {
        self.stamina.go_on().await;
        if let Some(message) = self.batch.pop_front() {
            return Ok(Some(message));
        }
        let id = self.id;
        let recv = |state: &mut State<_>| state.recv(id, |stream| stream.recv_batch());
        let received = self.channel.shared.wait(recv).await;
        self.batch = received?.unwrap_or_default();
        Ok(self.batch.pop_front())
    }

    /// The next message if it is there, or `None` after the last one.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        match self.batch.pop_front() {
            Some(message) => Ok(Some(message)),
            None => {
                let recv = |state: &mut State<_>| state.recv(self.id, |stream| stream.recv());
                let received = self.channel.shared.with(recv);
                Ok(received.map_err(|_| TryRecvError::Blocked)??)
            }
        }
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.batch.clear();
        self.channel.shared.with(|state| {
            state.command_stream(self.id, |stream| {
                // It may have ended already.
                let _ = stream.stop(code);
            });
        });
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        ready!(this.stamina.poll(cx));
        if let Some(message) = this.batch.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        if this.failed {
            return Poll::Ready(None);
        }
        let id = this.id;
        let recv = |state: &mut State<_>| state.recv(id, |stream| stream.recv_batch());
        let received = this.channel.shared.poll(cx, &mut this.place, recv);
        Poll::Ready(match ready!(received) {
            Ok(received) => {
                this.batch = received.unwrap_or_default();
                this.batch.pop_front().map(Ok)
            }
            Err(end) => {
                this.failed = true;
                Some(Err(end))
            }
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let shared = &self.channel.shared;
        shared.leave(&mut self.place);
        shared.with(|state| state.release_receiver(self.id));
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.id())
    }
}
