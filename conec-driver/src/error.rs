//! What can go wrong at a handle, beyond what the core's own errors say.
//!
//! Calls that wait have errors of their own: there is nothing that they would be blocked by.

use std::io;

use conec_core::{
    CloseReason, ConfigError, ErrorCode, GroupEnd, IntroduceError, KeyChange, MessageTooLarge,
    NoRandomness, OpenChannelError, RecvEnd, SealError, SendEnd,
};
use thiserror::Error;

/// Why an endpoint could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be resolved or used.
    #[error("cannot use the local address")]
    Io(#[from] io::Error),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Why a [`Client`](crate::Client) is not connected to its Coordinator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The Coordinator is not written as `host:port`, or its host name cannot be resolved.
    #[error("cannot resolve {host}")]
    Resolve {
        /// What was to be resolved.
        host: String,
        /// Why it cannot be.
        #[source]
        error: io::Error,
    },
    /// No address to connect to, or a host name that is none.
    #[error(transparent)]
    Address(#[from] conec_core::ConnectError),
    /// The Client could not be made.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Coordinator could not be reached, did not prove who it is, or has refused this Client.
    #[error("not connected to the coordinator")]
    Closed(#[from] CloseReason),
}

impl ConnectError {
    /// Whether to connect again would end in the same way, as [`CloseReason::is_permanent`] has it. Names that cannot be resolved may
    /// be so later.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Resolve { error, .. } => error.kind() == io::ErrorKind::InvalidInput,
            Self::Address(_) | Self::Bind(BindError::Config(_)) => true,
            Self::Bind(BindError::Io(_) | BindError::Randomness(_)) => false,
            Self::Closed(reason) => reason.is_permanent(),
        }
    }
}

/// Why a channel did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not even be asked for.
    #[error(transparent)]
    Refused(#[from] OpenChannelError),
    /// The Coordinator or the other end did not want it, or did not answer.
    #[error("the channel did not open")]
    Closed(#[from] CloseReason),
    /// The Coordinator gives the name to somebody else than it is [known](conec_core::ClientConfig::known) to belong to.
    #[error(transparent)]
    KeyChanged(#[from] KeyChange),
}

impl OpenError {
    /// Whether to open the channel again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_permanent(),
            Self::Closed(reason) => reason.is_permanent(),
            Self::KeyChanged(_) => true,
        }
    }
}

/// Why two others have no channel that this Client has asked for them, or why it is not known whether they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntroductionError {
    /// It could not even be asked for.
    #[error(transparent)]
    Refused(#[from] IntroduceError),
    /// The Coordinator or one of the two did not want it, or did not answer; or the connection to the Coordinator was lost meanwhile.
    #[error("the introduction has failed")]
    Failed(#[from] CloseReason),
}

impl IntroductionError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Refused(error) => error.is_permanent(),
            Self::Failed(reason) => reason.is_permanent(),
        }
    }
}

/// Why a Client has not become a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It could not even be asked for.
    #[error(transparent)]
    Refused(#[from] conec_core::JoinError),
    /// The Coordinator does not let it in, which does not say whether there is such a group; or the Client was closed meanwhile.
    #[error("not let into the group")]
    Ended(#[source] GroupEnd),
}

impl JoinError {
    /// Whether to join again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Refused(error) => error.is_permanent(),
            Self::Ended(end) => end.is_permanent(),
        }
    }
}

/// Why a message was not published in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
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
    #[error("the message could not be sealed")]
    Sealing(#[source] SealError),
    /// The membership is over.
    #[error("the membership of the group is over")]
    Ended(#[source] GroupEnd),
}

/// Why a stream was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
    /// The channel is being closed, or has ended.
    #[error("the channel is not open")]
    Closed,
}

/// Why a message was not sent.
///
/// As an [`io::Error`] it is a [`BrokenPipe`](io::ErrorKind::BrokenPipe) where the other side wants no more, or the stream was finished;
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) where this side has reset it; [`InvalidInput`](io::ErrorKind::InvalidInput)
/// where the message is too large. A channel that has timed out is [`TimedOut`](io::ErrorKind::TimedOut), one that is lost with the other
/// side's state [`ConnectionReset`](io::ErrorKind::ConnectionReset), and any that ended otherwise
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message exceeds the maximum, in bytes.
    #[error("the message exceeds the maximum of {max} bytes")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// This half was finished.
    #[error("the stream was finished")]
    Finished,
    /// Nothing can be sent any more.
    #[error("the stream has ended: {0}")]
    Ended(SendEnd),
}

