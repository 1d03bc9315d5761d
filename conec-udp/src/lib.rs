//! UDP sockets that speak the language of [`conec_core`]: [`Datagram`] in, [`Transmit`] out, in batches (GRO, GSO) and
//! with ECN wherever the system can.
//!
//! It is what every driver of an endpoint needs of the operating system, and has nothing of an event loop: a [`Pump`]
//! moves datagrams between a socket and an endpoint, and waiting until there is something to move is left to the driver.
//! `conec-tokio` and `conec-mio` stand on it. An adapter with handles that are used from several tasks or threads finds in
//! [`handles`] what they have in common.
//!
//! ```
//! use std::net::UdpSocket;
//! use conec_core::{Datagram, Transmit};
//! use conec_udp::Socket;
//!
//! let (receiver, mut udp) = Socket::bind(([127, 0, 0, 1], 0).into())?.into_parts();
//! let (sender, from) = Socket::any()?.into_parts();
//! from.send(&sender, &Transmit {
//!     destination: receiver.local_addr()?,
//!     source_ip: None,
//!     ecn: None,
//!     segment_size: Some(5),
//!     payload: "HelloWorld".into(),
//! })?;
//!
//! let mut received: Vec<Datagram> = Vec::new();
//! while received.iter().map(|datagram| datagram.payload.len()).sum::<usize>() < 10 {
//!     // A driver would wait until the socket is readable, instead of asking again and again.
//!     let _ = udp.recv(&receiver, &mut received);
//! }
//! assert_eq!(received[0].segment_size, 5);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Datagram`]: conec_core::Datagram
//! [`Transmit`]: conec_core::Transmit

#![forbid(unsafe_code)]

mod busy_poll;
pub mod handles;
mod hosts;
mod io;
mod link;
mod pump;
mod slots;
mod socket;
#[cfg(feature = "__testing")]
mod tap;
mod unreachable;

pub use io::Udp;
pub use link::look_up_link;
pub use pump::{Access, Io, Pump};
pub use socket::Socket;
#[cfg(feature = "__testing")]
pub use tap::Tap;

#[doc(no_inline)]
pub use socket2::SockRef;
