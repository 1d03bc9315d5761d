//! What can go wrong: one small enum per command, and the reasons for which things end.

mod code;
mod credential;
mod end;

use thiserror::Error;

use crate::SealError;

pub(crate) use self::code::WireCode;
pub use self::{
    code::ErrorCode,
    credential::CredentialError,
    end::{CloseReason, RecvEnd, SendEnd, Unreachable, Violation},
};

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value lies outside its range.
    #[error("{0} is out of range: it must be {1}")]
    OutOfRange(&'static str, &'static str),
    /// The TLS library does not take the key, the certificate or the roots.
    #[error("TLS does not accept the configuration: {0}")]
    Tls(String),
    /// The credential is not for the Client's own identity.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// Why [`Client::connect`](crate::Client::connect) did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A Client connects once; make another for another connection.
    #[error("this client was already connected: make a new one")]
    AlreadyUsed,
    /// No usable address was given.
    #[error(
        "no usable address: give at least one with a port and an IP address that are not 0, and a scope if it is an IPv6 \
         link-local one"
    )]
    NoAddress,
    /// The host name is neither a DNS name nor an IP address.
    #[error("the host name is neither a DNS name nor an IP address")]
    InvalidHostName,
}

/// Why a channel could not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenChannelError {
    /// The Client is not connected to its Coordinator.
    #[error("not connected to the coordinator")]
    NotConnected,
    /// The Client has as many channels as its limits allow.
    #[error("too many channels: close some, or raise channels_per_client in the limits")]
    TooMany,
    /// Channels were asked for faster than the protocol allows, and as many requests as may wait for their turn do. Those that
    /// wait are sent at 50 a second.
    #[error(
        "too many requests for channels wait for their turn: wait until some have been answered"
    )]
    TooFast,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl OpenChannelError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::NotConnected | Self::LabelTooLong => true,
            Self::TooMany | Self::TooFast => false,
        }
    }
}

/// Why an introduction could not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntroduceError {
    /// The Client is not connected to its Coordinator, or just not now.
    #[error("not connected to the coordinator")]
    NotConnected,
    /// As many introductions are under way, or over without that the application has heard of it, as there may be channels.
    #[error(
        "too many introductions: wait until some are over, or raise channels_per_client in the limits"
    )]
    TooMany,
    /// Requests were made faster than the protocol allows, and as many as may wait for their turn do.
    #[error("too many requests wait for their turn: wait until some have been answered")]
    TooFast,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl IntroduceError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::LabelTooLong => true,
            // It may connect again.
            Self::NotConnected | Self::TooMany | Self::TooFast => false,
        }
    }
}

/// Why a group could not be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The Client has lost its Coordinator for good, or is closing.
    #[error("not connected to the coordinator")]
    NotConnected,
    /// The Client is a member already, or about to be one.
    #[error("already a member of that group: use that membership, or leave it first")]
    AlreadyMember,
    /// Who joins wants to publish, or to hear.
    #[error("who joins a group publishes or hears: neither was asked for")]
    NoPart,
    /// The Client is in as many groups as its limits allow, or their queues may take as much memory.
    #[error(
        "too many groups, or too much memory for their queues: leave some, take smaller queues, or raise groups or group_memory \
         in the limits"
    )]
    TooMany,
}

impl JoinError {
    /// Whether to join again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::NotConnected | Self::NoPart => true,
            Self::AlreadyMember | Self::TooMany => false,
        }
    }
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// As much waits as may, or the Client is not a member at present; [`Writable`](crate::GroupEvent::Writable) follows.
    #[error("the group takes no messages for now")]
    Blocked,
    /// The message exceeds the group's maximum, in bytes.
    #[error("the message exceeds the group's maximum of {max} bytes")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The member has not joined to publish.
    #[error("this member only hears: join to publish")]
    NotPublisher,
    /// What seals the messages has failed.
    #[error("{0}")]
    Sealing(SealError),
    /// The membership is over, as an event told, or never was.
    #[error("the membership of the group is over")]
    Ended,
}

/// Why a Coordinator could not make a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There is one of that name.
    #[error("there is a group of that name already")]
    Exists,
    /// There is none of that name.
    #[error("there is no group of that name")]
    NotFound,
    /// There are as many groups as the limits allow.
    #[error("too many groups: end some, or raise groups in the limits")]
    TooMany,
    /// The configuration cannot work.
    #[error(
        "a group cannot be like that: its largest message, or how long it pushes back, is out of range"
    )]
    Config,
    /// The message exceeds the group's maximum, in bytes.
    #[error("the message exceeds the group's maximum of {max} bytes")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The group pushes back, and waits for its slowest member.
    #[error("the group waits for its slowest member")]
    Blocked,
}

