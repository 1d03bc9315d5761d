//! What the Coordinator's application does with groups.

use std::{ops::Bound, time::Instant};

use bytes::Bytes;

use crate::{
    AnswerError, ClientId, ErrorCode, GroupConfig, GroupError, GroupId, GroupItem, GroupMember,
    Lossy, MembershipId, Name, coordinator::Coordinator, group::Inbox, host::Role,
};

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupState {
    /// Which order it is: another one for each group that is made, also under the same name.
    pub incarnation: u64,
    /// The number of the next message.
    pub next: u64,
    /// How many members there are.
    pub members: u64,
    /// How many of them publish.
    pub publishers: u64,
    /// How many messages are kept, and how many bytes they have.
    pub kept: (usize, usize),
    /// Whether it stays without members, as the application has made it.
    pub lasts: bool,
}

// Groups.
impl Coordinator {
    /// Makes a group that stays until it is [ended](Self::end_group), with members or without.
    ///
    /// ```
    /// # #[cfg(feature = "self-signed")] {
    /// use conec_core::{Certificate, Coordinator, CoordinatorConfig, GroupConfig, Lossy, Name};
    ///
    /// let certificate = Certificate::self_signed(["localhost"])?;
    /// let mut coordinator = Coordinator::new(CoordinatorConfig::new(certificate), [7; 32])?;
    /// let news: Name = "news".parse()?;
    /// let mut config = GroupConfig::default();
    /// config.history = Lossy::new(1000, 1 << 20);
    /// coordinator.make_lasting_group(news.clone(), config)?;
    /// let number = coordinator.publish(std::time::Instant::now(), &news, "hello".into())?;
    /// assert_eq!(number, 0);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn make_lasting_group(
        &mut self,
        name: Name,
        config: GroupConfig,
    ) -> Result<(), GroupError> {
        if self.groups.names.contains_key(&name) {
            return Err(GroupError::Exists);
        }
        config.validate().map_err(|_| GroupError::Config)?;
        if !self.groups.has_room(None, &self.config.limits) {
            return Err(GroupError::TooMany);
        }
        self.make_group(name, config, None);
        Ok(())
    }

    /// Ends a group. Its members are told that there is [none](ErrorCode::NotFound) of that name.
    pub fn end_group(&mut self, now: Instant, name: &Name) -> Result<(), GroupError> {
        let group = self.groups.named(name).ok_or(GroupError::NotFound)?;
        let members: Vec<_> = group.members.values().map(|it| it.stream).collect();
        self.command(now, |it, now| {
            for stream in members {
                it.end_membership(now, stream, ErrorCode::NotFound);
            }
            if let Some(&number) = it.groups.names.get(name) {
                it.groups.remove(number);
            }
        });
        Ok(())
    }

    /// Publishes a message in a group, and gives its number. Members see that it is the Coordinator's application's.
    pub fn publish(
        &mut self,
        now: Instant,
        name: &Name,
        message: Bytes,
    ) -> Result<u64, GroupError> {
        let group = self.groups.named(name).ok_or(GroupError::NotFound)?;
        let max = group.config.max_message_size;
        if message.len() > max {
            return Err(GroupError::TooLarge { max });
        }
        let held_up = group.is_held_up();
        let number = *self.groups.names.get(name).ok_or(GroupError::NotFound)?;
        if held_up {
            self.command(now, |it, now| it.hold_up(now, number));
            return Err(GroupError::Blocked);
        }
        Ok(self.command(now, |it, _| it.publish_in(number, None, &message)))
    }

    /// Hears what is published in a group from now on. So much waits for [`group_recv`](Self::group_recv); of what is too much, the
    /// oldest goes, and is counted. [`GroupReadable`](crate::CoordinatorEvent::GroupReadable) tells that there is something. The group
    /// stays until [`unsubscribe`](Self::unsubscribe). To subscribe again is to begin anew.
    ///
    /// Gives what [this subscription](Self::subscription) is called.
    pub fn subscribe(&mut self, name: &Name, queue: Lossy) -> Result<GroupId, GroupError> {
        let (number, _) = self.groups.named_mut(name).ok_or(GroupError::NotFound)?;
        self.groups.subscriptions += 1;
        let id = GroupId(self.groups.subscriptions);
        let (_, group) = self.groups.named_mut(name).ok_or(GroupError::NotFound)?;
        group.subscription = Some((id, Inbox::new(queue)));
        self.groups.told.remove(&number);
        Ok(id)
    }

    /// By which subscription the application hears a group, if it does.
    pub fn subscription(&self, name: &Name) -> Option<GroupId> {
        let group = self.groups.named(name)?;
        group.subscription.as_ref().map(|&(id, _)| id)
    }

    /// Hears no more of a group.
    pub fn unsubscribe(&mut self, name: &Name) {
        if let Some((number, group)) = self.groups.named_mut(name) {
            group.subscription = None;
            self.groups.told.remove(&number);
            self.groups.readable.remove(&number);
            self.groups.tidy(number);
        }
    }

    /// The next that was published in a group [to which](Self::subscribe) the application listens. In a sealed group that is what its
    /// members have sealed.
    pub fn group_recv(&mut self, name: &Name) -> Option<GroupItem> {
        let (number, group) = self.groups.named_mut(name)?;
        let (_, inbox) = group.subscription.as_mut()?;
        let item = inbox.pop();
        if item.is_none() {
            self.groups.told.remove(&number);
        }
        item
    }

    /// What is known of a group.
    pub fn group_state(&self, name: &Name) -> Option<GroupState> {
        let group = self.groups.named(name)?;
        let counts = group.counts();
        Some(GroupState {
            incarnation: group.incarnation,
            next: group.log.next(),
            members: counts.members,
            publishers: counts.publishers,
            kept: group.log.kept(),
            lasts: group.maker.is_none(),
        })
    }

    /// The groups that there are, so many at most of those whose names come after this one: to be asked again, with the last one, until
    /// there are no more.
    pub fn groups(&self, after: Option<&Name>, most: usize) -> Vec<Name> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self
            .groups
            .names
            .range::<Name, _>((after, Bound::Unbounded));
        names.take(most).map(|(name, _)| name.clone()).collect()
    }

    /// The members of a group, so many at most of those whose ids come after this one: to be asked again, with the last one's id, until
    /// there are no more.
    pub fn group_members(
        &self,
        name: &Name,
        after: Option<ClientId>,
        most: usize,
    ) -> Vec<GroupMember> {
        let Some(group) = self.groups.named(name) else {
            return Vec::new();
        };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = group.members.range((after, Bound::Unbounded)).take(most);
        members
            .map(|(&id, member)| GroupMember {
                id,
                name: member.name.clone(),
                publishes: member.part.publishes,
                hears: member.part.hears,
                key: None,
            })
            .collect()
    }

    /// Sends somebody out of a group, who is told that there is [none](ErrorCode::NotFound) of that name. Nothing keeps it from joining
    /// again but [rules](crate::Rules). Whether it was there.
    pub fn remove_member(&mut self, now: Instant, name: &Name, id: ClientId) -> bool {
        let member = self.groups.named(name).and_then(|it| it.members.get(&id));
        let stream = member.map(|it| it.stream);
        if let Some(stream) = stream {
            self.command(now, |it, now| {
                it.end_membership(now, stream, ErrorCode::NotFound);
            });
        }
        stream.is_some()
    }

    /// Lets somebody into a group that [asked](crate::CoordinatorEvent::MemberAsks) to be a member.
    pub fn grant_membership(
        &mut self,
        now: Instant,
        request: MembershipId,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.answer_member(now, request, true))
    }

    /// Does not. It learns no more than that there is no such group that it may be in.
    pub fn deny_membership(
        &mut self,
        now: Instant,
        request: MembershipId,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.answer_member(now, request, false))
    }
}
