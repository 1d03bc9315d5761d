//! [conec](conec_core) in event loops of your own, without async: end-to-end encrypted channels between programs,
//! through one server you run.
//!
//! A [`Driver`] has one endpoint, a [`Client`] or a [`Coordinator`], and its UDP socket in your [`mio::Poll`]. Your loop
//! stays in charge: it calls the driver when the socket is ready and when the driver's deadline has come, and gets
//! events back. Nothing blocks, no thread is started, and any number of drivers live in one loop. Channels and streams
//! are used by the borrowed handles of [`conec_core`].
//!
//! For plain threads there is [`blocking`].
//!
//! ```
//! # #[cfg(feature = "self-signed")] {
//! use std::time::{Duration, Instant};
//! use conec_mio::{Client, Coordinator, Driver, conec_core::*};
//! use mio::{Events, Poll, Token};
//!
//! const COORDINATOR: Token = Token(0);
//! const ALICE: Token = Token(1);
//!
//! let mut poll = Poll::new()?;
//! let certificate = Certificate::self_signed(["localhost"])?;
//! let trust = Trust::Pin(certificate.pin());
//! let mut coordinator = Coordinator::bind(
//!     "127.0.0.1:0".parse()?, CoordinatorConfig::new(certificate), poll.registry(), COORDINATOR)?;
//! let mut alice = Client::connect(
//!     "localhost", &[coordinator.local_addr()?], ClientConfig::new(Identity::generate()?, trust),
//!     poll.registry(), ALICE)?;
//!
//! // Alice says something to the Coordinator.
//! let mut events = Events::with_capacity(16);
//! let received = 'done: loop {
//!     // Until somebody's deadline, or until a socket is ready.
//!     let deadline = [coordinator.deadline(), alice.deadline()].into_iter().flatten().min();
//!     poll.poll(&mut events, deadline.map(|at| at.saturating_duration_since(Instant::now())))?;
//!     for event in &events {
//!         match event.token() {
//!             COORDINATOR => coordinator.ready(event),
//!             ALICE => alice.ready(event),
//!             _ => {}
//!         }
//!     }
//!     let now = Instant::now();
//!     coordinator.turn(now);
//!     alice.turn(now);
//!     while let Some(event) = alice.poll_event() {
//!         if let ClientEvent::Connected { .. } = event {
//!             let mut home = alice.endpoint_mut().channel(ChannelId::HOME).unwrap();
//!             let stream = home.open(Direction::Uni, b"greetings")?;
//!             home.stream(stream).send("hello".into())?;
//!         }
//!     }
//!     while let Some(event) = coordinator.poll_event() {
//!         if let CoordinatorEvent::Channel { channel, event: ChannelEvent::Readable { stream } } = event {
//!             let mut home = coordinator.endpoint_mut().channel(channel).unwrap();
//!             break 'done home.stream(stream).recv()?;
//!         }
//!     }
//! };
//! assert_eq!(received, "hello");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "blocking")]
pub mod blocking;
mod driver;
mod socket;

pub use conec_core;
pub use driver::{Client, Coordinator, Driver};

#[doc(inline)]
pub use conec_driver::{BindError, ConnectError, Socket};