impl From<MessageTooLarge> for SendError {
    fn from(MessageTooLarge { max }: MessageTooLarge) -> Self {
        Self::TooLarge { max }
    }
}

impl From<SendEnd> for SendError {
    fn from(end: SendEnd) -> Self {
        Self::Ended(end)
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        let kind = match error {
            SendError::TooLarge { .. } => io::ErrorKind::InvalidInput,
            SendError::Finished => io::ErrorKind::BrokenPipe,
            SendError::Ended(end) => match end {
                SendEnd::Finished | SendEnd::Stopped(_) | SendEnd::Refused(_) => {
                    io::ErrorKind::BrokenPipe
                }
                SendEnd::Reset => io::ErrorKind::ConnectionAborted,
                SendEnd::Closed(reason) => kind_of(reason),
                _ => io::ErrorKind::Other,
            },
        };
        Self::new(kind, error)
    }
}

/// Why there is no next message.
///
/// As an [`io::Error`] it is a [`ConnectionReset`](io::ErrorKind::ConnectionReset) where the other side has reset the stream;
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it has dropped the stream unfinished, or ended it within a message;
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) where this side has stopped it; [`InvalidData`](io::ErrorKind::InvalidData)
/// where messages are missing or one is too large. Ends of the channel are as with [`SendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// This is no end: the next message is there. Before it, so many were dropped, since the reader is
    /// [lossy](crate::Receiver::set_lossy) and was slow.
    #[error("{0} messages were dropped, since they were not received in time")]
    Lagged(u64),
    /// Nothing can be received any more. Never [`RecvEnd::Finished`].
    #[error("the stream has ended: {0}")]
    Ended(RecvEnd),
}

impl From<RecvEnd> for RecvError {
    fn from(end: RecvEnd) -> Self {
        Self::Ended(end)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        let kind = match error {
            RecvError::Lagged(_) => io::ErrorKind::InvalidData,
            RecvError::Ended(end) => match end {
                RecvEnd::Finished | RecvEnd::Truncated | RecvEnd::Refused(ErrorCode::Dropped) => {
                    io::ErrorKind::UnexpectedEof
                }
                RecvEnd::Reset(_) | RecvEnd::Refused(_) => io::ErrorKind::ConnectionReset,
                RecvEnd::TooLarge => io::ErrorKind::InvalidData,
                RecvEnd::Stopped => io::ErrorKind::ConnectionAborted,
                RecvEnd::Closed(reason) => kind_of(reason),
                _ => io::ErrorKind::Other,
            },
        };
        Self::new(kind, error)
    }
}

/// What an operating system would say of a socket that ended like this channel.
fn kind_of(reason: CloseReason) -> io::ErrorKind {
    if reason == CloseReason::TimedOut {
        io::ErrorKind::TimedOut
    } else if reason == CloseReason::Reset {
        io::ErrorKind::ConnectionReset
    } else {
        io::ErrorKind::ConnectionAborted
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendDatagramError {
    /// The datagram does not fit in a packet of the channel's path.
    #[error("the datagram exceeds the current maximum of {max} bytes")]
    TooLarge {
        /// What fits now. Grows when the path is found to take larger packets.
        max: usize,
    },
    /// The channel is over, or the other side takes no datagrams.
    #[error("the channel is over, or the other side takes no datagrams")]
    Closed,
}

/// Why something was not done by a call that does not wait, whose name begins with `try_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryError<E> {
    /// Not yet: there is no room, or nothing has arrived.
    #[error("that is not possible without waiting: try again later, or use the call that waits")]
    Blocked,
    /// Never: the call that waits would fail as well.
    #[error(transparent)]
    Failed(#[from] E),
}

/// Why a stream was not opened without waiting.
pub type TryOpenStreamError = TryError<OpenStreamError>;
/// Why a message was not sent without waiting.
pub type TrySendError = TryError<SendError>;
/// Why there is no message now.
pub type TryRecvError = TryError<RecvError>;
/// Why a message was not published without waiting.
pub type TryPublishError = TryError<PublishError>;
/// Why there is nothing to be heard in a group now.
pub type TryHearError = TryError<GroupEnd>;
