//! COordinated NEtwork Channels: the protocol, without a socket or a clock.
//!
//! One [`Coordinator`] has a public UDP address and a TLS identity. [`Client`]s connect to it, each by its own key. The
//! Coordinator sends channels to pairs of Clients, and so connects them. A channel carries any number of streams of whole
//! messages, encrypted from end to end: the Coordinator forwards packets that it cannot read.
//!
//! This crate is a state machine to be driven from outside. Ready-made drivers are `conec-tokio`, for async programs, and
//! `conec-mio`, for event loops of your own.
//!
//! # Driving an endpoint
//!
//! [`Client`] and [`Coordinator`] implement [`Endpoint`]: `handle_*` methods take what happened, `poll_*` methods give
//! what to do. Commands are ordinary methods, and borrowed handles: `client.channel(id)`, `channel.stream(id).send(..)`.
//! Here is a whole program, with a queue for a network and a number for a clock:
//!
//! ```
//! # #[cfg(feature = "self-signed")] {
//! use std::{collections::VecDeque, net::SocketAddr, num::NonZeroUsize, time::{Duration, Instant}};
//! use conec_core::*;
//!
//! // Sends what an endpoint has to send, and gives it what has arrived for it.
//! fn drive<E: Endpoint>(
//!     endpoint: &mut E,
//!     address: SocketAddr,
//!     now: Instant,
//!     network: &mut VecDeque<(SocketAddr, Transmit)>,
//! ) {
//!     for _ in 0..network.len() {
//!         let (source, transmit) = network.pop_front().unwrap();
//!         if transmit.destination != address {
//!             network.push_back((source, transmit));
//!             continue;
//!         }
//!         endpoint.handle_datagram(now, Datagram {
//!             source,
//!             destination_ip: None,
//!             ecn: transmit.ecn,
//!             segment_size: transmit.segment_size.unwrap_or(transmit.payload.len()),
//!             payload: transmit.payload[..].into(),
//!         });
//!     }
//!     if endpoint.poll_timeout().is_some_and(|due| due <= now) {
//!         endpoint.handle_timeout(now);
//!     }
//!     while let Some(transmit) = endpoint.poll_transmit(now, NonZeroUsize::MIN) {
//!         network.push_back((address, transmit));
//!     }
//! }
//!
//! let certificate = Certificate::self_signed(["localhost"])?;
//! let trust = Trust::Pin(certificate.pin());
//! let mut coordinator = Coordinator::new(CoordinatorConfig::new(certificate), Identity::generate_seed()?)?;
//! let mut clients = Vec::new();
//! for name in ["alice", "bob"] {
//!     let mut config = ClientConfig::new(Identity::generate()?, trust.clone());
//!     config.name = Some(name.parse()?);
//!     config.auto_accept = true;
//!     clients.push(Client::new(config, Identity::generate_seed()?)?);
//! }
//!
//! let address = |number: u8| SocketAddr::from(([192, 0, 2, number], 1000));
//! let mut now = Instant::now();
//! let mut network = VecDeque::new();
//! for client in &mut clients {
//!     client.connect(now, "localhost", &[address(0)])?;
//! }
//! let received = 'done: loop {
//!     now += Duration::from_millis(1);
//!     drive(&mut coordinator, address(0), now, &mut network);
//!     while coordinator.poll_event().is_some() {}
//!     for (number, client) in clients.iter_mut().enumerate() {
//!         drive(client, address(1 + number as u8), now, &mut network);
//!         while let Some(event) = client.poll_event() {
//!             match event {
//!                 // Bob, who connects last in this network, wants to talk to Alice.
//!                 ClientEvent::Connected { .. } if number == 1 => {
//!                     client.open_channel(now, "alice".parse::<Name>()?, b"chat")?;
//!                 }
//!                 ClientEvent::Channel { channel, event } if channel != ChannelId::HOME => match event {
//!                     ChannelEvent::Opened if number == 1 => {
//!                         let mut channel = client.channel(channel).unwrap();
//!                         let stream = channel.open(Direction::Uni, b"greetings")?;
//!                         channel.stream(stream).send("hello".into())?;
//!                     }
//!                     ChannelEvent::Readable { stream } => {
//!                         break 'done client.channel(channel).unwrap().stream(stream).recv()?;
//!                     }
//!                     _ => {}
//!                 },
//!                 _ => {}
//!             }
//!         }
//!     }
//! };
//! assert_eq!(received, "hello");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! * On a stream, messages arrive whole, in order and at most once. What is received is a prefix of what was sent. What
//!   was not acknowledged when a channel is lost is unknown.
//! * Every half of a stream, every channel and every Client ends in exactly one terminal event, local ends included.
//! * No input from the network panics or disturbs anyone but its sender. Every table, queue, rate and wait is bounded by
//!   [`Limits`] and [`ChannelConfig`].
//! * Opening a channel by [`ClientId`] reaches the holder of that key or fails. Opening by [`Name`] trusts the Coordinator
//!   to know who bears the name.
//!
//! # Features
//!
//! * `self-signed`: [`Certificate::self_signed`].

#![forbid(unsafe_code)]

mod channel;
mod client;
mod config;
mod coordinator;
mod endpoint;
mod error;
pub mod hub;
mod id;
mod identity;
mod memory;
#[cfg(feature = "__testing")]
#[doc(hidden)]
pub mod testing;
mod transport;
mod wire;

#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}

pub use channel::{Channel, ChannelEvent, Stream};
pub use client::{Client, ClientEvent, PeerInfo};
pub use config::{ChannelConfig, ClientConfig, CoordinatorConfig, Limits, Policy, Trust};
pub use coordinator::{Coordinator, CoordinatorEvent};
pub use endpoint::{Datagram, Ecn, Endpoint, EndpointStats, Transmit};
pub use error::{
    AnswerError, CloseReason, ConfigError, ConnectError, ErrorCode, OpenChannelError,
    OpenStreamError, RecvEnd, RecvError, SendDatagramError, SendEnd, SendError, Violation,
};
pub use id::{
    ChannelId, ClientId, Code, Direction, InvalidName, Name, PairId, ParseClientIdError, StreamId,
    Target,
};
pub use identity::{Certificate, Identity, KeyError, KeyPin};
