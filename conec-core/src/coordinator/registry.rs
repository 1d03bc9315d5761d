//! The members: who is connected, under which name, and where.

use std::{collections::BTreeMap, time::Instant};

use super::place::Place;
use crate::{ChannelId, ClientId, Name, Target, util::Bucket};

#[derive(Debug, Default)]
pub(super) struct Registry {
    members: BTreeMap<ClientId, Member>,
    names: BTreeMap<Name, ClientId>,
}

/// A Client that was let in.
#[derive(Debug)]
pub(super) struct Member {
    /// Its home channel.
    pub(super) session: ChannelId,
    pub(super) name: Option<Name>,
    pub(super) place: Place,
    /// How often the identity may still move to another session, once it has.
    takeovers: Option<Box<Bucket>>,
}

impl Registry {
    pub(super) fn get(&self, id: ClientId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    pub(super) fn find(&self, target: &Target) -> Option<ClientId> {
        match target {
            Target::Name(name) => self.names.get(name).copied(),
            Target::Id(id) => self.members.contains_key(id).then_some(*id),
        }
    }

    /// Whether the name is another identity's.
    pub(super) fn is_taken(&self, name: &Name, by_other_than: ClientId) -> bool {
        let holder = self.names.get(name);
        holder.is_some_and(|&holder| holder != by_other_than)
    }

    /// Whether the identity may move to another session, which counts as done.
    pub(super) fn take_over(
        &mut self,
        now: Instant,
        id: ClientId,
        takeovers: impl FnOnce() -> Bucket,
    ) -> bool {
        self.members.get_mut(&id).is_none_or(|member| {
            let left = member
                .takeovers
                .get_or_insert_with(|| Box::new(takeovers()));
            left.take(now, 1)
        })
    }

    /// Enters a Client, in place of what was known of the same identity. The name must be free, or its own.
    pub(super) fn enter(
        &mut self,
        id: ClientId,
        name: Option<Name>,
        session: ChannelId,
        place: Place,
    ) {
        let before = self.leave(id);
        if let Some(name) = &name {
            let replaced = self.names.insert(name.clone(), id);
            debug_assert!(replaced.is_none(), "one holder for each name");
        }
        let member = Member {
            session,
            name,
            place,
            takeovers: before.and_then(|before| before.takeovers),
        };
        self.members.insert(id, member);
    }

    /// Forgets a Client.
    pub(super) fn leave(&mut self, id: ClientId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(name) = &member.name {
            self.names.remove(name);
        }
        Some(member)
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.members.len() + self.names.len()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}
