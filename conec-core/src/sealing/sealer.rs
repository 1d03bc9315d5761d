//! What seals and opens the messages of a group.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::GroupKey;
use crate::{ClientId, Name};

/// What a member of a sealed group seals its messages with, and opens those of the others.
///
/// One is for one group, and for as long as its member is interested in that: it outlives interruptions, after each of which there is
/// another [membership](Self::begin). [`KeySealer`](crate::KeySealer) is the one for a key that all members have.
///
/// What it is called for changes nothing where it fails.
pub trait GroupSealer: fmt::Debug + Send {
    /// What proves to others that this member, who is `me`, has the key: at most 64 bytes. It is told to everybody, and asked for before
    /// there is a membership.
    fn proof(&self, group: &Name, me: ClientId) -> Bytes;

    /// What another member's proof says of its key.
    fn check(&self, group: &Name, member: ClientId, proof: &[u8]) -> KeyMatch;

    /// The member has joined, or joined again. What is sealed and opened from now on is of this membership.
    fn begin(&mut self, membership: Membership) -> Result<(), BeginError>;

    /// By how many bytes a sealed message is longer than the message, at most.
    fn overhead(&self) -> usize;

    /// Seals a message, after `after` was the last position of the present order that was heard, or 0. All that is sealed has to be
    /// published, in this order: others take what is missing for withheld.
    fn seal(&mut self, after: u64, message: &[u8]) -> Result<Bytes, SealError>;

    /// Opens what came at this position of the order, in the name of `sender`, who may be this member itself. Positions grow from call to
    /// call, also from one membership to the next in the same order: what was opened already is to be left out of what is asked for again.
    ///
    /// What comes in memory that nobody else looks at can be opened there.
    fn open(
        &mut self,
        sender: ClientId,
        sequence: u64,
        sealed: Bytes,
    ) -> Result<Opened, UnsealError>;

    /// The Coordinator has said that so many messages were left out, after those that were opened and before those that will be.
    fn lagged(&mut self, count: u64);

    /// Something that the sealer itself wants to have published, sealed already.
    fn poll_message(&mut self) -> Option<Bytes> {
        None
    }

    /// Seals with this key from now on, if it is one that works by such keys.
    fn set_key(&mut self, _key: GroupKey) -> Result<(), KeyNotUsed> {
        Err(KeyNotUsed)
    }

    /// From now on, what was sealed with a former key does not open any more.
    fn forget_former_keys(&mut self) {}

    /// About how many bytes it takes for what it remembers of others. Has a bound.
    fn memory(&self) -> usize {
        0
    }
}

/// What a member knows of its membership when it begins to seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: Name,
    /// Which of the orders that the group has had.
    pub incarnation: u64,
    /// Who the member is.
    pub me: ClientId,
    /// The first position of the order after the member has joined.
    pub born: u64,
    /// 16 random bytes, made for this membership alone: with the same again, a key would be used twice.
    pub salt: [u8; 16],
}

/// What a member's proof says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMatch {
    /// It has the key with which this member seals.
    Same,
    /// It had a key when it joined with which this member has sealed before, and which still opens. It may have got the present one since.
    Former,
    /// It has another key, or none and says otherwise: messages are not understood, either way or both.
    Different,
    /// It has no key, and does not seal.
    Unsealed,
}

/// A message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The message, unless it was for the sealer itself.
    pub message: Option<Bytes>,
    /// How many messages of this sender, just before this one, have not been opened here, and were not said to be left out either: they
    /// were withheld, or replaced by what could not be opened.
    pub withheld: u64,
}

/// Why a membership cannot begin. The one before, if any, still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The sealer has been used for another group.
    #[error("this sealer is for another group: make one for each")]
    OtherGroup,
    /// The Coordinator leads back to an order that was over, where what was said there could be said again.
    #[error(
        "the coordinator goes back to an order of the group that was over: leave, and do not trust what it shows"
    )]
    Abandoned,
    /// The membership would have begun before what was heard already.
    #[error(
        "the coordinator has the membership begin before what was heard already: leave, and do not trust what it shows"
    )]
    Backwards,
    /// The salt is that of the membership before.
    #[error("the salt was used for the last membership: make a random one for each")]
    SaltReused,
}

/// Why a message was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no membership yet.
    #[error("there is no membership yet: seal after the group was joined")]
    NotBegun,
    /// 2^32 messages were sealed in this membership, and no more are safe.
    #[error("no more messages can be sealed in this membership: join again")]
    Exhausted,
    /// The message exceeds what the cipher takes.
    #[error("the message is too large to be sealed")]
    TooLarge,
}

/// Why something was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// There is no membership yet.
    #[error("there is no membership yet: open messages after the group was joined")]
    NotBegun,
    /// It is no sealed message.
    #[error("this is no sealed message: its sender has no key, or another version")]
    Malformed,
    /// It was sealed with a key that this member does not have, or not any more.
    #[error("the message was sealed with another key: give all members the same")]
    OtherKey,
    /// Nobody who has the key has sealed just this, for this group, in the name of this sender.
    #[error(
        "the message is forged or damaged: nobody with the key has sealed it in the sender's name"
    )]
    Forged,
    /// It was here before, or something later of the same sender.
    #[error(
        "the message has been here before, or is older than what was here: somebody replays it"
    )]
    Replayed,
    /// By what its sender had heard, it cannot be at this place.
    #[error("the message is at a place in the order where it cannot be: it was moved")]
    OutOfOrder,
    /// There are more senders than can be remembered, so that it cannot be told whether it was here before.
    #[error(
        "there are too many senders to remember, and this one may have been here before: have it join again"
    )]
    Forgotten,
}

/// The sealer does not work by such keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this sealer takes no group keys: change keys in its own way")]
pub struct KeyNotUsed;
