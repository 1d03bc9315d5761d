//! How far a channel's messages are read, while there is little memory for those of all channels.
//!
//! What is not read stays in the engine, whose flow control holds up the sender.

use super::ChannelCore;
use crate::{
    channel::{event::ChannelEvent, memory::MessageMemory, stream::RecvHalf},
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

/// How a turn goes.
#[derive(Debug)]
pub(super) struct Turn {
    /// The stream whose message goes on, if it is not the one that should.
    chosen: Option<u64>,
    /// How much may have been read before no other is chosen.
    until: u64,
}

impl ChannelCore {
    /// What the other side's messages take, and its streams, and what waits to be told of them.
    pub(crate) fn memory(&self) -> MessageMemory {
        let events = self.events.len() * size_of::<ChannelEvent>();
        let waiting = self.incoming.len() * WAITING + self.datagrams.memory() + events;
        let streams = self.streams.len() * STREAM;
        MessageMemory {
            ready: self.memory.ready + waiting,
            partial: self.memory.partial + self.link_memory + streams,
        }
    }

    /// How many bytes of the channel's streams were read.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How much more memory it takes until one of its messages is whole, after what may be in the way of that.
    pub(crate) fn need(&self) -> usize {
        let lacks = self.first().map_or(0, |(_, recv)| recv.lacks());
        let in_the_way = match &self.turn {
            Some(turn) => turn.until.saturating_sub(self.received) as usize,
            None if self.large().nth(1).is_some() => self.window as usize,
            None => 0,
        };
        lacks + LARGE + in_the_way
    }

    /// From now on, so much is read.
    pub(crate) fn set_reading(&mut self, reading: Reading) {
        if self.reading != reading {
            self.turn = (reading == Reading::InTurn).then(|| {
                let until = self.received + u64::from(self.window);
                Box::new(Turn {
                    chosen: None,
                    until,
                })
            });
        }
        self.reading = reading;
    }

    /// Memory is short: gives back what is only kept for messages to come, and all datagrams but a few.
    pub(crate) fn save_memory(&mut self) {
        self.rest();
        self.datagrams.keep_few();
    }

    /// Whether something is not read, or not accepted.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.held_back.is_empty() || self.deferred
    }

    /// Whether more has to be read before the application has something of the channel again.
    pub(crate) fn wants_turn(&self) -> bool {
        self.memory.ready == 0 && (!self.held_back.is_empty() || self.has_large())
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
        let is_stuck = self.holds_up && self.received == before;
        if is_stuck && self.turn.as_ref().is_some_and(|turn| before < turn.until) {
            self.choose_another(link);
        }
    }

    /// Whether there is more to go on with.
    pub(crate) fn reads_on(&self) -> bool {
        self.reads_on
    }

    fn has_large(&self) -> bool {
        self.large().next().is_some()
    }

    fn is_first(&self, index: u64) -> bool {
        self.first().is_none_or(|(first, _)| first == index)
    }

    /// The large message that goes on in a turn: if none was chosen, that of which least is missing. Of many that grow side by
    /// side, all would have to fit into memory before one is whole.
    fn first(&self) -> Option<(u64, &RecvHalf)> {
        let chosen = self.turn.as_ref().and_then(|turn| turn.chosen);
        let chosen = self.large().find(|&(it, _)| chosen == Some(it));
        chosen.or_else(|| self.large().min_by_key(|(_, recv)| recv.lacks()))
    }

    /// The other side may send no more, and all that came of the message that has the turn was read. What others have sent is in
    /// its way: one of those goes on.
    fn choose_another(&mut self, link: &mut Link) {
        let before = self.received;
        let mut large: Vec<_> = self.large().map(|(at, recv)| (recv.lacks(), at)).collect();
        large.sort_unstable();
        for (_, index) in large {
            if let Some(turn) = &mut self.turn {
                turn.chosen = Some(index);
            }
            self.held_back.remove(&index);
            self.pump(link, index);
            if self.received > before {
                return;
            }
        }
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
/// What is known of a stream, here and in the engine.
const STREAM: usize = 1 << 10;
/// A stream that waits to be taken, with its label.
const WAITING: usize = 512;