/// Why a Coordinator could not connect two Clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PairError {
    /// No such Client is connected, or the Coordinator is closing.
    #[error("no such client is connected")]
    NotFound,
    /// One of the Clients has as many channels as the limits allow, or so many events wait for the application that nothing
    /// more may begin.
    #[error(
        "too many channels, or too many events that were not taken: close channels, take events, or raise \
         channels_per_client or events in the limits"
    )]
    TooMany,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl PairError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::LabelTooLong => true,
            Self::NotFound | Self::TooMany => false,
        }
    }
}

/// The thing named is not waiting for an answer: it is unknown, was answered already, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("nothing waits for this answer: it was given already, or the request is gone")]
pub struct AnswerError;

/// Why a stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The other side allows no more streams for now;
    /// [`StreamsAvailable`](crate::ChannelEvent::StreamsAvailable) follows once more than an eighth of those that it
    /// allows have ended.
    #[error("the other side allows no more streams for now")]
    Blocked,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
    /// The channel is not open yet, is being closed, or has ended.
    #[error("the channel is not open")]
    Closed,
}

/// A message that exceeds the maximum, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the message exceeds the maximum of {max} bytes")]
pub struct MessageTooLarge {
    /// The maximum.
    pub max: usize,
}

/// The half of a stream that was to be used was finished or has ended, as an event told, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this half of the stream was finished or has ended")]
pub struct StreamEnded;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream has as much waiting as it may; [`Writable`](crate::ChannelEvent::Writable) follows.
    #[error("the stream is full for now")]
    Blocked,
    /// The message exceeds the maximum, in bytes.
    #[error("the message exceeds the maximum of {max} bytes")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The stream was finished or has ended, as the event [`SendEnded`](crate::ChannelEvent::SendEnded) told.
    #[error("the stream was finished or has ended")]
    Ended,
}

impl From<StreamEnded> for SendError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

/// Why a batch of messages was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendBatchError {
    /// The batch was made for a channel that takes larger messages; this one has a maximum, in bytes.
    #[error(
        "the batch may hold messages that exceed the maximum of {max} bytes: have this channel make it"
    )]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The stream was finished or has ended, as the event [`SendEnded`](crate::ChannelEvent::SendEnded) told.
    #[error("the stream was finished or has ended")]
    Ended,
}

impl From<MessageTooLarge> for SendBatchError {
    fn from(MessageTooLarge { max }: MessageTooLarge) -> Self {
        Self::TooLarge { max }
    }
}

impl From<StreamEnded> for SendBatchError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

impl From<SendBatchError> for SendError {
    fn from(error: SendBatchError) -> Self {
        match error {
            SendBatchError::TooLarge { max } => Self::TooLarge { max },
            SendBatchError::Ended => Self::Ended,
        }
    }
}

/// Why there is no message: it may still come, or will never come, or others are missing before it. There is no other case, so
/// all are to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecvError {
    /// No whole message has arrived yet; [`Readable`](crate::ChannelEvent::Readable) follows.
    #[error("no whole message has arrived yet")]
    Blocked,
    /// So many messages were dropped here, at this place in the order, since the reader is [lossy](crate::Stream::set_lossy)
    /// and was slow. This is told once; the next message is there.
    #[error("{0} messages were dropped, since they were not received in time")]
    Lagged(u64),
    /// The stream has ended, as the event [`RecvEnded`](crate::ChannelEvent::RecvEnded) told, or never was.
    #[error("the stream has ended")]
    Ended,
}

impl From<StreamEnded> for RecvError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendDatagramError {
    /// The datagrams waiting fill their buffer;
    /// [`DatagramsWritable`](crate::ChannelEvent::DatagramsWritable) follows.
    #[error("too many datagrams are waiting to be sent")]
    Blocked,
    /// The datagram does not fit in a packet of the channel's path.
    #[error("the datagram exceeds the current maximum of {max} bytes")]
    TooLarge {
        /// What fits now. Grows when the path is found to take larger packets.
        max: usize,
    },
    /// The channel is not open, or the other side takes no datagrams.
    #[error("the channel is not open, or the other side takes no datagrams")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_another_attempt_says_so() {
        for code in (0..=23).map(ErrorCode::from_wire) {
            assert_eq!(
                CloseReason::Remote(code).is_permanent(),
                code.is_permanent()
            );
        }
        assert!(ErrorCode::Refused.is_permanent() && !ErrorCode::NameInUse.is_permanent());
        assert!(CloseReason::Identity.is_permanent() && !CloseReason::TimedOut.is_permanent());
        assert!(!OpenChannelError::TooFast.is_permanent());
        assert!(OpenChannelError::LabelTooLong.is_permanent());
        assert!(IntroduceError::LabelTooLong.is_permanent());
        assert!(!IntroduceError::NotConnected.is_permanent());
        assert!(PairError::LabelTooLong.is_permanent() && !PairError::NotFound.is_permanent());
    }

    #[test]
    fn each_code_is_read_as_it_was_written() {
        for value in 0..=23 {
            let code = ErrorCode::from_wire(value);
            assert_eq!(code.to_wire(), value, "{code:?}");
        }
        assert_eq!(ErrorCode::from_wire(24), ErrorCode::Unknown);
    }
}
