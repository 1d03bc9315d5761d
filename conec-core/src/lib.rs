//! crate docs to come
#![forbid(unsafe_code)]

mod channel;
mod client;
mod config;
mod coordinator;
mod endpoint;
mod error;
mod id;
mod identity;
mod transport;
mod wire;

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
