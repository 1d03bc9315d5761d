//! What a member hears.

use bytes::Bytes;
use thiserror::Error;

use crate::{BeginError, ClientId, CloseReason, Code, ErrorCode, KeyMatch, Name, UnsealError};

/// What a member of a group receives, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupItem {
    /// It has joined, for the first time or again after it had lost its Coordinator. What follows is what comes after that.
    Joined(Joined),
    /// Somebody has published this.
    Message(GroupMessage),
    /// So many messages are missing here, since this member was too slow.
    Lagged(u64),
    /// Somebody is there, or has [another key](crate::KeyMatch) than before. Where [wanted](crate::JoinConfig::watch); and in a sealed group
    /// of who cannot understand, or be understood, in any case.
    Arrived(GroupMember),
    /// Somebody is there no more. Where wanted.
    Left(ClientId),
    /// In a sealed group: something was published that does not open. It is not to be trusted.
    Unopened {
        /// Its number.
        sequence: u64,
        /// Who has published it, as the Coordinator says.
        sender: Option<ClientId>,
        /// What is wrong with it. Of what the Coordinator's application has published, that it is not sealed.
        problem: UnsealError,
    },
    /// In a sealed group: so many messages of this sender are missing before the one that follows, and the Coordinator has not said
    /// so.
    Withheld {
        /// Whose.
        sender: ClientId,
        /// How many.
        count: u64,
    },
}

/// A member has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// Which order it is. The numbers of another have nothing to do with those of this.
    pub incarnation: u64,
    /// The number of the first message that may follow.
    pub next: u64,
    /// The number of the next message that is published: those before it were published before the member has joined.
    pub end: u64,
    /// How many messages were published since those that it has heard, or asked for, and are not kept any more. In a new order that
    /// cannot be known of the former one.
    pub missed: u64,
    /// Whether this is another order than it has heard before: the Coordinator was started anew, or is another one, or nobody was there
    /// for a while. What was said there last may not have been heard.
    pub is_new_order: bool,
    /// How many messages that this member had published may not have been.
    pub unsure: u64,
}

/// Something that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMessage {
    /// Its number, the same at all members.
    pub sequence: u64,
    /// By whom, as the Coordinator says, and in a sealed group proved by who has the key. `None` if the Coordinator's application has.
    pub sender: Option<ClientId>,
    /// As what the Coordinator knows that one.
    pub name: Option<Name>,
    /// What.
    pub payload: Bytes,
}

/// Who is there in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Who, as the Coordinator says.
    pub id: ClientId,
    /// As what the Coordinator knows it.
    pub name: Option<Name>,
    /// Whether it publishes.
    pub publishes: bool,
    /// Whether it hears.
    pub hears: bool,
    /// What it has proved of its key, in a sealed group.
    pub key: Option<KeyMatch>,
}

/// Why somebody is a member of a group no more, or has not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupEnd {
    /// It has left.
    #[error("left by this side")]
    Left,
    /// The Coordinator does not let it in, or not any more.
    #[error("{0}")]
    Refused(ErrorCode),
    /// The Coordinator's application does not, with this code.
    #[error("refused by the coordinator with {0}")]
    Application(Code),
    /// It was [too slow](crate::SlowMember::Leave), as seen here.
    #[error("too slow: receive faster, or let old messages go")]
    TooSlow,
    /// The Coordinator broke the protocol of groups: it is not to be trusted with one.
    #[error("the coordinator broke the protocol of groups")]
    Violation,
    /// What seals the messages does not take what the Coordinator says.
    #[error("{0}")]
    Sealing(BeginError),
    /// The Client has lost its Coordinator for good.
    #[error("{0}")]
    Closed(CloseReason),
}

impl GroupEnd {
    /// Whether to join again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Left | Self::Application(_) | Self::Violation | Self::Sealing(_) => true,
            Self::TooSlow => false,
            Self::Refused(code) => code.is_permanent(),
            Self::Closed(reason) => reason.is_permanent(),
        }
    }
}
