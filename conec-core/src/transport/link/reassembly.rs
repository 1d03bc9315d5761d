//! Bytes of a stream that have come before others that belong in front of them.

use std::collections::BTreeMap;

/// Puts a stream's bytes in order.
///
/// What is kept is copied, since a few bytes could keep a large receive buffer alive. Pieces that touch are joined up to a
/// certain size: there are about as many as there are gaps, and no byte is copied often.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// The place of the next byte to give out.
    next: u64,
    /// By the places of their first bytes. They do not overlap, and none is empty.
    pieces: BTreeMap<u64, Vec<u8>>,
    /// How many bytes they have.
    len: usize,
}

impl Reassembly {
    /// For a stream of which so many bytes have been given out.
    pub(crate) fn new(next: u64) -> Self {
        Self {
            next,
            pieces: BTreeMap::new(),
            len: 0,
        }
    }

    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// In how many pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Whether bytes are missing in front of some that are kept.
    pub(crate) fn has_gaps(&self) -> bool {
        let last = self.pieces.last_key_value();
        let end = last.map_or(self.next, |(&at, piece)| at + piece.len() as u64);
        end - self.next > self.len as u64
    }

    /// Whether [`pop`](Self::pop) has something to give.
    pub(crate) fn is_ready(&self) -> bool {
        self.pieces.contains_key(&self.next)
    }

    /// Whether what begins at this place is what is to be given out next.
    pub(crate) fn is_next(&self, at: u64) -> bool {
        at == self.next && !self.is_ready()
    }

    /// So many of the next bytes were given out without having been kept.
    pub(crate) fn pass(&mut self, len: usize) {
        self.next += len as u64;
    }

    /// Keeps what is new of these bytes.
    pub(crate) fn insert(&mut self, mut at: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let before = self.pieces.range(..=at).next_back();
            let end = before.map_or(0, |(&at, piece)| at + piece.len() as u64);
            let known = end.max(self.next).saturating_sub(at);
            let known = usize::try_from(known).map_or(bytes.len(), |it| it.min(bytes.len()));
            at += known as u64;
            bytes = &bytes[known..];
            let behind = self.pieces.range(at..).next();
            let room = behind.map_or(u64::MAX, |(&behind, _)| behind - at);
            let new = usize::try_from(room).map_or(bytes.len(), |it| it.min(bytes.len()));
            if new > 0 {
                self.put(at, &bytes[..new]);
            }
            at += new as u64;
            bytes = &bytes[new..];
        }
    }

    /// The next bytes, if they are there.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let first = self.pieces.first_entry()?;
        if *first.key() > self.next {
            return None;
        }
        let piece = first.remove();
        self.len -= piece.len();
        self.next += piece.len() as u64;
        Some(piece)
    }

    /// Drops what is kept.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.len = 0;
    }

    /// Keeps bytes that fit between the pieces that are there.
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.len += bytes.len();
        let (end, fits) = (at + bytes.len() as u64, |len: usize| len <= PIECE);
        let before = self.pieces.range(..at).next_back();
        let before = before.filter(|&(&before, piece)| {
            before + piece.len() as u64 == at && fits(piece.len() + bytes.len())
        });
        let start = before.map_or(at, |(&before, _)| before);
        let mut piece = self.pieces.remove(&start).unwrap_or_default();
        piece.extend_from_slice(bytes);
        if let Some(behind) = self.pieces.get(&end)
            && fits(piece.len() + behind.len())
        {
            piece.extend_from_slice(behind);
            self.pieces.remove(&end);
        }
        self.pieces.insert(start, piece);
    }
}

/// The size up to which pieces are joined.
const PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the stream has at its places.
    fn bytes(places: std::ops::Range<u64>) -> Vec<u8> {
        places
            .map(|place| (place * 7 + (place >> 8)) as u8)
            .collect()
    }

    fn insert(reassembly: &mut Reassembly, places: std::ops::Range<u64>) {
        reassembly.insert(places.start, &bytes(places));
    }

    /// Gives out all that is there, up to this place.
    fn pop_up_to(reassembly: &mut Reassembly, end: u64) {
        let begin = reassembly.next;
        let mut all = Vec::new();
        while let Some(piece) = reassembly.pop() {
            all.extend(piece);
        }
        assert_eq!(all, bytes(begin..end));
        assert!(!reassembly.is_ready());
    }

    #[test]
    fn what_comes_late_closes_the_gap() {
        let mut reassembly = Reassembly::new(100);
        insert(&mut reassembly, 200..300);
        assert!(reassembly.has_gaps());
        assert_eq!(reassembly.pop(), None);
        insert(&mut reassembly, 100..150);
        pop_up_to(&mut reassembly, 150);
        assert_eq!((reassembly.len(), reassembly.pieces()), (100, 1));
        insert(&mut reassembly, 150..200);
        assert!(!reassembly.has_gaps());
        pop_up_to(&mut reassembly, 300);
        assert_eq!((reassembly.len(), reassembly.pieces()), (0, 0));
    }

    #[test]
    fn what_is_known_is_not_kept_twice() {
        let mut reassembly = Reassembly::new(10);
        insert(&mut reassembly, 20..30);
        insert(&mut reassembly, 40..50);
        for known in [0..5, 0..10, 20..30, 22..28, 40..41] {
            insert(&mut reassembly, known);
        }
        assert_eq!(reassembly.len(), 20);
        insert(&mut reassembly, 25..45);
        assert_eq!(reassembly.len(), 30);
        insert(&mut reassembly, 0..60);
        pop_up_to(&mut reassembly, 60);
        insert(&mut reassembly, 0..60);
        assert_eq!(reassembly.len(), 0);
    }

    #[test]
    fn single_bytes_are_joined_in_whatever_order_they_come() {
        let forwards: Vec<u64> = (0..1000).collect();
        let backwards: Vec<u64> = (0..1000).rev().collect();
        let scattered: Vec<u64> = (0..1000).map(|place| place * 389 % 1000).collect();
        for order in [forwards, backwards, scattered] {
            let mut reassembly = Reassembly::new(0);
            for place in order {
                insert(&mut reassembly, place..place + 1);
            }
            assert_eq!((reassembly.len(), reassembly.pieces()), (1000, 1));
            pop_up_to(&mut reassembly, 1000);
        }
    }

    #[test]
    fn large_pieces_are_not_copied_again_and_again() {
        let mut reassembly = Reassembly::new(0);
        let (step, all) = (1400, 1400 * 5000);
        for start in (0..all).step_by(2 * step as usize) {
            insert(&mut reassembly, start..start + step);
        }
        assert_eq!(reassembly.pieces(), 2500);
        for start in (step..all).step_by(2 * step as usize) {
            insert(&mut reassembly, start..start + step);
        }
        assert!(reassembly.pieces.values().all(|piece| piece.len() <= PIECE));
        assert!(reassembly.pieces() <= 2 * all as usize / PIECE + 1);
        pop_up_to(&mut reassembly, all);
    }

    #[test]
    fn what_is_next_needs_not_be_kept() {
        let mut reassembly = Reassembly::new(0);
        insert(&mut reassembly, 10..20);
        assert!(reassembly.is_next(0) && !reassembly.is_next(10));
        reassembly.pass(10);
        assert!(!reassembly.is_next(10), "it is kept already");
        pop_up_to(&mut reassembly, 20);
        assert!(reassembly.is_next(20));
        insert(&mut reassembly, 30..40);
        reassembly.clear();
        assert_eq!((reassembly.len(), reassembly.pieces()), (0, 0));
        assert!(!reassembly.has_gaps());
    }
}
