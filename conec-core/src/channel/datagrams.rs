//! Datagrams that wait to be received.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue in which the latest datagrams stay, when there is no room for all.
///
/// Each is copied out of the packet that it came in: a few bytes must not keep a batch of packets alive.
#[derive(Debug)]
pub(super) struct Datagrams {
    limit: usize,
    /// Boxed: few channels ever have any.
    queue: Option<Box<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    /// What those that wait count for.
    size: usize,
    /// How many had to make room for others.
    displaced: u64,
    /// The application was told that there are some, and has not asked for them yet.
    announced: bool,
}

impl Datagrams {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queue: None }
    }

    pub(super) fn push(&mut self, datagram: &[u8]) {
        let queue = self.queue.get_or_insert_default();
        queue.size += cost(datagram);
        queue.waiting.push_back(Bytes::copy_from_slice(datagram));
        while queue.size > self.limit {
            queue.displace();
        }
    }

    /// Keeps only a few of the latest, since memory is short.
    pub(super) fn keep_few(&mut self) {
        if let Some(queue) = &mut self.queue {
            while queue.size > FEW && queue.waiting.len() > 1 {
                queue.displace();
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.queue.as_mut()?.pop()
    }

    /// The memory that those take that wait.
    pub(super) fn memory(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.size)
    }

    /// How many had to make room for others.
    pub(super) fn displaced(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.displaced)
    }

    /// Whether the application is to be told that there are some. It is then taken for told.
    pub(super) fn announce(&mut self) -> bool {
        let queue = self.queue.as_mut().filter(|it| !it.waiting.is_empty());
        queue.is_some_and(|it| !std::mem::replace(&mut it.announced, true))
    }

    /// The application asks for them, and wants to be told of the next.
    pub(super) fn asked_for(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.announced = false;
        }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.waiting.pop_front()?;
        self.size -= cost(&datagram);
        Some(datagram)
    }

    fn displace(&mut self) {
        self.displaced += u64::from(self.pop().is_some());
    }
}

fn cost(datagram: &[u8]) -> usize {
    datagram.len() + OVERHEAD
}

/// What a datagram takes besides its bytes.
const OVERHEAD: usize = 64;
/// What those may take that wait where memory is short.
const FEW: usize = 16 << 10;

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
        // Who has asked is told again, as long as there are some.
        datagrams.asked_for();
        assert!(datagrams.announce() && !datagrams.announce());
        let left = std::iter::from_fn(|| datagrams.pop());
        assert_eq!(left.map(|it| it[0]).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((datagrams.memory(), datagrams.displaced()), (0, 2));
        datagrams.limit = 4 * FEW;
        for number in 0..30 {
            datagrams.push(&[number; 1000]);
        }
        datagrams.keep_few();
        let left = std::iter::from_fn(|| datagrams.pop()).collect::<Vec<_>>();
        assert_eq!((left.len(), left[14][0]), (15, 29));
        // One that is larger than all room is as good as lost.
        datagrams.limit = 3 * (1 + OVERHEAD);
        datagrams.push(&[0; 3 * (1 + OVERHEAD)]);
        assert_eq!(datagrams.pop(), None);
    }
}
