//! Streams for threads.

use std::{
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use conec_core::{RecvEnd, SendEnd};
use conec_driver::SendError;
use futures_core::Stream;

use super::{
    TimedOut,
    wait::{derefs, wait, wait_timeout, waiting},
};

/// The sending half of a stream: [`conec_driver::Sender`], whose waiting calls block.
#[derive(Debug)]
pub struct Sender(pub(super) conec_driver::Sender);

impl Sender {
    waiting! { "Sender":
        send, send_timeout [&mut self] (message: Bytes) -> Result<(), SendError> {
            self.0.send(message)
        }

        finished, finished_timeout [&mut self] () -> SendEnd { self.0.finished() }
    }
}

impl DerefMut for Sender {
    fn deref_mut(&mut self) -> &mut conec_driver::Sender {
        &mut self.0
    }
}

/// The receiving half of a stream: [`conec_driver::Receiver`], whose waiting calls block.
///
/// As an iterator over messages it ends after a clean end, and also after it has given an error.
#[derive(Debug)]
pub struct Receiver(pub(super) conec_driver::Receiver);

impl Receiver {
    waiting! { "Receiver":
        recv, recv_timeout [&mut self] () -> Result<Option<Bytes>, RecvEnd> { self.0.recv() }
    }
}

impl DerefMut for Receiver {
    fn deref_mut(&mut self) -> &mut conec_driver::Receiver {
        &mut self.0
    }
}

impl Iterator for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)))
    }
}

derefs!(Sender, Receiver);

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

impl From<conec_driver::IncomingStream> for IncomingStream {
    fn from(stream: conec_driver::IncomingStream) -> Self {
        Self {
            label: stream.label,
            sender: stream.sender.map(Sender),
            receiver: Receiver(stream.receiver),
        }
    }
}
