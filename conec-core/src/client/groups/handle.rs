//! How an application uses a group: a handle that is borrowed for one use.

use std::task::Poll;

use super::{Stage, transitions::Sending};
use crate::{
    Client, GroupEnd, GroupId, GroupItem, GroupKey, GroupMember, GroupStart, KeyNotUsed, Name,
    PublishError, wire::From,
};

/// Access to one group of a [`Client`].
///
/// A borrowed handle: obtained for each use, dropped without effect.
#[derive(Debug)]
pub struct Group<'a> {
    pub(in crate::client) client: &'a mut Client,
    pub(in crate::client) id: GroupId,
}

/// What is known of a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The group.
    pub name: Name,
    /// Whether the Client is a member now: it is not until it has joined, nor while it looks for its Coordinator.
    pub is_member: bool,
    /// How it has ended, if it has.
    pub end: Option<GroupEnd>,
    /// Which order it is, once the Client has joined.
    pub incarnation: Option<u64>,
    /// The number of the next message that is to come.
    pub next: u64,
    /// The largest message that can be published now, in bytes. 0 before the Client has joined.
    pub max_message_size: usize,
    /// How many members there are, as far as the Coordinator has said, this Client included.
    pub members: u64,
    /// How many of them publish.
    pub publishers: u64,
    /// How many messages this Client has published of whose numbers nothing was heard so far.
    pub unconfirmed: u64,
    /// How many things were heard that [do not open](GroupItem::Unopened).
    pub unopened: u64,
    /// How many messages were [withheld](GroupItem::Withheld).
    pub withheld: u64,
}

impl Group<'_> {
    /// Publishes a message to all members. It gets its place in the order at the Coordinator.
    ///
    /// It is sent at most once: where the Client loses its Coordinator, some of what was published last
    /// [may be lost](crate::Joined::unsure).
    pub fn publish(&mut self, message: &[u8]) -> Result<(), PublishError> {
        self.client.publish(self.id, message)
    }

    /// Whether [`publish`](Self::publish) would take a message now. If that is pending, [`Writable`](super::GroupEvent::Writable)
    /// follows.
    pub fn poll_ready(&mut self) -> Poll<Result<(), PublishError>> {
        match self.client.may_publish(self.id) {
            Ok(Sending { .. }) => Poll::Ready(Ok(())),
            Err(PublishError::Blocked) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Whether of all that this member has published the number is known, or [how much may be lost](crate::Joined::unsure). If that is
    /// pending, [`Confirmed`](super::GroupEvent::Confirmed) follows, or the membership's end.
    pub fn poll_confirmed(&mut self) -> Poll<()> {
        self.client.published_confirmed(self.id)
    }

    /// The next that was heard, in its order. `None` if there is nothing now: [`Readable`](super::GroupEvent::Readable) follows, or the
    /// [end](super::GroupEvent::Ended).
    ///
    /// The first is that the Client has [`Joined`](GroupItem::Joined). Who is there is told after what was published before.
    pub fn recv(&mut self) -> Option<GroupItem> {
        self.client.group_recv(self.id)
    }

    /// How the membership has ended, if it has.
    pub fn end(&self) -> Option<GroupEnd> {
        match self.client.groups.get(self.id)?.stage {
            Stage::Ended(end) => Some(end),
            Stage::Waiting(_) | Stage::Asking(_) | Stage::Member(_) => None,
        }
    }

    /// Whether more is there than waits to be [received](Self::recv), in a group that [pushes back](crate::GroupConfig::push_back). Then
    /// the endpoint has something to send when something was received.
    pub fn is_held_up(&self) -> bool {
        self.client.groups.get(self.id).is_some_and(|it| it.paused)
    }

    /// What is known of the membership.
    pub fn info(&self) -> Option<GroupInfo> {
        let group = self.client.groups.get(self.id)?;
        let overhead = group.sealer.as_ref().map_or(0, |it| it.overhead());
        let end = self.end();
        let place = group.place;
        Some(GroupInfo {
            name: group.name.clone(),
            is_member: matches!(group.stage, Stage::Member(_)),
            end,
            incarnation: place.map(|it| it.incarnation),
            next: place.map_or(0, |it| it.next),
            max_message_size: place.map_or(0, |it| it.max_size.saturating_sub(overhead)),
            members: group.counts.members,
            publishers: group.counts.publishers,
            unconfirmed: group.unconfirmed,
            unopened: group.unopened,
            withheld: group.withheld,
        })
    }

    /// Who is there, as far as the Coordinator has said. Nobody unless the Client [watches](crate::JoinConfig::watch), but for those
    /// who in a sealed group cannot understand, or be understood.
    pub fn members(&self) -> Vec<GroupMember> {
        let group = self.client.groups.get(self.id);
        let members = group.into_iter().flat_map(|it| it.roster.members());
        members.cloned().collect()
    }

    /// From now on, seals with this key. What others seal with a former one [still opens](crate::KeySealer::set_key), until that is to be
    /// [forgotten](Self::forget_former_keys).
    pub fn set_key(&mut self, key: GroupKey) -> Result<(), KeyNotUsed> {
        self.client.set_group_key(self.id, key)
    }

    /// From now on, what was sealed with a former key does not open any more.
    pub fn forget_former_keys(&mut self) {
        let group = self.client.groups.get_mut(self.id);
        if let Some(sealer) = group.and_then(|it| it.sealer.as_mut()) {
            sealer.forget_former_keys();
        }
    }

    /// Is a member no more. What was published before is published still. [`Ended`](super::GroupEvent::Ended) follows; what was heard can be
    /// received until then.
    pub fn leave(&mut self) {
        self.client.leave_group(self.id);
    }

    /// Leaves, if it has not, and forgets what was heard. [`Ended`](super::GroupEvent::Ended) does not follow. For drivers that take
    /// [group events by themselves](crate::Endpoint::poll_group_event); others need not.
    pub fn forget(&mut self) {
        self.client.leave_group(self.id);
        self.client.forget_group(self.id);
    }
}

pub(super) fn wire_start(start: GroupStart) -> From {
    match start {
        GroupStart::Next => From::Next,
        GroupStart::Oldest => From::Oldest,
        GroupStart::At {
            incarnation,
            sequence,
        } => From::Sequence(incarnation, sequence),
    }
}
