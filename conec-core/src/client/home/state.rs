//! What an application sees of the way to the Coordinator.

use std::time::Instant;

use crate::CloseReason;

/// How a [`Client`](crate::Client) and its Coordinator stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// Nobody has told it to [connect](crate::Client::connect).
    Unused,
    /// It connects for the first time.
    Connecting,
    /// The Coordinator has admitted it, and is there.
    Connected,
    /// The home channel was lost, or nothing is heard on it: the Client looks for the Coordinator anew.
    Reconnecting {
        /// When that began.
        since: Instant,
        /// How many times it was looked for in vain.
        attempts: u32,
        /// Why the last home channel, or the last attempt at another one, was lost.
        last_error: CloseReason,
    },
    /// It is closed, or was refused for good.
    Ended {
        /// Why.
        reason: CloseReason,
    },
}
