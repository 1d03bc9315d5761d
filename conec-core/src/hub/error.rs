//! What can go wrong beyond what the state machine's own error types say.

use std::io;

use crate::{CloseReason, ConfigError, KeyError, OpenChannelError, RecvEnd, SendEnd};
use thiserror::Error;

/// Why an endpoint could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be resolved or used.
    #[error("cannot use the local address: {0}")]
    Io(#[from] io::Error),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a [`Client`](crate::Client) is not connected to its Coordinator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The Coordinator is not written as `host:port`, or its host name cannot be resolved.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// What was to be resolved.
        host: String,
        /// Why it cannot be.
        error: io::Error,
    },
    /// No address to connect to, or a host name that is none.
    #[error(transparent)]
    Address(#[from] crate::ConnectError),
    /// The Client could not be made.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Coordinator could not be reached, did not prove who it is, or has refused this Client.
    #[error("not connected: {0}")]
    Closed(#[from] CloseReason),
}

/// Why a channel did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It could not even be asked for.
    #[error(transparent)]
    Refused(#[from] OpenChannelError),
    /// The Coordinator or the other end did not want it, or did not answer.
    #[error("the channel did not open: {0}")]
    Closed(#[from] CloseReason),
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The stream has as much waiting as it may. Only where the call does not wait.
    #[error("the stream is full for now")]
    Blocked,
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

impl From<crate::MessageTooLarge> for SendError {
    fn from(crate::MessageTooLarge { max }: crate::MessageTooLarge) -> Self {
        Self::TooLarge { max }
    }
}

/// Why there is no message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryRecvError {
    /// No whole message has arrived yet.
    #[error("no whole message has arrived yet")]
    Blocked,
    /// The stream did not end regularly.
    #[error(transparent)]
    Ended(#[from] RecvEnd),
}
