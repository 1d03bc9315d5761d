//! Codes by which endpoints tell each other why something ends.

use thiserror::Error;

use crate::Code;

/// Codes by which endpoints tell each other why something ended or was refused. `PROTOCOL.md` lists their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A regular end.
    #[error("closed")]
    None,
    /// A message was malformed or came at the wrong time.
    #[error("the other side reports a protocol violation")]
    Protocol,
    /// The Client did not introduce itself in time.
    #[error("the client did not introduce itself in time")]
    HelloTimeout,
    /// Another identity holds the name.
    #[error("the name is held by another identity: choose another name")]
    NameInUse,
    /// The Coordinator's application did not admit the Client, or not to this name or channel.
    #[error("refused by the coordinator")]
    Refused,
    /// The same identity connected again and took over.
    #[error("the same identity connected again elsewhere")]
    Superseded,
    /// The endpoint is shutting down.
    #[error("the other side is shutting down")]
    Shutdown,
    /// No such Client is connected, or none that this Client may reach.
    #[error("no client of that name or id is connected")]
    NotFound,
    /// The Client at the other end is gone.
    #[error("the client at the other end is gone")]
    PeerGone,
    /// The offer was not answered, or the channel not set up, in time.
    #[error("the client at the other end did not answer in time")]
    NoAnswer,
    /// A limit of the other side was reached.
    #[error("a limit of the other side was reached: close something first")]
    Limit,
    /// Requests came too fast.
    #[error("requests came too fast: slow down")]
    RateLimited,
    /// The binding message of a peer channel disagrees with what the Coordinator said.
    #[error("the channel is not the one that the coordinator announced")]
    Binding,
    /// The application dropped its end without saying why.
    #[error("dropped by the application")]
    Dropped,
    /// A message exceeds the receiver's limit.
    #[error("a message exceeds the receiver's limit")]
    TooLarge,
    /// The channel may only travel directly, and there is no direct path.
    #[error("the other side allows only direct paths, and there is none")]
    NoDirectPath,
    /// The Coordinator does not take this Client for an end of the channel: the channel was taken away, or the Client was without its
    /// home channel for hours.
    #[error("the channel cannot be resumed: open another one")]
    NotResumed,
    /// The Client has gone over to another Coordinator.
    #[error("the client has gone over to another coordinator")]
    Moved,
    /// The credential is not good.
    #[error("the credential was not accepted: the other side knows why")]
    Credential,
    /// There is no credential.
    #[error("the other side wants a credential: have an authority that it trusts issue one")]
    CredentialMissing,
    /// The credential has expired, or is not valid yet.
    #[error(
        "the credential has expired, or is not valid yet: have another one issued, or check the clocks"
    )]
    CredentialExpired,
    /// The other side knows this one's name with another key.
    #[error(
        "the other side knows this client's name with another key: have it replace that, if the name is this client's"
    )]
    KeyChanged,
    /// The member of a group did not take messages in time.
    #[error("too slow for the group: receive faster, or let old messages go")]
    TooSlow,
    /// A code that this version does not know.
    #[error("unknown error")]
    Unknown,
}

impl ErrorCode {
    /// Whether the same request would be answered in the same way again, as [`CloseReason::is_permanent`](crate::CloseReason::is_permanent) has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            // Who was superseded would push the other one out.
            Self::None
            | Self::Protocol
            | Self::Refused
            | Self::Superseded
            | Self::Binding
            | Self::TooLarge
            | Self::NoDirectPath
            | Self::Credential
            | Self::CredentialMissing
            | Self::CredentialExpired
            | Self::KeyChanged => true,
            // The name may be held by the Client's own former self.
            Self::NameInUse
            | Self::HelloTimeout
            | Self::Shutdown
            | Self::NotFound
            | Self::PeerGone
            | Self::NoAnswer
            | Self::Limit
            | Self::RateLimited
            | Self::Dropped
            | Self::NotResumed
            | Self::Moved
            | Self::TooSlow
            | Self::Unknown => false,
        }
    }

    /// The value on the wire.
    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Protocol => 1,
            Self::HelloTimeout => 2,
            Self::NameInUse => 3,
            Self::Refused => 4,
            Self::Superseded => 5,
            Self::Shutdown => 6,
            Self::NotFound => 7,
            Self::PeerGone => 8,
            Self::NoAnswer => 9,
            Self::Limit => 10,
            Self::RateLimited => 11,
            Self::Binding => 12,
            Self::Dropped => 13,
            Self::TooLarge => 14,
            Self::Unknown => 15,
            Self::NoDirectPath => 16,
            Self::NotResumed => 17,
            Self::Moved => 18,
            Self::Credential => 19,
            Self::CredentialMissing => 20,
            Self::CredentialExpired => 21,
            Self::KeyChanged => 22,
            Self::TooSlow => 23,
        }
    }

    /// The code that `value` stands for.
    pub(crate) fn from_wire(value: u64) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Protocol,
            2 => Self::HelloTimeout,
            3 => Self::NameInUse,
            4 => Self::Refused,
            5 => Self::Superseded,
            6 => Self::Shutdown,
            7 => Self::NotFound,
            8 => Self::PeerGone,
            9 => Self::NoAnswer,
            10 => Self::Limit,
            11 => Self::RateLimited,
            12 => Self::Binding,
            13 => Self::Dropped,
            14 => Self::TooLarge,
            16 => Self::NoDirectPath,
            17 => Self::NotResumed,
            18 => Self::Moved,
            19 => Self::Credential,
            20 => Self::CredentialMissing,
            21 => Self::CredentialExpired,
            22 => Self::KeyChanged,
            23 => Self::TooSlow,
            _ => Self::Unknown,
        }
    }
}

/// A code as it travels: the application's own or the protocol's. Both share QUIC's application error code space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireCode {
    Application(Code),
    Protocol(ErrorCode),
}

impl WireCode {
    /// Application codes start here, above all of the protocol's.
    const APPLICATION_BASE: u64 = 1 << 32;

    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::Application(code) => Self::APPLICATION_BASE + u64::from(code.0),
            Self::Protocol(code) => code.to_wire(),
        }
    }

    pub(crate) fn from_wire(value: u64) -> Self {
        match value.checked_sub(Self::APPLICATION_BASE) {
            Some(code) => u32::try_from(code).map_or(Self::Protocol(ErrorCode::Unknown), |code| {
                Self::Application(Code(code))
            }),
            None => Self::Protocol(ErrorCode::from_wire(value)),
        }
    }
}

impl From<Code> for WireCode {
    fn from(code: Code) -> Self {
        Self::Application(code)
    }
}

impl From<ErrorCode> for WireCode {
    fn from(code: ErrorCode) -> Self {
        Self::Protocol(code)
    }
}
