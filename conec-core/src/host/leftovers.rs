//! Channels that are over, with what is left to be received of them.
//!
//! Of a channel nothing else is left then: neither its role nor its place among all others. It goes when everything was
//! received or given up, or when messages take too much memory: the oldest of the party that has left most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{ChannelEvent, ChannelId, ClientId, CloseReason, channel::ChannelCore, util::Network};

/// What is known of a channel besides, and tells who was at the other end.
pub(crate) trait Account {
    /// On whose account it is what is left of the channel. On the Coordinator's, if it says nothing.
    fn party(&self) -> Option<Party>;

    /// Which Client is at the other end, as far as that is known.
    fn peer(&self) -> Option<ClientId>;
}

/// Who pays for what it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Client(ClientId),
    Network(Network),
}

#[derive(Debug, Default)]
pub(super) struct Leftovers {
    channels: BTreeMap<ChannelId, Leftover>,
    /// What each party has left.
    bills: BTreeMap<Option<Party>, Bill>,
    /// The same, by the memory that it takes.
    by_memory: BTreeSet<(usize, Option<Party>)>,
    /// Something was done to those.
    touched: BTreeSet<ChannelId>,
    /// How streams ended that somebody holds, of channels of which nothing else is left. These have counted for more.
    ends: VecDeque<(ChannelId, ChannelEvent)>,
    /// The memory of all.
    memory: usize,
}

#[derive(Debug, Default)]
struct Bill {
    channels: BTreeSet<ChannelId>,
    memory: usize,
}

#[derive(Debug)]
struct Leftover {
    /// Boxed: tables are half empty.
    core: Box<ChannelCore>,
    party: Option<Party>,
    /// What it counts for in the memory of all.
    memory: usize,
}

impl Leftovers {
    /// Keeps what is left of a channel, if anything is.
    pub(super) fn add(&mut self, id: ChannelId, party: Option<Party>, mut core: ChannelCore) {
        if core.has_leftovers() {
            self.take(id);
            let memory = core.keep_leftovers();
            let core = Box::new(core);
            self.put(
                id,
                Leftover {
                    core,
                    party,
                    memory,
                },
            );
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
        while let Some(id) = self.touched.pop_first() {
            let Some(mut leftover) = self.take(id) else {
                continue;
            };
            let event = leftover.core.poll_signal();
            if event.is_some() || leftover.core.has_leftovers() {
                leftover.memory = leftover.core.leftover_memory();
                self.put(id, leftover);
            }
            if let Some(event) = event {
                self.touched.insert(id);
                return Some((id, event));
            }
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

    /// Forgets what is left of one channel, if there is any: of those of the party that has left most, the one that began first.
    pub(super) fn forget_one(&mut self) -> bool {
        let most = self
            .by_memory
            .last()
            .and_then(|(_, party)| self.bills.get(party));
        let oldest = most.and_then(|bill| bill.channels.first().copied());
        let Some((id, mut leftover)) = oldest.and_then(|id| Some((id, self.take(id)?))) else {
            return false;
        };
        self.touched.remove(&id);
        leftover.core.forget(CloseReason::Overloaded);
        while let Some(event) = leftover.core.poll_signal() {
            if let ChannelEvent::RecvEnded { .. } | ChannelEvent::SendEnded { .. } = event {
                self.ends.push_back((id, event));
            }
        }
        true
    }

    /// How many there are, and how many bytes they take.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let bills = self.bills.len() + self.by_memory.len();
        self.channels.len() + bills + self.touched.len() + self.ends.len() + self.memory
    }

    fn put(&mut self, id: ChannelId, leftover: Leftover) {
        let party = leftover.party;
        let bill = self.bills.entry(party).or_default();
        self.by_memory.remove(&(bill.memory, party));
        bill.channels.insert(id);
        bill.memory += leftover.memory;
        self.by_memory.insert((bill.memory, party));
        self.memory += leftover.memory;
        self.channels.insert(id, leftover);
    }

    fn take(&mut self, id: ChannelId) -> Option<Leftover> {
        let leftover = self.channels.remove(&id)?;
        let party = leftover.party;
        let bill = self.bills.entry(party).or_default();
        self.by_memory.remove(&(bill.memory, party));
        bill.channels.remove(&id);
        bill.memory -= leftover.memory;
        if bill.channels.is_empty() {
            self.bills.remove(&party);
        } else {
            self.by_memory.insert((bill.memory, party));
        }
        self.memory -= leftover.memory;
        Some(leftover)
    }
}
