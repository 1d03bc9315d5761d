//! The last messages of a group, in its order: one copy of each, for all members.
//!
//! As they travel they are in pieces, each of messages that follow each other, which members share wherever in the order they are.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{
    ClientId, Lossy,
    wire::{Author, MESSAGE_HEAD, Sequence, write_message},
};

/// The newest messages, under numbers that follow each other.
#[derive(Debug)]
pub(super) struct Log {
    keep: Lossy,
    entries: VecDeque<Entry>,
    /// The number of the first of them, or of the next where there is none.
    first: Sequence,
    /// How many bytes all have.
    bytes: usize,
    pieces: VecDeque<Piece>,
    /// What the pieces take.
    sealed: usize,
    /// The frames after the pieces.
    open: BytesMut,
    /// How long pieces have become lately.
    usual: usize,
}

#[derive(Debug)]
struct Entry {
    author: Option<ClientId>,
    /// The length of the message itself.
    len: usize,
    /// Where its frame begins in its piece.
    begin: usize,
}

/// Frames of messages that follow each other.
#[derive(Debug)]
struct Piece {
    /// The number after the last of them.
    to: Sequence,
    frames: Bytes,
    /// How much room they take.
    memory: usize,
}

impl Log {
    pub(super) fn new(keep: Lossy) -> Self {
        Self {
            keep,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            pieces: VecDeque::new(),
            sealed: 0,
            open: BytesMut::new(),
            usual: 0,
        }
    }

    /// Adds a message, and gives its number. What has to go for it, [`drop_excess`](Self::drop_excess) does.
    pub(super) fn push(&mut self, author: Option<&Author>, message: &[u8]) -> Sequence {
        let sequence = self.next();
        if self.open.len() + message.len() > PIECE {
            self.seal();
        }
        if self.open.capacity() == 0 {
            let room = (MESSAGE_HEAD + message.len()).max(self.usual);
            self.open.reserve(room);
        }
        let begin = self.open.len();
        self.bytes += message.len();
        self.entries.push_back(Entry {
            author: author.map(|it| it.id),
            len: message.len(),
            begin,
        });
        write_message(sequence, author, message, &mut self.open);
        sequence
    }

    /// What was added is to [travel](Self::run) now. What is added later does not travel with it.
    pub(super) fn seal(&mut self) {
        let open = std::mem::take(&mut self.open);
        let (len, room) = (open.len(), open.capacity());
        if len == 0 {
            return;
        }
        self.usual = len.max(self.usual / 2).min(PIECE);
        let (frames, memory) = match len * 2 < room {
            true => (Bytes::copy_from_slice(&open), len),
            false => (open.freeze(), room),
        };
        self.sealed += memory;
        let to = self.next();
        self.pieces.push_back(Piece { to, frames, memory });
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
        let sequence = self.first;
        self.first += 1;
        if let Some(piece) = self.pieces.front()
            && piece.to <= self.first
        {
            self.sealed -= piece.memory;
            self.pieces.pop_front();
        }
        if self.entries.is_empty() {
            self.open = BytesMut::new();
        }
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

    /// What all messages take: whole pieces, also where only a part of one is kept.
    pub(super) fn memory(&self) -> usize {
        let tables = self.entries.len() * ENTRY + self.pieces.len() * PIECE_ENTRY;
        tables + self.sealed + self.open.capacity()
    }

    /// How many there are, and how many bytes they have.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn entry(&self, sequence: Sequence) -> Option<&Entry> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.entries.get(at)
    }

    /// Whose this one is, if it is there.
    pub(super) fn author(&self, sequence: Sequence) -> Option<Option<ClientId>> {
        self.entry(sequence).map(|it| it.author)
    }

    /// The frames from this one on that travel together, before the next of somebody's own where those do not, and the number after them.
    /// There is one at least, if it is there and [sealed](Self::seal).
    pub(super) fn run(&self, from: Sequence, but: Option<ClientId>) -> Option<(Bytes, Sequence)> {
        let first = self.entry(from)?;
        let at = self.pieces.partition_point(|it| it.to <= from);
        let piece = self.pieces.get(at)?;
        let is_own = |it: Sequence| but.is_some() && self.author(it) == Some(but);
        let (to, end) = match (from + 1..piece.to).find(|&it| is_own(it)) {
            Some(to) => (to, self.entry(to)?.begin),
            None => (piece.to, piece.frames.len()),
        };
        // A small part does not keep a large piece in memory.
        let frames = match (end - first.begin) * 2 < piece.frames.len() {
            true => Bytes::copy_from_slice(&piece.frames[first.begin..end]),
            false => piece.frames.slice(first.begin..end),
        };
        Some((frames, to))
    }

