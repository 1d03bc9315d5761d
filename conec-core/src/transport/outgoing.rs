//! What waits to enter the engine on one stream.
//!
//! The engine's send buffer searches its pieces one by one, so many tiny ones make it slow: small writes are gathered
//! into shared pieces here. Large ones pass uncopied.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// What waits on a stream, and what is to happen to it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Gathered,
    /// No more will be written.
    pub(super) finished: bool,
    /// Tell when less than this is waiting.
    pub(super) mark: Option<usize>,
    /// Whether the stream stands in the line of those that have something to flush.
    pub(super) in_line: bool,
    /// Its turn among those that have much waiting, if it is one of them.
    pub(super) turn: Option<Turn>,
    /// The stream's, as the engine has it: twice as high as the application knows it, or one more.
    pub(super) engine_priority: i32,
}

impl Outgoing {
    pub(super) fn new(engine_priority: i32) -> Self {
        Self {
            bytes: Gathered::default(),
            finished: false,
            mark: None,
            in_line: false,
            turn: None,
            engine_priority,
        }
    }

    /// As the application knows it.
    pub(super) fn priority(&self) -> i8 {
        (self.engine_priority >> 1).try_into().unwrap_or(i8::MAX)
    }
}

/// The engine's priorities leave room between those of streams, for those that pass by.
pub(super) fn engine_priority(priority: i8, passes: bool) -> i32 {
    2 * i32::from(priority) + i32::from(passes)
}

/// A stream's turn among others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) number: u64,
    /// How many bytes of it are left. Somewhat more may be used: that is missing from the next.
    pub(super) left: i64,
}

/// Bytes in pieces of a sensible size.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    /// How long tails have become lately.
    usual: usize,
    /// How many bytes were taken.
    taken: u64,
    /// Where large messages begin and end, counted from the first byte that was ever added.
    large: VecDeque<(u64, u64)>,
}

/// The next large message of what waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Large {
    /// How many bytes there are in front of it.
    pub(super) ahead: usize,
    /// How many of its own there are still.
    pub(super) left: usize,
    /// How many there were, with its header.
    pub(super) size: usize,
}

impl Gathered {
    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes, with a few others in front.
    #[inline]
    pub(crate) fn push(&mut self, front: &[u8], bytes: &Bytes) {
        if bytes.len() < COPY_BELOW {
            return self.copy(front, bytes);
        }
        let mut bytes = bytes.clone();
        if bytes.len() > LARGE {
            let at = self.taken + self.len as u64;
            self.large
                .push_back((at, at + (front.len() + bytes.len()) as u64));
        }
        self.copy(front, &[]);
        self.seal();
        self.len += bytes.len();
        // The engine counts a piece as unacknowledged until all of it is acknowledged.
        while bytes.len() > MAX_PIECE {
            self.pieces.push_back(bytes.split_to(MAX_PIECE));
        }
        self.pieces.push_back(bytes);
    }

    /// Adds all that others have gathered.
    pub(crate) fn append(&mut self, others: &mut Self) {
        if others.len < COPY_BELOW && others.pieces.is_empty() {
            self.copy(&[], &others.tail);
            others.tail.clear();
        } else {
            others.seal();
            self.seal();
            let at = self.taken + self.len as u64;
            let large = others.large.drain(..);
            self.large
                .extend(large.map(|(begin, end)| (at + begin, at + end)));
            self.len += others.len;
            self.pieces.append(&mut others.pieces);
        }
        others.len = 0;
    }

    /// The last byte that was added, in memory of which nobody else has a part: once the engine has let go of it, it and all before it
    /// are acknowledged, or the stream is over.
    pub(super) fn mark(&mut self) -> Option<Bytes> {
        if !self.tail.is_empty() {
            self.seal();
            return self.pieces.back().cloned();
        }
        let last = self.pieces.back_mut()?;
        let mark = Bytes::copy_from_slice(&last.split_off(last.len().checked_sub(1)?));
        if last.is_empty() {
            self.pieces.pop_back();
        }
        self.pieces.push_back(mark.clone());
        Some(mark)
    }

    /// The first large message of which something waits.
    pub(super) fn next_large(&self) -> Option<Large> {
        let &(begin, end) = self.large.front()?;
        let ahead = begin.saturating_sub(self.taken) as usize;
        Some(Large {
            ahead,
            left: (end - begin.max(self.taken)) as usize,
            size: (end - begin) as usize,
        })
    }

