//! Who is connected, and under which name.

use std::collections::BTreeMap;

use crate::{ChannelId, ClientId, Name, Target};

#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: BTreeMap<ClientId, ChannelId>,
    by_name: BTreeMap<Name, (ClientId, ChannelId)>,
}

impl Registry {
    /// The session of a Client.
    pub(super) fn find(&self, target: &Target) -> Option<ChannelId> {
        match target {
            Target::Name(name) => self.by_name.get(name).map(|&(_, session)| session),
            Target::Id(id) => self.by_id.get(id).copied(),
        }
    }

    /// Whether the name is another identity's.
    pub(super) fn is_taken(&self, name: &Name, by_other_than: ClientId) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|&(holder, _)| holder != by_other_than)
    }

    /// Enters a session. The identity must have none and the name must be free.
    pub(super) fn enter(&mut self, id: ClientId, name: Option<&Name>, session: ChannelId) {
        let replaced = self.by_id.insert(id, session);
        debug_assert_eq!(replaced, None, "one session for each identity");
        if let Some(name) = name {
            let replaced = self.by_name.insert(name.clone(), (id, session));
            debug_assert_eq!(replaced, None, "one holder for each name");
        }
    }

    /// Removes a session, if it is the identity's current one.
    pub(super) fn leave(&mut self, id: ClientId, name: Option<&Name>, session: ChannelId) {
        if self.by_id.get(&id) == Some(&session) {
            self.by_id.remove(&id);
        }
        if let Some(name) = name
            && self.by_name.get(name).is_some_and(|&(_, of)| of == session)
        {
            self.by_name.remove(name);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
