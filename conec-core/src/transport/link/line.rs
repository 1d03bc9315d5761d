//! In which order streams hand over to the engine what waits on them.
//!
//! By priority, and among streams of the same priority in turn. But those with little waiting pass by those with much: a
//! message of a few bytes should not wait for a large file, on whichever stream that comes. So that nobody lives on
//! passing by, there are rounds. In each, what has not passed by may hand over [`ROUND`] bytes, and for that the others
//! may pass by with no more than that together, each stream with no more than [`LITTLE`]. Where the others may send nothing,
//! since the other side lets no more come of them, a round takes some time instead.

use std::collections::{BTreeMap, VecDeque};

use crate::transport::outgoing::Turn;

/// Streams with something that the engine may take now.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The highest priority first. Few are ever used, and they stay.
    levels: Vec<Level>,
    /// How many turns there were.
    turns: u64,
    /// Since somebody passed by. Boxed: on most links nobody does at a time.
    round: Option<Box<Round>>,
}

/// Streams of one priority.
#[derive(Debug)]
struct Level {
    priority: i8,
    /// Have little waiting, as far as is known.
    passing: VecDeque<u64>,
    /// Have to wait for their turns, which are in order.
    others: VecDeque<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Round {
    /// How much each stream has passed by with.
    passed: BTreeMap<u64, u64>,
    /// And all of them.
    all_passed: u64,
    /// How much the others have handed over.
    others: u64,
}

impl Line {
    /// Adds a stream that is not in line: at its former turn if it had one, which then still counts.
    pub(super) fn add(&mut self, priority: i8, stream: u64, turn: Option<Turn>) {
        let at = self
            .levels
            .partition_point(|level| level.priority > priority);
        if self
            .levels
            .get(at)
            .is_none_or(|level| level.priority != priority)
        {
            self.levels.insert(
                at,
                Level {
                    priority,
                    passing: VecDeque::new(),
                    others: VecDeque::new(),
                },
            );
        }
        let level = &mut self.levels[at];
        match turn {
            None => level.passing.push_back(stream),
            Some(turn) => {
                let at = level
                    .others
                    .partition_point(|&(number, _)| number < turn.number);
                level.others.insert(at, (turn.number, stream));
            }
        }
    }

    /// Takes out the next stream that may have so little waiting that it passes by.
    pub(super) fn pop_passing(&mut self) -> Option<u64> {
        let mut levels = self.levels.iter_mut();
        levels.find_map(|level| level.passing.pop_front())
    }

    /// Takes out the next stream whose turn it is.
    pub(super) fn pop_other(&mut self) -> Option<u64> {
        let mut levels = self.levels.iter_mut();
        let (_, stream) = levels.find_map(|level| level.others.pop_front())?;
        Some(stream)
    }

    /// A turn after all those that there were.
    pub(super) fn next_turn(&mut self, before: Option<Turn>) -> Turn {
        self.turns += 1;
        Turn {
            number: self.turns,
            left: TURN + before.map_or(0, |turn| turn.left),
        }
    }

    /// With how much a stream may pass by in this round.
    pub(super) fn may_pass(&self, stream: u64) -> u64 {
        let Some(round) = &self.round else {
            return LITTLE;
        };
        let passed = round.passed.get(&stream).copied().unwrap_or(0);
        let all = ROUND.saturating_sub(round.all_passed);
        LITTLE.saturating_sub(passed).min(all)
    }

    /// A stream has passed by with so many bytes.
    pub(super) fn has_passed(&mut self, stream: u64, bytes: u64) {
        let round = self.round.get_or_insert_default();
        *round.passed.entry(stream).or_default() += bytes;
        round.all_passed += bytes;
    }

    /// One that had to wait has handed over so many bytes.
    pub(super) fn has_waited(&mut self, bytes: u64) {
        if let Some(round) = &mut self.round {
            round.others += bytes;
            if round.others >= ROUND {
                self.round = None;
            }
        }
    }

    /// Whether any stream has passed by in this round.
    pub(super) fn is_used(&self) -> bool {
        self.round.is_some()
    }

    /// Begins a round in which all may try to pass by, those included that have turns.
    pub(super) fn begin_round(&mut self) {
        self.round = None;
        for level in &mut self.levels {
            let others = level.others.drain(..).map(|(_, stream)| stream);
            level.passing.extend(others);
        }
    }
}

/// How many bytes a stream hands over at its turn.
const TURN: i64 = 64 << 10;
/// With how many bytes a stream may pass by others in a round.
const LITTLE: u64 = 16 << 10;
/// How many bytes a round takes.
const ROUND: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_by_priority_and_then_in_turn() {
        let mut line = Line::default();
        for (priority, stream) in [(0, 1), (5, 2), (-3, 3), (0, 4), (5, 5)] {
            line.add(priority, stream, None);
            let turn = line.next_turn(None);
            line.add(priority, stream + 10, Some(turn));
        }
        let passing = std::iter::from_fn(|| line.pop_passing());
        assert_eq!(passing.collect::<Vec<_>>(), [2, 5, 1, 4, 3]);
        let others = std::iter::from_fn(|| line.pop_other());
        assert_eq!(others.collect::<Vec<_>>(), [12, 15, 11, 14, 13]);
    }

    #[test]
    fn who_was_blocked_comes_back_at_its_turn() {
        let mut line = Line::default();
        let turns = [1, 2, 3].map(|stream| (stream, line.next_turn(None)));
        for (stream, turn) in [turns[2], turns[0], turns[1]] {
            line.add(0, stream, Some(turn));
        }
        let others = std::iter::from_fn(|| line.pop_other());
        assert_eq!(others.collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn nobody_lives_on_passing_by() {
        let mut line = Line::default();
        assert_eq!(line.may_pass(1), LITTLE);
        line.has_passed(1, LITTLE - 1);
        assert_eq!((line.may_pass(1), line.may_pass(2)), (1, LITTLE));
        for stream in 2..5 {
            line.has_passed(stream, LITTLE);
        }
        assert_eq!((line.may_pass(1), line.may_pass(5)), (1, 1));
        line.has_passed(5, 1);
        assert_eq!((line.may_pass(1), line.may_pass(6)), (0, 0));
        // Until the others have had as much.
        line.has_waited(ROUND - 1);
        assert_eq!(line.may_pass(6), 0);
        line.has_waited(1);
        assert_eq!((line.may_pass(1), line.may_pass(6)), (LITTLE, LITTLE));
        assert!(line.round.is_none());
    }

    #[test]
    fn who_has_used_more_than_its_turn_gets_less_of_the_next() {
        let mut line = Line::default();
        let first = line.next_turn(None);
        assert_eq!((first.number, first.left), (1, TURN));
        let used_up = Turn {
            left: -1000,
            ..first
        };
        let next = line.next_turn(Some(used_up));
        assert_eq!((next.number, next.left), (2, TURN - 1000));
    }

    #[test]
    fn in_a_new_round_those_that_wait_may_try_to_pass_too() {
        let mut line = Line::default();
        line.add(0, 1, None);
        let turns = [2, 3].map(|stream| (stream, line.next_turn(None)));
        turns
            .into_iter()
            .for_each(|(stream, turn)| line.add(0, stream, Some(turn)));
        line.has_passed(1, ROUND);
        assert!(line.is_used());
        line.begin_round();
        assert!(!line.is_used());
        let passing = std::iter::from_fn(|| line.pop_passing());
        assert_eq!(passing.collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(line.pop_other(), None);
    }
}
