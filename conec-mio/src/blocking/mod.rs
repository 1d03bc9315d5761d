//! Handles for plain threads: every call waits until it is done.
//!
//! Each [`Client`] and each [`Coordinator`] runs one background thread, which has the socket and ends with its endpoint.
//! Handles can be shared and sent between threads. Where a call can wait for long, there is a second one with a time
//! limit, its name ending in `_timeout`. A call that has given up has done nothing: what it would have given goes to the
//! next call.
//!
//! ```
//! # #[cfg(feature = "self-signed")] {
//! use std::thread;
//! use conec_mio::blocking::*;
//!
//! let certificate = Certificate::self_signed(["localhost"])?;
//! let trust = Trust::Pin(certificate.pin());
//! let coordinator = Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate))?;
//! let address = coordinator.local_addr().to_string();
//!
//! let alice = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust.clone()))?;
//! let bob = Client::connect(&address, ClientConfig::new(Identity::generate()?, trust))?;
//! let bobs_id = bob.id();
//! let bob = thread::spawn(move || {
//!     let channel = bob.accept().unwrap().accept().unwrap();
//!     for stream in channel.incoming() {
//!         for message in stream.receiver {
//!             println!("{:?}", message.unwrap());
//!         }
//!     }
//! });
//!
//! let channel = alice.open(bobs_id, "greetings")?;
//! let mut sender = channel.open_uni("hello")?;
//! sender.send("Hello, Bob!".into())?;
//! sender.finish()?;
//! assert_eq!(sender.finished(), SendEnd::Finished);
//! // Bob's loops end with the channel.
//! drop((sender, channel));
//! bob.join().unwrap();
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channel;
mod client;
mod coordinator;
mod shared;
mod stream;
#[cfg(feature = "__testing")]
#[doc(hidden)]
pub mod testing;
mod thread;

use thiserror::Error;

pub use channel::Channel;
pub use client::{Client, Offer};
pub use coordinator::Coordinator;
pub use stream::{IncomingStream, Receiver, Sender};

#[doc(no_inline)]
pub use conec_core::{
    AnswerError, Certificate, ChannelConfig, ChannelEvent, ChannelId, ChannelStats, ClientConfig,
    ClientId, CloseReason, Code, ConfigError, CoordinatorConfig, CoordinatorEvent, DatagramStats,
    Direction, EndpointStats, ErrorCode, Identity, InvalidName, KeyError, KeyPin, Limits, Name,
    Nat, OpenChannelError, OpenStreamError, PairId, Path, PathConfig, PathPolicy, PathStats,
    PeerInfo, Policy, PrivateAddresses, RecvEnd, SendDatagramError, SendEnd, SendLimit, StreamId,
    Target, Traffic, Trust,
    hub::{BindError, ConnectError, OpenError, SendError, TryRecvError},
};

#[doc(no_inline)]
pub use conec_udp::Socket;

/// Nothing has happened within the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("nothing has happened within the time limit")]
pub struct TimedOut;
