//! What members of a group say and hear, at Clients and at the Coordinator.

mod inbox;
mod item;
mod join;

pub(crate) use self::{inbox::Inbox, join::MAX_GROUP_MESSAGE};
pub use self::{
    item::{GroupEnd, GroupItem, GroupMember, GroupMessage, Joined},
    join::{GroupConfig, GroupStart, JoinConfig, SlowMember},
};