    /// Offers the first pieces to `write`: at most `max` bytes, and of those as many as are wanted, up to the end of a
    /// piece. It takes a prefix of them and says how many bytes that was.
    pub(super) fn offer<E>(
        &mut self,
        wanted: usize,
        max: usize,
        write: impl FnOnce(&mut [Bytes]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.seal();
        let (mut count, mut len) = (0, 0);
        while count < self.pieces.len() && len < max.min(wanted) {
            let piece = &mut self.pieces[count];
            let fits = max - len;
            if piece.len() > fits {
                let rest = piece.split_off(fits);
                self.pieces.insert(count + 1, rest);
            }
            len += self.pieces[count].len();
            count += 1;
        }
        let pieces = self.pieces.make_contiguous();
        let written = write(&mut pieces[..count])?;
        self.len -= written;
        self.taken += written as u64;
        if self.large.front().is_some_and(|it| it.1 <= self.taken) {
            self.large.pop_front();
        }
        // Pieces taken in part are advanced in place, whole ones are left empty.
        while self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
        }
        Ok(written)
    }

    #[inline]
    fn copy(&mut self, front: &[u8], bytes: &[u8]) {
        let len = front.len() + bytes.len();
        if self.tail.len() + len > PIECE {
            self.seal();
        }
        if self.tail.capacity() == 0 {
            // Growing costs another copy, which the room left over in a piece does not.
            let usual = if self.usual > PIECE / 4 {
                PIECE
            } else {
                self.usual
            };
            self.tail.reserve(usual.max(len));
        }
        self.tail.extend_from_slice(front);
        self.tail.extend_from_slice(bytes);
        self.len += len;
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            // A large write, or the end of a batch, cuts one short.
            self.usual = self.tail.len().max(self.usual / 2);
            self.pieces
                .push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}

/// Smaller writes are copied together.
const COPY_BELOW: usize = 4096;
/// Larger messages are large.
const LARGE: usize = 64 << 10;
/// How much is copied together.
const PIECE: usize = 32 << 10;
const MAX_PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `room` bytes, as the engine would.
    fn take(room: usize) -> impl FnOnce(&mut [Bytes]) -> Result<usize, ()> {
        move |pieces| {
            let mut taken = 0;
            for piece in pieces {
                let part = piece.len().min(room - taken);
                drop(piece.split_to(part));
                taken += part;
            }
            Ok(taken)
        }
    }

