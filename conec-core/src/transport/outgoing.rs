//! What waits to enter the engine on one stream.
//!
//! The engine's send buffer searches its pieces one by one, so many tiny ones make it slow: small writes are gathered
//! into shared pieces here. Large ones pass uncopied.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    /// No more will be written.
    pub(super) finished: bool,
    /// Tell when less than this is waiting.
    pub(super) mark: Option<usize>,
    /// Whether the stream stands in the line of those that have something to flush.
    pub(super) in_line: bool,
}

impl Outgoing {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, front: &[u8], mut bytes: Bytes) {
        self.len += front.len() + bytes.len();
        if self.tail.len() + front.len() + bytes.len().min(COPY_BELOW) > PIECE {
            self.seal();
        }
        self.tail.extend_from_slice(front);
        if bytes.len() < COPY_BELOW {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.seal();
        // The engine counts a piece as unacknowledged until all of it is acknowledged.
        while bytes.len() > MAX_PIECE {
            self.pieces.push_back(bytes.split_to(MAX_PIECE));
        }
        self.pieces.push_back(bytes);
    }

    /// Offers what waits to `write`, which takes a prefix of the pieces and says how many bytes that was.
    pub(super) fn offer<E>(
        &mut self,
        write: impl FnOnce(&mut [Bytes]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.seal();
        let pieces = self.pieces.make_contiguous();
        let count = pieces.len().min(OFFER);
        let written = write(&mut pieces[..count])?;
        self.len -= written;
        // Pieces taken in part are advanced in place, whole ones are left empty.
        while self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
        }
        Ok(written)
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }
}

/// Smaller writes are copied together.
const COPY_BELOW: usize = 4096;
/// How much is copied together.
const PIECE: usize = 32 << 10;
const MAX_PIECE: usize = 64 << 10;
/// How many pieces are offered at once.
const OFFER: usize = 64;

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
        let mut outgoing = Outgoing::default();
        for _ in 0..1000 {
            outgoing.push(b"", Bytes::from_static(b"sixteen bytes...")); // 16,000 in all
        }
        let large = Bytes::from(vec![1; 100_000]);
        outgoing.push(b"", large.clone());
        assert_eq!(outgoing.len(), 116_000);
        assert_eq!(outgoing.pieces.len(), 3);
        assert_eq!(outgoing.pieces[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn what_is_not_taken_stays() {
        let mut outgoing = Outgoing::default();
        outgoing.push(b"", Bytes::from(vec![1; 5000]));
        outgoing.push(b"", Bytes::from(vec![2; 10]));
        assert_eq!(outgoing.offer(take(4999)), Ok(4999));
        assert_eq!(outgoing.len(), 11);
        assert_eq!(outgoing.offer(take(0)), Ok(0));
        outgoing.push(b"", Bytes::from(vec![3; 1]));
        assert_eq!(outgoing.offer(take(100)), Ok(12));
        assert_eq!((outgoing.len(), outgoing.pieces.len()), (0, 0));
    }
}
