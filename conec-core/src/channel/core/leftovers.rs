//! What has arrived on a channel that is over, and was not received yet.
//!
//! The other side may know that it was delivered. So it outlives the channel, unless one of the sides has thrown it away: until
//! its readers have taken it, or nobody wants it any more.

use bytes::Bytes;

use super::ChannelCore;
use crate::{
    CloseReason, Direction, ErrorCode, RecvEnd,
    channel::{
        incoming::Waiting,
        memory::MessageMemory,
        stream::{DataStream, User},
    },
    transport::{CONTROL, Link},
    wire::{FrameDecoder, MAX_CONTROL, MAX_LABEL},
};

impl ChannelCore {
    /// The link is over. Takes from it what has arrived whole, if that outlives the channel.
    pub(crate) fn take_leftovers(&mut self, link: &mut Link, reason: CloseReason) {
        if !self.state.carries_data() || self.keeps_leftovers {
            return;
        }
        self.keeps_leftovers = match reason {
            CloseReason::Local => link.close_code() == Some(ErrorCode::None.into()),
            CloseReason::Remote(_)
            | CloseReason::TimedOut
            | CloseReason::Unreachable(_)
            | CloseReason::Reset
            | CloseReason::CoordinatorLost => true,
            CloseReason::Application(_)
            | CloseReason::Violation(_)
            | CloseReason::Identity
            | CloseReason::Credential(_)
            | CloseReason::KeyChanged
            | CloseReason::Signer
            | CloseReason::Version
            | CloseReason::Overloaded
            | CloseReason::NoDirectPath
            | CloseReason::Transport(_) => false,
        };
        if !self.keeps_leftovers {
            return;
        }
        for direction in [Direction::Bi, Direction::Uni] {
            while let Some(index) = link.accept(direction).filter(|&it| it != CONTROL) {
                self.begin(index, direction);
            }
        }
        for index in self.streams.keys().copied().collect::<Vec<_>>() {
            // No more than the windows have let in.
            self.read(link, index, |_| true);
            self.settle_recv(index);
        }
    }

    /// Whether something is left to be received of a channel that is over.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.keeps_leftovers && (!self.streams.is_empty() || self.incoming.len() > 0)
    }

    /// Keeps nothing of a channel that is over but what is left to be received. Gives how much memory that takes.
    pub(crate) fn keep_leftovers(&mut self) -> usize {
        self.control.input = Bytes::new();
        self.control.decoder = FrameDecoder::new(MAX_CONTROL);
        self.leftover_memory()
    }

    /// The memory that a channel takes that is over, with its messages.
    pub(crate) fn leftover_memory(&self) -> usize {
        let (streams, waiting) = (self.streams.len(), self.incoming.len());
        let tables = slots(streams) * SLOT + slots(waiting) * WAITING_SLOT;
        self.memory.sum() + CHANNEL + tables + streams * QUEUE + waiting * LABEL
    }

    /// Nobody will receive what is left of a channel that is over: all that was still to be received ends so.
    pub(crate) fn forget(&mut self, reason: CloseReason) {
        while let Some(unknown) = self.incoming.pop() {
            let recv = self.streams.remove(&unknown.index).and_then(|it| it.recv);
            let gone = recv.map_or_else(MessageMemory::default, |it| it.memory);
            self.memory.replace(gone, MessageMemory::default());
        }
        for index in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_recv(index, RecvEnd::Closed(reason));
        }
    }

    /// The channel is over, and with it a receiving half. What has arrived on it may be left, and then has this end.
    pub(super) fn end_or_leave(&mut self, index: u64, end: RecvEnd) {
        let keeps = self.keeps_leftovers;
        let user = self.streams.get(&index).map(|it| it.user);
        let is_owners = user == Some(User::Owner);
        match self.recv_half(self.stream_id(index)) {
            Some(recv) if keeps && recv.has_message() && recv.preamble.is_none() && !is_owners => {
                recv.leave(end);
                let (before, now) = recv.weigh();
                self.memory.replace(before, now);
            }
            Some(_) | None => self.end_recv(index, end),
        }
    }
}

/// For how many items a table may have room, which begins with that for eleven, and may be half empty after that.
fn slots(items: usize) -> usize {
    match items {
        0..=11 => 11,
        _ => 11 + 2 * items,
    }
}

/// The longest label, with what counts its uses.
const LABEL: usize = MAX_LABEL + 128;
/// What is known of a channel, with its place in tables, and what is known of who has left it.
const CHANNEL: usize = size_of::<ChannelCore>() + 512;
/// The room that a stream's queue of messages begins with.
const QUEUE: usize = 4 * size_of::<Bytes>();
const SLOT: usize = size_of::<(u64, DataStream)>();
const WAITING_SLOT: usize = size_of::<(u64, Waiting)>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelConfig, ChannelId};

    #[test]
    fn streams_that_nobody_takes_count_with_tables_that_may_be_half_empty() {
        let memory = |streams| {
            let mut core = ChannelCore::new(ChannelId(1), &ChannelConfig::default(), None);
            for index in 0..streams {
                core.incoming.push(index, Bytes::new(), None);
            }
            core.leftover_memory()
        };
        let more = memory(1000) - memory(0);
        assert_eq!(more, 1000 * (LABEL + 2 * WAITING_SLOT));
    }

    #[test]
    fn streams_that_are_taken_count_with_their_queues() {
        let memory = |streams| {
            let mut core = ChannelCore::new(ChannelId(1), &ChannelConfig::default(), None);
            for index in 0..streams {
                core.begin(index, Direction::Uni);
            }
            core.leftover_memory()
        };
        assert_eq!(memory(11) - memory(0), 11 * QUEUE);
        assert_eq!(memory(12) - memory(11), QUEUE + 24 * SLOT);
        assert_eq!(memory(1000) - memory(500), 500 * (QUEUE + 2 * SLOT));
    }
}
