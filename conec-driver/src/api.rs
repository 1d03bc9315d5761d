//! What applications use, whatever drives their endpoints: every adapter re-exports all of it.

pub use conec_core::{
    AnswerError, Certificate, CertificateError, ChannelConfig, ChannelEvent, ChannelId,
    ChannelStats, ClientConfig, ClientId, ClientLimits, CloseReason, Code, ConfigError,
    CongestionControl, CoordinatorConfig, CoordinatorEvent, CoordinatorLimits, DatagramStats,
    Direction, EndpointStats, ErrorCode, Identity, InvalidName, KeyError, KeyPin, Name, Nat,
    NoRandomness, OpenChannelError, PairError, PairId, Path, PathConfig, PathPolicy, PathStats,
    PeerInfo, Policy, PrivateAddresses, RecvEnd, SendEnd, SendLimit, StreamId, Target, Traffic,
    Trust,
};

pub use crate::{
    error::{
        BindError, ConnectError, OpenError, OpenStreamError, SendDatagramError, SendError,
        TryError, TryOpenStreamError, TryRecvError, TrySendError,
    },
    handles::{Channel, IncomingStream, Offer, Receiver, Sender},
    socket::Socket,
};
