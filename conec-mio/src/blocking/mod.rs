//! Handles for plain threads: every call waits until it is done.
//!
//! Each [`Client`] and each [`Coordinator`] runs one background thread, which has the socket and ends with its endpoint.
//! Handles can be shared and sent between threads. They are those of [`conec_driver`], and have all of their methods that do
//! not wait.
//!
//! Each call that waits has a second one with a time limit, its name ending in `_timeout`, which fails with [`TimedOut`] when
//! that is exceeded, and gives what the first one gives otherwise. A call that has given up has done nothing: what it would
//! have given goes to the next call. Those that close something have none, as `patience` is their limit.
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

mod bytewise;
pub mod calls;
mod client;
mod coordinator;
mod groups;
mod handles;
mod thread;
#[cfg(feature = "serde")]
pub mod typed;
mod wait;

use thiserror::Error;

pub use bytewise::{ByteReader, ByteStream, ByteWriter};
pub use client::Client;
pub use coordinator::Coordinator;
pub use groups::{Group, Subscription};
pub use handles::{Channel, IncomingStream, Offer, Receiver, Sender};
pub use thread::drive;

#[doc(no_inline)]
pub use conec_core::rustls;
#[doc(inline)]
pub use conec_driver::api::*;

/// Nothing has happened within the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("nothing has happened within the time limit")]
pub struct TimedOut;
