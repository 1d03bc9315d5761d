//! Who is connected, and under which name.

use std::{collections::BTreeMap, time::Instant};

use crate::{ChannelId, ClientId, Name, Target, util::Bucket};

#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: BTreeMap<ClientId, Holder>,
    by_name: BTreeMap<Name, (ClientId, ChannelId)>,
}

#[derive(Debug)]
struct Holder {
    session: ChannelId,
    /// How often the identity may still move to another session.
    takeovers: Bucket,
}

impl Registry {
    /// The session of a Client.
    pub(super) fn find(&self, target: &Target) -> Option<ChannelId> {
        match target {
            Target::Name(name) => self.by_name.get(name).map(|&(_, session)| session),
            Target::Id(id) => self.by_id.get(id).map(|holder| holder.session),
        }
    }

    /// Whether the name is another identity's.
    pub(super) fn is_taken(&self, name: &Name, by_other_than: ClientId) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|&(holder, _)| holder != by_other_than)
    }

    /// Whether the identity may move to another session, which counts as done.
    pub(super) fn take_over(&mut self, now: Instant, id: ClientId) -> bool {
        let holder = self.by_id.get_mut(&id);
        holder.is_none_or(|holder| holder.takeovers.take(now, 1))
    }

    /// Enters a session, in place of the identity's former one if there is one. The name must be free, or its own.
    pub(super) fn enter(
        &mut self,
        id: ClientId,
        name: Option<&Name>,
        session: ChannelId,
        takeovers: impl FnOnce() -> Bucket,
    ) {
        self.by_id
            .entry(id)
            .or_insert_with(|| Holder {
                session,
                takeovers: takeovers(),
            })
            .session = session;
        if let Some(name) = name {
            let replaced = self.by_name.insert(name.clone(), (id, session));
            let own = replaced.is_none_or(|(holder, _)| holder == id);
            debug_assert!(own, "one holder for each name");
        }
    }

    /// Removes a session, if it is the identity's current one.
    pub(super) fn leave(&mut self, id: ClientId, name: Option<&Name>, session: ChannelId) {
        let held = self.by_id.get(&id).map(|holder| holder.session);
        if held == Some(session) {
            self.by_id.remove(&id);
        }
        if let Some(name) = name
            && self.by_name.get(name).is_some_and(|&(_, of)| of == session)
        {
            self.by_name.remove(name);
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.by_id.len() + self.by_name.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
