//! How the memory for messages is shared out among channels.
//!
//! Whole messages wait for the application. Where that is slow, what comes next stays in the engine, whose flow control holds up
//! the sender. What has arrived in part waits for its sender.
//!
//! As long as there is plenty of memory, everything is read. When half of it is taken, channels take turns with large messages:
//! a turn lasts until the application has something of the channel, and there are as many at a time as what is left is enough
//! for. Small messages pass by, until hardly anything is left. Nobody is cut off for what waits for the application. But who
//! takes too long over its turn goes, and, when there is no memory left, who has left most half sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::{Duration, Instant},
};

use super::{Host, Timer};
use crate::{
    ChannelId, CloseReason, ErrorCode,
    channel::{ChannelCore, Reading},
};

#[derive(Debug)]
pub(super) struct Memory {
    /// How much there is.
    limit: usize,
    level: Level,
    /// Channels of which something is not read.
    held_back: BTreeSet<ChannelId>,
    /// Channels that wait for a turn.
    line: BTreeSet<ChannelId>,
    turns: BTreeMap<ChannelId, Turn>,
    /// Who got the last turn.
    last: Option<ChannelId>,
}

/// How much of the memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Plenty,
    /// More than half: large messages are read in turn.
    Tight,
    /// Nearly all: small ones, too.
    Full,
}

#[derive(Debug)]
struct Turn {
    began: Instant,
    /// What is kept free for it.
    reserve: usize,
    /// How many bytes had been read when this was last looked at.
    received: u64,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            level: Level::Plenty,
            held_back: BTreeSet::new(),
            line: BTreeSet::new(),
            turns: BTreeMap::new(),
            last: None,
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.held_back.len() + self.line.len() + self.turns.len()
    }

    /// Whether anybody has to wait.
    fn is_short(&self) -> bool {
        self.level > Level::Plenty || !self.held_back.is_empty()
    }

    /// What is read of a channel.
    #[inline]
    pub(super) fn reading(&self, id: ChannelId) -> Reading {
        match self.level {
            Level::Plenty => Reading::All,
            Level::Tight | Level::Full if self.turns.contains_key(&id) => Reading::InTurn,
            Level::Tight => Reading::Small,
            Level::Full => Reading::Nothing,
        }
    }

    /// What the level is when so much is taken. It goes down later than up, so that it does not change all the time.
    fn level(&self, taken: usize) -> Level {
        let above = |level, eighths: usize| {
            let eighths = eighths - usize::from(self.level >= level);
            taken > self.limit / 8 * eighths
        };
        if above(Level::Full, 7) {
            Level::Full
        } else if above(Level::Tight, 4) {
            Level::Tight
        } else {
            Level::Plenty
        }
    }

    /// What is kept free for a channel's turn.
    fn reserve(&self, core: &ChannelCore) -> usize {
        core.pace().min(self.limit / 8)
    }

    /// Whether a turn may begin for which so much is kept free.
    fn fits(&self, taken: usize, reserve: usize) -> bool {
        let reserved: usize = self.turns.values().map(|turn| turn.reserve).sum();
        taken + reserved + reserve <= self.limit || (self.turns.is_empty() && taken <= self.limit)
    }

    /// Takes note of what a channel wants. Whether its turn is over.
    fn note(&mut self, id: ChannelId, core: &ChannelCore) -> bool {
        let wants_turn = self.level > Level::Plenty && core.wants_turn();
        let is_over = !wants_turn && self.turns.remove(&id).is_some();
        let waits = wants_turn && !self.turns.contains_key(&id);
        for (set, is_in) in [
            (&mut self.held_back, core.is_held_back()),
            (&mut self.line, waits),
        ] {
            if is_in {
                set.insert(id);
            } else {
                set.remove(&id);
            }
        }
        is_over
    }

    /// Who has waited longest for a turn, if all that wait come one after the other.
    fn next_in_line(&self) -> Option<ChannelId> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.line.range((after, Bound::Unbounded)).next();
        next.or_else(|| self.line.first()).copied()
    }
}

impl<R> Host<R> {
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
        if before == Level::Plenty && level > before {
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

    /// Looks whether a turn goes on. Where others wait, it must.
    pub(super) fn look_at_turn(&mut self, now: Instant, id: ChannelId) {
        let Some(turn) = self.memory.turns.get_mut(&id) else {
            return;
        };
        let Some(channel) = self.table.channel(id) else {
            return self.forget_memory(id);
        };
        let received = channel.core.received();
        let stalls = received < turn.received + PROGRESS || now >= turn.began + TURN;
        turn.received = received;
        if stalls && channel.core.waits_for_sender() && !self.memory.line.is_empty() {
            return self.cut_off(now, id);
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

    /// Forgets what is left of channels that are over, rather than have others wait with small messages.
    pub(super) fn forget_leftovers(&mut self) {
        while self.memory.level(self.taken()) == Level::Full && self.leftovers.forget_oldest() {}
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
            // Memory that is only kept for messages to come goes first.
            channel.core.rest();
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
            let reserve = self.memory.reserve(&channel.core);
            if !self.memory.fits(self.taken(), reserve) {
                return;
            }
            let turn = Turn {
                began: now,
                reserve,
                received: channel.core.received(),
            };
            self.memory.line.remove(&id);
            self.memory.last = Some(id);
            self.memory.turns.insert(id, turn);
            self.timers.set((id, Timer::Turn), Some(now + LOOK));
            self.go_on(id);
        }
    }

    /// More of a channel may be read now.
    fn go_on(&mut self, id: ChannelId) {
        if let Some(entry) = self.table.touch(id) {
            entry.accessed = true;
        }
    }

    /// When there is no memory left, the channel of which most has arrived in part has to go, if that is more than is kept free
    /// for a turn, or if such parts take more than half of all.
    fn shed(&mut self, now: Instant) {
        let limit = self.memory.limit;
        if self.taken() > limit
            && let Some((id, channel)) = self.table.heaviest()
            && (channel.core.memory().partial > self.memory.reserve(&channel.core)
                || self.table.memory.partial > limit / 2)
        {
            self.cut_off(now, id);
        }
    }

    fn cut_off(&mut self, now: Instant, id: ChannelId) {
        if let Some(link) = self.link(id)
            && !link.is_closed()
        {
            tracing::debug!(channel = ?id, "closing a channel: what it does not go on with takes too much memory");
            link.close(now, ErrorCode::Limit.into(), CloseReason::Overloaded);
            self.stats.channels_shed += 1;
        }
    }
}

/// How often a turn is looked at, and how many bytes have to have come meanwhile.
const LOOK: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 64 << 10;
/// How long a turn may take.
const TURN: Duration = Duration::from_secs(30);
