//! What has arrived on a channel that is over, and was not received yet.
//!
//! The other side may know that it was delivered. So it outlives the channel, unless one of the sides has thrown it away: until
//! its readers have taken it, or nobody wants it any more.

use super::ChannelCore;
use crate::{
    CloseReason, Direction, ErrorCode, RecvEnd,
    transport::{CONTROL, Link},
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

    /// Nobody will receive what is left of a channel that is over: all that was still to be received ends so.
    pub(crate) fn forget(&mut self, reason: CloseReason) {
        for index in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_recv(index, RecvEnd::Closed(reason));
        }
    }

    /// The channel is over, and with it a receiving half. What has arrived on it may be left, and then has this end.
    pub(super) fn end_or_leave(&mut self, index: u64, end: RecvEnd) {
        let keeps = self.keeps_leftovers;
        match self.recv_half(self.stream_id(index)) {
            Some(recv) if keeps && recv.has_message() && recv.preamble.is_none() => {
                recv.leave(end);
                let change = recv.memory_change();
                self.memory = self.memory.saturating_add_signed(change);
            }
            Some(_) | None => self.end_recv(index, end),
        }
    }
}
