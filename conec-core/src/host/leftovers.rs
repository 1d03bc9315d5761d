//! Channels that are over, with what is left to be received of them.
//!
//! Of a channel nothing else is left then: neither its role nor its place among all others. It goes when everything was
//! received or given up, or when messages take too much memory: the oldest first.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ChannelEvent, ChannelId, CloseReason, channel::ChannelCore};

#[derive(Debug, Default)]
pub(super) struct Leftovers {
    channels: BTreeMap<ChannelId, Leftover>,
    /// Something was done to those.
    touched: BTreeSet<ChannelId>,
    /// The memory of all.
    memory: usize,
}

#[derive(Debug)]
struct Leftover {
    core: ChannelCore,
    /// What it counts for in the memory of all.
    memory: usize,
}

impl Leftovers {
    /// Keeps what is left of a channel, if anything is.
    pub(super) fn add(&mut self, id: ChannelId, core: ChannelCore) {
        if core.has_leftovers() {
            let memory = core.memory();
            self.memory += memory;
            self.channels.insert(id, Leftover { core, memory });
        }
    }

    pub(super) fn channel(&mut self, id: ChannelId) -> Option<&mut ChannelCore> {
        let leftover = self.channels.get_mut(&id)?;
        self.touched.insert(id);
        Some(&mut leftover.core)
    }

    pub(super) fn poll_event(
        &mut self,
        poll: fn(&mut ChannelCore) -> Option<ChannelEvent>,
    ) -> Option<(ChannelId, ChannelEvent)> {
        while let Some(&id) = self.touched.first() {
            if let Some(leftover) = self.channels.get_mut(&id) {
                if let Some(event) = poll(&mut leftover.core) {
                    return Some((id, event));
                }
                self.memory -= leftover.memory;
                leftover.memory = leftover.core.memory();
                self.memory += leftover.memory;
                if !leftover.core.has_leftovers() {
                    self.channels.remove(&id);
                }
            }
            self.touched.remove(&id);
        }
        None
    }

    /// Whether there may be events.
    pub(super) fn is_eventful(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The memory that messages take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Forgets what is left of the channel that is over for longest, if there is one.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let oldest = self.channels.iter_mut().find(|(_, it)| it.memory > 0);
        let Some((&id, leftover)) = oldest else {
            return false;
        };
        leftover.core.forget(CloseReason::Overloaded);
        self.memory -= std::mem::take(&mut leftover.memory);
        self.touched.insert(id);
        true
    }

    /// How many there are, and how many bytes of messages.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.channels.len() + self.touched.len() + self.memory
    }
}
