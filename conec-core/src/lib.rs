//! COordinated NEtwork Channels: the protocol, without a socket or a clock.
//!
//! One [`Coordinator`] has a public UDP address and a TLS identity. [`Client`]s connect to it, each by its own key. The
//! Coordinator sends channels to pairs of Clients, and so connects them. A channel carries any number of streams of whole
//! messages, encrypted from end to end: the Coordinator forwards packets that it cannot read.
//!
//! This crate is a state machine to be driven from outside. Ready-made drivers are `conec-tokio`, for async programs, and
//! `conec-mio`, for event loops of your own and for plain threads.
//!
//! # Driving an endpoint
//!
//! [`Client`] and [`Coordinator`] implement [`Endpoint`]: `handle_*` methods take what happened, `poll_*` methods give
//! what to do. Commands are ordinary methods, and borrowed handles: `client.channel(id)`, `channel.stream(id).send(..)`.
//!
//! This is `examples/custom_loop.rs`, a whole program around three endpoints. `Node::turn` is all of a driver: what has
//! arrived, what is due, where the socket is, what is to be sent. `main` is the application: it takes events, and gives commands. To go on
//! from there:
//!
//! * wait until the sockets are readable, or the first [`poll_timeout`](Endpoint::poll_timeout), instead of asking again
//!   and again. What is done to an endpoint can change its timeout, so ask for that last.
//! * report the addresses of all interfaces where a socket is bound to none of them in particular, when a Client
//!   [wants](Endpoint::wants_host_addresses) them, so that it is found in its own network; and the size of packets that its
//!   link takes, in [`ClientConfig::link_mtu`].
//! * `conec-driver` moves many datagrams with one system call, and does what `Node::turn` does. It also has handles that wait,
//!   for applications that want these instead of events.
//!
#![cfg_attr(feature = "self-signed", doc = "```")]
#![cfg_attr(not(feature = "self-signed"), doc = "```ignore")]
#![doc = include_str!("../examples/custom_loop.rs")]
//! ```
//!
//! # What is promised
//!
//! * On a stream, messages arrive whole, in order and at most once. What is received is a prefix of what was sent. What
//!   was not acknowledged when a channel is lost is unknown.
//! * Every half of a stream, every channel and every Client ends in exactly one terminal event, local ends included.
//! * No input from the network panics or disturbs anyone but its sender. Every table, queue, rate and wait is bounded by
//!   [`ClientLimits`], [`CoordinatorLimits`] and [`ChannelConfig`].
//! * Opening a channel by [`ClientId`] reaches the holder of that key or fails. Opening by [`Name`] trusts the Coordinator
//!   to know who bears the name, the first time at least where names are [remembered](ClientConfig::known). [Who can do what](trust) about
//!   names, keys and certificates is in a table.
//!
//! # Features
//!
//! * `ring`, a default: encrypts and signs by [ring](https://docs.rs/ring).
//! * `aws-lc-rs`: does so by [aws-lc-rs](https://docs.rs/aws-lc-rs), where `ring` is not chosen as well. One of the two is
//!   needed. Ring was the faster where we measured, with the packets that conec sends.
//! * `self-signed`: [`Certificate::self_signed`].
//! * `passphrase`: [`GroupKey::from_passphrase`], by [argon2](https://docs.rs/argon2).
//! * `qlog`, `key-log`: for who looks for the reason of something, [`ChannelConfig`] has where to log what the QUIC engine does, and the
//!   secrets of TLS.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod buffers;
mod channel;
mod client;
mod config;
mod coordinator;
mod crypto;
mod datagram;
mod endpoint;
mod error;
mod group;
mod host;
mod id;
mod identity;
mod limits;
mod memory;
#[cfg(feature = "qlog")]
mod qlog;
mod sealing;
mod secret;
mod stats;
#[cfg(feature = "__testing")]
#[doc(hidden)]
pub mod testing;
mod text;
mod transport;
mod util;
mod wire;

#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}

#[doc = include_str!("../TRUST.md")]
pub mod trust {}

pub use access::{Policy, RuleProblem, Rules, RulesError};
pub use channel::{
    Batch, Channel, ChannelEvent, ChannelStats, DatagramStats, Lossy, Path, SendLimit, Stream,
};
pub use client::{Client, ClientEvent, ClientState, Group, GroupEvent, GroupInfo, Nat};
pub use config::{
    ChannelConfig, ClientConfig, CongestionControl, CoordinatorConfig, PathConfig, PathPolicy,
    PrivateAddresses, Revocation, Trust,
};
pub use coordinator::{ClientInfo, Coordinator, CoordinatorEvent, Drain, GroupState, PairInfo};
pub use datagram::{Datagram, Ecn, Transmit};
pub use endpoint::{Endpoint, PeerInfo, TimeoutCause};
pub use error::{
    AnswerError, CloseReason, ConfigError, ConnectError, CredentialError, ErrorCode, GroupError,
    IntroduceError, JoinError, MessageTooLarge, OpenChannelError, OpenStreamError, PairError,
    PublishError, RecvEnd, RecvError, SendBatchError, SendDatagramError, SendEnd, SendError,
    StreamEnded, Unreachable, Violation,
};
pub use group::{
    GroupConfig, GroupEnd, GroupItem, GroupMember, GroupMessage, GroupStart, JoinConfig, Joined,
    SlowMember,
};
pub use id::{
    ChannelId, ClientId, Code, Direction, GroupId, IntroductionId, InvalidName, MembershipId, Name,
    PairId, StreamId, Target,
};
pub use identity::{
    Authorities, Certificate, CertificateError, Certified, Credential, Identity, KeyChange,
    KeyError, KeyPin, KnownClients, NoRandomness, Signer,
};
#[cfg(feature = "self-signed")]
pub use identity::{Ca, CaError, SelfSignedError};
pub use limits::{ClientLimits, CoordinatorLimits};
#[cfg(feature = "qlog")]
pub use qlog::{Qlog, QlogConnection};
/// Its types are in [`Trust`] and [`Certificate`]: by this they are of the right version.
#[doc(no_inline)]
pub use rustls;
#[cfg(feature = "passphrase")]
pub use sealing::PassphraseError;
pub use sealing::{
    BeginError, GroupKey, GroupSealer, KeyMatch, KeyNotUsed, KeySealer, Membership, Opened,
    SealError, UnsealError,
};
pub use secret::Secret;
pub use stats::{EndpointStats, PathStats, Traffic};
pub use text::{CoordinatorUrl, Invitation, InvitationError, TextError, UrlError};
