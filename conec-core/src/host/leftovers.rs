//! Channels that are over, with what is left to be received of them.
//!
//! Of a channel nothing else is left then: neither its role nor its place among all others. It goes when everything was
//! received or given up, or when messages take too much memory: the oldest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{ChannelEvent, ChannelId, CloseReason, channel::ChannelCore};

#[derive(Debug, Default)]
pub(super) struct Leftovers {
    channels: BTreeMap<ChannelId, Leftover>,
    /// Something was done to those.
    touched: BTreeSet<ChannelId>,
    /// How streams ended that somebody holds, of channels of which nothing else is left. These have counted for more.
    ends: VecDeque<(ChannelId, ChannelEvent)>,
    /// The memory of all.
    memory: usize,
}

#[derive(Debug)]
struct Leftover {
    /// Boxed: tables are half empty.
    core: Box<ChannelCore>,
    /// What it counts for in the memory of all.
    memory: usize,
}

impl Leftovers {
    /// Keeps what is left of a channel, if anything is.
    pub(super) fn add(&mut self, id: ChannelId, mut core: ChannelCore) {
        if core.has_leftovers() {
            let memory = core.keep_leftovers();
            self.memory += memory;
            let core = Box::new(core);
            let former = self.channels.insert(id, Leftover { core, memory });
            self.memory -= former.map_or(0, |it| it.memory);
        }
    }

    pub(super) fn channel(&mut self, id: ChannelId) -> Option<&mut ChannelCore> {
        let leftover = self.channels.get_mut(&id)?;
        self.touched.insert(id);
        Some(&mut leftover.core)
    }

    pub(super) fn poll_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        if let Some(end) = self.ends.pop_front() {
            return Some(end);
        }
        while let Some(&id) = self.touched.first() {
            if let Some(leftover) = self.channels.get_mut(&id) {
                if let Some(event) = leftover.core.poll_signal() {
                    return Some((id, event));
                }
                self.memory -= leftover.memory;
                leftover.memory = leftover.core.leftover_memory();
                self.memory += leftover.memory;
                if !leftover.core.has_leftovers() {
                    self.remove(id);
                }
            }
            self.touched.remove(&id);
        }
        None
    }

    /// Whether there may be events.
    pub(super) fn is_eventful(&self) -> bool {
        !self.touched.is_empty() || !self.ends.is_empty()
    }

    /// The memory that all take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Forgets what is left of the channel that began first, if there is one.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let oldest = self.channels.first_key_value().map(|(&id, _)| id);
        let Some((id, mut core)) = oldest.and_then(|id| Some((id, self.remove(id)?))) else {
            return false;
        };
        core.forget(CloseReason::Overloaded);
        while let Some(event) = core.poll_signal() {
            if let ChannelEvent::RecvEnded { .. } | ChannelEvent::SendEnded { .. } = event {
                self.ends.push_back((id, event));
            }
        }
        true
    }

    /// How many there are, and how many bytes they take.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.channels.len() + self.touched.len() + self.ends.len() + self.memory
    }

    fn remove(&mut self, id: ChannelId) -> Option<Box<ChannelCore>> {
        let leftover = self.channels.remove(&id)?;
        self.touched.remove(&id);
        self.memory -= leftover.memory;
        Some(leftover.core)
    }
}