    /// How many of those from one number on, and before another, somebody has published.
    pub(super) fn published(&self, from: Sequence, to: Sequence, by: ClientId) -> u64 {
        let numbers = from.max(self.first)..to;
        numbers
            .filter(|&it| self.author(it) == Some(Some(by)))
            .count() as u64
    }
}

/// What is known of a message or a piece takes, in a table that may be half empty.
const ENTRY: usize = 2 * size_of::<Entry>();
/// The same, with what counts its uses.
const PIECE_ENTRY: usize = 2 * size_of::<Piece>() + 64;
/// How many bytes travel together, unless a single message is larger.
const PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn log(messages: usize, bytes: usize) -> Log {
        Log::new(Lossy::new(messages, bytes))
    }

    fn author(byte: u8) -> Author {
        Author {
            id: ClientId::from_bytes([byte; 32]),
            name: None,
        }
    }

    /// All frames from this one on.
    fn all(log: &Log, from: Sequence) -> Vec<u8> {
        let mut next = from;
        let mut frames = Vec::new();
        while let Some((run, to)) = log.run(next, None) {
            assert!(!run.is_empty() && to > next);
            frames.extend_from_slice(&run);
            next = to;
        }
        assert_eq!(next, log.next());
        frames
    }

    #[test]
    fn the_newest_are_kept_under_their_numbers() {
        let mut log = log(3, 100);
        let author = author(1);
        for number in 0..5 {
            let by = (number % 2 == 1).then_some(&author);
            assert_eq!(log.push(by, &[0; 10]), number);
        }
        assert_eq!(log.drop_excess(), Some((0, None)));
        assert_eq!(log.drop_excess(), Some((1, Some(author.id))));
        assert_eq!(log.drop_excess(), None);
        assert_eq!((log.first(), log.next(), log.kept()), (2, 5, (3, 30)));
        assert!(log.is_full() && log.author(1).is_none() && log.author(5).is_none());
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
    fn members_share_what_they_are_sent_wherever_they_are() {
        let mut log = log(1000, 1 << 20);
        let mut frames = Vec::new();
        for number in 0..100_u8 {
            let mut frame = BytesMut::new();
            log.push(None, &[number; 1000]);
            write_message(number.into(), None, &[number; 1000], &mut frame);
            frames.push(frame);
        }
        assert!(log.run(99, None).is_none());
        log.seal();
        let (first, to) = log.run(0, None).expect("it is there");
        assert!(first.len() <= PIECE && to > 4);
        let (second, _) = log.run(1, None).expect("it is there");
        assert_eq!(second.as_ptr(), first[frames[0].len()..].as_ptr());
        for from in [0, 1, to, 57, 99] {
            assert_eq!(all(&log, from), frames[from as usize..].concat());
        }
        assert!(log.run(100, None).is_none());
        // A small part is copied.
        let (last, _) = log.run(to - 1, None).expect("it is there");
        assert_ne!(last.as_ptr(), first[first.len() - last.len()..].as_ptr());
        // What is dropped is so with its piece.
        let before = log.memory();
        (0..to).for_each(|_| assert!(log.drop_first().is_some()));
        assert!(log.memory() + first.len() <= before && log.run(to - 1, None).is_none());
        assert_eq!(all(&log, to), frames[to as usize..].concat());
    }

    #[test]
    fn what_somebody_has_published_can_be_left_out() {
        let mut log = log(1000, 1 << 20);
        let (alice, bob) = (author(1), author(2));
        for by in [&alice, &alice, &bob, &alice] {
            log.push(Some(by), b"hello");
        }
        log.seal();
        let to = |from, but: &Author| log.run(from, Some(but.id)).map(|it| it.1);
        assert_eq!(
            [to(0, &bob), to(2, &alice), to(3, &bob)],
            [Some(2), Some(3), Some(4)]
        );
    }

    #[test]
    fn little_takes_little() {
        let mut log = log(1000, 1 << 20);
        for _ in 0..64 {
            log.push(None, &[0; 1000]);
        }
        log.seal();
        while log.drop_first().is_some() {}
        assert_eq!(log.memory(), 0);
        for _ in 0..4 {
            log.push(None, &[0; 1000]);
            log.seal();
        }
        let tables = log.entries.len() * ENTRY + log.pieces.len() * PIECE_ENTRY;
        assert!(log.memory() - tables < 2 * 4 * 1100, "{}", log.memory());
    }
}
