//! The receiving halves of streams.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{Code, Lossy, StreamId};
use futures_core::Stream;

use crate::{
    RecvError, TryRecvError,
    shared::{ChannelHandle, Place, Stamina, State},
};

/// The receiving half of a stream.
///
/// As a [`Stream`] of messages it ends after a clean end, and also after it has given any other, as an error.
///
/// ```no_run
/// # async fn run(mut receiver: conec_driver::Receiver) -> Result<(), conec_driver::RecvError> {
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
/// # Slow readers
///
/// By default, who does not receive holds up the sender. A reader for which old news is worse than none
/// [prefers loss](Self::set_lossy).
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
    /// How many messages are missing before those, which is to be told.
    lagged: u64,
    /// Messages are received one by one: those that wait in the core may give way to later ones.
    is_lossy: bool,
    /// As a [`Stream`], it has given the error that it ends with.
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
            lagged: 0,
            is_lossy: false,
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
    /// Any other end is an error, which is never [`RecvEnd::Finished`](conec_core::RecvEnd::Finished); so is
    /// [`RecvError::Lagged`], which is no end: a [lossy](Self::set_lossy) reader gets it before a message. Dropped before it is
    /// done, nothing was received. Where it never has to wait, every ten thousandth call lets other tasks have their turn first.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvError> {
        self.stamina.go_on().await;
        if let Some(taken) = self.taken() {
            return taken.map(Some);
        }
        let (id, is_lossy, batch) = (self.id, self.is_lossy, &mut self.batch);
        let recv = |state: &mut State<_>| state.recv(id, |stream| take(stream, is_lossy, batch));
        self.channel.shared.wait(recv).await?;
        Ok(self.batch.pop_front())
    }

    /// Like [`recv`](Self::recv), for who polls. Only the last task that has polled is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RecvError>> {
        ready!(self.stamina.poll(cx));
        if let Some(taken) = self.taken() {
            return Poll::Ready(taken.map(Some));
        }
        let (id, is_lossy, batch) = (self.id, self.is_lossy, &mut self.batch);
        let recv = |state: &mut State<_>| state.recv(id, |stream| take(stream, is_lossy, batch));
        ready!(self.channel.shared.poll(cx, &mut self.place, recv))?;
        Poll::Ready(Ok(self.batch.pop_front()))
    }

    /// The next message if it is there, or `None` after the last one.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        match self.taken() {
            Some(taken) => Ok(Some(taken?)),
            None => {
                let recv = |state: &mut State<_>| state.recv(self.id, |stream| stream.recv());
                let received = self.channel.shared.with(recv);
                Ok(received.map_err(|_| TryRecvError::Blocked)??)
            }
        }
    }

    /// Prefers loss to back-pressure from now on, or with `None`, as at first, back-pressure to loss.
    ///
    /// The sender is not held up then. Of what is not received in time, the newest messages are kept, by default 256 of 256 KiB
    /// together, or [just one](Lossy::latest); the others are dropped, the oldest first. Where some are missing, the next call
    /// fails once with [`RecvError::Lagged`], which says how many, and the one after it gives the next message. So what was
    /// received and what was reported make up what was sent. The end of the stream comes only after that, also for who looks
    /// late.
    ///
    /// What has arrived already counts: some of it may be dropped at once. Where memory for messages is short, a lossy reader's
    /// wait at their sender as all others do ([`conec_core::Stream::set_lossy`]). What was dropped on all streams of a channel,
    /// [`Channel::stats`](crate::Channel::stats) counts.
    ///
    /// ```no_run
    /// use conec_driver::{Receiver, RecvError};
    /// use conec_core::{Lossy, RecvEnd};
    ///
    /// async fn draw(mut pictures: Receiver) -> Result<(), RecvEnd> {
    ///     pictures.set_lossy(Some(Lossy::latest()));
    ///     loop {
    ///         match pictures.recv().await {
    ///             Ok(Some(picture)) => println!("a picture of {} bytes", picture.len()),
    ///             Ok(None) => return Ok(()),
    ///             Err(RecvError::Lagged(left_out)) => println!("{left_out} were left out"),
    ///             Err(RecvError::Ended(end)) => return Err(end),
    ///             Err(error) => println!("{error}"),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn set_lossy(&mut self, lossy: Option<Lossy>) {
        self.is_lossy = lossy.is_some();
        let (id, batch) = (self.id, &mut self.batch);
        let set = self
            .channel
            .shared
            .with(|state| state.set_lossy(id, lossy, batch));
        // All that there will ever be may be here.
        if let (Err(_), Some(lossy)) = (set, lossy) {
            let mut bytes = self.batch.iter().map(Bytes::len).sum::<usize>();
            while !lossy.keeps(self.batch.len(), bytes)
                && let Some(oldest) = self.batch.pop_front()
            {
                bytes -= oldest.len();
                self.lagged += 1;
            }
        }
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.batch.clear();
        self.lagged = 0;
        self.channel.shared.with(|state| {
            state.command_stream(self.id, |stream| {
                // It may have ended already.
                let _ = stream.stop(code);
            });
        });
    }

    /// The next message of those that were received together with the one before, if there are more, and none is missing before it.
    pub(super) fn pop_held(&mut self) -> Option<Bytes> {
        match self.lagged {
            0 => self.batch.pop_front(),
            _ => None,
        }
    }

    /// The next of what was received before, and not given out.
    fn taken(&mut self) -> Option<Result<Bytes, RecvError>> {
        match std::mem::take(&mut self.lagged) {
            0 => self.batch.pop_front().map(Ok),
            lagged => Some(Err(RecvError::Lagged(lagged))),
        }
    }
}

/// Takes all messages that are there, or one, if the others may give way to later ones.
fn take(
    stream: &mut conec_core::Stream<'_>,
    one: bool,
    batch: &mut VecDeque<Bytes>,
) -> Result<(), conec_core::RecvError> {
    match one {
        true => batch.push_back(stream.recv()?),
        false => *batch = stream.recv_batch()?,
    }
    Ok(())
}

impl Stream for Receiver {
    type Item = Result<Bytes, RecvError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let received = ready!(this.poll_recv(cx));
        this.failed = match received {
            Ok(_) | Err(RecvError::Lagged(_)) => false,
            Err(RecvError::Ended(_)) => true,
        };
        Poll::Ready(received.transpose())
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
