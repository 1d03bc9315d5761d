//! What every driver of an endpoint of [`conec_core`] needs on a real machine: sockets, what moves datagrams through them,
//! and the handles that applications hold. `conec-tokio` and `conec-mio` stand on it.
//!
//! * [`Socket`] and [`Udp`] speak the language of the core: [`Datagram`] in, [`Transmit`] out, in batches (GRO, GSO) and with
//!   ECN wherever the system can.
//! * A [`Pump`] moves datagrams and time between a socket and an endpoint. It has nothing of an event loop: to wait until
//!   there is something to move is left to its owner.
//! * [`Client`], [`Coordinator`], [`Channel`], [`Sender`], [`Receiver`], [`Offer`], [`Group`] and [`Subscription`] are handles to an endpoint that a
//!   [`Driver`] drives. They are async and run on any executor: who waits is woken by its [`Waker`](std::task::Waker).
//!
//! ```
//! use conec_core::{Datagram, Transmit};
//! use conec_driver::Socket;
//!
//! let receiver = Socket::bind(([127, 0, 0, 1], 0).into())?;
//! let destination = receiver.local_addr()?;
//! let (receiver, mut udp) = receiver.into_parts();
//! let (sender, from) = Socket::any()?.into_parts();
//! from.send(&sender.socket, &Transmit {
//!     destination,
//!     source_ip: None,
//!     ecn: None,
//!     segment_size: Some(5),
//!     payload: "HelloWorld".into(),
//! })?;
//!
//! let mut received: Vec<Datagram> = Vec::new();
//! while received.iter().map(|datagram| datagram.payload.len()).sum::<usize>() < 10 {
//!     // A driver would wait until the socket is readable, instead of asking again and again.
//!     let _ = udp.recv(&receiver.socket, &mut received);
//! }
//! assert_eq!(received[0].segment_size, 5);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Datagram`]: conec_core::Datagram
//! [`Transmit`]: conec_core::Transmit

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod api;
mod busy_poll;
pub mod calls;
mod driver;
mod error;
mod handles;
mod hosts;
mod io;
#[cfg(feature = "key-log")]
mod key_log;
mod known;
mod link;
mod lookup;
#[cfg(feature = "metrics")]
pub mod meters;
mod off_thread;
mod pump;
#[cfg(feature = "qlog")]
mod qlog;
mod shared;
mod slots;
mod socket;
mod stored;
#[cfg(feature = "__testing")]
mod tap;
#[cfg(feature = "__testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "serde")]
pub mod typed;
mod unreachable;

pub use driver::Driver;
pub use error::{
    BindError, ConnectError, IntroductionError, JoinError, OpenError, OpenStreamError,
    PublishError, RecvError, SendDatagramError, SendError, TryError, TryHearError,
    TryOpenStreamError, TryPublishError, TryRecvError, TrySendError,
};
pub use handles::{
    ByteReader, ByteStream, ByteWriter, Channel, Client, Coordinator, Group, IncomingStream, Offer,
    Receiver, Sender, Subscription,
};
pub use io::{Udp, is_blocked};
#[cfg(feature = "key-log")]
pub use key_log::KeyLogFile;
pub use known::{KnownError, KnownFile, KnownLineError};
pub use link::look_up_link;
pub use lookup::Lookup;
pub use pump::{Access, Io, Pump};
#[cfg(feature = "qlog")]
pub use qlog::QlogFolder;
pub use socket::{Socket, SocketAbilities, Sockets};
#[cfg(feature = "self-signed")]
pub use stored::load_or_create_certificate;
pub use stored::{StoreError, load_certificate, load_or_create_identity};
#[cfg(feature = "__testing")]
pub use tap::Tap;
pub use unreachable::Rejected;

#[doc(no_inline)]
pub use socket2::SockRef;
