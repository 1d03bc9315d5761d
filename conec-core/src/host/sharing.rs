//! Who of a host's channels gets how much of the [`Memory`](super::memory::Memory) for messages, and who has to go.

use std::time::{Duration, Instant};

use super::{
    Account, Host, Timer,
    memory::{Level, Turn},
};
use crate::{ChannelId, CloseReason, ErrorCode};

impl<R: Account> Host<R> {
    /// Something has happened to a channel, which was weighed.
    #[inline]
    pub(super) fn share_memory(&mut self, now: Instant, id: ChannelId) {
        if self.memory.is_short() || self.is_unbalanced() {
            self.note_memory(id);
            self.balance(now);
        }
    }

    /// Whether there is more or less memory than what is read goes by.
    pub(super) fn is_unbalanced(&self) -> bool {
        self.memory.level(self.taken()) != self.memory.level
    }

    /// Decides anew what is read.
    pub(super) fn balance(&mut self, now: Instant) {
        self.forget_leftovers();
        let level = self.memory.level(self.taken());
        let before = std::mem::replace(&mut self.memory.level, level);
        if before == Level::Plenty && level != before {
            let taken = self.taken();
            tracing::debug!(taken, "large messages are read in turn");
            for id in self.ids() {
                self.note_memory(id);
            }
        }
        if level < before {
            for id in self.memory.held_back.clone() {
                self.go_on(id);
            }
        }
        if level == Level::Plenty {
            self.memory.line.clear();
            for id in std::mem::take(&mut self.memory.turns).into_keys() {
                self.timers.set((id, Timer::Turn), None);
            }
        } else {
            self.shed(now);
            self.begin_turns(now);
        }
    }

    /// Looks whether a turn goes on. Where others wait, it must, and ends after some time: what is there by then stays. Who
    /// lets its turns go by has to go.
    pub(super) fn look_at_turn(&mut self, now: Instant, id: ChannelId) {
        let is_awaited = self.memory.is_awaited(id, self.table.memory);
        let Some(turn) = self.memory.turns.get_mut(&id) else {
            return;
        };
        let Some(channel) = self.table.channel_mut(id) else {
            return self.forget_memory(id);
        };
        let received = channel.core.received();
        let stalls = received < turn.received + PROGRESS;
        turn.received = received;
        if !channel.core.waits_for_sender() || !is_awaited {
            channel.stalls = 0;
        } else if stalls || now >= turn.began + TURN {
            channel.stalls = if stalls { channel.stalls + 1 } else { 0 };
            if channel.stalls == MAX_STALLS {
                return self.cut_off(now, id);
            }
            self.memory.turns.remove(&id);
            self.memory.line.insert(id);
            return self.balance(now);
        }
        self.timers.set((id, Timer::Turn), Some(now + LOOK));
    }

    /// Forgets what a channel wants that is over.
    pub(super) fn forget_memory(&mut self, id: ChannelId) {
        self.memory.held_back.remove(&id);
        self.memory.line.remove(&id);
        if self.memory.turns.remove(&id).is_some() {
            self.timers.set((id, Timer::Turn), None);
        }
    }

    /// Forgets what is left of channels that are over, rather than have others wait with small messages. But a part of the
    /// memory is for it, whatever others have waiting.
    pub(super) fn forget_leftovers(&mut self) {
        while self.memory.level(self.taken()) == Level::Full
            && self.leftovers.memory() > self.memory.limit / 8
            && self.leftovers.forget_one()
        {}
    }

    /// What messages take, and channels that are over.
    fn taken(&self) -> usize {
        self.table.memory.sum() + self.leftovers.memory()
    }

    fn note_memory(&mut self, id: ChannelId) {
        let entry = self.table.entries.get_mut(&id);
        let Some(channel) = entry.and_then(|it| it.channel.as_mut()) else {
            return self.forget_memory(id);
        };
        if self.memory.level > Level::Plenty {
            channel.core.save_memory();
            channel.weigh(&mut self.table.memory);
        }
        if self.memory.note(id, &channel.core) {
            self.timers.set((id, Timer::Turn), None);
        }
    }

    fn begin_turns(&mut self, now: Instant) {
        while let Some(id) = self.memory.next_in_line() {
            let Some(channel) = self.table.channel(id) else {
                self.forget_memory(id);
                continue;
            };
            let (need, received) = (channel.core.need(), channel.core.received());
            if !self.memory.fits(self.taken(), need) {
                return;
            }
            let turn = Turn {
                began: now,
                need,
                received,
            };
            self.memory.line.remove(&id);
            self.memory.last = Some(id);
            self.memory.turns.insert(id, turn);
            self.timers.set((id, Timer::Turn), Some(now + LOOK));
            self.go_on(id);
        }
    }

    /// More of a channel may be read now.
    pub(super) fn go_on(&mut self, id: ChannelId) {
        if let Some(entry) = self.table.touch(id) {
            entry.accessed = true;
        }
    }

    /// When there is no memory left at all, and more than half of it is taken by what has arrived in part, the channel of which that
    /// is most has to go.
    fn shed(&mut self, now: Instant) {
        let limit = self.memory.limit;
        if self.taken() > limit + self.memory.slack()
            && self.table.memory.partial > limit / 2
            && let Some(id) = self.table.heaviest()
        {
            self.cut_off(now, id);
        }
    }

    fn cut_off(&mut self, now: Instant, id: ChannelId) {
        if let Some(link) = self.link(id)
            && !link.is_closed()
        {
            link.close(now, ErrorCode::Limit.into(), CloseReason::Overloaded);
            self.stats.channels_shed += 1;
            self.span(id).in_scope(|| {
                tracing::debug!("closing: what it does not go on with takes too much memory");
            });
        }
    }
}

/// How often a turn is looked at, and how many bytes have to have come meanwhile.
const LOOK: Duration = Duration::from_secs(3);
const PROGRESS: u64 = 16 << 10;
/// How many turns in a row a channel has to let go by in which fewer come.
const MAX_STALLS: u8 = 3;
/// How long a turn takes, at most.
const TURN: Duration = Duration::from_secs(30);
