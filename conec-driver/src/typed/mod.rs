//! Streams of values: each message is one value, in a [`Format`] that both sides have agreed on.
//!
//! A [`Sender`](crate::Sender) becomes a [`TypedSender`] and a [`Receiver`](crate::Receiver) a [`TypedReceiver`], of any type that serde can
//! handle. Formats are [`Postcard`] (feature `postcard`), which is small and fast, [`Json`] (feature `serde_json`), which people and other
//! languages can read, and those that [you write](Format) (feature `serde` alone). Nothing on the wire says which it is, nor which type: have the
//! stream's label say so.
//!
//! ```
//! # #[cfg(feature = "postcard")] {
//! use conec_driver::{IncomingStream, typed::{Format, Postcard, TypedReceiver, TypedSender}, Channel};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Measurement {
//!     at: u64,
//!     value: f64,
//! }
//!
//! async fn measure(channel: Channel) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut sender = TypedSender::<Measurement, Postcard>::new(channel.open_uni("measurements").await?);
//!     sender.send(&Measurement { at: 0, value: 0.5 }).await?;
//!     sender.finish()?;
//!     Ok(())
//! }
//!
//! async fn log(stream: IncomingStream) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut receiver = TypedReceiver::<Measurement, Postcard>::new(stream.receiver);
//!     while let Some(measurement) = receiver.recv().await? {
//!         println!("{measurement:?}");
//!     }
//!     Ok(())
//! }
//!
//! // This is what is sent.
//! let bytes = Postcard::encode(&Measurement { at: 300, value: 0.5 })?;
//! assert_eq!(bytes.len(), 10);
//! assert_eq!(Postcard::decode::<Measurement>(&bytes)?.at, 300);
//! # }
//! # Ok::<(), conec_driver::typed::FormatError>(())
//! ```
//!
//! # Hostile senders
//!
//! What comes is no longer than a message may be, and what does not fit the type is an [error](RecvValueError::Malformed) for one message only. What
//! the *type* asks for is yours to bound: how deep a value of a recursive type is nested, in [`Postcard`] only a message's size limits,
//! at the expense of the stack ([`Json`] takes 128 levels); and collections of what takes no bytes, such as `Vec<()>`, may claim any length.

mod formats;
mod halves;

#[cfg(feature = "serde_json")]
pub use formats::Json;
#[cfg(feature = "postcard")]
pub use formats::Postcard;
pub use formats::{Format, FormatError};
pub use halves::{RecvValueError, SendValueError, TypedReceiver, TypedSender};
