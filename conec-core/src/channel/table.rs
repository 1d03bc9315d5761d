//! An entity's channels, and which of them have events.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use super::{ChannelCore, ChannelEvent};
use crate::{ChannelId, CloseReason, ErrorCode, transport::Transport};

/// Channels with what the entity knows of each besides.
#[derive(Debug)]
pub(crate) struct Channels<R> {
    /// Boxed: tables are half empty.
    entries: BTreeMap<ChannelId, Box<Entry<R>>>,
    /// Channels that may have events.
    eventful: VecDeque<ChannelId>,
    /// The memory of all channels as they were last weighed.
    memory: usize,
}

#[derive(Debug)]
pub(crate) struct Entry<R> {
    pub(crate) core: ChannelCore,
    pub(crate) role: R,
    eventful: bool,
    /// The application has not heard of it: its events wait.
    unheard: bool,
    /// What the channel counts for in the memory of all.
    memory: usize,
}

impl<R> Entry<R> {
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Takes note of the memory that the channel takes now. Gives that of all.
    fn weigh(&mut self, all: &mut usize) -> usize {
        *all -= self.memory;
        self.memory = self.core.memory();
        *all += self.memory;
        *all
    }
}

impl<R> Channels<R> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            eventful: VecDeque::new(),
            memory: 0,
        }
    }

    pub(crate) fn insert(&mut self, id: ChannelId, core: ChannelCore, role: R) {
        let entry = Entry {
            core,
            role,
            eventful: false,
            unheard: false,
            memory: 0,
        };
        self.entries.insert(id, Box::new(entry));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many things are kept, and how many bytes of messages.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        self.entries.len() + self.memory
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&Entry<R>> {
        self.entries.get(&id).map(|entry| &**entry)
    }

    /// A channel, whose events are then looked at.
    pub(crate) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Entry<R>> {
        let entry = self.entries.get_mut(&id)?;
        if !entry.eventful && !entry.unheard {
            entry.eventful = true;
            self.eventful.push_back(id);
        }
        Some(entry)
    }

    /// Keeps a channel's events back until the application [has heard](Self::let_through) of it.
    pub(crate) fn hold_back(&mut self, id: ChannelId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unheard = true;
        }
    }

    pub(crate) fn let_through(&mut self, id: ChannelId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unheard = false;
        }
        self.get_mut(id);
    }

    /// Forgets a channel whose events are of no interest.
    pub(crate) fn remove(&mut self, id: ChannelId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.memory -= entry.memory;
        }
    }

    /// Takes note of the [memory](ChannelCore::memory) that a channel takes now. Where messages that wait or are under way
    /// take more than `limit` in all, the channel that takes most has to go.
    pub(crate) fn bound_memory(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        changed: ChannelId,
        limit: usize,
    ) {
        if let Some(heaviest) = self.weigh(changed, limit)
            && let Some(link) = transport.link(heaviest)
            && !link.is_closed()
        {
            tracing::debug!(channel = ?heaviest, "closing a channel: messages take too much memory");
            link.close(now, ErrorCode::Limit.into(), CloseReason::Overloaded);
            transport.stats.channels_shed += 1;
        }
    }

    /// The channel that takes most, where all together take more than `limit`.
    fn weigh(&mut self, id: ChannelId, limit: usize) -> Option<ChannelId> {
        if self.entries.get_mut(&id)?.weigh(&mut self.memory) <= limit {
            return None;
        }
        // Nobody has to go for what is only kept for messages to come.
        for entry in self.entries.values_mut() {
            entry.core.rest();
            entry.weigh(&mut self.memory);
        }
        if self.memory <= limit {
            return None;
        }
        let heaviest = self.entries.iter().max_by_key(|(_, entry)| entry.memory);
        heaviest.map(|(&id, _)| id)
    }

    pub(crate) fn ids(&self) -> Vec<ChannelId> {
        self.entries.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &Entry<R>)> {
        self.entries.iter().map(|(&id, entry)| (id, &**entry))
    }

    /// The next event of any channel, by `poll`. A channel is forgotten with its last.
    ///
    /// Where taking it made [room](ChannelCore::has_room), the channel is added to `roomy`.
    pub(crate) fn poll_event(
        &mut self,
        roomy: &mut BTreeSet<ChannelId>,
        poll: fn(&mut ChannelCore) -> Option<ChannelEvent>,
    ) -> Option<(ChannelId, ChannelEvent)> {
        while let Some(&id) = self.eventful.front() {
            let Some(entry) = self.entries.get_mut(&id) else {
                self.eventful.pop_front();
                continue;
            };
            let Some(event) = poll(&mut entry.core) else {
                entry.eventful = false;
                self.eventful.pop_front();
                continue;
            };
            if entry.core.has_room() {
                roomy.insert(id);
            }
            // A channel with many events must not keep the others' waiting.
            self.eventful.rotate_left(1);
            if matches!(event, ChannelEvent::Closed { .. }) {
                self.remove(id);
            }
            return Some((id, event));
        }
        None
    }

    /// Whether events may be waiting.
    pub(crate) fn is_eventful(&self) -> bool {
        self.eventful
            .iter()
            .filter_map(|id| self.entries.get(id))
            .any(|entry| entry.core.has_events())
    }
}
