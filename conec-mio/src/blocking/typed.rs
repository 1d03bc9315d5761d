//! Streams of values for threads: each message is one value, in a [`Format`] that both sides have agreed on. What that means is told at
//! [`conec_driver::typed`].
//!
//! ```no_run
//! # #[cfg(feature = "serde_json")]
//! # fn run(channel: conec_mio::blocking::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use conec_mio::blocking::typed::{Json, TypedReceiver, TypedSender};
//!
//! let (sender, receiver) = channel.open_bi("sums, as JSON")?;
//! let mut sender = TypedSender::<[u32; 2], Json>::new(sender);
//! sender.send(&[1, 2])?;
//! sender.finish()?;
//! for sum in TypedReceiver::<u32, Json>::new(receiver) {
//!     println!("{}", sum?);
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::Pin,
    time::Duration,
};

use conec_core::SendEnd;
use futures_core::Stream;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Receiver, Sender, TimedOut,
    wait::{wait, wait_timeout, waiting},
};

pub use conec_driver::typed::{Format, FormatError, RecvValueError, SendValueError};

#[cfg(feature = "serde_json")]
pub use conec_driver::typed::Json;
#[cfg(feature = "postcard")]
pub use conec_driver::typed::Postcard;

/// The sending half of a stream of values: [`conec_driver::typed::TypedSender`], whose waiting calls block.
#[derive(Debug)]
pub struct TypedSender<T: ?Sized, F>(conec_driver::typed::TypedSender<T, F>);

impl<T: ?Sized, F> TypedSender<T, F> {
    /// Sends values behind what the sender has sent.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self(conec_driver::typed::TypedSender::new(sender.0))
    }

    waiting! { "typed::TypedSender":
        finished, finished_timeout [&mut self,] () -> SendEnd { self.0.finished() }
    }
}

impl<T: Serialize + ?Sized, F: Format> TypedSender<T, F> {
    waiting! { "typed::TypedSender":
        send, send_timeout [&mut self,] (value: &T) -> Result<(), SendValueError> {
            self.0.send(value)
        }
    }
}

/// The receiving half of a stream of values: [`conec_driver::typed::TypedReceiver`], whose waiting calls block.
///
/// As an iterator over values it ends after a clean end, and also after it has given any other, as an error.
#[derive(Debug)]
pub struct TypedReceiver<T, F>(conec_driver::typed::TypedReceiver<T, F>);

impl<T, F> TypedReceiver<T, F> {
    /// Receives values from what the receiver has not given out yet.
    #[must_use]
    pub fn new(receiver: Receiver) -> Self {
        Self(conec_driver::typed::TypedReceiver::new(receiver.0))
    }
}

impl<T: DeserializeOwned, F: Format> TypedReceiver<T, F> {
    waiting! { "typed::TypedReceiver":
        recv, recv_timeout [&mut self,] () -> Result<Option<T>, RecvValueError> { self.0.recv() }
    }
}

impl<T: DeserializeOwned, F: Format> Iterator for TypedReceiver<T, F> {
    type Item = Result<T, RecvValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)))
    }
}

impl<T: ?Sized, F> Deref for TypedSender<T, F> {
    type Target = conec_driver::typed::TypedSender<T, F>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: ?Sized, F> DerefMut for TypedSender<T, F> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T, F> Deref for TypedReceiver<T, F> {
    type Target = conec_driver::typed::TypedReceiver<T, F>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T, F> DerefMut for TypedReceiver<T, F> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
