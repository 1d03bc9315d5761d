//! The halves of streams of values.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{Code, SendEnd, StreamId};
use futures_core::Stream;
use futures_sink::Sink;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{Format, FormatError};
use crate::{Receiver, RecvError, SendError, Sender};

/// Why a value was not sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendValueError {
    /// This side's fault: the value has no form in the format. The stream goes on.
    #[error("the value cannot be written in this format")]
    NoForm(#[source] FormatError),
    /// The message that it is was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why there is no next value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecvValueError {
    /// The other side's fault: the message is no value of this type and format. It is gone, and the next one may be good.
    #[error("the other side has sent what is no such value")]
    Malformed(#[source] FormatError),
    /// There is no message, or messages are missing.
    #[error(transparent)]
    Recv(#[from] RecvError),
}

/// The sending half of a stream of values: a [`Sender`] whose messages are a `T` each, in the format `F`.
///
/// As a [`Sink`], closing is as with a [`Sender`]. Dropping is, too: without [`finish`](Self::finish) it gives the stream up.
pub struct TypedSender<T: ?Sized, F> {
    sender: Sender,
    types: PhantomData<fn(&T) -> F>,
}

impl<T: ?Sized, F> TypedSender<T, F> {
    /// Sends values behind what the sender has sent.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self {
            sender,
            types: PhantomData,
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.sender.id()
    }

    /// Sends no more values: the reader gets a clean end. Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.sender.finish()
    }

    /// How sending ended, as [`Sender::finished`] has it.
    pub async fn finished(&mut self) -> SendEnd {
        self.sender.finished().await
    }

    /// Gives up sending: the other side learns the code.
    pub fn reset(&mut self, code: Code) {
        self.sender.reset(code);
    }

    /// The sender of the messages.
    pub fn get_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The sender of the messages, which goes on behind the values.
    #[must_use = "dropped unfinished, the stream is given up"]
    pub fn into_inner(self) -> Sender {
        self.sender
    }
}

impl<T: Serialize + ?Sized, F: Format> TypedSender<T, F> {
    /// Sends a value, once the stream has room. Dropped before it is done, it was not sent.
    pub async fn send(&mut self, value: &T) -> Result<(), SendValueError> {
        let message = encode::<T, F>(value)?;
        Ok(self.sender.send(message).await?)
    }
}

impl<T: Serialize, F: Format> Sink<T> for TypedSender<T, F> {
    type Error = SendValueError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendValueError>> {
        Pin::new(&mut self.get_mut().sender)
            .poll_ready(cx)
            .map_err(SendValueError::from)
    }

    fn start_send(self: Pin<&mut Self>, value: T) -> Result<(), SendValueError> {
        let message = encode::<T, F>(&value)?;
        Ok(Pin::new(&mut self.get_mut().sender).start_send(message)?)
    }

    /// Ready at once, as with a [`Sender`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SendValueError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendValueError>> {
        Pin::new(&mut self.get_mut().sender)
            .poll_close(cx)
            .map_err(SendValueError::from)
    }
}

impl<T: ?Sized, F> fmt::Debug for TypedSender<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedSender({:?})", self.id())
    }
}

/// The receiving half of a stream of values: a [`Receiver`] whose messages are a `T` each, in the format `F`.
///
/// As a [`Stream`] of values it ends after a clean end, and also after it has given any other, as an error; a message that is
/// [malformed](RecvValueError::Malformed) is an error after which it goes on. Dropped before the end, the other side is told to stop.
pub struct TypedReceiver<T, F> {
    receiver: Receiver,
    types: PhantomData<fn(F) -> T>,
}

impl<T, F> TypedReceiver<T, F> {
    /// Receives values from what the receiver has not given out yet.
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            types: PhantomData,
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.receiver.id()
    }

    /// Wants no more values: the other side learns the code.
    pub fn stop(&mut self, code: Code) {
        self.receiver.stop(code);
    }

    /// The receiver of the messages.
    pub fn get_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// The receiver of the messages, of those that were not taken.
    #[must_use = "dropped before the end, the other side is told to stop"]
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }
}

impl<T: DeserializeOwned, F: Format> TypedReceiver<T, F> {
    /// The next value, or `None` after the last one, once the other side has finished the stream. Dropped before it is done, nothing was
    /// received.
    pub async fn recv(&mut self) -> Result<Option<T>, RecvValueError> {
        let message = self.receiver.recv().await?;
        message.map(|message| decode::<T, F>(&message)).transpose()
    }
}

impl<T: DeserializeOwned, F: Format> Stream for TypedReceiver<T, F> {
    type Item = Result<T, RecvValueError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = ready!(Pin::new(&mut self.get_mut().receiver).poll_next(cx));
        Poll::Ready(received.map(|message| decode::<T, F>(&message?)))
    }
}

impl<T, F> fmt::Debug for TypedReceiver<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedReceiver({:?})", self.id())
    }
}

fn encode<T: Serialize + ?Sized, F: Format>(value: &T) -> Result<Bytes, SendValueError> {
    F::encode(value).map_err(SendValueError::NoForm)
}

fn decode<T: DeserializeOwned, F: Format>(message: &[u8]) -> Result<T, RecvValueError> {
    F::decode(message).map_err(RecvValueError::Malformed)
}
