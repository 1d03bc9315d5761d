//! How far a channel's messages are read, while there is little memory for those of all channels.
//!
//! What is not read stays in the engine, whose flow control holds up the sender.

use super::ChannelCore;
use crate::{channel::memory::MessageMemory, transport::Link};

/// What is read of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Everything, as far as streams are read ahead.
    All,
    /// The same, until a message waits for the application; then only small ones.
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

    /// How much memory an honest sender can make a channel take until one of its messages is complete.
    pub(crate) fn pace(&self) -> usize {
        PACE_MESSAGES
            .saturating_mul(self.settings.max_message_size)
            .saturating_add(PACE_UNDER_WAY)
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

    /// Messages of this size and larger ones are not read.
    pub(super) fn unread_size(&self) -> usize {
        match self.reading {
            Reading::All => usize::MAX,
            Reading::InTurn if self.memory.ready == 0 => usize::MAX,
            Reading::InTurn | Reading::Small => LARGE,
            Reading::Nothing => 0,
        }
    }

    /// Goes on with what may be read now.
    pub(super) fn read_on(&mut self, link: &mut Link) {
        let unread = self.unread_size();
        let free = self.held_back.iter().filter(|&(_, &held)| held < unread);
        for index in free.map(|(&index, _)| index).collect::<Vec<_>>() {
            self.held_back.remove(&index);
            self.pump(link, index);
        }
    }

    fn has_large(&self) -> bool {
        let mut halves = self.streams.values().filter_map(|it| it.recv.as_ref());
        halves.any(|recv| recv.expects() >= LARGE)
    }
}

/// Smaller messages are small.
const LARGE: usize = (64 << 10) + 1;
/// How many of the largest messages an honest sender may have under way, and how many bytes of others: see PROTOCOL.md, "Memory".
const PACE_MESSAGES: usize = 10;
const PACE_UNDER_WAY: usize = 16 << 20;
