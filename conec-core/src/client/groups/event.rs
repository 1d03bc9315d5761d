//! What happens to memberships.

use crate::GroupEnd;

/// What happens to this Client's membership of a group. One of each kind waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// There is something to be [received](crate::Group::recv).
    Readable,
    /// Messages are taken again, after publishing one was [`Blocked`](crate::PublishError::Blocked).
    Writable,
    /// Of all that was published the number is known, or it is known how much [may be lost](crate::Joined::unsure), after that was
    /// [asked](crate::Group::poll_confirmed).
    Confirmed,
    /// The membership is over, and this its last event. What was heard before can be received until this is taken.
    Ended(GroupEnd),
}
