//! The last messages of a group, in its order: one copy of each, for all members.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{
    ClientId, Lossy,
    wire::{Author, Sequence, message_frame},
};

/// The newest messages, under numbers that follow each other.
#[derive(Debug)]
pub(super) struct Log {
    keep: Lossy,
    entries: VecDeque<Entry>,
    /// The number of the first of them, or of the next where there is none.
    first: Sequence,
    /// How many bytes all have, and what they take.
    bytes: usize,
    memory: usize,
}

#[derive(Debug)]
struct Entry {
    author: Option<ClientId>,
    /// The length of the message itself.
    len: usize,
    /// With all that travels to each member.
    frame: Bytes,
}

impl Log {
    pub(super) fn new(keep: Lossy) -> Self {
        Self {
            keep,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            memory: 0,
        }
    }

    /// Adds a message, and gives its number. What has to go for it, [`excess`](Self::drop_excess) does.
    pub(super) fn push(&mut self, author: Option<&Author>, message: &[u8]) -> Sequence {
        let sequence = self.next();
        let entry = Entry {
            author: author.map(|it| it.id),
            len: message.len(),
            frame: message_frame(sequence, author, message),
        };
        self.bytes += entry.len;
        self.memory += memory_of(&entry);
        self.entries.push_back(entry);
        sequence
    }

    /// Drops the oldest message, if there are more than are kept. Gives its number and its author.
    pub(super) fn drop_excess(&mut self) -> Option<(Sequence, Option<ClientId>)> {
        if self.keep.keeps(self.entries.len(), self.bytes) {
            return None;
        }
        self.drop_first()
    }

    /// Drops the oldest message, whatever is kept.
    pub(super) fn drop_first(&mut self) -> Option<(Sequence, Option<ClientId>)> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.len;
        self.memory -= memory_of(&entry);
        let sequence = self.first;
        self.first += 1;
        Some((sequence, entry.author))
    }

    /// Whether the oldest would have to go for another message.
    pub(super) fn is_full(&self) -> bool {
        let (messages, bytes) = (self.entries.len() + 1, self.bytes + 1);
        !self.keep.keeps(messages, bytes)
    }

    /// The number of the oldest message that is there, or of the next where none is.
    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    /// The number of the next message.
    pub(super) fn next(&self) -> Sequence {
        self.first + self.entries.len() as u64
    }

    /// What all messages take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// How many there are, and how many bytes they have.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Whose this one is, and its frame.
    pub(super) fn get(&self, sequence: Sequence) -> Option<(Option<ClientId>, &Bytes)> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get(at)?;
        Some((entry.author, &entry.frame))
    }

    /// What was published under this number, without a copy.
    pub(super) fn message(&self, sequence: Sequence) -> Bytes {
        let at = sequence.checked_sub(self.first);
        let entry = at.and_then(|at| self.entries.get(usize::try_from(at).ok()?));
        entry.map_or_else(Bytes::new, |it| it.frame.slice(it.frame.len() - it.len..))
    }

    /// How many of those from one number on, and before another, somebody has published.
    pub(super) fn published(&self, from: Sequence, to: Sequence, by: ClientId) -> u64 {
        let numbers = from.max(self.first)..to;
        let own = numbers.filter(|&it| self.get(it).is_some_and(|it| it.0 == Some(by)));
        own.count() as u64
    }
}

/// Frames of messages that follow each other, for the members that are at the first of them. Most members are at the same.
#[derive(Debug, Default)]
pub(super) struct Run {
    from: Sequence,
    to: Sequence,
    frames: Bytes,
}

impl Run {
    /// The frames from this one on that travel together, and the number after them. There is one at least.
    pub(super) fn at(&mut self, log: &Log, from: Sequence) -> Option<(Bytes, Sequence)> {
        if self.from != from || self.frames.is_empty() || self.to > log.next() {
            let (_, first) = log.get(from)?;
            let (mut to, mut len) = (from + 1, first.len());
            while let Some((_, frame)) = log.get(to)
                && len + frame.len() <= RUN
            {
                len += frame.len();
                to += 1;
            }
            self.frames = match to - from {
                // It is there already.
                1 => first.clone(),
                _ => {
                    let mut frames = BytesMut::with_capacity(len);
                    let all = (from..to).filter_map(|it| log.get(it));
                    all.for_each(|(_, frame)| frames.extend_from_slice(frame));
                    frames.freeze()
                }
            };
            (self.from, self.to) = (from, to);
        }
        Some((self.frames.clone(), self.to))
    }
}

fn memory_of(entry: &Entry) -> usize {
    entry.frame.len() + ENTRY
}

/// What is known of a message, with what counts its uses, in a table that may be half empty.
const ENTRY: usize = 2 * size_of::<Entry>() + 64;
/// How many bytes travel together.
const RUN: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn log(messages: usize, bytes: usize) -> Log {
        Log::new(Lossy::new(messages, bytes))
    }

    #[test]
    fn the_newest_are_kept_under_their_numbers() {
        let mut log = log(3, 100);
        let author = Author {
            id: ClientId::from_bytes([1; 32]),
            name: None,
        };
        for number in 0..5 {
            let by = (number % 2 == 1).then_some(&author);
            assert_eq!(log.push(by, &[0; 10]), number);
        }
        assert_eq!(log.drop_excess(), Some((0, None)));
        assert_eq!(log.drop_excess(), Some((1, Some(author.id))));
        assert_eq!(log.drop_excess(), None);
        assert_eq!((log.first(), log.next(), log.kept()), (2, 5, (3, 30)));
        assert!(log.is_full() && log.get(1).is_none() && log.get(5).is_none());
        assert_eq!(log.published(0, 5, author.id), 1);
        assert_eq!(log.published(0, 3, author.id), 0);
        // A large one alone displaces all others.
        log.push(None, &[0; 1000]);
        while log.drop_excess().is_some() {}
        assert_eq!((log.first(), log.next(), log.kept()), (5, 6, (1, 1000)));
        assert!(log.drop_first().is_some());
        assert_eq!((log.memory(), log.next()), (0, 6));
    }

    #[test]
    fn members_at_the_same_place_share_what_they_are_sent() {
        let mut log = log(1000, 1 << 20);
        for number in 0..100_u8 {
            log.push(None, &[number; 1000]);
        }
        let mut run = Run::default();
        let (frames, to) = run.at(&log, 3).expect("they are there");
        assert!(frames.len() <= RUN && to > 4);
        let (again, _) = run.at(&log, 3).expect("they are there");
        assert_eq!(again.as_ptr(), frames.as_ptr());
        let expected: Vec<u8> = (3..to)
            .flat_map(|it| log.get(it).expect("it is there").1.to_vec())
            .collect();
        assert_eq!(frames, expected);
        // A single one is not even copied.
        let (last, to) = run.at(&log, 99).expect("it is there");
        assert_eq!(
            (last.as_ptr(), to),
            (log.get(99).expect("it is there").1.as_ptr(), 100)
        );
        assert!(run.at(&log, 100).is_none());
    }
}
