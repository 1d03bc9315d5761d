//! How far a channel's messages are read, while there is little memory for those of all channels.
//!
//! What is not read stays in the engine, whose flow control holds up the sender.

use super::ChannelCore;
use crate::{
    channel::{memory::MessageMemory, stream::RecvHalf},
    transport::Link,
};

/// What is read of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Everything, as far as streams are read ahead.
    All,
    /// Small messages, and one large one after the other: a turn ends when one is whole.
    InTurn,
    /// Small messages. Of others no more than the packet in which they begin.
    Small,
    Nothing,
}

impl ChannelCore {
    /// What the channel's messages take.
    pub(crate) fn memory(&self) -> MessageMemory {
        let mut memory = self.memory;
        memory.partial += self.gap_memory;
        memory
    }

    /// How many bytes of the channel's streams were read.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How much more memory it takes until one of its messages is whole.
    pub(crate) fn need(&self) -> usize {
        let first = self.large().map(|(_, recv)| recv.lacks()).min();
        first.unwrap_or_default() + LARGE
    }

    /// From now on, so much is read.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// Whether something is not read.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.held_back.is_empty()
    }

    /// Whether more has to be read before the application has something of the channel again.
    pub(crate) fn wants_turn(&self) -> bool {
        self.memory.ready == 0 && (self.is_held_back() || self.has_large())
    }

    /// Whether nothing but what the other side sends is missing.
    pub(crate) fn waits_for_sender(&self) -> bool {
        self.memory.ready == 0 && !self.deferred && self.accept_at.is_none()
    }

    /// Messages of this size and larger ones are not read of a stream.
    pub(super) fn unread_size(&self, index: u64) -> usize {
        match self.reading {
            Reading::All => usize::MAX,
            Reading::InTurn if self.is_first(index) => usize::MAX,
            Reading::InTurn | Reading::Small => LARGE,
            Reading::Nothing => 0,
        }
    }

    /// Goes on with what may be read now, stream by stream, until that is so much that it has to be asked again what may be.
    pub(super) fn read_on(&mut self, link: &mut Link) {
        self.reads_on = false;
        let before = self.received;
        let held_back = self.held_back.iter();
        let free = held_back.filter(|&(&index, &held)| held < self.unread_size(index));
        for index in free.map(|(&index, _)| index).collect::<Vec<_>>() {
            if self.received - before >= STEP {
                self.reads_on = true;
                return;
            }
            self.held_back.remove(&index);
            self.pump(link, index);
        }
    }

    /// Whether there is more to go on with.
    pub(crate) fn reads_on(&self) -> bool {
        self.reads_on
    }

    fn has_large(&self) -> bool {
        self.large().next().is_some()
    }

    /// Whether a stream's large message is the one of which least is missing: of many that grow side by side, all would have to
    /// fit into memory before one is whole.
    fn is_first(&self, index: u64) -> bool {
        let first = self.large().min_by_key(|(_, recv)| recv.lacks());
        first.is_none_or(|(first, _)| first == index)
    }

    /// Large messages that have arrived in part, and their streams.
    fn large(&self) -> impl Iterator<Item = (u64, &RecvHalf)> {
        let streams = self.streams.iter();
        let halves = streams.filter_map(|(&index, it)| Some((index, it.recv.as_ref()?)));
        halves.filter(|(_, recv)| recv.expects() >= LARGE)
    }
}

/// How much is read before memory is looked at again.
const STEP: u64 = 256 << 10;
/// Smaller messages are small.
const LARGE: usize = (64 << 10) + 1;
