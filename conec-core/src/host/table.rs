//! An entity's channels and their links, by the channels' ids, and which of them there is something to do for.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use crate::{
    ChannelId,
    channel::{ChannelCore, MessageMemory},
    transport::Link,
};

#[derive(Debug)]
pub(super) struct Table<R> {
    /// Boxed: tables are half empty.
    pub(super) entries: BTreeMap<ChannelId, Box<Entry<R>>>,
    /// Entries that something happened to.
    pub(super) touched: VecDeque<ChannelId>,
    /// Entries whose links may have something to send.
    pub(super) line: VecDeque<ChannelId>,
    /// Entries whose channels may have events.
    pub(super) eventful: VecDeque<ChannelId>,
    /// How many entries have a channel.
    pub(super) channels: usize,
    /// The memory of all channels as they were last weighed.
    pub(super) memory: MessageMemory,
}

/// A channel and its link. A link can be without a channel: before it is known for which it is, and when it outlives it to
/// say goodbye.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) channel: Option<Hosted<R>>,
    /// Boxed: over 6 KiB.
    pub(super) link: Option<Box<Link>>,
    /// When the link's timer is set to.
    pub(super) timer: Option<Instant>,
    /// The application may have done something through a handle.
    pub(super) accessed: bool,
    /// The channel was not set up in time.
    pub(super) overdue: bool,
    pub(super) touched: bool,
    pub(super) in_line: bool,
    pub(super) eventful: bool,
}

/// A channel, and what its entity knows of it besides.
#[derive(Debug)]
pub(crate) struct Hosted<R> {
    pub(crate) core: ChannelCore,
    pub(crate) role: R,
    /// The application has not heard of it: its events wait.
    pub(super) unheard: bool,
    /// What it counts for in the memory of all.
    memory: MessageMemory,
    /// How many of its turns to fill that it has let go by.
    pub(super) stalls: u8,
}

impl<R> Hosted<R> {
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Takes note of the [memory](ChannelCore::memory) that the channel takes now, in that of all.
    pub(super) fn weigh(&mut self, all: &mut MessageMemory) {
        let now = self.core.memory();
        all.replace(std::mem::replace(&mut self.memory, now), now);
    }
}

impl<R> Table<R> {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            touched: VecDeque::new(),
            line: VecDeque::new(),
            eventful: VecDeque::new(),
            channels: 0,
            memory: MessageMemory::default(),
        }
    }

    /// How many things are kept, and how many bytes of messages.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.entries.len() + self.touched.len() + self.line.len() + self.memory.sum()
    }

    pub(super) fn channel(&self, id: ChannelId) -> Option<&Hosted<R>> {
        self.entries.get(&id)?.channel.as_ref()
    }

    pub(super) fn channel_mut(&mut self, id: ChannelId) -> Option<&mut Hosted<R>> {
        self.entries.get_mut(&id)?.channel.as_mut()
    }

    pub(super) fn link(&self, id: ChannelId) -> Option<&Link> {
        self.entries.get(&id)?.link.as_deref()
    }

    /// An entry, which is then looked after.
    #[inline]
    pub(super) fn touch(&mut self, id: ChannelId) -> Option<&mut Entry<R>> {
        let entry = self.entries.get_mut(&id)?;
        mark(id, &mut entry.touched, &mut self.touched);
        if entry.link.is_some() {
            mark(id, &mut entry.in_line, &mut self.line);
        }
        Some(entry)
    }

    pub(super) fn insert_channel(&mut self, id: ChannelId, core: ChannelCore, role: R) {
        self.channels += 1;
        self.entry(id).channel = Some(Hosted {
            core,
            role,
            unheard: false,
            memory: MessageMemory::default(),
            stalls: 0,
        });
    }

    pub(super) fn insert_link(&mut self, id: ChannelId, link: Box<Link>) {
        self.entry(id).link = Some(link);
        self.touch(id);
    }

    /// Forgets a channel, but not its link.
    pub(super) fn remove_channel(&mut self, id: ChannelId) -> Option<Hosted<R>> {
        let channel = self.entries.get_mut(&id)?.channel.take()?;
        self.channels -= 1;
        self.memory
            .replace(channel.memory, MessageMemory::default());
        self.remove_if_empty(id);
        Some(channel)
    }

    /// Takes a link away, but not its channel.
    pub(super) fn remove_link(&mut self, id: ChannelId) -> Option<Box<Link>> {
        let entry = self.entries.get_mut(&id)?;
        entry.timer = None;
        let link = entry.link.take();
        self.remove_if_empty(id);
        link
    }

    /// The channel of which most has arrived in part.
    pub(super) fn heaviest(&self) -> Option<ChannelId> {
        let partial = |entry: &Entry<R>| entry.channel.as_ref().map(|it| it.memory.partial);
        let channels = self.entries.iter();
        let channels = channels.filter_map(|(&id, entry)| Some((id, partial(entry)?)));
        channels
            .max_by_key(|&(_, partial)| partial)
            .map(|(id, _)| id)
    }

    fn entry(&mut self, id: ChannelId) -> &mut Entry<R> {
        self.entries.entry(id).or_insert_with(|| {
            Box::new(Entry {
                channel: None,
                link: None,
                timer: None,
                accessed: false,
                overdue: false,
                touched: false,
                in_line: false,
                eventful: false,
            })
        })
    }

    fn remove_if_empty(&mut self, id: ChannelId) {
        let entry = self.entries.get(&id);
        if entry.is_some_and(|it| it.channel.is_none() && it.link.is_none()) {
            self.entries.remove(&id);
        }
    }
}

/// Adds an entry to a queue, once.
#[inline]
pub(super) fn mark(id: ChannelId, queued: &mut bool, queue: &mut VecDeque<ChannelId>) {
    if !std::mem::replace(queued, true) {
        queue.push_back(id);
    }
}
