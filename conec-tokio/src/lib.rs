//! tmp
#![forbid(unsafe_code)]

mod channel;
mod client;
mod coordinator;
mod driver;
mod error;
mod socket;
mod stream;

pub use channel::Channel;
pub use client::{Client, Offer};
pub use coordinator::Coordinator;
pub use error::{BindError, ConnectError, OpenError, SendError, TryRecvError};
pub use stream::{IncomingStream, Receiver, Sender};

#[doc(no_inline)]
pub use conec_core::{
    AnswerError, Certificate, ChannelConfig, ChannelEvent, ChannelId, ClientConfig, ClientId,
    CloseReason, Code, ConfigError, CoordinatorConfig, CoordinatorEvent, Direction, EndpointStats,
    ErrorCode, Identity, InvalidName, KeyError, KeyPin, Limits, Name, OpenChannelError,
    OpenStreamError, PairId, PeerInfo, Policy, RecvEnd, SendDatagramError, SendEnd, StreamId,
    Target, Trust,
};
