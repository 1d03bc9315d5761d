//! How the memory for messages is shared out among channels.
//!
//! Whole messages wait for the application. Where that is slow, what comes next stays in the engine, whose flow control holds up
//! the sender. What has arrived in part waits for its sender.
//!
//! As long as there is plenty of memory, everything is read. When half of it is taken, channels take turns with large messages:
//! a turn is for one message, of which least is missing, and there are as many at a time as what is left is enough for.
//! Small messages pass by, until hardly anything is left. Nobody is cut off for what waits for the application. But who
//! lets its turns go by has to go, and, when there is no memory left, who has left most half sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Instant,
};

use crate::{
    ChannelId,
    channel::{ChannelCore, MessageMemory, Reading},
};

#[derive(Debug)]
pub(super) struct Memory {
    /// How much there is.
    pub(super) limit: usize,
    pub(super) level: Level,
    /// Channels of which something is not read.
    pub(super) held_back: BTreeSet<ChannelId>,
    /// Channels that wait for a turn.
    pub(super) line: BTreeSet<ChannelId>,
    pub(super) turns: BTreeMap<ChannelId, Turn>,
    /// Who got the last turn.
    pub(super) last: Option<ChannelId>,
}

/// How much of the memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Plenty,
    /// More than half: large messages are read in turn.
    Tight,
    /// Nearly all: small ones, too.
    Full,
}

#[derive(Debug)]
pub(super) struct Turn {
    pub(super) began: Instant,
    /// How much more memory the channel needs.
    pub(super) need: usize,
    /// How many bytes had been read when this was last looked at.
    pub(super) received: u64,
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
    pub(super) fn is_short(&self) -> bool {
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
    pub(super) fn level(&self, taken: usize) -> Level {
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

    /// Whether a turn may begin for which so much is needed.
    pub(super) fn fits(&self, taken: usize, need: usize) -> bool {
        let needed: usize = self.turns.values().map(|turn| turn.need).sum();
        taken + needed + need <= self.limit
            || (self.turns.is_empty() && taken <= self.limit + self.slack())
    }

    /// How much more than the limit may be taken: what is under way when it is reached, and what a turn needs that was given
    /// the last of it.
    pub(super) fn slack(&self) -> usize {
        let needs = self.turns.values().map(|turn| turn.need);
        self.limit / 8 + needs.max().unwrap_or_default()
    }

    /// Whether others wait for the end of a channel's turn: for theirs, or, where most of the memory is taken by what has arrived in
    /// part, for some of it.
    pub(super) fn is_awaited(&self, id: ChannelId, taken: MessageMemory) -> bool {
        let is_scarce = taken.partial > taken.ready;
        !self.line.is_empty() || is_scarce && self.held_back.iter().any(|&it| it != id)
    }

    /// Takes note of what a channel wants. Whether its turn is over.
    pub(super) fn note(&mut self, id: ChannelId, core: &ChannelCore) -> bool {
        let wants_turn = self.level > Level::Plenty && core.wants_turn();
        let is_over = !wants_turn && self.turns.remove(&id).is_some();
        if let Some(turn) = self.turns.get_mut(&id) {
            turn.need = core.need();
        }
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
    pub(super) fn next_in_line(&self) -> Option<ChannelId> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.line.range((after, Bound::Unbounded)).next();
        next.or_else(|| self.line.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_to_wait_where_there_is_plenty() {
        let mut memory = Memory::new(1000);
        assert!(!memory.is_short());
        memory.level = memory.level(900);
        assert!(memory.is_short());
        memory.level = memory.level(0);
        assert!(!memory.is_short());
        memory.held_back.insert(ChannelId(1));
        assert!(memory.is_short());
    }

    #[test]
    fn the_level_goes_up_at_once_and_down_later() {
        let mut memory = Memory::new(800);
        for (taken, level) in [
            (400, Level::Plenty),
            (401, Level::Tight),
            (400, Level::Tight),
            (301, Level::Tight),
            (300, Level::Plenty),
            (400, Level::Plenty),
            (700, Level::Tight),
            (701, Level::Full),
            (601, Level::Full),
            (600, Level::Tight),
            (701, Level::Full),
            (300, Level::Plenty),
        ] {
            memory.level = memory.level(taken);
            assert_eq!(memory.level, level, "{taken}");
        }
    }

    #[test]
    fn what_is_read_of_a_channel_depends_on_the_level_and_its_turn() {
        let (mut memory, [first, second]) = (Memory::new(800), [ChannelId(1), ChannelId(2)]);
        memory.turns.insert(first, turn(0));
        for (level, readings) in [
            (Level::Plenty, [Reading::All, Reading::All]),
            (Level::Tight, [Reading::InTurn, Reading::Small]),
            (Level::Full, [Reading::InTurn, Reading::Nothing]),
        ] {
            memory.level = level;
            assert_eq!([first, second].map(|id| memory.reading(id)), readings);
        }
    }

    #[test]
    fn a_turn_begins_if_what_is_left_is_enough_or_there_is_no_other() {
        let mut memory = Memory::new(800);
        // A part of the limit may be taken beyond it.
        assert_eq!(memory.slack(), 100);
        for (taken, need, fits) in [
            (700, 100, true),
            (700, 101, true),
            (900, 1000, true),
            (901, 0, false),
        ] {
            assert_eq!(memory.fits(taken, need), fits, "{taken} {need}");
        }
        memory.turns.insert(ChannelId(1), turn(200));
        memory.turns.insert(ChannelId(2), turn(150));
        assert_eq!(memory.slack(), 300);
        assert!(memory.fits(350, 100));
        assert!(!memory.fits(350, 101));
    }

    #[test]
    fn turns_go_round() {
        let mut memory = Memory::new(800);
        assert_eq!(memory.next_in_line(), None);
        memory.line.extend([2, 5, 9].map(ChannelId));
        for (last, next) in [
            (None, 2),
            (Some(2), 5),
            (Some(4), 5),
            (Some(5), 9),
            (Some(9), 2),
        ] {
            memory.last = last.map(ChannelId);
            assert_eq!(memory.next_in_line(), Some(ChannelId(next)));
        }
    }

    #[test]
    fn a_turns_end_is_awaited_by_who_stands_in_line_or_lacks_memory() {
        let (mut memory, [first, second]) = (Memory::new(800), [ChannelId(1), ChannelId(2)]);
        let taken = |ready, partial| MessageMemory { ready, partial };
        assert!(!memory.is_awaited(first, taken(0, 1)));
        memory.held_back.insert(first);
        assert!(!memory.is_awaited(first, taken(0, 1)), "itself");
        memory.held_back.insert(second);
        assert!(memory.is_awaited(first, taken(0, 1)));
        assert!(!memory.is_awaited(first, taken(1, 1)), "it is read first");
        memory.line.insert(second);
        assert!(memory.is_awaited(first, taken(1, 0)));
    }

    #[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn turn(need: usize) -> Turn {
        Turn {
            began: Instant::now(),
            need,
            received: 0,
        }
    }
}