    #[test]
    fn small_writes_share_pieces_and_large_ones_pass() {
        let mut outgoing = Gathered::default();
        for _ in 0..1000 {
            outgoing.push(b"", &Bytes::from_static(b"sixteen bytes...")); // 16,000 in all
        }
        let large = Bytes::from(vec![1; 100_000]);
        outgoing.push(b"", &large);
        assert_eq!(outgoing.len(), 116_000);
        assert_eq!(outgoing.pieces.len(), 3);
        assert_eq!(outgoing.pieces[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn small_writes_are_gathered_into_pieces_of_a_bounded_size() {
        let mut outgoing = Gathered::default();
        let small = Bytes::from(vec![1; 1000]);
        for _ in 0..200 {
            outgoing.push(b"", &small);
        }
        outgoing.seal();
        let sizes: Vec<_> = outgoing.pieces.iter().map(Bytes::len).collect();
        assert!(sizes.iter().all(|&size| size <= PIECE), "{sizes:?}");
        assert_eq!(sizes.len(), 200_000_usize.div_ceil(PIECE));
    }

    #[test]
    fn a_piece_that_was_cut_short_does_not_make_the_next_one_grow() {
        let mut outgoing = Gathered::default();
        let small = Bytes::from(vec![1; 1000]);
        let mut fill = |messages| {
            for _ in 0..messages {
                outgoing.push(b"", &small);
            }
            let room = outgoing.tail.capacity();
            outgoing.seal();
            room
        };
        fill(32);
        fill(1);
        assert_eq!(fill(1), PIECE);
        // Not forever.
        for _ in 0..10 {
            fill(1);
        }
        assert_eq!(fill(1), 1000);
    }

    #[test]
    fn what_others_gathered_is_added_in_order() {
        for (first, second) in [(1, 1), (1, 10_000), (10_000, 1), (50_000, 50_000)] {
            let (mut outgoing, mut others) = (Gathered::default(), Gathered::default());
            outgoing.push(b"a", &Bytes::from(vec![1; first]));
            others.push(b"b", &Bytes::from(vec![2; second]));
            let expected = [b"a", &vec![1; first][..], b"b", &vec![2; second]].concat();
            outgoing.append(&mut others);
            assert_eq!((outgoing.len(), others.len()), (expected.len(), 0));
            outgoing.append(&mut others);
            let mut all = Vec::new();
            let taken = outgoing.offer(usize::MAX, usize::MAX, |pieces| {
                pieces.iter().for_each(|piece| all.extend_from_slice(piece));
                take(usize::MAX)(pieces)
            });
            assert_eq!(taken, Ok(expected.len()));
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_mark_is_let_go_of_with_all_that_is_before_it() {
        let shared = Bytes::from(vec![1; COPY_BELOW]);
        for writes in [
            &[10][..],
            &[10, 20],
            &[COPY_BELOW],
            &[COPY_BELOW, 10],
            &[10, COPY_BELOW],
        ] {
            let mut outgoing = Gathered::default();
            assert!(outgoing.mark().is_none());
            let len = writes.iter().sum::<usize>();
            for &size in writes {
                outgoing.push(b"", &shared.slice(..size));
            }
            let mark = outgoing.mark().expect("there is something");
            outgoing.push(b"", &shared);
            assert_eq!(outgoing.len(), len + COPY_BELOW);
            let mut engine = Vec::new();
            let taken = outgoing.offer(len, len, |pieces| {
                engine.extend(pieces.iter_mut().map(std::mem::take));
                Ok::<_, ()>(len)
            });
            assert_eq!(taken, Ok(len));
            let bytes: Vec<_> = engine.iter().flatten().copied().collect();
            assert_eq!(bytes, vec![1; len]);
            let last = engine.pop();
            drop(engine);
            assert!(!mark.is_unique(), "{writes:?}");
            drop(last);
            assert!(mark.is_unique(), "{writes:?}");
        }
    }

    /// The engine would be slow with many tiny ones.
    #[test]
    fn batches_with_little_in_them_share_pieces() {
        let mut outgoing = Gathered::default();
        for size in [1000, COPY_BELOW - 1, 10] {
            let mut others = Gathered::default();
            others.push(b"", &Bytes::from(vec![1; size]));
            outgoing.append(&mut others);
        }
        assert_eq!(
            (outgoing.pieces.len(), outgoing.len()),
            (0, 1010 + COPY_BELOW - 1)
        );
        // What has come to as much in small writes is not copied once more.
        let mut others = Gathered::default();
        (0..4).for_each(|_| others.push(b"", &Bytes::from(vec![1; COPY_BELOW / 4])));
        let at = others.tail.as_ptr();
        outgoing.append(&mut others);
        assert_eq!(outgoing.pieces.len(), 2);
        assert_eq!(outgoing.pieces[1].as_ptr(), at);
    }

    #[test]
    fn large_messages_are_known_wherever_they_were_gathered() {
        let (mut outgoing, mut others) = (Gathered::default(), Gathered::default());
        let large = Bytes::from(vec![1; LARGE + 1]);
        outgoing.push(b"h", &Bytes::from_static(b"small"));
        for gathered in [&mut outgoing, &mut others] {
            gathered.push(b"head", &large);
        }
        outgoing.append(&mut others);
        let mut next = Vec::new();
        while outgoing.len() > 0 {
            let all = outgoing.next_large().map_or(0, |it| it.ahead + it.left);
            next.push(outgoing.next_large().map(|it| (it.ahead, it.left)));
            let half = all.div_ceil(2);
            assert_eq!(outgoing.offer(usize::MAX, half, take(usize::MAX)), Ok(half));
        }
        let size = LARGE + 5;
        assert_eq!(next[0], Some((6, size)));
        assert_eq!(next[1], Some((0, size + 6 - (size + 6).div_ceil(2))));
        let second = next.iter().flatten().filter(|it| it.1 == size).count();
        assert_eq!(second, 2);
        assert!(outgoing.next_large().is_none());
    }

    #[test]
    fn what_is_not_taken_stays() {
        let mut outgoing = Gathered::default();
        outgoing.push(b"", &Bytes::from(vec![1; 5000]));
        outgoing.push(b"", &Bytes::from(vec![2; 10]));
        assert_eq!(outgoing.offer(usize::MAX, usize::MAX, take(4999)), Ok(4999));
        assert_eq!(outgoing.len(), 11);
        assert_eq!(outgoing.offer(usize::MAX, usize::MAX, take(0)), Ok(0));
        outgoing.push(b"", &Bytes::from(vec![3; 1]));
        assert_eq!(outgoing.offer(usize::MAX, usize::MAX, take(100)), Ok(12));
        assert_eq!((outgoing.len(), outgoing.pieces.len()), (0, 0));
    }

    #[test]
    fn no_more_is_offered_than_is_wanted() {
        let mut outgoing = Gathered::default();
        outgoing.push(b"", &Bytes::from(vec![1; 5000]));
        outgoing.push(b"", &Bytes::from(vec![2; 5000]));
        for (max, left) in [(0, 10_000), (1, 9999), (5000, 4999), (4999, 0)] {
            let taken = outgoing.offer(usize::MAX, max, take(usize::MAX));
            assert_eq!((taken, outgoing.len()), (Ok(max), left));
        }
        for size in [5000, 6000, 7000] {
            outgoing.push(b"", &Bytes::from(vec![3; size]));
        }
        let taken = outgoing.offer(5001, usize::MAX, take(usize::MAX));
        assert_eq!((taken, outgoing.len()), (Ok(11_000), 7000));
    }
}
