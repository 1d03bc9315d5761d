//! Datagrams that wait to be received.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue in which the latest datagrams stay, when there is no room for all.
///
/// Each is copied out of the packet that it came in: a few bytes must not keep a batch of packets alive.
#[derive(Debug)]
pub(super) struct Datagrams {
    waiting: VecDeque<Bytes>,
    /// What those that wait count for.
    size: usize,
    limit: usize,
    /// How many had to make room for others.
    displaced: u64,
    /// The application was told that there are some, and has not asked for them yet.
    pub(super) announced: bool,
}

impl Datagrams {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            size: 0,
            limit,
            displaced: 0,
            announced: false,
        }
    }

    pub(super) fn push(&mut self, datagram: &[u8]) {
        self.size += cost(datagram);
        self.waiting.push_back(Bytes::copy_from_slice(datagram));
        while self.size > self.limit && self.pop().is_some() {
            self.displaced += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.waiting.pop_front()?;
        self.size -= cost(&datagram);
        Some(datagram)
    }

    /// How many had to make room for others.
    pub(super) fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Whether the application is to be told that there are some. It is then taken for told.
    pub(super) fn announce(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.announced, true)
    }
}

fn cost(datagram: &[u8]) -> usize {
    datagram.len() + OVERHEAD
}

/// What a datagram takes besides its bytes.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stay() {
        let mut datagrams = Datagrams::new(3 * (1 + OVERHEAD));
        assert!(!datagrams.announce());
        for number in 0..5 {
            datagrams.push(&[number]);
        }
        assert!(datagrams.announce() && !datagrams.announce());
        let left = std::iter::from_fn(|| datagrams.pop());
        assert_eq!(left.map(|it| it[0]).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((datagrams.size, datagrams.displaced()), (0, 2));
        // One that is larger than all room is as good as lost.
        datagrams.push(&[0; 3 * (1 + OVERHEAD)]);
        assert_eq!(datagrams.pop(), None);
    }
}
