//! Streams that the other side has opened, until the application takes them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{RecvEnd, SendEnd};

/// The streams that wait to be taken, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    waiting: BTreeMap<Arrival, Waiting>,
    arrivals: Arrival,
    /// The driver was told that there are some, and has not taken them all.
    announced: bool,
}

/// Which of a channel's streams it is, as they came.
pub(super) type Arrival = u64;

/// A stream, and how its halves ended meanwhile.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) index: u64,
    pub(super) label: Bytes,
    pub(super) send_end: Option<SendEnd>,
    pub(super) recv_end: Option<RecvEnd>,
}

impl Incoming {
    pub(super) fn push(&mut self, index: u64, label: Bytes, send_end: Option<SendEnd>) -> Arrival {
        self.arrivals += 1;
        let stream = Waiting {
            index,
            label,
            send_end,
            recv_end: None,
        };
        self.waiting.insert(self.arrivals, stream);
        self.arrivals
    }

    pub(super) fn get_mut(&mut self, arrival: Arrival) -> Option<&mut Waiting> {
        self.waiting.get_mut(&arrival)
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_first();
        self.announced &= first.is_some();
        Some(first?.1)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the driver is to be told that some wait. It is then taken for told.
    pub(super) fn announce(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.announced, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_that_streams_wait_and_again_when_all_were_taken() {
        let mut incoming = Incoming::default();
        assert!(!incoming.announce(), "there are none");
        for index in 0..2 {
            incoming.push(index, Bytes::new(), None);
        }
        assert!(incoming.announce());
        assert!(!incoming.announce(), "that was told");
        incoming.push(2, Bytes::new(), None);
        assert!(!incoming.announce(), "more of the same is no news");
        let taken = std::iter::from_fn(|| incoming.pop());
        assert_eq!(taken.map(|it| it.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!incoming.announce());
        incoming.push(3, Bytes::new(), None);
        assert!(incoming.announce() && !incoming.announce());
    }
}
