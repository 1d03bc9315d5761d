//! Channels, offers and streams for threads.

use std::{
    future::poll_fn,
    iter,
    ops::{Deref, DerefMut},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use conec_core::{CloseReason, Code, Path, PathPolicy, SendEnd};
use conec_driver::{OpenStreamError, RecvError, SendDatagramError, SendError, TryOpenStreamError};
use futures_core::Stream;

use super::{
    TimedOut,
    wait::{derefs, wait, wait_timeout, waiting},
};

/// A channel with another entity: [`conec_driver::Channel`], whose waiting calls block.
///
/// A cheap handle: clones are the same channel.
///
/// ```no_run
/// # fn run(channel: conec_mio::blocking::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// // Ask.
/// let (mut sender, mut receiver) = channel.open_bi("question")?;
/// sender.send("What is the answer?".into())?;
/// sender.finish()?;
/// let answer = receiver.recv()?;
///
/// // Answer.
/// for mut stream in channel.incoming() {
///     let question = stream.receiver.recv()?;
///     if let Some(mut sender) = stream.sender {
///         sender.send("42".into())?;
///         sender.finish()?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Channel(pub(super) conec_driver::Channel);

impl Channel {
    waiting! { "Channel":
        path_other_than, path_other_than_timeout [&self,] (known: Path) -> Option<Path> {
            self.0.path_other_than(known)
        }

        silent, silent_timeout [&self,] () -> Result<(), CloseReason> { self.0.silent() }

        audible, audible_timeout [&self,] () -> Result<(), CloseReason> { self.0.audible() }

        open_bi, open_bi_timeout [&self,] (label: impl AsRef<[u8]>)
            -> Result<(Sender, Receiver), OpenStreamError> {
            async {
                let (sender, receiver) = self.0.open_bi(label).await?;
                Ok((Sender(sender), Receiver(receiver)))
            }
        }

        open_uni, open_uni_timeout [&self,] (label: impl AsRef<[u8]>)
            -> Result<Sender, OpenStreamError> {
            async { self.0.open_uni(label).await.map(Sender) }
        }

        accept, accept_timeout [&self,] () -> Option<IncomingStream> {
            async { self.0.accept().await.map(IncomingStream::from) }
        }

        send_datagram, send_datagram_timeout [&self,] (bytes: Bytes)
            -> Result<(), SendDatagramError> {
            self.0.send_datagram(bytes)
        }

        recv_datagram, recv_datagram_timeout [&self,] () -> Option<Bytes> {
            self.0.recv_datagram()
        }

        closed, closed_timeout [&self,] () -> CloseReason { self.0.closed() }
    }

    /// Opens a bidirectional stream if the other side allows another now.
    pub fn try_open_bi(
        &self,
        label: impl AsRef<[u8]>,
    ) -> Result<(Sender, Receiver), TryOpenStreamError> {
        let (sender, receiver) = self.0.try_open_bi(label)?;
        Ok((Sender(sender), Receiver(receiver)))
    }

    /// Opens a unidirectional stream if the other side allows another now.
    pub fn try_open_uni(&self, label: impl AsRef<[u8]>) -> Result<Sender, TryOpenStreamError> {
        self.0.try_open_uni(label).map(Sender)
    }

    /// The streams that the other side opens, as [`accept`](Self::accept) gives them.
    pub fn incoming(&self) -> impl Iterator<Item = IncomingStream> {
        iter::from_fn(|| self.accept())
    }

    /// Closes the channel gracefully: no stream can be opened from now on, at either side; the channel ends when those
    /// that are open have ended, after `patience` in any case. Waits for that, and gives the reason that it ended for.
    pub fn close(&self, patience: Duration) -> CloseReason {
        wait(self.0.close(patience))
    }
}

/// A channel that somebody wants with this Client: [`conec_driver::Offer`], whose waiting calls block.
#[derive(Debug)]
#[must_use = "dropping an offer rejects it"]
pub struct Offer(pub(super) conec_driver::Offer);

impl Offer {
    waiting! { "Offer":
        accept, accept_timeout [self,] () -> Result<Channel, CloseReason> {
            async { self.0.accept().await.map(Channel) }
        }

        accept_with, accept_with_timeout [self,] (policy: PathPolicy)
            -> Result<Channel, CloseReason> {
            async { self.0.accept_with(policy).await.map(Channel) }
        }
    }

    /// Rejects the channel; the other end learns the code.
    pub fn reject(self, code: Code) {
        self.0.reject(code);
    }
}

/// The sending half of a stream: [`conec_driver::Sender`], whose waiting calls block.
#[derive(Debug)]
pub struct Sender(pub(super) conec_driver::Sender);

impl Sender {
    waiting! { "Sender":
        send, send_timeout [&mut self,] (message: Bytes) -> Result<(), SendError> {
            self.0.send(message)
        }

        finished, finished_timeout [&mut self,] () -> SendEnd { self.0.finished() }
    }
}

/// The receiving half of a stream: [`conec_driver::Receiver`], whose waiting calls block.
///
/// As an iterator over messages it ends after a clean end, and also after it has given any other, as an error. That some were
/// [dropped](conec_driver::Receiver::set_lossy) is an error after which it goes on.
#[derive(Debug)]
pub struct Receiver(pub(super) conec_driver::Receiver);

impl Receiver {
    waiting! { "Receiver":
        recv, recv_timeout [&mut self,] () -> Result<Option<Bytes>, RecvError> { self.0.recv() }
    }
}

impl Iterator for Receiver {
    type Item = Result<Bytes, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)))
    }
}

/// A stream that the other side has opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct IncomingStream {
    /// What the opener says it is for.
    pub label: Bytes,
    /// The half to answer on, if the stream is bidirectional.
    pub sender: Option<Sender>,
    /// The half to receive from.
    pub receiver: Receiver,
}

impl From<conec_driver::IncomingStream> for IncomingStream {
    fn from(stream: conec_driver::IncomingStream) -> Self {
        Self {
            label: stream.label,
            sender: stream.sender.map(Sender),
            receiver: Receiver(stream.receiver),
        }
    }
}

impl From<IncomingStream> for conec_driver::IncomingStream {
    fn from(stream: IncomingStream) -> Self {
        Self::new(
            stream.label,
            stream.sender.map(|Sender(sender)| sender),
            stream.receiver.0,
        )
    }
}

derefs!(Channel, Offer, Sender, Receiver);

impl DerefMut for Sender {
    fn deref_mut(&mut self) -> &mut conec_driver::Sender {
        &mut self.0
    }
}

impl DerefMut for Receiver {
    fn deref_mut(&mut self) -> &mut conec_driver::Receiver {
        &mut self.0
    }
}
